"""What ``tinygrad-seq info`` shows of a run that is not that of a language model."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

from ..errors import TinygradSeqError
from ..report import draw_curves, save_curves
from ..tasks.forecasting import KIND as FORECAST
from ..tasks.training import KIND as TASK
from ..train import RunFolder
from ..train.metrics import Row
from .arguments import four_figures
from .table_options import open_task

_AXES = 14  # columns for the axis labels next to the curve


def describe_run(run: RunFolder, png: Path | None, *, trust: bool) -> str:
    """Return the settings, the results and the loss curve of a run; save the curve to `png` if it is given."""
    rows = run.rows()
    curves = {
        label: [(row["step"], row[name]) for row in rows if isinstance(row.get(name), int | float)]
        for label, name in (("training", "loss"), ("held out", "validation_loss"))
    }
    lines = {"run": str(run.folder), **_facts(run)}
    lines["settings"] = ", ".join(f"{name} {_value(value)}" for name, value in _settings(run).items())
    versions = run.facts.get("versions")
    if isinstance(versions, dict):
        lines["versions"] = ", ".join(f"{name} {version}" for name, version in versions.items())
    lines["checkpoints"] = ", ".join(path.stem for path in run.checkpoints()) or "none"
    text = "".join(f"{name:<12} {value}\n" for name, value in lines.items())
    if run.kind in (TASK, FORECAST) and run.checkpoints():
        try:
            text += f"\n{open_task(run.folder, trust=trust).model!r}\n"
        except TinygradSeqError as error:  # e.g. the code of its cell is not trusted
            text += f"layers       not shown: {error}\n"
    if any(curves.values()):
        width = min(72, max(10, shutil.get_terminal_size().columns - _AXES))
        text += f"\n{_results(rows)}\n\nloss\n{draw_curves(curves, width=width)}\n"
    if png is not None:
        save_curves(curves, png, title=run.folder.name, y_label="loss")
        text += f"saved as {png}\n"
    return text


def _facts(run: RunFolder) -> dict[str, str]:
    """Return what the run says about its task and its file."""
    lines = {"kind": run.kind}
    file = run.facts.get("file")
    if not isinstance(file, dict):
        return lines
    lines["file"] = str(file.get("name"))
    reader = file.get("reader")
    if isinstance(reader, dict):
        columns = ", ".join(f"{name} ({kind})" for name, kind in reader["columns"].items())
        lines["kind"] = f"{reader['task']} {reader['target']!r} from {columns}"
    elif run.kind == FORECAST:
        lines["kind"] = f"forecast {file['value'] or 'series'!r}"
    return lines


def _settings(run: RunFolder) -> dict[str, Any]:
    settings = run.config.get("settings", run.config)
    return {name: value for name, value in settings.items() if value is not None and not isinstance(value, dict)}


def _value(value: Any) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)


def _results(rows: list[Row]) -> str:
    """Return the last row of the training, the best on held-out data, and that of the test part."""
    lines = []
    trained = [row for row in rows if "loss" in row]
    if trained:
        last = trained[-1]
        lines.append(
            f"after step {last['step']:,} ({last['seconds']:.0f} s): training loss {four_figures(last['loss'])}"
        )
    held_out = [row for row in rows if "validation_loss" in row]
    if held_out:
        best = min(held_out, key=lambda row: row["validation_loss"])
        lines.append(f"best on held-out data, at step {best['step']:,}: {_figures(best, 'validation_')}")
    lines += [
        f"on test data, at step {row['test_step']:,}: {_figures(row, 'test_')}" for row in rows if "test_loss" in row
    ]
    return "\n".join(lines)


def _figures(row: Row, prefix: str) -> str:
    left_out = (f"{prefix}weight", f"{prefix}step")
    names = [name for name in row if name.startswith(prefix) and name not in left_out]
    return ", ".join(f"{name.removeprefix(prefix).replace('_', ' ')} {four_figures(row[name])}" for name in names)
