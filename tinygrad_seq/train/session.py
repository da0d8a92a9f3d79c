"""A complete training run: combines the parts of this folder and writes checkpoints."""

from __future__ import annotations

import contextlib
import dataclasses
import math
import os
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from ..base import settings
from ..base.tree import flatten
from ..data import Corpus, Vocabulary, Windows, load_corpus
from ..errors import ArgumentError, CheckpointError, DataError, TinygradSeqError
from ..optim import ReduceLROnPlateau
from .build import build_model, build_optimizer
from .config import CHANGEABLE, TrainingConfig
from .evaluation import Evaluation
from .learning_rate import Schedule
from .loop import Step, TrainingSteps
from .metrics import Row, append_row, measures
from .pace import Pace
from .run import Run
from .stopping import EarlyStopping, interruptible
from .text import Text, open_text, read_text

REPORT_EVERY = 10
# What the weights of a model are bound to.
_OF_THE_WEIGHTS = (
    *("level", "lowercase", "nfc", "max_vocabulary"),
    *("cell", "embedding_size", "hidden_size", "num_layers"),
)

Progress = Callable[[str, int, int], object]


class _Stopped(Exception):  # noqa: N818 (no error)
    """Raised inside an evaluation when the caller asks to stop."""


class Session:
    """Train the model that a `TrainingConfig` describes; `rows` trains and yields the metrics.

    The constructor validates the settings, reads the corpus and builds the model. `rows` and `save` write the run.

    Parameters
    ----------
    config : TrainingConfig
        The settings.
    vocabulary : Vocabulary, optional
        The vocabulary; by default it is built from the training part of the corpus.
    tokens : path-like, optional
        A folder for files of the tokens, which are then read as they are needed; by default they are held in memory.
    progress : callable, optional
        ``progress(stage, done, total)`` is called several times per second while the corpus is read and encoded, before
        the first step ("compiling"), and during an evaluation. An exception that it raises passes through.

    Attributes
    ----------
    vocabulary : Vocabulary
        The vocabulary of the model.
    model : LanguageModel
        The model.
    facts : dict
        Facts of the corpus and its parts, as JSON values; `Run.create` writes them to the folder.
    changes : dict
        After `resume`: the old and the new value of each setting that changed.
    notes : list of str
        What the user should read: what was read and skipped, and what a resume changes.
    saved_at : int
        The step of the last checkpoint; 0 if there is none.

    Raises
    ------
    DataError
        If the corpus is missing, blank, or too short for one window.
    ArgumentError
        If the cell cannot be loaded.

    Examples
    --------
    >>> import tempfile
    >>> from tinygrad_seq.train import Run, Session, TrainingConfig
    >>> sizes = dict(embedding_size=4, hidden_size=8, batch_size=2, window=8)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     with open(f"{folder}/text.txt", "w") as file:
    ...         _ = file.write("to be or not to be " * 20)
    ...     config = TrainingConfig(f"{folder}/text.txt", steps=10, warmup=2, sample_length=5, **sizes)
    ...     session = Session(config)
    ...     run = Run.create(f"{folder}/run", config, session.vocabulary, session.facts)
    ...     [row["step"] for row in session.rows(run)]
    [10]
    """

    def __init__(
        self,
        config: TrainingConfig,
        *,
        vocabulary: Vocabulary | None = None,
        tokens: str | os.PathLike[str] | None = None,
        progress: Progress | None = None,
    ) -> None:
        corpus = _load(config, progress)
        folder = None if tokens is None else Path(tokens)
        vocabulary, text = read_text(corpus, config, vocabulary=vocabulary, folder=folder, progress=progress)
        self._build(config, vocabulary, text, _facts(corpus, text), Schedule.of(config), progress)
        self.notes += corpus.report().splitlines()

    def _build(
        self,
        config: TrainingConfig,
        vocabulary: Vocabulary,
        text: Text,
        facts: dict[str, Any],
        schedule: Schedule,
        progress: Progress | None,
    ) -> None:
        self.config, self.vocabulary, self.text, self.facts = config, vocabulary, text, facts
        windows = Windows(text.training, config.batch_size, config.window)
        settings.manual_seed(config.seed)
        self.model = build_model(config, len(vocabulary))
        optimizer = build_optimizer(config, self.model)
        self.schedule = schedule
        self.steps = TrainingSteps(
            self.model,
            windows,
            optimizer,
            scheduler=schedule.build(optimizer),
            clip_norm=config.clip_norm or float("inf"),
            begins=vocabulary.eos,
            restart=config.restart,
            precision=config.precision,
            loss=self.model.loss,
        )
        self.evaluation = Evaluation(self.model, vocabulary, text, config)
        self.stopping = EarlyStopping(config.patience)
        self.pace = Pace()
        self.seconds = 0.0
        self.changes: dict[str, tuple[Any, Any]] = {}
        self.notes: list[str] = []
        self._progress = progress or (lambda *_: None)
        self._recent: list[tuple[float, int]] = []  # loss and tokens of the steps since the last row
        self._due: Step | None = None  # the last step, if its evaluation is still to be done
        self._tested_at = self.saved_at = 0
        self._point: tuple[int, int] | None = None  # the step that was resumed from, and the last row to keep

    @classmethod
    def resume(
        cls,
        run: Run,
        checkpoint: str | None = None,
        *,
        changes: Mapping[str, Any] | None = None,
        progress: Progress | None = None,
    ) -> Session:
        """Restore the session of a run from a checkpoint.

        Parameters
        ----------
        run : Run
            The run.
        checkpoint : str, optional
            The name of the checkpoint; by default the newest.
        changes : mapping, optional
            New settings: those in `CHANGEABLE`, and ``"corpus"``, a new path of the same text. `Schedule.changed`
            describes what becomes of the learning rate. Others may be given with their present values.
        progress : callable, optional
            As for `Session`; the stage "training" counts steps.

        Returns
        -------
        Session
            The session as it was when the checkpoint was written, with the new settings.

        Raises
        ------
        CheckpointError
            If the checkpoint is missing or damaged.
        DataError
            If the corpus has changed, or it is missing and so are the files of its tokens.
        ArgumentError
            If a setting cannot change, or the run has finished its steps or its minutes.
        """
        changes = dict(changes or {})
        for name, value in changes.items():
            if name not in (*CHANGEABLE, "corpus") and value != getattr(run.config, name):
                raise ArgumentError(
                    f"Session.resume: expected {name}={getattr(run.config, name)!r}, as '{run.folder}' was started, "
                    f"got {value!r}; leave the option out, or start a new run (with its weights: --from)."
                )
        config = dataclasses.replace(run.config, **changes)
        content = run.load(checkpoint)
        session = cls.__new__(cls)
        try:
            _check_unfinished(config, content)
            text, notes = _text_of(run, config, "corpus" in changes, progress)
            # Version 0.1.0 saved neither the settings nor the schedule.
            old = content.get("config") or {name: getattr(run.config, name) for name in CHANGEABLE}
            schedule = content.get("schedule") or dataclasses.asdict(Schedule.of(run.config))
            session._build(config, run.vocabulary, text, run.facts, Schedule(**schedule), progress)
            session._load(content, {name: value for name, value in old.items() if name in CHANGEABLE}, "lr" in changes)
        except TinygradSeqError:
            raise
        except (LookupError, TypeError, ValueError, AttributeError) as error:
            raise CheckpointError(
                f"Session.resume: expected the checkpoint of a training run, got content that does not fit: {error!r}; "
                "use another checkpoint (--checkpoint NAME)."
            ) from error
        session.notes += notes
        return session

    @classmethod
    def from_run(
        cls,
        run: Run,
        config: TrainingConfig,
        checkpoint: str | None = None,
        *,
        tokens: str | os.PathLike[str] | None = None,
        progress: Progress | None = None,
    ) -> Session:
        """Return a new session that starts with the vocabulary and the weights of a run (fine-tuning).

        Parameters
        ----------
        run : Run
            The run to start from. Its name, step and corpus become ``facts["origin"]``.
        config : TrainingConfig
            The settings of the new session. Its model and the level of its vocabulary must be those of `run`.
        checkpoint : str, optional
            The checkpoint of `run`; by default the best.
        tokens, progress
            As for `Session`.

        Returns
        -------
        Session
            The session, at step 0.

        Raises
        ------
        ArgumentError
            If the model or the level differs.
        CheckpointError, DataError
            As `Run.load_model` and `Session`.
        """
        for name in _OF_THE_WEIGHTS:
            if getattr(config, name) != getattr(run.config, name):
                raise ArgumentError(
                    f"Session.from_run: expected {name}={getattr(run.config, name)!r}, which the weights of "
                    f"'{run.folder}' fit, got {getattr(config, name)!r}; leave the option out, or train without --from."
                )
        model, step = run.load_model(checkpoint)
        session = cls(config, vocabulary=run.vocabulary, tokens=tokens, progress=progress)
        session.model.load_state_dict(model.state_dict())
        session.facts["origin"] = {
            "run": run.folder.resolve().name,
            "step": step,
            "corpus": run.facts.get("corpus"),
            "sha256": run.facts.get("sha256"),
        }
        return session

    def rows(self, run: Run, stop: Callable[[], bool] = lambda: False) -> Iterator[Row]:
        """Train, and yield the metrics every 10 steps and at each evaluation on the held-out text.

        Each row is first appended to the metrics file of `run`. A checkpoint is written before and after each
        evaluation, and when `stop()` returns true. If the text has a test part, the last row holds the loss of the best
        checkpoint on it.

        Parameters
        ----------
        run : Run
            The run folder to write to.
        stop : callable, default never
            Called after every step, and during an evaluation before every window and token; training stops when it
            returns true. An evaluation that it ends is done again at `resume`.

        Yields
        ------
        dict
            Metrics by name: ``"step"``, ``"loss"``, ``"bits_per_character"``, ``"seconds"``, ...

        Raises
        ------
        CheckpointError
            If a file cannot be written, e.g. because the disk is full. Earlier checkpoints are unchanged.
        AnomalyError
            If the training diverges.
        """
        began = time.perf_counter() - self.seconds
        steps = iter(self.steps)

        def poll(stage: str, done: int, total: int) -> None:
            self._progress(stage, done, total)
            if stop():
                raise _Stopped

        with contextlib.suppress(_Stopped):
            while self._due is not None or not self._is_over():
                if self._due is None:
                    step = self._train(steps)
                    self.seconds = time.perf_counter() - began
                    self._progress("training", step.number, self.config.steps)
                    if self._is_over() or step.number % self.config.evaluate_every == 0:
                        self._due = step
                        self.save(run)
                    elif step.number % REPORT_EVERY == 0:
                        row = self._report(step)
                        self._append(run, row)
                        yield row
                    if stop():
                        if self._due is None:
                            self.save(run)
                        return
                else:
                    started = time.perf_counter()
                    with interruptible():
                        row = self.evaluation.measure("validation", self.config.eval_tokens, poll)
                        row["sample"] = self.evaluation.sample(self.steps.number, poll)
                    self._cut(run)
                    self._judge(row)
                    row = self._report(self._due) | row
                    self._append(run, row)
                    self._due = None
                    self.save(run, best=self.stopping.waited == 0)
                    self.pace.add_evaluation(row["validation_tokens"], time.perf_counter() - started)
                    yield row
                    if stop():
                        return
            if self._is_test_due():
                with interruptible():
                    row = self._test(run, poll)
                self._append(run, row)
                self._tested_at = self.steps.number
                self.save(run)
                yield row

    def save(self, run: Run, *, best: bool = False) -> None:
        """Write a checkpoint that `resume` restores bit for bit.

        Parameters
        ----------
        run : Run
            The run folder to write to.
        best : bool, default False
            Whether it is the best checkpoint so far.
        """
        self._cut(run)
        content = {
            "steps": self.steps.state_dict(),
            "stopping": self.stopping.state_dict(),
            "seconds": self.seconds,
            "recent": [list(pair) for pair in self._recent],
            "due": None if self._due is None else list(self._due),
            "tested_at": self._tested_at,
            "config": {name: getattr(self.config, name) for name in CHANGEABLE},
            "schedule": dataclasses.asdict(self.schedule),
        }
        run.save(self.steps.number, content, best=best)
        self.saved_at = self.steps.number

    @property
    def is_finished(self) -> bool:
        """Whether the run has done its steps or used its time or patience, and all its evaluations."""
        return self._due is None and self._is_over() and not self._is_test_due()

    def seconds_left(self) -> float | None:
        """Return an estimate of the time until the run ends, or None before its speed is known."""
        number, config = self.steps.number, self.config
        evaluations = config.steps // config.evaluate_every - number // config.evaluate_every
        evaluations += config.steps % config.evaluate_every != 0
        evaluated = evaluations * min(len(self.text.validation), config.eval_tokens or len(self.text.validation))
        left = self.pace.seconds_left(config.steps - number, evaluated + len(self.text.test))
        if left is None or not config.minutes:
            return left
        return min(left, max(0.0, 60 * config.minutes - self.seconds))

    # ------------------------------------------------------------------------------------------- resuming

    def _load(self, content: dict[str, Any], old: dict[str, Any], new_lr: bool) -> None:
        """Restore a checkpoint that was written with the settings `old`, then apply those that differ."""
        config, steps = self.config, self.steps
        steps.load_state_dict(content["steps"])
        self.stopping.load_state_dict(content["stopping"])
        self.seconds, self.saved_at = content["seconds"], steps.number
        nominal = config.batch_size * config.window  # version 0.1.0 saved the losses alone
        self._recent = [
            (item, nominal) if isinstance(item, float) else (item[0], item[1]) for item in content["recent"]
        ]
        self._due = Step(*content["due"]) if content.get("due") else None
        self._tested_at = content.get("tested_at", 0)
        self._point = steps.number, steps.number - (self._due is not None)
        self.changes = {
            name: (value, getattr(config, name)) for name, value in old.items() if value != getattr(config, name)
        }
        changed = {*self.changes, *(["lr"] if new_lr else ())}
        rate = steps.optimizer.param_groups[0]["lr"]
        schedule = self.schedule.changed(config, changed, steps.number, rate)
        if schedule is not self.schedule:
            self.schedule, steps.scheduler = schedule, schedule.build(steps.optimizer)
            state = {**steps.scheduler.state_dict(), "last_epoch": steps.number - schedule.begin}
            steps.scheduler.load_state_dict(state)
            self.notes.append(f"From step {steps.number} on, {schedule}.")
        for group in steps.optimizer.param_groups:
            group["weight_decay"] = config.weight_decay

    # ------------------------------------------------------------------------------------------- training

    def _is_over(self) -> bool:
        config = self.config
        timed_out = 0 < 60 * config.minutes <= self.seconds
        return timed_out or self.steps.number >= config.steps or self.stopping.exhausted

    def _is_test_due(self) -> bool:
        return self._is_over() and len(self.text.test) > 0 and self._tested_at != self.steps.number

    def _train(self, steps: Iterator[Step]) -> Step:
        """Make one step; a stop is obeyed at once if nothing can be lost, as in the first step, which compiles."""
        started = time.perf_counter()
        with interruptible() if self.saved_at == self.steps.number else contextlib.nullcontext():
            if self.pace.is_new:
                self._progress("compiling", 0, 1)
            step = next(steps)
            if self.pace.is_new:
                self._progress("compiling", 1, 1)
        self.pace.add_step(step.tokens, time.perf_counter() - started)
        self._recent.append((step.loss, step.tokens))
        return step

    def _report(self, step: Step) -> Row:
        losses, tokens = zip(*self._recent, strict=True)
        self._recent = []
        return {
            "step": step.number,
            "passes": step.number / len(self.steps.windows),
            **measures(float(np.average(losses, weights=tokens)), self.text.characters_per_token("training")),
            "gradient_norm": step.gradient_norm,
            "lr": step.lr,
            "seconds": self.seconds,
            "tokens_per_second": self.pace.tokens_per_second,
        }

    def _judge(self, row: Row) -> None:
        """Update plateaus and early stopping with the metrics of an evaluation."""
        loss = row["validation_loss"]
        for schedule in flatten(self.steps.scheduler)[0]:
            if isinstance(schedule, ReduceLROnPlateau):
                schedule.step(loss)
        self.stopping.improves(loss, self.steps.number)

    def _test(self, run: Run, poll: Progress) -> Row:
        """Return the metrics of the best checkpoint on the test part."""
        content = run.load("best")
        weights = {name: array.copy() for name, array in self.model.state_dict().items()}
        self.model.load_state_dict(content["steps"]["model"])
        try:
            measured = self.evaluation.measure("test", 0, poll)
        finally:
            self.model.load_state_dict(weights)
        best = content["steps"]["number"]
        return {"step": self.steps.number, "seconds": self.seconds, "test_step": best, **measured}

    def _append(self, run: Run, row: Row) -> None:
        self._cut(run)
        append_row(run.metrics, row)

    def _cut(self, run: Run) -> None:
        """Before the first write after a resume: drop what lies after the checkpoint."""
        if self._point is not None:
            step, last_row = self._point
            run.cut(step, last_row=last_row, last_test=self._tested_at)
            self._point = None
            if not run.best.exists():  # it was of a branch that is dropped
                self.stopping.best = math.inf


