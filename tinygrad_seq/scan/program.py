"""A compiled scan: its forward and backward stages, and how to run them.

run = before, for all times at once ; the loop ; after, for all times at once
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

import numpy as np

from ..kernels.allocator import keep_freed_memory
from ..ops.primitive import TABLE, Array
from .inspect.explain import explain
from .ir.rewrite import rewrite
from .ir.step import Eqn, Step, Var, check, dependents, live
from .ir.trace import Builder
from .passes.differentiate import Backward, differentiate
from .passes.lower import FORMULAS, STRUCTURE
from .passes.residuals import choose_kept
from .passes.slices import slices_as_splits
from .requires_grad import Flow, reaching
from .run.batched import Env
from .run.direction import Direction, Plan
from .run.segments import Part, Remember, Run, parts_of, run_of
from .run.time_sums import Sum

_permute_dims = TABLE["permute_dims"]


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
    given, turns
        For each of them what is handed over at a call, and the order in which its axes are read, None for their own: a
        weight is turned here, where it costs nothing, and not on the tape.
    reached
        For each input of the loop whether gradient can flow from an output to it.
    flow
        Which outputs require grad.
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
        turns = {eqn.result: eqn for eqn in self.invariants if eqn.primitive is _permute_dims}
        self.given = tuple([turns[var].operands[0] if var in turns else var for var in self.consts])
        self.turns = [turns[var].params["axes"] if var in turns else None for var in self.consts]
        self._back = [axes and tuple(map(int, np.argsort(axes))) for axes in self.turns]
        self.invariants = live(self.invariants, self.given)
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
            self.backward, self.residuals = self._plan_gradient(self.gradient, forward, again, kept, became)
        reached = reaching(clean)
        self.reached = [var in reached for var in (*self.consts, *step.carry, *step.xs)]
        self.flow = Flow(clean, differentiable)
        self.forward = Direction(forward, {*kept, *self.residuals}, backward=False)
        self._carries = [step.carry.index(var) for var in self.gradient.carries] if self.gradient else []

    def _reaching(self, step: Step, wanted: Collection[Var]) -> set[Var]:
        """Return the inputs of the loop through which gradient reaches the wanted inputs of the traced step."""
        through = dependents(self.invariants, [var for var in step.consts if var in wanted]).union(wanted)
        found = {var for var, given in zip(self.consts, self.given, strict=True) if given in through}
        return found.union([var for var in (*step.carry, *step.xs) if var in wanted])

    def _plan_gradient(
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

    def explain(self, T: int | None = None, remember: Remember = "all") -> str:
        """Return as text the stages of both directions, what is saved and computed again, the work, and the source.

        Parameters
        ----------
        T
            The number of steps, if the memory of a run is to be shown too.
        remember
            As in `scan`.
        """
        plan = Plan(self.forward, self.backward, self.gradient, self.residuals)
        return explain(plan, None if T is None else run_of(T, reverse=False, window=None, remember=remember))

    # ------------------------------------------------------------------------------------------------------ running

    def outer(self, objects: Sequence[Any]) -> list[Any]:
        """Return what is handed over as constants, computed from those that were traced: Tensors are recorded."""
        env = dict(zip(self.traced.consts, objects, strict=True)) | self.outside
        for eqn in self.invariants:
            values = eqn.primitive(*[env[o] if o.__class__ is Var else o for o in eqn.operands], **eqn.params)
            env.update(zip(eqn.results, values if eqn.primitive.multiple else (values,), strict=True))
        return [env[var] for var in self.given]

    def turned(self, given: Sequence[Array]) -> list[Array]:
        """Return the constants of the loop, arrays of any kind, from what was handed over."""
        return [x if axes is None else x.transpose(axes) for x, axes in zip(given, self.turns, strict=True)]

    def run_forward(self, arrays: Sequence[np.ndarray], run: Run, train: bool) -> tuple[np.ndarray, ...]:
        """Return the last carry, the stacked outputs and, to `train`, what the backward run wants of this one.

        That is the residuals, or in several segments the carry with which each began.
        """
        consts, carry, xs = self._sorted(arrays)
        step, parts = self.forward.step, parts_of(run)
        if len(parts) == 1:
            env = self._given(consts, xs)
            last = self.forward.run(env, carry, run)
            return (*last, *self.forward.outputs(env, run.T), *[env[var] for var in (self.residuals if train else ())])
        ys = [np.empty((run.T, *y.shape), y.dtype) for y in step.ys]
        borders = [np.empty((len(parts), *var.shape), var.dtype) for var in step.carry]
        for number, part in enumerate(parts):
            for border, value in zip(borders, carry, strict=True):
                border[number] = value
            env = self._given(consts, [x[part.times] for x in xs])
            carry = self.forward.run(env, carry, part.run)
            for stack, y in zip(ys, step.ys, strict=True):
                stack[part.times] = env[y]
        return (*carry, *ys, *(borders if train else ()))

    def pull_back(
        self, cotangents: Sequence[np.ndarray], arrays: Sequence[np.ndarray], outputs: Sequence[np.ndarray], run: Run
    ) -> list[np.ndarray | None]:
        """Return the cotangent of each of `arrays`, None where none flows."""
        gradient, direction = self.gradient, self.backward
        assert gradient is not None
        assert direction is not None
        consts, _, xs = self._sorted(arrays)
        forward, parts = self.forward.step, parts_of(run)
        count = len(forward.carry)
        remembered, of_ys = outputs[count + len(forward.ys) :], [cotangents[count + at] for at in gradient.outputs]
        last: Sequence[np.ndarray] = [cotangents[at] for at in self._carries]
        sums = {var: Sum(total, run.reverse) for var, total in direction.totals.items()}
        if len(parts) == 1:
            env = self._given(consts, xs)
            env.update(zip(self.residuals, remembered, strict=True))
            env.update(zip(direction.step.xs, of_ys, strict=False))
            env.update(direction.blocks(run.T))
            last = direction.run(env, last, run)
            for total in sums.values():
                total.add(env, run.T, last=True)
            found = dict(zip(gradient.inputs, direction.outputs(env, run.T), strict=True))
        else:
            found, last = self._pull_back_parts(parts, consts, xs, remembered, of_ys, last, sums)
        found.update(zip(gradient.carries, last, strict=True))
        rest = iter([sums[var].result() for var in direction.step.sums])
        for var, terms in gradient.consts:
            contributions = [next(rest) for _ in range(terms)]
            if contributions:
                found[var] = sum(contributions[1:], contributions[0])
        back = [
            g if g is None or axes is None else g.transpose(axes)
            for g, axes in zip(map(found.get, self.consts), self._back, strict=True)
        ]
        return [*back, *map(found.get, forward.carry), *map(found.get, forward.xs)]

    def _given(self, consts: Sequence[np.ndarray], xs: Sequence[np.ndarray]) -> Env:
        """Return what is there before a run, by variable."""
        env = dict(self.brought)
        env.update(zip(self.consts, consts, strict=True))
        env.update(zip(self.forward.step.xs, xs, strict=True))
        return env

    def _pull_back_parts(
        self,
        parts: Sequence[Part],
        consts: Sequence[np.ndarray],
        xs: Sequence[np.ndarray],
        borders: Sequence[np.ndarray],
        of_ys: Sequence[np.ndarray],
        last: Sequence[np.ndarray],
        sums: dict[Var, Sum],
    ) -> tuple[Env, Sequence[np.ndarray]]:
        """Return the cotangents of the inputs and of the first carry, and fill the sums, segment by segment."""
        gradient, direction = self.gradient, self.backward
        assert gradient is not None
        assert direction is not None
        T = sum([part.run.T for part in parts])
        step, blocks = direction.step, direction.blocks(T)
        outside = [sums[var] for var, total in direction.totals.items() if blocks.keys().isdisjoint(total.needs)]
        found = {var: np.empty((T, *var.shape), var.dtype) for var in gradient.inputs}
        for number, part in reversed(tuple(enumerate(parts))):
            env = self._given(consts, [x[part.times] for x in xs])
            again = dict(env)
            self.forward.run(again, [border[number] for border in borders], part.run)
            env.update({var: again[var] for var in self.residuals})
            del again
            env.update(zip(step.xs, [g[part.times] for g in of_ys], strict=False))
            env.update(blocks)
            last = direction.run(env, last, part.run)
            for var, y in zip(gradient.inputs, step.ys, strict=True):
                found[var][part.times] = env[y]
            for total in outside:
                total.add(env, part.run.T, last=not number)
            del env  # before the next segment takes as much
        for total in sums.values():
            if total not in outside:
                total.add(blocks, T, last=True)
        return found, last

    def _sorted(self, arrays: Sequence[np.ndarray]) -> tuple[Sequence[Any], Sequence[Any], Sequence[Any]]:
        a, b = len(self.consts), len(self.consts) + len(self.traced.carry)
        return self.turned(arrays[:a]), arrays[a:b], arrays[b:]
