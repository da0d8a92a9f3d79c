"""Which inputs and outputs of a scan require grad: the same as in the eager loop.

An output requires grad if a chain of operations with a gradient rule connects it to an input that does. The rule may
return zero, as that of `sign` does. The chain may pass through the carry, so the answer depends on the number of steps,
and on the window, which cuts the carry.
"""

from __future__ import annotations

from collections.abc import Collection

from ..base.memo import Memo
from .ir.step import Step, Var
from .passes.differentiate import followed
from .run.segments import Run


def reaching(step: Step) -> set[Var]:
    """Return every floating-point variable from which a chain of gradient rules connects to an output of `step`."""
    found = {var for var in step.outputs if var.dtype.kind == "f"}
    for eqn in reversed(step.eqns):
        if not found.isdisjoint(eqn.results):
            found.update([operand for operand in followed(eqn) if operand.dtype.kind == "f"])
    return found


class Flow:
    """Which outputs of a scan require grad.

    Parameters
    ----------
    step
        The step of the scan.
    wanted
        The inputs that require grad; of the carry, the first one.
    """

    def __init__(self, step: Step, wanted: Collection[Var]) -> None:
        always = 1 << len(step.carry)  # the bits below it: which parts of the carry the variable depends on
        sources = {var: always for var in (*step.consts, *step.xs) if var in wanted}
        sources |= {var: 1 << at for at, var in enumerate(step.carry) if var.dtype.kind == "f"}
        for eqn in step.eqns:
            mask = 0
            for operand in followed(eqn):
                mask |= sources.get(operand, 0)
            sources.update({result: mask for result in eqn.results if result.dtype.kind == "f"})
        self._always = always
        self._init = sum(1 << at for at, var in enumerate(step.carry) if var in wanted)
        self._carry = [sources.get(var, 0) for var in step.carry_out]
        self._ys = [sources.get(var, 0) for var in step.ys]
        self._answers: Memo[tuple[int, int | None], tuple[int, ...]] = Memo(128)

    def constant_outputs(self, run: Run) -> tuple[int, ...]:
        """Return the positions among the last carry and the stacked outputs of those that do not require grad."""
        key = run.T, run.window
        answer = self._answers.get(key)
        return self._answers.put(key, self._follow(*key)) if answer is None else answer

    def _follow(self, T: int, window: int | None) -> tuple[int, ...]:
        now, ys = self._init, 0
        for t in range(T):
            if window is not None and t and t % window == 0:
                now = 0
            live = now | self._always
            ys |= sum(1 << at for at, mask in enumerate(self._ys) if mask & live)
            following = sum(1 << at for at, mask in enumerate(self._carry) if mask & live)
            if following == now and window is None:
                break
            now = following
        flags = [now >> at & 1 for at in range(len(self._carry))] + [ys >> at & 1 for at in range(len(self._ys))]
        return tuple([position for position, flag in enumerate(flags) if not flag])
