"""A run of `fit`: its updates, its callbacks, and what it measures."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from .. import optim
from ..autograd.tensor import Tensor
from ..base.tree import flatten
from ..distributed import world
from ..errors import ArgumentError, CheckpointError
from .driver import Driver, Folder, Limits, Progress
from .epochs import Epochs, Source, size_of
from .history import History
from .measuring import Loss, Task, measured
from .metrics import Row
from .progress_line import ProgressLine
from .run_folder import RunFolder
from .stopping import EarlyStopping
from .updates import Step, Updates

Log = Callable[[Row], object]
HOOKS = ("on_start", "on_step", "on_evaluation", "on_end")


class Callback:
    """Base class of callbacks, whose hooks do nothing; a callback may also be any object with some of these hooks.

    `fit` is the run: ``fit.model``, ``fit.optimizer``, ``fit.step`` (the number of steps), ``fit.epoch``,
    ``fit.history``, and ``fit.stop()``, which ends the run after this step with an evaluation. If a callback has
    `state_dict` and `load_state_dict`, its state becomes part of each checkpoint.

    Examples
    --------
    >>> import tinygrad_seq as ts
    >>> class StopBelow(ts.train.Callback):
    ...     def on_step(self, fit, step):
    ...         if step.loss < 0.1:
    ...             fit.stop()
    >>> model = ts.nn.Linear(1, 1)
    >>> batches = [(ts.ones(4, 1), ts.ones(4, 1))]
    >>> adam = ts.optim.Adam(model.parameters(), lr=0.1)
    >>> history = ts.fit(model, batches, ts.mse_loss, optimizer=adam, steps=500, callbacks=[StopBelow()], log=None)
    >>> history["loss"][-1] < 0.1, history.steps < 500
    (True, True)
    """

    def on_start(self, fit: Fit) -> None:
        """Act before the first step, also of a run that is resumed.

        Parameters
        ----------
        fit : Fit
            The run.
        """

    def on_step(self, fit: Fit, step: Step) -> None:
        """Act after an update.

        Parameters
        ----------
        fit : Fit
            The run.
        step : Step
            The measurements of the update.
        """

    def on_evaluation(self, fit: Fit, row: Row) -> None:
        """Act after an evaluation, before its row is written.

        Parameters
        ----------
        fit : Fit
            The run.
        row : dict
            Numbers by name; those that are added become part of the history.
        """

    def on_end(self, fit: Fit) -> None:
        """Act after the last step, before the best weights are loaded.

        Parameters
        ----------
        fit : Fit
            The run.
        """


class Callbacks:
    """The callbacks of a run, called in their order."""

    def __init__(self, caller: str, callbacks: Any) -> None:
        given = list(callbacks) if isinstance(callbacks, list | tuple) else [callbacks]
        for callback in given:
            if isinstance(callback, type) or not any(callable(getattr(callback, hook, None)) for hook in HOOKS):
                raise ArgumentError(
                    f"{caller}: expected each callback to have one of the hooks {', '.join(HOOKS)}, got {callback!r}; "
                    "pass an object of a subclass of ts.train.Callback."
                )
        self._caller = caller
        self._by_hook = {
            hook: [getattr(callback, hook) for callback in given if callable(getattr(callback, hook, None))]
            for hook in HOOKS
        }
        self._with_state = [callback for callback in given if hasattr(callback, "state_dict")]

    def call(self, hook: str, *arguments: Any) -> None:
        """Call a hook of each callback."""
        for function in self._by_hook[hook]:
            function(*arguments)

    def state_dict(self) -> list[Any]:
        """Return the states of the callbacks that have one."""
        return [callback.state_dict() for callback in self._with_state]

    def load_state_dict(self, states: Sequence[Any]) -> None:
        """Restore `states`.

        Raises
        ------
        CheckpointError
            If there are more or fewer of them than callbacks with a state.
        """
        if len(states) != len(self._with_state):
            raise CheckpointError(
                f"{self._caller}: expected {len(states)} callbacks with a state, as the run was started, got "
                f"{len(self._with_state)}; pass the same callbacks."
            )
        for callback, state in zip(self._with_state, states, strict=True):
            callback.load_state_dict(state)


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
        self._total = min((number for number in (limits.steps, limits.epochs * (size or 0)) if number), default=0)

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
        is_last = self._epochs.number == self.limits.epochs
        ends_in_evaluation = self._epochs.at_end and (is_last or not self.limits.evaluate_every)
        return super()._reports() and not ends_in_evaluation

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


def _options(optimizer: optim.Optimizer) -> dict[str, Any]:
    """Return the options of an optimiser before any schedule; the names of the groups after the first are numbered."""
    options: dict[str, Any] = {}
    for number, group in enumerate(optimizer.state_dict()["param_groups"]):
        group["lr"] = group.pop("initial_lr", group["lr"])
        suffix = f" of group {number}" if number else ""
        options |= {f"{name}{suffix}": value for name, value in group.items() if name != "params"}
    return options
