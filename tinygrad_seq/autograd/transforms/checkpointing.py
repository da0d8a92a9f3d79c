"""`checkpoint`: trades compute for memory.

The operations of the function are recorded as usual, then the arrays that their gradient rules would read are dropped.
When the backward pass reaches one of the nodes, the function runs again; it performs the same operations in the same
order, and their saved arrays are handed to the old nodes. The graph never changes, so gradients of any order are equal
to the last bit.
"""

from __future__ import annotations

import functools
import weakref
from collections.abc import Callable
from typing import Any

import numpy as np

from ...base.modes import enable_grad, mode
from ...base.settings import Draws
from ...base.switches import Switch
from ...base.tree import flatten, map_leaves
from ...errors import GraphError
from ...ops.primitive import LEVELS
from ..tape import Node, Source, next_number, survey
from ..tensor import Tensor, attach, source_of


def checkpoint(f: Callable[..., Any]) -> Callable[..., Any]:
    """Return a function that computes what `f` does but keeps only its arguments and results for the backward pass.

    The backward pass runs `f` again to rematerialise what the gradient needs. Values and gradients are equal to the
    last bit, and random numbers of this package are replayed. Checkpoints may be nested, and `f` may close over
    parameters. Inside a compiled scan it has no effect: use the scan's ``remember``. A graph that is kept
    (``retain_graph``) stays filled in after the first backward pass.

    Parameters
    ----------
    f
        Returns Tensors or nested tuples, lists and dicts of them; must do the same each time it runs.

    Returns
    -------
    callable
        A function with the arguments and results of `f`.

    Raises
    ------
    GraphError
        In the backward pass, if `f` does something else on its second run: it reads a tensor that has changed in the
        meantime, such as a parameter after an optimizer step, or draws from a generator of its own.

    Examples
    --------
    >>> import tinygrad_seq as ts
    >>> layer = ts.checkpoint(lambda x: ts.tanh(ts.exp(x)))
    >>> ts.grad(lambda x: layer(x).sum())(ts.tensor([0.0, 1.0]))
    tensor([0.41997433, 0.04693638])
    """

    @functools.wraps(f, updated=())
    def call(*args: Any, **kwargs: Any) -> Any:
        if not mode.recording:
            return f(*args, **kwargs)
        return _Segment(f, args, kwargs).first(functools.partial(f, *args, **kwargs))

    return call


class _Segment:
    """One call of a function, whose nodes hold no arrays until they are needed."""

    def __init__(self, f: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        self._again = functools.partial(f, *map_leaves(frozen, args), **map_leaves(frozen, kwargs))
        self._name = getattr(f, "__name__", type(f).__name__)
        self._draws = Draws()
        self._modes = Switch(compiling=mode.compiling, anomaly=mode.anomaly, precision=mode.precision)
        # Weak, since a node refers to its segment; by creation number.
        self._nodes: dict[int, weakref.ref[Node]] = {}

    def first(self, call: Callable[[], Any]) -> Any:
        """Return ``call()`` and empty the nodes that it recorded."""
        result, tensors, nodes, outside = self._run(call, self._draws.record())
        if any(not isinstance(x, Tensor) and x.__class__ in LEVELS for x in flatten(result)[0]):  # a step is compiled
            return result
        self._values = [x._frozen() for x in tensors]
        self._read = [(x, x._frozen()) for x in outside if isinstance(x, Tensor)]
        self._kinds = list(map(_kind, nodes))
        for node in nodes:
            self._nodes[node.number] = weakref.ref(node)
            node.saved = node.output = None
            node.recompute = self.refill
        return result

    def refill(self) -> None:
        """Run the function again and refill its nodes."""
        if not all(x._array is array or _same(x._array, array) for x, array in self._read):
            raise self._changed("a tensor that it reads has another value now")
        _, tensors, nodes, _ = self._run(self._again, self._draws.replay())
        if list(map(_kind, nodes)) != self._kinds:
            raise self._changed("it has run other operations")
        if not all(map(_same, self._values, [x._frozen() for x in tensors])):
            raise self._changed("its result has other values")
        for reference, new in zip([*self._nodes.values()], nodes, strict=True):
            old = reference()
            if old is None:
                continue
            if new.recompute is None:
                old.output, old.saved, old.recompute = new.output, new.saved, None
            else:  # of a segment inside this one
                inner: _Segment = new.recompute.__self__  # type: ignore[attr-defined]
                inner._nodes[new.number] = reference
                old.recompute = new.recompute

    def _run(self, call: Callable[[], Any], draws: Switch) -> tuple[Any, list[Tensor], list[Node], set[Source]]:
        """Return the result of ``call()``, its Tensors, the nodes that it recorded, and the sources of these."""
        since = next_number()
        with draws, self._modes, enable_grad():
            result = call()
        tensors = [x for x in flatten(result)[0] if isinstance(x, Tensor)]
        return result, tensors, *survey([source_of(x) for x in tensors if x._requires_grad], since)

    def _changed(self, how: str) -> GraphError:
        return GraphError(
            f"checkpoint: expected {self._name!r} to do in the backward pass what it did in the forward pass, but "
            f"{how}; call backward before parameters are changed, draw random numbers with this package, or leave "
            "checkpoint out."
        )


def _kind(node: Node) -> tuple[Any, ...]:
    return node.primitive, node.shape, node.dtype


def _same(a: np.ndarray, b: np.ndarray) -> bool:
    return np.array_equal(a, b, equal_nan=a.dtype.kind == "f")


def frozen(x: Any) -> Any:
    """Return a copy of an argument, safe from later changes; cotangents flow to the original."""
    return attach(x._frozen(), source_of(x) if x._requires_grad else None) if isinstance(x, Tensor) else x
