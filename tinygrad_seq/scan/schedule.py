"""The order of a loop's work: stretches of work on one row after the other, between products with constant matrices.

    for each time:
        rows     for each row:  nest, nest, reduction, nest ...     everything in the first cache
        product  h @ W          all rows at once
        rows     ...

A *nest* is a set of elementwise equations over the same axes: one loop, in which values stay in registers.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass, field

from .arrange import Loop, is_elementwise
from .ir import Eqn, Var, live
from .partition import VIEWS


@dataclass(eq=False)
class Nest:
    """Elementwise equations over one set of axes."""

    shape: tuple[int, ...]
    eqns: list[Eqn] = field(default_factory=list)


# What a row does in turn: a nest, or a reduction or product of its own.
Item = Nest | Eqn


@dataclass(eq=False)
class Stretch:
    """Work on each row by itself, then products of all rows with constant matrices."""

    items: list[Item] = field(default_factory=list)
    products: list[Eqn] = field(default_factory=list)


def is_placed(eqn: Eqn) -> bool:
    """Return whether an equation only says where something is."""
    return eqn.primitive.name in VIEWS or eqn.primitive.name == "concat"


def schedule(loop: Loop, rows: Collection[Var], constants: Collection[Var]) -> list[Stretch]:
    """Return the stretches of one turn of the loop."""
    depth: dict[Var, int] = {}
    levels: dict[int, list[Eqn]] = {}
    for eqn in loop.eqns:
        level = max([depth.get(var, 0) for var in eqn.reads], default=0)
        heavy = not is_elementwise(eqn) and not is_placed(eqn)
        if heavy:
            levels.setdefault(level, []).append(eqn)
        depth.update(dict.fromkeys(eqn.results, level + heavy))
    left = dict.fromkeys(loop.eqns)
    stretches = [Stretch()]
    for level in sorted(levels):
        reads = [var for eqn in levels[level] for var in eqn.reads]
        stretches[-1].items += _nests(_take(left, live(left, reads)), rows, left)
        for eqn in levels[level]:
            del left[eqn]
        apart = [eqn for eqn in levels[level] if is_product(eqn, rows, constants)]
        stretches[-1].items += [eqn for eqn in levels[level] if eqn not in apart]
        if apart:
            stretches[-1].products += apart
            stretches.append(Stretch())
    stretches[-1].items += _nests(_take(left, tuple(left)), rows, left)
    return stretches


def is_product(eqn: Eqn, rows: Collection[Var], constants: Collection[Var]) -> bool:
    """Return whether an equation is the product of all rows with one matrix that is the same at every time."""
    if eqn.primitive.name != "matmul":
        return False
    a, b = eqn.operands
    alike = a.dtype == b.dtype == eqn.result.dtype and a.dtype.kind == "f"
    return alike and b in constants and b.ndim == 2 and (a in rows or not rows)


def _take(left: dict[Eqn, None], eqns: Iterable[Eqn]) -> list[Eqn]:
    taken = [eqn for eqn in eqns if eqn in left and (is_elementwise(eqn) or is_placed(eqn))]
    for eqn in taken:
        del left[eqn]
    return taken


def features(var: Var, rows: Collection[Var]) -> tuple[int, ...]:
    """Return the shape of one row of `var`."""
    return var.shape[1:] if var in rows else var.shape


def _nests(eqns: list[Eqn], rows: Collection[Var], later: dict[Eqn, None]) -> list[Nest]:
    """Return the elementwise ones among `eqns` in as few nests as a greedy choice finds."""
    pending = {result for eqn in (*eqns, *later) for result in eqn.results}
    nests: list[Nest] = []
    while eqns:
        nest: Nest | None = None
        inside: set[Var] = set()
        progress = True
        while progress:
            progress = False
            for eqn in tuple(eqns):
                if is_placed(eqn):
                    ready = not any(var in pending for var in eqn.reads)
                else:
                    shape = features(eqn.result, rows)
                    ready = not any(var in pending and var not in inside for var in eqn.reads)
                    ready = ready and (nest is None or nest.shape == shape)
                if not ready:
                    continue
                eqns.remove(eqn)
                progress = True
                if is_placed(eqn):
                    pending.difference_update(eqn.results)
                    continue
                if nest is None:
                    nest = Nest(shape)
                    nests.append(nest)
                nest.eqns.append(eqn)
                inside.update(eqn.results)
            if nest is not None and not progress:
                progress = _join(nest, inside, pending, later, rows)
        pending -= inside
    return nests


def _join(
    nest: Nest, inside: set[Var], pending: Collection[Var], later: dict[Eqn, None], rows: Collection[Var]
) -> bool:
    """Move an equation to `nest` that is not needed yet but reads what is in registers there."""
    for eqn in later:
        if (
            is_elementwise(eqn)
            and features(eqn.result, rows) == nest.shape
            and any(var in inside for var in eqn.reads)
            and not any(var in pending and var not in inside for var in eqn.reads)
        ):
            nest.eqns.append(eqn)
            inside.update(eqn.results)
            del later[eqn]
            return True
    return False
