"""RNN, GRU and LSTM against a plain NumPy loop over PyTorch's equations."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import tinygrad_seq as ts
from tests.nn import formulas
from tinygrad_seq import nn
from tinygrad_seq.base.tree import flatten
from tinygrad_seq.errors import ArgumentError, DtypeError, ShapeError

T, N, I, H = 4, 3, 2, 5
ROUNDING = 1e-13

LAYERS = {
    "rnn": (nn.RNN, {}, formulas.elman, 1),
    "rnn relu": (nn.RNN, {"nonlinearity": "relu"}, formulas.relu_elman, 1),
    "gru": (nn.GRU, {}, formulas.gru, 1),
    "lstm": (nn.LSTM, {}, formulas.lstm, 2),
}


def make(name: str, rng, **options) -> Any:
    kind, own, _, _ = LAYERS[name]
    layer = kind(I, H, **own, **options).double()
    for parameter in layer.parameters():
        nn.init.normal_(parameter, 0.0, 0.6, rng)
    return layer


def by_loop(name: str, weights: dict, num_layers: int, xs: np.ndarray, state=None):
    """Return (ys, state) as PyTorch defines them; `state` is a tuple of (L, N, H) arrays."""
    formula, arrays = LAYERS[name][2:]
    zeros = np.zeros((num_layers, xs.shape[1], H))
    finals = []
    for layer in range(num_layers):
        p = {key[: -len(f"_l{layer}")]: value for key, value in weights.items() if key.endswith(f"_l{layer}")}
        parts = tuple(part[layer] for part in state or (zeros,) * arrays)
        now, ys = parts if arrays > 1 else parts[0], []
        for x in xs:
            y, now = formula(p, x, now)
            ys.append(y)
        xs = np.stack(ys)
        finals.append(now if arrays > 1 else (now,))
    return xs, tuple(np.stack(parts) for parts in zip(*finals, strict=True))


def as_tuple(state) -> tuple:
    return state if isinstance(state, tuple) else (state,)


def assert_close(got, want) -> None:
    for a, b in zip([got[0], *as_tuple(got[1])], [want[0], *as_tuple(want[1])], strict=True):
        np.testing.assert_allclose(a.numpy(), b, rtol=0, atol=ROUNDING)


@pytest.mark.parametrize("name", LAYERS)
@pytest.mark.parametrize("num_layers", [1, 3])
@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("initial", [True, False])
def test_forward_equals_the_loop(name: str, num_layers: int, bias: bool, initial: bool, rng) -> None:
    layer = make(name, rng, num_layers=num_layers, bias=bias)
    xs = rng.standard_normal((T, N, I))
    state = tuple(rng.standard_normal((num_layers, N, H)) for _ in range(LAYERS[name][3])) if initial else None
    given = None if state is None else state if len(state) > 1 else state[0]
    assert_close(layer(xs, given), by_loop(name, layer.state_dict(), num_layers, xs, state))


@pytest.mark.parametrize("name", LAYERS)
def test_batch_first_and_unbatched(name: str, rng) -> None:
    layer = make(name, rng, num_layers=2)
    xs = rng.standard_normal((T, N, I))
    state = tuple(rng.standard_normal((2, N, H)) for _ in range(LAYERS[name][3]))
    ys, final = by_loop(name, layer.state_dict(), 2, xs, state)

    def given(parts):
        return parts if len(parts) > 1 else parts[0]

    one = layer(xs[:, 1], given(tuple(part[:, 1] for part in state)))
    assert_close(one, (ys[:, 1], tuple(part[:, 1] for part in final)))
    layer.batch_first = True
    assert_close(layer(xs.swapaxes(0, 1), given(state)), (ys.swapaxes(0, 1), final))
    assert_close(layer(xs[:, 1], given(tuple(part[:, 1] for part in state))), (ys[:, 1], tuple(p[:, 1] for p in final)))
    assert layer(xs[:, 1])[0].shape == (T, H)


@pytest.mark.parametrize("name", LAYERS)
def test_gradients_of_parameters_inputs_and_initial_state(name: str, rng) -> None:
    layer = make(name, rng, num_layers=2)
    xs = ts.tensor(rng.standard_normal((3, N, I)), requires_grad=True)
    parts = [ts.tensor(rng.standard_normal((2, N, H)), requires_grad=True) for _ in range(LAYERS[name][3])]
    state = tuple(parts) if len(parts) > 1 else parts[0]
    ts.gradcheck(lambda *_: layer(xs, state), [*layer.parameters(), xs, *parts])


@pytest.mark.parametrize(("name", "gates"), [("rnn", 1), ("gru", 3), ("lstm", 4)])
def test_parameters_are_named_and_shaped_as_in_pytorch(name: str, gates: int, rng) -> None:
    layer = make(name, rng, num_layers=2)
    assert {key: value.shape for key, value in layer.state_dict().items()} == {
        "weight_ih_l0": (gates * H, I),
        "weight_hh_l0": (gates * H, H),
        "bias_ih_l0": (gates * H,),
        "bias_hh_l0": (gates * H,),
        "weight_ih_l1": (gates * H, H),
        "weight_hh_l1": (gates * H, H),
        "bias_ih_l1": (gates * H,),
        "bias_hh_l1": (gates * H,),
    }
    assert [*layer.state_dict()][:4] == ["weight_ih_l0", "weight_hh_l0", "bias_ih_l0", "bias_hh_l0"]
    plain = make(name, rng, bias=False)
    assert [*plain.state_dict()] == ["weight_ih_l0", "weight_hh_l0"]
    assert plain.bias_ih_l0 is None


def test_initialisation_is_uniform_within_one_over_root_h() -> None:
    layer = nn.LSTM(30, 100, num_layers=2)
    for parameter in layer.parameters():
        values = parameter.numpy() * 10
        assert 0.9 < values.max() <= 1
        assert -1 <= values.min() < -0.9
        assert np.var(values) == pytest.approx(1 / 3, rel=0.2)
    before = layer.state_dict()
    layer.reset_parameters()
    assert all(np.any(before[name] != now) for name, now in layer.state_dict().items())


def test_same_seed_same_weights() -> None:
    states = []
    for _ in range(2):
        ts.manual_seed(5)
        states.append(nn.GRU(I, H).state_dict())
    for name, values in states[0].items():
        np.testing.assert_array_equal(values, states[1][name])


def test_assigned_parameters_are_used(rng) -> None:
    layer = nn.GRU(I, H)
    xs = ts.randn(T, N, I)
    layer.weight_ih_l0 = nn.Parameter(np.zeros((3 * H, I)))
    layer.bias_ih_l0 = layer.bias_hh_l0 = nn.Parameter(np.zeros(3 * H))
    assert not layer(xs)[0].numpy().any()


def test_dropout_acts_between_layers_in_training_only() -> None:
    layer = nn.LSTM(I, H, num_layers=2, dropout=0.5)
    still = nn.LSTM(I, H, num_layers=2)
    still.load_state_dict(layer.state_dict())
    xs = ts.randn(T, N, I)

    def run(module, seed: int) -> np.ndarray:
        ts.manual_seed(seed)
        return module(xs)[0].numpy()

    np.testing.assert_array_equal(run(layer, 1), run(layer, 1))
    assert np.any(run(layer, 1) != run(layer, 2))
    (first, second), (same, other) = (module(xs)[1][0].numpy() for module in (layer, still))
    np.testing.assert_array_equal(first, same)  # what goes into the first layer is not dropped
    assert np.any(second != other)
    layer.eval()
    np.testing.assert_array_equal(run(layer, 1), run(still, 2))
    layer.train().dropout = 1.0
    blind = nn.LSTM(I, H, num_layers=2)
    blind.load_state_dict(layer.state_dict() | {"weight_ih_l1": np.zeros((4 * H, H), np.float32)})
    np.testing.assert_array_equal(run(layer, 1), run(blind, 1))


def test_zero_steps_and_one_row() -> None:
    layer = nn.LSTM(I, H, num_layers=2)
    ys, (h, c) = layer(ts.zeros((0, N, I)))
    assert ys.shape == (0, N, H)
    assert not h.numpy().any()
    assert not c.numpy().any()
    assert layer(ts.zeros((1, 1, I)))[0].shape == (1, 1, H)


def test_state_goes_on_from_window_to_window(rng) -> None:
    layer = make("lstm", rng, num_layers=2)
    xs = ts.tensor(rng.standard_normal((6, N, I)))
    whole, final = layer(xs)
    first, state = layer(xs[:4])
    state = nn.detach_state(state)
    assert not any(part.requires_grad for part in state)
    second, state = layer(xs[4:], state)
    np.testing.assert_array_equal(np.concatenate([first.numpy(), second.numpy()]), whole.numpy())
    for got, want in zip(flatten(state)[0], flatten(final)[0], strict=True):
        np.testing.assert_array_equal(got.numpy(), want.numpy())


BAD_INPUTS = [
    ((T, N, I + 1), None, ShapeError, r"LSTM: expected 2 features on the last axis, got shape \(4, 3, 3\) float32"),
    ((I,), None, ShapeError, r"expected xs of shape \(T, N, I\), or \(T, I\) for one sequence, with I=2, got \(2,\)"),
    ((1, T, N, I), None, ShapeError, "expected xs of shape"),
    ((T, N, I), (2, N, H), ArgumentError, r"LSTM: expected a state \(h, c\), got \(2, 3, 5\) float32"),
    ((T, N, I), [(2, N, H)], ArgumentError, r"expected a state \(h, c\)"),
    ((T, N, I), [(2, N, H), (1, N, H)], ShapeError, r"state 'c' of shape \(2, 3, 5\) float32, got \(1, 3, 5\)"),
    ((T, N, I), [(2, H), (2, H)], ShapeError, r"state 'h' of shape \(2, 3, 5\)"),
    ((T, I), [(2, N, H)] * 2, ShapeError, r"state 'h' of shape \(2, 5\)"),
]


@pytest.mark.parametrize(("shape", "state", "error", "message"), BAD_INPUTS)
def test_bad_input(shape, state, error, message: str) -> None:
    layer = nn.LSTM(I, H, num_layers=2)
    if state is not None:
        state = [ts.zeros(part) for part in state] if isinstance(state, list) else ts.zeros(state)
    with pytest.raises(error, match=message):
        layer(ts.zeros(shape), state)


def test_bad_dtypes() -> None:
    layer = nn.GRU(I, H)
    with pytest.raises(DtypeError, match=r"GRU: expected inputs as float32 like .*, got \(4, 3, 2\) float64"):
        layer(np.zeros((T, N, I)))
    with pytest.raises(DtypeError, match=r"got .* int64; cast them"):
        layer(np.zeros((T, N, I), np.int64))
    with pytest.raises(DtypeError, match=r"state 'h' of shape \(1, 3, 5\) float32, got \(1, 3, 5\) float64"):
        layer(ts.zeros((T, N, I)), np.zeros((1, N, H)))


@pytest.mark.parametrize("kind", [nn.RNN, nn.GRU, nn.LSTM])
def test_bad_arguments(kind) -> None:
    for name in ("input_size", "hidden_size", "num_layers"):
        for size in (0, -3, 1.5):
            with pytest.raises(
                ArgumentError, match=f"{kind.__name__}: expected {name} to be an integer >= 1, got {size}"
            ):
                kind(**{"input_size": I, "hidden_size": H, name: size})
    for p in (-0.1, 1.1, "half", float("nan")):
        with pytest.raises(ArgumentError, match=r"expected dropout to be a probability in \[0, 1\]"):
            kind(I, H, num_layers=2, dropout=p)
    with pytest.raises(ArgumentError, match=r"expected dropout=0 with one layer, got 0\.5; it acts between layers"):
        kind(I, H, dropout=0.5)
    with pytest.raises(ArgumentError, match=r"expected options of merge, .* got 'bidirection'"):
        kind(I, H, bidirection=True)


def test_bad_nonlinearity() -> None:
    with pytest.raises(ArgumentError, match="expected nonlinearity 'tanh' or 'relu', got 'gelu'"):
        nn.RNN(I, H, nonlinearity="gelu")  # type: ignore[arg-type]
