"""NumPy functions on tensors: ufuncs become the primitive of the same forward, the rest need no gradient.

A gradient is never dropped: what NumPy can only compute on bare arrays is refused for tensors that require grad.
"""

from __future__ import annotations

import functools
from typing import Any

import numpy as np

from .errors import GraphError
from .primitive import TABLE, Primitive, bind

# Ufuncs whose primitive has a forward of its own.
_BY_NAME = {np.matmul: "matmul", np.power: "pow", np.reciprocal: "reciprocal", np.rint: "round"}
# Functions whose result no gradient could flow through.
_FACTS = (np.shape, np.ndim, np.size)


@functools.cache
def _primitives() -> dict[np.ufunc, Primitive]:
    same_forward = {row.forward: row for row in TABLE.values() if isinstance(row.forward, np.ufunc)}
    return same_forward | {ufunc: TABLE[name] for ufunc, name in _BY_NAME.items()}


def apply_ufunc(kind: type, ufunc: np.ufunc, method: str, operands: tuple[Any, ...], options: dict[str, Any]) -> Any:
    """Return ``ufunc(*operands)`` as a tensor; `kind` is the Tensor class."""
    row = _primitives().get(ufunc)
    if row is not None and method == "__call__" and not options:
        return bind(row, operands, {})
    plain = [_bare(kind, operand, f"np.{ufunc.__name__}") for operand in operands]
    options = {name: _bare(kind, value, f"np.{ufunc.__name__}") for name, value in options.items()}
    return getattr(ufunc, method)(*plain, **options)


def apply_function(kind: type, function: Any, args: Any, kwargs: Any) -> Any:
    """Return ``function(*args, **kwargs)`` of NumPy, computed on bare arrays."""
    if function in _FACTS:
        return function(args[0].numpy(), *args[1:], **kwargs)
    name = f"np.{function.__name__}"
    return function(*_bare(kind, args, name), **_bare(kind, kwargs, name))


def _bare(kind: type, value: Any, name: str) -> Any:
    if isinstance(value, kind):
        if value.requires_grad:  # type: ignore[attr-defined]
            raise GraphError(
                f"{name}: expected tensors that need no gradient, got one that requires grad, and NumPy would drop it; "
                f"use the function of tinygrad_seq, or pass x.detach() if the gradient may stop here."
            )
        return value.numpy()  # type: ignore[attr-defined]
    if isinstance(value, tuple | list):
        return type(value)(_bare(kind, item, name) for item in value)
    if isinstance(value, dict):
        return {key: _bare(kind, item, name) for key, item in value.items()}
    return value
