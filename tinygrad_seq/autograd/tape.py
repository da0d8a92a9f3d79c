"""The tape: the nodes of recorded operations, and the backward pass over them.

Each node carries a creation number that counts down. An operation is newer than its operands, so visiting reachable
nodes by ascending number (a heap) visits every node after all its users: no sort, no recursion. Each cotangent is
dropped once used, and each node is emptied unless the graph is kept.
"""

from __future__ import annotations

import functools
import itertools
import math
from collections.abc import Callable, Collection, Iterable, Sequence
from heapq import heappop, heappush
from operator import attrgetter
from typing import Any, NamedTuple

import numpy as np

from ..base.modes import Origin, check_finite, mode
from ..errors import GraphError, ShapeError
from ..kernels.pool import available, pays_off, side_by_side
from ..ops.casting import astype
from ..ops.primitive import Array, Primitive
from ..ops.shape import unbroadcast
from .deferred import Deferred, add_up, complete

# A number is also a mark in time: a node is newer than a mark if its number is smaller.
next_number = itertools.count(0, -1).__next__

_age = attrgetter("number")

# Receives the gradient as a Tensor; returns None or a replacement.
Hook = Callable[[Array], Array | None]


class HookHandle:
    """Removes a hook: ``handle.remove()`` or ``handle()``."""

    __slots__ = ("_hook", "_hooks")

    def __init__(self, hooks: list[Hook], hook: Hook) -> None:
        self._hooks = hooks
        self._hook: Hook | None = hook

    def remove(self) -> None:
        """Remove the hook; repeated calls do nothing."""
        if self._hook is not None:
            self._hooks.remove(self._hook)
            self._hook = None

    __call__ = remove


class Node:
    """One recorded operation.

    Attributes
    ----------
    parents
        Per operand, the target of its cotangent: a `Node`, an `Output`, a leaf Tensor, or None.
    saved
        Per operand, what the rules read: an ndarray, a Python scalar, a `Like` or None. None once freed.
    output
        What the rules read of the result; a tuple for several results.
    shape, dtype
        Shape and dtype of the result and of its cotangent; tuples for several results.
    hooks
        Functions to run on a complete cotangent, by slot.
    origin
        The line of the user's code, kept only under `detect_anomaly`.
    recompute
        Refills `saved` and `output` of a node inside `checkpoint`; None afterwards.
    """

    __slots__ = (
        "__dict__", "__weakref__", "dtype", "number", "output", "params", "parents", "primitive", "saved", "shape",
    )  # fmt: skip
    hooks: dict[int, list[Hook]] | None = None
    origin: Origin | None = None
    recompute: Callable[[], None] | None = None

    def __init__(
        self,
        primitive: Primitive,
        params: dict[str, Any],
        parents: Sequence[Any],
        saved: Sequence[Any] | None,
        output: Any,
        shape: Any,
        dtype: Any,
    ) -> None:
        self.number = next_number()
        self.primitive = primitive
        self.params = params
        self.parents = parents
        self.saved = saved
        self.output = output
        self.shape = shape
        self.dtype = dtype


class Output(NamedTuple):
    """One result of a node with several."""

    node: Node
    slot: int

    @property
    def shape(self) -> tuple[int, ...]:
        return self.node.shape[self.slot]  # type: ignore[no-any-return]

    @property
    def dtype(self) -> np.dtype:
        return self.node.dtype[self.slot]  # type: ignore[no-any-return]


# The target of a cotangent: a Node, an Output or a leaf Tensor; all have `shape` and `dtype`.
Source = Any


