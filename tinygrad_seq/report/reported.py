"""What a report is about: a run folder, a history or rows, and the model if there is one.

Everything that cannot be read becomes a note on the page. Only what is no run at all is an error.
"""

from __future__ import annotations

import contextlib
import copy
import dataclasses
import datetime as dt
import os
import shlex
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from .. import nn
from ..base import settings
from ..base.files import printable, read_json, shown
from ..base.tree import flatten
from ..data import Vocabulary
from ..errors import ArgumentError, TinygradSeqError
from ..train import run_files
from ..train.config import TrainingConfig
from ..train.manifest import LANGUAGE_MODEL
from ..train.run import Run
from ..train.run_folder import RunFolder, StoredRun
from ..train.text import open_text
from .markup import visible
from .series import Row, read_all

_SIGNS = {"<EOS>": "¶", "<UNK>": "?", "<PAD>": "·"}
_ROWS, _WINDOW = 8, 128
"""How many held-out texts, of how many tokens, the model reads for the report."""


@dataclasses.dataclass
class Subject:
    """What is known.

    Attributes
    ----------
    title
        Of the page.
    rows
        The metrics.
    facts
        Names and values about the run, for people.
    settings
        The settings of the run by name.
    command
        The command that trains the run, if it is known.
    versions
        The versions of packages that the run was trained with.
    total
        The number of steps that the run will have; 0 if it is not known.
    kind
        What was trained, as the run folder says; empty without a run folder.
    notes
        What cannot be shown, and why.
    model
        The model, in evaluation mode; a copy, which the report may use.
    no_model
        Why there is no model.
    inputs
        What the model is called with to look inside it; None if there is nothing.
    no_inputs
        Why there is nothing.
    about_inputs
        Where they come from, if that is not plain.
    step_labels
        The inputs of the first sequence, as labels.
    row_labels
        The rows of the embedding table, as labels.
    units
        Units of quantities by name, beside those that every run has.
    batch
        The steps and the sequences of a batch, (T, N), if they are known.
    """

    title: str
    rows: list[Row]
    facts: dict[str, str] = dataclasses.field(default_factory=dict)
    settings: dict[str, Any] = dataclasses.field(default_factory=dict)
    command: str | None = None
    versions: dict[str, str] = dataclasses.field(default_factory=dict)
    total: int = 0
    kind: str = ""
    notes: list[str] = dataclasses.field(default_factory=list)
    model: nn.Module | None = None
    no_model: str = "there is no model; pass model=... to ts.report.html"
    inputs: tuple[Any, ...] | None = None
    no_inputs: str = "there are no inputs to run the model on; pass inputs=... to ts.report.html"
    about_inputs: str = ""
    step_labels: Sequence[str] | None = None
    row_labels: Sequence[str] | None = None
    units: dict[str, str] = dataclasses.field(default_factory=dict)
    batch: tuple[int, int] | None = None


def open_subject(
    caller: str, source: Any, *, title: str | None = None, trust: bool = False
) -> tuple[Subject, Run | None]:
    """Return what is known of a run folder, a `Run`, a history or rows, without its model, and the run if it opens.

    Raises
    ------
    ArgumentError
        If `source` is none of them, or no folder of a run.
    """
    run: Run | None = source if isinstance(source, Run) else None
    if isinstance(source, StoredRun):
        source = source.folder
    if run is None and not isinstance(source, str | os.PathLike):
        rows = _rows_of(caller, source)
        return Subject(title or "Training run", rows), None
    folder = Path(source)
    config, metrics = (run_files.locate(folder, name) for name in ("config.json", "metrics.jsonl"))
    if not (os.path.lexists(config) or os.path.lexists(metrics)):
        raise ArgumentError(
            f"{caller}: expected the folder of a run, got {shown(folder)}, which has neither config.json nor "
            "metrics.jsonl; pass the --out of train or fit, or the run of ts.fit."
        )
    rows, notes = read_all(metrics)
    subject = Subject(title or printable(folder.resolve().name), rows, notes=notes)
    if run is None:
        try:
            stored = RunFolder.open(folder)
            subject.kind = stored.kind
            if stored.kind != LANGUAGE_MODEL:
                _describe_any(subject, stored)
                return subject, None
            run = Run.open(folder, trust=trust)
        except TinygradSeqError as error:
            subject.notes.append(f"The settings and the model are not shown: {reason(error)}")
            subject.no_model = "the run cannot be opened"
            with contextlib.suppress(TinygradSeqError):  # said above
                found = read_json(config, caller)
                subject.settings = {name: found[name] for name in ("format", "version") if name in found}
            return subject, None
    _describe(subject, run)
    return subject, run


def reason(error: Exception) -> str:
    """Return the message of an error without the name of the function that raised it."""
    _, colon, rest = str(error).partition(": ")
    return rest if colon else str(error)


def _rows_of(caller: str, source: Any) -> list[Row]:
    rows = getattr(source, "rows", source)
    if isinstance(rows, Sequence) and not isinstance(rows, str) and all(isinstance(row, Mapping) for row in rows):
        return [*rows]
    raise ArgumentError(
        f"{caller}: expected a run folder, a Run, a history of ts.fit or a list of rows, got "
        f"{type(source).__name__}; pass one of them."
    )


def _describe_any(subject: Subject, stored: RunFolder) -> None:
    subject.settings, subject.versions = _flat(stored.config), stored.facts["versions"]
    subject.facts = {"kind": stored.kind}
    subject.no_model = (
        f"a run of the kind {stored.kind!r} does not say how its model is built; pass model=... to ts.report.html"
    )


