"""Calls that are recorded for gradients, many with few rows each: no gradient is stale, and none is lost."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import tinygrad_seq as ts
from tests.nn.test_prepared_calls import CHANGES, LAYERS
from tinygrad_seq import nn
from tinygrad_seq.autograd.deferred import Deferred, complete
from tinygrad_seq.base.tree import flatten

N, I, H = 2, 4, 6
Run = Callable[[Any, ts.Tensor], ts.Tensor]


def gradients(layer: Any, xs: ts.Tensor, run: Run) -> list[np.ndarray]:
    """Return the loss and the gradients of everything."""
    leaves = [xs, *layer.parameters()]
    for leaf in leaves:
        leaf.grad = None
    loss = run(layer, xs)
    loss.backward()
    return [loss.detach().numpy(), *[leaf.grad.numpy() for leaf in leaves if leaf.grad is not None]]


def expect(layer: Any, xs: ts.Tensor, run: Run) -> list[np.ndarray]:
    """Compare two runs with steps that run one by one; return the results of the second."""
    found = [gradients(layer, xs, run) for _ in range(2)]
    with ts.disable_compile():
        expected = gradients(layer, xs, run)
    for result in found:
        assert len(result) == len(expected)
        for a, b in zip(result, expected, strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-8, atol=1e-10)
    return found[1]


def by_steps(layer: Any, xs: ts.Tensor) -> ts.Tensor:
    """Return a loss of a loop with one call per step."""
    state, total = None, ts.tensor(0.0, dtype="float64")
    axis = 1 if layer.batch_first else 0
    for x in ts.split(xs, xs.shape[axis], axis=axis):
        ys, state = layer(x, state)
        total = total + (ys * ys).sum()
    return total + sum((leaf.sum() for leaf in flatten(state)[0] if leaf.dtype.kind == "f"), ts.tensor(0.0))


def at_once(layer: Any, xs: ts.Tensor) -> ts.Tensor:
    ys, state = layer(xs)
    return (ys * ys).sum() + sum((leaf.sum() for leaf in flatten(state)[0] if leaf.dtype.kind == "f"), ts.tensor(0.0))


def inputs(rng: Any, layer: Any, T: int = 5) -> ts.Tensor:
    shape = (N, T, I) if layer.batch_first else (T, N, I)
    return ts.tensor(rng.standard_normal(shape), requires_grad=True)


@pytest.mark.parametrize("run", [by_steps, at_once])
@pytest.mark.parametrize("name", LAYERS)
def test_the_gradients_are_those_of_the_steps_one_by_one(name, run, rng) -> None:
    layer = LAYERS[name]().double()
    expect(layer, inputs(rng, layer), run)


@pytest.mark.parametrize("name", CHANGES)
def test_weights_that_change(name, rng) -> None:
    layer = nn.LSTM(I, H).double()
    xs = inputs(rng, layer)
    before = expect(layer, xs, by_steps)
    CHANGES[name](layer)
    assert not np.allclose(before[1], expect(layer, xs, by_steps)[1])
    layer.weight_hh_l0.data[...] += 0.01
    CHANGES[name](layer)
    expect(layer, xs, at_once)


def test_weights_that_change_between_forward_and_backward(rng) -> None:
    """The graph keeps those of the forward pass, and their packed forms."""

    def run(layer: Any, xs: ts.Tensor) -> ts.Tensor:
        kept = [parameter.numpy().copy() for parameter in layer.parameters()]
        loss = by_steps(layer, xs)
        with ts.no_grad():
            for parameter in layer.parameters():
                parameter.copy_(7.0)
                layer(xs[:1].detach())
            loss.backward(retain_graph=True)
            for parameter, value in zip(layer.parameters(), kept, strict=True):
                parameter.copy_(value)
        return loss

    layer = nn.GRU(I, H).double()
    xs = inputs(rng, layer)
    twice = expect(layer, xs, run)
    once = expect(layer, xs, by_steps)
    for a, b in zip(twice[1:], once[1:], strict=True):
        np.testing.assert_allclose(a, 2 * b, rtol=1e-8)


def test_training_step_by_step(rng) -> None:
    layers = [nn.GRU(I, H).double() for _ in range(2)]
    layers[1].load_state_dict(layers[0].state_dict())
    adams = [ts.optim.Adam(layer.parameters(), lr=0.05) for layer in layers]
    xs = inputs(rng, layers[0])
    for _ in range(4):
        gradients(layers[0], xs, by_steps)
        with ts.disable_compile():
            gradients(layers[1], xs, by_steps)
        for adam in adams:
            adam.step()
        with ts.no_grad():
            layers[0](xs)
    for a, b in zip(layers[0].parameters(), layers[1].parameters(), strict=True):
        np.testing.assert_allclose(a.numpy(), b.numpy(), rtol=1e-7)


def test_weights_with_other_uses(rng) -> None:
    def run(layer: Any, xs: ts.Tensor) -> ts.Tensor:
        weight = layer.weight_hh_l0
        return (
            by_steps(layer, xs) + (weight * weight).sum() + (xs[0] @ layer.weight_ih_l0.T).sum() + by_steps(layer, xs)
        )

    layer = nn.RNN(I, H).double()
    expect(layer, inputs(rng, layer), run)
    other = nn.RNN(H, H).double()
    layer.weight_hh_l0 = other.weight_ih_l0 = other.weight_hh_l0

    def tied(layer: Any, xs: ts.Tensor) -> ts.Tensor:
        total = ts.tensor(0.0, dtype="float64")
        for x in ts.chunk(xs, xs.shape[0]):
            total = total + (other(layer(x)[0])[0] ** 2).sum()
        return total

    expect(layer, inputs(rng, layer), tied)


def test_hooks_and_parts_of_the_graph(rng) -> None:
    layer = nn.LSTM(I, H).double()
    xs = inputs(rng, layer)
    expected = expect(layer, xs, by_steps)
    seen: list[Any] = []

    def double(g: ts.Tensor) -> ts.Tensor:
        seen.append(g)
        return 2 * g

    hook = layer.weight_hh_l0.register_hook(double)
    found = gradients(layer, xs, by_steps)
    hook.remove()
    assert len(seen) == 1
    names = ["xs", *[name for name, _ in layer.named_parameters()]]
    for name, a, b in zip(names, found[1:], expected[1:], strict=True):
        np.testing.assert_allclose(a, b * (2 if name == "weight_hh_l0" else 1), rtol=1e-8)
    by_grad = ts.grad(lambda x: by_steps(layer, x))(xs)
    np.testing.assert_allclose(by_grad.numpy(), expected[1], rtol=1e-8)
    checkpointed = gradients(layer, xs, lambda layer, xs: ts.checkpoint(lambda x: by_steps(layer, x))(xs))
    for a, b in zip(checkpointed, expected, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-8)


def test_gradients_of_gradients(rng) -> None:
    layer = nn.RNN(I, H).double()
    xs = inputs(rng, layer)

    def run(layer: Any, xs: ts.Tensor) -> ts.Tensor:
        return (ts.grad(lambda x: by_steps(layer, x))(xs) ** 2).sum()

    expect(layer, xs, run)


def test_frozen_weights_and_options(rng) -> None:
    layer = nn.GRU(I, H, window=2).double()
    xs = inputs(rng, layer, 6)
    expect(layer, xs, at_once)
    layer.weight_hh_l0.requires_grad = False
    expect(layer, xs, by_steps)
    layer.options["window"] = 3
    expect(layer, xs, at_once)
    layer.options["stride"] = 1
    expect(layer, xs, at_once)
    layer.options["go_backwards"] = True
    expect(layer, xs, by_steps)
    xs.requires_grad = False
    found = gradients(layer, xs, by_steps)
    with ts.disable_compile():
        for a, b in zip(found, gradients(layer, xs, by_steps), strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-8)


def test_deferred_terms_meet_arrays() -> None:
    class Term(Deferred):
        def __init__(self, number: float) -> None:
            self.shape, self.dtype, self.number = (2,), np.dtype(np.float64), number

        def value(self) -> np.ndarray:
            return np.full(2, self.number)

    for total in (Term(1) + np.ones(2), np.ones(2) + Term(1), Term(1) + Term(1), complete(np.full(2, 2.0))):
        np.testing.assert_array_equal(total, [2.0, 2.0])
    np.testing.assert_array_equal(complete(Term(3)), [3.0, 3.0])
