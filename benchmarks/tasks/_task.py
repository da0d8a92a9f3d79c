"""A task: data, model and budget, defined once for all libraries, and the training loop."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import numpy as np

Arrays = dict[str, np.ndarray]
SKIP = -100  # the class that the loss ignores: PyTorch's default ignore_index
GATES = {"RNN": 1, "GRU": 3, "LSTM": 4}


@dataclass(frozen=True)
class Batch:
    """Inputs and targets of N sequences.

    Attributes
    ----------
    inputs
        (T, N, I) float32.
    targets
        For the loss "classes" (T, N) or (N,) int64, `SKIP` where there is no target; for "squares" (N, O) float32; for
        "keys" (T, N, O) float32.
    weights
        For "keys" (T, N, 1) float32: 1 / the number of frames in the batch, 0 for padding.
    dropout
        (T, N, H) float32, the mask for the hidden states, drawn here so that every library uses the same one.
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
        Whether only the hidden state of the last step is read.
    data
        Takes the data folder; returns the training data for `batches`, and the held-out batches "valid" and "test".
    batches
        Takes the training data and a generator; yields batches without end.
    score
        Takes outputs and a batch; returns the sum of the scores and their number, which are added over batches.
    higher
        Whether a higher score is better.
    steps, evaluate_every, rate, clip
        The budget; Adam's learning rate, which decays to 0 along a cosine; the norm that gradients are clipped to.
    seeds
        The seeds of the runs, for initial weights and batches; the held-out data is always the same.
    initialise
        Changes the initial weights, which are uniform in ±1/sqrt(H), in place.
    log_scale, baseline
        Whether the plot has a log scale; the score without learning, with a name.
    published
        Results of others: the figure in words, a "value" to plot if it is a score, the model, the source.
    budget, note
        Further facts that a figure depends on, by name; a remark for the reader.
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
        """Return the initial weights under PyTorch's names."""
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
    """The model in one library, made from a task and its initial weights."""

    def __init__(self, task: Task, weights: Arrays) -> None: ...

    def step(self, batch: Batch) -> float:
        """Take one training step and return the loss before it."""
        ...

    def outputs(self, inputs: np.ndarray) -> np.ndarray:
        """Return the outputs of the model: (T, N, O), or (N, O) for the last step."""
        ...


def remember(steps: int | None = None) -> Callable[[Arrays, np.random.Generator], None]:
    """Return a function that sets LSTM biases: forget gates 1 and the rest 0, or to remember for 1 to `steps` steps.

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
    """Train once; return the first losses, the learning curve, and the test score at the best validation score."""
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
    """Return the mean score over all batches."""
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
    """Return the number of correct classes, and the number of targets."""
    counted = batch.targets != SKIP
    return float((outputs.argmax(-1) == batch.targets)[counted].sum()), int(counted.sum())
