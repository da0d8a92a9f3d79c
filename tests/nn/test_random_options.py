"""The options that draw random masks: what they drop, when, and that nothing else is dropped."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import tinygrad_seq as ts
from tests.nn.test_options import CELLS, H, I, N, T, data, layer_of, run
from tests.scan.case import VALUE_TOLERANCE, assert_close
from tinygrad_seq import nn
from tinygrad_seq.base.tree import flatten
from tinygrad_seq.errors import ArgumentError
from tinygrad_seq.nn.cell import step_of_one
from tinygrad_seq.nn.recurrence.transforms.recurrent_dropout import draw_drop_connect, draw_recurrent

RANDOM: list[dict[str, Any]] = [
    {"zoneout": 0.4},
    {"recurrent_dropout": 0.4},
    {"drop_connect": 0.4},
    {"variational_dropout": 0.4},
]


def draws(draw: Any, kind: str, layer: nn.Recurrent, xs: ts.Tensor, rate: float) -> Any:
    """Return what `draw` draws for a layer of one cell with seed 0."""
    ts.manual_seed(0)
    (cell,) = layer.cells
    step = step_of_one(cell)
    return draw(kind, lambda state, inputs: step(state, inputs["x"]), cell.initial_state(N), xs[0], rate)


@pytest.mark.parametrize("kind", CELLS)
@pytest.mark.parametrize("option", RANDOM, ids=lambda option: next(iter(option)))
def test_the_seed_decides_not_the_number_of_threads(
    kind: str, option: dict[str, Any], rng: np.random.Generator
) -> None:
    layer, xs = layer_of(kind, rng, **option), data(rng)
    before = ts.get_num_threads()
    found = []
    for threads in (1, 2, 5):
        ts.set_num_threads(threads)
        try:
            found.append(run(layer, xs))
        finally:
            ts.set_num_threads(before)
    for other in found[1:]:
        for a, b in zip(found[0], other, strict=True):
            np.testing.assert_array_equal(a, b)
    with ts.disable_compile():
        ts.manual_seed(1)
        assert not np.allclose(layer(xs)[0].numpy(), found[0][0])
        ys, _ = layer.eval()(xs)
    plain = layer_of(kind, rng)
    plain.load_state_dict(layer.state_dict())
    same = np.allclose(ys.numpy(), plain(xs)[0].numpy(), rtol=0, atol=1e-12)
    assert same == ("zoneout" not in option), "out of training only zoneout does something"


def test_zoneout_keeps_units_as_often_as_asked_for(rng: np.random.Generator) -> None:
    layer = layer_of("lstm", rng, zoneout=(0.25, 0.0), return_all_states=True)
    xs = data(rng, 400, N, I)
    ys, _, (h, c) = layer(xs)
    kept = (h.numpy()[1:] == h.numpy()[:-1]).mean()
    assert abs(kept - 0.25) < 0.02
    assert not (c.numpy()[1:] == c.numpy()[:-1]).any()
    np.testing.assert_array_equal(ys.numpy(), h.numpy())


def test_zoneout_of_one_keeps_all(rng: np.random.Generator) -> None:
    layer, xs = layer_of("dict", rng, zoneout={"h": 1.0, "m": 0.0}), data(rng)
    _, state = layer(xs)
    assert not state["h"].numpy().any()
    assert state["m"].numpy().all()


def test_recurrent_dropout_acts_where_the_state_meets_a_matrix_only(rng: np.random.Generator) -> None:
    layer, xs = layer_of("gru", rng, recurrent_dropout=0.4), data(rng)
    (factor,) = draws(draw_recurrent, "GRUCell", layer, xs, 0.4)
    assert set(np.unique(factor)) == {0.0, 1 / 0.6}
    cell: Any = layer.cells[0]
    h = ts.zeros((N, H), "float64")
    expected = []
    for x in xs:
        xr, xz, xn = ts.split(ts.linear(x, cell.weight_ih, cell.bias_ih), 3, axis=-1)
        hr, hz, hn = ts.split(ts.linear(h * factor, cell.weight_hh, cell.bias_hh), 3, axis=-1)
        r, z = ts.sigmoid(xr + hr), ts.sigmoid(xz + hz)
        h = (1 - z) * ts.tanh(xn + r * hn) + z * h
        expected.append(h.detach().numpy())
    assert_close("ys", run(layer, xs)[0], np.stack(expected), VALUE_TOLERANCE)


def test_recurrent_dropout_before_a_gate_reaches_the_product_after_it(rng: np.random.Generator) -> None:
    cell = nn.NotesGRUCell(I, H)
    layer, xs = nn.Recurrent(cell, recurrent_dropout=0.4).double(), data(rng)
    (factor,) = draws(draw_recurrent, "NotesGRUCell", layer, xs, 0.4)
    c, expected = np.zeros((N, H)), []
    w = {name: value.astype(np.float64) for name, value in layer.cells[0].state_dict().items()}
    for x in xs.detach().numpy():
        stacked = np.concatenate([c * factor, x], axis=1)
        update, relevance = (1 / (1 + np.exp(-(stacked @ w[f"W{g}"].T + w[f"b{g}"].T))) for g in "ur")
        candidate = np.tanh(np.concatenate([relevance * c * factor, x], axis=1) @ w["Wc"].T + w["bc"].T)
        c = update * candidate + (1 - update) * c
        expected.append(c)
    assert_close("ys", run(layer, xs)[0], np.stack(expected), VALUE_TOLERANCE)


@pytest.mark.parametrize("kind", CELLS)
def test_drop_connect_is_the_cell_with_fewer_weights(kind: str, rng: np.random.Generator) -> None:
    layer, xs = layer_of(kind, rng, drop_connect=0.4), data(rng)
    (factor,) = draws(draw_drop_connect, kind, layer, xs, 0.4)
    assert set(np.unique(factor[:, :H])) == {0.0, 1 / 0.6}
    if kind == "dict":
        assert (factor[:, H:] == 1).all()
    found = run(layer, xs)
    layer.eval()
    with ts.no_grad():
        cell: Any = layer.cells[0]
        weight = cell.mix.weight if kind == "dict" else cell.weight_hh
        weight.copy_(weight * factor)
    assert_close("ys", found[0], layer(xs)[0].numpy(), VALUE_TOLERANCE)


def test_variational_dropout_drops_the_same_features_at_all_times(rng: np.random.Generator) -> None:
    class Same(nn.Cell):
        state_shape = (1,)

        def forward(self, x: Any, state: Any) -> Any:
            return x, state

    xs = np.ones((T, N, 50), np.float32)
    ys = nn.Recurrent(Same(), variational_dropout=0.4)(xs)[0].numpy()
    assert set(np.unique(ys)) == {np.float32(0.0), np.float32(1 / 0.6)}
    assert (ys == ys[0]).all()
    assert not (ys[0] == ys[0, 0]).all()


def test_dropout_in_products_wants_a_product(rng: np.random.Generator) -> None:
    class Leaky(nn.Cell):
        state_shape = (I,)

        def forward(self, x: Any, state: Any) -> Any:
            h = 0.9 * state + x
            return h, h

    class Branching(nn.Cell):
        state_shape = (I,)

        def forward(self, x: Any, state: Any) -> Any:
            return (x, state) if float(state.sum()) > 0 else (state, x)

    xs = np.ones((T, N, I), np.float32)
    for option in ("recurrent_dropout", "drop_connect"):
        with pytest.raises(ArgumentError, match=f"{option}: expected a cell that multiplies its state with a matrix"):
            nn.Recurrent(Leaky(), **{option: 0.5})(xs)  # type: ignore[arg-type]
    with pytest.raises(ArgumentError, match="expected a cell whose step can be traced"):
        nn.Recurrent(Branching(), recurrent_dropout=0.5)(xs)


def test_masks_are_drawn_anew_at_every_call(rng: np.random.Generator) -> None:
    layer, xs = layer_of("gru", rng, zoneout=0.5), data(rng)
    first, second = (flatten(layer(xs)[0])[0][0].numpy() for _ in range(2))
    assert not np.array_equal(first, second)
