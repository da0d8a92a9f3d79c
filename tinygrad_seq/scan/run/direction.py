"""One direction of a scan, forward or backward: before (all times at once), the loop, after (all times at once)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Sequence
from typing import NamedTuple

import numpy as np
from numba import config

from ...kernels.gemm.matmul import SUM_ROWS
from ...ops.primitive import OpKind
from ..ir.step import Eqn, Stages, Step, Var, dependents, live
from ..passes.differentiate import Backward
from .batched import Env, plan_all
from .interpret import replay, run_loop
from .kept import NO_STAMPS, Stamps
from .kernel import Kernel
from .segments import Run, parts_of
from .sums_of_calls import FEW_ROWS
from .time_sums import TimeSum, joined, plan_time_sum


class Direction:
    """One direction of a scan: the stages of a step, and its sums over time.

    Parameters
    ----------
    stages
        What to run.
    stacked
        Variables that are read later, beside the outputs.
    backward
        Whether it runs against the order of the scan, and windows cut its carry.
    step
        The step, if that of the stages has no carry: see `without_carry`.

    Attributes
    ----------
    rows
        The batch size, as far as it is known.
    time_varying
        The variables with one value per time.
    groups
        The time sums, those in one group that one product computes.
    later
        Those of the time sums that may wait for those of other calls.
    constant, before, finish
        Functions of T and an `Env`: the equations before the loop on constants, those at all times, and those after it.
    """

    def __init__(
        self, stages: Stages, stacked: Collection[Var] = (), backward: bool = False, step: Step | None = None
    ) -> None:
        self.stages, self.backward, self._once = stages, backward, step is not None
        self.step, step = step or stages.step, stages.step
        replayed = stages.replay
        before_replay = replayed.before if replayed else ()
        given = (*step.xs, *replayed.step.xs) if replayed else step.xs
        self.time_varying = dependents((*before_replay, *step.eqns), (*step.carry, *given))
        self.time_sums: dict[Var, TimeSum] = {}
        after = stages.after
        readers = Counter([operand for eqn in after for operand in eqn.reads])
        shared = {var for var, count in readers.items() if count > 1}.union(step.ys, step.carry_out, stacked)
        views = [eqn for eqn in stages.before if eqn.primitive.kind is OpKind.VIEW]
        producer = {result: eqn for eqn in (*views, *after) for result in eqn.results}
        needed: list[Var] = [*step.ys, *stacked]
        for var in dict.fromkeys(step.sums):
            self.time_sums[var] = plan_time_sum(var, producer, self.time_varying, shared - set(step.sums))
            needed += self.time_sums[var].needs
        self.groups = joined(self.time_sums)
        counts = Counter(step.sums)
        self.after = live(after, needed)
        history = {*needed, *[operand for eqn in self.after for operand in eqn.reads]}
        constant = [eqn for eqn in stages.before if self.time_varying.isdisjoint(eqn.results)]
        self.constant = plan_all(constant, ())
        self.before = plan_all([eqn for eqn in stages.before if eqn not in constant], self.time_varying)
        self.finish = plan_all(self.after, self.time_varying)
        self.before_replay = plan_all(before_replay, self.time_varying)
        self.kernel = None if config.DISABLE_JIT else Kernel(stages, self.time_varying, history, backward)
        self.rows = 1 if self._once or self.kernel is None else self.kernel.N
        self.later = frozenset(
            [v for v, plan in self.time_sums.items() if plan.can_wait(counts[v] > 1) and not self.adds_blocks(v)]
        )
        rest = [{var: plan for var, plan in group.items() if var not in self.later} for group in self.groups]
        self._now = [group for group in rest if group]

    def blocks(self, T: int) -> Env:
        """Return zeros for the time sums of the loop: for each an array ``(blocks of times, *shape)``."""
        if self.kernel is None or not self.kernel.stages.time_sums:
            return {}
        count = -(-T // SUM_ROWS)
        return {var: np.zeros((count, *var.shape), var.dtype) for var in self.kernel.stages.time_sums}

    def adds_blocks(self, var: Var) -> bool:
        """Return whether the loop itself adds up a time sum, in blocks of times."""
        return self.kernel is not None and not set(self.kernel.stages.time_sums).isdisjoint(self.time_sums[var].needs)

    def sums_in(self, run: Run) -> tuple[Collection[Var], Sequence[dict[Var, TimeSum]]]:
        """Return the time sums that a run leaves to be added up later, and the groups of the others.

        Those of `later` wait if they have few rows, in one segment.
        """
        if self.kernel is None or run.T * self.rows > FEW_ROWS or len(parts_of(run)) > 1:
            return (), self.groups
        return self.later, self._now

    def run(self, env: Env, init: Sequence[np.ndarray], run: Run, stamps: Stamps = NO_STAMPS) -> tuple[np.ndarray, ...]:
        """Evaluate everything but the time sums, from and into `env`, and return the last carry.

        `env` holds the consts, the xs and the `blocks`; packed forms of arrays with `stamps` are kept.
        """
        if self._once:
            env.update({var: array[None] for var, array in zip(self.step.carry, init, strict=True)})
        self.constant(run.T, env)
        self.before(run.T, env, stamps)
        self.before_replay(run.T, env, stamps)
        start = {} if self._once else dict(zip(self.step.carry, init, strict=True))
        reverse, window = run.reverse != self.backward, run.window if self.backward else None
        if self.kernel is None:
            if self.stages.replay is not None:
                replay(self.stages.replay, run, env, self.time_varying)
            last = run_loop(self.stages, run.T, env, self.time_varying, start, reverse, window, run.start)
        else:
            last = self.kernel.run(run.T, env, start, reverse, window, run.start, stamps)
        self.finish(run.T, env, stamps)
        return tuple([self._stacked(var, env, 1)[0] for var in self.step.carry_out]) if self._once else last

    def outputs(self, env: Env, T: int) -> list[np.ndarray]:
        """Return the stacked outputs of a run."""
        return [self._stacked(y, env, T) for y in self.step.ys]

    def _stacked(self, var: Var, env: Env, T: int) -> np.ndarray:
        return env[var] if var in self.time_varying else np.broadcast_to(env[var], (T, *var.shape))


class Plan(NamedTuple):
    """Both directions of a scan.

    Attributes
    ----------
    normal
        The step in few primitives, without what depends on its constants only: what the gradient is of.
    wanted
        Its inputs that gradients flow to; of the carry, the first one.
    invariants
        The equations that make its constants, once per call.
    forward, backward
        The directions; no backward if no gradient is wanted.
    gradient
        What the backward step computes.
    residuals
        The variables of the forward step that the backward one reads at all times.
    """

    normal: Step
    wanted: Collection[Var]
    invariants: tuple[Eqn, ...]
    forward: Direction
    backward: Direction | None = None
    gradient: Backward | None = None
    residuals: tuple[Var, ...] = ()
