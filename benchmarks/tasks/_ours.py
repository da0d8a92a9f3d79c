"""The model of a task in this package."""

from __future__ import annotations

import numpy as np

import tinygrad_seq as ts

from ._task import Arrays, Batch, Task


class Model(ts.nn.Module):
    """A recurrent layer and a linear readout."""

    def __init__(self, task: Task) -> None:
        self.recurrent = getattr(ts.nn, task.layer)(task.inputs, task.hidden)
        self.readout = ts.nn.Linear(task.hidden, task.outputs)


class Ours:
    """The model of a task with its optimiser."""

    def __init__(self, task: Task, weights: Arrays) -> None:
        self.task, self.model = task, Model(task)
        self.model.load_state_dict(weights)
        self.parameters = list(self.model.parameters())
        self.adam = ts.optim.Adam(self.parameters, lr=task.rate)
        self.schedule = ts.optim.CosineAnnealingLR(self.adam, task.steps)

    def step(self, batch: Batch) -> float:
        loss = self._loss(self._outputs(batch.inputs, batch.dropout), batch)
        self.adam.zero_grad()
        loss.backward()
        ts.optim.clip_grad_norm_(self.parameters, self.task.clip)
        self.adam.step()
        self.schedule.step()
        return loss.item()

    def outputs(self, inputs: np.ndarray) -> np.ndarray:
        with ts.no_grad():
            return self._outputs(inputs).numpy()

    def _outputs(self, inputs: np.ndarray, dropout: np.ndarray | None = None) -> ts.Tensor:
        hidden, _ = self.model.recurrent(ts.tensor(inputs))
        if dropout is not None:
            hidden = hidden * dropout
        return self.model.readout(hidden[-1] if self.task.last else hidden)

    def _loss(self, outputs: ts.Tensor, batch: Batch) -> ts.Tensor:
        if self.task.loss == "classes":
            return ts.cross_entropy(outputs, batch.targets)
        if self.task.loss == "squares":
            return ts.mse_loss(outputs, batch.targets)
        return ts.binary_cross_entropy_with_logits(outputs, batch.targets, batch.weights, reduction="sum")
