"""Real-time recurrent learning equals backpropagation through time, for every cell, in memory that does not grow."""

from __future__ import annotations

import gc
import tracemalloc
from typing import Any

import numpy as np
import pytest

import tinygrad_seq as ts
from tests.grad_of import grad_of
from tests.nn.cell_names import CELLS
from tinygrad_seq import nn
from tinygrad_seq.errors import ArgumentError, DtypeError, GraphError, ShapeError

T, N, I, H = 4, 2, 2, 2
# Both add the same products, in another order.
ROUNDING = 1e-10

OPTIONS: dict[str, dict[str, Any]] = {
    "MambaCell": {"state_size": 2, "dt_rank": 1},
    "S4DCell": {"state_size": 2},
    "LRUCell": {"state_size": 2},
    **{name: {"num_heads": 1} for name in ("LinearAttentionCell", "RetNetCell", "DeltaNetCell", "GatedDeltaNetCell")},
    "GLACell": {"num_heads": 1, "rank": 1},
    "MLSTMCell": {"num_heads": 1},
}


def squares(y: ts.Tensor, target: ts.Tensor) -> ts.Tensor:
    return ((y - target) ** 2).sum()


def draw(rng: np.random.Generator, *shape: int) -> ts.Tensor:
    return ts.tensor(rng.standard_normal(shape))


def by_bptt(model: Any, xs: ts.Tensor, targets: ts.Tensor, state: Any = None) -> tuple[float, dict[str, np.ndarray]]:
    layer = nn.Recurrent(model) if isinstance(model, nn.Cell) else model
    model.zero_grad()
    with ts.disable_compile():
        loss = squares(layer(xs, state)[0], targets)
    loss.backward()
    return loss.item(), {name: p.grad.numpy() for name, p in model.named_parameters() if p.grad is not None}


def assert_equal(got: dict[str, ts.Tensor], want: dict[str, np.ndarray]) -> None:
    for name, gradient in got.items():
        expected = want.get(name, np.zeros(gradient.shape))
        scale = max(1.0, np.abs(expected).max(initial=0.0))
        np.testing.assert_allclose(gradient.numpy(), expected, rtol=0, atol=ROUNDING * scale, err_msg=name)
    assert want.keys() <= got.keys()


@pytest.mark.parametrize("name", CELLS)
def test_every_cell(name: str, rng: np.random.Generator) -> None:
    cell = getattr(nn, name)(I, H, **OPTIONS.get(name, {})).double()
    for parameter in cell.parameters():
        parameter.data[...] = parameter.numpy() + 0.2 * rng.standard_normal(parameter.shape)
    xs, targets = draw(rng, T, N, I), draw(rng, T, N, H)
    loss, want = by_bptt(cell, xs, targets)
    total, got = ts.grad_rtrl(cell, squares, None, xs, targets)
    np.testing.assert_allclose(total.item(), loss, rtol=ROUNDING)
    assert_equal(got, want)


@pytest.mark.parametrize("batch_first", [False, True])
def test_layers_of_cells_and_a_learned_first_state(batch_first: bool, rng: np.random.Generator) -> None:
    makers: dict[str, Any] = {
        "num_layers": 2,
        "batch_first": batch_first,
        "learn_initial_state": True,
        "residual": True,
    }
    for layer in (nn.LSTM(3, 2, **makers).double(), nn.Recurrent(nn.NotesLSTMCell(2, 2), **makers).double()):
        xs = draw(rng, 3, T, 3 if isinstance(layer, nn.LSTM) else 2)
        targets = draw(rng, 3, T, 2)
        loss, want = by_bptt(layer, xs, targets)
        total, got = ts.grad_rtrl(layer, squares, None, xs, targets)
        np.testing.assert_allclose(total.item(), loss, rtol=ROUNDING)
        assert_equal(got, want)
        assert any(name.startswith("initial_states") and np.any(got[name]) for name in got)


def test_a_step_with_a_tree_a_counter_and_the_first_state_among_the_parameters(rng: np.random.Generator) -> None:
    w = ts.tensor(rng.standard_normal((2, 2)), requires_grad=True)
    init: dict[str, Any] = {
        "h": ts.tensor(rng.standard_normal((N, 2)), requires_grad=True),
        "count": ts.tensor(0),
        "pair": (ts.tensor(rng.standard_normal(2), requires_grad=True), ts.tensor([True, False])),
    }

    def step(state: Any, x: Any) -> Any:
        a, flag = state["pair"]
        h = ts.tanh(state["h"] @ w + x * a) * (state["count"] + 1)
        return {"h": h, "count": state["count"] + 1, "pair": (a * h.mean(), ~flag)}, {"y": h.sum(axis=-1), "a": a}

    def loss(y: Any) -> Any:
        return (y["y"] ** 2).sum() + y["a"].sum()

    xs, parameters = draw(rng, T, N, 2), {"w": w, "h": init["h"], "a": init["pair"][0]}
    _, ys = ts.scan(step, init, xs, compile=False)
    ((ys["y"] ** 2).sum() + ys["a"].sum()).backward()
    _, got = ts.grad_rtrl(step, loss, init, xs, parameters=parameters)
    assert_equal(got, {name: p.grad.numpy() for name, p in parameters.items()})


