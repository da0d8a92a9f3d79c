"""`Transform`: all that the layers know of an option that changes the step of a cell."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from ....base.tree import Tree
from ...cell import Cell
from .inputs import Arrays, Inputs, InputStep


class Run(NamedTuple):
    """What a transformation may know of the run that its step is for.

    Attributes
    ----------
    cell
        The cell.
    state
        The arrays of its state at the beginning, (N, ...).
    options
        All options of the layer.
    training
        Whether the layer is in training.
    varying, fixed
        The inputs of the run, (T, N, ...) and (N, ...), to which the transformation adds its own, such as random masks.
        In evaluation it adds none: a stream has one step.
    """

    cell: Cell
    state: Arrays
    options: Mapping[str, Any]
    training: bool
    varying: Inputs
    fixed: Inputs


class Transform(NamedTuple):
    """A transformation of the step, and the options that it implements.

    Attributes
    ----------
    defaults
        The default of each option. Where all have their defaults, the step is not transformed.
    check
        ``check(layer, options, state)`` raises if an option is outside its range; `state` is that of one row.
    apply
        ``apply(step, run)`` returns the transformed step. It is called before the loop.
    training_only
        Whether the step is transformed in training only.
    """

    defaults: Mapping[str, Any]
    check: Callable[[str, Mapping[str, Any], Tree], object]
    apply: Callable[[InputStep, Run], InputStep]
    training_only: bool = False

    def is_active(self, options: Mapping[str, Any], training: bool) -> bool:
        """Return whether the step is transformed."""
        allowed = training or not self.training_only
        return allowed and any(options[name] != default for name, default in self.defaults.items())