def backpropagate(
    roots: Iterable[tuple[Source, Array]],
    to_tensor: Callable[[Array, Source], Array],
    *,
    keep: bool = False,
    differentiable: bool = False,
    only: Sequence[Source] | None = None,
    nodes: Sequence[Node] | None = None,
    connected: Collection[Source] | None = None,
) -> dict[Source, Array]:
    """Propagate the cotangents of `roots` back through the tape and return the gradients by source.

    It runs in a context like `modes.quiet`, with recording on if and only if `differentiable`.

    Parameters
    ----------
    roots
        Pairs of a source and its cotangent: ndarrays, or Tensors if `differentiable`.
    to_tensor
        Makes a Tensor from an array and its source: for hooks, and for every operand if `differentiable`.
    keep
        Keep the nodes, so that the backward pass can run again.
    differentiable
        Run the rules on Tensors, so that the result can be differentiated.
    only
        The sources to return, leaves or not; only nodes that lead to them are visited. None for all leaves.
    nodes
        The nodes between `roots` and `only`, oldest first (see `survey`), if known.
    connected
        If `differentiable`: the sources with respect to which the result can be differentiated, besides the cotangents;
        all other values are constants. None for all.

    Raises
    ------
    GraphError
        If a node was freed by an earlier backward pass.
    """
    pending: dict[Source, Array] = {}
    owned: set[Source] = set()  # sources whose pending sum is an ndarray made here: later terms are added in place
    heap: list[tuple[int, Node]] = []
    arrived: dict[Source, Array] = {}
    wanted = None if only is None else set(only)
    leading = None if wanted is None else leading_to(wanted, nodes or survey([source for source, _ in roots])[0])
    anomaly = mode.anomaly
    ahead: dict[Node, Sequence[Array]] = {}  # the cotangents that nodes in the heap will send, if computed already
    send = _sender(pending, owned, heap)

    for source, cotangent in roots:
        if leading is None or source in leading:
            send(source, cotangent)
    while heap:
        node = heappop(heap)[1]
        saved, output, primitive, params = node.saved, node.output, node.primitive, node.params
        if saved is None:
            saved, output = _recomputed(node)
        if primitive.seconds is not None and not differentiable and node not in ahead:
            _run_beside(node, heap, ahead, lambda one: _collect(one, pending, to_tensor, wanted, arrived))
        if primitive.multiple or node.hooks is not None or wanted is not None:
            g = None if node in ahead else _collect(node, pending, to_tensor, wanted, arrived)
        else:
            g = pending.pop(node)
        if differentiable:
            saved, output = _as_tensors(node, to_tensor, connected)
        rules: Any = primitive.rules
        parts = ahead.pop(node) if g is None else rules[0](g, output, *saved, **params) if primitive.variadic else None
        add_into = primitive.add_into
        for position, parent in enumerate(node.parents):
            if parent is None or (leading is not None and parent not in leading):
                continue
            if add_into is not None and parent in owned and not differentiable:
                add_into(pending[parent], g, *saved[1:], **params)
                continue
            c = (
                parts[position]
                if parts is not None
                else rules[position](g, output, *saved, **params)
                if params
                else rules[position](g, output, *saved)
            )
            if c.__class__ is not np.ndarray or c.shape != parent.shape or c.dtype is not parent.dtype:
                c = _fitted(c, parent, anomaly)
            if anomaly:
                check_finite(c, f"the gradient of {primitive.name!r}", node.origin)
            if parent.__class__ is Node and parent not in pending:  # inlined from `send`, for the most common case
                pending[parent] = c
                heappush(heap, (parent.number, parent))
            else:
                send(parent, c)
        if not keep:  # free the saved arrays and the links to older nodes
            node.saved = node.output = None
            node.parents = ()
    leaves = [leaf for leaf in pending if wanted is None or leaf in wanted]
    add_up([pending[leaf] for leaf in leaves])
    return arrived | {leaf: _run_hooks(leaf._hooks, complete(pending[leaf]), leaf, to_tensor) for leaf in leaves}


def _fitted(c: Any, parent: Source, anomaly: bool) -> Any:
    """Return a cotangent with the shape and dtype of `parent`; only a leaf can wait for one that is `Deferred`."""
    if isinstance(c, Deferred) and (anomaly or isinstance(parent, Node | Output)):
        c = c.value()
    if c.shape != parent.shape or c.dtype is not parent.dtype:
        c = unbroadcast(c, parent.shape, parent.dtype)
    return c


