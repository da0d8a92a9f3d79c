"""Trace a step into its equations, for the transformations that rewrite a cell."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from ....autograd.tagging import collect_tags
from ....base.tree import Tree, flatten
from ....scan.ir.step import Aval
from ....scan.ir.trace import Tracer
from .inputs import Inputs, InputStep

if TYPE_CHECKING:
    from ....scan.ir.retrace import Traced


class Written(NamedTuple):
    """The trace of a step, and its tagged values by name: a variable, or an array that is the same at every step."""

    traced: Traced
    tags: dict[str, Any]


def write_down(step: InputStep, state: Tree, inputs: Inputs) -> Written:
    """Return the trace of a step for this batch size.

    Raises
    ------
    CompileError
        If it reads a value or draws random numbers.
    """
    from ....scan.compiled import trace_step  # the compiler is imported when first used

    columns, rebuild = flatten(inputs)
    with collect_tags() as tags:
        traced = trace_step(step, state, rebuild, [Aval(column.shape, column.dtype) for column in columns])
    return Written(traced, {name: x._var if isinstance(x, Tracer) else x for name, x in tags.items()})
