"""Train any model on any batches: `fit`."""

from __future__ import annotations

import math
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from .. import optim
from ..autograd.tensor import Tensor
from ..base.tree import flatten
from ..distributed import world
from ..errors import ArgumentError, CheckpointError
from ..nn import Module
from .callbacks import Callbacks
from .driver import Driver, Folder, Limits, Progress
from .epochs import Epochs, Source, checked_source, size_of
from .fit_arguments import check_call, checked_limits, checked_logs, checked_monitor, checked_optimizer
from .fit_folder import check_folder, open_folder
from .history import History, print_row
from .measuring import Loss, Task, measured
from .metrics import Row
from .progress_line import ProgressLine
from .run_folder import RunFolder
from .stopping import EarlyStopping
from .updates import Step, Updates

Log = Callable[[Row], object]


class BatchUpdates(Updates):
    """One update per batch of `fit`."""

    _caller = "fit"
    _advice = "resume with a smaller clip_norm, or start again with a smaller lr"

    def __init__(self, task: Task, batches: Source, optimizer: optim.Optimizer, **options: Any) -> None:
        super().__init__(task.model, optimizer, **options)
        self.epochs = Epochs(batches, "fit")
        self._task = task

    def _next_batch(self) -> tuple[Any, Any] | None:
        batch = self.epochs.next_batch()
        return None if batch is None else self._task.pair(batch)

    def _loss_of(self, inputs: Any, targets: Any) -> tuple[Tensor, float, Any]:
        outputs, state = self._task.outputs(inputs, self.state)
        loss, weight = self._task.loss_of(outputs, targets)
        if not loss.requires_grad:
            raise ArgumentError(
                "fit: expected a loss that depends on the parameters of the model, got one without a gradient; compute "
                "it from the outputs with operations of tinygrad_seq."
            )
        return loss, weight, state

    def _position(self) -> dict[str, Any]:
        return {"batches": self.epochs.state_dict()}

    def _load_position(self, state: dict[str, Any]) -> None:
        self.epochs.load_state_dict(state["batches"])


