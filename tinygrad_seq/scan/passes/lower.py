"""Fewer primitives: what a step says in sixty words the later passes hear in thirteen.

Two tables. `STRUCTURE` is applied before differentiation and leaves of all changes of shape

    reshape  permute_dims  index (slices only)  concat  split  broadcast_to

and of all products `matmul` of two matrices (or stacks of them). `FORMULAS` is applied after differentiation, so that
the gradient of a softmax or a norm is its own rule, and leaves of all reductions ``sum max min prod any all`` that keep
their axes at size 1.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Iterable
from typing import Any

import numpy as np

from ...ops import reduction
from ...ops.arithmetic import sqrt
from ...ops.casting import astype
from ...ops.comparison import equal, isfinite, isinf, logical_and, logical_not, logical_or, not_equal, where
from ...ops.exponential import exp, log
from ...ops.joining import concat
from ...ops.limits import scaled
from ...ops.primitive import TABLE, OpKind
from ...ops.shape import broadcast_to, permute_dims, reshape
from ..ir.rewrite import Rule
from ..ir.trace import Builder, Tracer
from .slices import as_slices, is_whole

Axes = tuple[int, ...]
Shape = tuple[int, ...]

_index, _split = TABLE["index"], TABLE["split"]

# ------------------------------------------------------------------------------------------------------- structure


def _linear(x: Any, weight: Any, bias: Any = None) -> Any:
    """Return ``x @ weight.T + bias``; of joined inputs each is multiplied by its own columns of the weight."""
    y = _product(x, _transposed(weight))
    return y if bias is None else y + bias


def _transposed(weight: Any) -> Any:
    return permute_dims(weight, (1, 0))


def _joined(x: Any) -> tuple[Any, ...]:
    """Return the parts that `x` was joined from along its last axis; `x` alone if it was not."""
    eqn = x._builder.producer.get(x._var) if x.__class__ is Tracer else None
    if eqn is None or eqn.primitive.kind is not OpKind.JOIN or eqn.params["axis"] != x.ndim - 1:
        return (x,)
    return tuple([x._builder.tracer(operand) for operand in eqn.operands])


def _product(a: Any, b: Any) -> Any:
    """Return a matrix product of operands with one or more axes as one of matrices.

    What was joined along the summed axis is multiplied part by part, ``[h, x] @ W = h @ W[:H] + x @ W[H:]``: so the
    part that does not depend on the carry can leave the loop.
    """
    parts = _joined(a)
    if len(parts) > 1 and b.ndim == 2 and b._var in b._builder.invariant:
        end, terms = 0, []
        for part in parts:
            start, end = end, end + part.shape[-1]
            terms.append(_product(part, _take_slices(b, slice(start, end))))
        return sum(terms[1:], terms[0])
    if a.ndim == 1:
        return reshape(_product(reshape(a, (1, a.shape[0])), b), (*b.shape[:-2], *b.shape[-1:]) if b.ndim > 1 else ())
    if b.ndim == 1:
        y = _product(a, reshape(b, (b.shape[0], 1)))
        return reshape(y, y.shape[:-1])
    return TABLE["matmul"](a, b)


def _reshape(x: Any, shape: Shape) -> Any:
    return x if x.shape == shape else TABLE["reshape"](x, shape=shape)


def _take_slices(x: Any, key: Any) -> Any:
    slices, axes = as_slices(key, x.shape)
    if not all(map(is_whole, slices, x.shape)):
        x = _index(x, key=tuple(slices))
    return _reshape(x, tuple([1 if axis is None else x.shape[axis] for axis in axes]))


def _put_slices(g: Any, shape: Shape, key: Any) -> Any:
    """Return zeros with `g` in the place of a key, by joining zeros to it on all sides."""
    slices, _ = as_slices(key, shape)
    g = _reshape(g, tuple([len(range(*part.indices(size))) for part, size in zip(slices, shape, strict=True)]))
    for axis, (part, size) in enumerate(zip(slices, shape, strict=True)):
        places = range(*part.indices(size))
        if places.step < 0:
            g, places = _flip(g, (axis,)), places[::-1]
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
    apart = _padded(_reshape(g, (*front, 1, *back)), axis + 1, 0, step - 1)
    return _reshape(apart, (*front[:-1], front[-1] * step, *back))


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


def _unstack(x: Any, axis: int) -> tuple[Any, ...]:
    pieces = _split(x, cuts=tuple(range(1, x.shape[axis])), axis=axis) if x.shape[axis] > 1 else (x,)
    return tuple([reshape(piece, (*x.shape[:axis], *x.shape[axis + 1 :])) for piece in pieces])


def _stack(*xs: Any, axis: int) -> Any:
    first = xs[0].shape
    return concat([reshape(x, (*first[:axis], 1, *first[axis:])) for x in xs], axis)


def _flip(x: Any, axis: Axes) -> Any:
    return _take_slices(x, tuple([slice(None, None, -1) if at in axis else slice(None) for at in range(x.ndim)]))


def _roll(x: Any, shift: Axes, axis: Axes) -> Any:
    for count, at in zip(shift, axis, strict=True):
        size = x.shape[at]
        cut = -count % size if size else 0
        if cut:
            front, back = _split(x, cuts=(cut,), axis=at)
            x = concat([back, front], at)
    return x


def _sum_to(x: Any, shape: Shape) -> Any:
    extra = x.ndim - len(shape)
    axes = tuple([axis for axis, size in enumerate(x.shape) if axis < extra or shape[axis - extra] != size])
    return reshape(reduction.sum(x, axes, keepdims=True) if axes else x, shape)


def _spread(g: Any, shape: Shape, axes: Axes) -> Any:
    return broadcast_to(reduction.kept(g, shape, axes), shape)


def _alone(x: Any) -> Any:
    return x


def _contract_one(x: Any, letters: str, result: str) -> Any:
    if len(set(letters)) != len(letters):
        return TABLE["einsum_one"](x, letters=letters, result=result)
    axes = tuple([at for at, letter in enumerate(letters) if letter not in result])
    if axes:
        x = reduction.sum(x, axes)
    left = [letter for letter in letters if letter in result]
    return permute_dims(x, tuple([left.index(letter) for letter in result]))


def _contract_two(a: Any, b: Any, letters: tuple[str, str], result: str) -> Any:
    """Return the product of two operands summed over the letters that `result` has not, as a `matmul`."""
    in_a, in_b = (
        "".join([letter for letter in own if letter in other or letter in result])
        for own, other in (letters, letters[::-1])
    )
    if any(len(set(own)) != len(own) for own in letters):
        return TABLE["einsum"](a, b, letters=letters, result=result)
    a, b = _contract_one(a, letters[0], in_a), _contract_one(b, letters[1], in_b)
    size = dict(zip(in_a + in_b, a.shape + b.shape, strict=True))
    batch = "".join([letter for letter in in_a if letter in in_b and letter in result])
    summed = "".join([letter for letter in in_a if letter not in result])
    left = "".join([letter for letter in in_a if letter not in in_b])
    right = "".join([letter for letter in in_b if letter not in in_a])

    def grouped(x: Any, own: str, *groups: str) -> Any:
        x = permute_dims(x, tuple([own.index(letter) for letter in "".join(groups)]))
        lead = tuple([size[letter] for letter in batch])
        return reshape(x, (*lead, *[math.prod([size[letter] for letter in group]) for group in groups[1:]]))

    if summed:
        y = _product(grouped(a, in_a, batch, left, summed), grouped(b, in_b, batch, summed, right))
    else:
        y = grouped(a, in_a, batch, left, "") * grouped(b, in_b, batch, "", right)
    made = batch + left + right
    y = reshape(y, tuple([size[letter] for letter in made]))
    return permute_dims(y, tuple([made.index(letter) for letter in result]))


def _triangle(x: Any, k: int) -> np.ndarray:
    rows, columns = x.shape[-2:]
    return np.tri(rows, columns, k, dtype=np.bool_)


_MOST_CLASSES = 1024


def _one_hot(indices: Any, num_classes: int, dtype: np.dtype) -> Any:
    """Return rows of the identity matrix: a lookup, which checks the indices in the loop too; not of a large one."""
    if num_classes > _MOST_CLASSES:
        return TABLE["one_hot"](indices, num_classes=num_classes, dtype=dtype)
    identity = indices._builder.constant(_identity(num_classes, np.dtype(dtype)))
    return TABLE["embedding"](Tracer(indices._builder, identity), indices)


@functools.cache
def _identity(size: int, dtype: np.dtype) -> np.ndarray:
    return np.eye(size, dtype=dtype)


STRUCTURE: dict[str, Rule] = {
    "alias": _alone,
    "clone": _alone,
    "linear": _linear,
    "linear_bias": _linear,
    "matmul": _product,
    "reshape": _reshape,
    "broadcast_to": lambda x, shape: x if x.shape == shape else TABLE["broadcast_to"](x, shape=shape),
    "index": _take_slices,
    "index_place": _put_slices,
    "unstack": _unstack,
    "stack": _stack,
    "flip": _flip,
    "roll": _roll,
    "sum_to": _sum_to,
    "spread": _spread,
    "einsum_one": _contract_one,
    "einsum": _contract_two,
    "one_hot": _one_hot,
    "dropout": lambda x, keep, scale: where(keep, x * scale, 0),
    "tril": lambda x, k: where(_triangle(x, k), x, 0),
    "triu": lambda x, k: where(_triangle(x, k - 1), 0, x),
}


# -------------------------------------------------------------------------------------------------------- formulas


def _count(shape: Shape, axes: Iterable[int]) -> int:
    return math.prod([shape[axis] for axis in axes])


def _reduced(name: str) -> Rule:
    primitive = TABLE[name]

    def rule(x: Any, axes: Axes, keepdims: bool) -> Any:
        if not axes:  # every element is its own sum, but of the result's dtype
            dtype = np.asarray(primitive.forward(np.zeros((), x.dtype), axes=(), keepdims=True)).dtype
            return x if x.dtype == dtype else astype(x, dtype)
        y = primitive(x, axes=axes, keepdims=True)
        return y if keepdims else reshape(y, tuple([n for axis, n in enumerate(x.shape) if axis not in axes]))

    return rule


def _total(x: Any, axes: Axes) -> Any:
    return TABLE["sum"](x, axes=axes, keepdims=True) if axes else x


def _average(x: Any, axes: Axes) -> Any:
    return _total(x, axes) / max(_count(x.shape, axes), 1)


def _finish(y: Any, x: Any, axes: Axes, keepdims: bool) -> Any:
    return y if keepdims else reshape(y, tuple([n for axis, n in enumerate(x.shape) if axis not in axes]))


def _variance(x: Any, axes: Axes, correction: float, keepdims: bool) -> Any:
    deviation = x - _average(x, axes)
    freedom = _count(x.shape, axes) - correction
    return _finish(_total(deviation * deviation, axes) / (freedom if freedom > 0 else math.nan), x, axes, keepdims)


def _euclidean(x: Any, axes: Axes, keepdims: bool) -> Any:
    least, most = reduction.SQUARES
    top = TABLE["max"](abs(x), axes=axes, keepdims=True) if axes else abs(x)
    usual = logical_or(logical_and(top > least, top < most), logical_or(equal(top, 0), logical_not(isfinite(top))))
    scale = where(usual, 1, top)
    y = x / scale
    return _finish(sqrt(_total(y * y, axes)) * scale, x, axes, keepdims)


def _power_norm(x: Any, order: float, axes: Axes, keepdims: bool) -> Any:
    size = abs(x)
    top = TABLE["max"](size, axes=axes, keepdims=True) if axes else size
    top = where(logical_and(top > 0, isfinite(top)), top, 1)
    return _finish(_total((size / top) ** order, axes) ** (1 / order) * top, x, axes, keepdims)


def _shifted(x: Any, axis: int) -> Any:
    return x - TABLE["max"](x, axes=(axis,), keepdims=True)


def _softmax(x: Any, axis: int) -> Any:
    e = exp(_shifted(_as_real(x), axis))
    return e / _total(e, (axis,))


def _log_softmax(x: Any, axis: int) -> Any:
    y = _shifted(_as_real(x), axis)
    return y - log(_total(exp(y), (axis,)))


def _as_real(x: Any) -> Any:
    return x if x.dtype.kind == "f" else astype(x, "float64")


def _log_sum_exp(x: Any, axes: Axes, keepdims: bool) -> Any:
    x = _as_real(x)
    if not axes:
        return x
    top = TABLE["max"](x, axes=axes, keepdims=True)
    top = where(isfinite(top), top, 0)
    return _finish(log(_total(exp(x - top), axes)) + top, x, axes, keepdims)


def _softmax_weights(x: Any, y: Any, axes: Axes) -> Any:
    infinite = isinf(y)
    shifted = where(infinite, -math.inf, x - where(infinite, 0, y))
    weights = exp(where(logical_and(infinite, logical_and(equal(x, y), y > 0)), 0, shifted))
    total = _total(weights, axes)
    return weights / where(equal(total, 0), 1, total)


def _standardise(x: Any, axes: Axes, eps: float, centre: bool) -> tuple[Any, Any]:
    y = x - _average(x, axes) if centre else x
    scale = 1 / sqrt(_average(y * y, axes) + eps)
    return y * scale, scale


def _standardise_adjoint(g: Any, y: Any, scale: Any, along: Any, axes: Axes, centre: bool) -> Any:
    out = g - y * (_average(g * y, axes) + along)
    return (out - _average(g, axes) if centre else out) * scale


FORMULAS: dict[str, Rule] = {
    **{name: _reduced(name) for name in ("sum", "max", "min", "prod", "any", "all")},
    "mean": lambda x, axes, keepdims: _finish(_average(x, axes), x, axes, keepdims),
    "count_nonzero": lambda x, axes, keepdims: _finish(
        _total(astype(not_equal(x, 0), "int64"), axes), x, axes, keepdims
    ),
    "var": _variance,
    "std": lambda x, **options: sqrt(_variance(x, **options)),
    "norm2": _euclidean,
    "norm": _power_norm,
    "softmax": _softmax,
    "log_softmax": _log_softmax,
    "softmax_adjoint": lambda g, y, axis: y * (g - _total(g * y, (axis,))),
    "log_softmax_adjoint": lambda g, y, axis: g - scaled(_total(g, (axis,)), exp(y)),
    "logsumexp": _log_sum_exp,
    "softmax_weights": _softmax_weights,
    "standardise": _standardise,
    "standardise_adjoint": _standardise_adjoint,
    "detach": _alone,
}
