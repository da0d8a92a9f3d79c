"""Replacing primitives by others: what makes a pass of a table of functions."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import numpy as np

from .step import Eqn, Var
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
