"""Agreement with NumPy up to rounding, for operations that add in an order of their own."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from tests.ops.checks import layouts
from tinygrad_seq.autograd.tensor import Tensor, wrap
from tinygrad_seq.autograd.transforms.gradients import grad
from tinygrad_seq.ops.primitive import Array

ROUNDING: dict[Any, float] = {np.dtype(np.float32): 2e-5, np.dtype(np.float64): 1e-12}


def check_close(op: Callable[..., Any], reference: Callable[..., Any], *arrays: np.ndarray) -> None:
    """Compare `op` with NumPy's float64 result, in every layout, in float32 and float64, which must be kept."""
    for dtype, rounding in ROUNDING.items():
        cast = [array.astype(dtype) for array in arrays]
        expected = np.asarray(reference(*[array.astype(np.float64) for array in cast]))
        for views in zip(*map(layouts, cast), strict=True):
            result = op(*map(wrap, views))
            assert result.dtype == dtype
            assert result.shape == expected.shape
            np.testing.assert_allclose(result.numpy(), expected, rtol=rounding, atol=rounding)
            plain = op(*views)
            assert plain.dtype == dtype
            np.testing.assert_array_equal(plain, result.numpy())
        for given, before in zip(cast, arrays, strict=True):
            np.testing.assert_array_equal(given, before.astype(dtype))  # operands are never written to


def gradient_of(leaf: Tensor) -> np.ndarray:
    """Return what backward passes have added up in `leaf`, which has the shape and dtype of the leaf."""
    assert leaf.grad is not None
    assert (leaf.grad.shape, leaf.grad.dtype) == (leaf.shape, leaf.dtype)
    return leaf.grad.numpy()


def gradient(op: Callable[[Array], Array], x: Any, order: int = 1) -> np.ndarray:
    """Return the gradient of ``op(x)``, a scalar; of order 2, that of the gradient's sum."""
    if order == 2:
        return grad(lambda x: grad(op)(x).sum())(Tensor(np.asarray(x, float))).numpy()
    return grad(op)(Tensor(np.asarray(x, float))).numpy()


def check_third_order(op: Callable[[Array], Array], x: np.ndarray) -> None:
    """Compare the third derivative of ``sum(op(x)**2)`` along a random direction with differences of the second."""
    direction = np.random.default_rng(4).normal(size=x.shape)

    def first(x: Array) -> Array:
        return (grad(lambda x: (op(x) * op(x)).sum())(x) * direction).sum()

    def second(x: Array) -> Array:
        return (grad(first)(x) * direction).sum()

    third = (grad(second)(Tensor(x)).numpy() * direction).sum()
    ahead, behind = (second(Tensor(x + step * direction)).item() for step in (1e-5, -1e-5))
    np.testing.assert_allclose(third, (ahead - behind) / 2e-5, rtol=1e-5, atol=1e-6)
