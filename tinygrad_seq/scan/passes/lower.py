"""Lower about sixty primitives to thirteen.

A row of the table says by which others it is replaced. Its `structure` is applied before differentiation and leaves of
all changes of shape

    reshape  permute_dims  index (slices only)  concat  split  broadcast_to

and of all products `matmul` of two matrices (or stacks of them). Its `formula` is applied after differentiation, so
that the gradient of a softmax or a norm is its own rule, and leaves of all reductions ``sum max min prod any all`` that
keep their axes at size 1.

Here are the rules that need more than the operations: the equations written down so far, zeros that are no array.
"""

from __future__ import annotations

import functools
from typing import Any

import numpy as np

from ...ops.casting import astype
from ...ops.joining import concat
from ...ops.linear import matmul, matmul_at
from ...ops.primitive import TABLE, OpKind, Primitive
from ...ops.shape import broadcast_to, flip, reshape
from ..ir.rewrite import Rule
from ..ir.trace import Builder, Tracer
from .slices import as_slices, is_whole

Axes = tuple[int, ...]
Shape = tuple[int, ...]

_index = TABLE["index"]


def structure(primitive: Primitive) -> Rule | None:
    """Return what replaces a primitive before differentiation, None if it stays."""
    return primitive.structure


def lowering(primitive: Primitive) -> Rule | None:
    """Return what replaces a primitive after differentiation, None if it stays."""
    rule = primitive.formula or primitive.structure
    return functools.partial(_reduced, primitive) if rule is None and primitive.kind is OpKind.REDUCTION else rule


def _joined(x: Any) -> tuple[Any, ...]:
    """Return the parts that `x` was joined from along its last axis; `x` alone if it was not."""
    eqn = x._builder.producer.get(x._var) if x.__class__ is Tracer else None
    if eqn is None or eqn.primitive.kind is not OpKind.JOIN or eqn.params["axis"] != x.ndim - 1:
        return (x,)
    return tuple([x._builder.tracer(operand) for operand in eqn.operands])


def _product(a: Any, b: Any, precision: str = "float32", largest: float = 0.0) -> Any:
    """Return a matrix product of operands with one or more axes as one of matrices.

    What was joined along the summed axis is multiplied part by part, ``[h, x] @ W = h @ W[:H] + x @ W[H:]``: so the
    part that does not depend on the carry can leave the loop.
    """
    parts = _joined(a)
    if len(parts) > 1 and b.ndim == 2 and b._var in b._builder.invariant:
        end, terms = 0, []
        for part in parts:
            start, end = end, end + part.shape[-1]
            terms.append(_product(part, _take_slices(b, slice(start, end)), precision, largest))
        return sum(terms[1:], terms[0])
    if a.ndim == 1:
        return reshape(
            _product(reshape(a, (1, a.shape[0])), b, precision, largest),
            (*b.shape[:-2], *b.shape[-1:]) if b.ndim > 1 else (),
        )
    if b.ndim == 1:
        y = _product(a, reshape(b, (b.shape[0], 1)))
        return reshape(y, y.shape[:-1])
    return matmul_at(a, b, precision, largest)


def _take_slices(x: Any, key: Any) -> Any:
    slices, axes = as_slices(key, x.shape)
    if not all(map(is_whole, slices, x.shape)):
        x = _index(x, key=tuple(slices))
    return reshape(x, tuple([1 if axis is None else x.shape[axis] for axis in axes]))


def _put_slices(g: Any, shape: Shape, key: Any) -> Any:
    """Return zeros with `g` in the place of a key, by joining zeros to it on all sides."""
    slices, _ = as_slices(key, shape)
    g = reshape(g, tuple([len(range(*part.indices(size))) for part, size in zip(slices, shape, strict=True)]))
    for axis, (part, size) in enumerate(zip(slices, shape, strict=True)):
        places = range(*part.indices(size))
        if places.step < 0:
            g, places = flip(g, axis), places[::-1]
        g = _spaced(g, axis, places.step)
        end = places.start + g.shape[axis]
        if end > size:  # the zeros after the last element
            g = _take_slices(g, (*(slice(None),) * axis, slice(0, size - places.start)))
        g = _padded(g, axis, places.start, max(0, size - end))
    return g


def _spaced(g: Any, axis: int, step: int) -> Any:
    """Return `g` with ``step - 1`` zeros after each element along an axis."""
    if step == 1:
        return g
    front, back = g.shape[: axis + 1], g.shape[axis + 1 :]
    apart = _padded(reshape(g, (*front, 1, *back)), axis + 1, 0, step - 1)
    return reshape(apart, (*front[:-1], front[-1] * step, *back))


def _padded(g: Any, axis: int, before: int, after: int) -> Any:
    """Return `g` between zeros along an axis."""
    sides = [zeros(g._builder, (*g.shape[:axis], n, *g.shape[axis + 1 :]), g.dtype) for n in (before, after)]
    pieces = [piece for piece in (sides[0], g, sides[1]) if piece.shape[axis]]
    return concat(pieces, axis) if len(pieces) > 1 else g


@functools.cache
def _zero(dtype: np.dtype) -> np.ndarray:
    return np.zeros((), dtype)


def zeros(builder: Builder, shape: Shape, dtype: np.dtype) -> Any:
    """Return zeros as a value of the step."""
    return broadcast_to(Tracer(builder, builder.constant(_zero(dtype))), shape)


def _reduced(primitive: Primitive, x: Any, axes: Axes, keepdims: bool) -> Any:
    if not axes:  # every element is its own sum, but of the result's dtype
        dtype = np.asarray(primitive.forward(np.zeros((), x.dtype), axes=(), keepdims=True)).dtype
        return x if x.dtype == dtype else astype(x, dtype)
    y = primitive(x, axes=axes, keepdims=True)
    return y if keepdims else reshape(y, tuple([n for axis, n in enumerate(x.shape) if axis not in axes]))


matmul.structure = _product
_index.structure = _take_slices
TABLE["index_place"].structure = _put_slices
