"""The metrics file of a run: one JSON object per line."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ..base.files import parse_json, read_regular, write_atomically
from ..errors import CheckpointError
from ..metrics import bits_per_character, perplexity

Row = dict[str, Any]


def measures(loss: float, characters_per_token: float) -> dict[str, float]:
    """Return `loss`, in nats per token, together with bits per character and perplexity per token.

    Examples
    --------
    >>> measures(0.6931471805599453, 1.0)
    {'loss': 0.6931471805599453, 'bits_per_character': 1.0, 'perplexity': 2.0}
    """
    return {
        "loss": loss,
        "bits_per_character": bits_per_character(loss, characters_per_token),
        "perplexity": perplexity(loss),
    }


def append_row(path: Path, row: Row) -> None:
    """Append `row` to the file `path`, or raise a CheckpointError."""
    try:
        # A named pipe would wait for a reader; O_NONBLOCK has no effect on regular files.
        handle = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | getattr(os, "O_NONBLOCK", 0), 0o666)
        with open(handle, "a", encoding="utf-8") as file:
            file.write(json.dumps(row) + "\n")
    except OSError as error:
        there = "the checkpoints are unchanged: fix this, then continue with --resume"
        advice = there if path.parent.exists() else "somebody has moved or deleted the run folder: put it back"
        raise CheckpointError(
            f"Session.rows: expected to write to '{path}', got: {error.strerror}; {advice}."
        ) from error


def read_rows(path: Path) -> list[Row]:
    """Return the rows of the file `path`.

    An incomplete last line, as after a crash, is left out. So are values that are not finite.

    Raises
    ------
    CheckpointError
        If the file cannot be read, or a line other than the last is not a row: a JSON object with an integer
        ``"step"``, numbers, and at most the text ``"sample"``.
    """
    return [row for row, _ in _read(path)]


def keep_rows(path: Path, last_step: int, last_test: int | None = None) -> None:
    """Remove the rows of `path` after `last_step`, which will be repeated, and an incomplete last line.

    Rows of the test part are removed after `last_test` if it is given.
    """
    kept = b"".join(
        line + b"\n"
        for row, line in _read(path)
        if row["step"] <= (last_step if last_test is None or "test_step" not in row else last_test)
    )
    if kept != read_regular(path, "Run.rows"):
        write_atomically(path, kept, "Run.cut")


def _read(path: Path) -> Iterator[tuple[Row, bytes]]:
    """Yield the rows and the lines that hold them."""
    if not os.path.lexists(path):
        raise CheckpointError(
            f"Run.rows: expected the metrics of the run in '{path}', got no file; restore it, or create an empty one "
            "to go on without the earlier rows."
        )
    for number, line in enumerate(read_regular(path, "Run.rows").split(b"\n")[:-1], 1):
        place = f"line {number} of '{path}'"
        row = parse_json(line, "Run.rows", place)
        if not _is_row(row):
            raise CheckpointError(f"Run.rows: expected a row of metrics in {place}, got other JSON; delete that line.")
        yield {key: value for key, value in row.items() if type(value) is not float or math.isfinite(value)}, line


def _is_row(row: Row) -> bool:
    if type(row.get("step")) is not int or not isinstance(row.get("sample", ""), str):
        return False
    return all(value is None or type(value) in (int, float) for key, value in row.items() if key != "sample")
