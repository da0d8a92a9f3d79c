"""Lookups and draws inside a compiled loop: the same as outside of it, errors too."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numba import config

import tinygrad_seq as ts
from tests.scan.case import Problem
from tinygrad_seq import nn
from tinygrad_seq.errors import AnomalyError, CompileError, IndexRangeError
from tinygrad_seq.ops.indexing import embedding, take

N, V, E = 3, 5, 4


def problem(step: Any, rng: np.random.Generator, *, batch: int = N, xs: Any = None) -> Problem:
    table = ts.tensor(rng.standard_normal((V, E)), requires_grad=True)
    tokens = ts.tensor(rng.integers(0, V, batch))
    h = ts.tensor(rng.standard_normal((batch, E)), requires_grad=True)
    xs = ts.tensor(rng.standard_normal((6, batch, E)), requires_grad=True) if xs is None else xs
    return Problem(lambda carry, x: step(table, carry, x), (tokens, h), xs, {"table": table})


def walk(table, carry, x):
    """The next index depends on the one before."""
    token, h = carry
    h = ts.tanh(h * embedding(table, token) + x)
    return ((token * 2 + 1) % V, h), h


def negative(table, carry, x):
    token, h = carry
    h = ts.tanh(h + take(table, token - V, axis=0) + table[token] * x)
    return ((token + 1) % V, h), h


def several(table, carry, x):
    """Indices of two axes, into a table of three."""
    token, h = carry
    pair = ts.stack([token, (token + 1) % V], axis=1)
    cubes = table.reshape(V, 2, 2)
    h = h + take(cubes, pair, axis=0).sum(axis=1).reshape(-1, E) * x
    return ((token + 3) % V, h), h


@pytest.mark.parametrize("batch", [1, N, V])
@pytest.mark.parametrize("step", [walk, negative, several])
def test_lookup(step: Any, batch: int, rng) -> None:
    problem(step, rng, batch=batch).check()


def writing(temperature: float, top_k: int | None):
    def step(table, carry, u):
        token, h = carry
        h = ts.tanh(h + embedding(table, token))
        token = ts.categorical(h @ table.T * 3, u, temperature, top_k)
        return (token, h), (token, h)

    return step


@pytest.mark.parametrize(("temperature", "top_k"), [(1.0, None), (0.5, 2), (0.0, None)])
@pytest.mark.parametrize("batch", [1, N])
def test_draw(temperature: float, top_k: int | None, batch: int, rng) -> None:
    xs = ts.tensor(rng.random((20, batch)))
    problem(writing(temperature, top_k), rng, batch=batch, xs=xs).check()


def test_other_temperatures_compile_nothing(rng) -> None:
    from tinygrad_seq.kernels.compile.generated import compilations

    problem(writing(0.4, 3), rng, xs=ts.rand(4, N)).check()
    before = compilations()
    problem(writing(0.6, 2), rng, xs=ts.rand(4, N)).check()
    assert compilations() == before


@pytest.mark.parametrize("compile", [True, False])
def test_an_index_outside_the_table_is_an_error(compile: bool) -> None:
    table = nn.Embedding(V, E)
    init = ts.tensor(np.zeros(N, np.int64)), ts.zeros((N, E))

    def up(carry, _):
        token, h = carry
        return (token + 1, h + table(token)), None

    def down(carry, _):
        token, h = carry
        return (token - 1, h + table.weight[token]), None

    for _ in range(2):  # what has gone wrong once leaves nothing behind
        with pytest.raises(IndexRangeError, match="embedding: expected indices from 0 to 4, got 5"):
            ts.scan(up, init, length=V + 1, compile=compile)
        ts.scan(up, init, length=V, compile=compile)
    with pytest.raises(IndexRangeError, match="take: expected indices from -5 to 4, got -6"):
        ts.scan(down, init, length=V + 2, compile=compile)
    ts.scan(down, init, length=V + 1, compile=compile)

    for classes in (V, 1025):  # rows of the identity matrix; comparisons

        def hot(carry, token, classes=classes):
            return carry, ts.one_hot(token, classes)

        with pytest.raises(
            IndexRangeError, match=f"one_hot.*: expected indices from 0 to {classes - 1}, got {classes}"
        ):
            ts.scan(hot, init, np.full((2, N), classes), compile=compile)


@pytest.mark.parametrize("compile", [True, False])
def test_scores_that_nothing_can_be_drawn_from_are_an_error(compile: bool) -> None:
    def step(h, u):
        token = ts.categorical(h, u)
        return h * 1e30 + 0 * token[:, None].astype("float32"), token

    with pytest.raises(AnomalyError, match="finite logits"):
        ts.scan(step, ts.ones((N, V)), ts.rand(6, N), compile=compile)


@pytest.mark.filterwarnings("ignore::tinygrad_seq.errors.CompileWarning")
def test_a_table_of_each_sequence_runs_step_by_step() -> None:
    def step(carry, _):
        memory, at = carry
        return (memory * 0.5 + take(memory, at, axis=1).sum(axis=1, keepdims=True), (at + 1) % V), None

    init = ts.ones((N, V)), ts.tensor(np.zeros(N, np.int64))
    (memory, _), _ = ts.scan(step, init, length=3)
    (expected, _), _ = ts.scan(step, init, length=3, compile=False)
    np.testing.assert_array_equal(memory.numpy(), expected.numpy())
    if not config.DISABLE_JIT:
        with pytest.raises(CompileError, match="that all sequences share"):
            ts.scan(step, init, length=3, compile=True)
