"""What all schedules share: how several of them act on one optimiser, and their saved state."""

from __future__ import annotations

import math
import sys
from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any, ClassVar, NoReturn

import numpy as np

from ..errors import ArgumentError
from .optimizer import Optimizer
from .validation import is_finite, shown


class Scheduler(ABC):
    """Base class of the schedules: sets the learning rates to a function of t, the number of steps so far.

    The rate is computed from the rate before the first schedule, never from the previous rate. So rounding errors do
    not accumulate, and the initial rates and t are the whole state. Create the schedule after the optimiser; call
    `step` once per epoch or once per update, after ``optimizer.step()``.

    Several schedules of one optimiser act together, in the order of their creation: each takes the rate of the previous
    schedule as its base. For example, a plateau after a warm-up reduces the rate of the warm-up. Step each schedule, or
    combine them with `ChainedScheduler` or `SequentialLR`.

    Parameters
    ----------
    optimizer : Optimizer
        Its groups get an entry ``"initial_lr"``, the rate before any schedule, which its `state_dict` contains. To
        start over from rates set by hand, remove that entry from every group; earlier schedules then no longer act.
    last_epoch : int, default -1
        -1 starts at t = 0. To continue after t = n, pass n, with ``"initial_lr"`` in every group, e.g. from
        ``optimizer.load_state_dict``: the schedule is then at t = n + 1, as in PyTorch. To restore a schedule exactly,
        pass its ``last_epoch - 1``, or use `load_state_dict`.

    Attributes
    ----------
    base_lrs : list of float
        The ``"initial_lr"`` of every group.
    last_epoch : int
        t.

    Raises
    ------
    ArgumentError
        If an argument is outside its range, a group has no ``"initial_lr"``, or rates were set by hand after an earlier
        schedule set them.

    Examples
    --------
    >>> import tinygrad_seq as ts
    >>> optimizer = ts.optim.SGD([ts.tensor([1.0])], lr=1.0)
    >>> warmup = ts.optim.LinearWarmup(optimizer, warmup_steps=2)
    >>> decay = ts.optim.ExponentialLR(optimizer, gamma=0.5)
    >>> for scheduler in (warmup, decay):
    ...     scheduler.step()
    >>> decay.get_last_lr()
    [0.5]
    """

    _state: ClassVar[tuple[str, ...]] = ("base_lrs", "last_epoch")

    def __init__(self, optimizer: Optimizer, last_epoch: int = -1) -> None:
        self._require(isinstance(optimizer, Optimizer), "an optimizer", optimizer, "pass e.g. an SGD")
        self.optimizer = optimizer
        t = self._count("last_epoch", last_epoch, least=-1) + 1
        begun = ["initial_lr" in group for group in optimizer.param_groups]
        if not any(begun):
            optimizer._schedules.clear()
        if t:
            advice = "load the optimizer's state_dict first, or give its groups an initial_lr"
            self._require(all(begun), "initial_lr in every group to continue from last_epoch", "none", advice)
        elif optimizer._schedules:
            now = [group["lr"] for group in optimizer.param_groups]
            advice = (
                "create all schedules before optimizer.load_state_dict; to start over from these rates, remove "
                "'initial_lr' from every group"
            )
            set_last = optimizer._scheduled_lrs[: len(now)]
            self._require(
                now[: len(set_last)] == set_last, f"the rates {set_last} of the earlier schedules", now, advice
            )
        for group in optimizer.param_groups:
            group.setdefault("initial_lr", group["lr"])
        self._go_to(t)
        optimizer._schedules.append(self)
        self._apply()

    @property
    def base_lrs(self) -> list[float]:
        """The learning rate of every group before any schedule."""
        return [group["initial_lr"] for group in self.optimizer.param_groups if "initial_lr" in group]

    def step(self) -> None:
        """Count one step and set the learning rates.

        Raises
        ------
        ArgumentError
            If the schedule is part of another one or was replaced, or a group was added without an ``"initial_lr"``.
        """
        acts = any(schedule is self for schedule in self.optimizer._schedules)
        got = "one that is part of another, or was replaced"
        self._require(acts, "a schedule that acts by itself", got, "step the schedule that contains it")
        self._go_to(self.last_epoch + 1)
        self._apply()

    def get_last_lr(self) -> list[float]:
        """Return the current learning rate of every group."""
        return [group["lr"] for group in self.optimizer.param_groups]

    def state_dict(self) -> dict[str, Any]:
        """Return a copy of the state that `load_state_dict` restores exactly; JSON can hold it."""
        return {name: list(value) if isinstance(value := getattr(self, name), list) else value for name in self._state}

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Load `state_dict` and set the learning rates.

        Parameters
        ----------
        state_dict : mapping
            What `state_dict` of a schedule of the same kind returned.

        Raises
        ------
        ArgumentError
            If it belongs to another kind of schedule, or to another number of groups. Nothing changes in that case.
        """
        self._check_state(state_dict)
        self._take_state(state_dict)
        self._apply()

    # ------------------------------------------------------------------------------------------ for subclasses

    @abstractmethod
    def _lr(self, base: float, t: int, group: int) -> float:
        """Return the rate of group number `group` at step `t`; `base` is its rate without this schedule."""

    def _options(self, group: int) -> dict[str, Any]:
        """Return the options of group number `group` that change with the learning rate."""
        return {}

    def _go_to(self, t: int) -> None:
        """Move to step `t`; -1 is before the first."""
        self.last_epoch = t

    def _check_state(self, state_dict: Mapping[str, Any]) -> None:
        fits = isinstance(state_dict, Mapping) and state_dict.keys() == set(self._state)
        advice = "load the state of the same schedule, or of PyTorch's these keys alone"
        self._require(fits, f"a state_dict with {self._state}", state_dict, advice)
        rates, groups = state_dict["base_lrs"], len(self.optimizer.param_groups)
        fits = isinstance(rates, list | tuple) and len(rates) == groups and all(map(is_finite, rates))
        self._require(fits, f"{groups} base_lrs", rates, "load it into the same number of groups")
        self._count("last_epoch", state_dict["last_epoch"], least=-1)

    def _take_state(self, state_dict: Mapping[str, Any]) -> None:
        for group, rate in zip(self.optimizer.param_groups, state_dict["base_lrs"], strict=True):
            group["initial_lr"] = rate
        for name in self._state:
            if name != "base_lrs":
                setattr(self, name, state_dict[name])

    def _rate(self, base: float, group: int) -> float:
        return self._lr(base, self.last_epoch, group)

    def _apply(self) -> None:
        """Set the rate of every group: pass its initial rate through all schedules of the optimiser."""
        groups, bases = self.optimizer.param_groups, self.base_lrs
        advice = "create the schedule after the last add_param_group"
        self._require(len(groups) == len(bases), f"{len(bases)} groups", len(groups), advice)
        rates = []
        for number, rate in enumerate(bases):
            for schedule in self.optimizer._schedules:
                rate = schedule._rate(rate, number)
            rates.append(rate)
        for number, (group, rate) in enumerate(zip(groups, rates, strict=True)):
            group["lr"] = rate
            for schedule in self.optimizer._schedules:
                group.update(schedule._options(number))
        self.optimizer._scheduled_lrs = rates

    def _require(self, fits: bool, expected: str, got: object, advice: str) -> None:
        if not fits:
            self._refuse(expected, shown(got), advice)

    def _refuse(self, expected: str, got: str, advice: str) -> NoReturn:
        raise ArgumentError(f"{type(self).__name__}: expected {expected}, got {got}; {advice}.")

    def _count(self, name: str, value: int, least: int = 1) -> int:
        """Return `value`, which must be an integer >= `least`."""
        fits = isinstance(value, int | np.integer) and not isinstance(value, bool) and least <= value <= sys.maxsize
        self._require(fits, f"an integer {name} >= {least}", value, "correct it")
        return int(value)

    def _number(self, name: str, value: float, most: float = math.inf) -> float:
        """Return `value`, which must be a finite number in ``[0, most]``."""
        fits = is_finite(value) and 0 <= value <= most
        self._require(fits, f"{name} to be finite and in [0, {most}]", value, "correct it")
        return value
