"""Which steps of which sequences count, and where sequences begin anew: `lengths`, `mask` and `reset`."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..conversion import to_array
from ..errors import ArgumentError, DtypeError, ShapeError

Bools = NDArray[np.bool_]
Lengths = NDArray[np.int64]


class Flags(NamedTuple):
    """What a call says of its steps, time-major; None where it says nothing.

    Attributes
    ----------
    lengths
        (N,), from 1 to T: the steps from there on are left out.
    mask
        (T, N): the steps that are not left out.
    reset
        (T, N): the steps before which the state starts anew.
    """

    lengths: Lengths | None
    mask: Bools | None
    reset: Bools | None


def check_flags(layer: str, T: int, N: int, batch_first: bool, lengths: Any, mask: Any, reset: Any) -> Flags:
    """Return what `forward` was given, checked.

    Raises
    ------
    ArgumentError, ShapeError, DtypeError
        Lengths and a mask at once; a shape, a dtype or a length that does not fit.
    """
    if lengths is not None and mask is not None:
        raise ArgumentError(f"{layer}: expected lengths or mask, got both; put the lengths into the mask.")
    return Flags(
        None if lengths is None else _check_lengths(layer, T, N, lengths),
        _check_bools(layer, "mask", T, N, batch_first, mask),
        _check_bools(layer, "reset", T, N, batch_first, reset),
    )


def _check_lengths(layer: str, T: int, N: int, given: Any) -> Lengths | None:
    lengths = to_array(f"{layer}.lengths", given)
    if lengths.shape != (N,):
        raise ShapeError(
            f"{layer}: expected lengths of shape ({N},), one for each sequence, got {lengths.shape} {lengths.dtype}; "
            "pass a list of N integers."
        )
    if lengths.dtype.kind not in "iu":
        raise DtypeError(f"{layer}: expected lengths to be integers, got {lengths.shape} {lengths.dtype}; cast them.")
    wrong = np.flatnonzero((lengths < 1) | (lengths > T))
    if len(wrong):
        n = int(wrong[0])
        raise ArgumentError(
            f"{layer}: expected lengths from 1 to T={T}, got {int(lengths[n])} for sequence {n}; "
            "leave empty sequences out, and pad the inputs to the longest."
        )
    return None if (lengths == T).all() else lengths.astype(np.int64)


def _check_bools(layer: str, name: str, T: int, N: int, batch_first: bool, given: Any) -> Bools | None:
    if given is None:
        return None
    flags = to_array(f"{layer}.{name}", given)
    expected, axes = ((N, T), "(N, T)") if batch_first else ((T, N), "(T, N)")
    facts = f"{layer}: expected {name} of shape {axes} = {expected} bool, got {flags.shape} {flags.dtype}; "
    if flags.shape != expected:
        raise ShapeError(f"{facts}pass one flag for each step of each sequence.")
    if flags.dtype != bool:
        raise DtypeError(f"{facts}compare, e.g. {name} > 0.")
    return flags.T if batch_first else flags


def find_restarts(reset: Bools, valid: Bools | None, reverse: bool) -> Bools:
    """Return the steps (T, N) before which a state starts anew: the first of each sequence that is valid.

    They are those behind which the valid step before, or after if `reverse`, belongs to another sequence.
    """
    T = len(reset)
    number = np.cumsum(reset, axis=0)
    counted = np.ones_like(reset) if valid is None else valid
    if reverse:  # the sequence of the valid step after each step; its own if there is none
        after = np.minimum.accumulate(np.where(counted, number, T + 1)[::-1], axis=0)[::-1]
        after = np.concatenate([after[1:], np.full_like(number[:1], T + 1)])
        return counted & (number < after) & (after <= T)
    before = np.maximum.accumulate(np.where(counted, number, 0), axis=0)
    return counted & (number > np.concatenate([np.zeros_like(number[:1]), before[:-1]]))
