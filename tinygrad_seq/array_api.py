"""The Python array API standard, version 2024.12: what ``x.__array_namespace__()`` returns.

The functions are those of the package, with gradients, and may be called on values of a scan step. Those defined here
have another default or fewer refusals in the package, where NumPy and PyTorch mean different things by one call.

What the standard has and this lacks: complex numbers (``complex64``, ``complex128``, ``conj``, ``real``, ``imag``) and
the optional extensions ``linalg`` and ``fft``. The default real dtype is `default_dtype`, float32 at first.
"""

from __future__ import annotations

import builtins
import functools
from collections.abc import Callable
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy import e, inf, nan, newaxis, pi  # noqa: F401 (constants of the standard)

from . import functional
from .autograd import creation
from .autograd.exchange import DEVICE, check_device
from .base.settings import default_dtype
from .errors import ArgumentError, DtypeError
from .ops.casting import SUPPORTED, as_dtype
from .ops.primitive import Array

__array_api_version__ = "2024.12"

Axes = int | tuple[int, ...] | None

int8, int16, int32, int64 = (np.dtype(f"int{bits}") for bits in (8, 16, 32, 64))
uint8, uint16, uint32, uint64 = (np.dtype(f"uint{bits}") for bits in (8, 16, 32, 64))
float32, float64, bool = np.dtype("float32"), np.dtype("float64"), np.dtype("bool")

# The functions that are those of the package, by module.
SHARED: dict[Any, str] = {
    creation: """
    arange asarray empty empty_like eye from_dlpack full full_like linspace ones ones_like zeros zeros_like
    """,
    functional: """
    abs acos acosh add all any argmax argmin argsort asin asinh atan atan2 atanh bitwise_and bitwise_invert
    bitwise_left_shift bitwise_or bitwise_right_shift bitwise_xor broadcast_to ceil clip concat
    copysign cos cosh count_nonzero divide equal exp expand_dims expm1 flip floor floor_divide greater greater_equal
    hypot isfinite isinf isnan less less_equal log log10 log1p log2 logaddexp logical_and logical_not logical_or
    logical_xor matmul matrix_transpose max maximum mean min minimum moveaxis multiply negative nextafter not_equal
    permute_dims positive pow reciprocal remainder roll round searchsorted sign signbit sin sinh sqrt square squeeze
    stack subtract take take_along_axis tan tanh tensordot tile tril triu trunc unique_all unique_counts
    unique_inverse unique_values unstack vecdot where
    """,
}
for _module, _names in SHARED.items():
    globals().update({name: getattr(_module, name) for name in _names.split()})

# ------------------------------------------------------------------------------------------------------- data types


class finfo_object(NamedTuple):  # noqa: N801 (the standard's name)
    """What `finfo` returns."""

    bits: int
    eps: float
    max: float
    min: float
    smallest_normal: float
    dtype: np.dtype


class iinfo_object(NamedTuple):  # noqa: N801 (the standard's name)
    """What `iinfo` returns."""

    bits: int
    max: int
    min: int
    dtype: np.dtype


def finfo(type: Any, /) -> finfo_object:
    """Return the limits of a floating-point dtype, or of that of an array."""
    kind = _dtype_of("finfo", type)
    if kind.kind != "f":
        raise DtypeError(f"finfo: expected float32 or float64, got {kind}; use iinfo for integers.")
    found = np.finfo(kind)
    eps, largest, smallest, normal = map(float, (found.eps, found.max, found.min, found.smallest_normal))
    return finfo_object(found.bits, eps, largest, smallest, normal, kind)


def iinfo(type: Any, /) -> iinfo_object:
    """Return the limits of an integer dtype, or of that of an array."""
    kind = _dtype_of("iinfo", type)
    if kind.kind not in "iu":
        raise DtypeError(f"iinfo: expected an integer dtype, got {kind}; use finfo for floating-point numbers.")
    found = np.iinfo(kind)
    return iinfo_object(found.bits, found.max, found.min, kind)


