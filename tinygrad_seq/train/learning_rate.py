"""The learning rate of a run, also when its settings change at a resume."""

from __future__ import annotations

from dataclasses import dataclass

from .. import optim
from ..errors import ArgumentError
from .config import TrainingConfig


@dataclass(frozen=True)
class Schedule:
    r"""The learning rate as a function of the step; a checkpoint holds it as JSON.

    `begin` is the step at which it starts; before that, an earlier schedule set the rate::

        rate   lr ┐     ╭──╮                 cosine: rises for `warmup` steps, then falls to `lowest` at `end`
                  │    ╱    ╲                constant: rises, then stays
           lowest ┘   ╱      ╲____           plateau: stays, and is halved by a `ReduceLROnPlateau`
                    begin    end

    Parameters
    ----------
    kind : str
        ``"cosine"``, ``"constant"`` or ``"plateau"``.
    lr : float
        The rate after the warm-up.
    lowest : float
        The rate at `end`.
    warmup : int
        The number of steps during which the rate rises.
    begin : int
        The step after which the schedule starts.
    end : int
        The last step of the run.

    Examples
    --------
    >>> from tinygrad_seq.train import TrainingConfig
    >>> from tinygrad_seq.train.learning_rate import Schedule
    >>> Schedule.of(TrainingConfig(lr=0.01, warmup=10, steps=100))
    Schedule(kind='cosine', lr=0.01, lowest=0.0001, warmup=10, begin=0, end=100)
    """

    kind: str
    lr: float
    lowest: float
    warmup: int
    begin: int
    end: int

    @classmethod
    def of(cls, config: TrainingConfig) -> Schedule:
        """Return the schedule of a new run."""
        return cls(config.schedule, config.lr, config.lr / 100, config.warmup, 0, config.steps)

    def build(self, optimizer: optim.Optimizer) -> optim.Scheduler:
        """Return the schedule at its first step, as the only one that acts on `optimizer`."""
        for group in optimizer.param_groups:
            group.pop("initial_lr", None)
            group["lr"] = self.lr
        if self.kind == "cosine":
            return optim.WarmupCosine(optimizer, self.warmup, self.end - self.begin, eta_min=self.lowest)
        if self.kind == "plateau":
            return optim.ReduceLROnPlateau(optimizer, factor=0.5, patience=1)
        return optim.LinearWarmup(optimizer, max(1, self.warmup))

    def changed(self, config: TrainingConfig, changes: set[str], step: int, rate: float) -> Schedule:
        """Return the schedule after `step` for the new settings.

        * Another `lr` starts a new schedule from that rate, which ends at the last step.
        * Another number of steps makes a cosine fall from the present rate to its lowest at the new end. So the rate
          does not jump. If the cosine has ended, the rate stays at its lowest.
        * Another kind of schedule or another `warmup` starts a new schedule from the present rate.
        * A new schedule has a warm-up only if `warmup` changes. But a warm-up that is not over continues, with the new
          settings.

        Parameters
        ----------
        config : TrainingConfig
            The new settings.
        changes : set of str
            The names of the settings that changed; ``"lr"`` may be among them with an equal value.
        step : int
            The number of steps so far.
        rate : float
            The learning rate of the next step without a change.

        Returns
        -------
        Schedule
            The new schedule, or `self` if no change concerns it or no step is left.

        Raises
        ------
        ArgumentError
            If the warm-up would not end before the run.
        """
        concerned = {"lr", "schedule", *(["steps"] if self.kind == "cosine" else ())}
        concerned |= {"warmup"} if config.schedule != "plateau" else set()
        if not changes & concerned or step >= config.steps:
            return self
        warms = self.kind != "plateau" and step - self.begin < self.warmup
        continues = warms and config.schedule != "plateau"
        lr = config.lr if "lr" in changes else self.lr if warms else rate
        begin = self.begin if continues else step
        warmup = config.warmup if "warmup" in changes else self.warmup if continues else 0
        if config.schedule == "cosine" and warmup >= config.steps - begin:
            raise ArgumentError(
                f"Session.resume: expected warmup below {config.steps - begin}, the steps from {begin} to "
                f"{config.steps}, got {warmup}; reduce warmup (0 disables it)."
            )
        lowest = lr / 100 if "lr" in changes else min(lr, self.lowest)
        return Schedule(config.schedule, lr, lowest, warmup, begin, config.steps)

    def __str__(self) -> str:
        warms = f", after a warm-up of {self.warmup} steps" if self.warmup else ""
        if self.kind == "cosine" and self.lr > self.lowest:
            end = f"{self.lowest:.3g} at step {self.end}"
            return f"the learning rate falls from {self.lr:.3g} along a cosine to {end}{warms}"
        if self.kind == "plateau":
            return f"the learning rate is {self.lr:.3g} and halves when the held-out loss does not improve"
        ended = "; the cosine has ended, and another --lr starts a new one" if self.kind == "cosine" else ""
        return f"the learning rate stays at {self.lr:.3g}{warms}{ended}"
