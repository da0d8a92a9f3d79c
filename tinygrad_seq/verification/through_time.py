"""Checks over time: chunks, streams, reversed direction, truncated backpropagation."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from operator import itemgetter
from typing import Any

from ..autograd.creation import asarray
from ..autograd.tensor import Tensor
from ..base.tree import Tree, flatten, map_leaves
from ..nn.recurrence.layer import SequenceLayer
from ..nn.recurrence.options import joins
from ..nn.recurrence.passes import step_of_pass
from ..ops.joining import concat, split
from ..scan.eager import unroll
from ..scan.ir.leaves import stack_leaves
from .compare import ROUNDING, Evaluation, Finding, closeness, compare
from .problem import Problem, Run, joined, named, part
from .subject import CARRY, REVERSE, STREAM, WINDOW, LayerSubject, Outputs
from .table import check


def in_parts(problem: Problem, ends: list[int], between: Callable[[Any], Any] = lambda x: x, **options: Any) -> Run:
    """Return a run in parts that end at `ends`, each from the final state of the previous part."""
    backwards = problem.subject.goes_backwards

    def run(xs: Tree, state: Tree) -> Outputs:
        spans = [*zip([0, *ends[:-1]], ends, strict=True)]
        if backwards:
            T = ends[-1]
            spans = [(T - stop, T - start) for start, stop in spans]
        found: list[Outputs] = []
        for start, stop in spans:
            if found:
                state = map_leaves(between, state)
            found.append(problem.subject.run(part(xs, slice(start, stop), 0), state, evaluate=True, **options))
            state = found[-1]["state"]
        ordered = found[::-1] if backwards else found
        return {"ys": joined([each["ys"] for each in ordered], 0), "state": state}

    return run


@check("whole == chunk by chunk == step by step", CARRY)
def chunks(problem: Problem) -> Iterator[Finding]:
    """Compare the whole sequence with chunks, each from the final state of the previous chunk."""
    T, uncut = problem.T, problem.subject.whole_gradient()
    whole = problem.evaluate(problem.whole(**uncut))
    for ends in ([1, T], list(range(1, T + 1))) if T > 1 else ():
        label = "step by step: " if len(ends) == T else f"chunks of 1 and {T - 1}: "
        yield from compare(problem.evaluate(in_parts(problem, ends, **uncut)), whole, ROUNDING, prefix=label)


@check("stream == whole", STREAM, short=False)
def streamed(problem: Problem) -> Iterator[Finding]:
    """Compare the whole sequence with a stream that takes one input at a time (`layer.stream`)."""
    subject = problem.subject
    want = {name: leaf.numpy() for name, leaf in named(problem.outputs(problem.whole())).items()}

    def run(xs: Tree, state: Tree) -> Outputs:
        steps = _steps(xs, problem.T)
        if isinstance(subject, LayerSubject):
            stream = subject.layer.stream(problem.N, map_leaves(Tensor.detach, state))
            found = [map_leaves(lambda leaf: asarray(leaf.numpy().copy()), stream(x)) for x in steps]
            return {"ys": stack_leaves(found), "state": stream.state}
        step, _ = subject.step()
        state, found = unroll(step, state, steps)
        return {"ys": stack_leaves(found), "state": state}

    for name, leaf in named(problem.outputs(run)).items():
        yield closeness(name, leaf.numpy(), want[name], ROUNDING)


# ------------------------------------------------------------------------------------------------ directions


@check("backwards == forwards on reversed time", REVERSE)
def directions(problem: Problem) -> Iterator[Finding]:
    """Compare with the reversed layer on reversed inputs; bidirectional layers with plain loops over their cells."""
    subject = problem.subject
    whole = problem.evaluate(problem.whole())
    if isinstance(subject, LayerSubject) and subject.bidirectional:
        yield from compare(problem.evaluate(_loops(problem, subject.layer)), whole, ROUNDING)
        return
    turned = problem.whole(go_backwards=not subject.goes_backwards)

    def run(xs: Tree, state: Tree) -> Outputs:
        outputs = turned(_flipped(xs), state)
        return {"ys": _flipped(outputs["ys"]), "state": outputs["state"]}

    yield from compare(problem.evaluate(run), whole, ROUNDING)


def _loops(problem: Problem, layer: SequenceLayer) -> Run:
    """Return a run of a bidirectional layer as plain loops over its cells, in evaluation mode."""

    def run(xs: Tree, state: Tree) -> Outputs:
        passes, finals = layer._passes(), []
        states = layer._split(state, problem.N)
        for first in range(0, len(passes), 2):
            pair = []
            for k in (first, first + 1):
                inputs = _steps(_flipped(xs) if k % 2 else xs, problem.T)
                with problem.subject._mode(True):  # type: ignore[attr-defined]
                    window = layer.options["window"]
                    final, ys = unroll(step_of_pass(passes[k], layer.options), states[k], inputs, window)
                finals.append(final)
                stacked = stack_leaves(ys)
                pair.append(_flipped(stacked) if k % 2 else stacked)
            merged = _merged(pair, layer.options["merge"])
            like = [leaf.shape for leaf in flatten(xs)[0]] == [leaf.shape for leaf in flatten(merged)[0]]
            before = flatten(xs)[0]
            if layer.options["residual"] and like:
                leaves, rebuild = flatten(merged)
                merged = rebuild([x + y for x, y in zip(before, leaves, strict=True)])
            xs = merged
        if layer.options["merge"] is None:
            halves = [split(y, 2, axis=-1) for y in flatten(xs)[0]]
            xs = tuple(flatten(xs)[1]([half[k] for half in halves]) for k in (0, 1))
        return {"ys": xs, "state": layer._join(finals)}

    return run


def _merged(pair: list[Tree], how: str | None) -> Tree:
    a, rebuild = flatten(pair[0])
    both = list(zip(a, flatten(pair[1])[0], strict=True))
    if joins(how):
        return rebuild([concat(two, -1) for two in both])
    if how == "mul":
        return rebuild([x * y for x, y in both])
    return rebuild([(x + y) / (2 if how == "mean" else 1) for x, y in both])


def _steps(xs: Tree, T: int) -> list[Tree]:
    return [map_leaves(itemgetter(t), xs) for t in range(T)]


def _flipped(tree: Tree) -> Tree:
    return map_leaves(lambda x: x[::-1], tree)


# ---------------------------------------------------------------------------------------------------- windows


@check("window = T == full; window = 1 and 2 == detached", WINDOW)
def windows(problem: Problem) -> Iterator[Finding]:
    """Compare truncated backpropagation with explicitly detached states, and a window of T with no window."""
    T = problem.T
    full = problem.evaluate(problem.whole(window=None, stride=None))
    yield from compare(problem.evaluate(problem.whole(window=T, stride=None)), full, ROUNDING, prefix=f"window={T}: ")
    if problem.lacks(CARRY):
        return
    for window in (1, 2):
        ends = [*range(window, T, window), T]
        detached = in_parts(problem, ends, Tensor.detach, **problem.subject.whole_gradient())
        want: Evaluation = problem.evaluate(detached, compile=False)
        got = problem.evaluate(problem.whole(window=window, stride=None))
        yield from compare(got, want, ROUNDING, prefix=f"window={window}: ")
