from __future__ import annotations

import itertools
import math
from typing import Any

import numpy as np
import pytest

import tinygrad_seq as ts
from tinygrad_seq.base import settings
from tinygrad_seq.data import Windows
from tinygrad_seq.errors import AnomalyError, ArgumentError, CheckpointError
from tinygrad_seq.train import LanguageModel, TrainingSteps, evaluate, loop

TOKENS = np.random.default_rng(0).integers(6, size=47)


def make(**options) -> TrainingSteps:
    ts.manual_seed(1)
    model = LanguageModel(6, 3, 5, cell="gru", dropout=0.3)
    optimizer = ts.optim.Adam(model.parameters(), lr=0.02)
    scheduler = ts.optim.WarmupCosine(optimizer, 2, 20)
    return TrainingSteps(model, Windows(TOKENS, 2, 5), optimizer, scheduler=scheduler, **options)


def take(steps: TrainingSteps, count: int) -> list:
    return list(itertools.islice(steps, count))


def test_ten_lines_are_a_training_loop() -> None:
    ts.manual_seed(0)
    text = [0, 1, 2, 3, 4] * 60
    model = LanguageModel(5, embedding_size=4, hidden_size=8, cell="lstm")
    optimizer = ts.optim.Adam(model.parameters(), lr=0.05)
    state = None
    for _ in range(5):
        for inputs, targets in Windows(text, batch_size=4, window=15):
            optimizer.zero_grad()
            logits, state = model(inputs, state)
            loss = ts.cross_entropy(logits, targets)
            loss.backward()
            ts.optim.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            state = ts.nn.detach_state(state)
    assert loss.item() < 0.3


def test_steps_are_that_loop() -> None:
    seen = take(make(clip_norm=0.5), 7)
    other = make()
    losses = []
    for _ in range(2):
        state = None
        for inputs, targets in other.windows:
            other.optimizer.zero_grad()
            logits, state = other.model(inputs, state)
            loss = ts.cross_entropy(logits, targets)
            loss.backward()
            ts.optim.clip_grad_norm_(other.model.parameters(), 0.5)
            other.optimizer.step()
            assert isinstance(other.scheduler, ts.optim.Scheduler)
            other.scheduler.step()
            state = ts.nn.detach_state(state)
            losses.append(loss.item())
    assert [step.loss for step in seen] == losses[:7]
    assert [step.number for step in seen] == [1, 2, 3, 4, 5, 6, 7]
    assert [step.tokens for step in seen] == [10, 10, 10, 10, 6, 10, 10]
    assert all(math.isfinite(step.gradient_norm) for step in seen)


@pytest.mark.parametrize("pause", [1, 4, 5, 6, 10])
def test_going_on_from_a_state_dict_is_bit_exact(pause: int) -> None:
    straight = make()
    expected = take(straight, 12)
    first = make()
    before = take(first, pause)
    state = first.state_dict()
    second = make()
    ts.manual_seed(99)
    second.load_state_dict(state)
    after = take(second, 12 - pause)
    assert before + after == expected
    for (name, left), right in zip(
        straight.model.state_dict().items(), second.model.state_dict().values(), strict=True
    ):
        assert left.tobytes() == right.tobytes(), name


@pytest.mark.parametrize("restart", [0.0, 0.5, 1.0])
def test_a_unit_begins_from_the_initial_state_as_often_as_asked_for(restart: float) -> None:
    steps, forward = make(begins=3, restart=restart), LanguageModel.forward
    model: Any = steps.model
    given: list[Any] = []

    def watched(tokens, state, reset=None):
        given.append((tokens == 3, np.zeros(tokens.shape, bool) if reset is None else reset))
        return forward(model, tokens, state, reset=reset)

    steps.model.forward = watched  # type: ignore[method-assign]
    take(steps, 40)
    begins, reset = (np.concatenate([flags.ravel() for flags in column]) for column in zip(*given, strict=True))
    assert not reset[~begins].any()
    assert abs(reset[begins].mean() - restart) < (0.15 if restart == 0.5 else 1e-9)


def test_a_restart_that_is_no_probability_is_refused() -> None:
    with pytest.raises(ArgumentError, match="expected restart to be from 0 to 1, got 2"):
        make(begins=3, restart=2)


