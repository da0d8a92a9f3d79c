"""One update per batch: what the training loops of this package share."""

from __future__ import annotations

import contextlib
import math
import zlib
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from ..autograd.tensor import Tensor
from ..base import settings
from ..base.modes import autocast
from ..base.switches import current
from ..base.tree import flatten, map_leaves
from ..distributed import world
from ..errors import AnomalyError, CheckpointError
from ..kernels.allocator import keep_freed_memory
from ..nn import Module, detach_state
from ..optim import Optimizer, ReduceLROnPlateau, Scheduler


class Step(NamedTuple):
    """The measurements of one update.

    Attributes
    ----------
    number : int
        The number of the update, from 1.
    loss : float
        Mean loss of the batch; of a language model in nats per token.
    gradient_norm : float
        Norm of the gradient before clipping.
    lr : float
        Learning rate of the update.
    weight : float
        What the loss is a mean over; of a language model the number of target tokens.

    Examples
    --------
    >>> from tinygrad_seq.train import Step
    >>> Step(number=1, loss=2.3, gradient_norm=0.7, lr=0.01, weight=2048).loss
    2.3
    """

    number: int
    loss: float
    gradient_norm: float
    lr: float
    weight: float

    @property
    def tokens(self) -> int:
        """The weight of a language model's step: the number of target tokens."""
        return int(self.weight)


class Updates(ABC):
    """Train a model: an endless iterator that makes one update per batch and yields one `Step`.

    A recurrent state may be carried from batch to batch, detached from its history; it starts over with each pass over
    the batches. A subclass says where batches come from and what their loss is.

    Parameters
    ----------
    model : Module
        The model.
    optimizer : Optimizer
        An optimiser of parameters of `model`.
    scheduler : Scheduler or sequence of Scheduler, optional
        Stepped after each update, except a `ReduceLROnPlateau`, which the caller steps with a held-out loss.
    clip_norm : float, default inf
        Maximum norm of the gradient.
    precision : str, default "float32"
        ``"bfloat16"`` to train inside `autocast`.
    """

    # In messages: what the user called, and what to do if training diverges.
    _caller = "TrainingSteps"
    _advice = "resume from a checkpoint with a smaller lr or clip_norm, or start again with them"

    def __init__(
        self,
        model: Module,
        optimizer: Optimizer,
        *,
        scheduler: Scheduler | Sequence[Scheduler] | None = None,
        clip_norm: float = math.inf,
        precision: str = "float32",
    ) -> None:
        keep_freed_memory()
        self.model = model
        self.optimizer = optimizer
        self.scheduler = scheduler
        self.clip_norm = clip_norm
        self._casting, self._precision = autocast(precision), precision
        self._world = world()
        self._are_equal = False
        self.number = 0
        self.state: Any = None

    def __iter__(self) -> Iterator[Step]:
        while True:
            if (step := self.advance()) is not None:
                yield step

    def advance(self) -> Step | None:
        """Make the next update.

        Returns
        -------
        Step or None
            Its measurements; None if a pass over the batches has just ended, and no update was made.
        """
        batch = self._next_batch()
        if batch is None:
            self.state = None
            return None
        return self._update(*batch)

    @abstractmethod
    def _next_batch(self) -> tuple[Any, Any] | None:
        """Return the inputs and the targets of this rank's next update; None once at the end of each pass."""

    @abstractmethod
    def _loss_of(self, inputs: Any, targets: Any) -> tuple[Tensor, float, Any]:
        """Return the mean loss of a batch, its weight, and the state to carry on."""

    def _update(self, inputs: Any, targets: Any) -> Step:
        if not self.model.training:  # submodules may be in evaluation mode on purpose
            self.model.train()
        if not self._are_equal:
            self.check_ranks()
        self.optimizer.zero_grad()
        casting = contextlib.nullcontext() if current().precision == self._precision else self._casting
        with casting, self._world.draws(self.number):
            loss, weight, state = self._loss_of(inputs, targets)
        loss.backward()
        lr = self.optimizer.param_groups[0]["lr"]
        trained = (parameter for group in self.optimizer.param_groups for parameter in group["params"])
        mean, weight = self._world.average(trained, loss.item(), weight)
        norm = self._step(mean)
        if self.scheduler is not None:
            for schedule in flatten(self.scheduler)[0]:
                if not isinstance(schedule, ReduceLROnPlateau):
                    schedule.step()
        self.state = detach_state(state)
        self.number += 1
        return Step(self.number, mean, norm, lr, weight)

    def check_ranks(self) -> None:
        """Raise an ArgumentError on all ranks unless all have the same weights and the same random generator."""
        if self._world.size > 1:
            named = {name: parameter.numpy() for name, parameter in self.model.named_parameters()}
            facts = {
                "the number of updates": self.number,
                "the parameters": [[name, list(array.shape), str(array.dtype)] for name, array in named.items()],
                "the random generator (ts.manual_seed)": repr(settings.generator().bit_generator.state),
                "the checksums of the weights": [zlib.crc32(array.tobytes()) for array in named.values()],
            }
            self._world.check(self._caller, facts)
        self._are_equal = True

    def _step(self, loss: float) -> float:
        """Clip and update; return the norm of the gradient. Raise unless the loss and the norm are finite."""
        found, cause = f"loss {loss}", None
        try:
            if math.isfinite(loss):
                return self.optimizer.step(max_norm=self.clip_norm)
        except AnomalyError as error:
            found, cause = f"loss {loss} and gradients that are not", error
        raise AnomalyError(
            f"{self._caller}: expected a finite loss and gradient at step {self.number + 1}, got {found}; "
            f"{self._advice}."
        ) from cause

    # ------------------------------------------------------------------------------------------- saved state

    @abstractmethod
    def _position(self) -> dict[str, Any]:
        """Return the position in the batches, as entries of `state_dict`."""

    @abstractmethod
    def _load_position(self, state: dict[str, Any]) -> None:
        """Restore what `_position` returned."""

    def state_dict(self) -> dict[str, Any]:
        """Return the state that `load_state_dict` restores bit for bit; `save_checkpoint` can write it."""
        return {
            "number": self.number,
            "state": self._world.gather_rows(map_leaves(lambda leaf: leaf.numpy().copy(), self.state)),
            **self._position(),
            "model": dict(self.model.state_dict()),
            "optimizer": self.optimizer.state_dict(),
            "scheduler": map_leaves(lambda schedule: schedule.state_dict(), self.scheduler),
            "generator": settings.generator().bit_generator.state,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore `state`; the model, batches, optimiser and schedules must be of the same kind.

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
                f"{self._caller}.load_state_dict: expected what state_dict returns, got none of {sorted(missing)}; "
                "load a checkpoint of a training run."
            )
        schedules, saved = flatten(self.scheduler)[0], state["scheduler"]
        saved = list(saved) if isinstance(saved, list | tuple) else [saved] * (saved is not None)
        if len(schedules) != len(saved):
            raise CheckpointError(
                f"{self._caller}.load_state_dict: expected the state of {len(schedules)} schedules, got that of "
                f"{len(saved)}; create the same schedules as in the saved run."
            )
        self._load_position(state)
        self.model.load_state_dict(state["model"])
        self.optimizer.load_state_dict(self._renumbered(state["optimizer"], state["model"]))
        for schedule, part in zip(schedules, saved, strict=True):
            schedule.load_state_dict(part)
        self.state = map_leaves(
            lambda leaf: Tensor(leaf[self._world.rows(len(leaf))] if leaf.ndim else leaf), state["state"]
        )
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
