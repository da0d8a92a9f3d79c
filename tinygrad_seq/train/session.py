"""A complete training run: combines the parts of this folder and writes checkpoints."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from ..base import settings
from ..base.tree import flatten
from ..data import Corpus, Vocabulary, Windows, load_corpus
from ..errors import ArgumentError, DataError
from ..optim import ReduceLROnPlateau
from .build import build_model, build_optimizer, build_scheduler
from .config import TrainingConfig
from .loop import Step, TrainingSteps, evaluate
from .metrics import Row, append_row, keep_rows, measures
from .run import Run
from .stopping import EarlyStopping
from .text import Text, read_text
from .writer import Writer

REPORT_EVERY = 10


class Session:
    """Train the model that a `TrainingConfig` describes; `rows` trains and yields the metrics.

    The constructor validates the settings and builds everything in memory. Files are written only by `rows` and `save`.

    Parameters
    ----------
    config : TrainingConfig
        The settings.
    vocabulary : Vocabulary, optional
        The vocabulary; by default it is built from the corpus.

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

    def __init__(self, config: TrainingConfig, vocabulary: Vocabulary | None = None) -> None:
        corpus = load_corpus(config.corpus)
        self.config = config
        self.vocabulary, self.text = read_text(corpus, config, vocabulary=vocabulary)
        windows = Windows(self.text.training, config.batch_size, config.window)
        settings.manual_seed(config.seed)
        self.model = build_model(config, len(self.vocabulary))
        optimizer = build_optimizer(config, self.model)
        scheduler = build_scheduler(config, optimizer)
        self.steps = TrainingSteps(
            self.model,
            windows,
            optimizer,
            scheduler=scheduler,
            clip_norm=config.clip_norm or float("inf"),
            begins=self.vocabulary.eos,
            restart=config.restart,
        )
        self.stopping = EarlyStopping(config.patience)
        self.facts = _facts(corpus, self.text)
        self.seconds = 0.0
        self._recent: list[float] = []

    @classmethod
    def resume(cls, run: Run, checkpoint: str | None = None) -> Session:
        """Restore the session of a run from a checkpoint.

        Parameters
        ----------
        run : Run
            The run.
        checkpoint : str, optional
            The name of the checkpoint; by default the newest.

        Returns
        -------
        Session
            The session as it was when the checkpoint was written.

        Raises
        ------
        CheckpointError
            If the checkpoint is missing or damaged.
        DataError
            If the corpus has changed.
        ArgumentError
            If the run has finished its steps or its minutes.
        """
        content = run.load(checkpoint)
        number = content["steps"]["number"]
        if number >= run.config.steps:
            raise ArgumentError(
                f"Session.resume: expected steps above {number}, which '{run.folder}' has done, got "
                f"{run.config.steps}; pass e.g. --steps {2 * number} to continue."
            )
        if 0 < 60 * run.config.minutes <= content["seconds"]:
            raise ArgumentError(
                f"Session.resume: expected minutes above {content['seconds'] / 60:.2f}, which '{run.folder}' has "
                f"taken, got {run.config.minutes:g}; pass e.g. --minutes {2 * run.config.minutes:g} to continue."
            )
        session = cls(run.config, run.vocabulary)
        if session.facts["sha256"] != run.facts["sha256"]:
            raise DataError(
                f"Session.resume: expected the text that '{run.folder}' was trained on, got another in "
                f"{run.config.corpus}; restore the text, or start a new run."
            )
        session.steps.load_state_dict(content["steps"])
        session.stopping.load_state_dict(content["stopping"])
        session.seconds, session._recent = content["seconds"], content["recent"]
        return session

    def rows(self, run: Run, stop: Callable[[], bool] = lambda: False) -> Iterator[Row]:
        """Train, and yield the metrics every 10 steps and at each evaluation on the held-out text.

        Each row is first appended to the metrics file of `run`. A checkpoint is written at each evaluation, and when
        `stop()` returns true.

        Parameters
        ----------
        run : Run
            The run folder to write to.
        stop : callable, default never
            Called after every step; training stops when it returns true.

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
        keep_rows(run.metrics, self.steps.number)
        began = time.perf_counter() - self.seconds
        for step in self.steps:
            self._recent.append(step.loss)
            self.seconds = time.perf_counter() - began
            ends = step.number >= self.config.steps or 0 < 60 * self.config.minutes <= self.seconds
            evaluates = ends or step.number % self.config.evaluate_every == 0
            if evaluates or step.number % REPORT_EVERY == 0:
                row = self._report(step)
                if evaluates:
                    row |= self._evaluate()
                append_row(run.metrics, row)
                yield row
            stopped = stop()
            if evaluates or stopped:
                self.save(run, best=evaluates and self.stopping.waited == 0)
            if ends or stopped or (evaluates and self.stopping.exhausted):
                return

    def save(self, run: Run, *, best: bool = False) -> None:
        """Write a checkpoint that `resume` restores bit for bit.

        Parameters
        ----------
        run : Run
            The run folder to write to.
        best : bool, default False
            Whether it is the best checkpoint so far.
        """
        content = {
            "steps": self.steps.state_dict(),
            "stopping": self.stopping.state_dict(),
            "seconds": self.seconds,
            "recent": self._recent,
        }
        run.save(self.steps.number, content, best=best)

    def _report(self, step: Step) -> Row:
        loss = float(np.mean(self._recent))
        self._recent = []
        passes = step.number / len(self.steps.windows)
        per_step = self.config.batch_size * self.config.window
        return {
            "step": step.number,
            "passes": passes,
            **measures(loss, self.text.characters_per_token("training")),
            "gradient_norm": step.gradient_norm,
            "lr": step.lr,
            "seconds": self.seconds,
            "tokens_per_second": step.number * per_step / self.seconds,
        }

    def _evaluate(self) -> Row:
        """Return the metrics on the held-out text and a sample, after updating plateau schedules and early stopping."""
        loss = evaluate(self.model, self.text.validation, batch_size=self.config.batch_size, window=self.config.window)
        for schedule in flatten(self.steps.scheduler)[0]:
            if isinstance(schedule, ReduceLROnPlateau):
                schedule.step(loss)
        self.stopping.improves(loss)
        held_out = {
            f"validation_{name}": value
            for name, value in measures(loss, self.text.characters_per_token("validation")).items()
        }
        return {**held_out, "sample": self._sample()}

    def _sample(self) -> str:
        writer = Writer(self.vocabulary, self.config.unit)
        tokens = self.model.sample(
            [self.vocabulary.eos],
            temperature=0.8,
            generator=np.random.default_rng([self.config.seed, self.steps.number]),
            exclude=writer.hidden,
        )
        return "".join(map(writer.write, itertools.islice(tokens, self.config.sample_length)))


def _facts(corpus: Corpus, text: Text) -> dict[str, Any]:
    return {
        "corpus": corpus.name,
        "description": corpus.description,
        "characters": corpus.characters,
        "sha256": corpus.sha256,
        "characters_per_token": text.characters_per_token("training"),
        "training_tokens": len(text.training),
        "validation_tokens": len(text.validation),
        "split": "text",
        "parts": text.facts(),
    }
