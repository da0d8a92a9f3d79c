"""``tinygrad-seq fit``."""

from __future__ import annotations

import contextlib
import os
import shlex
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer

from ..base.settings import set_num_threads
from ..data.column_kinds import KINDS
from ..distributed import world
from ..errors import ArgumentError
from ..report import Live
from ..tasks.rows import TASKS
from ..train.metrics import Row
from ..train.run_folder import check_free
from .arguments import examples, four_figures
from .fit_files import resume_run, train_rows, train_series, write
from .report import write_run_report
from .table_options import (
    Delimiter,
    Encoding,
    Format,
    Names,
    NoQuotes,
    SkipMissing,
    TableFile,
    read_options,
)

EXAMPLES = examples(
    "fit reviews.csv --target label",
    "fit sentences.conll --target tag --cell lstm --minutes 5",
    "fit sales.csv --task forecast --target value --horizon 14 --season 7",
    "fit reviews.csv --target stars --task regress --features title,text --out runs/stars",
    "fit reviews.csv --out runs/reviews --resume --epochs 100",
)

_TASK, _MODEL, _TRAINING, _RUN = "The task", "The model", "The training", "The run"
_TESTED = 0.1


def _option(panel: str, text: str, *names: str, default: str | bool = True, **more: Any) -> Any:
    return typer.Option(*names, help=text, rich_help_panel=panel, show_default=default, **more)


