"""The constants of Keras 3's tests of `Bidirectional`, of `RNN` around users' cells, stacked cells and `ConvLSTM1D`."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import tinygrad_seq as ts
from tests.conformance.cases import Case, ids, load
from tests.conformance.keras_layers import (
    BIAS,
    KERNEL,
    LAYERS,
    RECURRENT_KERNEL,
    TOLERANCE,
    constant,
    ramp,
    simple_rnn,
)
from tests.grad_of import grad_of

CASES = load("keras_wrappers.json").values()
BIDIRECTIONAL = [case for case in CASES if "merge" in case]
CELLS = [case for case in CASES if "cell" in case]
CONVOLUTIONAL = [case for case in CASES if "kernel_size" in case]


def mask_of(case: Case) -> Any:
    return np.array(case["mask"], bool) if "mask" in case else None


def leaves(state: Any) -> list[np.ndarray]:
    """Return the arrays of a state, in order."""
    return [leaf for part in state for leaf in leaves(part)] if isinstance(state, tuple) else [state.numpy()]


def compare(found: np.ndarray, expected: Any, atol: float) -> None:
    np.testing.assert_allclose(found, np.array(expected, np.float64).reshape(found.shape), rtol=0, atol=atol)


# ----------------------------------------------------------------------------------------------------- two directions


MERGES = {
    "concat": lambda a, b: np.concatenate([a, b], axis=-1),
    "ave": lambda a, b: (a + b) / 2,
    "mul": lambda a, b: a * b,
    "sum": lambda a, b: a + b,
}


def pair(case: Case) -> tuple[Any, Any]:
    """Return the cells of both directions, with equal weights unless the case says otherwise."""
    made: list[Any] = [LAYERS[case["layer"]](case["x"][2], case["units"]) for _ in range(2)]
    if "backward" in case:
        assert case["layer"] == "SimpleRNN"
        values = case["backward"]
        made[1] = constant(simple_rnn(case["x"][2], case["units"]), input_bias=values["bias"], state_bias=0)
        ts.nn.init.constant_(made[1].weight_ih, values["kernel"])
        ts.nn.init.constant_(made[1].weight_hh, values["recurrent_kernel"])
    return made[0], made[1]


@pytest.mark.parametrize("case", BIDIRECTIONAL, ids=ids(BIDIRECTIONAL))
def test_bidirectional(case: Case) -> None:
    n, time, features = case["x"]
    merge: Any = {"ave": "mean", "mul": "concat"}.get(case["merge"], case["merge"])
    layer = ts.nn.Recurrent([pair(case)], batch_first=True, bidirectional=True, merge=merge, masked_output="held")
    state: Any = None
    if "initial" in case:
        h, c, back_h, back_c = (factor * ramp(n, case["units"]) for factor in case["initial"])
        state = ((h, c), (back_h, back_c))
    for _ in range(case.get("passes", 1)):
        ys, state = layer(ramp(n, time, features), state, mask=mask_of(case))
    if "last" in case:
        halves = [leaves(part)[0] for part in state]  # h of each direction
        compare(MERGES[case["merge"]](*halves), case["last"], TOLERANCE)
    if "all" in case:
        compare(ys.numpy(), case["all"], TOLERANCE)
    for found, expected in zip(leaves(state), case.get("states", []), strict="states" in case):
        compare(found, expected, TOLERANCE)


# ------------------------------------------------------------------------------------ cells that Keras's tests define


class OneState(ts.nn.Cell):
    """h' = W x + U h, all weights 1."""

    def __init__(self, input_size: int, hidden_size: int) -> None:
        self.input_size, self.hidden_size, self.state_shape = input_size, hidden_size, (hidden_size,)
        self.kernel = ts.nn.Parameter(np.ones((input_size, hidden_size)))
        self.recurrent_kernel = ts.nn.Parameter(np.ones((hidden_size, hidden_size)))

    def forward(self, x: Any, h: Any) -> Any:
        h = x @ self.kernel + h @ self.recurrent_kernel
        return h, h


class TwoStates(ts.nn.Cell):
    """a' = W x + U a, b' = W x + V b, the output a' + b', all weights 1."""

    def __init__(self, input_size: int, hidden_size: int) -> None:
        self.input_size, self.hidden_size, self.state_shape = input_size, hidden_size, ((hidden_size,),) * 2
        self.kernel = ts.nn.Parameter(np.ones((input_size, hidden_size)))
        self.recurrent_kernels = [ts.nn.Parameter(np.ones((hidden_size, hidden_size))) for _ in range(2)]

    def forward(self, x: Any, state: Any) -> Any:
        a, b = (x @ self.kernel + part @ kernel for part, kernel in zip(state, self.recurrent_kernels, strict=True))
        return a + b, (a, b)


