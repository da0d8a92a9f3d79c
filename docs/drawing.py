"""Pictures of the page on the engine: the tape as a graph, the stages of a compiled step as columns."""

from __future__ import annotations

import re

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
            made = ", ".join(re.findall(r"(\w+): ", results))
            stages[stage].append(f"{made} = {operation}")
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
        axes.set(xlim=(0, 6), ylim=(-rows, 1.1))
        axes.set_title(direction, loc="left", fontsize=10)
        axes.axis("off")
    kinds = [plt.Rectangle((0, 0), 1, 1, facecolor=COLOURS[kind]) for kind in COLOURS if kind != "leaf"]
    panels[0].legend(kinds, [kind for kind in COLOURS if kind != "leaf"], loc="center right", frameon=False, fontsize=8)
    figure.tight_layout()


def draw_graph(dot: str) -> None:
    """Draw a graph that `ts.draw` has written, from left to right."""
    labels = {name: label.split("\\n")[0] for name, label in re.findall(r'"(\w+)" \[label="([^"]*)"', dot)}
    edges = re.findall(r'"(\w+)" -> "(\w+)"', dot)
    level: dict[str, int] = {}

    def find_level(name: str) -> int:
        if name not in level:
            level[name] = 1 + max([find_level(source) for source, target in edges if target == name], default=-1)
        return level[name]

    columns: dict[int, list[str]] = {}
    for name in labels:
        columns.setdefault(find_level(name), []).append(name)
    height = max(map(len, columns.values()))
    place = {
        name: (column, (len(names) - 1) / 2 - row)
        for column, names in columns.items()
        for row, name in enumerate(names)
    }
    _, axes = plt.subplots(figsize=(8, 0.5 + 0.5 * height))
    for source, target in edges:
        arrow = {"arrowstyle": "->", "color": "#808080", "shrinkA": 24, "shrinkB": 26}
        axes.annotate("", place[target], place[source], arrowprops=arrow)
    for name, label in labels.items():
        box(axes, *place[name], label, "leaf" if name.startswith("l") else kind_of(label))
    axes.set(xlim=(-0.5, len(columns) - 0.5), ylim=(-height / 2, height / 2))
    axes.axis("off")
