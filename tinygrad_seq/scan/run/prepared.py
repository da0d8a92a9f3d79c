"""A loop that is ready to run again: constants evaluated, weights packed, memory and addresses fixed.

x ──► inputs ──► before ──► [ step  step  step ] ──► after ──► copies ──► y
                                ▲          │
                  init ──►    carry ◄──────┘ ──► copies ──► last carry
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ...kernels.llvm.address import empty
from .batched import Env
from .direction import Direction
from .kept import NO_STAMPS, Stamps
from .kernel import Kernel
from .segments import Run


class Prepared:
    """One direction without gradients, ready for runs of up to T steps, in one thread at a time.

    Parameters
    ----------
    direction
        What to run.
    T
        The number of steps.
    constants
        The constants of its step. They must not change.
    reverse
        Whether it runs from the last step to the first.
    stamps
        Of those constants whose packed forms are shared with other runs.

    Attributes
    ----------
    inputs
        The memory of the inputs, (T, ...).
    nbytes
        The size of the memory of a run, besides the constants.
    """

    def __init__(
        self, direction: Direction, T: int, constants: Env, reverse: bool = False, stamps: Stamps = NO_STAMPS
    ) -> None:
        self._direction, self._run = direction, Run(T, reverse, None)
        step = direction.step
        self._env = dict(constants)
        direction.constant(T, self._env)
        xs = {var: empty((T, *var.shape), var.dtype) for var in step.xs}
        for x in xs.values():
            x.fill(0)  # indices stay in range
        self._env.update(xs)
        self.inputs = list(xs.values())
        self.nbytes = sum([x.nbytes for x in self.inputs])
        self._loop = None
        if direction.kernel is not None:
            self._loop = _Loop(direction, direction.kernel, T, self._env, reverse, stamps)
            self.nbytes += self._loop.nbytes

    def run(self, init: Sequence[np.ndarray], xs: Sequence[np.ndarray]) -> tuple[list[np.ndarray], list[np.ndarray]]:
        """Return the last carry and the outputs of all T steps, as arrays that no later run writes to.

        The arrays of `init` may have an axis of size 1 in front.
        """
        for place, x in zip(self.inputs, xs, strict=True):
            np.copyto(place, x)
        last, ys = self._run_once(init) if self._loop is None else self._loop.run(init)
        return [array.copy() for array in last], [y.copy() for y in ys]

    def _run_once(self, init: Sequence[np.ndarray]) -> tuple[Sequence[np.ndarray], Sequence[np.ndarray]]:
        """Run without a compiled loop."""
        env = dict(self._env)
        init = [array.reshape(var.shape) for array, var in zip(init, self._direction.step.carry, strict=True)]
        return self._direction.run(env, init, self._run), self._direction.outputs(env, self._run.T)


class _Loop:
    """The memory of a compiled loop."""

    def __init__(self, direction: Direction, kernel: Kernel, T: int, env: Env, reverse: bool, stamps: Stamps) -> None:
        self._direction, self._kernel, self._T, self._stamps = direction, kernel, T, stamps
        given = dict(env)
        direction.before(T, given, stamps)
        self._moving = given.keys() - env.keys()  # computed from the inputs, in new memory at every run
        bound = kernel.bind(T, given, reverse, stamps=stamps)
        self._bound = bound = bound._replace(sizes=bound.sizes.copy())
        first, last = bound.first(), bound.last()
        self._first, self._last = ([carry[var] for var in kernel.loop.carry] for carry in (first, last))
        self.nbytes = bound.frame.nbytes
        self._views = [view for view in kernel.outputs if view.var not in given and view.buffer.var in self._moving]
        self._fixed = env | {
            view.var: kernel.over_time(view, bound, T, given)
            for view in kernel.outputs
            if view.var not in given and view not in self._views
        }

        self._ys = None if self._moving or direction.after else direction.outputs(self._fixed, T)

    def run(self, init: Sequence[np.ndarray]) -> tuple[Sequence[np.ndarray], Sequence[np.ndarray]]:
        """Return the last carry and the outputs, which the next run overwrites."""
        kernel, T, env = self._kernel, self._T, self._fixed
        if self._moving:
            env = dict(env)
            self._direction.before(T, env, self._stamps)
            kernel.rebind(self._bound, env, self._moving)
        for place, array in zip(self._first, init, strict=True):
            np.copyto(place, array)
        kernel.launch(self._bound, T)
        if self._ys is not None:
            return self._last, self._ys
        env = dict(env)
        for view in self._views:
            env[view.var] = kernel.over_time(view, self._bound, T, env)
        self._direction.finish(T, env, self._stamps)
        return self._last, self._direction.outputs(env, T)
