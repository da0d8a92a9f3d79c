"""Run an ONNX graph: each node in order, recurrent ones as layers, If, Loop and Scan with their graphs."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from ..autograd.tensor import Tensor
from ..base.modes import no_grad
from ..errors import ArgumentError, TinygradSeqError
from ..nn.recurrence.layer import SequenceLayer
from ..ops.joining import stack
from ..ops.shape import flip, moveaxis
from ..scan import scan
from .general_cells import KINDS
from .onnx_graph import Graph, Node
from .onnx_operators import OPERATORS
from .onnx_recurrence import layer_of_node, run_layer
from .onnx_shapes import concrete

Values = dict[str, Any]
Layers = Mapping[str, SequenceLayer]


def run_graph(graph: Graph, values: Values, layers: Layers) -> list[Any]:
    """Run the nodes of a graph and return its outputs.

    Parameters
    ----------
    graph
        The graph.
    values
        The inputs and constants by name; the results of all nodes are added.
    layers
        The layers of recurrent nodes whose weights are constant, by the name of the node.
    """
    for node in graph.nodes:
        arguments = [values[name] if name else None for name in node.inputs]
        values.update(zip(node.outputs, run_node(node, arguments, values, layers), strict=False))
    return [values[name] for name in graph.outputs]


def run_node(node: Node, arguments: list[Any], values: Values, layers: Layers) -> tuple[Any, ...]:
    """Return the outputs of a node; errors name the node.

    Raises
    ------
    ArgumentError
        If the operator cannot run on these arguments.
    """
    try:
        if node.op in KINDS:
            results = run_layer(node, arguments, layers.get(node.name))
        elif node.op in CONTROL:
            results = CONTROL[node.op](node, arguments, values, layers)
        else:
            found = OPERATORS[node.op](node, *arguments)
            results = found if isinstance(found, tuple) else (found,)
        if any(node.outputs[len(results) :]):
            raise ArgumentError(f"expected {len(results)} outputs, got {len(node.outputs)}; export the model without.")
        if all(x is None or isinstance(x, np.ndarray) for x in arguments):  # sizes and indices
            results = tuple(x.numpy() if isinstance(x, Tensor) else np.asarray(x) for x in results)
        return results
    except TinygradSeqError as error:
        raise ArgumentError(f"{node.place}: {error}") from error
    except (ValueError, TypeError, IndexError, KeyError, AttributeError, ArithmeticError, MemoryError) as error:
        raise ArgumentError(
            f"{node.place}: expected inputs and attributes that fit the operator, got {type(error).__name__}: "
            f"{ascii(str(error))[1:-1][:200]}; check the model and its inputs."
        ) from error


def make_layers(graph: Graph) -> dict[str, SequenceLayer]:
    """Make the layers of the recurrent nodes whose weights are constant, and take these weights from the inputs."""
    makers = {name: node for node in graph.nodes for name in node.outputs}
    known: Values = dict(graph.constants)
    layers: dict[str, SequenceLayer] = {}
    for node in graph.nodes:
        if node.op not in KINDS:
            continue
        held = [k for k in (1, 2, 3, 7) if k < len(node.inputs) and node.inputs[k]]
        if all(_fold(node.inputs[k], makers, known) for k in held):
            arguments = [known.get(name) if k in held else None for k, name in enumerate(node.inputs)]
            layers[node.name] = _guarded(node, arguments)
            node.inputs = tuple("" if k in held else name for k, name in enumerate(node.inputs))
    return layers


def _guarded(node: Node, arguments: list[Any]) -> SequenceLayer:
    try:
        return layer_of_node(node, arguments)
    except TinygradSeqError as error:
        raise ArgumentError(f"{node.place}: {error}") from error
    except (ValueError, TypeError, IndexError, MemoryError) as error:
        raise ArgumentError(
            f"{node.place}: expected weights of the shapes of ONNX, got others "
            f"({ascii(str(error))[1:-1][:100]}); check the model."
        ) from error


def _fold(name: str, makers: Mapping[str, Node], known: Values) -> bool:
    """Add a value to `known` if it depends on constants alone; return whether it does."""
    pending = [name]
    while pending:
        current = pending[-1]
        if current in known:
            pending.pop()
            continue
        node = makers.get(current)
        if node is None or node.op not in OPERATORS:
            return False
        missing = [each for each in node.inputs if each and each not in known]
        if missing:
            pending += missing
            continue
        with no_grad():
            results = run_node(node, [known[each] if each else None for each in node.inputs], {}, {})
        known.update(zip(node.outputs, results, strict=False))
        if current not in known:
            return False
    return True


def _call(body: Graph, arguments: Iterable[Any], values: Values, layers: Layers) -> list[Any]:
    """Return the outputs of a graph inside a node, which sees the values around the node."""
    return run_graph(body, {**values, **body.constants, **dict(zip(body.inputs, arguments, strict=True))}, layers)


def _if(node: Node, arguments: list[Any], values: Values, layers: Layers) -> tuple[Any, ...]:
    branch = node.attributes["then_branch" if concrete(arguments[0]).all() else "else_branch"]
    return tuple(_call(branch, (), values, layers))


def _loop(node: Node, arguments: list[Any], values: Values, layers: Layers) -> tuple[Any, ...]:
    count, condition, *states = arguments
    body: Graph = node.attributes["body"]
    most = None if count is None else int(concrete(count))
    going = condition is None or bool(concrete(condition))
    rows: list[list[Any]] = []
    k = 0
    while going and (most is None or k < most):
        flag, *results = _call(body, (np.int64(k), np.bool_(True), *states), values, layers)
        going, states = bool(concrete(flag)), results[: len(states)]
        rows.append(results[len(states) :])
        k += 1
    if len(body.outputs) > 1 + len(states) and not rows:
        raise ArgumentError("expected at least one turn of the loop, got none; give it a longer input.")
    return *states, *(stack(list(column)) for column in zip(*rows, strict=True))


def _scan(node: Node, arguments: list[Any], values: Values, layers: Layers) -> tuple[Any, ...]:
    body: Graph = node.attributes["body"]
    inputs = int(node.attributes["num_scan_inputs"])
    states = len(arguments) - inputs
    outputs = len(body.outputs) - states
    if node.opset < 9 or states < 0 or outputs < 0 or inputs < 1 or len(body.inputs) != states + inputs:
        raise ArgumentError(
            f"expected a Scan of opset 9 or later with a body of {len(arguments)} inputs, got opset {node.opset} and "
            f"{len(body.inputs)} inputs, {len(body.outputs)} outputs; export the model anew."
        )
    ways, axes = node.get("scan_input_directions") or [0] * inputs, node.get("scan_input_axes") or [0] * inputs
    sequences = []
    for x, way, axis in zip(arguments[states:], ways, axes, strict=True):
        x = moveaxis(x, axis, 0) if axis else x
        sequences.append(flip(x, 0) if way else x)

    def step(carry: tuple[Any, ...], xs: tuple[Any, ...]) -> tuple[tuple[Any, ...], tuple[Any, ...]]:
        results = _call(body, (*carry, *xs), values, layers)
        return tuple(results[:states]), tuple(results[states:])

    final, ys = scan(step, tuple(arguments[:states]), tuple(sequences))
    ways, axes = node.get("scan_output_directions") or [0] * outputs, node.get("scan_output_axes") or [0] * outputs
    stacked = []
    for y, way, axis in zip(ys, ways, axes, strict=True):
        y = flip(y, 0) if way else y
        stacked.append(moveaxis(y, 0, axis) if axis else y)
    return *final, *stacked


CONTROL = {"If": _if, "Loop": _loop, "Scan": _scan}
