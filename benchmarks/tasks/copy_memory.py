"""The copy task: ten symbols, a long pause, then the same ten symbols (Hochreiter and Schmidhuber, 1997).

Of the ten classes, 8 are symbols, one is the blank and one is the signal to answer. The input is 10 symbols, T - 1
blanks, the signal and 10 blanks; the target is T + 10 blanks and then the ten symbols (Arjovsky et al., 2016). A model
without memory has a loss of 10 ln 8 / (T + 20) nats per step.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from ._task import Batch, Task, cross_entropy, remember

T, N, HELD_OUT, SYMBOLS, LENGTH = 50, 16, 500, 8, 10
BLANK, NOW = SYMBOLS, SYMBOLS + 1


def draw(rng: np.random.Generator, n: int) -> Batch:
    symbols = rng.integers(0, SYMBOLS, (LENGTH, n))
    given, targets = np.full((2, T + 2 * LENGTH, n), BLANK)
    given[:LENGTH], given[T + LENGTH - 1], targets[-LENGTH:] = symbols, NOW, symbols
    return Batch(np.eye(SYMBOLS + 2, dtype=np.float32)[given], targets)


def data(_: Path | None) -> tuple[None, dict[str, list[Batch]]]:
    return None, {name: [draw(np.random.default_rng(k), HELD_OUT)] for k, name in enumerate(("valid", "test"), 100)}


def batches(_: None, rng: np.random.Generator) -> Iterator[Batch]:
    while True:
        yield draw(rng, N)


TASKS = (
    Task(
        name="LSTM",
        what=f"copy task, T={T}",
        metric="nats per step",
        layer="LSTM",
        inputs=SYMBOLS + 2,
        hidden=128,
        outputs=SYMBOLS + 2,
        loss="classes",
        last=False,
        data=data,
        batches=batches,
        score=cross_entropy,
        higher=False,
        steps=2500,
        evaluate_every=100,
        rate=5e-3,
        seeds=(0,),
        initialise=remember(T),
        baseline=("no memory", LENGTH * math.log(SYMBOLS) / (T + 2 * LENGTH)),
        budget={"T": T, "N": N},
    ),
)
