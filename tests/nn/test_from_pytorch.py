"""What code written for PyTorch gives and expects: arguments in its order, its names, its shapes."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import tinygrad_seq as ts
from tests.grad_of import grad_of
from tests.nn import formulas
from tinygrad_seq import nn
from tinygrad_seq.base.tree import flatten
from tinygrad_seq.errors import ArgumentError, DtypeError, ShapeError

T, N, I, H = 5, 3, 2, 4
KINDS = {"RNN": 1, "GRU": 3, "LSTM": 4}
FORMULAS = {"RNN": formulas.elman, "GRU": formulas.gru, "LSTM": formulas.lstm}


def torch_state_dict(gates: int, layers: int, directions: int, bias: bool, proj: int, rng: Any) -> dict[str, Any]:
    """Return random weights under the names and in the order of a `torch.nn.LSTM`, and its like."""
    found: dict[str, Any] = {}
    for layer in range(layers):
        for suffix in (f"_l{layer}", f"_l{layer}_reverse")[:directions]:
            reads = I if layer == 0 else (proj or H) * directions
            shapes: dict[str, Any] = {"weight_ih": (gates * H, reads), "weight_hh": (gates * H, proj or H)}
            shapes |= {"bias_ih": (gates * H,), "bias_hh": (gates * H,)} if bias else {}
            shapes |= {"weight_hr": (proj, H)} if proj else {}
            found |= {name + suffix: 0.5 * rng.standard_normal(shape) for name, shape in shapes.items()}
    return found


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("bidirectional", [False, True])
@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize("proj_size", [0, 3])
def test_state_dict_is_pytorchs(kind: str, bidirectional: bool, bias: bool, proj_size: int, rng) -> None:
    if proj_size and kind != "LSTM":
        with pytest.raises(ArgumentError, match="got 'proj_size'"):
            getattr(nn, kind)(I, H, proj_size=proj_size)
        return
    projected = {"proj_size": proj_size} if proj_size else {}
    layer = getattr(nn, kind)(I, H, 2, bias=bias, bidirectional=bidirectional, dtype="float64", **projected)
    state = torch_state_dict(KINDS[kind], 2, 1 + bidirectional, bias, proj_size, rng)
    assert layer.load_state_dict(state) == ([], [])
    assert [*layer.state_dict()] == [*state]
    for name, values in layer.state_dict().items():
        np.testing.assert_array_equal(values, state[name])


class ForeignTensor:
    """An array of another library, which NumPy can read."""

    def __init__(self, values: np.ndarray) -> None:
        self._values = values

    def __array__(self, dtype: Any = None, copy: Any = None) -> np.ndarray:
        return self._values


def test_state_dict_of_another_librarys_arrays(rng) -> None:
    state = torch_state_dict(1, 1, 1, True, 0, rng)
    layer = nn.RNN(I, H, dtype="float64")
    layer.load_state_dict({name: ForeignTensor(values) for name, values in state.items()})
    np.testing.assert_array_equal(layer.weight_ih_l0.numpy(), state["weight_ih_l0"])


def as_loops(kind: str, weights: dict[str, Any], xs: np.ndarray) -> tuple[np.ndarray, list[Any]]:
    """Return outputs and final states (2 layers, 2 directions) of plain loops over PyTorch's equations."""
    formula, finals = FORMULAS[kind], []
    for layer in range(2):
        outputs = []
        for suffix in (f"_l{layer}", f"_l{layer}_reverse"):
            ends = [name for name in weights if name.endswith(suffix)]
            p = {name[: -len(suffix)]: weights[name] for name in ends}
            zero = np.zeros((N, H))
            state: Any = (zero, zero) if kind == "LSTM" else zero
            ys = []
            for x in xs[:: -1 if suffix.endswith("reverse") else 1]:
                y, state = formula(p, x, state)
                ys.append(y)
            outputs.append(np.stack(ys[:: -1 if suffix.endswith("reverse") else 1]))
            finals.append(state)
        xs = np.concatenate(outputs, -1)
    return xs, finals


@pytest.mark.parametrize("kind", KINDS)
def test_two_directions_are_as_pytorch_defines_them(kind: str, rng) -> None:
    weights = torch_state_dict(KINDS[kind], 2, 2, True, 0, rng)
    layer = getattr(nn, kind)(I, H, 2, bidirectional=True, batch_first=True, dtype="float64")
    layer.load_state_dict(weights)
    xs = rng.standard_normal((T, N, I))
    ys, final = layer(xs.swapaxes(0, 1))
    expected, finals = as_loops(kind, weights, xs)
    np.testing.assert_allclose(ys.numpy(), expected.swapaxes(0, 1), rtol=0, atol=1e-13)
    columns = [np.stack(column) for column in zip(*finals, strict=True)] if kind == "LSTM" else [np.stack(finals)]
    for got, want in zip(flatten(final)[0], columns, strict=True):
        np.testing.assert_allclose(got.numpy(), want, rtol=0, atol=1e-13)


