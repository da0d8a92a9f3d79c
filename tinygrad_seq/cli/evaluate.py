"""``tinygrad-seq evaluate``."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer

from ..data.table_files import Table
from ..data.time_series import collect_series
from ..metrics import score_spans
from ..metrics.classification import mark_spans
from ..report.predictions import save_confusion, save_forecasts, save_scatter
from ..tasks import Evaluation, FittedTask, Forecaster, ForecastScore
from ..tasks.rows import RowReader, held_out_rows
from .arguments import Trust, examples
from .table_options import (
    Delimiter,
    Encoding,
    Format,
    Names,
    NoQuotes,
    SkipMissing,
    TableFile,
    TaskFolder,
    file_facts,
    open_task,
    read,
    read_options,
    without_missing,
)

EXAMPLES = examples(
    "evaluate runs/reviews reviews.csv",
    "evaluate runs/reviews others.csv --png confusion.png",
    "evaluate runs/sales sales.csv --json",
)
_MOST_SHOWN = 12  # classes of a confusion matrix in a terminal
_CONFUSED = 10  # pairs that are listed instead


def evaluate(
    run: TaskFolder,
    file: TableFile,
    png: Annotated[
        Path | None,
        typer.Option(
            help="Also save a picture: confusion matrix, predicted over true numbers, or forecasts; needs the extra "
            "'plot'.",
            show_default=False,
        ),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of tables.")] = False,
    all_rows: Annotated[
        bool, typer.Option("--all", help="Score all rows of the training file, not only those held out.")
    ] = False,
    format: Format = "auto",
    delimiter: Delimiter = None,
    columns: Names = None,
    no_quotes: NoQuotes = False,
    encoding: Encoding = "auto",
    skip_missing: SkipMissing = False,
    trust: Trust = False,
) -> None:
    """Compare the predictions of a model with the target column of a file.

    If FILE is the training file, only the rows that fit held out for the score are used; --all uses all rows.
    """
    task = open_task(run, trust=trust)
    facts = file_facts(task, "evaluate")
    table = read(file, read_options(format, delimiter, columns, no_quotes, encoding), "evaluate", facts)
    if isinstance(task, Forecaster):
        _evaluate_forecast(task, table, facts, png, as_json)
        return
    reader = RowReader.from_content(facts["reader"])
    table.require([*reader.features, reader.target], "evaluate")
    missing = reader.missing_rows(table, targets=True, caller="evaluate")
    known = table.digest == facts["digest"]
    table = without_missing(table, missing, skip_missing or (known and facts["skip_missing"]), "evaluate")
    X, y = reader.inputs(table, "evaluate"), reader.targets(table, "evaluate")
    note = ""
    if known and not all_rows and facts["test"]:
        rows = held_out_rows(reader, y, facts["test"], task.settings.seed)
        X, y = {name: [values[row] for row in rows] for name, values in X.items()}, [y[row] for row in rows]
        note = f"{table.origin} is the training file: {len(rows):,} held-out rows count (--all for all)\n\n"
    elif known:
        note = f"{table.origin} is the training file: the score is that of known rows\n\n"
    if not as_json:
        sys.stdout.write(note)
    show_scores(task, X, y, png=png, as_json=as_json)


def show_scores(
    task: FittedTask, X: dict[str, list[Any]], y: list[Any], *, png: Path | None = None, as_json: bool = False
) -> None:
    """Print the scores of a task on some rows, and save the picture if one is wanted."""
    scores = task.evaluate(X, y)
    if png is not None and scores.confusion is not None:
        save_confusion(scores.confusion, [str(name) for name in scores.classes], png)
    elif png is not None:
        save_scatter(np.asarray(task.predict(X)), np.asarray(y), png)
    if as_json:
        sys.stdout.write(json.dumps(_as_json(task, scores, X, y), indent=1) + "\n")
        return
    sys.stdout.write(scores.table.rstrip("\n") + "\n")
    if scores.confusion is not None:
        sys.stdout.write(f"\n{scores.name} {scores.score:.4f} on {len(y):,} rows\n")
        _show_confusion(scores)
    if png is not None:
        sys.stdout.write(f"saved as {png}\n")


def _as_json(task: FittedTask, scores: Evaluation, X: dict[str, list[Any]], y: list[Any]) -> dict[str, Any]:
    content: dict[str, Any] = {"task": task.settings.task, "rows": len(y), **scores.values}
    if scores.confusion is not None:
        matrix = scores.confusion
        content["per_class"] = {
            str(name): _ratios(int(matrix[k, k]), int(matrix[:, k].sum()), int(matrix[k].sum()))
            for k, name in enumerate(scores.classes)
        }
        if task.settings.task == "tag" and mark_spans(scores.classes):
            labels = score_spans(task.predict(X), y).labels
            content["per_class"] = {
                name: _ratios(each.correct, each.found, each.expected) for name, each in labels.items()
            }
        content |= {"classes": [str(name) for name in scores.classes], "confusion": matrix.tolist()}
    return content


def _ratios(correct: int, found: int, expected: int) -> dict[str, float]:
    total = found + expected
    return {
        "precision": correct / found if found else 0.0,
        "recall": correct / expected if expected else 0.0,
        "f1": 2 * correct / total if total else 0.0,
        "support": expected,
    }


def _show_confusion(scores: Evaluation) -> None:
    """Print the confusion matrix; of many classes, the pairs that are confused most."""
    from rich.console import Console
    from rich.table import Table as Grid

    matrix, names = scores.confusion, [str(name) for name in scores.classes]
    assert matrix is not None
    if len(names) > _MOST_SHOWN:
        wrong = matrix - np.diag(np.diag(matrix))
        order = np.argsort(-wrong, axis=None, kind="stable")[:_CONFUSED]
        pairs = [(int(k) // len(names), int(k) % len(names)) for k in order if wrong.flat[k]]
        lines = [f"  {names[i]} read as {names[j]}: {matrix[i, j]:,}\n" for i, j in pairs]
        sys.stdout.write("\nmost frequent confusions:\n" + "".join(lines) if lines else "\nno confusions\n")
        return
    grid = Grid()
    grid.add_column("")
    for name in names:
        grid.add_column(name, justify="right")
    for i, name in enumerate(names):
        cells = [f"[bold]{value:,}[/bold]" if i == j else f"{value:,}" for j, value in enumerate(matrix[i].tolist())]
        grid.add_row(name, *cells)
    sys.stdout.write("\nconfusion matrix (rows: true, columns: predicted)\n")
    Console(file=sys.stdout).print(grid)


# ----------------------------------------------------------------------------------------------------- forecasts


def _evaluate_forecast(
    forecaster: Forecaster, table: Table, facts: dict[str, Any], png: Path | None, as_json: bool
) -> None:
    found = collect_series(
        table, facts["value"], id=facts["id"], date=facts["date"], kinds=facts["kinds"], caller="evaluate"
    )
    values, H = [series.values for series in found.series], forecaster.settings.horizon
    score = forecaster.evaluate(values)
    if png is not None:
        shown = found.series[:6]
        forecasts = forecaster.predict([series.values[:-H] for series in shown])
        save_forecasts(
            {series.name: series.values[-4 * H :] for series in shown}, forecasts, png, forecaster.settings.quantiles
        )
    if as_json:
        sys.stdout.write(json.dumps({"task": "forecast", "series": len(values), **vars(score)}, indent=1) + "\n")
        return
    if table.digest == facts["digest"] and not facts["hold_out"]:
        sys.stdout.write(f"{table.origin} is the training file: the score is that of known steps\n\n")
    sys.stdout.write(f"the last {H} steps of {len(values):,} series:\n\n")
    show_forecast_score(score)
    if png is not None:
        sys.stdout.write(f"saved as {png}\n")


def show_forecast_score(score: ForecastScore) -> None:
    """Print the scores of forecasts beside those of the seasonal naive forecast."""
    sys.stdout.write(
        f"                        model  seasonal naive\n"
        f"MASE                 {score.mase:>8.3f}  {score.naive_mase:>14.3f}\n"
        f"mean absolute error  {score.mae:>8.4g}  {score.naive_mae:>14.4g}\n\n"
        f"{score.coverage:.0%} of the values lie between the lowest and the highest quantile (expected "
        f"{score.expected_coverage:.0%})\n"
    )
    if score.unscaled:
        sys.stdout.write(f"MASE leaves out {score.unscaled:,} series that repeat their seasons exactly\n")
