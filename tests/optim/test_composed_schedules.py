"""Several schedules on one optimiser: together, one after the other, resumed, and what is refused."""

from __future__ import annotations

import itertools
import json

import pytest

import tinygrad_seq as ts
from tinygrad_seq.errors import ArgumentError

optim = ts.optim
chain = optim.ChainedScheduler
BASE = 0.3
METRICS = [5.0, 4.0, 4.0, 4.0, 4.0, 3.0, 3.0, 3.0, 3.0, 2.9, 2.9, 2.9, 2.9, 2.9, 2.9]


def sgd(rate=BASE):
    return optim.SGD([{"params": [ts.tensor([1.0])], "lr": lr} for lr in (rate, rate / 2)])


def step(schedules, metric):
    for schedule in schedules:
        schedule.step(metric) if isinstance(schedule, optim.ReduceLROnPlateau) else schedule.step()


def warm(t):
    return min(1.0, (t + 1) / 4)


def reductions(metrics, patience=1):
    """Return how often a plateau reduces, after each metric."""
    best, bad, count = float("inf"), 0, 0
    for metric in metrics:
        bad = 0 if metric < best * (1 - 1e-4) else bad + 1
        best = min(best, metric)
        if bad > patience:
            bad, count = 0, count + 1
    return count


def halved(t):
    return 0.5 ** reductions(METRICS[:t])


def warm_up(o):
    return optim.LinearWarmup(o, 4)


def decay(o):
    return optim.ExponentialLR(o, 0.9)


def steps(o):
    return optim.StepLR(o, 3, 0.5)


def plateau(o):
    return optim.ReduceLROnPlateau(o, factor=0.5, patience=1)


