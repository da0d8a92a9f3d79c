"""Which steps of padded sequences count: lengths as a mask."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..conversion import to_array
from ..errors import ArgumentError, DtypeError, IndexRangeError, ShapeError

Mask = NDArray[np.bool_]


def sequence_mask(lengths: Any, T: int | None = None, batch_first: bool = False) -> Mask:
    """Return the mask (T, N) that is true before the end of each sequence, at the steps ``t < lengths[n]``.

    Parameters
    ----------
    lengths
        How many steps each sequence has, integers (N,) from 1 to T.
    T
        The number of steps of the padded sequences; by default the greatest length.
    batch_first
        Whether the mask is (N, T) instead.

    Raises
    ------
    ShapeError, DtypeError
        If the lengths are not N integers.
    ArgumentError
        If T is no integer >= 1.
    IndexRangeError
        If a length is outside 1 to T.

    Examples
    --------
    >>> import tinygrad_seq as ts
    >>> ts.nn.sequence_mask([3, 1])
    array([[ True,  True],
           [ True, False],
           [ True, False]])
    """
    ends = to_array("sequence_mask", lengths)
    if ends.ndim != 1 or not ends.size:
        raise ShapeError(
            f"sequence_mask: expected lengths of shape (N,), got {ends.shape} {ends.dtype}; pass one for each sequence."
        )
    if ends.dtype.kind not in "iu":
        raise DtypeError(f"sequence_mask: expected integers, got lengths of {ends.shape} {ends.dtype}; cast them.")
    if T is None:
        T = int(ends.max())
    elif isinstance(T, bool) or not isinstance(T, int | np.integer) or T < 1:
        raise ArgumentError(f"sequence_mask: expected T to be an integer >= 1, got {T!r}; pass the number of steps.")
    wrong = np.flatnonzero((ends < 1) | (ends > T))
    if wrong.size:
        raise IndexRangeError(
            f"sequence_mask: expected lengths from 1 to T={T}, got {ends[wrong[0]]} for sequence {wrong[0]}; "
            "leave empty sequences out, and pad the others to the longest."
        )
    before: Mask = np.arange(T)[:, None] < ends
    return before.T if batch_first else before


def valid_steps(caller: str, shape: tuple[int, ...], lengths: Any, mask: Any, batch_first: bool) -> Mask | None:
    """Return the steps that count, of `shape`: (T, N), or (N, T) if `batch_first`; None if all do.

    Raises
    ------
    ArgumentError, ShapeError, DtypeError, IndexRangeError
        If lengths and a mask are given, or they do not fit the shape.
    """
    if lengths is not None and mask is not None:
        raise ArgumentError(f"{caller}: expected lengths or mask, got both; put the lengths into the mask.")
    T, N = reversed(shape) if batch_first else shape
    if lengths is not None:
        valid = sequence_mask(lengths, T, batch_first)
        if valid.shape != shape:
            raise ShapeError(
                f"{caller}: expected lengths of shape ({N},), one for each sequence, got {np.shape(lengths)}; "
                "check which axis is the batch."
            )
    elif mask is not None:
        valid = to_array(caller, mask)
        if valid.shape != shape:
            raise ShapeError(
                f"{caller}: expected a mask of shape {shape}, one flag for each step, got {valid.shape} {valid.dtype}; "
                "check the order of its axes."
            )
        if valid.dtype != bool:
            raise DtypeError(
                f"{caller}: expected a bool mask, got {valid.shape} {valid.dtype}; compare, e.g. mask > 0."
            )
    else:
        return None
    return None if valid.all() else valid
