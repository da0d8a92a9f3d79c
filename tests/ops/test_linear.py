from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numba import config

import tinygrad_seq as ts
from tests.grad_of import grad_of
from tests.ops.agreement import check_close, gradient_of
from tests.ops.checks import check_gradients, values
from tinygrad_seq.autograd.tensor import Tensor
from tinygrad_seq.errors import ArgumentError, IndexRangeError, ShapeError
from tinygrad_seq.ops import linear
from tinygrad_seq.ops.einsum import einsum

# operation, NumPy's, shapes of the operands
ROWS: dict[str, Any] = {
    "inner 1-d": (linear.inner, np.inner, (4,), (4,)),
    "inner": (linear.inner, np.inner, (2, 3, 4), (5, 4)),
    "inner 0-d": (linear.inner, np.inner, (), (2, 3)),
    "outer": (linear.outer, np.outer, (3,), (4,)),
    "outer of matrices": (linear.outer, np.outer, (2, 3), (2, 2)),
    "kron 1-d": (linear.kron, np.kron, (3,), (2,)),
    "kron": (linear.kron, np.kron, (2, 3), (4, 2)),
    "kron of different ranks": (linear.kron, np.kron, (3,), (2, 2, 2)),
    "vecdot": (linear.vecdot, np.vecdot, (2, 1, 4), (3, 4)),
    "vecdot axis": (lambda a, b: linear.vecdot(a, b, 0), lambda a, b: (a * b).sum(0), (4, 2), (4, 2)),
    "dot 1-d": (linear.dot, np.dot, (4,), (4,)),
    "dot 2-d": (linear.dot, np.dot, (2, 4), (4, 3)),
    "dot of stacks": (linear.dot, np.dot, (2, 5, 4), (3, 4, 2)),
    "dot 0-d": (linear.dot, np.dot, (2, 4), ()),
    "tensordot 2": (linear.tensordot, np.tensordot, (2, 3, 4), (3, 4, 5)),
    "tensordot 1": (lambda a, b: linear.tensordot(a, b, 1), lambda a, b: np.tensordot(a, b, 1), (2, 3), (3, 4)),
    "tensordot 0": (lambda a, b: linear.tensordot(a, b, 0), lambda a, b: np.tensordot(a, b, 0), (2, 3), (2,)),
    "tensordot pairs": (
        lambda a, b: linear.tensordot(a, b, ((2, 0), (-1, 1))),
        lambda a, b: np.tensordot(a, b, ((2, 0), (-1, 1))),
        (2, 3, 4),
        (5, 2, 4),
    ),
    "tensordot one pair": (
        lambda a, b: linear.tensordot(a, b, (0, 1)),
        lambda a, b: np.tensordot(a, b, (0, 1)),
        (3, 2),
        (4, 3),
    ),
    "trace": (linear.trace, np.trace, (3, 4)),
    "trace of a stack": (lambda x: linear.trace(x, 1, 2, 0), lambda x: np.trace(x, 1, 2, 0), (3, 2, 4)),
    "trace below": (lambda x: linear.trace(x, -1), lambda x: np.trace(x, -1), (3, 3, 2)),
    "linear": (linear.linear, lambda x, w: x @ w.T, (3, 4), (2, 4)),
    "linear 1-d": (linear.linear, lambda x, w, b: x @ w.T + b, (4,), (2, 4), (2,)),
    "linear 2-d": (linear.linear, lambda x, w, b: x @ w.T + b, (3, 4), (2, 4), (2,)),
    "linear 4-d": (linear.linear, lambda x, w, b: x @ w.T + b, (2, 3, 1, 4), (5, 4), (5,)),
    "linear of no rows": (linear.linear, lambda x, w, b: x @ w.T + b, (2, 0, 4), (5, 4), (5,)),
    "linear of no features": (linear.linear, lambda x, w, b: x @ w.T + b, (2, 3, 0), (5, 0), (5,)),
}
MATMULS = [
    ((4,), (4,)),
    ((4,), (4, 3)),
    ((2, 4), (4,)),
    ((2, 4), (4, 3)),
    ((4,), (5, 4, 3)),
    ((5, 2, 4), (4,)),
    ((5, 2, 4), (4, 3)),
    ((6, 5, 2, 4), (4, 3)),
    ((2, 4), (5, 4, 3)),
    ((5, 2, 4), (5, 4, 3)),
    ((6, 1, 2, 4), (5, 4, 3)),
    ((1, 2, 4), (5, 4, 3)),
    ((0, 4), (4, 3)),
    ((2, 0), (0, 3)),
    ((2, 3, 0), (0, 3)),
    ((3, 0, 4), (4, 2)),
    ((0,), (0,)),
]


