"""Products of matrices, in float32 or float64 and in the precisions of quantised models."""

from __future__ import annotations

import numpy as np

from ...errors import ArgumentError
from ...scan.ir.step import Eqn
from .graph import Graph

_FLOAT32 = np.dtype(np.float32)


def write_matmul(g: Graph, eqn: Eqn) -> str:
    """Write a product in its precision."""
    precision, dtype = eqn.params.get("precision", "float32"), eqn.result.dtype
    a, known = g.value(eqn.operands[0], dtype), g.array(eqn.operands[1])
    if precision == "int8" and known is not None:
        return _int8(g, a, known, eqn.params.get("largest", 0.0))
    if precision == "int8":
        raise ArgumentError(
            f"to_onnx: expected int8 products with constant weights, got {g.sizes_of(eqn.operands[1])} computed; "
            "export the float32 model that it was made from."
        )
    if precision == "bfloat16":
        return g.node("MatMul", _rounded(g, a), _rounded(g, g.value(eqn.operands[1], dtype)))
    return g.node("MatMul", a, g.value(eqn.operands[1], dtype))


def _rounded(g: Graph, name: str) -> str:
    """Return a value rounded to bfloat16, as float32; onnxruntime computes that of a constant once."""
    return g.node("Cast", g.node("Cast", name, to=g.BFLOAT16), to=g.type_of(_FLOAT32))


def _int8(g: Graph, a: str, known: np.ndarray, fixed: float) -> str:
    """Write a product in int8, with one scale per column of the weights, and one per row of `a` or a `fixed` one."""
    from ...kernels.gemm.operands import LARGEST, SMALLEST, quantise  # imports Numba

    most = g.value(float(LARGEST), _FLOAT32)
    if fixed:
        largest = g.value(float(fixed), _FLOAT32)
        numbers = g.node("Mul", a, g.value(LARGEST / np.float32(fixed), _FLOAT32))
        numbers = g.node("Min", g.node("Max", numbers, g.value(float(-LARGEST), _FLOAT32)), most)
    else:
        largest = g.node("ReduceMax", g.node("Abs", a), g.constant(np.array([-1])), keepdims=1)
        usable = g.node("Max", largest, g.value(float(SMALLEST), _FLOAT32))
        numbers = g.node("Mul", a, g.node("Div", most, usable))
    numbers = g.node("Cast", g.node("Round", numbers), to=g.INT8)
    columns, of_columns = quantise(known, 0)
    exact = g.node("Cast", g.node("MatMulInteger", numbers, g.constant(columns)), to=g.type_of(_FLOAT32))
    # One factor after the other: onnxruntime takes the product of two scales, a matrix here, for the scale of all.
    return g.node("Mul", g.node("Mul", exact, g.node("Div", largest, most)), g.constant(of_columns))
