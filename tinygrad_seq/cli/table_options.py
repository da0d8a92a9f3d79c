"""How files of rows are read: the options of fit, predict and evaluate, and what a run remembers of them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from ..base.files import shown
from ..data.table_files import FORMATS, Table, read_table
from ..errors import ArgumentError, CheckpointError, DataError
from ..tasks import FittedTask, Forecaster
from ..tasks.forecasting import KIND as FORECAST
from ..train import RunFolder

_FILE = "The file"

TableFile = Annotated[
    Path,
    typer.Argument(metavar="FILE", help="A CSV, TSV, JSON Lines or CoNLL file.", show_default=False),
]
Format = Annotated[
    str,
    typer.Option(help=f"{', '.join(FORMATS)}; auto follows the ending of the name.", rich_help_panel=_FILE),
]
Delimiter = Annotated[
    str | None,
    typer.Option(
        help="The character between two cells, e.g. ';' or tab.", show_default="comma or tab", rich_help_panel=_FILE
    ),
]
Names = Annotated[
    str | None,
    typer.Option(
        "--columns",
        help="Names of the columns, separated by commas, if the file has no header.",
        show_default="the header",
        rich_help_panel=_FILE,
    ),
]
NoQuotes = Annotated[
    bool, typer.Option("--no-quotes", help="Quotation marks are ordinary characters.", rich_help_panel=_FILE)
]
Encoding = Annotated[
    str,
    typer.Option(help="auto (UTF-8, or as a byte order mark says), or another, e.g. latin-1.", rich_help_panel=_FILE),
]
SkipMissing = Annotated[
    bool,
    typer.Option(
        "--skip-missing",
        help="Leave out rows in which a value is missing; else they are an error.",
        rich_help_panel=_FILE,
    ),
]
TaskFolder = Annotated[
    Path, typer.Argument(metavar="RUN", help="The run folder, as given to fit --out.", show_default=False)
]


def read_options(
    format: str, delimiter: str | None, columns: str | None, no_quotes: bool, encoding: str
) -> dict[str, Any]:
    """Return the options of `read_table`, without those that are not given."""
    names = None if columns is None else [name.strip() for name in columns.split(",")]
    given = {
        "format": None if format == "auto" else format,
        "delimiter": delimiter,
        "names": names,
        "quotes": False if no_quotes else None,
        "encoding": None if encoding == "auto" else encoding,
    }
    return {name: value for name, value in given.items() if value is not None}


def read(path: Path, given: Mapping[str, Any], caller: str, stored: Mapping[str, Any] | None = None) -> Table:
    """Read a file with the given options; those of the run's file hold for one whose name has the same ending."""
    stored = stored or {}
    same = "format" in given or Path(stored.get("name", "")).suffix.lower() == path.suffix.lower()
    options = {**(stored.get("read", {}) if same else {}), **given}
    return read_table(path, **options, caller=caller)


def open_task(folder: Path, *, trust: bool = False) -> FittedTask | Forecaster:
    """Open the run folder that fit wrote.

    Raises
    ------
    CheckpointError
        If it is another folder; the message says what reads it.
    """
    if RunFolder.open(folder).kind == FORECAST:
        return Forecaster.open(folder)
    return FittedTask.open(folder, trust=trust)  # for another kind the error says what reads it


def file_facts(task: FittedTask | Forecaster, caller: str) -> dict[str, Any]:
    """Return what the run remembers of its file; raise a CheckpointError if it was not trained on one."""
    facts = task.facts.get("file")
    if not isinstance(facts, dict):
        raise CheckpointError(
            f"{caller}: expected a run of tinygrad-seq fit, got one that Python code trained on other data; use "
            "FittedTask.open in Python."
        )
    return facts


def without_missing(table: Table, missing: list[int], skip: bool, caller: str) -> Table:
    """Return the table without the rows in `missing`; raise a DataError if they may not be skipped."""
    if not missing:
        return table
    if not skip:
        lines = ", ".join(str(table.lines[row]) for row in missing[:10])
        more = ", ..." if len(missing) > 10 else ""
        raise DataError(
            f"{caller}: expected a value in every column that is read, got {len(missing):,} rows with missing values "
            f"in {table.origin} (lines {lines}{more}); fill them in, or pass --skip-missing to leave these rows out."
        )
    if len(missing) == len(table):
        raise DataError(f"{caller}: expected rows without missing values in {table.origin}, got none; check the file.")
    leave = set(missing)
    return table.take([row for row in range(len(table)) if row not in leave])


def check_output(path: Path, source: Path, force: bool, caller: str) -> None:
    """Raise an error, before any work, if `path` may not be written."""
    if path.exists() and source.exists() and path.samefile(source):
        raise ArgumentError(f"{caller}: expected another file than the input {shown(source)}; choose another --output.")
    if path.exists() and not force:
        raise ArgumentError(
            f"{caller}: expected a new file, got {shown(path)}, which exists; pass --force to replace it."
        )
    if not path.parent.is_dir():
        raise ArgumentError(f"{caller}: expected an existing folder, got {shown(path.parent)}; create it first.")
