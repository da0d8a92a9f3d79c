"""How fast a run trains: tokens per second, and the time that is left."""

from __future__ import annotations

from collections import deque

_RECENT = 100
# An evaluation computes no gradients, which are about two thirds of a training step.
_EVALUATION_PER_TRAINING = 1 / 3


class Pace:
    """The speed of the last 100 steps and of the last evaluation. The first of each, which compiles, does not count.

    Examples
    --------
    >>> pace = Pace()
    >>> for seconds in (9.0, 0.5, 0.5):
    ...     pace.add_step(tokens=100, seconds=seconds)
    >>> pace.tokens_per_second
    200.0
    >>> for seconds in (9.0, 1.0):
    ...     pace.add_evaluation(tokens=50, seconds=seconds)
    >>> pace.seconds_left(steps=10, evaluated_tokens=100)
    7.0
    """

    def __init__(self) -> None:
        self._steps: deque[tuple[float, float]] = deque(maxlen=_RECENT)
        self._counted_steps = self._counted_evaluations = 0
        self._per_evaluated_token: float | None = None

    def add_step(self, tokens: float, seconds: float) -> None:
        """Count one step."""
        if self._counted_steps:
            self._steps.append((tokens, seconds))
        self._counted_steps += 1

    def add_evaluation(self, tokens: float, seconds: float) -> None:
        """Count one evaluation, with its sample and checkpoints."""
        if self._counted_evaluations:
            self._per_evaluated_token = seconds / tokens
        self._counted_evaluations += 1

    @property
    def is_new(self) -> bool:
        """Whether no step has been counted."""
        return self._counted_steps == 0

    @property
    def tokens_per_second(self) -> float | None:
        """The speed of training, or None before the second step."""
        if not self._steps:
            return None
        return sum(tokens for tokens, _ in self._steps) / sum(seconds for _, seconds in self._steps)

    def seconds_left(self, steps: int, evaluated_tokens: int) -> float | None:
        """Return the time of steps and of evaluations on so many tokens, or None before the second step."""
        speed = self.tokens_per_second
        if speed is None:
            return None
        per_step = sum(seconds for _, seconds in self._steps) / len(self._steps)
        per_token = self._per_evaluated_token or _EVALUATION_PER_TRAINING / speed
        return steps * per_step + evaluated_tokens * per_token
