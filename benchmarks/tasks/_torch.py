"""The model of a task in PyTorch."""

from __future__ import annotations

import numpy as np
import torch
from torch.nn import functional

from ._task import SKIP, Arrays, Batch, Task


class Theirs:
    """The model of a task with its optimiser."""

    def __init__(self, task: Task, weights: Arrays) -> None:
        torch.set_num_threads(1)
        recurrent = getattr(torch.nn, task.layer)(task.inputs, task.hidden)
        self.task = task
        self.model = torch.nn.ModuleDict(
            {"recurrent": recurrent, "readout": torch.nn.Linear(task.hidden, task.outputs)}
        )
        self.model.load_state_dict({name: torch.from_numpy(value.copy()) for name, value in weights.items()})
        self.parameters = list(self.model.parameters())
        self.adam = torch.optim.Adam(self.parameters, lr=task.rate)
        self.schedule = torch.optim.lr_scheduler.CosineAnnealingLR(self.adam, task.steps)

    def step(self, batch: Batch) -> float:
        loss = self._loss(self._outputs(batch.inputs, batch.dropout), batch)
        self.adam.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.parameters, self.task.clip)
        self.adam.step()
        self.schedule.step()
        return loss.item()

    def outputs(self, inputs: np.ndarray) -> np.ndarray:
        with torch.no_grad():
            return self._outputs(inputs).numpy()

    def _outputs(self, inputs: np.ndarray, dropout: np.ndarray | None = None) -> torch.Tensor:
        hidden, _ = self.model["recurrent"](torch.from_numpy(inputs))
        if dropout is not None:
            hidden = hidden * torch.from_numpy(dropout)
        return self.model["readout"](hidden[-1] if self.task.last else hidden)

    def _loss(self, outputs: torch.Tensor, batch: Batch) -> torch.Tensor:
        targets = torch.from_numpy(batch.targets)
        if self.task.loss == "classes":
            flat = outputs.reshape(-1, self.task.outputs), targets.reshape(-1)
            return functional.cross_entropy(*flat, ignore_index=SKIP)
        if self.task.loss == "squares":
            return functional.mse_loss(outputs, targets)
        weights = torch.from_numpy(batch.weights)
        return functional.binary_cross_entropy_with_logits(outputs, targets, weights, reduction="sum")
