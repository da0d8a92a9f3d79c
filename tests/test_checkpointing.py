"""checkpoint: the same bits with less memory, in every setting; what cannot be run again is refused."""

from __future__ import annotations

import gc
import tracemalloc
from typing import Any

import numpy as np
import pytest

import tinygrad_seq as ts
from tests.grad_of import grad_of
from tinygrad_seq.autograd.tape import Node
from tinygrad_seq.errors import GraphError

PLAIN = {"plain": lambda f: f, "checkpoint": ts.checkpoint}


def t(values, **options) -> ts.Tensor:
    return ts.tensor(np.asarray(values, np.float64), **options)


def weights(*shape: int, seed: int = 0) -> ts.Tensor:
    return t(np.random.default_rng(seed).normal(size=shape) * 0.5, requires_grad=True)


def bits(values) -> list[bytes]:
    return [value.numpy().tobytes() for value in values]


@pytest.mark.parametrize("nested", [False, True])
def test_same_bits_for_parameters_that_are_used_again_and_again(nested):
    w, x = weights(4, 4), weights(3, 4, seed=1)

    def gradients(wrap):
        def block(x):
            for _ in range(3):
                x = ts.tanh(x @ w) + x
            return x

        inner = wrap(block)
        outer = wrap(lambda x: inner(inner(x)) @ w) if nested else inner
        h = outer(outer(x) * 0.5)
        w.grad = x.grad = None
        ts.sum(h * h @ w).backward()
        return bits([h, w.grad, x.grad])

    assert gradients(ts.checkpoint) == gradients(lambda f: f)


def peak_of(wrap, steps: int = 12) -> tuple[float, float]:
    w, x = t(np.eye(32), requires_grad=True), t(np.ones((256, 32)))
    unit = x.numpy().nbytes

    def block(x):
        for _ in range(4):
            x = ts.tanh(ts.exp(ts.sin(x @ w)))
        return x

    block = wrap(block)
    gc.collect()
    tracemalloc.start()
    try:
        h = x
        for _ in range(steps):
            h = block(h)
        loss = ts.sum(h)
        kept = tracemalloc.get_traced_memory()[0]
        loss.backward()
        return kept / unit, tracemalloc.get_traced_memory()[1] / unit
    finally:
        tracemalloc.stop()


def test_memory_is_that_of_one_segment_and_the_borders():
    (plain, plain_peak), (kept, peak) = (peak_of(wrap) for wrap in PLAIN.values())
    assert plain > 12 * 4 * 3
    assert kept < 12 + 4
    assert peak < 12 + 4 * 4 + 10 < plain_peak / 3


def test_memory_of_nested_segments():
    depth = 4

    def fold(f):
        for _ in range(depth):
            f = ts.checkpoint(lambda x, f=f: f(f(x)))
        return f

    nested = peak_of(fold, steps=1)[1]
    flat = peak_of(lambda f: lambda x: [x := f(x) for _ in range(2**depth)][-1], steps=1)[1]
    assert nested < flat / 4


def test_random_numbers_are_drawn_again():
    w, own = weights(4, 4), np.random.default_rng(5)
    drop, other = ts.nn.Dropout(0.5), ts.nn.Dropout(0.5, generator=own)

    def gradients(wrap):
        ts.manual_seed(3)
        own.bit_generator.state = np.random.default_rng(5).bit_generator.state
        inner = wrap(lambda x: drop(other(x @ w)))
        outer = wrap(lambda x: drop(inner(inner(x) + ts.randn(4))))
        w.grad = None
        h = outer(outer(ts.ones((2, 4), dtype="float64")))
        between = ts.randn(2)
        ts.sum(h * h).backward()
        return bits([h, w.grad, between, ts.randn(3), ts.tensor(own.normal(size=3))])

    assert gradients(ts.checkpoint) == gradients(lambda f: f)


@pytest.mark.parametrize("order", [2, 3])
def test_derivatives_of_higher_order(order):
    w, x = weights(3, 3), weights(2, 3, seed=1)
    f = lambda x: ts.sum(ts.tanh(x @ w) ** 2 * ts.exp(x))  # noqa: E731

    def penalty_of(f):
        return lambda x: ts.sum(ts.grad(f)(x) ** 2)

    def derivative(f):
        for _ in range(order - 1):
            f = penalty_of(f)
        return [ts.grad(f)(x), *ts.vjp(f, x)[1](1.0), ts.jvp(f, x, x)[1], ts.hvp(f, x, x)]

    assert bits(derivative(ts.checkpoint(f))) == bits(derivative(f))
    ts.gradcheck(lambda *_: ts.checkpoint(f)(x), [x, w], order=2)
    penalty = penalty_of(f)
    assert bits([ts.grad(ts.checkpoint(penalty))(x)]) == bits([ts.grad(penalty)(x)])


