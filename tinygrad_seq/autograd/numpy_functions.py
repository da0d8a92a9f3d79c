"""NumPy's functions as operations: which operation each is, and what its parameters mean there.

A call with an option that no operation has, such as ``out=``, is not translated; `array_protocol` says so.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from ..errors import ArgumentError
from ..ops.casting import as_array, astype
from ..ops.public import PUBLIC
from ..ops.shape import flatten

# Functions of the values whose result carries no gradient, and those of the shape and dtype.
FACTS = frozenset(
    {np.allclose, np.argwhere, np.array_equal, np.array_equiv, np.can_cast, np.empty_like, np.flatnonzero}
    | {np.full_like, np.iscomplexobj, np.isin, np.isrealobj, np.nonzero, np.ones_like, np.result_type, np.searchsorted}
    | {np.size, np.zeros_like}
)
ATTRIBUTES = {np.shape: "shape", np.ndim: "ndim", np.size: "size"}


class UntranslatedError(Exception):
    """The call has an option that the operation lacks; the text is the option's name."""


class Row(NamedTuple):
    """One NumPy function.

    Attributes
    ----------
    operation
        The function of `ops`.
    operands
        The names of NumPy's parameters that hold arrays; one of name "arrays" holds a sequence of them.
    options
        The names of the others in NumPy's order.
    names
        The name in `operation` of each option that it has.
    defaults
        Options of `operation` with another default in NumPy.
    """

    operation: Callable[..., Any]
    operands: tuple[str, ...]
    options: tuple[str, ...]
    names: dict[str, str]
    defaults: dict[str, Any]

    def call(self, *args: Any, **kwargs: Any) -> Any:
        """Return what the operation returns for NumPy's arguments."""
        given = dict(zip((*self.operands, *self.options), args, strict=False)) | kwargs
        operands = [given.pop(name) for name in self.operands if name in given]
        arrays = [_as_arrays(operands[0])] if self.operands == ("arrays",) else _as_arrays(operands)
        dtype = given.pop("dtype", None)
        options = dict(self.defaults)
        for name, value in given.items():
            if value is np._NoValue:
                continue
            if name in self.names:
                options[self.names[name]] = value
            elif not _has_no_effect(name, value):
                raise UntranslatedError(name)
        if dtype is None:
            return self.operation(*arrays, **options)
        return _cast(self.operation(*[_cast(array, dtype) for array in arrays], **options), dtype)


# Options that the operations lack, with the values besides None that change nothing.
_WITHOUT_EFFECT: dict[str, tuple[Any, ...]] = {
    "where": (True,), "casting": ("same_kind",), "decimals": (0,), "order": ("C", "K"), "subok": (True, False),
    "kind": ("stable", "quicksort", "mergesort", "heapsort"), "mode": ("raise",), "copy": (True, False),
    "device": ("cpu",), "include_initial": (False,),
    "stable": (True, False),
}  # fmt: skip


def _has_no_effect(name: str, value: Any) -> bool:
    if isinstance(value, tuple):  # `out` of a ufunc
        return all(part is None for part in value)
    return value is None or (isinstance(value, str | bool | int) and value in _WITHOUT_EFFECT.get(name, ()))


def _as_arrays(arrays: Any) -> list[Any]:
    return list(map(as_array, arrays))


def _cast(x: Any, dtype: Any) -> Any:
    return [_cast(part, dtype) for part in x] if isinstance(x, list) else x if x.dtype == dtype else astype(x, dtype)


def _ours(name: str) -> Callable[..., Any]:
    return PUBLIC[name].function  # type: ignore[no-any-return]


# ---------------------------------------------------------------------------------- where a call means another thing


def _along(name: str) -> Callable[..., Any]:
    """Return the operation `name` with ``axis=None`` as NumPy means it: of the flattened array."""

    def call(x: Any, axis: int | None = -1) -> Any:
        return _ours(name)(flatten(x) if axis is None else x, axis=0 if axis is None else axis)

    return call


