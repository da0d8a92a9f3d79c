"""Arguments shared by several commands."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

Folder = Annotated[
    Path, typer.Argument(metavar="RUN", help="The run folder, as given to train --out.", show_default=False)
]
Checkpoint = Annotated[
    str | None,
    typer.Option(metavar="NAME", help="The checkpoint, e.g. step-001000 or best.", show_default="the best"),
]


def examples(*lines: str) -> str:
    """Return example commands as the epilog of a help text."""
    return "Examples:\n\n" + "\n\n".join(f"tinygrad-seq {line}" for line in lines)
