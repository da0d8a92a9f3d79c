"""Which arrays of a loop have one row for each sequence of the batch.

Where all sequences are computed alike and apart, the loop can run row by row: what one row needs stays in the first
cache, and threads share the rows out. The first axis of the carry is taken for the batch, and every equation must
either keep it first and apart or not have it. Otherwise the loop has no rows, which is right too, only slower.
"""

from __future__ import annotations

from collections.abc import Iterable

from .arrange import Loop, is_elementwise
from .ir import Eqn, Var
from .partition import REDUCTIONS


class _ConflictError(Exception):
    """A variable cannot be what it was taken for."""

    def __init__(self, *suspects: Var) -> None:
        super().__init__()
        self.suspects = suspects


def find_rows(loop: Loop) -> tuple[int, frozenset[Var]] | None:
    """Return the number of rows N and the variables whose first axis they are, or None."""
    sizes = {var.shape[:1] for var in loop.carry}
    made = {result for eqn in loop.eqns for result in eqn.results}
    given = dict.fromkeys([v for eqn in loop.eqns for v in eqn.reads if v not in made and v not in loop.carry])
    if not loop.carry:
        sizes = {var.shape[:1] for var in given if var.ndim >= 2 and var not in loop.totals}
    if len(sizes) != 1 or sizes == {()}:
        return None
    ((N,),) = sizes
    rows = {var for var in given if var.shape[:1] == (N,)}
    while True:
        try:
            return N, frozenset(_spread(loop, N, rows | set(loop.carry)))
        except _ConflictError as conflict:
            wrong = rows.intersection(conflict.suspects)
            if not wrong:
                return None
            rows -= wrong


def _spread(loop: Loop, N: int, rows: set[Var]) -> set[Var]:
    found = set(rows)
    for eqn in loop.eqns:
        if _has_rows(eqn, N, found):
            found.update(eqn.results)
    for before, after in zip((*loop.carry, *loop.totals), (*loop.carry_out, *loop.totals_out), strict=True):
        if (before in found) != (after in found):
            raise _ConflictError(before)
    return found


def _has_rows(eqn: Eqn, N: int, rows: set[Var]) -> bool:
    """Return whether the results have rows; raise `_ConflictError` if the equation mixes them."""
    name, reads = eqn.primitive.name, list(eqn.reads)
    mine = [var for var in reads if var in rows]
    if name == "broadcast_to" and not mine:
        return eqn.result.shape[:1] == (N,)
    if not mine:
        return False
    x, params = mine[0], eqn.params
    if is_elementwise(eqn) or name == "concat":
        rank = eqn.result.ndim
        _require([var for var in mine if var.ndim == rank] == mine, [var for var in mine if var.ndim != rank])
        others = [var for var in reads if var not in rows and var.ndim == rank]
        if name == "concat":
            _require(params["axis"] != 0 and not others, reads)
        else:
            _require(all(var.shape[0] == 1 for var in others), mine + others)
        return True
    if name == "matmul":
        a, b = eqn.operands
        fits = a.ndim >= 2 and (b not in rows or b.ndim >= 3) and (a in rows or b.ndim >= 3)
        rank = eqn.result.ndim
        apart = all(var.ndim == rank for var in mine) and all(
            var.ndim < rank or var.ndim == 2 or var.shape[0] == 1 for var in reads if var not in rows
        )
        _require(fits and apart and (a not in rows or a.ndim >= 3 or b.ndim == 2), mine)
        return True
    if name == "embedding" or name == "take":
        _require(eqn.operands[0] not in rows, [eqn.operands[0]])
    elif name == "categorical":
        _require(all(var in rows for var in eqn.operands[:2]) and eqn.operands[2] not in rows, reads)
    elif name in REDUCTIONS:
        _require(0 not in params["axes"], mine)
    elif name == "reshape":
        _require(eqn.result.shape[:1] == x.shape[:1], mine)
    elif name == "permute_dims":
        _require(params["axes"][0] == 0, mine)
    elif name == "index":
        part = params["key"][0]
        _require(part.start == 0 and part.stop == N and part.step == 1, mine)
    elif name == "split":
        _require(params["axis"] != 0, mine)
    elif name == "broadcast_to":
        _require(eqn.result.ndim == x.ndim and eqn.result.shape[0] == N, mine)
    return True


def _require(fits: bool, suspects: Iterable[Var]) -> None:
    if not fits:
        raise _ConflictError(*suspects)
