"""Many models at a time, one per core: a search over learning rates and sizes in a pool of processes.

Small models use one core well and two badly, so a search is fastest with one process per core. Each process is pinned
to a core and trains the models that it is handed, with one thread. Nothing is sent between models, so this scales to
all cores of a machine; docs/distributed.md names ways to more machines. The task is to name the script of a character
from its name, as in many_to_one.py, with fewer scripts. Takes ten seconds on two cores:

    python examples/many_models.py
"""

from __future__ import annotations

import argparse
import itertools
import multiprocessing
import os
import sys
import unicodedata
from typing import NamedTuple

import numpy as np

import tinygrad_seq as ts
from tinygrad_seq.data import Vocabulary, pad_sequences

SCRIPTS = ["ARABIC", "CYRILLIC", "GREEK", "HANGUL"]
RATES, SIZES = (0.001, 0.003, 0.01, 0.03), (8, 32)


class Result(NamedTuple):
    """What one setting achieved, on which core."""

    accuracy: float
    lr: float
    hidden_size: int
    core: int


def pin(cores: multiprocessing.Queue[int]) -> None:
    """Give this process a core of its own; the pool calls it once per process."""
    core = cores.get()
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {core})
    ts.set_num_threads(1)
    globals()["CORE"] = core


def train(setting: tuple[float, int, int]) -> Result:
    """Train one model; the seed is the same for all, so they differ in their setting alone."""
    lr, hidden_size, epochs = setting
    generator = ts.manual_seed(0)
    vocabulary, xs, lengths, ys = words(generator)
    cut = len(ys) * 3 // 4
    model = ts.nn.ModuleDict(
        {
            "embedding": ts.nn.Embedding(len(vocabulary), 8),
            "layer": ts.nn.GRU(8, hidden_size),
            "readout": ts.nn.Linear(hidden_size, len(SCRIPTS)),
        }
    )
    adam = ts.optim.Adam(model.parameters(), lr=lr)

    def scores(rows: np.ndarray) -> ts.Tensor:
        _, last = model["layer"](model["embedding"](xs[:, rows]), lengths=lengths[rows])
        return model["readout"](last[-1])

    for _ in range(epochs):
        for rows in np.array_split(generator.permutation(cut), cut // 32):
            adam.zero_grad()
            ts.cross_entropy(scores(rows), ys[rows]).backward()
            adam.step()
    with ts.no_grad():
        right = scores(np.arange(cut, len(ys))).numpy().argmax(axis=-1) == ys[cut:]
    return Result(float(right.mean()), lr, hidden_size, globals().get("CORE", 0))


def words(generator: np.random.Generator) -> tuple[Vocabulary, np.ndarray, np.ndarray, np.ndarray]:
    """Return names of characters without their first word, padded, with their lengths, and the number of the script."""
    pairs = []
    for number in range(0x20, 0x11000):
        script, _, rest = unicodedata.name(chr(number), "").partition(" ")
        if script in SCRIPTS and rest:
            pairs.append((rest, SCRIPTS.index(script)))
    pairs = [pairs[i] for i in generator.permutation(len(pairs))[:1000]]
    vocabulary = Vocabulary.build(text for text, _ in pairs)
    padded, lengths = pad_sequences([vocabulary.encode(text) for text, _ in pairs])
    return vocabulary, padded, lengths, np.array([label for _, label in pairs])


def main(short: bool = False) -> list[Result]:
    epochs = 1 if short else 12
    settings = [
        (lr, size, epochs)
        for lr, size in itertools.product(RATES[-2:] if short else RATES, SIZES[:1] if short else SIZES)
    ]
    available = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else [*range(os.cpu_count() or 1)]
    context = multiprocessing.get_context("spawn")  # a copy of a process with threads may hang
    cores = context.Queue()
    for core in available:
        cores.put(core)
    with context.Pool(len(available[: len(settings)]), pin, (cores,)) as pool:
        results = []
        for result in pool.imap_unordered(train, settings):  # the next free process takes the next setting
            results.append(result)
            sys.stdout.write(
                f"lr {result.lr:<6} hidden {result.hidden_size:<3} {result.accuracy:.1%} right (core {result.core})\n"
            )
    best = max(results)
    sys.stdout.write(f"best: lr {best.lr}, hidden size {best.hidden_size}\n")
    return results


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--short", action="store_true", help="two settings, one epoch")
    main(parser.parse_args().short)
