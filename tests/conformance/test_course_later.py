"""Course 5, weeks 2 to 4, and the GRU of its sister course on language."""

from __future__ import annotations

import numpy as np
import pytest

import tinygrad_seq as ts
from tests.conformance.cases import Case, check, draw, load
from tinygrad_seq.data import Vocabulary, pad_sequences

LATER = load("course_later.json")
SPECIAL = len(Vocabulary([]))  # the package's tables start with <PAD>, <UNK>, <EOS>; the course's with the first token


# -------------------------------------------------------------------------------------------- the gated recurrent unit


@pytest.mark.parametrize(("name", "inputs"), [("gru", slice(1, 2)), ("gru.scan", slice(None))])
def test_gru(name: str, inputs: slice) -> None:
    arrays = draw(LATER[name])
    xs = arrays.pop("X")
    cell = ts.nn.NotesGRUCell(128, 16).double()
    cell.load_state_dict(arrays)
    _, h = ts.nn.Recurrent(cell)(ts.tensor(xs[inputs, None, :, 0]))
    check(LATER[name], {"h": h.numpy()})


# ------------------------------------------------------------------------------------------------- words and sentences


def cosine(u: ts.Tensor, v: ts.Tensor) -> float:
    return (ts.vecdot(u, v) / (ts.norm(u) * ts.norm(v))).item()


def test_debiased_vectors(rng: np.random.Generator) -> None:
    """For any vectors: a neutralised vector is orthogonal to the axis, an equalised pair is symmetric about it."""
    axis, word, first, second = ts.tensor(rng.standard_normal((4, 50)))

    def along(v: ts.Tensor) -> ts.Tensor:
        return ts.vecdot(v, axis) / ts.vecdot(axis, axis) * axis

    assert cosine(word - along(word), axis) == pytest.approx(0, abs=1e-15)

    middle = (first + second) / 2
    aside = middle - along(middle)
    scale = ts.sqrt(ts.abs(1 - ts.square(aside).sum()))
    parts = [along(v) - along(middle) for v in (first, second)]
    equalised = [aside + scale * part / ts.norm(v - middle) for part, v in zip(parts, (first, second), strict=True)]
    assert abs(cosine(equalised[0], axis)) > 1e-3
    assert cosine(equalised[0], axis) == pytest.approx(-cosine(equalised[1], axis), abs=1e-15)


def average(case: Case, sentences: list[str]) -> ts.Tensor:
    """Return the mean vector of the known words of each sentence, zeros if it has none."""
    vocabulary = Vocabulary(case["vectors"], level="word")
    table = ts.nn.Embedding(len(vocabulary), 2).double()
    table.load_state_dict({"weight": np.array([[0, 0]] * SPECIAL + list(case["vectors"].values()), np.float64)})
    indices, _ = pad_sequences([vocabulary.encode(sentence.split()) for sentence in sentences])
    counts = ts.maximum(ts.count_nonzero(ts.tensor(indices >= SPECIAL), axis=0), 1)
    return table(indices).sum(axis=0) / counts[:, None].double()


def test_sentence_to_avg() -> None:
    case = LATER["sentence_to_avg"]
    sentences = list(case["expect"])
    check(case, dict(zip(sentences, average(case, sentences).detach().numpy(), strict=True)))


def test_emojify_model() -> None:
    case = LATER["emojify_model"]
    layer = ts.nn.Linear(2, 2).double()
    layer.load_state_dict({"weight": draw(case)["W"] / np.sqrt(2), "bias": np.zeros(2)})
    optimizer = ts.optim.SGD(layer.parameters(), lr=case["learning_rate"])
    averages, labels = average(case, case["sentences"]).detach(), case["expect"]["labels"]
    for _ in range(case["epochs"]):
        for row, label in zip(averages, labels, strict=True):
            optimizer.zero_grad()
            ts.cross_entropy(layer(row), label).backward()
            optimizer.step()
    found = ts.argmax(layer(averages), axis=-1)
    values = layer.state_dict()
    check(case, {"labels": found.numpy(), "W": values["weight"], "b": values["bias"]})


@pytest.mark.parametrize("name", ["sentences_to_indices", "date_to_indices", "iso_date_to_indices"])
def test_texts_to_indices(name: str) -> None:
    case = LATER[name]
    words = max(map(len, case["tokens"])) > 1
    vocabulary = Vocabulary(case["tokens"], level="word" if words else "char")
    texts = [text.lower().split() if words else text for text in case["sentences"]]
    rows = [vocabulary.encode(text, strict=True) - SPECIAL for text in texts]
    ruler = np.zeros(case.get("length", 0), np.int64)
    padded, _ = pad_sequences([*rows, ruler], value=case["padding"])
    check(case, {"indices": padded.T[:-1]})


# ----------------------------------------------------------------------------------------------------------- attention


def test_angles() -> None:
    position, pair = ts.arange(4, dtype=np.float64)[:, None], (ts.arange(8) // 2).double()
    check(LATER["angles"], {"angles": (position / 10000 ** (2 * pair / 8)).numpy()})


@pytest.mark.parametrize("name", ["attention", "attention.mask"])
def test_scaled_dot_product_attention(name: str) -> None:
    case = LATER[name]
    q, k, v = (ts.tensor(case[letter], np.float64) for letter in "qkv")
    scores = q @ k.T / np.sqrt(4)
    masked = ts.masked_fill(scores, np.array(case.get("mask", [0] * 4), bool), -np.inf)
    weights = ts.softmax(masked, axis=-1)
    check(case, {"weights": weights.numpy(), "output": (weights @ v).numpy()})
