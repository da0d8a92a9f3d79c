"""The training loop in the open: truncated backpropagation through time, one update a window."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from ..autograd.tensor import Tensor
from ..base import settings
from ..base.modes import no_grad
from ..base.tree import flatten, map_leaves
from ..data import Windows
from ..errors import AnomalyError, ArgumentError, CheckpointError
from ..functional import cross_entropy
from ..kernels.allocator import keep_freed_memory
from ..nn import Module, detach_state, evaluating
from ..optim import Optimizer, ReduceLROnPlateau, Scheduler, clip_grad_norm_


class Step(NamedTuple):
    """One update: its number (from 1), the loss in nats per token, the norm of the gradient before clipping.

    Parameters
    ----------
    number : int
        From 1.
    loss : float
        In nats per token.
    gradient_norm : float
        Before clipping.
    lr : float
        The learning rate.
    tokens : int
        How many tokens were read.

    Examples
    --------
    >>> import tinygrad_seq as ts
    >>> ts.train.Step(number=1, loss=4.5, gradient_norm=0.5, lr=1e-3, tokens=2048).loss
    4.5
    """

    number: int
    loss: float
    gradient_norm: float
    lr: float
    tokens: int


class TrainingSteps:
    """An endless iterator over updates of a language model: one window of text, one update, one `Step`.

    The state of the network goes on from window to window without its history, and starts anew with each pass over
    the text. Iterating goes on where it was left, so ``break`` and a later ``for`` lose nothing.

    Parameters
    ----------
    model
        ``model(tokens (T, N), state) -> (logits (T, N, V), state)``, the state None at the start.
    windows
        The text.
    optimizer
        Over the parameters of `model`.
    scheduler
        One or several, which act together. Each is stepped after each update, but for a `ReduceLROnPlateau`, which the
        caller steps with the held-out loss.
    clip_norm
        The greatest norm of the gradient.
    begins, restart
        The token that begins a unit of the text, e.g. ``<EOS>``, and how often, from 0 to 1, the state is then set to
        the initial state: a model that is to begin texts has to be trained in that. The model then takes `reset`, the
        flags (T, N) of the steps, too.

    Raises
    ------
    ArgumentError
        If `restart` is no probability.
    AnomalyError
        While iterating, if a loss or gradient is not finite; the parameters are as they were before that step.

    Examples
    --------
    >>> import tinygrad_seq as ts
    >>> from tinygrad_seq.train import LanguageModel, TrainingSteps
    >>> _ = ts.manual_seed(0)
    >>> model = LanguageModel(5, embedding_size=4, hidden_size=8, cell="gru")
    >>> windows = ts.data.Windows([0, 1, 2, 3, 4] * 20, batch_size=2, window=10)
    >>> steps = TrainingSteps(model, windows, ts.optim.Adam(model.parameters(), lr=0.05), clip_norm=1.0)
    >>> for step in steps:
    ...     if step.number == 60:
    ...         break
    >>> step.loss < 0.5
    True
    """

    def __init__(
        self,
        model: Module,
        windows: Windows,
        optimizer: Optimizer,
        *,
        scheduler: Scheduler | Sequence[Scheduler] | None = None,
        clip_norm: float = math.inf,
        begins: int | None = None,
        restart: float = 0.0,
    ) -> None:
        if not 0 <= restart <= 1:
            raise ArgumentError(f"TrainingSteps: expected restart to be from 0 to 1, got {restart!r}; pass e.g. 0.1.")
        keep_freed_memory()
        self.model = model
        self.windows = windows
        self.optimizer = optimizer
        self.scheduler = scheduler
        self.clip_norm = clip_norm
        self.begins, self.restart = begins, restart
        self.number = 0
        self.state: Any = None

    def __iter__(self) -> Iterator[Step]:
        while True:
            for inputs, targets in self.windows:
                yield self._update(inputs, targets)
            self.state = None

    def _update(self, inputs: np.ndarray[Any, Any], targets: np.ndarray[Any, Any]) -> Step:
        if not self.model.training:  # parts that are in evaluation while the model is not are so on purpose
            self.model.train()
        self.optimizer.zero_grad()
        options = {}
        if self.begins is not None and self.restart:
            chosen = settings.generator().random(inputs.shape) < self.restart
            options["reset"] = (inputs == self.begins) & chosen
        logits, state = self.model(inputs, self.state, **options)
        loss = cross_entropy(logits, targets)
        loss.backward()
        norm = clip_grad_norm_(self.model.parameters(), self.clip_norm)
        if not math.isfinite(norm) or not math.isfinite(loss.item()):
            raise AnomalyError(
                f"TrainingSteps: expected a finite loss and gradient at step {self.number + 1}, got loss {loss.item()} "
                f"and norm {norm}; go on from the last checkpoint with a smaller lr, or clip more."
            )
        lr = self.optimizer.param_groups[0]["lr"]
        self.optimizer.step()
        for schedule in flatten(self.scheduler)[0]:
            if not isinstance(schedule, ReduceLROnPlateau):
                schedule.step()
        self.state = detach_state(state)
        self.number += 1
        return Step(self.number, float(loss.item()), norm, lr, targets.size)

    def state_dict(self) -> dict[str, Any]:
        """Return all that `load_state_dict` needs to go on bit for bit; `save_checkpoint` can write it."""
        return {
            "number": self.number,
            "state": map_leaves(lambda leaf: leaf.numpy().copy(), self.state),
            "windows": self.windows.state_dict(),
            "model": dict(self.model.state_dict()),
            "optimizer": self.optimizer.state_dict(),
            "scheduler": map_leaves(lambda schedule: schedule.state_dict(), self.scheduler),
            "generator": settings.generator().bit_generator.state,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from `state`, with the same kind of model, text, optimiser and schedule.

        Parameters
        ----------
        state : dict
            What `state_dict` returned.

        Raises
        ------
        CheckpointError
            If `state` lacks something. Other errors come from the part that does not fit.
        """
        if missing := self.state_dict().keys() - state.keys():
            raise CheckpointError(
                f"TrainingSteps.load_state_dict: expected what state_dict returns, got none of {sorted(missing)}; "
                "load a checkpoint of a training run."
            )
        schedules, saved = flatten(self.scheduler)[0], state["scheduler"]
        saved = list(saved) if isinstance(saved, list | tuple) else [saved] * (saved is not None)
        if len(schedules) != len(saved):
            raise CheckpointError(
                f"TrainingSteps.load_state_dict: expected the state of {len(schedules)} schedules, got that of "
                f"{len(saved)}; make the schedules that the saved run had."
            )
        self.windows.load_state_dict(state["windows"])
        self.model.load_state_dict(state["model"])
        self.optimizer.load_state_dict(state["optimizer"])
        for schedule, part in zip(schedules, saved, strict=True):
            schedule.load_state_dict(part)
        self.state = map_leaves(Tensor, state["state"])
        self.number = state["number"]
        settings.generator().bit_generator.state = state["generator"]


