"""``tinygrad-seq train``."""

from __future__ import annotations

import dataclasses
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from ..config import set_num_threads
from ..errors import ArgumentError
from ..train.config import CELLS, LEVELS, OPTIMIZERS, SCHEDULES, UNITS, TrainingConfig
from ..train.run import Run, check_free
from ..train.session import Session
from ..train.stopping import graceful_stop
from .options import examples
from .progress import make_display

EXAMPLES = examples(
    "train --corpus pydoc --out runs/demo",
    "train --corpus novel.txt --level word --cell gru --minutes 10",
    "train --corpus names.txt --unit line --cell mycell.py:MyCell",
    "train --out runs/demo --resume --steps 3000",
)
# What may change when a run goes on; anything else would make it another run.
_CHANGEABLE = ("steps", "minutes", "patience")

_Text, _Model, _Training, _Run = "The text", "The model", "The training", "The run"


def _option(panel: str, text: str, *names: str, **more: Any) -> Any:
    return typer.Option(*names, help=text, rich_help_panel=panel, **more)


def train(
    context: typer.Context,
    corpus: Annotated[str, _option(_Text, "pydoc, stdlib, or the path of a UTF-8 file or folder.")] = "pydoc",
    level: Annotated[str, _option(_Text, f"What a token is: {', '.join(LEVELS)}.")] = TrainingConfig.level,
    unit: Annotated[
        str, _option(_Text, f"What <EOS> stands after, and score gives the probability of: {', '.join(UNITS)}.")
    ] = TrainingConfig.unit,
    max_vocabulary: Annotated[
        int, _option(_Text, "How many tokens to keep; rarer ones are <UNK>.")
    ] = TrainingConfig.max_vocabulary,
    validation: Annotated[
        float, _option(_Text, "The part at the end of the text that is held out.")
    ] = TrainingConfig.validation,
    cell: Annotated[
        str,
        _option(
            _Model,
            f"{', '.join(CELLS)}, or FILE.py:Class, a subclass of tinygrad_seq.nn.Cell made as "
            "Class(input_size, hidden_size).",
        ),
    ] = TrainingConfig.cell,
    hidden_size: Annotated[int, _option(_Model, "Size of each recurrent layer.", "--hidden-size", "--hidden")] = (
        TrainingConfig.hidden_size
    ),
    embedding_size: Annotated[
        int, _option(_Model, "Size of a token's vector.", "--embedding-size", "--embedding")
    ] = TrainingConfig.embedding_size,
    num_layers: Annotated[int, _option(_Model, "Recurrent layers.", "--num-layers", "--layers")] = (
        TrainingConfig.num_layers
    ),
    dropout: Annotated[float, _option(_Model, "Part of the values dropped between layers.")] = TrainingConfig.dropout,
    optimizer: Annotated[
        str, _option(_Training, f"{', '.join(OPTIMIZERS)} (sgd with momentum 0.9).")
    ] = TrainingConfig.optimizer,
    lr: Annotated[float, _option(_Training, "Learning rate.")] = TrainingConfig.lr,
    weight_decay: Annotated[float, _option(_Training, "Weight decay.")] = TrainingConfig.weight_decay,
    schedule: Annotated[str, _option(_Training, f"Of the learning rate: {', '.join(SCHEDULES)}.")] = (
        TrainingConfig.schedule
    ),
    warmup: Annotated[int, _option(_Training, "Steps in which the rate rises.")] = TrainingConfig.warmup,
    clip_norm: Annotated[
        float, _option(_Training, "Greatest norm of the gradient; 0 never clips.", "--clip-norm", "--clip")
    ] = TrainingConfig.clip_norm,
    batch_size: Annotated[
        int, _option(_Training, "Readers of the text, side by side.", "--batch-size", "--batch")
    ] = TrainingConfig.batch_size,
    window: Annotated[
        int, _option(_Training, "Tokens between two cuts of backpropagation through time.")
    ] = TrainingConfig.window,
    steps: Annotated[int, _option(_Training, "Updates in all.")] = TrainingConfig.steps,
    minutes: Annotated[float, _option(_Training, "Stop after this time; 0 never.")] = TrainingConfig.minutes,
    patience: Annotated[
        int, _option(_Training, "Stop after so many evaluations without improvement; 0 never.")
    ] = TrainingConfig.patience,
    evaluate_every: Annotated[
        int, _option(_Run, "Steps between evaluations, samples and checkpoints.")
    ] = TrainingConfig.evaluate_every,
    sample_length: Annotated[
        int, _option(_Run, "Tokens sampled at each evaluation; 0 for none.")
    ] = TrainingConfig.sample_length,
    seed: Annotated[int, _option(_Run, "The same seed gives the same run.")] = TrainingConfig.seed,
    threads: Annotated[
        int, _option(_Run, "Threads of the kernels; NumPy's BLAS follows OPENBLAS_NUM_THREADS.", show_default="all")
    ] = 0,
    out: Annotated[
        Path | None, _option(_Run, "The run folder, which must be new.", show_default="runs/CORPUS")
    ] = None,
    resume: Annotated[
        bool, _option(_Run, "Go on with the run in --out, bit for bit; only --steps, --minutes, --patience may change.",
                      "--resume")
    ] = False,
    checkpoint: Annotated[
        str | None, _option(_Run, "With --resume: from which checkpoint.", metavar="NAME", show_default="the newest")
    ] = None,
    force: Annotated[bool, _option(_Run, "Replace the run in --out.", "--force")] = False,
) -> None:
    """Train a language model; Ctrl-C saves and says how to go on."""
    if threads:
        set_num_threads(threads)
    folder = out or Path("runs") / Path(corpus).stem
    if resume and force:
        raise ArgumentError("train: expected --resume or --force, got both; leave one out.")
    if checkpoint and not resume:
        raise ArgumentError("train: expected --checkpoint only with --resume, got it alone; add --resume.")
    settings = {field.name: context.params[field.name] for field in dataclasses.fields(TrainingConfig)}
    if resume:
        run, session = _resumed(folder, {name: settings[name] for name in settings if _is_given(context, name)}, checkpoint)
    else:
        config = TrainingConfig(**settings | {"corpus": _absolute(corpus)})
        check_free(folder, force=force)
        session = Session(config)
        run = Run.create(folder, config, session.vocabulary, session.facts, force=force)
    _run(run, session)


