"""The protocols of arrays: NumPy functions on tensors, the namespace of the array API standard.

A ufunc becomes the primitive with that forward, a function the operation in `numpy_functions`; others run on bare
arrays. A gradient is never lost: functions that only run on bare arrays raise for tensors that require grad.
"""

from __future__ import annotations

import functools
import importlib
from typing import Any, Self

import numpy as np

from ..errors import ArgumentError, GraphError, TinygradSeqError
from ..ops.casting import as_array
from ..ops.primitive import TABLE, Array, Primitive
from ..ops.public import in_name
from ..ops.shape import expand_dims
from .exchange import DEVICE, check_device

# Ufuncs whose primitive has neither their name nor them as its forward.
_OTHERS = {np.power: "pow", np.rint: "round"}


@functools.cache
def _primitives() -> dict[np.ufunc, Primitive]:
    same_forward = {row.forward: row for row in TABLE.values() if isinstance(row.forward, np.ufunc)}
    same_name = {getattr(np, name, None): row for name, row in TABLE.items()}
    found = same_forward | {ufunc: row for ufunc, row in same_name.items() if isinstance(ufunc, np.ufunc)}
    return found | {ufunc: TABLE[name] for ufunc, name in _OTHERS.items()}


@functools.cache
def _numpys() -> Any:
    """Return the module with NumPy's functions, imported when the first of them is called on a tensor."""
    from . import numpy_functions

    return numpy_functions


VERSIONS = ("2021.12", "2022.12", "2023.12", "2024.12")  # of the array API standard


class ArrayProtocol:
    """Mixed into `Tensor`."""

    __slots__ = ()
    _requires_grad: bool
    numpy: Any

    # ---------------------------------------------------------------------------------------- the array API standard

    def __array_namespace__(self, /, *, api_version: str | None = None) -> Any:
        """Return the functions of the array API standard, as a module."""
        if api_version is not None and api_version not in VERSIONS:
            raise ArgumentError(
                f"__array_namespace__: expected api_version None or one of {', '.join(VERSIONS)}, got {api_version!r}; "
                "pass one of them."
            )
        return importlib.import_module("tinygrad_seq.array_api")

    @property
    def device(self) -> str:
        """Where the values are: always "cpu"."""
        return DEVICE

    def to_device(self, device: str, /, *, stream: Any = None) -> Self:
        """Return the tensor itself, as "cpu" is the only device.

        Parameters
        ----------
        device : str
            "cpu".
        stream : None
            There are no streams.

        Returns
        -------
        Tensor
            The tensor itself.

        Raises
        ------
        ArgumentError
            If another device or a stream is asked for.
        """
        check_device("to_device", device)
        if stream is not None:
            raise ArgumentError(f"to_device: expected stream=None on the CPU, got {stream!r}; leave it out.")
        return self

    # --------------------------------------------------------------------------------------------- NumPy's protocols

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        return np.array(_bare(self, "np.asarray"), dtype=dtype, copy=copy)

    def __array_ufunc__(self, ufunc: np.ufunc, method: str, *operands: Array, **options: Any) -> Any:
        row = None if options else _primitives().get(ufunc)
        if row is not None and method == "__call__":
            return row(*operands)
        if row is not None and method == "outer":
            a, b = map(as_array, operands)
            return row(expand_dims(a, tuple(range(a.ndim, a.ndim + b.ndim))), b)
        name = f"np.{ufunc.__name__}" if method == "__call__" else f"np.{ufunc.__name__}.{method}"
        found = _numpys().translations().get((ufunc, method))
        return _translated(name, found, getattr(ufunc, method), operands, options)

    def __array_function__(self, function: Any, types: Any, args: Any, kwargs: Any) -> Any:
        table = _numpys()
        if function in table.ATTRIBUTES and len(args) == 1 and not kwargs:
            return getattr(args[0], table.ATTRIBUTES[function])
        module = function.__module__.replace("numpy", "np", 1)
        name = f"{module}.{function.__name__}"
        if function in table.FACTS:
            return function(*_bare(args, name, detach=True), **_bare(kwargs, name, detach=True))
        return _translated(name, table.translations().get(function), function, args, kwargs)


def _translated(name: str, ours: Any, numpys: Any, args: Any, kwargs: Any) -> Any:
    """Return the result of our operation, or of NumPy's function `name` on tensors that need no gradient."""
    reason = ""
    if ours is not None:
        try:
            return ours(*args, **kwargs)
        except _numpys().UntranslatedError as error:
            reason = f" with {error}"
        except TinygradSeqError as error:
            raise in_name(error, name) from error.__cause__
    return numpys(*_bare(args, name, reason), **_bare(kwargs, name, reason))


def _bare(value: Any, name: str, reason: str = "", detach: bool = False) -> Any:
    """Return `value` with all tensors replaced by ndarrays, for the NumPy function `name`."""
    if isinstance(value, ArrayProtocol):
        if value._requires_grad and not detach:
            raise GraphError(
                f"{name}{reason}: expected tensors that need no gradient, got one that requires grad, and NumPy would "
                "drop it; use the function of tinygrad_seq, or x.detach() or x.numpy() if the gradient may stop here."
            )
        return value.numpy()
    if isinstance(value, tuple | list):
        return type(value)(_bare(item, name, reason, detach) for item in value)
    if isinstance(value, dict):
        return {key: _bare(item, name, reason, detach) for key, item in value.items()}
    return value
