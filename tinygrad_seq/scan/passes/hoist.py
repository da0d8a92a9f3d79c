"""Equations on constants alone leave the step: they are evaluated once per call, and their results are constants."""

from __future__ import annotations

from dataclasses import replace

from ..ir.check import check
from ..ir.step import Eqn, Step, dependents, live


def hoist(step: Step) -> tuple[Step, tuple[Eqn, ...]]:
    """Return `step` without what depends on its constants only, and these equations; dead ones are dropped."""
    varying = dependents(step.eqns, (*step.carry, *step.xs))
    inside = live([eqn for eqn in step.eqns if eqn.results[0] in varying], step.outputs)
    read = dict.fromkeys([*[var for eqn in inside for var in eqn.reads], *step.outputs])
    made = {result for eqn in inside for result in eqn.results}.union(step.carry, step.xs)
    consts = tuple([var for var in read if var not in made])
    outside = live([eqn for eqn in step.eqns if eqn.results[0] not in varying], consts)
    return check(replace(step, consts=consts, eqns=inside)), outside
