"""The course of a training run: updates, evaluations, checkpoints, rows of metrics, stops.

`Session` (a language model on a text) and `Fit` (any model and batches) are the two kinds of run. Both have this loop::

    step ──► checkpoint ──► evaluate ──► row ──► checkpoint, best ──► step ...
             "due": step    may be       "due": null
                            stopped
"""

from __future__ import annotations

import contextlib
import math
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from typing import Any, ClassVar, NamedTuple, Protocol

import numpy as np

from ..base.tree import flatten
from ..distributed import World, world
from ..errors import AnomalyError
from ..optim import ReduceLROnPlateau
from .metrics import Row
from .pace import Pace
from .stopping import EarlyStopping, interruptible
from .updates import Step, Updates

Progress = Callable[[str, int, int], object]


class Limits(NamedTuple):
    """When a run ends, is evaluated and reports; 0 means never, or no limit.

    Attributes
    ----------
    steps : int
        The last step.
    epochs : int
        The number of passes over the batches.
    minutes : float
        The training time.
    evaluate_every : int
        Steps between evaluations; 0 evaluates at the end of each pass.
    report_every : int
        Steps between rows of metrics without an evaluation.
    """

    steps: int = 0
    epochs: int = 0
    minutes: float = 0.0
    evaluate_every: int = 0
    report_every: int = 0


class Folder(Protocol):
    """What a run is written to: a run folder, or `NoFolder`."""

    @property
    def keeps_checkpoints(self) -> bool:
        """Whether every checkpoint is kept, and not only the weights of the best."""

    @property
    def has_best(self) -> bool:
        """Whether there is a best checkpoint."""

    def save(self, step: int, content: dict[str, Any], *, best: bool = False) -> object:
        """Write a checkpoint."""

    def load(self, name: str | None = None) -> dict[str, Any]:
        """Return the content of a checkpoint."""

    def append(self, row: Row) -> None:
        """Write a row of metrics."""

    def cut(self, step: int, *, last_row: int | None = None, last_test: int | None = None) -> None:
        """Drop what lies after a step."""


class NoFolder:
    """What a run without a folder is written to: the weights of the best evaluation are held in memory."""

    keeps_checkpoints: ClassVar[bool] = False

    def __init__(self) -> None:
        self._best: dict[str, Any] | None = None

    @property
    def has_best(self) -> bool:
        """Whether there are best weights."""
        return self._best is not None

    def save(self, step: int, content: dict[str, Any], *, best: bool = False) -> None:
        """Hold a copy of the weights if they are the best."""
        if best:
            weights = {name: np.array(array) for name, array in content["steps"]["model"].items()}
            self._best = {"steps": {"number": step, "model": weights}}

    def load(self, name: str | None = None) -> dict[str, Any]:
        """Return the best weights, whatever the name."""
        assert self._best is not None
        return self._best

    def append(self, row: Row) -> None:
        """Do nothing."""

    def cut(self, step: int, *, last_row: int | None = None, last_test: int | None = None) -> None:
        """Do nothing."""


class OneWriter:
    """The folder of a run on several ranks: rank 0 writes, and all read what it has.

    Parameters
    ----------
    folder : Folder
        The folder.
    ranks : World
        The ranks.
    """

    def __init__(self, folder: Folder, ranks: World) -> None:
        self._folder, self._ranks = folder, ranks
        self.keeps_checkpoints = folder.keeps_checkpoints

    @property
    def has_best(self) -> bool:
        """Whether rank 0 has a best checkpoint."""
        return bool(self._ranks.broadcast(self._ranks.is_writer and self._folder.has_best))

    def save(self, step: int, content: dict[str, Any], *, best: bool = False) -> None:
        """Let rank 0 write a checkpoint."""
        if self._ranks.is_writer:
            self._folder.save(step, content, best=best)

    def load(self, name: str | None = None) -> dict[str, Any]:
        """Return the checkpoint that rank 0 reads."""
        content: dict[str, Any] = self._ranks.broadcast(self._folder.load(name) if self._ranks.is_writer else None)
        return content

    def append(self, row: Row) -> None:
        """Let rank 0 write a row of metrics."""
        if self._ranks.is_writer:
            self._folder.append(row)

    def cut(self, step: int, *, last_row: int | None = None, last_test: int | None = None) -> None:
        """Let rank 0 drop what lies after a step."""
        if self._ranks.is_writer:
            self._folder.cut(step, last_row=last_row, last_test=last_test)


def with_one_writer(folder: Folder) -> Folder:
    """Return `folder`, or on several ranks one to which rank 0 alone writes."""
    return folder if world().size == 1 or isinstance(folder, OneWriter) else OneWriter(folder, world())


class _Stopped(Exception):  # noqa: N818 (no error)
    """Raised inside an evaluation when the caller asks to stop."""


