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
    return "sum over time" if re.search(r"\bsum\(", equation) else "elementwise"


def box(axes: Axes, x: float, y: float, text: str, kind: str, size: float = 7.5) -> None:
    style = {"boxstyle": "round,pad=0.35", "facecolor": COLOURS[kind], "edgecolor": "#666666", "linewidth": 0.6}
    axes.text(x, y, text, ha="center", va="center", fontsize=size, family="monospace", color="black", bbox=style)


def read_stages(text: str, direction: str) -> dict[str, list[str]]:
    """Return the equations of a direction by stage, from the text of `explain`, without shapes and options."""
    stages: dict[str, list[str]] = {"before": [], "during": [], "after": []}
    stage = ""
    for line in text.split(f"{direction}\n", 1)[1].split("\n\n", 1)[0].split("\n"):
        if match := re.match(r"    (before|during|after),", line):
            stage = match[1]
        elif stage and line.startswith("        "):
            results, _, operation = line.strip().partition(" = ")
            operation = re.sub(r", (?:axis|axes|shape|cuts|keepdims)=(?:\([^)]*\)|\w+)", "", operation)
            operation = re.sub(r"permute_dims\((\w+)\)", r"\1ᵀ", operation).replace("  (again)", " *")
            stages[stage].append(f"{', '.join(re.findall(r'(\w+): ', results))} = {operation}")
        else:
            stage = ""
    return stages


def draw_stages(text: str, rows: int = 7) -> None:
    """Draw the stages of both directions, as `explain` lists them; a stage is as many columns as it needs."""
    titles = {"before": "before the loop", "during": "in the loop, T times", "after": "after the loop"}
    figure, panels = plt.subplots(2, 1, figsize=(8.5, 6))
    for axes, direction in zip(panels, ("forward", "backward"), strict=True):
        left = 0.0
        for stage, equations in read_stages(text, direction).items():
            columns = max(1, -(-len(equations) // rows))
            size = -(-len(equations) // columns)
            shade = "#fbf3e6" if stage == "during" else "#f4f6f8"
            axes.add_patch(plt.Rectangle((left + 0.03, -rows), columns - 0.06, rows + 1, facecolor=shade, zorder=0))
            axes.text(left + columns / 2, 0.5, titles[stage], ha="center", va="center", fontsize=8, fontweight="bold")
            for number, equation in enumerate(equations):
                column, row = divmod(number, size)
                box(axes, left + column + 0.5, -row - 0.5, equation, kind_of(equation), 7)
            left += columns
        axes.set(xlim=(0, 7), ylim=(-rows, 1.1))
        axes.set_title(direction, loc="left", fontsize=10)
        axes.axis("off")
    kinds = [plt.Rectangle((0, 0), 1, 1, facecolor=COLOURS[kind]) for kind in COLOURS if kind != "leaf"]
    panels[0].legend(kinds, [kind for kind in COLOURS if kind != "leaf"], loc="center right", frameon=False, fontsize=8)
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
    figure, axes = plt.subplots(figsize=(7, 0.5 + 0.5 * max(map(len, columns.values()))))
    for source in order:
        for parent in getattr(source, "parents", ()):
            if parent is not None:
                arrow = {"arrowstyle": "->", "color": "#666666", "shrinkA": 18, "shrinkB": 18}
                axes.annotate("", place[id(source)], place[id(parent)], arrowprops=arrow)
    for source in order:
        primitive = getattr(source, "primitive", None)
        text = names.get(id(source), "tensor") if primitive is None else primitive.name
        box(axes, *place[id(source)], text, "leaf" if primitive is None else kind_of(text))
    height = max(map(len, columns.values())) / 2
    axes.set(xlim=(-0.5, depth + 0.5), ylim=(-height, height))
    axes.axis("off")
    figure.tight_layout()