class Fit(Driver):
    """A run of `fit`, as callbacks see it; `fit` makes it.

    Attributes
    ----------
    model : Module
        The model.
    optimizer : Optimizer
        The optimiser.
    history : History
        The rows so far.

    Examples
    --------
    >>> import tinygrad_seq as ts
    >>> class Twice(ts.train.Callback):
    ...     def on_step(self, fit, step):
    ...         if fit.epoch == 2:
    ...             fit.stop()
    >>> batches = [(ts.ones(4, 1), ts.ones(4, 1))] * 3
    >>> ts.fit(ts.nn.Linear(1, 1), batches, ts.mse_loss, epochs=9, callbacks=Twice(), log=None).steps
    4
    """

    _caller = "fit"

    def __init__(
        self,
        task: Task,
        steps: BatchUpdates,
        limits: Limits,
        *,
        validation: Source | None,
        test: Source | None,
        metrics: Mapping[str, Any],
        callbacks: Callbacks,
        history: History,
        patience: int,
        restore_best: bool,
        progress: Progress,
    ) -> None:
        self._start(steps, limits, EarlyStopping(patience, history.mode), progress)
        self.model, self.optimizer, self.history = task.model, steps.optimizer, history
        self._task, self._validation, self._test_part, self._metrics = task, validation, test, metrics
        self._callbacks = callbacks
        self._restores_best = restore_best and (validation is not None or patience > 0)
        self._asked = self._ends = False
        self._options = _options(self.optimizer)  # as the caller gave them
        size = size_of(steps.epochs.batches)
        self._total = limits.steps or limits.epochs * (size or 0)

    @property
    def step(self) -> int:
        """The number of steps so far."""
        return self.steps.number

    @property
    def epoch(self) -> int:
        """The number of the epoch of the last step, from 1."""
        return self._epochs.number

    def stop(self) -> None:
        """End the run after this step, with an evaluation; a run that is resumed goes on."""
        self._asked = True

    @property
    def _epochs(self) -> Epochs:
        assert isinstance(self.steps, BatchUpdates)
        return self.steps.epochs

    def _call(self, hook: str, *arguments: Any) -> None:
        """Call the callbacks."""
        self._callbacks.call(hook, self, *arguments)
        self._ends = self._asked

    def _is_over(self) -> bool:
        return self._ends or super()._is_over()

    def _reports(self) -> bool:
        return super()._reports() and (self.limits.evaluate_every > 0 or not self._epochs.at_end)

    def _train(self) -> Step | None:
        step = super()._train()
        if step is not None:
            self._call("on_step", step)
        return step

    def _after_evaluation(self, row: Row, seconds: float) -> None:
        pass

    def _evaluate(self, poll: Progress) -> Row:
        if self._validation is None:
            return {}
        return self._measured("validation", self._validation, lambda *at: poll("evaluating", *at))

    def _measure_test(self, poll: Progress) -> Row:
        assert self._test_part is not None
        return self._measured("test", self._test_part, lambda *at: poll("testing", *at))

    def _measured(self, part: str, batches: Source, progress: Callable[[int, int], object]) -> Row:
        values = measured(self._task, batches, self._metrics, progress)
        return {f"{part}_{name}": value for name, value in values.items()}

    def _judge(self, row: Row) -> bool:
        self._call("on_evaluation", row)
        for name, value in row.items():
            value = row[name] = value.item() if getattr(value, "shape", None) == () else value
            if value is not None and type(value) not in (int, float):
                raise ArgumentError(
                    f"fit: expected callbacks to add numbers to a row, got {name}={value!r:.50}; convert it with float."
                )
        return super()._judge(row)

    @property
    def _has_test(self) -> bool:
        return self._test_part is not None

    @property
    def _keeps_best(self) -> bool:
        return self._restores_best

    def _monitored(self, row: Row) -> float:
        return float(row[self.history.monitor])

    def _figures(self, step: Step, loss: float) -> Row:
        return {
            "step": step.number,
            "epoch": self.epoch,
            "loss": loss,
            "gradient_norm": step.gradient_norm,
            "lr": step.lr,
            "seconds": self.seconds,
        }

    def _run(self, folder: Folder, stop: Callable[[], bool], logs: Sequence[Log]) -> None:
        """Train to the end, and log the rows."""
        self._call("on_start")
        for row in self.rows(folder, stop):
            self.history.rows.append(row)
            if world().is_writer:
                if isinstance(self._progress, ProgressLine):
                    self._progress.clear()
                for log in logs:
                    log(dict(row))
        self.history.finished = self.is_finished
        self._call("on_end")
        if self.is_finished and self._keeps_best and folder.has_best:
            self.model.load_state_dict(folder.load("best")["steps"]["model"])

    def _description(self, loss: Loss, precision: str) -> dict[str, Any]:
        """Return what describes the run, as JSON values."""
        return {
            "model": type(self.model).__name__,
            "parameters": sum(math.prod(parameter.shape) for parameter in self.model.parameters()),
            "loss": getattr(loss, "__name__", type(loss).__name__),
            **self._identity(),
            **self.limits._asdict(),
            "patience": self.stopping.patience,
            "clip_norm": self.steps.clip_norm if math.isfinite(self.steps.clip_norm) else None,
            "precision": precision,
        }

    # ------------------------------------------------------------------------------------------- resuming

    def _more_content(self) -> dict[str, Any]:
        return {"fit": self._identity(), "callbacks": self._callbacks.state_dict()}

    def _identity(self) -> dict[str, Any]:
        """Return what must be equal when a run is resumed, besides the shapes of the weights."""
        return {
            "optimizer": type(self.optimizer).__name__,
            **self._options,
            "scheduler": [type(part).__name__ for part in flatten(self.steps.scheduler)[0]],
            "stateful": self._task.stateful,
            "monitor": self.history.monitor,
            "mode": self.history.mode,
        }

    def _resume(self, run: RunFolder, name: str | None) -> None:
        """Restore a checkpoint of `run`, by default the newest."""
        content = run.load(name)
        try:
            self._check_same(content, run)
            self._restore(content, 1.0)
            self._callbacks.load_state_dict(content["callbacks"])
            assert self._point is not None
            _, last_row = self._point
        except (LookupError, TypeError, ValueError, AttributeError) as error:
            raise CheckpointError(
                f"fit: expected the checkpoint of a run of fit in '{run.folder}', got content that does not fit: "
                f"{error!r}; use another checkpoint (resume=NAME)."
            ) from error
        self.history.rows = [
            row for row in run.rows() if row["step"] <= (self._tested_at if "test_step" in row else last_row)
        ]

    def _check_same(self, content: dict[str, Any], run: RunFolder) -> None:
        shapes = {name: array.shape for name, array in content["steps"]["model"].items()}
        here = {name: array.shape for name, array in self.model.state_dict().items()}
        for name in {**shapes, **here}:
            if shapes.get(name) != here.get(name):
                raise CheckpointError(
                    f"fit: expected the model that '{run.folder}' was started with, {name} of shape "
                    f"{shapes.get(name, 'missing')}, got {here.get(name, 'missing')}; build the same model, or start a "
                    "new run."
                )
        identity = self._identity()
        for name in {**content["fit"], **identity}:
            saved, value = content["fit"].get(name), identity.get(name)
            if saved != value:
                raise CheckpointError(
                    f"fit: expected {name}={saved!r}, as '{run.folder}' was started, got {value!r}; "
                    "pass the same, or start a new run with these weights (RunFolder.load_weights)."
                )


