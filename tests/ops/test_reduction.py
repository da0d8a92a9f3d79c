from __future__ import annotations

import itertools
import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

import tinygrad_seq as ts
from tests.grad_of import grad_of
from tests.ops.agreement import check_close, check_third_order, gradient, gradient_of
from tests.ops.checks import check_gradients, values
from tinygrad_seq.autograd.tensor import Tensor
from tinygrad_seq.errors import ArgumentError, IndexRangeError, ShapeError, TinygradSeqError
from tinygrad_seq.ops import extrema, reduction


def flat_norm(x, ord, axis, keepdims):
    """NumPy's vector norm over several axes, which it has no function for."""
    axes = tuple(range(x.ndim)) if axis is None else (axis,) if isinstance(axis, int) else axis
    axes = tuple(a % x.ndim for a in axes)
    rest = [a for a in range(x.ndim) if a not in axes]
    flat = x.transpose([*rest, *axes]).reshape([x.shape[a] for a in rest] + [-1])
    y = np.linalg.norm(flat, ord, -1)
    return y.reshape([1 if a in axes else n for a, n in enumerate(x.shape)]) if keepdims else y


def naive_logsumexp(x, axis, keepdims):
    return np.log(np.sum(np.exp(x), axis, keepdims=keepdims))


# operation, what NumPy makes of it: both take (x, axis, keepdims)
ROWS: dict[str, Any] = {
    "sum": (reduction.sum, lambda x, a, k: np.sum(x, a, keepdims=k)),
    "mean": (reduction.mean, lambda x, a, k: np.mean(x, a, keepdims=k)),
    "prod": (reduction.prod, lambda x, a, k: np.prod(x, a, keepdims=k)),
    "var": (lambda x, a, k: reduction.var(x, a, keepdims=k), lambda x, a, k: np.var(x, a, keepdims=k)),
    "var unbiased": (lambda x, a, k: reduction.var(x, a, 1, k), lambda x, a, k: np.var(x, a, ddof=1, keepdims=k)),
    "std": (lambda x, a, k: reduction.std(x, a, keepdims=k), lambda x, a, k: np.std(x, a, keepdims=k)),
    "std unbiased": (lambda x, a, k: reduction.std(x, a, 1, k), lambda x, a, k: np.std(x, a, ddof=1, keepdims=k)),
    "logsumexp": (reduction.logsumexp, naive_logsumexp),
    "norm 2": (lambda x, a, k: reduction.norm(x, 2, a, k), lambda x, a, k: flat_norm(x, 2, a, k)),
    "norm 1": (lambda x, a, k: reduction.norm(x, 1, a, k), lambda x, a, k: flat_norm(x, 1, a, k)),
    "norm inf": (lambda x, a, k: reduction.norm(x, math.inf, a, k), lambda x, a, k: flat_norm(x, math.inf, a, k)),
    "norm -inf": (lambda x, a, k: reduction.norm(x, -math.inf, a, k), lambda x, a, k: flat_norm(x, -math.inf, a, k)),
    "norm 3": (lambda x, a, k: reduction.norm(x, 3, a, k), lambda x, a, k: flat_norm(x, 3, a, k)),
    "norm 2.5": (lambda x, a, k: reduction.norm(x, 2.5, a, k), lambda x, a, k: flat_norm(x, 2.5, a, k)),
    "max": (extrema.max, lambda x, a, k: np.max(x, a, keepdims=k)),
    "min": (extrema.min, lambda x, a, k: np.min(x, a, keepdims=k)),
}
DECISIONS: dict[str, Any] = {
    "any": (extrema.any, np.any),
    "all": (extrema.all, np.all),
    "count_nonzero": (extrema.count_nonzero, np.count_nonzero),
}
AXES = [None, 0, 1, -1, (0,), (0, 2), (2, 0), (-1, 1), (0, 1, 2)]
rows = pytest.mark.parametrize("name", ROWS)


@rows
@pytest.mark.parametrize("axis", AXES)
@pytest.mark.parametrize("keepdims", [False, True])
def test_forward_agrees_with_numpy(name, axis, keepdims):
    op, reference = ROWS[name]
    check_close(lambda x: op(x, axis, keepdims), lambda x: reference(x, axis, keepdims), values(2, 3, 4))


