"""A product of table rows becomes a lookup in the product of the table: a token costs no product."""

from __future__ import annotations

from typing import Any

from ...ops.linear import matmul, matmul_at
from ...ops.primitive import TABLE, OpKind
from ...ops.shape import reshape
from ..ir.rewrite import rewrite_step
from ..ir.step import Step

_reshape = TABLE["reshape"]  # around a lookup of one token per batch element

LARGEST: float = 2**22
"""Elements of the largest table of products that is made."""


def multiply_tables(step: Step) -> Step:
    """Return `step` with ``table[i] @ w`` as ``(table @ w)[i]``, for constant matrices; larger products stay."""
    return rewrite_step(step, {matmul: _product}.get, invariant=step.consts)[0]


def _product(a: Any, b: Any, precision: str = "float32", largest: float = 0.0) -> Any:
    builder, x = b._builder, a._var
    lookup = builder.producer.get(x)
    while lookup is not None and lookup.primitive is _reshape and lookup.operands[0].shape[-1:] == x.shape[-1:]:
        lookup = builder.producer.get(lookup.operands[0])
    if lookup is None or lookup.primitive.kind is not OpKind.LOOKUP or lookup.params.get("axis", 0) != 0:
        return matmul_at(a, b, precision, largest)
    table, indices = map(builder.tracer, lookup.operands)
    constant = table.ndim == b.ndim == 2 and builder.invariant.issuperset((table._var, b._var))
    if not constant or table.shape[0] * b.shape[1] > LARGEST:
        return matmul_at(a, b, precision, largest)
    rows = lookup.primitive(matmul_at(table, b, precision, largest), indices, **lookup.params)
    return reshape(rows, (*a.shape[:-1], b.shape[1]))
