"""A step that runs again and again from where it was, a few times a call, without gradients.

Everything is made beforehand: weights are packed, all memory and its addresses are fixed, and a call copies its inputs
in, runs the loop, and copies the outputs out. Nothing is done before or after the loop, for that would be many small
passes over next to no data.

    x ──► inputs ──► [ step  step  step ] ──► outputs ──► y
                          ▲          │
                        carry ◄──────┘
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence

import numpy as np

from ..autograd.creation import asarray
from ..autograd.tensor import wrap
from ..base.modes import mode, no_grad
from ..base.tree import Tree, flatten, map_leaves
from ..errors import CompileError
from .compiled import trace_step
from .eager import StepFunction, unroll, warn_once
from .ir.leaves import stack_leaves
from .ir.step import Aval, Step
from .prepared_scan import ShortLoop
from .run.batched import Env
from .run.direction import Direction
from .run.kernel import Kernel
from .run.segments import Run
from .variants import compiled_of


class CompiledStepper:
    """Runs a compiled loop over one step or a few.

    Parameters
    ----------
    function, carry
        See `scan`. What the step closes over is not copied and must not change.
    x
        The input of one step; its values do not matter.
    length
        The greatest number of steps in a call.

    Raises
    ------
    CompileError
        If the step cannot be compiled.
    """

    @no_grad()
    def __init__(self, function: StepFunction, carry: Tree, x: Tree, length: int = 1) -> None:
        leaves, rebuild_x = flatten(x)
        traced = trace_step(function, carry, rebuild_x, [Aval(leaf.shape, leaf.dtype) for leaf in leaves])
        self._rebuild_carry, self._rebuild_y = traced.rebuild_carry, traced.rebuild_y
        loop, arguments = compiled_of(traced, ShortLoop, ShortLoop)
        xs = {var: np.zeros((length, *var.shape), var.dtype) for var in loop.step.xs}
        env = loop.constants([*traced.objects, *arguments]) | xs
        kernel = loop.forward.kernel
        self._memory = _Bound(loop.step, kernel, length, env) if kernel else _Interpreted(loop.forward, length, env)
        self._inputs = list(xs.values())
        self._firsts = [place[0, ...] for place in self._inputs]
        self.carry = carry

    @property
    def carry(self) -> Tree:
        """The state, in the step's structure; a copy comes out, and what is set is copied."""
        return self._rebuild_carry([wrap(array.copy()) for array in self._memory.carry])

    @carry.setter
    def carry(self, carry: Tree) -> None:
        for array, part in zip(self._memory.carry, flatten(carry)[0], strict=True):
            array[...] = part

    def run(self, xs: Sequence[np.ndarray]) -> Tree:
        """Return the outputs ``(count, ...)`` of the next steps; `xs` are the leaves of their inputs, (count, ...)."""
        count = len(xs[0])
        for place, x in zip(self._inputs, xs, strict=True):
            place[:count] = x
        self._memory.run(count)
        return self._rebuild_y([wrap(y[:count].copy()) for y in self._memory.outputs])

    def step(self, xs: Sequence[np.ndarray]) -> Tree:
        """Return the outputs of the next step; `xs` are the leaves of its input."""
        for place, x in zip(self._firsts, xs, strict=True):
            place[...] = x
        self._memory.run(1)
        return self._rebuild_y([wrap(y[0, ...].copy()) for y in self._memory.outputs])


class EagerStepper:
    """Runs each step operation by operation; otherwise as `CompiledStepper`."""

    def __init__(self, function: StepFunction, carry: Tree, x: Tree) -> None:
        self._function, self.carry = function, map_leaves(asarray, carry)
        self._rebuild_x = flatten(x)[1]

    @no_grad()
    def run(self, xs: Sequence[np.ndarray]) -> Tree:
        """See `CompiledStepper.run`."""
        rows = [self._rebuild_x([asarray(x.copy()) for x in row]) for row in zip(*xs, strict=True)]
        self.carry, ys = unroll(self._function, self.carry, rows)
        return stack_leaves(ys)

    @no_grad()
    def step(self, xs: Sequence[np.ndarray]) -> Tree:
        """See `CompiledStepper.step`."""
        x = self._rebuild_x([asarray(x.copy()) for x in xs])
        self.carry, (y,) = unroll(self._function, self.carry, [x])
        return y


def make_stepper(function: StepFunction, carry: Tree, x: Tree, length: int = 1) -> CompiledStepper | EagerStepper:
    """Return a step made ready to run: compiled, or with one `CompileWarning` as it is.

    Inside `detect_anomaly` and `disable_compile` it runs as it is, too.
    """
    if mode.compiling and not mode.anomaly:
        try:
            return CompiledStepper(function, carry, x, length)
        except CompileError as error:
            warn_once(error, stacklevel=4)
    return EagerStepper(function, carry, x)


# ------------------------------------------------------------------------------------------------------- the loop


class _Bound:
    """The memory of a compiled loop."""

    def __init__(self, step: Step, kernel: Kernel, length: int, env: Env) -> None:
        bound = kernel.bind(length, env)
        self._kernel, self._bound = kernel, bound._replace(sizes=bound.sizes.copy())
        self.carry = [bound.slab(var, 0) for var in step.carry]
        moving = [var for var in step.carry if not kernel.layouts[var].buffer.in_place]
        self._first, self._second = ([bound.slab(var, number) for var in moving] for number in (0, 1))
        self.outputs = []
        for y in step.ys:
            view = kernel.view(y)
            assert view is not None
            self.outputs.append(kernel.over_time(view, self._bound, length, env))
        self.run(0)  # now the machine code is there

    def run(self, count: int) -> None:
        self._bound.sizes[0] = count
        self._kernel.launch(self._bound, count)
        if count & 1:
            deque(map(np.copyto, self._first, self._second), 0)  # in C: an interrupt finds all copied, or none


class _Interpreted:
    """The memory of a loop that runs on NumPy."""

    def __init__(self, loop: Direction, length: int, env: Env) -> None:
        self._loop, self._env = loop, env
        self.carry = [np.zeros(var.shape, var.dtype) for var in loop.step.carry]
        self.outputs = [np.zeros((length, *var.shape), var.dtype) for var in loop.step.ys]

    def run(self, count: int) -> None:
        env = {var: array[:count] if var in self._loop.time_varying else array for var, array in self._env.items()}
        last = self._loop.run(env, self.carry, Run(count, reverse=False, window=None))
        found = [*last, *[env[y] for y in self._loop.step.ys]]
        for place, array in zip([*self.carry, *[y[:count] for y in self.outputs]], found, strict=True):
            place[...] = array