@rows
@pytest.mark.parametrize(("axis", "keepdims"), [(None, False), (1, False), (-1, True), ((2, 0), False), ((0, 1), True)])
def test_gradients(name, axis, keepdims):
    check_gradients(lambda x: ROWS[name][0](x, axis, keepdims), values(2, 3, 2) * 1.5)


@rows
@given(shape=hnp.array_shapes(min_dims=1, max_dims=4, min_side=1, max_side=4), data=st.data())
def test_any_shape_and_axes(name, shape, data):
    axes = data.draw(st.none() | st.sets(st.integers(-len(shape), len(shape) - 1)).map(tuple))
    if axes is not None and len({axis % len(shape) for axis in axes}) < len(axes):
        axes = tuple({axis % len(shape) for axis in axes})
    count = math.prod(shape[axis] for axis in (range(len(shape)) if axes is None else axes))
    op, reference = ROWS[name]
    x, keepdims = values(*shape), data.draw(st.booleans())
    if "unbiased" in name and count <= 1:
        assert np.isnan(op(x, axes, keepdims)).all()
    elif axes == () and "norm" in name:
        np.testing.assert_allclose(op(x, axes, keepdims), np.abs(x), rtol=1e-12)
    else:
        np.testing.assert_allclose(op(x, axes, keepdims), reference(x, axes, keepdims), rtol=1e-9, atol=1e-12)


@rows
def test_zero_dimensional(name):
    x = np.array(0.7)
    result = ROWS[name][0](Tensor(x), None, False)
    assert result.shape == ()
    expected = {"var": 0.0, "std": 0.0, "var unbiased": math.nan, "std unbiased": math.nan}.get(name, 0.7)
    np.testing.assert_allclose(result.numpy(), expected, rtol=1e-15)
    if not name.endswith("unbiased"):
        check_gradients(lambda x: ROWS[name][0](x, None, False), x)


@rows
@pytest.mark.parametrize("axis", [(0, 0), (1, -1)])
def test_refuses_an_axis_twice(name, axis):
    with pytest.raises(ArgumentError, match=r"each axis once.*drop"):
        ROWS[name][0](Tensor(np.ones((2, 3))), axis, False)


@rows
def test_refuses_axes_that_are_not_there(name):
    op = ROWS[name][0]
    with pytest.raises(IndexRangeError, match=r"-2 to 1.*got axis 2"):
        op(Tensor(np.ones((2, 3))), 2, False)
    with pytest.raises(IndexRangeError, match="0-d"):
        op(Tensor(np.array(1.0)), 0, False)
    for wrong in (1.0, "0", True, (0, None)):
        with pytest.raises(ArgumentError, match="integer axis"):
            op(Tensor(np.ones((2, 3))), wrong, False)


# -------------------------------------------------------------------------------------------------- empty arrays


@pytest.mark.parametrize(
    ("op", "identity"),
    [
        (reduction.sum, 0),
        (reduction.prod, 1),
        (reduction.mean, math.nan),
        (reduction.var, math.nan),
        (reduction.logsumexp, -math.inf),
    ],
)
def test_empty_reductions_give_the_identity(op, identity):
    x = Tensor(np.zeros((0, 3), np.float32), requires_grad=True)
    y = op(x, 0)
    assert y.dtype == np.float32
    np.testing.assert_array_equal(y.numpy(), [identity] * 3)
    y.sum().backward()
    assert gradient_of(x).shape == (0, 3)
    assert op(x, 1).shape == (0,)


@pytest.mark.parametrize("op", [extrema.max, extrema.min, extrema.argmax, extrema.argmin])
def test_no_choice_from_nothing(op):
    for shape, axis in [((0,), None), ((0, 3), 0), ((2, 0), -1)]:
        with pytest.raises(ShapeError, match=rf"{op.__name__}: expected at least one element.*skip"):
            op(Tensor(np.zeros(shape)), axis)
    assert op(Tensor(np.zeros((0, 3))), 1).shape == (0,)


# -------------------------------------------------------------------------------------------- integers, booleans


