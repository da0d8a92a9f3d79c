"""Products of matrices, in float32 or float64 and in the precisions of quantised models."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from ...scan.ir.step import Eqn
    from .graph import Graph

_FLOAT32 = np.dtype(np.float32)


def write_matmul(g: Graph, eqn: Eqn) -> str:
    """Write a product in its precision."""
    precision, dtype = eqn.params.get("precision", "float32"), eqn.result.dtype
    a, b = (g.value(operand, dtype) for operand in eqn.operands[:2])
    if precision == "int8":
        return _int8(g, a, b, g.array(eqn.operands[1]))
    if precision == "bfloat16":
        return g.node("MatMul", _rounded(g, a, None), _rounded(g, b, g.array(eqn.operands[1])))
    return g.node("MatMul", a, b)


def _rounded(g: Graph, name: str, known: Any) -> str:
    """Return a value rounded to bfloat16, as float32; that of a constant is stored."""
    if known is not None:
        from ...kernels.gemm.operands import round_bfloat16  # imports Numba

        return g.constant(round_bfloat16(known))
    return g.node("Cast", g.node("Cast", name, to=g.BFLOAT16), to=g.type_of(_FLOAT32))


def _int8(g: Graph, a: str, b: str, known: Any) -> str:
    """Write a product of int8 numbers with one scale per row of `a`, from the row, and one per column of `b`."""
    from ...kernels.gemm.operands import SMALLEST, quantise  # imports Numba

    largest = g.node("ReduceMax", g.node("Abs", a), g.constant(np.array([-1])), keepdims=1)
    usable = g.node("Max", largest, g.value(float(SMALLEST), _FLOAT32))
    numbers = g.node("Cast", g.node("Round", g.node("Mul", a, g.node("Div", g.value(127.0, _FLOAT32), usable))), to=g.INT8)
    scale = g.node("Div", largest, g.value(127.0, _FLOAT32))
    columns, of_columns = quantise(known, 0)
    exact = g.node("Cast", g.node("MatMulInteger", numbers, g.constant(columns)), to=g.type_of(_FLOAT32))
    return g.node("Mul", exact, g.node("Mul", scale, g.constant(of_columns)))
