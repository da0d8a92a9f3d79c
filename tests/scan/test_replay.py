"""Matrix states: products with vectors stay in the loop, and the backward loop computes the states again."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import tinygrad_seq as ts
from tests.grad_of import grad_of
from tests.scan.case import Problem
from tinygrad_seq.scan import program_of

T, N, A, D = 7, 3, 2, 5
Step = Callable[[Any, Any], tuple[Any, Any]]


def linear(S: Any, x: Any) -> tuple[Any, Any]:
    q, k, v, f = x
    S = ts.sigmoid(f)[..., :, None] * S + k[..., :, None] * v[..., None, :]
    return S, (q[..., None, :] @ S)[..., 0, :]


def delta(S: Any, x: Any) -> tuple[Any, Any]:
    q, k, v, b = x
    S = S + 0.3 * k[..., :, None] @ (ts.sigmoid(b) * (v - (k[..., None, :] @ S)[..., 0, :]))[..., None, :]
    return S, (S @ q[..., :, None])[..., 0]


def output_is_state(S: Any, x: Any) -> tuple[Any, Any]:
    S, y = linear(S, x)
    return S, S * y[..., None, :]


def mixes_heads(S: Any, x: Any) -> tuple[Any, Any]:
    S, y = linear(S, x)
    return ts.tanh(S - S.sum(1, keepdims=True) / 8), y


STEPS: dict[str, Step] = {f.__name__: f for f in (linear, delta, output_is_state, mixes_heads)}
OPTIONS: list[dict[str, Any]] = [
    {},
    {"reverse": True},
    {"window": 3},
    {"remember": 3},
    {"reverse": True, "remember": 2},
]


def operands() -> tuple[Any, Any]:
    rng = np.random.default_rng(0)
    shapes = (N, A, D, D), *[(T, N, A, D)] * 4
    S, *xs = (ts.tensor(rng.standard_normal(shape), requires_grad=True) for shape in shapes)
    return S, tuple(xs)


@pytest.mark.parametrize("options", OPTIONS, ids=str)
@pytest.mark.parametrize("name", STEPS)
def test_as_step_by_step(name: str, options: dict[str, Any]) -> None:
    found = []
    for compile in (True, False):
        S, xs = operands()
        last, ys = ts.scan(STEPS[name], S, xs, compile=compile, **options)
        ((last * last).sum() + (ys * ys * ys).sum()).backward()
        found.append([last, ys, S.grad, *[x.grad for x in xs]])
    for compiled, eager in zip(*found, strict=True):
        np.testing.assert_allclose(compiled.numpy(), eager.numpy(), rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("name", ["linear", "delta"])
def test_no_state_is_saved(name: str) -> None:
    program = program_of(STEPS[name], *operands())
    assert program.backward is not None
    assert program.backward.stages.replay is not None
    assert max(var.ndim for var in program.residuals) < 4


def test_a_state_that_is_an_output_is_saved_once() -> None:
    program = program_of(output_is_state, *operands())
    last, ys = ts.scan(output_is_state, *operands())
    assert program.forward.step.ys
    assert ys.shape == (T, *last.shape)


@pytest.mark.parametrize("name", ["linear", "delta"])
def test_products_with_vectors_are_sums(name: str) -> None:
    program = program_of(STEPS[name], *operands())
    assert program.backward is not None
    for direction in (program.forward, program.backward):
        stages = direction.stages
        assert not [eqn for eqn in (*stages.before, *stages.during) if eqn.primitive.name == "matmul"]


COMPARED = {
    "gradient of the maximum": lambda S: S - 0.1 * S.max(axis=-1, keepdims=True),
    "mask": lambda S: S * ts.where(S.max(axis=-1, keepdims=True) == S, S, 0.5),
}


@pytest.mark.parametrize("new", COMPARED.values(), ids=COMPARED)
def test_what_is_compared_with_its_own_maximum_is_not_computed_again(new: Any) -> None:
    """Rounded in another way, no element would be equal to the maximum."""
    rng = np.random.default_rng(0)
    S, xs = (ts.tensor(rng.standard_normal(shape), requires_grad=True) for shape in ((3, 5, 7), (4, 3, 12)))

    def step(S: Any, x: Any) -> Any:
        S = new(S * 0.9 + x[:, :5, None] * x[:, None, 5:])
        return S, S.sum(-1)

    Problem(step, S, xs).check()


BEFORE: dict[str, Callable[[Any], Any]] = {
    "one operation": lambda x: x.sum(0),
    "several": lambda x: ts.tanh(x @ ts.ones((2, 2), dtype=np.float64)).mean(axis=(0, 1)).reshape(()),
}


@pytest.mark.parametrize("options", [{}, {"remember": 3}], ids=str)
@pytest.mark.parametrize("before", BEFORE.values(), ids=BEFORE)
def test_what_comes_before_the_replay_has_a_value_for_each_time(before: Any, options: dict[str, Any]) -> None:
    """Sums over the batch of inputs that want no gradient: only the replay reads them."""
    rng = np.random.default_rng(0)
    xs, found = ts.tensor(rng.standard_normal((T, 3, 2))), []

    def step(S: Any, x: Any) -> Any:
        return 0.5 * S * S + 0.3 * before(x), S * ts.relu(S)

    for compile in (True, False):
        S = ts.tensor(np.random.default_rng(1).standard_normal((3, 2, 2)), requires_grad=True)
        last, ys = ts.scan(step, S, xs, compile=compile, **options)
        ((last * last).sum() + ys.sum()).backward()
        found.append(grad_of(S).numpy())
    np.testing.assert_allclose(found[0], found[1], rtol=1e-10)
