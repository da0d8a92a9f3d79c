"""Recording an operation: check operands, save what the rules read, explain errors."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..base.modes import check_finite, origin
from ..errors import DtypeError, IndexRangeError, ShapeError
from ..ops.primitive import LIKE, NOTHING, VALUE, Array, Like, Primitive
from .conversion import to_array
from .tape import Node

_PLAIN = frozenset({np.ndarray, float, int, bool})
_KINDS = (
    (IndexError, IndexRangeError, "indices"),
    (ValueError, ShapeError, "shapes"),
    ((TypeError, OverflowError), DtypeError, "arguments and their dtypes"),
)
# Character codes of the supported operand dtypes.
_DTYPES = "efd?bBhHiIlLqQ"


def check_operand(primitive: Primitive, operand: Any) -> Any:
    """Return an operand other than a Tensor as an ndarray or scalar of a supported dtype."""
    if operand.__class__ in _PLAIN and (operand.__class__ is not np.ndarray or operand.dtype.char in _DTYPES):
        return operand
    if isinstance(operand, list | tuple):
        return to_array(primitive.name, operand)
    if isinstance(operand, np.generic) and operand.dtype.char in _DTYPES:
        return operand.item()  # a number: of a dtype that does not matter, as that of Python's
    array = np.array(operand)
    if array.dtype.char not in _DTYPES:
        raise DtypeError(
            f"{primitive.name}: expected real numbers or booleans, got {operand.__class__.__name__} "
            f"({array.dtype}); pass a tensor, an array or a number."
        )
    return array


def make_node(
    primitive: Primitive,
    params: dict[str, Any],
    operands: tuple[Array, ...],
    arrays: list[Any],
    parents: list[Any],
    wanted: int,
    result: Any,
) -> Node | None:
    """Return the node of an operation, which saves only what its rules read, or None if no gradient can flow.

    A bare ndarray operand belongs to the caller, who may change it, so it is copied.
    """
    plan = primitive._plans.get(wanted)
    if plan is None or primitive.variadic:
        plan = primitive.plan(wanted, len(arrays))
    flowing, keep_output, keep_operands = plan
    if not flowing:
        return None
    saved = None
    if keep_operands is not None:
        saved = []
        for operand, array, keep in zip(operands, arrays, keep_operands, strict=False):
            if keep == VALUE:
                saved.append(array.copy() if operand.__class__ is np.ndarray else array)
            elif keep == NOTHING:
                saved.append(None)
            else:
                saved.append(Like(array) if hasattr(array, "shape") else array)
    if flowing != wanted:
        parents = [parent if flowing >> i & 1 else None for i, parent in enumerate(parents)]
    if primitive.multiple:
        shape: Any = tuple(part.shape for part in result)
        dtype: Any = tuple(part.dtype for part in result)
        output = None if keep_output == NOTHING else tuple(map(Like, result)) if keep_output == LIKE else result
    else:
        dtype = result.dtype
        if dtype.kind != "f":
            return None
        shape = result.shape
        output = None if keep_output == NOTHING else Like(result) if keep_output == LIKE else result
    return Node(primitive, params, parents, saved or (None,) * len(arrays), output, shape, dtype)


def explain(primitive: Primitive, arrays: list[Any], error: Exception) -> Exception:
    """Return the error to raise for an exception of NumPy in a forward."""
    got = ", ".join(f"{a.shape} {a.dtype}" if isinstance(a, np.ndarray) else repr(a) for a in arrays)
    kind, what = next((ours, what) for theirs, ours, what in _KINDS if isinstance(error, theirs))
    text = str(error).strip().rstrip(".")
    return kind(f"{primitive.name}: expected operands that fit each other, got {got} ({text}); check their {what}.")


def check_forward(primitive: Primitive, arrays: list[Any], result: Any, node: Node | None) -> None:
    """Under `detect_anomaly`: store the user's line; raise if finite operands gave NaN or infinity."""
    here = origin()
    if node is not None:
        node.origin = here
    if all(np.isfinite(array).all() for array in arrays if not isinstance(array, bool)):
        for part in result if primitive.multiple else (result,):
            check_finite(part, repr(primitive.name), here)