def isdtype(dtype: Any, kind: Any) -> builtins.bool:
    """Return whether `dtype` is of a kind, such as "integral" or a dtype, or of one in a tuple of kinds."""
    try:
        return np.isdtype(np.dtype(dtype), kind)
    except (TypeError, ValueError) as error:
        raise ArgumentError(
            f"isdtype: expected a dtype and a kind such as 'integral' or 'real floating', got {dtype!r}, {kind!r} "
            f"({error}); pass a word of the standard, a dtype or a tuple of them."
        ) from None


def can_cast(from_: Any, to: Any, /) -> builtins.bool:
    """Return whether every value of a dtype, or of that of an array, has an equal one in the dtype `to`."""
    return np.can_cast(_dtype_of("can_cast", from_), as_dtype("can_cast", to))


def result_type(*arrays_and_dtypes: Any) -> np.dtype:
    """Return the dtype of the sum of the arrays, dtypes and Python numbers."""
    numbers = [x for x in arrays_and_dtypes if type(x) in _NUMBERS]
    kinds = [_dtype_of("result_type", x) for x in arrays_and_dtypes if type(x) not in _NUMBERS]
    if not kinds:
        raise ArgumentError("result_type: expected an array or a dtype, got none; pass one besides Python numbers.")
    arrays = [creation.zeros(0, dtype=kind) for kind in kinds]
    total: Any = functools.reduce(functional.add, [*arrays, *numbers])
    return total.dtype  # type: ignore[no-any-return]


_NUMBERS = (builtins.bool, int, float)


def _dtype_of(name: str, x: Any) -> np.dtype:
    return as_dtype(name, x) if isinstance(x, type | str | np.dtype) else x.dtype


def astype(x: Array, dtype: Any, /, *, copy: builtins.bool = True, device: str | None = None) -> Array:
    """Return `x` as `dtype`, as a copy unless `copy` is False and it has that dtype."""
    check_device("astype", device)
    return functional.astype(x, dtype, copy=copy)


# ------------------------------------------------------------------------------------- creation and manipulation


def broadcast_arrays(*arrays: Array) -> list[Array]:
    """Return the arrays repeated along new and size-1 axes to their common shape."""
    return list(functional.broadcast_arrays(*arrays))


def meshgrid(*arrays: Array, indexing: Literal["xy", "ij"] = "xy") -> list[Array]:
    """Return the coordinates of all points of a grid, given those along each axis."""
    return list(functional.meshgrid(*arrays, indexing=indexing))


def reshape(x: Array, /, shape: tuple[int, ...], *, copy: builtins.bool | None = None) -> Array:
    """Return the elements in another shape: as a copy, without one, or (None) without one where possible."""
    y = functional.reshape(x, shape)
    if copy:
        return functional.clone(y)
    if copy is False and x.size and not np.may_share_memory(x.numpy(), y.numpy()):
        raise ArgumentError(
            f"reshape: expected an array whose memory has the order of shape {shape} with copy=False, got a view of "
            f"shape {x.shape} {x.dtype}; leave out copy=."
        )
    return y


def repeat(x: Array, repeats: int | Array, /, *, axis: int | None = None) -> Array:
    """Return `x` with each element along `axis` repeated in place; None repeats those of the flattened array."""
    return functional.repeat(x, repeats, axis=axis)


# -------------------------------------------------------------------------------------------- searching and sorting


def nonzero(x: Array, /) -> tuple[Array, ...]:
    """Return for each axis the indices of the elements that are not zero."""
    return functional.nonzero(x, as_tuple=True)  # type: ignore[no-any-return]


def sort(x: Array, /, *, axis: int = -1, descending: builtins.bool = False, stable: builtins.bool = True) -> Array:
    """Return `x` sorted along `axis`."""
    return functional.sort(x, axis=axis, descending=descending, stable=stable)


# ---------------------------------------------------------------------------------------------------- statistics


def sum(x: Array, /, *, axis: Axes = None, dtype: Any = None, keepdims: builtins.bool = False) -> Array:
    """Return the sum over `axis`, computed in `dtype`."""
    return _as_dtype(functional.sum, "sum", x, dtype, axis=axis, keepdims=keepdims)


