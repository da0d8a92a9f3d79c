"""Learning-rate schedules: the rate as a function of the number of steps."""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from .optimizer import Optimizer
from .scheduler import Scheduler


class StepLR(Scheduler):
    """Multiply the learning rate by `gamma` every `step_size` steps: ``base gamma^floor(t / step_size)``.

    Parameters
    ----------
    optimizer : Optimizer
        The optimiser whose learning rates to set.
    step_size : int
        Steps between two reductions, >= 1.
    gamma : float, default 0.1
        The factor, >= 0.
    last_epoch : int, default -1
        The last step taken, or -1 to start; see `Scheduler`.

    Raises
    ------
    ArgumentError
        If an argument is outside its range; see `Scheduler`.

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

    def __init__(self, optimizer: Optimizer, step_size: int, gamma: float = 0.1, last_epoch: int = -1) -> None:
        self.step_size = self._count("step_size", step_size)
        self.gamma = self._number("gamma", gamma)
        super().__init__(optimizer, last_epoch)

    def _lr(self, base: float, t: int, group: int) -> float:
        return base * self.gamma ** (t // self.step_size)


class MultiStepLR(Scheduler):
    """Multiply the learning rate by `gamma` at each step in `milestones`: ``base gamma^(number of milestones <= t)``.

    Parameters
    ----------
    optimizer : Optimizer
        The optimiser whose learning rates to set.
    milestones : iterable of int
        The steps at which the rate changes, each >= 1.
    gamma : float, default 0.1
        The factor, >= 0.
    last_epoch : int, default -1
        The last step taken, or -1 to start; see `Scheduler`.

    Raises
    ------
    ArgumentError
        If an argument is outside its range; see `Scheduler`.

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

    def __init__(
        self, optimizer: Optimizer, milestones: Iterable[int], gamma: float = 0.1, last_epoch: int = -1
    ) -> None:
        self.milestones = sorted(self._count("milestone", milestone) for milestone in milestones)
        self.gamma = self._number("gamma", gamma)
        super().__init__(optimizer, last_epoch)

    def _lr(self, base: float, t: int, group: int) -> float:
        return base * self.gamma ** bisect_right(self.milestones, t)


class ExponentialLR(Scheduler):
    """Multiply the learning rate by `gamma` at every step: ``base gamma^t``.

    Parameters
    ----------
    optimizer : Optimizer
        The optimiser whose learning rates to set.
    gamma : float
        The factor, >= 0.
    last_epoch : int, default -1
        The last step taken, or -1 to start; see `Scheduler`.

    Raises
    ------
    ArgumentError
        If an argument is outside its range; see `Scheduler`.

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

    def __init__(self, optimizer: Optimizer, gamma: float, last_epoch: int = -1) -> None:
        self.gamma = self._number("gamma", gamma)
        super().__init__(optimizer, last_epoch)

    def _lr(self, base: float, t: int, group: int) -> float:
        return base * self.gamma**t


class LambdaLR(Scheduler):
    """Multiply the initial learning rate by a function of the step: ``base lr_lambda(t)``.

    Parameters
    ----------
    optimizer : Optimizer
        The optimiser whose learning rates to set.
    lr_lambda : callable or sequence of callable
        A function of t for all groups, or one per group.
    last_epoch : int, default -1
        The last step taken, or -1 to start; see `Scheduler`.

    Raises
    ------
    ArgumentError
        If an argument is outside its range; see `Scheduler`.

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
        self,
        optimizer: Optimizer,
        lr_lambda: Callable[[int], float] | Sequence[Callable[[int], float]],
        last_epoch: int = -1,
    ) -> None:
        groups = len(optimizer.param_groups) if isinstance(optimizer, Optimizer) else 1
        self.lr_lambdas = [lr_lambda] * groups if callable(lr_lambda) else list(lr_lambda)
        self._require(len(self.lr_lambdas) == groups, f"1 or {groups} functions", lr_lambda, "pass one per group")
        super().__init__(optimizer, last_epoch)

    def _lr(self, base: float, t: int, group: int) -> float:
        return base * self.lr_lambdas[group](t)


class CosineAnnealingLR(Scheduler):
    """Decrease the learning rate to `eta_min` along half a cosine in `T_max` steps, then increase it again.

    ``eta_min + (base - eta_min) (1 + cos(pi t / T_max)) / 2`` (Loshchilov & Hutter 2017).

    Parameters
    ----------
    optimizer : Optimizer
        The optimiser whose learning rates to set.
    T_max : int
        Steps from the initial rate to `eta_min`, >= 1.
    eta_min : float, default 0.0
        The lowest rate, >= 0.
    last_epoch : int, default -1
        The last step taken, or -1 to start; see `Scheduler`.

    Raises
    ------
    ArgumentError
        If an argument is outside its range; see `Scheduler`.

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

    def __init__(self, optimizer: Optimizer, T_max: int, eta_min: float = 0.0, last_epoch: int = -1) -> None:
        self.T_max = self._count("T_max", T_max)
        self.eta_min = self._number("eta_min", eta_min)
        super().__init__(optimizer, last_epoch)

    def _lr(self, base: float, t: int, group: int) -> float:
        return cosine(base, self.eta_min, t / self.T_max)


class LinearWarmup(Scheduler):
    """Increase the learning rate linearly from ``base / warmup_steps`` at t = 0 to the full rate, and keep it there.

    Parameters
    ----------
    optimizer : Optimizer
        The optimiser whose learning rates to set.
    warmup_steps : int
        Steps until the full rate, >= 1.
    last_epoch : int, default -1
        The last step taken, or -1 to start; see `Scheduler`.

    Raises
    ------
    ArgumentError
        If an argument is outside its range; see `Scheduler`.

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

    def __init__(self, optimizer: Optimizer, warmup_steps: int, last_epoch: int = -1) -> None:
        self.warmup_steps = self._count("warmup_steps", warmup_steps)
        super().__init__(optimizer, last_epoch)

    def _lr(self, base: float, t: int, group: int) -> float:
        return base * min(1.0, (t + 1) / self.warmup_steps)


