"""A scan of a steady step that is ready to run again, without gradients."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from operator import itemgetter
from typing import Any, Final

from ..autograd.tensor import Tensor
from ..base.modes import no_grad
from ..base.tree import Tree
from ..errors import CompileError
from .compiled import program_for, traced_of
from .ir.step import Aval, Step
from .pipeline import compile_step
from .program import Program
from .repeated import SteadyStep
from .run.batched import Env, plan_all
from .run.kept import stamps_of
from .run.prepared import Prepared
from .variants import compiled_of

SHORT: Final = 4
"""Most steps of a run for which a product before the loop costs more than in the loop."""


class ShortLoop:
    """A step as a loop and nothing else, made once for steps that do the same."""

    def __init__(self, traced: Step) -> None:
        plan = compile_step(traced, streaming=True)
        self._traced, self.step, self._constants = traced.consts, plan.forward.step, plan.forward.step.constants
        self.forward, self._invariants = plan.forward, plan_all(plan.invariants, ())

    def constants(self, objects: Sequence[Any]) -> Env:
        """Return the constants of the loop, computed from those that were traced."""
        arrays = [x._array if isinstance(x, Tensor) else x for x in objects]
        env: Env = dict(zip(self._traced, arrays, strict=True)) | dict(self._constants)
        self._invariants(0, env)
        return {var: env[var] for var in self.step.consts}


class PreparedScan:
    """A scan over T steps of a step that does the same at every call; it runs in one thread at a time.

    Parameters
    ----------
    step, carry
        See `scan`.
    x
        The shape and dtype of the input of one step.
    T, reverse
        The number of steps, and whether the last one comes first.
    tensors
        What the step closes over: their values must not change. Packed forms of theirs are shared with other runs.

    Attributes
    ----------
    run
        `Prepared.run`.
    y
        The shape and dtype of the output of one step.
    rebuild_carry
        Returns the carry in its structure, of a list of its arrays.
    nbytes, seconds
        The memory of a run, and roughly how long it takes.

    Raises
    ------
    CompileError
        If the step cannot be compiled, or its output is not one array.
    """

    @no_grad()
    def __init__(
        self, step: SteadyStep, carry: Tree, x: Aval, T: int, reverse: bool, tensors: Iterable[Tensor]
    ) -> None:
        traced = traced_of(step, carry, itemgetter(0), [x])
        if len(traced.template.ys) != 1 or traced.rebuild_y([x]) is not x:
            raise CompileError("scan: expected one output, got several.")
        (y,) = traced.template.ys
        loop: ShortLoop | Program
        if T <= SHORT:
            loop, arguments = compiled_of(traced, ShortLoop, ShortLoop)
        else:
            loop, arguments = program_for(traced, (False,) * len(traced.template.inputs), T)
        stamps = stamps_of(tensors)
        constants = loop.constants([*traced.objects, *arguments])
        kernel = loop.forward.kernel
        self.seconds = 0.0 if kernel is None else kernel.seconds_of(T)
        prepared = Prepared(loop.forward, T, constants, reverse, stamps)
        self.y = y.aval
        self.rebuild_carry, self.run, self.nbytes = traced.rebuild_carry, prepared.run, prepared.nbytes
