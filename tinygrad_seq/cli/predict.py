"""``tinygrad-seq predict``."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer

from ..data.table_files import Table
from ..data.time_series import TimeSeries, collect_series
from ..errors import DataError
from ..tasks import FittedTask, Forecaster
from ..tasks.rows import RowReader
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
    check_output,
    file_facts,
    open_task,
    read,
    read_options,
    without_missing,
)

EXAMPLES = examples(
    "predict runs/reviews new.csv -o predictions.csv",
    "predict runs/sales sales.csv -o forecast.csv",
)


def predict(
    run: TaskFolder,
    file: TableFile,
    output: Annotated[
        Path, typer.Option("--output", "-o", metavar="OUT", help="The file to write, in the format of FILE.")
    ],
    force: Annotated[bool, typer.Option("--force", help="Replace OUT if it exists.")] = False,
    format: Format = "auto",
    delimiter: Delimiter = None,
    columns: Names = None,
    no_quotes: NoQuotes = False,
    encoding: Encoding = "auto",
    skip_missing: SkipMissing = False,
    trust: Trust = False,
) -> None:
    """Write a copy of a file with the columns prediction and probability added.

    Numbers have no probability. With --skip-missing, rows with missing values get no prediction. A forecast writes new
    rows: the next steps of each series, with a column per quantile.
    """
    check_output(output, file, force, "predict")
    task = open_task(run, trust=trust)
    facts = file_facts(task, "predict")
    table = read(file, read_options(format, delimiter, columns, no_quotes, encoding), "predict", facts)
    written = _forecasts(task, table, facts) if isinstance(task, Forecaster) else None
    if written is not None:
        written.write(output)
        sys.stdout.write(f"wrote {len(written):,} rows to {output}\n")
        return
    assert isinstance(task, FittedTask)
    reader = RowReader.from_content(facts["reader"])
    table.require(reader.features, "predict")
    if clash := [name for name in ("prediction", "probability") if name in table.cells]:
        raise DataError(
            f"predict: expected no column {clash[0]!r} in {table.origin}, which is to be added, got one; rename it."
        )
    missing = set(reader.missing_rows(table, targets=False, caller="predict"))
    kept = without_missing(table, sorted(missing), skip_missing, "predict")
    added = _predictions(task, reader, kept)
    whole = iter(range(len(kept)))
    order = [None if row in missing else next(whole) for row in range(len(table))]
    conll = table.layout.format == "conll"
    blank: list[list[str]] = [["_"] * len(tokens) for tokens in table.cells[table.names[0]]] if conll else []
    columns_added = {
        name: [
            values[row] if row is not None else (blank[position] if conll else None)
            for position, row in enumerate(order)
        ]
        for name, values in added.items()
    }
    table.write(output, columns_added)
    skipped = f" ({len(missing):,} without a prediction)" if missing else ""
    sys.stdout.write(f"wrote {len(table):,} rows to {output}{skipped}\n")


def _predictions(task: FittedTask, reader: RowReader, table: Table) -> dict[str, list[Any]]:
    X = reader.inputs(table, "predict")
    found = task.predict(X)
    if reader.task == "regress":
        return {"prediction": [float(f"{value:.7g}") for value in np.asarray(found).ravel()]}
    labels = task.labels
    assert labels is not None
    chances = task.predict_proba(X)
    if reader.task == "classify":
        best = [float(row[labels.encode([label])[0]]) for row, label in zip(chances, found, strict=True)]
        return {"prediction": list(found), "probability": [round(value, 4) for value in best]}
    tags: list[Any] = [[str(tag) for tag in row] for row in found]
    likely: list[Any] = [
        [round(float(value), 4) for value in rows[np.arange(len(row)), labels.encode(row)]]
        for rows, row in zip(chances, found, strict=True)
    ]
    if table.layout.format in ("csv", "tsv"):
        tags, likely = ([" ".join(map(str, row)) for row in column] for column in (tags, likely))
    return {"prediction": tags, "probability": likely}


def _forecasts(forecaster: Forecaster, table: Table, facts: dict[str, Any]) -> Table:
    """Return the next steps of each series as a long table."""
    found = collect_series(
        table, facts["value"], id=facts["id"], date=facts["date"], kinds=facts["kinds"], caller="predict"
    )
    quantiles, H = forecaster.settings.quantiles, forecaster.settings.horizon
    forecasts = forecaster.predict([series.values for series in found.series])
    cells: dict[str, list[Any]] = {found.id or "series": [each.name for each in found.series for _ in range(H)]}
    dates = [_dates(series, H) for series in found.series]
    dated = found.date is not None and all(each is not None for each in dates)
    cells[(found.date if dated else None) or "step"] = [
        date for each in dates for date in (each if dated and each is not None else range(1, H + 1))
    ]
    rows = forecasts.reshape(-1, len(quantiles))
    cells["prediction"] = [float(f"{value:.7g}") for value in rows[:, quantiles.index(0.5)]]
    for k, quantile in enumerate(quantiles):
        if quantile != 0.5:
            cells[f"quantile {quantile:g}"] = [float(f"{value:.7g}") for value in rows[:, k]]
    return Table(cells, list(range(len(rows))), table.origin, table.layout)


def _dates(series: TimeSeries, count: int) -> list[str] | None:
    """Return the next dates as text, without the time if no date of the series has one."""
    following = series.following_dates(count)
    if following is None:
        return None
    timed = any(date.hour or date.minute or date.second for date in following)
    return [date.isoformat(" ") if timed else f"{date:%Y-%m-%d}" for date in following]
