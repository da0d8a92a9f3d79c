"""The recorded tape as a graph in DOT."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..base import dot
from ..errors import ArgumentError, GraphError
from .tape import Node, Output, survey
from .tensor import Tensor

_LEAF, _NAMED = "#eef2f7", "#d7e8d4"


def draw(tensor: Tensor, names: Any = None, *, limit: int = 200) -> str:
    r"""Return the operations that a tensor was computed by as a graph in DOT, the language of Graphviz.

    The graph is the tape that `backward` follows: it holds what was recorded, so values that need no gradient are not
    in it. A layer or a scan is one operation. Save the text as ``tape.dot``; ``dot -Tsvg tape.dot -o tape.svg`` makes a
    picture of it.

    Parameters
    ----------
    tensor : Tensor
        The result, such as a loss, before `backward`.
    names : Module or mapping of str to Tensor, optional
        A model, whose parameters get their names, or tensors by name.
    limit : int, default 200
        The most operations to draw, the last ones; one node stands for the others.

    Returns
    -------
    str
        The graph: one node per operation, with its name, shape and dtype, and one per leaf.

    Raises
    ------
    ArgumentError
        If an argument has the wrong type, or `limit` is below 1.
    GraphError
        If nothing was recorded, or `backward` has freed the graph.

    Examples
    --------
    >>> import tinygrad_seq as ts
    >>> W = ts.ones((2, 3), requires_grad=True)
    >>> print(ts.draw((ts.ones((4, 2)) @ W).sum(), {"W": W}))  # doctest: +ELLIPSIS
    digraph "tape" {
        ...
        "n0" [label="matmul\n(4, 3) float32"]
        "n1" [label="sum\n() float32", peripheries="2"]
        "l0" [label="W\n(2, 3) float32", shape="ellipse", fillcolor="#d7e8d4"]
        "l0" -> "n0"
        "n0" -> "n1"
    }
    """
    if not isinstance(tensor, Tensor):
        raise ArgumentError(f"draw: expected a Tensor, got {type(tensor).__name__}; pass a result, such as a loss.")
    if isinstance(limit, bool) or not isinstance(limit, int) or limit < 1:
        raise ArgumentError(f"draw: expected limit to be an integer >= 1, got {limit!r}; leave it out.")
    named = _names(names)
    if not tensor.requires_grad:
        raise GraphError(
            "draw: expected a tensor whose operations were recorded, got one that requires no grad; compute it from "
            "tensors with requires_grad=True, outside of no_grad."
        )
    source = tensor if tensor._source is None else tensor._source
    every, _ = survey([source])
    if any(node.saved is None and node.recompute is None for node in every):
        raise GraphError(
            "draw: expected a graph, but backward has freed it; draw the tensor first, or pass retain_graph=True to "
            "backward."
        )
    return dot.graph("tape", _lines(source, every[-limit:], len(every), named))


def _names(names: Any) -> dict[int, str]:
    """Return names by the identity of a tensor."""
    pairs: Any = getattr(names, "named_parameters", None)
    if callable(pairs):
        return {id(parameter): name for name, parameter in pairs()}
    if names is None:
        return {}
    if isinstance(names, Mapping) and all(isinstance(value, Tensor) for value in names.values()):
        return {id(value): str(name) for name, value in names.items()}
    raise ArgumentError(
        f"draw: expected names to be a Module or a mapping of str to Tensor, got {type(names).__name__}; pass a model."
    )


def _lines(source: Any, nodes: list[Node], count: int, named: Mapping[int, str]) -> list[str]:
    """Return the lines of the newest `nodes`, oldest first, of `count`."""
    ids: dict[Any, str] = {node: f"n{number}" for number, node in enumerate(nodes)}
    last = source.node if source.__class__ is Output else source
    drawn = [_operation(ids[node], node, node is last) for node in nodes]
    leaves: list[str] = []
    edges: dict[str, None] = {}  # in order, each once
    for node in nodes or [source]:
        for parent in node.parents if isinstance(node, Node) else [source]:
            if parent is None:
                continue
            start = parent.node if parent.__class__ is Output else parent
            if start not in ids:
                if isinstance(start, Node):
                    ids[start] = "older"
                else:
                    ids[start] = f"l{len(leaves)}"
                    leaves.append(_leaf(ids[start], start, named))
            if isinstance(node, Node):
                attributes = {"label": f"result {parent.slot}"} if parent.__class__ is Output else {}
                edges[dot.edge(ids[start], ids[node], **attributes)] = None
    if count > len(nodes):
        text = f"{count - len(nodes):,} older operations, not drawn"
        drawn.insert(0, dot.node("older", text, style="dashed"))
    return [*drawn, *leaves, *edges]


def _operation(name: str, node: Node, is_last: bool) -> str:
    pairs = [*zip(node.shape, node.dtype, strict=True)] if node.primitive.multiple else [(node.shape, node.dtype)]
    lines = [f"{shape} {dtype}" for shape, dtype in pairs]
    return dot.node(name, "\n".join([node.primitive.name, *lines]), **({"peripheries": "2"} if is_last else {}))


def _leaf(name: str, tensor: Tensor, named: Mapping[int, str]) -> str:
    label = named.get(id(tensor))
    text = f"{'leaf' if label is None else label}\n{tensor.shape} {tensor.dtype}"
    return dot.node(name, text, shape="ellipse", fillcolor=_LEAF if label is None else _NAMED)
