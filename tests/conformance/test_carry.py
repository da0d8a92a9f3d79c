"""A state carried from chunk to chunk: a public minLSTM does it wrong, and the check must detect that.

In lucidrains/minGRU-pytorch, minLSTM.py, the parallel form feeds ``log g(state)`` where the step by step form uses the
state itself: this adds 0.5 to the state at every chunk boundary. Without a carried state both forms agree.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import numpy as np
import pytest

import tinygrad_seq as ts
from tests.conformance.cases import gradient

T, N, D = 6, 2, 4
CHUNKS = [1, 4]  # where the sequence is split
TOLERANCE = 1e-13

Run = Callable[[ts.Tensor, ts.Tensor], tuple[ts.Tensor, ts.Tensor]]


def positive(x: ts.Tensor) -> ts.Tensor:
    """Return g, the activation of minGRU and minLSTM."""
    return ts.where(x >= 0, ts.relu(x) + 0.5, ts.sigmoid(x))


class MinLSTMCell(ts.nn.Cell):
    """minLSTM (Feng et al., Were RNNs all we needed?, 2024): ``h' = f / (f + i) * h + i / (f + i) * g(candidate)``."""

    def __init__(self, size: int) -> None:
        self.project, self.state_shape = ts.nn.Linear(size, 3 * size), (size,)

    def gates(self, x: ts.Tensor) -> tuple[ts.Tensor, ts.Tensor]:
        """Return the factor of the old state and the addend."""
        forget, update, candidate = ts.split(self.project(x), 3, axis=-1)
        forget, update = ts.sigmoid(forget), ts.sigmoid(update)
        return forget / (forget + update), update / (forget + update) * positive(candidate)

    def forward(self, x: ts.Tensor, h: ts.Tensor) -> tuple[ts.Tensor, ts.Tensor]:
        keep, add = self.gates(x)
        h = keep * h + add
        return h, h


def in_parallel(cell: MinLSTMCell, xs: ts.Tensor, state: ts.Tensor) -> tuple[ts.Tensor, ts.Tensor]:
    """Return the states of the cell over time, computed without a loop."""
    keep, add = cell.gates(xs)
    decay = ts.cumprod(keep, axis=0)
    ys = decay * (state + ts.cumsum(add / decay, axis=0))
    return ys, ys[-1]


def in_chunks(run: Run, xs: ts.Tensor, state: ts.Tensor) -> tuple[ts.Tensor, ts.Tensor]:
    ys = []
    for chunk in ts.split(xs, CHUNKS, axis=0):
        y, state = run(chunk, state)
        ys.append(y)
    return ts.concat(ys), state


def outputs_and_gradient(run: Run, xs: np.ndarray, h0: np.ndarray) -> np.ndarray:
    """Return all outputs and the gradient of the initial state, in one vector."""
    start = ts.tensor(h0, requires_grad=True)
    ys, _ = run(ts.tensor(xs), start)
    ts.square(ys).sum().backward()
    return np.concatenate([ys.numpy().ravel(), gradient(start).ravel()])


@pytest.fixture
def found(rng: np.random.Generator) -> dict[str, np.ndarray]:
    """Return the outputs and gradients of each form, whole and in chunks."""
    xs, h0 = rng.standard_normal((T, N, D)), rng.random((N, D))
    cell = MinLSTMCell(D).double()
    forms: dict[str, Run] = {
        "steps": ts.nn.Recurrent(cell),
        "parallel": lambda xs, state: in_parallel(cell, xs, state),
        "planted": lambda xs, state: in_parallel(cell, xs, positive(state)),
    }
    forms |= {f"{name} in chunks": partial(in_chunks, run) for name, run in forms.items()}
    return {name: outputs_and_gradient(run, xs, h0) for name, run in forms.items()}


@pytest.mark.parametrize("form", ["steps in chunks", "parallel", "parallel in chunks"])
def test_right_carry(found: dict[str, np.ndarray], form: str) -> None:
    np.testing.assert_allclose(found[form], found["steps"], rtol=0, atol=TOLERANCE)


def test_planted_carry_is_found(found: dict[str, np.ndarray]) -> None:
    assert np.max(np.abs(found["planted in chunks"] - found["planted"])) > 0.1