def test_a_diverging_step_changes_nothing() -> None:
    steps = make()
    next(steps.model.parameters()).data[...] = np.inf
    before = {name: array.copy() for name, array in steps.model.state_dict().items()}
    with np.errstate(all="ignore"), pytest.raises(AnomalyError, match="at step 1"):
        next(iter(steps))
    for name, array in steps.model.state_dict().items():
        np.testing.assert_array_equal(array, before[name])


@pytest.mark.parametrize("factor", [1.0, 0.0], ids=["inf", "nan"])
def test_a_gradient_that_is_not_finite_beside_a_finite_loss_changes_nothing(
    monkeypatch: pytest.MonkeyPatch, factor: float
) -> None:
    """The loss alone does not tell: the root of zero is finite, and its slope is not."""
    steps = make(clip_norm=1.0)
    weight = next(steps.model.parameters())

    def loss(logits, _, **_options):
        return ((weight - weight.detach()) * factor).sum().sqrt() + logits.sum() * 0

    monkeypatch.setattr(loop, "cross_entropy", loss)
    assert isinstance(steps.scheduler, ts.optim.Scheduler)
    before, optimizer, scheduler = (part.state_dict() for part in (steps.model, steps.optimizer, steps.scheduler))
    expected = r"expected a finite loss and gradient at step 1, got loss 0\.0 and gradients that are not"
    with pytest.raises(AnomalyError, match=expected):
        next(iter(steps))
    for name, array in steps.model.state_dict().items():
        np.testing.assert_array_equal(array, before[name])
    assert (steps.number, steps.optimizer.state_dict(), steps.scheduler.state_dict()) == (0, optimizer, scheduler)


def test_a_state_that_lacks_something_is_refused() -> None:
    steps = make()
    state = steps.state_dict()
    del state["optimizer"]
    with pytest.raises(CheckpointError, match="optimizer"):
        steps.load_state_dict(state)


def test_plateau_is_left_to_the_caller() -> None:
    steps = make()
    steps.scheduler = ts.optim.ReduceLROnPlateau(steps.optimizer, patience=0)
    take(steps, 3)
    assert steps.scheduler.last_epoch == 0


def with_two_schedules(pause: int) -> tuple[TrainingSteps, ts.optim.ReduceLROnPlateau]:
    steps = make()
    optimizer = ts.optim.SGD(steps.model.parameters(), lr=0.4)
    plateau = ts.optim.ReduceLROnPlateau(optimizer, factor=0.5, patience=0)
    steps.optimizer, steps.scheduler = optimizer, [ts.optim.LinearWarmup(optimizer, 4), plateau]
    for _ in range(pause):
        take(steps, 1)
        plateau.step(1.0)
    return steps, plateau


def test_a_plateau_reduces_the_rate_that_a_warm_up_gives_also_when_resumed() -> None:
    straight, plateau = with_two_schedules(2)
    state = straight.state_dict()
    resumed, other = with_two_schedules(0)
    resumed.load_state_dict(state)
    rates = []
    for _ in range(4):
        (step,) = take(straight, 1)
        assert take(resumed, 1)[0].lr == step.lr
        plateau.step(1.0)
        other.step(1.0)
        rates.append(step.lr)
    assert rates == pytest.approx([0.4 * 0.75 * 0.5, 0.4 * 0.25, 0.4 * 0.125, 0.4 * 0.0625])
    with pytest.raises(CheckpointError, match="expected the state of 1 schedules, got that of 2"):
        make().load_state_dict(state)


def test_evaluate_is_the_mean_over_all_tokens() -> None:
    model = LanguageModel(6, 3, 5, cell="lstm", dropout=0.5)
    expected = -model.log_probability(TOKENS).mean()
    assert evaluate(model, TOKENS, batch_size=1, window=7) == pytest.approx(expected, rel=1e-5)
    assert evaluate(model, TOKENS, batch_size=1, window=1000) == pytest.approx(expected, rel=1e-5)
    assert evaluate(model, TOKENS, batch_size=4, window=5) == pytest.approx(expected, rel=0.1)
    assert model.training
    assert evaluate(model, TOKENS[:2]) == pytest.approx(-model.log_probability(TOKENS[:2])[0], rel=1e-5)


