"""The loop of a step on NumPy, one operation at a time: used without Numba's compiler, and to test the kernels."""

from __future__ import annotations

from typing import Any

import numpy as np

from ...base.modes import ieee
from ..ir.step import Eqn, Stages, Var, evaluate
from .batched import Env, results_of
from .segments import Run


@ieee
def run_loop(
    stages: Stages,
    T: int,
    env: Env,
    time_varying: set[Var],
    init: dict[Var, np.ndarray],
    reverse: bool,
    window: int | None,
    start: int,
) -> tuple[np.ndarray, ...]:
    """Run the loop for `T` steps, which follow the first `start`; stack into `env` and return the last carry.

    Every variable of ``stages.saved``, ``stages.time_sums`` and of the carry, before and after the step, is stacked
    ``(T, *shape)``. With a `window` the carry becomes zeros at its edges: the cotangent of a carry that was detached
    there.
    """

    def apply(eqn: Eqn, operands: list[Any]) -> list[np.ndarray]:
        return results_of(eqn, eqn.primitive.forward(*operands, **eqn.params))

    step = stages.step
    wanted = dict.fromkeys((*stages.saved, *stages.time_sums, *step.carry, *step.carry_out))
    stacks = {var: np.empty((T, *var.shape), var.dtype) for var in wanted}
    carry = tuple([init[var] for var in step.carry])
    constants = {var: env[var] for var in env if var not in time_varying}
    varying = [var for var in env if var in time_varying]
    for t in reversed(range(T)) if reverse else range(T):
        now = constants | {var: env[var][t] for var in varying} | dict(zip(step.carry, carry, strict=True))
        evaluate(stages.during, now, apply)
        for var, stack in stacks.items():
            stack[t] = now[var]
        carry = tuple([now[var] for var in step.carry_out])
        place = start + (t if reverse else T - 1 - t)  # in the forward direction, as only a backward loop has a window
        if window is not None and place and place % window == 0:
            carry = tuple([np.zeros_like(part) for part in carry])
    env.update({var: stack for var, stack in stacks.items() if var not in env})
    return carry


def replay(stages: Stages, run: Run, env: Env, time_varying: set[Var]) -> None:
    """Stack into `env` what the loop of a replay computes, given the carry before the first step of `run` in `env`."""
    first = {var: env.pop(var) for var in stages.step.carry}
    run_loop(stages, run.T, env, time_varying, first, run.reverse, None, run.start)
