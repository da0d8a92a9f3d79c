"""Split one long text into windows for truncated backpropagation through time."""

from __future__ import annotations

import functools
import mmap
import zlib
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..errors import DataError, DtypeError, IndexRangeError, ShapeError
from .sizes import positive_int

_CHUNK = 1 << 22

Window = tuple[NDArray[np.int64], NDArray[np.int64]]


class Windows:
    """The windows of a text that is read in N parallel streams.

    The text is split into N streams of equal length, one per batch element. So the state of a recurrent network after
    batch element n of one window is the correct initial state of batch element n of the next window. Each target is the
    token after its input. The last window is shorter if `window` does not divide the length of the streams. At most N
    tokens at the end, which do not fill all streams, are left out.

    Iteration continues from `position` to the end of the text, then sets `position` to 0 for the next pass. So a loop
    that was left with ``break`` can be continued.

    Parameters
    ----------
    tokens : array_like of int, shape (tokens,)
        The text.
    batch_size : int
        N, the number of streams.
    window : int
        T, the number of time steps per window.

    Attributes
    ----------
    position : int
        The number of windows of this pass that have been yielded.

    Raises
    ------
    ArgumentError
        If a size is not an integer >= 1.
    ShapeError, DtypeError
        If `tokens` is not one-dimensional, or not of integers.
    DataError
        If there are fewer than batch_size * window + 1 tokens, which one full window needs.

    Examples
    --------
    >>> from tinygrad_seq.data import Windows
    >>> for inputs, targets in Windows(range(9), batch_size=2, window=3):
    ...     print(inputs.tolist(), targets.tolist())
    [[0, 4], [1, 5], [2, 6]] [[1, 5], [2, 6], [3, 7]]
    [[3, 7]] [[4, 8]]
    """

    def __init__(self, tokens: ArrayLike, batch_size: int, window: int) -> None:
        self.batch_size = positive_int("Windows", "batch_size", batch_size)
        self.window = positive_int("Windows", "window", window)
        row = np.asarray(tokens)
        if row.ndim != 1:
            raise ShapeError(f"Windows: expected tokens of shape (tokens,), got {row.shape}; pass one sequence.")
        needed = self.batch_size * self.window + 1
        if len(row) < needed:
            raise DataError(
                f"Windows: expected at least batch_size * window + 1 = {self.batch_size} * {self.window} + 1 = "
                f"{needed} tokens, got {len(row)}; pass a longer text, or reduce batch_size or window."
            )
        if row.dtype.kind not in "iu":
            raise DtypeError(f"Windows: expected integer tokens, got {row.dtype}; encode the text with a Vocabulary.")
        length = (len(row) - 1) // self.batch_size
        used = length * self.batch_size
        self._tokens = row
        # The pages of a read-only map can be given back after reading.
        self._map = getattr(tokens, "_mmap", None) if getattr(tokens, "mode", None) == "r" else None
        self._inputs = row[:used].reshape(self.batch_size, length)
        self._targets = row[1 : used + 1].reshape(self.batch_size, length)
        self.position = 0

    def __len__(self) -> int:
        """Return the number of windows per pass."""
        return (self._inputs.shape[1] + self.window - 1) // self.window

    def __getitem__(self, index: int) -> Window:
        """Return window `index` as inputs and targets of shape (T, N), int64; `position` does not change."""
        if not 0 <= index < len(self):
            raise IndexRangeError(f"Windows: expected an index from 0 to {len(self) - 1}, got {index}; see len().")
        steps = slice(index * self.window, (index + 1) * self.window)
        return self._inputs[:, steps].T.astype(np.int64, "C"), self._targets[:, steps].T.astype(np.int64, "C")

    def __iter__(self) -> Iterator[Window]:
        while self.position < len(self):
            self.position += 1
            yield self[self.position - 1]
        self.position = 0

    def state_dict(self) -> dict[str, int | str]:
        """Return the position, the sizes and a checksum of the text, as JSON values."""
        return {"position": self.position, **self._identity}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore the position, so that iteration continues with the same next window.

        Parameters
        ----------
        state : dict
            What `state_dict` returned, also in version 0.1.0.

        Raises
        ------
        DataError
            If `state` belongs to another text or other sizes, or its position is out of range.
        """
        identity: dict[str, int | str] = self._identity
        if isinstance(state.get("checksum"), int):  # of version 0.1.0
            identity = identity | {"checksum": _checksum(self._chunks(), np.dtype("<i8"))}
        for name, here in identity.items():
            if state.get(name) != here:
                raise DataError(
                    f"Windows.load_state_dict: expected a state with {name}={here}, got {state.get(name)}; "
                    "resume with the same text, batch_size and window."
                )
        position = state.get("position")
        if not isinstance(position, int) or not 0 <= position <= len(self):
            raise DataError(
                f"Windows.load_state_dict: expected a position from 0 to {len(self)}, got {position!r}; "
                "the state is damaged, so use another checkpoint."
            )
        self.position = position

    @functools.cached_property
    def _identity(self) -> dict[str, int | str]:
        """The sizes and the checksum, which depends on the tokens but not on their dtype."""
        low = min(int(chunk.min()) for chunk in self._chunks())
        high = max(int(chunk.max()) for chunk in self._chunks())
        dtype = np.min_scalar_type(high).newbyteorder("<") if low >= 0 else np.dtype("<i8")
        checksum = f"{_checksum(self._chunks(), dtype):08x}"
        return {"batch_size": self.batch_size, "window": self.window, "checksum": checksum}

    def _chunks(self) -> Iterator[NDArray[np.integer[Any]]]:
        """Yield the tokens piece by piece, and give back the memory of a memory map."""
        for start in range(0, len(self._tokens), _CHUNK):
            yield self._tokens[start : start + _CHUNK]
            if self._map is not None:
                self._map.madvise(mmap.MADV_DONTNEED)


def _checksum(chunks: Iterator[NDArray[np.integer[Any]]], dtype: np.dtype[Any]) -> int:
    return functools.reduce(lambda crc, chunk: zlib.crc32(chunk.astype(dtype).data, crc), chunks, 0)
