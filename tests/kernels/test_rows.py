"""Kernels of rows against NumPy in float64: within a few ulp, nan and infinity as in NumPy's passes."""

from __future__ import annotations

import numpy as np
import pytest
from numba import config

from tinygrad_seq.kernels import rowwise

DTYPES = [np.float32, np.float64]
SHAPES = [(0, 5), (3, 0), (4, 1), (3, 7), (2, 32), (5, 100), (2, 1000)] + ([] if config.DISABLE_JIT else [(2, 40_000)])
every_dtype = pytest.mark.parametrize("dtype", DTYPES)
every_shape = pytest.mark.parametrize("shape", SHAPES)
ULP = 4.0


def softmax(x):
    e = np.exp(x - x.max(-1, keepdims=True, initial=-np.inf))
    return e / e.sum(-1, keepdims=True)


def log_softmax(x):
    shifted = x - x.max(-1, keepdims=True, initial=-np.inf)
    with np.errstate(divide="ignore"):
        return shifted - np.log(np.exp(shifted).sum(-1, keepdims=True))


def standardise(x, centre, eps=1e-5):
    y = x - x.mean(-1, keepdims=True) if centre else x
    scale = 1 / np.sqrt((y * y).mean(-1, keepdims=True) + eps)
    return y * scale, scale[:, 0]


def assert_close(result, exact, size=1.0):
    """`size` is that of the terms that were added up, where it is larger than the result."""
    slack = ULP * np.finfo(result.dtype).eps * np.maximum(np.abs(exact), size)
    assert (np.abs(result - exact) <= slack).all(), (np.abs(result - exact) / slack).max() * ULP


def draw(rng, shape, dtype, *, count=1, spread=3.0):
    arrays = [(spread * rng.standard_normal(shape)).astype(dtype) for _ in range(count)]
    return (*arrays, *[array.astype(np.float64) for array in arrays])


@every_dtype
@every_shape
def test_softmax(rng, shape, dtype):
    x, exact_x = draw(rng, shape, dtype)
    y = np.empty_like(x)
    rowwise.softmax(x, y)
    far = 1 + exact_x.max(-1, keepdims=True, initial=0) - exact_x  # the distance is rounded before it is exponentiated
    assert_close(y, softmax(exact_x), far * softmax(exact_x))
    rowwise.log_softmax(x, y)
    assert_close(y, log_softmax(exact_x))


@every_dtype
@every_shape
def test_adjoints_of_softmax(rng, shape, dtype):
    x, g, _, exact_g = draw(rng, shape, dtype, count=2)
    y, out = softmax(x), np.empty_like(x)
    exact_y = y.astype(np.float64)
    rowwise.softmax_adjoint(g, y, out)
    assert_close(out, exact_y * (exact_g - (exact_g * exact_y).sum(-1, keepdims=True)), 10 * exact_y)
    y = np.log(y)
    exact_y = y.astype(np.float64)
    rowwise.log_softmax_adjoint(g, y, out)
    spread = np.exp(exact_y)
    size = 1 + spread * np.abs(exact_g).sum(-1, keepdims=True)
    assert_close(out, exact_g - spread * exact_g.sum(-1, keepdims=True), size)


@every_dtype
@pytest.mark.parametrize("shape", [shape for shape in SHAPES if shape[1]])
def test_cross_entropy(rng, shape, dtype):
    x, exact_x = draw(rng, shape, dtype)
    classes = rng.integers(0, shape[1], shape[0])
    g = rng.standard_normal(shape[0]).astype(dtype)
    losses, out = np.empty_like(g), np.empty_like(x)
    rowwise.nll_of_logits(x, classes, losses)
    assert_close(losses, -log_softmax(exact_x)[np.arange(shape[0]), classes])
    rowwise.nll_of_logits_adjoint(g, x, classes, out)
    expected = softmax(exact_x)
    expected[np.arange(shape[0]), classes] -= 1
    assert_close(out, g[:, None].astype(np.float64) * expected)


@every_dtype
@pytest.mark.parametrize("centre", [True, False])
@every_shape
def test_standardise(rng, shape, dtype, centre):
    x, g, exact_x, exact_g = draw(rng, shape, dtype, count=2, spread=1.0)
    y, scale, out = np.empty_like(x), np.empty(shape[0], dtype), np.empty_like(x)
    rowwise.standardise(x, y, scale, 1e-5, centre)
    if shape[1]:
        expected, expected_scale = standardise(exact_x, centre)
        assert_close(y, expected)
        assert_close(scale, expected_scale, 0)
    along = rng.standard_normal(shape[0]).astype(dtype)
    rowwise.standardise_adjoint(g, y, scale, along, out, centre)
    exact_y, column = y.astype(np.float64), (slice(None), None)
    slope = (exact_g * exact_y).sum(-1) / max(shape[1], 1) + along
    expected = exact_g - exact_y * slope[column]
    if centre and shape[1]:
        expected -= exact_g.mean(-1, keepdims=True)
    assert_close(out, scale[column] * expected, 10 * np.max(np.abs(scale), initial=0))


@every_dtype
def test_rows_of_infinity_and_nan_do_not_touch_others(dtype):
    inf, nan = np.inf, np.nan
    x = np.array([[0, -inf, 0], [nan, 0, 0], [inf, 0, 0], [-inf, -inf, -inf], [1e30, -1e30, 0]], dtype)
    y = np.empty_like(x)
    rowwise.softmax(x, y)
    np.testing.assert_array_equal(y, [[0.5, 0, 0.5], [nan] * 3, [nan] * 3, [nan] * 3, [1, 0, 0]])
    rowwise.log_softmax(x, y)
    assert_close(y[0, ::2], np.full(2, -np.log(2.0)))
    np.testing.assert_array_equal(y[1:4], np.full((3, 3), nan))
    assert y[0, 1] == -inf
    losses, classes = np.empty(5, dtype), np.array([1, 1, 1, 1, 0])
    rowwise.nll_of_logits(x, classes, losses)
    np.testing.assert_array_equal(losses, [inf, nan, inf, nan, 0])
    rowwise.nll_of_logits_adjoint(np.ones(5, dtype), x, classes, y)
    np.testing.assert_array_equal(y, [[0.5, -1, 0.5], [nan] * 3, [nan, -1, 0], [nan] * 3, [0, 0, 0]])
    scale = np.empty(5, dtype)
    rowwise.standardise(x, y, scale, 1e-5, True)
    assert np.isnan(y[:4]).all()
    assert_close(y[4], standardise(x[4:].astype(np.float64), True)[0][0])


@every_dtype
def test_each_row_is_its_own(rng, dtype):
    """A row alone and among others gives the same bits."""
    x, _ = draw(rng, (9, 100), dtype)
    together, alone = np.empty_like(x), np.empty_like(x)
    for kernel in (rowwise.softmax, rowwise.log_softmax):
        kernel(x, together)
        for n in range(9):
            kernel(x[n : n + 1], alone[n : n + 1])
        np.testing.assert_array_equal(together, alone)
