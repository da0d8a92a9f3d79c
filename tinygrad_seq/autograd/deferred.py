"""Gradients whose terms are added up later, all at once."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from ..kernels.pool import pays_off, side_by_side


class Deferred:
    """A term of the gradient of a leaf, or several: adding them up at the end costs less than one after the other.

    Attributes
    ----------
    shape, dtype
        Those of the gradient.
    seconds
        Roughly how long `value` takes on one thread.
    """

    shape: tuple[int, ...]
    dtype: np.dtype
    seconds: float = 0.0
    __array_ufunc__ = None  # so that an ndarray leaves ``ndarray + deferred`` to `__radd__`

    def value(self) -> np.ndarray:
        """Return the sum of the terms, in memory of its own."""
        raise NotImplementedError

    def joined(self, other: Deferred) -> Deferred | None:
        """Add the terms of another one to these and return this one; None if they cannot be added up together."""
        return None

    def __add__(self, other: Any) -> Any:
        together = self.joined(other) if isinstance(other, Deferred) else None
        return self.value() + complete(other) if together is None else together

    def __radd__(self, other: Any) -> Any:
        return other + self.value()


def add_up(gradients: Iterable[Any]) -> None:
    """Add up the terms of those that are `Deferred`, side by side if that pays off."""
    waiting = [gradient for gradient in gradients if isinstance(gradient, Deferred)]
    if len(waiting) > 1 and pays_off([each.seconds for each in waiting]):
        side_by_side([each.value for each in waiting])


def complete(gradient: Any) -> Any:
    """Return a gradient, with the terms of a `Deferred` one added up."""
    return gradient.value() if isinstance(gradient, Deferred) else gradient
