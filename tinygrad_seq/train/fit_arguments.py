"""Check the arguments of `fit` before any work."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from .. import optim
from ..base.modes import is_grad_enabled
from ..base.tree import flatten
from ..distributed import world
from ..errors import ArgumentError
from ..nn import Module
from .driver import Limits
from .epochs import Resumable, checked_source, size_of
from .measuring import check_metrics

_LOSSES = ("loss", "validation_loss")


def check_call(model: Any, batches: Any, loss: Any, *, stateful: Any, validation: Any, test: Any, metrics: Any) -> None:
    """Raise unless the model can be trained with the loss, and the held-out batches can be measured."""
    if not isinstance(model, Module):
        raise ArgumentError(
            f"fit: expected model to be an nn.Module, got a {type(model).__name__}; pass fit(model, batches, loss)."
        )
    if not any(parameter.requires_grad for parameter in model.parameters()):
        raise ArgumentError("fit: expected a model with parameters that require a gradient, got none; add or unfreeze.")
    if not callable(loss):
        raise ArgumentError(
            f"fit: expected loss to be a function of (outputs, *targets), got a {type(loss).__name__}; pass e.g. "
            "ts.cross_entropy."
        )
    own = {id(parameter) for parameter in model.parameters()}
    if isinstance(loss, Module) and any(id(parameter) not in own for parameter in loss.parameters()):
        raise ArgumentError(
            f"fit: expected the parameters of the loss, a {type(loss).__name__}, to be part of the model, got others; "
            "make the loss a module of the model, so that it is trained and saved."
        )
    if not is_grad_enabled():
        raise ArgumentError("fit: expected gradients to be enabled, got a call inside no_grad; call it outside.")
    if stateful and world().size > 1:
        raise ArgumentError(
            f"fit: expected one process with stateful=True, got {world().size} ranks; start it without mpirun."
        )
    check_metrics("fit", metrics)
    for name, held_out in (("validation", validation), ("test", test)):
        if held_out is None:
            continue
        checked_source("fit", name, held_out)
        if held_out is batches and isinstance(batches, Resumable):
            raise ArgumentError(
                f"fit: expected {name} to be another object than batches, got the same, which has one position; create "
                "it twice."
            )
    if metrics and validation is None and test is None:
        raise ArgumentError("fit: expected validation or test with metrics, got neither; pass held-out batches.")


def checked_limits(
    epochs: Any, steps: Any, minutes: Any, evaluate_every: Any, report_every: Any, patience: Any, batches: Any
) -> Limits:
    """Return when the run ends, is evaluated and reports."""
    for name, value in (
        ("epochs", epochs),
        ("steps", steps),
        ("evaluate_every", evaluate_every),
        ("report_every", report_every),
    ):
        if value is not None and (type(value) is not int or value < 1):
            raise ArgumentError(f"fit: expected {name} to be an integer >= 1, got {value!r}; correct it.")
    if type(patience) is not int or patience < 0:
        raise ArgumentError(f"fit: expected patience to be an integer >= 0, got {patience!r}; correct it.")
    if minutes is not None and not (type(minutes) in (int, float) and 0 < minutes < math.inf):
        raise ArgumentError(f"fit: expected minutes to be a number > 0, got {minutes!r}; correct it.")
    if epochs is None and steps is None and minutes is None:
        raise ArgumentError("fit: expected epochs, steps or minutes, got none of them; pass e.g. epochs=10.")
    if report_every is not None and evaluate_every is None and size_of(batches) is None:
        raise ArgumentError(
            "fit: expected batches with a length, or evaluate_every, with report_every, got neither; pass "
            "evaluate_every=STEPS."
        )
    return Limits(steps or 0, epochs or 0, minutes or 0.0, evaluate_every or 0, report_every or 0)


def checked_optimizer(model: Module, optimizer: Any, scheduler: Any, clip_norm: Any) -> optim.Optimizer:
    """Return the optimiser, by default Adam, after a look at what it updates and what schedules act on it."""
    if isinstance(clip_norm, bool) or not isinstance(clip_norm, int | float) or not clip_norm > 0:
        raise ArgumentError(f"fit: expected clip_norm > 0, got {clip_norm!r}; pass e.g. 1.0.")
    schedules = flatten(scheduler)[0]
    if optimizer is None:
        if schedules:
            raise ArgumentError(
                "fit: expected the optimizer of the scheduler, got a scheduler alone; pass optimizer= too."
            )
        trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
        return optim.Adam(trained, lr=1e-3)
    if not isinstance(optimizer, optim.Optimizer) or isinstance(optimizer, optim.LBFGS):
        raise ArgumentError(
            f"fit: expected an optimizer that makes one update per batch, got {_name(optimizer)}; pass e.g. "
            "ts.optim.Adam(model.parameters())."
        )
    own = {id(parameter) for parameter in model.parameters()}
    if any(id(parameter) not in own for group in optimizer.param_groups for parameter in group["params"]):
        raise ArgumentError(
            "fit: expected an optimizer of parameters of the model, got one of others; create it with "
            "model.parameters() of this model."
        )
    for schedule in schedules:
        if not isinstance(schedule, optim.Scheduler) or schedule.optimizer is not optimizer:
            raise ArgumentError(
                f"fit: expected schedulers of this optimizer, got {_name(schedule)}; create it with the optimizer that "
                "is passed."
            )
    return optimizer


def checked_monitor(monitor: Any, mode: Any, validation: Any, metrics: Mapping[str, Any]) -> tuple[str, str]:
    """Return the name of the monitored value, and whether a lower or a higher one is better."""
    known = ["loss"]
    if validation is not None:
        known += [f"validation_{name}" for name in ("loss", *metrics)]
    chosen = monitor if monitor is not None else "loss" if validation is None else "validation_loss"
    if chosen not in known:
        raise ArgumentError(f"fit: expected monitor to be one of {', '.join(known)}, got {chosen!r}; correct it.")
    if mode is None and chosen in _LOSSES:
        return chosen, "min"
    if mode not in ("min", "max"):
        raise ArgumentError(
            f"fit: expected mode='min' or mode='max' with monitor={chosen!r}, got {mode!r}; say which value is better."
        )
    return chosen, mode


def checked_logs(log: Any) -> Sequence[Any]:
    """Return the functions that rows are passed to."""
    logs = [log] if callable(log) else list(log) if isinstance(log, list | tuple) else [] if log is None else [None]
    if not all(map(callable, logs)):
        raise ArgumentError(f"fit: expected log to be a function of a row, or several, got {log!r}; pass e.g. print.")
    return logs


def _name(value: Any) -> str:
    return f"a {type(value).__name__}"
