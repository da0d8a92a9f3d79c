"""Replacing primitives by others: a pass that is a rule per primitive."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from ...ops.primitive import Primitive
from .check import check
from .step import Atom, Eqn, Step, Var, evaluate
from .trace import Builder, Tracer

# Takes the operands (Tracers and scalars) and the parameters of an equation and returns its results.
Rule = Callable[..., Any]
RuleOf = Callable[[Primitive], Rule | None]


class Renamed(dict[Var, Var]):
    """The replacement of each variable; variables not listed are unchanged."""

    def __missing__(self, var: Var) -> Var:
        return var


class Rewriter(Builder):
    """A `Builder` that records the operations of a primitive's rule in place of the primitive.

    Primitives that a rule calls are replaced too, except the primitive itself, which is recorded within its own rule.

    Parameters
    ----------
    rule_of
        Returns the rule of a primitive, None if it stays.
    invariant
        Variables that the rules may assume constant over time (see `Builder.invariant`).
    """

    def __init__(self, rule_of: RuleOf, invariant: Iterable[Var] = ()) -> None:
        super().__init__(invariant)
        self._rule_of = rule_of
        self._active: set[Primitive] = set()

    def apply(self, primitive: Primitive, operands: Iterable[Any], params: dict[str, Any]) -> Any:
        rule = None if primitive in self._active else self._rule_of(primitive)
        if rule is None:
            return super().apply(primitive, operands, params)
        self._active.add(primitive)
        try:
            return rule(*[self.tracer(self.atom(primitive, operand)) for operand in operands], **params)
        finally:
            self._active.remove(primitive)


def rewrite(eqns: Iterable[Eqn], builder: Rewriter, same: Mapping[Var, Var] | None = None) -> Renamed:
    """Record the equations in `builder`, rewritten by its rules, and return the replacement of each variable.

    `same` has the replacements of an earlier rewrite.
    """

    def apply(eqn: Eqn, atoms: list[Atom]) -> list[Var]:
        found = builder.apply(eqn.primitive, map(builder.tracer, atoms), eqn.params)
        results = found if eqn.primitive.multiple else (found,)
        return [x._var if x.__class__ is Tracer else builder.constant(np.asarray(x)) for x in results]

    became = Renamed(same or {})
    evaluate(eqns, became, apply)
    return became


def rewrite_step(
    step: Step, rule_of: RuleOf, same: Mapping[Var, Var] | None = None, invariant: Collection[Var] = ()
) -> tuple[Step, Renamed]:
    """Return `step` with primitives replaced, and the replacement of each variable.

    Parameters
    ----------
    rule_of, invariant
        As of a `Rewriter`.
    same
        Variables that an earlier rewriting replaced.
    """
    builder = Rewriter(rule_of, invariant)
    became = rewrite(step.eqns, builder, same)
    consts, xs, carry_out, ys, sums = (
        tuple([became[var] for var in part]) for part in (step.consts, step.xs, step.carry_out, step.ys, step.sums)
    )
    changed = replace(
        step,
        consts=(*dict.fromkeys(consts), *builder.constants),
        xs=tuple([x for x in dict.fromkeys(xs) if x not in consts]),  # two that became one, one that became a constant
        eqns=tuple(builder.eqns),
        carry_out=carry_out,
        ys=ys,
        sums=sums,
        constants={**step.constants, **builder.constants},
    )
    return check(changed), became
