"""What a training run measured, and one line of text per row."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from ..errors import ArgumentError
from .metrics import Row

_FIRST, _LAST = ("step", "epoch", "loss"), ("seconds",)
_LEFT_OUT = ("gradient_norm", "lr", "validation_weight", "test_weight")


class History(Sequence[Row]):
    """The rows of metrics that a training run has measured; a sequence of dicts.

    ``history["loss"]`` is the list of the values of that name, of the rows that have it.

    Parameters
    ----------
    rows : sequence of dict, default ()
        Numbers by name, one dict per evaluation.
    monitor : str, default "loss"
        The name of the value by which evaluations are compared.
    mode : str, default "min"
        ``"min"`` or ``"max"``: which value is better.
    folder : Path, optional
        The run folder.

    Attributes
    ----------
    finished : bool
        Whether the run came to its end; False if it was stopped.

    Examples
    --------
    >>> from tinygrad_seq.train import History
    >>> history = History([{"step": 10, "loss": 0.5}, {"step": 20, "loss": 0.2}, {"step": 30, "loss": 0.4}])
    >>> history["loss"], history.names
    ([0.5, 0.2, 0.4], ['step', 'loss'])
    >>> history.best_step, history.best["loss"]
    (20, 0.2)
    """

    def __init__(
        self, rows: Sequence[Row] = (), *, monitor: str = "loss", mode: str = "min", folder: Path | None = None
    ) -> None:
        self.rows = list(rows)
        self.monitor, self.mode, self.folder = monitor, mode, folder
        self.finished = False

    def __len__(self) -> int:
        return len(self.rows)

    def __iter__(self) -> Iterator[Row]:
        return iter(self.rows)

    def __contains__(self, name: object) -> bool:
        """Return whether a row has a value of this name."""
        return name in self.names

    def __getitem__(self, key: Any) -> Any:
        """Return the values of a name, of the rows that have it, or the rows at an index or slice.

        Raises
        ------
        ArgumentError
            If no row has a value of this name.
        """
        if not isinstance(key, str):
            return self.rows[key]
        if key not in self.names:
            raise ArgumentError(f"History: expected one of {', '.join(self.names) or 'no names'}, got {key!r}.")
        return [row[key] for row in self.rows if key in row]

    @property
    def names(self) -> list[str]:
        """The names of all values, in the order in which they occurred."""
        return list(dict.fromkeys(name for row in self.rows for name in row))

    @property
    def best(self) -> Row | None:
        """The row with the best monitored value; None if no row has one."""
        rows = [row for row in self.rows if row.get(self.monitor) is not None]
        choose = min if self.mode == "min" else max
        return choose(rows, key=lambda row: row[self.monitor]) if rows else None

    @property
    def best_step(self) -> int | None:
        """The step of the best row."""
        return None if self.best is None else int(self.best["step"])

    @property
    def steps(self) -> int:
        """The step of the last row; 0 without rows."""
        return int(self.rows[-1]["step"]) if self.rows else 0

    def __repr__(self) -> str:
        best = self.best
        value = "" if best is None else f", best {self.monitor} {best[self.monitor]:.4g} at step {best['step']}"
        return f"History({len(self.rows)} rows, {self.steps} steps{value})"


def row_text(row: Row) -> str:
    """Return a row of metrics as one line of text.

    Examples
    --------
    >>> row_text({"step": 120, "epoch": 2, "loss": 0.51234, "lr": 0.001, "accuracy": 0.9, "seconds": 1.234})
    'step 120  epoch 2  loss 0.5123  accuracy 0.9  seconds 1.23'
    """
    names = [name for name in _FIRST if name in row]
    names += [name for name in row if name not in (*_FIRST, *_LAST, *_LEFT_OUT)]
    names += [name for name in _LAST if name in row]
    return "  ".join(f"{name} {_shown(name, row[name])}" for name in names)


def _shown(name: str, value: Any) -> str:
    if name in _LAST:
        return f"{value:.2f}"
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def print_row(row: Row) -> None:
    """Print a row of metrics as one line; the default of ``log`` in `fit`.

    Parameters
    ----------
    row : dict
        Numbers by name.

    Examples
    --------
    >>> from tinygrad_seq.train import print_row
    >>> print_row({"step": 120, "epoch": 2, "loss": 0.51234, "validation_loss": 0.6})
    step 120  epoch 2  loss 0.5123  validation_loss 0.6
    """
    sys.stdout.write(row_text(row) + "\n")
    sys.stdout.flush()
