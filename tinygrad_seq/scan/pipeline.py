"""The compiler from top to bottom: which passes make a plan of a traced step."""

from __future__ import annotations

from collections.abc import Collection

from .codegen.batch_axis import hoist_unbatched
from .codegen.fusion import products_inside
from .codegen.replay import with_replay
from .ir.rewrite import rewrite_step
from .ir.step import Eqn, Step, Var, dependents
from .passes.differentiate import differentiate
from .passes.hoist import hoist
from .passes.loop_only import loop_only
from .passes.lower import lowering, structure
from .passes.one_step import without_carry
from .passes.partition import partition
from .passes.precision import settle_precision
from .passes.residuals import choose_residuals
from .passes.slices import slices_as_splits
from .passes.small_products import vectors_as_sums
from .passes.tables import multiply_tables
from .run.direction import Direction, Plan


def normalise(traced: Step) -> tuple[Step, tuple[Eqn, ...]]:
    """Return a step in few primitives, without the equations on its constants, and these."""
    step = slices_as_splits(traced)
    step, _ = rewrite_step(step, structure, invariant=step.consts)
    return hoist(step)


def build(step: Step, stacked: Collection[Var] = (), backward: bool = False, once: bool = False) -> Direction:
    """Return one direction, ready to run; `stacked` are variables that the loop saves beside its outputs.

    `once` says that all runs have one step.
    """
    if once:
        return Direction(hoist_unbatched(partition(without_carry(step), stacked, once=True)), stacked, backward, step)
    return Direction(products_inside(hoist_unbatched(partition(step, stacked)), stacked), stacked, backward)


def compile_step(traced: Step, wanted: Collection[Var] = (), streaming: bool = False, once: bool = False) -> Plan:
    """Return the plan of a traced step.

    Parameters
    ----------
    wanted
        The inputs of the step whose gradients are wanted.
    streaming
        Whether a call runs a few steps only, without gradients.
    once
        Whether a call runs one step.
    """
    normal, invariants = normalise(traced)
    wanted = dependents(invariants, wanted).intersection(normal.inputs)
    forward, renamed = rewrite_step(normal, lowering)
    forward = vectors_as_sums(settle_precision(forward))
    if streaming:
        forward, products = hoist(multiply_tables(forward))
        return Plan(normal, wanted, (*invariants, *products), Direction(loop_only(forward)))
    if not wanted:
        return Plan(normal, wanted, invariants, build(forward, once=once))
    gradient = differentiate(normal, wanted)
    backward, _ = rewrite_step(gradient.step, lowering, renamed)
    backward = vectors_as_sums(settle_precision(backward))
    reads = [renamed[var] for var in gradient.reads]
    saved = choose_residuals(forward, backward, reads, gradient.cotangents)
    found = with_replay(forward, saved)
    if found is None:
        backwards = build(saved.step, backward=True, once=once)
    else:
        saved, stages = found
        backwards = Direction(stages, backward=True)
    residuals, forwards = saved.residuals, build(forward, saved.stacked, once=once)
    return Plan(normal, wanted, invariants, forwards, backwards, gradient, residuals)