def fit(
    model: Module,
    batches: Source,
    loss: Loss,
    *,
    optimizer: optim.Optimizer | None = None,
    scheduler: optim.Scheduler | Sequence[optim.Scheduler] | None = None,
    epochs: int | None = None,
    steps: int | None = None,
    minutes: float | None = None,
    validation: Source | None = None,
    test: Source | None = None,
    metrics: Mapping[str, Any] | None = None,
    evaluate_every: int | None = None,
    monitor: str | None = None,
    mode: str | None = None,
    patience: int = 0,
    restore_best: bool = True,
    clip_norm: float = math.inf,
    precision: str = "float32",
    stateful: bool = False,
    callbacks: Any = (),
    run: str | os.PathLike[str] | RunFolder | None = None,
    resume: bool | str = False,
    force: bool = False,
    log: Log | Sequence[Log] | None = print_row,
    report_every: int | None = None,
    progress: bool | Progress | None = None,
) -> History:
    """Train a model: one update per batch, evaluations, early stopping, checkpoints.

    Each batch is a pair ``(inputs, targets)``. The update is that of the usual loop, with the same bits::

        outputs = model(*inputs)
        mean = loss(outputs, *targets)
        optimizer.zero_grad()
        mean.backward()
        optimizer.step(max_norm=clip_norm)

    Parameters
    ----------
    model : Module
        ``model(*inputs) -> outputs``. It is in training mode during updates and in evaluation mode during evaluations;
        at the end it is in its previous mode.
    batches : iterable, or function that returns one
        The batches of an epoch: a list, an object that can be iterated once per epoch, e.g. `Batches`, or a function
        without arguments that returns an iterator, which is called once per epoch. The inputs and the targets of a
        batch are each a tuple (positional arguments), a dict (keyword arguments), or one argument.
        In a program that mpirun started, each rank passes its own share, equally many batches.
    loss : callable
        ``loss(outputs, *targets)`` returns a scalar, the mean over the batch, or ``(mean, weight)``, where the weight
        is what the mean was taken over. By default the weight is the number of values in the first target, so averages
        over batches of different sizes are exact for losses that average over all target values.
    optimizer : Optimizer, optional
        An optimiser of parameters of `model`; by default ``Adam(model.parameters(), lr=1e-3)``.
    scheduler : Scheduler or sequence of Scheduler, optional
        Learning-rate schedules of `optimizer`. They are stepped after each update; a `ReduceLROnPlateau` is stepped at
        each evaluation with the monitored value.
    epochs, steps : int, optional
        The number of passes over the batches, or of updates. One of `epochs`, `steps` and `minutes` is needed.
    minutes : float, optional
        The maximum training time in minutes; a run that is resumed counts its earlier time.
    validation : iterable, or function that returns one; optional
        Held-out batches for evaluations. In a program that mpirun started, each rank passes all of them, and measures
        some; all of them if `stateful` is set or a metric is no mean over batches.
    test : iterable, or function that returns one; optional
        Batches that are measured once at the end, with the weights that the model ends with; passed as `validation`.
    metrics : mapping of str to callable, optional
        What evaluations measure besides the loss. ``metric(outputs, *targets)`` returns a mean, weighted like the loss,
        or ``(mean, weight)``. A metric that is no mean over batches is an object with ``reset()``, ``update(outputs,
        *targets)`` and ``compute()``.
    evaluate_every : int, optional
        Steps between two evaluations; by default an evaluation ends each epoch. An evaluation writes a row to the
        history, and checkpoints; without `validation` it measures nothing else.
    monitor : str, optional
        The value by which evaluations are compared: by default ``"validation_loss"``, or ``"loss"`` without
        `validation`; or e.g. ``"validation_accuracy"``.
    mode : str, optional
        Whether a lower (``"min"``) or a higher value (``"max"``) of `monitor` is better. Needed for a metric.
    patience : int, default 0
        Stop after this many evaluations without improvement; 0 means never.
    restore_best : bool, default True
        Whether the model ends with the weights of the best evaluation, if there is `validation` or `patience`.
        Otherwise it ends with the last weights.
    clip_norm : float, default inf
        Maximum norm of the gradient.
    precision : str, default "float32"
        ``"bfloat16"`` to train inside `autocast`. Evaluations use float32.
    stateful : bool, default False
        Truncated backpropagation through time: ``model(*inputs, state)`` returns ``(outputs, state)``, and the state is
        passed on to the next batch, without its history. It is None at the start of each epoch.
    callbacks : Callback or sequence of Callback, optional
        Objects whose hooks are called; see `Callback`.
    run : str, path-like or RunFolder, optional
        A folder for checkpoints and metrics, which a kill at any moment leaves intact. SIGINT (Ctrl-C), SIGTERM and
        SIGHUP then end the step and save it before they have their usual effect.
    resume : bool or str, default False
        True continues the run in the folder `run` with the same bits as if it had never stopped, if model, batches,
        loss and options are the same. ``"auto"`` starts a run if there is none. The name of a checkpoint, such as
        ``"best"`` or ``"step-000100"``, goes back to it. A run that has finished is not trained further: its history is
        returned, and its weights are loaded.
    force : bool, default False
        Whether to replace an existing run.
    log : callable or sequence of callable, optional
        ``log(row)`` is called with each row, a dict of numbers. The default prints it; None does nothing.
    report_every : int, optional
        Steps between rows without an evaluation; by default there are none. If evaluations end the epochs, the batches
        must have a length.
    progress : bool or callable, optional
        True shows a line about the progress on standard error, False none; the default is True on a terminal. Or
        ``progress(stage, done, total)``, called for each batch; an unknown total is 0.

    Returns
    -------
    History
        The rows of metrics.

    Raises
    ------
    ArgumentError
        If an argument is out of range, does not fit the others, or a batch is no pair.
    DataError
        If an epoch has no batches.
    ShapeError, DtypeError
        If the loss is no scalar tensor.
    AnomalyError
        If a loss or a gradient is not finite. The parameters keep their values of the step before.
    CheckpointError
        If the run folder cannot be created, read or written, or belongs to another model or optimiser.

    Examples
    --------
    >>> import numpy as np, tinygrad_seq as ts
    >>> generator = ts.manual_seed(0)
    >>> x = generator.normal(size=(64, 3)).astype("float32")
    >>> y = x @ np.array([[1.0], [-2.0], [0.5]], "float32")
    >>> batches = [(x[n : n + 16], y[n : n + 16]) for n in range(0, 48, 16)]
    >>> model = ts.nn.Linear(3, 1)
    >>> adam = ts.optim.Adam(model.parameters(), lr=0.1)
    >>> history = ts.fit(
    ...     model, batches, ts.mse_loss, optimizer=adam, epochs=60, validation=[(x[48:], y[48:])], patience=5, log=None
    ... )
    >>> history["validation_loss"][0] > 0.1 > history.best["validation_loss"]
    True
    """
    check_call(model, batches, loss, stateful=stateful, validation=validation, test=test, metrics=metrics)
    limits = checked_limits(epochs, steps, minutes, evaluate_every, report_every, patience, batches)
    checked_source("fit", "batches", batches, epochs=limits.epochs or 1)
    optimizer = checked_optimizer(model, optimizer, scheduler, clip_norm)
    history = History(monitor=(chosen := checked_monitor(monitor, mode, validation, metrics or {}))[0], mode=chosen[1])
    check_folder(run, resume=resume, force=force)
    logs, show = checked_logs(log), _progress(progress)
    task = Task(model, loss, stateful, "fit")
    updates = BatchUpdates(
        task, batches, optimizer, scheduler=scheduler, clip_norm=float(clip_norm), precision=precision
    )
    this = Fit(
        task,
        updates,
        limits,
        validation=validation,
        test=test,
        metrics=metrics or {},
        callbacks=Callbacks("fit", callbacks),
        history=history,
        patience=patience,
        restore_best=restore_best,
        progress=show,
    )
    config = this._description(loss, precision)
    world().check("fit", config)
    modes = [(part, part.training) for part in model.modules()]
    try:
        with open_folder(this, run, config, resume=resume, force=force) as (folder, stop):
            this._run(folder, stop, logs)
    finally:
        for part, training in modes:
            part.training = training
        if isinstance(show, ProgressLine):
            show.clear()
    return history


def _progress(progress: Any) -> Progress:
    """Return the function that is told what is being done."""
    if progress is None or isinstance(progress, bool):
        shown = world().is_writer and (sys.stderr.isatty() if progress is None else progress)
        return ProgressLine() if shown else lambda *_: None
    if not callable(progress):
        raise ArgumentError(
            f"fit: expected progress to be a bool or a function of (stage, done, total), got {progress!r}; correct it."
        )
    chosen: Progress = progress
    return chosen


def _options(optimizer: optim.Optimizer) -> dict[str, Any]:
    """Return the options of an optimiser before any schedule; the names of the groups after the first are numbered."""
    options: dict[str, Any] = {}
    for number, group in enumerate(optimizer.state_dict()["param_groups"]):
        group["lr"] = group.pop("initial_lr", group["lr"])
        suffix = f" of group {number}" if number else ""
        options |= {f"{name}{suffix}": value for name, value in group.items() if name != "params"}
    return options
