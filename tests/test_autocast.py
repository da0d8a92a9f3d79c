"""`autocast`: which products run in bfloat16, in what precision their gradients are, compiled and step by step."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import tinygrad_seq as ts
from tinygrad_seq import nn
from tinygrad_seq.errors import ArgumentError
from tinygrad_seq.kernels.gemm.operands import round_bfloat16

EPS = 2.0**-8  # of bfloat16: half of it is the largest relative rounding error
T, N, I, H = 9, 5, 8, 16


def rounded(x: np.ndarray) -> np.ndarray:
    """Return `x` in bfloat16, by another way than the package: the nearer of the two neighbours, ties to even."""
    x = np.asarray(x, np.float32)
    below = (x.view(np.uint32) & np.uint32(0xFFFF0000)).view(np.float32)
    above = ((x.view(np.uint32) & np.uint32(0xFFFF0000)) + np.uint32(0x10000)).view(np.float32)
    down, up = np.abs(x.astype(float) - below), np.abs(above.astype(float) - x)
    even = (below.view(np.uint32) >> np.uint32(16)) % 2 == 0
    return np.where((down < up) | ((down == up) & even), below, above)


def test_rounding():
    x = np.random.default_rng(0).standard_normal(10_000).astype(np.float32)
    ties = (np.float32(1).view(np.uint32) + np.arange(8, dtype=np.uint32) * np.uint32(0x8000)).view(np.float32)
    for values in (x, x * np.float32(1e-30), -ties, ties):
        np.testing.assert_array_equal(round_bfloat16(values), rounded(values))
    special = np.array([np.inf, -np.inf, 0.0, -0.0, 3.4e38], np.float32)
    np.testing.assert_array_equal(round_bfloat16(special), [np.inf, -np.inf, 0, -0.0, np.inf])
    assert np.isnan(round_bfloat16(np.array([np.nan, -np.nan], np.float32))).all()


# ------------------------------------------------------------------------------------------------------- operations


@pytest.fixture
def ab(rng) -> tuple[ts.Tensor, ts.Tensor]:
    return tuple(ts.tensor(rng.standard_normal(shape).astype("f4"), requires_grad=True) for shape in ((6, 8), (8, 7)))


PRODUCTS: dict[str, tuple[Callable[..., Any], Callable[..., Any]]] = {
    "matmul": (lambda a, b: a @ b, lambda a, b: a @ b),
    "a stack on the left": (lambda a, b: ts.reshape(a, (2, 3, 8)) @ b, lambda a, b: (a @ b).reshape(2, 3, 7)),
    "a vector on the left": (lambda a, b: a[0] @ b, lambda a, b: a[0] @ b),
    "linear": (lambda a, b: ts.linear(a, b.T), lambda a, b: a @ b),
    "linear with a bias": (lambda a, b: ts.linear(a, b.T, ts.ones(7) / 3), lambda a, b: a @ b + np.float32(1) / 3),
}


@pytest.mark.parametrize("name", PRODUCTS)
def test_products_are_of_rounded_operands(name, ab):
    a, b = ab
    ours, numpy = PRODUCTS[name]
    with ts.autocast("bfloat16"):
        y = ours(a, b)
    assert y.dtype == np.float32
    np.testing.assert_allclose(y.numpy(), numpy(rounded(a.numpy()), rounded(b.numpy())), rtol=1e-6, atol=1e-6)


def test_what_stays_float32(ab):
    a, b = ab
    with ts.autocast("bfloat16"):
        stack = ts.reshape(a, (2, 3, 8)) @ ts.broadcast_to(b, (2, 8, 7))
        wide = a.astype("float64") @ b.astype("float64")
        total = (a * a).sum()
    np.testing.assert_allclose(stack.numpy(), (a.numpy() @ b.numpy()).reshape(2, 3, 7), rtol=1e-5, atol=1e-5)
    np.testing.assert_array_equal(wide.numpy(), a.numpy().astype(float) @ b.numpy().astype(float))
    np.testing.assert_array_equal(total.numpy(), (a * a).sum().numpy())


@pytest.mark.parametrize("name", PRODUCTS)
def test_the_gradient_runs_in_the_precision_of_the_forward(name, ab, rng):
    a, b = ab
    g = rng.standard_normal(PRODUCTS[name][0](a, b).shape).astype("f4")

    def gradients(forward: str, backward: str) -> list[np.ndarray]:
        a.grad = b.grad = None
        with ts.autocast(forward):
            y = PRODUCTS[name][0](a, b)
        with ts.autocast(backward):
            y.backward(g)
        return [a.grad.numpy(), b.grad.numpy()]

    for precision in ("float32", "bfloat16"):
        for here, there in zip(gradients(precision, "float32"), gradients(precision, "bfloat16"), strict=True):
            np.testing.assert_array_equal(here, there)
    full, low = gradients("float32", "float32"), gradients("bfloat16", "float32")
    expected = rounded(g).reshape(-1, 7) @ rounded(b.numpy()).T
    np.testing.assert_allclose(low[0][: len(expected)], expected, rtol=1e-5, atol=1e-5)
    assert not np.array_equal(low[0], full[0])
    check_close(low, full, EPS, 2 * EPS)


def test_a_recorded_backward_keeps_the_precision(ab):
    a, b = ab

    gradient = ts.grad(lambda a: ((a @ b) ** 2).sum())
    plain = gradient(a)
    with ts.autocast("bfloat16"):
        low = gradient(a)
        with ts.autocast("float32"):
            off = gradient(a)
    np.testing.assert_array_equal(off.numpy(), plain.numpy())
    assert 0 < np.abs(low.numpy() - plain.numpy()).max() < 4 * EPS * np.abs(plain.numpy()).max()
    y = (a @ b).sum()
    with ts.autocast("bfloat16"):
        y.backward(create_graph=True)
    np.testing.assert_array_equal(a.grad.numpy(), (np.ones((6, 7), "f4") @ b.numpy().T))


def test_second_derivatives(ab):
    a, b = ab

    def loss(a: ts.Tensor) -> ts.Tensor:
        return ts.tanh(a @ b).sum()

    plain = ts.hvp(loss, a, a)
    low = ts.autocast("bfloat16")(ts.hvp)(loss, a, a)
    assert 0 < np.abs(low.numpy() - plain.numpy()).max() < 8 * EPS * np.abs(plain.numpy()).max()


def test_checkpoint_repeats_the_precision(ab):
    a, b = ab
    found = []
    for wrap in (lambda f: f, ts.checkpoint):
        a.grad = b.grad = None
        with ts.autocast("bfloat16"):
            y = wrap(lambda a, b: ts.tanh(a @ b) @ b.T)(a, b)
        y.sum().backward()
        found.append([y.numpy(), a.grad.numpy(), b.grad.numpy()])
    for x, y in zip(*found, strict=True):
        np.testing.assert_array_equal(x, y)


def test_it_is_a_switch_of_this_thread(ab):
    a, b = ab
    seen = {}
    with ts.autocast("bfloat16"):
        thread = threading.Thread(target=lambda: seen.update(y=(a @ b).numpy()))
        thread.start()
        thread.join()
        low = (a @ b).numpy()
    np.testing.assert_array_equal(seen["y"], (a @ b).numpy())
    assert not np.array_equal(low, seen["y"])
    np.testing.assert_array_equal(ts.autocast("bfloat16")(lambda: a @ b)().numpy(), low)


def test_errors():
    with pytest.raises(ArgumentError, match=r"autocast: .*'float16'"):
        ts.autocast("float16")
    with pytest.raises(ArgumentError, match=r"int8.*inference.*ts\.quantize"):
        ts.autocast("int8")
    with pytest.raises(ArgumentError, match="autocast"):
        ts.autocast(None)


# ------------------------------------------------------------------------------------------------------------ scans


class Gated(nn.Cell):
    """A user's cell: joined inputs, a matrix on the right, a product of gated states."""

    def __init__(self) -> None:
        self.input_size, self.state_shape = I, (H,)
        self.gate, self.new = (nn.Linear(I + H, H) for _ in range(2))
        self.own = nn.Parameter(ts.randn(H, H) / 4)

    def forward(self, x, h):
        f = self.gate(ts.concat([x, h], axis=-1)).sigmoid()
        h = (1 - f) * h + f * (self.new(ts.concat([x, f * h], axis=-1)) + h @ self.own).tanh()
        return h, h


