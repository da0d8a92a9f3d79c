"""A step as text, in the notation of mathematics."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Mapping
from typing import Any

from ..ir.step import Eqn, Stages, Step, Var
from ..passes.differentiate import Backward

_SHORT = {"float32": "f32", "float64": "f64", "bool": "bool", "int64": "i64", "int32": "i32"}
_WIDTH = 100


class Names(dict[Var, str]):
    """The name of each variable of a step: w for constants, h for the carry, x for inputs, v for results.

    Given the forward `names` and the `gradient`, the names of the backward step: dh and dy for the cotangents of the
    carry and of the outputs, d for results. Variables of the forward step keep their names.
    """

    def __init__(self, step: Step, names: Mapping[Var, str] | None = None, gradient: Backward | None = None) -> None:
        super().__init__(names or {})
        if gradient is None:
            self._give("h", step.carry)
            self._give("x", step.xs)
        else:
            self._give("dy", step.xs[: len(gradient.outputs)], gradient.outputs)
            self.update((var, f"d{self[of]}") for var, of in zip(step.carry, gradient.carries, strict=True))
        self._give("w", [var for var in step.consts if var not in self], self._unused("w"))
        results = [result for eqn in step.eqns for result in eqn.results if result not in self]
        self._give("v" if gradient is None else "d", results, range(1, len(results) + 1))

    def _give(self, letter: str, variables: Iterable[Var], numbers: Iterable[int] | None = None) -> None:
        variables = tuple(variables)
        self.update((var, f"{letter}{n}") for var, n in zip(variables, numbers or range(len(variables)), strict=False))

    def _unused(self, letter: str) -> range:
        count = sum(name.startswith(letter) for name in self.values())
        return range(count, count + 1000)


def show_aval(var: Var) -> str:
    """Return the dtype and shape: ``f32[64, 256]``."""
    return f"{_SHORT.get(var.dtype.name, var.dtype.name)}[{', '.join(map(str, var.shape))}]"


def show_eqn(eqn: Eqn, names: Mapping[Var, str]) -> str:
    """Return an equation as a line: ``v3: f32[64, 256] = v1 + v2``."""
    return f"{', '.join([f'{names[r]}: {show_aval(r)}' for r in eqn.results])} = {show_application(eqn, names)}"


def show_list(label: str, parts: Iterable[str]) -> str:
    """Return a list with a label in front, wrapped; an empty text for an empty list."""
    text = ", ".join([part.replace(" ", "\0") for part in parts])
    indent = f"    {label:8}"
    lines = textwrap.fill(text, _WIDTH, initial_indent=indent, subsequent_indent=" " * len(indent))
    return lines.replace("\0", " ") if text else ""


def show_stages(stages: Stages, names: Mapping[Var, str], rematerialised: Iterable[Var] = ()) -> list[str]:
    """Return the lines of the inputs and of the three stages of a step, with `rematerialised` variables marked."""
    step, again = stages.step, set(rematerialised)
    lines = [
        show_list(label, [f"{names[var]}: {show_aval(var)}" for var in part])
        for label, part in (("consts", step.consts), ("carry", step.carry), ("xs", step.xs))
    ]
    titled = (
        ("before, for all times at once", stages.before),
        ("during, the loop over time", stages.during),
        ("after, for all times at once", stages.after),
    )
    for title, eqns in titled:
        if eqns:
            lines.append(f"    {title}")
        lines += [f"        {show_eqn(eqn, names)}{'  (again)' if eqn.results[0] in again else ''}" for eqn in eqns]
    return [line for line in lines if line]


def show_application(eqn: Eqn, names: Mapping[Var, str]) -> str:
    """Return what an equation computes: ``v1 + v2``."""
    operands = [names[o] if o.__class__ is Var else repr(o) for o in eqn.operands]
    if eqn.primitive.symbol is not None:
        low = f"  ({eqn.params['precision']})" if "precision" in eqn.params else ""
        low = f"{low[:-1]}, scale of {eqn.params['largest']:.4g})" if "largest" in eqn.params else low
        return f"{operands[0]} {eqn.primitive.symbol} {operands[1]}{low}"
    options = [f"{key}={_option(value)}" for key, value in eqn.params.items() if key != "ends"]
    return f"{eqn.primitive.name}({', '.join(operands + options)})"


def _option(value: Any) -> str:
    if isinstance(value, slice):
        step = "" if value.step in (None, 1) else f":{value.step}"
        return f"{'' if value.start is None else value.start}:{'' if value.stop is None else value.stop}{step}"
    if isinstance(value, tuple):
        return f"({', '.join(map(_option, value))})"
    return str(value)
