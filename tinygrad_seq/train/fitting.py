"""Train any model on any batches: `fit`."""

from __future__ import annotations

import math
import os
import sys
from collections.abc import Mapping, Sequence
from typing import Any

from .. import optim
from ..distributed import world
from ..errors import ArgumentError
from ..nn import Module
from .driver import Progress
from .epochs import Source, checked_source
from .fit_arguments import check_call, checked_limits, checked_logs, checked_monitor, checked_optimizer
from .fit_folder import check_folder, open_folder
from .fit_run import BatchUpdates, Callbacks, Fit, Log
from .history import History, print_row
from .measuring import Loss, Task
from .progress_line import ProgressLine
from .run_folder import RunFolder


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
        The number of passes over the batches, and of updates. One of `epochs`, `steps` and `minutes` is needed; the run
        ends at what comes first.
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
        It is a tensor, or tuples, lists and dicts of tensors; a checkpoint keeps no other types, e.g. named tuples.
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
    monitor, mode = checked_monitor(monitor, mode, validation, metrics or {})
    history = History(monitor=monitor, mode=mode)
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