def _load(config: TrainingConfig, progress: Progress | None) -> Corpus:
    return load_corpus(
        config.corpus, encoding=config.encoding, include=config.include, exclude=config.exclude, progress=progress
    )


def _check_unfinished(config: TrainingConfig, content: dict[str, Any]) -> None:
    """Raise an ArgumentError if nothing is left to do after a checkpoint."""
    number, seconds = content["steps"]["number"], content["seconds"]
    if content.get("due") or (config.test and content.get("tested_at") != number):
        return
    if number >= config.steps:
        raise ArgumentError(
            f"Session.resume: expected steps above {number}, which the run has done, got {config.steps}; pass e.g. "
            f"--steps {2 * number} to continue."
        )
    if 0 < 60 * config.minutes <= seconds:
        raise ArgumentError(
            f"Session.resume: expected minutes above {seconds / 60:.2g}, which the run has taken, got "
            f"{config.minutes:g}; pass e.g. --minutes {seconds / 30:.2g} to continue."
        )
    waited = content["stopping"]["waited"]
    if 0 < config.patience <= waited:
        raise ArgumentError(
            f"Session.resume: expected patience above {waited}, the evaluations without improvement so far, got "
            f"{config.patience}; pass e.g. --patience {2 * waited}, or 0 for no limit, to continue."
        )