@pytest.mark.parametrize("dtype", [np.int32, np.int64, np.bool_, np.uint8])
def test_dtypes_of_integers_are_numpys(dtype):
    x = np.array([[1, 0, 1], [1, 1, 1]], dtype)
    pairs: list[Any] = [
        (reduction.sum, np.sum),
        (reduction.prod, np.prod),
        (reduction.mean, np.mean),
        (extrema.max, np.max),
        (extrema.min, np.min),
    ]
    for ours, numpys in pairs:
        result, expected = ours(Tensor(x), 1), numpys(x, 1)
        assert result.dtype == (np.float32 if expected.dtype.kind == "f" else expected.dtype)
        np.testing.assert_array_equal(result.numpy(), expected.astype(result.dtype))


@pytest.mark.parametrize("name", DECISIONS)
@pytest.mark.parametrize("axis", AXES)
@pytest.mark.parametrize("keepdims", [False, True])
def test_decisions(name, axis, keepdims, rng):
    ours, numpys = DECISIONS[name]
    for x in (rng.integers(0, 2, (2, 3, 4)), rng.normal(size=(2, 3, 4)), np.zeros((0, 3, 4)), np.ones((2, 3, 4), bool)):
        result = ours(Tensor(x), axis, keepdims)
        assert result.dtype == (np.int64 if name == "count_nonzero" else np.bool_)
        assert not result.requires_grad
        np.testing.assert_array_equal(result.numpy(), numpys(x, axis=axis, keepdims=keepdims))


@pytest.mark.parametrize(("ours", "numpys"), [(extrema.argmax, np.argmax), (extrema.argmin, np.argmin)])
@pytest.mark.parametrize(("axis", "keepdims"), [*itertools.product([None, 0, 1, -1], [False, True])])
def test_index_of_extreme(ours, numpys, axis, keepdims, rng):
    for x in (
        rng.normal(size=(2, 3, 4)),
        rng.integers(0, 2, (2, 3, 4)),
        np.array(3.0) if axis is None else np.ones((2, 3)),
    ):
        result = ours(Tensor(x, requires_grad=x.dtype.kind == "f"), axis, keepdims)
        assert result.dtype == np.int64
        assert not result.requires_grad
        np.testing.assert_array_equal(result.numpy(), numpys(x, axis, keepdims=keepdims))


def test_index_of_extreme_takes_one_axis():
    with pytest.raises(ArgumentError, match="argmax: expected an integer axis"):
        extrema.argmax(Tensor(np.ones((2, 3))), (0, 1))  # type: ignore[arg-type]


# ------------------------------------------------------------------------------------------- ends of the range


@pytest.mark.parametrize("zeros", [(), (1,), (1, 4), (0, 2, 4)])
@pytest.mark.parametrize("count", [1, 2, 3, 5, 8])
def test_prod_is_exact_at_zeros(count, zeros):
    x = np.arange(1.0, count + 1) / 2
    x[[zero for zero in zeros if zero < count]] = 0
    others = [math.prod(np.delete(x, i)) for i in range(count)]
    np.testing.assert_allclose(gradient(reduction.prod, x), others, rtol=1e-14)
    pairs = [sum(math.prod(np.delete(x, [i, j])) for j in range(count) if j != i) for i in range(count)]
    np.testing.assert_allclose(gradient(reduction.prod, x, order=2), pairs, rtol=1e-14)


def test_prod_over_several_axes_at_zeros():
    x = values(3, 2, 5)
    x[0, 1, 2] = x[2, 0, 2] = x[1, 1, 0] = 0
    check_gradients(lambda x: reduction.prod(x, (2, 0)), x)
    check_gradients(lambda x: reduction.prod(x, 1, keepdims=True), x)


def test_third_order():
    x = np.array([0.5, 0.0, -1.2, 0.0, 0.0])
    for op in (reduction.prod, reduction.logsumexp, reduction.var):
        check_third_order(op, x)
    check_third_order(reduction.std, values(5))
    check_third_order(lambda x: reduction.norm(x, 4), values(5))


@pytest.mark.parametrize("op", [extrema.max, extrema.min])
def test_ties_share_the_gradient(op):
    x = np.array([[1.0, 1.0, 2.0], [2.0, 1.0, 2.0]])
    chosen = x == (2 if op is extrema.max else 1)
    np.testing.assert_allclose(gradient(op, x), chosen / 3)
    np.testing.assert_allclose(gradient(lambda x: op(x, (0, 1)), x), chosen / 3)
    np.testing.assert_allclose(gradient(lambda x: op(x, 1).sum(), x), chosen / chosen.sum(1, keepdims=True))