LAYERS: dict[str, Callable[[], nn.Module]] = {
    "lstm": lambda: nn.LSTM(I, H),
    "lstm, two layers, two directions, a projection": lambda: nn.LSTM(I, H, 2, bidirectional=True, proj_size=4),
    "gru": lambda: nn.GRU(I, H),
    "user": lambda: nn.Recurrent(Gated()),
    "user, sqrt": lambda: nn.Recurrent(Gated(), remember="sqrt"),
    "window": lambda: nn.Recurrent(nn.MGUCell(I, H), window=3),
    "layer norm": lambda: nn.Recurrent(nn.LayerNormLSTMCell(I, H)),
    "mlstm": lambda: nn.Recurrent(nn.MLSTMCell(I, H)),
    "mamba": lambda: nn.Recurrent(nn.MambaCell(I, H)),
    "stack": lambda: nn.Recurrent(nn.StackedCell(nn.GRUCell(I, H), nn.ElmanCell(H, H))),
}


def results(layer: nn.Module, xs: np.ndarray, precision: str, **options: Any) -> list[np.ndarray]:
    """Return the outputs, and the gradients of the inputs and of all parameters."""
    layer.zero_grad()
    x = ts.tensor(xs, requires_grad=True)
    with ts.autocast(precision):
        ys, _ = layer(x, **options)
    weights = np.random.default_rng(1).standard_normal(ys.shape).astype("f4")
    (ys * weights).sum().backward()
    return [ys.numpy(), x.grad.numpy(), *[p.grad.numpy() for p in layer.parameters() if p.grad is not None]]


