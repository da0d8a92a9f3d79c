"""A data set as arrays, and its batches: sequences of similar lengths, padded to the longest."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..base import settings
from ..distributed import world
from .columns import Encoded, Ints, Values

Batch = tuple[tuple[list[Any], Ints], tuple[Any, Any, Ints]]
_SPREAD = 0.1  # how far from its place by length a sequence may be drawn


@dataclass(frozen=True)
class Dataset:
    """N sequences: columns, lengths, and, where they are known, targets and weights.

    Attributes
    ----------
    columns : sequence of Encoded
        The columns.
    lengths : ndarray of int, shape (N,)
        The number of steps of each sequence.
    targets : Values or None
        The targets.
    weights : ndarray or None
        (N,), how much each sequence counts; None for 1.
    """

    columns: Sequence[Encoded]
    lengths: Ints
    targets: Values | None = None
    weights: NDArray[Any] | None = None

    def __len__(self) -> int:
        return len(self.lengths)

    def take(self, rows: Ints) -> Dataset:
        """Return some of the sequences."""
        targets = None if self.targets is None else self.targets.take(rows)
        weights = None if self.weights is None else self.weights[rows]
        return Dataset([column.take(rows) for column in self.columns], self.lengths[rows], targets, weights)

    def batch(self, rows: Ints) -> Batch:
        """Return the inputs and the targets of the sequences `rows`; padding repeats the last step of a sequence."""
        lengths = self.lengths[rows]
        steps = np.minimum(np.arange(lengths.max())[:, None], lengths - 1)
        index = self._starts[rows] + steps
        weights = None if self.weights is None else self.weights[rows]
        targets: Any = None
        if self.targets is not None:
            targets = self.targets.values[rows if self.targets.lengths is None else index]
        return ([column.at(rows, index) for column in self.columns], lengths), (targets, weights, lengths)

    @property
    def _starts(self) -> Ints:
        return np.cumsum(self.lengths) - self.lengths


@dataclass(frozen=True)
class Batches:
    """One epoch of batches per iteration.

    Sequences are sorted by length, up to a random shift of a tenth, and cut into batches, which come in random order.

    Attributes
    ----------
    data : Dataset
        The sequences.
    batch_size : int
        The largest number of sequences per batch; the sizes of batches differ by at most one.
    shuffle : bool, default True
        Without it, batches hold the sequences sorted by length, longest first.
    """

    data: Dataset
    batch_size: int
    shuffle: bool = True

    def __len__(self) -> int:
        return math.ceil(len(self.data) / self.batch_size)

    def rows(self) -> list[Ints]:
        """Return the sequences of each batch; with several ranks, those of this rank."""
        lengths = self.data.lengths
        if not self.shuffle:
            return np.array_split(np.argsort(-lengths, kind="stable"), len(self))
        draw = settings.generator()
        order = np.argsort(lengths * draw.uniform(1 - _SPREAD, 1 + _SPREAD, len(lengths)))
        batches = np.array_split(order, len(self))
        return [rows[world().rows(len(rows))] for rows in map(batches.__getitem__, draw.permutation(len(self)))]

    def __iter__(self) -> Iterator[Batch]:
        return map(self.data.batch, self.rows())
