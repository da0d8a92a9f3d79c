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
    """`train` runs forward and backward to the inputs and all weights, None where there is inference only.

    `arrays` returns the outputs and gradients.
    """

    train: Callable[[], object] | None
    infer: Callable[[], object]
    arrays: Callable[[], dict[str, np.ndarray]]

    def measure(self, budget: float) -> dict:
        """Return the results, and the times of calls that fit in about `budget` seconds."""
        found: dict = {"check": self.arrays(), "inference": time_for(self.infer, budget / 2)}
        return found if self.train is None else found | {"training": time_for(self.train, budget)}
