from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from tests.grad_of import grad_of
from tests.ops.agreement import check_close, check_third_order, gradient, gradient_of
from tests.ops.checks import check_gradients, values
from tinygrad_seq.autograd.tensor import Tensor
from tinygrad_seq.base.settings import manual_seed
from tinygrad_seq.errors import ArgumentError, DtypeError, IndexRangeError, ShapeError
from tinygrad_seq.ops import normalisation as norms


def softmax(x, axis=-1):
    return np.exp(x) / np.exp(x).sum(axis, keepdims=True)


def layer_norm(x, weight=1.0, bias=0.0, count=1, eps=1e-5):
    axes = tuple(range(x.ndim - count, x.ndim))
    return (x - x.mean(axes, keepdims=True)) / np.sqrt(x.var(axes, keepdims=True) + eps) * weight + bias


def rms_norm(x, weight=1.0, eps=1e-5):
    return x / np.sqrt((x * x).mean(-1, keepdims=True) + eps) * weight


def glu(x, axis=-1):
    a, b = np.split(x, 2, axis)
    return a / (1 + np.exp(-b))


# operation, what NumPy makes of it, shapes of the operands
ROWS: dict[str, Any] = {
    "softmax": (norms.softmax, softmax, (3, 4)),
    "softmax axis": (lambda x: norms.softmax(x, 0), lambda x: softmax(x, 0), (3, 4, 2)),
    "softmax of one": (norms.softmax, softmax, (3, 1)),
    "softmax of none": (norms.softmax, softmax, (3, 0)),
    "log_softmax": (norms.log_softmax, lambda x: np.log(softmax(x)), (3, 4)),
    "log_softmax axis": (lambda x: norms.log_softmax(x, -2), lambda x: np.log(softmax(x, -2)), (2, 3, 4)),
    "glu": (norms.glu, glu, (3, 4)),
    "glu axis": (lambda x: norms.glu(x, 1), lambda x: glu(x, 1), (3, 6, 2)),
    "layer_norm": (lambda x: norms.layer_norm(x, 5), layer_norm, (3, 5)),
    "layer_norm weight": (lambda x, w: norms.layer_norm(x, (5,), w), layer_norm, (3, 5), (5,)),
    "layer_norm affine": (lambda x, w, b: norms.layer_norm(x, [5], w, b), layer_norm, (2, 3, 5), (5,), (5,)),
    "layer_norm bias": (
        lambda x, b: norms.layer_norm(x, 5, bias=b), lambda x, b: layer_norm(x, bias=b), (2, 3, 5), (5,)
    ),
    "layer_norm two axes": (
        lambda x, w: norms.layer_norm(x, (3, 4), w, eps=0.1),
        lambda x, w: layer_norm(x, w, count=2, eps=0.1),
        (2, 3, 4),
        (3, 4),
    ),
    "layer_norm of no rows": (lambda x: norms.layer_norm(x, 5), layer_norm, (0, 5)),
    "rms_norm": (lambda x: norms.rms_norm(x, 5, eps=1e-5), rms_norm, (3, 5)),
    "rms_norm weight": (lambda x, w: norms.rms_norm(x, 5, w, eps=1e-5), rms_norm, (2, 3, 5), (5,)),
}  # fmt: skip


@pytest.mark.parametrize("name", ROWS)
def test_agrees_with_numpy(name):
    op, reference, *shapes = ROWS[name]
    check_close(op, reference, *[values(*shape) for shape in shapes])


@pytest.mark.parametrize("name", ROWS)
def test_gradients(name):
    op, _, *shapes = ROWS[name]
    check_gradients(op, *[values(*shape) for shape in shapes])


@given(shape=hnp.array_shapes(min_dims=1, max_dims=4, min_side=1, max_side=4), data=st.data())
def test_softmax_of_any_shape(shape, data):
    axis = data.draw(st.integers(-len(shape), len(shape) - 1))
    x = values(*shape) * 10
    np.testing.assert_allclose(norms.softmax(x, axis), softmax(x, axis), rtol=1e-12)
    np.testing.assert_allclose(norms.log_softmax(x, axis), np.log(softmax(x, axis)), rtol=1e-9, atol=1e-12)