def _norm(x: Any, ord: float | None = None, axis: Any = None, keepdims: bool = False) -> Any:
    if ord is not None and (isinstance(axis, tuple) or (axis is None and x.ndim != 1)):
        raise UntranslatedError("ord")  # of a matrix
    return _ours("norm")(x, ord=2 if ord is None else ord, axis=axis, keepdims=keepdims)


def _pad(x: Any, pad_width: Any, mode: Any = "constant", constant_values: Any = 0) -> Any:
    if np.ndim(constant_values):
        raise UntranslatedError("constant_values")
    return _ours("pad")(x, pad_width, mode, constant_values)


def _where(condition: Any, *choices: Any) -> Any:
    return _ours("where")(condition, *choices) if choices else _ours("nonzero")(condition, as_tuple=True)


def _einsum(equation: Any, *operands: Any, **options: Any) -> Any:
    options.pop("optimize", None)
    if not isinstance(equation, str) or options:
        raise UntranslatedError(next(iter(options), "operands before their subscripts"))
    return _ours("einsum")(equation, *map(as_array, operands))


def _meshgrid(*arrays: Any, indexing: str = "xy", **options: Any) -> Any:
    if options.get("sparse"):
        raise UntranslatedError("sparse")
    return _ours("meshgrid")(*map(as_array, arrays), indexing=indexing)


def _broadcast_arrays(*arrays: Any, subok: bool = False) -> Any:
    if subok:
        raise UntranslatedError("subok")
    return _ours("broadcast_arrays")(*map(as_array, arrays))


def _cumulative(name: str) -> Callable[..., Any]:
    def call(x: Any, axis: int | None = None) -> Any:
        if axis is None and x.ndim != 1:
            raise ArgumentError(f"{name}: expected an axis for an array with {x.ndim} axes, got None; pass axis=.")
        return _ours(name)(x, axis=0 if axis is None else axis)

    return call


_OWN: dict[str, Callable[..., Any]] = {
    "sort": _along("sort"), "argsort": _along("argsort"), "linalg.norm": _norm, "pad": _pad, "where": _where,
    "split": lambda x, parts, axis: list(_ours("split")(x, parts, axis=axis)),
    "transpose": lambda x, axes=None: _ours("permute_dims")(x, tuple(range(x.ndim))[::-1] if axes is None else axes),
    "around": _ours("round"), "linalg.vector_norm": _ours("norm"), "astype": lambda x: x,
    "cumulative_sum": _cumulative("cumsum"), "cumulative_prod": _cumulative("cumprod"),
}  # fmt: skip

