"""A stream gives, input by input, what the layer gives for the whole sequence, and keeps its promises about weights."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pytest
from numba import config
from numba.core import event

import tinygrad_seq as ts
from tinygrad_seq import nn
from tinygrad_seq.base.memo import Memo
from tinygrad_seq.base.tree import flatten, map_leaves
from tinygrad_seq.errors import ArgumentError, CompileWarning, DtypeError, ShapeError
from tinygrad_seq.scan import variants

I, H = 3, 4


class DictCell(nn.Cell):
    """A state in a dict, part of it the last input; an output of two arrays, one of them always the same."""

    def __init__(self) -> None:
        self.state_shape = {"h": (H,), "last": (I,)}
        self.project = nn.Linear(I + H, H)

    def forward(self, x, state):
        h = ts.tanh(self.project(ts.concat([x, state["h"]], axis=-1)))
        return {"y": h * 2, "last": state["last"], "bias": self.project.bias}, {"last": x, "h": h}


class TreeCell(nn.Cell):
    """Inputs in a dict: an index into a table and a factor."""

    state_shape = (H,)

    def __init__(self) -> None:
        self.table = nn.Embedding(5, H)

    def forward(self, x, state):
        state = state * x["factor"] + self.table(x["index"])
        return ts.softmax(state, axis=-1), state


class BranchCell(nn.Cell):
    """Reads a value in Python."""

    state_shape = (H,)
    input_size = H

    def __init__(self) -> None:
        self.weight = nn.Parameter(ts.ones(H))

    def forward(self, x, state):
        state = state + x * self.weight if x.sum() > 0 else state
        return state, state


LAYERS = {
    "rnn": lambda: nn.RNN(I, H, num_layers=2, nonlinearity="relu"),
    "gru": lambda: nn.GRU(I, H, bias=False),
    "lstm": lambda: nn.LSTM(I, H, num_layers=2),
    "two cells": lambda: nn.Recurrent([nn.NotesGRUCell(I, H), nn.LSTMCell(H, 2)]),
    "notes rnn": lambda: nn.Recurrent(nn.NotesRNNCell(I, H)),
    "notes simplified gru": lambda: nn.Recurrent(nn.NotesSimplifiedGRUCell(I, H)),
    "notes lstm": lambda: nn.Recurrent(nn.NotesLSTMCell(I, H)),
    "elman": lambda: nn.Recurrent(nn.ElmanCell(I, H)),
    "dict": lambda: nn.Recurrent(DictCell()),
    "tree": lambda: nn.Recurrent(TreeCell()),
}


def inputs(name: str, N: int, rng: np.random.Generator) -> Any:
    if name == "tree":
        return {"index": rng.integers(0, 5, (6, N)), "factor": rng.random((6, N, 1))}
    return rng.standard_normal((6, N, I))


def at(tree: Any, t: int) -> Any:
    return map_leaves(lambda leaf: leaf[t], tree)


def assert_same(found: Any, expected: Any) -> None:
    for one, other in zip(flatten(found)[0], flatten(expected)[0], strict=True):
        assert one.shape == other.shape
        np.testing.assert_allclose(np.asarray(one), np.asarray(other.detach()), rtol=1e-12, atol=1e-12)


@pytest.fixture(params=["compiled", "interpreted"])
def compiler(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    if request.param == "interpreted":
        monkeypatch.setattr(config, "DISABLE_JIT", 1)
        monkeypatch.setattr(variants, "_known", Memo(100))


@pytest.mark.parametrize("N", [1, 5])
@pytest.mark.parametrize("name", LAYERS)
@pytest.mark.usefixtures("compiler")
def test_same_as_the_whole_sequence(name: str, N: int, rng) -> None:
    layer, xs = LAYERS[name]().double(), inputs(name, N, rng)
    with ts.detect_anomaly():  # step by step
        ys, last = layer(map_leaves(ts.asarray, xs))
        early = layer(map_leaves(lambda leaf: ts.asarray(leaf[:2]), xs))[1]
    stream = layer.stream(N)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for t in range(6):
            y = stream(at(xs, t))
            assert_same(y, at(ys, t))
            assert not any(leaf.requires_grad for leaf in flatten(y)[0])
    assert_same(stream.state, last)
    middle = layer.stream(N, state=early)
    for t in range(2, 6):
        assert_same(middle(at(xs, t)), at(ys, t))


@pytest.mark.parametrize("make", [LAYERS["lstm"], LAYERS["dict"], lambda: nn.Recurrent(BranchCell())])
@pytest.mark.filterwarnings("ignore::tinygrad_seq.errors.CompileWarning")
def test_state_can_be_read_set_and_reset(make, rng) -> None:
    layer = make()
    x = np.float32(rng.standard_normal((2, layer._passes()[0].cell.input_size or I)))
    stream = layer.stream(2)
    before = stream.state
    first = stream(x)
    between = stream.state
    kept = [np.array(leaf) for leaf in flatten(between)[0]]
    second = stream(x)
    for array, leaf in zip(kept, flatten(between)[0], strict=True):
        np.testing.assert_array_equal(array, leaf)
    stream.state = between
    assert_same(stream(x), second)
    stream.reset()
    assert_same(stream.state, before)
    assert_same(stream(x), first)


def test_outputs_and_inputs_are_the_callers() -> None:
    stream = nn.GRU(I, H).stream(1)
    x = ts.ones((1, I))
    one = stream(x)
    copy = one.numpy().copy()
    one.data[...] = 7
    x.data[...] = 9
    stream.state.data[...] = 7
    stream.reset()
    np.testing.assert_array_equal(stream(ts.ones((1, I))), copy)


@pytest.mark.parametrize("make", [LAYERS["gru"], lambda: nn.Recurrent(BranchCell())])
@pytest.mark.filterwarnings("ignore::tinygrad_seq.errors.CompileWarning")
def test_weights_are_those_of_the_moment_until_refreshed(make) -> None:
    layer = make()
    x = ts.ones((2, layer._passes()[0].cell.input_size))
    stream = layer.stream(2)
    old = stream(x)
    for parameter in layer.parameters():
        parameter.data[...] *= 2
    stream.reset()
    assert_same(stream(x), old)
    state = stream.state
    stream.refresh()
    assert_same(stream.state, state)
    stream.reset()
    assert_same(ts.stack([stream(x)]), layer(x[None])[0])
    assert not np.allclose(old, stream.state if stream.state.shape == old.shape else stream.state[0])


def test_nothing_is_dropped_and_training_stays_on() -> None:
    layer = nn.Recurrent([nn.GRUCell(I, H), nn.GRUCell(H, H)], dropout=0.9)
    x = ts.ones((1, I))
    assert_same(layer.stream(1)(x), layer.eval()(x[None])[0][0])
    layer.train().stream(1)(x)
    assert layer.training


def test_a_call_compiles_nothing() -> None:
    nn.LSTM(5, 7).stream(2)(ts.ones((2, 5)))
    with event.install_recorder("numba:compile") as compiled:
        stream = nn.LSTM(6, 9).stream(3)
        for _ in range(3):
            stream(ts.ones((3, 6)))
    assert not compiled.buffer


def test_a_cell_that_cannot_be_compiled_streams_with_one_warning() -> None:
    class Doubtful(BranchCell):
        def forward(self, x, state):
            return (state, state) if (x < 0).all() else (state + x, state + x)

    layer = nn.Recurrent(Doubtful())

    def outputs():
        stream = layer.stream(1)
        return [stream(ts.ones((1, H)) * sign) for sign in (1, -1, 1)]

    with pytest.warns(CompileWarning, match=r"test_stream\.py.*step by step") as caught:
        ys = outputs()
    assert len(caught) == 1
    np.testing.assert_array_equal([y.numpy()[0, 0] for y in ys], [1, 1, 2])


def test_bad_input_is_refused_and_changes_nothing() -> None:
    stream = nn.LSTM(I, H).stream(2)
    y = stream(ts.ones((2, I)))
    state = stream.state
    for x, kind in (
        (ts.ones((1, I)), ShapeError),
        (ts.ones((2, I + 1)), ShapeError),
        (np.ones((2, I)), DtypeError),
        ((ts.ones((2, I)), ts.ones((2, I))), ArgumentError),
    ):
        with pytest.raises(kind, match=r"stream: expected x as \(2, 3\) float32"):
            stream(x)
    assert_same(stream.state, state)
    with pytest.raises(ShapeError, match="state 'h'"):
        stream.state = (ts.zeros((1, 3, H)), ts.zeros((1, 3, H)))
    with pytest.raises(ArgumentError, match="batch_size"):
        nn.LSTM(I, H).stream(0)
    with pytest.raises(ShapeError, match="2 rows"):
        nn.Recurrent(DictCell()).stream(2)(ts.ones((3, I)))
    stream.reset()
    assert_same(stream(ts.ones((2, I))), y)
    tree = nn.Recurrent(TreeCell()).stream(1)
    with pytest.raises(ts.errors.IndexRangeError, match="from 0 to 4, got 5"):
        tree({"index": np.array([5]), "factor": np.ones((1, 1), np.float32)})
    assert_same(tree.state, ts.zeros((1, H)))
    tree({"index": np.array([4]), "factor": np.ones((1, 1), np.float32)})