@pytest.mark.parametrize("name", ROWS)
def test_agrees_with_numpy(name):
    op, reference, *shapes = ROWS[name]
    check_close(op, reference, *[values(*shape) for shape in shapes])


@pytest.mark.parametrize("name", ROWS)
def test_gradients(name):
    op, _, *shapes = ROWS[name]
    check_gradients(op, *[values(*shape) for shape in shapes])


@pytest.mark.parametrize("shapes", MATMULS, ids=str)
def test_matmul(shapes):
    operands = [values(*shape) for shape in shapes]
    check_close(linear.matmul, np.matmul, *operands)
    check_gradients(linear.matmul, *operands)


@given(shapes=hnp.mutually_broadcastable_shapes(signature=np.matmul.signature, max_dims=3, max_side=4))
def test_matmul_of_any_shapes(shapes):
    a, b = (values(*shape) for shape in shapes.input_shapes)
    np.testing.assert_allclose(linear.matmul(Tensor(a), Tensor(b)).numpy(), np.matmul(a, b), rtol=1e-9, atol=1e-12)
    x, y = Tensor(a, requires_grad=True), Tensor(b, requires_grad=True)
    linear.matmul(x, y).sum().backward()
    assert gradient_of(x).shape == a.shape
    assert gradient_of(y).shape == b.shape


def test_matmul_of_integers_and_booleans():
    a, b = np.arange(6).reshape(2, 3), np.arange(12).reshape(3, 4) % 2 == 0
    np.testing.assert_array_equal(linear.matmul(Tensor(a), Tensor(b)).numpy(), a @ b)
    np.testing.assert_array_equal(linear.matmul(Tensor(b.T), Tensor(b)).numpy(), b.T @ b)


@pytest.mark.parametrize(
    "shapes", [((2, 3), (2, 3)), ((3,), (4,)), ((2, 2, 3), (3, 3, 2)), ((), (2,)), ((2,), ())], ids=str
)
def test_matmul_refuses(shapes):
    with pytest.raises(ShapeError, match="matmul"):
        linear.matmul(*[Tensor(np.ones(shape)) for shape in shapes])


def test_matmul_refuses_a_number():
    with pytest.raises(ShapeError, match="matmul"):
        linear.matmul(Tensor(np.ones((2, 2))), 2.0)


def test_linear_mixes_dtypes_as_numpy():
    x, weight, bias = np.ones((2, 3), np.float32), np.ones((4, 3), np.float32), np.ones(4)
    assert linear.linear(Tensor(x), Tensor(weight), Tensor(bias)).dtype == np.float64


@given(lead=hnp.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=3), sizes=st.tuples(*[st.integers(0, 4)] * 2))
def test_linear_of_any_shape(lead, sizes):
    features, outputs = sizes
    x, weight, bias = (
        Tensor(values(*shape), requires_grad=True) for shape in ((*lead, features), (outputs, features), (outputs,))
    )
    y = linear.linear(x, weight, bias)
    np.testing.assert_allclose(y.numpy(), x.numpy() @ weight.numpy().T + bias.numpy(), rtol=1e-9, atol=1e-12)
    y.sum().backward()
    np.testing.assert_array_equal(gradient_of(bias), np.full(outputs, np.prod(lead)))


@pytest.mark.parametrize(
    "shapes",
    [((2, 3), (4, 2)), ((), (4, 3)), ((2, 3), (3,)), ((2, 3), (4, 3), (3,)), ((2, 3), (4, 3), (1, 4))],
    ids=str,
)
def test_linear_refuses(shapes):
    with pytest.raises(ShapeError, match=r"linear: expected .*got .*float64.*;"):
        linear.linear(*[Tensor(np.ones(shape)) for shape in shapes])


