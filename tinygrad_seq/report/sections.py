"""The sections of a report that need no model: results, samples, the course of the training, settings."""

from __future__ import annotations

import importlib.metadata
import math
import platform
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from .charts import draw_metric, number
from .markup import Markup, element, facts, folded, missing, scrolling, table
from .reported import Subject, now
from .series import PARTS, Metric, finite, is_number, metrics_of, position_name, position_of
from .svg import Figures

_SAMPLES, _SAMPLE_LENGTH = 6, 600
_LISTED = 12
"""The most values of a setting that are shown."""
_DERIVED = "perplexity"
"""The exponential of the loss: in the table only, since its curve says the same as that of the loss."""


class Section(NamedTuple):
    """A section of the page."""

    name: str
    title: str
    content: Sequence[Markup]


def headline(subject: Subject, parameters: int | None) -> Markup:
    """Return the most important numbers."""
    metrics = metrics_of(subject.rows)
    cards: list[tuple[str, str, str]] = []
    best = best_position(metrics)
    for metric in metrics:
        if metric.is_result:
            for part in ("validation", "test"):
                value = _at(metric, part, best if part == "validation" else None)
                if value is not None:
                    cards.append((number(value), f"{metric.unit}, {PARTS[part]}", metric.name))
    cards.sort(key=lambda card: (card[2] == _DERIVED, card[2] == "loss"))
    speed = next((metric for metric in metrics if metric.name == "tokens_per_second"), None)
    shown = cards[:3]
    if parameters is not None:
        shown.append((number(parameters), "parameters", ""))
    seconds = [row["seconds"] for row in subject.rows if is_number(row.get("seconds"))]
    if seconds:
        shown.append((_duration(seconds[-1]), "training time", ""))
    if speed and (points := finite(speed.curves.get("training", []))):
        shown.append((number(float(np.median([y for _, y in points]))), "tokens per second", ""))
    return element(
        "ul", *[element("li", element("b", value), element("span", text)) for value, text, _ in shown], class_="cards"
    )


def _duration(seconds: float) -> str:
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"


def best_position(metrics: Sequence[Metric]) -> float | None:
    """Return where the held-out loss is lowest, or None if there is none."""
    loss = next((metric for metric in metrics if metric.name == "loss"), None)
    points = finite(loss.curves.get("validation", [])) if loss else []
    return min(points, key=lambda point: point[1])[0] if points else None


def _at(metric: Metric, part: str, position: float | None) -> float | None:
    """Return the value at a position; without one, or if there is none, the last."""
    points = finite(metric.curves.get(part, []))
    return next((y for x, y in points if x == position), points[-1][1]) if points else None


def results(subject: Subject, figures: Figures) -> Section:
    """Return the curves and the table of what says how good the model is."""
    metrics, position = [metric for metric in metrics_of(subject.rows) if metric.is_result], position_name(subject.rows)
    if not metrics:
        return Section("results", "Results", [missing(no_metrics(subject))])
    plots = [
        draw_metric(figures, metric, position, unit_of(metric, subject))
        for metric in metrics
        if metric.name != _DERIVED
    ]
    best = best_position(metrics)
    last = "held out, last" if best is None else f"held out, {position} {number(best)}"
    where = {"training": "training, last", "validation": last, "test": "test"}
    lines = []
    for part, label in where.items():
        values = [_at(metric, part, best if part == "validation" else None) for metric in metrics]
        if any(value is not None for value in values):
            lines.append([label, *["–" if value is None else number(value) for value in values]])
    content = [element("div", *plots, class_="figures"), table(["", *[metric.title for metric in metrics]], lines)]
    if not any("validation" in metric.curves for metric in metrics):
        content.append(
            missing(
                "There is no held-out result yet: the first evaluation is still to come, or there is no held-out data."
            )
        )
    return Section("results", "Results", content)


def unit_of(metric: Metric, subject: Subject) -> str:
    """Return what the values are counted in."""
    return subject.units.get(metric.name, metric.unit)


def no_metrics(subject: Subject) -> str:
    """Return why there are no curves."""
    return "There are no curves." if subject.notes else "There are no metrics yet: the first row is still to come."


def progress(subject: Subject, figures: Figures) -> Section:
    """Return the curves of everything else that is measured."""
    metrics = [metric for metric in metrics_of(subject.rows) if not metric.is_result and metric.name != _DERIVED]
    if not metrics:
        text = no_metrics(subject) if not subject.rows else "The rows hold nothing but results."
        return Section("training", "Training", [missing(text)])
    position = position_name(subject.rows)
    plots = [draw_metric(figures, metric, position, unit_of(metric, subject)) for metric in metrics]
    return Section("training", "Training", [element("div", *plots, class_="figures")])


def samples(subject: Subject) -> Section | None:
    """Return texts that the model wrote in the course of the training; None if nothing is ever sampled."""
    found = [
        (position_of(row, count), row["sample"])
        for count, row in enumerate(subject.rows, 1)
        if isinstance(row.get("sample"), str) and row["sample"].strip()
    ]
    if not found:
        text = "There is no sample yet: one is written at each evaluation."
        return Section("samples", "Samples", [missing(text)]) if subject.settings.get("sample_length") else None
    chosen = sorted({round(at) for at in np.linspace(0, len(found) - 1, min(_SAMPLES, len(found)))}, reverse=True)
    position = position_name(subject.rows)
    parts = []
    for at in chosen:
        where, text = found[at]
        cut = text[:_SAMPLE_LENGTH] + (" …" if len(text) > _SAMPLE_LENGTH else "")
        parts.append(
            element(
                "figure", element("figcaption", f"{position} {number(where)}"), element("pre", cut), class_="sample"
            )
        )
    count = (
        f"{len(chosen)} of {len(found)} samples, the latest first." if len(chosen) < len(found) else "The latest first."
    )
    return Section("samples", "Samples", [element("p", count, class_="note"), element("div", *parts, class_="samples")])


def origin(subject: Subject) -> Section:
    """Return the command, the settings and the environment."""
    content = []
    if subject.command:
        content.append(element("p", "The command with the settings of this run:"))
        content.append(scrolling(element("pre", subject.command)))
    else:
        content.append(missing("The command is not shown: the settings of the run are not known."))
    if subject.facts:
        content.append(facts(subject.facts.items()))
    written = f"tinygrad-seq {_version()}, Python {platform.python_version()}, NumPy {np.__version__}"
    trained = ", ".join([f"{name} {version}" for name, version in subject.versions.items()]) or "not recorded"
    content.append(
        facts(
            {
                "trained with": trained,
                "report written by": written,
                "on": f"{platform.system()} {platform.machine()}",
                "at": now(),
            }.items()
        )
    )
    if subject.settings:
        rows = [[name, _setting(value)] for name, value in subject.settings.items()]
        content.append(folded("All settings", table(["setting", "value"], rows)))
    return Section("environment", "Command and environment", content)


def _version() -> str:
    try:
        return importlib.metadata.version("tinygrad-seq")
    except importlib.metadata.PackageNotFoundError:
        return "(not installed)"


def _setting(value: object) -> str:
    if isinstance(value, float) and math.isfinite(value):
        return f"{value:g}"
    if not isinstance(value, list | tuple):
        return str(value)
    listed = ", ".join(map(str, value[:_LISTED])) or "–"
    return listed if len(value) <= _LISTED else f"{listed}, … ({len(value):,} values)"
