"""`Recurrent`: any cell, several layers, inputs and states of any structure."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import tinygrad_seq as ts
from tests.grad_of import grad_of
from tests.scan.case import VALUE_TOLERANCE, assert_close
from tinygrad_seq import nn
from tinygrad_seq.errors import ArgumentError, DtypeError, ShapeError

T, N, I, H = 5, 3, 2, 4


def gradient(x: Any) -> np.ndarray:
    return x.grad.numpy()


def random(cell, rng):
    cell.double()
    for parameter in cell.parameters():
        nn.init.normal_(parameter, 0.0, 0.6, rng)
    return cell


def test_recurrent_equals_the_loop_over_the_cell(rng) -> None:
    cell = random(nn.LSTMCell(I, H), rng)
    xs = ts.tensor(rng.standard_normal((T, N, I)))
    ys, (h, c) = nn.Recurrent(cell)(xs)
    state = cell.initial_state(N)
    for t in range(T):
        y, state = cell(xs[t], state)
        assert_close(f"ys[{t}]", ys[t].numpy(), y.numpy(), VALUE_TOLERANCE)
    assert_close("h", h.numpy(), state[0].numpy(), VALUE_TOLERANCE)
    assert_close("c", c.numpy(), state[1].numpy(), VALUE_TOLERANCE)


def test_recurrent_equals_the_layer_of_that_name(rng) -> None:
    layer = random(nn.GRU(I, H, num_layers=2), rng)
    recurrent = nn.Recurrent([layer.layer(0), layer.layer(1)])
    xs = rng.standard_normal((T, N, I))
    ys, h = layer(xs)
    same, (h0, h1) = recurrent(xs)
    np.testing.assert_array_equal(ys.numpy(), same.numpy())
    np.testing.assert_array_equal(h.numpy(), np.stack([h0.numpy(), h1.numpy()]))


def test_gradients_of_layers_of_different_cells(rng) -> None:
    layer = nn.Recurrent([random(nn.NotesLSTMCell(I, H), rng), random(nn.ElmanCell(H, 3), rng)])
    xs = ts.tensor(rng.standard_normal((3, N, I)), requires_grad=True)
    ts.gradcheck(lambda *_: layer(xs), [*layer.parameters(), xs])


@pytest.mark.parametrize("window", [1, 2])
def test_window_cuts_the_gradient(rng, window: int) -> None:
    layer = nn.Recurrent(random(nn.GRUCell(I, H), rng), window=window)
    xs = ts.tensor(rng.standard_normal((T, N, I)), requires_grad=True)
    ys, _ = layer(xs)
    ys[3].sum().backward()
    reached = [bool(np.any(g)) for g in gradient(xs)]
    assert reached == ([False, False, False, True, False] if window == 1 else [False, False, True, True, False])


def test_batch_first_swaps_inputs_and_outputs_only(rng) -> None:
    cell = random(nn.GRUCell(I, H), rng)
    xs = rng.standard_normal((T, N, I))
    ys, h = nn.Recurrent(cell)(xs)
    swapped, same = nn.Recurrent(cell, batch_first=True)(xs.swapaxes(0, 1))
    np.testing.assert_array_equal(swapped.numpy(), ys.numpy().swapaxes(0, 1))
    np.testing.assert_array_equal(same.numpy(), h.numpy())


class Masked(nn.Cell):
    """Several inputs a step, a dict as state, an integer index as input, two outputs."""

    def __init__(self) -> None:
        self.state_shape = {"h": (H,)}
        self.table = nn.Embedding(7, H)

    def forward(self, x, state):
        h = ts.tanh(self.table(x["token"]) + state["h"]) * x["mask"]
        return {"h": h, "sum": h.sum(axis=-1)}, {"h": h}


def test_inputs_and_outputs_of_any_structure(rng) -> None:
    layer = nn.Recurrent(Masked(), batch_first=True)
    xs = {"token": rng.integers(0, 7, (N, T)), "mask": np.ones((N, T, 1), np.float32)}
    ys, state = layer(xs)
    assert (ys["h"].shape, ys["sum"].shape, state["h"].shape) == ((N, T, H), (N, T), (N, H))
    assert list(layer.state_dict()) == ["cells.0.table.weight"]


def test_copies_of_a_cell_are_drawn_anew() -> None:
    class Wrapped(nn.Cell):
        def __init__(self) -> None:
            self.state_shape = (H,)
            self.parts = [nn.Linear(2 * H, H)]

        def forward(self, x, h):
            h = ts.tanh(self.parts[0](ts.concat([x, h], axis=-1)))
            return h, h

    for cell in (nn.GRUCell(H, H), nn.NotesLSTMCell(H, H), Wrapped()):
        layer = nn.Recurrent(cell, num_layers=3)
        assert layer.cells[0] is cell
        weights = [next(each.parameters()).numpy() for each in layer.cells]
        assert np.any(weights[0] != weights[1])
        assert np.any(weights[1] != weights[2])
        ys, states = layer(ts.randn(T, N, H))
        assert ys.shape == (T, N, H)
        assert len(states) == layer.num_layers == 3


def test_dropout_between_layers() -> None:
    layer = nn.Recurrent(nn.GRUCell(H, H), num_layers=2, dropout=0.5)
    xs = ts.randn(T, N, H)

    def run(seed: int) -> np.ndarray:
        ts.manual_seed(seed)
        return layer(xs)[0].numpy()

    np.testing.assert_array_equal(run(1), run(1))
    assert np.any(run(1) != run(2))
    layer.eval()
    np.testing.assert_array_equal(run(1), run(2))


def test_initial_state_and_going_on(rng) -> None:
    layer = nn.Recurrent([random(nn.LSTMCell(I, H), rng), random(nn.GRUCell(H, H), rng)])
    xs = ts.tensor(rng.standard_normal((T, N, I)))
    whole, _ = layer(xs)
    state = layer.initial_state(N)
    chunks = []
    for start in range(0, T, 2):
        ys, state = layer(xs[start : start + 2], nn.detach_state(state))
        chunks.append(ys.numpy())
    np.testing.assert_array_equal(np.concatenate(chunks), whole.numpy())


def test_bad_arguments() -> None:
    cell = nn.GRUCell(I, H)
    bad: list[tuple[Any, str]] = [
        ((cell, 2), r"expected a GRUCell that reads its own output, got input_size 2 and an output of 4; pass a list"),
        (([],), "expected at least one cell"),
        ((nn.Linear(I, H),), "expected a Cell, got Linear at position 0"),
        ((nn.GRUCell,), "expected a Cell, got type at position 0"),
        (([cell, nn.GRU(H, H)],), "expected a Cell, got GRU at position 1"),
        (([cell, cell], 3), "expected num_layers=3 cells, got 2"),
        ((cell, 0), "expected num_layers to be an integer >= 1, got 0"),
        ((cell, 1, False, 0.5), "expected dropout=0 with one layer"),
        (([cell, cell], 1, False, 1.5), r"dropout to be a probability in \[0, 1\], got 1.5"),
    ]
    for arguments, message in bad:
        with pytest.raises(ArgumentError, match=message):
            nn.Recurrent(*arguments)

    class NoReset(nn.Cell):
        def __init__(self) -> None:
            self.state_shape = (H,)
            self.weights = [nn.Parameter(np.eye(H))]

    with pytest.raises(ArgumentError, match=r"NoReset with a method reset_parameters, .* got none"):
        nn.Recurrent(NoReset(), num_layers=2)

    with pytest.raises(ArgumentError, match=r"NoReset with a method reset_parameters, .* got none"):
        nn.Recurrent(NoReset()).reset_parameters()


@pytest.mark.parametrize(
    "layer",
    [
        nn.LSTM(I, 4, 2, bidirectional=True, proj_size=3, learn_initial_state=True),
        nn.Recurrent(nn.LayerNormLSTMCell(I, H), bidirectional=True, proj_size=3, learn_initial_state=True),
        nn.Recurrent(nn.AttentionCell(nn.GRUCell(I + H, H), nn.AdditiveAttention(H, H)), learn_initial_state=True),
    ],
)
def test_all_parameters_can_be_drawn_anew(layer: Any) -> None:
    for parameter in layer.parameters():
        parameter.data[:] = 7
    layer.reset_parameters()
    assert all((parameter.numpy() != 7).all() for parameter in layer.parameters())
    assert not any(name.startswith("initial_states") and value.any() for name, value in layer.state_dict().items())


LEARNED: dict[str, Any] = {
    "cast before": lambda dtype: nn.Recurrent(nn.GRUCell(I, H).to(dtype), learn_initial_state=True),
    "made so": lambda dtype: nn.Recurrent(nn.LSTMCell(I, H, dtype=dtype), learn_initial_state=True),
    "layers": lambda dtype: nn.LSTM(I, H, num_layers=2, dtype=dtype, learn_initial_state=True),
    "cast after": lambda dtype: nn.GRU(I, H, dtype="float32", learn_initial_state=True).double().to(dtype),
}


@pytest.mark.parametrize("default", ["float32", "float64"])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("kind", LEARNED)
def test_a_learned_first_state_has_the_dtype_of_the_cell(kind: str, dtype: str, default: str) -> None:
    before = ts.default_dtype()
    ts.set_default_dtype(default)
    try:
        layer, xs = LEARNED[kind](dtype), ts.zeros((T, N, I), dtype)
        with ts.disable_compile():
            ys, _ = layer(xs)
        assert ys.dtype == layer.stream(N)(xs[0]).dtype == np.dtype(dtype)
    finally:
        ts.set_default_dtype(before)
    assert all(parameter.dtype == dtype for parameter in layer.parameters())


def test_a_learned_first_state_beside_integers_and_booleans() -> None:
    class Counting(nn.GRUCell):
        def __init__(self, input_size: int, hidden_size: int) -> None:
            super().__init__(input_size, hidden_size)
            self.state_shape, self.state_names = {"h": (H,), "count": (), "any": ()}, None

        def initial_state(self, batch_size: int, dtype: Any = None) -> Any:
            parts = {"count": ts.zeros(batch_size, "int64"), "any": ts.zeros(batch_size, "bool")}
            return {"h": ts.zeros((batch_size, H)), **parts}  # as the default dtype has it

        def forward(self, x: Any, state: Any) -> Any:
            y, h = super().forward(x, state["h"])
            return y, {"h": h, "count": state["count"] + 1, "any": state["any"] | (h[:, 0] > 0)}

    layer = nn.Recurrent(Counting(I, H).double(), learn_initial_state=True)
    assert [name for name, _ in layer.named_parameters()][-1] == "initial_states.0.h"
    with ts.disable_compile():
        ys, state = layer(ts.zeros((T, N, I), "float64"))
        ys.sum().backward()
    assert layer.initial_states is not None
    assert ys.dtype == grad_of(layer.initial_states[0]["h"]).dtype == np.float64
    assert state["count"].tolist() == [T] * N


def test_a_learned_first_state_begins_anew_as_the_cell_has_it() -> None:
    class Ones(nn.GRUCell):
        def initial_state(self, batch_size: int, dtype: Any = None) -> Any:
            return ts.ones((batch_size, H))

    layer = nn.Recurrent(Ones(I, H), learn_initial_state=True).double()
    assert layer.initial_states is not None
    first = layer.initial_states[0]
    with ts.no_grad():
        first.copy_(ts.full(H, 5.0, dtype="float64"))
    layer.reset_parameters()
    assert layer.initial_states[0] is first
    assert first.tolist() == [1.0] * H


def test_bad_inputs() -> None:
    layer = nn.Recurrent([nn.GRUCell(I, H), nn.LSTMCell(H, H)])
    xs = ts.zeros((T, N, I))
    zeros = ts.zeros((N, H))
    for given, state, error, message in [
        (ts.zeros((T, N, 3)), None, ShapeError, "Recurrent: expected 2 features on the last axis"),
        (ts.zeros(T), None, ShapeError, r"expected xs of shape \(T, N, 2\), got \(5,\) float32"),
        (ts.zeros((T, I)), None, ShapeError, r"expected xs of shape \(T, N, 2\), got \(5, 2\) float32"),
        (ts.zeros((T, N, I), "float64"), None, DtypeError, "expected xs as float32 like the cell"),
        (None, None, ArgumentError, "expected inputs xs, got none"),
        ({"a": xs, "b": ts.zeros((T, 2, I))}, None, ShapeError, "expected one batch size"),
        (
            xs,
            zeros,
            ArgumentError,
            r"expected a tuple of 2 states, one for each layer and direction, got \(3, 4\) float32",
        ),
        (xs, (zeros,), ArgumentError, "expected a tuple of 2 states"),
        (xs, (zeros, zeros), ArgumentError, "LSTMCell: expected a state"),
        (xs, (zeros[:2], (zeros, zeros)), ShapeError, r"GRUCell: expected state of shape \(3, 4\)"),
    ]:
        with pytest.raises(error, match=message):
            layer(given, state)


def test_cell_that_returns_something_else() -> None:
    class Forgetful(nn.Cell):
        state_shape = (H,)

        def forward(self, x, h):
            return h

    with pytest.raises(ArgumentError, match=r"Forgetful.forward: expected two values, \(output, state\), got \(3, 4\)"):
        nn.Recurrent(Forgetful())(ts.zeros((T, N, H)))

    class Shrinking(Forgetful):
        def forward(self, x, h):
            return h, h[:, :2]

    with pytest.raises(ShapeError, match=r"Shrinking.forward: state left the step as \(3, 2\) float32 but entered as"):
        nn.Recurrent(Shrinking())(ts.zeros((T, N, H)))


ORDER = r"A cell returns \(output, state\); a scan step returns \(carry, y\)\."


class WrongOrder(nn.Cell):
    """Returns (state, output)."""

    def __init__(self, state_shape: Any) -> None:
        self.state_shape = state_shape

    def forward(self, x: Any, state: Any) -> Any:
        return state, x


@pytest.mark.parametrize("state_shape", [(H + 1,), {"h": (I,)}, ((I,), (I,)), {"h": (I,), "c": (H,)}])
@pytest.mark.parametrize("options", [{}, {"zoneout": 0.5}, {"return_all_states": True}])
def test_a_cell_that_returns_state_and_output_the_wrong_way_round(state_shape: Any, options: Any) -> None:
    cell, x = WrongOrder(state_shape), ts.zeros((N, I))
    layer = nn.Recurrent(cell, **options)
    xs = ts.zeros((T, N, I))
    lengths = [T, 1, 2]
    calls = [
        lambda: cell(x),
        lambda: layer(xs),
        lambda: layer(xs, lengths=lengths),
        lambda: layer.inspect(xs),
        lambda: layer.stream(N)(x),
    ]
    for call in calls:
        with pytest.raises((ShapeError, ArgumentError), match=rf"WrongOrder\.forward: state .*{ORDER}"):
            call()
    with ts.disable_compile(), pytest.raises((ShapeError, ArgumentError), match=rf"WrongOrder\.forward: .*{ORDER}"):
        layer(xs)


@pytest.mark.parametrize("compile", [None, True, False])
@pytest.mark.parametrize("init", [ts.zeros(2), {"h": ts.zeros(3)}, (ts.zeros(3), ts.zeros(2))])
def test_a_scan_step_that_returns_y_and_carry_the_wrong_way_round(init: Any, compile: bool | None) -> None:
    with pytest.raises((ShapeError, ArgumentError), match=rf"^scan: carry .*{ORDER}"):
        ts.scan(lambda carry, x: (x + 1, carry), init, ts.zeros((T, 3)), compile=compile)


def test_integers_may_enter_one_step_of_a_cell() -> None:
    y, h = nn.GRUCell(I, H)(ts.zeros((N, I)), np.zeros((N, H), np.int64))
    assert y.dtype.kind == h.dtype.kind == "f"
