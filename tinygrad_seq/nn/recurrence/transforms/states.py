"""Steps that put out their state as well."""

from __future__ import annotations

from ....base.tree import Tree
from .inputs import Inputs, InputStep


def with_states(step: InputStep) -> InputStep:
    """Return a step whose output is ``(y, state)``: after a scan, the state after every step."""

    def shown(state: Tree, inputs: Inputs) -> tuple[Tree, Tree]:
        state, y = step(state, inputs)
        return state, (y, state)

    return shown
