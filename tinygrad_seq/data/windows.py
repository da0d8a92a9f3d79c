"""Split one long text or series into windows for truncated backpropagation through time."""

from __future__ import annotations

import functools
import mmap
import zlib
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import ArrayLike, NDArray

from ..errors import DataError, DtypeError, IndexRangeError, ShapeError
from .sizes import positive_int

_CHUNK = 1 << 22

Window = tuple[NDArray[Any], NDArray[Any]]


class Windows:
    """The windows of a text or series that is read in N parallel streams.

    The text or series is split into N streams of equal length, one per batch element. So the state of a recurrent
    network after batch element n of one window is the correct initial state of batch element n of the next window. The
    target of each input is what follows it: the next token or value, or the next H values of a series. The last window
    is shorter if `window` does not divide the length of the streams. The last tokens, at most N, which do not fill all
    streams, are left out.

    Iteration continues from `position` to the end of the text, then sets `position` to 0 for the next pass. So a loop
    that was left with ``break`` can be continued.

    Parameters
    ----------
    tokens : array_like, shape (tokens,) or (steps, F)
        A text of integers (tokens,), or a series of floats (steps,) or (steps, F).
    batch_size : int
        N, the number of streams.
    window : int
        T, the number of time steps per window.
    horizon : int, optional
        H, the number of values of a series that the target of each input has, on an axis of their own; by default one,
        without such an axis.

    Attributes
    ----------
    position : int
        The number of windows of this pass that have been yielded.

    Raises
    ------
    ArgumentError
        If a size is not an integer >= 1.
    ShapeError, DtypeError
        If `tokens` is none of these.
    DataError
        If there are fewer than batch_size * window + 1 tokens, or + H, which one full window needs; or a value of a
        series is NaN or infinite.

    Examples
    --------
    >>> from tinygrad_seq.data import Windows
    >>> for inputs, targets in Windows(range(9), batch_size=2, window=3):
    ...     print(inputs.tolist(), targets.tolist())
    [[0, 4], [1, 5], [2, 6]] [[1, 5], [2, 6], [3, 7]]
    [[3, 7]] [[4, 8]]
    >>> inputs, targets = Windows([0.5, 1.5, 2.5, 3.5, 4.5], batch_size=1, window=2, horizon=3)[0]
    >>> inputs.shape, targets.tolist()
    ((2, 1), [[[1.5, 2.5, 3.5]], [[2.5, 3.5, 4.5]]])
    """

    def __init__(self, tokens: ArrayLike, batch_size: int, window: int, horizon: int | None = None) -> None:
        self.batch_size = positive_int("Windows", "batch_size", batch_size)
        self.window = positive_int("Windows", "window", window)
        self.horizon = None if horizon is None else positive_int("Windows", "horizon", horizon)
        row, ahead = np.asarray(tokens), self.horizon or 1
        self._is_series = row.dtype.kind == "f"
        if row.ndim != 1 and not (row.ndim == 2 and row.size and self._is_series):
            raise ShapeError(
                f"Windows: expected tokens of shape (tokens,), or floats (steps,) or (steps, F), got {row.shape} "
                f"{row.dtype}; pass one sequence."
            )
        needed = self.batch_size * self.window + ahead
        if len(row) < needed:
            what, todo = ("steps", "series") if self._is_series else ("tokens", "text")
            sizes = "batch_size or window" if horizon is None else "batch_size, window or horizon"
            raise DataError(
                f"Windows: expected at least batch_size * window + {ahead} = {self.batch_size} * {self.window} + "
                f"{ahead} = {needed} {what}, got {len(row)}; pass a longer {todo}, or reduce {sizes}."
            )
        if row.dtype.kind not in "iuf" or (horizon is not None and not self._is_series):
            raise DtypeError(
                f"Windows: expected integer tokens, or floats, which a horizon needs, got {row.dtype}; encode a text "
                "with a Vocabulary, and cast a series to float32."
            )
        self._tokens = row
        # The pages of a read-only map can be given back after reading.
        self._map = getattr(tokens, "_mmap", None) if getattr(tokens, "mode", None) == "r" else None
        if self._is_series and not all(np.isfinite(chunk).all() for chunk in self._chunks()):
            raise DataError("Windows: expected finite values, got others; fill in missing values.")
        length: int = (len(row) - ahead) // self.batch_size
        used = length * self.batch_size
        following = row if horizon is None else np.moveaxis(sliding_window_view(row, ahead, axis=0), -1, 1)
        self._inputs, self._targets = (
            values.reshape(self.batch_size, length, *values.shape[1:])
            for values in (row[:used], following[1 : used + 1])
        )
        self.position = 0

    def __len__(self) -> int:
        """Return the number of windows per pass."""
        return (int(self._inputs.shape[1]) + self.window - 1) // self.window

    def __getitem__(self, index: int) -> Window:
        """Return window `index` as inputs and targets (T, N); `position` does not change.

        Those of a text are int64. Those of a series have its dtype and its axis (T, N, F); with a horizon, targets are
        (T, N, H) or (T, N, H, F).
        """
        if not 0 <= index < len(self):
            raise IndexRangeError(f"Windows: expected an index from 0 to {len(self) - 1}, got {index}; see len().")
        steps = slice(index * self.window, (index + 1) * self.window)
        dtype = self._tokens.dtype if self._is_series else np.int64
        inputs, targets = (
            values[:, steps].swapaxes(0, 1).astype(dtype, "C") for values in (self._inputs, self._targets)
        )
        return inputs, targets

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
        sizes: dict[str, int | str] = {"batch_size": self.batch_size, "window": self.window}
        if self._is_series:
            sizes |= {"horizon": self.horizon or 0, "features": sum(self._tokens.shape[1:])}
            return sizes | {"checksum": f"{_checksum(self._chunks(), np.dtype('<f8')):08x}"}
        low = min(int(chunk.min()) for chunk in self._chunks())
        high = max(int(chunk.max()) for chunk in self._chunks())
        dtype = np.min_scalar_type(high).newbyteorder("<") if low >= 0 else np.dtype("<i8")
        checksum = f"{_checksum(self._chunks(), dtype):08x}"
        return sizes | {"checksum": checksum}

    def _chunks(self) -> Iterator[NDArray[Any]]:
        """Yield the tokens piece by piece, and give back the memory of a memory map."""
        for start in range(0, len(self._tokens), _CHUNK):
            yield self._tokens[start : start + _CHUNK]
            if self._map is not None:
                self._map.madvise(mmap.MADV_DONTNEED)


def _checksum(chunks: Iterator[NDArray[Any]], dtype: np.dtype[Any]) -> int:
    return functools.reduce(lambda crc, chunk: zlib.crc32(chunk.astype(dtype, "C").data, crc), chunks, 0)
