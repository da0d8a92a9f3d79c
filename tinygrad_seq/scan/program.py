"""A compiled scan: its plan, and how to run both directions."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

import numpy as np

from ..kernels.allocator import keep_freed_memory
from ..ops.primitive import TABLE, Array
from .inspect.explain import explain
from .ir.step import Step, Var, evaluate, live
from .pipeline import compile_step
from .requires_grad import Flow, reaching
from .run.batched import Env
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
        The inputs of the step whose gradients are wanted.

    Attributes
    ----------
    normal
        The step that the gradient is of (see `Plan`).
    consts
        Those of its constants that a call computes, by `outer`.
    reached
        For each operand of a call whether gradient can flow from an output to it.
    flow
        Which outputs require grad.
    forward, backward, gradient, residuals
        See `Plan`.
    """

    def __init__(self, step: Step, wanted: Collection[Var]) -> None:
        keep_freed_memory()
        self.traced = step
        self._plan = plan = compile_step(step, wanted)
        self.normal, self.gradient, self.residuals = plan.normal, plan.gradient, plan.residuals
        self.forward, self.backward = plan.forward, plan.backward
        self.consts = tuple([var for var in plan.normal.consts if var not in plan.normal.constants])
        # A weight that is read transposed is handed over as it is: transposing it here is free, on the tape it is not.
        transposes = {eqn.result: eqn for eqn in plan.invariants if eqn.primitive is _permute_dims}
        self._given = tuple([transposes[var].operands[0] if var in transposes else var for var in self.consts])
        self._axes = [transposes[var].params["axes"] if var in transposes else None for var in self.consts]
        self._inverse = [axes and tuple(map(int, np.argsort(axes))) for axes in self._axes]
        self._invariants = live(plan.invariants, self._given)
        self._constants = {**plan.forward.step.constants, **(plan.backward.step.constants if plan.backward else {})}
        reached = reaching(plan.normal).difference(step.arguments)
        self.reached = [var in reached for var in (*self.consts, *step.carry, *step.xs)]
        self.flow = Flow(plan.normal, plan.wanted)
        self._carries = [step.carry.index(var) for var in plan.gradient.carries] if plan.gradient else []

    def explain(self, T: int | None = None, remember: Remember = "all") -> str:
        """Return as text the stages of both directions, what is saved and computed again, the work, and the source.

        Parameters
        ----------
        T
            The number of steps, if the memory of a run is to be shown too.
        remember
            As in `scan`.
        """
        return explain(self._plan, None if T is None else run_of(T, reverse=False, window=None, remember=remember))

    # ------------------------------------------------------------------------------------------------------ running

    def outer(self, objects: Sequence[Any]) -> list[Any]:
        """Return what is handed over as constants, computed from those that were traced: Tensors are recorded."""
        env = dict(zip(self.traced.consts, objects, strict=True)) | dict(self.normal.constants)
        evaluate(self._invariants, env)
        return [env[var] for var in self._given]

    def transposed(self, given: Sequence[Array]) -> list[Array]:
        """Return the constants of the loop, arrays of any kind, from what was handed over."""
        return [x if axes is None else x.transpose(axes) for x, axes in zip(given, self._axes, strict=True)]

    def run_forward(self, arrays: Sequence[np.ndarray], run: Run, train: bool) -> tuple[np.ndarray, ...]:
        """Return the last carry, the stacked outputs and, to `train`, what the backward run wants of this one.

        That is the residuals, or in several segments the carry with which each began.
        """
        consts, carry, xs = self._sorted(arrays)
        step, parts = self.forward.step, parts_of(run)
        if len(parts) == 1:
            env = self._values(consts, xs)
            last = self.forward.run(env, carry, run)
            return (*last, *self.forward.outputs(env, run.T), *[env[var] for var in (self.residuals if train else ())])
        ys = [np.empty((run.T, *y.shape), y.dtype) for y in step.ys]
        borders = [np.empty((len(parts), *var.shape), var.dtype) for var in step.carry]
        for number, part in enumerate(parts):
            for border, value in zip(borders, carry, strict=True):
                border[number] = value
            env = self._values(consts, [x[part.times] for x in xs])
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
            env = self._values(consts, xs)
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
            for g, axes in zip(map(found.get, self.consts), self._inverse, strict=True)
        ]
        return [*back, *map(found.get, forward.carry), *map(found.get, forward.xs)]

    def _values(self, consts: Sequence[np.ndarray], xs: Sequence[np.ndarray]) -> Env:
        """Return what is there before a run, by variable."""
        env = dict(self._constants)
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
            env = self._values(consts, [x[part.times] for x in xs])
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
        return self.transposed(arrays[:a]), arrays[a:b], arrays[b:]
