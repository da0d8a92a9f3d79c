"""Every schedule against its closed form; saved state goes on exactly."""

import json
import math
from typing import Any

import numpy as np
import pytest

import tinygrad_seq as ts
from tinygrad_seq.errors import ArgumentError

BASE = 0.3
optim = ts.optim


def sgd(*rates):
    return optim.SGD([{"params": [ts.tensor([1.0])], "lr": rate} for rate in rates or (BASE,)])


def cosine(part, low=0.0):
    return low + (BASE - low) * (1 + math.cos(math.pi * part)) / 2


# What makes the schedule; what its rate is at step t.
FORMULAS = {
    "step": (lambda o: optim.StepLR(o, 4, 0.5), lambda t: BASE * 0.5 ** (t // 4)),
    "milestones": (
        lambda o: optim.MultiStepLR(o, [7, 3, 3], 0.5),
        lambda t: BASE * (1 if t < 3 else 0.25 if t < 7 else 0.125),
    ),
    "exponential": (lambda o: optim.ExponentialLR(o, 0.9), lambda t: BASE * 0.9**t),
    "lambda": (lambda o: optim.LambdaLR(o, lambda t: 1 / (1 + t)), lambda t: BASE / (1 + t)),
    "cosine": (lambda o: optim.CosineAnnealingLR(o, 8, 0.01), lambda t: cosine(t / 8, 0.01)),
    "warm-up": (lambda o: optim.LinearWarmup(o, 5), lambda t: BASE * (t + 1) / 5 if t < 5 else BASE),
    "warm-up + cosine": (
        lambda o: optim.WarmupCosine(o, 5, 15, 0.01),
        lambda t: BASE * (t + 1) / 5 if t < 5 else cosine((t - 5) / 10, 0.01) if t < 15 else 0.01,
    ),
    "cosine without warm-up": (lambda o: optim.WarmupCosine(o, 0, 10), lambda t: cosine(min(t / 10, 1))),
}


@pytest.mark.parametrize("name", FORMULAS)
def test_the_rate_follows_the_formula_in_every_group(name):
    make, formula = FORMULAS[name]
    optimizer = sgd(BASE, BASE)
    scheduler = make(optimizer)
    for t in range(25):
        assert scheduler.get_last_lr() == pytest.approx([formula(t)] * 2, rel=1e-12, abs=1e-15)
        assert scheduler.last_epoch == t
        optimizer.step()
        scheduler.step()


def test_every_group_keeps_its_own_base():
    scheduler = optim.StepLR(sgd(1.0, 0.5), 1, 0.5)
    scheduler.step()
    assert scheduler.get_last_lr() == [0.5, 0.25]


def test_lambdas_may_differ_by_group():
    scheduler = optim.LambdaLR(sgd(1.0, 1.0), [lambda t: 1 / (1 + t), lambda t: 1.0])
    scheduler.step()
    assert scheduler.get_last_lr() == [0.5, 1.0]


@pytest.mark.parametrize("name", FORMULAS)
def test_saved_state_goes_on_exactly_through_json(name):
    make, _ = FORMULAS[name]
    optimizer = sgd()
    scheduler = make(optimizer)
    for _ in range(7):
        scheduler.step()
    later = sgd()
    later.load_state_dict(optimizer.state_dict())
    resumed = make(later)
    resumed.load_state_dict(json.loads(json.dumps(scheduler.state_dict())))
    for _ in range(10):
        assert resumed.get_last_lr() == scheduler.get_last_lr()
        scheduler.step()
        resumed.step()


def rates(scheduler, metrics):
    result = []
    for metric in metrics:
        scheduler.step(metric)
        result.append(scheduler.get_last_lr()[0])
    return result


def test_plateau_reduces_after_more_than_patience_bad_steps():
    scheduler = optim.ReduceLROnPlateau(sgd(1.0), factor=0.5, patience=2)
    assert rates(scheduler, [5, 4, 4, 4, 4, 3, 3, 3, 3]) == [1, 1, 1, 1, 0.5, 0.5, 0.5, 0.5, 0.25]


def test_plateau_waits_out_its_cooldown():
    scheduler = optim.ReduceLROnPlateau(sgd(1.0), factor=0.5, patience=0, cooldown=2)
    assert rates(scheduler, [1, 1, 1, 1, 1, 1]) == [1, 0.5, 0.5, 0.5, 0.25, 0.25]


@pytest.mark.parametrize(
    ("mode", "threshold_mode", "metrics", "improves"),
    [
        ("min", "rel", [10.0, 9.1], False),
        ("min", "rel", [10.0, 8.9], True),
        ("min", "abs", [10.0, 9.95], False),
        ("min", "abs", [10.0, 9.8], True),
        ("max", "rel", [10.0, 10.9], False),
        ("max", "rel", [10.0, 11.1], True),
        ("max", "abs", [10.0, 10.05], False),
        ("max", "abs", [10.0, 10.2], True),
        ("min", "rel", [10.0, math.nan], False),
    ],
)
def test_plateau_thresholds(mode, threshold_mode, metrics, improves):
    scheduler = optim.ReduceLROnPlateau(sgd(1.0), mode, 0.5, patience=0, threshold=0.1, threshold_mode=threshold_mode)
    assert rates(scheduler, metrics) == [1.0, 1.0 if improves else 0.5]


def test_plateau_stops_at_min_lr_and_never_raises_a_rate():
    scheduler = optim.ReduceLROnPlateau(sgd(1.0, 0.01), factor=0.1, patience=0, min_lr=0.05)
    for _ in range(4):
        scheduler.step(1.0)
    assert scheduler.get_last_lr() == [0.05, 0.01]


def test_plateau_state_goes_on_exactly_through_json():
    metrics = [3.0, 2.0, 2.0, 2.5, 1.0, 1.0, 1.0, 1.0, 0.5, 0.5, 0.5, 0.5]
    whole, first, second = (optim.ReduceLROnPlateau(sgd(), patience=1, cooldown=1, factor=0.3) for _ in range(3))
    expected = rates(whole, metrics)
    assert len(set(expected)) > 2
    for cut in range(len(metrics)):
        first = optim.ReduceLROnPlateau(sgd(), patience=1, cooldown=1, factor=0.3)
        second = optim.ReduceLROnPlateau(sgd(), patience=1, cooldown=1, factor=0.3)
        start = rates(first, metrics[:cut])
        second.load_state_dict(json.loads(json.dumps(first.state_dict())))
        assert start + rates(second, metrics[cut:]) == expected


BAD = {
    "no optimizer": (lambda: optim.StepLR([1], 3), "expected an optimizer"),  # type: ignore[arg-type]
    "step_size": (lambda: optim.StepLR(sgd(), 0), "step_size >= 1, got 0"),
    "step_size float": (lambda: optim.StepLR(sgd(), 2.5), "step_size >= 1, got 2.5"),  # type: ignore[arg-type]
    "step_size True": (lambda: optim.StepLR(sgd(), True), "step_size >= 1, got True"),
    "gamma": (lambda: optim.ExponentialLR(sgd(), -0.1), "gamma"),
    "milestone": (lambda: optim.MultiStepLR(sgd(), [3, -1]), "milestone >= 1, got -1"),
    "lambdas": (lambda: optim.LambdaLR(sgd(), [abs, abs]), "1 or 1 functions"),
    "T_max": (lambda: optim.CosineAnnealingLR(sgd(), 0), "T_max >= 1"),
    "eta_min": (lambda: optim.CosineAnnealingLR(sgd(), 3, math.nan), "eta_min"),
    "total_steps": (lambda: optim.WarmupCosine(sgd(), 5, 5), "total_steps >= 6, got 5"),
    "mode": (lambda: optim.ReduceLROnPlateau(sgd(), "least"), "mode 'min' or 'max'"),
    "threshold_mode": (lambda: optim.ReduceLROnPlateau(sgd(), threshold_mode="x"), "threshold_mode"),
    "factor": (lambda: optim.ReduceLROnPlateau(sgd(), factor=1.5), "factor"),
    "another schedule's state": (
        lambda: optim.StepLR(sgd(), 3).load_state_dict(optim.ReduceLROnPlateau(sgd()).state_dict()),
        "expected a state_dict with",
    ),
    "state of more groups": (
        lambda: optim.StepLR(sgd(), 3).load_state_dict(optim.StepLR(sgd(1, 2), 3).state_dict()),
        "expected 1 base_lrs",
    ),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_arguments_are_refused(case):
    make, message = BAD[case]
    with pytest.raises(ArgumentError, match=message):
        make()


def test_counts_may_be_numpy_integers():
    two: Any = np.int64(2)
    scheduler = optim.StepLR(sgd(), two)
    assert json.dumps(scheduler.step_size) == "2"


def test_a_group_added_after_the_schedule_is_refused_at_the_next_step():
    optimizer = sgd()
    scheduler = optim.StepLR(optimizer, 3)
    optimizer.add_param_group({"params": [ts.tensor([1.0])]})
    with pytest.raises(ArgumentError, match="expected 1 groups, got 2"):
        scheduler.step()
