"""Checks of execution: repeated calls, compiled, less memory, threads, float32, extreme inputs."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from functools import partial
from typing import Any, Final, Literal

import numpy as np

from ..autograd.tensor import Tensor
from ..base.modes import no_grad
from ..base.settings import get_num_threads, set_num_threads
from ..base.tree import Tree, flatten, map_leaves
from ..kernels import pool
from .compare import NONE, ROUNDING, Finding, closeness, compare, finiteness
from .problem import Problem, named
from .subject import COMPILED, LENGTHS, WINDOW, LayerSubject, Outputs
from .table import SkipError, check

# The difference between a float32 run and a float64 run of the same numbers: about 1000 eps of the largest element.
SINGLE_VALUES, SINGLE_GRADIENTS = 1e-4, 1e-3
Share = Literal["rows", "columns"]
SHARES: Final[tuple[Share, ...]] = ("rows", "columns")
# A batch size at which the compiled loop is split over threads, in parts of unequal size.
_MANY_ROWS = 61


@check("every call gives the same numbers")
def repeatable(problem: Problem) -> Iterator[Finding]:
    """Compare the bits of two calls, and check that all numbers are finite."""
    first, second = (problem.evaluate(compile=False) for _ in range(2))
    yield from compare(second, first, NONE)
    for name, array in (first.values | first.gradients).items():
        yield finiteness(name, array)


@check("compiled == step by step", COMPILED)
def compiled(problem: Problem) -> Iterator[Finding]:
    """Compare values and all gradients of the compiled loop with step-by-step execution, also for T = 1 and N = 1."""
    how: dict[str, Any] = {"evaluate": problem.compiled_in_evaluation}
    cases = [(_sizes(problem, each), each) for each in (problem, *_small(problem))]
    if problem.learns_its_start:
        cases.append(("from the start: ", problem.from_the_start()))
    for prefix, each in cases:
        got, want = (each.evaluate(compile=compile, **how) for compile in (True, False))
        yield from compare(got, want, ROUNDING, prefix=prefix)
    for role in ("ys", "state"):  # a loss may read only one of the two
        run = partial(_only, problem, role, how)
        got, want = (problem.evaluate(run, compile=compile) for compile in (True, False))
        yield from compare(got, want, ROUNDING, prefix=f"a loss of {role} alone: ")
    with no_grad():
        loop, steps = (named(problem.outputs(compile=compile, **how)) for compile in (True, False))
    for name, leaf in steps.items():
        yield closeness(f"without gradients: {name}", loop[name].numpy(), leaf.numpy(), ROUNDING)


def _only(problem: Problem, role: str, how: dict[str, Any], xs: Tree, state: Tree) -> Outputs:
    outputs = problem.subject.run(xs, state, **how)
    return {role: outputs[role]} if role in outputs else {}


def _small(problem: Problem) -> list[Problem]:
    sizes = {(1, problem.N), (problem.T, 1), (1, 1)} - {(problem.T, problem.N)}
    return [problem.at(T, N) for T, N in sorted(sizes) if problem.subject.row_axis is not None or N == problem.N]


@check("compiled == step by step, with lengths", COMPILED, LENGTHS, short=False)
def compiled_lengths(problem: Problem) -> Iterator[Finding]:
    """Compare compiled and step-by-step execution of sequences with different lengths."""
    lengths = lengths_of(problem)
    how: dict[str, Any] = {"evaluate": problem.compiled_in_evaluation, "flags": {"lengths": lengths}}
    got, want = (problem.evaluate(compile=compile, **how) for compile in (True, False))
    yield from compare(got, want, ROUNDING)


def lengths_of(problem: Problem) -> np.ndarray:
    """Return lengths T - 1, 1, T, T - 1, ... for the sequences of the batch."""
    T = problem.T
    return np.array([(max(T - 1, 1), 1, T)[n % 3] for n in range(problem.N)])


@check("remember gives the same bits", COMPILED, WINDOW)
def remember(problem: Problem) -> Iterator[Finding]:
    """Compare the bits of gradients between runs that save all residuals and runs that rematerialise some."""
    how: dict[str, Any] = {"compile": True, "evaluate": problem.compiled_in_evaluation}
    whole = problem.evaluate(remember="all", **how)
    for choice in (1, 2, "sqrt"):
        yield from compare(problem.evaluate(remember=choice, **how), whole, NONE, prefix=f"remember={choice!r}: ")


@check("every number of threads gives the same bits")
def threads(problem: Problem) -> Iterator[Finding]:
    """Compare the bits of one, two and three threads, on a batch that is large enough to be split."""
    large = problem if problem.short else _large(problem)
    with on_threads(1):
        one = large.evaluate()
    for count in (2, 3):
        for share in SHARES:
            with on_threads(count, share):
                yield from compare(large.evaluate(), one, NONE, prefix=f"{count} threads, by {share}: ")


def _large(problem: Problem) -> Problem:
    """Return the problem with a batch large enough to be split, or as it is if its batch size cannot change."""
    subject = problem.subject
    if not isinstance(subject, LayerSubject) or problem.given_xs is not None or problem.not_compiled:
        return problem
    return problem.at(problem.T, _MANY_ROWS)


@contextlib.contextmanager
def on_threads(count: int, share: Share = "rows") -> Iterator[None]:
    """Return a context with `count` threads, also for very small work, which share rows or columns of loops."""
    before, worth, shared = get_num_threads(), pool.SECONDS_PER_THREAD, pool.SHARE
    set_num_threads(count)
    pool.SECONDS_PER_THREAD, pool.SHARE = 1e-12, share
    try:
        yield
    finally:
        set_num_threads(before)
        pool.SECONDS_PER_THREAD, pool.SHARE = worth, shared


@check("float32 is near float64")
def single(problem: Problem) -> Iterator[Finding]:
    """Compare a float32 run with a float64 run of the same numbers."""
    rounded = problem.with_xs(lambda x: x.astype(np.float32).astype(np.float64))
    rounded.state = map_leaves(_round, problem.state)
    with problem.subject.as_dtype(np.float64, lambda array: array.astype(np.float32)):
        want = rounded.evaluate(compile=False)
    cast = problem.with_xs(lambda x: x)
    cast.xs, cast.state = (map_leaves(_single, tree) for tree in (rounded.xs, rounded.state))
    for compile in (False,) if problem.short else (False, None):
        with problem.subject.as_dtype(np.float32):
            got = cast.evaluate(compile=compile)
        for role, arrays in (("", got.values), ("gradient of ", got.gradients)):
            for name, array in arrays.items():
                if array.dtype == np.float64:
                    yield Finding(role + name, np.inf, SINGLE_VALUES, "expected float32, got float64")
                arrays[name] = array.astype(np.float64) if array.dtype.kind == "f" else array
        yield from compare(got, want, SINGLE_VALUES, SINGLE_GRADIENTS)


def _round(x: Tensor) -> Tensor:
    return x if x.dtype.kind != "f" else Tensor(x.numpy().astype(np.float32).astype(np.float64), requires_grad=True)


def _single(x: Tensor) -> Tensor:
    return x if x.dtype.kind != "f" else Tensor(x.numpy().astype(np.float32), requires_grad=True)


@check("extreme inputs and sizes of 1 stay finite")
def extremes(problem: Problem) -> Iterator[Finding]:
    """Check that inputs of 1000, -1000 and both signs give finite numbers, also for one step and one batch element."""
    small = [problem, *_small(problem)]
    cases = [(f"{_sizes(problem, each)}inputs as they are", each) for each in small[1:]]
    if any(leaf.dtype.kind == "f" for leaf in flatten(problem.xs)[0]):
        for each in small:
            for label, change in (
                ("of both signs times 1000", lambda x: np.where(x < 0, -1e3, 1e3)),
                ("1000", lambda x: np.full(x.shape, 1e3)),
                ("-1000", lambda x: np.full(x.shape, -1e3)),
            ):
                cases.append((f"{_sizes(problem, each)}inputs {label}", each.with_xs(change)))
    if not cases:
        raise SkipError("inputs are not floating-point, and the sizes are 1 or cannot be changed")
    for label, each in cases:
        for dtype in (np.float64, np.float32):
            yield from _finite(each, dtype, f"{label}, {np.dtype(dtype)}: ")


def _sizes(problem: Problem, other: Problem) -> str:
    return "" if other is problem else f"T={other.T}, N={other.N}: "


def _finite(problem: Problem, dtype: type, prefix: str) -> Iterator[Finding]:
    each = problem.with_xs(lambda x: x)
    if dtype is np.float32:
        each.xs, each.state = (map_leaves(_single, tree) for tree in (problem.xs, problem.state))
    with problem.subject.as_dtype(dtype):
        found = each.evaluate(compile=None if dtype is np.float64 else False)
    for name, array in found.values.items():
        yield finiteness(prefix + name, array)
    for name, array in found.gradients.items():
        yield finiteness(f"{prefix}gradient of {name}", array)
