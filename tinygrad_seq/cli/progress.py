"""The progress display of a training run: a progress bar in a terminal, plain lines elsewhere."""

from __future__ import annotations

import sys
import time
from typing import Self

from ..train.metrics import Row
from ..train.run import Run
from ..train.session import Session

_SECONDS_BETWEEN_LINES = 10.0


def make_display(run: Run, session: Session) -> PlainDisplay:
    """Print the facts of the run and return the display that suits the output."""
    facts, config = run.facts, run.config
    sys.stdout.write(
        f"{facts['corpus']}: {facts['training_tokens']:,} {config.level}s for training, "
        f"{facts['validation_tokens']:,} held out, {len(run.vocabulary):,} different\n"
        f"{config.num_layers} x {config.cell}, {session.model.count_parameters():,} parameters, "
        f"steps {session.steps.number} to {config.steps}, into {run.folder} (Ctrl-C saves and stops)\n"
    )
    sys.stdout.flush()
    begun = session.steps.number, session.seconds
    return (LiveDisplay if sys.stdout.isatty() else PlainDisplay)(config.steps, config.minutes, *begun)


class PlainDisplay:
    """Print one line per evaluation, and one every ten seconds.

    Parameters
    ----------
    steps : int
        The last step of the run.
    minutes : float
        The time limit of the run; 0 for none.
    step : int
        The step at which this process started.
    seconds : float
        The training time before that.
    """

    def __init__(self, steps: int, minutes: float, step: int, seconds: float) -> None:
        self.steps, self.minutes = steps, minutes
        self._first = step, seconds
        self._last_line = -float("inf")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        sys.stdout.flush()

    def show(self, row: Row) -> None:
        """Show the metrics of a row."""
        if "validation_loss" not in row and time.monotonic() < self._last_line + _SECONDS_BETWEEN_LINES:
            return
        self._last_line = time.monotonic()
        sys.stdout.write(f"step {row['step']:>{len(str(self.steps))}}/{self.steps}  {self._measures(row)}\n")
        if "validation_loss" in row:
            sys.stdout.write(f"{held_out(row)}\n{indented(row['sample'])}")
        sys.stdout.flush()

    def _measures(self, row: Row, between: str = "  ") -> str:
        return (
            f"loss {row['loss']:.3f}  {row['bits_per_character']:.3f} bits/char  perplexity {row['perplexity']:.2f}"
            f"{between}{row['tokens_per_second']:,.0f} tokens/s  |gradient| {row['gradient_norm']:.2f}  "
            f"ETA {self._remaining(row)}"
        )

    def _remaining(self, row: Row) -> str:
        step, seconds = self._first
        rate = (row["seconds"] - seconds) / (row["step"] - step)
        left = (self.steps - row["step"]) * rate
        if self.minutes:
            left = min(left, max(0.0, 60 * self.minutes - row["seconds"]))
        return f"{int(left // 60)}:{int(left % 60):02}"


class LiveDisplay(PlainDisplay):
    """Show a progress bar with the current metrics below the evaluations."""

    def __enter__(self) -> Self:
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

        self._progress = Progress(
            TextColumn("step"), MofNCompleteColumn(), BarColumn(bar_width=12), TextColumn("{task.fields[measures]}")
        )
        self._task = self._progress.add_task("train", total=self.steps, completed=self._first[0], measures="")
        self._progress.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._progress.stop()

    def show(self, row: Row) -> None:
        self._progress.update(self._task, completed=row["step"], measures=self._measures(row, between="\n"))
        if "validation_loss" in row:
            from rich.text import Text

            self._progress.console.print(Text(f"step {row['step']:>5}  {held_out(row).strip()}", style="bold"))
            self._progress.console.print(Text(indented(row["sample"]), style="dim"), end="")


def held_out(row: Row) -> str:
    """Return the metrics on the held-out text as one line."""
    return (
        f"  held out: loss {row['validation_loss']:.3f}  {row['validation_bits_per_character']:.3f} bits/char  "
        f"perplexity {row['validation_perplexity']:.2f}"
    )


def indented(text: str) -> str:
    """Return the non-blank lines of `text`, indented."""
    return "".join(f"  | {line}\n" for line in text.splitlines() if line.strip())