def _recomputed(node: Node) -> tuple[Sequence[Any], Any]:
    """Return the saved operands and output of a node, rematerialised inside `checkpoint`; raise if it was freed."""
    tried: Any = None
    while node.saved is None and node.recompute not in (None, tried):  # once per enclosing segment
        tried = node.recompute
        tried()
    if node.saved is None and tried is not None:
        raise GraphError(
            f"checkpoint: expected the second run of the function to repeat the {node.primitive.name!r} of the first, "
            "got other operations; let the function do the same each time it runs, or leave checkpoint out."
        )
    if node.saved is None:
        raise GraphError(
            f"backward: expected a graph, but the part that made this {node.primitive.name!r} was freed by an earlier "
            "backward pass; pass retain_graph=True to the first one, or compute the loss again."
        )
    return node.saved, node.output


def _sender(
    pending: dict[Source, Array], owned: set[Source], heap: list[tuple[int, Node]]
) -> Callable[[Source, Array], None]:
    """Return a function that adds a cotangent to the pending sum of its target and queues the target's node once."""
    queued: set[Node] = set()  # nodes with several results that are in the heap

    def send(target: Source, cotangent: Array) -> None:
        if target in pending:
            if target in owned and cotangent.__class__ is np.ndarray:
                pending[target] += cotangent
            else:
                total = pending[target] = pending[target] + cotangent
                if total.__class__ is np.ndarray:  # neither a scalar, which has no memory, nor a Tensor
                    owned.add(target)
                else:
                    owned.discard(target)
            return
        pending[target] = cotangent
        kind = target.__class__
        if kind is Node:
            heappush(heap, (target.number, target))
        elif kind is Output and target.node not in queued:
            queued.add(target.node)
            heappush(heap, (target.node.number, target.node))

    return send


def _collect(
    node: Node,
    pending: dict[Source, Array],
    to_tensor: Callable[[Array, Source], Array],
    wanted: set[Source] | None,
    arrived: dict[Source, Array],
) -> Array:
    """Remove and return a node's complete cotangent; for several results a tuple, with zeros where none arrived."""
    if not node.primitive.multiple:
        g = pending.pop(node)
        if node.hooks is not None:
            g = _run_hooks(node.hooks[0], g, node, to_tensor)
        if wanted is not None and node in wanted:
            arrived[node] = g
        return g
    parts = []
    for slot, (shape, dtype) in enumerate(zip(node.shape, node.dtype, strict=True)):
        source = Output(node, slot)
        g = pending.pop(source, None)
        if g is None:
            g = _zeros(shape, dtype)
        elif node.hooks is not None:
            g = _run_hooks(node.hooks.get(slot), g, source, to_tensor)
        if wanted is not None and source in wanted:
            arrived[source] = g
        parts.append(g)
    return tuple(parts)


def _run_beside(
    node: Node,
    heap: list[tuple[int, Node]],
    ahead: dict[Node, Sequence[Array]],
    collect: Callable[[Node], Array],
) -> None:
    """Run the rule of `node` and those of the next nodes of the heap side by side, if they can and that pays off.

    They are independent of it and of each other. What they return goes to `ahead`, and they stay in the heap, so that
    cotangents are added in the same order for any number of threads.
    """
    group = [node]
    while heap and len(group) < available():
        other = heap[0][1]
        if other.primitive.seconds is None or other.saved is None or other.hooks is not None or other in ahead:
            break
        if not pays_off([*map(_seconds, (*group, other))]) or _lead_to(group, other):
            break
        group.append(heappop(heap)[1])
    for other in group[1:]:
        heappush(heap, (other.number, other))
    if len(group) > 1:
        tasks = [_rule_of(one, collect(one)) for one in group]
        ahead.update(zip(group, side_by_side(tasks), strict=True))


def _seconds(node: Node) -> float:
    estimate = node.primitive.seconds
    return 0.0 if estimate is None else estimate(**node.params)