# The parameters of each function: the arrays, a bar, then options in NumPy's order. An operation lacks those after a
# minus; ``ddof>correction=0`` is NumPy's ddof, there correction, by default 0.
_EXTREME = "a / axis -out keepdims -initial -where"
_PARAMETERS = {
    "sum": "a / axis dtype -out keepdims -initial -where", "prod": "a / axis dtype -out keepdims -initial -where",
    "mean": "a / axis dtype -out keepdims -where", "max": _EXTREME, "min": _EXTREME, "amax": _EXTREME, "amin": _EXTREME,
    "std": "a / axis dtype -out ddof>correction=0 keepdims -where -mean correction",
    "var": "a / axis dtype -out ddof>correction=0 keepdims -where -mean correction",
    "any": "a / axis -out keepdims -where", "all": "a / axis -out keepdims -where",
    "argmax": "a / axis -out keepdims", "argmin": "a / axis -out keepdims", "count_nonzero": "a / axis keepdims",
    "argsort": "a / axis -kind -order -stable", "sort": "a / axis -kind -order -stable",
    "cumsum": "a / axis dtype -out", "cumprod": "a / axis dtype -out",
    "cumulative_sum": "x / axis dtype -out -include_initial", "cumulative_prod": "x / axis dtype -out -include_initial",
    "diff": "a / n axis prepend append",
    "concatenate": "arrays / axis -out dtype -casting", "stack": "arrays / axis -out dtype -casting",
    "vstack": "arrays / dtype -casting", "hstack": "arrays / dtype -casting",
    "split": "ary / indices_or_sections>parts axis=0", "where": "condition x y /",
    "dot": "a b / -out", "inner": "a b /", "outer": "a b / -out", "kron": "a b /", "tensordot": "a b / axes",
    "trace": "a / offset axis1 axis2 dtype -out", "diagonal": "a / offset axis1 axis2",
    "linalg.norm": "x / ord axis keepdims", "linalg.vector_norm": "x / axis keepdims ord", "linalg.matmul": "a b /",
    "linalg.outer": "a b /", "linalg.tensordot": "a b / axes", "linalg.vecdot": "a b / axis",
    "linalg.matrix_transpose": "x /", "linalg.diagonal": "x / offset axis1=-2 axis2=-1",
    "linalg.trace": "x / offset dtype axis1=-2 axis2=-1", "unstack": "x / axis", "astype": "x / dtype -copy -device",
    "unique_all": "x /", "unique_counts": "x /", "unique_inverse": "x /", "unique_values": "x /",
    "tril": "m / k", "triu": "m / k",
    "pad": "array / pad_width mode constant_values", "reshape": "a / shape -order -copy", "ravel": "a / -order",
    "transpose": "a / axes", "matrix_transpose": "x /", "moveaxis": "a / source destination",
    "swapaxes": "a / axis1 axis2", "expand_dims": "a / axis", "squeeze": "a / axis",
    "broadcast_to": "array / shape -subok", "flip": "m / axis", "roll": "a / shift axis", "repeat": "a / repeats axis",
    "tile": "A / reps", "take": "a indices / axis -out -mode", "take_along_axis": "arr indices / axis",
    "clip": "a / a_min>min a_max>max -out min max", "round": "a / -decimals -out", "around": "a / -decimals -out",
    "copy": "a / -order -subok", "isclose": "a b / rtol atol equal_nan",
}  # fmt: skip
# The operation that the reduction, or the running one, of a ufunc is.
_REDUCE = {
    "add": "sum", "multiply": "prod", "maximum": "max", "minimum": "min", "logical_and": "all", "logical_or": "any",
    "logaddexp": "logsumexp",
}  # fmt: skip
_ACCUMULATE = {
    "add": "cumsum", "multiply": "cumprod", "maximum": "cummax", "minimum": "cummin", "logaddexp": "logcumsumexp",
}  # fmt: skip


def _row(name: str, parameters: str) -> Callable[..., Any]:
    """Return what to call for the function `name`, of NumPy or ours."""
    operation = _OWN.get(name) or _ours(name.rpartition(".")[2])
    operands, _, rest = parameters.partition(" /")
    options, names, defaults = [], {}, {}
    for word in rest.split():
        word, _, default = word.partition("=")
        option, _, ours = word.removeprefix("-").partition(">")
        options.append(option)
        if not word.startswith("-") and option != "dtype":
            names[option] = ours or option
        if default:
            defaults[names[option]] = int(default)
    return Row(operation, tuple(operands.split()), tuple(options), names, defaults).call


@functools.cache
def translations() -> dict[Any, Callable[..., Any]]:
    """Return what to call in place of each NumPy function, and of each method of a ufunc, ``(ufunc, "reduce")``."""
    found: dict[Any, Callable[..., Any]] = {
        functools.reduce(getattr, name.split("."), np): _row(name, parameters)
        for name, parameters in _PARAMETERS.items()
    }
    found |= {np.einsum: _einsum, np.meshgrid: _meshgrid, np.broadcast_arrays: _broadcast_arrays}
    for method, table, parameters in (
        ("reduce", _REDUCE, "a / axis=0 dtype -out keepdims -initial -where"),
        ("accumulate", _ACCUMULATE, "a / axis=0 dtype -out"),
    ):
        for name, operation in table.items():
            found[getattr(np, name), method] = _row(operation, parameters)
    found[np.vecdot, "__call__"] = _row("vecdot", "a b / axis -out")
    return found
