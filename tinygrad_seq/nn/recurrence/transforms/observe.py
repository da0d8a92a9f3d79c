"""Looking into a step: what it tags, and where the gradient of its state can be read."""

from __future__ import annotations

from typing import Any

from ....autograd.tagging import collect_tags
from ....base.tree import Tree, flatten
from ....errors import CompileError
from ....scan.ir.step import Var
from .equations import Written, apply, write_down
from .inputs import Inputs, InputStep


def observe(step: InputStep) -> InputStep:
    """Return a step whose output is ``(y, tags)``, and that adds ``inputs["nudges"]`` to its new state.

    Nudges are zeros, one for each array of the state (None for integers), which want a gradient. That of a nudge at
    step t is dL/dh_t, all of it: each array is nudged where it is made, before anything else reads it, be it the output
    of the same step (``y = W h``), another array of the state (LSTM's h reads c) or the step after. A step that cannot
    be written down as equations is not nudged; no gradient arrives at its nudges.

    A tagged value is an array (N, ...), in `tags` by its name: after a scan (T, N, ...).
    """
    known: dict[Any, Written | None] = {}

    def observed(state: Tree, inputs: Inputs) -> tuple[Tree, tuple[Tree, dict[str, Any]]]:
        rest = {name: given for name, given in inputs.items() if name != "nudges"}
        key = tuple([(leaf.shape, leaf.dtype) for leaf in flatten((state, rest))[0]])
        if key not in known:
            known[key] = _written(step, state, rest)
        written = known[key]
        if written is None:
            with collect_tags() as tags:
                state, y = step(state, rest)
            return state, (y, dict(tags))
        return _nudged(written, state, rest, inputs["nudges"])

    return observed


def _written(step: InputStep, state: Tree, inputs: Inputs) -> Written | None:
    try:
        return write_down(step, state, inputs)
    except CompileError:
        return None


def _nudged(written: Written, state: Tree, inputs: Inputs, nudges: list[Any]) -> tuple[Tree, tuple[Tree, Any]]:
    traced, inner = written.traced, written.traced.step
    values = dict(zip(inner.inputs, (*traced.objects, *flatten(state)[0], *flatten(inputs)[0]), strict=True))
    pairs = [(var, nudge) for var, nudge in zip(inner.carry_out, nudges, strict=True) if nudge is not None]
    for eqn in inner.eqns:
        apply(eqn, [values[o] if o.__class__ is Var else o for o in eqn.operands], values)
        for var, nudge in pairs:
            if var in eqn.results:
                values[var] = values[var] + nudge
    given = set(inner.inputs)  # a state that is passed on as it is
    leaving = [
        values[var] + nudge if var in given and nudge is not None else values[var]
        for var, nudge in zip(inner.carry_out, nudges, strict=True)
    ]
    tags = {name: values[x] if x.__class__ is Var else x for name, x in written.tags.items()}
    y = traced.rebuild_y([values[var] for var in inner.ys])
    return traced.rebuild_carry(leaving), (y, tags)
