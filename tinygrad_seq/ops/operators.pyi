"""Written by ``python -m tests.typing.stubs --write`` from the table of operations; do not edit."""

# ruff: noqa: E501, F401, N802, PYI021, RUF022, RUF100
# fmt: off

import builtins
from collections.abc import Iterable, Sequence
from typing import Any, Literal, overload

import numpy as np
from numpy.typing import ArrayLike, DTypeLike

from ..autograd.tensor import Tensor
from ..ops.axes import Axis
from ..ops.edges import Mode, Width
from ..ops.searching import UniqueAll, UniqueCounts, UniqueInverse
from ..ops.shape import Shape
from ..ops.spelling import Extremes

class Operators:
    """The operators and methods of arrays."""

    shape: Any
    ndim: Any

    def __hash__(self) -> int: ...
    def __pos__(self) -> Tensor: ...
    def __getitem__(self, key: Any) -> Tensor: ...
    @property
    def T(self) -> Tensor:
        """The axes in reverse order."""
    @property
    def mT(self) -> Tensor:
        """The last two axes swapped."""
    def astype(self, dtype: DTypeLike, *, copy: bool = True) -> Tensor:
        """Return `x` as `dtype`; the gradient comes back in the dtype of `x`, and stops at integers and booleans."""
    def clone(self, /) -> Tensor:
        """Return a copy that gradient flows through."""
    copy = clone
    def broadcast_to(self, shape: Shape) -> Tensor:
        """Return `x` repeated along new and size-1 axes to `shape`, as a read-only view."""
    def expand(self, *shape: Any, **named: Any) -> Tensor:
        """Return `x` repeated along new and size-1 axes to `shape`, in which -1 keeps the size of an axis."""
    def reshape(self, *shape: Any, **named: Any) -> Tensor:
        """Return the elements of `x`, in row-major order, in another shape; one size may be -1, to be worked out."""
    view = reshape
    def flatten(self, start_axis: int = 0, end_axis: int = -1) -> Tensor:
        """Return `x` with the axes from `start_axis` to `end_axis`, both included, merged into one."""
    ravel = flatten
    @overload
    def unflatten(self, axis: int, shape: Shape) -> Tensor:
        """Return `x` with one axis split into several of the sizes `shape`, of which one may be -1."""
    @overload
    def unflatten(self, *, dim: int, shape: Shape) -> Tensor:
        """Return `x` with one axis split into several of the sizes `shape`, of which one may be -1."""
    @overload
    def expand_dims(self, axis: int | Sequence[int]) -> Tensor:
        """Return `x` with a new axis of size 1 at position `axis` of the result, or one at each of several positions."""
    @overload
    def expand_dims(self, *, dim: int | Sequence[int]) -> Tensor:
        """Return `x` with a new axis of size 1 at position `axis` of the result, or one at each of several positions."""
    unsqueeze = expand_dims
    @overload
    def squeeze(self, axis: int | Sequence[int] | None = None) -> Tensor:
        """Return `x` without the axes in `axis`, which must have size 1; None drops every axis of size 1."""
    @overload
    def squeeze(self, *, dim: int | Sequence[int] | None) -> Tensor:
        """Return `x` without the axes in `axis`, which must have size 1; None drops every axis of size 1."""
    def permute_dims(self, *axes: Any, **named: Any) -> Tensor:
        """Return `x` with its axes in the order `axes`, as a view."""
    permute = permute_dims
    def transpose(self, *axes: Any, **named: Any) -> Tensor:
        """Return `x` with its axes reversed, or in the order `axes`, as a view; see `matrix_transpose` for the last two."""
    def swapaxes(self, axis1: int, axis2: int) -> Tensor:
        """Return `x` with two axes exchanged, as a view."""
    swapdims = swapaxes
    @overload
    def moveaxis(self, source: int | Sequence[int], destination: int | Sequence[int]) -> Tensor:
        """Return `x` with the axes `source` moved to the positions `destination`, the others in their order, as a view."""
    @overload
    def moveaxis(self, *, src: int | Sequence[int], destination: int | Sequence[int]) -> Tensor:
        """Return `x` with the axes `source` moved to the positions `destination`, the others in their order, as a view."""
    movedim = moveaxis
    def flip(self, *axis: Any, **named: Any) -> Tensor:
        """Return `x` with its elements in reverse order along `axis` (None: along every axis), as a view."""
    @overload
    def roll(self, shift: int | Sequence[int], axis: int | Sequence[int] | None = None) -> Tensor:
        """Return `x` with its elements moved on by `shift` places along `axis`, those off the end coming in at the start."""
    @overload
    def roll(self, shift: int | Sequence[int], *, dim: int | Sequence[int] | None) -> Tensor:
        """Return `x` with its elements moved on by `shift` places along `axis`, those off the end coming in at the start."""
    def matmul(self, b: ArrayLike, /) -> Tensor:
        """Return the matrix product ``a @ b``."""
    def __matmul__(self, other: ArrayLike, /) -> Tensor: ...
    def __rmatmul__(self, other: ArrayLike, /) -> Tensor: ...
    def inner(self, b: ArrayLike) -> Tensor:
        """Return the sums of products over the last axis of both: ``y[i, j] = sum(a[i] * b[j])``."""
    def outer(self, b: ArrayLike) -> Tensor:
        """Return ``y[i, j] = a[i] * b[j]`` of the flattened operands."""
    @overload
    def vecdot(self, b: ArrayLike, axis: int = -1) -> Tensor:
        """Return the dot products of the vectors along `axis`; the other axes broadcast."""
    @overload
    def vecdot(self, b: ArrayLike, *, dim: int) -> Tensor:
        """Return the dot products of the vectors along `axis`; the other axes broadcast."""
    def dot(self, b: ArrayLike) -> Tensor:
        """Return NumPy's dot product: sums of products over the last axis of `a` and the last but one of `b`."""
    @overload
    def tensordot(self, b: ArrayLike, axes: int | tuple[int | tuple[int, ...], int | tuple[int, ...]] = 2) -> Tensor:
        """Return the sums of products over the given axes; what is left of `a` comes first, then what is left of `b`."""
    @overload
    def tensordot(self, b: ArrayLike, *, dims: int | tuple[int | tuple[int, ...], int | tuple[int, ...]]) -> Tensor:
        """Return the sums of products over the given axes; what is left of `a` comes first, then what is left of `b`."""
    def kron(self, b: ArrayLike) -> Tensor:
        """Return the Kronecker product: `b` scaled by each element of `a`, laid out in blocks."""
    def trace(self, offset: int = 0, axis1: int = 0, axis2: int = 1) -> Tensor:
        """Return the sums along the diagonals of the matrices that `axis1` and `axis2` span."""
    def equal(self, b: ArrayLike, /) -> Tensor:
        """Return ``a == b`` as booleans."""
    def __eq__(self, other: ArrayLike, /) -> Tensor: ...  # type: ignore[override]
    eq = equal
    def not_equal(self, b: ArrayLike, /) -> Tensor:
        """Return ``a != b`` as booleans."""
    def __ne__(self, other: ArrayLike, /) -> Tensor: ...  # type: ignore[override]
    ne = not_equal
    def less(self, b: ArrayLike, /) -> Tensor:
        """Return ``a < b`` as booleans."""
    def __lt__(self, other: ArrayLike, /) -> Tensor: ...
    lt = less
    def less_equal(self, b: ArrayLike, /) -> Tensor:
        """Return ``a <= b`` as booleans."""
    def __le__(self, other: ArrayLike, /) -> Tensor: ...
    le = less_equal
    def greater(self, b: ArrayLike, /) -> Tensor:
        """Return ``a > b`` as booleans."""
    def __gt__(self, other: ArrayLike, /) -> Tensor: ...
    gt = greater
    def greater_equal(self, b: ArrayLike, /) -> Tensor:
        """Return ``a >= b`` as booleans."""
    def __ge__(self, other: ArrayLike, /) -> Tensor: ...
    ge = greater_equal
    def bitwise_and(self, b: ArrayLike, /) -> Tensor:
        """Return ``a & b`` of booleans or integers."""
    def __and__(self, other: ArrayLike, /) -> Tensor: ...
    def __rand__(self, other: ArrayLike, /) -> Tensor: ...
    def bitwise_or(self, b: ArrayLike, /) -> Tensor:
        """Return ``a | b`` of booleans or integers."""
    def __or__(self, other: ArrayLike, /) -> Tensor: ...
    def __ror__(self, other: ArrayLike, /) -> Tensor: ...
    def bitwise_xor(self, b: ArrayLike, /) -> Tensor:
        """Return ``a ^ b`` of booleans or integers."""
    def __xor__(self, other: ArrayLike, /) -> Tensor: ...
    def __rxor__(self, other: ArrayLike, /) -> Tensor: ...
    def invert(self, /) -> Tensor:
        """Return ``~x`` of booleans or integers."""
    def __invert__(self) -> Tensor: ...
    bitwise_invert = invert
    bitwise_not = invert
    def logical_and(self, b: ArrayLike, /) -> Tensor:
        """Return whether both `a` and `b` are nonzero."""
    def logical_or(self, b: ArrayLike, /) -> Tensor:
        """Return whether `a` or `b` is nonzero."""
    def logical_xor(self, b: ArrayLike, /) -> Tensor:
        """Return whether exactly one of `a` and `b` is nonzero."""
    def logical_not(self, /) -> Tensor:
        """Return whether `x` is zero."""
    def isnan(self, /) -> Tensor:
        """Return where `x` is not a number."""
    def isinf(self, /) -> Tensor:
        """Return where `x` is infinite."""
    def isfinite(self, /) -> Tensor:
        """Return where `x` is finite."""
    def masked_fill(self, mask: ArrayLike, value: ArrayLike) -> Tensor:
        """Return `x` with `value` where `mask` is true; gradient flows to `x` elsewhere only."""
    def exp(self, /) -> Tensor:
        """Return ``e**x``."""
    def exp2(self, /) -> Tensor:
        """Return ``2**x``."""
    def expm1(self, /) -> Tensor:
        """Return ``e**x - 1``, accurate near 0."""
    def log(self, /) -> Tensor:
        """Return ``ln x``."""
    def log2(self, /) -> Tensor:
        """Return the binary logarithm."""
    def log10(self, /) -> Tensor:
        """Return the decimal logarithm."""
    def log1p(self, /) -> Tensor:
        """Return ``ln(1 + x)``, accurate near 0."""
    def sigmoid(self, /) -> Tensor:
        """Return ``1 / (1 + e**-x)``."""
    def softplus(self, /) -> Tensor:
        """Return ``ln(1 + e**x)`` without overflow, accurate in both tails."""
    def log_sigmoid(self, /) -> Tensor:
        """Return ``ln(sigmoid(x))`` without overflow, accurate in both tails."""
    logsigmoid = log_sigmoid
    def logaddexp(self, b: ArrayLike, /) -> Tensor:
        """Return ``ln(e**a + e**b)`` without overflow."""
    def add(self, b: ArrayLike, /) -> Tensor:
        """Return ``a + b``."""
    def __add__(self, other: ArrayLike, /) -> Tensor: ...
    def __radd__(self, other: ArrayLike, /) -> Tensor: ...
    def subtract(self, b: ArrayLike, /) -> Tensor:
        """Return ``a - b``."""
    def __sub__(self, other: ArrayLike, /) -> Tensor: ...
    def __rsub__(self, other: ArrayLike, /) -> Tensor: ...
    sub = subtract
    def multiply(self, b: ArrayLike, /) -> Tensor:
        """Return ``a * b``."""
    def __mul__(self, other: ArrayLike, /) -> Tensor: ...
    def __rmul__(self, other: ArrayLike, /) -> Tensor: ...
    mul = multiply
    def divide(self, b: ArrayLike, /) -> Tensor:
        """Return ``a / b``."""
    def __truediv__(self, other: ArrayLike, /) -> Tensor: ...
    def __rtruediv__(self, other: ArrayLike, /) -> Tensor: ...
    true_divide = divide
    div = divide
    def floor_divide(self, b: ArrayLike, /) -> Tensor:
        """Return ``floor(a / b)``."""
    def __floordiv__(self, other: ArrayLike, /) -> Tensor: ...
    def __rfloordiv__(self, other: ArrayLike, /) -> Tensor: ...
    def remainder(self, b: ArrayLike, /) -> Tensor:
        """Return ``a - floor(a / b) * b``, which has the sign of `b`."""
    def __mod__(self, other: ArrayLike, /) -> Tensor: ...
    def __rmod__(self, other: ArrayLike, /) -> Tensor: ...
    mod = remainder
    def fmod(self, b: ArrayLike, /) -> Tensor:
        """Return ``a - trunc(a / b) * b``, which has the sign of `a`."""
    def negative(self, /) -> Tensor:
        """Return ``-x``."""
    def __neg__(self) -> Tensor: ...
    neg = negative
    def abs(self, /) -> Tensor:
        """Return ``|x|``."""
    def __abs__(self) -> Tensor: ...
    absolute = abs
    def sign(self, /) -> Tensor:
        """Return the sign: -1, 0 or 1."""
    def floor(self, /) -> Tensor:
        """Return the floor."""
    def ceil(self, /) -> Tensor:
        """Return the ceiling."""
    def round(self, /) -> Tensor:
        """Return the nearest integer, halves to even."""
    rint = round
    def trunc(self, /) -> Tensor:
        """Return the integer part."""
    def square(self, /) -> Tensor:
        """Return ``x * x``."""
    def sqrt(self, /) -> Tensor:
        """Return ``√x``."""
    def cbrt(self, /) -> Tensor:
        """Return the real cube root."""
    def reciprocal(self, /) -> Tensor:
        """Return ``1 / x``."""
    def rsqrt(self, /) -> Tensor:
        """Return ``1 / √x``."""
    def pow(self, b: ArrayLike, /) -> Tensor:
        """Return ``a ** b``."""
    def __pow__(self, other: ArrayLike, /) -> Tensor: ...
    def __rpow__(self, other: ArrayLike, /) -> Tensor: ...
    power = pow
    def hypot(self, b: ArrayLike, /) -> Tensor:
        """Return ``√(a² + b²)`` without overflow."""
    def maximum(self, b: ArrayLike, /) -> Tensor:
        """Return the larger of `a` and `b`."""
    def minimum(self, b: ArrayLike, /) -> Tensor:
        """Return the smaller of `a` and `b`."""
    def clip(self, min: ArrayLike | None = None, max: ArrayLike | None = None) -> Tensor:
        """Return `x` limited to ``[min, max]``; the gradient passes where ``min <= x <= max``."""
    clamp = clip
    def lerp(self, end: ArrayLike, weight: ArrayLike, /) -> Tensor:
        """Return ``start * (1 - weight) + end * weight``, which is exact at weights 0 and 1."""
    def erf(self, /) -> Tensor:
        """Return the error function, to 2 ulp."""
    def relu(self, /) -> Tensor:
        """Return ``max(x, 0)``."""
    def leaky_relu(self, negative_slope: ArrayLike = 0.01) -> Tensor:
        """Return `x` where it is positive and ``negative_slope * x`` elsewhere; the slope may be learned (PReLU)."""
    def elu(self, alpha: ArrayLike = 1.0) -> Tensor:
        """Return `x` where it is positive and ``alpha * (e**x - 1)`` elsewhere."""
    def silu(self, /) -> Tensor:
        """Return ``x * sigmoid(x)``, also named swish."""
    swish = silu
    def softsign(self, /) -> Tensor:
        """Return ``x / (1 + |x|)``."""
    def gelu(self, approximate: Literal['none', 'tanh'] = 'none') -> Tensor:
        """Return ``x * P(Z <= x)`` for a standard normal Z, or its tanh approximation (Hendrycks and Gimpel, 2016)."""
    def masked_select(self, mask: ArrayLike) -> Tensor:
        """Return the elements of `x` where `mask`, broadcast to the shape of `x`, is true, as one axis."""
    @overload
    def take(self, indices: ArrayLike, axis: int | None = None) -> Tensor:
        """Return the slices of `x` at `indices` along `axis`, whose place the axes of `indices` take; None flattens `x`."""
    @overload
    def take(self, *, index: ArrayLike, dim: int | None = None) -> Tensor:
        """Return the slices of `x` at `indices` along `axis`, whose place the axes of `indices` take; None flattens `x`."""
    @overload
    def index_add(self, axis: int, indices: ArrayLike, source: ArrayLike, alpha: builtins.float = 1) -> Tensor:
        """Return `x` with slice k of `source` added to slice ``indices[k]`` along `axis`; `indices` ``(K,)`` may repeat."""
    @overload
    def index_add(self, *, dim: int, index: ArrayLike, src: ArrayLike, alpha: builtins.float = 1) -> Tensor:
        """Return `x` with slice k of `source` added to slice ``indices[k]`` along `axis`; `indices` ``(K,)`` may repeat."""
    def diagonal(self, offset: int = 0, axis1: int = 0, axis2: int = 1) -> Tensor:
        """Return the diagonal of `x` over two of its axes, as the last axis of a view; `offset` counts to the right."""
    @overload
    def take_along_axis(self, indices: ArrayLike, axis: int = -1) -> Tensor:
        """Return the elements of `x` at `indices` along `axis`, the other axes of the two broadcast (as in NumPy)."""
    @overload
    def take_along_axis(self, *, index: ArrayLike, dim: int = -1) -> Tensor:
        """Return the elements of `x` at `indices` along `axis`, the other axes of the two broadcast (as in NumPy)."""
    @overload
    def gather(self, axis: int, indices: ArrayLike) -> Tensor:
        """Return, for each place of `indices`, the element of `x` at that place but ``indices`` along `axis`."""
    @overload
    def gather(self, *, dim: int, index: ArrayLike) -> Tensor:
        """Return, for each place of `indices`, the element of `x` at that place but ``indices`` along `axis`."""
    @overload
    def scatter_add(self, axis: int, indices: ArrayLike, source: ArrayLike) -> Tensor:
        """Return `x` with each element of `source` added where `gather` with the same `indices` would read it."""
    @overload
    def scatter_add(self, *, dim: int, index: ArrayLike, src: ArrayLike) -> Tensor:
        """Return `x` with each element of `source` added where `gather` with the same `indices` would read it."""
    @overload
    def scatter(self, axis: int, indices: ArrayLike, source: ArrayLike) -> Tensor:
        """Return `x` with each element of `source` written where `gather` with the same `indices` would read it."""
    @overload
    def scatter(self, *, dim: int, index: ArrayLike, src: ArrayLike) -> Tensor:
        """Return `x` with each element of `source` written where `gather` with the same `indices` would read it."""
    @overload
    def split(self, indices_or_sections: Shape, axis: int = 0) -> tuple[Tensor, ...]:
        """Return views of `x` cut along `axis`: into that many equal parts, or at each index of a sequence (as in NumPy)."""
    @overload
    def split(self, indices_or_sections: Shape, *, dim: int) -> tuple[Tensor, ...]:
        """Return views of `x` cut along `axis`: into that many equal parts, or at each index of a sequence (as in NumPy)."""
    @overload
    def chunk(self, chunks: int, axis: int = 0) -> tuple[Tensor, ...]:
        """Return views of `x` cut along `axis` into at most `chunks` parts, equal but for the last (as in PyTorch)."""
    @overload
    def chunk(self, chunks: int, *, dim: int) -> tuple[Tensor, ...]:
        """Return views of `x` cut along `axis` into at most `chunks` parts, equal but for the last (as in PyTorch)."""
    @overload
    def unstack(self, axis: int = 0) -> tuple[Tensor, ...]:
        """Return the slices of `x` along `axis`, without that axis, as views."""
    @overload
    def unstack(self, *, dim: int) -> tuple[Tensor, ...]:
        """Return the slices of `x` along `axis`, without that axis, as views."""
    unbind = unstack
    def tile(self, *reps: Any, **named: Any) -> Tensor:
        """Return `x` laid side by side ``reps[i]`` times along axis i, the axes matched from the last (as in NumPy)."""
    @overload
    def repeat(self, repeats: Shape, axis: int | None = None) -> Tensor:
        """Return `x` with each element along `axis` repeated in place; None repeats those of the flattened array."""
    @overload
    def repeat(self, repeats: Shape, *, dim: int | None) -> Tensor:
        """Return `x` with each element along `axis` repeated in place; None repeats those of the flattened array."""
    @overload
    def repeat_interleave(self, repeats: Shape, axis: int | None = None) -> Tensor:
        """Return `repeat`, by PyTorch's name: each element repeated in place."""
    @overload
    def repeat_interleave(self, repeats: Shape, *, dim: int | None) -> Tensor:
        """Return `repeat`, by PyTorch's name: each element repeated in place."""
    @overload
    def cumsum(self, axis: int | None = None) -> Tensor:
        """Return the running sums along `axis`."""
    @overload
    def cumsum(self, *, dim: int | None) -> Tensor:
        """Return the running sums along `axis`."""
    cumulative_sum = cumsum
    @overload
    def cumprod(self, axis: int | None = None) -> Tensor:
        """Return the running products along `axis`; gradients are exact where elements are zero."""
    @overload
    def cumprod(self, *, dim: int | None) -> Tensor:
        """Return the running products along `axis`; gradients are exact where elements are zero."""
    cumulative_prod = cumprod
    @overload
    def logcumsumexp(self, axis: int | None = None) -> Tensor:
        """Return the logarithms of the running sums of ``exp(x)`` along `axis`, without overflow."""
    @overload
    def logcumsumexp(self, *, dim: int | None) -> Tensor:
        """Return the logarithms of the running sums of ``exp(x)`` along `axis`, without overflow."""
    @overload
    def cummax(self, axis: int | None = None) -> Tensor:
        """Return the running maximum along `axis`: the values only, as NumPy's ``maximum.accumulate``."""
    @overload
    def cummax(self, *, dim: int | None) -> Extremes[Tensor]:
        """Return the running maximum along `axis`: the values only, as NumPy's ``maximum.accumulate``."""
    @overload
    def cummin(self, axis: int | None = None) -> Tensor:
        """Return the running minimum along `axis`: the values only, as NumPy's ``minimum.accumulate``."""
    @overload
    def cummin(self, *, dim: int | None) -> Extremes[Tensor]:
        """Return the running minimum along `axis`: the values only, as NumPy's ``minimum.accumulate``."""
    @overload
    def diff(self, n: int = 1, axis: int = -1, *, prepend: ArrayLike | None = None, append: ArrayLike | None = None) -> Tensor:
        """Return the differences of neighbours along `axis`, taken `n` times over: each time one element shorter."""
    @overload
    def diff(self, n: int = 1, *, dim: int, prepend: ArrayLike | None = None, append: ArrayLike | None = None) -> Tensor:
        """Return the differences of neighbours along `axis`, taken `n` times over: each time one element shorter."""
    def pad(self, pad_width: Width, mode: Mode = 'constant', value: builtins.float = 0) -> Tensor:
        """Return `x` with more elements before and after it along its axes."""
    def tril(self, k: int = 0) -> Tensor:
        """Return `x` ``(..., M, N)`` with zeros above diagonal `k` of its last two axes; `k` counts to the right."""
    def triu(self, k: int = 0) -> Tensor:
        """Return `x` ``(..., M, N)`` with zeros below diagonal `k` of its last two axes; `k` counts to the right."""
    @overload
    def max(self, axis: Axis = None, keepdims: bool = False) -> Tensor:
        """Return the largest element over `axis`; equal ones share the gradient evenly."""
    @overload
    def max(self, *, dim: Axis, keepdim: bool = False) -> Extremes[Tensor]:
        """Return the largest element over `axis`; equal ones share the gradient evenly."""
    @overload
    def amax(self, axis: Axis = None, keepdims: bool = False) -> Tensor:
        """Return the largest element over `axis`; equal ones share the gradient evenly."""
    @overload
    def amax(self, *, dim: Axis, keepdim: bool = False) -> Tensor:
        """Return the largest element over `axis`; equal ones share the gradient evenly."""
    @overload
    def min(self, axis: Axis = None, keepdims: bool = False) -> Tensor:
        """Return the smallest element over `axis`; equal ones share the gradient evenly."""
    @overload
    def min(self, *, dim: Axis, keepdim: bool = False) -> Extremes[Tensor]:
        """Return the smallest element over `axis`; equal ones share the gradient evenly."""
    @overload
    def amin(self, axis: Axis = None, keepdims: bool = False) -> Tensor:
        """Return the smallest element over `axis`; equal ones share the gradient evenly."""
    @overload
    def amin(self, *, dim: Axis, keepdim: bool = False) -> Tensor:
        """Return the smallest element over `axis`; equal ones share the gradient evenly."""
    @overload
    def argmax(self, axis: int | None = None, keepdims: bool = False) -> Tensor:
        """Return the int64 index of the largest element along `axis` (None: of the flattened array), the first of equals."""
    @overload
    def argmax(self, *, dim: int | None, keepdim: bool = False) -> Tensor:
        """Return the int64 index of the largest element along `axis` (None: of the flattened array), the first of equals."""
    @overload
    def argmin(self, axis: int | None = None, keepdims: bool = False) -> Tensor:
        """Return the int64 index of the smallest element along `axis` (None: of the flattened array), the first of equals."""
    @overload
    def argmin(self, *, dim: int | None, keepdim: bool = False) -> Tensor:
        """Return the int64 index of the smallest element along `axis` (None: of the flattened array), the first of equals."""
    @overload
    def any(self, axis: Axis = None, keepdims: bool = False) -> Tensor:
        """Return whether any element over `axis` is nonzero; False where it is empty."""
    @overload
    def any(self, *, dim: Axis, keepdim: bool = False) -> Tensor:
        """Return whether any element over `axis` is nonzero; False where it is empty."""
    @overload
    def all(self, axis: Axis = None, keepdims: bool = False) -> Tensor:
        """Return whether all elements over `axis` are nonzero; True where it is empty."""
    @overload
    def all(self, *, dim: Axis, keepdim: bool = False) -> Tensor:
        """Return whether all elements over `axis` are nonzero; True where it is empty."""
    def count_nonzero(self, *axis: Any, **named: Any) -> Tensor:
        """Return how many elements over `axis` are not zero, as int64."""
    @overload
    def sum(self, axis: Axis = None, keepdims: bool = False) -> Tensor:
        """Return the sum over `axis`; 0 where it is empty."""
    @overload
    def sum(self, *, dim: Axis, keepdim: bool = False) -> Tensor:
        """Return the sum over `axis`; 0 where it is empty."""
    @overload
    def mean(self, axis: Axis = None, keepdims: bool = False) -> Tensor:
        """Return the mean over `axis`; NaN where it is empty."""
    @overload
    def mean(self, *, dim: Axis, keepdim: bool = False) -> Tensor:
        """Return the mean over `axis`; NaN where it is empty."""
    @overload
    def prod(self, axis: Axis = None, keepdims: bool = False) -> Tensor:
        """Return the product over `axis`, 1 where it is empty; gradients are exact where elements are zero."""
    @overload
    def prod(self, *, dim: Axis, keepdim: bool = False) -> Tensor:
        """Return the product over `axis`, 1 where it is empty; gradients are exact where elements are zero."""
    @overload
    def var(self, axis: Axis = None, correction: builtins.float = 0, keepdims: bool = False) -> Tensor:
        """Return the variance over `axis`: squared deviations from the mean, summed, over ``count - correction``."""
    @overload
    def var(self, *, dim: Axis, correction: builtins.float = 0, keepdim: bool = False) -> Tensor:
        """Return the variance over `axis`: squared deviations from the mean, summed, over ``count - correction``."""
    @overload
    def std(self, axis: Axis = None, correction: builtins.float = 0, keepdims: bool = False) -> Tensor:
        """Return the standard deviation, the square root of `var`; its gradient is 0 where all elements are equal."""
    @overload
    def std(self, *, dim: Axis, correction: builtins.float = 0, keepdim: bool = False) -> Tensor:
        """Return the standard deviation, the square root of `var`; its gradient is 0 where all elements are equal."""
    @overload
    def logsumexp(self, axis: Axis = None, keepdims: bool = False) -> Tensor:
        """Return ``log(sum(exp(x)))`` over `axis` without overflow; -inf where all elements are -inf, or there are none."""
    @overload
    def logsumexp(self, *, dim: Axis, keepdim: bool = False) -> Tensor:
        """Return ``log(sum(exp(x)))`` over `axis` without overflow; -inf where all elements are -inf, or there are none."""
    @overload
    def norm(self, ord: builtins.float = 2, axis: Axis = None, keepdims: bool = False) -> Tensor:
        """Return the vector norm of order `ord` over `axis`, ``sum(|x|**ord)**(1/ord)``; several axes count as one vector."""
    @overload
    def norm(self, ord: builtins.float = 2, *, dim: Axis, keepdim: bool = False) -> Tensor:
        """Return the vector norm of order `ord` over `axis`, ``sum(|x|**ord)**(1/ord)``; several axes count as one vector."""
    @overload
    def softmax(self, axis: int = -1) -> Tensor:
        """Return ``exp(x) / sum(exp(x))`` along `axis` without overflow."""
    @overload
    def softmax(self, *, dim: int) -> Tensor:
        """Return ``exp(x) / sum(exp(x))`` along `axis` without overflow."""
    @overload
    def log_softmax(self, axis: int = -1) -> Tensor:
        """Return the logarithm of `softmax` along `axis`, accurate where softmax underflows to 0."""
    @overload
    def log_softmax(self, *, dim: int) -> Tensor:
        """Return the logarithm of `softmax` along `axis`, accurate where softmax underflows to 0."""
    def nonzero(self, *, as_tuple: bool | None = None) -> Any:
        """Return the indices of the elements that are not zero, in row-major order."""
    def argwhere(self) -> Tensor:
        """Return the indices of the elements that are not zero, one row per element, in row-major order."""
    def isin(self, b: ArrayLike, *, invert: bool = False) -> Tensor:
        """Return which elements of `a` are equal to one of `b`."""
    def searchsorted(self, b: ArrayLike, *, side: str = 'left', sorter: ArrayLike | None = None) -> Tensor:
        """Return for each element of `b` the index at which `a` stays sorted if it is inserted there."""
    def copysign(self, b: ArrayLike, /) -> Tensor:
        """Return ``|a|`` with the sign of `b`, also of a zero."""
    def signbit(self, /) -> Tensor:
        """Return whether the sign is negative, also that of a zero or NaN."""
    def nextafter(self, b: ArrayLike, /) -> Tensor:
        """Return the floating-point number next to `a` in the direction of `b`."""
    def bitwise_left_shift(self, b: ArrayLike, /) -> Tensor:
        """Return the integers `a` with their bits moved `b` places to the left: ``a * 2**b``."""
    def __lshift__(self, other: ArrayLike, /) -> Tensor: ...
    def __rlshift__(self, other: ArrayLike, /) -> Tensor: ...
    def bitwise_right_shift(self, b: ArrayLike, /) -> Tensor:
        """Return the integers `a` with their bits moved `b` places to the right: ``floor(a / 2**b)``."""
    def __rshift__(self, other: ArrayLike, /) -> Tensor: ...
    def __rrshift__(self, other: ArrayLike, /) -> Tensor: ...
    def positive(self) -> Tensor:
        """Return `x` itself, as the operator ``+x`` does."""
    def isclose(self, b: ArrayLike, rtol: builtins.float = 1e-05, atol: builtins.float = 1e-08, equal_nan: bool = False) -> Tensor:
        """Return where ``|a - b| <= atol + rtol * |b|``; infinities are close to themselves only."""
    def allclose(self, b: ArrayLike, rtol: builtins.float = 1e-05, atol: builtins.float = 1e-08, equal_nan: bool = False) -> Tensor:
        """Return whether `isclose` holds for all elements."""
    @overload
    def argsort(self, axis: int = -1, *, descending: bool = False, stable: bool = True) -> Tensor:
        """Return the indices that sort `x` along `axis`; `stable` keeps equal elements in their order."""
    @overload
    def argsort(self, *, dim: int, descending: bool = False, stable: bool = True) -> Tensor:
        """Return the indices that sort `x` along `axis`; `stable` keeps equal elements in their order."""
    @overload
    def sort(self, axis: int = -1, *, descending: bool = False, stable: bool = True) -> Tensor:
        """Return `x` sorted along `axis`; `stable` keeps equal elements, and so their gradients, in their order."""
    @overload
    def sort(self, *, dim: int, descending: bool = False, stable: bool = True) -> Extremes[Tensor]:
        """Return `x` sorted along `axis`; `stable` keeps equal elements, and so their gradients, in their order."""
    @overload
    def topk(self, k: int, axis: int = -1, largest: bool = True) -> Extremes[Tensor]:
        """Return the `k` largest (or smallest) elements of `x` along `axis`, best first, and their indices."""
    @overload
    def topk(self, k: int, *, dim: int, largest: bool = True) -> Extremes[Tensor]:
        """Return the `k` largest (or smallest) elements of `x` along `axis`, best first, and their indices."""
    def t(self) -> Tensor:
        """Return a matrix transposed; an array with fewer axes as it is."""
    def mm(self, b: ArrayLike) -> Tensor:
        """Return the product of two matrices."""
    def bmm(self, b: ArrayLike) -> Tensor:
        """Return the products of the matrices of two stacks of the same length."""
    def mv(self, b: ArrayLike) -> Tensor:
        """Return the product of a matrix and a vector."""
    def addmm(self, mat1: ArrayLike, mat2: ArrayLike, *, beta: builtins.float = 1, alpha: builtins.float = 1) -> Tensor:
        """Return ``beta * x + alpha * (mat1 @ mat2)``."""
    def addcmul(self, tensor1: ArrayLike, tensor2: ArrayLike, *, value: builtins.float = 1) -> Tensor:
        """Return ``x + value * tensor1 * tensor2``."""
    def addcdiv(self, tensor1: ArrayLike, tensor2: ArrayLike, *, value: builtins.float = 1) -> Tensor:
        """Return ``x + value * tensor1 / tensor2``."""
    @overload
    def index_select(self, axis: int, indices: ArrayLike) -> Tensor:
        """Return the slices of `x` at `indices`, one axis of integers, along `axis`."""
    @overload
    def index_select(self, *, dim: int, index: ArrayLike) -> Tensor:
        """Return the slices of `x` at `indices`, one axis of integers, along `axis`."""
    @overload
    def select(self, axis: int, index: int) -> Tensor:
        """Return the slice of `x` at one index along `axis`, without that axis."""
    @overload
    def select(self, *, dim: int, index: int) -> Tensor:
        """Return the slice of `x` at one index along `axis`, without that axis."""
    @overload
    def narrow(self, axis: int, start: int, length: int) -> Tensor:
        """Return `length` slices of `x` along `axis` from `start`."""
    @overload
    def narrow(self, *, dim: int, start: int, length: int) -> Tensor:
        """Return `length` slices of `x` along `axis` from `start`."""
    def expand_as(self, other: ArrayLike) -> Tensor:
        """Return `x` repeated along new and size-1 axes to the shape of `other`."""
    def view_as(self, other: ArrayLike) -> Tensor:
        """Return the elements of `x` in the shape of `other`."""
    reshape_as = view_as
    @overload
    def take_along_dim(self, indices: ArrayLike, axis: int | None = None) -> Tensor:
        """Return the elements of `x` at `indices` along `axis`, as `take_along_axis`; None looks up in the flattened `x`."""
    @overload
    def take_along_dim(self, *, index: ArrayLike, dim: int | None = None) -> Tensor:
        """Return the elements of `x` at `indices` along `axis`, as `take_along_axis`; None looks up in the flattened `x`."""
    def sin(self, /) -> Tensor:
        """Return the sine."""
    def cos(self, /) -> Tensor:
        """Return the cosine."""
    def tan(self, /) -> Tensor:
        """Return the tangent."""
    def asin(self, /) -> Tensor:
        """Return the inverse sine, in [-π/2, π/2]."""
    arcsin = asin
    def acos(self, /) -> Tensor:
        """Return the inverse cosine, in [0, π]."""
    arccos = acos
    def atan(self, /) -> Tensor:
        """Return the inverse tangent, in [-π/2, π/2]."""
    arctan = atan
    def atan2(self, b: ArrayLike, /) -> Tensor:
        """Return the angle of the point ``(b, a)``, in [-π, π]."""
    arctan2 = atan2
    def sinh(self, /) -> Tensor:
        """Return the hyperbolic sine."""
    def cosh(self, /) -> Tensor:
        """Return the hyperbolic cosine."""
    def tanh(self, /) -> Tensor:
        """Return the hyperbolic tangent."""
    def asinh(self, /) -> Tensor:
        """Return the inverse hyperbolic sine."""
    arcsinh = asinh
    def acosh(self, /) -> Tensor:
        """Return the inverse hyperbolic cosine."""
    arccosh = acosh
    def atanh(self, /) -> Tensor:
        """Return the inverse hyperbolic tangent."""
    arctanh = atanh
