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
        np.median,
        lambda x: np.sum([x, x]),
        lambda x: np.sum(x, initial=1.0),
        lambda x: np.sum(x, where=np.array([True, False])),
        lambda x: np.sum(x, out=np.zeros(())),
        lambda x: np.dot(x, x, out=np.zeros(())),
        lambda x: np.round(x, 1),
        lambda x: np.linalg.norm(x[None], 2),
        lambda x: np.pad(x, 1, constant_values=(1, 2)),
        lambda x: np.ravel(x, "F"),
        lambda x: np.einsum(x, [0], [0]),
        lambda x: np.add.reduceat(x, [0]),
        lambda x: np.exp(x, dtype=np.float64),
        lambda x: np.add(np.ones(2), x, out=np.ones(2)),
        lambda x: np.heaviside(x, 0.5),
    ],
)
def test_what_would_drop_a_gradient_is_refused(call):
    x = leaf([1.0, 2.0])
    with pytest.raises(GraphError, match=r"np\.[\w.]+( with [\w ]+)?: expected .*requires grad"):
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


# Expressions of a float64 matrix `x`, an ndarray or a tensor, beside the ndarrays `A` and `B`.
WITH_GRADIENT = """
np.sum(x)
np.sum(x, 0)
np.sum(x, axis=(0, 1), keepdims=True)
np.sum(x, 1, np.float32)
np.mean(x, 1)
np.std(x, 0)
np.std(x, ddof=1)
np.var(x, 1, correction=1, keepdims=True)
np.max(x, 1)
np.amin(x)
np.prod(x, 0)
np.cumsum(x)
np.cumprod(x, 1)
np.diff(x, 2, 1)
np.diff(x, prepend=0.0)
np.concatenate([x, B.T])
np.concatenate((x, x), 1, dtype=np.float32)
np.concatenate([x, x], axis=None)
np.stack([x, x], -1)
np.vstack([x, x])
np.hstack([x, x])
np.split(x, 3)[1]
np.split(x, [1, 3], 1)[1]
np.where(A > 0, x, 0.0)
np.where(x > 0, x, x * 2)
np.dot(x, B)
np.dot(B, x)
np.inner(x, x)
np.outer(x[0], x[1])
np.kron(x[0], x[1])
np.tensordot(x, B, 1)
np.einsum("ij, jk->ik", x, B)
np.trace(x)
np.diagonal(x, 1)
np.tril(x)
np.triu(x, 1)
np.pad(x, ((1, 0), (0, 2)))
np.pad(x, 1, "constant", constant_values=3.0)
np.pad(x, 1, "edge")
np.reshape(x, (4, 3))
np.reshape(x, -1)
np.ravel(x)
np.transpose(x)
np.transpose(x, (1, 0))
np.matrix_transpose(x)
np.moveaxis(x, 0, 1)
np.swapaxes(x, 0, 1)
np.expand_dims(x, 0)
np.squeeze(x[None])
np.broadcast_to(x, (2, 3, 4))
np.broadcast_arrays(x, np.ones(4))[0]
np.flip(x)
np.flip(x, 1)
np.roll(x, 1)
np.roll(x, 1, 0)
np.repeat(x, 2)
np.repeat(x, 2, 1)
np.repeat(x, [1, 2, 0], axis=0)
np.tile(x, (2, 1))
np.take(x, [0, 1], 1)
np.take(x, 3)
np.take_along_axis(x, np.argsort(A, 1), 1)
np.clip(x, -0.5, 0.5)
np.clip(x, None, 0.5)
np.clip(x, min=-0.5)
np.copy(x)
np.sort(x)
np.sort(x, None)
np.sort(x, 0, kind="stable")
np.linalg.norm(x)
np.linalg.norm(x, axis=1)
np.linalg.norm(x, 1, axis=0)
np.linalg.norm(x[0], 3)
np.round(x) * x
np.around(x) * x
np.meshgrid(x[0], x[1])[0]
np.add.reduce(x)
np.add.reduce(x, 1, keepdims=True)
np.maximum.reduce(x)
np.maximum.reduce(x, axis=None)
np.multiply.accumulate(x)
np.logaddexp.reduce(x, axis=1)
np.logaddexp.accumulate(x, 1)
np.minimum.accumulate(x, 1)
np.multiply.outer(x, x[0])
np.subtract.outer(x[0], x)
x.T @ x
np.exp(x)
np.logaddexp(x, 1.0)
np.vecdot(x, x)
np.cumulative_sum(x, axis=1)
np.cumulative_prod(x[0], dtype=np.float32)
np.linalg.vector_norm(x, axis=0, ord=3)
np.linalg.vector_norm(x)
np.linalg.outer(x[0], x[1])
np.linalg.trace(x[None], offset=1)
np.linalg.diagonal(np.stack([x, x]))
np.linalg.tensordot(x, B, axes=1)
np.linalg.vecdot(x, x, axis=0)
np.linalg.matmul(x, B)
np.linalg.matrix_transpose(x)
np.unstack(x, axis=1)[2]
np.astype(x, np.float32)
np.unique_values(x)
np.unique_all(x).values
"""
WITHOUT_GRADIENT = """
np.argmax(x, 1)
np.any(x > 0, 0)
np.all(x > 0)
np.argsort(x)
np.argsort(x, None)
np.count_nonzero(x, 0)
np.isclose(x, A, 1e-3)
np.allclose(x, A)
np.shape(x)
np.size(x)
np.size(x, 0)
np.zeros_like(x)
np.nonzero(x)[0]
np.result_type(x)
np.array_equal(x, A)
np.isin(x, A)
np.logical_and.reduce(x > 0)
np.full_like(x, 2.0)
np.where(x > 0)[1]
"""
A, B = (np.random.default_rng(0).normal(size=shape) for shape in ((3, 4), (4, 3)))


