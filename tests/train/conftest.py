from __future__ import annotations

import itertools
from pathlib import Path

import pytest

from tinygrad_seq.train import TrainingConfig

SENTENCES = ["the cat sat on the mat", "the dog ate a pear", "an apple and a pear", "a cat and a dog ran"]


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    path = tmp_path / "corpus.txt"
    path.write_text("\n".join(itertools.islice(itertools.cycle(SENTENCES), 60)) + "\n", encoding="utf-8")
    return path


@pytest.fixture
def tiny(corpus: Path) -> TrainingConfig:
    return TrainingConfig(
        corpus=str(corpus),
        unit="line",
        embedding_size=4,
        hidden_size=6,
        batch_size=3,
        window=7,
        steps=10,
        warmup=2,
        evaluate_every=4,
        sample_length=12,
        dropout=0.2,
        cell="gru",
    )
