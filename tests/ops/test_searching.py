"""Where values are and which there are; scatter, running logarithms of sums, signs and closeness, against NumPy."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import tinygrad_seq as ts
from tests.grad_of import grad_of
from tests.ops.checks import check_forward, check_gradients, values
from tinygrad_seq.errors import ArgumentError, DtypeError, IndexRangeError, ShapeError

X = np.array([[3.0, 0.0, 2.5], [0.0, 3.0, -1.0]])
INF, NAN = np.inf, np.nan


def test_nonzero():
    x = ts.tensor(X)
    for found, expected in zip(ts.nonzero(x, as_tuple=True), np.nonzero(X), strict=True):
        np.testing.assert_array_equal(found.numpy(), expected)
    np.testing.assert_array_equal(ts.argwhere(x).numpy(), np.argwhere(X))
    np.testing.assert_array_equal(ts.nonzero(x, as_tuple=False).numpy(), np.argwhere(X))
    for number in (0.0, 2.0):
        assert ts.argwhere(number).shape == np.argwhere(number).shape
    with pytest.raises(ShapeError, match="nonzero: expected one or more axes"):
        ts.nonzero(1.0, as_tuple=True)


def test_distinct_values():
    x = ts.tensor([[2.0, NAN, 2.0], [-1.0, NAN, 0.0]])
    found = ts.unique_all(x)
    np.testing.assert_array_equal(found.values.numpy(), [-1.0, 0.0, 2.0, NAN, NAN])
    np.testing.assert_array_equal(found.values.numpy(), x.numpy().ravel()[found.indices.numpy()])
    np.testing.assert_array_equal(found.values.numpy()[found.inverse_indices.numpy()], x.numpy())
    assert found.counts.tolist() == [1, 1, 2, 1, 1]
    check_gradients(ts.unique_values, values(5))
    leaf = ts.tensor([3.0, 1.0, 3.0], requires_grad=True)
    assert ts.grad(lambda x: (ts.unique_values(x) * ts.tensor([1.0, 10.0])).sum())(leaf).tolist() == [10.0, 1.0, 0.0]


@pytest.mark.parametrize("side", ["left", "right"])
def test_searchsorted(side):
    edges, x = np.array([-1.0, 0.0, 0.0, 2.0, NAN]), np.array([[-5.0, -1.0, 0.0], [INF, NAN, 2.0]])
    expected = np.searchsorted(edges, x, side)
    np.testing.assert_array_equal(ts.searchsorted(edges, x, side=side).numpy(), expected)
    order = np.array([4, 2, 0, 1, 3])
    shuffled = np.empty(5)
    shuffled[order] = edges
    np.testing.assert_array_equal(ts.searchsorted(shuffled, x, side=side, sorter=order).numpy(), expected)
    assert ts.searchsorted(ts.tensor([0.1, 0.2]), [0.1], side=side).tolist() == [side == "right"]


def test_isin():
    x = ts.tensor([0.1, 0.5, 2.0])
    assert ts.isin(x, [0.1, 2.0]).tolist() == [True, False, True]  # a list has the default dtype
    assert ts.isin(x, ts.tensor([[0.5]]), invert=True).tolist() == [True, False, True]


def scattered(x: np.ndarray, indices: np.ndarray, source: np.ndarray) -> np.ndarray:
    y = x.copy()
    np.put_along_axis(y, indices, source, 1)
    return y


def test_scatter():
    indices = np.array([[0, 2], [3, -1], [1, 1]])
    check_forward(
        lambda x, s: ts.scatter(x, 1, indices, s), lambda x, s: scattered(x, indices, s), values(3, 4), values(3, 2)
    )
    check_gradients(lambda x, s: ts.scatter(x, 1, indices, s), values(3, 4), values(3, 2))
    assert ts.scatter(ts.zeros((2, 3)), 1, [[2], [0]], 5).tolist() == [[0.0, 0.0, 5.0], [5.0, 0.0, 0.0]]
    x, source = ts.zeros(2, requires_grad=True), ts.tensor([3.0, 4.0], requires_grad=True)
    grads = ts.grad(lambda x, s: ts.scatter(x, 0, [1, 1], s).sum(), argnums=(0, 1))(x, source)
    assert [g.tolist() for g in grads] == [[1.0, 0.0], [0.0, 1.0]]  # the last one wins
    assert ts.scatter(ts.ones(2), 0, ts.zeros(0, "int64"), ts.zeros(0)).tolist() == [1.0, 1.0]
    with pytest.raises(IndexRangeError, match="scatter: "):
        ts.scatter(ts.zeros(2), 0, [2], [1.0])


@pytest.mark.parametrize("axis", [0, 1, None])
def test_logcumsumexp(axis):
    x = values(3, 4)
    with np.errstate(all="ignore"):
        expected = np.log(np.cumsum(np.exp(x), axis))
    np.testing.assert_allclose(ts.logcumsumexp(x, axis).numpy(), expected, rtol=1e-14)
    check_gradients(lambda x: ts.logcumsumexp(x, axis), x * 3)


def test_logcumsumexp_does_not_overflow():
    x = ts.tensor([-INF, -INF, 900.0, 1000.0, -1000.0], dtype="float64", requires_grad=True)
    y = ts.logcumsumexp(x)
    np.testing.assert_allclose(y.numpy(), [-INF, -INF, 900.0, 1000.0, 1000.0])
    found = ts.grad(lambda x: ts.logcumsumexp(x)[2:].sum())(x)
    np.testing.assert_allclose(found.numpy(), [0.0, 0.0, 1.0 + 2 * np.exp(-100), 2.0, 0.0], atol=1e-300)
    assert ts.logcumsumexp(ts.zeros(0)).shape == (0,)
    assert ts.logcumsumexp([1, 2]).dtype == ts.exp([1, 2]).dtype


def test_diff_with_ends():
    x = values(2, 3)
    expected = np.diff(x, 2, 1, prepend=0.5, append=x[:, :1])
    np.testing.assert_allclose(ts.diff(x, 2, 1, prepend=0.5, append=x[:, :1]).numpy(), expected)
    check_gradients(lambda x, y: ts.diff(x, prepend=y, append=1.0), x, values(2, 1))


def test_neighbours():
    a, b = np.array([1.0, -0.0, INF, 3.0]), np.array([2.0, -1.0, 0.0, 3.0])
    for dtype in (np.float32, np.float64):
        found = ts.nextafter(a.astype(dtype), b.astype(dtype))
        np.testing.assert_array_equal(found.numpy(), np.nextafter(a.astype(dtype), b.astype(dtype)))
    of_a, of_b = ts.grad(lambda a, b: ts.nextafter(a, b).sum(), argnums=(0, 1))(a, b)
    assert (of_a.tolist(), of_b.tolist()) == ([1.0] * 4, [0.0] * 4)


def test_closeness():
    a, b = np.array([1.0, 1.0, INF, INF, NAN, 0.0]), np.array([1.00001, 1.1, INF, -INF, NAN, 1e-9])
    for equal_nan in (False, True):
        with np.errstate(all="ignore"):
            expected = np.isclose(a, b, equal_nan=equal_nan)
        assert ts.isclose(a, b, equal_nan=equal_nan).tolist() == expected.tolist()
    assert ts.isclose(np.array([1, 3], np.uint8), np.array([2, 3], np.uint8), rtol=0, atol=1).tolist() == [True, True]
    assert ts.allclose(ts.ones(3), 1.0)
    assert not ts.allclose(ts.ones(3), [1.0, 1.0, 1.1])


def test_grids():
    x, y = values(3), values(2)
    for indexing in ("xy", "ij"):
        for found, expected in zip(
            ts.meshgrid(x, y, indexing=indexing), np.meshgrid(x, y, indexing=indexing), strict=True
        ):
            np.testing.assert_array_equal(found.numpy(), expected)
    check_gradients(lambda x, y: ts.meshgrid(x, y, indexing="xy"), x, y)
    check_gradients(ts.broadcast_arrays, values(2, 1), values(3))


def test_numbers_before_arrays_are_weak():
    small = ts.tensor([1, 2], dtype="int8")
    assert ts.add(1, small).dtype == ts.where(True, 1, small).dtype == np.int8
    assert ts.maximum(0.5, ts.ones(2, dtype="float64")).dtype == np.float64


CALLS: list[tuple[Any, type[Exception], str]] = [
    (lambda: ts.searchsorted(X, [1.0]), ShapeError, "searchsorted: expected a sorted array with one axis"),
    (lambda: ts.searchsorted([1.0], [1.0], side="top"), ArgumentError, "searchsorted: expected side"),
    (lambda: ts.searchsorted([1.0], [1.0], sorter=[0.0]), DtypeError, "searchsorted: expected integer indices"),
    (lambda: ts.scatter(X, 1, [[0], [1]], [[1.0, 2.0]]), ShapeError, "scatter: expected a source of the shape"),
    (lambda: ts.broadcast_arrays(X, [1.0, 2.0]), ShapeError, "broadcast_arrays: expected shapes that broadcast"),
    (lambda: ts.meshgrid(X, [1.0], indexing="ij"), ShapeError, "meshgrid: expected arrays with one axis"),
    (lambda: ts.repeat_interleave(X, [1, 2]), ArgumentError, "repeat_interleave: expected one count"),
    (lambda: ts.tensor([1.5]) << 1, DtypeError, "left_shift"),
]


@pytest.mark.parametrize(("call", "error", "text"), CALLS)
def test_refusals(call, error, text):
    with pytest.raises(error, match=text):
        call()


def test_compiled_as_step_by_step():
    def step(h, x):
        found = (
            ts.isin(h, [0.0, 1.0]),
            ts.searchsorted([0.0, 1.0, 2.0], h, side="right"),
            ts.isclose(h, x),
            ts.signbit(x),
        )
        h = ts.copysign(h + x, x) + sum([part.astype("float64") for part in found])
        return h, (ts.logcumsumexp(x * h, -1), ts.scatter(h, 0, ts.tensor([[1, 0], [0, 1]]), x[:2, :2]))

    init, xs, results = ts.zeros((3, 2), dtype="float64"), values(4, 3, 2) * 3, []
    for how in (True, False):
        leaf = ts.tensor(xs, requires_grad=True)
        last, (logs, written) = ts.scan(step, init, leaf, compile=how)
        (logs * values(4, 3, 2)).sum().backward()
        results.append([part.numpy() for part in (last, logs, written, grad_of(leaf))])
    for compiled, eager in zip(*results, strict=True):
        np.testing.assert_allclose(compiled, eager, rtol=1e-12)