@pytest.mark.parametrize("product", ["inner", "outer", "dot", "vecdot", "kron"])
def test_other_products_take_lists(product):
    x = Tensor(np.arange(6.0).reshape(2, 3), requires_grad=True)
    y = getattr(linear, product)(x, [1.0, 2.0, 4.0])
    assert y.requires_grad
    np.testing.assert_array_equal(y.numpy(), getattr(np, product)(x.numpy(), [1.0, 2.0, 4.0]))


def test_layers_take_lists():
    x = Tensor(np.arange(3.0))
    np.testing.assert_array_equal(linear.linear(x, [[1.0, 2.0, 4.0]], [5.0]).numpy(), [15])
    np.testing.assert_array_equal(linear.tensordot(x, [1.0, 2.0, 4.0], 1).numpy(), 10)
    np.testing.assert_array_equal(einsum("i,i", x, [1.0, 2.0, 4.0]).numpy(), 10)


def test_other_products_refuse():
    a, b = Tensor(np.ones((2, 3))), Tensor(np.ones((4, 5)))
    for call, kind in [
        (lambda: linear.inner(a, b), ShapeError),
        (lambda: linear.dot(a, b), ShapeError),
        (lambda: linear.vecdot(a, b), ShapeError),
        (lambda: linear.vecdot(a, a, 2), IndexRangeError),
        (lambda: linear.tensordot(a, b, 1), ShapeError),
        (lambda: linear.tensordot(a, b, 3), IndexRangeError),
        (lambda: linear.tensordot(a, b, (0, 1, 2)), ArgumentError),  # type: ignore[arg-type]
        (lambda: linear.tensordot(a, b, ((0, 1), (0,))), ArgumentError),
        (lambda: linear.tensordot(a, b, ((0, 0), (0, 1))), ArgumentError),
        (lambda: linear.trace(Tensor(np.ones(3))), IndexRangeError),
        (lambda: linear.trace(a, 0, 1, 1), ArgumentError),
    ]:
        with pytest.raises(kind, match="expected"):
            call()


@pytest.mark.skipif(bool(config.DISABLE_JIT), reason="without the compiler products are NumPy's")
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_large_products_have_the_same_bits_on_any_number_of_threads(dtype, monkeypatch):
    monkeypatch.setattr("tinygrad_seq.ops.linear.LARGE", 1000)
    monkeypatch.setattr("tinygrad_seq.kernels.pool.SECONDS_PER_THREAD", 1e-9)
    rng = np.random.default_rng(0)
    arrays = [rng.standard_normal(shape).astype(dtype) for shape in ((3, 40, 65), (130, 65), (130,))]
    found, before = [], ts.get_num_threads()
    for threads in (1, 2, 5):
        ts.set_num_threads(threads)
        x, weight, bias = (ts.tensor(array, requires_grad=True) for array in arrays)
        y = ts.linear(x, weight, bias)
        y.sum().backward()
        product = (x.detach() @ weight.detach().mT).numpy()
        found.append([array.tobytes() for array in (y.numpy(), product, grad_of(x).numpy(), grad_of(weight).numpy())])
        np.testing.assert_allclose(y.numpy(), arrays[0] @ arrays[1].T + arrays[2], rtol=1e-3, atol=1e-4)
    ts.set_num_threads(before)
    assert found[0] == found[1] == found[2]


def test_large_products_are_those_of_numpy(rng):
    """From a certain size on they run in the kernels of the package."""
    x, w = (rng.standard_normal(shape).astype("f4") for shape in ((700, 128), (300, 128)))
    found = ts.linear(ts.tensor(x), ts.tensor(w), ts.zeros(300)).numpy()
    np.testing.assert_allclose(found, x @ w.T, atol=1e-4)
    np.testing.assert_allclose((ts.tensor(x) @ ts.tensor(w).T).numpy(), x @ w.T, atol=1e-4)
