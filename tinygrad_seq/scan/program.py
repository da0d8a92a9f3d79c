"""A compiled scan: its forward and backward stages, and how to run them.

run = before, for all times at once ; the loop ; after, for all times at once
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any, NamedTuple

import numpy as np
from numba import config

from ..kernels.memory import keep_freed_memory
from .differentiate import Backward, differentiate
from .expand import FORMULAS, STRUCTURE, slices_as_splits
from .explain import explain
from .interpret import run_loop
from .ir import Eqn, Stages, Step, Var, check, dependents, live
from .kernel import Kernel
from .lift import Env, Total, evaluate, plan_total
from .partition import partition
from .remember import choose_kept
from .rewrite import rewrite
from .trace import Builder


class Run(NamedTuple):
    """The options of one call."""

    T: int
    reverse: bool
    window: int | None


class Direction:
    """One direction of a scan: a step, its stages, and how its sums over time are taken."""

    def __init__(self, step: Step, kept: Collection[Var], backward: bool) -> None:
        self.stages: Stages = partition(step, kept)
        self.backward = backward
        self.step = step
        self.over = dependents(step.eqns, (*step.carry, *step.xs))
        self.totals: dict[Var, Total] = {}
        after = self.stages.after
        shared = {operand for eqn in after for operand in eqn.reads}.union(step.ys, step.carry_out, kept)
        producer = {result: eqn for eqn in after for result in eqn.results}
        needed: list[Var] = [*step.ys, *kept]
        for var in dict.fromkeys(step.sums):
            self.totals[var], needs = plan_total(var, producer, self.over, shared - set(step.sums))
            needed += needs
        self.after = live(after, needed)
        history = {*needed, *[operand for eqn in self.after for operand in eqn.reads]}
        self.kernel = None if config.DISABLE_JIT else Kernel(self.stages, self.over, history, backward)

    def run(self, env: Env, init: Sequence[np.ndarray], run: Run) -> tuple[tuple[np.ndarray, ...], list[np.ndarray]]:
        """Evaluate everything into `env`, which holds consts and xs; return the last carry and the sums over time."""
        evaluate(self.stages.before, run.T, env, self.over)
        start = dict(zip(self.step.carry, init, strict=True))
        reverse, window = run.reverse != self.backward, run.window if self.backward else None
        if self.kernel is None:
            last = run_loop(self.stages, run.T, env, self.over, start, reverse, window)
        else:
            last = self.kernel.run(run.T, env, start, reverse, window)
        evaluate(self.after, run.T, env, self.over)
        sums = {var: total(run.T, env) for var, total in self.totals.items()}
        return last, [sums[var] for var in self.step.sums]


class Program:
    """What is made of a step once and run many times.

    Parameters
    ----------
    step
        As traced.
    wanted
        The inputs of the step that gradients are wanted of.

    Attributes
    ----------
    invariants
        Equations on the traced constants, to be applied outside: their results are constants of the loop.
    clean
        The step without them, which the gradient is of.
    outside, brought
        Arrays that the passes brought along: operands of `invariants`, constants of the loop.
    consts
        The constants of the loop: of the step, or results of `invariants`.
    reached
        For each input of the loop whether a gradient arrives there.
    forward, backward
        The two directions; no backward if nothing is wanted.
    """

    def __init__(self, step: Step, wanted: Collection[Var]) -> None:
        keep_freed_memory()
        self.traced = step
        builder, became = rewrite(slices_as_splits(step.eqns), STRUCTURE, Builder(step.consts))
        self.invariants = tuple([eqn for eqn in builder.eqns if all(r in builder.invariant for r in eqn.results)])
        eqns = [eqn for eqn in builder.eqns if not all(r in builder.invariant for r in eqn.results)]
        carry_out, ys = (tuple([became.get(v, v) for v in part]) for part in (step.carry_out, step.ys))
        eqns = list(live(eqns, (*carry_out, *ys)))
        read = dict.fromkeys([*[v for eqn in eqns for v in eqn.reads], *carry_out, *ys])
        self.outside = dict(builder.constants)
        self.consts = tuple([var for var in read if var in builder.invariant])
        self.invariants = live(self.invariants, self.consts)
        self.clean = clean = check(Step(self.consts, step.carry, step.xs, tuple(eqns), carry_out, ys))
        differentiable = self._reaching(step, wanted)
        self.backward: Direction | None = None
        self.gradient: Backward | None = None
        reads: tuple[Var, ...] = ()
        if differentiable:
            self.gradient = differentiate(clean, differentiable)
            reads = self.gradient.reads
        builder, became = rewrite(clean.eqns, FORMULAS, Builder(self.consts))
        self.brought: dict[Var, Any] = dict(builder.constants)
        carry_out, ys = (tuple([became.get(v, v) for v in part]) for part in (carry_out, ys))
        forward = check(
            Step((*self.consts, *builder.constants), step.carry, step.xs, tuple(builder.eqns), carry_out, ys)
        )
        kept: set[Var] = set()
        self.residuals: tuple[Var, ...] = ()
        if self.gradient is not None:
            at_hand = {*forward.consts, *forward.carry, *forward.xs, *forward.carry_out}
            renamed = [became.get(var, var) for var in reads]
            again, kept = choose_kept(forward.eqns, renamed, at_hand)
            self.backward, self.residuals = self._backward(self.gradient, forward, again, kept, became)
        reached = {*self.gradient.carries, *self.gradient.inputs, *dict(self.gradient.consts)} if self.gradient else ()
        self.reached = [var in reached for var in (*self.consts, *step.carry, *step.xs)]
        self.forward = Direction(forward, {*kept, *self.residuals}, backward=False)

    def _reaching(self, step: Step, wanted: Collection[Var]) -> set[Var]:
        """Return the inputs of the loop through which gradient reaches the wanted inputs of the traced step."""
        through = dependents(self.invariants, [var for var in step.consts if var in wanted])
        return {var for var in (*self.consts, *step.carry, *step.xs) if var in wanted or var in through}

    def _backward(
        self, gradient: Backward, forward: Step, again: list[Eqn], kept: set[Var], became: dict[Var, Var]
    ) -> tuple[Direction, tuple[Var, ...]]:
        """Return the backward direction, and the variables of the forward one that it needs for all times."""
        step = gradient.step
        builder, renamed = rewrite(step.eqns, STRUCTURE | FORMULAS, same=became)
        outputs = [tuple([renamed.get(v, v) for v in part]) for part in (step.carry_out, step.ys, step.sums)]
        eqns = live((*again, *builder.eqns), [var for part in outputs for var in part])
        made = {result for eqn in eqns for result in eqn.results}
        self.brought |= gradient.constants | builder.constants
        given = {*step.carry, *[x for x in step.xs if x not in gradient.reads], *self.brought, *forward.consts}
        read = dict.fromkeys([v for eqn in eqns for v in eqn.reads] + [v for part in outputs for v in part])
        residuals = tuple([var for var in read if var not in made and var not in given and var not in forward.xs])
        consts = tuple([var for var in read if var in self.brought or var in forward.consts])
        cotangents = tuple([x for x in step.xs if x not in gradient.reads])
        xs = (*cotangents, *[var for var in read if var in forward.xs], *residuals)
        return Direction(check(Step(consts, step.carry, xs, eqns, *outputs)), (), backward=True), residuals

    def explain(self) -> str:
        """Return the stages of both directions, what is saved and what is computed again, the work, and the source."""
        return explain(self)

    # ------------------------------------------------------------------------------------------------------ running

    def outer(self, objects: Sequence[Any]) -> list[Any]:
        """Return the constants of the loop, computed from those that were traced: Tensors are recorded."""
        env = dict(zip(self.traced.consts, objects, strict=True)) | self.outside
        for eqn in self.invariants:
            values = eqn.primitive(*[env[o] if o.__class__ is Var else o for o in eqn.operands], **eqn.params)
            env.update(zip(eqn.results, values if eqn.primitive.multiple else (values,), strict=True))
        return [env[var] for var in self.consts]

    def run_forward(self, arrays: Sequence[np.ndarray], run: Run, train: bool) -> tuple[np.ndarray, ...]:
        """Return the last carry, the stacked outputs and, to `train`, the residuals."""
        env: Env = dict(self.brought)
        consts, init, xs = self._sorted(arrays)
        step = self.forward.step
        env.update(zip(self.consts, consts, strict=True))
        env.update(zip(step.xs, xs, strict=True))
        last, _ = self.forward.run(env, init, run)
        ys = [env[y] if y in self.forward.over else np.broadcast_to(env[y], (run.T, *y.shape)) for y in step.ys]
        return (*last, *ys, *([env[var] for var in self.residuals] if train else ()))

    def run_backward(
        self, cotangents: Sequence[np.ndarray], arrays: Sequence[np.ndarray], outputs: Sequence[np.ndarray], run: Run
    ) -> list[np.ndarray | None]:
        """Return the cotangent of each of `arrays`, None where none flows."""
        gradient, direction = self.gradient, self.backward
        assert gradient is not None and direction is not None
        consts, init, xs = self._sorted(arrays)
        step, forward = direction.step, self.forward.step
        env: Env = dict(self.brought)
        env.update(zip(self.consts, consts, strict=True))
        env.update(zip(forward.xs, xs, strict=True))
        env.update(zip(self.residuals, outputs[len(forward.carry) + len(forward.ys) :], strict=True))
        of_carry = dict(zip(forward.carry, cotangents, strict=False))
        of_ys = cotangents[len(forward.carry) :]
        env.update((step.xs[at], of_ys[position]) for at, position in enumerate(gradient.outputs))
        last, sums = direction.run(env, [of_carry[var] for var in gradient.carries], run)
        found: dict[Var, np.ndarray] = dict(zip(gradient.carries, last, strict=True))
        for var, y in zip(gradient.inputs, step.ys, strict=True):
            found[var] = env[y] if y in direction.over else np.broadcast_to(env[y], (run.T, *y.shape))
        rest = iter(sums)
        for var, count in gradient.consts:
            parts = [next(rest) for _ in range(count)]
            if parts:
                found[var] = sum(parts[1:], parts[0])
        inputs = (*self.consts, *forward.carry, *forward.xs)
        return [found.get(var) for var in inputs]

    def _sorted(self, arrays: Sequence[np.ndarray]) -> tuple[Sequence[Any], Sequence[Any], Sequence[Any]]:
        a, b = len(self.consts), len(self.consts) + len(self.traced.carry)
        return arrays[:a], arrays[a:b], arrays[b:]
