"""Stop training when the loss no longer improves, or on Ctrl-C."""

from __future__ import annotations

import contextlib
import math
import signal
from collections.abc import Iterator
from types import FrameType
from typing import Any


class EarlyStopping:
    """Count evaluations without improvement.

    Parameters
    ----------
    patience : int, default 0
        Stop after this many evaluations in a row without improvement; 0 means never.

    Attributes
    ----------
    best : float
        The lowest loss so far.
    waited : int
        The number of evaluations since then.

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
        """Count one evaluation.

        Parameters
        ----------
        loss : float
            The loss of the evaluation.

        Returns
        -------
        bool
            Whether it is the lowest loss so far.
        """
        better = loss < self.best
        self.best = min(self.best, loss)
        self.waited = 0 if better else self.waited + 1
        return better

    @property
    def exhausted(self) -> bool:
        """Whether the last `patience` evaluations brought no improvement."""
        return 0 < self.patience <= self.waited

    def state_dict(self) -> dict[str, Any]:
        """Return the state that `load_state_dict` restores."""
        return {"best": self.best, "waited": self.waited}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore `state`.

        Parameters
        ----------
        state : dict
            What `state_dict` returned.
        """
        self.best, self.waited = state["best"], state["waited"]


class StopRequest:
    """True once a signal has asked to stop; `signal` is its number."""

    signal: int = 0

    def __bool__(self) -> bool:
        return self.signal != 0


@contextlib.contextmanager
def graceful_stop() -> Iterator[StopRequest]:
    """Return a context in which Ctrl-C (SIGINT) and SIGTERM only set a flag; a second signal terminates at once.

    Enter it in the main thread, because Python delivers signals only there.

    Yields
    ------
    StopRequest
        True once a signal has arrived.

    Examples
    --------
    >>> from tinygrad_seq.train import graceful_stop
    >>> with graceful_stop() as stop:
    ...     for step in range(3):
    ...         if stop:
    ...             break
    >>> step
    2
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