def test_shapes_with_a_projection_and_without_a_batch() -> None:
    layer = nn.LSTM(I, H, 2, bidirectional=True, proj_size=3)
    ys, (h, c) = layer(ts.zeros((T, N, I)))
    assert (ys.shape, h.shape, c.shape) == ((T, N, 6), (4, N, 3), (4, N, H))
    ys, (h, c) = layer(ts.zeros((T, I)), (ts.zeros((4, 3)), ts.zeros((4, H))))
    assert (ys.shape, h.shape, c.shape) == ((T, 6), (4, 3), (4, H))


def test_arguments_by_position() -> None:
    rnn = nn.RNN(I, H, 2, "relu", False, True, 0.5, True, "cpu", "float64")
    gru = nn.GRU(I, H, 2, False, True, 0.5, True, None, np.float64)
    lstm = nn.LSTM(I, H, 2, False, True, 0.5, True, 3, "cpu", "float64")
    for layer in (rnn, gru, lstm):
        assert (layer.num_layers, layer.bias, layer.batch_first, layer.dropout, layer.bidirectional) == (
            *(2, False, True),
            *(0.5, True),
        )
        assert {parameter.dtype for parameter in layer.parameters()} == {np.dtype("float64")}
        layer.flatten_parameters()
    assert lstm.proj_size == 3
    above: Any = rnn.layer(1, reverse=True)
    assert above.nonlinearity == "relu"
    assert nn.RNNCell(I, H, False, "relu", "cpu", "float64").dtype == np.float64
    assert nn.GRUCell(I, H, False, "cpu", "float64").bias_ih is None
    assert nn.LSTMCell(I, H, True, None, "float64").bias_ih is not None


def test_dtype_draws_the_same_values() -> None:
    drawn = []
    for dtype in (None, "float64"):
        ts.manual_seed(1)
        drawn.append(nn.GRU(I, H, dtype=dtype).weight_hh_l0.numpy())
    np.testing.assert_array_equal(drawn[0], drawn[1].astype(np.float32))
    assert np.any(drawn[1] != drawn[0])


@pytest.mark.parametrize("kind", ["RNN", "GRU", "LSTM", "RNNCell", "GRUCell", "LSTMCell"])
def test_bad_device_and_dtype(kind: str) -> None:
    with pytest.raises(ArgumentError, match=rf"^{kind}: expected device None or 'cpu', got 'cuda'; leave it out"):
        getattr(nn, kind)(I, H, device="cuda")
    for dtype in ("float16", "int64", "torch.float32", object()):
        with pytest.raises(DtypeError, match=rf"^{kind}: expected dtype 'float32' or 'float64', got "):
            getattr(nn, kind)(I, H, dtype=dtype)


@pytest.mark.parametrize("kind", KINDS)
def test_cells_take_one_sequence(kind: str, rng) -> None:
    cell = getattr(nn, f"{kind}Cell")(I, H, dtype="float64")
    x = ts.tensor(rng.standard_normal((N, I)), requires_grad=True)
    state = tuple(ts.tensor(rng.standard_normal((N, H))) for _ in range(cell.states))
    given = state if cell.states > 1 else state[0]
    whole = flatten(cell(x, given))[0]
    alone = flatten(cell(x[1], tuple(part[1] for part in state) if cell.states > 1 else state[0][1]))[0]
    for one, many in zip(alone, whole, strict=True):
        assert one.shape == (H,)
        np.testing.assert_allclose(one.numpy(), many.numpy()[1], rtol=0, atol=1e-14)
    alone[0].sum().backward()
    assert grad_of(x).numpy()[1].any()
    assert not grad_of(x).numpy()[[0, 2]].any()
    assert [part.shape for part in flatten(cell(x[1]))[0]] == [(H,)] * (1 + cell.states)


def test_cells_refuse_a_state_of_rows_for_one_sequence() -> None:
    message = r"GRUCell: expected a state of one sequence, \(4,\) float32, as x is \(2,\) float32, got \(1, 4\) float32"
    with pytest.raises(ShapeError, match=message):
        nn.GRUCell(I, H)(ts.zeros(I), ts.zeros((1, H)))
    with pytest.raises(ShapeError, match="GRUCell: expected 2 features on the last axis"):
        nn.GRUCell(I, H)(ts.zeros(I + 1))
    with pytest.raises(ArgumentError, match="LSTMCell: expected a state"):
        nn.LSTMCell(I, H)(ts.zeros(I), ts.zeros(H))
