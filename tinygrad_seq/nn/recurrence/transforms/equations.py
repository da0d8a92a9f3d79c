"""A step written down as its equations, for the transformations that look into a cell."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from ....autograd.tagging import collect_tags
from ....base.tree import Tree, flatten
from ....scan.ir.step import Aval, Eqn
from ....scan.ir.trace import Tracer
from .inputs import Inputs, InputStep

if TYPE_CHECKING:
    from ....scan.ir.retrace import Traced


class Written(NamedTuple):
    """A step as its equations, and what it tags: a variable, or an array that is the same at every step, by name."""

    traced: Traced
    tags: dict[str, Any]


def write_down(step: InputStep, state: Tree, inputs: Inputs) -> Written:
    """Return a step as its equations, which depend on the number of rows.

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


def apply(eqn: Eqn, operands: Sequence[Any], values: dict[Any, Any]) -> None:
    """Do what an equation says to `operands`; the results go to `values`, by variable."""
    results = eqn.primitive(*operands, **eqn.params)
    values.update(zip(eqn.results, results if eqn.primitive.multiple else (results,), strict=True))