# What makes the schedules; what part of the first rate is left at step t.
COMPOSED = {
    "warm-up, plateau": (lambda o: [warm_up(o), plateau(o)], lambda t: warm(t) * halved(t)),
    "plateau, warm-up": (lambda o: [plateau(o), warm_up(o)], lambda t: warm(t) * halved(t)),
    "two": (lambda o: [steps(o), decay(o)], lambda t: 0.5 ** (t // 3) * 0.9**t),
    "three": (
        lambda o: [decay(o), plateau(o), optim.LambdaLR(o, warm)],
        lambda t: 0.9**t * halved(t) * warm(t),
    ),
    "chained": (lambda o: [optim.ChainedScheduler([steps(o), decay(o)])], lambda t: 0.5 ** (t // 3) * 0.9**t),
    "chained with an optimizer": (lambda o: [optim.ChainedScheduler([decay(o)], o)], lambda t: 0.9**t),
    "sequence": (
        lambda o: [optim.SequentialLR(o, [warm_up(o), decay(o)], milestones=[4])],
        lambda t: warm(t) if t < 4 else 0.9 ** (t - 4),
    ),
    "sequence of three": (
        lambda o: [optim.SequentialLR(o, [warm_up(o), steps(o), decay(o)], [3, 8])],
        lambda t: warm(t) if t < 3 else 0.5 ** ((t - 3) // 3) if t < 8 else 0.9 ** (t - 8),
    ),
    "sequence that leaves one out": (
        lambda o: [optim.SequentialLR(o, [warm_up(o), steps(o), decay(o)], [4, 4])],
        lambda t: warm(t) if t < 4 else 0.9 ** (t - 4),
    ),
    "sequence, plateau": (
        lambda o: [optim.SequentialLR(o, [warm_up(o), decay(o)], [4]), plateau(o)],
        lambda t: (warm(t) if t < 4 else 0.9 ** (t - 4)) * halved(t),
    ),
    "chain of a sequence": (
        lambda o: [optim.ChainedScheduler([optim.SequentialLR(o, [decay(o), steps(o)], [4]), warm_up(o)])],
        lambda t: (0.9**t if t < 4 else 0.5 ** ((t - 4) // 3)) * warm(t),
    ),
    "sequence of chains": (
        lambda o: [
            optim.SequentialLR(
                o, [optim.ChainedScheduler([decay(o), warm_up(o)]), optim.ChainedScheduler([steps(o)])], [5]
            )
        ],
        lambda t: 0.9**t * warm(t) if t < 5 else 0.5 ** ((t - 5) // 3),
    ),
}


@pytest.mark.parametrize("name", COMPOSED)
def test_rates_are_the_product_of_what_the_schedules_give(name: str) -> None:
    make, part = COMPOSED[name]
    optimizer = sgd()
    schedules = make(optimizer)
    for t, metric in enumerate(METRICS):
        for schedule in schedules:
            assert schedule.get_last_lr() == pytest.approx([BASE * part(t), BASE / 2 * part(t)], rel=1e-12)
            assert (schedule.last_epoch, schedule.base_lrs) == (t, [BASE, BASE / 2])
        step(schedules, metric)


@pytest.mark.parametrize("name", COMPOSED)
@pytest.mark.parametrize("cut", [0, 1, 4, 5, 9])
@pytest.mark.parametrize("optimizer_first", [True, False])
def test_saved_state_goes_on_exactly(name: str, cut: int, optimizer_first: bool) -> None:
    optimizer = sgd()
    schedules = COMPOSED[name][0](optimizer)
    for metric in METRICS[:cut]:
        step(schedules, metric)
    saved = json.loads(json.dumps([optimizer.state_dict(), *(schedule.state_dict() for schedule in schedules)]))
    later = sgd(7.0)
    resumed = COMPOSED[name][0](later)
    parts = [later, *resumed]
    pairs = list(zip(parts, saved, strict=True))
    for part, state in pairs if optimizer_first else reversed(pairs):
        part.load_state_dict(state)
    for metric in METRICS[cut:]:
        assert resumed[0].get_last_lr() == schedules[0].get_last_lr()
        step(schedules, metric)
        step(resumed, metric)


def test_a_state_of_an_optimizer_without_first_rates_goes_on_exactly() -> None:
    """As saved before optimisers knew the rates before any schedule."""
    optimizer = sgd()
    schedule = decay(optimizer)
    schedule.step()
    saved = optimizer.state_dict()
    for group in saved["param_groups"]:
        del group["initial_lr"]
    later = sgd(7.0)
    resumed = decay(later)
    later.load_state_dict(saved)
    resumed.load_state_dict(schedule.state_dict())
    schedule.step()
    resumed.step()
    assert resumed.get_last_lr() == schedule.get_last_lr()


ALONE = {
    "step": lambda o, last_epoch=-1: optim.StepLR(o, 3, 0.5, last_epoch),
    "milestones": lambda o, last_epoch=-1: optim.MultiStepLR(o, [2, 5], 0.5, last_epoch),
    "exponential": lambda o, last_epoch=-1: optim.ExponentialLR(o, 0.9, last_epoch),
    "lambda": lambda o, last_epoch=-1: optim.LambdaLR(o, warm, last_epoch),
    "cosine": lambda o, last_epoch=-1: optim.CosineAnnealingLR(o, 8, 0.01, last_epoch),
    "warm-up": lambda o, last_epoch=-1: optim.LinearWarmup(o, 5, last_epoch),
    "warm-up + cosine": lambda o, last_epoch=-1: optim.WarmupCosine(o, 3, 9, 0.01, last_epoch),
    "sequence": lambda o, last_epoch=-1: optim.SequentialLR(o, [warm_up(o), decay(o)], [4], last_epoch),
    "linear": lambda o, last_epoch=-1: optim.LinearLR(o, 0.2, 0.9, 5, last_epoch),
    "constant": lambda o, last_epoch=-1: optim.ConstantLR(o, 0.5, 4, last_epoch),
    "polynomial": lambda o, last_epoch=-1: optim.PolynomialLR(o, 6, 2.0, last_epoch),
    "multiplicative": lambda o, last_epoch=-1: optim.MultiplicativeLR(o, warm, last_epoch),
    "restarts": lambda o, last_epoch=-1: optim.CosineAnnealingWarmRestarts(o, 3, 2, 0.01, last_epoch),
    "cycles": lambda o, last_epoch=-1: optim.CyclicLR(o, 0.1, 0.5, 3, cycle_momentum=False, last_epoch=last_epoch),
    "one cycle": lambda o, last_epoch=-1: optim.OneCycleLR(o, 0.8, 20, last_epoch=last_epoch),
}


@pytest.mark.parametrize("name", ALONE)
@pytest.mark.parametrize("count", [1, 3, 4, 7])
def test_last_epoch_goes_on_after_that_step(name: str, count: int) -> None:
    optimizer = sgd()
    schedule = ALONE[name](optimizer)
    for _ in range(count):
        schedule.step()
    later = sgd(7.0)
    later.load_state_dict(optimizer.state_dict())
    resumed = ALONE[name](later, last_epoch=schedule.last_epoch - 1)
    for _ in range(6):
        assert (resumed.last_epoch, resumed.get_last_lr()) == (schedule.last_epoch, schedule.get_last_lr())
        schedule.step()
        resumed.step()


def test_last_epoch_takes_first_rates_named_in_the_groups() -> None:
    optimizer = optim.SGD([{"params": [ts.tensor([1.0])], "lr": 0.1, "initial_lr": 0.8}])
    assert optim.ExponentialLR(optimizer, 0.5, last_epoch=1).get_last_lr() == [0.2]


def test_a_schedule_made_later_begins_at_its_own_zero() -> None:
    optimizer = sgd()
    first = decay(optimizer)
    first.step()
    later = steps(optimizer)
    for t in range(1, 8):
        assert first.get_last_lr()[0] == pytest.approx(BASE * 0.9**t * 0.5 ** ((t - 1) // 3), rel=1e-12)
        first.step()
        later.step()


def test_removing_the_first_rates_begins_anew() -> None:
    optimizer = sgd()
    old = decay(optimizer)
    old.step()
    for group in optimizer.param_groups:
        group["lr"] = 0.5
        del group["initial_lr"]
    new = steps(optimizer)
    for _ in range(3):
        new.step()
    assert new.get_last_lr() == [0.25, 0.25]
    with pytest.raises(ArgumentError, match="ExponentialLR: expected a schedule that acts by itself"):
        old.step()


def test_a_part_cannot_be_stepped_by_itself() -> None:
    optimizer = sgd()
    parts = [decay(optimizer), steps(optimizer)]
    whole = optim.ChainedScheduler(parts)
    before = whole.get_last_lr()
    for part in parts:
        with pytest.raises(ArgumentError, match="got 'one that is part of another, or was replaced'"):
            part.step()
    assert (whole.get_last_lr(), parts[0].last_epoch) == (before, 0)


def made_by_hand():
    optimizer = sgd()
    decay(optimizer)
    optimizer.param_groups[0]["lr"] = 1.0
    return steps(optimizer)


def twice(o, kind=optim.ChainedScheduler):
    one = decay(o)
    kind([one])
    return kind([one])


def state_of(make):
    optimizer = sgd()
    return make(optimizer).state_dict()


def broken(**changes):
    optimizer = sgd()
    schedule = optim.ChainedScheduler([decay(optimizer), steps(optimizer)])
    schedule.load_state_dict({**schedule.state_dict(), **changes})


BAD = {
    "rates set by hand": (made_by_hand, "StepLR: expected the rates .* of the earlier schedules, got .*initial_lr"),
    "no first rates": (lambda: optim.StepLR(sgd(), 3, last_epoch=2), "expected initial_lr in every group"),
    "last_epoch": (lambda: optim.StepLR(sgd(), 3, last_epoch=-2), "an integer last_epoch >= -1, got -2"),
    "last_epoch float": (lambda: optim.StepLR(sgd(), 3, last_epoch=1.0), "an integer last_epoch"),  # type: ignore[arg-type]
    "an empty chain": (lambda: optim.ChainedScheduler([]), "schedules of an optimizer"),
    "an empty sequence": (lambda: optim.SequentialLR(sgd(), [], []), "0 milestones"),
    "a plateau in a chain": (lambda: optim.ChainedScheduler([plateau(sgd())]), "schedules that need no metric"),
    "no schedule": (lambda: optim.ChainedScheduler([decay(sgd()), 3]), "expected schedules, got 'a int'"),  # type: ignore[list-item]
    "other optimizers": (lambda: optim.ChainedScheduler([decay(sgd()), decay(sgd())]), "ExponentialLR number 1"),
    "another optimizer": (lambda: optim.SequentialLR(sgd(), [decay(sgd())], []), "ExponentialLR number 0"),
    "in two chains": (lambda: twice(sgd()), "that act on this optimizer by themselves"),
    "twice in a chain": (lambda: optim.ChainedScheduler([decay(sgd())] * 2), "ExponentialLR number 1"),
    "milestones": (lambda: optim.SequentialLR(o := sgd(), [decay(o), steps(o)], []), "1 milestones in order"),
    "milestones out of order": (
        lambda: optim.SequentialLR(o := sgd(), [decay(o), steps(o), steps(o)], [5, 3]),
        "2 milestones in order",
    ),
    "state of a part": (lambda: broken(schedulers=[]), "a state_dict with 2 schedulers"),
    "state of another part": (
        lambda: broken(schedulers=[state_of(plateau)] * 2),
        r"ExponentialLR: expected a state_dict with \('base_lrs', 'last_epoch'\)",
    ),
    "a time that is none": (lambda: broken(last_epoch=1.5), "an integer last_epoch"),
    "state without parts": (
        lambda: optim.ChainedScheduler([decay(sgd())]).load_state_dict(state_of(decay)),
        "1 schedulers",
    ),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_arguments_are_refused(case: str) -> None:
    make, message = BAD[case]
    with pytest.raises(ArgumentError, match=message):
        make()


def test_a_refused_composition_leaves_its_parts_as_they_were() -> None:
    optimizer = sgd()
    good, bad = decay(optimizer), plateau(optimizer)
    with pytest.raises(ArgumentError, match="no metric"):
        optim.ChainedScheduler([good, bad])
    good.step()
    assert good.get_last_lr()[0] == pytest.approx(0.9 * BASE)


def test_every_schedule_is_compared() -> None:
    kinds = {getattr(optim, name) for name in optim.__all__}
    schedules = {kind for kind in kinds if issubclass(kind if isinstance(kind, type) else int, optim.Scheduler)}
    made = [make(sgd()) for make, _ in COMPOSED.values()]
    made.append([make(sgd()) for make in ALONE.values()])
    assert schedules - {optim.Scheduler} == set(map(type, itertools.chain(*made))) | {optim.ReduceLROnPlateau}
