"""Loop nests: sums that are added up on the way, what is rematerialised, and which buffers are reused."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pytest
from numba import config

import tinygrad_seq as ts
from tests.scan.case import Problem
from tests.scan.cells import CELLS
from tinygrad_seq.base.memo import Memo
from tinygrad_seq.scan import program_of, variants
from tinygrad_seq.scan.program import Program

SIZES = [1, 7, 130]


def problem(step: Any, carry: tuple[int, ...], dtype: str = "float64", x: tuple[int, ...] | None = None) -> Problem:
    """Return four steps on random numbers."""
    rng = np.random.default_rng(0)

    def floats(*shape: int) -> ts.Tensor:
        return ts.tensor(rng.standard_normal(shape).astype(dtype), requires_grad=True)

    return Problem(step, floats(*carry), floats(4, *(x or carry)))


def program(problem: Problem) -> Program:
    return program_of(problem.step, problem.init, problem.xs)


def forward_source(problem: Problem) -> str:
    kernel = program(problem).forward.kernel
    assert kernel is not None
    return kernel.source.text


def passes(text: str) -> int:
    """Return the number of loops over features."""
    return len(re.findall(r"for j0 in", text))


def norm(x: Any) -> Any:
    return ts.layer_norm(x, x.shape[-1])


# ------------------------------------------------------------------------------------------------------------ values

STEPS = {
    "last axis": lambda h, x: ts.tanh(h - (h * x).sum(-1, keepdims=True) / 8),
    "two axes": lambda h, x: ts.tanh(h - (h * x).sum((-2, -1), keepdims=True) / 64),
    "first axis": lambda h, x: ts.tanh(h - (h * x).sum(1, keepdims=True) / 8),
    "one of each": lambda h, x: ts.tanh(h * h.mean(1, keepdims=True) + x * x.sum(-1, keepdims=True) / 8),
    "sum of a sum": lambda h, x: ts.tanh(x + h.sum(-1, keepdims=True).sum(1, keepdims=True) / 64),
    "what was joined": lambda h, x: ts.tanh(h - ts.concat([h * x, x], axis=-1).sum(-1, keepdims=True) / 8),
    "what was cut": lambda h, x: ts.tanh(h + (h * x)[..., :1].sum(-1, keepdims=True)),
    "all of it": lambda h, x: ts.tanh(h - (h * x).sum() / 512),
}


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("H", SIZES)
@pytest.mark.parametrize("name", STEPS)
def test_sums_over_some_axes(name: str, H: int, dtype: str) -> None:
    def step(h, x):
        h = STEPS[name](h, x)
        return h, h

    problem(step, (3, 2, H), dtype).check()


@pytest.mark.parametrize("H", SIZES)
def test_norms_of_what_is_given_and_what_is_made(H: int) -> None:
    def step(h, x):
        y = ts.tanh(norm(x) + norm(h * x) + norm(h))
        return y, norm(y)

    problem(step, (3, H)).check()


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_what_is_no_number_reaches_its_batch_element_and_no_other(bad: float) -> None:
    def step(h, x):
        h = 0.5 * h + (h * x).sum(-1, keepdims=True) + x.max(axis=-1, keepdims=True) + ts.softmax(h + x, axis=-1)
        return h, h

    given = problem(step, (3, 7))
    xs = given.xs.numpy().copy()
    xs[1, 1, 2] = bad
    with ts.no_grad():
        found, want = (ts.scan(step, given.init, ts.tensor(xs), compile=way)[1].numpy() for way in (True, False))
    np.testing.assert_allclose(found, want)
    assert np.isfinite(found[:, [0, 2]]).all()
    assert not np.isfinite(found[1:, 1]).all()


# ------------------------------------------------------------------------------------------------------------ passes


@pytest.fixture
def with_source(monkeypatch) -> None:
    """Let programs have a source, which is not compiled, also where there is no compiler."""
    monkeypatch.setattr(config, "DISABLE_JIT", 0)
    monkeypatch.setattr(variants, "_known", Memo(100))


@pytest.mark.usefixtures("with_source")
def test_a_norm_takes_three_passes_and_another_beside_it_none() -> None:
    def one(h, x):
        h = norm(h + x)
        return h, h

    def two(h, x):
        h = norm(h + x) + norm(h * x)
        return h, h

    sources = [forward_source(problem(step, (3, 8))) for step in (one, two)]
    assert [passes(source) for source in sources] == [3, 3]


@pytest.mark.usefixtures("with_source")
def test_single_numbers_stay_in_registers_and_squares_are_not_stored() -> None:
    assert "room(" not in forward_source(CELLS["layer_norm_lstm"].build("float32"))


@pytest.mark.usefixtures("with_source")
def test_what_needs_no_product_is_done_before_it() -> None:
    """The gradient with respect to what a norm of x @ W is made of does not wait for that of the carry."""
    backward = program(CELLS["layer_norm_lstm"].build("float32")).backward
    assert backward is not None
    assert backward.kernel is not None
    text = backward.kernel.source.text
    assert "for j0 in" not in text[text.index("gemm_at(") :]


@pytest.mark.usefixtures("with_source")
def test_a_norm_of_a_product_before_the_loop_overwrites_it() -> None:
    """What the last of three passes saves is written where all three read."""
    direction = program(CELLS["layer_norm_lstm"].build("float32")).forward
    kernel = direction.kernel
    assert kernel is not None
    (made,) = [eqn.result for eqn in direction.stages.before if eqn.primitive.name == "matmul"]
    kept = [view.var for view in kernel.outputs if view.buffer.var is kernel.loop.renamed.get(made, made)]
    assert len(kept) == 1
