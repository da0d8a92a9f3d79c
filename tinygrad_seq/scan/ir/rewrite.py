"""Replacing primitives by others: a pass that is a table of functions."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from .check import check
from .step import Eqn, Step, Var
from .trace import Builder, Tracer

# Takes the operands (Tracers and scalars) and the parameters of an equation and returns its results.
Rule = Callable[..., Any]


def rewrite(
    eqns: Iterable[Eqn],
    rules: Mapping[str, Rule],
    builder: Builder | None = None,
    same: Mapping[Var, Var] | None = None,
) -> tuple[Builder, dict[Var, Var]]:
    """Return the equations with the primitives named in `rules` replaced by what their rule does, in a `Builder`.

    Also returns what has become of each variable; those not mentioned have stayed themselves. `same` says so of
    variables from an earlier rewriting.
    """
    builder = builder or Builder()
    became: dict[Var, Var] = dict(same or {})
    for eqn in eqns:
        operands = [
            Tracer(builder, became.get(operand, operand)) if operand.__class__ is Var else operand
            for operand in eqn.operands
        ]
        rule = rules.get(eqn.primitive.name)
        results = builder.apply(eqn.primitive, operands, eqn.params) if rule is None else rule(*operands, **eqn.params)
        for result, value in zip(eqn.results, results if eqn.primitive.multiple else (results,), strict=True):
            became[result] = value._var if value.__class__ is Tracer else builder.constant(np.asarray(value))
    return builder, became


def rewrite_step(
    step: Step, rules: Mapping[str, Rule], same: Mapping[Var, Var] | None = None, invariant: Collection[Var] = ()
) -> tuple[Step, dict[Var, Var]]:
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
        tuple([became.get(var, var) for var in part])
        for part in (step.consts, step.xs, step.carry_out, step.ys, step.sums)
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