def _lead_to(nodes: Sequence[Node], target: Node, most: int = 1000) -> bool:
    """Return whether a cotangent may flow from newer nodes to `target`; True after a search of `most` nodes."""
    stack, seen = [*nodes], set(nodes)
    while stack:
        for parent in stack.pop().parents:
            source = parent.node if parent.__class__ is Output else parent
            if source is target or len(seen) > most:
                return True
            if source.__class__ is Node and source.number < target.number and source not in seen:
                seen.add(source)
                stack.append(source)
    return False


def _rule_of(node: Node, g: Array) -> Callable[[], Sequence[Array]]:
    """Return a function that runs the rule of a node with one rule, on ndarrays."""
    rule: Any = node.primitive.rules
    return functools.partial(rule[0], g, node.output, *(node.saved or ()), **node.params)


@functools.lru_cache(4096)
def _zeros(shape: tuple[int, ...], dtype: np.dtype) -> np.ndarray:
    """Return read-only zeros that take no memory, cached because `np.broadcast_to` takes 4 us."""
    return np.broadcast_to(np.zeros((), dtype), shape)


def _run_hooks(
    hooks: list[Hook] | None, g: Array, source: Source, to_tensor: Callable[[Array, Source], Array]
) -> Array:
    for hook in tuple(hooks or ()):  # a hook may remove itself
        given = to_tensor(g, None)
        returned = hook(given)
        if returned is None:
            continue
        returned = to_tensor(returned, None)
        if returned.shape != source.shape:
            raise ShapeError(
                f"gradient hook: expected a gradient of shape {source.shape}, got {returned.shape}; "
                "return None to leave it as it is, or a tensor of the same shape."
            )
        if returned.dtype != source.dtype:
            returned = astype(returned, source.dtype)
        g = returned if g is given else returned._frozen()
    return g


def _as_tensors(
    node: Node, to_tensor: Callable[[Array, Source], Array], connected: Collection[Source] | None
) -> tuple[list[Array], Array]:
    """Return a node's saved operands and output as Tensors, connected to the graph where they lead to `connected`."""

    def tensor(value: Any, source: Source) -> Any:
        if not isinstance(value, np.ndarray):
            return value
        return to_tensor(value, source if connected is None or source in connected else None)

    operands = [tensor(value, parent) for value, parent in zip(node.saved or (), node.parents, strict=True)]
    output = node.output
    if isinstance(output, tuple):
        return operands, tuple([tensor(value, Output(node, slot)) for slot, value in enumerate(output)])
    return operands, tensor(output, node)


def survey(
    sources: Iterable[Source], since: float = math.inf, stop: Collection[Source] = ()
) -> tuple[list[Node], set[Source]]:
    """Walk the graph of `sources` back to a mark in time.

    Parameters
    ----------
    sources
        The start of the walk.
    since
        A number from `next_number`: older nodes are not entered.
    stop
        Sources that are neither entered nor returned.

    Returns
    -------
    nodes
        The nodes that were entered, oldest first.
    outside
        Their sources that were not entered: leaves and older nodes.
    """
    nodes: set[Node] = set()
    outside: set[Source] = set()
    stack = [source for source in sources if source is not None]
    while stack:
        source = stack.pop()
        if stop and source in stop:
            continue
        node = source.node if source.__class__ is Output else source
        if node.__class__ is not Node or node.number > since:
            outside.add(source)
        elif node not in nodes:
            nodes.add(node)
            stack.extend([parent for parent in node.parents if parent is not None])
    return sorted(nodes, key=_age, reverse=True), outside


def leading_to(wanted: set[Source], nodes: Iterable[Node]) -> set[Source]:
    """Return `wanted` and every source among `nodes` (oldest first) that depends on one of `wanted`."""
    leading = set(wanted)
    for node in nodes:
        outputs = [Output(node, slot) for slot in range(len(node.shape))] if node.primitive.multiple else [node]
        if any(parent in leading for parent in node.parents) or any(output in wanted for output in outputs):
            leading.update(outputs)
    return leading
