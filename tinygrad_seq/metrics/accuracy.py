"""The share of right classes."""

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
    """Return the share, from 0 to 1, of predicted classes that are the target's.

    Parameters
    ----------
    prediction : array_like
        Class indices of the target's shape, or a score for each class (..., V), of which the greatest counts.
    target : array_like
        Class indices of any shape; (T, N) with `lengths` or a `mask`.
    lengths : , default None
        The steps that count, as in `sequence_loss`.
    mask : , default None
        The steps that count, as in `sequence_loss`.
    batch_first : bool, default False
        The steps that count, as in `sequence_loss`.

    Returns
    -------
    float
        From 0 to 1.

    Raises
    ------
    ShapeError, DtypeError
        If prediction, lengths or mask do not fit the target.
    ArgumentError
        If nothing is left to count.
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
            f"accuracy: expected predictions of the target's shape {expected.shape}, or with an axis of classes after "
            f"it, got {found.shape}; reshape one of them."
        )
    if found.dtype.kind not in "iub" or expected.dtype.kind not in "iub":
        raise DtypeError(
            f"accuracy: expected class indices, got {found.dtype} and {expected.dtype} of shape {expected.shape}; "
            "round probabilities of two classes, or pass a score for each class on a last axis."
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
        raise ArgumentError("accuracy: expected a class to compare, got none; leave empty batches out.")
    if scored and (found < 0).any():
        raise AnomalyError(
            f"accuracy: expected scores of which one is the greatest, got NaN for {(found < 0).sum()} of {found.size} "
            "classes; look for it in the model that made them."
        )
    return float((found == expected).mean())