class WarmupCosine(Scheduler):
    """Increase the learning rate linearly in `warmup_steps`, then decrease it to `eta_min` along half a cosine.

    The rate is ``base (t + 1) / warmup_steps`` before `warmup_steps`, then follows a cosine that ends at `total_steps`,
    and stays at `eta_min`.

    Parameters
    ----------
    optimizer : Optimizer
        The optimiser whose learning rates to set.
    warmup_steps : int
        Steps until the full rate, >= 0.
    total_steps : int
        Steps until `eta_min`, above `warmup_steps`.
    eta_min : float, default 0.0
        The final rate, >= 0.
    last_epoch : int, default -1
        The last step taken, or -1 to start; see `Scheduler`.

    Raises
    ------
    ArgumentError
        If an argument is outside its range; see `Scheduler`.

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

    def __init__(
        self, optimizer: Optimizer, warmup_steps: int, total_steps: int, eta_min: float = 0.0, last_epoch: int = -1
    ) -> None:
        self.warmup_steps = self._count("warmup_steps", warmup_steps, least=0)
        self.total_steps = self._count("total_steps", total_steps, least=warmup_steps + 1)
        self.eta_min = self._number("eta_min", eta_min)
        super().__init__(optimizer, last_epoch)

    def _lr(self, base: float, t: int, group: int) -> float:
        if t < self.warmup_steps:
            return base * (t + 1) / self.warmup_steps
        return cosine(base, self.eta_min, min(1.0, (t - self.warmup_steps) / (self.total_steps - self.warmup_steps)))


class ReduceLROnPlateau(Scheduler):
    """Multiply the learning rate by `factor` when a metric has not improved for more than `patience` steps.

    A reduction sets ``lr = max(min_lr, lr factor)``. NaN never counts as an improvement.

    Parameters
    ----------
    optimizer : Optimizer
        The optimiser whose learning rates to set.
    mode : str, default "min"
        ``"min"`` if lower metrics are better, ``"max"`` if higher ones are.
    factor : float, default 0.1
        The factor of a reduction, in [0, 1].
    patience : int, default 10
        Steps without improvement that are tolerated, >= 0.
    threshold : float, default 1e-4
        The metric improves if it beats the best so far by more than this.
    threshold_mode : str, default "rel"
        ``"rel"`` if `threshold` is a fraction of the best metric, ``"abs"`` if it is absolute.
    cooldown : int, default 0
        Steps after a reduction during which steps without improvement do not count.
    min_lr : float or sequence of float, default 0.0
        The lowest rate, or one per group.
    eps : float, default 1e-8
        Reductions that change the rate by at most this are skipped.

    Raises
    ------
    ArgumentError
        If an argument is outside its range; see `Scheduler`.

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
        min_lr: float | Sequence[float] = 0.0,
        eps: float = 1e-8,
    ) -> None:
        self._require(mode in ("min", "max"), "mode 'min' or 'max'", mode, "correct it")
        self._require(threshold_mode in ("rel", "abs"), "threshold_mode 'rel' or 'abs'", threshold_mode, "correct it")
        self.mode, self.threshold_mode = mode, threshold_mode
        self.factor = self._number("factor", factor, most=1.0)
        self.patience = self._count("patience", patience, least=0)
        self.threshold = self._number("threshold", threshold)
        self.cooldown = self._count("cooldown", cooldown, least=0)
        groups = len(optimizer.param_groups) if isinstance(optimizer, Optimizer) else 1
        bounds: list[Any] = list(min_lr) if isinstance(min_lr, list | tuple) else [min_lr] * groups
        self._require(len(bounds) == groups, f"1 or {groups} numbers as min_lr", min_lr, "pass one per group")
        self.min_lrs = [self._number("min_lr", bound) for bound in bounds]
        self.eps = self._number("eps", eps)
        self.best = math.inf if mode == "min" else -math.inf
        self.num_bad_epochs = self.cooldown_counter = self.reductions = 0
        super().__init__(optimizer)

    def _check_state(self, state_dict: Mapping[str, Any]) -> None:
        super()._check_state(state_dict)
        best = state_dict["best"]
        self._require(isinstance(best, float) and not math.isnan(best), "best to be a number", best, "correct it")
        for name in ("num_bad_epochs", "cooldown_counter", "reductions"):
            self._count(name, state_dict[name], least=0)

    def step(self, metrics: float) -> None:  # type: ignore[override]
        """Count one step with the given metric, and set the rates.

        Parameters
        ----------
        metrics : float
            What was measured, e.g. the held-out loss.

        Raises
        ------
        ArgumentError
            As `Scheduler.step`.
        """
        metric = float(metrics)
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
        for _ in range(self.reductions):
            reduced = max(base * self.factor, self.min_lrs[group])
            if base - reduced <= self.eps:
                break  # and so would all further reductions
            base = reduced
        return base


def cosine(start: float, end: float, part: float) -> float:
    """Return the value at fraction `part` of half a cosine from `start` to `end`."""
    return end + (start - end) * (1 + math.cos(math.pi * part)) / 2
