"""Validation of sizes."""

from __future__ import annotations

import numpy as np

from ..errors import ArgumentError


def positive_int(caller: str, name: str, value: object) -> int:
    """Return `value` as an int; raise an ArgumentError unless it is an integer >= 1."""
    if isinstance(value, bool) or not isinstance(value, int | np.integer) or value < 1:
        raise ArgumentError(f"{caller}: expected {name} to be an integer >= 1, got {value!r}; pass e.g. {name}=32.")
    return int(value)
