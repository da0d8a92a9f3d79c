from __future__ import annotations

import os
import signal

import pytest

from tinygrad_seq.train import EarlyStopping, graceful_stop


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


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_signal_is_noted_and_handlers_come_back(number: signal.Signals) -> None:
    before = signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)
    with graceful_stop() as request:
        assert not request
        os.kill(os.getpid(), number)
        assert request
        assert request.signal == number
    assert (signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)) == before


def test_second_ctrl_c_ends_at_once() -> None:
    with pytest.raises(KeyboardInterrupt), graceful_stop():  # noqa: PT012
        os.kill(os.getpid(), signal.SIGINT)
        os.kill(os.getpid(), signal.SIGINT)