def test_trees_keywords_and_what_needs_no_gradient():
    f = ts.checkpoint(lambda p, *, scale, name: {"y": p["w"] * scale["s"], "n": ts.argmax(p["w"]), "name": name})
    w, s = weights(3), t(2.0, requires_grad=True)
    result = f({"w": w}, scale={"s": s}, name="x")
    assert result["name"] == "x"
    ts.sum(result["y"]).backward()
    np.testing.assert_array_equal(grad_of(w).numpy(), 2.0)
    assert grad_of(s).item() == pytest.approx(w.numpy().sum())
    assert not ts.checkpoint(lambda x: x * 2.0)(t(1.0)).requires_grad
    with ts.no_grad():
        assert not f({"w": w}, scale={"s": s}, name="x")["y"].requires_grad
    assert ts.checkpoint(lambda x: x)(w) is w


@pytest.mark.parametrize("compile", [True, False])
def test_around_and_inside_a_scan(compile):
    w, xs = weights(3, 3), weights(5, 2, 3, seed=1)

    def gradients(around, inside, cell):
        step = inside(lambda h, x: (ts.tanh(cell(h) + x), h * x))
        run = around(lambda xs: ts.scan(step, ts.zeros((2, 3), dtype="float64"), xs, compile=compile))
        w.grad = xs.grad = None
        last, ys = run(xs)
        loss = ts.sum(last * last) + ts.sum(ys**3)
        loss.backward()
        second = ts.grad(lambda xs: ts.sum(ts.grad(lambda xs: ts.sum(run(xs)[1] ** 2))(xs) ** 2))(xs)
        return bits([loss, w.grad, xs.grad, second])

    product = lambda h: h @ w  # noqa: E731
    same = lambda f: f  # noqa: E731
    plain = gradients(same, same, product)
    for around in (same, ts.checkpoint):
        for inside in (same, ts.checkpoint):
            assert gradients(around, inside, ts.checkpoint(product)) == plain


def test_around_a_layer():
    layer, xs = ts.nn.LSTM(3, 4, num_layers=2, dropout=0.3), ts.randn(5, 2, 3)

    def gradients(wrap):
        ts.manual_seed(1)
        layer.zero_grad()
        ys, _ = wrap(layer)(xs)
        ts.sum(ys**2).backward()
        return bits([ys, *[parameter.grad for parameter in layer.parameters()]])

    assert gradients(ts.checkpoint) == gradients(lambda f: f)


def test_hooks_run_once_and_see_the_same():
    x, seen = weights(3), []

    def f(x):
        h = x * 3.0
        h.register_hook(lambda g: seen.append(g.numpy().copy()))
        return ts.tanh(h)

    ts.sum(ts.checkpoint(f)(x)).backward()
    ts.sum(f(x)).backward()
    assert len(seen) == 2
    np.testing.assert_array_equal(seen[0], seen[1])


def test_kept_and_freed_graphs():
    x = weights(3)
    y = ts.checkpoint(lambda x: (ts.exp(x), ts.sin(ts.exp(x))))(x)
    ts.sum(y[0]).backward()
    first, x.grad = grad_of(x), None
    np.testing.assert_array_equal(first.numpy(), np.exp(x.numpy()))
    z = ts.sum(ts.checkpoint(lambda x: ts.sin(ts.exp(x)))(x))
    z.backward(retain_graph=True)
    z.backward()
    with pytest.raises(GraphError, match="retain_graph=True"):
        z.backward()
    pull = ts.vjp(ts.checkpoint(ts.exp), x)[1]
    assert bits(pull(t(np.ones(3)))) == bits(pull(t(np.ones(3))))


def test_no_reference_cycles():
    x = weights(3)
    gc.collect()
    gc.disable()
    try:
        before = sum(type(thing) is Node for thing in gc.get_objects())
        inner = ts.checkpoint(ts.exp)
        f = ts.checkpoint(lambda x: ts.sin(inner(x)))
        ts.sum(f(x)).backward()
        f(x)  # no backward
        ts.hvp(lambda x: ts.sum(f(x)), x, x)
        x.grad = None
        assert sum(type(thing) is Node for thing in gc.get_objects()) == before
    finally:
        gc.enable()


