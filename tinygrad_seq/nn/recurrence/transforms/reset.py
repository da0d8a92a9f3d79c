"""Restarting the state in mid-sequence."""

from __future__ import annotations

import numpy as np

from ....base.tree import Tree, flatten
from ....ops.comparison import where
from ...masks import Mask
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


def find_restarts(reset: Mask, valid: Mask | None, reverse: bool) -> Mask:
    """Return the steps (T, N) before which a state starts anew: the first of each sequence that is valid.

    They are those behind which the valid step before, or after if `reverse`, belongs to another sequence.
    """
    T = len(reset)
    number = np.cumsum(reset, axis=0)
    counted = np.ones_like(reset) if valid is None else valid
    if reverse:  # the sequence of the valid step after each step; its own if there is none
        after = np.minimum.accumulate(np.where(counted, number, T + 1)[::-1], axis=0)[::-1]
        after = np.concatenate([after[1:], np.full_like(number[:1], T + 1)])
        return counted & (number < after) & (after <= T)
    before = np.maximum.accumulate(np.where(counted, number, 0), axis=0)
    return counted & (number > np.concatenate([np.zeros_like(number[:1]), before[:-1]]))
