"""Written by ``python -m tests.typing.stubs --write`` from the table of operations; do not edit."""

# ruff: noqa: E501, F401, N802, PYI021, RUF022, RUF100
# fmt: off

import builtins
from collections.abc import Iterable, Sequence
from typing import Any, Literal, overload

import numpy as np
from numpy.typing import ArrayLike, DTypeLike

from .autograd.tensor import Tensor
from .ops.axes import Axis
from .ops.edges import Mode, Width
from .ops.searching import UniqueAll, UniqueCounts, UniqueInverse
from .ops.shape import Shape
from .ops.spelling import Extremes

def astype(x: ArrayLike, dtype: DTypeLike, *, copy: bool = True) -> Tensor:
    """Return `x` as `dtype`; the gradient comes back in the dtype of `x`, and stops at integers and booleans."""
def clone(x: ArrayLike, /) -> Tensor:
    """Return a copy that gradient flows through."""
copy = clone
def broadcast_to(x: ArrayLike, shape: Shape) -> Tensor:
    """Return `x` repeated along new and size-1 axes to `shape`, as a read-only view."""
def expand(x: ArrayLike, *shape: Any, **named: Any) -> Tensor:
    """Return `x` repeated along new and size-1 axes to `shape`, in which -1 keeps the size of an axis."""
def reshape(x: ArrayLike, *shape: Any, **named: Any) -> Tensor:
    """Return the elements of `x`, in row-major order, in another shape; one size may be -1, to be worked out."""
view = reshape
def flatten(x: ArrayLike, start_axis: int = 0, end_axis: int = -1) -> Tensor:
    """Return `x` with the axes from `start_axis` to `end_axis`, both included, merged into one."""
ravel = flatten
@overload
def unflatten(x: ArrayLike, axis: int, shape: Shape) -> Tensor:
    """Return `x` with one axis split into several of the sizes `shape`, of which one may be -1."""
@overload
def unflatten(x: ArrayLike, *, dim: int, shape: Shape) -> Tensor:
    """Return `x` with one axis split into several of the sizes `shape`, of which one may be -1."""
@overload
def expand_dims(x: ArrayLike, axis: int | Sequence[int]) -> Tensor:
    """Return `x` with a new axis of size 1 at position `axis` of the result, or one at each of several positions."""
@overload
def expand_dims(x: ArrayLike, *, dim: int | Sequence[int]) -> Tensor:
    """Return `x` with a new axis of size 1 at position `axis` of the result, or one at each of several positions."""
unsqueeze = expand_dims
@overload
def squeeze(x: ArrayLike, axis: int | Sequence[int] | None = None) -> Tensor:
    """Return `x` without the axes in `axis`, which must have size 1; None drops every axis of size 1."""
@overload
def squeeze(x: ArrayLike, *, dim: int | Sequence[int] | None) -> Tensor:
    """Return `x` without the axes in `axis`, which must have size 1; None drops every axis of size 1."""
def permute_dims(x: ArrayLike, *axes: Any, **named: Any) -> Tensor:
    """Return `x` with its axes in the order `axes`, as a view."""
permute = permute_dims
def transpose(x: ArrayLike, *axes: Any, **named: Any) -> Tensor:
    """Return `x` with its axes reversed, or in the order `axes`, as a view; see `matrix_transpose` for the last two."""
def matrix_transpose(x: ArrayLike) -> Tensor:
    """Return `x` ``(..., M, N)`` with its last two axes exchanged, ``(..., N, M)``, as a view."""
def swapaxes(x: ArrayLike, axis1: int, axis2: int) -> Tensor:
    """Return `x` with two axes exchanged, as a view."""
swapdims = swapaxes
@overload
def moveaxis(x: ArrayLike, source: int | Sequence[int], destination: int | Sequence[int]) -> Tensor:
    """Return `x` with the axes `source` moved to the positions `destination`, the others in their order, as a view."""
@overload
def moveaxis(x: ArrayLike, *, src: int | Sequence[int], destination: int | Sequence[int]) -> Tensor:
    """Return `x` with the axes `source` moved to the positions `destination`, the others in their order, as a view."""
movedim = moveaxis
def flip(x: ArrayLike, *axis: Any, **named: Any) -> Tensor:
    """Return `x` with its elements in reverse order along `axis` (None: along every axis), as a view."""
@overload
def roll(x: ArrayLike, shift: int | Sequence[int], axis: int | Sequence[int] | None = None) -> Tensor:
    """Return `x` with its elements moved on by `shift` places along `axis`, those off the end coming in at the start."""
@overload
def roll(x: ArrayLike, shift: int | Sequence[int], *, dim: int | Sequence[int] | None) -> Tensor:
    """Return `x` with its elements moved on by `shift` places along `axis`, those off the end coming in at the start."""
def einsum(equation: str, *operands: ArrayLike) -> Tensor:
    """Return the sum of products that `equation` states by naming each axis with a letter."""
def matmul(a: ArrayLike, b: ArrayLike, /) -> Tensor:
    """Return the matrix product ``a @ b``."""
def linear(x: ArrayLike, weight: ArrayLike, bias: ArrayLike | None = None) -> Tensor:
    """Return ``x @ weight.T + bias``, as one operation."""
def inner(a: ArrayLike, b: ArrayLike) -> Tensor:
    """Return the sums of products over the last axis of both: ``y[i, j] = sum(a[i] * b[j])``."""
def outer(a: ArrayLike, b: ArrayLike) -> Tensor:
    """Return ``y[i, j] = a[i] * b[j]`` of the flattened operands."""
@overload
def vecdot(a: ArrayLike, b: ArrayLike, axis: int = -1) -> Tensor:
    """Return the dot products of the vectors along `axis`; the other axes broadcast."""
@overload
def vecdot(a: ArrayLike, b: ArrayLike, *, dim: int) -> Tensor:
    """Return the dot products of the vectors along `axis`; the other axes broadcast."""
def dot(a: ArrayLike, b: ArrayLike) -> Tensor:
    """Return NumPy's dot product: sums of products over the last axis of `a` and the last but one of `b`."""
@overload
def tensordot(a: ArrayLike, b: ArrayLike, axes: int | tuple[int | tuple[int, ...], int | tuple[int, ...]] = 2) -> Tensor:
    """Return the sums of products over the given axes; what is left of `a` comes first, then what is left of `b`."""
@overload
def tensordot(a: ArrayLike, b: ArrayLike, *, dims: int | tuple[int | tuple[int, ...], int | tuple[int, ...]]) -> Tensor:
    """Return the sums of products over the given axes; what is left of `a` comes first, then what is left of `b`."""
