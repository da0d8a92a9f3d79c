"""Restart the state in the middle of a sequence."""

from __future__ import annotations

import numpy as np

from ....errors import CompileError
from ....ops.comparison import where
from ....ops.joining import concat
from ....ops.primitive import is_traced
from ...masks import Mask
from .inputs import Arrays, Inputs, InputStep, Outputs, per_row


def restart(step: InputStep, begin: Arrays) -> InputStep:
    """Return a step that first sets the state of the sequences flagged in ``inputs["reset"]``, (N,) bool, to `begin`.

    `begin` is the state of one sequence.
    """

    def restarted(state: Arrays, inputs: Inputs) -> tuple[Arrays, Outputs]:
        flags = inputs["reset"]
        return step([where(per_row(flags, new), new, old) for old, new in zip(state, begin, strict=True)], inputs)

    return restarted


def find_restarts(reset: Mask, valid: Mask | None, reverse: bool) -> Mask:
    """Return the steps (T, N) before which the state restarts: the first valid step of each sequence.

    These are the valid steps whose neighbour, the valid step before them (after them if `reverse`), belongs to another
    sequence.
    """
    if is_traced(reset):
        if valid is not None:
            raise CompileError("reset: expected no mask or lengths beside it in a model that is traced; leave one out.")
        return concat([reset[1:], reset[:1] & False]) if reverse else reset
    T = len(reset)
    number = np.cumsum(reset, axis=0)
    counted = np.ones_like(reset) if valid is None else valid
    if reverse:  # the sequence of the valid step after each step; its own if there is none
        after = np.minimum.accumulate(np.where(counted, number, T + 1)[::-1], axis=0)[::-1]
        after = np.concatenate([after[1:], np.full_like(number[:1], T + 1)])
        return counted & (number < after) & (after <= T)
    before = np.maximum.accumulate(np.where(counted, number, 0), axis=0)
    return counted & (number > np.concatenate([np.zeros_like(number[:1]), before[:-1]]))
