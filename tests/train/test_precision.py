"""Language models in low precision: the loss of training and of a trained model is that of float32 to 1e-3 nats."""

from __future__ import annotations

import dataclasses
import itertools
import json
from pathlib import Path

import numpy as np
import pytest

import tinygrad_seq as ts
from tinygrad_seq.data.demo_text import demo_text
from tinygrad_seq.errors import ArgumentError
from tinygrad_seq.train import LanguageModel, Run, Session, TrainingConfig, TrainingSteps, evaluate, manifest

STEPS = 120


@pytest.fixture(scope="module")
def tokens() -> np.ndarray:
    text = demo_text()[:60_000]
    index = {letter: number for number, letter in enumerate(sorted(set(text)))}
    return np.array([index[letter] for letter in text])


def train(tokens: np.ndarray, precision: str) -> tuple[LanguageModel, float]:
    """Return a model after some steps, and the mean loss of the last ones."""
    ts.manual_seed(0)
    model = LanguageModel(int(tokens.max()) + 1, embedding_size=16, hidden_size=48, cell="lstm")
    adam = ts.optim.Adam(model.parameters(), lr=1e-2)
    windows = ts.data.Windows(tokens[:50_000], batch_size=16, window=24)
    steps = TrainingSteps(model, windows, adam, clip_norm=1.0, precision=precision)
    losses = [step.loss for step in itertools.islice(iter(steps), STEPS)]
    return model, float(np.mean(losses[-30:]))


@pytest.fixture(scope="module")
def trained(tokens) -> tuple[LanguageModel, float]:
    return train(tokens, "float32")


def test_training_in_bfloat16(trained, tokens):
    full, loss = trained
    low, low_loss = train(tokens, "bfloat16")
    assert all(parameter.dtype == np.float32 for parameter in low.parameters())
    assert low_loss != loss
    assert low_loss == pytest.approx(loss, abs=2e-3)
    held_out = [evaluate(model, tokens[50_000:]) for model in (full, low)]
    assert held_out[1] == pytest.approx(held_out[0], abs=5e-3)
    assert held_out[0] < 1.8


@pytest.mark.parametrize(
    ("precision", "calibrated", "most"), [("int8", False, 1e-3), ("int8", True, 1e-3), ("bfloat16", False, 5e-4)]
)
def test_cross_entropy_of_a_quantised_model(trained, tokens, precision, calibrated, most):
    model, _ = trained
    small = ts.quantize(model, precision, [tokens[:800].reshape(8, 100).T] if calibrated else None)
    expected, found = (evaluate(each, tokens[50_000:]) for each in (model, small))
    assert found != expected
    assert found == pytest.approx(expected, abs=most)
    with ts.disable_compile():
        assert evaluate(small, tokens[59_000:]) == pytest.approx(evaluate(small, tokens[59_000:]), abs=1e-5)
    inputs, targets = (tokens[start : start + 600].reshape(60, 10) for start in (50_000, 50_001))
    loss = ts.cross_entropy(small(inputs)[0], targets).item()
    assert small.loss(inputs, targets)[0].item() == pytest.approx(loss, rel=1e-6)
    row = tokens[50_000:50_200]
    log_p = small.log_probability(row)
    assert -log_p.mean() == pytest.approx(evaluate(small, row, batch_size=1), abs=1e-4)
    drawn = [list(itertools.islice(each.sample(row[:5], temperature=0), 20)) for each in (small, small)]
    assert drawn[0] == drawn[1]


def run_of(config: TrainingConfig, folder: Path) -> Run:
    session = Session(config)
    run = Run.create(folder, config, session.vocabulary, session.facts)
    list(session.rows(run))
    return Run.open(folder)


def test_a_run_keeps_its_precision(tiny, tmp_path):
    """A resumed run goes on in bfloat16, bit for bit; its checkpoints and its score are float32."""
    config = dataclasses.replace(tiny, precision="bfloat16")
    whole = run_of(config, tmp_path / "whole")
    assert whole.config.precision == "bfloat16"
    parts = run_of(dataclasses.replace(config, steps=6, schedule="constant"), tmp_path / "parts")
    straight = run_of(dataclasses.replace(config, schedule="constant"), tmp_path / "straight")
    session = Session.resume(parts, changes={"steps": 10})
    assert session.config.precision == "bfloat16"
    list(session.rows(parts))
    for name, value in straight.load()["steps"]["model"].items():
        assert value.dtype == np.float32
        np.testing.assert_array_equal(parts.load()["steps"]["model"][name], value)
    full = run_of(dataclasses.replace(tiny, schedule="constant"), tmp_path / "full")
    assert any(
        not np.array_equal(full.load()["steps"]["model"][name], value)
        for name, value in straight.load()["steps"]["model"].items()
    )


def test_runs_without_the_setting_are_float32(tiny, tmp_path):
    run = run_of(tiny, tmp_path / "run")
    file = tmp_path / "run" / "config.json"
    content = json.loads(file.read_text())
    del content["config"]["precision"], content["sha256"]
    file.write_bytes(manifest.to_bytes(content))
    again = Run.open(tmp_path / "run")
    assert again.config.precision == "float32"
    assert again.score("the cat") == run.score("the cat")


def test_sample_and_score_in_low_precision(tiny, tmp_path):
    run = run_of(tiny, tmp_path / "run")
    for precision in ("int8", "bfloat16"):
        assert run.score("the cat", precision=precision) == pytest.approx(run.score("the cat"), abs=0.2)
        assert run.sample("the", length=5, seed=0, precision=precision).startswith("the")
    with pytest.raises(ArgumentError, match="'int4'"):
        run.score("the cat", precision="int4")
    with pytest.raises(ArgumentError, match=r"precision.*float32, bfloat16, got 'int8'"):
        dataclasses.replace(tiny, precision="int8")
