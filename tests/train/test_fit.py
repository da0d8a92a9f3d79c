"""`ts.fit` is the loop that one would write by hand, with the same bits, whatever stops and resumes it."""

from __future__ import annotations

import math
import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tinygrad_seq as ts
from tinygrad_seq.base import settings
from tinygrad_seq.data import Windows
from tinygrad_seq.errors import AnomalyError
from tinygrad_seq.train import Callback, History, LanguageModel, RunFolder, Step, graceful_stop
from tinygrad_seq.train.fit_run import Fit

RNG = np.random.default_rng(0)
X = RNG.normal(size=(23, 3)).astype("float32")
Y = (X @ np.array([[1.0], [-2.0], [0.5]], "float32") + 0.3 * RNG.normal(size=(23, 1))).astype("float32")
BATCHES = [(X[n : min(n + 4, 14)], Y[n : min(n + 4, 14)]) for n in range(0, 14, 4)]  # of 4, 4, 4 and 2
HELD_OUT = [(X[14:19], Y[14:19]), (X[19:], Y[19:])]
TEST = [(X[:3], Y[:3])]


def make(seed: int = 0, lr: float = 0.05) -> tuple[Any, ts.optim.Adam]:
    ts.manual_seed(seed)
    model = ts.nn.Sequential(ts.nn.Linear(3, 5), ts.nn.Tanh(), ts.nn.Dropout(0.2), ts.nn.Linear(5, 1))
    return model, ts.optim.Adam(model.parameters(), lr=lr)


def weights(model: Any) -> list[bytes]:
    return [array.tobytes() for array in model.state_dict().values()]


def timeless(history: History) -> list[dict[str, Any]]:
    return [{name: value for name, value in row.items() if name != "seconds"} for row in history]


def shuffled() -> Iterator[Any]:
    """One epoch in an order drawn by the process-wide generator."""
    for i in settings.generator().permutation(len(BATCHES)):
        yield BATCHES[i]


class Saving:
    """Batches that save their position."""

    def __init__(self) -> None:
        self.position = 0

    def __iter__(self) -> Iterator[Any]:
        while self.position < len(BATCHES):
            self.position += 1
            yield BATCHES[self.position - 1]
        self.position = 0

    def state_dict(self) -> dict[str, Any]:
        return {"position": self.position}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.position = state["position"]


class Sized(Saving):
    def __len__(self) -> int:
        return len(BATCHES)


SOURCES: dict[str, Callable[[], Any]] = {
    "list": lambda: BATCHES,
    "function": lambda: shuffled,
    "saving": Saving,
    "sized": Sized,
}


# ---------------------------------------------------------------------------------------- the loop by hand


def test_it_is_the_loop_by_hand() -> None:
    model, adam = make()
    schedule = ts.optim.WarmupCosine(adam, 2, 12)
    losses, rates = [], []
    for _ in range(3):
        for x, y in shuffled():
            loss = ts.mse_loss(model(x), y)
            adam.zero_grad()
            loss.backward()
            rates.append(adam.param_groups[0]["lr"])
            adam.step(max_norm=0.5)
            schedule.step()
            losses.append(loss.item() * len(y))
    expected = weights(model)
    model, adam = make()
    seen: list[Step] = []

    class Watch(Callback):
        def on_step(self, fit: Fit, step: Step) -> None:
            seen.append(step)

    schedule = ts.optim.WarmupCosine(adam, 2, 12)
    history = ts.fit(
        model,
        shuffled,
        ts.mse_loss,
        optimizer=adam,
        scheduler=schedule,
        epochs=3,
        clip_norm=0.5,
        validation=HELD_OUT,
        restore_best=False,
        callbacks=Watch(),
        log=None,
    )
    assert weights(model) == expected
    assert [step.loss * step.weight for step in seen] == losses
    assert [step.lr for step in seen] == rates
    assert history["step"] == [4, 8, 12]
    assert history["epoch"] == [1, 2, 3]
    assert history["loss"] == pytest.approx([sum(losses[n : n + 4]) / 14 for n in (0, 4, 8)], rel=1e-12)
    assert history.finished


def test_the_means_over_ragged_batches_are_exact() -> None:
    model, _ = make()
    model.eval()
    whole = ts.mse_loss(model(X[14:]), Y[14:]).item()
    largest = ts.train.measure(model, HELD_OUT, ts.mse_loss, metrics={"worst": lambda out, y: (abs(out - y).max(), 1)})
    assert largest["loss"] == pytest.approx(whole, rel=1e-6)
    assert largest["weight"] == 9
    model.train()

    def padded_mean(outputs: ts.Tensor, y: np.ndarray, lengths: int) -> tuple[ts.Tensor, int]:
        return ts.mse_loss(outputs[:lengths], y[:lengths]), lengths

    padded = [(x, (y, n)) for (x, y), n in zip(HELD_OUT, (5, 2), strict=True)]
    model.eval()
    expected = ts.mse_loss(model(X[14:21]), Y[14:21]).item()
    assert ts.train.measure(model, padded, padded_mean)["loss"] == pytest.approx(expected, rel=1e-6)


