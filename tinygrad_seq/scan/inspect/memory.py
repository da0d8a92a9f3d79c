"""How many bytes a run takes, said beforehand: of every array that is made, and of all at once at the worst moment.

Not counted are the arrays that are given (inputs, weights, cotangents) and what takes no more for a longer sequence
and a few rows, such as the row at work.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Mapping
from typing import NamedTuple

import numpy as np

from ...kernels.gemm.matmul import SUM_DEPTH, SUM_ROWS
from ...kernels.gemm.tile import PANEL_BYTES
from ...ops.primitive import OpKind
from ..ir.step import Eqn, Var
from ..run.direction import Direction, Plan
from ..run.segments import Run, parts_of
from ..run.time_sums import Total


class Item(NamedTuple):
    """An array, or some that are made together.

    Attributes
    ----------
    name
        What it holds.
    size
        In bytes.
    stays
        Whether the results of the run hold it.
    """

    name: str
    size: int
    stays: bool


class Footprint(NamedTuple):
    """The arrays of one run of one direction.

    Attributes
    ----------
    before, loop, after
        Those made before the loop, by it, and after it. What `loop` lists last is gone when it ends.
    passing
        Bytes of what the loop alone needs.
    """

    before: list[Item]
    loop: list[Item]
    after: list[Item]
    passing: int

    @property
    def stays(self) -> int:
        """Bytes of the results."""
        return sum(item.size for item in (*self.before, *self.loop, *self.after) if item.stays)

    @property
    def peak(self) -> int:
        """Bytes at the worst moment."""
        held = _total(self.before) + _total(self.loop)
        return max(held + self.passing, held + _total(self.after))


class Prediction(NamedTuple):
    """What a training step takes.

    Attributes
    ----------
    forward, backward
        Of the whole run, or of its longest segment.
    whole
        Over all times of a run in segments: outputs, cotangents of inputs, the carry at the borders.
    kept
        Bytes held between the two runs, outputs among them.
    peak_forward, peak_backward
        Bytes at the worst moment of each, what is held between them included.
    """

    forward: Footprint
    backward: Footprint | None
    whole: list[Item]
    kept: int
    peak_forward: int
    peak_backward: int


def predict(plan: Plan, run: Run, names: Mapping[Var, str], their: Mapping[Var, str]) -> Prediction:
    """Return what the forward and backward runs of a plan take; the loops must have source."""
    parts = parts_of(run)
    T = max(part.run.T for part in parts)
    results = {*plan.residuals, *plan.forward.step.ys}
    forward = footprint(plan.forward, T, names, results)
    step, gradient = plan.forward.step, plan.gradient
    backward = footprint(plan.backward, T, their, set(plan.backward.step.ys)) if plan.backward else None
    added = plan.backward.kernel.stages.added if plan.backward and plan.backward.kernel else ()
    blocks = Item("sums over blocks of times", -(-run.T // SUM_ROWS) * sum(map(_bytes, added)), False)
    if len(parts) == 1:
        if backward and added:
            backward.loop.append(blocks)
        peak = forward.stays + (backward.peak if backward else 0)
        return Prediction(forward, backward, [], forward.stays, forward.peak, peak)
    outputs = [Item(f"ys {names[y]}", run.T * _bytes(y), True) for y in step.ys]
    outputs += [Item(f"borders {names[var]}", len(parts) * _bytes(var), True) for var in step.carry]
    inputs = [Item(f"d{names[x]}", run.T * _bytes(x), True) for x in (gradient.inputs if gradient else ())]
    kept = _total(outputs)
    residuals = footprint(plan.forward, T, names, set(plan.residuals)).stays
    again = max(forward.peak, residuals + backward.peak) if backward else 0
    if plan.backward is not None:
        totals = [total for total in plan.backward.totals.values() if set(added).isdisjoint(total.needs)]
        waiting = [_waiting(total, run.T) for total in totals]
        inputs.append(Item("sums that fill no block", sum(waiting) + max(waiting, default=0), False))
        inputs += [blocks] if added else []
    return Prediction(forward, backward, [*outputs, *inputs], kept, kept + forward.peak, kept + _total(inputs) + again)


def _waiting(total: Total, T: int) -> int:
    """Return the bytes of the rows that wait for a block of a sum to be full."""
    one = [
        matrix(np.empty((1, *var.shape), var.dtype)) for matrix, var in zip(total.matrices, total.needs, strict=False)
    ]
    block = SUM_DEPTH if len(one) == 2 else SUM_ROWS
    return sum(min(block, T * len(rows)) * rows.shape[1] * rows.itemsize for rows in one)


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
        held.setdefault(buffer.var if buffer.kind in {"now", "next", "time"} else buffer, []).append(var)
    needed = {var for eqn in direction.after for var in eqn.reads}.union(results)
    needed.update(var for total in direction.totals.values() for var in total.needs)
    loop, passing = [], sum(_packed_bytes(var) for var in kernel.source.weights)
    passing += sum(_bytes(var) for var in direction.step.carry)
    for buffer in kernel.source.buffers:
        row = (kernel.N if buffer.rows else 1) * buffer.size * buffer.dtype.itemsize
        inside = held.get(buffer.var if buffer.kind == "now" else buffer, [])
        label = "loop " + ", ".join([names[var] for var in inside])
        if buffer.kind == "now":
            slabs = 2 if buffer.var in kernel.source.alternating else T + 1
        elif buffer.kind == "stack":
            slabs = T
        else:
            passing += row if buffer.kind == "block" else 0
            continue
        if needed.isdisjoint(inside):
            passing += slabs * row
        else:
            loop.append(Item(label, slabs * row, not holding.isdisjoint(inside)))
    reused = {var for var, inside in held.items() if not holding.isdisjoint(inside)}
    before = _items(direction.stages.before, T, direction.over, names, holding | reused, "before ")
    after = _items(direction.after, T, direction.over, names, holding, "after ")
    after += [Item(f"sum {names[var]}", _bytes(var), True) for var in direction.totals]
    return Footprint(before, loop, after, passing)


def _items(
    eqns: Iterable[Eqn], T: int, over: set[Var], names: Mapping[Var, str], holding: Collection[object], label: str
) -> list[Item]:
    found = []
    for eqn in eqns:
        if eqn.primitive.kind is not OpKind.VIEW:
            found += [
                Item(label + names[var], (T if var in over else 1) * _bytes(var), var in holding) for var in eqn.results
            ]
    return found


def _packed_bytes(weight: Var) -> int:
    columns = PANEL_BYTES // weight.dtype.itemsize
    return -(-weight.shape[1] // columns) * columns * weight.shape[0] * weight.dtype.itemsize


def _bytes(var: Var) -> int:
    return math.prod(var.shape) * np.dtype(var.dtype).itemsize


def _total(items: Iterable[Item]) -> int:
    return sum(item.size for item in items)