class Driver(ABC):
    """Train, evaluate, and write the run. A subclass says what an evaluation measures and what a row holds."""

    _caller = "Session.rows"

    def _start(self, steps: Updates, limits: Limits, stopping: EarlyStopping, progress: Progress | None) -> None:
        """Set up a run at step 0."""
        self.steps, self.limits, self.stopping = steps, limits, stopping
        self.pace = Pace()
        self.seconds = 0.0
        self.epochs = 0
        self._progress = progress or (lambda *_: None)
        self._ranks = world()
        self._total = limits.steps
        self._recent: list[tuple[float, float]] = []  # loss and weight of the steps since the last row
        self._last: Step | None = None
        self._due: Step | None = None  # the last step, if its evaluation is still to be done
        self._evaluated_at = self._tested_at = self.saved_at = 0
        self._point: tuple[int, int] | None = None  # the step that was resumed from, and the last row to keep

    # ---------------------------------------------------------------------------------- what a subclass says

    @abstractmethod
    def _evaluate(self, poll: Progress) -> Row:
        """Return what an evaluation measures; it changes nothing, so an exception of `poll` does no harm."""

    @abstractmethod
    def _measure_test(self, poll: Progress) -> Row:
        """Return what the model measures on the test part."""

    @abstractmethod
    def _figures(self, step: Step, loss: float) -> Row:
        """Return the metrics of a row, given the mean loss since the previous row."""

    @abstractmethod
    def _monitored(self, row: Row) -> float:
        """Return the value of an evaluation that early stopping and a plateau look at."""

    @property
    def _has_test(self) -> bool:
        """Whether there is a test part."""
        return False

    @property
    def _keeps_best(self) -> bool:
        """Whether the best evaluation is kept, for the test and the use of the model."""
        return True

    @abstractmethod
    def _after_evaluation(self, row: Row, seconds: float) -> None:
        """Act after an evaluation and its checkpoint, which took so long."""

    def _more_content(self) -> dict[str, Any]:
        """Return further entries of a checkpoint."""
        return {}

    # ---------------------------------------------------------------------------------------------- the run

    def rows(self, run: Folder, stop: Callable[[], bool] = lambda: False) -> Iterator[Row]:
        """Train, and yield a row of metrics at each evaluation, and every few steps in between.

        Each row is first appended to the metrics file of `run`. A checkpoint is written before and after each
        evaluation, and when `stop()` returns true. If there is a test part, the last row holds what the best
        checkpoint measures on it.

        Parameters
        ----------
        run : Run
            The run folder to write to.
        stop : callable, default never
            Called after every step, and often during an evaluation; training stops when it returns true. An evaluation
            that it ends is done again at `resume`.

        Yields
        ------
        dict
            Metrics by name: ``"step"``, ``"loss"``, ``"seconds"``, ...

        Raises
        ------
        CheckpointError
            If a file cannot be written, e.g. because the disk is full. Earlier checkpoints are unchanged.
        AnomalyError
            If the training diverges.
        """
        began = time.perf_counter() - self.seconds
        ranks, run = self._ranks, with_one_writer(run)

        def poll(stage: str, done: int, total: int) -> None:
            self._progress(stage, done, total)
            if ranks.size == 1 and stop():  # several ranks stop together, after the evaluation
                raise _Stopped

        with contextlib.suppress(_Stopped):
            while self._due is not None or not self._is_over():
                if self._due is None:
                    step = self._train()
                    self.seconds = time.perf_counter() - began
                    if self.limits.minutes:
                        self.seconds = ranks.agree(False, self.seconds)[1]
                    is_due = self._is_due(step)
                    if step is None and not is_due:
                        continue
                    if is_due:
                        self._due = self._last
                        self.save(run)
                    elif step is not None and self._reports():
                        row = self._report(step)
                        self._append(run, row)
                        yield row
                    if ranks.agree(stop())[0]:
                        if self._due is None:
                            self.save(run)
                        return
                else:
                    started = time.perf_counter()
                    with self._interruptible():
                        row = self._evaluate(poll)
                    self._cut(run)
                    row = self._report(self._due) | row
                    improves = self._judge(row)
                    self._append(run, row)
                    self._due = None
                    self._evaluated_at = self.steps.number
                    self.save(run, best=improves)
                    self._after_evaluation(row, time.perf_counter() - started)
                    yield row
                    if ranks.agree(stop())[0]:
                        return
            if self._is_test_due():
                with self._interruptible():
                    row = self._test(run, poll)
                self._append(run, row)
                self._tested_at = self.steps.number
                self.save(run)
                yield row

    def save(self, run: Folder, *, best: bool = False) -> None:
        """Write a checkpoint that `resume` restores bit for bit.

        Parameters
        ----------
        run : Run
            The run folder to write to.
        best : bool, default False
            Whether it is the best checkpoint so far.
        """
        run = with_one_writer(run)
        self.steps.check_ranks()
        self._cut(run)
        if best or run.keeps_checkpoints:
            run.save(self.steps.number, self._content(), best=best)
        self.saved_at = self.steps.number

    @property
    def is_finished(self) -> bool:
        """Whether the run has done its steps or used its time or patience, and all its evaluations."""
        return self._due is None and self._is_over() and not self._is_test_due()

    # --------------------------------------------------------------------------------------------- its parts

    def _train(self) -> Step | None:
        """Make one step; a stop is obeyed at once if nothing can be lost, as in the first step, which compiles.

        Return None if a pass over the batches has ended instead.
        """
        started = time.perf_counter()
        with self._interruptible() if self.saved_at == self.steps.number else contextlib.nullcontext():
            if self.pace.is_new:
                self._progress("compiling", 0, 1)
            step = self.steps.advance()
            if self.pace.is_new:
                self._progress("compiling", 1, 1)
        if step is None:
            self.epochs += 1
            return None
        self.pace.add_step(step.weight, time.perf_counter() - started)
        self._last = step
        self._recent.append((step.loss, step.weight))
        self._progress("training", step.number, self._total)
        return step

    def _interruptible(self) -> contextlib.AbstractContextManager[None]:
        """Return the context for work that a stop may end; none of several ranks may leave it alone."""
        return interruptible() if self._ranks.size == 1 else contextlib.nullcontext()

    def _is_every(self, interval: int) -> bool:
        return interval > 0 and self.steps.number % interval == 0

    def _reports(self) -> bool:
        """Return whether the last step has a row of its own; a step that is evaluated has only the one row."""
        return self._is_every(self.limits.report_every)

    def _is_due(self, step: Step | None) -> bool:
        """Whether the last step is to be evaluated; `step` is None if a pass has just ended."""
        every = self.limits.evaluate_every
        ends = self._is_over() or (self._is_every(every) if every else step is None)
        return ends and self._last is not None and self._evaluated_at != self.steps.number

    def _is_over(self) -> bool:
        limits = self.limits
        timed_out = 0 < 60 * limits.minutes <= self.seconds
        done = 0 < limits.steps <= self.steps.number or 0 < limits.epochs <= self.epochs
        return timed_out or done or self.stopping.exhausted

    def _is_test_due(self) -> bool:
        return self._is_over() and self._has_test and self._tested_at != self.steps.number

    def _report(self, step: Step) -> Row:
        # A step with a row of its own may turn out to be the last, if a pass ends the run.
        losses, weights = zip(*(self._recent or [(step.loss, step.weight)]), strict=True)
        self._recent = []
        return self._figures(step, float(np.average(losses, weights=weights)))

    def _judge(self, row: Row) -> bool:
        """Update plateaus and early stopping with an evaluation; return whether it is the best one."""
        value = self._monitored(row)
        if not math.isfinite(value):
            raise AnomalyError(
                f"{self._caller}: expected a finite value to compare evaluations by, got {value} at step "
                f"{self.steps.number}; go back to an earlier checkpoint, or start again with a smaller lr."
            )
        for schedule in flatten(self.steps.scheduler)[0]:
            if isinstance(schedule, ReduceLROnPlateau):
                schedule.step(value)
        return self.stopping.improves(value, self.steps.number if self._keeps_best else 0) and self._keeps_best

    def _test(self, run: Folder, poll: Progress) -> Row:
        """Return the metrics of the best checkpoint on the test part."""
        best = self.steps.number
        model = self.steps.model
        weights = {name: array.copy() for name, array in model.state_dict().items()}
        if self._keeps_best:
            content = run.load("best")["steps"]
            model.load_state_dict(content["model"])
            best = content["number"]
        try:
            measured = self._measure_test(poll)
        finally:
            model.load_state_dict(weights)
        return {"step": self.steps.number, "seconds": self.seconds, "test_step": best, **measured}

    def _append(self, run: Folder, row: Row) -> None:
        self._cut(run)
        run.append(row)

    def _cut(self, run: Folder) -> None:
        """Before the first write after a resume: drop what lies after the checkpoint."""
        if self._point is not None:
            step, last_row = self._point
            run.cut(step, last_row=last_row, last_test=self._tested_at)
            self._point = None
            if self._keeps_best and not run.has_best:  # it was of a branch that is dropped
                self.stopping.forget()

    # ------------------------------------------------------------------------------------------- saved state

    def _content(self) -> dict[str, Any]:
        """Return the content of a checkpoint."""
        return {
            "steps": self.steps.state_dict(),
            "stopping": self.stopping.state_dict(),
            "seconds": self.seconds,
            "epochs": self.epochs,
            "recent": [list(pair) for pair in self._recent],
            "last": None if self._last is None else list(self._last),
            "due": None if self._due is None else list(self._due),
            "evaluated_at": self._evaluated_at,
            "tested_at": self._tested_at,
            **self._more_content(),
        }

    def _restore(self, content: dict[str, Any], weight: float) -> None:
        """Restore a checkpoint; `weight` is that of the losses of version 0.1.0, which saved none."""
        self.steps.load_state_dict(content["steps"])
        self.stopping.load_state_dict(content["stopping"])
        self.seconds, self.saved_at = content["seconds"], self.steps.number
        self.epochs = content.get("epochs", 0)
        self._recent = [(item, weight) if isinstance(item, float) else (item[0], item[1]) for item in content["recent"]]
        self._due = Step(*content["due"]) if content.get("due") else None
        self._last = Step(*content["last"]) if content.get("last") else self._due
        self._evaluated_at = content.get("evaluated_at", 0)
        self._tested_at = content.get("tested_at", 0)
        self._point = self.steps.number, self.steps.number - (self._due is not None)
