"""Schedules that multiply the initial learning rate by a factor of the step, under PyTorch's names."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from .optimizer import Optimizer
from .scheduler import Scheduler


class LinearLR(Scheduler):
    """Move the learning rate linearly from `start_factor` to `end_factor` times the initial one in `total_iters` steps.

    Parameters
    ----------
    optimizer : Optimizer
        The optimiser whose learning rates to set.
    start_factor : float, default 1/3
        The factor at the first step, above 0 and at most 1.
    end_factor : float, default 1.0
        The factor from step `total_iters` on, in [0, 1].
    total_iters : int, default 5
        The number of steps between the two, >= 1.
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
    >>> scheduler = ts.optim.LinearLR(optimizer, start_factor=0.5, total_iters=2)
    >>> for _ in range(3):
    ...     print(round(scheduler.get_last_lr()[0], 3))
    ...     scheduler.step()
    0.5
    0.75
    1.0
    """

    def __init__(
        self,
        optimizer: Optimizer,
        start_factor: float = 1.0 / 3,
        end_factor: float = 1.0,
        total_iters: int = 5,
        last_epoch: int = -1,
    ) -> None:
        self.start_factor = self._number("start_factor", start_factor, most=1.0)
        self._require(start_factor > 0, "start_factor above 0", start_factor, "pass e.g. 0.1")
        self.end_factor = self._number("end_factor", end_factor, most=1.0)
        self.total_iters = self._count("total_iters", total_iters)
        super().__init__(optimizer, last_epoch)

    def _lr(self, base: float, t: int, group: int) -> float:
        part = min(t, self.total_iters) / self.total_iters
        return base * (self.start_factor + (self.end_factor - self.start_factor) * part)


class ConstantLR(Scheduler):
    """Multiply the learning rate by `factor` for the first `total_iters` steps.

    Parameters
    ----------
    optimizer : Optimizer
        The optimiser whose learning rates to set.
    factor : float, default 1/3
        The factor, in [0, 1].
    total_iters : int, default 5
        The number of steps, >= 0.
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
    >>> scheduler = ts.optim.ConstantLR(optimizer, factor=0.5, total_iters=2)
    >>> for _ in range(3):
    ...     print(round(scheduler.get_last_lr()[0], 3))
    ...     scheduler.step()
    0.5
    0.5
    1.0
    """

    def __init__(
        self, optimizer: Optimizer, factor: float = 1.0 / 3, total_iters: int = 5, last_epoch: int = -1
    ) -> None:
        self.factor = self._number("factor", factor, most=1.0)
        self.total_iters = self._count("total_iters", total_iters, least=0)
        super().__init__(optimizer, last_epoch)

    def _lr(self, base: float, t: int, group: int) -> float:
        return base * self.factor if t < self.total_iters else base


class PolynomialLR(Scheduler):
    """Decrease the learning rate to 0 in `total_iters` steps: ``base (1 - t / total_iters)^power``.

    Parameters
    ----------
    optimizer : Optimizer
        The optimiser whose learning rates to set.
    total_iters : int, default 5
        The number of steps, >= 1.
    power : float, default 1.0
        The power, >= 0.
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
    >>> scheduler = ts.optim.PolynomialLR(optimizer, total_iters=2)
    >>> for _ in range(3):
    ...     print(round(scheduler.get_last_lr()[0], 3))
    ...     scheduler.step()
    1.0
    0.5
    0.0
    """

    def __init__(self, optimizer: Optimizer, total_iters: int = 5, power: float = 1.0, last_epoch: int = -1) -> None:
        self.total_iters = self._count("total_iters", total_iters)
        self.power = self._number("power", power)
        super().__init__(optimizer, last_epoch)

    def _lr(self, base: float, t: int, group: int) -> float:
        return float(base * (1 - min(t, self.total_iters) / self.total_iters) ** self.power)


class MultiplicativeLR(Scheduler):
    """Multiply the learning rate at each step by a function of the step: ``base lr_lambda(1) ... lr_lambda(t)``.

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
    >>> scheduler = ts.optim.MultiplicativeLR(optimizer, lambda t: 1 / (1 + t))
    >>> for _ in range(3):
    ...     print(round(scheduler.get_last_lr()[0], 3))
    ...     scheduler.step()
    1.0
    0.5
    0.167
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
        self._products = [[1.0] for _ in range(groups)]  # of the functions from 1 to t, by t
        super().__init__(optimizer, last_epoch)

    def _lr(self, base: float, t: int, group: int) -> float:
        products = self._products[group]
        for k in range(len(products), t + 1):
            products.append(products[-1] * self.lr_lambdas[group](k))
        return base * products[max(t, 0)]
