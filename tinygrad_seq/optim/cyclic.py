"""Schedules that go through cycles, under PyTorch's names."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from .optimizer import Optimizer
from .scheduler import Scheduler
from .schedules import cosine


class CosineAnnealingWarmRestarts(Scheduler):
    """Decrease the learning rate along half a cosine, again and again (Loshchilov & Hutter 2017).

    ``eta_min + (base - eta_min) (1 + cos(pi T_cur / T_i)) / 2``, where T_cur is the number of steps since the last
    restart, and T_i those between two restarts.

    Parameters
    ----------
    optimizer : Optimizer
        The optimiser whose learning rates to set.
    T_0 : int
        Steps until the first restart, >= 1.
    T_mult : int, default 1
        The factor of T_i at each restart, >= 1.
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
    >>> scheduler = ts.optim.CosineAnnealingWarmRestarts(optimizer, T_0=2)
    >>> for _ in range(4):
    ...     print(round(scheduler.get_last_lr()[0], 3))
    ...     scheduler.step()
    1.0
    0.5
    1.0
    0.5
    """

    def __init__(
        self, optimizer: Optimizer, T_0: int, T_mult: int = 1, eta_min: float = 0.0, last_epoch: int = -1
    ) -> None:
        self.T_0, self.T_mult = self._count("T_0", T_0), self._count("T_mult", T_mult)
        self.eta_min = self._number("eta_min", eta_min)
        super().__init__(optimizer, last_epoch)

    def _lr(self, base: float, t: int, group: int) -> float:
        period = self.T_0
        if self.T_mult == 1:
            t %= period
        while t >= period:
            t -= period
            period *= self.T_mult
        return cosine(base, self.eta_min, t / period)


class _Cycling(Scheduler):
    """Base of schedules that move the momentum of the optimiser against the learning rate."""

    _bounds: list[tuple[float, float]] | None = None

    def _per_group(self, optimizer: Optimizer, name: str, value: float | Sequence[float]) -> list[float]:
        """Return one number per parameter group."""
        self._require(isinstance(optimizer, Optimizer), "an optimizer", optimizer, "pass e.g. an SGD")
        groups = len(optimizer.param_groups)
        numbers: list[Any] = list(value) if isinstance(value, list | tuple) else [value] * groups
        self._require(len(numbers) == groups, f"1 or {groups} numbers as {name}", value, "pass one per group")
        return [self._number(name, number) for number in numbers]

    def _set_momentum(self, optimizer: Optimizer, cycle: bool, base: Any, most: Any) -> None:
        if not cycle:
            return
        fits = bool({"momentum", "betas"} & optimizer.rules.keys())
        got = type(optimizer).__name__
        self._require(fits, "an optimizer with momentum or betas to cycle", got, "pass cycle_momentum=False")
        bounds = (self._per_group(optimizer, "base_momentum", base), self._per_group(optimizer, "max_momentum", most))
        self._bounds = list(zip(*bounds, strict=True))

    def _momentum(self, t: int, low: float, high: float) -> float:
        """Return the momentum at step `t`."""
        raise NotImplementedError

    def _options(self, group: int) -> dict[str, Any]:
        if self._bounds is None:
            return {}
        momentum = self._momentum(self.last_epoch, *self._bounds[group])
        if "betas" in self.optimizer.rules:
            return {"betas": (momentum, *self.optimizer.param_groups[group]["betas"][1:])}
        return {"momentum": momentum}


class CyclicLR(_Cycling):
    """Move the learning rate up and down between two bounds (Smith 2017, arXiv 1506.01186).

    Parameters
    ----------
    optimizer : Optimizer
        The optimiser whose learning rates to set.
    base_lr : float or sequence of float
        The lowest rate, or one per group.
    max_lr : float or sequence of float
        The highest rate, or one per group.
    step_size_up : int, default 2000
        Steps from the lowest to the highest rate, >= 1.
    step_size_down : int, optional
        Steps back; `step_size_up` by default.
    mode : str, default "triangular"
        ``"triangular"``, ``"triangular2"``, whose height halves with each cycle, or ``"exp_range"``, whose height is
        multiplied by ``gamma^t``.
    gamma : float, default 1.0
        The factor per step of ``"exp_range"``.
    scale_fn : callable, optional
        A function of the cycle or step that gives the factor of the height; `mode` is then not read.
    scale_mode : str, default "cycle"
        Whether `scale_fn` takes the number of the cycle, from 1, (``"cycle"``) or t (``"iterations"``).
    cycle_momentum : bool, default True
        Whether to move the momentum against the rate: `momentum` of the optimiser, or the first of its `betas`.
    base_momentum : float or sequence of float, default 0.8
        The momentum at the highest rate, or one per group.
    max_momentum : float or sequence of float, default 0.9
        The momentum at the lowest rate, or one per group.
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
    >>> scheduler = ts.optim.CyclicLR(optimizer, 0.0, 1.0, step_size_up=2, cycle_momentum=False)
    >>> for _ in range(4):
    ...     print(round(scheduler.get_last_lr()[0], 3))
    ...     scheduler.step()
    0.0
    0.5
    1.0
    0.5
    """

    def __init__(
        self,
        optimizer: Optimizer,
        base_lr: float | Sequence[float],
        max_lr: float | Sequence[float],
        step_size_up: int = 2000,
        step_size_down: int | None = None,
        mode: str = "triangular",
        gamma: float = 1.0,
        scale_fn: Callable[[int], float] | None = None,
        scale_mode: str = "cycle",
        cycle_momentum: bool = True,
        base_momentum: float | Sequence[float] = 0.8,
        max_momentum: float | Sequence[float] = 0.9,
        last_epoch: int = -1,
    ) -> None:
        modes = ("triangular", "triangular2", "exp_range")
        self._require(mode in modes, f"mode one of {modes}", mode, "correct it")
        self._require(
            scale_mode in ("cycle", "iterations"), "scale_mode 'cycle' or 'iterations'", scale_mode, "correct it"
        )
        self.base_lr = self._per_group(optimizer, "base_lr", base_lr)
        self.max_lr = self._per_group(optimizer, "max_lr", max_lr)
        self.step_size_up = self._count("step_size_up", step_size_up)
        self.step_size_down = (
            self.step_size_up if step_size_down is None else self._count("step_size_down", step_size_down)
        )
        self.mode, self.gamma = mode, self._number("gamma", gamma)
        self.scale_fn, self.scale_mode = scale_fn, scale_mode
        self._set_momentum(optimizer, cycle_momentum, base_momentum, max_momentum)
        super().__init__(optimizer, last_epoch)

    def _lr(self, base: float, t: int, group: int) -> float:
        return self.base_lr[group] + (self.max_lr[group] - self.base_lr[group]) * self._height(t)

    def _momentum(self, t: int, low: float, high: float) -> float:
        return high - (high - low) * self._height(t)

    def _height(self, t: int) -> float:
        """Return how far up the rate is, 1 at the top of the first cycle."""
        total = self.step_size_up + self.step_size_down
        cycle, place = divmod(max(t, 0), total)
        up = place <= self.step_size_up
        height = place / self.step_size_up if up else (total - place) / self.step_size_down
        if self.scale_fn is not None:
            return height * self.scale_fn(cycle + 1 if self.scale_mode == "cycle" else t)
        if self.mode == "exp_range":
            return height * self.gamma**t
        return height / 2**cycle if self.mode == "triangular2" else height


class OneCycleLR(_Cycling):
    """Move the learning rate up to `max_lr` and down to nearly 0, once (Smith & Topin 2019, arXiv 1708.07120).

    It starts at ``max_lr / div_factor`` and ends at ``max_lr / div_factor / final_div_factor``.

    Parameters
    ----------
    optimizer : Optimizer
        The optimiser whose learning rates to set.
    max_lr : float or sequence of float
        The highest rate, or one per group.
    total_steps : int, optional
        The number of steps in all; ``epochs * steps_per_epoch`` by default.
    epochs, steps_per_epoch : int, optional
        Their product is the number of steps.
    pct_start : float, default 0.3
        The share of the steps, in [0, 1], in which the rate rises.
    anneal_strategy : str, default "cos"
        ``"cos"`` for half a cosine, ``"linear"`` for a line.
    cycle_momentum : bool, default True
        Whether to move the momentum against the rate: `momentum` of the optimiser, or the first of its `betas`.
    base_momentum : float or sequence of float, default 0.85
        The momentum at the highest rate, or one per group.
    max_momentum : float or sequence of float, default 0.95
        The momentum at the lowest rate, or one per group.
    div_factor : float, default 25.0
        The highest rate over the first one.
    final_div_factor : float, default 1e4
        The first rate over the last one.
    three_phase : bool, default False
        Whether the rate falls to the first one as fast as it rose, and then to the last one.
    last_epoch : int, default -1
        The last step taken, or -1 to start; see `Scheduler`.

    Raises
    ------
    ArgumentError
        If an argument is outside its range; see `Scheduler`.

    Examples
    --------
    >>> import tinygrad_seq as ts
    >>> optimizer = ts.optim.SGD([ts.tensor([1.0])], lr=1.0, momentum=0.9)
    >>> scheduler = ts.optim.OneCycleLR(optimizer, max_lr=1.0, total_steps=5, pct_start=0.6, div_factor=4)
    >>> for _ in range(3):
    ...     print(round(scheduler.get_last_lr()[0], 3))
    ...     scheduler.step()
    0.25
    0.625
    1.0
    """

    def __init__(
        self,
        optimizer: Optimizer,
        max_lr: float | Sequence[float],
        total_steps: int | None = None,
        epochs: int | None = None,
        steps_per_epoch: int | None = None,
        pct_start: float = 0.3,
        anneal_strategy: str = "cos",
        cycle_momentum: bool = True,
        base_momentum: float | Sequence[float] = 0.85,
        max_momentum: float | Sequence[float] = 0.95,
        div_factor: float = 25.0,
        final_div_factor: float = 1e4,
        three_phase: bool = False,
        last_epoch: int = -1,
    ) -> None:
        if total_steps is None:
            if epochs is None or steps_per_epoch is None:
                self._refuse("total_steps, or epochs and steps_per_epoch", "neither", "pass total_steps")
            total_steps = self._count("epochs", epochs) * self._count("steps_per_epoch", steps_per_epoch)
        self.total_steps = self._count("total_steps", total_steps)
        self.max_lr = self._per_group(optimizer, "max_lr", max_lr)
        self.pct_start = self._number("pct_start", pct_start, most=1.0)
        fits = anneal_strategy in ("cos", "linear")
        self._require(fits, "anneal_strategy 'cos' or 'linear'", anneal_strategy, "correct it")
        self.anneal_strategy, self.three_phase = anneal_strategy, three_phase
        self.div_factor = self._number("div_factor", div_factor)
        self.final_div_factor = self._number("final_div_factor", final_div_factor)
        self._require(div_factor > 0 < final_div_factor, "div_factor and final_div_factor above 0", 0, "correct them")
        self._set_momentum(optimizer, cycle_momentum, base_momentum, max_momentum)
        super().__init__(optimizer, last_epoch)

    def _go_to(self, t: int) -> None:
        self._require(t <= self.total_steps, f"at most {self.total_steps} steps", t, "raise total_steps")
        super()._go_to(t)

    def _lr(self, base: float, t: int, group: int) -> float:
        highest = self.max_lr[group]
        first = highest / self.div_factor
        last = first / self.final_div_factor
        return self._along(t, [first, highest, first, last] if self.three_phase else [first, highest, last])

    def _momentum(self, t: int, low: float, high: float) -> float:
        return self._along(t, [high, low, high, high] if self.three_phase else [high, low, high])

    def _along(self, t: int, values: list[float]) -> float:
        """Return the value at step `t` on the way through `values`, one phase after the other."""
        rise = self.pct_start * self.total_steps
        ends = [rise - 1, 2 * rise - 2, self.total_steps - 1] if self.three_phase else [rise - 1, self.total_steps - 1]
        phase = next((k for k, end in enumerate(ends) if t <= end), len(ends) - 1)
        begin, end = (0, *ends)[phase : phase + 2]
        part = (t - begin) / (end - begin) if end != begin else 1.0
        start, stop = values[phase : phase + 2]
        return cosine(start, stop, part) if self.anneal_strategy == "cos" else start + (stop - start) * part
