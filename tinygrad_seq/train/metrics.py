"""The metrics file of a run: one JSON object per line."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from ..base.files import write_atomically
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
        with path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(row) + "\n")
    except OSError as error:
        raise CheckpointError(
            f"Session.rows: expected to write to '{path}', got: {error.strerror}; the checkpoints are unchanged: "
            "fix this, then continue with --resume."
        ) from error


def read_rows(path: Path) -> list[Row]:
    """Return the rows of the file `path`; an incomplete last line, as after a crash, is left out.

    Raises
    ------
    CheckpointError
        If the file cannot be read, or a line other than the last is not JSON.
    """
    try:
        lines = path.read_text(encoding="utf-8").split("\n")
    except OSError as error:
        raise CheckpointError(f"Run.rows: expected to read '{path}', got: {error.strerror}; check the path.") from error
    rows = []
    for number, line in enumerate(lines[:-1], 1):
        try:
            rows.append(json.loads(line))
        except ValueError as error:
            raise CheckpointError(
                f"Run.rows: expected one JSON object per line in '{path}', got something else in line {number}; "
                "delete that line."
            ) from error
    return rows


def keep_rows(path: Path, last_step: int) -> None:
    """Remove the rows of `path` after `last_step`, so that repeated steps do not appear twice."""
    kept = [json.dumps(row) + "\n" for row in read_rows(path) if row["step"] <= last_step]
    write_atomically(path, "".join(kept).encode())
