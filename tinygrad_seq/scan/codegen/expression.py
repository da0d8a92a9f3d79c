"""The source text of one elementwise equation on scalars, typed so that float32 stays float32."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from typing import Any, Final

import numpy as np

from ...errors import CompileError
from ...ops.arithmetic import pow
from ...ops.comparison import where
from ...ops.primitive import OpKind
from ..ir.step import Eqn, Var

NAMES: Final = {
    "float32": "f4", "float64": "f8", "int8": "i1", "int16": "i2", "int32": "i4", "int64": "i8",
    "uint8": "u1", "uint16": "u2", "uint32": "u4", "uint64": "u8", "bool": "b1",
}  # fmt: skip
"""The names of the dtypes in generated source."""

_NUMBER = re.compile(r"(?<![\w.{])(\d+\.?\d*(?:e[-+]?\d+)?)(?![\w}])")


def type_name(dtype: np.dtype) -> str:
    """Return the name of `dtype` in generated source."""
    return NAMES[dtype.name]


def literal(value: Any, dtype: np.dtype) -> str:
    """Return a number of the given dtype."""
    if dtype.kind == "f" and not np.isfinite(value):
        return f"{type_name(dtype)}({'nan' if np.isnan(value) else 'inf' if value > 0 else '-inf'})"
    if dtype.kind == "b":
        return str(bool(value))
    return f"{type_name(dtype)}({value!r})"


def expression(eqn: Eqn, operands: list[str], argument: Callable[[int, float], str]) -> str:
    """Return the text of the result of `eqn`.

    Parameters
    ----------
    operands
        The texts of its operands; not read for Python scalars.
    argument
        Returns the name of the runtime argument, a float64, for the Python scalar at a position. All are runtime
        arguments but 0 and 1, because they may be sizes, as in a mean.
    """
    primitive, result = eqn.primitive, eqn.result.dtype
    if primitive.kind is OpKind.CAST:
        return _cast(operands[0], eqn.operands[0].dtype, result)
    dtypes = [o.dtype if o.__class__ is Var else float(o) if isinstance(o, float) else o for o in eqn.operands]
    if primitive.symbol is not None and result.kind == "b":
        found = _compared(eqn, operands)
        if found is not None:
            return found
    choice = primitive is where  # the one operation with an operand, the condition, that gives the result no dtype
    inner = np.result_type(*(dtypes[1:] if choice else dtypes))
    if inner.char == "e" or (result.kind == "f" != inner.kind) or (result.kind in "iu" and inner.kind == "b"):
        inner = result
    texts = []
    for position, (operand, text) in enumerate(zip(eqn.operands, operands, strict=True)):
        if choice and position == 0:
            texts.append(f"{text} != 0" if operand.__class__ is Var else str(bool(operand)))
        elif operand.__class__ is not Var:
            known = inner.kind != "f" or operand in (0, 1) or not math.isfinite(operand)
            texts.append(literal(operand, inner) if known else f"{type_name(inner)}({argument(position, operand)})")
        else:
            texts.append(text if operand.dtype == inner else f"{type_name(inner)}({text})")
    if primitive.vectorised and inner.kind == "f":
        return f"scalar.{primitive.name}({', '.join(texts)})"
    if primitive is pow:  # the one operation that takes less work for some values of an operand
        found = _power(eqn, texts, inner)
        if found is not None:
            return found
    code = primitive.code if inner.kind == "f" else primitive.integer_code or primitive.code
    code = _NUMBER.sub(lambda match: literal(float(match[1]) if inner.kind == "f" else int(float(match[1])), inner),
                       code or "")  # fmt: skip
    return f"{type_name(result)}({code.format(*[f'({text})' for text in texts])})"


def _cast(text: str, dtype: np.dtype, result: np.dtype) -> str:
    """Return a number of `dtype` as one of dtype `result`."""
    if result.kind == "b":
        return f"{text} != 0"
    if dtype == result:
        return text
    cast = f"{type_name(result)}({text})"
    if (
        dtype.kind == "f" and result.kind == "u"
    ):  # negative numbers wrap, as in NumPy; the processor's own way saturates
        return f"{type_name(result)}(i8({text})) if {text} < 9223372036854775808.0 else {cast}"
    return cast


def _compared(eqn: Eqn, operands: list[str]) -> str | None:
    """Return a comparison of integers that no dtype holds both of, which NumPy compares by their values."""
    compare, atoms = eqn.primitive.forward, eqn.operands
    for at, atom in enumerate(atoms):
        other = atoms[1 - at]
        if atom.__class__ is int and other.dtype.kind in "iu":
            bounds = np.iinfo(other.dtype)
            if not bounds.min <= atom <= bounds.max:  # the answer is one for all values of `other`
                return str(bool(compare(*[0 if o is other else o for o in atoms])))
        if atom.__class__ is Var and atom.dtype.kind == "i" and getattr(other, "dtype", None) == np.uint64:
            texts = [f"u8({text})" if o is atom else text for o, text in zip(atoms, operands, strict=True)]
            below = bool(compare(*[-1 if o is atom else 0 for o in atoms]))
            code = (eqn.primitive.code or "").format(*[f"({text})" for text in texts])
            return f"{below} if ({operands[at]}) < 0 else {code}"
    return None


def _power(eqn: Eqn, texts: list[str], dtype: np.dtype) -> str | None:
    """Return a power with one of the exponents for which there is something simpler."""
    x, exponent = texts[0], eqn.operands[1]
    if dtype.kind != "f" and exponent.__class__ is Var and exponent.dtype.kind == "i":
        raise CompileError(
            f"scan: expected exponents that cannot be negative, as integers have no such power, got {exponent.dtype} "
            "for 'pow' of integers; make the base or the exponent a float, or pass compile=False."
        )
    simple: dict[float, str] = {2: f"{x} * {x}", 3: f"{x} * {x} * {x}", 1: x}
    if dtype.kind == "f":
        simple |= {0.5: f"math.sqrt({x})", -1: f"{literal(1, dtype)} / {x}"}
    return simple.get(exponent) if exponent.__class__ in (int, float) else None
