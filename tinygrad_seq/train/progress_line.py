"""One line on a terminal that says what `fit` is doing."""

from __future__ import annotations

import sys
import time

_SECONDS_BETWEEN = 0.1


class ProgressLine:
    """Rewrites one line of standard error: the stage, and how much of it is done."""

    def __init__(self) -> None:
        self._shown = -_SECONDS_BETWEEN
        self._stage = ""
        self._length = 0

    def __call__(self, stage: str, done: int, total: int) -> None:
        """Show what is being done, at most ten times per second."""
        now = time.monotonic()
        if stage == self._stage and now - self._shown < _SECONDS_BETWEEN:
            return
        self._stage, self._shown = stage, now
        self._write(f"{stage} {done}/{total}" if total > 1 else f"{stage} {done}" if done else stage)

    def clear(self) -> None:
        """Leave an empty line, for other output."""
        if self._length:
            self._write("")
            sys.stderr.write("\r")
            sys.stderr.flush()

    def _write(self, text: str) -> None:
        sys.stderr.write("\r" + text.ljust(self._length))
        sys.stderr.flush()
        self._length = len(text)
