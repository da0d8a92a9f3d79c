"""Time to equal quality: train pass by pass until a held-out score is reached."""

from __future__ import annotations

import time
from collections.abc import Callable

MOST = 40
"""The number of passes after which a contestant has failed."""


def until(goal: float, epoch: Callable[[], object], score: Callable[[], float]) -> dict[str, list[float]]:
    """Return the seconds until the goal, the seconds of each pass with its score, and the number of passes.

    Raises
    ------
    RuntimeError
        If the goal is not reached.
    """
    seconds: list[float] = []
    for _ in range(MOST):
        start = time.perf_counter()
        epoch()
        quality = score()
        seconds.append(time.perf_counter() - start)
        if quality >= goal:
            return {"goal": [sum(seconds)], "epoch": seconds, "epochs": [float(len(seconds))]}
    raise RuntimeError(f"a score of {quality:.3f} after {MOST} passes, below {goal}")
