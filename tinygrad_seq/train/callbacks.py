"""Functions of the user that a training run calls."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from ..errors import ArgumentError, CheckpointError
from .metrics import Row
from .updates import Step

if TYPE_CHECKING:
    from .fitting import Fit

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
