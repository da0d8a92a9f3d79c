"""Training calls of one step of one row: they multiply the weights as they are, before and after the loop."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest
from numba import config

import tinygrad_seq as ts
from tinygrad_seq import nn
from tinygrad_seq.base.tree import flatten, map_leaves

I, H = 4, 6

LAYERS: dict[str, Callable[[], Any]] = {
    "RNN": lambda: nn.RNN(I, H, num_layers=2),
    "LSTM": lambda: nn.LSTM(I, H, proj_size=3),
    "GRU, two directions": lambda: nn.GRU(I, H, bidirectional=True),
    "a product after the gates": lambda: nn.Recurrent(nn.MGUCell(I, H)),
}


def run(layer: Any, xs: ts.Tensor, state: Any) -> list[np.ndarray]:
    """Return the outputs, the last state, and the gradients of everything."""
    leaves = [xs, *flatten(state)[0], *layer.parameters()]
    for leaf in leaves:
        leaf.grad = None
    ys, last = layer(xs, state)
    outputs = [ys, *flatten(last)[0]]
    sum(((y * y).sum() for y in outputs), ts.tensor(0.0, dtype=xs.dtype)).backward()
    return [*[y.detach().numpy() for y in outputs], *[x.grad.numpy() for x in leaves if x.grad is not None]]


def expect(layer: Any, xs: ts.Tensor, state: Any) -> list[np.ndarray]:
    """Compare two runs with steps that run one by one; return the results of the second."""
    found = [run(layer, xs, state) for _ in range(2)]
    with ts.disable_compile():
        expected = run(layer, xs, state)
    for result in found:
        assert [x.shape for x in result] == [x.shape for x in expected]
        for a, b in zip(result, expected, strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-8, atol=1e-10)
    return found[1]


def begin(layer: Any, rng: Any, requires_grad: bool) -> Any:
    """Return a state of one row to start from."""
    return map_leaves(
        lambda x: ts.tensor(rng.standard_normal(x.shape), requires_grad=requires_grad), layer.initial_state(1)
    )


def leaf(rng: Any, T: int = 1) -> ts.Tensor:
    return ts.tensor(rng.standard_normal((T, 1, I)), requires_grad=True)


@pytest.mark.parametrize("name", LAYERS)
def test_values_and_gradients_are_those_of_the_steps_one_by_one(name, rng) -> None:
    layer = LAYERS[name]().double()
    expect(layer, leaf(rng), begin(layer, rng, requires_grad=True))
    expect(layer, leaf(rng), None)


def test_changes_between_calls(rng) -> None:
    layer = nn.GRU(I, H).double()
    xs, state = leaf(rng), begin(layer, rng, requires_grad=False)
    before = expect(layer, xs, state)
    ts.optim.SGD(layer.parameters(), lr=0.1).step()
    after = expect(layer, xs, state)
    assert not np.allclose(before[0], after[0])
    layer.weight_hh_l0.data[...] *= 2
    assert not np.allclose(after[0], expect(layer, xs, state)[0])
    layer.weight_ih_l0.requires_grad = False
    expect(layer, xs, state)
    layer.weight_ih_l0.requires_grad = True
    for dtype in (np.float32, np.float64):
        layer.to(dtype)
        ys, _ = layer(xs.astype(dtype), map_leaves(lambda x, dtype=dtype: x.astype(dtype), state))
        assert ys.dtype == dtype
    expect(layer, xs, state)
    expect(layer, leaf(rng, T=0), state)


def test_the_weights_may_change_before_backward(rng) -> None:
    layer = nn.GRU(I, H).double()
    xs, state = leaf(rng), begin(layer, rng, requires_grad=False)
    expected = run(layer, xs, state)
    layer.zero_grad()
    xs.grad = None
    ys, last = layer(xs, state)
    loss = (ys * ys).sum() + (last * last).sum()
    with ts.no_grad():
        layer.weight_hh_l0.copy_(layer.weight_hh_l0 * 3)
        layer.weight_ih_l0.copy_(layer.weight_ih_l0 * 3)
    loss.backward()
    assert xs.grad is not None
    np.testing.assert_allclose(xs.grad.numpy(), expected[2], rtol=1e-12)


def test_derivatives_of_derivatives(rng) -> None:
    layer = nn.GRU(I, H).double()
    xs, state = leaf(rng), begin(layer, rng, requires_grad=True)
    assert ts.gradcheck(lambda x, s: (layer(x, s)[0] * layer(x, s)[1]).sum(), [xs, state], order=2)


def test_one_step_and_several_have_the_same_bits(rng) -> None:
    """As long as no sum has more than 1024 terms."""
    layer, tolerance = nn.LSTM(I, H), 1e-6 if config.DISABLE_JIT else 0
    xs = leaf(rng, T=3).astype("float32").detach()
    ys, _ = layer(xs)
    state = None
    for t in range(3):
        y, state = layer(xs[t : t + 1], state)
        np.testing.assert_allclose(y.detach().numpy()[0], ys.detach().numpy()[t], rtol=tolerance, atol=tolerance)


def test_threads_that_call_one_layer(rng) -> None:
    layer = nn.GRU(I, H).double()
    inputs = [leaf(rng) for _ in range(8)]
    expected = [run(layer, x, None)[:3] for x in inputs]

    def one(x: ts.Tensor) -> list[np.ndarray]:
        x.grad = None
        ys, last = layer(x)
        gradient = ts.grad(lambda x: (layer(x)[0] ** 2).sum() + (layer(x)[1] ** 2).sum())(x)
        return [ys.detach().numpy(), last.detach().numpy(), gradient.numpy()]

    with ThreadPoolExecutor(4) as pool:
        for found, wanted in zip(pool.map(one, inputs * 5), expected * 5, strict=True):
            for a, b in zip(found, wanted, strict=True):
                np.testing.assert_allclose(a, b, rtol=1e-10)
