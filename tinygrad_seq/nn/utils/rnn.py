"""Padding and packing of sequences under the names of `torch.nn.utils.rnn`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike

from ...autograd.creation import as_tensor
from ...autograd.tensor import Tensor
from ...errors import ArgumentError, ShapeError
from ...ops.edges import pad
from ...ops.joining import stack
from ..masks import check_lengths
from ..packed_sequence import PackedSequence

__all__ = [
    "PackedSequence",
    "pack_padded_sequence",
    "pack_sequence",
    "pad_packed_sequence",
    "pad_sequence",
    "unpad_sequence",
]


def pad_sequence(
    sequences: Sequence[ArrayLike],
    batch_first: bool = False,
    padding_value: float = 0.0,
    padding_side: Literal["right", "left"] = "right",
) -> Tensor:
    """Return sequences (T_i, ...) as one array (T, N, ...), padded to the longest.

    Parameters
    ----------
    sequences : sequence of array_like
        N sequences, alike but for the first axis.
    batch_first : bool, default False
        Whether the result is (N, T, ...).
    padding_value : float, default 0.0
        What the padding holds.
    padding_side : {"right", "left"}, default "right"
        Where the padding is.

    Returns
    -------
    Tensor
        (T, N, ...).

    Raises
    ------
    ArgumentError, ShapeError
        If there are no sequences, they differ in other axes, or `padding_side` is another word.

    Examples
    --------
    >>> import tinygrad_seq as ts
    >>> ts.nn.utils.rnn.pad_sequence([[1, 2, 3], [4]], batch_first=True)
    tensor([[1, 2, 3],
            [4, 0, 0]])
    """
    tensors = _checked("pad_sequence", sequences)
    if padding_side not in ("right", "left"):
        raise ArgumentError(f"pad_sequence: expected padding_side 'right' or 'left', got {padding_side!r}; pass one.")
    longest = max(len(each) for each in tensors)
    padded = []
    for each in tensors:
        missing = longest - len(each)
        sides = (0, missing) if padding_side == "right" else (missing, 0)
        width = (sides, *((0, 0),) * (each.ndim - 1))
        padded.append(pad(each, width, mode="constant", value=padding_value) if missing else each)
    return stack(padded, axis=0 if batch_first else 1)


def unpad_sequence(padded_sequences: ArrayLike, lengths: ArrayLike, batch_first: bool = False) -> list[Tensor]:
    """Return the sequences (T_i, ...) of a padded array.

    Parameters
    ----------
    padded_sequences : array_like
        (T, N, ...).
    lengths : array_like of int
        (N,).
    batch_first : bool, default False
        Whether the array is (N, T, ...).

    Returns
    -------
    list of Tensor
        N sequences.

    Raises
    ------
    ArgumentError, ShapeError, DtypeError
        If the lengths do not fit the array.

    Examples
    --------
    >>> import tinygrad_seq as ts
    >>> ts.nn.utils.rnn.unpad_sequence([[1, 2, 3], [4, 0, 0]], [3, 1], batch_first=True)
    [tensor([1, 2, 3]), tensor([4])]
    """
    padded, counts = _padded("unpad_sequence", padded_sequences, lengths, batch_first)
    return [padded[n, :count] if batch_first else padded[:count, n] for n, count in enumerate(counts.tolist())]


def pack_padded_sequence(
    input: ArrayLike, lengths: ArrayLike, batch_first: bool = False, enforce_sorted: bool = True
) -> PackedSequence:
    """Pack padded sequences for a recurrent layer; ``layer(xs, lengths=lengths)`` needs no packing.

    Parameters
    ----------
    input : array_like
        (T, N, ...).
    lengths : array_like of int
        (N,), from 1 to T.
    batch_first : bool, default False
        Whether the array is (N, T, ...).
    enforce_sorted : bool, default True
        Whether lengths must be given in descending order.

    Returns
    -------
    PackedSequence
        The steps without padding.

    Raises
    ------
    ArgumentError, ShapeError, DtypeError
        If the lengths do not fit the array, or are not sorted.

    Examples
    --------
    >>> import tinygrad_seq as ts
    >>> packed = ts.nn.utils.rnn.pack_padded_sequence([[1, 4], [2, 0]], [2, 1])
    >>> packed.data, packed.batch_sizes
    (tensor([1, 4, 2]), array([2, 1]))
    """
    padded, counts = _padded("pack_padded_sequence", input, lengths, batch_first)
    if not counts.size or counts.min() < 1:
        raise ArgumentError(
            f"pack_padded_sequence: expected lengths >= 1, got {counts.tolist()}; pass padded sequences and lengths= "
            "to the layer, which takes a length of 0."
        )
    if enforce_sorted and (np.diff(counts) > 0).any():
        raise ArgumentError(
            f"pack_padded_sequence: expected lengths in descending order, got {counts.tolist()}; pass "
            "enforce_sorted=False."
        )
    order = np.argsort(-counts, kind="stable")
    sizes = (np.arange(counts.max())[:, None] < counts).sum(1)
    return PackedSequence(padded, sizes, order, np.argsort(order)).like(padded, batch_first)


def pack_sequence(sequences: Sequence[ArrayLike], enforce_sorted: bool = True) -> PackedSequence:
    """Pack sequences (T_i, ...) for a recurrent layer.

    Parameters
    ----------
    sequences : sequence of array_like
        N sequences, alike but for the first axis.
    enforce_sorted : bool, default True
        Whether the longest must come first.

    Returns
    -------
    PackedSequence
        The sequences, packed.

    Raises
    ------
    ArgumentError, ShapeError
        If there are no sequences, they differ in other axes, one is empty, or they are not sorted.

    Examples
    --------
    >>> import tinygrad_seq as ts
    >>> ts.nn.utils.rnn.pack_sequence([[1, 2], [3]]).data
    tensor([1, 3, 2])
    """
    tensors = _checked("pack_sequence", sequences)
    return pack_padded_sequence(pad_sequence(tensors), [len(each) for each in tensors], enforce_sorted=enforce_sorted)


def pad_packed_sequence(
    sequence: PackedSequence, batch_first: bool = False, padding_value: float = 0.0, total_length: int | None = None
) -> tuple[Tensor, Tensor]:
    """Return packed sequences as a padded array, and their lengths.

    Parameters
    ----------
    sequence : PackedSequence
        The packed sequences.
    batch_first : bool, default False
        Whether the result is (N, T, ...) in place of (T, N, ...).
    padding_value : float, default 0.0
        What the padding holds.
    total_length : int, optional
        T; the largest length by default.

    Returns
    -------
    padded : Tensor
        (T, N, ...), in the original order.
    lengths : Tensor
        (N,).

    Raises
    ------
    ArgumentError
        If `total_length` is below the largest length, or `sequence` not packed.

    Examples
    --------
    >>> import tinygrad_seq as ts
    >>> rnn = ts.nn.utils.rnn
    >>> padded, lengths = rnn.pad_packed_sequence(rnn.pack_sequence([[1, 2], [3]]), batch_first=True)
    >>> padded, lengths
    (tensor([[1, 2],
            [3, 0]]), tensor([2, 1]))
    """
    if not isinstance(sequence, PackedSequence):
        raise ArgumentError(
            f"pad_packed_sequence: expected a PackedSequence, got {type(sequence).__name__}; what a layer returns for "
            "padded sequences is padded."
        )
    if total_length is not None and total_length < len(sequence.batch_sizes):
        raise ArgumentError(
            f"pad_packed_sequence: expected total_length >= {len(sequence.batch_sizes)}, the largest length, got "
            f"{total_length}; raise it."
        )
    padded, lengths = sequence.padded(batch_first, padding_value, total_length)
    return padded, Tensor(lengths)


def _checked(caller: str, sequences: Sequence[ArrayLike]) -> list[Tensor]:
    tensors = [as_tensor(caller, each) for each in sequences]
    if not tensors:
        raise ArgumentError(f"{caller}: expected at least one sequence, got none; pass a list of arrays.")
    shapes = [each.shape for each in tensors]
    if any(not shape or shape[1:] != shapes[0][1:] for shape in shapes):
        raise ShapeError(f"{caller}: expected sequences alike but for the first axis, got {shapes}; reshape them.")
    return tensors


def _padded(caller: str, padded: ArrayLike, lengths: ArrayLike, batch_first: bool) -> tuple[Tensor, np.ndarray]:
    """Return a padded array and the lengths of its sequences, checked."""
    given = as_tensor(caller, padded)
    if given.ndim < 2:
        raise ShapeError(f"{caller}: expected (T, N, ...), got {given.shape} {given.dtype}; add the missing axis.")
    T, N = given.shape[1::-1] if batch_first else given.shape[:2]
    return given, check_lengths(caller, "lengths", np.asarray(as_tensor(caller, lengths).numpy()), N, T, 0)
