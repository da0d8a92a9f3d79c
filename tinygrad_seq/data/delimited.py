"""Read and write CSV and TSV files: rows of cells, with every row checked."""

from __future__ import annotations

import csv
import io
import sys
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Literal

from ..errors import DataError

_OTHER_DELIMITERS = ",;\t|"
_NUMBER_OF_NAMES = 20  # that a message names


def read_delimited(
    lines: Iterable[str],
    caller: str,
    origin: str,
    *,
    delimiter: str,
    certain: bool,
    quotes: bool,
    names: Sequence[str] | None,
) -> tuple[dict[str, list[str | None]], list[int]]:
    """Return the columns of a CSV or TSV file, and the line at which each row starts.

    Parameters
    ----------
    lines
        The lines, without line breaks.
    caller, origin
        What messages call the function and the file.
    delimiter
        The character between two cells.
    certain
        Whether the delimiter was given. If not, a header of one column that contains another delimiter is an error.
    quotes
        Whether a cell may stand in quotation marks, and then contain delimiters and line breaks.
    names
        The names of the columns if the file has no header.

    Returns
    -------
    columns : dict of str to list of (str or None)
        The cells; a blank one is None, a missing value.
    numbers : list of int
        The line of each row, from 1.

    Raises
    ------
    DataError
        If there is no header or no row, a name occurs twice, a row has more or fewer cells than the header, or a
        quotation mark is not closed.
    """
    rows = _rows(lines, caller, origin, delimiter, quotes)
    if names is None:
        number, header = next(rows, (0, []))
        if not header:
            raise DataError(f"{caller}: expected a header and rows in {origin}, got an empty file; check the path.")
        if not certain and len(header) == 1:
            _check_delimiter(header[0], delimiter, caller, origin)
        names = [name.strip() or f"column {i}" for i, name in enumerate(header, 1)]
    check_names(names, caller, origin)
    cells: list[list[str | None]] = [[] for _ in names]
    numbers = []
    for number, row in rows:
        if len(row) != len(names):
            raise DataError(
                f"{caller}: expected {_count(len(names), 'cell')} per row in {origin} ({listed(names)}), got "
                f"{len(row)} in line {number}; put cells that contain {shown_delimiter(delimiter)} in quotation "
                "marks, or pass the right --delimiter."
            )
        for column, cell in zip(cells, row, strict=True):
            column.append(cell if cell and not cell.isspace() else None)
        numbers.append(number)
    if not numbers:
        raise DataError(f"{caller}: expected rows below the header of {origin}, got none; check the file.")
    return dict(zip(names, cells, strict=True)), numbers


def write_delimited(columns: dict[str, list[Any]], delimiter: str, quotes: bool, header: bool, caller: str) -> str:
    """Return columns of cells as CSV or TSV; None becomes a blank cell. Raises DataError if a cell needs quotes."""
    text = io.StringIO()
    writer = csv.writer(text, delimiter=delimiter, quoting=_quoting(quotes), lineterminator="\n")
    try:
        if header:
            writer.writerow(columns)
        writer.writerows(zip(*columns.values(), strict=True))
    except csv.Error as error:
        raise DataError(
            f"{caller}: expected cells without {shown_delimiter(delimiter)}, since quotation marks are ordinary here, "
            f"got others ({error}); leave out --no-quotes."
        ) from error
    return text.getvalue()


def check_names(names: Sequence[str], caller: str, origin: str) -> None:
    """Raise DataError if a column name occurs twice."""
    twice = [name for name, count in Counter(names).items() if count > 1]
    if twice:
        raise DataError(
            f"{caller}: expected different column names in {origin}, got {listed(twice)} more than once; rename them "
            "in the header."
        )


def listed(names: Iterable[object]) -> str:
    """Return names in quotes, at most 20."""
    every = [f"{name!r:.60}" for name in names]
    rest = f" and {len(every) - _NUMBER_OF_NAMES:,} more" if len(every) > _NUMBER_OF_NAMES else ""
    return ", ".join(every[:_NUMBER_OF_NAMES]) + rest


def _rows(
    lines: Iterable[str], caller: str, origin: str, delimiter: str, quotes: bool
) -> Iterator[tuple[int, list[str]]]:
    """Yield the rows that are not blank, each with the number of its first line."""
    reader = csv.reader((f"{line}\n" for line in lines), delimiter=delimiter, quoting=_quoting(quotes), strict=True)
    limit = csv.field_size_limit(sys.maxsize >> 32)  # Python's default is 131,072 characters
    number = 1
    try:
        for row in reader:
            if row:
                yield number, row
            number = reader.line_num + 1
    except csv.Error as error:
        raise DataError(
            f"{caller}: expected rows of cells in {origin}, got a row that starts in line {number} and ends in "
            f"line {reader.line_num} with this: {error}; close the quotation mark, double it inside a cell, or pass "
            "--no-quotes if quotation marks are ordinary characters."
        ) from error
    finally:
        csv.field_size_limit(limit)


def _quoting(quotes: bool) -> Literal[0, 3]:
    return csv.QUOTE_MINIMAL if quotes else csv.QUOTE_NONE


def _check_delimiter(header: str, delimiter: str, caller: str, origin: str) -> None:
    """Raise DataError if a header of one column looks like several."""
    other = next((character for character in _OTHER_DELIMITERS if character in header), None)
    if other is not None:
        raise DataError(
            f"{caller}: expected columns separated by {shown_delimiter(delimiter)} in {origin}, got one column named "
            f"{header!r:.80}; try --delimiter {shown_delimiter(other)}."
        )


def shown_delimiter(delimiter: str) -> str:
    """Return a delimiter as `--delimiter` takes it."""
    return "tab" if delimiter == "\t" else repr(delimiter)


def _count(number: int, what: str) -> str:
    return f"{number:,} {what}" if number == 1 else f"{number:,} {what}s"
