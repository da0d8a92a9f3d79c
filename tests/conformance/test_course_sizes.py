"""Parameter counts of the course's model summaries; the LSTM of Keras has one bias, like the cell of the notes."""

from __future__ import annotations

from typing import Any

import pytest

import tinygrad_seq as ts
from tests.conformance.cases import check, load

SIZES = load("course_later.json")


class Conv1d(ts.nn.Module):
    def __init__(self, channels: int, filters: int, width: int, stride: int) -> None:
        self.weight = ts.nn.Parameter(ts.zeros((filters, channels, width)))
        self.bias = ts.nn.Parameter(ts.zeros(filters))
        self.stride = stride

    def forward(self, x: ts.Tensor) -> ts.Tensor:
        return ts.conv1d(x, self.weight, self.bias, stride=self.stride)


class BatchNormParameters(ts.nn.Module):
    """The arrays of a batch normalisation: two trained vectors, and the running mean and variance."""

    def __init__(self, features: int) -> None:
        self.weight, self.bias = ts.nn.Parameter(ts.ones(features)), ts.nn.Parameter(ts.zeros(features))
        self.mean, self.variance = ts.nn.Buffer(ts.zeros(features)), ts.nn.Buffer(ts.ones(features))


@pytest.mark.parametrize("values", [78, 90])
def test_jazz(values: int) -> None:
    model = ts.nn.Sequential(ts.nn.NotesLSTMCell(values, 64), ts.nn.Linear(64, values))
    check(SIZES[f"jazz.{values}"], {"parameters": model.count_parameters()})


def test_emojify() -> None:
    table = ts.nn.Embedding(7, 50).requires_grad_(False)
    layers = [ts.nn.Recurrent(ts.nn.NotesLSTMCell(size, 128)) for size in (50, 128)]
    model = ts.nn.Sequential(table, *layers, ts.nn.Dropout(0.5), ts.nn.Linear(128, 5))
    assert model.count_parameters() - model.count_parameters(trainable=True) == 7 * 50
    check(SIZES["emojify"], {"parameters": model.count_parameters(trainable=True)})


def test_dates() -> None:
    parts = {
        "bidirectional": ts.nn.Sequential(*(ts.nn.NotesLSTMCell(37, 32) for _ in range(2))),
        "attention": ts.nn.Sequential(ts.nn.Linear(128, 10), ts.nn.Tanh(), ts.nn.Linear(10, 1), ts.nn.ReLU()),
        "post": ts.nn.NotesLSTMCell(64, 64),
        "output": ts.nn.Linear(64, 11),
    }
    counts = {name: part.count_parameters() for name, part in parts.items()}
    check(SIZES["dates"], counts | {"parameters": sum(counts.values())})


@pytest.mark.parametrize(
    ("name", "gru"),
    [("trigger_word", ts.nn.NotesGRUCell), ("trigger_word.two_biases", ts.nn.GRU)],
)
def test_trigger_word(name: str, gru: Any) -> None:
    convolution = Conv1d(101, 196, width=15, stride=4)
    norms = [BatchNormParameters(features) for features in (196, 128, 128)]
    model = ts.nn.Sequential(
        convolution, norms[0], gru(196, 128), norms[1], gru(128, 128), norms[2], ts.nn.Linear(128, 1)
    )
    trainable, frozen = model.count_parameters(), sum(buffer.size for buffer in model.buffers())
    values = {"trainable": trainable, "frozen": frozen, "parameters": trainable + frozen}
    check(SIZES[name], values | {"time": convolution(ts.zeros((1, 101, 5511))).shape[-1]})