def evaluate(model: Module, tokens: ArrayLike, *, batch_size: int = 32, window: int = 64) -> float:
    """Return the mean loss of `model` on `tokens`, shape (T,), in nats per token; nothing is learned.

    The text is read as in training: by at most `batch_size` readers, the state going on from window to window.

    Parameters
    ----------
    model : Module
        A `LanguageModel` or another module that takes tokens and a state.
    tokens : array_like
        Integers (T,).
    batch_size : int, default 32
        How many streams are read at once.
    window : int, default 64
        How many tokens of each stream are read at a time.

    Returns
    -------
    float
        In nats per token.

    Raises
    ------
    DataError
        If there are fewer than 2 tokens.

    Examples
    --------
    >>> import tinygrad_seq as ts
    >>> model = ts.train.LanguageModel(5, embedding_size=4, hidden_size=8)
    >>> ts.train.evaluate(model, [1, 2, 3, 4, 1, 2], batch_size=1, window=2) > 0
    True
    """
    row = np.asarray(tokens)
    readers = max(1, min(batch_size, (len(row) - 1) // window))
    windows = Windows(row, readers, min(window, max(1, (len(row) - 1) // readers)))
    with evaluating(model), no_grad():
        state, total, count = None, 0.0, 0
        for inputs, targets in windows:
            logits, state = model(inputs, state)
            total += cross_entropy(logits, targets, reduction="sum").item()
            count += targets.size
    return total / count