def kron(a: ArrayLike, b: ArrayLike) -> Tensor:
    """Return the Kronecker product: `b` scaled by each element of `a`, laid out in blocks."""
def trace(x: ArrayLike, offset: int = 0, axis1: int = 0, axis2: int = 1) -> Tensor:
    """Return the sums along the diagonals of the matrices that `axis1` and `axis2` span."""
def equal(a: ArrayLike, b: ArrayLike, /) -> Tensor:
    """Return ``a == b`` as booleans."""
eq = equal
def not_equal(a: ArrayLike, b: ArrayLike, /) -> Tensor:
    """Return ``a != b`` as booleans."""
ne = not_equal
def less(a: ArrayLike, b: ArrayLike, /) -> Tensor:
    """Return ``a < b`` as booleans."""
lt = less
def less_equal(a: ArrayLike, b: ArrayLike, /) -> Tensor:
    """Return ``a <= b`` as booleans."""
le = less_equal
def greater(a: ArrayLike, b: ArrayLike, /) -> Tensor:
    """Return ``a > b`` as booleans."""
gt = greater
def greater_equal(a: ArrayLike, b: ArrayLike, /) -> Tensor:
    """Return ``a >= b`` as booleans."""
ge = greater_equal
def bitwise_and(a: ArrayLike, b: ArrayLike, /) -> Tensor:
    """Return ``a & b`` of booleans or integers."""
def bitwise_or(a: ArrayLike, b: ArrayLike, /) -> Tensor:
    """Return ``a | b`` of booleans or integers."""
def bitwise_xor(a: ArrayLike, b: ArrayLike, /) -> Tensor:
    """Return ``a ^ b`` of booleans or integers."""
def invert(x: ArrayLike, /) -> Tensor:
    """Return ``~x`` of booleans or integers."""
bitwise_invert = invert
bitwise_not = invert
def logical_and(a: ArrayLike, b: ArrayLike, /) -> Tensor:
    """Return whether both `a` and `b` are nonzero."""
def logical_or(a: ArrayLike, b: ArrayLike, /) -> Tensor:
    """Return whether `a` or `b` is nonzero."""
def logical_xor(a: ArrayLike, b: ArrayLike, /) -> Tensor:
    """Return whether exactly one of `a` and `b` is nonzero."""
def logical_not(x: ArrayLike, /) -> Tensor:
    """Return whether `x` is zero."""
def isnan(x: ArrayLike, /) -> Tensor:
    """Return where `x` is not a number."""
def isinf(x: ArrayLike, /) -> Tensor:
    """Return where `x` is infinite."""
def isfinite(x: ArrayLike, /) -> Tensor:
    """Return where `x` is finite."""
def where(condition: ArrayLike, a: ArrayLike, b: ArrayLike, /) -> Tensor:
    """Return `a` where `condition` is true and `b` elsewhere."""
def masked_fill(x: ArrayLike, mask: ArrayLike, value: ArrayLike) -> Tensor:
    """Return `x` with `value` where `mask` is true; gradient flows to `x` elsewhere only."""
def exp(x: ArrayLike, /) -> Tensor:
    """Return ``e**x``."""
def exp2(x: ArrayLike, /) -> Tensor:
    """Return ``2**x``."""
def expm1(x: ArrayLike, /) -> Tensor:
    """Return ``e**x - 1``, accurate near 0."""
def log(x: ArrayLike, /) -> Tensor:
    """Return ``ln x``."""
def log2(x: ArrayLike, /) -> Tensor:
    """Return the binary logarithm."""
def log10(x: ArrayLike, /) -> Tensor:
    """Return the decimal logarithm."""
def log1p(x: ArrayLike, /) -> Tensor:
    """Return ``ln(1 + x)``, accurate near 0."""
def sigmoid(x: ArrayLike, /) -> Tensor:
    """Return ``1 / (1 + e**-x)``."""
def softplus(x: ArrayLike, /) -> Tensor:
    """Return ``ln(1 + e**x)`` without overflow, accurate in both tails."""
def log_sigmoid(x: ArrayLike, /) -> Tensor:
    """Return ``ln(sigmoid(x))`` without overflow, accurate in both tails."""
logsigmoid = log_sigmoid
def logaddexp(a: ArrayLike, b: ArrayLike, /) -> Tensor:
    """Return ``ln(e**a + e**b)`` without overflow."""
def add(a: ArrayLike, b: ArrayLike, /) -> Tensor:
    """Return ``a + b``."""
def subtract(a: ArrayLike, b: ArrayLike, /) -> Tensor:
    """Return ``a - b``."""
sub = subtract
def multiply(a: ArrayLike, b: ArrayLike, /) -> Tensor:
    """Return ``a * b``."""
mul = multiply
def divide(a: ArrayLike, b: ArrayLike, /) -> Tensor:
    """Return ``a / b``."""
true_divide = divide
div = divide
def floor_divide(a: ArrayLike, b: ArrayLike, /) -> Tensor:
    """Return ``floor(a / b)``."""
def remainder(a: ArrayLike, b: ArrayLike, /) -> Tensor:
    """Return ``a - floor(a / b) * b``, which has the sign of `b`."""
mod = remainder
def fmod(a: ArrayLike, b: ArrayLike, /) -> Tensor:
    """Return ``a - trunc(a / b) * b``, which has the sign of `a`."""
def negative(x: ArrayLike, /) -> Tensor:
    """Return ``-x``."""
neg = negative
def abs(x: ArrayLike, /) -> Tensor:
    """Return ``|x|``."""
absolute = abs
def sign(x: ArrayLike, /) -> Tensor:
    """Return the sign: -1, 0 or 1."""
def floor(x: ArrayLike, /) -> Tensor:
    """Return the floor."""
def ceil(x: ArrayLike, /) -> Tensor:
    """Return the ceiling."""
def round(x: ArrayLike, /) -> Tensor:
    """Return the nearest integer, halves to even."""
rint = round
def trunc(x: ArrayLike, /) -> Tensor:
    """Return the integer part."""
def square(x: ArrayLike, /) -> Tensor:
    """Return ``x * x``."""
def sqrt(x: ArrayLike, /) -> Tensor:
    """Return ``√x``."""
def cbrt(x: ArrayLike, /) -> Tensor:
    """Return the real cube root."""
def reciprocal(x: ArrayLike, /) -> Tensor:
    """Return ``1 / x``."""
