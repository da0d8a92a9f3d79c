"""`layer.inspect`: tagged values, states, dL/dh_t and the first anomaly, of any cell with any options."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import tinygrad_seq as ts
from tests.grad_of import grad_of
from tests.scan.case import GRADIENT_TOLERANCE, VALUE_TOLERANCE, assert_close
from tinygrad_seq import nn
from tinygrad_seq.base.tree import flatten
from tinygrad_seq.errors import ArgumentError

T, N, I, H = 5, 3, 2, 4


class Readout(nn.Cell):
    """A dict as state, of which one array is an integer; the output is not a state but made of it."""

    def __init__(self) -> None:
        self.state_shape = {"h": (H,), "count": ()}
        self.gate, self.out = nn.Linear(I + H, H), nn.Linear(H, 2)

    def initial_state(self, batch_size: int, dtype: Any = None) -> Any:
        return {"h": ts.zeros((batch_size, H), dtype or self.dtype), "count": ts.zeros(batch_size, "int64")}

    def forward(self, x, state):
        rate = ts.tag(ts.sigmoid(self.gate(ts.concat([x, state["h"]], axis=-1))), "rate")
        h = (1 - rate) * state["h"] + rate * ts.tanh(x.sum(axis=-1, keepdims=True))
        return ts.tag(self.out(h), "readout"), {"h": h, "count": state["count"] + 1}


def random(layer, rng):
    layer.double()
    for parameter in layer.parameters():
        nn.init.normal_(parameter, 0.0, 0.6, rng)
    return layer


def inputs(rng) -> ts.Tensor:
    return ts.tensor(rng.standard_normal((T, N, I)))


def loss_of(ys: ts.Tensor) -> ts.Tensor:
    """Weigh every output differently, the last most."""
    return (ys**2 * np.linspace(0.5, 2, ys.size).reshape(ys.shape)).sum()


def sigmoid(x: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-x))


@pytest.fixture
def lstm(rng):
    return random(nn.LSTM(I, H, num_layers=2), rng)


def test_values_are_those_of_the_equations(rng, lstm) -> None:
    xs = inputs(rng)
    inspection = lstm.inspect(xs)
    outputs = xs.numpy()
    for layer in range(2):
        W, U, b, d = (
            getattr(lstm, f"{name}_l{layer}").numpy() for name in ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
        )
        h = c = np.zeros((N, H))
        hs = []
        for t in range(T):
            i, f, g, o = np.split(outputs[t] @ W.T + b + h @ U.T + d, 4, axis=-1)
            gates = {"input_gate": sigmoid(i), "forget_gate": sigmoid(f), "candidate": np.tanh(g)}
            c = gates["forget_gate"] * c + gates["input_gate"] * gates["candidate"]
            h = sigmoid(o) * np.tanh(c)
            gates["output_gate"] = sigmoid(o)
            for name, value in gates.items():
                assert_close(name, inspection[layer, name].numpy()[t], value, VALUE_TOLERANCE)
            for state, value in zip(inspection.states[layer], (h, c), strict=True):
                assert_close("state", state.numpy()[t], value, VALUE_TOLERANCE)
            hs.append(h)
        outputs = np.stack(hs)
    assert_close("ys", inspection.ys.numpy(), outputs, VALUE_TOLERANCE)


def test_the_gradient_at_a_step_is_that_of_the_rest_of_the_loss(rng) -> None:
    """dL/d(h_t, c_t) is the gradient of the outputs from t on with respect to the state that a run from t begins with.

    h_t is also the output of step t.
    """
    layer, xs = random(nn.LSTM(I, H), rng), inputs(rng)
    inspection = layer.inspect(xs)
    h, c = inspection.states
    loss_of(inspection.ys).backward()
    dh, dc = inspection.gradients
    for t in range(T):
        begin = [ts.tensor(part.numpy()[None, t], requires_grad=True) for part in (h, c)]
        with ts.disable_compile():
            ys = begin[0] if t == T - 1 else ts.concat([begin[0], layer(xs[t + 1 :], tuple(begin))[0]])
            loss_of(ts.concat([inspection.ys.detach()[:t], ys])).backward()
        assert_close("dh", dh.numpy()[t], grad_of(begin[0]).numpy()[0], GRADIENT_TOLERANCE)
        # All of dL/dc_t: h_t = o_t * tanh(c_t) reads it, too.
        through_h = (
            grad_of(begin[0]).numpy()[0] * inspection["output_gate"].numpy()[t] * (1 - np.tanh(c.numpy()[t]) ** 2)
        )
        later = 0 if begin[1].grad is None else begin[1].grad.numpy()[0]
        assert_close("dc", dc.numpy()[t], later + through_h, GRADIENT_TOLERANCE)


def test_the_gradient_is_that_of_finite_differences(rng) -> None:
    """Of a cell whose output is made of its new state, with zoneout, a mask and a reset: h_t is shifted at step t."""
    cell = random(Readout(), rng)
    layer = nn.Recurrent(cell, zoneout={"h": 0.25, "count": 0.0}).eval()
    xs, mask, reset = inputs(rng), rng.random((T, N)) < 0.8, rng.random((T, N)) < 0.2
    mask[1] = True
    shift: list[Any] = [T, 0.0]  # the step and what is added

    def run() -> float:
        """Run the equations, step by step."""
        state, ys, anew = cell.initial_state(N), [], np.zeros(N, bool)
        for t in range(T):
            anew = (anew & ~mask[t - 1]) | reset[t]
            h = np.where(anew[:, None], 0, state["h"].numpy())
            y, new = cell(xs[t], {"h": ts.tensor(h), "count": state["count"]})
            h_new = 0.25 * h + 0.75 * new["h"].numpy() + (shift[1] if shift[0] == t else 0)
            ys.append(y.numpy() * mask[t][:, None])
            state = {"h": ts.tensor(np.where(mask[t][:, None], h_new, state["h"].numpy())), "count": state["count"]}
        return float(loss_of(ts.tensor(np.stack(ys))).numpy())

    inspection = layer.inspect(xs, mask=mask, reset=reset)
    loss = loss_of(inspection.ys)
    np.testing.assert_allclose(loss.item(), run(), rtol=1e-12)
    loss.backward()
    assert inspection.gradients["count"] is None
    for t in range(T):
        for place in np.ndindex(N, H):
            found = []
            for sign in (1, -1):
                shift[:] = [t, np.zeros((N, H))]
                shift[1][place] = sign * 1e-6
                found.append(run())
            numeric = (found[0] - found[1]) / 2e-6
            assert abs(inspection.gradients["h"].numpy()[t][place] - numeric) < 1e-7


@pytest.mark.parametrize("kind", ["lstm", "readout"])
def test_compiled_is_eager(rng, lstm, kind: str) -> None:
    layer = lstm if kind == "lstm" else random(nn.Recurrent(Readout()), rng)
    xs, found = inputs(rng), []
    for eager in (False, True):
        with ts.disable_compile() if eager else ts.enable_grad():
            inspection = layer.inspect(xs)
            (
                loss_of(inspection.ys) + inspection.passes[-1]["forget_gate" if kind == "lstm" else "rate"].sum()
            ).backward()
        arrays = flatten([[one.tags, one.states, one.gradients] for one in inspection.passes])[0]
        found.append([inspection.ys, *flatten(inspection.state)[0], *arrays])
    for got, want in zip(*found, strict=True):
        assert_close("inspected", got.numpy(), want.numpy(), GRADIENT_TOLERANCE)


@pytest.mark.parametrize(
    ("cell", "symbols"),
    [
        (nn.NotesSimplifiedGRUCell(I, H), {"Γ_u": "update_gate", "c̃": "candidate"}),
        (nn.NotesGRUCell(I, H), {"Γ_u": "update_gate", "Γ_r": "relevance_gate", "c̃": "candidate"}),
        (nn.NotesLSTMCell(I, H), {"Γ_u": "update_gate", "Γ_f": "forget_gate", "Γ_o": "output_gate", "c̃": "candidate"}),
        (nn.LSTMCell(I, H), {"Γ_u": "input_gate", "Γ_f": "forget_gate", "Γ_o": "output_gate", "c̃": "candidate"}),
    ],
    ids=lambda value: type(value).__name__,
)
def test_symbols_of_the_course_name_the_gates(cell, symbols: dict[str, str]) -> None:
    with ts.disable_compile():
        inspection = nn.Recurrent(cell).inspect(ts.randn(2, N, I))
    assert inspection.passes[0].tags.keys() == set(symbols.values())
    for symbol, name in symbols.items():
        spellings = (symbol.replace("_", ""), symbol.replace("Γ", "Gamma"), symbol.replace("\N{COMBINING TILDE}", "~"))
        for spelling in (symbol, *spellings, symbol.replace("\N{COMBINING TILDE}", "_tilde")):
            assert inspection[spelling] is inspection[0, name]
        with pytest.raises(ts.ArgumentError, match=rf"gives, .*'{name}' \({symbol}\).* got 'Γ_x'"):
            inspection["Γ_x"]


def test_no_symbol_of_the_course_names_an_update_gate_of_pytorch() -> None:
    """It is one minus that of the course."""
    with ts.disable_compile():
        inspection = nn.GRU(I, H).inspect(ts.randn(2, N, I))
    with pytest.raises(ts.ArgumentError, match=r"'reset_gate', 'update_gate', 'candidate', got 'Γ_u'"):
        inspection["Γ_u"]


def test_a_readout_inside_the_cell_is_in_the_gradient(rng) -> None:
    layer = random(nn.Recurrent(Readout()), rng)
    inspection = layer.inspect(inputs(rng))
    inspection.ys[-1].sum().backward()
    expected = np.broadcast_to(layer.cells[0].out.weight.numpy().sum(axis=0), (N, H))
    assert_close("dh", inspection.gradients["h"].numpy()[-1], expected, GRADIENT_TOLERANCE)
    assert list(inspection.states["count"].numpy()[:, 0]) == [1, 2, 3, 4, 5]


def test_it_is_what_the_call_returns(rng) -> None:
    layer = random(
        nn.LSTM(I, H, 2, bidirectional=True, batch_first=True, stateful=False, learn_initial_state=True, residual=True),
        rng,
    )
    xs, lengths = inputs(rng).swapaxes(0, 1), [3, 5, 2]
    with ts.disable_compile():
        inspection, (ys, state) = layer.inspect(xs, lengths=lengths), layer(xs, lengths=lengths)
        inspection.ys.sum().backward()
    assert_close("ys", inspection.ys.numpy(), ys.numpy(), VALUE_TOLERANCE)
    for got, want in zip(inspection.state, state, strict=True):
        assert_close("state", got.numpy(), want.numpy(), VALUE_TOLERANCE)
    assert [one.place for one in inspection.passes] == [
        "LSTMCell, layer 0", "LSTMCell, layer 0, backwards", "LSTMCell, layer 1", "LSTMCell, layer 1, backwards"
    ]  # fmt: skip
    past = np.arange(T)[:, None] >= np.array(lengths)
    for one in inspection.passes:
        assert one["forget_gate"].shape == (T, N, H)
        norms = one.total_gradient_norm()
        assert not norms[past].any()
        assert norms[~past].all()
        assert not one["forget_gate"].numpy()[past].any()
    assert inspection[1, "backwards", "forget_gate"] is inspection.passes[3]["forget_gate"]
    assert len(inspection.states) == len(inspection.gradient_norms()) == 4


def test_a_layer_that_runs_forwards_has_no_other_direction(rng) -> None:
    with ts.disable_compile():
        forwards, backwards = (nn.LSTM(I, H, go_backwards=go).double().inspect(inputs(rng)) for go in (False, True))
    assert backwards["forget_gate"] is backwards[0, "backwards", "forget_gate"]
    for layer in (0, None):
        with pytest.raises(ArgumentError, match="direction='backwards'"):
            forwards[layer, "backwards", "forget_gate"]


def test_norms_are_those_of_the_gradients(rng) -> None:
    inspection = random(nn.LSTM(I, H), rng).inspect(inputs(rng))
    loss_of(inspection.ys).backward()
    (dh, dc), (h_norm, c_norm) = inspection.gradients, inspection.gradient_norms()
    np.testing.assert_allclose(h_norm, np.linalg.norm(dh.numpy(), axis=-1))
    np.testing.assert_allclose(c_norm, np.linalg.norm(dc.numpy(), axis=-1))
    np.testing.assert_allclose(inspection.total_gradient_norm(), np.hypot(h_norm, c_norm))


def test_tags_and_dropouts_of_the_recurrence_go_together(rng) -> None:
    layer = random(nn.GRU(I, H, recurrent_dropout=0.5, zoneout=0.3), rng)
    xs = inputs(rng)
    with ts.disable_compile():
        ts.manual_seed(1)
        inspection = layer.inspect(xs)
        ts.manual_seed(1)
        np.testing.assert_array_equal(inspection.ys.numpy(), layer(xs)[0].numpy())
    assert inspection.passes[0].tags.keys() == {"reset_gate", "update_gate", "candidate"}
    inspection.ys.sum().backward()
    assert np.isfinite(inspection.gradient_norms()).all()


def test_a_cell_made_of_two_cells(rng) -> None:
    lower, upper = nn.GRUCell(I, H), nn.GRUCell(H, H)
    one, two = nn.Recurrent(nn.StackedCell(lower, upper)).double(), nn.Recurrent([lower, upper])
    xs = inputs(rng)
    with ts.disable_compile():
        stacked, apart = one.inspect(xs), two.inspect(xs)
    for name, layer in (("update_gate", 0), ("update_gate_2", 1)):
        np.testing.assert_array_equal(stacked[name].numpy(), apart[layer, "update_gate"].numpy())


def test_a_stateful_layer_stays_where_it_was(rng) -> None:
    layer, xs = random(nn.GRU(I, H, stateful=True), rng), inputs(rng)
    with ts.disable_compile():
        layer(xs)
        inspected, (ys, _) = layer.inspect(xs), layer(xs)
    np.testing.assert_array_equal(inspected.ys.numpy(), ys.numpy())


def test_a_cell_that_reads_values_is_seen_but_has_no_gradient_in_time() -> None:
    class Deciding(nn.Cell):
        state_shape = (H,)

        def forward(self, x, h):
            h = ts.tag(x + h, "sum") if float(x.sum()) > 0 else h
            return h, h

    with ts.disable_compile():
        inspection = nn.Recurrent(Deciding()).inspect(ts.ones((T, N, H), requires_grad=True))
    np.testing.assert_array_equal(inspection["sum"].numpy()[:, 0, 0], [1, 2, 3, 4, 5])
    inspection.ys.sum().backward()
    with pytest.raises(ts.GraphError, match=r"reached Deciding, layer 0, got none; call backward .* reads its values"):
        inspection.gradient_norms()


def test_what_is_not_there_is_refused(lstm) -> None:
    with ts.disable_compile():
        inspection = lstm.inspect(ts.zeros((T, N, I), "float64"))
    for key, message in [
        ((0, "update_gate"), "name that LSTMCell, layer 0 gives, 'input_gate' .*, got 'update_gate'"),
        ("forget_gate", "of one of LSTMCell, layer 0; LSTMCell, layer 1, got layer=None"),
        ((2, "forget_gate"), "got layer=2"),
        ((0, "up", "forget_gate"), "got layer=0 and direction='up'"),
    ]:
        with pytest.raises(ts.ArgumentError, match=message):
            inspection[key]
    with pytest.raises(ts.GraphError, match="backward pass that reached LSTMCell, layer 0, got none"):
        inspection.gradients  # noqa: B018


# ---------------------------------------------------------------------------------------------------- anomalies


def overflowing(place: tuple[int, int, int]) -> ts.Tensor:
    xs = np.ones((T, N, I))
    xs[place] = np.inf
    return ts.tensor(xs)


@pytest.mark.parametrize(("backwards", "step"), [(False, 2), (True, 2)])
def test_the_first_anomaly_of_the_values(backwards: bool, step: int) -> None:
    layer = nn.LSTM(I, H, num_layers=2, go_backwards=backwards).double()
    with ts.disable_compile():
        assert layer.inspect(ts.ones((T, N, I), "float64")).first_anomaly() is None
        with ts.no_grad():
            layer.weight_ih_l0[:H], layer.weight_ih_l0[H:] = 1.0, 0.0  # inf, of which the sigmoid is 1; 0 * inf
        anomaly = layer.inspect(overflowing((step, 1, 0))).first_anomaly()
    direction = ", backwards" if backwards else ""
    assert str(anomaly) == f"LSTMCell, layer 0{direction}, step {step}, row 1: 'forget_gate' is nan"
    assert anomaly is not None
    assert (anomaly.step, anomaly.row, anomaly.what) == (step, 1, "'forget_gate'")


def test_the_first_anomaly_of_the_gradients(rng) -> None:
    layer = random(nn.GRU(I, H, num_layers=2), rng)
    with ts.disable_compile():
        inspection = layer.inspect(inputs(rng))
        (inspection.ys[3, 2] / 0.0).sum().backward()
    anomaly = inspection.first_anomaly()
    assert str(anomaly).startswith("GRUCell, layer 1, step 3, row 2: the gradient of state is ")


def with_a_count(rng, memory: Any = None) -> nn.Recurrent:
    """Return a layer whose state has an integer part; beside a memory if there is one."""
    if memory is None:
        return random(nn.Recurrent(Readout()), rng)
    cell = nn.StackedCell(nn.GRUCell(I + E, H), Counting())
    return random(nn.AttentionDecoder(cell, nn.DotAttention(H, E, 2)), rng).over(memory)


E = 6


class Counting(nn.Cell):
    """Passes on what it reads, and counts its steps and what was positive."""

    input_size = output_size = H

    def __init__(self) -> None:
        self.state_shape = ((H,), (), (H,))

    def initial_state(self, batch_size: int, dtype: Any = None) -> Any:
        kinds = ("bool", "int64", dtype or "float64")
        return tuple(ts.zeros((batch_size, *shape), kind) for shape, kind in zip(self.state_shape, kinds, strict=True))

    def forward(self, x, state):
        positive, count, total = state
        return x, (positive | (x > 0), count + 1, total + x)


@pytest.mark.parametrize("call", [{}, {"lengths": [3, 0, 5]}])
@pytest.mark.parametrize("attends", [False, True])
def test_anomalies_beside_integers_and_booleans_in_the_state(attends: bool, call: dict[str, Any], rng) -> None:
    layer = with_a_count(rng, ts.tensor(rng.standard_normal((4, N, E))) if attends else None)
    xs = inputs(rng)
    with ts.disable_compile():
        inspection = layer.inspect(xs, **call)
        assert inspection.first_anomaly() is None
        inspection.ys.sum().backward(retain_graph=True)
        assert inspection.first_anomaly() is None
        inspection = layer.inspect(xs, **call)
        (inspection.ys[2, 2] / 0.0).sum().backward()
        found = inspection.first_anomaly()
    assert found is not None
    assert (found.step, found.row) == (2, 2)
    assert found.what.startswith("the gradient of state")
    assert ("count" in found.what, "'0.1'" in found.what) == (False, False)


def test_states_are_called_by_their_names_whatever_their_order(rng) -> None:
    """A state is flattened in the order of its keys, not in that in which it was written."""
    layer = random(nn.Recurrent(Readout()), rng)
    xs = inputs(rng).numpy().copy()
    xs[2, 1] = np.nan
    with ts.disable_compile():
        inspection = layer.inspect(ts.tensor(xs))
    assert inspection.passes[0].named_states()["state 'count'"].dtype == np.int64
    assert str(inspection.one().first_anomaly()).endswith("step 2, row 1: 'rate' is nan")
    inspection.one().tags.clear()
    assert str(inspection.first_anomaly()).endswith("step 2, row 1: state 'h' is nan")


@pytest.mark.parametrize("masked_output", ["zeros", "held"])
def test_tags_are_zero_out_of_the_mask_and_may_have_no_rows(masked_output: str) -> None:
    class Totalling(nn.Cell):
        state_shape = (I,)

        def forward(self, x, h):
            h = ts.tag(h + x, "new")
            ts.tag(h.sum(), "total")
            return h, h

    mask = np.array([[1, 0, 1], [0, 0, 1], [1, 0, 1], [0, 0, 0], [0, 1, 1]], bool)
    with ts.disable_compile():
        inspection = nn.Recurrent(Totalling(), masked_output=masked_output).inspect(ts.ones((T, N, I)), mask=mask)  # type: ignore[arg-type]
    assert inspection["total"].shape == (T,)
    np.testing.assert_array_equal(inspection["new"].numpy().all(axis=-1), mask)


class Rooting(nn.Cell):
    """Takes a square root of what it reads."""

    state_shape = (I,)

    def forward(self, x, h):
        h = ts.tag(ts.sqrt(x), "root") * ts.tanh(h)
        return h, h


def anomaly_of(layer, xs, **options) -> ts.AnomalyError:
    def run() -> None:
        with ts.detect_anomaly():
            layer(xs, ts.ones((N, I)), **options)[0].sum().backward()

    with pytest.raises(ts.AnomalyError) as caught:
        run()
    return caught.value


@pytest.mark.parametrize("options", [{}, {"lengths": [4, 5, 3]}])
def test_detect_anomaly_names_cell_layer_step_row_and_tag(options: dict[str, Any]) -> None:
    """Where rows are run in the order of their lengths, too."""
    xs = np.ones((T, N, I), np.float32)
    xs[2, 1, 0] = xs[4, 0, 0] = -1
    error = anomaly_of(nn.Recurrent(Rooting()), xs, **options)
    assert str(error).startswith("Rooting, layer 0, step 2, row 1: 'root' is nan: 'sqrt' made nan at index (1, 0)")
    xs = np.ones((T, N, I), np.float32)
    xs[2, 1, 0] = 0
    error = anomaly_of(nn.Recurrent(Rooting(), go_backwards=True), ts.tensor(xs, requires_grad=True), **options)
    assert str(error).startswith("Rooting, layer 0, backwards, step 2, row 1: the gradient of 'sqrt' ('root') made inf")


def test_detect_anomaly_names_what_was_not_finite_before_the_first_step() -> None:
    layer, xs = nn.GRU(I, H, num_layers=2), np.ones((T, N, I), np.float32)
    with ts.detect_anomaly():
        layer(xs)
        with ts.no_grad():
            layer.weight_hh_l1[2, 3] = np.nan
        with pytest.raises(ts.AnomalyError, match=r"^GRUCell, layer 1: parameter 'weight_hh' is nan at index \(2, 3\)"):
            layer(xs)
        xs[3, 2, 1] = np.nan
        with pytest.raises(ts.AnomalyError, match=r"^xs is nan at index \(3, 2, 1\)"):
            layer(xs)


def test_reports_call_states_by_their_names(rng) -> None:
    cell = nn.AttentionCell(
        nn.StackedCell(nn.LSTMCell(I + 2, H), nn.GRUCell(H, H)), nn.DotAttention(H, 2, hidden_size=2)
    )
    assert [*cell.name_states(cell.initial_state(1))] == [
        "state '0.0.h'",
        "state '0.0.c'",
        "state '0.1'",
        "state 'context'",
    ]
    assert [*nn.GRUCell(I, H).name_states(ts.zeros((1, H)))] == ["state"]
    xs = inputs(rng)
    state = ts.zeros((1, N, H), "float64"), ts.full((1, N, H), np.inf, dtype="float64")
    inspection = nn.LSTM(I, H).double().inspect(xs, state)
    assert [*inspection.one().named_states()] == ["state 'h'", "state 'c'"]
    assert str(inspection.first_anomaly()) == "LSTMCell, layer 0, step 0, row 0: state 'c' is inf"
    inspection = nn.LSTM(I, H).double().inspect(xs)
    (inspection.state[1][0] * ts.tensor(np.full((N, H), np.nan))).sum().backward()
    assert (
        str(inspection.first_anomaly()) == f"LSTMCell, layer 0, step {T - 1}, row 0: the gradient of state 'c' is nan"
    )
