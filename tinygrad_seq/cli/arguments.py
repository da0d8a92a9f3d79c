"""Arguments shared by several commands."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ..base.modes import PRECISIONS

WIDE = 60
"""The number of columns from which a terminal shows everything; a narrower one shows the essentials."""

Folder = Annotated[
    Path, typer.Argument(metavar="RUN", help="The run folder: --out of train or fit.", show_default=False)
]
Checkpoint = Annotated[
    str | None,
    typer.Option(metavar="NAME", help="The checkpoint, e.g. step-001000 or best.", show_default="the best"),
]

Trust = Annotated[
    bool, typer.Option("--trust", help="Run cell.py of the run even if you have not trained with it here.")
]


def _known_precision(name: str) -> str:
    if name not in PRECISIONS:
        raise typer.BadParameter(f"expected float32, int8 or bfloat16, got {name!r}.")
    return name


Precision = Annotated[
    str,
    typer.Option(
        callback=_known_precision,
        metavar="NAME",
        help="float32; or int8 or bfloat16, which is faster and gives slightly other probabilities.",
    ),
]


def examples(*lines: str) -> str:
    """Return example commands as the epilog of a help text."""
    return "Examples:\n\n" + "\n\n".join(f"tinygrad-seq {line}" for line in lines)


def four_figures(value: float) -> str:
    """Return a number with four significant figures.

    Examples
    --------
    >>> [four_figures(value) for value in (1.0, 33.0612, 12345.6, 1e304)]
    ['1.000', '33.06', '1.235e+04', '1.000e+304']
    """
    return f"{value:#.4g}".rstrip(".")
