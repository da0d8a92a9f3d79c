"""Restarting the state in mid-sequence."""

from __future__ import annotations

from ...ops.comparison import where
from ...tree import Tree, flatten
from .inputs import Inputs, InputStep, per_row


def restart(step: InputStep, begin: Tree) -> InputStep:
    """Return a step that first sets the state of the rows flagged in ``inputs["reset"]``, (N,) bool, to `begin`.

    `begin` is a state of one row.
    """

    def restarted(state: Tree, inputs: Inputs) -> tuple[Tree, Tree]:
        leaves, rebuild = flatten(state)
        first = flatten(begin)[0]
        flags = inputs["reset"]
        state = rebuild([where(per_row(flags, new), new, old) for old, new in zip(leaves, first, strict=True)])
        return step(state, inputs)

    return restarted