def test_arguments_may_change_in_between():
    x = weights(3)
    before = x.numpy().copy()
    y = ts.sum(ts.checkpoint(ts.exp)(x * 1.0))
    x.data[...] = 0.0
    y.backward()
    np.testing.assert_allclose(grad_of(x).numpy(), np.exp(before))


def test_what_is_not_the_same_the_second_time_is_refused():
    w, x = weights(3), weights(3, seed=1)
    y = ts.sum(ts.checkpoint(lambda x: x * w * w)(x))
    with ts.no_grad():
        w -= 0.1
    with pytest.raises(GraphError, match=r"checkpoint: .*'<lambda>' .* a tensor that it reads has another value"):
        y.backward()
    assert w.grad is None
    rng = np.random.default_rng(0)
    with pytest.raises(GraphError, match="its result has other values"):
        ts.sum(ts.checkpoint(lambda x: x * x * rng.normal(size=3))(x)).backward()
    turns = iter([ts.exp, ts.sin])

    def changing(x):
        return next(turns)(x)

    with pytest.raises(GraphError, match="it has run other operations"):
        ts.sum(ts.checkpoint(changing)(x)).backward()


def test_custom_gradients_inside_and_around():
    @ts.custom_gradient
    def square(x):
        e = ts.exp(x)
        return x * e, lambda g: g * (e + x * e)

    x = weights(3)
    ts.gradcheck(ts.checkpoint(lambda x: square(x) * ts.sin(x)), [x], order=2)
    ts.gradcheck(ts.custom_gradient(lambda x: (ts.checkpoint(ts.exp)(x), lambda g: g * ts.exp(x))), [x], order=2)


def test_a_constant_of_a_compiled_step():
    """In the trace the function is given a value without numbers, of which it reads the shape alone."""
    w, xs = weights(3), weights(4, 2, 3, seed=1)
    scaled = ts.checkpoint(lambda x: ts.exp(w) * float(x.shape[0]))

    def loss(compile):
        last, _ = ts.scan(lambda h, x: (ts.tanh(h * scaled(x) + x), None), xs[0], xs, compile=compile)
        return ts.sum(last)

    found = []
    for compile in (True, False):
        w.grad = None
        loss(compile).backward()
        found.append(grad_of(w).numpy())
    np.testing.assert_allclose(found[0], found[1], rtol=1e-12)


def test_a_second_run_that_restores_nothing_is_refused():
    """A backward pass must not run the function again and again for a node that it never restores."""
    x = ts.tensor([1.0, 2.0], requires_grad=True)
    y = ts.checkpoint(lambda x: ts.exp(ts.tanh(x)))(x)
    y._source.recompute = runs = Runs()
    with pytest.raises(GraphError, match="checkpoint: expected the second run of the function to repeat the 'exp'"):
        y.sum().backward()
    assert runs.count == 1


class Runs:
    count = 0

    def __call__(self) -> None:
        self.count += 1


@pytest.mark.parametrize("switch", [ts.disable_compile, ts.detect_anomaly])
def test_it_runs_again_under_the_switches_of_the_first_time(switch):
    """A scan that ran step by step does so again, whatever is set where the backward pass begins."""
    w, x = weights(4, 4), weights(3, 2, 4, seed=1)

    def run(x):
        return ts.scan(lambda h, x: (ts.tanh(h @ w + x),) * 2, ts.zeros((2, 4), "float64"), x)[1]

    def gradients(wrap):
        w.grad = x.grad = None
        with switch():
            y = wrap(run)(x)
        ts.sum(y * y).backward()
        return bits([y, w.grad, x.grad])

    assert gradients(ts.checkpoint) == gradients(lambda f: f)


def test_draws_are_the_same_after_a_backward_pass_that_was_interrupted():
    x = weights(5)
    strikes: list[Any] = []

    def noisy(x):
        y = x * ts.rand(5)
        if strikes:
            raise strikes.pop()
        return ts.sin(y * ts.rand(5))

    y = ts.sum(ts.checkpoint(noisy)(x))
    strikes.append(KeyboardInterrupt())
    with pytest.raises(KeyboardInterrupt):
        y.backward(retain_graph=True)
    assert x.grad is None
    y.backward()
    interrupted, x.grad = grad_of(x), None
    ts.manual_seed(0)
    ts.sum(noisy(x)).backward()
    np.testing.assert_array_equal(interrupted.numpy(), grad_of(x).numpy())
