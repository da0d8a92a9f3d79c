"""``tinygrad-seq train``."""

from __future__ import annotations

import contextlib
import inspect
import os
import shlex
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Annotated, Any

import typer

from ..base.settings import set_num_threads
from ..data.corpus import BUILT_IN, STANDARD_INPUT
from ..distributed import world
from ..errors import ArgumentError, TinygradSeqError
from ..kernels.shield import COMPILER
from ..report import Live, TensorBoard
from ..train import run_files
from ..train.config import CHANGEABLE, LEVELS, OPTIMIZERS, SCHEDULES, UNITS, TrainingConfig
from ..train.language_model import CELLS
from ..train.lock import lock_run
from ..train.metrics import Row
from ..train.run import Run
from ..train.run_folder import check_free
from ..train.session import Session
from ..train.stopping import graceful_stop, interruptible
from .arguments import examples
from .progress import PlainDisplay, make_display

EXAMPLES = examples(
    "train --corpus demo --out runs/demo",
    "train --corpus novel.txt --level word --cell gru --minutes 10",
    "train --corpus names.txt --unit line --cell mycell.py:MyCell",
    "train --out runs/demo --resume --steps 3000 --lr 0.001",
    "train --from runs/demo --corpus letters.txt --out runs/letters",
)
# The settings of the text that --from does not take from the other run.
_OF_THE_CORPUS = {"corpus", "encoding", "include", "exclude", "validation", "test", "shuffle"}

_TEXT, _MODEL, _TRAINING, _RUN = "The text", "The model", "The training", "The run"
# The options that are settings of the run: panel, help text, and optionally a short name.
_SETTINGS: dict[str, tuple[str, ...]] = {
    "corpus": (_TEXT, f"{', '.join(BUILT_IN)}, the path of a text file or folder, or - for the standard input."),
    "encoding": (_TEXT, "auto (UTF-8, or UTF-16 or UTF-32 with a byte order mark), or another, e.g. latin-1."),
    "include": (_TEXT, "Read only the files of a folder that match this pattern, e.g. '*.txt'; repeat for several."),
    "exclude": (_TEXT, "Leave out the files of a folder that match this pattern; repeat for several."),
    "level": (_TEXT, f"What a token is: {', '.join(LEVELS)}."),
    "unit": (_TEXT, f"What <EOS> ends and score rates: {', '.join(UNITS)}."),
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
    "precision": (_TRAINING, "float32, or bfloat16 for matrix products; weights and checkpoints are float32."),
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
    out: Annotated[
        Path | None,
        _option(_RUN, "The run folder: a new one, or with --resume an existing one.", show_default="runs/CORPUS"),
    ] = None,
    resume: Annotated[
        bool,
        _option(_RUN, f"Continue the run in --out. These settings may change: {', '.join(CHANGEABLE)}.", "--resume"),
    ] = False,
    origin: Annotated[
        Path | None,
        _option(_RUN, "Start with the vocabulary, the model and the weights of this run.", "--from", metavar="RUN"),
    ] = None,
    checkpoint: Annotated[
        str | None,
        _option(_RUN, "The checkpoint to start from.", metavar="NAME", show_default="the newest; the best with --from"),
    ] = None,
    force: Annotated[bool, _option(_RUN, "Replace the run in --out.", "--force")] = False,
    trust: Annotated[bool, _option(_RUN, "Run the code of the cell that the run contains.", "--trust")] = False,
    live: Annotated[
        bool, _option(_RUN, "Write RUN/report.html, and rewrite it while training; needs the extra 'plot'.", "--live")
    ] = False,
    tensorboard: Annotated[
        Path | None,
        _option(_RUN, "Write TensorBoard events to this folder; needs the extra 'tensorboard'.", metavar="FOLDER"),
    ] = None,
    **settings: Any,
) -> None:
    """Train a language model. Ctrl-C saves a checkpoint and prints the command to resume."""
    set_num_threads(threads)
    settings["corpus"] = _absolute(settings["corpus"])
    settings |= {name: tuple(settings[name]) for name in ("include", "exclude")}
    given = {name: value for name, value in settings.items() if _is_given(context, name)}
    stem = "stdin" if settings["corpus"] == STANDARD_INPUT else Path(settings["corpus"]).stem
    folder = out or Path("runs") / stem
    if resume and (force or origin):
        raise ArgumentError(
            f"train: expected --resume alone, got {'--force' if force else '--from'} too; leave one out."
        )
    if checkpoint and not (resume or origin):
        raise ArgumentError("train: expected --checkpoint only with --resume or --from, got it alone; add one of them.")
    if origin and "corpus" not in given:
        raise ArgumentError("train: expected --corpus with --from, got none; pass the text to train on.")
    run = session = None
    interrupted = False
    ranks = world()
    lock = lock_run(folder) if ranks.is_writer else contextlib.nullcontext()
    logs = _logs(folder, live and ranks.is_writer, tensorboard if ranks.is_writer else None, trust)
    with graceful_stop() as request, make_display() as display, logs as log, lock:
        try:
            with interruptible():
                ranks.broadcast(None)  # rank 0 has locked and tidied the folder
                if resume:
                    display.write(f"Resuming {folder} ...\n")
                    run, session = _resumed(Run.open(folder, trust=trust), given, checkpoint, display)
                else:
                    source = Run.open(origin, trust=trust) if origin else None
                    config = TrainingConfig(**settings if source is None else _inherited(source, settings, given))
                    if ranks.is_writer:
                        check_free(folder, force=force)
                    display.write(f"Reading {config.corpus} ...\n")
                    run, session = _started(folder, config, source, checkpoint, force, display)
            display.begin(run, session)
            for row in session.rows(run, stop=request):
                display.show(row)
                log(row)
        except KeyboardInterrupt:
            interrupted = True
            if run and session and session.steps.number == 0 and ranks.is_writer:
                run_files.discard(run.folder)
        except OSError as error:  # from the output, which is closed: keep the steps since the last checkpoint
            is_of_output = ranks.size == 1 and not isinstance(error, TinygradSeqError)
            if run and session and session.saved_at < session.steps.number and is_of_output:
                session.save(run)
            raise
    name = shlex.quote(os.path.join(".", folder) if str(folder).startswith("-") else str(folder))
    if session and session.is_finished:
        if session.stopping.exhausted:
            sys.stdout.write(f"Stopped: {session.stopping.waited} evaluations without improvement.\n")
        sys.stdout.write(f"Generate text:  tinygrad-seq sample {name}\n")
        return
    # A rank that was interrupted may have left others waiting.
    with ranks.failing(128 + request.signal) if interrupted else contextlib.nullcontext():
        if session and session.saved_at:
            step = session.saved_at
            lost = f"Stopped at step {session.steps.number}; the last checkpoint is that of step {step}."
            sys.stdout.write(f"Stopped and saved at step {step}." if step == session.steps.number else lost)
            sys.stdout.write(f" Continue with:\n  tinygrad-seq train --out {name} --resume\n")
        else:
            sys.stdout.write("Stopped before the first checkpoint.\n")
    sys.stdout.flush()
    if any(thread.name == COMPILER for thread in threading.enumerate()):
        os._exit(128 + request.signal)  # without waiting for a kernel; everything is closed
    raise typer.Exit(128 + request.signal)


