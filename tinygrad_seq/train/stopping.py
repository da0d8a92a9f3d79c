"""Stop training when the loss no longer improves, or on a signal such as Ctrl-C."""

from __future__ import annotations

import contextlib
import math
import signal
import time
from collections.abc import Iterator
from types import FrameType
from typing import Any


class EarlyStopping:
    """Count evaluations without improvement.

    Parameters
    ----------
    patience : int, default 0
        Stop after this many evaluations in a row without improvement; 0 means never.
    mode : str, default "min"
        ``"min"`` if a lower value is better, ``"max"`` if a higher one is.

    Attributes
    ----------
    best : float
        The best value so far.
    best_step : int
        The step of that evaluation; 0 before the first.
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

    def __init__(self, patience: int = 0, mode: str = "min") -> None:
        self.patience = patience
        self.mode = mode
        self.forget()
        self.best_step = 0
        self.waited = 0

    def forget(self) -> None:
        """Take the next value as the best one."""
        self.best = math.inf if self.mode == "min" else -math.inf

    def improves(self, value: float, step: int = 0) -> bool:
        """Count one evaluation.

        Parameters
        ----------
        value : float
            The value of the evaluation, such as its loss.
        step : int, default 0
            The step of the evaluation.

        Returns
        -------
        bool
            Whether it is the best value so far.
        """
        better = value < self.best if self.mode == "min" else value > self.best
        if better:
            self.best, self.best_step = value, step
        self.waited = 0 if better else self.waited + 1
        return better

    @property
    def exhausted(self) -> bool:
        """Whether the last `patience` evaluations brought no improvement."""
        return 0 < self.patience <= self.waited

    def state_dict(self) -> dict[str, Any]:
        """Return the state that `load_state_dict` restores."""
        return {"best": self.best, "best_step": self.best_step, "waited": self.waited}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore `state`.

        Parameters
        ----------
        state : dict
            What `state_dict` returned; version 0.1.0 saved no ``"best_step"``.
        """
        self.best, self.best_step, self.waited = state["best"], state.get("best_step", 0), state["waited"]


class StopRequest:
    """True once a signal has asked to stop; calling it returns the same.

    Attributes
    ----------
    signal : int
        The number of the signal; 0 before one arrives.
    """

    def __init__(self) -> None:
        self.signal = 0
        self._noted_at = -math.inf
        self._raises = False

    def __bool__(self) -> bool:
        return self.signal != 0

    __call__ = __bool__


_ONE_REQUEST = 0.5  # seconds
# Signal handlers belong to the process, and so does the request that they set.
_active: list[StopRequest] = []


@contextlib.contextmanager
def graceful_stop() -> Iterator[StopRequest]:
    """Return a context in which SIGINT (Ctrl-C), SIGTERM and SIGHUP only set a flag.

    The same signal again, more than half a second later, raises KeyboardInterrupt; inside `interruptible` the first one
    does. (One Ctrl-C may arrive twice: from the terminal, and from a program that forwards it.) A SIGHUP that the
    process ignores, as under ``nohup``, stays ignored. Enter the context in the main thread, because Python delivers
    signals only there.

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
    names = [name for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)]
    before = {getattr(signal, name): signal.getsignal(getattr(signal, name)) for name in names}
    if before.get(getattr(signal, "SIGHUP", None)) is signal.SIG_IGN:
        del before[signal.SIGHUP]

    def note(number: int, _frame: FrameType | None) -> None:
        # Another signal may be pending here, so the handlers stay: Python would lose it.
        now = time.monotonic()
        again = request.signal == number and now > request._noted_at + _ONE_REQUEST
        if not request:
            request._noted_at = now
        request.signal = number
        if again or request._raises:
            raise KeyboardInterrupt

    _active.append(request)
    for number in before:
        signal.signal(number, note)
    try:
        yield request
    finally:
        for number in reversed(before):  # SIGINT last: until then Ctrl-C cannot raise here
            signal.signal(number, before[number])
        _active.remove(request)


@contextlib.contextmanager
def interruptible() -> Iterator[None]:
    """Return a context in which no work can be lost: a signal that `graceful_stop` notes raises KeyboardInterrupt.

    So a stop is obeyed at once, also while a kernel compiles. A signal noted before raises when the context is entered.
    Outside of `graceful_stop` the context changes nothing.

    Raises
    ------
    KeyboardInterrupt
        On SIGINT, SIGTERM or SIGHUP.

    Examples
    --------
    >>> from tinygrad_seq.train.stopping import interruptible
    >>> with interruptible():
    ...     pass  # e.g. read a corpus
    """
    request = _active[-1] if _active else StopRequest()
    before = request._raises
    request._raises = True
    try:
        if request:
            raise KeyboardInterrupt
        yield
    finally:
        request._raises = before
