from __future__ import annotations

import os
import signal
import subprocess
import sys
import time

import pytest

from tinygrad_seq.train import EarlyStopping, graceful_stop
from tinygrad_seq.train.stopping import interruptible

SIGNALS = [signal.SIGINT, signal.SIGTERM, signal.SIGHUP]


def test_patience_counts_evaluations_in_a_row() -> None:
    stopping = EarlyStopping(patience=2)
    losses = (3.0, 3.0, 2.0, 2.5, float("nan"))
    seen = [(stopping.improves(loss), stopping.exhausted) for loss in losses]
    assert seen == [(True, False), (False, False), (True, False), (False, False), (False, True)]
    assert stopping.best == 2.0


def test_zero_never_stops_and_state_comes_back() -> None:
    stopping = EarlyStopping()
    for _ in range(5):
        stopping.improves(1.0)
    assert not stopping.exhausted
    other = EarlyStopping(patience=4)
    other.load_state_dict(stopping.state_dict())
    assert (other.best, other.waited, other.exhausted) == (1.0, 4, True)
    other.load_state_dict({"best": 2.0, "waited": 0})  # as version 0.1.0 saved it
    assert (other.best, other.best_step) == (2.0, 0)


def test_the_step_of_the_best_evaluation_is_known() -> None:
    stopping = EarlyStopping()
    for step, loss in enumerate((3.0, 2.0, 2.5, 2.0), 1):
        stopping.improves(loss, step)
    assert stopping.state_dict() == {"best": 2.0, "best_step": 2, "waited": 2}


@pytest.mark.parametrize("number", SIGNALS)
def test_signal_is_noted_and_handlers_come_back(number: signal.Signals) -> None:
    before = [signal.getsignal(each) for each in SIGNALS]
    with graceful_stop() as request:
        assert not request
        os.kill(os.getpid(), number)
        assert request
        assert request.signal == number
    assert [signal.getsignal(each) for each in SIGNALS] == before


@pytest.mark.parametrize("number", SIGNALS)
def test_the_same_signal_again_ends_at_once(number: signal.Signals) -> None:
    """But not if it comes at the same time, as from a program that forwards the Ctrl-C of a terminal."""
    with pytest.raises(KeyboardInterrupt), graceful_stop() as request:  # noqa: PT012
        os.kill(os.getpid(), number)
        os.kill(os.getpid(), number)
        time.sleep(0.6)
        assert request
        os.kill(os.getpid(), number)


def test_different_signals_at_once_are_one_request() -> None:
    """As when a terminal closes: Python would lose a pending signal if the first one changed the handlers."""
    code = (
        "import os, signal\n"
        "from tinygrad_seq.train import graceful_stop\n"
        "with graceful_stop() as request:\n"
        "    signal.pthread_sigmask(signal.SIG_BLOCK, {1, 2, 15})\n"
        "    for number in (2, 15, 1):\n"
        "        os.kill(os.getpid(), number)\n"
        "    signal.pthread_sigmask(signal.SIG_UNBLOCK, {1, 2, 15})\n"
        "    print('noted', request.signal in (1, 2, 15))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.stdout, done.stderr, done.returncode) == ("noted True\n", "", 0)


def test_nohup_is_respected() -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with graceful_stop() as request:
            os.kill(os.getpid(), signal.SIGHUP)
            assert not request
    finally:
        signal.signal(signal.SIGHUP, before)


@pytest.mark.parametrize("number", SIGNALS)
def test_a_signal_raises_at_once_where_nothing_can_be_lost(number: signal.Signals) -> None:
    with graceful_stop() as request:
        with pytest.raises(KeyboardInterrupt), interruptible():  # noqa: PT012
            os.kill(os.getpid(), number)
            raise AssertionError("the signal must have interrupted this")
        assert request.signal == number
        with pytest.raises(KeyboardInterrupt), interruptible():
            raise AssertionError("the signal was noted before")
    with interruptible():
        pass