def test_logsumexp_of_infinities():
    inf = math.inf
    x = np.array([[-inf, -inf, -inf], [-inf, 0.0, 0.0], [1000.0, inf, -inf], [inf, inf, 1.0], [1e4, 1e4, -1e4]])
    y = reduction.logsumexp(Tensor(x), 1).numpy()
    np.testing.assert_allclose(y, [-inf, math.log(2), inf, inf, 1e4 + math.log(2)])
    weights = np.array([[0, 0, 0], [0, 0.5, 0.5], [0, 1, 0], [0.5, 0.5, 0], [0.5, 0.5, 0]])
    np.testing.assert_allclose(gradient(lambda x: reduction.logsumexp(x, 1).sum(), x), weights, rtol=1e-9)
    assert np.isfinite(gradient(lambda x: reduction.logsumexp(x, 1).sum(), x, order=2)).all()
    assert np.isnan(reduction.logsumexp(np.array([math.nan, 1.0])))


def test_variance_of_one_element_or_equal_elements():
    np.testing.assert_array_equal(gradient(reduction.var, [2.0]), [0.0])
    for x in ([2.0], [3.0, 3.0, 3.0]):
        np.testing.assert_array_equal(gradient(reduction.std, x), np.zeros(len(x)))
        assert np.isfinite(gradient(reduction.std, x, order=2)).all()


def test_variance_far_from_zero():
    x = np.array([1e6, 1e6 + 1, 1e6 + 2], np.float32)
    np.testing.assert_allclose(reduction.var(x), 2 / 3, rtol=1e-6)


@pytest.mark.parametrize("ord", [1, 2, 3, 1.5, math.inf])
def test_norm_at_zero(ord):
    np.testing.assert_array_equal(gradient(lambda x: reduction.norm(x, ord), np.zeros((2, 2))), np.zeros((2, 2)))
    y = reduction.norm(Tensor(np.array([[0.0, 0.0], [3.0, 4.0]]), requires_grad=True), ord, axis=1)
    assert y.numpy()[0] == 0


def test_norm_of_high_order_does_not_overflow():
    np.testing.assert_allclose(reduction.norm(np.array([1e30, 1e30], np.float32), 4), 2**0.25 * 1e30, rtol=1e-6)


@pytest.mark.parametrize("ord", [0, 0.5, -1, math.nan, "fro", None])
def test_norm_refuses_other_orders(ord):
    with pytest.raises(ArgumentError, match=r"norm: expected an order.*pass"):
        reduction.norm(Tensor(np.ones(3)), ord)


def test_errors_are_ours():
    with pytest.raises(TinygradSeqError):
        reduction.sum(Tensor(np.ones(3)), 5)


@pytest.mark.parametrize("dtype", [np.float32, np.float64], ids=["float32", "float64"])
@pytest.mark.parametrize("size", [1e-30, 1e-23, 1e-10, 1.0, 1e15, 1e20, 1e30])
@pytest.mark.parametrize("compiled", [False, True], ids=["eager", "compiled"])
def test_norms_of_any_size(size, compiled, dtype) -> None:
    """Squares of float32 overflow from 1e19 on, and underflow below 1e-19."""
    x = ts.tensor(np.array([[3.0, 4.0], [0.0, 0.0], [1.0, 0.0]]).astype(dtype) * dtype(size), requires_grad=True)

    def step(carry, _):
        return (carry[0] * 1, ts.norm(carry[0], axis=1)), None

    (_, y), _ = ts.scan(step, (x, ts.zeros(3, dtype=dtype)), ts.zeros((1, 3), dtype=dtype), compile=compiled)
    y.sum().backward()
    np.testing.assert_allclose(y.numpy(), np.array([5, 0, 1]) * size, rtol=1e-6)
    np.testing.assert_allclose(grad_of(x).numpy(), [[0.6, 0.8], [0.0, 0.0], [1.0, 0.0]], rtol=1e-6)
