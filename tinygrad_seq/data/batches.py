"""Padded batches of sequences with different lengths."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..base import settings
from ..errors import ArgumentError, DataError, DtypeError, IndexRangeError, ShapeError
from .sizes import positive_int


class Batch(NamedTuple):
    """A padded batch.

    Attributes
    ----------
    inputs : ndarray, shape (T, N, ...)
        The padded sequences.
    lengths : ndarray, shape (N,), int64
        Their lengths.
    indices : ndarray, shape (N,), int64
        Their positions in the original list, e.g. to look up labels.

    Examples
    --------
    >>> import numpy as np
    >>> from tinygrad_seq.data import bucket_batches
    >>> (batch,) = bucket_batches([[5, 6], [7, 8]], 2, np.random.default_rng(0))
    >>> batch.inputs.shape, batch.lengths, batch.padding
    ((2, 2), array([2, 2]), 0.0)
    """

    inputs: NDArray[Any]
    lengths: NDArray[np.int64]
    indices: NDArray[np.int64]

    @property
    def padding(self) -> float:
        """The fraction of the T * N entries that is padding."""
        return _padding(self.lengths)


def pad_sequences(sequences: Sequence[ArrayLike], value: float = 0) -> tuple[NDArray[Any], NDArray[np.int64]]:
    """Stack sequences in one time-major array, padded at the end.

    Parameters
    ----------
    sequences : sequence of array_like
        N arrays of shape (t, ...) with any lengths t; the other axes and the dtype must be equal.
    value : float, default 0
        The padding value; 0 is the index of ``<PAD>``.

    Returns
    -------
    padded : ndarray, shape (T, N, ...)
        The sequences, with their dtype; T is the maximum length.
    lengths : ndarray, shape (N,), int64
        The lengths of the sequences.

    Raises
    ------
    DataError
        If there is no sequence.
    ShapeError, DtypeError
        If a sequence is 0-d, or differs from the first in shape (beyond time) or dtype.
    ArgumentError
        If the dtype cannot hold `value`.

    Examples
    --------
    >>> from tinygrad_seq.data import pad_sequences
    >>> pad_sequences([[5, 6, 7], [8]])
    (array([[5, 8],
           [6, 0],
           [7, 0]]), array([3, 1]))
    """
    arrays = _alike("pad_sequences", sequences)
    _check_value("pad_sequences", value, arrays[0].dtype)
    return _pad(arrays, value)


def unpad_sequences(padded: ArrayLike, lengths: ArrayLike) -> list[NDArray[Any]]:
    """Split a padded array into its sequences.

    Parameters
    ----------
    padded : array_like, shape (T, N, ...)
        What `pad_sequences` returned.
    lengths : array_like of int, shape (N,)
        The lengths of the sequences, from 0 to T.

    Returns
    -------
    list of ndarray
        N views of shape (t, ...).

    Raises
    ------
    ShapeError
        If the shapes do not match.
    DtypeError
        If the lengths are not integers.
    IndexRangeError
        If a length is outside 0 to T.

    Examples
    --------
    >>> from tinygrad_seq.data import unpad_sequences
    >>> [row.tolist() for row in unpad_sequences([[5, 8], [6, 0], [7, 0]], [3, 1])]
    [[5, 6, 7], [8]]
    """
    array, ends = np.asarray(padded), np.asarray(lengths)
    if array.ndim < 2 or ends.shape != array.shape[1:2]:
        raise ShapeError(
            f"unpad_sequences: expected padded (T, N, ...) and lengths (N,), got {array.shape} and {ends.shape}; "
            "pass what pad_sequences returned."
        )
    if ends.size and ends.dtype.kind not in "iu":
        raise DtypeError(f"unpad_sequences: expected integer lengths, got {ends.dtype}; cast them to int64.")
    for end in ends.tolist():
        if not 0 <= end <= len(array):
            raise IndexRangeError(
                f"unpad_sequences: expected lengths from 0 to T = {len(array)}, got {end}; "
                "pass what pad_sequences returned."
            )
    return [array[:end, n] for n, end in enumerate(ends.tolist())]


def bucket_batches(
    sequences: Sequence[ArrayLike],
    batch_size: int,
    generator: np.random.Generator | None = None,
    *,
    max_padding: float = 0.25,
    value: float = 0,
) -> Iterator[Batch]:
    """Return one epoch of shuffled batches of sequences with similar lengths.

    Every sequence occurs exactly once. Sequences whose lengths are within a factor of 1 - `max_padding` of each other
    share a bucket. Each bucket is shuffled and split into batches, and the batches of all buckets are shuffled. The
    last batch of a bucket may be smaller.

    Parameters
    ----------
    sequences : sequence of array_like
        Arrays as for `pad_sequences`.
    batch_size : int
        N, the maximum number of sequences per batch.
    generator : numpy.random.Generator, optional
        Source of the random order; by default the process-wide generator.
    max_padding : float, default 0.25
        Maximum fraction of padding per batch, in [0, 1); 0 allows only equal lengths in a batch.
    value : float, default 0
        The padding value.

    Returns
    -------
    iterator of Batch
        The batches, padded when they are requested.

    Raises
    ------
    ArgumentError
        If `batch_size` is not an integer >= 1, `max_padding` is not in [0, 1), or the dtype cannot hold `value`.
    DataError, ShapeError, DtypeError
        As `pad_sequences`.

    Examples
    --------
    >>> import numpy as np
    >>> from tinygrad_seq.data import bucket_batches
    >>> texts = [[1], [2, 2, 2, 2], [3], [4, 4, 4]]
    >>> for batch in bucket_batches(texts, 2, np.random.default_rng(0)):
    ...     print(batch.lengths, batch.padding)
    [1 1] 0.0
    [3 4] 0.125
    """
    batch_size = positive_int("bucket_batches", "batch_size", batch_size)
    if not 0 <= max_padding < 1:
        raise ArgumentError(
            f"bucket_batches: expected 0 <= max_padding < 1, got {max_padding!r}; pass e.g. max_padding=0.25."
        )
    arrays = _alike("bucket_batches", sequences)
    _check_value("bucket_batches", value, arrays[0].dtype)
    draw = settings.generator(generator)
    batches: list[NDArray[np.int64]] = []
    for bucket in _buckets(np.array([len(array) for array in arrays]), max_padding):
        shuffled = draw.permutation(bucket)
        batches += [shuffled[start : start + batch_size] for start in range(0, len(shuffled), batch_size)]
    order = draw.permutation(len(batches))
    return (Batch(*_pad([arrays[i] for i in batches[k]], value), batches[k]) for k in order)


def _buckets(lengths: NDArray[np.int64], max_padding: float) -> Iterator[NDArray[np.int64]]:
    """Yield the indices of `lengths` in groups whose minimum is at least 1 - `max_padding` times the maximum."""
    order = np.argsort(lengths, kind="stable")
    ordered = lengths[order]
    start = 0
    while start < len(order):
        stop = int(np.searchsorted(ordered * (1 - max_padding), ordered[start], side="right"))
        yield order[start:stop]
        start = stop


def _padding(lengths: NDArray[np.int64]) -> float:
    cells = int(lengths.max()) * len(lengths)
    return 1 - int(lengths.sum()) / cells if cells else 0.0


def _pad(arrays: Sequence[NDArray[Any]], value: float) -> tuple[NDArray[Any], NDArray[np.int64]]:
    lengths = np.array([len(array) for array in arrays], dtype=np.int64)
    padded = np.full((lengths.max(), len(arrays), *arrays[0].shape[1:]), value, dtype=arrays[0].dtype)
    for n, array in enumerate(arrays):
        padded[: len(array), n] = array
    return padded, lengths


def _alike(caller: str, sequences: Sequence[ArrayLike]) -> list[NDArray[Any]]:
    """Return `sequences` as arrays; raise unless there is one and all agree in dtype and in shape beyond time."""
    arrays = [np.asarray(sequence) for sequence in sequences]
    if not arrays:
        raise DataError(f"{caller}: expected at least one sequence, got none; pass a list with sequences in it.")
    model, first = next(((n, array) for n, array in enumerate(arrays) if array.size), (0, arrays[0]))
    for n, array in enumerate(arrays):
        if array.shape == (0,):  # an empty list has no dtype and no features of its own
            arrays[n] = np.empty((0, *first.shape[1:]), first.dtype)
        elif array.ndim == 0 or array.shape[1:] != first.shape[1:]:
            raise ShapeError(
                f"{caller}: expected sequences of shape (t, ...) equal beyond time, got {array.shape} for sequence {n} "
                f"and {first.shape} for sequence {model}; give all sequences the same features."
            )
        elif array.dtype != first.dtype:
            raise DtypeError(
                f"{caller}: expected sequences of one dtype, got {array.dtype} for sequence {n} and {first.dtype} for "
                f"sequence {model}; cast them to the same."
            )
    return arrays


def _check_value(caller: str, value: float, dtype: np.dtype[Any]) -> None:
    """Raise an ArgumentError if `dtype` cannot hold `value`: a fraction in an integer dtype, or out of range."""
    try:
        fits = bool(np.array(value, dtype) == value) or value != value
    except (OverflowError, ValueError):
        fits = False
    if not fits:
        raise ArgumentError(f"{caller}: expected a value that {dtype} can hold, got {value!r}; pass e.g. value=0.")
