"""Observe a step: return its tagged values and the gradient of its state."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from ....autograd.tagging import collect_tags
from ....base.tree import flatten
from ....errors import CompileError
from ....scan.ir.step import Eqn, Var, evaluate
from .equations import Written, write_down
from .inputs import Arrays, Inputs, InputStep, Outputs


def observe(step: InputStep) -> InputStep:
    """Return a step that also returns its tagged values, and that adds ``inputs["nudges"]`` to its new state.

    Nudges are zeros that require a gradient, one for each array of the state (None for integers). The gradient of a
    nudge at step t is the total dL/dh_t: each array is nudged where it is computed, before anything else
    reads it: the output of the same step (``y = W h``), another array of the state (LSTM's h reads c) or the next
    step. A step that cannot be traced is not nudged, and no gradient arrives at its nudges.

    A tagged value is an array (N, ...), in `Outputs.tags` under its name.
    """
    known: dict[Any, Written | None] = {}

    def observed(state: Arrays, inputs: Inputs) -> tuple[Arrays, Outputs]:
        rest: Any = {name: given for name, given in inputs.items() if name != "nudges"}
        key = tuple([(leaf.shape, leaf.dtype) for leaf in flatten((state, rest))[0]])
        if key not in known:
            known[key] = _written(step, state, rest)
        written = known[key]
        if written is None:
            with collect_tags() as tags:
                state, outputs = step(state, rest)
            return state, outputs._replace(tags=dict(tags))
        return _nudged(written, state, rest, inputs["nudges"])

    return observed


def _written(step: InputStep, state: Arrays, inputs: Inputs) -> Written | None:
    try:
        return write_down(step, state, inputs)
    except CompileError:
        return None


def _nudged(written: Written, state: Arrays, inputs: Inputs, nudges: Arrays) -> tuple[Arrays, Outputs]:
    traced, inner = written.traced, written.traced.step
    values = dict(zip(inner.inputs, (*traced.objects, *state, *flatten(inputs)[0]), strict=True))
    pairs = [(var, nudge) for var, nudge in zip(inner.carry_out, nudges, strict=True) if nudge is not None]

    def apply(eqn: Eqn, operands: list[Any]) -> Iterable[Any]:
        found = dict(zip(eqn.results, eqn.apply(operands), strict=True))
        for var, nudge in pairs:
            if var in found:
                found[var] = found[var] + nudge
        return found.values()

    evaluate(inner.eqns, values, apply)
    given = set(inner.inputs)  # a state that is passed on as it is
    leaving = [
        values[var] + nudge if var in given and nudge is not None else values[var]
        for var, nudge in zip(inner.carry_out, nudges, strict=True)
    ]
    tags = {name: values[x] if x.__class__ is Var else x for name, x in written.tags.items()}
    return leaving, traced.rebuild_y([values[var] for var in inner.ys])._replace(tags=tags)
