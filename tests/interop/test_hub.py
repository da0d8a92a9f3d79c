"""The folder layout of model hubs, written and read without network."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tinygrad_seq as ts
from tinygrad_seq.data.levels import Level

TEXT = "The well-known cat, 1,000.5 dogs... don't!! (x == y)\nNew line — “quoted” 日本 café\tTab  two"


def same(a: ts.nn.Module, b: ts.nn.Module) -> bool:
    return all(map(np.array_equal, a.state_dict().values(), b.state_dict().values()))


@pytest.mark.parametrize("level", ["char", "word", "whitespace", "subword"])
def test_tokenizer_json_encodes_as_the_vocabulary(level: Level, tmp_path: Path) -> None:
    tokenizers = pytest.importorskip("tokenizers")
    vocabulary = ts.data.Vocabulary.build([TEXT * 2], level=level, max_size=300, lowercase=level != "char", nfc=True)
    model = ts.train.LanguageModel(len(vocabulary), 3, 4, 2, 0.1, "gru")
    ts.interop.to_hub(model, tmp_path / "hub", vocabulary)
    again, other = ts.interop.from_hub(tmp_path / "hub")
    assert other == vocabulary
    assert same(again, model)
    text = TEXT + " unseen Zebra?? ß\n\n"
    tokenizer = tokenizers.Tokenizer.from_file(str(tmp_path / "hub" / "tokenizer.json"))
    assert tokenizer.encode(text).ids == vocabulary.encode(text).tolist()


def test_a_run_folder_becomes_a_hub_folder(tmp_path: Path) -> None:
    run = Path(__file__).resolve().parent.parent / "train" / "fixtures" / "run_0_1_0" / "char"
    ts.interop.to_hub(run, tmp_path / "hub")
    assert {path.name for path in (tmp_path / "hub").iterdir()} == {
        "README.md", "config.json", "model.safetensors", "tokenizer.json",
    }  # fmt: skip
    model, vocabulary = ts.interop.from_hub(tmp_path / "hub")
    opened = ts.train.Run.open(run)
    assert same(model, opened.model)
    assert vocabulary == opened.vocabulary
    card = (tmp_path / "hub" / "README.md").read_text()
    assert card.startswith("---\nlibrary_name: tinygrad_seq")
    (tmp_path / "hub" / "README.md").write_text("mine")
    ts.interop.to_hub(run, tmp_path / "hub")
    assert (tmp_path / "hub" / "README.md").read_text() == "mine"


def test_any_model_is_read_into_a_model(tmp_path: Path) -> None:
    layer, other = ts.nn.LSTM(2, 3), ts.nn.LSTM(2, 3)
    ts.interop.to_hub(layer, tmp_path)
    assert ts.interop.from_hub(tmp_path, other) == (other, None)
    assert same(layer, other)
    with pytest.raises(ts.ArgumentError, match="make the model and pass it"):
        ts.interop.from_hub(tmp_path)
    with pytest.raises(ts.ArgumentError, match="unexpected"):
        ts.interop.from_hub(tmp_path, ts.nn.Linear(2, 3))
    with pytest.raises(ts.ArgumentError, match="a run folder or a Module"):
        ts.interop.to_hub(3, tmp_path)


@pytest.mark.parametrize(
    ("key", "value"),
    [("hidden_size", 1 << 40), ("num_layers", 10**6), ("vocab_size", "5"), ("cell", ["gru"]), ("dropout", "x")],
)
def test_a_hostile_configuration_is_refused(key: str, value: Any, tmp_path: Path) -> None:
    ts.interop.to_hub(ts.train.LanguageModel(5, 2, 3, cell="gru"), tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps(config | {key: value}))
    with pytest.raises(ts.TinygradSeqError, match="from_hub"):
        ts.interop.from_hub(tmp_path)
