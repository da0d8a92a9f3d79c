"""Write merged equations as nodes of a graph."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Final

import numpy as np

from ...ops.primitive import TABLE
from ...scan.ir.step import Eqn, Step, Var
from .dynamic_sizes import Size
from .graph import Graph
from .node_table import OPERATIONS
from .record import LOOP
from .recurrent_nodes import NATIVE, write_native

_LARGEST_FOLDED: Final = 1 << 26
_permute = TABLE["permute_dims"]


def write_equations(g: Graph, eqns: Iterable[Eqn]) -> None:
    """Write equations; those on constants are computed now."""
    for eqn in eqns:
        if _is_known(g, eqn):
            _fold(g, eqn)
            continue
        first = len(g.nodes)
        found: Sequence[str | None]
        if eqn.primitive is LOOP:
            found = _write_loop(g, eqn)
        elif eqn.primitive is NATIVE:
            found = write_native(g, eqn)
        else:
            written = OPERATIONS[eqn.primitive](g, eqn)
            found = written if eqn.primitive.multiple else (written,)
        for result, name in zip(eqn.results, found, strict=True):
            if name is not None:
                g.root.named[result] = name
        g.root.origins.update({node.name: eqn.results[0] for node in g.nodes[first:]})


def _is_known(g: Graph, eqn: Eqn) -> bool:
    """Return whether an equation is on constants; a transposed matrix that is used otherwise as well stays a node."""
    arrays = [g.array(operand) for operand in eqn.reads]
    if eqn.primitive in (LOOP, NATIVE) or any(array is None for array in arrays):
        return False
    sizes = [size for result in eqn.results for size in g.sizes_of(result)]
    if any(isinstance(size, Size) for size in (*sizes, *eqn.operands)):
        return False
    if eqn.primitive is _permute and g.reads(eqn.operands[0]) > 1:
        return False
    return sum([array.size for array in arrays if array is not None]) <= _LARGEST_FOLDED


def _fold(g: Graph, eqn: Eqn) -> None:
    operands = [g.array(operand) if isinstance(operand, Var) else operand for operand in eqn.operands]
    found = eqn.primitive.forward(*operands, **eqn.params)
    for result, value in zip(eqn.results, found if eqn.primitive.multiple else (found,), strict=True):
        g.root.folded[result] = np.asarray(value, result.dtype)


def _write_loop(g: Graph, eqn: Eqn) -> list[str]:
    """Write a loop as a Scan. Its body reads the names around it."""
    step: Step = eqn.params["body"]
    for var in step.consts:  # their nodes belong outside
        g.name(var)
    given = [g.name(operand) for operand in eqn.operands[len(step.consts) :]]
    body = g.body()
    entering, leaving = (*step.carry, *step.xs), (*step.carry_out, *step.ys)
    for var in entering:
        g.root.named[var] = g.new("in")
    write_equations(body, step.eqns)
    inputs = [body.info(body.name(var), var) for var in entering]
    outputs = [body.info(body.node("Identity", body.name(var)), var) for var in leaving]
    body.drop_copies([output.name for output in outputs])
    attributes: dict[str, Any] = {"num_scan_inputs": len(step.xs)}
    if eqn.params["reverse"]:
        attributes["scan_input_directions"] = [1] * len(step.xs)
        if step.ys:
            attributes["scan_output_directions"] = [1] * len(step.ys)
    return g.several("Scan", len(eqn.results), *given, body=body.graph(g.new("body"), inputs, outputs), **attributes)
