"""Sampling an index from a softmax, given a uniform random number."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from . import scalar
from .jit import kernel

Array = npt.NDArray[Any]


@kernel
def _sift(heap: Array, at: int) -> None:
    """Sift element `at` down until no child is smaller. *Changed*: `heap`."""
    value = heap[at]
    while 2 * at + 1 < heap.size:
        child = 2 * at + 1
        if child + 1 < heap.size and heap[child + 1] < heap[child]:
            child += 1
        if heap[child] >= value:
            break
        heap[at] = heap[child]
        at = child
    heap[at] = value


@kernel
def _kth_greatest(values: Array, k: Any) -> Any:
    """Return the k-th largest of `values`: the smallest in a heap of the k largest."""
    heap = values[:k].copy()
    for root in range(k // 2 - 1, -1, -1):
        _sift(heap, root)
    for value in values[k:]:
        if value > heap[0]:
            heap[0] = value
            _sift(heap, 0)
    return heap[0]


@kernel
def choose(scores: Array, start: Any, count: Any, uniform: Any, temperature: Any, top_k: Any) -> Any:
    """Return an index with probability ``softmax(scores / temperature)``, by inverting the cumulative sum at `uniform`.

    Parameters
    ----------
    scores
        Shape (S,); the function reads `count` elements from `start` on.
    uniform
        float64 in [0, 1).
    temperature
        float64; 0 gives the index of the largest score, the first in case of ties.
    top_k
        Only the `top_k` largest scores are eligible; in case of ties the first ones.

    Returns
    -------
    int
        -1 if a score is NaN or +inf, or none is finite.
    """
    values = np.empty(count, np.float64)
    top, best = -np.inf, np.int64(0)
    for j in range(count):
        score = np.float64(scores[start + j])
        values[j] = score
        if score > top:
            top, best = score, np.int64(j)
        elif score != score:
            return np.int64(-1)
    if not np.isfinite(top):
        return np.int64(-1)
    if temperature == 0:
        return best
    threshold, equals = -np.inf, np.int64(0)
    if top_k < count:
        threshold = _kth_greatest(values, np.int64(top_k))
        equals = np.int64(top_k)
        for j in range(count):
            equals -= values[j] > threshold
    total = 0.0
    for j in range(count):
        score = values[j]
        allowed = score > threshold
        if score == threshold and equals > 0:
            allowed, equals = True, equals - 1
        total += scalar.exp((score - top) / temperature) if allowed else 0.0
        values[j] = total
    point = uniform * total
    low, high = np.int64(0), np.int64(count) - 1
    while low < high:
        middle = (low + high) // 2
        if values[middle] > point:
            high = middle
        else:
            low = middle + 1
    return low