def test_softmax_at_the_ends_of_the_range():
    inf = math.inf
    x = np.array([[1e4, 1e4, -1e4], [0, -inf, 0], [-inf, -inf, -inf], [inf, 0, 0]])
    y = norms.softmax(Tensor(x)).numpy()
    np.testing.assert_allclose(y[:2], [[0.5, 0.5, 0], [0.5, 0, 0.5]])
    assert np.isnan(y[2]).all()
    assert np.isnan(y[3]).any()
    logs = norms.log_softmax(Tensor(x)).numpy()
    np.testing.assert_allclose(
        logs[:2], [[-math.log(2), -math.log(2), -2e4 - math.log(2)], [-math.log(2), -inf, -math.log(2)]]
    )
    assert np.isnan(logs[2]).all()
    masked = gradient(lambda x: (norms.softmax(x) * np.array([1.0, 2.0, 3.0])).sum(), x[1])
    np.testing.assert_allclose(masked, [-0.5, 0, 0.5])


ROW_WISE = {
    "softmax": norms.softmax,
    "log_softmax": norms.log_softmax,
    "layer_norm": lambda x: norms.layer_norm(x, x.shape[-1:]),
    "rms_norm": lambda x: norms.rms_norm(x, x.shape[-1:]),
}


@pytest.mark.parametrize("name", ROW_WISE)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_memory_of_any_layout_gives_the_same_bits(name, dtype):
    """What a kernel cannot read as it is (strides, read-only memory) is copied, operands and cotangents alike."""
    x, g = values(2, 3, 5).astype(dtype), np.cos(values(2, 3, 5)).astype(dtype)

    def run(x, g):
        leaf = Tensor(x, requires_grad=True)
        y = ROW_WISE[name](leaf)
        y.backward(Tensor(g))
        return y.numpy(), grad_of(leaf).numpy()

    expected = run(x, g)
    assert [array.dtype for array in expected] == [dtype, dtype]
    strided, locked = (np.asfortranarray(array) for array in (x, g)), (x.copy(), g.copy())
    for array in locked:
        array.flags.writeable = False
    for layout in (tuple(strided), locked):
        for result, wanted in zip(run(*layout), expected, strict=True):
            np.testing.assert_array_equal(result, wanted)


@pytest.mark.parametrize("axis", [0, 1])
@pytest.mark.parametrize("function", [norms.softmax, norms.log_softmax])
def test_softmax_to_third_order(function, axis):
    """Along the last axis by a kernel, along another by NumPy."""
    check_third_order(lambda x: function(x, axis), 3 * values(3, 4))


def test_integers_become_floats():
    assert norms.softmax(Tensor(np.arange(3))).dtype == np.float32


@pytest.mark.parametrize("op", [norms.softmax, norms.log_softmax, norms.glu])
def test_refuses_axes(op):
    with pytest.raises(ShapeError, match="at least one axis"):
        op(Tensor(np.array(1.0)))
    with pytest.raises(IndexRangeError, match=op.__name__):
        op(Tensor(np.ones((2, 2))), 2)
    with pytest.raises(ArgumentError, match="integer axis"):
        op(Tensor(np.ones((2, 2))), None)


def test_glu_refuses_an_odd_axis():
    with pytest.raises(ShapeError, match=r"glu: expected an axis of even size.*got size 3"):
        norms.glu(Tensor(np.ones((2, 3))))


# ------------------------------------------------------------------------------------------------- normalisation


def test_normalisation_of_equal_features():
    x = np.full((2, 3), 5.0)
    np.testing.assert_array_equal(norms.layer_norm(Tensor(x), 3).numpy(), np.zeros((2, 3)))
    np.testing.assert_array_equal(norms.rms_norm(Tensor(np.zeros((2, 3))), 3).numpy(), np.zeros((2, 3)))
    assert np.isfinite(gradient(lambda x: norms.layer_norm(x, 3).sum(), x)).all()


@pytest.mark.parametrize("op", [norms.layer_norm, norms.rms_norm])
def test_normalisation_to_third_order(op):
    weight = values(3)
    check_third_order(lambda x: op(x, 3, Tensor(weight), eps=0.1), values(2, 3))


def test_layer_norm_far_from_zero():
    x = np.array([1e5, 1e5 + 1, 1e5 + 2], np.float32)
    np.testing.assert_allclose(norms.layer_norm(x, 3), layer_norm(x.astype(float)), rtol=1e-4, atol=1e-6)


def test_rms_norm_takes_the_epsilon_of_the_dtype():
    for dtype in (np.float32, np.float64):
        x = np.full(2, 1e-4, dtype)
        np.testing.assert_allclose(norms.rms_norm(x, 2), rms_norm(x.astype(float), eps=np.finfo(dtype).eps), rtol=1e-5)


