"""What an interrupt leaves behind: nothing, at whichever moment it comes."""

from __future__ import annotations

import random

import pytest

import tinygrad_seq as ts
from tinygrad_seq.base import settings

from .interrupts import SCENARIOS, interrupted, same, state

MOMENTS = 25


@pytest.mark.parametrize("name", SCENARIOS)
def test_the_state_is_as_before_and_the_next_run_is_right(name: str) -> None:
    run = SCENARIOS[name]()
    expected, before = run(), state()
    same(run(), expected)  # what is remembered now is what later runs find
    moments = interrupted(run, 0)
    assert moments > 20
    draw = random.Random(name)
    for at in sorted(draw.sample(range(1, moments + 1), min(MOMENTS, moments))):
        reached = interrupted(run, at)
        assert reached == at or name == "threads", "no interrupt: only who runs which task may differ from run to run"
        assert state() == before, f"after an interrupt at moment {at} of {moments}"
        same(run(), expected)


class Naive:
    """Puts back what it found, as `__exit__` and `finally` do."""

    def __enter__(self) -> None:
        self.before = settings.default_dtype()
        settings.set_default_dtype("float64")

    def __exit__(self, *error: object) -> None:
        settings.set_default_dtype(self.before)


def test_what_has_to_be_put_back_is_seen_to_stay() -> None:
    def run() -> None:
        with Naive():
            ts.zeros(2)

    stuck, before = 0, state()
    for at in range(1, interrupted(run, 0, __file__) + 1):
        interrupted(run, at, __file__)
        stuck += state() != before
        settings.set_default_dtype("float32")
    assert stuck


def test_a_switch_that_is_kept_does_not_stay_on() -> None:
    off, before = ts.no_grad(), state()

    def run() -> None:
        with off, off:
            ts.zeros(2)

    for at in range(1, interrupted(run, 0) + 1):
        interrupted(run, at)
        assert state() == before
