"""Tensors that share one memory, as a tensor and its views do: what is written to one is seen in all.

Only plain tensors share, those that are no part of a graph. Where a graph or an array of the caller's still needs the
old values, all tensors that share move to a copy together.
"""

from __future__ import annotations

import operator
import sys
import weakref
from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np

from ..base.locks import make_lock
from ..errors import GraphError

moving = make_lock()
"""Held while tensors that share memory become more or move, and while one writes: no other thread's write is lost."""


class Memory:
    """The living tensors that share one memory.

    Parameters
    ----------
    first
        The tensor that a view was made of.
    """

    __slots__ = ("_members", "_most")

    def __init__(self, first: Any) -> None:
        self._members = [weakref.ref(first)]
        self._most = 16

    def add(self, tensor: Any) -> None:
        """Let `tensor`, a view of one of the others, share the memory too; call it under `moving`."""
        members = self._members
        members.append(weakref.ref(tensor))
        if len(members) > self._most:
            members[:] = [one for one in members if one() is not None]
            self._most = 16 + 2 * len(members)

    def members(self) -> list[Any]:
        """Return the tensors that are still there."""
        return [tensor for tensor in [one() for one in self._members] if tensor is not None]


def viewed_by_view_of(source: Any) -> tuple[weakref.ref[Any], ...]:
    """Return what a view of `source`, which may be a view itself, is a view of."""
    return (weakref.ref(source), *source._viewed)


def refuse_lost_write(view: Any) -> None:
    """Raise if an operator in place, which can only bind a name anew, would change a tensor that is still there."""
    memory = getattr(view, "_memory", None)
    others = [] if memory is None else [tensor for tensor in memory.members() if tensor is not view]
    overlap = any(np.shares_memory(tensor._array, view._array) for tensor in others)
    if overlap or any(ref() is not None for ref in view._viewed):
        raise GraphError(
            f"in-place operator: expected a tensor that is no view of another one, got a view of shape {view.shape}, "
            "whose change the other one would not see where gradients are recorded or a step is compiled; write "
            "x = x + y for x += y."
        )


def owner_of(array: np.ndarray) -> np.ndarray:
    """Return the array whose memory `array` is a view of: itself if it has its own."""
    return array.base if isinstance(array.base, np.ndarray) else array


def make_writable(members: Sequence[Any]) -> None:
    """Move tensors that share one memory to a copy of it, unless nobody else needs its old values."""
    owner = owner_of(members[0]._array)
    if owner.flags.writeable and (
        any(t._exposed for t in members) or all(map(operator.le, _references(members), _NO_MORE))
    ):
        return
    if not owner.size:
        return
    order = sorted(range(owner.ndim), key=lambda axis: -owner.strides[axis])
    old = owner.transpose(order).reshape(-1).view(np.uint8)
    new, start = old.copy(), _address(old)
    for tensor in members:
        array = tensor._array
        tensor._array = np.ndarray(array.shape, array.dtype, new, _address(array) - start, array.strides)


def _address(array: np.ndarray) -> int:
    return int(array.__array_interface__["data"][0])


def _references(members: Sequence[Any]) -> tuple[int, int]:
    """Return how many references to a view, and to the memory, there are besides those of `members`."""
    arrays = [tensor._array for tensor in members]
    owner = owner_of(arrays[0])
    uses = Counter(map(id, arrays))
    most = 0
    for array in arrays:
        if array is not owner:
            most = max(most, sys.getrefcount(array) - 2 * uses[id(array)])
    del array
    views = len(uses) - (id(owner) in uses)
    return most, sys.getrefcount(owner) - 2 * uses[id(owner)] - views


class _Probe:
    __slots__ = ("_array",)

    def __init__(self, array: np.ndarray) -> None:
        self._array = array


def _measured() -> tuple[int, int]:
    """Return what `_references` says of a tensor and a view that nobody else refers to."""
    probe = _Probe(np.empty(2))
    return _references([probe, _Probe(probe._array[:1])])


_NO_MORE = _measured()