def rsqrt(x: ArrayLike, /) -> Tensor:
    """Return ``1 / √x``."""
def pow(a: ArrayLike, b: ArrayLike, /) -> Tensor:
    """Return ``a ** b``."""
power = pow
def hypot(a: ArrayLike, b: ArrayLike, /) -> Tensor:
    """Return ``√(a² + b²)`` without overflow."""
def maximum(a: ArrayLike, b: ArrayLike, /) -> Tensor:
    """Return the larger of `a` and `b`."""
def minimum(a: ArrayLike, b: ArrayLike, /) -> Tensor:
    """Return the smaller of `a` and `b`."""
def clip(x: ArrayLike, min: ArrayLike | None = None, max: ArrayLike | None = None) -> Tensor:
    """Return `x` limited to ``[min, max]``; the gradient passes where ``min <= x <= max``."""
clamp = clip
def lerp(start: ArrayLike, end: ArrayLike, weight: ArrayLike, /) -> Tensor:
    """Return ``start * (1 - weight) + end * weight``, which is exact at weights 0 and 1."""
def erf(x: ArrayLike, /) -> Tensor:
    """Return the error function, to 2 ulp."""
def erfc(x: ArrayLike, /) -> Tensor:
    """Return ``1 - erf(x)``, accurate where that is tiny."""
def relu(x: ArrayLike, /) -> Tensor:
    """Return ``max(x, 0)``."""
def leaky_relu(x: ArrayLike, negative_slope: ArrayLike = 0.01) -> Tensor:
    """Return `x` where it is positive and ``negative_slope * x`` elsewhere; the slope may be learned (PReLU)."""
def elu(x: ArrayLike, alpha: ArrayLike = 1.0) -> Tensor:
    """Return `x` where it is positive and ``alpha * (e**x - 1)`` elsewhere."""
def silu(x: ArrayLike, /) -> Tensor:
    """Return ``x * sigmoid(x)``, also named swish."""
swish = silu
def softsign(x: ArrayLike, /) -> Tensor:
    """Return ``x / (1 + |x|)``."""
def gelu(x: ArrayLike, approximate: Literal['none', 'tanh'] = 'none') -> Tensor:
    """Return ``x * P(Z <= x)`` for a standard normal Z, or its tanh approximation (Hendrycks and Gimpel, 2016)."""
def relu6(x: ArrayLike) -> Tensor:
    """Return `x` limited to [0, 6]."""
def hard_tanh(x: ArrayLike) -> Tensor:
    """Return `x` limited to [-1, 1]."""
hardtanh = hard_tanh
def hard_sigmoid(x: ArrayLike) -> Tensor:
    """Return ``x / 6 + 1/2`` limited to [0, 1]."""
hardsigmoid = hard_sigmoid
def categorical(logits: ArrayLike, uniforms: ArrayLike, temperature: Any = 1.0, top_k: int | None = None) -> Tensor:
    """Return for each row of `logits` an index drawn with probability ``softmax(logits / temperature)``."""
def conv1d(x: ArrayLike, weight: ArrayLike, bias: ArrayLike | None = None, stride: int = 1, padding: int | Literal['same', 'valid'] = 0, dilation: int = 1, groups: int = 1) -> Tensor:
    """Return the 1-d convolution (in the sense of neural networks: the kernel is not flipped), as in PyTorch."""
def masked_select(x: ArrayLike, mask: ArrayLike) -> Tensor:
    """Return the elements of `x` where `mask`, broadcast to the shape of `x`, is true, as one axis."""
@overload
def take(x: ArrayLike, indices: ArrayLike, axis: int | None = None) -> Tensor:
    """Return the slices of `x` at `indices` along `axis`, whose place the axes of `indices` take; None flattens `x`."""
@overload
def take(x: ArrayLike, *, index: ArrayLike, dim: int | None = None) -> Tensor:
    """Return the slices of `x` at `indices` along `axis`, whose place the axes of `indices` take; None flattens `x`."""
@overload
def embedding(weight: ArrayLike, indices: ArrayLike) -> Tensor:
    """Return the row of `weight` ``(V, H)`` for each index of `indices` ``(...)``, as an array ``(..., H)``."""
@overload
def embedding(weight: ArrayLike, *, index: ArrayLike) -> Tensor:
    """Return the row of `weight` ``(V, H)`` for each index of `indices` ``(...)``, as an array ``(..., H)``."""
@overload
def index_add(x: ArrayLike, axis: int, indices: ArrayLike, source: ArrayLike, alpha: builtins.float = 1) -> Tensor:
    """Return `x` with slice k of `source` added to slice ``indices[k]`` along `axis`; `indices` ``(K,)`` may repeat."""
@overload
def index_add(x: ArrayLike, *, dim: int, index: ArrayLike, src: ArrayLike, alpha: builtins.float = 1) -> Tensor:
    """Return `x` with slice k of `source` added to slice ``indices[k]`` along `axis`; `indices` ``(K,)`` may repeat."""
def diagonal(x: ArrayLike, offset: int = 0, axis1: int = 0, axis2: int = 1) -> Tensor:
    """Return the diagonal of `x` over two of its axes, as the last axis of a view; `offset` counts to the right."""
@overload
def take_along_axis(x: ArrayLike, indices: ArrayLike, axis: int = -1) -> Tensor:
    """Return the elements of `x` at `indices` along `axis`, the other axes of the two broadcast (as in NumPy)."""
@overload
def take_along_axis(x: ArrayLike, *, index: ArrayLike, dim: int = -1) -> Tensor:
    """Return the elements of `x` at `indices` along `axis`, the other axes of the two broadcast (as in NumPy)."""
@overload
def gather(x: ArrayLike, axis: int, indices: ArrayLike) -> Tensor:
    """Return, for each place of `indices`, the element of `x` at that place but ``indices`` along `axis`."""
@overload
def gather(x: ArrayLike, *, dim: int, index: ArrayLike) -> Tensor:
    """Return, for each place of `indices`, the element of `x` at that place but ``indices`` along `axis`."""
@overload
def scatter_add(x: ArrayLike, axis: int, indices: ArrayLike, source: ArrayLike) -> Tensor:
    """Return `x` with each element of `source` added where `gather` with the same `indices` would read it."""
@overload
def scatter_add(x: ArrayLike, *, dim: int, index: ArrayLike, src: ArrayLike) -> Tensor:
    """Return `x` with each element of `source` added where `gather` with the same `indices` would read it."""