def evaluate(expression: str, x):
    return eval(expression, {"np": np, "A": A, "B": B, "x": x})  # noqa: S307


@pytest.mark.parametrize("requires_grad", [True, False])
@pytest.mark.parametrize("expression", [*WITH_GRADIENT.strip().splitlines(), *WITHOUT_GRADIENT.strip().splitlines()])
def test_functions_are_numpys(expression, requires_grad):
    expected = evaluate(expression, A)
    found = evaluate(expression, ts.tensor(A, requires_grad=requires_grad))
    if isinstance(expected, np.dtype | tuple):
        assert found == expected
        return
    if f"{expression}\n" in WITH_GRADIENT:
        assert isinstance(found, ts.Tensor)
        assert found.requires_grad == requires_grad
    found = found.numpy() if isinstance(found, ts.Tensor) else np.asarray(found)
    assert (found.shape, found.dtype) == (np.shape(expected), np.asarray(expected).dtype)
    np.testing.assert_allclose(found, expected, rtol=1e-6 if found.dtype == np.float32 else 1e-13)


@pytest.mark.parametrize("expression", [line for line in WITH_GRADIENT.strip().splitlines() if "float32" not in line])
def test_gradients_of_functions(expression):
    assert ts.gradcheck(lambda x: evaluate(expression, x), [ts.tensor(A, requires_grad=True)])


def test_errors_name_the_function_that_was_called():
    x = leaf([[1.0, 2.0]])
    with pytest.raises(ts.ShapeError, match=r"np.concatenate: expected equal shapes"):
        np.concatenate([x, np.ones((1, 3))], axis=0)
    with pytest.raises(ts.ArgumentError, match=r"np.sum: expected an integer axis"):
        np.sum(x, axis="rows")  # type: ignore[arg-type]


def test_functions_in_a_compiled_scan():
    weight = ts.ones((5, 2))

    def step(h, x):
        h = np.tanh(np.dot(np.concatenate([h, x], axis=-1), weight))
        return h, np.sum(np.where(h > 0, h, 0.0), axis=-1)

    xs = ts.randn(4, 3, 3)
    runs = [ts.scan(step, ts.zeros((3, 2)), xs, compile=how)[1] for how in (True, False)]
    np.testing.assert_allclose(runs[0].numpy(), runs[1].numpy(), rtol=1e-5)
