"""Steps that are known to do the same at every call, and so need be traced only once."""

from __future__ import annotations

from collections.abc import Iterable
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
    """The traces of a steady step; `tensors` are all that it may close over."""

    def __init__(self, tensors: Iterable[Tensor]) -> None:
        self._tensors = {id(tensor): tensor for tensor in tensors}
        self._known: Memo[Any, Traced] = Memo(200)

    @staticmethod
    def key(carry: Iterable[Any], x: Iterable[Aval]) -> Any:
        """Return all that a trace depends on, if carry and inputs always have one structure."""
        return tuple([(leaf.shape, leaf.dtype) for leaf in carry]), tuple(x), mode.recording, default_dtype()

    def recall(self, key: Any) -> Traced | None:
        """Return the trace that was kept under a key."""
        return self._known.get(key)

    def keep(self, key: Any, traced: Traced) -> None:
        """Keep a trace, unless it closes over what was computed for this call alone."""
        if all(id(x) in self._tensors for x in traced.objects):
            self._known.put(key, traced)


class SteadyStep:
    """A step of which somebody answers that it depends on nothing but what it is given and the values of some tensors.

    Its carry and its inputs have the same structure at every call. Any other step is run at every call, on `Tracer`s:
    it may read a global, a list, a clock.

    Parameters
    ----------
    function
        The step.
    traces
        Where its traces are kept, from call to call.
    """

    def __init__(self, function: StepFunction, traces: Traces) -> None:
        self._function, self.traces = function, traces

    def __call__(self, carry: Tree, x: Tree) -> tuple[Tree, Tree]:
        return self._function(carry, x)
