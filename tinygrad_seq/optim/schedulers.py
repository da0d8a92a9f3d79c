"""Learning-rate schedules: the rate as a formula in the number of steps taken."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from bisect import bisect_right
from collections.abc import Callable, Iterable, Mapping, Sequence
from numbers import Real
from typing import Any, ClassVar

import numpy as np

from ..errors import ArgumentError
from .optimizer import Optimizer


class Scheduler(ABC):
    """Base of the schedules: sets the learning rate of every group to a formula in t, the number of steps so far.

    The rate comes from the rate the group had when the schedule was made, never from the one before, so nothing
    drifts, and the first rates and t are the whole state. Make the schedule after the optimiser; call `step` once an
    epoch or once an update, after ``optimizer.step()``.

    Attributes
    ----------
    base_lrs : list of float
        The rate of every group when the schedule was made.
    last_epoch : int
        t.
    """

    _state: ClassVar[tuple[str, ...]] = ("base_lrs", "last_epoch")

    def __init__(self, optimizer: Optimizer) -> None:
        self._require(isinstance(optimizer, Optimizer), "an optimizer", optimizer, "pass e.g. an SGD")
        self.optimizer = optimizer
        self.base_lrs = [group["lr"] for group in optimizer.param_groups]
        self.last_epoch = 0
        self._apply()

    def step(self) -> None:
        """Count one step and set the rates."""
        self.last_epoch += 1
        self._apply()

    def get_last_lr(self) -> list[float]:
        """Return the rate of every group now."""
        return [group["lr"] for group in self.optimizer.param_groups]

    def state_dict(self) -> dict[str, Any]:
        """Return a copy of what `load_state_dict` needs to go on exactly; it fits into JSON."""
        return {name: list(value) if isinstance(value := getattr(self, name), list) else value for name in self._state}

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Go on from `state_dict`, and set the rates.

        Raises
        ------
        ArgumentError
            It comes from another kind of schedule, or from one over another number of groups.
        """
        fits = isinstance(state_dict, Mapping) and state_dict.keys() == set(self._state)
        self._require(fits, f"a state_dict with {self._state}", state_dict, "load what the same schedule saved")
        rates, groups = state_dict["base_lrs"], len(self.optimizer.param_groups)
        self._require(len(rates) == groups, f"{groups} base_lrs", rates, "load it into the same number of groups")
        for name in self._state:
            setattr(self, name, state_dict[name])
        self.base_lrs = list(rates)
        self._apply()

    @abstractmethod
    def _lr(self, base: float, t: int, group: int) -> float:
        """Return the rate at step `t` of group number `group`, whose first rate was `base`."""

    def _apply(self) -> None:
        groups = self.optimizer.param_groups
        advice = "make the schedule after the last add_param_group"
        self._require(len(groups) == len(self.base_lrs), f"{len(self.base_lrs)} groups", len(groups), advice)
        rates = [self._lr(base, self.last_epoch, number) for number, base in enumerate(self.base_lrs)]
        for group, rate in zip(groups, rates, strict=True):
            group["lr"] = rate

    def _require(self, fits: bool, expected: str, got: object, advice: str) -> None:
        if not fits:
            raise ArgumentError(f"{type(self).__name__}: expected {expected}, got {got!r}; {advice}.")

    def _count(self, name: str, value: int, least: int = 1) -> int:
        """Return `value`, which must be an integer not below `least`."""
        fits = isinstance(value, int | np.integer) and not isinstance(value, bool) and value >= least
        self._require(fits, f"an integer {name} >= {least}", value, "correct it")
        return int(value)

    def _number(self, name: str, value: float, most: float = math.inf) -> float:
        """Return `value`, which must be a finite number in ``[0, most]``."""
        fits = isinstance(value, Real) and math.isfinite(value) and 0 <= value <= most
        self._require(fits, f"{name} to be finite and in [0, {most}]", value, "correct it")
        return value