@contextlib.contextmanager
def _logs(folder: Path, live: bool, tensorboard: Path | None, trust: bool) -> Iterator[Callable[[Row], None]]:
    """Yield a function that hands a row to the live report and to TensorBoard, if they are wanted."""
    with contextlib.ExitStack() as stack:
        logs: list[Callable[[Row], None]] = []
        if live:
            logs.append(stack.enter_context(Live(folder / "report.html", folder, trust=trust)))
        if tensorboard is not None:
            logs.append(stack.enter_context(TensorBoard(tensorboard)))

        def log(row: Row) -> None:
            for one in logs:
                one(row)

        yield log


def _started(
    folder: Path, config: TrainingConfig, source: Run | None, checkpoint: str | None, force: bool, display: PlainDisplay
) -> tuple[Run, Session]:
    """Return a new run, with the weights of `source` if it is given; rank 0 creates it, and the others join."""
    ranks = world()
    if not ranks.is_writer:
        ranks.broadcast(None)
        run = Run.open(folder, trust=True)  # rank 0 has just run the same code
        session = Session.joined(run, display.progress)
        session.share_weights()
        return run, session
    with tempfile.TemporaryDirectory(dir=folder, prefix=".tokens-") as tokens:
        options: dict[str, Any] = {"tokens": tokens, "progress": display.progress}
        session = Session.from_run(source, config, checkpoint, **options) if source else Session(config, **options)
        run = Run.create(folder, config, session.vocabulary, session.facts, force=force, tokens=tokens)
    ranks.broadcast(None)  # the folder is there
    session.share_weights()
    return run, session


def _resumed(run: Run, given: dict[str, Any], checkpoint: str | None, display: PlainDisplay) -> tuple[Run, Session]:
    session = Session.resume(run, checkpoint, changes=given, progress=display.progress)
    if given and world().is_writer:
        run = run.update_config(session.config)
    if given:  # a new schedule starts at this step: a kill must not undo it
        session.save(run)
    return run, session


def _inherited(source: Run, settings: dict[str, Any], given: dict[str, Any]) -> dict[str, Any]:
    """Return `settings` with those of the text and the model that are not given as they are in `source`."""
    own = {name for name, (panel, *_) in _SETTINGS.items() if panel in (_TEXT, _MODEL)} - _OF_THE_CORPUS
    return settings | {name: getattr(source.config, name) for name in own if name not in given}


def _is_given(context: typer.Context, name: str) -> bool:
    source = context.get_parameter_source(name)
    return source is not None and source.name == "COMMANDLINE"


def _absolute(corpus: str) -> str:
    """Return a corpus that is a path as an absolute path."""
    path = Path(corpus)
    return str(path.resolve()) if path.exists() and corpus not in BUILT_IN else corpus
