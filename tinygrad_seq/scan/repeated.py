"""Trace a step once if it does not depend on Python state."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from ..autograd.tensor import Tensor
from ..base.memo import Memo
from ..base.modes import mode
from ..base.settings import default_dtype
from ..base.tree import Tree
from .eager import StepFunction
from .ir.retrace import Traced
from .ir.step import Aval


class Traces:
    """The traces of a steady step, which may close over `tensors` and nothing else."""

    def __init__(self, tensors: Iterable[Tensor]) -> None:
        self._tensors = {id(tensor): tensor for tensor in tensors}
        self._known: Memo[Any, Traced] = Memo(200)

    def find(self, carry: Iterable[Any], x: Iterable[Aval], trace: Callable[[], Traced]) -> Traced:
        """Return the trace for a carry and inputs of a fixed structure, from an earlier call if there is one.

        A trace that closes over an array that was computed for this call only is not stored.
        """
        avals = tuple([(leaf.shape, leaf.dtype) for leaf in carry]), tuple(x)
        key = avals, mode.recording, mode.precision, default_dtype()
        traced = self._known.get(key)
        if traced is None:
            traced = trace()
            if self.holds(traced):
                self._known.put(key, traced)
        return traced

    def holds(self, traced: Traced) -> bool:
        """Return whether a trace closes over nothing that was computed for one call only."""
        return all(id(x) in self._tensors for x in traced.objects)


class SteadyStep:
    """A step that depends on its operands and on the values of some tensors only, as its maker asserts.

    Its carry and its inputs have the same structure at every call. Any other step is run on `Tracer`s at every call:
    it may read a global, a list, a clock.

    Parameters
    ----------
    function
        The step.
    traces
        The store of its traces.
    """

    def __init__(self, function: StepFunction, traces: Traces) -> None:
        self._function, self.traces = function, traces

    def __call__(self, carry: Tree, x: Tree) -> tuple[Tree, Tree]:
        return self._function(carry, x)
