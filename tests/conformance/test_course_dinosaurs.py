"""Course 5, week 1, "Dinosaurus Island": clipping, sampling, one training step."""

from __future__ import annotations

import numpy as np
import pytest

import tinygrad_seq as ts
from tests.conformance.cases import check, draw, gradient, load
from tests.conformance.notes import gradients, rnn_cell

WEEK1 = load("course_week1.json")
NEWLINE, LONGEST = 0, 50


def output_layer(arrays: dict[str, np.ndarray]) -> ts.nn.Linear:
    layer = ts.nn.Linear(*arrays["Wya"].shape[::-1]).double()
    layer.load_state_dict({"weight": arrays["Wya"], "bias": arrays["by"].ravel()})
    return layer


def test_clip() -> None:
    values = {}
    for bound in (10, 5):
        for name, array in draw(WEEK1["clip"]).items():
            weight = ts.zeros(array.shape, np.float64)
            weight.grad = ts.tensor(10 * array)
            ts.optim.clip_grad_value_([weight], bound)
            values[f"max={bound}: {name}"] = weight.grad.numpy()
    check(WEEK1["clip"], values)


@pytest.mark.parametrize("name", ["sample.seed24", "sample.seed2"])
def test_sample(name: str) -> None:
    arrays = draw(WEEK1[name])
    cell, output = rnn_cell(arrays), output_layer(arrays)
    x, a = ts.zeros((1, 27), np.float64), ts.zeros((1, 100), np.float64)
    indices: list[int] = []
    with ts.no_grad():
        while len(indices) < LONGEST and indices[-1:] != [NEWLINE]:
            _, a = cell(x, a)
            p = ts.softmax(output(a), axis=-1)[0].numpy()
            indices.append(np.random.RandomState(2 * len(indices)).choice(27, p=p))
            x = ts.one_hot(indices[-1:], 27, np.float64)
    check(WEEK1[name], {"indices": indices})


def test_optimize() -> None:
    case = WEEK1["optimize"]
    arrays = draw(case)
    cell, output = rnn_cell(arrays), output_layer(arrays)
    x, a_prev = ts.one_hot(case["X"], 27, np.float64), ts.tensor(arrays["a_prev"].T)

    a, a_last = ts.nn.Recurrent(cell)(x[:, None], a_prev)
    loss = ts.cross_entropy(output(a)[:, 0], case["Y"], reduction="sum")
    loss.backward()
    ts.optim.clip_grad_value_([*cell.parameters(), *output.parameters()], 5)

    found = gradients(cell)
    found |= {"d b": found["d ba"], "d Wya": gradient(output.weight), "d by": gradient(output.bias)}
    check(case, {**found, "loss": loss.item(), "a_last": a_last.numpy().T, "argmax(d Wax)": np.argmax(found["d Wax"])})
