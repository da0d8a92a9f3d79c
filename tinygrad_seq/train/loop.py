"""The training loop: truncated backpropagation through time, one update per window."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from ..autograd.tensor import Tensor
from ..base import settings
from ..base.modes import autocast, no_grad
from ..base.tree import flatten, map_leaves
from ..data import Windows
from ..errors import AnomalyError, ArgumentError, CheckpointError
from ..functional import cross_entropy
from ..kernels.allocator import keep_freed_memory
from ..nn import Module, detach_state, evaluating
from ..optim import Optimizer, ReduceLROnPlateau, Scheduler


class Step(NamedTuple):
    """The measurements of one update.

    Attributes
    ----------
    number : int
        The number of the update, from 1.
    loss : float
        Mean loss in nats per token.
    gradient_norm : float
        Norm of the gradient before clipping.
    lr : float
        Learning rate of the update.
    tokens : int
        Number of target tokens.

    Examples
    --------
    >>> from tinygrad_seq.train import Step
    >>> Step(number=1, loss=2.3, gradient_norm=0.7, lr=0.01, tokens=2048).loss
    2.3
    """

    number: int
    loss: float
    gradient_norm: float
    lr: float
    tokens: int


class TrainingSteps:
    """Train a language model: an endless iterator that makes one update per window of text and yields one `Step`.

    The state of the network is carried from window to window, detached from its history, and starts over with each pass
    over the text. Iterating again continues where the previous loop stopped, also after ``break``.

    Parameters
    ----------
    model : Module
        ``model(tokens (T, N), state) -> (logits (T, N, V), state)``; `state` is None at the start.
    windows : Windows
        The text.
    optimizer : Optimizer
        An optimiser of the parameters of `model`.
    scheduler : Scheduler or sequence of Scheduler, optional
        Stepped after each update, except a `ReduceLROnPlateau`, which the caller steps with the held-out loss.
    clip_norm : float, default inf
        Maximum norm of the gradient.
    begins : int, optional
        The token at which a unit of the text starts, e.g. ``<EOS>``.
    restart : float, default 0.0
        Probability that the state is reset at the token `begins`. A model that is to start texts has to be trained from
        the initial state. If it is positive, `model` must accept ``reset``, flags of shape (T, N).
    precision : str, default "float32"
        ``"bfloat16"`` to train inside `autocast`.
    loss : callable, optional
        ``loss(tokens (T, N), targets (T, N), state) -> (mean loss, state)``, such as `LanguageModel.loss`, which keeps
        no logits in memory. By default the cross entropy of what `model` returns.

    Raises
    ------
    ArgumentError
        If `restart` is not in [0, 1], or `precision` is another one.
    AnomalyError
        While iterating, if a loss or gradient is not finite; the parameters keep their values in that case.

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
        precision: str = "float32",
        loss: Callable[..., tuple[Tensor, Any]] | None = None,
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
        self._casting = autocast(precision)
        self._loss = self._loss_of_logits if loss is None else loss
        self.number = 0
        self.state: Any = None

    def __iter__(self) -> Iterator[Step]:
        while True:
            for inputs, targets in self.windows:
                yield self._update(inputs, targets)
            self.state = None

    def _update(self, inputs: np.ndarray[Any, Any], targets: np.ndarray[Any, Any]) -> Step:
        if not self.model.training:  # submodules may be in evaluation mode on purpose
            self.model.train()
        self.optimizer.zero_grad()
        options = {}
        if self.begins is not None and self.restart:
            chosen = settings.generator().random(inputs.shape) < self.restart
            options["reset"] = (inputs == self.begins) & chosen
        with self._casting:
            loss, state = self._loss(inputs, targets, self.state, **options)
        loss.backward()
        lr = self.optimizer.param_groups[0]["lr"]
        norm = self._step(loss.item())
        for schedule in flatten(self.scheduler)[0]:
            if not isinstance(schedule, ReduceLROnPlateau):
                schedule.step()
        self.state = detach_state(state)
        self.number += 1
        return Step(self.number, float(loss.item()), norm, lr, targets.size)

    def _loss_of_logits(self, tokens: ArrayLike, targets: ArrayLike, state: Any, **options: Any) -> tuple[Tensor, Any]:
        logits, state = self.model(tokens, state, **options)
        return cross_entropy(logits, targets, axis=-1), state

    def _step(self, loss: float) -> float:
        """Clip and update; return the norm of the gradient. Raise unless the loss and the norm are finite."""
        found, cause = f"loss {loss}", None
        try:
            if math.isfinite(loss):
                return self.optimizer.step(max_norm=self.clip_norm)
        except AnomalyError as error:
            found, cause = f"loss {loss} and gradients that are not", error
        raise AnomalyError(
            f"TrainingSteps: expected a finite loss and gradient at step {self.number + 1}, got {found}; resume from a "
            "checkpoint with a smaller lr or clip_norm, or start again with them."
        ) from cause

    def state_dict(self) -> dict[str, Any]:
        """Return the state that `load_state_dict` restores bit for bit; `save_checkpoint` can write it."""
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
        """Restore `state`; the model, text, optimiser and schedules must be of the same kind.

        Parameters
        ----------
        state : dict
            What `state_dict` returned.

        Raises
        ------
        CheckpointError
            If an entry or the state of a schedule is missing. The part that an entry does not fit raises its own error.
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
                f"{len(saved)}; create the same schedules as in the saved run."
            )
        self.windows.load_state_dict(state["windows"])
        self.model.load_state_dict(state["model"])
        self.optimizer.load_state_dict(self._renumbered(state["optimizer"], state["model"]))
        for schedule, part in zip(schedules, saved, strict=True):
            schedule.load_state_dict(part)
        self.state = map_leaves(Tensor, state["state"])
        self.number = state["number"]
        settings.generator().bit_generator.state = state["generator"]

    def _renumbered(self, optimizer: dict[str, Any], model: dict[str, Any]) -> dict[str, Any]:
        """Return the state of the optimiser with the parameters numbered as they are today.

        Before 0.2, parameters of a user's cell could come after those of the modules in it. A checkpoint numbers them
        in the order in which it holds the model.
        """
        named = dict(self.model.named_parameters(remove_duplicate=False))
        saved = list(dict.fromkeys(id(named[name]) for name in model if name in named))
        today = [id(parameter) for parameter in self.model.parameters()]
        trained = [id(parameter) for group in self.optimizer.param_groups for parameter in group["params"]]
        if saved == today or trained != today or sorted(saved) != sorted(today):
            return optimizer
        states = {today.index(saved[int(number)]): state for number, state in optimizer["state"].items()}
        return {**optimizer, "state": states}


def evaluate(
    model: Module,
    tokens: ArrayLike,
    *,
    batch_size: int = 32,
    window: int = 64,
    limit: int = 0,
    progress: Callable[[int, int], object] | None = None,
) -> float:
    """Return the mean loss of a language model on a text, without training it.

    The text is read as in training: in at most `batch_size` parallel streams, with the state carried from window to
    window. A `limit` reads the first part of each stream, so what is read is spread over the whole text.

    Parameters
    ----------
    model : Module
        ``model(tokens (T, N), state) -> (logits (T, N, V), state)``.
    tokens : array_like of int, shape (tokens,)
        The text, at least two tokens.
    batch_size : int, default 32
        Maximum number of streams.
    window : int, default 64
        Maximum number of tokens per window.
    limit : int, default 0
        Maximum number of tokens to read, but at least one per stream; 0 means all.
    progress : callable, optional
        ``progress(done, total)`` is called before each window and at the end, with numbers of tokens. An exception
        that it raises ends the evaluation and passes through.

    Returns
    -------
    float
        Mean loss in nats per token.

    Raises
    ------
    DataError
        If there are fewer than two tokens.

    Examples
    --------
    >>> from tinygrad_seq.train import LanguageModel, evaluate
    >>> model = LanguageModel(5, embedding_size=4, hidden_size=8)
    >>> 1.2 < evaluate(model, [0, 1, 2, 3, 4] * 10) < 2.2  # untrained: about ln 5 = 1.61
    True
    """
    row = np.asarray(tokens)
    streams = max(1, min(batch_size, (len(row) - 1) // window))
    length = max(1, (len(row) - 1) // streams)
    windows = Windows(row, streams, min(window, length))
    length = min(length, max(1, limit // streams)) if limit else length
    with evaluating(model), no_grad():
        state, total, count = None, 0.0, 0
        for inputs, targets in windows:
            if progress is not None:
                progress(count, length * streams)
            left = length - count // streams
            logits, state = model(inputs[:left], state)
            total += cross_entropy(logits, targets[:left], axis=-1, reduction="sum").item()
            count += targets[:left].size
            if left <= window:
                break
    if progress is not None:
        progress(count, count)
    return total / count