def test_the_learner_step_by_step(rng: np.random.Generator) -> None:
    cell = nn.GRUCell(I, H).double()
    xs, targets = draw(rng, T, N, I), draw(rng, T, N, H)
    _, want = by_bptt(cell, xs[1:], targets[1:])
    cell.zero_grad()
    learner = ts.RTRL(cell, squares, batch_size=N)
    learner.step(xs[0], targets[0])
    cell.zero_grad()
    learner.reset()
    for x, target in zip(xs[1:], targets[1:], strict=True):
        y, loss = learner.step(x, target)
        assert not y.requires_grad
        assert not loss.requires_grad
    assert_equal({name: grad_of(p) for name, p in cell.named_parameters()}, want)
    np.testing.assert_allclose(learner.state.numpy(), nn.Recurrent(cell)(xs[1:])[1].numpy(), rtol=1e-12)
    assert learner.influence.shape == (N * H, cell.count_parameters())


def test_steps_without_a_loss_count(rng: np.random.Generator) -> None:
    cell = nn.LSTMCell(I, H).double()
    xs, target = draw(rng, T, N, I), draw(rng, N, H)
    squares(nn.Recurrent(cell)(xs)[0][-1], target).backward()
    want = {name: grad_of(p).numpy() for name, p in cell.named_parameters()}
    cell.zero_grad()
    learner = ts.RTRL(cell, squares, batch_size=N)
    for x in xs[:-1]:
        learner.advance(x)
    learner.step(xs[-1], target)
    assert_equal({name: grad_of(p) for name, p in cell.named_parameters()}, want)


def test_memory_does_not_grow_with_the_number_of_steps() -> None:
    cell, x, target = nn.GRUCell(3, 4), ts.randn(1, 3), ts.zeros((1, 4))
    learner = ts.RTRL(cell, squares)

    def peak(run: Any) -> int:
        gc.collect()
        tracemalloc.start()
        run()
        _, most = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        return most

    def online(steps: int) -> None:
        for _ in range(steps):
            learner.step(x, target)

    def through_time(steps: int) -> None:
        with ts.disable_compile():
            nn.Recurrent(cell)(ts.zeros((steps, 1, 3)))[0].sum().backward()

    online(10)
    # The interpreter keeps up to 300 kB of small objects that are free; a step on a tape takes 8 kB.
    assert peak(lambda: online(200)) < 350_000 < peak(lambda: through_time(200)) / 4


def test_float32_stays_float32(rng: np.random.Generator) -> None:
    _, gradients = ts.grad_rtrl(nn.GRUCell(2, 2), squares, None, ts.randn(T, 1, 2), ts.zeros((T, 1, 2)))
    assert {g.dtype for g in gradients.values()} == {np.dtype(np.float32)}


def test_bad_input() -> None:
    cell, xs = nn.GRUCell(3, 4), ts.randn(5, 2, 3)
    with pytest.raises(ArgumentError, match="RTRL: expected an influence matrix of at most 1,000 bytes, got 4 values"):
        ts.RTRL(cell, squares, max_bytes=1000)
    with pytest.raises(ArgumentError, match="grad_rtrl: expected parameters that require grad"):
        ts.grad_rtrl(lambda h, x: (h, h), squares, ts.zeros(2), xs)
    with pytest.raises(ArgumentError, match="RTRL: expected an initial state"):
        ts.RTRL(lambda h, x: (h, h), squares, parameters=[cell.weight_hh])
    with pytest.raises(ArgumentError, match="RTRL: expected a step, a Cell or a recurrent layer, got int"):
        ts.RTRL(3, squares, parameters=[cell.weight_hh])  # type: ignore[arg-type]
    with pytest.raises(GraphError, match="RTRL: expected a loss that returns a scalar Tensor"):
        ts.grad_rtrl(cell, lambda y: y, None, xs)
    with pytest.raises(ShapeError, match="grad_rtrl: expected xs and targets of one length T"):
        ts.grad_rtrl(cell, squares, None, xs, ts.zeros((4, 2, 4)))
    with pytest.raises(ArgumentError, match=r"in training with zoneout=0.1; call .eval\(\) first"):
        ts.RTRL(nn.GRU(3, 4, zoneout=0.1), squares)
    with pytest.raises(ArgumentError, match="expected a layer that goes forwards only"):
        ts.RTRL(nn.GRU(3, 4, bidirectional=True), squares)
    with pytest.raises(DtypeError, match="state left the step as"):
        ts.grad_rtrl(
            lambda h, x: (h.astype("float64"), h), lambda y: y.sum(), ts.zeros(2), xs, parameters=[cell.weight_hh]
        )
    ts.RTRL(nn.GRU(3, 4, zoneout=0.1).eval(), squares).advance(xs[0, :1])