def test_a_limit_reads_the_first_part_of_streams_that_are_spread_over_the_text() -> None:
    model = LanguageModel(6, 3, 5, cell="lstm")
    seen: list[tuple[int, int]] = []
    limited = evaluate(model, TOKENS, batch_size=2, window=5, limit=15, progress=lambda *at: seen.append(at))
    assert seen == [(0, 14), (10, 14), (14, 14)]
    streams = [TOKENS[:8], TOKENS[23:31]]  # 46 targets in two streams of 23, of which 7 are read
    expected = -np.concatenate([model.log_probability(stream) for stream in streams]).mean()
    assert limited == pytest.approx(expected, rel=1e-5)
    whole = evaluate(model, TOKENS, batch_size=2, window=5)
    assert evaluate(model, TOKENS, batch_size=2, window=5, limit=1000) == whole
    assert math.isfinite(evaluate(model, TOKENS, batch_size=2, window=5, limit=1))


def test_an_exception_of_progress_ends_an_evaluation() -> None:
    def stop(done: int, _total: int) -> None:
        if done:
            raise KeyboardInterrupt

    model = LanguageModel(6, 3, 5)
    with pytest.raises(KeyboardInterrupt):
        evaluate(model, TOKENS, batch_size=2, window=5, progress=stop)
    assert model.training


USES = {
    "training": lambda model, steps: take(steps, 2),
    "evaluate": lambda model, steps: evaluate(model, TOKENS),
    "log_probability": lambda model, steps: model.log_probability(TOKENS),
    "sample": lambda model, steps: list(itertools.islice(model.sample([1, 2, 3]), 3)),
}


@pytest.mark.parametrize("use", USES)
def test_every_part_keeps_its_own_mode(use: str) -> None:
    steps = make()
    model: Any = steps.model
    frozen = model.recurrent.eval()
    for part in frozen.modules():
        part.requires_grad_(False)
    USES[use](model, steps)
    assert model.training
    assert not any(part.training for part in frozen.modules())


def test_training_switches_a_model_in_evaluation_to_training() -> None:
    steps = make()
    steps.model.eval()
    take(steps, 1)
    assert all(part.training for part in steps.model.modules())


def test_evaluate_leaves_no_gradient_and_no_random_numbers() -> None:
    model = LanguageModel(6, 3, 5, dropout=0.5)
    before = ts.manual_seed(3).bit_generator.state
    evaluate(model, TOKENS)
    assert settings.generator().bit_generator.state == before
    assert all(parameter.grad is None for parameter in model.parameters())


def test_a_checkpoint_of_0_1_0_numbers_parameters_in_the_order_of_its_model() -> None:
    """There, own parameters could come after those of the modules in a module."""

    class Cell(ts.nn.Cell):
        def __init__(self, input_size: int, hidden_size: int) -> None:
            self.state_shape, self.gate = (hidden_size,), ts.nn.Linear(input_size, hidden_size)
            self.scale = ts.nn.Parameter(ts.ones(hidden_size))

        def forward(self, x, h):
            h = (self.gate(x) + self.scale * h).tanh()
            return h, h

    def steps_of_a_model() -> TrainingSteps:
        model = LanguageModel(6, 3, 5, cell=Cell)
        return TrainingSteps(model, Windows(TOKENS, 2, 5), ts.optim.Adam(model.parameters(), lr=0.05))

    with ts.disable_compile():
        steps = steps_of_a_model()
        take(steps, 2)
    state = steps.state_dict()
    names = [name for name, _ in steps.model.named_parameters()]
    scale = next(name for name in names if name.endswith("scale"))
    at = names.index(scale)
    old = [*names[:at], *names[at + 1 : at + 3], scale, *names[at + 3 :]]
    assert old != names
    before = {"model": {name: state["model"][name] for name in old}, "optimizer": dict(state["optimizer"])}
    before["optimizer"]["state"] = {k: state["optimizer"]["state"][names.index(name)] for k, name in enumerate(old)}
    other = steps_of_a_model()
    other.load_state_dict({**state, **before})
    np.testing.assert_equal(other.optimizer.state_dict(), state["optimizer"])
    other.load_state_dict(state)
    np.testing.assert_equal(other.optimizer.state_dict(), state["optimizer"])
