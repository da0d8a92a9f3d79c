"""A run from its settings to its end: the parts of this folder put together, with checkpoints on the way."""

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
from .text import Text, Writer, encode_corpus, units

REPORT_EVERY = 10


class Session:
    """Trains what a `TrainingConfig` describes; `rows` does the work and tells of it.

    Everything is checked and made in memory here; nothing is written before `rows`.

    Parameters
    ----------
    config : TrainingConfig
        The settings.
    vocabulary : Vocabulary, default None
        The tokens; None builds them from the corpus.

    Raises
    ------
    DataError
        If the corpus is missing, blank or too short for one window.
    ArgumentError
        If the cell cannot be loaded.

    Examples
    --------
    >>> import tinygrad_seq as ts
    >>> session = ts.train.Session(ts.train.TrainingConfig(hidden_size=8, embedding_size=4))
    >>> type(session).__name__
    'Session'
    """

    def __init__(self, config: TrainingConfig, vocabulary: Vocabulary | None = None) -> None:
        corpus = load_corpus(config.corpus)
        self.config = config
        self.vocabulary = vocabulary or Vocabulary.build(
            units(corpus, config.unit),
            config.level,
            max_size=config.max_vocabulary,
        )
        self.text: Text = encode_corpus(corpus, self.vocabulary, config.unit, config.validation)
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
        """Return the session of `run` as it was when the checkpoint, by default the newest, was written.

        Parameters
        ----------
        run : Run
            A run that is not finished.
        checkpoint : str, default None
            The name of a checkpoint; None for the newest.

        Returns
        -------
        Session
            The session, which goes on bit for bit.

        Raises
        ------
        CheckpointError
            If there is no whole checkpoint.
        DataError
            If the corpus is no longer the same text.
        ArgumentError
            If the run has done all its steps or used all its minutes.
        """
        content = run.load(checkpoint)
        number = content["steps"]["number"]
        if number >= run.config.steps:
            raise ArgumentError(
                f"train: expected steps above {number}, which '{run.folder}' has done, got {run.config.steps}; "
                f"pass e.g. --steps {2 * number} to go on."
            )
        if 0 < 60 * run.config.minutes <= content["seconds"]:
            raise ArgumentError(
                f"train: expected minutes above {content['seconds'] / 60:.2f}, which '{run.folder}' has taken, got "
                f"{run.config.minutes:g}; pass e.g. --minutes {2 * run.config.minutes:g} to go on."
            )
        session = cls(run.config, run.vocabulary)
        if session.facts["sha256"] != run.facts["sha256"]:
            raise DataError(
                f"train: expected the text that '{run.folder}' was trained on, got another in {run.config.corpus}; "
                "restore it, or begin a new run."
            )
        session.steps.load_state_dict(content["steps"])
        session.stopping.load_state_dict(content["stopping"])
        session.seconds, session._recent = content["seconds"], content["recent"]
        return session

    def rows(self, run: Run, stop: Callable[[], bool] = lambda: False) -> Iterator[Row]:
        """Train, and yield what was measured: every 10 steps, and with each evaluation on the held-out text.

        Each row is added to the metrics of `run` first; a checkpoint is written with each evaluation, and when
        `stop()`, asked after every step, says so.

        Parameters
        ----------
        run : Run
            Where metrics and checkpoints are written.
        stop : callable or sequence of callable, default <function Session.<lambda> at 0x7f0966270d60>
            Asked after every step whether to write a checkpoint and end.

        Returns
        -------
        iterator of Row
            What was measured, in order.

        Raises
        ------
        CheckpointError
            If the disk is full or cannot be written. What was saved before is untouched.
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
        """Write a checkpoint from which `resume` goes on bit for bit.

        Parameters
        ----------
        run : Run
            Where to write.
        best : bool, default False
            Whether it is also the best checkpoint.
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
            **measures(loss, self.text.characters_per_token),
            "gradient_norm": step.gradient_norm,
            "lr": step.lr,
            "seconds": self.seconds,
            "tokens_per_second": step.number * per_step / self.seconds,
        }

    def _evaluate(self) -> Row:
        """Return the measures on the held-out text and a sample; tell them to the schedule and the early stopping."""
        loss = evaluate(self.model, self.text.validation, batch_size=self.config.batch_size, window=self.config.window)
        for schedule in flatten(self.steps.scheduler)[0]:
            if isinstance(schedule, ReduceLROnPlateau):
                schedule.step(loss)
        self.stopping.improves(loss)
        held_out = {
            f"validation_{name}": value for name, value in measures(loss, self.text.characters_per_token).items()
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
        "characters_per_token": text.characters_per_token,
        "training_tokens": len(text.training),
        "validation_tokens": len(text.validation),
    }