def _flat(config: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Return nested settings by dotted names."""
    found: dict[str, Any] = {}
    for name, value in config.items():
        if isinstance(value, Mapping):
            found |= _flat(value, f"{prefix}{name}.")
        else:
            found[prefix + name] = value
    return found


def _describe(subject: Subject, run: Run) -> None:
    config, facts = run.config, run.facts
    subject.settings, subject.versions = config.to_json(), facts["versions"]
    subject.total, subject.command = config.steps, command_of(config, run.folder)
    cell = config.cell.rpartition(":")[2]
    tokens = len(run.vocabulary)
    subject.facts = {
        "model": f"{config.num_layers} × {cell}, {config.hidden_size} units, embedding {config.embedding_size}",
        "text": f"{printable(facts['corpus'])}, {facts['characters']:,} characters, {tokens:,} different tokens "
        f"({config.level})",
        "optimiser": f"{config.optimizer}, learning rate {config.lr:g} {config.schedule}, clip {config.clip_norm:g}",
        "batch": f"{config.batch_size} streams × {config.window} tokens",
    }
    subject.row_labels = [visible(token) for token in run.vocabulary.tokens]
    subject.units, subject.batch = {"loss": "nats per token"}, (config.window, config.batch_size)


def command_of(config: TrainingConfig, folder: Path) -> str:
    """Return the command that trains a run with these settings."""
    lines = ["tinygrad-seq train"]
    for field in dataclasses.fields(config):
        value, option = getattr(config, field.name), f"--{field.name.replace('_', '-')}"
        if value == field.default and field.name != "corpus":
            continue
        if isinstance(value, bool):
            lines.append(option)
        else:
            values = value if isinstance(value, tuple) else (value,)
            lines += [f"{option} {shlex.quote(str(one))}" for one in values]
    return " \\\n    ".join([*lines, f"--out {shlex.quote(str(folder))}"])


def load_model(subject: Subject, run: Run, checkpoint: str | None, text: str | None) -> None:
    """Load the model of a run, and the text that it reads for the report: `text`, or pieces of the held-out text."""
    try:
        with unchanged_generator():
            subject.model, step = run.load_model(checkpoint)
    except TinygradSeqError as error:
        if checkpoint is not None:
            raise
        subject.no_model = reason(error)
        return
    subject.facts["checkpoint"] = f"step {step:,}"
    tokens = _tokens_of(run, text)
    if tokens is None:
        subject.no_inputs = "the held-out text is not in the run folder; pass a sentence (--text)"
        return
    subject.inputs, subject.step_labels = (tokens,), _labels_of(run.vocabulary, tokens[:, 0])


def _tokens_of(run: Run, text: str | None) -> np.ndarray | None:
    """Return tokens (T, N)."""
    vocabulary = run.vocabulary
    if text is not None:
        return np.concatenate([[vocabulary.eos], vocabulary.encode(text)])[:, None]
    texts = open_text(run.folder / "tokens", run.facts)
    if texts is None:
        return None
    row = np.asarray(texts.validation)
    T = min(_WINDOW, len(row))
    starts = np.linspace(0, len(row) - T, _ROWS if len(row) > 2 * T else 1).astype(int)
    begins = np.flatnonzero(row[: len(row) - T + 1] == vocabulary.eos)
    starts[0] = begins[0] if len(begins) else 0
    return np.stack([row[start : start + T] for start in starts], axis=1)


def _labels_of(vocabulary: Vocabulary, tokens: np.ndarray) -> list[str]:
    """Return tokens as labels; beside single characters, the special tokens are signs."""
    short = _SIGNS if vocabulary.level == "char" else {}
    return [visible(short.get(token, token)) for token in map(vocabulary.token, tokens.tolist())]


def use_model(caller: str, subject: Subject, model: Any, inputs: Any, labels: Any) -> None:
    """Put a model that the user passed in place of that of the run.

    Raises
    ------
    ArgumentError
        If it is no module, or `labels` are no texts.
    """
    if not isinstance(model, nn.Module):
        raise ArgumentError(f"{caller}: expected model to be a Module, got {type(model).__name__}; pass the model.")
    subject.model = copy.deepcopy(model).eval()  # gradients and states of the caller's model stay as they are
    if inputs is not None:
        subject.inputs = inputs if isinstance(inputs, tuple) else (inputs,)
        subject.step_labels = None
    if labels is not None:
        if isinstance(labels, str) or not all(isinstance(label, str) for label in labels):
            raise ArgumentError(f"{caller}: expected labels to be a sequence of str, got {labels!r:.50}; pass a list.")
        subject.row_labels = [visible(label) for label in labels]
    tokens = np.asarray(flatten(subject.inputs)[0][0]) if subject.inputs else np.zeros(0)
    known = subject.row_labels
    if (
        known is not None
        and tokens.ndim == 2
        and tokens.dtype.kind in "iu"
        and tokens.size
        and tokens.max() < len(known)
    ):
        subject.step_labels = [known[index] for index in tokens[:, 0].tolist()]


@contextlib.contextmanager
def unchanged_generator() -> Iterator[None]:
    """Keep the random numbers of the process as they are: building a model draws some."""
    bits = settings.generator().bit_generator
    state = bits.state
    try:
        yield
    finally:
        bits.state = state


def now() -> str:
    """Return the time of writing."""
    return dt.datetime.now().astimezone().strftime("%Y-%m-%d %H:%M %Z")
