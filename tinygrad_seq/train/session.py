"""A complete training run: combines the parts of this folder and writes checkpoints."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..base import settings
from ..data import Corpus, Vocabulary, Windows, load_corpus
from ..data.corpus import STANDARD_INPUT
from ..distributed import world
from ..errors import ArgumentError, CheckpointError, DataError, TinygradSeqError
from .build import build_model, build_optimizer
from .config import CHANGEABLE, TrainingConfig
from .driver import Driver, Limits, Progress
from .evaluation import Evaluation
from .learning_rate import Schedule
from .loop import TrainingSteps
from .metrics import Row, measures
from .run import Run
from .stopping import EarlyStopping
from .text import Text, open_text, read_text
from .updates import Step

REPORT_EVERY = 10
# What the weights of a model are bound to.
_OF_THE_WEIGHTS = (
    *("level", "lowercase", "nfc", "max_vocabulary"),
    *("cell", "embedding_size", "hidden_size", "num_layers"),
)


class Session(Driver):
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
        folder = None if tokens is None else Path(tokens)
        corpus = _load(config, progress, folder)
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
        self.windows = Windows(text.training, config.batch_size, config.window)
        settings.manual_seed(config.seed)
        self.model = build_model(config, len(vocabulary))
        optimizer = build_optimizer(config, self.model)
        self.schedule = schedule
        steps = TrainingSteps(
            self.model,
            self.windows,
            optimizer,
            scheduler=schedule.build(optimizer),
            clip_norm=config.clip_norm or float("inf"),
            begins=vocabulary.eos,
            restart=config.restart,
            precision=config.precision,
            loss=self.model.loss,
        )
        limits = Limits(config.steps, 0, config.minutes, config.evaluate_every, REPORT_EVERY)
        self._start(steps, limits, EarlyStopping(config.patience), progress)
        self.evaluation = Evaluation(self.model, vocabulary, text, config)
        self.changes: dict[str, tuple[Any, Any]] = {}
        self.notes: list[str] = []

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
            if world().is_writer:
                text, notes = _text_of(run, config, "corpus" in changes, progress)
            world().broadcast(None)  # rank 0 may have made the token files anew
            if not world().is_writer:
                text, notes = _tokens_of(run), []
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
    def joined(cls, run: Run, progress: Progress | None = None) -> Session:
        """Return the session of a run that rank 0 has just created, on another rank.

        Parameters
        ----------
        run : Run
            The run. Its token files must be there, so ranks on several machines need a folder that all can read.
        progress : callable, optional
            As for `Session`.

        Returns
        -------
        Session
            The session, at step 0; `from_run` and `Session` on rank 0 have the same weights after `share_weights`.

        Raises
        ------
        DataError
            If there are no token files of the run, or other ones.
        """
        session = cls.__new__(cls)
        session._build(run.config, run.vocabulary, _tokens_of(run), run.facts, Schedule.of(run.config), progress)
        return session

    def share_weights(self) -> None:
        """Give the weights of rank 0 to all ranks."""
        self.model.load_state_dict(world().broadcast(dict(self.model.state_dict())))

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
        self._restore(content, config.batch_size * config.window)
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

    def _evaluate(self, poll: Progress) -> Row:
        row = self.evaluation.measure("validation", self.config.eval_tokens, poll)
        row["sample"] = self.evaluation.sample(self.steps.number, poll)
        return row

    def _measure_test(self, poll: Progress) -> Row:
        return self.evaluation.measure("test", 0, poll)

    @property
    def _has_test(self) -> bool:
        return len(self.text.test) > 0

    def _monitored(self, row: Row) -> float:
        return float(row["validation_loss"])

    def _after_evaluation(self, row: Row, seconds: float) -> None:
        self.pace.add_evaluation(row["validation_tokens"], seconds)

    def _figures(self, step: Step, loss: float) -> Row:
        return {
            "step": step.number,
            "passes": step.number / len(self.windows),
            **measures(loss, self.text.characters_per_token("training")),
            "gradient_norm": step.gradient_norm,
            "lr": step.lr,
            "seconds": self.seconds,
            "tokens_per_second": self.pace.tokens_per_second,
        }

    def _more_content(self) -> dict[str, Any]:
        return {
            "config": {name: getattr(self.config, name) for name in CHANGEABLE},
            "schedule": dataclasses.asdict(self.schedule),
        }


def _load(config: TrainingConfig, progress: Progress | None, spool: Path | None) -> Corpus:
    return load_corpus(
        config.corpus,
        encoding=config.encoding,
        include=config.include,
        exclude=config.exclude,
        progress=progress,
        spool=spool,
    )


def _tokens_of(run: Run) -> Text:
    """Return the tokens that rank 0 wrote to the folder of a run."""
    text = open_text(run.folder / "tokens", run.facts)
    if text is None:
        raise DataError(
            f"Session: expected the token files that rank 0 wrote to '{run.folder / 'tokens'}', got none or "
            "other ones; choose a run folder that all ranks can read (--out)."
        )
    return text


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
    if config.corpus == STANDARD_INPUT and not is_new_path:  # it has been read
        if cached is None:
            raise DataError(
                f"Session.resume: expected the tokens of '{run.folder}', whose text came from the standard input, in "
                f"{folder}, got none or damaged ones; pass the same text (--corpus PATH, or --corpus - and a pipe)."
            )
        return cached, []
    try:
        corpus = _load(config, progress, run.folder)
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
