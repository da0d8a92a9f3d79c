"""What a step of a layer is given: the inputs of the cell and, by name, those of the options."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ....base.tree import Tree
from ....ops.shape import reshape

Inputs = dict[str, Tree]
"""``"x"`` is what the cell reads; options add ``"reset"``, ``"mask"``, ``"zoneout"`` and ``"recurrent"``."""

InputStep = Callable[[Tree, Inputs], tuple[Tree, Tree]]
"""``step(state, inputs) -> (state, y)``."""


def per_row(flags: Any, like: Any) -> Any:
    """Return flags (N,) or (T, N) with as many axes as `like`, (N, ...) or (T, N, ...)."""
    return reshape(flags, (*flags.shape, *[1] * (like.ndim - flags.ndim)))
