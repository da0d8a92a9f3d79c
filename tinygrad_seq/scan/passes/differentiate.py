"""The backward step, by running each primitive's own rules on Tracers.

The backward of a scan is a scan in the other direction. Its carry is the cotangent of the forward carry, its inputs are
the cotangents of `ys` and whatever the rules read of the forward step:

    forward    carry  ─▶ step ─▶ carry'           backward    dcarry ◀─ step ◀─ dcarry'
                 x    ─▶      ─▶ y                                dx ◀─      ◀─ dy
               consts ─▶                                   Σ dconsts ◀─      ◀─ values of the forward step

The gradient of a constant is a *list* of contributions, each of which is summed over time by itself: so the time sum of
each product of matrices is one large product after the loop.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Any, NamedTuple

import numpy as np

from ...ops.primitive import NOTHING
from ...ops.shape import unbroadcast
from ..ir.check import check
from ..ir.step import Eqn, Step, Var, dependents, live
from ..ir.trace import Builder, Tracer
from .lower import zeros


class Backward(NamedTuple):
    """The backward step and what its outputs are gradients of.

    Attributes
    ----------
    step
        Carry: the cotangents of `carries`; xs: those of the forward `ys`; ys: of `inputs`; sums: of `consts`, in turn.
    carries, inputs
        Variables of the forward step.
    outputs
        The positions among the forward `ys` of those whose cotangents come first in ``step.xs``.
    consts
        For each, the number of contributions to it, which follow one another in ``step.sums``.
    reads
        The variables of the forward step that the backward step reads.
    """

    step: Step
    carries: tuple[Var, ...]
    outputs: tuple[int, ...]
    inputs: tuple[Var, ...]
    consts: tuple[tuple[Var, int], ...]
    reads: tuple[Var, ...]

    @property
    def cotangents(self) -> tuple[Var, ...]:
        """The inputs of the step that are cotangents of the forward outputs."""
        return self.step.xs[: len(self.outputs)]


def differentiate(step: Step, wanted: Collection[Var]) -> Backward:
    """Return the backward step of `step` with respect to the inputs in `wanted`; carries are added as needed."""
    active = _active(step, wanted)
    builder = Builder()
    cotangents: dict[Var, list[Any]] = {}

    def seed(outputs: tuple[Var, ...]) -> list[Var]:
        seeds = []
        for output in outputs:
            given = Var(output.aval)
            seeds.append(given)
            if output in active:
                cotangents.setdefault(output, []).append(Tracer(builder, given))
        return seeds

    carries = [(before, after) for before, after in zip(step.carry, step.carry_out, strict=True) if before in active]
    of_carry = seed(tuple([after for _, after in carries]))
    outputs = tuple([position for position, y in enumerate(step.ys) if y in active])
    of_ys = seed(tuple([step.ys[position] for position in outputs]))
    for eqn in reversed(step.eqns):
        if any(result in active for result in eqn.results):
            _pull_back(eqn, builder, active, cotangents)

    def total(var: Var) -> Var:
        parts = cotangents.get(var, [])
        if not parts:
            return zeros(builder, *var.aval)._var  # type: ignore[no-any-return]
        return _sum(parts)._var  # type: ignore[no-any-return]

    carry_out = tuple([total(before) for before, _ in carries])
    inputs = tuple([x for x in step.xs if x in wanted and x in cotangents])
    ys = tuple([total(x) for x in inputs])
    flowing = dependents(builder.eqns, (*of_carry, *of_ys))  # a contribution that reads no cotangent is zero
    contributions = {c: [part._var for part in cotangents[c]] for c in step.consts if c in wanted and c in cotangents}
    contributions = {c: [var for var in parts if var in flowing] for c, parts in contributions.items()}
    consts = tuple([(const, len(parts)) for const, parts in contributions.items()])
    sums = tuple([var for parts in contributions.values() for var in parts])
    eqns = live(builder.eqns, (*carry_out, *ys, *sums))
    made = {result for eqn in eqns for result in eqn.results}.union(of_carry, of_ys, builder.constants)
    used = dict.fromkeys([operand for eqn in eqns for operand in eqn.reads])
    used.update(dict.fromkeys([*carry_out, *ys, *sums]))
    reads = tuple([var for var in used if var not in made])
    constants = {var: array for var, array in builder.constants.items() if var in used}
    result = Step(
        consts=(*constants, *[var for var in reads if var in step.consts]),
        carry=tuple(of_carry),
        xs=(*of_ys, *[var for var in reads if var not in step.consts]),
        eqns=eqns,
        carry_out=carry_out,
        ys=ys,
        sums=sums,
        constants={**step.constants, **constants},
        arguments=step.arguments,
    )
    return Backward(check(result), tuple([before for before, _ in carries]), outputs, inputs, consts, reads)


def _active(step: Step, wanted: Collection[Var]) -> set[Var]:
    """Return every variable that gradient flows through to a wanted one, also by way of the carry."""
    sources = set(wanted)
    while True:
        found = set(sources)
        for eqn in step.eqns:
            if any(operand in found for operand in followed(eqn)):
                found.update([result for result in eqn.results if result.dtype.kind == "f"])
        carried = {b for b, a in zip(step.carry, step.carry_out, strict=True) if a in found and b.dtype.kind == "f"}
        if carried <= sources:
            return found
        sources |= carried


def followed(eqn: Eqn) -> list[Var]:
    """Return the operands that the primitive has a rule for."""
    primitive = eqn.primitive
    rules = primitive.rules * len(eqn.operands) if primitive.variadic else primitive.rules
    return [
        operand
        for operand, rule in zip(eqn.operands, rules, strict=False)
        if rule is not None and operand.__class__ is Var
    ]


def _sum(parts: list[Any]) -> Any:
    total = parts[0]
    for part in parts[1:]:
        total = total + part
    parts[:] = [total]
    return total


def _pull_back(eqn: Eqn, builder: Builder, active: set[Var], cotangents: dict[Var, list[Any]]) -> None:
    """Add what flows through one equation to the cotangents of its operands."""
    primitive, operands = eqn.primitive, eqn.operands
    if not any(result in cotangents for result in eqn.results):
        return
    flows = [operand.__class__ is Var and operand in active for operand in operands]
    wanted = sum(1 << position for position, flow in enumerate(flows) if flow)
    flowing, keep_output, keep_operands = primitive.plan(wanted, len(operands))
    if not flowing:
        return
    gs = [_sum(cotangents[r]) if r in cotangents else zeros(builder, *r.aval) for r in eqn.results]
    outputs = [Tracer(builder, result) for result in eqn.results]
    g: Any = tuple(gs) if primitive.multiple else gs[0]
    y: Any = tuple(outputs) if primitive.multiple else outputs[0]
    y = None if keep_output == NOTHING else y
    saved = [
        None if keep_operands is None or keep_operands[position] == NOTHING else builder.tracer(operand)
        for position, operand in enumerate(operands)
    ]
    rules: Any = primitive.rules
    parts = rules[0](g, y, *saved, **eqn.params) if primitive.variadic else None
    for position, operand in enumerate(operands):
        if not flowing >> position & 1:
            continue
        part = rules[position](g, y, *saved, **eqn.params) if parts is None else parts[position]
        if part.__class__ is not Tracer:
            if not np.any(part):
                continue
            part = Tracer(builder, builder.constant(np.asarray(part)))
        cotangents.setdefault(operand, []).append(unbroadcast(part, *operand.aval))
