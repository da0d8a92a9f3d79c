"""Write merged equations as nodes of a graph."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import numpy as np

from ...ops.primitive import TABLE
from ...scan.ir.step import Eqn, Step, Var
from .dynamic_sizes import Size
from .graph import Graph
from .node_table import OPERATIONS, is_layer_norm, write_layer_norm
from .record import LOOP
from .recurrent_nodes import NATIVE, write_native

_LARGEST_FOLDED: Final = 1 << 26
_permute, _standardise = TABLE["permute_dims"], TABLE["standardise"]
_multiply, _add = TABLE["multiply"], TABLE["add"]


def write_equations(g: Graph, eqns: Sequence[Eqn]) -> None:
    """Write equations; those on constants are computed now."""
    norms = _find_norms(g, eqns)
    inner = {part for parts in norms.values() for part in parts[0]}
    for eqn in eqns:
        if eqn in inner:
            continue
        if _is_known(g, eqn):
            _fold(g, eqn)
            continue
        first = len(g.nodes)
        found: Sequence[str | None]
        if eqn in norms:
            found = [write_layer_norm(g, norms[eqn][0][0], *norms[eqn][1])]
        elif eqn.primitive is LOOP:
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


def _find_norms(g: Graph, eqns: Sequence[Eqn]) -> dict[Eqn, tuple[list[Eqn], list[Any]]]:
    """Return by the last equation of a layer norm those before it, and its scale and shift."""
    readers = {var: eqn for eqn in eqns for var in eqn.reads}
    found = {}
    for eqn in eqns:
        if eqn.primitive is not _standardise or not is_layer_norm(g, eqn):
            continue
        shape = eqn.results[0].shape[eqn.params["axes"][0] :]
        chain, affine = [eqn], list[Any]()
        for primitive in (_multiply, _add):
            result = chain[-1].results[0]
            reader = readers.get(result)
            if reader is None or reader.primitive is not primitive or g.reads(result) != 1:
                break
            (other,) = [operand for operand in reader.operands if operand is not result]
            if other.__class__ is not Var or other.shape != shape or other.dtype != result.dtype:
                break
            chain.append(reader)
            affine.append(other)
        if affine:
            found[chain[-1]] = chain[:-1], affine
    return found


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
