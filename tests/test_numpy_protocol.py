"""NumPy functions on tensors: recorded where there is a rule, refused where a gradient would be dropped."""

from __future__ import annotations

import operator

import numpy as np
import pytest

import tinygrad_seq as ts
from tests.grad_of import grad_of
from tinygrad_seq.errors import GraphError


def leaf(values) -> ts.Tensor:
    return ts.tensor(np.asarray(values, np.float64), requires_grad=True)


@pytest.mark.parametrize("ufunc", [np.exp, np.tanh, np.sqrt, np.square, np.negative, np.log, np.absolute, np.sin])
def test_unary_ufuncs_record(ufunc):
    x = leaf([0.5, 2.0])
    y = ufunc(x)
    assert isinstance(y, ts.Tensor)
    np.testing.assert_allclose(y.numpy(), ufunc(x.numpy()))
    assert ts.gradcheck(ufunc, [x])


@pytest.mark.parametrize(
    "op",
    [
        operator.add, operator.sub, operator.mul, operator.truediv, operator.pow, operator.matmul, operator.lt,
        operator.le, operator.gt, operator.ge, operator.eq, operator.ne,
    ],
)  # fmt: skip
@pytest.mark.parametrize("left_is_array", [True, False])
def test_operators_between_arrays_and_tensors(op, left_is_array):
    array, x = np.array([[1.0, 2.0], [3.0, 4.0]]), leaf([[1.0, 3.0], [2.0, 4.5]])
    y = op(array, x) if left_is_array else op(x, array)
    expected = op(array, x.numpy()) if left_is_array else op(x.numpy(), array)
    assert isinstance(y, ts.Tensor)
    np.testing.assert_allclose(y.numpy(), expected)
    assert y.requires_grad == (expected.dtype.kind == "f")


def test_numpy_scalars_on_the_left():
    x = leaf([1.0, 2.0])
    y = np.float64(3.0) * x + np.int64(1)
    assert isinstance(y, ts.Tensor)
    ts.sum(y).backward()
    np.testing.assert_array_equal(grad_of(x).numpy(), [3.0, 3.0])


@pytest.mark.parametrize(
    "call",
    [
        np.asarray,
        np.array,
        np.sum,
        np.mean,
        lambda x: np.where(x.numpy() > 0, x, 0.0),
        lambda x: np.concatenate([x, x]),
        np.add.reduce,
        lambda x: np.add(np.ones(2), x, out=np.ones(2)),
        lambda x: np.heaviside(x, 0.5),
    ],
)
def test_what_would_drop_a_gradient_is_refused(call):
    x = leaf([1.0, 2.0])
    with pytest.raises(GraphError, match=r"np\.\w+: expected .*requires grad"):
        call(x)
    call(x.detach())


def test_numpy_functions_on_tensors_without_gradient():
    x = ts.tensor([[1.0, 2.0], [3.0, 4.0]])
    assert np.sum(x) == 10.0
    assert np.mean(x, axis=0).tolist() == [2.0, 3.0]
    assert np.concatenate([x, x]).shape == (4, 2)
    assert np.asarray(x).dtype == np.float32
    assert np.asarray(x, dtype=np.float64).dtype == np.float64
    assert np.array_equal(np.array(x), x.numpy())
    np.testing.assert_allclose(x, [[1.0, 2.0], [3.0, 4.0]])
    copied = np.array(x)
    copied[...] = 0
    assert x.numpy()[0, 0] == 1.0