@overload
def scatter(x: ArrayLike, axis: int, indices: ArrayLike, source: ArrayLike) -> Tensor:
    """Return `x` with each element of `source` written where `gather` with the same `indices` would read it."""
@overload
def scatter(x: ArrayLike, *, dim: int, index: ArrayLike, src: ArrayLike) -> Tensor:
    """Return `x` with each element of `source` written where `gather` with the same `indices` would read it."""
@overload
def concat(arrays: Iterable[ArrayLike], axis: int | None = 0) -> Tensor:
    """Return `arrays` joined end to end along `axis`, an axis they have; None joins the flattened arrays."""
@overload
def concat(arrays: Iterable[ArrayLike], *, dim: int | None) -> Tensor:
    """Return `arrays` joined end to end along `axis`, an axis they have; None joins the flattened arrays."""
concatenate = concat
cat = concat
@overload
def stack(arrays: Iterable[ArrayLike], axis: int = 0) -> Tensor:
    """Return `arrays`, all of one shape, joined along a new axis at position `axis` of the result."""
@overload
def stack(arrays: Iterable[ArrayLike], *, dim: int) -> Tensor:
    """Return `arrays`, all of one shape, joined along a new axis at position `axis` of the result."""
def hstack(arrays: Iterable[ArrayLike]) -> Tensor:
    """Return `arrays` joined side by side: along axis 1, or axis 0 if they have one axis or none (as in NumPy)."""
def vstack(arrays: Iterable[ArrayLike]) -> Tensor:
    """Return `arrays` joined one below the other, arrays with one axis being rows (as in NumPy)."""
@overload
def split(x: ArrayLike, indices_or_sections: Shape, axis: int = 0) -> tuple[Tensor, ...]:
    """Return views of `x` cut along `axis`: into that many equal parts, or at each index of a sequence (as in NumPy)."""
@overload
def split(x: ArrayLike, indices_or_sections: Shape, *, dim: int) -> tuple[Tensor, ...]:
    """Return views of `x` cut along `axis`: into that many equal parts, or at each index of a sequence (as in NumPy)."""
@overload
def chunk(x: ArrayLike, chunks: int, axis: int = 0) -> tuple[Tensor, ...]:
    """Return views of `x` cut along `axis` into at most `chunks` parts, equal but for the last (as in PyTorch)."""
@overload
def chunk(x: ArrayLike, chunks: int, *, dim: int) -> tuple[Tensor, ...]:
    """Return views of `x` cut along `axis` into at most `chunks` parts, equal but for the last (as in PyTorch)."""
@overload
def unstack(x: ArrayLike, axis: int = 0) -> tuple[Tensor, ...]:
    """Return the slices of `x` along `axis`, without that axis, as views."""
@overload
def unstack(x: ArrayLike, *, dim: int) -> tuple[Tensor, ...]:
    """Return the slices of `x` along `axis`, without that axis, as views."""
unbind = unstack
def tile(x: ArrayLike, *reps: Any, **named: Any) -> Tensor:
    """Return `x` laid side by side ``reps[i]`` times along axis i, the axes matched from the last (as in NumPy)."""
@overload
def repeat(x: ArrayLike, repeats: Shape, axis: int | None = None) -> Tensor:
    """Return `x` with each element along `axis` repeated in place; None repeats those of the flattened array."""
@overload
def repeat(x: ArrayLike, repeats: Shape, *, dim: int | None) -> Tensor:
    """Return `x` with each element along `axis` repeated in place; None repeats those of the flattened array."""
@overload
def repeat_interleave(x: ArrayLike, repeats: Shape, axis: int | None = None) -> Tensor:
    """Return `repeat`, by PyTorch's name: each element repeated in place."""
@overload
def repeat_interleave(x: ArrayLike, repeats: Shape, *, dim: int | None) -> Tensor:
    """Return `repeat`, by PyTorch's name: each element repeated in place."""
@overload
def cumsum(x: ArrayLike, axis: int | None = None) -> Tensor:
    """Return the running sums along `axis`."""
@overload
def cumsum(x: ArrayLike, *, dim: int | None) -> Tensor:
    """Return the running sums along `axis`."""
cumulative_sum = cumsum
@overload
def cumprod(x: ArrayLike, axis: int | None = None) -> Tensor:
    """Return the running products along `axis`; gradients are exact where elements are zero."""
@overload
def cumprod(x: ArrayLike, *, dim: int | None) -> Tensor:
    """Return the running products along `axis`; gradients are exact where elements are zero."""
cumulative_prod = cumprod
@overload
def logcumsumexp(x: ArrayLike, axis: int | None = None) -> Tensor:
    """Return the logarithms of the running sums of ``exp(x)`` along `axis`, without overflow."""
@overload
def logcumsumexp(x: ArrayLike, *, dim: int | None) -> Tensor:
    """Return the logarithms of the running sums of ``exp(x)`` along `axis`, without overflow."""
@overload
def cummax(x: ArrayLike, axis: int | None = None) -> Tensor:
    """Return the running maximum along `axis`: the values only, as NumPy's ``maximum.accumulate``."""
@overload
def cummax(x: ArrayLike, *, dim: int | None) -> Extremes[Tensor]:
    """Return the running maximum along `axis`: the values only, as NumPy's ``maximum.accumulate``."""
@overload
def cummin(x: ArrayLike, axis: int | None = None) -> Tensor:
    """Return the running minimum along `axis`: the values only, as NumPy's ``minimum.accumulate``."""
@overload
def cummin(x: ArrayLike, *, dim: int | None) -> Extremes[Tensor]:
    """Return the running minimum along `axis`: the values only, as NumPy's ``minimum.accumulate``."""
@overload
def diff(x: ArrayLike, n: int = 1, axis: int = -1, *, prepend: ArrayLike | None = None, append: ArrayLike | None = None) -> Tensor:
    """Return the differences of neighbours along `axis`, taken `n` times over: each time one element shorter."""
@overload
def diff(x: ArrayLike, n: int = 1, *, dim: int, prepend: ArrayLike | None = None, append: ArrayLike | None = None) -> Tensor:
    """Return the differences of neighbours along `axis`, taken `n` times over: each time one element shorter."""
def pad(x: ArrayLike, pad_width: Width, mode: Mode = 'constant', value: builtins.float = 0) -> Tensor:
    """Return `x` with more elements before and after it along its axes."""
def tril(x: ArrayLike, k: int = 0) -> Tensor:
    """Return `x` ``(..., M, N)`` with zeros above diagonal `k` of its last two axes; `k` counts to the right."""
