"""``tinygrad-seq report``."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import numpy as np
import typer

from ..errors import ArgumentError, TinygradSeqError
from ..report.html_report import write_report
from ..report.reported import Subject, load_model, open_subject, reason, use_model
from ..report.svg import Figures
from ..tasks import FittedTask
from ..tasks.columns import TextColumn
from ..tasks.forecasting import KIND as FORECAST
from ..tasks.training import KIND as TASK
from .arguments import Checkpoint, Folder, Trust, examples
from .table_options import open_task

EXAMPLES = examples("report runs/demo", 'report runs/demo -o demo.html --text "The cat sat on the mat."')


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
    """Load the model of a task, and encode the text that it is to read."""
    try:
        task = open_task(run, "report", trust=trust)
    except TinygradSeqError as error:
        subject.no_model = reason(error)
        return
    columns = task.columns if isinstance(task, FittedTask) else {}
    texts = [column for column in columns.values() if isinstance(column, TextColumn) and column.kind != "category"]
    subject.no_inputs = "the run folder holds no data to look at the model with"
    inputs = None
    if len(columns) == len(texts) == 1:
        subject.no_inputs += "; pass a text (--text)"
        if text is not None and isinstance(task, FittedTask):
            inputs, _ = task.dataset({name: [text] for name in columns}).batch(np.arange(1))
    elif text is not None:
        raise ArgumentError("report: expected --text with a model of one column of text, got another; leave it out.")
    labels = texts[0].vocabulary.tokens if len(texts) == 1 else None
    use_model("report", subject, task.model, inputs, labels)
