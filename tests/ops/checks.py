"""What every operation on arrays is held to: right values in any memory layout, right gradients of two orders."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from tinygrad_seq.autograd.gradcheck import gradcheck
from tinygrad_seq.autograd.tensor import Tensor, wrap


def layouts(array: np.ndarray) -> Iterator[np.ndarray]:
    """Yield the values of `array` contiguous, in Fortran order, strided, reversed in memory and read-only."""
    yield array
    yield array.copy(order="F")
    wide = np.zeros(tuple(2 * size for size in array.shape), array.dtype)
    strided = np.asarray(wide[(slice(None, None, 2),) * array.ndim])
    strided[...] = array
    yield strided
    yield np.asarray(np.flip(np.flip(array).copy()))
    fixed = np.array(array)
    fixed.flags.writeable = False
    yield fixed


def parts_of(result: Any) -> tuple[Any, ...]:
    return tuple(result) if isinstance(result, tuple | list) else (result,)


def check_forward(op: Callable[..., Any], reference: Callable[..., Any], *arrays: np.ndarray) -> None:
    """Compare `op` with NumPy on plain arrays and on Tensors, in every layout, in float32 and float64."""
    for dtype in (np.float32, np.float64):
        cast = [np.asarray(array, dtype) for array in arrays]
        expected = [np.asarray(part) for part in parts_of(reference(*cast))]
        for views in zip(*map(layouts, cast), strict=True):
            for operands in (views, [wrap(view) for view in views]):
                results = parts_of(op(*operands))
                assert len(results) == len(expected)
                for result, wanted in zip(results, expected, strict=True):
                    assert result.dtype == wanted.dtype
                    np.testing.assert_array_equal(
                        np.asarray(result.numpy() if isinstance(result, Tensor) else result), wanted
                    )
            for view, array in zip(views, cast, strict=True):
                np.testing.assert_array_equal(view, array)  # operands are never written to


def check_gradients(op: Callable[..., Any], *arrays: np.ndarray) -> None:
    """Compare the gradients of ``y²`` with finite differences; the square makes second derivatives pass `op` twice."""
    inputs = [Tensor(np.array(array), requires_grad=True) for array in arrays]
    assert gradcheck(lambda *operands: [part * part for part in parts_of(op(*operands))], inputs, order=2)


def values(*shape: int) -> np.ndarray:
    """Return distinct numbers, none near another, in random order."""
    count = int(np.prod(shape))
    return np.asarray((np.random.default_rng(2).permutation(count).reshape(shape) - count / 2 + 0.25) / max(count, 1))
