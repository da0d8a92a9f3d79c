"""The source text of one elementwise equation on scalars, typed so that float32 stays float32."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from typing import Any, Final

import numpy as np

from ...errors import CompileError
from ..ir.step import Eqn, Var

NAMES: Final = {
    "float32": "f4", "float64": "f8", "int8": "i1", "int16": "i2", "int32": "i4", "int64": "i8",
    "uint8": "u1", "uint16": "u2", "uint32": "u4", "uint64": "u8", "bool": "b1",
}  # fmt: skip
"""The names of the dtypes in generated source."""

VECTORISED: Final = frozenset(
    {
        "exp", "expm1", "log", "log1p", "tanh", "sigmoid", "silu", "gelu", "gelu_tanh", "softplus", "log_sigmoid",
        "logaddexp", "erf", "erfc", "ndtr",
    }
)  # fmt: skip
"""The functions of `kernels.scalar`."""

COMPARISONS: Final = frozenset({"equal", "not_equal", "less", "less_equal", "greater", "greater_equal"})

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
    name, result = eqn.primitive.name, eqn.result.dtype
    if name == "alias":
        return operands[0]
    if name == "astype":
        return _cast(operands[0], eqn.operands[0].dtype, result)
    dtypes = [o.dtype if o.__class__ is Var else float(o) if isinstance(o, float) else o for o in eqn.operands]
    if name in COMPARISONS:
        found = _compared(eqn, operands)
        if found is not None:
            return found
    choice = name == "where"
    inner = np.result_type(*(dtypes[1:] if choice else dtypes))
    inner = result if inner.char == "e" or (result.kind == "f" and inner.kind != "f") else inner
    texts = []
    for position, (operand, text) in enumerate(zip(eqn.operands, operands, strict=True)):
        if choice and position == 0:
            texts.append(f"{text} != 0" if operand.__class__ is Var else str(bool(operand)))
        elif operand.__class__ is not Var:
            known = inner.kind != "f" or operand in (0, 1) or not math.isfinite(operand)
            texts.append(literal(operand, inner) if known else f"{type_name(inner)}({argument(position, operand)})")
        else:
            texts.append(text if operand.dtype == inner else f"{type_name(inner)}({text})")
    if name in VECTORISED and inner.kind == "f":
        return f"scalar.{name}({', '.join(texts)})"
    if inner.kind != "f":
        found = _of_integers(eqn, texts)
        if found is not None:
            return f"{type_name(result)}({found})"
    if name == "pow":
        found = _power(eqn.operands[1], texts, inner)
        if found is not None:
            return found
    code = _NUMBER.sub(lambda match: literal(float(match[1]) if inner.kind == "f" else int(float(match[1])), inner),
                       eqn.primitive.code or "")  # fmt: skip
    return f"{type_name(result)}({code.format(*[f'({text})' for text in texts])})"


def _cast(text: str, dtype: np.dtype, result: np.dtype) -> str:
    """Return a number of `dtype` as one of dtype `result`."""
    if result.kind == "b":
        return f"{text} != 0"
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


def _of_integers(eqn: Eqn, texts: list[str]) -> str | None:
    """Return an operation on integers whose `code` is that for floating point."""
    name, exponent = eqn.primitive.name, eqn.operands[-1]
    if name in {"floor", "ceil", "round", "trunc"}:
        return texts[0]
    if name == "fmod":  # the sign is that of the first, not of the second as in %
        a, b = (f"{type_name(eqn.result.dtype)}({text})" for text in texts)
        other_sign = f"{a} % {b} != 0 and ({a} < 0) != ({b} < 0)"
        return f"{a} % {b} - {b} if {other_sign} else {a} % {b}"
    if name == "pow" and exponent.__class__ is Var and exponent.dtype.kind == "i":
        raise CompileError(
            f"scan: expected exponents that cannot be negative, as integers have no such power, got {exponent.dtype} "
            "for 'pow' of integers; make the base or the exponent a float, or pass compile=False."
        )
    return None


def _power(exponent: Any, texts: list[str], dtype: np.dtype) -> str | None:
    """Return a power with one of the exponents for which there is something simpler."""
    x = texts[0]
    simple: dict[float, str] = {2: f"{x} * {x}", 3: f"{x} * {x} * {x}", 1: x}
    if dtype.kind == "f":
        simple |= {0.5: f"math.sqrt({x})", -1: f"{literal(1, dtype)} / {x}"}
    return simple.get(exponent) if exponent.__class__ in (int, float) else None
