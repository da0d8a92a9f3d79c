"""Every cell: its step against NumPy, its gradients through time against finite differences."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import tinygrad_seq as ts
from tests.nn import formulas
from tinygrad_seq import nn
from tinygrad_seq.base.tree import flatten, map_leaves
from tinygrad_seq.errors import ArgumentError, DtypeError, ShapeError

T, N, I, H = 4, 3, 2, 5
ROUNDING = 1e-14

CELLS: dict[str, Any] = {
    "elman": (lambda: nn.ElmanCell(I, H), formulas.elman),
    "elman relu": (lambda: nn.ElmanCell(I, H, nonlinearity="relu"), formulas.relu_elman),
    "elman without bias": (lambda: nn.ElmanCell(I, H, bias=False), formulas.elman),
    "gru": (lambda: nn.GRUCell(I, H), formulas.gru),
    "gru without bias": (lambda: nn.GRUCell(I, H, bias=False), formulas.gru),
    "lstm": (lambda: nn.LSTMCell(I, H), formulas.lstm),
    "lstm without bias": (lambda: nn.LSTMCell(I, H, bias=False), formulas.lstm),
    "notes rnn": (lambda: nn.NotesRNNCell(I, H), formulas.notes_rnn),
    "notes rnn, relu": (lambda: nn.NotesRNNCell(I, H, "relu"), formulas.notes_relu_rnn),
    "notes rnn, softsign": (lambda: nn.NotesRNNCell(I, H, ts.nn.functional.softsign), formulas.notes_softsign_rnn),
    "notes simplified gru": (lambda: nn.NotesSimplifiedGRUCell(I, H), formulas.notes_simplified_gru),
    "notes gru": (lambda: nn.NotesGRUCell(I, H), formulas.notes_gru),
    "notes lstm": (lambda: nn.NotesLSTMCell(I, H), formulas.notes_lstm),
}


def make(name: str, rng) -> Any:
    """Return a cell in float64 with all parameters drawn, biases too."""
    cell = CELLS[name][0]().double()
    for parameter in cell.parameters():
        nn.init.normal_(parameter, 0.0, 0.7, rng)
    return cell


def random_state(cell, rng, requires_grad: bool = False):
    return map_leaves(
        lambda zeros: ts.tensor(rng.standard_normal(zeros.shape), requires_grad=requires_grad), cell.initial_state(N)
    )


def arrays(tree) -> list[np.ndarray]:
    return [x if isinstance(x, np.ndarray) else x.numpy() for x in flatten(tree)[0]]


@pytest.mark.parametrize("name", CELLS)
def test_step_equals_the_formula(name: str, rng) -> None:
    cell = make(name, rng)
    x, state = rng.standard_normal((N, I)), random_state(cell, rng)
    expected = CELLS[name][1](cell.state_dict(), x, map_leaves(lambda s: s.numpy(), state))
    for got, want in zip(arrays(cell(ts.tensor(x), state)), arrays(expected), strict=True):
        np.testing.assert_allclose(got, want, rtol=0, atol=ROUNDING)


@pytest.mark.parametrize("name", CELLS)
def test_backpropagation_through_time_equals_finite_differences(name: str, rng) -> None:
    cell = make(name, rng)
    xs = ts.tensor(rng.standard_normal((T, N, I)), requires_grad=True)
    state = random_state(cell, rng, requires_grad=True)
    layer = nn.Recurrent(cell)
    ts.gradcheck(lambda *_: layer(xs, state), [*cell.parameters(), xs, *flatten(state)[0]])


@pytest.mark.parametrize("name", ["elman", "gru", "lstm", "notes gru", "notes lstm"])
def test_second_derivatives(name: str, rng) -> None:
    cell = make(name, rng)
    xs = ts.tensor(rng.standard_normal((3, 2, I)), requires_grad=True)
    layer = nn.Recurrent(cell)
    ts.gradcheck(lambda *_: layer(xs)[0], [*cell.parameters(), xs], order=2)


@pytest.mark.parametrize("name", CELLS)
def test_float32_stays_float32_and_is_drawn_like_float64(name: str) -> None:
    ts.manual_seed(3)
    cell = CELLS[name][0]()
    output, state = cell(ts.randn(N, I))
    assert {x.dtype for x in [*flatten(state)[0], output, *cell.parameters()]} == {np.dtype(np.float32)}
    ts.set_default_dtype("float64")
    try:
        ts.manual_seed(3)
        other = CELLS[name][0]()
    finally:
        ts.set_default_dtype("float32")
    for one, two in zip(cell.parameters(), other.parameters(), strict=True):
        assert two.dtype == np.float64
        np.testing.assert_array_equal(one.numpy(), two.numpy().astype(np.float32))


@pytest.mark.parametrize("name", CELLS)
def test_initialisation(name: str) -> None:
    for parameter_name, parameter in CELLS[name][0]().named_parameters():
        values = parameter.numpy()
        if parameter_name.startswith("b") and name.startswith("notes"):
            assert not values.any()
        else:
            assert 0.2 / np.sqrt(H) < np.abs(values).max() <= 1 / np.sqrt(H)


def test_notes_cells_take_the_arrays_of_the_course(rng) -> None:
    waa, wax, ba = rng.standard_normal((H, H)), rng.standard_normal((H, I)), rng.standard_normal((H, 1))
    cell = nn.NotesRNNCell(I, H).double()
    cell.load_state_dict({"Wa": np.hstack([waa, wax]), "ba": ba})
    a, x = rng.standard_normal((H, N)), rng.standard_normal((I, N))  # columns are examples
    got, _ = cell(ts.tensor(x.T), ts.tensor(a.T))
    np.testing.assert_allclose(got.numpy().T, np.tanh(waa @ a + wax @ x + ba), rtol=0, atol=ROUNDING)


def test_notes_update_gate_is_one_minus_pytorchs(rng) -> None:
    notes = make("notes simplified gru", rng)
    nn.init.constant_(notes.bu, 1e3)  # update fully: the old state does not matter
    x = ts.tensor(rng.standard_normal((N, I)))
    candidate = np.tanh(formulas.gate(notes.state_dict(), "c", np.zeros((N, H)), x.numpy()))
    np.testing.assert_allclose(notes(x)[0].numpy(), candidate, rtol=0, atol=ROUNDING)


def test_of_shares_its_parameters() -> None:
    cell = nn.GRUCell(I, H)
    other = nn.GRUCell.of(dict(cell.named_parameters()))
    assert all(a is b for a, b in zip(other.parameters(), cell.parameters(), strict=True))
    assert (other.input_size, other.hidden_size, other.state_shape) == (I, H, (H,))


# ------------------------------------------------------------------------------------------------- state shapes


class Everything(nn.Cell):
    """A cell with a nested state: a matrix, a counter, a list."""

    def __init__(self) -> None:
        self.state_shape = {"matrix": (2, 3), "parts": [(), (H,)]}

    def forward(self, x, state):
        scalar, vector = state["parts"]
        return vector, {"matrix": state["matrix"] * 0.5, "parts": [scalar + 1, vector + x]}


def test_nested_state() -> None:
    cell = Everything()
    state = cell.initial_state(N)
    assert (state["matrix"].shape, state["parts"][0].shape, state["parts"][1].shape) == ((N, 2, 3), (N,), (N, H))
    ys, state = nn.Recurrent(cell)(ts.ones((T, N, H)))
    assert ys.shape == (T, N, H)
    assert state["parts"][0].tolist() == [T] * N
    assert cell.initial_state(2, "float64")["matrix"].dtype == np.float64


BAD_STATES = [
    (lambda: ts.zeros((N, H)), ArgumentError, r"LSTMCell: expected a state \(\(3, 5\) float32, \(3, 5\) float32\)"),
    (lambda: (ts.zeros((N, H)),) * 3, ArgumentError, "pass the structure of initial_state"),
    (lambda: {"0": ts.zeros((N, H)), "1": ts.zeros((N, H))}, ArgumentError, "got {'0'"),
    (
        lambda: (ts.zeros((N, H)), ts.zeros((N, 4))),
        ShapeError,
        r"expected state 'c' of shape \(3, 5\) float32, got \(3, 4\)",
    ),
    (lambda: (ts.zeros((2, H)), ts.zeros((N, H))), ShapeError, r"expected state 'h' of shape \(3, 5\)"),
    (lambda: (ts.zeros((N, H)), ts.zeros((N, H), "float64")), DtypeError, r"state 'c' .* got \(3, 5\) float64; cast"),
]


@pytest.mark.parametrize(("state", "error", "message"), BAD_STATES)
def test_bad_state(state, error, message: str) -> None:
    cell = nn.LSTMCell(I, H)
    with pytest.raises(error, match=message):
        cell(ts.zeros((N, I)), state())
    with pytest.raises(error, match=message):
        nn.Recurrent(cell)(ts.zeros((T, N, I)), state())


def test_pytorchs_name_of_the_elman_cell() -> None:
    assert isinstance(nn.RNNCell(I, H), nn.ElmanCell)
    assert nn.RNNCell.forward is nn.ElmanCell.forward
    with pytest.raises(ArgumentError, match="RNNCell: expected hidden_size to be an integer >= 1, got 0"):
        nn.RNNCell(I, 0)


def test_bad_cells() -> None:
    with pytest.raises(ShapeError, match=r"GRUCell: expected 2 features on the last axis, got shape \(3, 4\) float32"):
        nn.GRUCell(I, H)(ts.zeros((N, 4)))
    with pytest.raises(ShapeError, match=r"NotesGRUCell: expected x with one row per sequence, .*got \(2,\)"):
        nn.NotesGRUCell(I, H)(ts.zeros(I))
    for x in (None, 1.0, [[1.0] * H], ts.tensor(1.0)):
        with pytest.raises(ShapeError, match=r"Everything: expected x with one row per sequence, \(N, \.\.\.\), got"):
            Everything()(x)
    with pytest.raises(DtypeError, match="expected a tensor, got list"):
        nn.GRUCell(I, H)([[1.0, 2.0]])  # type: ignore[arg-type]
    sizes: list[Any] = [0, -1, 2.0, True, "5"]
    for size in sizes:
        with pytest.raises(ArgumentError, match="expected hidden_size to be an integer >= 1"):
            nn.LSTMCell(I, size)
        with pytest.raises(ArgumentError, match="expected input_size to be an integer >= 1"):
            nn.NotesRNNCell(size, H)
    with pytest.raises(ArgumentError, match="expected nonlinearity 'tanh' or 'relu', got 'sigmoid'"):
        nn.ElmanCell(I, H, nonlinearity="sigmoid")  # type: ignore[arg-type]
    unknown: list[Any] = ["sigmoid", ["relu"], None]
    for nonlinearity in unknown:
        with pytest.raises(ArgumentError, match="NotesRNNCell: expected nonlinearity 'tanh', 'relu' or a function"):
            nn.NotesRNNCell(I, H, nonlinearity)


def test_cells_that_lack_something() -> None:
    class NoShape(nn.Cell):
        def forward(self, x, state):
            return x, state

    class OneNumber(NoShape):
        state_shape = H

    class NoForward(nn.Cell):
        state_shape = (H,)

    xs = ts.zeros((T, N, H))
    with pytest.raises(ArgumentError, match="NoShape: expected an attribute state_shape, got none"):
        nn.Recurrent(NoShape())(xs)
    with pytest.raises(ArgumentError, match=r"got 5; write one size as \(16,\)"):
        nn.Recurrent(OneNumber())(xs)
    with pytest.raises(NotImplementedError, match="NoForward: expected a method forward"):
        nn.Recurrent(NoForward())(xs)