class StepLR(Scheduler):
    """Multiply the rate by `gamma` every `step_size` steps: ``base gamma^floor(t / step_size)``.

    Examples
    --------
    >>> import tinygrad_seq as ts
    >>> optimizer = ts.optim.SGD([ts.tensor([1.0])], lr=1.0)
    >>> scheduler = ts.optim.StepLR(optimizer, step_size=2, gamma=0.5)
    >>> for _ in range(4):
    ...     scheduler.step()
    >>> scheduler.get_last_lr()
    [0.25]
    """

    def __init__(self, optimizer: Optimizer, step_size: int, gamma: float = 0.1) -> None:
        self.step_size = self._count("step_size", step_size)
        self.gamma = self._number("gamma", gamma)
        super().__init__(optimizer)

    def _lr(self, base: float, t: int, group: int) -> float:
        return base * self.gamma ** (t // self.step_size)


class MultiStepLR(Scheduler):
    """Multiply the rate by `gamma` at every step named in `milestones`: ``base gamma^(milestones <= t)``.

    Examples
    --------
    >>> import tinygrad_seq as ts
    >>> optimizer = ts.optim.SGD([ts.tensor([1.0])], lr=1.0)
    >>> scheduler = ts.optim.MultiStepLR(optimizer, milestones=[1, 3], gamma=0.5)
    >>> for _ in range(3):
    ...     scheduler.step()
    >>> scheduler.get_last_lr()
    [0.25]
    """

    def __init__(self, optimizer: Optimizer, milestones: Iterable[int], gamma: float = 0.1) -> None:
        self.milestones = sorted(self._count("milestone", milestone) for milestone in milestones)
        self.gamma = self._number("gamma", gamma)
        super().__init__(optimizer)

    def _lr(self, base: float, t: int, group: int) -> float:
        return base * self.gamma ** bisect_right(self.milestones, t)


class ExponentialLR(Scheduler):
    """Multiply the rate by `gamma` at every step: ``base gamma^t``.

    Examples
    --------
    >>> import tinygrad_seq as ts
    >>> optimizer = ts.optim.SGD([ts.tensor([1.0])], lr=1.0)
    >>> scheduler = ts.optim.ExponentialLR(optimizer, gamma=0.5)
    >>> for _ in range(3):
    ...     scheduler.step()
    >>> scheduler.get_last_lr()
    [0.125]
    """

    def __init__(self, optimizer: Optimizer, gamma: float) -> None:
        self.gamma = self._number("gamma", gamma)
        super().__init__(optimizer)

    def _lr(self, base: float, t: int, group: int) -> float:
        return base * self.gamma**t


class LambdaLR(Scheduler):
    """Multiply the first rate by a function of the step, one for all groups or one for each: ``base lr_lambda(t)``.

    Examples
    --------
    >>> import tinygrad_seq as ts
    >>> optimizer = ts.optim.SGD([ts.tensor([1.0])], lr=1.0)
    >>> scheduler = ts.optim.LambdaLR(optimizer, lambda t: 1 / (1 + t))
    >>> for _ in range(3):
    ...     scheduler.step()
    >>> scheduler.get_last_lr()
    [0.25]
    """

    def __init__(
        self, optimizer: Optimizer, lr_lambda: Callable[[int], float] | Sequence[Callable[[int], float]]
    ) -> None:
        groups = len(optimizer.param_groups) if isinstance(optimizer, Optimizer) else 1
        self.lr_lambdas = [lr_lambda] * groups if callable(lr_lambda) else list(lr_lambda)
        self._require(len(self.lr_lambdas) == groups, f"1 or {groups} functions", lr_lambda, "pass one for each group")
        super().__init__(optimizer)

    def _lr(self, base: float, t: int, group: int) -> float:
        return base * self.lr_lambdas[group](t)


class CosineAnnealingLR(Scheduler):
    """Swing the rate down to `eta_min` along half a cosine in `T_max` steps (Loshchilov & Hutter 2017), then up again.

    ``eta_min + (base - eta_min) (1 + cos(pi t / T_max)) / 2``.

    Examples
    --------
    >>> import tinygrad_seq as ts
    >>> optimizer = ts.optim.SGD([ts.tensor([1.0])], lr=1.0)
    >>> scheduler = ts.optim.CosineAnnealingLR(optimizer, T_max=4)
    >>> for _ in range(4):
    ...     scheduler.step()
    >>> scheduler.get_last_lr()
    [0.0]
    """

    def __init__(self, optimizer: Optimizer, T_max: int, eta_min: float = 0.0) -> None:
        self.T_max = self._count("T_max", T_max)
        self.eta_min = self._number("eta_min", eta_min)
        super().__init__(optimizer)

    def _lr(self, base: float, t: int, group: int) -> float:
        return _cosine(base, self.eta_min, t / self.T_max)


class LinearWarmup(Scheduler):
    """Raise the rate along a line from ``base / warmup_steps`` at t = 0 to the full rate, and stay there.

    Examples
    --------
    >>> import tinygrad_seq as ts
    >>> optimizer = ts.optim.SGD([ts.tensor([1.0])], lr=1.0)
    >>> scheduler = ts.optim.LinearWarmup(optimizer, warmup_steps=4)
    >>> for _ in range(1):
    ...     scheduler.step()
    >>> scheduler.get_last_lr()
    [0.5]
    """

    def __init__(self, optimizer: Optimizer, warmup_steps: int) -> None:
        self.warmup_steps = self._count("warmup_steps", warmup_steps)
        super().__init__(optimizer)

    def _lr(self, base: float, t: int, group: int) -> float:
        return base * min(1.0, (t + 1) / self.warmup_steps)


class WarmupCosine(Scheduler):
    """Raise the rate along a line in `warmup_steps`, then bring it down to `eta_min` along half a cosine.

    ``base (t + 1) / warmup_steps`` before `warmup_steps`; from there a cosine that ends at `total_steps`, and
    `eta_min` ever after.

    Examples
    --------
    >>> import tinygrad_seq as ts
    >>> optimizer = ts.optim.SGD([ts.tensor([1.0])], lr=1.0)
    >>> scheduler = ts.optim.WarmupCosine(optimizer, warmup_steps=2, total_steps=4)
    >>> for _ in range(4):
    ...     print(round(scheduler.get_last_lr()[0], 3))
    ...     scheduler.step()
    0.5
    1.0
    1.0
    0.5
    """

    def __init__(self, optimizer: Optimizer, warmup_steps: int, total_steps: int, eta_min: float = 0.0) -> None:
        self.warmup_steps = self._count("warmup_steps", warmup_steps, least=0)
        self.total_steps = self._count("total_steps", total_steps, least=warmup_steps + 1)
        self.eta_min = self._number("eta_min", eta_min)
        super().__init__(optimizer)

    def _lr(self, base: float, t: int, group: int) -> float:
        if t < self.warmup_steps:
            return base * (t + 1) / self.warmup_steps
        return _cosine(base, self.eta_min, min(1.0, (t - self.warmup_steps) / (self.total_steps - self.warmup_steps)))


class ReduceLROnPlateau(Scheduler):
    """Multiply the rate by `factor` when a metric has not improved for more than `patience` steps.

    ``max(min_lr, base factor^reductions)``. The metric improves when it is below the best so far by more than
    `threshold`, as a part of the best (`threshold_mode` "rel") or as it is ("abs"); with `mode` "max", above. After a
    reduction `cooldown` steps go by before steps without improvement count again. NaN never improves.

    Examples
    --------
    >>> import tinygrad_seq as ts
    >>> optimizer = ts.optim.SGD([ts.tensor([1.0])], lr=1.0)
    >>> scheduler = ts.optim.ReduceLROnPlateau(optimizer, factor=0.5, patience=1)
    >>> for loss in [3.0, 2.0, 2.0, 2.0]:
    ...     scheduler.step(loss)
    >>> scheduler.get_last_lr()
    [0.5]
    """

    _state = (*Scheduler._state, "best", "num_bad_epochs", "cooldown_counter", "reductions")

    def __init__(
        self,
        optimizer: Optimizer,
        mode: str = "min",
        factor: float = 0.1,
        patience: int = 10,
        threshold: float = 1e-4,
        threshold_mode: str = "rel",
        cooldown: int = 0,
        min_lr: float = 0.0,
    ) -> None:
        self._require(mode in ("min", "max"), "mode 'min' or 'max'", mode, "correct it")
        self._require(threshold_mode in ("rel", "abs"), "threshold_mode 'rel' or 'abs'", threshold_mode, "correct it")
        self.mode, self.threshold_mode = mode, threshold_mode
        self.factor = self._number("factor", factor, most=1.0)
        self.patience = self._count("patience", patience, least=0)
        self.threshold = self._number("threshold", threshold)
        self.cooldown = self._count("cooldown", cooldown, least=0)
        self.min_lr = self._number("min_lr", min_lr)
        self.best = math.inf if mode == "min" else -math.inf
        self.num_bad_epochs = self.cooldown_counter = self.reductions = 0
        super().__init__(optimizer)

    def step(self, metric: float) -> None:  # type: ignore[override]
        """Count one step that ended with `metric`, and set the rates."""
        metric = float(metric)
        if self._improves(metric):
            self.best, self.num_bad_epochs = metric, 0
        else:
            self.num_bad_epochs += 1
        if self.cooldown_counter > 0:
            self.cooldown_counter -= 1
            self.num_bad_epochs = 0
        if self.num_bad_epochs > self.patience:
            self.reductions += 1
            self.cooldown_counter, self.num_bad_epochs = self.cooldown, 0
        super().step()

    def _improves(self, metric: float) -> bool:
        if math.isinf(self.best):
            return metric < self.best if self.mode == "min" else metric > self.best
        margin = self.threshold * (self.best if self.threshold_mode == "rel" else 1.0)
        return metric < self.best - margin if self.mode == "min" else metric > self.best + margin

    def _lr(self, base: float, t: int, group: int) -> float:
        return max(min(base, self.min_lr), base * self.factor**self.reductions)


def _cosine(start: float, end: float, part: float) -> float:
    """Return the height of half a cosine from `start` to `end` when `part` of its length is behind."""
    return end + (start - end) * (1 + math.cos(math.pi * part)) / 2
