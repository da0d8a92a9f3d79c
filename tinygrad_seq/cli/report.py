"""``tinygrad-seq report``."""

from __future__ import annotations

import dataclasses
import itertools
import shlex
import sys
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer

from ..data import Vocabulary
from ..errors import ArgumentError, TinygradSeqError
from ..report.html_report import write_report
from ..report.reported import Subject, load_model, open_subject, reason, use_model
from ..report.svg import Figures
from ..tasks import FittedTask, Forecaster
from ..tasks.columns import Column, NumberColumn, TextColumn
from ..tasks.forecasting import KIND as FORECAST
from ..tasks.training import KIND as TASK
from .arguments import Checkpoint, Folder, Trust, examples
from .table_options import open_task

EXAMPLES = examples("report runs/demo", 'report runs/demo -o demo.html --text "The cat sat on the mat."')

# Settings whose options have other names, and those that no option sets.
_OPTIONS = {
    "hidden_size": "hidden",
    "num_layers": "layers",
    "embedding_size": "embedding",
    "batch_size": "batch",
    "clip_norm": "clip",
    "names": "columns",
}
_UNNAMED = ("letters", "letters_size", "crf", "max_words")
_STEPS = 12
_HELD_OUT = 0.1  # the default of --validation and --test


def report(
    run: Folder,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="The file to write.", show_default="RUN/report.html")
    ] = None,
    text: Annotated[
        str | None,
        typer.Option(help="The sentence to show the gates for.", show_default="a held-out text"),
    ] = None,
    checkpoint: Checkpoint = None,
    trust: Trust = False,
) -> None:
    """Write a report on a run as one HTML file: curves, samples, gates, compiled code; needs the extra 'plot'."""
    path = run / "report.html" if output is None else output
    write_run_report(run, path, text=text, checkpoint=checkpoint, trust=trust)
    sys.stdout.write(f"wrote {path}\n")


def write_run_report(
    run: Path, path: Path, *, text: str | None = None, checkpoint: str | None = None, trust: bool = False
) -> None:
    """Write the report on a run of `train` or of `fit`."""
    figures = Figures("report")
    subject, opened = open_subject("report", run, trust=trust)
    if opened is not None:
        load_model(subject, opened, checkpoint, text)
    elif checkpoint is not None:
        raise ArgumentError(
            f"report: expected --checkpoint with a language model, got a run of kind {subject.kind!r}; leave it out."
        )
    elif subject.kind in (TASK, FORECAST):
        _load_task(subject, run, text, trust)
    write_report(subject, figures, path)


def _load_task(subject: Subject, run: Path, text: str | None, trust: bool) -> None:
    """Load the model of a task, and make something that it can read."""
    try:
        task = open_task(run, trust=trust)
    except TinygradSeqError as error:
        subject.no_model = reason(error)
        return
    subject.command = _command(task, run)
    if isinstance(task, Forecaster):
        if text is not None:
            raise ArgumentError("report: expected no --text for a model of series, got one; leave it out.")
        T, horizon = task.settings.steps_read, task.settings.horizon
        wave = np.sin(2 * np.pi * np.arange(T) / max(task.settings.season, 2)).astype(np.float32)
        use_model("report", subject, task.model, (wave[:, None, None], wave[None, :1].repeat(horizon, 1)), None)
        subject.about_inputs = "The inputs are a sine with the season of the series."
        return
    texts = [column for column in task.columns.values() if isinstance(column, TextColumn) and column.kind != "category"]
    if text is not None and not len(task.columns) == len(texts) == 1:
        raise ArgumentError("report: expected --text with a model of one column of text, got another; leave it out.")
    entries = {name: [_entry(column) if text is None else text] for name, column in task.columns.items()}
    inputs, _ = task.dataset(entries).batch(np.arange(1))
    use_model("report", subject, task.model, inputs, texts[0].vocabulary.tokens if len(texts) == 1 else None)
    if text is None:
        subject.about_inputs = "The inputs are made up: the most frequent tokens, and numbers around the mean."


def _entry(column: Column) -> Any:
    """Return an entry that a column can encode."""
    if isinstance(column, TextColumn):
        tokens = column.vocabulary.tokens[Vocabulary.eos + 1 :]
        if column.kind == "category":
            return tokens[0]
        cycle = [*itertools.islice(itertools.cycle(tokens), _STEPS)]
        return cycle if column.kind == "words" else "".join(cycle)
    assert isinstance(column, NumberColumn)
    values = column.mean + column.scale * np.sin(np.arange(_STEPS))[:, None]
    return values if column.kind == "numbers" else float(values[0, 0])


def _command(task: FittedTask | Forecaster, run: Path) -> str | None:
    """Return the command with the settings of a run of `fit`; None if Python code trained it."""
    file = task.facts.get("file")
    if not isinstance(file, dict):
        return None
    lines = [f"tinygrad-seq fit {shlex.quote(file['name'])}"]
    if isinstance(task, Forecaster):
        chosen = {"target": file["value"], "id": file["id"], "date": file["date"]}
        lines.append("--task forecast")
        lines += [f"--{name} {shlex.quote(column)}" for name, column in chosen.items() if column is not None]
        lines += ["--test 0"] * (not file["hold_out"])
        kinds = file["kinds"]
    else:
        reader = file["reader"]
        lines += [f"--task {reader['task']}", f"--target {shlex.quote(reader['target'])}"]
        lines.append(f"--features {shlex.quote(','.join(reader['features']))}")
        lines += [f"--{name} {file[name]:g}" for name in ("validation", "test") if file[name] != _HELD_OUT]
        lines += ["--skip-missing"] * file["skip_missing"]
        kinds = {}
    lines += [f"--kind {shlex.quote(f'{name}={kind}')}" for name, kind in kinds.items()]
    for name, value in file["read"].items():
        shown = ",".join(value) if name == "names" else value
        lines.append("--no-quotes" if name == "quotes" else f"--{_OPTIONS.get(name, name)} {shlex.quote(shown)}")
    for field in dataclasses.fields(task.settings):
        value, option = getattr(task.settings, field.name), _OPTIONS.get(field.name, field.name.replace("_", "-"))
        if value == field.default or field.name in ("task", *_UNNAMED):
            continue
        if field.name == "bidirectional":
            lines.append("--bidirectional" if value else "--one-direction")
        else:
            shown = ",".join(map(str, value)) if isinstance(value, tuple) else str(value)
            lines.append(f"--{option} {shlex.quote(shown)}")
    return " \\\n    ".join([*lines, f"--out {shlex.quote(str(run))}"])
