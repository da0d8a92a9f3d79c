"""What ``tinygrad-seq fit`` does: a file to rows or series, a run folder, and the score on what was held out."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from ..data.delimited import listed
from ..data.table_files import Table
from ..data.time_series import collect_series
from ..distributed import world
from ..errors import ArgumentError, DataError
from ..tasks import fit_forecast, fit_task
from ..tasks.rows import TASKS, RowReader, check_ids, held_out_rows
from ..tasks.training import read_run
from ..train import RunFolder
from .evaluate import show_forecast_score, show_scores
from .table_options import read, without_missing


def train_rows(
    file: Path,
    options: dict[str, Any],
    target: str | None,
    chosen: dict[str, Any],
    parts: dict[str, Any],
    settings: dict[str, Any],
    run: dict[str, Any],
) -> None:
    """Classify, tag or regress the rows of a file, and show the score on those held out for it."""
    if chosen["task"] not in (None, *TASKS):
        raise ArgumentError(
            f"fit: expected --task to be {', '.join(TASKS)} or forecast, got {chosen['task']!r}; correct it."
        )
    table = read(file, options, "fit")
    target = target or ("tag" if table.layout.format == "conll" and "tag" in table.cells else None)
    write(f"{file}: {len(table):,} {'sentences' if table.layout.format == 'conll' else 'rows'}\n")
    write("".join(f"  {line}\n" for line in table.describe(chosen["kinds"]).splitlines()))
    if target is None:
        raise ArgumentError(
            f"fit: expected --target, the column to predict, got none; choose one of {listed(table.cells)}."
        )
    _check_not_series(table, target, chosen)
    reader = RowReader.choose(table, target, **chosen, caller="fit")
    facts = {"name": file.name, "read": options, "reader": reader.content(), "digest": table.digest, **parts}
    _train(table, reader, facts, settings, run)


def _train(
    table: Table,
    reader: RowReader,
    facts: dict[str, Any],
    settings: dict[str, Any],
    run: dict[str, Any],
) -> None:
    """Train a task on a table, and show the score on the rows held out."""
    world().check("fit", facts)
    check_ids(table, "fit")
    whole = len(table)
    missing = reader.missing_rows(table, targets=True, caller="fit")
    table = without_missing(table, missing, facts["skip_missing"], "fit")
    X, y = reader.inputs(table, "fit"), reader.targets(table, "fit")
    _check_classes(reader, table, y)
    tested = held_out_rows(reader, y, facts["test"], settings.get("seed", 0))
    trained = [row for row in range(len(y)) if row not in set(tested)]
    validation = facts["validation"]
    if round(len(trained) * validation) < 1 or len(trained) < 2:
        raise DataError(
            f"fit: expected at least {int(0.5 / validation) + 1} rows to train on and to hold out, got {len(trained)} "
            f"in {table.origin}; pass more rows, a larger --validation or --test 0."
        )
    left_out = f" ({whole - len(table):,} with missing values left out)" if whole > len(table) else ""
    write(f"{reader.task} {reader.target!r} from {reader.describe()}{left_out}\n")
    count = round(len(trained) * validation)
    write(
        f"{len(trained) - count:,} rows to train on, {count:,} to decide when to stop, {len(tested):,} for the score "
        f"at the end, into {run['run']} (Ctrl-C saves and stops)\n"
    )
    fitted = fit_task(
        reader.task,
        _pick(X, trained),
        [y[row] for row in trained],
        columns=reader.columns,
        validation=validation,
        facts={"file": facts},
        **run,
        **settings,
    )
    if tested:
        write(f"\nscore on the {len(tested):,} rows that were held out for it:\n\n")
        show_scores(fitted, _pick(X, tested), [y[row] for row in tested])


def _check_not_series(table: Table, target: str, chosen: dict[str, Any]) -> None:
    """Raise an ArgumentError that names --horizon if the rows are numbers by date, and no task is given."""
    kinds = {**table.kinds, **chosen["kinds"]}
    others = {kind for name, kind in kinds.items() if name != target}
    if chosen["task"] is None and kinds.get(target) in ("number", "series") and not chosen["features"]:
        dated = "date" in others and not others & {"text", "tokens", "series"}
        if dated or kinds[target] == "series":
            raise ArgumentError(
                f"fit: expected --horizon, the steps to forecast, for the series in column {target!r:.60} of "
                f"{table.origin}, got none; pass e.g. --horizon 14 --season 7, or another --task."
            )


def _check_classes(reader: RowReader, table: Table, y: list[Any]) -> None:
    if reader.task == "regress":
        return
    classes = {label for row in y for label in (row if reader.task == "tag" else [row])}
    if len(classes) < 2:
        raise DataError(
            f"fit: expected at least two classes in column {reader.target!r:.60} of {table.origin}, got "
            f"{listed(classes)}; choose another --target."
        )


# ----------------------------------------------------------------------------------------------------- forecasts


def train_series(
    file: Path,
    options: dict[str, Any],
    chosen: dict[str, Any],
    settings: dict[str, Any],
    run: dict[str, Any],
) -> None:
    """Forecast the series of a file, and show the score on their last steps."""
    if "horizon" not in settings:
        raise ArgumentError(
            "fit: expected --horizon, the number of steps to forecast, got none; pass e.g. --horizon 14."
        )
    table = read(file, options, "fit")
    write(f"{file}: {len(table):,} rows\n")
    write("".join(f"  {line}\n" for line in table.describe(chosen["kinds"]).splitlines()))
    facts = {"name": file.name, "read": options, "digest": table.digest, **chosen}
    _train_forecast(table, facts, settings, run)


def _train_forecast(table: Table, facts: dict[str, Any], settings: dict[str, Any], run: dict[str, Any]) -> None:
    world().check("fit", facts)
    found = collect_series(
        table, facts["value"], id=facts["id"], date=facts["date"], kinds=facts["kinds"], caller="fit"
    )
    lengths = [len(series.values) for series in found.series]
    span = f"{min(lengths):,}" if min(lengths) == max(lengths) else f"{min(lengths):,} to {max(lengths):,}"
    by = ", ".join(f"{what} {name!r}" for what, name in (("id", found.id), ("date", found.date)) if name is not None)
    write(f"forecast {len(lengths):,} series of {span} steps{f' ({by})' if by else ''}, into {run['run']}\n")
    write("".join(f"note: {note}\n" for note in found.notes))
    values = [series.values for series in found.series]
    forecaster = fit_forecast(
        values, **settings, hold_out=facts["hold_out"], facts={"file": {**facts, "forecast": True}}, **run
    )
    if facts["hold_out"]:
        write(f"\nscore on the last {forecaster.settings.horizon} steps of each series, not used in training:\n\n")
        show_forecast_score(forecaster.evaluate(values))


# ------------------------------------------------------------------------------------------------------ resuming


def resume_run(
    file: Path,
    folder: Path,
    options: dict[str, Any],
    given: dict[str, Any],
    run: dict[str, Any],
    trust: bool,
) -> None:
    """Continue a run with the settings that it was started with."""
    opened = RunFolder.open(folder)
    changed = [name for name in given if name not in ("epochs", "patience")]
    if changed or options:
        raise ArgumentError(
            "fit: expected only --epochs, --patience and --minutes with --resume, got "
            f"{', '.join([*changed, *options])}; leave them out, or start a new run."
        )
    facts = opened.facts.get("file")
    if not isinstance(facts, dict):
        raise ArgumentError(
            f"fit: expected a run of tinygrad-seq fit in '{folder}', got another; choose another --out."
        )
    table = read(file, options, "fit", facts)
    if table.digest != facts["digest"]:
        raise DataError(f"fit: expected the rows that '{folder}' was started with, got others in {table.origin}.")
    del run["force"]
    write(f"Resuming {folder} ...\n")
    if "reader" in facts:
        config = read_run(folder, trust=trust).config["settings"]
        settings = {name: value for name, value in config.items() if name != "task"} | given
        _train(table, RowReader.from_content(facts["reader"]), facts, settings, run)
    else:
        settings = {**opened.config, "quantiles": tuple(opened.config["quantiles"])} | given
        chosen = {name: facts[name] for name in ("value", "id", "date", "kinds", "hold_out", "name", "read", "digest")}
        _train_forecast(table, chosen, settings, run)


def write(text: str) -> None:
    """Print text, on the rank that writes."""
    if world().is_writer:
        sys.stdout.write(text)
        sys.stdout.flush()


def _pick(X: dict[str, list[Any]], rows: Iterable[int]) -> dict[str, list[Any]]:
    return {name: [values[row] for row in rows] for name, values in X.items()}
