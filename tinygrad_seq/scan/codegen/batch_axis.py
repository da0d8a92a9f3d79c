"""Which arrays of a loop have one row for each sequence of the batch.

Where all sequences are computed alike and apart, the loop can run row by row: what one row needs stays in the first
cache, and threads share the rows out. The first axis of the carry is taken for the batch, and every equation must
either keep it first and apart or not have it. Otherwise the loop has no rows, which is right too, only slower.

In a loop with rows every computed value has rows. A value without rows does not depend on the carry, so it is computed
before the loop, for all times at once (`without_rows_first`). Inside, it would be computed once per row, which gives a
wrong result wherever it overwrites what it reads.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from ...base.modes import ieee
from ...ops.linear import matmul
from ...ops.primitive import OpKind
from ..ir.step import CHECKING, Eqn, Stages, Var, check_stages
from .arrange import Loop, is_elementwise


class _ConflictError(Exception):
    """A variable cannot be what it was taken for."""

    def __init__(self, *suspects: Var) -> None:
        super().__init__()
        self.suspects = suspects


def without_rows_first(stages: Stages) -> Stages:
    """Return `stages` with what has no rows moved from a loop with rows to the work before the loop."""
    step = stages.step
    found = _rows_of(stages.during, step.carry, step.carry_out)
    if found is None:
        return stages
    _, rows = found
    moved = [eqn for eqn in stages.during if rows.isdisjoint(eqn.results)]
    if not moved:
        return stages
    during = tuple([eqn for eqn in stages.during if eqn not in moved])
    made = {result for eqn in during for result in eqn.results}
    return check_stages(
        replace(
            stages,
            before=(*stages.before, *moved),
            during=during,
            kept=tuple([var for var in stages.kept if var in made]),
            added=tuple([var for var in stages.added if var in made]),
        )
    )


def find_rows(loop: Loop) -> tuple[int, frozenset[Var]]:
    """Return the number of rows N and the variables whose first axis they are; 1 and none if the loop has no rows."""
    found = _rows_of(loop.eqns, loop.carry, loop.carry_out, loop.totals, loop.totals_out)
    if found is None or not all(found[1].issuperset(eqn.results) for eqn in loop.eqns if not _is_view(eqn)):
        return 1, frozenset()
    check_rows(loop.eqns, *found)
    return found


def _is_view(eqn: Eqn) -> bool:
    return eqn.primitive.kind is OpKind.VIEW


def _rows_of(
    eqns: Sequence[Eqn],
    carry: Sequence[Var],
    carry_out: Sequence[Var],
    totals: Sequence[Var] = (),
    totals_out: Sequence[Var] = (),
) -> tuple[int, frozenset[Var]] | None:
    """Return N and the variables with rows, or None."""
    sizes = {var.shape[:1] for var in carry}
    made = {result for eqn in eqns for result in eqn.results}
    given = dict.fromkeys([v for eqn in eqns for v in eqn.reads if v not in made and v not in carry])
    if not carry:
        sizes = {var.shape[:1] for var in given if var.ndim >= 2 and var not in totals}
    if len(sizes) != 1 or sizes == {()}:
        return None
    ((N,),) = sizes
    rows = {var for var in given if var.shape[:1] == (N,)}
    while True:
        try:
            found = _spread(eqns, N, rows.union(carry))
            _require_alike(found, (*carry, *totals), (*carry_out, *totals_out))
            return N, frozenset(found)
        except _ConflictError as conflict:
            wrong = rows.intersection(conflict.suspects)
            if not wrong:
                return None
            rows -= wrong


def _spread(eqns: Iterable[Eqn], N: int, rows: set[Var]) -> set[Var]:
    """Return `rows` and every result that has rows if they do."""
    found = set(rows)
    for eqn in eqns:
        if _has_rows(eqn, N, found):
            found.update(eqn.results)
    return found


def _require_alike(rows: set[Var], entered: Sequence[Var], left: Sequence[Var]) -> None:
    for before, after in zip(entered, left, strict=True):
        _require((before in rows) == (after in rows), [before])


def _has_rows(eqn: Eqn, N: int, rows: set[Var]) -> bool:
    """Return whether the results have rows; raise `_ConflictError` if the equation mixes them."""
    kind, reads, params = eqn.primitive.kind, list(eqn.reads), eqn.params
    mine = [var for var in reads if var in rows]
    if kind is OpKind.VIEW:
        return _view_has_rows(eqn, N, mine)
    if not mine:
        return False
    if is_elementwise(eqn) or kind is OpKind.JOIN:
        rank = eqn.result.ndim
        _require([var for var in mine if var.ndim == rank] == mine, [var for var in mine if var.ndim != rank])
        others = [var for var in reads if var not in rows and var.ndim == rank]
        if kind is OpKind.JOIN:
            _require(params["axis"] != 0 and not others, reads)
        else:
            _require(all(var.shape[0] == 1 for var in others), mine + others)
        return True
    if eqn.primitive is matmul:  # all other products are made of it
        a, b = eqn.operands
        fits = a.ndim >= 2 and (b not in rows or b.ndim >= 3) and (a in rows or b.ndim >= 3)
        rank = eqn.result.ndim
        apart = all(var.ndim == rank for var in mine) and all(
            var.ndim < rank or var.ndim == 2 or var.shape[0] == 1 for var in reads if var not in rows
        )
        _require(fits and apart and (a not in rows or a.ndim >= 3 or b.ndim == 2), mine)
        return True
    if kind is OpKind.LOOKUP:
        _require(eqn.operands[0] not in rows, [eqn.operands[0]])
    elif kind is OpKind.DRAW:
        _require(all(var in rows for var in eqn.operands[:2]) and eqn.operands[2] not in rows, reads)
    elif kind is OpKind.REDUCTION:
        _require(0 not in params["axes"], mine)
    else:  # nothing is known of it
        raise _ConflictError(*mine)
    return True


def _view_has_rows(eqn: Eqn, N: int, mine: list[Var]) -> bool:
    """Return the same of a view: rows are those of its operand, or one repeated."""
    assert eqn.primitive.view is not None
    for result, found in zip(eqn.results, eqn.primitive.view(eqn.operands[0].shape, **eqn.params), strict=True):
        first, *others = found.steps or (None,)
        if not mine:
            return first is None and result.shape[:1] == (N,)
        moved = {axis for axis, count in (*filter(None, others), *found.starts) if count}.union(*found.adjacent)
        _require(first == (0, 1) and result.shape[0] == N and 0 not in moved, mine)
    return bool(mine)


def _require(fits: bool, suspects: Iterable[Var]) -> None:
    if not fits:
        raise _ConflictError(*suspects)


@ieee
def check_rows(eqns: Iterable[Eqn], N: int, rows: frozenset[Var]) -> None:
    """Raise AssertionError if a row of a result depends on another row of the operands.

    Each equation is run twice on random numbers, the second time with one row of its operands changed: the other rows
    of its results must keep every bit. Integers are left alone, as they may be indices.
    """
    if not CHECKING or not N:
        return
    random, changed = np.random.default_rng(0), 0
    for eqn in eqns:
        if rows.isdisjoint(eqn.results):
            continue
        operands: list[Any] = [_sample(o, random) if o.__class__ is Var else o for o in eqn.operands]
        others = list(operands)
        for position, operand in enumerate(eqn.operands):
            if operand.__class__ is Var and operand in rows and operand.dtype.kind == "f":
                others[position] = operands[position].copy()
                others[position][changed] = _sample(operand, random)[changed]
        first, second = (
            values if eqn.primitive.multiple else (values,)
            for values in (eqn.primitive.forward(*arrays, **eqn.params) for arrays in (operands, others))
        )
        for result, one, two in zip(eqn.results, map(np.asarray, first), map(np.asarray, second), strict=True):
            assert one.shape[:1] == (N,), f"{eqn.primitive.name}: {result.aval} is said to have {N} rows"
            same = [np.delete(array, changed, axis=0).tobytes() for array in (one, two)]
            assert same[0] == same[1], f"{eqn.primitive.name} mixes rows that are said to be apart"


def _sample(var: Var, random: np.random.Generator) -> np.ndarray:
    if var.dtype.kind != "f":
        return np.zeros(*var.aval)
    return random.uniform(0.5, 1.5, var.shape).astype(var.dtype)
