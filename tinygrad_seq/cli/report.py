"""``tinygrad-seq report``."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from ..report import html
from .arguments import Checkpoint, Folder, Trust, examples

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
    html(run, path, text=text, checkpoint=checkpoint, trust=trust)
    sys.stdout.write(f"wrote {path}\n")