def _text_of(run: Run, config: TrainingConfig, is_new_path: bool, progress: Progress | None) -> tuple[Text, list[str]]:
    """Return the tokens of a run that is resumed, and notes; the text is read to make sure that it is the same."""
    folder = run.folder / "tokens"
    cached = open_text(folder, run.facts)
    try:
        corpus = _load(config, progress)
    except DataError as error:
        if is_new_path or os.path.lexists(config.corpus):
            raise
        if cached is None:
            raise DataError(
                f"Session.resume: expected the text that '{run.folder}' was trained on in {config.corpus}, got nothing "
                "there; pass its new place (--corpus PATH)."
            ) from error
        return cached, [f"{config.corpus} is missing; the run continues with the tokens in {folder}."]
    if corpus.sha256 != run.facts["sha256"]:
        raise DataError(
            f"Session.resume: expected the text that '{run.folder}' was trained on, got another in {config.corpus}; "
            "restore the text, or start a new run."
        )
    if cached is None:
        rule = "text" if "split" in run.facts else "tokens"  # of version 0.1.0
        folder.mkdir(exist_ok=True)
        _, cached = read_text(corpus, config, vocabulary=run.vocabulary, folder=folder, progress=progress, rule=rule)
    return cached, []


def _facts(corpus: Corpus, text: Text) -> dict[str, Any]:
    return {
        "corpus": corpus.name,
        "description": corpus.description,
        "characters": corpus.characters,
        "sha256": corpus.sha256,
        "characters_per_token": text.characters_per_token("training"),
        "training_tokens": len(text.training),
        "validation_tokens": len(text.validation),
        "skipped": [list(pair) for pair in corpus.skipped],
        "split": "text",
        "parts": text.facts(),
    }