def check_close(found: list[np.ndarray], expected: list[np.ndarray], typical: float, most: float) -> None:
    """Compare arrays: the root mean square of the differences and the largest, relative to the largest value."""
    for x, y in zip(found, expected, strict=True):
        scale = max(np.abs(y).max(), 1e-3)
        assert np.sqrt(np.mean((x - y) ** 2)) <= typical * scale
        assert np.abs(x - y).max() <= most * scale


@pytest.mark.parametrize("name", LAYERS)
@pytest.mark.parametrize("options", [{}, {"lengths": [9, 2, 5, 9, 7]}], ids=["whole", "lengths"])
def test_layers(name, options, rng):
    ts.manual_seed(0)
    layer, xs = LAYERS[name](), rng.standard_normal((T, N, I)).astype("f4")
    full = results(layer, xs, "float32", **options)
    low = results(layer, xs, "bfloat16", **options)
    assert any(not np.array_equal(x, y) for x, y in zip(low, full, strict=True))
    check_close(low, full, 4 * EPS, 16 * EPS)
    with ts.disable_compile():  # a sum in another order may round the next operand to the other neighbour
        check_close(results(layer, xs, "bfloat16", **options), low, EPS / 2, 2 * EPS)
    for x, y in zip(results(layer, xs, "float32", **options), full, strict=True):  # of another program
        np.testing.assert_array_equal(x, y)


def test_the_lstm_is_the_emulated_one(rng):
    """Compare with the equations and their backward pass in NumPy, with rounded operands."""
    layer, xs = nn.LSTM(I, H), rng.standard_normal((T, N, I)).astype("f4")
    found = results(layer, xs, "bfloat16")
    W, U, b = layer.weight_ih_l0.numpy().T, layer.weight_hh_l0.numpy().T, layer.bias_ih_l0.numpy()
    b = b + layer.bias_hh_l0.numpy()
    h, c = np.zeros((T + 1, N, H), "f4"), np.zeros((T + 1, N, H), "f4")
    gates = np.empty((T, 4, N, H), "f4")

    def product(x: np.ndarray, y: np.ndarray) -> np.ndarray:
        return rounded(x) @ rounded(y)

    for t in range(T):
        i, f, g, o = np.split(product(xs[t], W) + product(h[t], U) + b, 4, -1)
        i, f, o = (1 / (1 + np.exp(-gate)) for gate in (i, f, o))
        gates[t] = i, f, np.tanh(g), o
        c[t + 1] = f * c[t] + i * gates[t, 2]
        h[t + 1] = o * np.tanh(c[t + 1])
    dys = np.random.default_rng(1).standard_normal(h[1:].shape).astype("f4")
    dh, dc, da = np.zeros((N, H), "f4"), np.zeros((N, H), "f4"), np.empty((T, N, 4 * H), "f4")
    for t in reversed(range(T)):
        i, f, g, o = gates[t]
        dh, squashed = dh + dys[t], np.tanh(c[t + 1])
        dc = dc + dh * o * (1 - squashed**2)
        parts = dc * g * i * (1 - i), dc * c[t] * f * (1 - f), dc * i * (1 - g * g), dh * squashed * o * (1 - o)
        da[t] = np.concatenate(parts, -1)
        dc, dh = dc * f, product(da[t], U.T)
    rows = da.reshape(T * N, 4 * H)
    dW, dU = product(rows.T, xs.reshape(T * N, I)), product(rows.T, h[:-1].reshape(T * N, H))
    expected = [h[1:], product(rows, W.T).reshape(T, N, I), dW, dU, rows.sum(0), rows.sum(0)]
    check_close(found, expected, EPS / 16, 2 * EPS)


