"""Which steps of a batch count, and where sequences begin: the arguments `lengths`, `mask` and `reset`."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..autograd.conversion import to_array
from ..errors import ArgumentError, DtypeError, ShapeError
from ..ops.primitive import is_traced
from .checks import check_switches

Mask = NDArray[np.bool_]
Lengths = NDArray[np.int64]


class Flags(NamedTuple):
    """Which steps of a call count, time-major; None where nothing is given, or all steps count.

    Attributes
    ----------
    lengths
        (N,), from 0 to T: the number of steps that count.
    mask
        (T, N): the steps that count.
    reset
        (T, N): the steps before which the state is set to the initial state.
    """

    lengths: Lengths | None
    mask: Mask | None
    reset: Mask | None

    def valid(self, T: int) -> Mask | None:
        """Return the steps (T, N) that count, given as lengths or as a mask; None if all do."""
        return self.mask if self.lengths is None else _before(self.lengths, T)

    def with_mask(self, T: int) -> Flags:
        """Return the same flags with a mask in place of lengths."""
        return Flags(None, self.valid(T), self.reset)


def check_flags(
    caller: str, T: int, N: int, batch_first: bool, lengths: Any = None, mask: Any = None, reset: Any = None
) -> Flags:
    """Check the flags of a call for T steps of N sequences.

    Raises
    ------
    ArgumentError, ShapeError, DtypeError
        If both lengths and a mask are given, or a shape, a dtype or a length does not fit.
    """
    check_switches(caller, batch_first=batch_first)
    if lengths is None and mask is None and reset is None:
        return Flags(None, None, None)
    if lengths is not None and mask is not None:
        raise ArgumentError(f"{caller}: expected lengths or mask, got both; put the lengths into the mask.")
    if is_traced(lengths) or is_traced(mask) or is_traced(reset):  # of a model that is traced as a whole
        return Flags(lengths, _time_major(mask, batch_first), _time_major(reset, batch_first))
    ends = None if lengths is None else check_lengths(caller, "lengths", lengths, N, T)
    counted = _check_steps(caller, "mask", T, N, batch_first, mask)
    return Flags(
        None if ends is None or (ends == T).all() else ends,
        None if counted is None or counted.all() else counted,
        _check_steps(caller, "reset", T, N, batch_first, reset),
    )


def check_lengths(caller: str, name: str, given: Any, N: int, longest: int | None, shortest: int = 0) -> Lengths:
    """Check lengths (N,) from `shortest` to `longest`; None for no upper limit.

    Raises
    ------
    ArgumentError, ShapeError, DtypeError
        If a length, the shape or the dtype does not fit.
    """
    lengths = to_array(f"{caller}.{name}", given)
    facts = f"{caller}: expected {name} of shape ({N},), integers, got {lengths.shape} {lengths.dtype}; "
    if lengths.shape != (N,):
        raise ShapeError(f"{facts}pass one for each sequence.")
    if lengths.dtype.kind not in "iu":
        raise DtypeError(f"{facts}cast them.")
    wrong = np.flatnonzero((lengths < shortest) | (lengths > (np.inf if longest is None else longest)))
    if len(wrong):
        bounds = f"of {shortest} or more" if longest is None else f"from {shortest} to {longest}"
        raise ArgumentError(
            f"{caller}: expected {name} {bounds}, got {lengths[wrong[0]]} for sequence {wrong[0]}; "
            "pad all sequences to the longest."
        )
    return lengths.astype(np.int64)


def _check_steps(caller: str, name: str, T: int, N: int, batch_first: bool, given: Any) -> Mask | None:
    if given is None:
        return None
    flags = to_array(f"{caller}.{name}", given)
    expected, axes = ((N, T), "(N, T)") if batch_first else ((T, N), "(T, N)")
    facts = f"{caller}: expected {name} of shape {axes} = {expected} bool, got {flags.shape} {flags.dtype}; "
    if flags.shape != expected:
        raise ShapeError(f"{facts}pass one flag for each step of each sequence.")
    if flags.dtype != bool:
        raise DtypeError(f"{facts}compare, e.g. {name} > 0.")
    return flags.T if batch_first else flags


def _time_major(flags: Any, batch_first: bool) -> Any:
    return flags.T if flags is not None and batch_first else flags


def sequence_mask(lengths: Any, T: int | None = None, batch_first: bool = False) -> Mask:
    """Return the mask (T, N) that is true before the end of each sequence: at the steps ``t < lengths[n]``.

    Parameters
    ----------
    lengths : array_like of int
        (N,), the number of steps of each sequence, from 0 to T.
    T : int, default None
        The number of steps of the padded sequences; None for the greatest length.
    batch_first : bool, default False
        Whether the mask is (N, T) instead.

    Returns
    -------
    ndarray of bool
        (T, N), or (N, T).

    Raises
    ------
    ShapeError, DtypeError
        If the lengths are not N integers.
    ArgumentError
        If T is not an integer >= 0, or a length is outside 0 to T.

    Examples
    --------
    >>> import tinygrad_seq as ts
    >>> ts.nn.sequence_mask([3, 1])
    array([[ True,  True],
           [ True, False],
           [ True, False]])
    """
    check_switches("sequence_mask", batch_first=batch_first)
    if T is not None and (isinstance(T, bool) or not isinstance(T, int | np.integer) or T < 0):
        raise ArgumentError(f"sequence_mask: expected T to be an integer >= 0, got {T!r}; pass the number of steps.")
    if is_traced(lengths) and T is not None:
        return _time_major(_before(lengths, T), batch_first)
    given = to_array("sequence_mask", lengths)
    ends = check_lengths("sequence_mask", "lengths", given, max(given.size, 1), T)
    mask = _before(ends, int(ends.max()) if T is None else T)
    return mask.T if batch_first else mask


def _before(ends: Lengths, T: int) -> Mask:
    return np.arange(T)[:, None] < ends
