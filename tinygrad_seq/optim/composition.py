"""Schedules that combine others: in sequence, or all at once."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from .optimizer import Optimizer
from .scheduler import Scheduler
from .schedules import ReduceLROnPlateau


class Composition(Scheduler):
    """Base class of schedules that combine others, which then no longer act by themselves.

    Attributes
    ----------
    schedulers : list of Scheduler
        The combined schedules.
    """

    schedulers: list[Scheduler]

    def _adopt(self, optimizer: Optimizer, schedulers: Iterable[Scheduler]) -> None:
        """Remove `schedulers` from those that act on `optimizer` by themselves."""
        self.schedulers = list(schedulers)
        self._require(bool(self.schedulers), "at least one schedule", "none", "pass a list of schedules")
        free = optimizer._schedules if isinstance(optimizer, Optimizer) else []
        for number, schedule in enumerate(self.schedulers):
            kind = type(schedule).__name__
            self._require(isinstance(schedule, Scheduler), "schedules", f"a {kind}", "pass e.g. a StepLR")
            plateau = isinstance(schedule, ReduceLROnPlateau)
            advice = "leave it out and step it with the metric: schedules of one optimizer act together anyway"
            self._require(not plateau, "schedules that need no metric", f"a {kind}", advice)
            alone = any(schedule is other for other in free)
            alone = alone and not any(schedule is other for other in self.schedulers[:number])
            advice = "create each schedule once, with the same optimizer"
            got = f"{kind} number {number}"
            self._require(alone, "schedules that act on this optimizer by themselves", got, advice)
        free[:] = [schedule for schedule in free if not any(schedule is part for part in self.schedulers)]

    def state_dict(self) -> dict[str, Any]:
        """Return a copy of the state that `load_state_dict` restores exactly; JSON can hold it."""
        return {**super().state_dict(), "schedulers": [schedule.state_dict() for schedule in self.schedulers]}

    def _check_state(self, state_dict: Mapping[str, Any]) -> None:
        states = state_dict.get("schedulers") if isinstance(state_dict, Mapping) else None
        fits = isinstance(states, list) and len(states) == len(self.schedulers)
        expected = f"a state_dict with {len(self.schedulers)} schedulers"
        self._require(fits, expected, state_dict, "load the state of the same schedule")
        super()._check_state({name: value for name, value in state_dict.items() if name != "schedulers"})
        for schedule, state in zip(self.schedulers, states or (), strict=True):
            schedule._check_state(state)

    def _take_state(self, state_dict: Mapping[str, Any]) -> None:
        super()._take_state(state_dict)
        for schedule, state in zip(self.schedulers, state_dict["schedulers"], strict=True):
            schedule._take_state(state)


class SequentialLR(Composition):
    """Run schedules in sequence: schedule k takes over at step ``milestones[k - 1]``, where its own t is 0.

    Parameters
    ----------
    optimizer : Optimizer
        The optimiser whose learning rates to set.
    schedulers : iterable of Scheduler
        New schedules of that optimiser; none of them a `ReduceLROnPlateau`.
    milestones : sequence of int
        The steps, in order, at which the second and later schedules take over.
    last_epoch : int, default -1
        The last step taken, or -1 to start; see `Scheduler`.

    Raises
    ------
    ArgumentError
        If a schedule or a milestone is not as described.

    Examples
    --------
    >>> import tinygrad_seq as ts
    >>> optimizer = ts.optim.SGD([ts.tensor([1.0])], lr=1.0)
    >>> parts = [ts.optim.LinearWarmup(optimizer, 2), ts.optim.ExponentialLR(optimizer, 0.5)]
    >>> scheduler = ts.optim.SequentialLR(optimizer, parts, milestones=[2])
    >>> for _ in range(4):
    ...     print(scheduler.get_last_lr()[0])
    ...     scheduler.step()
    0.5
    1.0
    1.0
    0.5
    """

    def __init__(
        self, optimizer: Optimizer, schedulers: Iterable[Scheduler], milestones: Sequence[int], last_epoch: int = -1
    ) -> None:
        schedulers = list(schedulers)
        self.milestones = [self._count("milestone", milestone, least=0) for milestone in milestones]
        fits = len(self.milestones) == len(schedulers) - 1 and self.milestones == sorted(self.milestones)
        expected = f"{max(len(schedulers) - 1, 0)} milestones in order for {len(schedulers)} schedules"
        self._require(fits, expected, milestones, "pass the steps at which the second and later schedules start")
        self._adopt(optimizer, schedulers)
        super().__init__(optimizer, last_epoch)

    def _go_to(self, t: int) -> None:
        super()._go_to(t)
        begins, ends = [0, *self.milestones], [*self.milestones, t + 1]
        for schedule, begin, end in zip(self.schedulers, begins, ends, strict=True):
            schedule._go_to(min(t, end - 1) - begin if t >= begin else -1)

    def _options(self, group: int) -> dict[str, Any]:
        return self.schedulers[bisect_right(self.milestones, self.last_epoch)]._options(group)

    def _lr(self, base: float, t: int, group: int) -> float:
        return self.schedulers[bisect_right(self.milestones, t)]._rate(base, group)


class ChainedScheduler(Composition):
    """Apply several schedules at once: each takes the rate of the previous one as its base; `step` steps all of them.

    Parameters
    ----------
    schedulers : iterable of Scheduler
        Schedules of one optimiser; none of them a `ReduceLROnPlateau`.
    optimizer : Optimizer, optional
        That optimiser; by default the one of the first schedule.

    Raises
    ------
    ArgumentError
        If a schedule is not as described.

    Examples
    --------
    >>> import tinygrad_seq as ts
    >>> optimizer = ts.optim.SGD([ts.tensor([1.0])], lr=1.0)
    >>> parts = [ts.optim.LinearWarmup(optimizer, 4), ts.optim.ExponentialLR(optimizer, 0.5)]
    >>> scheduler = ts.optim.ChainedScheduler(parts)
    >>> scheduler.step()
    >>> scheduler.get_last_lr()
    [0.25]
    """

    def __init__(self, schedulers: Iterable[Scheduler], optimizer: Optimizer | None = None) -> None:
        schedulers = list(schedulers)
        if optimizer is None:
            optimizer = getattr(next(iter(schedulers), None), "optimizer", None)
        self._require(isinstance(optimizer, Optimizer), "schedules of an optimizer", schedulers, "pass e.g. a StepLR")
        self.last_epoch = 0
        self._adopt(optimizer, schedulers)  # type: ignore[arg-type]
        super().__init__(optimizer)  # type: ignore[arg-type]

    def _go_to(self, t: int) -> None:
        for schedule in self.schedulers:
            schedule._go_to(schedule.last_epoch + t - self.last_epoch)
        super()._go_to(t)

    def _options(self, group: int) -> dict[str, Any]:
        return {name: value for schedule in self.schedulers for name, value in schedule._options(group).items()}

    def _lr(self, base: float, t: int, group: int) -> float:
        for schedule in self.schedulers:
            base = schedule._rate(base, group)
        return base