def triu(x: ArrayLike, k: int = 0) -> Tensor:
    """Return `x` ``(..., M, N)`` with zeros below diagonal `k` of its last two axes; `k` counts to the right."""
@overload
def max(x: ArrayLike, axis: Axis = None, keepdims: bool = False) -> Tensor:
    """Return the largest element over `axis`; equal ones share the gradient evenly."""
@overload
def max(x: ArrayLike, *, dim: Axis, keepdim: bool = False) -> Extremes[Tensor]:
    """Return the largest element over `axis`; equal ones share the gradient evenly."""
@overload
def amax(x: ArrayLike, axis: Axis = None, keepdims: bool = False) -> Tensor:
    """Return the largest element over `axis`; equal ones share the gradient evenly."""
@overload
def amax(x: ArrayLike, *, dim: Axis, keepdim: bool = False) -> Tensor:
    """Return the largest element over `axis`; equal ones share the gradient evenly."""
@overload
def min(x: ArrayLike, axis: Axis = None, keepdims: bool = False) -> Tensor:
    """Return the smallest element over `axis`; equal ones share the gradient evenly."""
@overload
def min(x: ArrayLike, *, dim: Axis, keepdim: bool = False) -> Extremes[Tensor]:
    """Return the smallest element over `axis`; equal ones share the gradient evenly."""
@overload
def amin(x: ArrayLike, axis: Axis = None, keepdims: bool = False) -> Tensor:
    """Return the smallest element over `axis`; equal ones share the gradient evenly."""
@overload
def amin(x: ArrayLike, *, dim: Axis, keepdim: bool = False) -> Tensor:
    """Return the smallest element over `axis`; equal ones share the gradient evenly."""
@overload
def argmax(x: ArrayLike, axis: int | None = None, keepdims: bool = False) -> Tensor:
    """Return the int64 index of the largest element along `axis` (None: of the flattened array), the first of equals."""
@overload
def argmax(x: ArrayLike, *, dim: int | None, keepdim: bool = False) -> Tensor:
    """Return the int64 index of the largest element along `axis` (None: of the flattened array), the first of equals."""
@overload
def argmin(x: ArrayLike, axis: int | None = None, keepdims: bool = False) -> Tensor:
    """Return the int64 index of the smallest element along `axis` (None: of the flattened array), the first of equals."""
@overload
def argmin(x: ArrayLike, *, dim: int | None, keepdim: bool = False) -> Tensor:
    """Return the int64 index of the smallest element along `axis` (None: of the flattened array), the first of equals."""
@overload
def any(x: ArrayLike, axis: Axis = None, keepdims: bool = False) -> Tensor:
    """Return whether any element over `axis` is nonzero; False where it is empty."""
@overload
def any(x: ArrayLike, *, dim: Axis, keepdim: bool = False) -> Tensor:
    """Return whether any element over `axis` is nonzero; False where it is empty."""
@overload
def all(x: ArrayLike, axis: Axis = None, keepdims: bool = False) -> Tensor:
    """Return whether all elements over `axis` are nonzero; True where it is empty."""
@overload
def all(x: ArrayLike, *, dim: Axis, keepdim: bool = False) -> Tensor:
    """Return whether all elements over `axis` are nonzero; True where it is empty."""
def count_nonzero(x: ArrayLike, *axis: Any, **named: Any) -> Tensor:
    """Return how many elements over `axis` are not zero, as int64."""
def broadcast_arrays(*arrays: ArrayLike) -> tuple[Tensor, ...]:
    """Return `arrays` repeated along new and size-1 axes to their common shape, as read-only views."""
def meshgrid(*arrays: ArrayLike, indexing: str | None = None) -> tuple[Tensor, ...]:
    """Return the coordinates of all points of a grid, given those along each axis."""
@overload
def sum(x: ArrayLike, axis: Axis = None, keepdims: bool = False) -> Tensor:
    """Return the sum over `axis`; 0 where it is empty."""
@overload
def sum(x: ArrayLike, *, dim: Axis, keepdim: bool = False) -> Tensor:
    """Return the sum over `axis`; 0 where it is empty."""
@overload
def mean(x: ArrayLike, axis: Axis = None, keepdims: bool = False) -> Tensor:
    """Return the mean over `axis`; NaN where it is empty."""
@overload
def mean(x: ArrayLike, *, dim: Axis, keepdim: bool = False) -> Tensor:
    """Return the mean over `axis`; NaN where it is empty."""
@overload
def prod(x: ArrayLike, axis: Axis = None, keepdims: bool = False) -> Tensor:
    """Return the product over `axis`, 1 where it is empty; gradients are exact where elements are zero."""
@overload
def prod(x: ArrayLike, *, dim: Axis, keepdim: bool = False) -> Tensor:
    """Return the product over `axis`, 1 where it is empty; gradients are exact where elements are zero."""
@overload
def var(x: ArrayLike, axis: Axis = None, correction: builtins.float = 0, keepdims: bool = False) -> Tensor:
    """Return the variance over `axis`: squared deviations from the mean, summed, over ``count - correction``."""
@overload
def var(x: ArrayLike, *, dim: Axis, correction: builtins.float = 0, keepdim: bool = False) -> Tensor:
    """Return the variance over `axis`: squared deviations from the mean, summed, over ``count - correction``."""
@overload
def std(x: ArrayLike, axis: Axis = None, correction: builtins.float = 0, keepdims: bool = False) -> Tensor:
    """Return the standard deviation, the square root of `var`; its gradient is 0 where all elements are equal."""
@overload
def std(x: ArrayLike, *, dim: Axis, correction: builtins.float = 0, keepdim: bool = False) -> Tensor:
    """Return the standard deviation, the square root of `var`; its gradient is 0 where all elements are equal."""
@overload
def logsumexp(x: ArrayLike, axis: Axis = None, keepdims: bool = False) -> Tensor:
    """Return ``log(sum(exp(x)))`` over `axis` without overflow; -inf where all elements are -inf, or there are none."""
@overload
def logsumexp(x: ArrayLike, *, dim: Axis, keepdim: bool = False) -> Tensor:
    """Return ``log(sum(exp(x)))`` over `axis` without overflow; -inf where all elements are -inf, or there are none."""
@overload
def norm(x: ArrayLike, ord: builtins.float = 2, axis: Axis = None, keepdims: bool = False) -> Tensor:
    """Return the vector norm of order `ord` over `axis`, ``sum(|x|**ord)**(1/ord)``; several axes count as one vector."""