def prod(x: Array, /, *, axis: Axes = None, dtype: Any = None, keepdims: builtins.bool = False) -> Array:
    """Return the product over `axis`, computed in `dtype`."""
    return _as_dtype(functional.prod, "prod", x, dtype, axis=axis, keepdims=keepdims)


def std(x: Array, /, *, axis: Axes = None, correction: float = 0.0, keepdims: builtins.bool = False) -> Array:
    """Return the standard deviation over `axis`, whose mean square is divided by ``n - correction``."""
    return functional.std(x, axis=axis, correction=correction, keepdims=keepdims)


def var(x: Array, /, *, axis: Axes = None, correction: float = 0.0, keepdims: builtins.bool = False) -> Array:
    """Return the variance over `axis`, divided by ``n - correction``."""
    return functional.var(x, axis=axis, correction=correction, keepdims=keepdims)


def cumulative_sum(
    x: Array, /, *, axis: int | None = None, dtype: Any = None, include_initial: builtins.bool = False
) -> Array:
    """Return the running sums along `axis`, after a 0 if `include_initial`."""
    return _cumulative(functional.cumsum, "cumulative_sum", 0, x, axis, dtype, include_initial)


def cumulative_prod(
    x: Array, /, *, axis: int | None = None, dtype: Any = None, include_initial: builtins.bool = False
) -> Array:
    """Return the running products along `axis`, after a 1 if `include_initial`."""
    return _cumulative(functional.cumprod, "cumulative_prod", 1, x, axis, dtype, include_initial)


def diff(
    x: Array, /, *, axis: int = -1, n: int = 1, prepend: Array | None = None, append: Array | None = None
) -> Array:
    """Return the differences of neighbours along `axis`, taken `n` times over."""
    return functional.diff(x, n=n, axis=axis, prepend=prepend, append=append)


def _as_dtype(function: Callable[..., Array], name: str, x: Array, dtype: Any, **options: Any) -> Array:
    """Return the result of `function` computed and given in `dtype`."""
    if dtype is None:
        return function(x, **options)
    wanted = as_dtype(name, dtype)
    y = function(x if x.dtype == wanted else functional.astype(x, wanted), **options)
    return y if y.dtype == wanted else functional.astype(y, wanted)


def _cumulative(
    function: Callable[..., Array], name: str, initial: int, x: Array, axis: int | None, dtype: Any, more: builtins.bool
) -> Array:
    if axis is None and x.ndim > 1:
        raise ArgumentError(
            f"{name}: expected an axis for an array with {x.ndim} axes, got None; pass axis=, or flatten the array."
        )
    axis = 0 if axis is None else axis
    y = _as_dtype(function, name, x, dtype, axis=axis)
    if not more:
        return y
    place = axis % builtins.max(y.ndim, 1)
    return functional.concat(
        [creation.full((*y.shape[:place], 1, *y.shape[place + 1 :]), initial, y.dtype), y], axis=place
    )


# ---------------------------------------------------------------------------------------------------- inspection


class Info:
    """What the namespace can do: the functions of ``__array_namespace_info__()``."""

    def capabilities(self) -> dict[str, Any]:
        """Return which optional behaviour there is."""
        return {"boolean indexing": True, "data-dependent shapes": True, "max dimensions": 64}

    def default_device(self) -> str:
        """Return the device of new arrays."""
        return DEVICE

    def devices(self) -> list[str]:
        """Return all devices."""
        return [DEVICE]

    def default_dtypes(self, *, device: str | None = None) -> dict[str, np.dtype]:
        """Return the dtypes of new arrays by kind."""
        check_device("default_dtypes", device)
        return {"real floating": np.dtype(default_dtype()), "integral": int64, "indexing": int64}

    def dtypes(self, *, device: str | None = None, kind: Any = None) -> dict[str, np.dtype]:
        """Return all dtypes by name, or those of a kind as in `isdtype`."""
        check_device("dtypes", device)
        found = {name: np.dtype(name) for name in SUPPORTED}
        return found if kind is None else {name: dtype for name, dtype in found.items() if isdtype(dtype, kind)}


def __array_namespace_info__() -> Info:  # noqa: N807 (the standard's name)
    """Return what the namespace can do."""
    return Info()