def fit(
    file: TableFile,
    target: Annotated[str | None, _option(_TASK, "The column to predict.", metavar="COLUMN")] = None,
    task: Annotated[
        str | None,
        _option(_TASK, f"{', '.join(TASKS)} or forecast.", default="classify, tag or regress, by the target"),
    ] = None,
    features: Annotated[
        str | None,
        _option(
            _TASK,
            "The columns to read, separated by commas.",
            default="all but dates and ids; in CoNLL the first",
            metavar="COLUMNS",
        ),
    ] = None,
    kind: Annotated[
        list[str] | None,
        _option(
            _TASK,
            f"What a column holds, if the guess is wrong: {', '.join(KINDS[:7])}; repeat for several.",
            metavar="COLUMN=KIND",
            default=False,
        ),
    ] = None,
    validation: Annotated[float, _option(_TASK, "Fraction of the rows that decides when to stop.")] = 0.1,
    test: Annotated[
        float | None, _option(_TASK, "Fraction of the rows for the score at the end; 0 for none.", default="0.1")
    ] = None,
    horizon: Annotated[int | None, _option(_TASK, "Steps to forecast.", default=False)] = None,
    season: Annotated[
        int | None, _option(_TASK, "Steps per season, e.g. 7 for daily data with a weekly pattern.", default="1")
    ] = None,
    context: Annotated[
        int | None, _option(_TASK, "Steps of a series that a forecast reads.", default="4 seasons, or 2 horizons")
    ] = None,
    quantiles: Annotated[
        str | None, _option(_TASK, "Quantiles to forecast, separated by commas.", default="0.1,0.5,0.9")
    ] = None,
    id: Annotated[
        str | None, _option(_TASK, "The column that says which series a row belongs to.", default="guessed")
    ] = None,
    date: Annotated[str | None, _option(_TASK, "The column that orders a series.", default="the one of dates")] = None,
    cell: Annotated[
        str | None,
        _option(_MODEL, "lstm, gru, rnn, another cell such as MGUCell, or FILE.py:Class.", default="gru"),
    ] = None,
    hidden_size: Annotated[
        int | None, _option(_MODEL, "Size of each recurrent layer.", "--hidden", default="64; forecast 32")
    ] = None,
    num_layers: Annotated[int | None, _option(_MODEL, "Number of recurrent layers.", "--layers", default="1")] = None,
    embedding_size: Annotated[
        int | None, _option(_MODEL, "Size of the vectors of letters and words.", "--embedding", default="32")
    ] = None,
    bidirectional: Annotated[
        bool | None,
        _option(
            _MODEL, "Read each sequence in both directions.", "--bidirectional/--one-direction", default="bidirectional"
        ),
    ] = None,
    pooling: Annotated[
        str | None, _option(_MODEL, "last, mean or max of the outputs of all steps.", default="last")
    ] = None,
    dropout: Annotated[float | None, _option(_MODEL, "Dropout probability.", default="0")] = None,
    epochs: Annotated[
        int | None, _option(_TRAINING, "Maximum number of passes over the rows.", default="50; forecast 20")
    ] = None,
    minutes: Annotated[float | None, _option(_TRAINING, "Stop after this time.", default=False)] = None,
    patience: Annotated[
        int | None, _option(_TRAINING, "Stop after this many epochs without improvement; 0 for never.", default="5")
    ] = None,
    lr: Annotated[float | None, _option(_TRAINING, "Learning rate of Adam.", default="0.003")] = None,
    weight_decay: Annotated[float | None, _option(_TRAINING, "Decoupled weight decay.", default="0")] = None,
    clip_norm: Annotated[
        float | None, _option(_TRAINING, "Maximum norm of the gradient.", "--clip", default="5; forecast 1")
    ] = None,
    batch_size: Annotated[
        int | None, _option(_TRAINING, "Sequences per update.", "--batch", default="32; forecast 64")
    ] = None,
    precision: Annotated[
        str | None, _option(_TRAINING, "float32, or bfloat16 for matrix products.", default="float32")
    ] = None,
    seed: Annotated[int | None, _option(_RUN, "The same seed gives the same run.", default="0")] = None,
    threads: Annotated[int, _option(_RUN, "Threads; more than 1 helps only on an idle machine.")] = 1,
    out: Annotated[Path | None, _option(_RUN, "The run folder.", default="runs/FILE")] = None,
    resume: Annotated[
        bool, _option(_RUN, "Continue the run in --out; --epochs, --patience and --minutes may change.", "--resume")
    ] = False,
    force: Annotated[bool, _option(_RUN, "Replace the run in --out.", "--force")] = False,
    live: Annotated[
        bool, _option(_RUN, "Write RUN/report.html, and rewrite it while training; needs the extra 'plot'.", "--live")
    ] = False,
    trust: Annotated[bool, _option(_RUN, "Run the code of the cell that the run contains.", "--trust")] = False,
    format: Format = "auto",
    delimiter: Delimiter = None,
    columns: Names = None,
    no_quotes: NoQuotes = False,
    encoding: Encoding = "auto",
    skip_missing: SkipMissing = False,
) -> None:
    """Train a model on the rows of a file: classify texts, tag words, predict numbers, or forecast series.

    The kind of each column is guessed and shown. Ctrl-C saves a checkpoint and prints the command to resume. Then see
    predict and evaluate.
    """
    set_num_threads(threads)
    folder = out or Path("runs") / file.stem
    settings = {
        "cell": cell,
        "hidden_size": hidden_size,
        "num_layers": num_layers,
        "dropout": dropout,
        "epochs": epochs,
        "embedding_size": embedding_size,
        "bidirectional": bidirectional,
        "pooling": pooling,
        "patience": patience,
        "lr": lr,
        "weight_decay": weight_decay,
        "clip_norm": clip_norm,
        "batch_size": batch_size,
        "precision": precision,
        "seed": seed,
    }
    settings = {name: value for name, value in settings.items() if value is not None}
    series = {"horizon": horizon, "season": season, "context": context, "quantiles": _numbers(quantiles)}
    series = {name: value for name, value in series.items() if value is not None}
    options = read_options(format, delimiter, columns, no_quotes, encoding)
    if resume and force:
        raise ArgumentError("fit: expected --resume alone, got --force too; leave one out.")
    if not 0 < validation < 1 or not (test is None or 0 <= test < 1):
        raise ArgumentError("fit: expected --validation and --test between 0 and 1; pass e.g. 0.1.")
    if not resume and world().is_writer:
        check_free(folder, force=force)
    log, run = _Log(), {"run": folder, "force": force, "minutes": minutes, "progress": _progress()}
    try:
        with contextlib.ExitStack() as stack:
            logs: list[Callable[[Row], object]] = [log]
            if live and world().is_writer:
                logs.append(stack.enter_context(Live(folder / "report.html", folder, trust=trust)))
            run |= {"log": logs, "resume": resume}
            if resume:
                resume_run(file, folder, options, settings, run, trust)
            elif task == "forecast" or (task is None and horizon is not None):
                _check_unused(settings, ("embedding_size", "bidirectional", "pooling"), "forecast")
                facts = {"value": target, "id": id, "date": date, "kinds": _kinds(kind), "hold_out": test != 0}
                train_series(file, options, facts, {**settings, **series}, run)
            else:
                _check_unused(series, tuple(series), task or "classify, tag or regress")
                chosen = {"task": task, "features": _split(features), "kinds": _kinds(kind)}
                parts = {"validation": validation, "test": _TESTED if test is None else test}
                train_rows(file, options, target, chosen, {**parts, "skip_missing": skip_missing}, settings, run)
    except KeyboardInterrupt:
        if log.rows:
            name = shlex.quote(str(folder))
            again = f"tinygrad-seq fit {shlex.quote(str(file))} --out {name} --resume"
            sys.stdout.write(f"\nStopped and saved. Continue with:\n  {again}\n")
        raise
    if live and world().is_writer:
        write_run_report(folder, folder / "report.html", trust=trust)
    _write_hints(folder, file)