@overload
def norm(x: ArrayLike, ord: builtins.float = 2, *, dim: Axis, keepdim: bool = False) -> Tensor:
    """Return the vector norm of order `ord` over `axis`, ``sum(|x|**ord)**(1/ord)``; several axes count as one vector."""
@overload
def softmax(x: ArrayLike, axis: int = -1) -> Tensor:
    """Return ``exp(x) / sum(exp(x))`` along `axis` without overflow."""
@overload
def softmax(x: ArrayLike, *, dim: int) -> Tensor:
    """Return ``exp(x) / sum(exp(x))`` along `axis` without overflow."""
@overload
def log_softmax(x: ArrayLike, axis: int = -1) -> Tensor:
    """Return the logarithm of `softmax` along `axis`, accurate where softmax underflows to 0."""
@overload
def log_softmax(x: ArrayLike, *, dim: int) -> Tensor:
    """Return the logarithm of `softmax` along `axis`, accurate where softmax underflows to 0."""
@overload
def glu(x: ArrayLike, axis: int = -1) -> Tensor:
    """Return the gated linear unit ``a * sigmoid(b)``, a and b being the first and second half of `x` along `axis`."""
@overload
def glu(x: ArrayLike, *, dim: int) -> Tensor:
    """Return the gated linear unit ``a * sigmoid(b)``, a and b being the first and second half of `x` along `axis`."""
def layer_norm(x: ArrayLike, normalized_shape: int | Iterable[int], weight: ArrayLike | None = None, bias: ArrayLike | None = None, eps: builtins.float = 1e-05) -> Tensor:
    """Return ``(x - mean) / sqrt(var + eps) * weight + bias`` over the last axes."""
def rms_norm(x: ArrayLike, normalized_shape: int | Iterable[int], weight: ArrayLike | None = None, eps: builtins.float | None = None) -> Tensor:
    """Return ``x / sqrt(mean(x**2) + eps) * weight`` over the last axes."""
def dropout(x: ArrayLike, p: builtins.float = 0.5, training: bool = True, generator: np.random.Generator | None = None) -> Tensor:
    """Return `x` with each element set to 0 with probability `p` and the others divided by ``1 - p``."""
@overload
def one_hot(indices: ArrayLike, num_classes: int | None = None, dtype: np.typing.DTypeLike = ...) -> Tensor:
    """Return a row of `num_classes` zeros with a one at the index, for each of `indices` ``(...)``: ``(..., C)``."""
@overload
def one_hot(*, index: ArrayLike, num_classes: int | None = None, dtype: np.typing.DTypeLike = ...) -> Tensor:
    """Return a row of `num_classes` zeros with a one at the index, for each of `indices` ``(...)``: ``(..., C)``."""
@overload
def cross_entropy(logits: ArrayLike, target: ArrayLike, weight: ArrayLike | None = None, ignore_index: int = -100, reduction: str = 'mean', label_smoothing: builtins.float = 0.0, *, axis: int | None = None) -> Tensor:
    """Return ``-sum_k q_k log softmax(logits)_k``, the cross entropy of a target distribution and logits."""
@overload
def cross_entropy(logits: ArrayLike, target: ArrayLike, weight: ArrayLike | None = None, ignore_index: int = -100, reduction: str = 'mean', label_smoothing: builtins.float = 0.0, *, dim: int | None) -> Tensor:
    """Return ``-sum_k q_k log softmax(logits)_k``, the cross entropy of a target distribution and logits."""
@overload
def nll_loss(log_probabilities: ArrayLike, target: ArrayLike, weight: ArrayLike | None = None, ignore_index: int = -100, reduction: str = 'mean', *, axis: int | None = None) -> Tensor:
    """Return the negative log-likelihood of class indices `target` (...) under log-probabilities (..., V)."""
@overload
def nll_loss(log_probabilities: ArrayLike, target: ArrayLike, weight: ArrayLike | None = None, ignore_index: int = -100, reduction: str = 'mean', *, dim: int | None) -> Tensor:
    """Return the negative log-likelihood of class indices `target` (...) under log-probabilities (..., V)."""
def binary_cross_entropy(probability: ArrayLike, target: ArrayLike, weight: ArrayLike | None = None, reduction: str = 'mean') -> Tensor:
    """Return ``-(t log p + (1 - t) log(1 - p))``: the logistic loss, of probabilities and equal-shaped targets."""
def binary_cross_entropy_with_logits(logits: ArrayLike, target: ArrayLike, weight: ArrayLike | None = None, pos_weight: ArrayLike | None = None, reduction: str = 'mean') -> Tensor:
    """Return the binary cross entropy of ``sigmoid(logits)`` and equal-shaped targets, exact for logits of any size."""
def mse_loss(prediction: ArrayLike, target: ArrayLike, reduction: str = 'mean') -> Tensor:
    """Return ``(prediction - target)**2`` of equal shapes."""
def l1_loss(prediction: ArrayLike, target: ArrayLike, reduction: str = 'mean') -> Tensor:
    """Return ``|prediction - target|`` of equal shapes."""
def huber_loss(prediction: ArrayLike, target: ArrayLike, reduction: str = 'mean', delta: builtins.float = 1.0) -> Tensor:
    """Return ``d**2 / 2`` where ``d = |prediction - target| <= delta`` and ``delta * (d - delta / 2)`` beyond."""
def smooth_l1_loss(prediction: ArrayLike, target: ArrayLike, reduction: str = 'mean', beta: builtins.float = 1.0) -> Tensor:
    """Return `huber_loss` with ``delta=beta``, divided by `beta`; with ``beta=0`` it is `l1_loss`."""
def pinball_loss(prediction: ArrayLike, target: ArrayLike, quantile: builtins.float | Sequence[builtins.float] = 0.5, reduction: str = 'mean') -> Tensor:
    """Return ``max(q * d, (q - 1) * d)`` with ``d = target - prediction``: least for the q-quantile of the target."""
def gaussian_nll_loss(prediction: ArrayLike, target: ArrayLike, var: ArrayLike, full: bool = False, eps: builtins.float = 1e-06, reduction: str = 'mean') -> Tensor:
    """Return ``(log var + (prediction - target)**2 / var) / 2``: the loss of predicted means and variances."""
def kl_div(log_probabilities: ArrayLike, target: ArrayLike, reduction: str = 'mean', log_target: bool = False) -> Tensor:
    """Return ``t * (log t - log_probabilities)``, the pointwise Kullback-Leibler divergence from equal-shaped targets."""
