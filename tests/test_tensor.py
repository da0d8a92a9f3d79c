"""The Tensor: facts, conversions, Python's protocols, refusals."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import tinygrad_seq as ts
from tests.grad_of import grad_of
from tinygrad_seq.errors import ArgumentError, DtypeError, GraphError, ShapeError


def leaf(values) -> ts.Tensor:
    return ts.tensor(np.asarray(values, np.float64), requires_grad=True)


def test_facts():
    x = ts.zeros((2, 3))
    assert (x.shape, x.ndim, x.size, x.dtype, len(x)) == ((2, 3), 2, 6, np.dtype("float32"), 2)
    assert x.is_leaf
    assert not x.requires_grad


def test_scalars():
    x = ts.tensor([[2.5]])
    assert (x.item(), float(x), int(x), bool(x)) == (2.5, 2.5, 2, True)
    assert [10, 20, 30][ts.tensor(2)] == 30
    assert f"{ts.tensor(0.5):.2f}" == "0.50"
    assert x.tolist() == [[2.5]]
    for convert in (float, int, bool, lambda x: x.item()):
        with pytest.raises(ShapeError, match="one element"):
            convert(ts.zeros(2))
    for wrong in (ts.tensor(1.0), ts.tensor([1])):
        with pytest.raises(DtypeError, match="index"):
            [1, 2][wrong]


def test_iteration_records():
    x = leaf([[1.0, 2.0], [3.0, 4.0]])
    first, second = x
    ts.sum(first * second).backward()
    np.testing.assert_array_equal(grad_of(x).numpy(), [[3.0, 4.0], [1.0, 2.0]])
    assert 3.0 in ts.tensor([1.0, 3.0])
    assert 3.0 in ts.tensor([[1.0, 3.0]])
    assert 2.0 not in ts.tensor([1.0, 3.0])
    for ask in (iter, len):
        with pytest.raises(TypeError, match="at least one axis"):
            ask(ts.tensor(1.0))


def test_hashed_by_identity_though_equality_is_elementwise():
    x, y = leaf([1.0]), leaf([1.0])
    assert len({x, y}) == 2
    assert (x == y).numpy().all()
    assert {x: "x", y: "y"}[y] == "y"


def test_repr():
    assert repr(ts.tensor([1.0, 2.0])) == "tensor([1., 2.])"
    assert repr(ts.tensor([1, 2])) == "tensor([1, 2])"
    assert repr(leaf([1.0])) == "tensor([1.], dtype=float64, requires_grad=True)"
    assert repr(leaf([1.0]) * 2.0) == "tensor([2.], dtype=float64, from 'multiply')"
    first, _ = leaf([[1.0], [2.0]])
    assert "from 'unstack'" in repr(first)


def test_requires_grad():
    x = ts.zeros(2).requires_grad_()
    y = x * 2.0
    with pytest.raises(GraphError, match="detach"):
        y.requires_grad = False
    x.requires_grad_(False)
    assert not (x * 2.0).requires_grad
    with pytest.raises(DtypeError, match="int64"):
        ts.arange(3).requires_grad_()


def test_detach_cuts_the_graph():
    x = leaf([1.0, 2.0])
    y = x * x
    ts.sum(y.detach() * x).backward()
    np.testing.assert_array_equal(grad_of(x).numpy(), [1.0, 4.0])


def test_0d_results_are_tensors_of_arrays():
    x = leaf(2.0)
    for y in (x * x, ts.exp(x), -x, ts.sum(leaf([1.0, 2.0])), leaf([1.0, 2.0])[0]):
        assert type(y._array) is np.ndarray
        assert y.shape == ()


def test_copy_and_assignment():
    x = ts.zeros((2, 2))
    assert x.copy_(3.0) is x
    x[0] = ts.tensor([1.0, 2.0])
    x[ts.tensor([1]), ts.tensor([0])] = 7.0
    x[ts.tensor([[False, False], [False, True]])] = 8.0
    assert x.tolist() == [[1.0, 2.0], [7.0, 8.0]]
    with pytest.raises(ShapeError, match="copy_"):
        x.copy_(np.ones(3))


def test_subclass_behaves_as_a_tensor():
    class Named(ts.Tensor):
        pass

    x = Named(np.array([1.0, 2.0]), requires_grad=True)
    ts.sum(ts.exp(x) * x).backward()
    np.testing.assert_allclose(grad_of(x).numpy(), np.exp([1.0, 2.0]) * np.array([2.0, 3.0]))
    assert type(x * 2.0) is ts.Tensor


def test_strided_reversed_and_read_only_arrays():
    base = np.arange(12.0).reshape(3, 4)
    base.flags.writeable = False
    for array in (base, base.T, base[::-1, ::2], np.broadcast_to(np.arange(3.0), (2, 3)), np.zeros((0, 3))):
        x = ts.asarray(array).requires_grad_()
        assert ts.gradcheck(lambda x: ts.tanh(x) * x, [x])


def test_the_constructor_copies_and_converts_as_tensor_does():
    source = np.array([1.0, 2.0])
    x = ts.Tensor(source, requires_grad=True)
    y = ts.sum(x * x)
    source[:] = 50.0
    y.backward()
    np.testing.assert_array_equal(grad_of(x).numpy(), [2.0, 4.0])
    assert ts.Tensor([1.0, 2.0]).dtype == ts.float32
    assert ts.Tensor([1, 2], "float64").tolist() == [1.0, 2.0]
    wrong: list[Any] = ["abc", None, np.ones(2, np.float16), [1j]]
    for refused in wrong:
        with pytest.raises(DtypeError, match="tensor: expected"):
            ts.Tensor(refused)


def test_a_list_of_tensors_keeps_their_gradient_or_is_refused():
    x = leaf([1.0, 2.0])
    assert ts.grad(lambda x: ts.mean([x[0] * x[0], x[1]]))(x).tolist() == [1.0, 0.5]
    assert ts.concat([[1.0], [2.0, 3.0]]).tolist() == [1.0, 2.0, 3.0]
    with pytest.raises(GraphError, match=r"ts\.stack"):
        ts.tensor([x[0], x[1]])


def test_lists_of_python_numbers_do_not_change_the_dtype():
    x = ts.tensor([1.0, 2.0])
    assert (x * [0.5, 0.5]).dtype == ts.where(x > 1, x, [3.0, 4.0]).dtype == ts.float32


@pytest.mark.parametrize("call", [lambda x: ts.exp(x, x), lambda x: x.exp(x), lambda x: ts.exp(x, out=x.data)])  # type: ignore[call-arg]
def test_an_operand_too_many_is_refused_before_it_is_overwritten(call):
    x = leaf([1.0, 2.0])
    with pytest.raises(ArgumentError, match="exp: expected 1 operand"):
        call(x)
    assert x.tolist() == [1.0, 2.0]


@pytest.mark.parametrize("other", [300, np.longdouble(2), np.ones(2, np.longdouble), 1j, "a"])
def test_operands_of_other_dtypes_are_refused(other):
    with pytest.raises(DtypeError, match="multiply: expected"):
        ts.tensor(np.array([1, 2], np.int8)) * other


def test_methods_under_the_names_of_numpy_and_pytorch():
    x = leaf([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]])
    assert x.expand(2, -1, 3).shape == x.expand((2, 2, 3)).shape == (2, 2, 3)
    assert x.to("float32").dtype == x.float().dtype == ts.float32
    assert x.long().dtype == ts.int64
    assert x.gt(3).tolist() == (x > 3).tolist()
    for name in ("subtract", "multiply", "divide", "power", "hypot", "logaddexp", "arctan2", "tensordot"):
        np.testing.assert_array_equal(getattr(x, name)(x).numpy(), getattr(ts, name)(x, x).numpy())
    assert issubclass(ts.GradientError, AssertionError)


def test_grad_takes_what_is_like_the_tensor() -> None:
    x = leaf([1.0, 2.0])
    array = np.array([3.0, 4.0])
    x.grad = array
    array[0] = 0.0
    assert isinstance(x.grad, ts.Tensor)
    np.testing.assert_array_equal(x.grad.numpy(), [3.0, 4.0])
    x.grad = [5.0, 6.0]
    np.testing.assert_array_equal(grad_of(x).numpy(), [5.0, 6.0])
    x.grad = None
    (x * x).sum().backward()
    np.testing.assert_array_equal(grad_of(x).numpy(), [2.0, 4.0])


@pytest.mark.parametrize(
    ("grad", "error"),
    [
        (np.ones(3), ShapeError),
        (np.ones((2, 1)), ShapeError),
        (ts.ones(3, "float64"), ShapeError),
        (1.0, ShapeError),
        (np.ones(2, np.float32), DtypeError),
        (ts.ones(2), DtypeError),
        ("none", DtypeError),
    ],
)
def test_a_grad_unlike_the_tensor_is_refused_at_once(grad, error) -> None:
    x = leaf([1.0, 2.0])
    with pytest.raises(error, match=r"^Tensor\.grad: expected"):
        x.grad = grad
    assert x.grad is None


def test_an_assignment_that_would_drop_a_gradient_says_what_keeps_it() -> None:
    x, value = ts.zeros(3, "float64"), leaf([5.0])
    with pytest.raises(GraphError, match=r"^x\[\.\.\.\] = value: .*ts\.where, ts\.index_add or ts\.concat"):
        x[1:2] = value
    ts.index_add(x, 0, [1], value).sum().backward()  # what it says works
    np.testing.assert_array_equal(grad_of(value).numpy(), [1.0])
    with ts.no_grad():
        x[1:2] = value
    np.testing.assert_array_equal(x.numpy(), [0.0, 5.0, 0.0])
