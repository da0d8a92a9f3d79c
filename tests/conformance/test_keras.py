"""The constants in Keras 3's tests of its recurrent layers: backward direction, masks, states, kinds of bias."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import tinygrad_seq as ts
from tests.conformance.cases import Case, ids, load
from tests.conformance.keras_layers import LAYERS, TOLERANCE, ramp

CASES = [*load("keras.json").values()]


class Masked(ts.nn.Cell):
    """A cell that keeps its state, and so its output, where the mask (N, 1) in its input is False."""

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


def initial_state(case: Case, cell: ts.nn.Cell, n: int) -> Any:
    if "initial" not in case:
        return cell.initial_state(n)
    h = ramp(n, case["units"])
    return (h, h) if case["layer"].startswith("LSTM") else h


def check(case: Case, ys: ts.Tensor, state: Any) -> None:
    """Compare time-major outputs and the last state; one number per example means that all units are equal."""
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


@pytest.mark.parametrize("masked_output", ["held", "zeros"])
@pytest.mark.parametrize("case", CASES, ids=ids(CASES))
def test_by_options(case: Case, masked_output: Any) -> None:
    """Directions and masks as options: where the mask is 0, the state stays and the output is held or 0."""
    n, time, features = case["x"]
    reverse, mask = case.get("reverse", False), case.get("mask")
    cell = LAYERS[case["layer"]](features, case["units"])
    layer = ts.nn.Recurrent(cell, batch_first=True, go_backwards=reverse, masked_output=masked_output)
    state = initial_state(case, cell, n)
    for _ in range(case.get("passes", 1)):
        ys, state = layer(ramp(n, time, features), state, mask=None if mask is None else np.array(mask, bool))
    ys = ts.swapaxes(ys, 0, 1)
    if mask is None or masked_output == "held":
        check(case, ys, state)
    else:  # zero_output_for_mask=True in Keras: the same numbers where the mask is 1
        kept = np.array(mask, bool).T
        np.testing.assert_array_equal(ys.numpy()[~kept], 0)
        if "all" in case:
            expected = np.broadcast_to(np.array(case["all"]).T[..., None], ys.shape)
            np.testing.assert_allclose(ys.numpy()[kept], expected[kept], rtol=0, atol=TOLERANCE)


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
