"""Stanford CS231n, assignment 3: captioning with an RNN and an LSTM; all inputs are evenly spaced, none is random."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import tinygrad_seq as ts
from tests.conformance.cases import Arrays, Case, check, ids, linspace, load

CASES = load("cs231n.json")
RECURRENCES = [case for case in CASES.values() if "Wx" in case["linspace"]]
CAPTIONING = [case for case in CASES.values() if "features" in case["linspace"]]

N, FEATURES, WORD, HIDDEN, VOCABULARY, STEPS = 10, 20, 30, 40, 3, 13
NULL = 0


def build_cell(arrays: Arrays) -> ts.nn.Cell:
    """Return a cell for activations x Wx + h Wh + b; the LSTM's blocks i, f, o, g become i, f, g, o."""
    hidden, columns = arrays["Wh"].shape
    lstm = columns == 4 * hidden
    order = np.arange(columns).reshape(-1, hidden)[[0, 1, 3, 2] if lstm else [0]].ravel()
    cell = (ts.nn.LSTMCell if lstm else ts.nn.ElmanCell)(len(arrays["Wx"]), hidden).double()
    cell.load_state_dict(
        {
            "weight_ih": arrays["Wx"].T[order],
            "weight_hh": arrays["Wh"].T[order],
            "bias_ih": arrays["b"][order],
            "bias_hh": np.zeros(columns),
        }
    )
    return cell


@pytest.mark.parametrize("case", RECURRENCES, ids=ids(RECURRENCES))
def test_recurrence(case: Case) -> None:
    arrays = {name: ts.tensor(array) for name, array in linspace(case["linspace"]).items()}
    cell = build_cell({name: arrays[name].numpy() for name in ("Wx", "Wh", "b")})
    state = (arrays["h0"], arrays["c0"]) if "c0" in arrays else arrays["h0"]
    run: Any = cell if arrays["x"].ndim == 2 else ts.nn.Recurrent(cell, batch_first=True)
    h, state = run(arrays["x"], state)
    check(case, {"h": h.numpy(), "c": state[-1].numpy()})


def test_embedding() -> None:
    layer = ts.nn.Embedding(5, 3).double()
    layer.load_state_dict({"weight": np.linspace(0, 1, 15).reshape(5, 3)})
    words = np.array([[0, 3, 1, 2], [2, 1, 0, 3]])
    expected = (3 * words[..., None] + np.arange(3)) / 14
    np.testing.assert_allclose(layer(words).numpy(), expected, rtol=0, atol=1e-15)


@pytest.mark.parametrize(
    ("n", "time", "share", "expected", "tolerance"),
    [(100, 1, 1.0, 2.3, 0.01), (100, 10, 1.0, 23, 0.1), (5000, 10, 0.1, 2.3, 0.1)],
)
def test_temporal_softmax(
    rng: np.random.Generator, n: int, time: int, share: float, expected: float, tolerance: float
) -> None:
    """Summed over time and averaged over the batch, the loss is ln 10 for each step that counts."""
    scores = ts.tensor(0.001 * rng.standard_normal((n, time, 10)))
    words = np.where(rng.random((n, time)) < share, rng.integers(10, size=(n, time)), -1)
    loss = ts.cross_entropy(scores, words, ignore_index=-1, reduction="sum") / n
    assert loss.item() == pytest.approx(expected, abs=tolerance)


@pytest.mark.parametrize("case", CAPTIONING, ids=ids(CAPTIONING))
def test_captioning(case: Case) -> None:
    gates = 4 if case["id"].startswith("lstm") else 1
    shapes = {
        "W_embed": (VOCABULARY, WORD),
        "W_proj": (FEATURES, HIDDEN),
        "b_proj": (HIDDEN,),
        "Wx": (WORD, gates * HIDDEN),
        "Wh": (HIDDEN, gates * HIDDEN),
        "b": (gates * HIDDEN,),
        "W_vocab": (HIDDEN, VOCABULARY),
        "b_vocab": (VOCABULARY,),
    }
    arrays = linspace({name: (-1.4, 1.3, shape) for name, shape in shapes.items()})
    embed = ts.nn.Embedding(VOCABULARY, WORD).double()
    project = ts.nn.Linear(FEATURES, HIDDEN).double()
    to_vocabulary = ts.nn.Linear(HIDDEN, VOCABULARY).double()
    embed.load_state_dict({"weight": arrays["W_embed"]})
    project.load_state_dict({"weight": arrays["W_proj"].T, "bias": arrays["b_proj"]})
    to_vocabulary.load_state_dict({"weight": arrays["W_vocab"].T, "bias": arrays["b_vocab"]})

    captions = (np.arange(N * STEPS) % 3).reshape(N, STEPS)
    h0 = project(ts.tensor(linspace(case["linspace"])["features"]))
    state = h0 if gates == 1 else (h0, ts.zeros_like(h0))
    h, _ = ts.nn.Recurrent(build_cell(arrays), batch_first=True)(embed(captions[:, :-1]), state)
    loss = ts.cross_entropy(to_vocabulary(h), captions[:, 1:], ignore_index=NULL, reduction="sum") / N
    check(case, {"loss": loss.item()})
