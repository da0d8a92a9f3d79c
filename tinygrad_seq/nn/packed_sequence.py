"""Sequences of different lengths without padding, as PyTorch packs them: all first steps, all second steps, ..."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..autograd.tensor import Tensor
from ..ops.comparison import where

Integers = NDArray[np.int64]


class PackedSequence(NamedTuple):
    """Sequences of different lengths, packed step by step, as `torch.nn.utils.rnn.PackedSequence`.

    A recurrent layer here takes padded sequences and ``lengths=`` as well, in any order, at the same speed.

    Attributes
    ----------
    data : Tensor
        (sum of lengths, ...): step 0 of all sequences, then step 1 of those that have one, ..., the longest first.
    batch_sizes : numpy.ndarray
        (T,), how many sequences each step has.
    sorted_indices, unsorted_indices : numpy.ndarray
        (N,), the order by length, and its inverse.

    Examples
    --------
    >>> import tinygrad_seq as ts
    >>> from tinygrad_seq.nn.utils import rnn
    >>> rnn.pack_sequence([ts.tensor([1, 2, 3]), ts.tensor([4])]).data
    tensor([1, 4, 2, 3])
    """

    data: Tensor
    batch_sizes: Integers
    sorted_indices: Integers
    unsorted_indices: Integers

    @property
    def lengths(self) -> Integers:
        """The length of each sequence, in the original order."""
        steps = (np.arange(len(self.sorted_indices)) < self.batch_sizes[:, None]).sum(0)
        return steps[self.unsorted_indices]

    def padded(
        self, batch_first: bool = False, value: float = 0.0, total: int | None = None
    ) -> tuple[Tensor, Integers]:
        """Return the padded sequences (T, N, ...), in the original order, and their lengths.

        Parameters
        ----------
        batch_first : bool, default False
            Whether they are (N, T, ...).
        value : float, default 0.0
            What the padding holds.
        total : int, optional
            T; the largest length by default.

        Returns
        -------
        padded : Tensor
        lengths : numpy.ndarray
        """
        counts, T = self.batch_sizes, len(self.batch_sizes)
        starts = np.cumsum(counts) - counts
        places = np.zeros((T if total is None else total, len(self.sorted_indices)), np.int64)
        places[:T] = starts[:, None] + self.unsorted_indices
        valid = np.arange(len(places))[:, None] < self.lengths
        places[~valid] = 0
        if batch_first:
            places, valid = places.T, valid.T
        values = self.data[places]
        holes = valid.reshape(valid.shape + (1,) * (self.data.ndim - 1))
        return where(holes, values, np.asarray(value, self.data.dtype)), self.lengths

    def like(self, padded: Tensor, batch_first: bool = False) -> PackedSequence:
        """Return other padded sequences of the same lengths, packed.

        Parameters
        ----------
        padded : Tensor
            (T, N, ...).
        batch_first : bool, default False
            Whether they are (N, T, ...).

        Returns
        -------
        PackedSequence
        """
        valid = np.arange(len(self.sorted_indices)) < self.batch_sizes[:, None]
        steps, rows = np.nonzero(valid)
        rows = self.sorted_indices[rows]
        return self._replace(data=padded[(rows, steps) if batch_first else (steps, rows)])

    def to(self, *placement: Any) -> PackedSequence:
        """Return the sequences with ``data.astype(dtype)``; there is one device.

        Parameters
        ----------
        *placement
            A dtype, or ``"cpu"``.

        Returns
        -------
        PackedSequence
        """
        from .module.placement import dtype_of_placement

        dtype = dtype_of_placement("PackedSequence.to", placement, None, None)
        return self if dtype is None else self._replace(data=self.data.astype(dtype))
