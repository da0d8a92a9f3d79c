"""Sums and extrema inside generated loops, in an order that LLVM chooses when it vectorises the loop."""

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

_ANY_ORDER = ("contract", "nsz", "reassoc")


@intrinsic  # type: ignore[untyped-decorator, unused-ignore]
def add(typing, total, x):  # type: ignore[no-untyped-def]  # noqa: ARG001
    """Return ``total + x`` for two floats of one type; LLVM may reorder the additions to vectorise the loop."""

    def generate(context, builder, signature, values):  # type: ignore[no-untyped-def]  # noqa: ARG001
        return builder.fadd(*values, flags=_ANY_ORDER)

    return total(total, x), generate


def _choose(builder: Any, kind: Any, total: Any, x: Any, name: str, sign: str) -> Any:
    """Return the larger or smaller of two numbers of one type; of floats NaN if one of them is."""
    if isinstance(kind, types.Float):
        signature = ir.FunctionType(total.type, [total.type] * 2)
        function = cgutils.get_or_insert_function(builder.module, signature, f"llvm.{name}.f{kind.bitwidth}")
        return builder.call(function, [total, x], fastmath=("nsz",))
    compare = builder.icmp_signed if getattr(kind, "signed", False) else builder.icmp_unsigned
    return builder.select(compare(sign, x, total), x, total)


@intrinsic  # type: ignore[untyped-decorator, unused-ignore]
def largest(typing, total, x):  # type: ignore[no-untyped-def]  # noqa: ARG001
    """Return the larger of two numbers of one type, NaN if one of them is; for reductions."""

    def generate(context, builder, signature, values):  # type: ignore[no-untyped-def]  # noqa: ARG001
        return _choose(builder, signature.return_type, values[0], values[1], "maximum", ">")

    return total(total, x), generate


@intrinsic  # type: ignore[untyped-decorator, unused-ignore]
def smallest(typing, total, x):  # type: ignore[no-untyped-def]  # noqa: ARG001
    """Return the smaller of two numbers of one type, NaN if one of them is; for reductions."""

    def generate(context, builder, signature, values):  # type: ignore[no-untyped-def]  # noqa: ARG001
        return _choose(builder, signature.return_type, values[0], values[1], "minimum", "<")

    return total(total, x), generate
