"""Checks of sizes and operands that layers share."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..errors import ArgumentError, DtypeError, ShapeError
from ..primitive import Array


def check_sizes(layer: str, **sizes: Any) -> None:
    """Refuse sizes that are no integers >= 1."""
    for name, size in sizes.items():
        if isinstance(size, bool) or not isinstance(size, int | np.integer) or size < 1:
            raise ArgumentError(f"{layer}: expected {name} to be an integer >= 1, got {size!r}; pass e.g. {name}=64.")


def check_probability(layer: str, **probabilities: Any) -> None:
    """Refuse numbers outside [0, 1]."""
    for name, p in probabilities.items():
        if isinstance(p, bool) or not isinstance(p, int | float | np.number) or not 0 <= p <= 1:
            raise ArgumentError(
                f"{layer}: expected {name} to be a probability in [0, 1], got {p!r}; pass e.g. {name}=0.5."
            )


def check_features(layer: str, x: Array, size: int) -> None:
    """Refuse an `x` that is no array with `size` features on its last axis."""
    if not hasattr(x, "shape"):
        raise DtypeError(f"{layer}: expected a tensor, got {type(x).__name__}; make one with ts.tensor.")
    if not x.shape or x.shape[-1] != size:
        raise ShapeError(
            f"{layer}: expected {size} features on the last axis, got shape {x.shape} {x.dtype}; "
            f"pass (..., {size}) or build the layer with the size of the data."
        )