def linear_cross_entropy(x: ArrayLike, weight: ArrayLike, bias: ArrayLike | None, target: ArrayLike, class_weight: ArrayLike | None = None, ignore_index: int = -100, reduction: str = 'mean', label_smoothing: builtins.float = 0.0) -> Tensor:
    """Return ``cross_entropy(linear(x, weight, bias), target)`` without keeping the logits."""
def nonzero(x: ArrayLike, *, as_tuple: bool | None = None) -> Any:
    """Return the indices of the elements that are not zero, in row-major order."""
def argwhere(x: ArrayLike) -> Tensor:
    """Return the indices of the elements that are not zero, one row per element, in row-major order."""
def unique_all(x: ArrayLike) -> UniqueAll:
    """Return the distinct values of `x` in ascending order, with their first places, their counts and the inverse."""
def unique_counts(x: ArrayLike) -> UniqueCounts:
    """Return the distinct values of `x` in ascending order, and how often each occurs; see `unique_all`."""
def unique_inverse(x: ArrayLike) -> UniqueInverse:
    """Return the distinct values of `x` in ascending order, and the indices that make `x` of them; see `unique_all`."""
def unique_values(x: ArrayLike) -> Tensor:
    """Return the distinct values of `x` in ascending order; see `unique_all`."""
def isin(a: ArrayLike, b: ArrayLike, *, invert: bool = False) -> Tensor:
    """Return which elements of `a` are equal to one of `b`."""
def searchsorted(a: ArrayLike, b: ArrayLike, *, side: str = 'left', sorter: ArrayLike | None = None) -> Tensor:
    """Return for each element of `b` the index at which `a` stays sorted if it is inserted there."""
def copysign(a: ArrayLike, b: ArrayLike, /) -> Tensor:
    """Return ``|a|`` with the sign of `b`, also of a zero."""
def signbit(x: ArrayLike, /) -> Tensor:
    """Return whether the sign is negative, also that of a zero or NaN."""
def nextafter(a: ArrayLike, b: ArrayLike, /) -> Tensor:
    """Return the floating-point number next to `a` in the direction of `b`."""
def bitwise_left_shift(a: ArrayLike, b: ArrayLike, /) -> Tensor:
    """Return the integers `a` with their bits moved `b` places to the left: ``a * 2**b``."""
def bitwise_right_shift(a: ArrayLike, b: ArrayLike, /) -> Tensor:
    """Return the integers `a` with their bits moved `b` places to the right: ``floor(a / 2**b)``."""
def positive(x: ArrayLike) -> Tensor:
    """Return `x` itself, as the operator ``+x`` does."""
def isclose(a: ArrayLike, b: ArrayLike, rtol: builtins.float = 1e-05, atol: builtins.float = 1e-08, equal_nan: bool = False) -> Tensor:
    """Return where ``|a - b| <= atol + rtol * |b|``; infinities are close to themselves only."""
def allclose(a: ArrayLike, b: ArrayLike, rtol: builtins.float = 1e-05, atol: builtins.float = 1e-08, equal_nan: bool = False) -> Tensor:
    """Return whether `isclose` holds for all elements."""
@overload
def argsort(x: ArrayLike, axis: int = -1, *, descending: bool = False, stable: bool = True) -> Tensor:
    """Return the indices that sort `x` along `axis`; `stable` keeps equal elements in their order."""
@overload
def argsort(x: ArrayLike, *, dim: int, descending: bool = False, stable: bool = True) -> Tensor:
    """Return the indices that sort `x` along `axis`; `stable` keeps equal elements in their order."""
@overload
def sort(x: ArrayLike, axis: int = -1, *, descending: bool = False, stable: bool = True) -> Tensor:
    """Return `x` sorted along `axis`; `stable` keeps equal elements, and so their gradients, in their order."""
@overload
def sort(x: ArrayLike, *, dim: int, descending: bool = False, stable: bool = True) -> Extremes[Tensor]:
    """Return `x` sorted along `axis`; `stable` keeps equal elements, and so their gradients, in their order."""
@overload
def topk(x: ArrayLike, k: int, axis: int = -1, largest: bool = True) -> Extremes[Tensor]:
    """Return the `k` largest (or smallest) elements of `x` along `axis`, best first, and their indices."""
@overload
def topk(x: ArrayLike, k: int, *, dim: int, largest: bool = True) -> Extremes[Tensor]:
    """Return the `k` largest (or smallest) elements of `x` along `axis`, best first, and their indices."""
def t(x: ArrayLike) -> Tensor:
    """Return a matrix transposed; an array with fewer axes as it is."""
def mm(a: ArrayLike, b: ArrayLike) -> Tensor:
    """Return the product of two matrices."""
def bmm(a: ArrayLike, b: ArrayLike) -> Tensor:
    """Return the products of the matrices of two stacks of the same length."""
def mv(a: ArrayLike, b: ArrayLike) -> Tensor:
    """Return the product of a matrix and a vector."""
def addmm(x: ArrayLike, mat1: ArrayLike, mat2: ArrayLike, *, beta: builtins.float = 1, alpha: builtins.float = 1) -> Tensor:
    """Return ``beta * x + alpha * (mat1 @ mat2)``."""
def addcmul(x: ArrayLike, tensor1: ArrayLike, tensor2: ArrayLike, *, value: builtins.float = 1) -> Tensor:
    """Return ``x + value * tensor1 * tensor2``."""
def addcdiv(x: ArrayLike, tensor1: ArrayLike, tensor2: ArrayLike, *, value: builtins.float = 1) -> Tensor:
    """Return ``x + value * tensor1 / tensor2``."""
@overload
def index_select(x: ArrayLike, axis: int, indices: ArrayLike) -> Tensor:
    """Return the slices of `x` at `indices`, one axis of integers, along `axis`."""
@overload
def index_select(x: ArrayLike, *, dim: int, index: ArrayLike) -> Tensor:
    """Return the slices of `x` at `indices`, one axis of integers, along `axis`."""
@overload
def select(x: ArrayLike, axis: int, index: int) -> Tensor:
    """Return the slice of `x` at one index along `axis`, without that axis."""
@overload
def select(x: ArrayLike, *, dim: int, index: int) -> Tensor:
    """Return the slice of `x` at one index along `axis`, without that axis."""
@overload
def narrow(x: ArrayLike, axis: int, start: int, length: int) -> Tensor:
    """Return `length` slices of `x` along `axis` from `start`."""
