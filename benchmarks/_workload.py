"""A workload: a training step and an inference as calls, and their results for comparison."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from benchmarks._harness import time_for


def gradient_of(leaf: Any) -> np.ndarray:
    """Return the gradient of a tensor of this package or of PyTorch."""
    found: np.ndarray = leaf.grad.numpy()
    return found


@dataclass(frozen=True)
class Workload:
    """`train` runs forward and backward to the inputs and all weights; `arrays` returns its outputs and gradients."""

    train: Callable[[], object]
    infer: Callable[[], object]
    arrays: Callable[[], dict[str, np.ndarray]]

    def measure(self, budget: float) -> dict:
        """Return the results, and the times of calls that fit in about `budget` seconds."""
        check = self.arrays()
        return {"check": check, "training": time_for(self.train, budget), "inference": time_for(self.infer, budget / 2)}


@dataclass(frozen=True)
class Inference:
    """A workload of a library, or in a precision, that cannot train; `infer` returns the outputs as an ndarray."""

    infer: Callable[[], np.ndarray]

    def measure(self, budget: float) -> dict:
        """Return the results, and the times of calls that fit in about half of `budget` seconds."""
        return {"check": {"ys": self.infer()}, "inference": time_for(self.infer, budget / 2)}
