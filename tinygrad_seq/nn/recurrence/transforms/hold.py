"""Leave the state of some sequences unchanged: past their end, or where they are masked."""

from __future__ import annotations

from contextlib import nullcontext
from typing import Any

from ....base.modes import mode
from ....base.switches import Switch
from ....ops.comparison import where
from .inputs import Arrays, Inputs, InputStep, Outputs, per_row


def hold(step: InputStep) -> InputStep:
    """Return a step that keeps the state of the sequences where ``inputs["mask"]``, (N,) bool, is False.

    For those sequences the step reads the state ``inputs["begin"]`` and its results are dropped: their outputs and
    tagged values are 0.
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
    """Return an array with 0 for masked sequences; a value without a batch axis, such as a tagged number, unchanged."""
    return where(per_row(mask, x), x, 0) if x.ndim else x
