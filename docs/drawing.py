"""Pictures of the page on the engine: the tape as a graph, the stages of a compiled step as columns."""

from __future__ import annotations

import re
from typing import Any

import matplotlib.pyplot as plt
from matplotlib.axes import Axes

COLOURS = {"product": "#f6c28b", "sum over time": "#b9d7a8", "elementwise": "#c9daf0", "leaf": "#eeeeee"}


def kind_of(equation: str) -> str:
    """Return what an operation of `explain` is, for its colour."""
    if " @ " in equation or "matmul" in equation or "linear" in equation:
        return "product"
    return "sum over time" if "sum(" in equation else "elementwise"


def box(axes: Axes, x: float, y: float, text: str, kind: str, size: float = 7.5) -> None:
    style = {"boxstyle": "round,pad=0.35", "facecolor": COLOURS[kind], "edgecolor": "#666666", "linewidth": 0.6}
    axes.text(x, y, text, ha="center", va="center", fontsize=size, family="monospace", color="black", bbox=style)


def draw_stages(text: str) -> None:
    """Draw the stages of both directions, as `explain` lists them: columns before, during and after the loop."""
    directions = []
    for name in ("forward", "backward"):
        part = text.split(f"{name}\n", 1)[1].split("\n\n", 1)[0]
        stages: dict[str, list[str]] = {"before": [], "during": [], "after": []}
        stage = ""
        for line in part.split("\n"):
            if match := re.match(r"    (before|during|after),", line):
                stage = match[1]
            elif stage and line.startswith("        "):
                names, _, operation = line.strip().partition(" = ")
                result = ", ".join(re.findall(r"(\w+): ", names))
                stages[stage].append(f"{result} = {re.sub(r'(axes|shape|cuts|axis|keepdims)=[^ ]*', '', operation)}")
            elif not line.startswith("        "):
                stage = ""
        directions.append((name, stages))
    rows = max(len(equations) for _, stages in directions for equations in stages.values())
    figure, panels = plt.subplots(1, 2, figsize=(9, 0.24 * rows + 0.8))
    for axes, (name, stages) in zip(panels, directions, strict=True):
        axes.set(xlim=(-0.6, 2.6), ylim=(-rows - 0.5, 1.2), title=name)
        axes.axis("off")
        for column, (stage, equations) in enumerate(stages.items()):
            title = {"before": "before\nall times", "during": "in the loop\nT times", "after": "after\nall times"}[stage]
            axes.text(column, 0.6, title, ha="center", va="center", fontsize=8, fontweight="bold")
            for row, equation in enumerate(equations):
                shown = re.sub(r"\s*\(again\)", " (again)", re.sub(r"[, ]+\)", ")", equation))
                box(axes, column, -row - 0.6, shown.replace("permute_dims", "transpose"), kind_of(equation), 5.5)
    figure.tight_layout()


def draw_tape(result: Any, names: dict[int, str]) -> None:
    """Draw the recorded operations that lead to `result`; `names` are those of leaves, by id."""
    order: list[Any] = []
    level: dict[int, int] = {}

    def visit(source: Any) -> int:
        if id(source) not in level:
            parents = [parent for parent in getattr(source, "parents", ()) if parent is not None]
            level[id(source)] = 1 + max([visit(parent) for parent in parents], default=-1)
            order.append(source)
        return level[id(source)]

    depth = visit(result._source)
    columns: dict[int, list[Any]] = {}
    for source in order:
        columns.setdefault(level[id(source)], []).append(source)
    place = {
        id(source): (column, (len(sources) - 1) / 2 - row) for column, sources in columns.items() for row, source in enumerate(sources)
    }
    figure, axes = plt.subplots(figsize=(7, 0.7 + 0.6 * max(map(len, columns.values()))))
    for source in order:
        for parent in getattr(source, "parents", ()):
            if parent is not None:
                arrow = {"arrowstyle": "->", "color": "#666666", "shrinkA": 18, "shrinkB": 18}
                axes.annotate("", place[id(source)], place[id(parent)], arrowprops=arrow)
    for source in order:
        primitive = getattr(source, "primitive", None)
        text = names.get(id(source), "tensor") if primitive is None else primitive.name
        box(axes, *place[id(source)], text, "leaf" if primitive is None else kind_of(text))
    axes.set(xlim=(-0.5, depth + 0.5), ylim=(-1.2, 1.2))
    axes.axis("off")
    figure.tight_layout()
