"""Find the variables of a loop whose first axis is the batch.

Where all elements of the batch are computed alike and separately, the loop can run one batch element after the other:
what one element needs stays in the first cache, and threads share the elements out. The first axis of the carry is
taken for the batch. Every equation must keep it first and its elements apart, or not have it. Otherwise the loop has no
batch axis, which is correct too, only slower.

In a loop with a batch axis every computed value has that axis. A value without it does not depend on the carry, so it
is computed before the loop, for all times at once (`hoist_unbatched`). Inside the loop it would be computed once per
batch element, which gives a wrong result wherever it overwrites what it reads.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from ...base.modes import ieee
from ...ops.linear import matmul
from ...ops.primitive import OpKind
from ..ir.check import CHECKING, check_stages
from ..ir.step import Eqn, Stages, Var
from .arrange import Loop, is_elementwise


class _ConflictError(Exception):
    """A variable cannot be what it was taken for."""

    def __init__(self, *suspects: Var) -> None:
        super().__init__()
        self.suspects = suspects


def hoist_unbatched(stages: Stages) -> Stages:
    """Return `stages` with the values that have no batch axis moved from a loop with one to the work before it."""
    step = stages.step
    found = _batch_axis(stages.during, step.carry, step.carry_out)
    if found is None:
        return stages
    _, batched = found
    moved = [eqn for eqn in stages.during if batched.isdisjoint(eqn.results)]
    if not moved:
        return stages
    during = tuple([eqn for eqn in stages.during if eqn not in moved])
    made = {result for eqn in during for result in eqn.results}
    return check_stages(
        replace(
            stages,
            before=(*stages.before, *moved),
            during=during,
            saved=tuple([var for var in stages.saved if var in made]),
            time_sums=tuple([var for var in stages.time_sums if var in made]),
        )
    )


def with_batch_axis(loop: Loop) -> Loop:
    """Return `loop` with its batch size and the variables that have a batch axis."""
    found = _batch_axis(loop.eqns, loop.carry, loop.carry_out, loop.time_sums, loop.time_sums_out)
    computed = [eqn for eqn in loop.eqns if eqn.primitive.kind is not OpKind.VIEW]
    if found is None or not all(found[1].issuperset(eqn.results) for eqn in computed):
        return replace(loop, batch_size=1, batched=frozenset())
    check_batch_axis(loop.eqns, *found)
    return replace(loop, batch_size=found[0], batched=found[1])


def _batch_axis(
    eqns: Sequence[Eqn],
    carry: Sequence[Var],
    carry_out: Sequence[Var],
    time_sums: Sequence[Var] = (),
    time_sums_out: Sequence[Var] = (),
) -> tuple[int, frozenset[Var]] | None:
    """Return the batch size N and the variables with a batch axis; None if the loop has none."""
    sizes = {var.shape[:1] for var in carry}
    made = {result for eqn in eqns for result in eqn.results}
    given = dict.fromkeys([v for eqn in eqns for v in eqn.reads if v not in made and v not in carry])
    if not carry:
        sizes = {var.shape[:1] for var in given if var.ndim >= 2 and var not in time_sums}
    if len(sizes) != 1 or sizes == {()}:
        return None
    ((N,),) = sizes
    candidates = {var for var in given if var.shape[:1] == (N,)}
    while True:
        batched = candidates.union(carry)
        try:
            for eqn in eqns:
                if _has_batch_axis(eqn, N, batched):
                    batched.update(eqn.results)
            for before, after in zip((*carry, *time_sums), (*carry_out, *time_sums_out), strict=True):
                _require((before in batched) == (after in batched), [before])
            return N, frozenset(batched)
        except _ConflictError as conflict:
            wrong = candidates.intersection(conflict.suspects)
            if not wrong:
                return None
            candidates -= wrong


def _has_batch_axis(eqn: Eqn, N: int, batched: set[Var]) -> bool:
    """Return whether the results have a batch axis; raise `_ConflictError` if the equation mixes batch elements."""
    kind, reads, params = eqn.primitive.kind, list(eqn.reads), eqn.params
    mine = [var for var in reads if var in batched]
    if kind is OpKind.VIEW:
        return _view_has_batch_axis(eqn, N, mine)
    if not mine:
        return False
    if is_elementwise(eqn) or kind is OpKind.JOIN:
        rank = eqn.result.ndim
        _require([var for var in mine if var.ndim == rank] == mine, [var for var in mine if var.ndim != rank])
        others = [var for var in reads if var not in batched and var.ndim == rank]
        if kind is OpKind.JOIN:
            _require(params["axis"] != 0 and not others, reads)
        else:
            _require(all(var.shape[0] == 1 for var in others), mine + others)
        return True
    if eqn.primitive is matmul:  # all other products are lowered to it
        a, b = eqn.operands
        _require(b not in batched or b.ndim != 2, [b])  # a matrix with as many rows as there are batch elements
        fits = a.ndim >= 2 and (b not in batched or b.ndim >= 3) and (a in batched or b.ndim >= 3)
        rank = eqn.result.ndim
        apart = all(var.ndim == rank for var in mine) and all(
            var.ndim < rank or var.ndim == 2 or var.shape[0] == 1 for var in reads if var not in batched
        )
        _require(fits and apart and (a not in batched or a.ndim >= 3 or b.ndim == 2), mine)
        return True
    if kind is OpKind.LOOKUP:
        _require(eqn.operands[0] not in batched, [eqn.operands[0]])
    elif kind is OpKind.DRAW:
        _require(all(var in batched for var in eqn.operands[:2]) and eqn.operands[2] not in batched, reads)
    elif kind is OpKind.REDUCTION:
        _require(0 not in params["axes"], mine)
    else:  # nothing is known of it
        raise _ConflictError(*mine)
    return True


def _view_has_batch_axis(eqn: Eqn, N: int, batched: list[Var]) -> bool:
    """Return the same of a view: the batch axis is that of its operand, or a broadcast one."""
    assert eqn.primitive.view is not None
    for result, found in zip(eqn.results, eqn.primitive.view(eqn.operands[0].shape, **eqn.params), strict=True):
        first, *others = found.steps or (None,)
        if not batched:
            return first is None and result.shape[:1] == (N,)
        moved = {axis for axis, count in (*filter(None, others), *found.starts) if count}.union(*found.adjacent)
        _require(first == (0, 1) and result.shape[0] == N and 0 not in moved, batched)
    return bool(batched)


def _require(fits: bool, suspects: Iterable[Var]) -> None:
    if not fits:
        raise _ConflictError(*suspects)


@ieee
def check_batch_axis(eqns: Iterable[Eqn], N: int, batched: frozenset[Var]) -> None:
    """Raise AssertionError if an element of the batch depends on another one.

    Each equation is run twice on random numbers, the second time with one batch element of its operands changed. The
    others must keep every bit of their results. Integers are not changed, as they may be indices.
    """
    if not CHECKING or not N:
        return
    random, changed = np.random.default_rng(0), 0
    for eqn in eqns:
        if batched.isdisjoint(eqn.results):
            continue
        operands: list[Any] = [_sample(o, random) if o.__class__ is Var else o for o in eqn.operands]
        others = list(operands)
        for position, operand in enumerate(eqn.operands):
            if operand.__class__ is Var and operand in batched and operand.dtype.kind == "f":
                others[position] = operands[position].copy()
                others[position][changed] = _sample(operand, random)[changed]
        first, second = (
            values if eqn.primitive.multiple else (values,)
            for values in (eqn.primitive.forward(*arrays, **eqn.params) for arrays in (operands, others))
        )
        for result, one, two in zip(eqn.results, map(np.asarray, first), map(np.asarray, second), strict=True):
            assert one.shape[:1] == (N,), f"{eqn.primitive.name}: {result.aval} should have a batch axis of {N}"
            same = [np.delete(array, changed, axis=0).tobytes() for array in (one, two)]
            assert same[0] == same[1], f"{eqn.primitive.name} mixes elements of the batch"


def _sample(var: Var, random: np.random.Generator) -> np.ndarray:
    if var.dtype.kind != "f":
        return np.zeros(*var.aval)
    return random.uniform(0.5, 1.5, var.shape).astype(var.dtype)
