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
# The settings that may change when a run is resumed.
_CHANGEABLE = ("steps", "minutes", "patience")

_TEXT, _MODEL, _TRAINING, _RUN = "The text", "The model", "The training", "The run"
# The options that are settings of the run: panel, help text, and optionally a short name.
_SETTINGS: dict[str, tuple[str, ...]] = {
    "corpus": (_TEXT, "pydoc, stdlib, or the path of a UTF-8 file or folder."),
    "encoding": (_TEXT, "auto (UTF-8, or UTF-16 or UTF-32 with a byte order mark), or another, e.g. latin-1."),
    "include": (_TEXT, "Read only the files of a folder that match this pattern, e.g. '*.txt'; repeat for several."),
    "exclude": (_TEXT, "Leave out the files of a folder that match this pattern; repeat for several."),
    "level": (_TEXT, f"What a token is: {', '.join(LEVELS)}."),
    "unit": (_TEXT, f"What <EOS> ends, and score gives the probability of: {', '.join(UNITS)}."),
    "max_vocabulary": (_TEXT, "Maximum number of tokens; rarer ones become <UNK>."),
    "lowercase": (_TEXT, "Convert the text to lower case.", "--lowercase"),
    "nfc": (_TEXT, "Compose characters and accents (Unicode NFC).", "--nfc"),
    "validation": (_TEXT, "Fraction of the text held out for evaluation: its end, or lines drawn by seed."),
    "test": (_TEXT, "Fraction of the text held out for one evaluation after training."),
    "shuffle": (_TEXT, "Put the documents in an order drawn by seed before the split.", "--shuffle"),
    "cell": (
        _MODEL,
        f"{', '.join(CELLS)}, or FILE.py:Class, an nn.Cell constructed as Class(input_size, hidden_size).",
    ),
    "embedding_size": (_MODEL, "Size of the embedding vectors.", "--embedding"),
    "hidden_size": (_MODEL, "Size of each recurrent layer.", "--hidden"),
    "num_layers": (_MODEL, "Number of recurrent layers.", "--layers"),
    "dropout": (_MODEL, "Dropout probability before and after each layer."),
    "optimizer": (_TRAINING, f"{', '.join(OPTIMIZERS)} (sgd with momentum 0.9)."),
    "lr": (_TRAINING, "Learning rate."),
    "weight_decay": (_TRAINING, "Weight decay."),
    "schedule": (_TRAINING, f"Learning-rate schedule: {', '.join(SCHEDULES)}."),
    "warmup": (_TRAINING, "Steps during which the learning rate increases."),
    "clip_norm": (_TRAINING, "Maximum norm of the gradient; 0 disables clipping.", "--clip"),
    "batch_size": (_TRAINING, "Number of text streams read in parallel.", "--batch"),
    "window": (_TRAINING, "Length of truncated backpropagation through time, in tokens."),
    "restart": (_TRAINING, "Probability that a unit starts from the initial state, as in sample and score."),
    "steps": (_TRAINING, "Number of updates."),
    "minutes": (_TRAINING, "Stop after this time; 0 for no limit."),
    "patience": (_TRAINING, "Stop after this many evaluations without improvement; 0 for never."),
    "evaluate_every": (_RUN, "Steps between evaluations, samples and checkpoints."),
    "eval_tokens": (_RUN, "Held-out tokens that an evaluation reads at most; 0 for all."),
    "sample_length": (_RUN, "Tokens sampled at each evaluation; 0 for none."),
    "seed": (_RUN, "The same seed gives the same run."),
}


def _option(panel: str, text: str, *names: str, **more: Any) -> Any:
    return typer.Option(*names, help=text, rich_help_panel=panel, **more)


def _takes_settings(command: Callable[..., None]) -> Callable[..., None]:
    """Return `command` with one option per field of `TrainingConfig`, passed to it as ``**settings``."""
    signature = inspect.signature(command, eval_str=True)
    context, *own, _ = signature.parameters.values()
    options = []
    for name, (panel, text, *short) in _SETTINGS.items():
        default = getattr(TrainingConfig, name)
        names = short if isinstance(default, bool) else [f"--{name.replace('_', '-')}", *short]
        kind: Any = list[str] if isinstance(default, tuple) else type(default)
        annotation = Annotated[kind, _option(panel, text, *names)]
        options.append(context.replace(name=name, default=default, annotation=annotation))
    parameters = [context, *options, *own]
    command.__signature__ = signature.replace(parameters=parameters)  # type: ignore[attr-defined]
    command.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
    return command


@_takes_settings
def train(
    context: typer.Context,
    threads: Annotated[
        int, _option(_RUN, "Threads of the kernels and of NumPy's BLAS; more than 1 helps only on an idle machine.")
    ] = 1,
    out: Annotated[Path | None, _option(_RUN, "The new run folder.", show_default="runs/CORPUS")] = None,
    resume: Annotated[
        bool,
        _option(_RUN, "Continue the run in --out, bit for bit; only steps, minutes, patience may change.", "--resume"),
    ] = False,
    checkpoint: Annotated[
        str | None, _option(_RUN, "Resume from this checkpoint.", metavar="NAME", show_default="the newest")
    ] = None,
    force: Annotated[bool, _option(_RUN, "Replace the run in --out.", "--force")] = False,
    **settings: Any,
) -> None:
    """Train a language model. Ctrl-C saves a checkpoint and prints the command to resume."""
    set_num_threads(threads)
    folder = out or Path("runs") / Path(settings["corpus"]).stem
    if resume and force:
        raise ArgumentError("train: expected --resume or --force, got both; leave one out.")
    if checkpoint and not resume:
        raise ArgumentError("train: expected --checkpoint only with --resume, got --checkpoint alone; add --resume.")
    settings["corpus"] = _absolute(settings["corpus"])
    settings |= {name: tuple(settings[name]) for name in ("include", "exclude")}
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
            f"Stopped and saved at step {session.steps.number}. Continue with:\n"
            f"  tinygrad-seq train --out {shlex.quote(str(run.folder))} --resume\n"
        )
        raise typer.Exit(128 + request.signal)
    if session.stopping.exhausted:
        sys.stdout.write(f"Stopped: {session.stopping.waited} evaluations without improvement.\n")
    sys.stdout.write(f"Generate text:  tinygrad-seq sample {shlex.quote(str(run.folder))}\n")


def _resumed(folder: Path, given: dict[str, Any], checkpoint: str | None) -> tuple[Run, Session]:
    run = Run.open(folder)
    stored = run.config.to_json()
    for name, value in given.items():
        if name not in _CHANGEABLE and value != stored[name]:
            raise ArgumentError(
                f"train: expected {name}={stored[name]!r}, as '{folder}' was started, got {value!r}; leave the option "
                "out, or start a new run."
            )
    changed = {name: given[name] for name in _CHANGEABLE if name in given}
    updated = dataclasses.replace(run, config=dataclasses.replace(run.config, **changed))
    session = Session.resume(updated, checkpoint)
    return run.update_config(updated.config) if changed else run, session


def _is_given(context: typer.Context, name: str) -> bool:
    source = context.get_parameter_source(name)
    return source is not None and source.name == "COMMANDLINE"


def _absolute(corpus: str) -> str:
    """Return a corpus that is a path as an absolute path."""
    path = Path(corpus)
    return str(path.resolve()) if path.exists() and corpus not in ("pydoc", "stdlib") else corpus