def test_inputs_and_targets_by_position_and_by_name() -> None:
    class Model(ts.nn.Module):
        def __init__(self) -> None:
            self.w = ts.nn.Parameter(ts.ones(1))

        def forward(self, a: Any, b: Any = 0.0) -> ts.Tensor:
            return self.w * (a + 2 * b)

    def loss(outputs: ts.Tensor, target: Any = 0.0, scale: float = 1.0) -> ts.Tensor:
        return ((outputs - target) ** 2).mean() * scale

    a, b = np.array([1, 2], "float32"), np.array([3, 4], "float32")
    batches = [
        ((a, b), (7.0, 2.0)),
        ({"a": a, "b": b}, {"target": 7.0, "scale": 2.0}),
        (a + 2 * b, {"scale": 2.0, "target": 7.0}),
    ]
    values = [ts.train.measure(Model(), [batch], loss)["loss"] for batch in batches]
    assert values == [2 * float(np.mean((a + 2 * b - 7) ** 2))] * 3
    assert ts.train.measure(Model(), [(a, ())], loss)["weight"] == 1


@ts.disable_compile()
def test_a_stateful_model_is_trained_as_a_language_model_is() -> None:
    tokens = np.random.default_rng(0).integers(6, size=47)

    def parts() -> tuple[LanguageModel, Any, Windows]:
        ts.manual_seed(1)
        model = LanguageModel(6, 3, 5, cell="gru", dropout=0.3)
        return model, ts.optim.Adam(model.parameters(), lr=0.02), Windows(tokens, 2, 5)

    model, adam, windows = parts()
    steps = iter(ts.train.TrainingSteps(model, windows, adam, clip_norm=0.5))
    losses = [next(steps).loss for _ in range(13)]
    other, adam, windows = parts()
    history = ts.fit(
        other,
        windows,
        lambda logits, targets: ts.cross_entropy(logits, targets, axis=-1),
        optimizer=adam,
        steps=13,
        clip_norm=0.5,
        stateful=True,
        evaluate_every=1,
        validation=Windows(tokens, 2, 7),
        restore_best=False,
        log=None,
    )
    assert history["loss"] == losses
    assert weights(other) == weights(model)
    expected = ts.train.evaluate(model, tokens, batch_size=2, window=7)
    assert history["validation_loss"][-1] == pytest.approx(expected, rel=1e-6)


# -------------------------------------------------------------------------------------- stops and resumption


class StopAt(Callback):
    """Counts the steps, as part of the checkpoint, and sends a signal after one of them."""

    def __init__(self, number: int | None) -> None:
        self.number, self.count = number, 0

    def on_step(self, fit: Fit, step: Step) -> None:
        self.count += 1
        assert self.count == fit.step
        if fit.step == self.number:
            os.kill(os.getpid(), signal.SIGTERM)

    def state_dict(self) -> dict[str, Any]:
        return {"count": self.count}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.count = state["count"]


def run_fit(folder: Path | None, source: str, stop_at: int | None = None, **options: Any) -> tuple[Any, History]:
    model, adam = make()
    plateau = ts.optim.ReduceLROnPlateau(adam, factor=0.5, patience=0)
    given: dict[str, Any] = {
        "scheduler": [ts.optim.LinearWarmup(adam, 6), plateau],
        "epochs": 3,
        "validation": HELD_OUT,
        "test": TEST,
        "metrics": {"error": lambda outputs, y: abs(outputs - y).mean()},
        "callbacks": [StopAt(stop_at)],
        "log": None,
        "run": folder,
    }
    with graceful_stop():
        history = ts.fit(model, SOURCES[source](), ts.mse_loss, optimizer=adam, **{**given, **options})
    return model, history


def same_run(left: Path, right: Path) -> None:
    """Raise unless two runs have the same rows and checkpoints, but for the clock."""
    one, other = RunFolder.open(left), RunFolder.open(right)
    assert timeless(History(one.rows())) == timeless(History(other.rows()))
    for name in (None, "best"):
        first, second = (run.load(name) for run in (one, other))
        for content in (first, second):
            content.pop("seconds")
        np.testing.assert_equal(first, second)


BY_STEPS = {"evaluate_every": 3, "report_every": 2}
BESIDE_THE_END = {"evaluate_every": 5, "report_every": 2}  # the last step has a row before its pass ends


