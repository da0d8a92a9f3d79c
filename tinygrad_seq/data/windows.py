"""One long text as windows for truncated backpropagation through time."""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..errors import DataError, DtypeError, IndexRangeError, ShapeError
from .sizes import positive_int

Window = tuple[NDArray[np.int64], NDArray[np.int64]]


class Windows:
    """The windows of a text, read by N readers at once, each going on where its last window ended.

    The text is cut into N streams of equal length, one for each row of the batch. The state that a recurrent network
    has at the end of row n of one window is therefore the right one to begin row n of the next window with. Each
    target is the token after its input. The last window is shorter if the streams are no multiple of `window`; the at
    most N tokens that do not fill all rows are left out.

    Iterating goes on from `position` to the end of the text, then sets `position` back to 0 for the next pass. A loop
    that was left by ``break`` is thus taken up again where it stopped.

    Parameters
    ----------
    tokens
        Shape (tokens,), integers.
    batch_size
        N, the number of streams.
    window
        T, how many time steps a window has.

    Attributes
    ----------
    position : int
        How many windows of this pass have been handed out.

    Raises
    ------
    ArgumentError
        If a size is not an integer >= 1.
    ShapeError, DtypeError
        If `tokens` is not one row, or not of integers.
    DataError
        If there are fewer tokens than one whole window needs: batch_size * window + 1.

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
            raise ShapeError(f"Windows: expected tokens of shape (tokens,), got {row.shape}; pass one row of tokens.")
        needed = self.batch_size * self.window + 1
        if len(row) < needed:
            raise DataError(
                f"Windows: expected at least batch_size * window + 1 = {self.batch_size} * {self.window} + 1 = "
                f"{needed} tokens, got {len(row)}; give more text, or make batch_size or window smaller."
            )
        if row.dtype.kind not in "iu":
            raise DtypeError(f"Windows: expected integer tokens, got {row.dtype}; encode the text with a Vocabulary.")
        row = row.astype(np.int64, copy=False)
        length = (len(row) - 1) // self.batch_size
        used = length * self.batch_size
        self._inputs = row[:used].reshape(self.batch_size, length)
        self._targets = row[1 : used + 1].reshape(self.batch_size, length)
        self._checksum = zlib.crc32(np.ascontiguousarray(row).data)
        self.position = 0

    def __len__(self) -> int:
        """Return the number of windows of one pass."""
        return (self._inputs.shape[1] + self.window - 1) // self.window

    def __getitem__(self, index: int) -> Window:
        """Return window `index`, counted from 0, as inputs and targets of shape (T, N), int64; `position` stays."""
        if not 0 <= index < len(self):
            raise IndexRangeError(f"Windows: expected an index from 0 to {len(self) - 1}, got {index}; see len().")
        steps = slice(index * self.window, (index + 1) * self.window)
        return self._inputs[:, steps].T.copy(), self._targets[:, steps].T.copy()

    def __iter__(self) -> Iterator[Window]:
        while self.position < len(self):
            self.position += 1
            yield self[self.position - 1]
        self.position = 0

    def state_dict(self) -> dict[str, int]:
        """Return the position and what it refers to, in a form that JSON can hold."""
        return {"position": self.position, **self._identity()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take up the position of `state`, so that the next window is the very one that would have come.

        Parameters
        ----------
        state : dict
            What `state_dict` returned.

        Raises
        ------
        DataError
            If `state` is of another text or of other sizes, or its position is none of these windows.
        """
        for name, here in self._identity().items():
            if state.get(name) != here:
                raise DataError(
                    f"Windows.load_state_dict: expected a state with {name}={here}, got {state.get(name)}; "
                    "resume with the same text, batch_size and window."
                )
        position = state.get("position")
        if not isinstance(position, int) or not 0 <= position <= len(self):
            raise DataError(
                f"Windows.load_state_dict: expected a position from 0 to {len(self)}, got {position!r}; "
                "the state is damaged, start from another checkpoint."
            )
        self.position = position

    def _identity(self) -> dict[str, int]:
        return {"batch_size": self.batch_size, "window": self.window, "checksum": self._checksum}