# ------------------------------------------------------------------------------------------------------- helpers


class _Log:
    """Print one line per evaluation."""

    def __init__(self) -> None:
        self.rows = 0

    def __call__(self, row: Row) -> None:
        self.rows += 1
        if "validation_loss" not in row:
            return
        figures = [f"loss {four_figures(row['loss'])}", f"held out: loss {four_figures(row['validation_loss'])}"]
        others = {
            name.removeprefix("validation_").replace("_", " "): value
            for name, value in row.items()
            if name.startswith("validation_") and name not in ("validation_loss", "validation_weight")
        }
        figures += [f"{name} {value:.3f}" for name, value in others.items()]
        write(f"epoch {row['epoch']:>3}  {'  '.join(figures)}  {row['seconds']:.0f} s\n")


def _progress() -> bool | None:
    """Return whether to show a line about the progress: None, on a terminal that can move its cursor."""
    return False if os.environ.get("TERM") == "dumb" else None


def _write_hints(folder: Path, file: Path) -> None:
    name, path = shlex.quote(str(folder)), shlex.quote(str(file))
    write(f"\nPredict:   tinygrad-seq predict {name} {path} -o predictions{file.suffix}\n")
    write(f"Evaluate:  tinygrad-seq evaluate {name} {path} --png scores.png\n")


def _split(text: str | None) -> list[str]:
    return [] if text is None else [name.strip() for name in text.split(",") if name.strip()]


def _kinds(given: list[str] | None) -> dict[str, Any]:
    pairs = [text.rpartition("=") for text in given or []]
    for (name, _, kind), text in zip(pairs, given or [], strict=True):
        if not name or kind not in KINDS:
            raise ArgumentError(
                f"fit: expected --kind COLUMN=KIND with a kind of {', '.join(KINDS)}, got {text!r:.60}; correct it."
            )
    return {name: kind for name, _, kind in pairs}


def _numbers(text: str | None) -> tuple[float, ...] | None:
    try:
        return None if text is None else tuple(float(part) for part in text.split(","))
    except ValueError:
        raise ArgumentError(f"fit: expected numbers separated by commas as --quantiles, got {text!r:.60}.") from None


def _check_unused(settings: dict[str, Any], names: tuple[str, ...], task: str) -> None:
    unused = [f"--{name.replace('_', '-').removesuffix('-size')}" for name in names if name in settings]
    if unused:
        raise ArgumentError(f"fit: expected no {', '.join(unused)} with --task {task}; leave it out.")