@pytest.mark.parametrize(
    ("source", "options"),
    [
        ("list", {}),
        ("function", {}),
        ("function", BESIDE_THE_END),
        ("sized", {"report_every": 3}),
        ("sized", BESIDE_THE_END),
        ("saving", BY_STEPS),
    ],
)
def test_resumed_at_every_step_it_has_the_same_bits(tmp_path: Path, source: str, options: dict[str, Any]) -> None:
    model, straight = run_fit(tmp_path / "straight", source, **options)
    assert straight.finished
    run_fit(tmp_path / "paused", source, 1, **options)
    for number in range(2, 13):
        _, part = run_fit(tmp_path / "paused", source, number, resume=True, **options)
        assert not part.finished
    other, history = run_fit(tmp_path / "paused", source, resume=True, **options)
    assert timeless(history) == timeless(straight)
    assert weights(other) == weights(model)
    same_run(tmp_path / "straight", tmp_path / "paused")
    without, rows = run_fit(None, source, **options)
    assert timeless(rows) == timeless(straight)
    assert weights(without) == weights(model)
    # a finished run is returned; a longer one goes on
    again, history = run_fit(tmp_path / "paused", source, resume=True, **options)
    assert timeless(history) == timeless(straight)
    assert weights(again) == weights(model)


@pytest.mark.parametrize("evaluation", [1, 3])
def test_a_stop_during_an_evaluation_loses_nothing(tmp_path: Path, evaluation: int) -> None:
    straight, _ = run_fit(tmp_path / "straight", "function")
    count = 0

    def held_out() -> Iterator[Any]:
        nonlocal count
        count += 1
        yield HELD_OUT[0]
        if count == evaluation:
            os.kill(os.getpid(), signal.SIGTERM)
        yield HELD_OUT[1]

    _, part = run_fit(tmp_path / "run", "function", validation=held_out)
    assert not part.finished
    assert len(part) == evaluation - 1
    model, _ = run_fit(tmp_path / "run", "function", resume=True)
    assert weights(model) == weights(straight)
    same_run(tmp_path / "straight", tmp_path / "run")


def test_a_longer_run_and_going_back(tmp_path: Path) -> None:
    run_fit(tmp_path / "long", "function", epochs=5, test=None)
    run_fit(tmp_path / "run", "function", epochs=2, test=None)
    _, history = run_fit(tmp_path / "run", "function", epochs=5, resume=True, test=None)
    same_run(tmp_path / "long", tmp_path / "run")
    folder = RunFolder.open(tmp_path / "run")
    assert folder.config["epochs"] == 5
    assert folder.config["optimizer"] == "Adam"
    earlier = folder.checkpoints()[-1].stem
    _, back = run_fit(tmp_path / "run", "function", epochs=5, resume=earlier, test=None)
    assert timeless(back) == timeless(history)
    same_run(tmp_path / "long", tmp_path / "run")
    model, _ = make(7)
    assert folder.load_weights(model) == history.best_step


def test_early_stopping_ends_with_the_best_weights(tmp_path: Path) -> None:
    options: dict[str, Any] = {"lr": 0.5}
    kept: list[tuple[float, list[bytes]]] = []

    class Keep(Callback):
        def on_evaluation(self, fit: Fit, row: dict[str, Any]) -> None:
            kept.append((row["validation_loss"], weights(fit.model)))

    model, adam = make(**options)
    history = ts.fit(
        model,
        BATCHES,
        ts.mse_loss,
        optimizer=adam,
        epochs=100,
        validation=HELD_OUT,
        patience=2,
        callbacks=Keep(),
        run=tmp_path / "run",
        log=None,
    )
    values = history["validation_loss"]
    assert values == [value for value, _ in kept]
    best = int(np.argmin(values))
    assert 3 <= len(values) == best + 3 < 100
    assert weights(model) == kept[best][1]
    assert history.best is history.rows[best]
    folder = RunFolder.open(tmp_path / "run")
    assert folder.load("best")["steps"]["number"] == history.best_step == history["step"][best]
    assert folder.load()["steps"]["number"] == history.steps
    assert [value.tobytes() for value in folder.load()["steps"]["model"].values()] == kept[-1][1]


def test_a_metric_that_is_better_when_it_is_higher() -> None:
    class Total:
        def reset(self) -> None:
            self.count, self.calls = 0, getattr(self, "calls", 0) + 1

        def update(self, outputs: Any, y: Any) -> None:
            self.count += len(y)

        def compute(self) -> float:
            return self.count + min(self.calls, 3) * 1.0

    model, adam = make()
    history = ts.fit(
        model,
        BATCHES,
        ts.mse_loss,
        optimizer=adam,
        epochs=20,
        validation=HELD_OUT,
        metrics={"total": Total()},
        monitor="validation_total",
        mode="max",
        patience=2,
        log=None,
    )
    assert history["validation_total"] == [10, 11, 12, 12, 12]
    assert history.best_step == 12


