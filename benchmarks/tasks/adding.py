"""The adding problem: add the two of T random numbers that are marked (Hochreiter and Schmidhuber, 1997).

The inputs are a number in [0, 1) and a mark, which is 1 at one step of the first half and at one step of the second
half. The target, after the last step, is the sum of the two marked numbers. Always answering 1 gives an error of 1/6.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from ._task import Batch, Task, remember

T, N, HELD_OUT = 100, 32, 500


def draw(rng: np.random.Generator, n: int) -> Batch:
    inputs = np.zeros((T, n, 2), np.float32)
    inputs[:, :, 0] = rng.random((T, n))
    marked = np.stack([rng.integers(0, T // 2, n), rng.integers(T // 2, T, n)])
    inputs[marked, np.arange(n), 1] = 1
    return Batch(inputs, (inputs[:, :, 0] * inputs[:, :, 1]).sum(0)[:, None])


def data(_: Path | None) -> tuple[None, dict[str, list[Batch]]]:
    return None, {name: [draw(np.random.default_rng(k), HELD_OUT)] for k, name in enumerate(("valid", "test"), 100)}


def batches(_: None, rng: np.random.Generator) -> Iterator[Batch]:
    while True:
        yield draw(rng, N)


def squared_error(outputs: np.ndarray, batch: Batch) -> tuple[float, int]:
    return float(((outputs - batch.targets) ** 2).sum()), outputs.size


COMMON: dict[str, Any] = {
    "what": f"adding problem, T={T}",
    "metric": "mean squared error",
    "inputs": 2,
    "outputs": 1,
    "loss": "squares",
    "last": True,
    "data": data,
    "batches": batches,
    "score": squared_error,
    "higher": False,
    "baseline": ("always 1", 1 / 6),
    "hidden": 64,
    "steps": 1500,
    "evaluate_every": 50,
    "rate": 5e-3,
    "log_scale": True,
    "budget": {"T": T, "N": N},
}
TASKS = (
    Task(name="LSTM", layer="LSTM", seeds=(0, 1), initialise=remember(T), **COMMON),
    Task(name="GRU", layer="GRU", seeds=(0,), **COMMON),
)