def lstm_of_ones(input_size: int, hidden_size: int) -> ts.nn.Cell:
    """Return an LSTM with weights 1 and biases 0, except 1 for the forget gate."""
    cell: Any = ts.nn.LSTMCell(input_size, hidden_size)
    for parameter in (cell.weight_ih, cell.weight_hh):
        ts.nn.init.constant_(parameter, 1)
    cell.bias_hh.data[:] = cell.bias_ih.data[:] = 0
    cell.bias_ih.data[hidden_size : 2 * hidden_size] = 1
    return cell


KINDS: dict[str, Any] = {"OneState": OneState, "TwoStates": TwoStates, "LSTM": lstm_of_ones}


@pytest.mark.parametrize("case", CELLS, ids=ids(CELLS))
def test_cells(case: Case) -> None:
    sizes = [case["x"][2], *case["units"]]
    cells = [KINDS[case["cell"]](*each).double() for each in zip(sizes, case["units"], strict=False)]
    reverse = case.get("reverse", False)
    layer = ts.nn.Recurrent(cells, batch_first=True, masked_output="held", go_backwards=reverse)
    x = ts.ones(case["x"], dtype=np.float64) if case.get("ones") else ramp(*case["x"])
    state = layer.initial_state(len(x))
    if "initial" in case:
        state = tuple(part + 1 for part in state) if isinstance(state, tuple) else state + 1
    for _ in range(case.get("passes", 1)):
        ys, state = layer(x, state, mask=mask_of(case))
    atol = case.get("atol", 0)  # whole numbers, exactly
    if "all" in case:
        compare(ys.numpy(), case["all"], atol)
    if "last" in case:
        compare(ys.numpy()[:, 0 if reverse else -1], case["last"], atol)
    for found, expected in zip(leaves(state), case.get("states", []), strict="states" in case):
        compare(found, expected, atol)


# ------------------------------------------------------------------------------------------------ a convolutional cell


class ConvLSTM(ts.nn.Cell):
    """An LSTM over (W, C) whose products are convolutions over W: of x without padding, of h with it."""

    def __init__(self, width: int, channels: int, filters: int, size: int) -> None:
        self.size, self.width = size, width - size + 1
        self.state_shape = ((self.width, filters),) * 2
        self.kernel = ts.nn.Parameter(np.full((size, channels, 4 * filters), KERNEL))
        self.recurrent_kernel = ts.nn.Parameter(np.full((size, filters, 4 * filters), RECURRENT_KERNEL))
        self.bias = ts.nn.Parameter(np.full(4 * filters, BIAS))
        self.bias.data[filters : 2 * filters] = 1  # the forget gate's

    def forward(self, x: Any, state: Any) -> Any:
        h, c = state
        border = 0 * h[:, : self.size // 2]
        gates = self._convolve(x, self.kernel) + self.bias
        gates = gates + self._convolve(ts.concat([border, h, border], axis=1), self.recurrent_kernel)
        i, f, g, o = ts.split(gates, 4, axis=-1)
        c = ts.sigmoid(f) * c + ts.sigmoid(i) * ts.tanh(g)
        h = ts.sigmoid(o) * ts.tanh(c)
        return h, (h, c)

    def _convolve(self, x: Any, kernel: Any) -> Any:
        terms = [x[:, k : k + self.width] @ kernel[k] for k in range(self.size)]
        return sum(terms[1:], start=terms[0])


@pytest.mark.parametrize("case", CONVOLUTIONAL, ids=ids(CONVOLUTIONAL))
def test_convolutional_cell(case: Case) -> None:
    _, _, width, channels = case["x"]
    layer = ts.nn.Recurrent(ConvLSTM(width, channels, case["filters"], case["kernel_size"]).double(), batch_first=True)
    ys, (h, _) = layer(ramp(*case["x"]) / case["divided_by"])
    ys.sum().backward()
    assert all(np.isfinite(grad_of(p).numpy()).all() for p in layer.parameters())
    np.testing.assert_array_equal(ys[:, -1].numpy(), h.numpy())
    expected = np.broadcast_to(np.array(case["last"])[..., None], h.shape)
    np.testing.assert_allclose(h.numpy(), expected, rtol=0, atol=TOLERANCE)
