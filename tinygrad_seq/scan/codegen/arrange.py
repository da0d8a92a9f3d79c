"""Rewrite the equations of a loop for the code generator.

* A split or slice of an elementwise result becomes the elementwise operation on the pieces of its operands. Four gates
  that were added as one array are added gate by gate, in registers, where the next operation reads them.
* Every next carry and every operand of a `concat` is computed by an equation of its own, a copy if necessary, so that
  it can be written where it is read.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

from ...ops.arithmetic import add
from ...ops.casting import alias
from ...ops.primitive import TABLE, OpKind, Primitive
from ..ir.check import check_eqns
from ..ir.rewrite import Rewriter, Rule, rewrite
from ..ir.step import Eqn, Stages, Var, live
from ..ir.trace import Tracer

_index, _split = TABLE["index"], TABLE["split"]  # the views that take parts of an array


@dataclass(frozen=True, eq=False)
class Loop:
    """One iteration of a loop over time.

    Attributes
    ----------
    eqns
        The equations, operands before results.
    carry, carry_out
        The carry from the previous iteration and for the next one; each `carry_out` is computed by its own equation.
    saved
        The variables that are stacked over time.
    renamed
        The names here of the step's variables that have another name.
    time_sums, time_sums_out
        For each sum over time: its value so far, and with this iteration's term. Both are one array.
    batch_size, batched
        The size of the batch, and the variables whose first axis is the batch (`batch_axis`). 1 and none if the loop
        does not treat the elements of a batch separately.
    """

    eqns: tuple[Eqn, ...]
    carry: tuple[Var, ...]
    carry_out: tuple[Var, ...]
    saved: tuple[Var, ...]
    renamed: Mapping[Var, Var]
    time_sums: tuple[Var, ...] = ()
    time_sums_out: tuple[Var, ...] = ()
    batch_size: int = 1
    batched: frozenset[Var] = field(default=frozenset())

    @cached_property
    def producer(self) -> dict[Var, Eqn]:
        """The equation that computes each variable."""
        return _producers(self.eqns)

    @cached_property
    def inputs(self) -> tuple[Var, ...]:
        """The variables that the loop reads and does not compute, carry and sums over time included."""
        return tuple(dict.fromkeys([var for eqn in self.eqns for var in eqn.reads if var not in self.producer]))

    @cached_property
    def has_reductions(self) -> bool:
        """Whether an axis of size 1 is what a reduction leaves, which gets no loop.

        Elsewhere it is a size like any other, so that the code for all sizes serves 1 too.
        """
        return any(eqn.primitive.kind is OpKind.REDUCTION for eqn in self.eqns)

    def features(self, var: Var) -> tuple[int, ...]:
        """Return the shape of `var` without the batch axis."""
        return var.shape[1:] if var in self.batched else var.shape

    def is_scalar(self, var: Var) -> bool:
        """Return whether `var` is one number per batch element, which gets no loop and can stay in a register."""
        return self.has_reductions and math.prod(self.features(var)) == 1

    def root(self, var: Var) -> Var:
        """Return the variable that `var` is a view of; `var` itself if it is not a view."""
        return _root(var, self.producer)


def is_elementwise(eqn: Eqn) -> bool:
    """Return whether an equation is computed element by element in the loop."""
    kind = eqn.primitive.kind
    return kind is OpKind.ELEMENTWISE or kind is OpKind.CAST  # a set would hash both, slowly


def is_layout(eqn: Eqn) -> bool:
    """Return whether an equation only says where its results are: a view or a `concat`."""
    kind = eqn.primitive.kind
    return kind is OpKind.VIEW or kind is OpKind.JOIN


def arrange(stages: Stages, cuts_carry: bool = False) -> Loop:
    """Return the loop of `stages`.

    With `cuts_carry` the next carry is overwritten with zeros at the edge of a window, so it gets memory of its own,
    separate from what is stacked.
    """
    cut, renamed = _cut_operands_first(stages)
    saved = tuple(dict.fromkeys([renamed.get(var, var) for var in stages.saved]))
    carry_out = [renamed.get(var, var) for var in stages.step.carry_out]
    computed = {result for eqn in cut if not is_layout(eqn) for result in eqn.results}
    eqns: list[Eqn] = []

    def own(var: Var, taken: set[Var]) -> Var:
        """Return `var`, or a copy if it is not computed in the loop or its memory is `taken`."""
        if var in computed and var not in taken:
            taken.add(var)
            return var
        copy = Var(var.aval)
        eqns.append(Eqn(alias, (var,), {}, (copy,)))
        return copy

    taken = {*saved, *carry_out}
    parts: set[Var] = set()
    for eqn in cut:
        operands = eqn.operands
        if eqn.primitive.kind is OpKind.JOIN:
            operands = tuple([own(operand, taken) for operand in operands])
            parts.update(operands)
        eqns.append(Eqn(eqn.primitive, operands, eqn.params, eqn.results))
    if cuts_carry:
        producers = _producers(eqns)
        parts.update([_root(var, producers) for var in saved])
    left = tuple([own(var, parts) for var in carry_out])
    sums, sums_out = (tuple([Var(var.aval) for var in stages.time_sums]) for _ in range(2))
    for var, total, out in zip(stages.time_sums, sums, sums_out, strict=True):
        eqns.append(Eqn(add, (total, renamed.get(var, var)), {}, (out,)))
    check_eqns(eqns, (*left, *sums_out))
    return Loop(tuple(eqns), stages.step.carry, left, saved, renamed, sums, sums_out)


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
    check_eqns(eqns, loop.carry_out)
    return replace(loop, eqns=tuple(eqns)), copy


def _producers(eqns: Iterable[Eqn]) -> dict[Var, Eqn]:
    return {result: eqn for eqn in eqns for result in eqn.results}


def _root(var: Var, producers: Mapping[Var, Eqn]) -> Var:
    while (eqn := producers.get(var)) is not None and eqn.primitive.kind is OpKind.VIEW:
        var = eqn.operands[0]
    return var


def _cut_operands_first(stages: Stages) -> tuple[tuple[Eqn, ...], dict[Var, Var]]:
    """Return the equations with splits and slices moved before elementwise operations, and the renamed variables."""
    uses = Counter([operand for eqn in stages.during for operand in set(eqn.reads)])
    outputs = {*stages.saved, *stages.time_sums, *stages.step.carry_out}
    passing: set[Var] = set()  # elementwise results, as rewritten, that only one equation reads

    def through(x: Any, cut: Callable[[Any, int], list[Any]], count: int) -> list[Any] | None:
        """Return the elementwise operation that computed `x`, applied to each piece of its operands."""
        eqn = builder.producer.get(x._var)
        if eqn is None or x._var not in passing:
            return None
        pieces = [
            cut(Tracer(builder, operand), x.ndim - operand.ndim) if operand.__class__ is Var else [operand] * count
            for operand in eqn.operands
        ]
        return [builder.apply(eqn.primitive, operands, eqn.params) for operands in zip(*pieces, strict=True)]

    def split(x: Any, cuts: tuple[int, ...], axis: int) -> Any:
        def cut(operand: Any, offset: int) -> list[Any]:
            at = axis - offset
            broadcast = at < 0 or operand.shape[at] == 1
            return [operand] * (len(cuts) + 1) if broadcast else list(split(operand, cuts, at))

        found = through(x, cut, len(cuts) + 1)
        return _split(x, cuts=cuts, axis=axis) if found is None else found

    def index(x: Any, key: tuple[slice, ...]) -> Any:
        def cut(operand: Any, offset: int) -> list[Any]:
            own = [slice(0, 1, 1) if n == 1 else k for k, n in zip(key[offset:], operand.shape, strict=True)]
            return [index(operand, tuple(own)) if operand.ndim else operand]

        found = through(x, cut, 1)
        return _index(x, key=key) if found is None else found[0]

    rules: dict[Primitive, Rule] = {_split: split, _index: index}
    builder = Rewriter(rules.get)
    renamed: dict[Var, Var] = {}
    for eqn in stages.during:
        renamed = rewrite([eqn], builder, renamed)
        if eqn.primitive.kind is OpKind.ELEMENTWISE and uses[eqn.result] == 1 and eqn.result not in outputs:
            passing.add(renamed[eqn.result])
    return live(builder.eqns, [renamed.get(var, var) for var in outputs]), renamed
