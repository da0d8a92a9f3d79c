from __future__ import annotations

import dataclasses
import json
from typing import Any

import pytest

from tinygrad_seq.errors import ArgumentError, CheckpointError
from tinygrad_seq.train import TrainingConfig


def test_json_comes_back() -> None:
    config = TrainingConfig(corpus="pydoc", hidden_size=7, lr=0.1)
    assert TrainingConfig.from_json(json.loads(json.dumps(config.to_json()))) == config


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("corpus", "", "a name or path"),
        ("level", "byte", "one of char, word, got 'byte'"),
        ("unit", "page", "one of paragraph, line, document"),
        ("cell", "lsmt", "one of lstm, gru, rnn, or FILE.py:Class, got 'lsmt'"),
        ("cell", "cell.txt:Cell", "FILE.py:Class"),
        ("cell", "cell.py:", "FILE.py:Class"),
        ("optimizer", "adan", "one of adam, adamw, sgd, rmsprop, adagrad"),
        ("schedule", "linear", "one of cosine, constant, plateau"),
        ("hidden_size", 0, "an integer >= 1, got 0"),
        ("hidden_size", 2.5, "an integer >= 1, got 2.5"),
        ("num_layers", True, "an integer >= 1"),
        ("embedding_size", -3, "an integer >= 1"),
        ("batch_size", 0, "an integer >= 1"),
        ("window", 0, "an integer >= 1"),
        ("steps", 0, "an integer >= 1"),
        ("warmup", 1200, "warmup below steps"),
        ("evaluate_every", 0, "an integer >= 1"),
        ("dropout", 1.0, "below 1"),
        ("validation", 0.0, "between 0 and 1"),
        ("lr", 0.0, "> 0"),
        ("lr", float("nan"), "> 0"),
        ("clip_norm", -1.0, ">= 0"),
        ("minutes", float("inf"), ">= 0"),
        ("patience", -1, ">= 0"),
        ("sample_length", -1, ">= 0"),
        ("seed", -1, ">= 0"),
        ("weight_decay", -0.1, ">= 0"),
        ("max_vocabulary", 0, ">= 1"),
    ],
)
def test_bad_settings_are_refused(name: str, value: object, message: str) -> None:
    settings: dict[str, Any] = {name: value}
    with pytest.raises(ArgumentError, match=message):
        TrainingConfig(**settings)


def test_every_setting_is_checked() -> None:
    for field in dataclasses.fields(TrainingConfig):
        settings: dict[str, Any] = {field.name: None}
        with pytest.raises(ArgumentError, match=field.name):
            TrainingConfig(**settings)


@pytest.mark.parametrize("change", [{"size": 3}, {"lr": ...}])
def test_json_of_another_version_is_refused(change) -> None:
    settings = {**TrainingConfig(corpus="pydoc").to_json(), **change}
    settings = {name: value for name, value in settings.items() if value is not ...}
    with pytest.raises(CheckpointError, match=next(iter(change))):
        TrainingConfig.from_json(settings)
