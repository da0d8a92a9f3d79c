"""The learning rate over the steps of a run, also when settings change in between."""

from __future__ import annotations

import dataclasses
import itertools
import math
from typing import Any

import numpy as np
import pytest

import tinygrad_seq as ts
from tinygrad_seq.errors import ArgumentError
from tinygrad_seq.train import TrainingConfig
from tinygrad_seq.train.learning_rate import Schedule

CONFIG = TrainingConfig(lr=1.0, steps=100, warmup=10)


class Rates:
    """The rates of a run that is resumed with changes."""

    def __init__(self, config: TrainingConfig) -> None:
        self.config = config
        self.schedule = Schedule.of(config)
        self.optimizer = ts.optim.SGD([ts.tensor([1.0])], lr=config.lr)
        self.scheduler = self.schedule.build(self.optimizer)
        self.rates: list[float] = []

    def train(self, until: int) -> Rates:
        while len(self.rates) < until:
            self.rates.append(self.optimizer.param_groups[0]["lr"])
            self.scheduler.step()
        return self

    def change(self, *also: str, **changes: Any) -> Rates:
        self.config = dataclasses.replace(self.config, **changes)
        step, rate = len(self.rates), self.optimizer.param_groups[0]["lr"]
        schedule = self.schedule.changed(self.config, {*changes, *also}, step, rate)
        if schedule is not self.schedule:
            self.schedule, self.scheduler = schedule, schedule.build(self.optimizer)
            state = {**self.scheduler.state_dict(), "last_epoch": step - schedule.begin}
            self.scheduler.load_state_dict(state)
        return self


def cosine(start: float, end: float, part: float) -> float:
    return end + (start - end) * (1 + math.cos(math.pi * part)) / 2


def test_the_schedules_of_a_new_run() -> None:
    rates = Rates(CONFIG).train(120).rates
    assert rates[:10] == pytest.approx([(step + 1) / 10 for step in range(10)])
    assert rates[10:101] == pytest.approx([cosine(1.0, 0.01, step / 90) for step in range(91)])
    assert rates[101:] == [0.01] * 19
    constant = Rates(dataclasses.replace(CONFIG, schedule="constant")).train(20).rates
    assert constant == pytest.approx([min(1.0, (step + 1) / 10) for step in range(20)])


@pytest.mark.parametrize("at", [3, 9, 10, 11, 50, 99])
@pytest.mark.parametrize("steps", [105, 200, 1000])
def test_a_longer_run_extends_a_cosine_without_a_jump(at: int, steps: int) -> None:
    rates = Rates(CONFIG).train(at).change(steps=steps).train(steps + 5).rates
    before = Rates(CONFIG).train(100).rates
    assert rates[: at + 1] == before[: at + 1]  # the next rate is what it would have been
    after_warm_up = rates[10:]
    assert all(later <= earlier for earlier, later in itertools.pairwise(after_warm_up))
    assert np.abs(np.diff(after_warm_up)).max() <= np.abs(np.diff(before[10:])).max() * 1.5
    assert rates[steps:] == pytest.approx([0.01] * 5)
    if at > 10:
        start = before[at]
        assert rates[at:steps] == pytest.approx(
            [cosine(start, 0.01, step / (steps - at)) for step in range(steps - at)]
        )


def test_a_shorter_run_ends_at_the_lowest_rate() -> None:
    rates = Rates(CONFIG).train(50).change(steps=60).train(65).rates
    assert rates[50] == Rates(CONFIG).train(51).rates[50]
    assert rates[60:] == pytest.approx([0.01] * 5)


def test_a_cosine_that_has_ended_stays_at_its_lowest_until_a_rate_is_given() -> None:
    run = Rates(CONFIG).train(100).change(steps=200).train(150)
    assert run.rates[100:] == [0.01] * 50
    assert "stays at 0.01; the cosine has ended, and another --lr starts a new one" in str(run.schedule)
    run.change("lr").train(205)  # the lr of the config, given again
    assert run.rates[150] == 1.0
    assert run.rates[175] == pytest.approx(cosine(1.0, 0.01, 0.5))
    assert run.rates[200:] == pytest.approx([0.01] * 5)


def test_a_rate_starts_a_new_cosine_over_the_remaining_steps() -> None:
    rates = Rates(CONFIG).train(40).change(lr=0.5).train(105).rates
    assert rates[40:101] == pytest.approx([cosine(0.5, 0.005, step / 60) for step in range(61)])
    warmed = Rates(CONFIG).train(40).change(lr=0.5, warmup=4).train(101)
    assert str(warmed.schedule).endswith("to 0.005 at step 100, after a warm-up of 4 steps")
    with_warm_up = warmed.rates
    assert with_warm_up[40:45] == pytest.approx([0.125, 0.25, 0.375, 0.5, 0.5])
    assert with_warm_up[100] == pytest.approx(0.005)


def test_a_warm_up_that_is_not_over_continues_with_the_new_settings() -> None:
    rates = Rates(CONFIG).train(5).change(lr=0.2).train(101).rates
    assert rates[5:10] == pytest.approx([0.2 * (step + 1) / 10 for step in range(5, 10)])
    assert rates[10:101] == pytest.approx([cosine(0.2, 0.002, step / 90) for step in range(91)])


def test_another_kind_continues_from_the_present_rate() -> None:
    present = Rates(CONFIG).train(51).rates[50]
    assert Rates(CONFIG).train(50).change(schedule="constant").train(60).rates[50:] == [present] * 10
    run = Rates(CONFIG).train(50).change(schedule="plateau")
    assert run.optimizer.param_groups[0]["lr"] == present
    assert isinstance(run.scheduler, ts.optim.ReduceLROnPlateau)
    constant = Rates(dataclasses.replace(CONFIG, schedule="constant")).train(20).change(schedule="cosine").train(101)
    assert constant.rates[20:101] == pytest.approx([cosine(1.0, 0.01, step / 80) for step in range(81)])


@pytest.mark.parametrize("kind", ["constant", "plateau"])
def test_more_steps_do_not_concern_the_other_kinds(kind: str) -> None:
    run = Rates(dataclasses.replace(CONFIG, schedule=kind))
    before = run.schedule
    assert run.change(steps=500).schedule is before
    assert run.change(clip_norm=0.5, minutes=3.0).schedule is before


def test_nothing_changes_when_no_step_is_left() -> None:
    run = Rates(CONFIG).train(90)
    before = run.schedule
    assert run.change(steps=50).schedule is before


def test_a_warm_up_has_to_end_before_the_run() -> None:
    with pytest.raises(ArgumentError, match="expected warmup below 10, the steps from 90 to 100, got 20"):
        Rates(CONFIG).train(90).change(lr=0.5, warmup=20)
