"""Steps that leave some rows as they are: past the end of a sequence, or where a mask says so."""

from __future__ import annotations

from contextlib import nullcontext
from typing import Any

from ....base.modes import mode
from ....base.switches import Switch
from ....base.tree import Tree, flatten, map_leaves
from ....ops.comparison import where
from .inputs import Inputs, InputStep, per_row


def hold(step: InputStep, *, outputs: bool, tagged: bool) -> InputStep:
    """Return a step that keeps the state of the rows not in ``inputs["mask"]``, (N,) bool.

    The step gets the state ``inputs["begin"]`` for those rows, and drops what it returns for them. Their output is 0;
    with `outputs` it is the one of the step before: the carry is then ``(state, y)``. If the step is `tagged` its
    output is ``(y, tags)``, and tags are 0 there.
    """

    def held(carry: Tree, inputs: Inputs) -> tuple[Tree, Tree]:
        state, y_before = carry if outputs else (carry, None)
        mask = inputs["mask"]
        entered = _choose(mask, state, inputs["begin"])
        with Switch(counted=mask.numpy()) if mode.anomaly else nullcontext():
            new, y = step(entered, inputs)
        leaves, rebuild = flatten(new)
        parts = zip(leaves, flatten(entered)[0], flatten(state)[0], strict=True)
        state = rebuild([old if made is given else where(per_row(mask, made), made, old) for made, given, old in parts])
        y, tags = y if tagged else (y, None)
        y = _choose(mask, y, y_before) if outputs else _or_zero(mask, y)
        return (state, y) if outputs else state, (y, _or_zero(mask, tags)) if tagged else y

    return held


def _choose(mask: Any, new: Tree, old: Tree) -> Tree:
    leaves, rebuild = flatten(new)
    return rebuild([where(per_row(mask, a), a, b) for a, b in zip(leaves, flatten(old)[0], strict=True)])


def _or_zero(mask: Any, tree: Tree) -> Tree:
    """Return arrays with 0 in the rows that do not count; what has no rows, such as a tagged number, is left alone."""
    return map_leaves(lambda leaf: where(per_row(mask, leaf), leaf, 0) if leaf.ndim else leaf, tree)
