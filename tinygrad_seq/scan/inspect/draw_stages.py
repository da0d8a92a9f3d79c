"""The three stages of a compiled step, forward and backward, as a graph in DOT."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping

from ...base import dot
from ..ir.step import Eqn, Var
from ..run.direction import Direction, Plan
from .printer import Names, show_application, show_aval

_INPUT, _CARRY = "#eef2f7", "#fdebd0"
_SAVED = {"style": "dotted", "color": "#2867c8", "constraint": "false"}
"""What the backward direction reads of the forward one."""


def draw_stages(plan: Plan, limit: int) -> str:
    """Return the graph; of each stage at most `limit` operations are drawn."""
    names = Names(plan.forward.step)
    drawing = _Drawing(limit)
    lines = drawing.direction("forward", plan.forward, names)
    if plan.backward is not None and plan.gradient is not None:
        backward = Names(plan.backward.step, names, plan.gradient)
        lines += drawing.direction("backward", plan.backward, backward)
    return dot.graph("stages", [*lines, *drawing.edges])


class _Drawing:
    """Collects the lines of both directions; a variable is read from where it was computed last."""

    def __init__(self, limit: int) -> None:
        self.limit, self.edges, self._ids, self._count = limit, list[str](), dict[Var, str](), 0
        self._own: set[str] = set()  # the nodes of the direction that is being drawn

    def direction(self, name: str, direction: Direction, names: Mapping[Var, str]) -> list[str]:
        """Return the boxes of a direction; results have a double border."""
        step, stages = direction.step, direction.stages
        self._own.clear()
        inputs = [
            *self._inputs("weights and other constants", step.consts, names, _INPUT),
            *self._inputs("inputs of the step", step.xs, names, _INPUT),
            *self._inputs("carry", step.carry, names, _CARRY),
        ]
        carries = {var: self._ids[var] for var in step.carry}
        boxes = [
            ("before", "before: all times at once", stages.before),
            ("replay", "replay: the forward loop runs again", _replayed(direction)),
            ("during", "during: the loop over time", stages.during),
            ("after", "after: all times at once", stages.after),
        ]
        results = {*step.ys, *step.sums}
        inside = [
            line
            for key, title, eqns in boxes
            for line in dot.cluster(f"{name} {key}", title, self._stage(eqns, names, results))
        ]
        for var, begin in zip(step.carry_out, carries.values(), strict=True):
            if var in self._ids:
                again = {"style": "dashed", "constraint": "false", "label": "next step"}
                self.edges.append(dot.edge(self._ids[var], begin, **again))
        return dot.cluster(name, name, [*inputs, *inside])

    def _inputs(self, title: str, variables: Iterable[Var], names: Mapping[Var, str], colour: str) -> list[str]:
        """Return the nodes of inputs; what the forward step computed is read from there."""
        lines = []
        for var in variables:
            if var not in self._ids:
                label = f"{names[var]}\n{show_aval(var)}"
                lines.append(dot.node(self._new(var), label, shape="ellipse", fillcolor=colour, tooltip=title))
        return lines

    def _stage(self, eqns: Iterable[Eqn], names: Mapping[Var, str], outputs: Collection[Var]) -> list[str]:
        eqns = [*eqns]
        lines = []
        for eqn in eqns[: self.limit]:
            sources = [self._ids[var] for var in dict.fromkeys(eqn.reads) if var in self._ids]
            identity = self._new(*eqn.results)
            results = [f"{names[result]}: {show_aval(result)}" for result in eqn.results]
            border = {"peripheries": "2"} if any(result in outputs for result in eqn.results) else {}
            lines.append(dot.node(identity, "\n".join([show_application(eqn, names), *results]), **border))
            self.edges += [dot.edge(source, identity, **({} if source in self._own else _SAVED)) for source in sources]
        if len(eqns) > self.limit:
            self._count += 1
            lines.append(dot.node(f"more {self._count}", f"{len(eqns) - self.limit:,} more, not drawn", style="dashed"))
        return lines

    def _new(self, *variables: Var) -> str:
        self._count += 1
        self._ids.update(dict.fromkeys(variables, f"n{self._count}"))
        self._own.add(f"n{self._count}")
        return f"n{self._count}"


def _replayed(direction: Direction) -> tuple[Eqn, ...]:
    replay = direction.stages.replay
    return () if replay is None else (*replay.before, *replay.during)
