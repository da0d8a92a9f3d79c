"""What a training run shows: a progress bar in a terminal, plain lines elsewhere."""

from __future__ import annotations

import sys
import threading
import time
from typing import Any, Self

from ..train.metrics import Row
from ..train.run import Run
from ..train.session import Session
from .arguments import four_figures

_SECONDS_BETWEEN_LINES = 4.0
_STAGES = {"compiling": "compiling (once per machine) ..."}
_PARTS = {"training": "for training", "validation": "held out", "test": "for the test"}


def make_display() -> PlainDisplay:
    """Return the display that suits the output."""
    return LiveDisplay() if sys.stdout.isatty() else PlainDisplay()


class PlainDisplay:
    """Print lines after each evaluation, and one every few seconds: the newest metrics, or what is being done."""

    _session: Session

    def __init__(self) -> None:
        self._stage = "starting", 0, 0
        self._news = ""  # the text of the newest row, until it is shown
        self._last_line = time.monotonic()
        self._ends = threading.Event()
        self._watch = threading.Thread(target=self._show_stages, name="tinygrad_seq progress", daemon=True)

    def __enter__(self) -> Self:
        self._watch.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._ends.set()
        self._watch.join()
        sys.stdout.flush()

    def progress(self, stage: str, done: int, total: int) -> None:
        """Note what is being done."""
        self._stage = stage, done, total

    def begin(self, run: Run, session: Session) -> None:
        """Show the facts of the run."""
        self._session = session
        self.write("".join(f"{line}\n" for line in description(run, session)))

    def show(self, row: Row) -> None:
        """Show the metrics of a row: at once after an evaluation, else with the next line."""
        self._news = self._text(row)
        if "validation_loss" in row or "test_loss" in row or not self._watch.is_alive():
            self._show_news()

    def _show_news(self) -> None:
        news, self._news = self._news, ""
        self.write(news)

    def write(self, text: str) -> None:
        """Print lines."""
        self._last_line = time.monotonic()
        sys.stdout.write(text)
        sys.stdout.flush()

    def _text(self, row: Row) -> str:
        if "test_loss" in row:
            return f"test part, step {row['test_step']} (the best): {figures(row, 'test_')}\n"
        steps = self._session.config.steps
        text = f"step {row['step']:>{len(str(steps))}}/{steps}  {figures(row)}  {self._speed(row)}\n"
        return text + self._held_out(row) if "validation_loss" in row else text

    def _held_out(self, row: Row) -> str:
        read, tokens = row["validation_tokens"], len(self._session.text.validation)
        limit = self._session.config.eval_tokens
        part = f"  (on {read:,} of {tokens:,} held-out tokens)" if 0 < limit < tokens - 1 else ""
        return f"  held out: {figures(row, 'validation_')}{part}\n{indented(row['sample'])}"

    def _speed(self, row: Row) -> str:
        speed = "-" if row["tokens_per_second"] is None else f"{row['tokens_per_second']:,.0f}"
        return f"{speed} tokens/s  |gradient| {row['gradient_norm']:.2f}  ETA {self._time_left()}"

    def _time_left(self) -> str:
        left = self._session.seconds_left()
        if left is None:
            return "-"
        minutes, seconds = divmod(int(left), 60)
        return f"{minutes // 60}:{minutes % 60:02}:{seconds:02}" if minutes >= 60 else f"{minutes}:{seconds:02}"

    def _show_stages(self) -> None:
        """Print a row or the stage when nothing has been printed for a while, and that a kernel compiles."""
        announced = ""
        while not self._ends.wait(0.5):
            stage, done, total = self._stage
            new = stage in _STAGES and stage != announced and done < total
            if new or time.monotonic() >= self._last_line + _SECONDS_BETWEEN_LINES:
                announced = stage
                self._news = self._news or f"{stage_line(stage, done, total)}\n"
                try:
                    self._show_news()
                except (OSError, ValueError):
                    return  # the output is closed: the main thread finds out with the next row


class LiveDisplay(PlainDisplay):
    """Show a progress bar with the current metrics below the evaluations."""

    def __init__(self) -> None:
        super().__init__()
        self._step = self._loss = self._measured = ""

    def __enter__(self) -> Self:
        from rich.live import Live

        self._live = Live(get_renderable=self._renderable, refresh_per_second=5, redirect_stdout=False)
        self._live.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._live.stop()

    def progress(self, stage: str, done: int, total: int) -> None:
        super().progress(stage, done, total)
        if stage == "training":
            self._step = stage_line(stage, done, total)

    def show(self, row: Row) -> None:
        if "loss" in row:
            self._loss = f"loss {_fixed(row['loss'])}"
            self._measured = f"{figures(row)}\n{self._speed(row)}"
        if "test_loss" in row:
            self.write(self._text(row))
        elif "validation_loss" in row:
            self.write(f"step {row['step']:>5}\n{self._held_out(row)}")

    def write(self, text: str) -> None:
        from rich.text import Text

        self._live.console.print(Text(text), end="")

    def _renderable(self) -> Any:
        from rich.console import Group
        from rich.progress_bar import ProgressBar
        from rich.table import Table
        from rich.text import Text

        stage, done, total = self._stage
        parts = [self._step, self._loss, *([] if stage == "training" else [stage_line(stage, done, total)])]
        line = Text("  ".join(part for part in parts if part), no_wrap=True, overflow="ellipsis")
        table = Table.grid(padding=(0, 1))
        if total and self._live.console.width >= len(line) + 14:
            table.add_row(line, ProgressBar(total, done, width=12))
        else:
            table.add_row(line)
        return Group(table, Text(self._measured))


def description(run: Run, session: Session) -> list[str]:
    """Return the lines that describe a run before it starts."""
    config = session.config
    tokens = _listed({part: len(getattr(session.text, part)) for part in _PARTS})
    unknown = _listed(session.text.unknown)
    changes = [f"{name} {old} -> {new}" for name, (old, new) in session.changes.items()]
    model = f"{config.num_layers} x {config.cell}, {session.model.count_parameters():,} parameters"
    return [
        *session.notes,
        f"tokens ({config.level}): {tokens}; {len(session.vocabulary):,} different",
        *([f"<UNK> stands for tokens that are not in the vocabulary: {unknown}"] if unknown else []),
        *([f"changed: {', '.join(changes)}"] if changes else []),
        f"{model}, steps {session.steps.number} to {config.steps}, into {run.folder} (Ctrl-C saves and stops)",
    ]


def _listed(counts: dict[str, int]) -> str:
    """Return the counts of the parts of the text that are not 0."""
    return ", ".join(f"{count:,} {_PARTS[part]}" for part, count in counts.items() if count)


def stage_line(stage: str, done: int, total: int) -> str:
    """Return a stage and how far it is as one line."""
    if stage in _STAGES:
        return _STAGES[stage]
    if stage == "training":
        return f"step {done}/{total}"
    return f"{stage} {100 * done // total} %" if total else f"{stage} {done:,}" if done else f"{stage} ..."


def figures(row: Row, prefix: str = "") -> str:
    """Return the loss, bits per character and perplexity of a row."""
    loss, bits, perplexity = (row[f"{prefix}{name}"] for name in ("loss", "bits_per_character", "perplexity"))
    return f"loss {_fixed(loss)}  {_fixed(bits)} bits/char  perplexity {four_figures(perplexity)}"


def _fixed(value: float) -> str:
    return f"{value:.3f}" if value < 1e5 else four_figures(value)


def indented(text: str) -> str:
    """Return the non-blank lines of `text`, indented."""
    return "".join(f"  | {line}\n" for line in text.splitlines() if line.strip())
