"""Steps that leave some rows unchanged: past the end of a sequence, or where a mask says so."""

from __future__ import annotations

from contextlib import nullcontext
from typing import Any

from ....base.modes import mode
from ....base.switches import Switch
from ....ops.comparison import where
from .inputs import Arrays, Inputs, InputStep, Outputs, per_row


def hold(step: InputStep) -> InputStep:
    """Return a step that keeps the state of the rows not in ``inputs["mask"]``, (N,) bool.

    For those rows the step is given the state ``inputs["begin"]``, and what it returns is dropped: their output and
    their tagged values are 0.
    """

    def held(state: Arrays, inputs: Inputs) -> tuple[Arrays, Outputs]:
        mask = inputs["mask"]
        entered = [where(per_row(mask, old), old, first) for old, first in zip(state, inputs["begin"], strict=True)]
        with Switch(counted=mask.numpy()) if mode.anomaly else nullcontext():
            new, outputs = step(entered, inputs)
        state = [
            old if made is given else where(per_row(mask, made), made, old)
            for made, given, old in zip(new, entered, state, strict=True)
        ]
        tags = {name: _or_zero(mask, value) for name, value in outputs.tags.items()}
        return state, Outputs([_or_zero(mask, y) for y in outputs.y], tags)

    return held


def _or_zero(mask: Any, x: Any) -> Any:
    """Return an array with 0 in the rows that do not count; a value without rows, such as a tagged number, as it is."""
    return where(per_row(mask, x), x, 0) if x.ndim else x
