"""Predict the memory of a run: each array that it creates, and the most that is in use at once.

Arrays that are given (inputs, weights, cotangents) are not counted, nor is what does not grow with the sequence or the
batch, such as the buffers of one batch element.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Mapping
from typing import NamedTuple

import numpy as np

from ...kernels.gemm.matmul import SUM_ROWS
from ...ops.primitive import OpKind
from ..ir.step import Eqn, Var
from ..run.direction import Direction, Plan
from ..run.segments import Run, parts_of
from ..run.time_sums import Accumulator


class Item(NamedTuple):
    """An array, or several that are created together.

    Attributes
    ----------
    name
        What it holds.
    size
        In bytes.
    stays
        Whether the results of the run refer to it.
    """

    name: str
    size: int
    stays: bool


class Footprint(NamedTuple):
    """The arrays of one run of one direction.

    Attributes
    ----------
    before, loop, after
        The arrays that are created before the loop, by it, and after it.
    passing
        Bytes that are in use during the loop only.
    """

    before: list[Item]
    loop: list[Item]
    after: list[Item]
    passing: int

    @property
    def stays(self) -> int:
        """Bytes of the results."""
        return _total([item for item in (*self.before, *self.loop, *self.after) if item.stays])

    @property
    def peak(self) -> int:
        """The most bytes in use at once."""
        return _total(self.before) + _total(self.loop) + max(self.passing, _total(self.after))


class Prediction(NamedTuple):
    """The memory of a training step.

    Attributes
    ----------
    forward, backward
        Of the whole run, or of its longest segment.
    whole
        Arrays over all times of a run in segments: outputs, cotangents of inputs, the carry at the start of segments.
    kept
        Bytes in use between the forward and the backward run, outputs included.
    peak_forward, peak_backward
        The most bytes in use at once in each run, those in use between them included.
    """

    forward: Footprint
    backward: Footprint | None
    whole: list[Item]
    kept: int
    peak_forward: int
    peak_backward: int


def predict(plan: Plan, run: Run, names: Mapping[Var, str], backward_names: Mapping[Var, str]) -> Prediction:
    """Return the memory of the forward and backward runs of a plan; the loops must have source."""
    parts = parts_of(run)
    T = max(part.run.T for part in parts)
    step, gradient = plan.forward.step, plan.gradient
    forward = footprint(plan.forward, T, names, {*plan.residuals, *step.ys})
    backward = footprint(plan.backward, T, backward_names, set(plan.backward.step.ys)) if plan.backward else None
    added = plan.backward.kernel.stages.time_sums if plan.backward and plan.backward.kernel else ()
    blocks = Item("sums over blocks of times", -(-run.T // SUM_ROWS) * sum(map(_bytes, added)), False)
    if len(parts) == 1:
        if backward and added:
            backward.loop.append(blocks)
        peak = forward.stays + (backward.peak if backward else 0)
        return Prediction(forward, backward, [], forward.stays, forward.peak, peak)
    outputs = [Item(f"ys {names[y]}", run.T * _bytes(y), True) for y in step.ys]
    outputs += [Item(f"borders {names[var]}", len(parts) * _bytes(var), True) for var in step.carry]
    inputs = [Item(f"d{names[x]}", run.T * _bytes(x), True) for x in (gradient.inputs if gradient else ())]
    kept, peak = _total(outputs), 0
    if plan.backward and backward:
        residuals = footprint(plan.forward, T, names, set(plan.residuals)).stays
        peak = max(forward.peak, residuals + backward.peak)
        totals = [Accumulator(group, run.reverse) for group in plan.backward.groups]
        totals = [total for total in totals if set(added).isdisjoint(total.needs)]
        waiting = [_waiting(total, run.T) for total in totals]
        inputs.append(Item("sums that fill no block", sum(waiting) + max(waiting, default=0), False))
        inputs += [blocks] if added else []
    return Prediction(forward, backward, [*outputs, *inputs], kept, kept + forward.peak, kept + _total(inputs) + peak)


def _waiting(total: Accumulator, T: int) -> int:
    """Return the bytes of the matrix rows that wait until a block of a sum is full."""
    one = [
        matrix(np.empty((1, *var.shape), var.dtype)) for matrix, var in zip(total.matrices, total.needs, strict=False)
    ]
    return sum(min(total.block, T * len(rows)) * rows.shape[1] * rows.itemsize for rows in one)


def footprint(direction: Direction, T: int, names: Mapping[Var, str], results: set[Var]) -> Footprint:
    """Return the arrays of one run; `results` are the variables that outlive it."""
    kernel = direction.kernel
    assert kernel is not None
    holding: set[object] = set(results)
    for eqn in reversed(direction.after):
        if eqn.primitive.kind is OpKind.VIEW and not holding.isdisjoint(eqn.results):
            holding.update(eqn.reads)
    held: dict[object, list[Var]] = {}
    for var, buffer, *_ in kernel.outputs:
        held.setdefault(buffer.var if buffer.kind in {"now", "next", "varying"} else buffer, []).append(var)
    needed = {var for eqn in direction.after for var in eqn.reads}.union(results)
    needed.update(var for total in direction.time_sums.values() for var in total.needs)
    loop: list[Item] = []
    passing = sum(panels.nbytes for _, panels in kernel.panels) + sum(map(_bytes, direction.step.carry))
    for buffer in kernel.source.buffers:
        size = buffer.slabs(T) * (kernel.N if buffer.batched else 1) * buffer.size * buffer.dtype.itemsize
        inside = held.get(buffer.var if buffer.kind == "now" else buffer, [])
        if buffer.kind in {"now", "stack"} and not needed.isdisjoint(inside):
            label = "loop " + ", ".join([names[var] for var in inside])
            loop.append(Item(label, size, not holding.isdisjoint(inside)))
        else:
            passing += size
    reused = {var for var, inside in held.items() if not holding.isdisjoint(inside)}
    before = _items(direction.stages.before, T, direction.time_varying, names, holding | reused, "before ")
    after = _items(direction.after, T, direction.time_varying, names, holding, "after ")
    after += [Item(f"sum {names[var]}", _bytes(var), True) for var in direction.time_sums]
    return Footprint(before, loop, after, passing)


def _items(
    eqns: Iterable[Eqn], T: int, over: set[Var], names: Mapping[Var, str], holding: Collection[object], label: str
) -> list[Item]:
    """Return the arrays that equations outside of the loop create; those in `over` have one value per time."""
    results = [var for eqn in eqns if eqn.primitive.kind is not OpKind.VIEW for var in eqn.results]
    return [Item(label + names[var], (T if var in over else 1) * _bytes(var), var in holding) for var in results]


def _bytes(var: Var) -> int:
    return math.prod(var.shape) * var.dtype.itemsize


def _total(items: Iterable[Item]) -> int:
    return sum(item.size for item in items)
