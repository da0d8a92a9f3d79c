"""The text of a step, which reads like mathematics."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from .ir import Eqn, Step, Var

_SHORT = {"float32": "f32", "float64": "f64", "bool": "bool", "int64": "i64", "int32": "i32"}
_INFIX = {
    "add": "+", "subtract": "-", "multiply": "*", "divide": "/", "matmul": "@", "pow": "**", "less": "<",
    "less_equal": "<=", "greater": ">", "greater_equal": ">=", "equal": "==", "not_equal": "!=", "remainder": "%",
}  # fmt: skip


class Names(dict[Var, str]):
    """The name of each variable: W, c, x, v with a number."""

    def __init__(self, step: Step) -> None:
        super().__init__()
        for letter, part in (("w", step.consts), ("h", step.carry), ("x", step.xs)):
            self.update({var: f"{letter}{number}" for number, var in enumerate(part)})

    def __missing__(self, var: Var) -> str:
        name = self[var] = f"v{len(self)}"
        return name


def show_eqns(eqns: Iterable[Eqn], names: Names) -> list[str]:
    """Return one line for each equation."""
    return [f"{', '.join([f'{names[r]}: {show_aval(r)}' for r in eqn.results])} = {_apply(eqn, names)}" for eqn in eqns]


def show_aval(var: Var) -> str:
    """Return the dtype and shape: ``f32[64, 256]``."""
    return f"{_SHORT.get(var.dtype.name, var.dtype.name)}[{', '.join(map(str, var.shape))}]"


def show_step(step: Step) -> str:
    """Return the text of a whole step."""
    names = Names(step)

    def row(label: str, part: Iterable[Var], typed: bool = False) -> str:
        return f"{label} " + ", ".join([f"{names[v]}: {show_aval(v)}" if typed else names[v] for v in part])

    lines = [row("consts", step.consts, True), row("carry ", step.carry, True), row("xs    ", step.xs, True)]
    lines += ["    " + line for line in show_eqns(step.eqns, names)]
    lines += [row("carry ", step.carry_out), row("ys    ", step.ys)]
    if step.sums:
        lines.append(row("sums  ", step.sums))
    return "\n".join(lines)


def _apply(eqn: Eqn, names: Names) -> str:
    operands = [names[o] if o.__class__ is Var else repr(o) for o in eqn.operands]
    name = eqn.primitive.name
    if name in _INFIX:
        return f"{operands[0]} {_INFIX[name]} {operands[1]}"
    options = [f"{key}={_option(value)}" for key, value in eqn.params.items() if key != "ends"]
    return f"{name}({', '.join(operands + options)})"


def _option(value: Any) -> str:
    if isinstance(value, slice):
        step = "" if value.step in (None, 1) else f":{value.step}"
        return f"{'' if value.start is None else value.start}:{'' if value.stop is None else value.stop}{step}"
    if isinstance(value, tuple):
        return f"({', '.join(map(_option, value))})"
    return str(value)
