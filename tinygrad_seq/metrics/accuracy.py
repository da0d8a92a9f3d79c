"""Classification accuracy."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..autograd.conversion import to_array
from ..errors import AnomalyError, ArgumentError, DtypeError, ShapeError
from ..nn.masks import check_flags
from ..ops.primitive import Array


def accuracy(
    prediction: Array, target: Array, lengths: Any = None, mask: Any = None, batch_first: bool = False
) -> float:
    """Return the fraction of correct classes.

    Parameters
    ----------
    prediction : array_like
        Class indices with the shape of `target`, or scores with an additional last axis of V classes, of which the
        highest counts.
    target : array_like of int
        Class indices of any shape; (T, N) if `lengths` or `mask` is given.
    lengths : array_like of int, shape (N,), optional
        Lengths of the sequences; later steps do not count.
    mask : array_like of bool, shape (T, N), optional
        Steps that count.
    batch_first : bool, default False
        Whether the arrays are (N, T) instead of (T, N).

    Returns
    -------
    float
        From 0 to 1.

    Raises
    ------
    ShapeError, DtypeError
        If `prediction`, `lengths` or `mask` does not match `target`.
    ArgumentError
        If no step counts.
    AnomalyError
        If a score that counts is NaN.

    Examples
    --------
    >>> from tinygrad_seq.metrics import accuracy
    >>> accuracy([[1, 2], [3, 0]], [[1, 1], [3, 9]], lengths=[2, 1])
    0.6666666666666666
    """
    found, expected = to_array("accuracy", prediction), to_array("accuracy", target)
    scored = found.shape[:-1] == expected.shape and found.ndim == expected.ndim + 1 and found.shape[-1] > 0
    if scored:
        found = np.where(np.isnan(found).any(axis=-1), -1, found.argmax(axis=-1))
    if found.shape != expected.shape:
        raise ShapeError(
            f"accuracy: expected predictions of the target's shape {expected.shape}, or with an additional last axis "
            f"of classes, got {found.shape}; reshape one of them."
        )
    if found.dtype.kind not in "iub" or expected.dtype.kind not in "iub":
        raise DtypeError(
            f"accuracy: expected class indices, got {found.dtype} and {expected.dtype} of shape {expected.shape}; "
            "round probabilities of two classes, or pass one score per class on a last axis."
        )
    if lengths is not None or mask is not None:
        if expected.ndim != 2:
            raise ShapeError(
                f"accuracy: expected targets (T, N) with lengths or a mask, got {expected.shape}; reshape."
            )
        T, N = expected.shape[::-1] if batch_first else expected.shape
        valid = check_flags("accuracy", T, N, batch_first, lengths, mask).valid(T)
        if valid is not None:
            valid = valid.T if batch_first else valid
            found, expected = found[valid], expected[valid]
    if not expected.size:
        raise ArgumentError("accuracy: expected at least one class to compare, got none; leave empty batches out.")
    if scored and (found < 0).any():
        raise AnomalyError(
            f"accuracy: expected scores without NaN, got NaN for {(found < 0).sum()} of {found.size} classes; find its "
            "origin in the model with ts.detect_anomaly()."
        )
    return float((found == expected).mean())
