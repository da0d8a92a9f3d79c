"""Batches of sequences with targets, shuffled anew in each epoch, with a position that can be saved."""

from __future__ import annotations

import functools
import zlib
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..base import settings
from ..distributed import world
from ..errors import ArgumentError, DataError, ShapeError
from .batches import _alike, _buckets, _check_value, _pad
from .sizes import positive_int

Array = NDArray[Any]
SequenceBatch = tuple[tuple[Array, NDArray[np.int64]], Array]


class Batches:
    """Padded batches of sequences and their targets, for `fit`; each iteration is one epoch.

    Sequences of similar lengths share a batch, as in `bucket_batches`. Every sequence occurs once per epoch. The order
    is drawn from the process-wide generator at the start of each epoch.

    Parameters
    ----------
    inputs : sequence of array_like
        N arrays of shape (t, ...) with any lengths t; the other axes and the dtype must be equal.
    targets : array_like or sequence of array_like
        One target per sequence, an array of shape (N, ...). With `target_value`: one target per step, N arrays of shape
        (t, ...).
    batch_size : int
        The maximum number of sequences per batch.
    shuffle : bool, default True
        Whether to draw the order; otherwise batches come in the order of their lengths.
    max_padding : float, default 0.25
        Maximum fraction of padding per batch, in [0, 1).
    value : float, default 0
        The padding value of the inputs.
    target_value : float, optional
        The padding value of targets per step, e.g. the `ignore_index` of the loss.
    on_ranks : bool, default False
        Whether a program that mpirun started yields the rank's share of each batch, as `fit` needs it for training. A
        batch with fewer sequences than ranks is computed by all.

    Yields
    ------
    inputs : tuple
        The padded sequences, shape (T, batch_size, ...), and their lengths, shape (batch_size,), int64.
    targets : ndarray
        Shape (batch_size, ...), or padded, (T, batch_size, ...).

    Raises
    ------
    ArgumentError
        If `batch_size` or `max_padding` is out of range, or a dtype cannot hold a padding value.
    DataError, ShapeError, DtypeError
        As `pad_sequences`, or if the targets do not fit the inputs.

    Examples
    --------
    >>> from tinygrad_seq.data import Batches
    >>> batches = Batches([[1], [2, 2, 2, 2], [3], [4, 4, 4]], [10, 20, 30, 40], 2, shuffle=False)
    >>> for (inputs, lengths), targets in batches:
    ...     print(inputs.tolist(), lengths, targets)
    [[1, 3]] [1 1] [10 30]
    [[4, 2], [4, 2], [4, 2], [0, 2]] [3 4] [40 20]
    >>> len(batches)
    2
    """

    def __init__(
        self,
        inputs: Sequence[ArrayLike],
        targets: ArrayLike | Sequence[ArrayLike],
        batch_size: int,
        *,
        shuffle: bool = True,
        max_padding: float = 0.25,
        value: float = 0,
        target_value: float | None = None,
        on_ranks: bool = False,
    ) -> None:
        self.batch_size = positive_int("Batches", "batch_size", batch_size)
        if not 0 <= max_padding < 1:
            raise ArgumentError(
                f"Batches: expected 0 <= max_padding < 1, got {max_padding!r}; pass e.g. max_padding=0.25."
            )
        self.shuffle, self.position = shuffle, 0
        self._value, self._target_value = value, target_value
        self._on_ranks = on_ranks
        self._inputs = _alike("Batches", inputs)
        _check_value("Batches", value, self._inputs[0].dtype)
        self._targets = self._checked_targets(targets)
        lengths = np.array([len(array) for array in self._inputs])
        self._buckets = list(_buckets(lengths, max_padding))
        self._seed: int | None = None  # of the order of this epoch
        self._order: list[NDArray[np.int64]] = []

    def _checked_targets(self, targets: Any) -> Array | list[Array]:
        count = len(self._inputs)
        if self._target_value is None:
            try:
                array = np.asarray(targets)
            except ValueError:
                array = np.empty(0, object)
            if array.dtype == object or array.ndim == 0:
                raise DataError(
                    "Batches: expected one target of the same shape per sequence, got others; pass target_value=... "
                    "for one target per step."
                )
            if len(array) != count:
                raise ShapeError(
                    f"Batches: expected one target per sequence, {count}, got {len(array)}; pass as many of both."
                )
            return array
        if len(targets) != count:
            raise ShapeError(
                f"Batches: expected the targets of {count} sequences, got {len(targets)}; pass as many of both."
            )
        arrays = _alike("Batches", targets)
        _check_value("Batches", self._target_value, arrays[0].dtype)
        for n, (x, y) in enumerate(zip(self._inputs, arrays, strict=True)):
            if len(x) != len(y):
                raise ShapeError(
                    f"Batches: expected one target per step, {len(x)} for sequence {n}, got {len(y)}; correct them."
                )
        return arrays

    def __len__(self) -> int:
        """Return the number of batches per epoch."""
        return sum(-(-len(bucket) // self.batch_size) for bucket in self._buckets)

    def __iter__(self) -> Iterator[SequenceBatch]:
        if self.position == 0:
            self._seed = int(settings.generator().integers(2**62)) if self.shuffle else None
            self._draw()
        while self.position < len(self._order):
            self.position += 1
            yield self._batch(self._order[self.position - 1])
        self.position = 0

    def _draw(self) -> None:
        """Put the batches of the epoch in their order."""
        generator = None if self._seed is None else np.random.default_rng(self._seed)
        order: list[NDArray[np.int64]] = []
        for bucket in self._buckets:
            indices = bucket if generator is None else generator.permutation(bucket)
            order += [indices[start : start + self.batch_size] for start in range(0, len(indices), self.batch_size)]
        self._order = order if generator is None else [order[k] for k in generator.permutation(len(order))]

    def _batch(self, indices: NDArray[np.int64]) -> SequenceBatch:
        if self._on_ranks:
            indices = indices[world().share(len(indices))]
        inputs = _pad([self._inputs[i] for i in indices], self._value)
        if self._target_value is None:
            assert isinstance(self._targets, np.ndarray)
            return inputs, self._targets[indices]
        return inputs, _pad([self._targets[i] for i in indices], self._target_value)[0]

    def state_dict(self) -> dict[str, Any]:
        """Return the position, the seed of the order, and what identifies the data, as JSON values."""
        return {"position": self.position, "seed": self._seed, **self._identity}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore the position, so that iteration continues with the same next batch.

        Parameters
        ----------
        state : dict
            What `state_dict` returned.

        Raises
        ------
        DataError
            If `state` belongs to other data or another batch size, or its position is out of range.
        """
        for name, here in self._identity.items():
            if state.get(name) != here:
                raise DataError(
                    f"Batches.load_state_dict: expected a state with {name}={here}, got {state.get(name)}; resume with "
                    "the same sequences, targets and options."
                )
        position, seed = state.get("position"), state.get("seed")
        if type(position) is not int or not 0 <= position <= len(self) or type(seed) not in (int, type(None)):
            raise DataError(
                f"Batches.load_state_dict: expected a position from 0 to {len(self)} and a seed, got {position!r} and "
                f"{seed!r}; the state is damaged, so use another checkpoint."
            )
        self.position, self._seed = position, seed
        self._draw()

    @functools.cached_property
    def _identity(self) -> dict[str, Any]:
        """The options and a checksum of the data."""
        checksum = 0
        for array in (*self._inputs, *self._targets):
            checksum = zlib.crc32(np.ascontiguousarray(array).tobytes(), checksum)
        return {
            "batch_size": self.batch_size,
            "batches": len(self),
            "shuffle": self.shuffle,
            "checksum": f"{checksum:08x}",
        }
