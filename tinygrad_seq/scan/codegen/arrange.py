"""The equations of the loop in the form that the emitter wants.

* A cut of an elementwise result becomes the elementwise operation on the cuts of its operands: four gates that were
  added as one array are added gate by gate, in registers, where the next operation wants them.
* Every carry that leaves and every part of a `concat` is a result with one home, copied if need be.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any, NamedTuple

from ...ops.casting import alias
from ...ops.primitive import TABLE, OpKind
from ..ir.rewrite import rewrite
from ..ir.step import Eqn, Stages, Var, check_order, live
from ..ir.trace import Builder, Tracer


class Loop(NamedTuple):
    """What happens in one turn of the loop.

    Attributes
    ----------
    eqns
        In an order in which each can be done.
    carry, carry_out
        What comes from the turn before and goes to the next; every `carry_out` is the result of its own equation.
    kept
        What is stacked over time.
    became
        For variables of the step that have another name here: that name.
    totals, totals_out
        For what is added up over time: its sum so far, and with this turn's value. Both are one array.
    """

    eqns: tuple[Eqn, ...]
    carry: tuple[Var, ...]
    carry_out: tuple[Var, ...]
    kept: tuple[Var, ...]
    became: dict[Var, Var]
    totals: tuple[Var, ...] = ()
    totals_out: tuple[Var, ...] = ()


def arrange(stages: Stages, cuts_carry: bool = False) -> Loop:
    """Return the loop of `stages`.

    With `cuts_carry` the carry that leaves is overwritten with zeros at the edge of a window, so it gets memory of its
    own, apart from what is stacked.
    """
    cut, became = _cut_operands_first(stages)
    kept = tuple(dict.fromkeys([became.get(var, var) for var in stages.kept]))
    carry_out = [became.get(var, var) for var in stages.step.carry_out]
    computed = {r for eqn in cut if eqn.primitive.kind not in {OpKind.VIEW, OpKind.JOIN} for r in eqn.results}
    eqns: list[Eqn] = []

    def own(var: Var, taken: set[Var]) -> Var:
        """Return `var`, or a copy if it is not computed here or has a home already."""
        if var in computed and var not in taken:
            taken.add(var)
            return var
        copy = Var(var.aval)
        eqns.append(Eqn(alias, (var,), {}, (copy,)))
        return copy

    taken = {*kept, *carry_out}
    for eqn in cut:
        parts = eqn.operands
        if eqn.primitive.kind is OpKind.JOIN:
            parts = tuple([own(operand, taken) for operand in parts])
        eqns.append(Eqn(eqn.primitive, parts, eqn.params, eqn.results))
    taken = {part for eqn in eqns if eqn.primitive.kind is OpKind.JOIN for part in eqn.operands}
    if cuts_carry:
        viewed = {part: eqn.operands[0] for eqn in eqns if eqn.primitive.kind is OpKind.VIEW for part in eqn.results}
        for var in kept:
            while var in viewed:
                var = viewed[var]
            taken.add(var)
    left = tuple([own(var, taken) for var in carry_out])
    totals, totals_out = (tuple([Var(var.aval) for var in stages.added]) for _ in range(2))
    for var, total, out in zip(stages.added, totals, totals_out, strict=True):
        eqns.append(Eqn(TABLE["add"], (total, became.get(var, var)), {}, (out,)))
    check_order(eqns, (*left, *totals_out))
    return Loop(tuple(eqns), stages.step.carry, left, kept, became, totals, totals_out)


def with_copy(loop: Loop, eqn: Eqn, var: Var) -> tuple[Loop, Var]:
    """Return `loop` with `eqn` reading, or writing, a copy of `var`; and the copy."""
    copy = Var(var.aval)
    operands = tuple([copy if operand is var else operand for operand in eqn.operands])
    results = tuple([copy if result is var else result for result in eqn.results])
    changed = [Eqn(eqn.primitive, operands, eqn.params, results)]
    if var in eqn.results:
        changed.append(Eqn(alias, (copy,), {}, (var,)))
    else:
        changed.insert(0, Eqn(alias, (var,), {}, (copy,)))
    eqns = [part for other in loop.eqns for part in (changed if other is eqn else [other])]
    check_order(eqns, loop.carry_out)
    return loop._replace(eqns=tuple(eqns)), copy


def is_elementwise(eqn: Eqn) -> bool:
    """Return whether an equation is computed element by element in the loop."""
    return eqn.primitive.kind in {OpKind.ELEMENTWISE, OpKind.CAST}


def _cut_operands_first(stages: Stages) -> tuple[tuple[Eqn, ...], dict[Var, Var]]:
    uses = Counter([operand for eqn in stages.during for operand in set(eqn.reads)])
    outputs = {*stages.kept, *stages.added, *stages.step.carry_out}
    builder = Builder()
    passing: set[Var] = set()  # elementwise results, as rewritten, that only one equation reads

    def through(x: Any, cut: Callable[[Any, int], list[Any]], count: int) -> list[Any] | None:
        """Return the elementwise operation that made `x` applied to each cut of its operands."""
        eqn = builder.producer.get(x._var)
        if eqn is None or x._var not in passing:
            return None
        columns = [
            cut(Tracer(builder, operand), x.ndim - operand.ndim) if operand.__class__ is Var else [operand] * count
            for operand in eqn.operands
        ]
        return [builder.apply(eqn.primitive, row, eqn.params) for row in zip(*columns, strict=True)]

    def split(x: Any, cuts: tuple[int, ...], axis: int) -> Any:
        def cut(operand: Any, offset: int) -> list[Any]:
            at = axis - offset
            stretched = at < 0 or operand.shape[at] == 1
            return [operand] * (len(cuts) + 1) if stretched else list(split(operand, cuts, at))

        found = through(x, cut, len(cuts) + 1)
        return TABLE["split"](x, cuts=cuts, axis=axis) if found is None else found

    def index(x: Any, key: tuple[slice, ...]) -> Any:
        def cut(operand: Any, offset: int) -> list[Any]:
            own = [slice(0, 1, 1) if n == 1 else k for k, n in zip(key[offset:], operand.shape, strict=True)]
            return [index(operand, tuple(own)) if operand.ndim else operand]

        found = through(x, cut, 1)
        return TABLE["index"](x, key=key) if found is None else found[0]

    became: dict[Var, Var] = {}
    for eqn in stages.during:
        _, became = rewrite([eqn], {"split": split, "index": index}, builder, became)
        if eqn.primitive.kind is OpKind.ELEMENTWISE and uses[eqn.result] == 1 and eqn.result not in outputs:
            passing.add(became[eqn.result])
    return live(builder.eqns, [became.get(var, var) for var in outputs]), became
