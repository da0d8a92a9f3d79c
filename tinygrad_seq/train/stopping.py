"""When to stop: the loss no longer falls, or the person asks."""

from __future__ import annotations

import contextlib
import math
import signal
from collections.abc import Iterator
from types import FrameType
from typing import Any


class EarlyStopping:
    """Counts evaluations without improvement.

    Parameters
    ----------
    patience
        How many in a row are too many; 0 never stops.

    Attributes
    ----------
    best : float
        The lowest loss so far.
    waited : int
        How many evaluations ago that was.

    Examples
    --------
    >>> stopping = EarlyStopping(patience=2)
    >>> [stopping.improves(loss) for loss in (2.0, 1.0, 1.5, 1.2)]
    [True, True, False, False]
    >>> stopping.best, stopping.exhausted
    (1.0, True)
    """

    def __init__(self, patience: int = 0) -> None:
        self.patience = patience
        self.best = math.inf
        self.waited = 0

    def improves(self, loss: float) -> bool:
        """Count one evaluation and return whether `loss` is the lowest so far.

        Parameters
        ----------
        loss : float
            The loss of the evaluation.

        Returns
        -------
        bool
            Whether it is the lowest; NaN never is.
        """
        better = loss < self.best
        self.best = min(self.best, loss)
        self.waited = 0 if better else self.waited + 1
        return better

    @property
    def exhausted(self) -> bool:
        """Whether there were `patience` evaluations in a row without improvement."""
        return 0 < self.patience <= self.waited

    def state_dict(self) -> dict[str, Any]:
        """Return what `load_state_dict` needs to go on."""
        return {"best": self.best, "waited": self.waited}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from `state`.

        Parameters
        ----------
        state : dict
            What `state_dict` returned.
        """
        self.best, self.waited = state["best"], state["waited"]


class StopRequest:
    """Whether a signal asked to stop; `signal` is its number."""

    signal: int = 0

    def __bool__(self) -> bool:
        return self.signal != 0


@contextlib.contextmanager
def graceful_stop() -> Iterator[StopRequest]:
    """Return a context in which Ctrl-C (SIGINT) and SIGTERM only set the `StopRequest`; a second one ends at once.

    It must be entered in the main thread, which is the one that Python tells about signals.

    Examples
    --------
    >>> import tinygrad_seq as ts
    >>> with ts.train.graceful_stop() as stop:
    ...     bool(stop)
    False
    """
    request = StopRequest()
    numbers = (signal.SIGINT, signal.SIGTERM)

    def note(number: int, _frame: FrameType | None) -> None:
        request.signal = number
        for each in numbers:
            signal.signal(each, before[each])

    before = {number: signal.getsignal(number) for number in numbers}
    for number in numbers:
        signal.signal(number, note)
    try:
        yield request
    finally:
        for number in reversed(numbers):  # SIGINT last: until then Ctrl-C cannot raise here
            signal.signal(number, before[number])
