"""Replacing primitives by others: a pass that is a table of functions."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from .check import check
from .step import Atom, Eqn, Step, Var, evaluate
from .trace import Builder, Tracer

# Takes the operands (Tracers and scalars) and the parameters of an equation and returns its results.
Rule = Callable[..., Any]


class Renamed(dict[Var, Var]):
    """What has become of variables; those not mentioned have stayed themselves."""

    def __missing__(self, var: Var) -> Var:
        return var


def rewrite(
    eqns: Iterable[Eqn],
    rules: Mapping[str, Rule],
    builder: Builder | None = None,
    same: Mapping[Var, Var] | None = None,
) -> tuple[Builder, Renamed]:
    """Return the equations with the primitives named in `rules` replaced by what their rule does, in a `Builder`.

    Also returns what has become of each variable; `same` says so of variables from an earlier rewriting.
    """
    builder = builder or Builder()

    def apply(eqn: Eqn, atoms: list[Atom]) -> list[Var]:
        operands = map(builder.tracer, atoms)
        rule = rules.get(eqn.primitive.name)
        found = builder.apply(eqn.primitive, operands, eqn.params) if rule is None else rule(*operands, **eqn.params)
        results = found if eqn.primitive.multiple else (found,)
        return [x._var if x.__class__ is Tracer else builder.constant(np.asarray(x)) for x in results]

    became = Renamed(same or {})
    evaluate(eqns, became, apply)
    return builder, became


def rewrite_step(
    step: Step, rules: Mapping[str, Rule], same: Mapping[Var, Var] | None = None, invariant: Collection[Var] = ()
) -> tuple[Step, Renamed]:
    """Return `step` with the primitives named in `rules` replaced, and what has become of each variable.

    Parameters
    ----------
    rules
        By name of a primitive: what to do instead.
    same
        Variables that an earlier rewriting replaced.
    invariant
        Inputs that the rules may take to be the same at every time (see `Builder.invariant`).
    """
    builder, became = rewrite(step.eqns, rules, Builder(invariant), same)
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
