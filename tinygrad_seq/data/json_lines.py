"""Read and write JSON Lines: one JSON object per line."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

from ..base.files import parse_json
from ..errors import CheckpointError, DataError


def read_json_lines(lines: Iterable[str], caller: str, origin: str) -> tuple[dict[str, list[Any]], list[int]]:
    """Return the columns of a JSON Lines file, and the line of each row.

    The columns are the keys of all objects, in the order in which they occur. A key that an object lacks, null, NaN and
    a blank string are missing values, None.

    Parameters
    ----------
    lines
        The lines, without line breaks; blank ones are skipped.
    caller, origin
        What messages call the function and the file.

    Returns
    -------
    columns : dict of str to list
        The values, as JSON has them.
    numbers : list of int
        The line of each row, from 1.

    Raises
    ------
    DataError
        If a line is not a JSON object, an object has a key twice, or there is no object.
    """
    columns: dict[str, list[Any]] = {}
    numbers: list[int] = []
    for number, line in enumerate(lines, 1):
        if not line or line.isspace():
            continue
        try:
            row = parse_json(line, caller, f"line {number} of {origin}")
        except CheckpointError as error:
            raise DataError(f"{str(error).removesuffix('restore the file.')}write one object per line.") from error
        for name, value in row.items():
            column = columns.setdefault(name, [None] * len(numbers))
            column.append(None if _is_missing(value) else value)
        numbers.append(number)
        for column in columns.values():
            if len(column) < len(numbers):
                column.append(None)
    if not columns:
        raise DataError(f"{caller}: expected JSON objects, one per line, in {origin}, got none; check the path.")
    return columns, numbers


def write_json_lines(columns: dict[str, list[Any]]) -> str:
    """Return the rows as JSON Lines; missing values become null."""
    rows = zip(*columns.values(), strict=True)
    return "".join(json.dumps(dict(zip(columns, row, strict=True)), ensure_ascii=False) + "\n" for row in rows)


def _is_missing(value: Any) -> bool:
    return value is None or value != value or (isinstance(value, str) and not value.strip())
