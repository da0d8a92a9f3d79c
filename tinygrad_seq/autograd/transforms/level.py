"""One differentiation in progress: its own variables, and the other variables that its results depend on.

A differentiation wraps its arguments in new variables and notes the current creation number as a mark. Every node that
the function adds to the tape is newer than the mark. A walk back from a result therefore finds what it depends on
besides the arguments: the walk stops at the new variables, at leaves, and at nodes older than the mark. These are
values that an enclosing differentiation differentiates, or tensors that require grad. If there are any, the backward
pass is recorded and connected to exactly these; if there are none, it runs on plain arrays and frees the graph as it
goes.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from typing import Any

import numpy as np

from ...base.modes import enable_grad, mode, user_line
from ...base.tree import describe, flatten, same_structure
from ...errors import ArgumentError, CompileError, DtypeError, GraphError, ShapeError
from ...ops.casting import alias
from ...ops.primitive import LEVELS, Array
from ..conversion import to_array
from ..tape import Node, Source, leading_to, next_number, survey
from ..tensor import Tensor, attach, pull_back, source_of, wrap


class Level:
    """A differentiation with respect to `arguments`.

    Parameters
    ----------
    caller
        The function named in error messages.
    arguments
        Trees of arrays.
    create_graph
        Whether results can be differentiated with respect to what they depend on. None: yes, if recording is on when
        they are computed.

    Attributes
    ----------
    leaves
        The new variables, flat.
    tree
        The new variables in the structure of the arguments.
    """

    def __init__(self, caller: str, arguments: list[Any], create_graph: bool | None = None) -> None:
        self.caller, self._create_graph = caller, create_graph
        values, self.rebuild = flatten(arguments)
        given = [_argument(caller, value) for value in values]
        self._since = next_number()
        self.leaves = [renamed(value) for value in given]
        self.tree = self.rebuild(self.leaves)

    @property
    def recording(self) -> bool:
        """Whether results computed now may be differentiated."""
        return mode.recording if self._create_graph is None else self._create_graph

    def apply(self, f: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Any:
        """Return ``f(*args, **kwargs)``, by default of the new variables, and find what it depends on."""
        args = args or tuple(self.tree)
        result = f(*args, **kwargs) if mode.recording else enable_grad()(f)(*args, **kwargs)
        self.look(flatten(result)[0])
        return result

    def look(self, outputs: Sequence[Any]) -> None:
        """Find what `outputs` depend on besides the arguments, for all later calls of `pull_back`."""
        sources = [source_of(output) for output in outputs if isinstance(output, Tensor) and output._requires_grad]
        self._nodes, outside = survey(sources, self._since)
        self._connected = leading_to(outside, self._nodes) if outside else frozenset[Source]()
        self._opaque = any(node.primitive.opaque or node.hooks is not None for node in self._nodes)

    def matching(self, tangents: list[Any]) -> list[Tensor]:
        """Return `tangents` as a flat list, checked against the arguments."""
        found = [_argument(self.caller, value) for value in flatten(tangents)[0]]
        expected = [leaf.shape for leaf in self.leaves]
        if [value.shape for value in found] != expected or not same_structure(tangents, self.tree):
            raise ShapeError(
                f"{self.caller}: expected tangents of the primals' structure and shapes {expected}, got "
                f"{describe(tangents)}; pass one tangent per primal."
            )
        return found

    def pull_back(
        self,
        outputs: Sequence[Tensor],
        cotangents: Sequence[Any],
        *,
        only: Sequence[Tensor] | None = None,
        keep: bool = False,
    ) -> list[Tensor]:
        """Return the gradients of `outputs` with respect to the arguments, or to `only`; zeros if there is no path."""
        pairs = [(output, g) for output, g in zip(outputs, cotangents, strict=True) if output._requires_grad]
        traced = {source_of(g) for _, g in pairs if isinstance(g, Tensor) and g._requires_grad}
        differentiable = self.recording and bool(self._connected or traced or self._opaque)
        only = self.leaves if only is None else only
        arrived = pull_back(
            [output for output, _ in pairs],
            [cotangent for _, cotangent in pairs],
            only=only,
            keep=keep or differentiable,
            differentiable=differentiable,
            nodes=self._nodes,
            connected=self._connected,
        )
        found = [arrived[x] if x in arrived else wrap(np.zeros(x.shape, x.dtype)) for x in only]
        return self._without_own(found, traced) if differentiable and self._opaque else found

    def push_forward(self, outputs: Sequence[Tensor], tangents: Sequence[Tensor]) -> list[Tensor]:
        """Return the derivatives of `outputs` along `tangents` of the arguments.

        The pull-back is linear in its cotangent, so its own pull-back is the push-forward; no second set of rules is
        needed.
        """
        weights = [wrap(np.zeros(output.shape, output.dtype)) for output in outputs]
        live = [i for i, output in enumerate(outputs) if output._requires_grad]
        names = {i: renamed(weights[i]) for i in live}
        pulled = self._pulled([outputs[i] for i in live], list(names.values()), self._connected)
        reached = [(pulled[x], d) for x, d in zip(self.leaves, tangents, strict=True) if x in pulled]
        self.look([gradient for gradient, _ in reached])
        found = self.pull_back([g for g, _ in reached], [d for _, d in reached], only=list(names.values()))
        for i, pushed in zip(live, found, strict=True):
            weights[i] = pushed
        return weights

    def gradients(self, value: Tensor) -> list[tuple[int, Tensor]]:
        """Return differentiable gradients of `value`, with positions, for the arguments that it depends on."""
        pulled = self._pulled([value] if value._requires_grad else [], [None], None)
        found = [(i, pulled[leaf]) for i, leaf in enumerate(self.leaves) if leaf in pulled]
        self.look([gradient for _, gradient in found])
        return found

    def _pulled(
        self, outputs: Sequence[Tensor], cotangents: Sequence[Any], connected: Collection[Source] | None
    ) -> dict[Tensor, Tensor]:
        """Return gradients that are differentiable with respect to the cotangents and to `connected`."""
        return pull_back(
            outputs,
            cotangents[: len(outputs)],
            only=self.leaves,
            keep=True,
            differentiable=True,
            nodes=self._nodes,
            connected=connected,
        )

    def released(self, value: Any) -> Any:
        """Return a result, detached from the tape unless it depends on something besides the arguments.

        Anything but a Tensor is returned unchanged.
        """
        if not isinstance(value, Tensor):
            return value
        return value if self.recording and source_of(value) in self._connected else value.detach()

    def _without_own(self, found: list[Tensor], traced: set[Source]) -> list[Tensor]:
        """Return gradients with those detached that depend on the arguments alone (rules of the user may make such)."""
        nodes, outside = survey([source_of(x) for x in found if x._requires_grad], self._since, traced)
        connected = leading_to(outside | traced, nodes)
        return [x if source_of(x) in connected else x.detach() for x in found]

    def expect_scalar(self, value: Any) -> None:
        """Raise unless `value` is a Tensor with one element."""
        self.expect_tensor(value)
        if value.size != 1:
            raise GraphError(
                f"{self.caller}: expected a function that returns a scalar, got shape {value.shape}; "
                "reduce it with .sum() or .mean(), or use ts.vjp."
            )

    def expect_tensor(self, value: Any) -> None:
        """Raise unless `value` is a Tensor."""
        refuse_traced(self.caller, value)
        if not isinstance(value, Tensor):
            raise ArgumentError(
                f"{self.caller}: expected a function that returns Tensors, got {type(value).__name__}; "
                "compute with tinygrad_seq functions and return their result."
            )


def renamed(tensor: Tensor) -> Tensor:
    """Return the same values as a new variable, with respect to which a gradient can be taken separately.

    Results that depend on it depend on `tensor` too, if that requires grad.
    """
    array, parent = tensor._frozen(), source_of(tensor) if tensor._requires_grad else None
    return attach(array, Node(alias, {}, [parent], (None,), None, array.shape, array.dtype))


def refuse_traced(caller: str, value: Any) -> None:
    """Raise a CompileError if `value` belongs to a scan step that is being compiled."""
    if not isinstance(value, Tensor) and value.__class__ in LEVELS:
        raise CompileError(
            f"{caller}: expected Tensors, got a value of a scan step that is being compiled (at {user_line()}), where "
            "no differentiation can be written down; pass compile=False to the scan."
        )


def _argument(caller: str, value: Array) -> Tensor:
    """Return an argument of a differentiation as a floating-point Tensor."""
    refuse_traced(caller, value)
    array = value if isinstance(value, Tensor) else to_array(caller, value)
    if array.dtype.kind != "f":
        raise DtypeError(
            f"{caller}: expected floating-point arguments, got {type(value).__name__} ({array.dtype}); "
            "cast it, or let the function close over it (in grad: leave it out of argnums)."
        )
    if isinstance(array, Tensor):
        return array
    return wrap(array)
