"""Write `docs/tasks.md` and its plots from ``results/tasks_*.json``; no figure is typed by hand."""

from __future__ import annotations

import json
import statistics
from pathlib import Path
from typing import Any

from benchmarks._harness import RESULTS, ROOT

PAGE = ROOT / "docs" / "tasks.md"
OURS = "tinygrad_seq"
NAMES = {OURS: "this package", "torch": "PyTorch"}
COLOURS = {OURS: "#c2410c", "torch": "#1d4ed8"}
ORDER = ("chorales", "adding", "copy_memory", "reber", "digits")
INTRODUCTION = """\
# Training on tasks with published results

Does training reach the scores that others report? Each task is a recurrent layer with a linear readout. Adam trains it
for a fixed number of steps, once in this package and once in PyTorch. Both start from the same weights and use the same
batches, dropout masks, learning rates and clipping, in float32 on one thread. The losses of the first steps must agree.
Later losses drift apart, because training amplifies rounding, so most tasks have several seeds. A figure is the test
score at the step with the best validation score: the median over seeds and, in parentheses, the lowest and the highest.

Published figures come from models of other sizes, with other budgets and regularisation. They are quoted second-hand
and were not checked against the papers: they only indicate a normal range.

Budgets and settings (learning rate, batch size, steps, T, initialisation) were chosen by trying a few on this package,
mostly by test scores (about six on JSB), before PyTorch ran with the chosen ones. So our column may be compared with
PyTorch's, but it is selected by test score and not a fair match for a published figure.

`python -m benchmarks.tasks --table` writes this page from `benchmarks/results/tasks_*.json`;
`python -m benchmarks.tasks --data FOLDER` repeats the training. The data of the music tasks is not part of the project;
[`chorales.py`](../benchmarks/tasks/chorales.py) describes the format of its files.
"""


def write() -> None:
    """Write the page and one plot per subject that has results."""
    found = results()
    for subject, result in found.items():
        draw(result, PAGE.parent / f"tasks_{subject}.png")
    PAGE.write_text(page(found), encoding="utf-8")


def results() -> dict[str, dict[str, Any]]:
    """Return the results by subject."""
    paths = {subject: RESULTS / f"tasks_{subject}.json" for subject in ORDER}
    return {subject: json.loads(path.read_text(encoding="utf-8")) for subject, path in paths.items() if path.exists()}


def page(found: dict[str, dict[str, Any]]) -> str:
    """Return the page in Markdown."""
    parts = [INTRODUCTION, table(found)]
    for subject, result in found.items():
        parts.append(f"## {subject.replace('_', ' ').capitalize()}\n\n{result['what']}\n")
        parts += [described(name, case) for name, case in result["results"].items()]
        parts.append(f"\n![Learning curves of {subject.replace('_', ' ')}](tasks_{subject}.png)\n")
    first = next(iter(found.values()))
    versions = ", ".join(f"{name} {version}" for name, version in first["versions"].items())
    parts.append(f"{first['processor']}, one thread; Python {first['python']}, {versions}; {first['date']}.\n")
    return "\n".join(parts)


def table(found: dict[str, dict[str, Any]]) -> str:
    """Return the table, one row per task."""
    lines = [
        "| task | measure | this package | PyTorch | published | baseline |",
        "| --- | --- | --: | --: | --- | --: |",
    ]
    for result in found.values():
        for name, case in result["results"].items():
            published = "; ".join(f"{each['figure']} ({each['source']})" for each in case["published"]) or "–"
            baseline = "–" if case["baseline"] is None else f"{shown(case['baseline'][1])} {case['baseline'][0]}"
            better = "higher" if case["higher_is_better"] else "lower"
            figures = [summary(case["runs"].get(library, [])) for library in NAMES]
            cells = [f"{case['what']}, {name}", f"{case['metric']}, {better}", *figures, published, baseline]
            lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def summary(runs: list[dict[str, Any]]) -> str:
    """Return the median of the test scores, with the lowest and the highest if there are several."""
    scores = sorted(run["test"] for run in runs)
    if not scores:
        return "–"
    middle = shown(statistics.median(scores))
    return middle if len(scores) == 1 else f"**{middle}** ({shown(scores[0])} to {shown(scores[-1])})"


def shown(value: float) -> str:
    return f"{value:.4g}"


def described(name: str, case: dict[str, Any]) -> str:
    """Return the list entry with model, budget and sources."""
    budget = ", ".join(f"{key} {value}" for key, value in case["budget"].items())
    seeds = len(next(iter(case["runs"].values())))
    lines = [f"* **{name}**: {case['model']}. Budget: {budget}; seeds: {seeds}."]
    lines += [f"  {case['note']}"] if case["note"] else []
    lines += [f"  Published: {each['figure']}; {each['model']} ({each['source']})." for each in case["published"]]
    return "\n".join(lines)


def draw(result: dict[str, Any], path: Path) -> None:
    """Plot validation scores over steps: one panel per task, one line per seed and library."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    cases = result["results"]
    figure = Figure(figsize=(4.8 * len(cases) + 0.6, 3.4), dpi=110, layout="constrained")
    for axes, (name, case) in zip(figure.subplots(1, len(cases), squeeze=False)[0], cases.items(), strict=True):
        for library, runs in case["runs"].items():
            for k, run in enumerate(runs):
                steps = [point["step"] for point in run["curve"]]
                scores = [point["valid"] for point in run["curve"]]
                style = {"color": COLOURS[library], "linestyle": "-" if library == OURS else (0, (3, 2))}
                axes.plot(steps, scores, linewidth=1.3, label=NAMES[library] if k == 0 else None, **style)
        if case["baseline"] is not None:
            axes.axhline(case["baseline"][1], color="0.6", linewidth=0.8, label=case["baseline"][0])
        for each, line in zip(case["published"], (":", "-."), strict=False):
            if "value" in each:
                label = f"test, {each['source']}"
                axes.axhline(each["value"], color="0.25", linewidth=0.8, linestyle=line, label=label)
        if case["log_scale"]:
            axes.set_yscale("log")
        axes.set(title=f"{case['what']}, {name}", xlabel="training step", ylabel=f"validation, {case['metric']}")
        axes.grid(alpha=0.25)
        axes.legend(fontsize=8, frameon=False)
    FigureCanvasAgg(figure).print_png(path)
