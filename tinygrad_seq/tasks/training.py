"""Train the model of a task."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from .. import optim
from ..base.modes import no_grad
from ..nn import evaluating
from .dataset import Batches, Dataset

if TYPE_CHECKING:
    from .fitted import FittedTask

EVALUATED_AT_ONCE = 128


def make_optimizer(task: FittedTask) -> optim.AdamW:
    """Return the optimiser of a task."""
    return optim.AdamW(task.model.parameters(), lr=task.settings.lr, weight_decay=task.settings.weight_decay)


class _Fit:
    def __init__(self, model):
        self.model, self.stopped = model, False

    def stop(self):
        self.stopped = True


def train(
    task: FittedTask,
    data: Dataset,
    optimizer: optim.Optimizer,
    unseen: Dataset | None = None,
    *,
    epochs: int,
    patience: int = 0,
    log: Any = None,
    callbacks: Sequence[Any] = (),
) -> Any:
    settings, model = task.settings, task.model
    fit = _Fit(model)
    history, best, waited, weights = [], np.inf, 0, None
    for epoch in range(1, epochs + 1):
        total = count = 0.0
        for inputs, targets in Batches(data, settings.batch_size):
            optimizer.zero_grad()
            loss, weight = task.loss(model(*inputs), *targets)
            loss.backward()
            optimizer.step(max_norm=settings.clip_norm)
            total, count = total + loss.item() * weight, count + weight
        row = {"epoch": epoch, "loss": total / count}
        if unseen is not None:
            with evaluating(model), no_grad():
                parts = [task.loss(model(*x), *y) for x, y in Batches(unseen, EVALUATED_AT_ONCE, shuffle=False)]
            row["validation_loss"] = sum(loss.item() * w for loss, w in parts) / sum(w for _, w in parts)
            waited += 1
            if row["validation_loss"] < best:
                best, waited, weights = row["validation_loss"], 0, {k: v.copy() for k, v in model.state_dict().items()}
        history.append(row)
        if log is not None:
            log(row)
        for each in callbacks:
            each.on_evaluation(fit, row)
        if fit.stopped or 0 < patience <= waited:
            break
    if weights is not None:
        model.load_state_dict(weights)
    return history
