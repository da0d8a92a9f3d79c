"""Zoneout: units of the state that keep their value at random."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from ....base import settings
from ....base.tree import Tree, describe, flatten
from ....errors import ArgumentError
from ....ops.comparison import where
from ....scan.ir.leaves import named_leaves
from ...checks import check_probability
from .inputs import Arrays, Inputs, InputStep, Outputs
from .transform import Run, Transform

_LEVELS = 2**16


def zoneout(step: InputStep, rates: list[float], training: bool) -> InputStep:
    """Return a step with zoneout (Krueger et al., Zoneout, 2017): a unit of the state keeps its value at random.

    ::

        s' = m * s + (1 - m) * step(s),   m ~ Bernoulli(rate)      in training, m of ``inputs["zoneout"]``
        s' = rate * s + (1 - rate) * step(s)                       otherwise

    An output that is part of the state is taken from s'. `rates` has one probability for each array of the state.
    """

    def zoned(state: Arrays, inputs: Inputs) -> tuple[Arrays, Outputs]:
        new, outputs = step(state, inputs)
        mixed = []
        masks = iter(inputs["zoneout"] if training else ())
        for old, made, rate in zip(state, new, rates, strict=True):
            if not rate:
                mixed.append(made)
            elif training:
                mixed.append(where(next(masks), old, made))
            else:
                mixed.append(made + rate * (old - made))
        replaced = {id(made): value for made, value in zip(new, mixed, strict=True)}
        return mixed, outputs._replace(y=[replaced.get(id(y), y) for y in outputs.y])

    return zoned


def _check(layer: str, options: Mapping[str, Any], state: Tree) -> list[float]:
    """Return one probability for each array of `state`.

    Raises
    ------
    ArgumentError
        If zoneout is neither a probability nor a structure of them like the state.
    """
    given, leaves = options["zoneout"], flatten(state)[0]
    rates = flatten(given)[0]
    if isinstance(given, tuple | list | dict):
        if dict(named_leaves(given)).keys() != dict(named_leaves(state)).keys():
            raise ArgumentError(
                f"{layer}: expected zoneout to be a probability, or one for each array of the state "
                f"{describe(state)}, got {given!r}; pass e.g. zoneout=0.1."
            )
    else:
        rates = [given] * len(leaves)
    for rate in rates:
        check_probability(layer, zoneout=rate)
    return [float(rate) if leaf.dtype.kind == "f" else 0.0 for rate, leaf in zip(rates, leaves, strict=True)]


def _apply(step: InputStep, run: Run) -> InputStep:
    rates = _check(type(run.cell).__name__, run.options, run.cell.initial_state(1))
    if not any(rates):
        return step
    if run.training:  # the masks of T steps, (T, N, ...) bool, for the arrays of the state whose rate is not 0
        draw, T = settings.generator(None).integers, run.varying["x"][0].shape[0]
        run.varying["zoneout"] = [
            draw(0, _LEVELS, (T, *array.shape), np.uint16) < round(rate * _LEVELS)
            for array, rate in zip(run.state, rates, strict=True)
            if rate
        ]
    return zoneout(step, rates, run.training)


ZONEOUT = Transform({"zoneout": 0.0}, _check, _apply)
