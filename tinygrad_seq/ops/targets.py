"""Targets of losses, checked: their shape, dtype and range, and which entries count."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..errors import ArgumentError, DtypeError, IndexRangeError, ShapeError
from .axes import normalise_axis
from .casting import as_array, astype
from .comparison import isfinite, logical_and, logical_or, not_equal
from .indexing import extent
from .primitive import Array, is_traced
from .shape import moveaxis

REDUCTIONS = ("mean", "sum", "none")
ROUNDING = 1e-5
"""How far a probability may lie outside [0, 1], as sums and means of others do."""


def check_reduction(caller: str, reduction: str, known: tuple[str, ...] = REDUCTIONS) -> None:
    """Refuse an unknown reduction."""
    if reduction not in known:
        raise ArgumentError(f"{caller}: expected reduction to be one of {known}, got {reduction!r}; choose one.")


def check_prediction(caller: str, prediction: Array) -> None:
    """Refuse predictions that are not floating-point: a loss has their dtype."""
    if prediction.dtype.kind != "f":
        raise DtypeError(
            f"{caller}: expected a floating-point prediction, got {prediction.shape} {prediction.dtype}; cast it with "
            "astype('float32')."
        )


def check_target(caller: str, prediction: Array, target: Array, reduction: str) -> Array:
    """Return `target` in the prediction's dtype, refused unless it has the prediction's shape."""
    check_reduction(caller, reduction)
    check_prediction(caller, prediction)
    target = as_array(target)
    if prediction.shape != target.shape:
        raise ShapeError(
            f"{caller}: expected a target of the prediction's shape {prediction.shape}, got {target.shape}; "
            "reshape one of them, nothing is broadcast here."
        )
    return as_dtype_of(prediction, target)


def as_dtype_of(prediction: Array, array: Array) -> Array:
    """Return `array` in the prediction's dtype, so that the loss has it too."""
    array = as_array(array)
    return array if array.dtype == prediction.dtype else astype(array, prediction.dtype)


def check_range(
    caller: str,
    what: str,
    array: Array,
    low: float,
    high: float,
    todo: str,
    counted: Array | None = None,
    rounding: float = ROUNDING,
) -> None:
    """Refuse values outside [low, high] and NaN; nothing is checked while a scan step is traced.

    Parameters
    ----------
    what
        What they are, in the error.
    todo
        What to do about it, in the error.
    counted
        The entries to look at, booleans that broadcast to `array`; all by default.
    rounding
        How far outside they may lie.
    """
    if is_traced(array) or is_traced(counted):
        return
    values = np.asarray(plain(array))
    right = (values >= low - rounding) & (values <= high + rounding)
    wrong = ~right if counted is None else np.asarray(plain(counted)) & ~right
    if wrong.any():
        found = np.broadcast_to(values, wrong.shape)[wrong][0]
        raise ArgumentError(f"{caller}: expected {what} in [{low:g}, {high:g}], got {found}; {todo}.")


def counting(weight: Array | None, *arrays: Array) -> Array | None:
    """Return where entries count: unless their weight is 0 and one of `arrays` is not finite. None if all do."""
    if weight is None:
        return None
    finite = isfinite(arrays[0])
    for array in arrays[1:]:
        finite = logical_and(finite, isfinite(array))
    return logical_or(not_equal(weight, 0), finite)


def plain(array: Array) -> Any:
    """Return the values of a Tensor as an ndarray, and anything else as it is."""
    return array.numpy() if hasattr(array, "numpy") else array


# ------------------------------------------------------------------------------------------------------- classes


def class_axes(logits: Array, target: Array) -> tuple[int, ...]:
    """Return which axes of `logits` may be that of the classes: the last one (-1), and the second one, PyTorch's.

    An axis may be if the target has the shape without it, or holds probabilities that add up to 1 along it.
    """
    shape = logits.shape
    if len(shape) < 3:
        return (-1,)
    wanted = target.shape if hasattr(target, "shape") else np.shape(plain(target))
    if wanted != shape:
        fits = (wanted == shape[:-1], wanted == (shape[0], *shape[2:]))
    elif is_traced(target):
        fits = (True, True)
    else:
        values = np.asarray(plain(target))
        last, second = (bool(np.allclose(values.sum(at), 1, atol=1e-3)) for at in (-1, 1))
        fits = (last, second) if last or second else (True, True)
    return tuple(axis for axis, fit in zip((-1, 1), fits, strict=True) if fit)


def classes_last(caller: str, logits: Array, target: Array, axis: int | None) -> Array:
    """Return `logits` with the class axis in the last place; for None it is the first of `class_axes`."""
    if axis is None:
        return moveaxis(logits, 1, -1) if class_axes(logits, target) == (1,) else logits
    return moveaxis(logits, normalise_axis(caller, axis, logits.ndim), -1)


def class_weights(caller: str, weight: Array | None, logits: Array) -> np.ndarray | None:
    """Return the factor of each class (V,), in the dtype of the logits."""
    if weight is None:
        return None
    factors = np.asarray(plain(weight))
    if factors.dtype.kind not in "fiub":
        raise DtypeError(
            f"{caller}: expected a weight per class, got {type(weight).__name__} ({factors.dtype}); pass numbers."
        )
    factors = factors.astype(logits.dtype, copy=False)
    if factors.shape != logits.shape[-1:]:
        raise ShapeError(
            f"{caller}: expected a weight per class, shape {logits.shape[-1:]}, got {factors.shape}; reshape it."
        )
    return factors


def check_classes(caller: str, logits: Array, target: Array, ignore_index: int) -> tuple[np.ndarray, np.ndarray]:
    """Return flat class indices, 0 where ignored, and where they count."""
    classes = np.asarray(plain(target))
    if classes.dtype.kind not in "iu":
        raise DtypeError(
            f"{caller}: expected integer class indices of shape {logits.shape[:-1]} or probabilities of shape "
            f"{logits.shape}, got {classes.shape} {classes.dtype}; cast indices with astype('int64')."
        )
    if classes.shape != logits.shape[:-1]:
        raise ShapeError(
            f"{caller}: expected class indices of shape {logits.shape[:-1]} for logits {logits.shape}, got "
            f"{classes.shape}; the class axis of the logits is the last one, or say axis=1."
        )
    classes = classes.reshape(-1).astype(np.int64)
    valid = classes != ignore_index
    if np.count_nonzero(valid) < valid.size:
        classes[~valid] = 0
    low, high = extent(classes)
    if low < 0 or high >= logits.shape[-1]:
        raise IndexRangeError(
            f"{caller}: expected class indices in [0, {logits.shape[-1]}) or ignore_index={ignore_index}, got "
            f"{low if low < 0 else high}; check the vocabulary against the size of the output layer."
        )
    return classes, valid
