"""Bad input to `ts.fit`: a clear error before any work, and no folder that was not there before."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tinygrad_seq as ts
from tinygrad_seq.data import Batches, Windows
from tinygrad_seq.errors import CheckpointError, TinygradSeqError
from tinygrad_seq.train import Run, RunFolder, TrainingConfig

X, Y = np.ones((4, 3), "float32"), np.ones((4, 1), "float32")
BATCHES = [(X, Y), (X, Y)]
OTHER = ts.nn.Linear(3, 1)
OTHER_ADAM = ts.optim.Adam(OTHER.parameters())


def generator() -> Iterator[Any]:
    yield from BATCHES


def same(batches: Any) -> Any:
    return batches


def inside(batches: Any) -> Any:
    next(iter(batches))
    return batches


class Bilinear(ts.nn.Module):
    def __init__(self) -> None:
        self.w = ts.nn.Parameter(ts.ones(1))

    def forward(self, outputs: Any, y: Any) -> Any:
        return (self.w * (outputs - y)).mean()


def frozen() -> ts.nn.Module:
    return ts.nn.Linear(3, 1).requires_grad_(False)


BAD: dict[str, tuple[dict[str, Any] | Callable[[], dict[str, Any]], str]] = {
    "no model": ({"model": lambda x: x}, "expected model to be an nn.Module, got a function"),
    "no parameters": ({"model": ts.nn.ReLU()}, "model with parameters that require a gradient, got none"),
    "frozen": (lambda: {"model": frozen()}, "model with parameters that require a gradient, got none"),
    "loss": ({"loss": "mse"}, "expected loss to be a function of .* got a str"),
    "loss with parameters": (
        lambda: {"loss": Bilinear()},
        "parameters of the loss, a Bilinear, to be part of the model",
    ),
    "no batches": ({"batches": []}, "expected at least one batch in batches, got none"),
    "empty function": ({"batches": lambda: iter([])}, "expected at least one batch per epoch, got none"),
    "a number": ({"batches": 3}, "iterable of pairs .* got a int"),
    "an iterator": (lambda: {"batches": generator()}, "iterated more than once, got a generator, which is exhausted"),
    "a used iterator": (
        lambda: {"batches": functools.partial(same, generator())},
        "expected at least one batch per epoch, got none in epoch 2",
    ),
    "no pair": ({"batches": [(X, Y, X)]}, "to be a pair .* got a tuple of 3 entries"),
    "an array": ({"batches": [X]}, "to be a pair .* got a ndarray of 4 entries"),
    "not scalar": ({"loss": lambda out, y: (out - y) ** 2}, r"to return a scalar, got shape \(4, 1\); take its mean"),
    "no tensor": ({"loss": lambda out, y: 1.0}, "the loss to return a Tensor, .* got a float"),
    "no gradient": ({"loss": lambda out, y: ts.zeros(())}, "loss that depends on the parameters"),
    "weight": (
        {"loss": lambda out, y: (ts.mse_loss(out, y), 0)},
        "weight of the loss to be a finite number > 0, got 0",
    ),
    "neither epochs nor steps": ({"epochs": None}, "expected epochs, steps or minutes, got none"),
    "epochs": ({"epochs": 0}, "expected epochs to be an integer >= 1, got 0"),
    "float epochs": ({"epochs": 2.0}, r"expected epochs to be an integer >= 1, got 2\.0"),
    "minutes": ({"minutes": 0}, "expected minutes to be a number > 0, got 0"),
    "patience": ({"patience": -1}, "expected patience to be an integer >= 0, got -1"),
    "evaluate_every": ({"evaluate_every": 0}, "expected evaluate_every to be an integer >= 1, got 0"),
    "clip_norm": ({"clip_norm": 0}, "expected clip_norm > 0, got 0"),
    "precision": ({"precision": "float16"}, "float16"),
    "report_every": (
        {"report_every": 2, "batches": lambda: iter(BATCHES)},
        "expected batches with a length, or evaluate_every, with report_every",
    ),
    "monitor": (
        {"monitor": "accuracy", "validation": BATCHES, "metrics": {"accuracy": abs}},
        "expected monitor to be one of loss, validation_loss, validation_accuracy, got 'accuracy'",
    ),
    "mode": (
        {"monitor": "validation_accuracy", "validation": BATCHES, "metrics": {"accuracy": abs}},
        "expected mode='min' or mode='max' with monitor='validation_accuracy', got None",
    ),
    "wrong mode": ({"mode": "most"}, "got 'most'"),
    "validation": ({"validation": []}, "expected at least one batch in validation, got none"),
    "empty validation": ({"validation": lambda: iter([])}, "expected at least one batch in the held-out batches"),
    "validation once": (lambda: {"validation": generator()}, "expected validation that can be iterated more than once"),
    "validation inside": (
        lambda: {"validation": inside(Windows(range(9), 2, 2))},
        "expected validation at the start of an epoch, got a Windows that was left inside one",
    ),
    "the same windows": (
        lambda: dict.fromkeys(("validation", "batches"), Batches([[1], [2]], [1, 2], 1)),
        "expected validation to be another object than batches",
    ),
    "metrics": ({"metrics": {"a": abs}}, "expected validation or test with metrics, got neither"),
    "metric": ({"metrics": {"a": 1}, "validation": BATCHES}, "expected the metric 'a' to be a function"),
    "metric name": ({"metrics": {"loss": abs}, "validation": BATCHES}, "expected another name of a metric, got 'loss'"),
    "metric value": (
        {"metrics": {"a": lambda out, y: "x"}, "validation": BATCHES},
        "expected the metric 'a' to be a number, .* got a str",
    ),
    "optimizer": ({"optimizer": "adam"}, "expected an optimizer that makes one update per batch, got a str"),
    "lbfgs": (
        lambda: {"model": OTHER, "optimizer": ts.optim.LBFGS(OTHER.parameters())},
        "one update per batch, got a LBFGS",
    ),
    "other optimizer": ({"optimizer": OTHER_ADAM}, "optimizer of parameters of the model, got one of others"),
    "scheduler": (lambda: {"scheduler": ts.optim.LinearWarmup(OTHER_ADAM, 2)}, "got a scheduler alone"),
    "other scheduler": (
        lambda: {
            "model": OTHER,
            "optimizer": ts.optim.Adam(OTHER.parameters()),
            "scheduler": ts.optim.LinearWarmup(OTHER_ADAM, 2),
        },
        "expected schedulers of this optimizer, got a LinearWarmup",
    ),
    "callback": ({"callbacks": [print]}, "one of the hooks on_start, on_step, on_evaluation, on_end, got"),
    "log": ({"log": "print"}, "expected log to be a function of a row"),
    "progress": ({"progress": 3}, "expected progress to be a bool or a function"),
    "resume without run": ({"run": None, "resume": True}, "expected run, the folder, with resume or force, got none"),
    "resume and force": ({"resume": True, "force": True}, "expected resume or force, got both"),
    "run": ({"run": 3}, "expected run to be the path of a folder or a RunFolder, got a int"),
    "resume": ({"resume": 3}, "expected resume to be a bool, 'auto' or the name of a checkpoint, got 3"),
    "resume nothing": ({"resume": True}, "expected a run folder, got .* without config.json"),
    "stateful": ({"stateful": True, "loss": lambda out, y: out}, "forward"),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_input(tmp_path: Path, name: str) -> None:
    change, message = BAD[name]
    options: dict[str, Any] = {
        "model": ts.nn.Linear(3, 1),
        "batches": BATCHES,
        "loss": ts.mse_loss,
        "epochs": 3,
        "run": tmp_path / "run",
        "log": None,
    }
    options |= change() if callable(change) else change
    with pytest.raises((TinygradSeqError, TypeError), match=message):
        ts.fit(**options)
    late = ("a used iterator", "empty validation", "metric value")  # found after the first epoch, whose work is saved
    assert (tmp_path / "run").exists() == (name in late)


def test_it_needs_gradients() -> None:
    with ts.no_grad(), pytest.raises(TinygradSeqError, match="expected gradients to be enabled"):
        ts.fit(ts.nn.Linear(3, 1), BATCHES, ts.mse_loss, epochs=1)


def started(folder: Path) -> None:
    model = ts.nn.Linear(3, 1)
    ts.fit(model, BATCHES, ts.mse_loss, optimizer=ts.optim.Adam(model.parameters()), steps=2, run=folder, log=None)


CHANGED: dict[str, tuple[Callable[[], dict[str, Any]], str]] = {
    "a new run": (
        lambda: {"resume": False},
        "an existing run; continue it with resume=True, replace it with force=True",
    ),
    "another model": (
        lambda: {"model": ts.nn.Sequential(ts.nn.Linear(3, 2), ts.nn.Linear(2, 1))},
        r"expected the model .* weight of shape \(1, 3\), got missing",
    ),
    "other sizes": (
        lambda: {"model": ts.nn.Linear(4, 1), "batches": [(np.ones((1, 4), "float32"), Y[:1])] * 2},
        r"expected the model .* weight of shape \(1, 3\), got \(1, 4\)",
    ),
    "another optimizer": (
        lambda: {"optimizer": ts.optim.SGD},
        "expected optimizer='Adam', as .* was started, got 'SGD'",
    ),
    "another rate": (
        lambda: {"optimizer": lambda parameters: ts.optim.Adam(parameters, lr=0.5)},
        r"expected lr=0\.001, as .* was started, got 0\.5",
    ),
    "a schedule": (
        lambda: {"scheduler": lambda optimizer: ts.optim.LinearWarmup(optimizer, 3)},
        r"expected scheduler=\[\], as",
    ),
    "other batches": (lambda: {"batches": BATCHES[:1]}, "the number of batches per epoch: 2.* got a list"),
    "batches that save": (lambda: {"batches": Batches([X, X], Y[:2], 1)}, "batches that save their position: False"),
    "no such checkpoint": (lambda: {"resume": "step-000007"}, "the checkpoint step-000002 can be used"),
    "a callback with state": (
        lambda: {"callbacks": WithState()},
        "expected 0 callbacks with a state, as the run was started, got 1",
    ),
}


class WithState(ts.train.Callback):
    def state_dict(self) -> int:
        return 1

    def load_state_dict(self, state: int) -> None:
        raise AssertionError


@pytest.mark.parametrize("name", CHANGED)
def test_a_run_is_resumed_only_with_what_it_was_started_with(tmp_path: Path, name: str) -> None:
    started(tmp_path)
    files = {path: path.read_bytes() for path in sorted(tmp_path.rglob("*")) if path.is_file()}
    change, message = CHANGED[name]
    options: dict[str, Any] = {"model": ts.nn.Linear(3, 1), "batches": BATCHES, "resume": True} | change()
    model = options["model"]
    optimizer = options.pop("optimizer", ts.optim.Adam)(model.parameters())
    if "scheduler" in options:
        options["scheduler"] = options["scheduler"](optimizer)
    with pytest.raises(TinygradSeqError, match=message):
        ts.fit(**options, loss=ts.mse_loss, optimizer=optimizer, steps=4, run=tmp_path, log=None)
    assert {path: path.read_bytes() for path in sorted(tmp_path.rglob("*")) if path.is_file()} == files


def test_folders_of_other_kinds(tmp_path: Path) -> None:
    vocabulary = ts.data.Vocabulary("abc")
    Run.create(tmp_path / "text", TrainingConfig(), vocabulary, {})
    with pytest.raises(CheckpointError, match="got that of a language model; continue it with tinygrad-seq train"):
        ts.fit(OTHER, BATCHES, ts.mse_loss, epochs=1, run=tmp_path / "text", resume=True)
    assert RunFolder.open(tmp_path / "text").kind == "language_model"
    folder = RunFolder.create(tmp_path / "task", "classifier", {"classes": ["a", "b"]}, {"rows": 3})
    with pytest.raises(
        CheckpointError, match=r"expected the run of a language model in .* got that of kind 'classifier'"
    ):
        Run.open(tmp_path / "task")
    with pytest.raises(CheckpointError, match=r"expected the run of kind 'tagger' in .* got that of kind 'classifier'"):
        RunFolder.open(tmp_path / "task", "tagger")
    ts.fit(OTHER, BATCHES, ts.mse_loss, epochs=1, run=folder, log=None)
    opened = RunFolder.open(tmp_path / "task", "classifier")
    assert (opened.config, opened.facts["rows"], opened.load_weights(OTHER)) == ({"classes": ["a", "b"]}, 3, 2)
    with pytest.raises(CheckpointError, match="got one with checkpoints; pass resume=True"):
        ts.fit(OTHER, BATCHES, ts.mse_loss, epochs=1, run=folder)
    assert ts.fit(OTHER, BATCHES, ts.mse_loss, epochs=1, run=folder, resume=True, log=None).finished


def test_auto_starts_or_continues_and_force_replaces(tmp_path: Path) -> None:
    for epochs in (1, 2):
        model = ts.nn.Linear(3, 1)
        history = ts.fit(model, BATCHES, ts.mse_loss, epochs=epochs, run=tmp_path / "run", resume="auto", log=None)
        assert history["epoch"] == [*range(1, epochs + 1)]
    history = ts.fit(ts.nn.Linear(3, 1), BATCHES, ts.mse_loss, epochs=1, run=tmp_path / "run", force=True, log=None)
    assert history["epoch"] == [1]
    assert len(RunFolder.open(tmp_path / "run").rows()) == 1
