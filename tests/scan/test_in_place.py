"""Matrix states that are updated in place: where each element is read for the last time as it is written."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import tinygrad_seq as ts
from tinygrad_seq.errors import GraphError
from tinygrad_seq.scan import program_of

T, N, D = 5, 3, 6
Step = Any


def outer(k: Any, v: Any) -> Any:
    return k[..., :, None] * v[..., None, :]


def read(S: Any, q: Any) -> Any:
    return (q[..., None, :] @ S)[..., 0, :]


def plain(S: Any, x: Any) -> Any:
    S = 0.9 * S + outer(x[0], x[1])
    return S, read(S, x[2])


def read_again(S: Any, x: Any) -> Any:
    """The state before the step is read when the next one has been added up."""
    new = 0.9 * S + outer(x[0], x[1])
    return new, read(S, read(new, x[2]))


def transposed(S: Any, x: Any) -> Any:
    S = 0.5 * S + 0.4 * ts.permute_dims(S, (0, 2, 1)) + outer(x[0], x[1])
    return S, read(S, x[2])


def exchanged(states: Any, x: Any) -> Any:
    A, B = states
    A, B = 0.9 * B + outer(x[0], x[1]), A
    return (A, B), read(A, x[2])


STEPS: dict[str, tuple[Step, int]] = {  # and how many of the states are updated in place
    "plain": (plain, 1),
    "read_again": (read_again, 0),
    "transposed": (transposed, 0),
    "exchanged": (exchanged, 1),
}


@pytest.mark.parametrize("name", STEPS)
def test_states_in_place_are_those_of_the_eager_loop(name: str) -> None:
    step, count = STEPS[name]
    xs = tuple([ts.randn(T, N, D, requires_grad=True) for _ in range(3)])
    start: Any = (ts.randn(N, D, D), ts.randn(N, D, D)) if name == "exchanged" else ts.randn(N, D, D)
    with ts.no_grad():
        kernel = program_of(step, start, xs).forward.kernel
    if kernel is not None:
        assert sum([kernel.layouts[var].buffer.in_place for var in kernel.loop.carry]) == count
    found: list[list[Any]] = []
    for options in ({}, {"compile": False}, {"window": 2}, {"window": 2, "compile": False}):
        with ts.no_grad():
            last, ys = ts.scan(step, start, xs, **options)
        found.append([np.asarray(part) for part in (*(last if name == "exchanged" else [last]), ys)])
        for x in xs:
            x.grad = None
        last, ys = ts.scan(step, start, xs, **options)
        (ys.sum() + (last[0] if name == "exchanged" else last).sum()).backward()
        found[-1] += [np.asarray(x.grad) for x in xs]
    for compiled, eager in (found[:2], found[2:]):
        for a, b in zip(compiled, eager, strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-4)


def changed_state(h: Any, x: Any) -> Any:
    old = h
    h += x
    return ts.tanh(h) + old, h


def changed_input(h: Any, x: Any) -> Any:
    old = x
    x += h
    return ts.tanh(x) * old, x


def changed_view(h: Any, x: Any) -> Any:
    part = x[:, :1]
    part += h[:, :1]
    return ts.tanh(x) + h, x


@pytest.mark.parametrize("step", [changed_state, changed_input, changed_view])
@pytest.mark.parametrize("wanted", [False, True])
def test_operators_in_place_do_the_same_in_every_kind_of_step(step: Step, wanted: bool) -> None:
    found = []
    xs, start = ts.randn(T, N, D, requires_grad=wanted), ts.randn(N, D, requires_grad=wanted)
    for compiled in (True, False):
        if step is changed_view:
            with pytest.raises(GraphError, match="a view of shape"):
                ts.scan(step, start, xs, compile=compiled)
            continue
        last, ys = ts.scan(step, start, xs, compile=compiled)
        grads = ts.grad(lambda a, b: ts.scan(step, a, b, compile=compiled)[1].sum(), (0, 1))(start, xs)  # noqa: B023
        found.append([np.asarray(one.detach()) for one in (last, ys, *grads)])
    for a, b in zip(*found, strict=True) if found else ():
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6)