@overload
def narrow(x: ArrayLike, *, dim: int, start: int, length: int) -> Tensor:
    """Return `length` slices of `x` along `axis` from `start`."""
def expand_as(x: ArrayLike, other: ArrayLike) -> Tensor:
    """Return `x` repeated along new and size-1 axes to the shape of `other`."""
def view_as(x: ArrayLike, other: ArrayLike) -> Tensor:
    """Return the elements of `x` in the shape of `other`."""
reshape_as = view_as
@overload
def take_along_dim(x: ArrayLike, indices: ArrayLike, axis: int | None = None) -> Tensor:
    """Return the elements of `x` at `indices` along `axis`, as `take_along_axis`; None looks up in the flattened `x`."""
@overload
def take_along_dim(x: ArrayLike, *, index: ArrayLike, dim: int | None = None) -> Tensor:
    """Return the elements of `x` at `indices` along `axis`, as `take_along_axis`; None looks up in the flattened `x`."""
def sin(x: ArrayLike, /) -> Tensor:
    """Return the sine."""
def cos(x: ArrayLike, /) -> Tensor:
    """Return the cosine."""
def tan(x: ArrayLike, /) -> Tensor:
    """Return the tangent."""
def asin(x: ArrayLike, /) -> Tensor:
    """Return the inverse sine, in [-π/2, π/2]."""
arcsin = asin
def acos(x: ArrayLike, /) -> Tensor:
    """Return the inverse cosine, in [0, π]."""
arccos = acos
def atan(x: ArrayLike, /) -> Tensor:
    """Return the inverse tangent, in [-π/2, π/2]."""
arctan = atan
def atan2(a: ArrayLike, b: ArrayLike, /) -> Tensor:
    """Return the angle of the point ``(b, a)``, in [-π, π]."""
arctan2 = atan2
def sinh(x: ArrayLike, /) -> Tensor:
    """Return the hyperbolic sine."""
def cosh(x: ArrayLike, /) -> Tensor:
    """Return the hyperbolic cosine."""
def tanh(x: ArrayLike, /) -> Tensor:
    """Return the hyperbolic tangent."""
def asinh(x: ArrayLike, /) -> Tensor:
    """Return the inverse hyperbolic sine."""
arcsinh = asinh
def acosh(x: ArrayLike, /) -> Tensor:
    """Return the inverse hyperbolic cosine."""
arccosh = acosh
def atanh(x: ArrayLike, /) -> Tensor:
    """Return the inverse hyperbolic tangent."""
arctanh = atanh

__all__ = ['abs', 'absolute', 'acos', 'acosh', 'add', 'addcdiv', 'addcmul', 'addmm', 'all', 'allclose', 'amax', 'amin', 'any', 'arccos', 'arccosh', 'arcsin', 'arcsinh', 'arctan', 'arctan2', 'arctanh', 'argmax', 'argmin', 'argsort', 'argwhere', 'asin', 'asinh', 'astype', 'atan', 'atan2', 'atanh', 'binary_cross_entropy', 'binary_cross_entropy_with_logits', 'bitwise_and', 'bitwise_invert', 'bitwise_left_shift', 'bitwise_not', 'bitwise_or', 'bitwise_right_shift', 'bitwise_xor', 'bmm', 'broadcast_arrays', 'broadcast_to', 'cat', 'categorical', 'cbrt', 'ceil', 'chunk', 'clamp', 'clip', 'clone', 'concat', 'concatenate', 'conv1d', 'copy', 'copysign', 'cos', 'cosh', 'count_nonzero', 'cross_entropy', 'cummax', 'cummin', 'cumprod', 'cumsum', 'cumulative_prod', 'cumulative_sum', 'diagonal', 'diff', 'div', 'divide', 'dot', 'dropout', 'einsum', 'elu', 'embedding', 'eq', 'equal', 'erf', 'erfc', 'exp', 'exp2', 'expand', 'expand_as', 'expand_dims', 'expm1', 'flatten', 'flip', 'floor', 'floor_divide', 'fmod', 'gather', 'gaussian_nll_loss', 'ge', 'gelu', 'glu', 'greater', 'greater_equal', 'gt', 'hard_sigmoid', 'hard_tanh', 'hardsigmoid', 'hardtanh', 'hstack', 'huber_loss', 'hypot', 'index_add', 'index_select', 'inner', 'invert', 'isclose', 'isfinite', 'isin', 'isinf', 'isnan', 'kl_div', 'kron', 'l1_loss', 'layer_norm', 'le', 'leaky_relu', 'lerp', 'less', 'less_equal', 'linear', 'linear_cross_entropy', 'log', 'log10', 'log1p', 'log2', 'log_sigmoid', 'log_softmax', 'logaddexp', 'logcumsumexp', 'logical_and', 'logical_not', 'logical_or', 'logical_xor', 'logsigmoid', 'logsumexp', 'lt', 'masked_fill', 'masked_select', 'matmul', 'matrix_transpose', 'max', 'maximum', 'mean', 'meshgrid', 'min', 'minimum', 'mm', 'mod', 'moveaxis', 'movedim', 'mse_loss', 'mul', 'multiply', 'mv', 'narrow', 'ne', 'neg', 'negative', 'nextafter', 'nll_loss', 'nonzero', 'norm', 'not_equal', 'one_hot', 'outer', 'pad', 'permute', 'permute_dims', 'pinball_loss', 'positive', 'pow', 'power', 'prod', 'ravel', 'reciprocal', 'relu', 'relu6', 'remainder', 'repeat', 'repeat_interleave', 'reshape', 'reshape_as', 'rint', 'rms_norm', 'roll', 'round', 'rsqrt', 'scatter', 'scatter_add', 'searchsorted', 'select', 'sigmoid', 'sign', 'signbit', 'silu', 'sin', 'sinh', 'smooth_l1_loss', 'softmax', 'softplus', 'softsign', 'sort', 'split', 'sqrt', 'square', 'squeeze', 'stack', 'std', 'sub', 'subtract', 'sum', 'swapaxes', 'swapdims', 'swish', 't', 'take', 'take_along_axis', 'take_along_dim', 'tan', 'tanh', 'tensordot', 'tile', 'topk', 'trace', 'transpose', 'tril', 'triu', 'true_divide', 'trunc', 'unbind', 'unflatten', 'unique_all', 'unique_counts', 'unique_inverse', 'unique_values', 'unsqueeze', 'unstack', 'var', 'vecdot', 'view', 'view_as', 'vstack', 'where']