def _run(run: Run, session: Session) -> None:
    display = make_display(run, session)
    with graceful_stop() as request, display:
        for row in session.rows(run, stop=lambda: bool(request)):
            display.show(row)
    if request:
        sys.stdout.write(
            f"Stopped and saved at step {session.steps.number}. Go on with:\n"
            f"  tinygrad-seq train --out {run.folder} --resume\n"
        )
        raise typer.Exit(128 + request.signal)
    if session.stopping.exhausted:
        sys.stdout.write(f"Stopped: {session.stopping.waited} evaluations without improvement.\n")
    sys.stdout.write(f"Write with it:  tinygrad-seq sample {run.folder}\n")


def _resumed(folder: Path, given: dict[str, Any], checkpoint: str | None) -> tuple[Run, Session]:
    run = Run.open(folder)
    stored = run.config.to_json()
    for name, value in given.items():
        if name not in _CHANGEABLE and name != "corpus" and value != stored[name]:
            raise ArgumentError(
                f"train: expected {name}={stored[name]!r}, as '{folder}' was begun, got {value!r}; leave the option out, "
                "or begin a new run."
            )
    changed = {name: given[name] for name in _CHANGEABLE if name in given}
    updated = dataclasses.replace(run, config=dataclasses.replace(run.config, **changed))
    session = Session.resume(updated, checkpoint)
    return run.update_config(updated.config) if changed else run, session


def _is_given(context: typer.Context, name: str) -> bool:
    source = context.get_parameter_source(name)
    return source is not None and source.name == "COMMANDLINE"


def _absolute(corpus: str) -> str:
    """Return a corpus that is a path so that it is found from any folder."""
    path = Path(corpus)
    return str(path.resolve()) if path.exists() and corpus not in ("pydoc", "stdlib") else corpus
