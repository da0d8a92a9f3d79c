"""A new primitive is one row: it computes, has gradients, and compiles in a scan, forward and backward."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
import pytest

import tinygrad_seq as ts
from tests.grad_of import grad_of
from tinygrad_seq.ops.arithmetic import sqrt
from tinygrad_seq.ops.joining import concat, stack
from tinygrad_seq.ops.primitive import TABLE, OpKind, Primitive, elementwise
from tinygrad_seq.ops.reduction import mean
from tinygrad_seq.ops.shape import broadcast_to, kept, permute_dims, reshape
from tinygrad_seq.ops.trigonometric import tanh
from tinygrad_seq.ops.views import Elements

T, N, H = 5, 4, 6


def _mean_square_root(x, axes, keepdims):
    return np.sqrt(np.mean(x * x, axis=axes, keepdims=keepdims))


def _spread_evens(g, shape):
    return reshape(stack([g, g * 0], -1), shape)


def elementwise_with_code() -> Primitive:
    return elementwise(
        "test_bump",
        lambda x: x / (1 + x * x),
        vjp=(lambda g, _y, x: g * (1 - x * x) / ((1 + x * x) * (1 + x * x)),),
        code="{0} / (1 + {0} * {0})",
    )


def cheap_elementwise_of_two() -> Primitive:
    return elementwise(
        "test_mix",
        lambda a, b: a * 3 + b,
        vjp=(lambda g, _y, _a, _b: g * 3, lambda g, _y, _a, _b: g),
        code="{0} * 3 + {1}",
        cheap=True,
    )


def elementwise_by_formula() -> Primitive:
    return elementwise(
        "test_tanhshrink",
        lambda x: x - np.tanh(x),
        vjp=(lambda g, _y, x: g * tanh(x) * tanh(x),),
        formula=lambda x: x - tanh(x),
    )


def reduction_by_formula() -> Primitive:
    return Primitive(
        "test_rms",
        _mean_square_root,
        (lambda g, y, x, axes, keepdims: x * kept(g / y, x.shape, axes) / x.shape[axes[0]],),
        kind=OpKind.REDUCTION,
        formula=lambda x, axes, keepdims: sqrt(mean(x * x, axes, keepdims)),
    )


def reduction_by_fold() -> Primitive:
    return Primitive(
        "test_sum_of_squares",
        lambda x, axes, keepdims: np.sum(x * x, axis=axes, keepdims=keepdims),
        (lambda g, _y, x, axes, keepdims: 2 * x * kept(g, x.shape, axes),),
        kind=OpKind.REDUCTION,
        fold=(0, "{total} += {value} * {value}"),
    )


def view() -> Primitive:
    return Primitive(
        "test_evens",
        lambda x: x[..., ::2],
        (lambda g, _y, x_like: _spread_evens(g, x_like.shape),),
        kind=OpKind.VIEW,
        view=lambda shape: (Elements((*[(axis, 1) for axis in range(len(shape) - 1)], (len(shape) - 1, 2))),),
    )


def view_by_structure() -> Primitive:
    made = Primitive(
        "test_exchange",
        lambda x: x.swapaxes(-1, -2),
        (lambda g, _y, _x: made(g),),
        kind=OpKind.VIEW,
        structure=lambda x: permute_dims(x, (*range(x.ndim - 2), x.ndim - 1, x.ndim - 2)),
    )
    return made


_FACTORS = np.linspace(-1, 1, 12).reshape(12, 1)


def product_with_constants_of_its_own() -> Primitive:
    return Primitive(
        "test_score",
        lambda x: np.concatenate([x, x * x], -1) @ _FACTORS,
        (lambda g, _y, x: g * (_FACTORS[:6, 0] + x * 2 * _FACTORS[6:, 0]),),
        formula=lambda x: concat([x, x * x], -1) @ _FACTORS,
    )


def lookup() -> Primitive:
    return Primitive(
        "test_row",
        lambda table, index: np.take(table, index, 0),
        (lambda g, _y, table_like, index: TABLE["take_add"](g, index, shape=table_like.shape, axis=0), None),
        kind=OpKind.LOOKUP,
    )


# A row, and a step of h (N, H) that uses it on what depends on the carry and on what does not.
CASES: dict[str, tuple[Callable[[], Primitive], Callable]] = {
    "elementwise with code": (elementwise_with_code, lambda f, h, x, u: f(h @ u + f(x))),
    "cheap elementwise of two": (cheap_elementwise_of_two, lambda f, h, x, u: ts.tanh(f(h @ u, f(x, h)) * 0.1)),
    "elementwise by a formula": (elementwise_by_formula, lambda f, h, x, u: f(h @ u) + f(x)),
    "reduction by a formula": (
        reduction_by_formula,
        lambda f, h, x, u: ts.tanh((h @ u + x) / f(h + 2, axes=(1,), keepdims=True) + reshape_rms(f, x)),
    ),
    "reduction by a fold": (
        reduction_by_fold,
        lambda f, h, x, u: ts.tanh(
            h @ u + x * f(h, axes=(1,), keepdims=True) + f(x, axes=(1,), keepdims=False).reshape(-1, 1)
        ),
    ),
    "product with constants of its own": (
        product_with_constants_of_its_own,
        lambda f, h, x, u: ts.tanh(h @ u + f(h) * 0.1 + f(x)),
    ),
    "view": (view, lambda f, h, x, u: ts.concat([f(ts.tanh(h @ u)), f(x) + f(h)], axis=-1)),
    "view by a structure": (
        view_by_structure,
        lambda f, h, x, u: f(f((h @ u + x).reshape(-1, 2, 3))).reshape(-1, H).tanh(),
    ),
    "lookup": (lookup, lambda f, h, x, u: ts.tanh(h @ u + x + f(u, ts.astype(h > 0, "int64")).sum(1))),
}


def reshape_rms(f, x):
    return broadcast_to(f(x, axes=(1,), keepdims=False).reshape(-1, 1), x.shape)


@pytest.fixture(params=CASES)
def case(request) -> Iterator[tuple[Primitive, Callable]]:
    make, step = CASES[request.param]
    primitive = make()
    try:
        yield primitive, step
    finally:
        del TABLE[primitive.name]


def operands() -> list[ts.Tensor]:
    random = np.random.default_rng(7)
    shapes = (N, H), (T, N, H), (H, H)
    return [ts.tensor(random.normal(size=shape) * 0.7, dtype="float64", requires_grad=True) for shape in shapes]


def run(case, compile: bool, remember="all") -> tuple[list[np.ndarray], list[np.ndarray]]:
    primitive, step = case

    def body(h, x):
        h = step(primitive, h, x, u)
        return h, h * 2

    h0, xs, u = operands()
    last, ys = ts.scan(body, h0, xs, compile=compile, remember=remember)
    (last.sum() + (ys * ys).sum()).backward()
    return [last.numpy(), ys.numpy()], [grad_of(part).numpy() for part in (h0, xs, u)]


@pytest.mark.parametrize("remember", ["all", 2])
def test_a_row_is_enough_to_compile_forward_and_backward(case, remember) -> None:
    expected, compiled = run(case, compile=False), run(case, compile=True, remember=remember)
    for one, other in zip((*expected[0], *expected[1]), (*compiled[0], *compiled[1]), strict=True):
        np.testing.assert_allclose(other, one, rtol=1e-12, atol=1e-13)


def test_gradients_through_a_compiled_scan_are_right(case) -> None:
    primitive, step = case
    h0, xs, u = operands()

    def loss(h0, xs, u):
        return ts.scan(lambda h, x: (step(primitive, h, x, u),) * 2, h0, xs, compile=True)[1]

    assert ts.gradcheck(loss, (h0, xs, u))


@pytest.mark.parametrize(("kind", "wanted"), [(OpKind.VIEW, "view="), (OpKind.REDUCTION, "fold=")])
def test_a_row_that_says_too_little_is_refused(kind: OpKind, wanted: str) -> None:
    with pytest.raises(ts.ArgumentError, match=f"expected {wanted}, formula= or structure=.*say in its row"):
        Primitive("test_mute", np.negative, kind=kind)
    assert "test_mute" not in TABLE


def test_no_primitive_of_the_test_is_left() -> None:
    assert not [name for name in TABLE if name.startswith("test_")]
