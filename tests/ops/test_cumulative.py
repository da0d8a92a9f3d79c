from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

import tinygrad_seq as ts
from tests.grad_of import grad_of
from tests.ops.agreement import check_close, gradient, gradient_of
from tests.ops.checks import check_gradients, values
from tinygrad_seq.autograd.tensor import Tensor
from tinygrad_seq.errors import ArgumentError, IndexRangeError
from tinygrad_seq.ops import cumulative


def flattened(accumulate):
    return lambda x, axis: accumulate(x.ravel(), 0) if axis is None else accumulate(x, axis)


ROWS: dict[str, Any] = {
    "cumsum": (cumulative.cumsum, np.cumsum),
    "cumprod": (cumulative.cumprod, np.cumprod),
    "cummax": (cumulative.cummax, flattened(np.maximum.accumulate)),
    "cummin": (cumulative.cummin, flattened(np.minimum.accumulate)),
}
rows = pytest.mark.parametrize("name", ROWS)


@rows
@pytest.mark.parametrize("axis", [None, 0, 1, 2, -1])
def test_forward_agrees_with_numpy(name, axis):
    op, reference = ROWS[name]
    check_close(lambda x: op(x, axis), lambda x: reference(x, axis), values(2, 3, 4))


@rows
@pytest.mark.parametrize("axis", [None, 0, 1, -1])
@pytest.mark.parametrize("shape", [(2, 5, 3), (4, 1, 2)])
def test_gradients(name, axis, shape):
    check_gradients(lambda x: ROWS[name][0](x, axis), values(*shape) * 1.5)


@rows
@given(shape=hnp.array_shapes(min_dims=1, max_dims=3, min_side=0, max_side=9), data=st.data())
def test_any_shape(name, shape, data):
    axis = data.draw(st.integers(-len(shape), len(shape) - 1))
    op, reference = ROWS[name]
    x = Tensor(values(*shape), requires_grad=True)
    y = op(x, axis)
    np.testing.assert_allclose(y.numpy(), reference(x.numpy(), axis), rtol=1e-12)
    y.sum().backward()
    if x.size and name == "cumsum":
        count = np.arange(shape[axis], 0, -1.0)
        np.testing.assert_array_equal(
            np.moveaxis(gradient_of(x), axis, -1), np.broadcast_to(count, np.moveaxis(x.numpy(), axis, -1).shape)
        )
    assert gradient_of(x).shape == shape


@rows
def test_zero_dimensional_is_flattened(name):
    np.testing.assert_array_equal(ROWS[name][0](Tensor(np.array(2.0))).numpy(), [2.0])
    check_gradients(ROWS[name][0], np.array(0.8))


@rows
@pytest.mark.parametrize("dtype", [np.int32, np.int64, np.bool_])
def test_dtypes_of_integers_are_numpys(name, dtype):
    x = np.array([[1, 0, 1], [0, 1, 1]], dtype)
    result, expected = ROWS[name][0](Tensor(x), 1), ROWS[name][1](x, 1)
    assert result.dtype == expected.dtype
    np.testing.assert_array_equal(result.numpy(), expected)


@rows
def test_refuses_a_wrong_axis(name):
    with pytest.raises(IndexRangeError, match=f"{name}: expected an axis"):
        ROWS[name][0](Tensor(np.ones((2, 3))), 2)
    with pytest.raises(ArgumentError, match="integer axis"):
        ROWS[name][0](Tensor(np.ones((2, 3))), (0, 1))


@pytest.mark.parametrize("count", [1, 2, 3, 5, 8])
@pytest.mark.parametrize("zeros", [(), (0,), (2,), (1, 3)])
def test_cumprod_is_exact_at_zeros(count, zeros):
    x = np.arange(1.0, count + 1) / 2
    x[[zero for zero in zeros if zero < count]] = 0

    def slope(i, end):
        return np.prod(np.delete(x[:end], i)) if i < end else 0.0

    expected = [sum(slope(i, end) for end in range(1, count + 1)) for i in range(count)]
    np.testing.assert_allclose(gradient(lambda x: cumulative.cumprod(x).sum(), x), expected, rtol=1e-14)
    check_gradients(cumulative.cumprod, x)


def test_running_extremes_credit_the_first_of_equals():
    x = [1.0, 3.0, 3.0, 2.0, 4.0]
    np.testing.assert_array_equal(gradient(lambda x: cumulative.cummax(x).sum(), x), [1, 3, 0, 0, 1])
    np.testing.assert_array_equal(gradient(lambda x: cumulative.cummin(x).sum(), x), [5, 0, 0, 0, 0])


def test_running_extremes_keep_nan():
    x = np.array([1.0, np.nan, 3.0])
    np.testing.assert_array_equal(cumulative.cummax(x), [1.0, np.nan, np.nan])


@pytest.mark.parametrize("n", [0, 1, 2, 3])
@pytest.mark.parametrize("axis", [0, 1, -1])
def test_diff(n, axis):
    check_close(lambda x: cumulative.diff(x, n, axis), lambda x: np.diff(x, n, axis), values(4, 5, 3))
    check_gradients(lambda x: cumulative.diff(x, n, axis), values(4, 5, 3))


def test_diff_longer_than_the_axis_is_empty():
    assert cumulative.diff(Tensor(np.ones((2, 3))), 5).shape == (2, 0)


@pytest.mark.parametrize("n", [-1, 1.0, True, None])
def test_diff_refuses_other_counts(n):
    with pytest.raises(ArgumentError, match=r"diff: expected an integer n >= 0.*pass"):
        cumulative.diff(Tensor(np.ones(3)), n)


@pytest.mark.parametrize("op", [ts.cummax, ts.cummin])
def test_running_extremes_of_an_input_in_a_compiled_scan(op) -> None:
    x = ts.tensor(np.array([[1.0, 3.0, 2.0], [4.0, 0.0, 4.0]]), requires_grad=True)
    gradients = []
    for compiled in (True, False):
        x.grad = None
        last, _ = ts.scan(lambda h, x: (h + op(x, axis=0), None), ts.zeros(3, dtype="float64"), x, compile=compiled)
        (last * np.array([1.0, 2.0, 4.0])).sum().backward()
        gradients.append(grad_of(x).numpy())
    np.testing.assert_array_equal(gradients[0], gradients[1])
