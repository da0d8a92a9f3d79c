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
    """What has become of variables; those not mentioned have stayed themselves."""

    def __missing__(self, var: Var) -> Var:
        return var


class Rewriter(Builder):
    """A `Builder` that writes down what the rule of a primitive does in place of the primitive.

    What a rule calls is replaced as well, but for the primitive itself: within its own rule it is written down.

    Parameters
    ----------
    rule_of
        Returns the rule of a primitive, None if it stays.
    invariant
        Variables that the rules may take to be the same at every time (see `Builder.invariant`).
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
    """Write down what the equations are by the rules of `builder`, and return what has become of each variable.

    `same` says so of variables from an earlier rewriting.
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
    """Return `step` with primitives replaced, and what has become of each variable.

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