# ------------------------------------------------------------------------------------------------- callbacks


def test_callbacks_are_called_in_order_and_may_end_the_run() -> None:
    calls: list[str] = []

    class Watch:
        def __init__(self, name: str) -> None:
            self.name = name

        def on_start(self, fit: Fit) -> None:
            calls.append(f"{self.name} start {fit.step}")

        def on_step(self, fit: Fit, step: Step) -> None:
            calls.append(f"{self.name} step {step.number} of epoch {fit.epoch}")
            if step.number == 5:
                fit.stop()

        def on_evaluation(self, fit: Fit, row: dict[str, Any]) -> None:
            calls.append(f"{self.name} row {row['step']}")
            row[self.name] = np.float32(len(calls))

        def on_end(self, fit: Fit) -> None:
            calls.append(f"{self.name} end")

    model, adam = make()
    rows: list[dict[str, Any]] = []
    history = ts.fit(
        model,
        BATCHES,
        ts.mse_loss,
        optimizer=adam,
        epochs=9,
        callbacks=(Watch("a"), Watch("b")),
        log=[rows.append, lambda row: calls.append("log")],
    )
    events = ["start 0", *(f"step {n} of epoch 1" for n in range(1, 5)), "row 4", "log", "step 5 of epoch 2", "row 5"]
    expected = [f"{name} {event}" if event != "log" else event for event in events for name in "ab"]
    expected = [event for n, event in enumerate(expected) if event != "log" or n % 2]
    assert calls == [*expected, "log", "a end", "b end"]
    assert history.finished
    assert rows == history.rows
    assert [type(row["a"]) for row in rows] == [float, float]


def test_modes_return_and_evaluations_leave_no_trace() -> None:
    model, adam = make()
    model.eval()
    model[2].train()
    ts.fit(model, BATCHES, ts.mse_loss, optimizer=adam, epochs=1, validation=HELD_OUT, log=None)
    assert [part.training for part in model.modules()] == [False, False, False, True, False]
    states = settings.generator().bit_generator.state

    def drawing() -> Iterator[Any]:
        settings.generator().random(3)
        yield from HELD_OUT

    ts.train.measure(model, drawing, ts.mse_loss)
    assert settings.generator().bit_generator.state == states


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_a_loss_that_is_not_finite_changes_nothing(tmp_path: Path, bad: float) -> None:
    model, adam = make()
    kept: list[list[bytes]] = []

    class Keep(Callback):
        def on_step(self, fit: Fit, step: Step) -> None:
            kept.append(weights(fit.model))

    batches = [*BATCHES[:2], (X[:1] * np.float32(bad), Y[:1])]
    with np.errstate(all="ignore"), pytest.raises(AnomalyError, match="finite loss and gradient at step 3"):
        ts.fit(
            model,
            batches,
            ts.mse_loss,
            optimizer=adam,
            steps=9,
            evaluate_every=2,
            callbacks=Keep(),
            run=tmp_path / "run",
            log=None,
        )
    assert weights(model) == kept[-1]
    assert RunFolder.open(tmp_path / "run").load()["steps"]["number"] == 2
    with pytest.raises(AnomalyError, match="finite value to compare evaluations by, got"):
        ts.fit(model, BATCHES, ts.mse_loss, epochs=1, validation=[(X[:1], Y[:1] * np.float32(bad))], log=None)


def test_minutes_end_a_run() -> None:
    model, adam = make()
    history = ts.fit(model, shuffled, ts.mse_loss, optimizer=adam, minutes=1e-9, log=None)
    assert history["step"] == [1]


def test_progress_and_the_printed_rows(capsys: pytest.CaptureFixture[str]) -> None:
    model, adam = make()
    stages: list[tuple[str, int, int]] = []
    ts.fit(
        model,
        BATCHES,
        ts.mse_loss,
        optimizer=adam,
        epochs=1,
        validation=HELD_OUT,
        progress=lambda *at: stages.append(at),
    )
    training = [("training", n, 4) for n in range(1, 5)]
    evaluating = [("evaluating", 0, 2), ("evaluating", 1, 2), ("evaluating", 2, 2)]
    assert stages == [("compiling", 0, 1), ("compiling", 1, 1), *training, *evaluating]
    out, err = capsys.readouterr()
    assert out.startswith("step 4  epoch 1  loss ")
    assert "validation_loss" in out
    assert err == ""
    ts.fit(make()[0], shuffled, ts.mse_loss, epochs=1, progress=True, log=None)
    assert "training" in capsys.readouterr().err
