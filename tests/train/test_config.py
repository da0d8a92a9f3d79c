from __future__ import annotations

import dataclasses
import json
from typing import Any

import pytest

from tinygrad_seq.errors import ArgumentError, CheckpointError
from tinygrad_seq.train import TrainingConfig
from tinygrad_seq.train.config import CHANGEABLE


def test_json_comes_back() -> None:
    config = TrainingConfig(corpus="pydoc", hidden_size=7, lr=0.1)
    assert TrainingConfig.from_json(json.loads(json.dumps(config.to_json()))) == config


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("corpus", "", "a name or path"),
        ("level", "byte", "one of char, word, .*, got 'byte'"),
        ("unit", "page", "one of paragraph, line, document"),
        ("cell", "lsmt", "one of lstm, gru, rnn, or FILE.py:Class, got 'lsmt'"),
        ("cell", "cell.txt:Cell", "FILE.py:Class"),
        ("cell", "cell.py:", "FILE.py:Class"),
        ("optimizer", "adan", "one of adam, adamw, sgd, rmsprop, adagrad"),
        ("schedule", "linear", "one of cosine, constant, plateau"),
        ("hidden_size", 0, "an integer >= 1 .*, got 0"),
        ("hidden_size", 2.5, "an integer >= 1 .*, got 2.5"),
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


def test_a_vocabulary_of_subwords_holds_the_bytes() -> None:
    with pytest.raises(ArgumentError, match="max_vocabulary to be at least 256 at level subword"):
        TrainingConfig(level="subword", max_vocabulary=255)


def test_every_setting_is_checked() -> None:
    for field in dataclasses.fields(TrainingConfig):
        settings: dict[str, Any] = {field.name: None}
        with pytest.raises(ArgumentError, match=field.name):
            TrainingConfig(**settings)


def test_settings_of_other_versions_are_read() -> None:
    """Unknown ones are ignored and missing ones take their defaults."""
    settings = TrainingConfig(hidden_size=7).to_json()
    del settings["lr"]
    assert TrainingConfig.from_json({**settings, "momentum": 0.5}) == TrainingConfig(hidden_size=7)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"lr": "fast"}, "expected lr to be a finite number > 0, got 'fast'"),
        ({"lr": 10**400}, "expected lr to be a finite number > 0"),
        ({"hidden_size": 7.5}, "expected hidden_size to be an integer >= 1"),
        ({"hidden_size": 10**9}, "expected hidden_size to be an integer >= 1 and <= 100,000,000"),
        ({"num_layers": 10**6}, "expected num_layers to be an integer >= 1 and <= 1,000"),
        ({"cell": ["gru"]}, "expected cell to be one of"),
        ({"cell": {}}, "expected cell to be one of"),
        ({"level": {}}, "expected level to be one of"),
        ({"encoding": 8}, "expected encoding to be auto"),
        ({"include": "*.txt"}, "expected include to be a tuple of patterns"),
        ({"include": [1]}, "expected include to be a tuple of patterns"),
        ({"lowercase": 1}, "expected lowercase to be true or false"),
        ({"warmup": 500, "steps": 100}, "expected warmup below steps"),
        ([], "expected a JSON object of settings in 'c.json', got a list"),
        (None, "expected a JSON object of settings in 'c.json', got a NoneType"),
    ],
)
def test_damaged_settings_name_the_setting_and_the_file(settings: Any, message: str) -> None:
    with pytest.raises(CheckpointError, match=message) as caught:
        TrainingConfig.from_json(settings, "'c.json'")
    assert "'c.json'" in str(caught.value)
    assert str(caught.value).startswith("TrainingConfig.from_json: ")


def test_what_may_change_is_a_setting() -> None:
    assert {*CHANGEABLE} < {field.name for field in dataclasses.fields(TrainingConfig)}
