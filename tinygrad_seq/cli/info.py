"""``tinygrad-seq info``."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from ..errors import CheckpointError, TinygradSeqError
from ..report import draw_curves, save_curves
from ..train.config import TrainingConfig
from ..train.manifest import LANGUAGE_MODEL
from ..train.metrics import Row
from ..train.run import Run
from ..train.run_folder import RunFolder
from .arguments import Folder, Trust, examples, four_figures
from .run_facts import describe_run

_AXES = 14  # columns for the axis labels next to the curve
_PARTS = {"training": "training", "validation": "held out", "test": "test"}
_SHOWN = 10  # skipped files
_TOKENS = {
    "char": "characters",
    "word": "words and punctuation",
    "whitespace": "what is between spaces",
    "subword": "byte pairs",
}
EXAMPLES = examples("info runs/demo", "info runs/demo --png loss.png")


def info(
    run: Folder,
    png: Annotated[
        Path | None,
        typer.Option(help="Also save the curve to this file; needs the extra 'plot'.", show_default=False),
    ] = None,
    trust: Trust = False,
) -> None:
    """Show the settings, sizes, metrics and loss curve of a run."""
    folder = RunFolder.open(run)
    if folder.kind != LANGUAGE_MODEL:
        sys.stdout.write(describe_run(folder, png, trust=trust))
        return
    opened = Run.open(run, trust=trust)
    rows = opened.rows()
    curves = bits_curves(rows)
    try:
        text = f"{_facts(opened)}\n"
        if any(curves.values()):
            width = min(72, max(10, shutil.get_terminal_size().columns - _AXES))
            text += f"\n{_results(rows)}\n\nbits per character\n{draw_curves(curves, width=width)}\n"
    except (AttributeError, LookupError, TypeError, ValueError) as error:
        raise CheckpointError(
            f"info: expected facts and metrics as train wrote them in config.json and metrics.jsonl of '{run}', got "
            f"others ({type(error).__name__}: {error}); restore the files."
        ) from error
    if png is not None:
        save_curves(curves, png, title=_title(opened), y_label="bits per character")
        text += f"saved as {png}\n"
    sys.stdout.write(text)


def bits_curves(rows: list[Row]) -> dict[str, list[tuple[float, float]]]:
    """Return bits per character by step, in training and on the held-out text."""
    names = {"training": "bits_per_character", "held out": "validation_bits_per_character"}
    return {
        label: [(row["step"], row[name]) for row in rows if isinstance(row.get(name), int | float)]
        for label, name in names.items()
    }


def _title(run: Run) -> str:
    config = run.config
    return f"{_model(config)} on {run.facts['corpus']}, {config.optimizer}, lr {config.lr:g}, seed {config.seed}"


def _model(config: TrainingConfig) -> str:
    return f"{config.num_layers} x {config.cell.rpartition(':')[2]} of {config.hidden_size}"


def _facts(run: Run) -> str:
    config, facts = run.config, run.facts
    layers, step = _layers(run)
    lines = {
        "run": run.folder,
        "corpus": f"{facts['corpus']}, {facts['characters']:,} characters: {facts['description']}",
        **_parts(facts),
        "tokens": f"{_TOKENS[config.level]}, {len(run.vocabulary):,} different; <EOS> after each {config.unit}",
        "model": f"{_model(config)}, embedding {config.embedding_size}, dropout {config.dropout:g}",
        "settings": f"{config.optimizer}, lr {config.lr:g} {config.schedule}, batch {config.batch_size}, "
        f"window {config.window}, {config.steps:,} steps, clip {config.clip_norm:g}, {config.precision}, "
        f"seed {config.seed}",
        "versions": ", ".join(f"{name} {version}" for name, version in facts["versions"].items()),
        "checkpoints": ", ".join(path.stem for path in run.checkpoints())
        + (f"; best is from step {step}" if step and run.best.exists() else ""),
    }
    return "\n".join(f"{name:<12} {value}" for name, value in lines.items()) + layers


def _layers(run: Run) -> tuple[str, int]:
    """Return the table of layers, or why there is none, and the step of the best checkpoint, or 0."""
    if not run.checkpoints():
        return "", 0
    try:
        model, step = run.load_model()
    except TinygradSeqError as error:  # the rest can be shown without the model, and without the code of its cell
        return f"\nlayers       not shown: {error}", 0
    return f"\n\n{model!r}", step


def _parts(facts: dict[str, Any]) -> dict[str, str]:
    """Return the sizes of the parts of the text, and what was left out of it."""
    parts = facts.get("parts") or {name: {"tokens": facts[f"{name}_tokens"]} for name in ("training", "validation")}
    lines = {_PARTS[name]: _sizes(part) for name, part in parts.items() if part["tokens"]}
    skipped = facts.get("skipped", [])
    shown = [f"{path}: {reason}" for path, reason in skipped[:_SHOWN]]
    if len(skipped) > _SHOWN:
        shown.append(f"and {len(skipped) - _SHOWN:,} more")
    return lines | ({"skipped": "; ".join(shown)} if shown else {})


def _sizes(part: dict[str, Any]) -> str:
    tokens = f"{part['tokens']:,} tokens"
    if "characters" not in part:  # a run of version 0.1.0
        return tokens
    return f"{tokens} ({part['unknown']:,} unknown), {part['characters']:,} characters"


def _results(rows: list[Row]) -> str:
    trained = [row for row in rows if "loss" in row]
    held_out = [row for row in rows if "validation_loss" in row]
    lines = []
    if trained:
        last = trained[-1]
        rate = f", {last['tokens_per_second']:,.0f} tokens/s" if last["tokens_per_second"] else ""
        lines.append(
            f"after step {last['step']:,} ({last['passes']:.2f} passes, {last['seconds']:.0f} s{rate}): "
            f"training {_measures(last, '')}"
        )
    if held_out:
        best = min(held_out, key=lambda row: row["validation_loss"])
        lines.append(f"best on the held-out text, at step {best['step']:,}: {_measures(best, 'validation_')}")
    lines += [
        f"on the test text, at step {row['test_step']:,}: {_measures(row, 'test_')}"
        for row in rows
        if "test_loss" in row
    ]
    return "\n".join(lines)


def _measures(row: Row, part: str) -> str:
    return (
        f"{row[f'{part}bits_per_character']:.3f} bits per character, perplexity "
        f"{four_figures(row[f'{part}perplexity'])}"
    )