def test_a_cell_can_switch_it_off(rng):
    class Mixed(Gated):
        def forward(self, x, h):
            with ts.autocast("float32"):
                return super().forward(x, h)

    layer, xs = nn.Recurrent(Mixed()), rng.standard_normal((T, N, I)).astype("f4")
    full, low = results(layer, xs, "float32"), results(layer, xs, "bfloat16")
    for x, y in zip(low, full, strict=True):
        np.testing.assert_array_equal(x, y)


def test_second_derivatives_of_a_scan(rng):
    layer, xs = nn.GRU(I, H), ts.tensor(rng.standard_normal((4, 2, I)).astype("f4"), requires_grad=True)
    found = []
    for precision in ("float32", "bfloat16"):
        gradient = ts.autocast(precision)(ts.grad(lambda x: (layer(x)[0] ** 2).sum()))(xs)
        (gradient * gradient).sum().backward()
        found.append([p.grad.numpy().copy() for p in layer.parameters()])
        layer.zero_grad()
    assert any(not np.array_equal(x, y) for x, y in zip(*found, strict=True))
    check_close(found[1], found[0], 4 * EPS, 16 * EPS)


def test_the_matrix_may_change_from_step_to_step(rng):
    """A product with a matrix that depends on the carry stays float32 in a compiled scan, within the tolerance."""

    def step(M, x):
        y = x @ M
        return ts.tanh(M + y.sum(axis=0)), y

    M = ts.tensor(rng.standard_normal((4, 4)).astype("f4") / 4, requires_grad=True)
    xs = ts.tensor(rng.standard_normal((5, 3, 4)).astype("f4"), requires_grad=True)
    found = []
    for compile in (True, False):
        xs.grad = M.grad = None
        with ts.autocast("bfloat16"):
            _, ys = ts.scan(step, M, xs, compile=compile)
        ys.sum().backward()
        found.append([ys.numpy(), xs.grad.numpy(), M.grad.numpy()])
    check_close(found[0], found[1], 4 * EPS, 8 * EPS)


@pytest.mark.parametrize("order", [("float32", "bfloat16"), ("bfloat16", "float32"), ("bfloat16", "bfloat16")])
def test_calls_of_a_token_each_add_up_in_their_precisions(order, rng):
    """The gradients of several short calls wait for each other: those of another precision do not."""
    layer, xs = nn.GRU(I, H), rng.standard_normal((2, N, I)).astype("f4")

    def gradients(precisions: tuple[str, ...]) -> list[np.ndarray]:
        layer.zero_grad()
        total, state = ts.tensor(0.0), None
        for x, precision in zip(xs, precisions, strict=True):
            with ts.autocast(precision):
                ys, state = layer(ts.tensor(x[None]), state)
            total = total + (ys * ys).sum()
        total.backward()
        return [parameter.grad.numpy() for parameter in layer.parameters()]

    found = gradients(order)
    with ts.disable_compile():
        check_close(gradients(order), found, EPS / 8, EPS)
    check_close(found, gradients(("float32", "float32")), EPS, 4 * EPS)
