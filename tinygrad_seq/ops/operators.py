"""The operators and methods that Tensor and Tracer share: each applies primitives at the level of the operand."""

from __future__ import annotations

from typing import Any

from . import activation, casting, cumulative, exponential, extrema, gathering, joining, normalisation, reduction
from . import arithmetic as _a
from . import comparison as _c
from . import edges as _p
from . import indexing as _i
from . import linear as _l
from . import shape as _s
from . import sorting as _o
from . import special as _e
from . import trigonometric as _t
from .primitive import Array, Primitive

_NO_PARAMS: dict[str, Any] = {}


def _binary(primitive: Primitive) -> Any:
    def operator(self: Array, other: Array) -> Array:
        return self._apply(primitive, (self, other), _NO_PARAMS)

    return operator


def _reflected(primitive: Primitive) -> Any:
    def operator(self: Array, other: Array) -> Array:
        return self._apply(primitive, (other, self), _NO_PARAMS)

    return operator


def _unary(primitive: Primitive) -> Any:
    def operator(self: Array) -> Array:
        return self._apply(primitive, (self,), _NO_PARAMS)

    return operator


class Operators:
    """Python operators on arrays; a subclass provides ``_apply(primitive, operands, params)``."""

    __slots__ = ()
    shape: Any
    ndim: Any

    __add__, __radd__ = _binary(_a.add), _reflected(_a.add)
    __sub__, __rsub__ = _binary(_a.subtract), _reflected(_a.subtract)
    __mul__, __rmul__ = _binary(_a.multiply), _reflected(_a.multiply)
    __truediv__, __rtruediv__ = _binary(_a.divide), _reflected(_a.divide)
    __floordiv__, __rfloordiv__ = _binary(_a.floor_divide), _reflected(_a.floor_divide)
    __mod__, __rmod__ = _binary(_a.remainder), _reflected(_a.remainder)
    __pow__, __rpow__ = _binary(_a.pow), _reflected(_a.pow)
    __matmul__, __rmatmul__ = _binary(_l.matmul), _reflected(_l.matmul)
    __neg__ = _unary(_a.negative)
    __abs__ = _unary(_a.abs)

    __lt__, __le__ = _binary(_c.less), _binary(_c.less_equal)
    __gt__, __ge__ = _binary(_c.greater), _binary(_c.greater_equal)
    __eq__ = _binary(_c.equal)
    __ne__ = _binary(_c.not_equal)
    __and__, __rand__ = _binary(_c.bitwise_and), _reflected(_c.bitwise_and)
    __or__, __ror__ = _binary(_c.bitwise_or), _reflected(_c.bitwise_or)
    __xor__, __rxor__ = _binary(_c.bitwise_xor), _reflected(_c.bitwise_xor)
    __invert__ = _unary(_c.invert)
    __hash__ = object.__hash__

    def __pos__(self) -> Array:
        return self

    def __getitem__(self, key: Any) -> Array:
        return _i.getitem(self, key)

    # ------------------------------------------------------------------------------------- element by element
    abs, sign, square, sqrt, rsqrt, cbrt = _a.abs, _a.sign, _a.square, _a.sqrt, _a.rsqrt, _a.cbrt
    reciprocal, pow, floor, ceil, round, trunc = _a.reciprocal, _a.pow, _a.floor, _a.ceil, _a.round, _a.trunc
    add, sub, mul, div, neg = _a.add, _a.subtract, _a.multiply, _a.divide, _a.negative
    subtract, multiply, divide, negative, power = _a.subtract, _a.multiply, _a.divide, _a.negative, _a.pow
    maximum, minimum, clip, clamp, lerp = _a.maximum, _a.minimum, _a.clip, _a.clip, _a.lerp
    fmod, remainder, floor_divide, hypot = _a.fmod, _a.remainder, _a.floor_divide, _a.hypot
    eq, ne, lt, le, gt, ge = _c.equal, _c.not_equal, _c.less, _c.less_equal, _c.greater, _c.greater_equal
    isnan, isinf, isfinite, masked_fill = _c.isnan, _c.isinf, _c.isfinite, _c.masked_fill
    logical_and, logical_or, logical_xor = _c.logical_and, _c.logical_or, _c.logical_xor
    logical_not = _c.logical_not
    exp, exp2, expm1 = exponential.exp, exponential.exp2, exponential.expm1
    log, log2, log10, log1p = exponential.log, exponential.log2, exponential.log10, exponential.log1p
    logaddexp = exponential.logaddexp
    sin, cos, tan, asin, acos, atan, atan2 = _t.sin, _t.cos, _t.tan, _t.asin, _t.acos, _t.atan, _t.atan2
    sinh, cosh, tanh, asinh, acosh, atanh = _t.sinh, _t.cosh, _t.tanh, _t.asinh, _t.acosh, _t.atanh
    arcsin, arccos, arctan, arctan2 = _t.asin, _t.acos, _t.atan, _t.atan2
    arcsinh, arccosh, arctanh = _t.asinh, _t.acosh, _t.atanh
    erf, sigmoid, softplus, log_sigmoid = _e.erf, exponential.sigmoid, exponential.softplus, exponential.log_sigmoid
    relu, leaky_relu, elu, gelu, silu, softsign = (
        activation.relu, activation.leaky_relu, activation.elu, activation.gelu, activation.silu, activation.softsign
    )  # fmt: skip
    astype, clone = casting.astype, casting.clone

    def float(self) -> Array:
        """Return the tensor as float32."""
        return casting.astype(self, "float32")

    def double(self) -> Array:
        """Return the tensor as float64."""
        return casting.astype(self, "float64")

    def long(self) -> Array:
        """Return the tensor as int64, cut off towards zero."""
        return casting.astype(self, "int64")

    to = astype

    # --------------------------------------------------------------------------------------------- reductions
    sum, mean, prod, var, std = reduction.sum, reduction.mean, reduction.prod, reduction.var, reduction.std
    logsumexp, norm = reduction.logsumexp, reduction.norm
    max, min, argmax, argmin = extrema.max, extrema.min, extrema.argmax, extrema.argmin
    amax, amin = extrema.max, extrema.min
    any, all, count_nonzero = extrema.any, extrema.all, extrema.count_nonzero
    cumsum, cumprod, cummax, cummin = cumulative.cumsum, cumulative.cumprod, cumulative.cummax, cumulative.cummin
    diff = cumulative.diff
    softmax, log_softmax = normalisation.softmax, normalisation.log_softmax

    # ------------------------------------------------------------------------------------- shape and indexing
    flatten, ravel, unflatten, squeeze = _s.flatten, _s.flatten, _s.unflatten, _s.squeeze
    expand_dims, unsqueeze, broadcast_to = _s.expand_dims, _s.expand_dims, _s.broadcast_to
    moveaxis, movedim, swapaxes, flip, roll = _s.moveaxis, _s.moveaxis, _s.swapaxes, _s.flip, _s.roll
    split, chunk, unstack, unbind = joining.split, joining.chunk, joining.unstack, joining.unstack
    tile, repeat, tril, triu, pad = joining.tile, joining.repeat, _p.tril, _p.triu, _p.pad
    matmul, dot, trace, diagonal = _l.matmul, _l.dot, _l.trace, _i.diagonal
    inner, outer, kron, tensordot, vecdot = _l.inner, _l.outer, _l.kron, _l.tensordot, _l.vecdot
    take, masked_select, index_add = _i.take, _i.masked_select, _i.index_add
    gather, scatter_add, take_along_axis = gathering.gather, gathering.scatter_add, gathering.take_along_axis
    sort, argsort, topk = _o.sort, _o.argsort, _o.topk

    def reshape(self, *shape: Any) -> Array:
        """Return `tinygrad_seq.reshape`; the shape as one tuple or as several integers."""
        return _s.reshape(self, one_argument(shape))

    view = reshape

    def permute_dims(self, *axes: Any) -> Array:
        """Return `tinygrad_seq.permute_dims`; the axes as one tuple or as several integers."""
        return _s.permute_dims(self, one_argument(axes))

    permute = permute_dims

    def expand(self, *shape: Any) -> Array:
        """Return `tinygrad_seq.broadcast_to`; the shape as one tuple or as several integers, -1 for a size to keep."""
        sizes = _s.as_shape("expand", one_argument(shape))
        new = len(sizes) - self.ndim
        return _s.broadcast_to(
            self, tuple([self.shape[i - new] if size == -1 and i >= new else size for i, size in enumerate(sizes)])
        )

    def transpose(self, *axes: Any) -> Array:
        """Return `tinygrad_seq.transpose`: the axes reversed, or in the order given."""
        return _s.transpose(self, one_argument(axes) or None)

    @property
    def T(self) -> Array:  # noqa: N802 (NumPy's name)
        """The axes in reverse order."""
        return _s.transpose(self)

    @property
    def mT(self) -> Array:  # noqa: N802 (NumPy's name)
        """The last two axes swapped."""
        return _s.matrix_transpose(self)


def one_argument(arguments: tuple[Any, ...]) -> Any:
    """Return what a method was given as ``f((2, 3))`` or as ``f(2, 3)``: one tuple."""
    return arguments[0] if len(arguments) == 1 and not isinstance(arguments[0], int) else arguments
