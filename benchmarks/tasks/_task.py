"""A task: its data, model and budget, said once for every library, and the loop that trains on it."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import numpy as np

Arrays = dict[str, np.ndarray]
SKIP = -100  # a class that the loss passes over: what PyTorch's ignore_index is by default
GATES = {"RNN": 1, "GRU": 3, "LSTM": 4}


@dataclass(frozen=True)
class Batch:
    """Inputs and targets of N sequences.

    Attributes
    ----------
    inputs
        (T, N, I) float32.
    targets
        Of the loss "classes" (T, N) or (N,) int64, `SKIP` where there is none; of "squares" (N, O) float32; of "keys"
        (T, N, O) float32.
    weights
        Of "keys" (T, N, 1) float32: 1 / the number of frames in the batch, 0 for padding.
    dropout
        (T, N, H) float32 to multiply the hidden states with, drawn here so that it is the same for every library.
    """

    inputs: np.ndarray
    targets: np.ndarray
    weights: np.ndarray | None = None
    dropout: np.ndarray | None = None


@dataclass(frozen=True)
class Task:
    """One recurrent layer with a linear readout, trained by Adam for a fixed number of steps.

    Attributes
    ----------
    layer, inputs, hidden, outputs
        ``RNN``, ``GRU`` or ``LSTM``, and the sizes I, H, O.
    loss
        ``"classes"``: cross entropy, the mean over all targets; ``"squares"``: the mean squared error; ``"keys"``: the
        sum of O logistic losses, the mean over all frames.
    last
        Whether the hidden state of the last step alone is read.
    data
        The training data of ``batches`` and the held-out batches by name, "valid" and "test", from a folder of data.
    batches
        From what `data` returned and a generator: batches without end.
    score
        From outputs and a batch: the sum of what is scored, and how many were; scores are added over batches.
    higher
        Whether a higher score is better.
    steps, evaluate_every, rate, clip
        The budget, and Adam's learning rate, which falls to 0 along a cosine; the norm gradients are clipped to.
    seeds
        Of the runs: of their first weights and batches; held-out data is always the same.
    initialise
        Changes the first weights, which are uniform in ±1/sqrt(H), in place.
    log_scale, baseline
        Whether the picture has one, and what is reached without learning: a name and a score.
    published
        What others reached: the figure in words, as a "value" to draw if it is a score, the model, the source.
    budget, note
        Further facts on which a figure depends, by name, and what a reader of it should know.
    """

    name: str
    what: str
    metric: str
    layer: str
    inputs: int
    hidden: int
    outputs: int
    loss: str
    last: bool
    data: Callable[[Path | None], tuple[Any, dict[str, list[Batch]]]]
    batches: Callable[[Any, np.random.Generator], Iterator[Batch]]
    score: Callable[[np.ndarray, Batch], tuple[float, int]]
    higher: bool
    steps: int
    evaluate_every: int
    rate: float
    clip: float = 1.0
    seeds: tuple[int, ...] = (0, 1, 2)
    initialise: Callable[[Arrays, np.random.Generator], None] | None = None
    log_scale: bool = False
    baseline: tuple[str, float] | None = None
    published: tuple[dict[str, Any], ...] = ()
    budget: dict[str, Any] = field(default_factory=dict)
    note: str = ""

    def weights(self, seed: int) -> Arrays:
        """Return the first weights by PyTorch's names."""
        rng, rows = np.random.default_rng([seed, 0]), GATES[self.layer] * self.hidden
        shapes = {
            "recurrent.weight_ih_l0": (rows, self.inputs),
            "recurrent.weight_hh_l0": (rows, self.hidden),
            "recurrent.bias_ih_l0": (rows,),
            "recurrent.bias_hh_l0": (rows,),
            "readout.weight": (self.outputs, self.hidden),
            "readout.bias": (self.outputs,),
        }
        bound = self.hidden**-0.5
        drawn = {name: rng.uniform(-bound, bound, shape).astype(np.float32) for name, shape in shapes.items()}
        if self.initialise is not None:
            self.initialise(drawn, rng)
        return drawn


class Learner(Protocol):
    """A library's form of the model: made from a task and its first weights."""

    def __init__(self, task: Task, weights: Arrays) -> None: ...

    def step(self, batch: Batch) -> float:
        """Make one step of training and return the loss before it."""
        ...

    def outputs(self, inputs: np.ndarray) -> np.ndarray:
        """Return what the model puts out, (T, N, O), or (N, O) of the last step."""
        ...


def remember(steps: int | None = None) -> Callable[[Arrays, np.random.Generator], None]:
    """Return what sets an LSTM's biases: 1 for forget gates and 0 else, or so that it remembers for 1 to `steps` steps.

    The latter is ln U(1, steps - 1) for forget gates and its negative for input gates (Tallec and Ollivier, 2018).
    """

    def initialise(weights: Arrays, rng: np.random.Generator) -> None:
        bias, hidden = weights["recurrent.bias_ih_l0"], len(weights["recurrent.bias_ih_l0"]) // 4
        bias[:] = weights["recurrent.bias_hh_l0"][:] = 0
        bias[hidden : 2 * hidden] = 1 if steps is None else np.log(rng.uniform(1, steps - 1, hidden))
        if steps is not None:
            bias[:hidden] = -bias[hidden : 2 * hidden]

    return initialise


def train(task: Task, kind: type[Learner], seed: int, folder: Path | None) -> dict[str, Any]:
    """Train once and return the first losses, the learning curve, and the test score where the valid score was best."""
    data, held_out = task.data(folder)
    learner, batches = kind(task, task.weights(seed)), task.batches(data, np.random.default_rng([seed, 1]))
    losses: list[float] = []
    curve: list[dict[str, float]] = []
    start = time.process_time()
    for step in range(1, task.steps + 1):
        losses.append(learner.step(next(batches)))
        if step % task.evaluate_every == 0:
            scores = {name: score(task, learner, parts) for name, parts in held_out.items()}
            curve.append({"step": step, "loss": float(np.mean(losses[-task.evaluate_every :])), **scores})
    best = (max if task.higher else min)(curve, key=lambda point: point["valid"])
    return {
        "seed": seed,
        "first_losses": losses[:5],
        "curve": [{name: float(f"{value:.5g}") for name, value in point.items()} for point in curve],
        "best_step": best["step"],
        "test": best["test"],
        "cpu_seconds": round(time.process_time() - start, 1),
    }


def score(task: Task, learner: Learner, batches: list[Batch]) -> float:
    """Return the mean score over all that the batches hold."""
    sums = [task.score(learner.outputs(batch.inputs).astype(np.float64), batch) for batch in batches]
    return sum(total for total, _ in sums) / sum(count for _, count in sums)


def cross_entropy(outputs: np.ndarray, batch: Batch) -> tuple[float, int]:
    """Return the sum of the cross entropies in nats, and the number of targets."""
    top = outputs.max(-1, keepdims=True)
    log_norm = np.log(np.exp(outputs - top).sum(-1)) + top[..., 0]
    chosen = np.take_along_axis(outputs, np.maximum(batch.targets, 0)[..., None], -1)[..., 0]
    counted = batch.targets != SKIP
    return float((log_norm - chosen)[counted].sum()), int(counted.sum())


def accuracy(outputs: np.ndarray, batch: Batch) -> tuple[float, int]:
    """Return the number of right classes, and of all."""
    counted = batch.targets != SKIP
    return float((outputs.argmax(-1) == batch.targets)[counted].sum()), int(counted.sum())