@pytest.mark.parametrize("op", [norms.layer_norm, norms.rms_norm])
def test_normalisation_refuses(op):
    x = Tensor(np.ones((2, 3)))
    for shape in (2, (3, 2), (1, 2, 3), ()):
        with pytest.raises(ShapeError, match=r"expected an array whose last axes are.*got shape \(2, 3\)"):
            op(x, shape)
    with pytest.raises(ShapeError, match="expected weight of shape"):
        op(x, 3, Tensor(np.ones(2)))
    with pytest.raises(ArgumentError, match="normalized_shape"):
        op(x, 3.0)
    with pytest.raises(DtypeError, match="floating-point"):
        op(Tensor(np.ones((2, 3), int)), 3)


# ------------------------------------------------------------------------------------------------------- dropout


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("p", [0.1, 0.5, 0.9])
def test_dropout_scales_what_it_keeps(p, dtype):
    x = Tensor(np.full((100, 100), 3.0, dtype), requires_grad=True)
    y = norms.dropout(x, p)
    assert y.dtype == dtype
    kept = y.numpy() != 0
    np.testing.assert_allclose(y.numpy(), np.where(kept, 3 / (1 - p), 0), rtol=1e-6)
    assert abs(kept.mean() - (1 - p)) < 5 * math.sqrt(p * (1 - p) / kept.size)
    y.sum().backward()
    np.testing.assert_allclose(gradient_of(x), np.where(kept, 1 / (1 - p), 0), rtol=1e-6)


def test_dropout_gradients():
    check_gradients(lambda x: norms.dropout(x * x, 0.5, generator=np.random.default_rng(3)), values(3, 4))


def test_dropout_draws_from_the_seeded_generator():
    x = Tensor(np.ones(50))
    manual_seed(7)
    first, second = norms.dropout(x), norms.dropout(x)
    manual_seed(7)
    np.testing.assert_array_equal(norms.dropout(x).numpy(), first.numpy())
    assert (first.numpy() != second.numpy()).any()
    given = [norms.dropout(x, generator=np.random.default_rng(1)).numpy() for _ in range(2)]
    np.testing.assert_array_equal(*given)
    np.testing.assert_array_equal(norms.dropout(x).numpy(), second.numpy())  # a given generator leaves the other alone


def test_dropout_that_does_nothing_returns_its_input():
    x = Tensor(np.ones(3))
    assert norms.dropout(x, 0.5, training=False) is x
    assert norms.dropout(x, 0.0) is x


def test_dropout_of_all():
    x = Tensor(np.ones(3), requires_grad=True)
    y = norms.dropout(x, 1.0)
    y.sum().backward()
    np.testing.assert_array_equal(y.numpy(), np.zeros(3))
    np.testing.assert_array_equal(gradient_of(x), np.zeros(3))


@pytest.mark.parametrize("shape", [(), (0, 3)])
def test_dropout_of_odd_shapes(shape):
    assert norms.dropout(Tensor(np.ones(shape))).shape == shape


@pytest.mark.parametrize("p", [-0.1, 1.1, math.nan])
def test_dropout_refuses_other_probabilities(p):
    with pytest.raises(ArgumentError, match=r"dropout: expected a probability p from 0 to 1.*pass"):
        norms.dropout(Tensor(np.ones(3)), p)


def test_dropout_refuses_integers():
    with pytest.raises(DtypeError, match="floating-point"):
        norms.dropout(Tensor(np.arange(3)))


@pytest.mark.parametrize("p", [-0.1, 1.5, math.nan, "half"])
def test_dropout_refuses_what_is_no_probability(p):
    with pytest.raises(ArgumentError, match="dropout: expected a probability"):
        norms.dropout(Tensor(np.ones(3)), p)


def test_weights_may_be_lists():
    x = Tensor(np.array([1.0, -1.0]))
    np.testing.assert_allclose(norms.layer_norm(x, 2, [2.0, 3.0], [1.0, 1.0], eps=0).numpy(), [3, -2])
    np.testing.assert_allclose(norms.rms_norm(x, 2, [2.0, 3.0], eps=0).numpy(), [2, -3])


@pytest.mark.parametrize("dtype", [bool, np.uint8, np.int64])
@pytest.mark.parametrize("function", [norms.softmax, norms.log_softmax])
def test_softmax_of_integers_has_the_default_dtype(function, dtype):
    x = np.array([0, 1, 1], dtype)
    result = function(Tensor(x)).numpy()
    assert result.dtype == np.float32
    np.testing.assert_array_equal(result, function(Tensor(x.astype(np.float32))).numpy())
