"""``tinygrad-seq train``."""

from __future__ import annotations

import dataclasses
import inspect
import shlex
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer

from ..base.settings import set_num_threads
from ..errors import ArgumentError
from ..train.config import LEVELS, OPTIMIZERS, SCHEDULES, UNITS, TrainingConfig
from ..train.language_model import CELLS
from ..train.run import Run, check_free
from ..train.session import Session
from ..train.stopping import graceful_stop
from .arguments import examples
from .progress import make_display

EXAMPLES = examples(
    "train --corpus pydoc --out runs/demo",
    "train --corpus novel.txt --level word --cell gru --minutes 10",
    "train --corpus names.txt --unit line --cell mycell.py:MyCell",
    "train --out runs/demo --resume --steps 3000",
)
# What may change when a run goes on; anything else would make it another run.
_CHANGEABLE = ("steps", "minutes", "patience")

_TEXT, _MODEL, _TRAINING, _RUN = "The text", "The model", "The training", "The run"
# The options that are settings of the run: where the help shows them, what it says, and a short name.
_SETTINGS: dict[str, tuple[str, ...]] = {
    "corpus": (_TEXT, "pydoc, stdlib, or the path of a UTF-8 file or folder."),
    "level": (_TEXT, f"What a token is: {', '.join(LEVELS)}."),
    "unit": (_TEXT, f"What <EOS> stands after, and score gives the probability of: {', '.join(UNITS)}."),
    "max_vocabulary": (_TEXT, "How many tokens to keep; rarer ones are <UNK>."),
    "validation": (_TEXT, "The part at the end of the text that is held out."),
    "cell": (
        _MODEL,
        f"{', '.join(CELLS)}, or FILE.py:Class, an nn.Cell made as Class(input_size, hidden_size).",
    ),
    "embedding_size": (_MODEL, "Size of a token's vector.", "--embedding"),
    "hidden_size": (_MODEL, "Size of each recurrent layer.", "--hidden"),
    "num_layers": (_MODEL, "Recurrent layers.", "--layers"),
    "dropout": (_MODEL, "Part of the values dropped before and after each layer."),
    "optimizer": (_TRAINING, f"{', '.join(OPTIMIZERS)} (sgd with momentum 0.9)."),
    "lr": (_TRAINING, "Learning rate."),
    "weight_decay": (_TRAINING, "Weight decay."),
    "schedule": (_TRAINING, f"Of the learning rate: {', '.join(SCHEDULES)}."),
    "warmup": (_TRAINING, "Steps in which the rate rises."),
    "clip_norm": (_TRAINING, "Greatest norm of the gradient; 0 never clips.", "--clip"),
    "batch_size": (_TRAINING, "Readers of the text, side by side.", "--batch"),
    "window": (_TRAINING, "Tokens between two cuts of backpropagation through time."),
    "restart": (_TRAINING, "How often a unit begins from the initial state, as in sample and score."),
    "steps": (_TRAINING, "Updates in all."),
    "minutes": (_TRAINING, "Stop after this time; 0 never."),
    "patience": (_TRAINING, "Stop after so many evaluations without improvement; 0 never."),
    "evaluate_every": (_RUN, "Steps between evaluations, samples and checkpoints."),
    "sample_length": (_RUN, "Tokens sampled at each evaluation; 0 for none."),
    "seed": (_RUN, "The same seed gives the same run."),
}


def _option(panel: str, text: str, *names: str, **more: Any) -> Any:
    return typer.Option(*names, help=text, rich_help_panel=panel, **more)


def _takes_settings(command: Callable[..., None]) -> Callable[..., None]:
    """Return `command` with an option for each field of `TrainingConfig`, which it gets as ``**settings``."""
    signature = inspect.signature(command, eval_str=True)
    context, *own, _ = signature.parameters.values()
    options = []
    for name, (panel, text, *short) in _SETTINGS.items():
        option = _option(panel, text, f"--{name.replace('_', '-')}", *short)
        default = getattr(TrainingConfig, name)
        options.append(context.replace(name=name, default=default, annotation=Annotated[type(default), option]))
    parameters = [context, *options, *own]
    command.__signature__ = signature.replace(parameters=parameters)  # type: ignore[attr-defined]
    command.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
    return command


@_takes_settings
def train(
    context: typer.Context,
    threads: Annotated[
        int, _option(_RUN, "Threads of the kernels and of NumPy's BLAS; more help only on an idle machine.")
    ] = 1,
    out: Annotated[Path | None, _option(_RUN, "The run folder, a new one.", show_default="runs/CORPUS")] = None,
    resume: Annotated[
        bool,
        _option(
            _RUN, "Go on with the run in --out, bit for bit; only steps, minutes, patience may change.", "--resume"
        ),
    ] = False,
    checkpoint: Annotated[
        str | None, _option(_RUN, "With --resume: from which checkpoint.", metavar="NAME", show_default="the newest")
    ] = None,
    force: Annotated[bool, _option(_RUN, "Replace the run in --out.", "--force")] = False,
    **settings: Any,
) -> None:
    """Train a language model; Ctrl-C saves and says how to go on."""
    set_num_threads(threads)
    folder = out or Path("runs") / Path(settings["corpus"]).stem
    if resume and force:
        raise ArgumentError("train: expected --resume or --force, got both; leave one out.")
    if checkpoint and not resume:
        raise ArgumentError("train: expected --checkpoint only with --resume, got it alone; add --resume.")
    settings["corpus"] = _absolute(settings["corpus"])
    if resume:
        given = {name: value for name, value in settings.items() if _is_given(context, name)}
        run, session = _resumed(folder, given, checkpoint)
    else:
        config = TrainingConfig(**settings)
        check_free(folder, force=force)
        session = Session(config)
        run = Run.create(folder, config, session.vocabulary, session.facts, force=force)
    _run(run, session)


def _run(run: Run, session: Session) -> None:
    with graceful_stop() as request, make_display(run, session) as display:
        for row in session.rows(run, stop=lambda: bool(request)):
            display.show(row)
    if request and session.steps.number < run.config.steps:
        sys.stdout.write(
            f"Stopped and saved at step {session.steps.number}. Go on with:\n"
            f"  tinygrad-seq train --out {shlex.quote(str(run.folder))} --resume\n"
        )
        raise typer.Exit(128 + request.signal)
    if session.stopping.exhausted:
        sys.stdout.write(f"Stopped: {session.stopping.waited} evaluations without improvement.\n")
    sys.stdout.write(f"Write with it:  tinygrad-seq sample {shlex.quote(str(run.folder))}\n")


def _resumed(folder: Path, given: dict[str, Any], checkpoint: str | None) -> tuple[Run, Session]:
    run = Run.open(folder)
    stored = run.config.to_json()
    for name, value in given.items():
        if name not in _CHANGEABLE and value != stored[name]:
            raise ArgumentError(
                f"train: expected {name}={stored[name]!r}, as '{folder}' was begun, got {value!r}; leave the option "
                "out, or begin a new run."
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
