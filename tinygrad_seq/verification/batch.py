"""Checks of batches: one batch element alone, padding, masked steps, resets."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any

import numpy as np

from ..autograd.tensor import Tensor
from ..base.tree import Tree, flatten, map_leaves
from ..nn.recurrence.recurrent import Recurrent
from ..ops.indexing import take
from ..ops.joining import concat
from .compare import NONE, ROUNDING, Evaluation, Finding, compare
from .paths import lengths_of
from .problem import Problem, joined, part, row
from .subject import CARRY, LENGTHS, ROWS, Flags, LayerSubject, Outputs
from .table import SkipError, check


@check("row alone == row in a batch", ROWS)
def rows(problem: Problem) -> Iterator[Finding]:
    """Compare values and gradients of a batch with those of its elements run one by one."""
    subject, evaluate = problem.subject, problem.draws()
    axis = subject.row_axis
    assert axis is not None
    whole = problem.evaluate(lambda xs, state: _without_states(subject.run(xs, state, evaluate=evaluate)))
    axes = _row_axes(problem, whole)

    def run(xs: Tree, state: Tree) -> Outputs:
        found = [
            _without_states(subject.run(row(xs, n, axis), row(state, n, subject.state_axis), evaluate=evaluate))
            for n in range(problem.N)
        ]
        return {role: joined([each[role] for each in found], axes[role]) for role in found[0]}

    yield from compare(problem.evaluate(run), whole, ROUNDING)


def _without_states(outputs: Outputs) -> Outputs:
    return {role: tree for role, tree in outputs.items() if role != "states"}


def _row_axes(problem: Problem, whole: Evaluation) -> dict[str, int]:
    """Return the batch axis of each output; for a module, the axis of size N in all of its outputs."""
    if problem.subject.state_axis or problem.state is not None:
        return {"ys": 1, "state": problem.subject.state_axis}
    shapes = [array.shape for array in whole.values.values()]
    wanted = problem.subject.row_axis or 0
    for axis in (wanted, 0, 1):
        if all(len(shape) > axis and shape[axis] == problem.N for shape in shapes):
            return {"ys": axis}
    raise SkipError(f"no axis of the outputs {shapes} has the batch size {problem.N}")


# ---------------------------------------------------------------------------------------------------- padding


def _variants(problem: Problem) -> Iterator[tuple[str, Problem]]:
    """Yield the problem and, if output and input of a cell have one shape, a stack of two: the second reads padding."""
    yield "", problem
    subject = problem.subject
    if isinstance(subject, LayerSubject) and subject.cell is not None and isinstance(problem.xs, Tensor):
        ys = problem.outputs(compile=False)["ys"]
        if isinstance(ys, Tensor) and (ys.shape, ys.dtype) == (problem.xs.shape, problem.xs.dtype):
            layer = Recurrent([subject.cell, copy.deepcopy(subject.cell)])
            layer.training = subject.layer.training
            yield (
                "two layers: ",
                Problem(
                    LayerSubject(layer), problem.T, problem.N, problem.short, problem.compile, problem.seed, problem.xs
                ),
            )


# Each batch element is run alone: skipped steps return zeros, and truncation windows would start elsewhere.
_PLAIN: dict[str, Any] = {"masked_output": "zeros", "window": None, "stride": None}


@check("padded == unpadded, no gradient on padding", LENGTHS)
def padded(problem: Problem) -> Iterator[Finding]:
    """Compare a batch with `lengths` with each sequence cut to its length: values, zeros after the end, gradients."""
    lengths = lengths_of(problem)
    yield from _against_rows(problem, [np.arange(length) for length in lengths], {"lengths": lengths})


@check("masked == left out, no gradient there", LENGTHS)
def masked(problem: Problem) -> Iterator[Finding]:
    """Compare a batch with a `mask` with each sequence without its masked steps; one sequence has no steps."""
    mask = _mask(problem)
    yield from _against_rows(problem, [np.flatnonzero(mask[:, n]) for n in range(problem.N)], {"mask": mask})


def _against_rows(problem: Problem, steps: Sequence[np.ndarray], flags: Flags) -> Iterator[Finding]:
    for prefix, each in _variants(problem):
        got = each.evaluate(each.whole(flags=flags, **_PLAIN))
        yield from compare(got, each.evaluate(_alone(each, steps)), ROUNDING, prefix=prefix)


@check("NaN in what is left out reaches nothing", LENGTHS)
def poisoned(problem: Problem) -> Iterator[Finding]:
    """Compare bits of values and gradients between finite numbers and NaN or infinity in the padding."""
    if not any(leaf.dtype.kind == "f" for leaf in flatten(problem.xs)[0]):
        raise SkipError("inputs are not floating-point")
    lengths, mask = lengths_of(problem), _mask(problem)
    inside = np.arange(problem.T)[:, None] < lengths
    for prefix, each in _variants(problem):
        yield from _against_poison(each, inside, f"{prefix}lengths: ", {"lengths": lengths})
        yield from _against_poison(each, mask, f"{prefix}mask: ", {"mask": mask})


def _against_poison(problem: Problem, valid: np.ndarray, prefix: str, flags: Flags) -> Iterator[Finding]:
    clean = problem.evaluate(flags=flags)
    for bad in (np.nan, np.inf):
        poison = problem.with_xs(partial(_poison, valid, bad))
        yield from compare(poison.evaluate(flags=flags), clean, NONE, prefix=f"{prefix}{bad}: ")


def _poison(valid: np.ndarray, bad: float, x: np.ndarray) -> np.ndarray:
    return np.where(valid.reshape(valid.shape + (1,) * (x.ndim - 2)), x, bad)


@check("reset == begin anew", LENGTHS, CARRY)
def resets(problem: Problem) -> Iterator[Finding]:
    """Compare a batch with `reset` with each sequence in two parts, the second from the initial state."""
    T, N, subject = problem.T, problem.N, problem.subject
    begins = [1 + n % (T - 1) for n in range(N)] if T > 1 else [0] * N
    flags = np.zeros((T, N), bool)
    flags[begins, np.arange(N)] = T > 1

    def run(xs: Tree, state: Tree) -> Outputs:
        found = []
        for n, begin in enumerate(begins):
            spans = [slice(0, begin), slice(begin, T)] if begin else [slice(0, T)]
            order = spans[::-1] if subject.goes_backwards else spans
            state_n = row(state, n, subject.state_axis)
            ys = {}
            for count, span in enumerate(order):
                first = subject.initial_state(1) if count else state_n
                outputs = subject.run(part(row(xs, n, 1), span, 0), first, evaluate=True, **_PLAIN)
                ys[span.start] = outputs["ys"]
            found.append((joined([ys[span.start] for span in spans], 0), outputs["state"]))
        states = joined([state for _, state in found], subject.state_axis)
        return {"ys": joined([ys for ys, _ in found], 1), "state": states}

    got = problem.evaluate(problem.whole(flags={"reset": flags}, **_PLAIN))
    yield from compare(got, problem.evaluate(run), ROUNDING)


def _alone(problem: Problem, steps: Sequence[np.ndarray]) -> Any:
    """Return a run of each batch element alone, over its own `steps`; the outputs of other steps are 0."""
    subject, T = problem.subject, problem.T

    def run(xs: Tree, state: Tree) -> Outputs:
        ys: list[Tree] = []
        states: list[Tree] = []
        whole: Tree = None
        for n, own in enumerate(steps):
            first = row(state, n, subject.state_axis)
            if not len(own):
                ys.append(None)
                states.append(first)
                continue
            x = map_leaves(lambda leaf, n=n, own=own: take(leaf[:, n : n + 1], own, axis=0), xs)
            outputs = subject.run(x, first, evaluate=True, **_PLAIN)
            whole = map_leaves(lambda y, own=own: _spread(y, own, T), outputs["ys"])
            ys.append(whole)
            states.append(outputs["state"])
        nothing = map_leaves(lambda y: y.detach() * 0, whole)
        return {
            "ys": joined([nothing if y is None else y for y in ys], 1),
            "state": joined(states, subject.state_axis),
        }

    return run


def _spread(y: Tensor, steps: np.ndarray, T: int) -> Tensor:
    """Return the outputs of some steps at their positions among T, with zeros elsewhere."""
    zero = Tensor(np.zeros((1, *y.shape[1:]), y.dtype))
    places = np.full(T, len(steps))
    places[steps] = np.arange(len(steps))
    spread: Tensor = take(concat([y, zero], 0), places, axis=0)
    return spread


def _mask(problem: Problem) -> np.ndarray:
    """Return a mask with gaps at the start, inside and at the end; if N > 1, one sequence has no steps."""
    mask = np.ones((problem.T, problem.N), bool)
    mask[-1, ::2] = False
    mask[: problem.T // 2, 1::2] = False
    if problem.N > 1:
        mask[:, -1] = False
    if not mask.any():
        mask[0, 0] = True
    return mask
