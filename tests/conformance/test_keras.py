"""The constants of Keras 3's own tests of its recurrent layers: going backwards, masks, states, kinds of bias."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import tinygrad_seq as ts
from tests.conformance.cases import Case, ids, load

CASES = [*load("keras.json").values()]
KERNEL, RECURRENT_KERNEL, BIAS = 0.01, 0.02, 0.03
TOLERANCE = 2e-7  # the numbers were printed from float32


def gru(features: int, units: int, bias: bool = True) -> ts.nn.Cell:
    """Return a GRU that resets after the product: the same equations as Keras's, a bias on either side."""
    return constant(ts.nn.GRUCell(features, units, bias), input_bias=BIAS, state_bias=BIAS)


def gru_reset_before(features: int, units: int) -> ts.nn.Cell:
    """Return a GRU that resets before the product; the notes' update gate is one minus Keras's, hence the signs."""
    cell = ts.nn.NotesGRUCell(features, units).double()
    weight = np.full((units, units + features), KERNEL)
    weight[:, :units] = RECURRENT_KERNEL
    bias = np.full((units, 1), BIAS)
    cell.load_state_dict({"Wc": weight, "bc": bias, "Wu": -weight, "bu": -bias, "Wr": weight, "br": bias})
    return cell


def lstm(features: int, units: int, bias: bool = True, forget_bias: float = 1.0) -> ts.nn.Cell:
    """Return an LSTM with Keras's one bias, 1 in the block of the forget gate unless told otherwise."""
    cell = constant(ts.nn.LSTMCell(features, units, bias), input_bias=BIAS, state_bias=0)
    if bias:
        cell.bias_ih.data[units : 2 * units] = forget_bias
    return cell


def simple_rnn(features: int, units: int) -> ts.nn.Cell:
    return constant(ts.nn.ElmanCell(features, units), input_bias=BIAS, state_bias=0)


def constant(cell: Any, input_bias: float, state_bias: float) -> Any:
    values = {"weight_ih": KERNEL, "weight_hh": RECURRENT_KERNEL, "bias_ih": input_bias, "bias_hh": state_bias}
    for name, parameter in cell.double().named_parameters():
        ts.nn.init.constant_(parameter, values[name])
    return cell


LAYERS: dict[str, Callable[[int, int], ts.nn.Cell]] = {
    "GRU": gru,
    "GRU reset_after=False": gru_reset_before,
    "GRU use_bias=False": lambda features, units: gru(features, units, bias=False),
    "LSTM": lstm,
    "LSTM unit_forget_bias=False": lambda features, units: lstm(features, units, forget_bias=BIAS),
    "LSTM use_bias=False": lambda features, units: lstm(features, units, bias=False),
    "SimpleRNN": simple_rnn,
}


class Masked(ts.nn.Cell):
    """A cell that keeps its state, and so its output, wherever the mask (N, 1) that comes with x is False."""

    def __init__(self, cell: ts.nn.Cell) -> None:
        self.cell, self.state_shape = cell, cell.state_shape

    def forward(self, inputs: tuple[ts.Tensor, ts.Tensor], state: Any) -> tuple[ts.Tensor, Any]:
        x, mask = inputs
        _, new = self.cell(x, state)
        if isinstance(state, tuple):
            state = tuple(ts.where(mask, after, before) for after, before in zip(new, state, strict=True))
            return state[0], state
        state = ts.where(mask, new, state)
        return state, state


def ramp(*shape: int) -> ts.Tensor:
    return ts.arange(math.prod(shape), dtype=np.float64).reshape(shape)


def initial_state(case: Case, cell: ts.nn.Cell, n: int) -> Any:
    if "initial" not in case:
        return cell.initial_state(n)
    h = ramp(n, case["units"])
    return (h, h) if case["layer"].startswith("LSTM") else h


def check(case: Case, ys: ts.Tensor, state: Any) -> None:
    """Compare time-major outputs and the last state; one number for an example means that all units are equal."""
    h, c = state if isinstance(state, tuple) else (state, None)
    np.testing.assert_array_equal(ys[0 if case.get("reverse") else -1].numpy(), h.numpy())
    for key, found in {"last": h, "cell_state": c, "all": ts.swapaxes(ys, 0, 1)}.items():
        if key in case:
            expected = np.array(case[key])
            expected = expected[..., None] if expected.ndim < found.ndim else expected
            found = found.numpy()
            np.testing.assert_allclose(found, np.broadcast_to(expected, found.shape), rtol=0, atol=TOLERANCE)


@pytest.mark.parametrize("case", CASES, ids=ids(CASES))
def test_by_scan(case: Case) -> None:
    n, time, features = case["x"]
    x = ts.swapaxes(ramp(n, time, features), 0, 1)
    mask = ts.tensor(np.array(case.get("mask", np.ones((n, time))), bool)).T[..., None]
    cell = Masked(LAYERS[case["layer"]](features, case["units"]))

    def step(state: Any, inputs: Any) -> tuple[Any, ts.Tensor]:
        y, state = cell(inputs, state)
        return state, y

    state = initial_state(case, cell, n)
    for _ in range(case.get("passes", 1)):
        state, ys = ts.scan(step, state, (x, mask), reverse=case.get("reverse", False))
    check(case, ys, state)


FORWARD = [case for case in CASES if not case.get("reverse")]


@pytest.mark.parametrize("case", FORWARD, ids=ids(FORWARD))
def test_by_recurrent(case: Case) -> None:
    n, time, features = case["x"]
    cell = LAYERS[case["layer"]](features, case["units"])
    state = initial_state(case, cell, n)
    inputs: Any = ramp(n, time, features)
    if "mask" in case:
        cell, inputs = Masked(cell), (inputs, ts.tensor(np.array(case["mask"], bool))[..., None])
    layer = ts.nn.Recurrent(cell, batch_first=True)
    for _ in range(case.get("passes", 1)):
        ys, state = layer(inputs, state)
    check(case, ts.swapaxes(ys, 0, 1), state)


STACKED: dict[type, Any] = {ts.nn.GRUCell: ts.nn.GRU, ts.nn.LSTMCell: ts.nn.LSTM, ts.nn.ElmanCell: ts.nn.RNN}
PLAIN = [case for case in FORWARD if "mask" not in case and "reset_after" not in case["layer"]]


@pytest.mark.parametrize("case", PLAIN, ids=ids(PLAIN))
def test_by_layer(case: Case) -> None:
    n, time, features = case["x"]
    cell = LAYERS[case["layer"]](features, case["units"])
    parameters = cell.state_dict()
    layer = STACKED[type(cell)](features, case["units"], bias="bias_ih" in parameters, batch_first=True).double()
    layer.load_state_dict({f"{name}_l0": values for name, values in parameters.items()})
    first = initial_state(case, cell, n)
    state: Any = tuple(part[None] for part in first) if isinstance(first, tuple) else first[None]
    for _ in range(case.get("passes", 1)):
        ys, state = layer(ramp(n, time, features), state)
    last = tuple(part[0] for part in state) if isinstance(state, tuple) else state[0]
    check(case, ts.swapaxes(ys, 0, 1), last)
