"""Every optimiser and option against its published formula, written once more in plain NumPy float64."""

from typing import Any

import numpy as np
import pytest

import tinygrad_seq as ts

STEPS = 60
SHAPES = [(3, 5), (), (17,)]


def sgd(p, g, s, t, lr=1e-3, momentum=0.0, dampening=0.0, weight_decay=0.0, nesterov=False):
    g = g + weight_decay * p
    if momentum:
        s["b"] = g if t == 1 else momentum * s["b"] + (1 - dampening) * g
        g = g + momentum * s["b"] if nesterov else s["b"]
    return p - lr * g


def adam(p, g, s, t, lr=1e-3, betas=(0.9, 0.999), eps=1e-8, weight_decay=0.0, amsgrad=False):
    g = g + weight_decay * p
    s["m"] = betas[0] * s.get("m", 0) + (1 - betas[0]) * g
    s["v"] = betas[1] * s.get("v", 0) + (1 - betas[1]) * g**2
    s["max"] = np.maximum(s.get("max", 0), s["v"])
    m = s["m"] / (1 - betas[0] ** t)
    v = (s["max"] if amsgrad else s["v"]) / (1 - betas[1] ** t)
    return p - lr * m / (np.sqrt(v) + eps)


def adamw(p, g, s, t, lr=1e-3, weight_decay=1e-2, **options):
    return adam(p * (1 - lr * weight_decay), g, s, t, lr, **options)


def rmsprop(p, g, s, t, lr=1e-2, alpha=0.99, eps=1e-8, weight_decay=0.0, momentum=0.0, centered=False):
    g = g + weight_decay * p
    s["v"] = alpha * s.get("v", 0) + (1 - alpha) * g**2
    s["mean"] = alpha * s.get("mean", 0) + (1 - alpha) * g
    variance = s["v"] - s["mean"] ** 2 if centered else s["v"]
    s["b"] = momentum * s.get("b", 0) + g / (np.sqrt(variance) + eps)
    return p - lr * s["b"]


def adagrad(p, g, s, t, lr=1e-2, lr_decay=0.0, weight_decay=0.0, initial_accumulator_value=0.0, eps=1e-10):
    g = g + weight_decay * p
    s["sum"] = s.get("sum", initial_accumulator_value) + g**2
    return p - lr / (1 + (t - 1) * lr_decay) * g / (np.sqrt(s["sum"]) + eps)


CASES: list[tuple[Any, Any, dict[str, Any]]] = [
    (ts.optim.SGD, sgd, {}),
    (ts.optim.SGD, sgd, {"lr": 0.1, "weight_decay": 0.02}),
    (ts.optim.SGD, sgd, {"lr": 0.1, "momentum": 0.9}),
    (ts.optim.SGD, sgd, {"lr": 0.1, "momentum": 0.9, "dampening": 0.3, "weight_decay": 0.02}),
    (ts.optim.SGD, sgd, {"lr": 0.1, "momentum": 0.9, "nesterov": True, "weight_decay": 0.02}),
    (ts.optim.Adam, adam, {}),
    (ts.optim.Adam, adam, {"lr": 0.1, "betas": (0.3, 0.6), "eps": 1e-3}),
    (ts.optim.Adam, adam, {"lr": 0.1, "betas": (0.0, 0.0), "weight_decay": 0.02}),
    (ts.optim.Adam, adam, {"lr": 0.1, "betas": (0.9, 0.9), "amsgrad": True, "weight_decay": 0.02}),
    (ts.optim.AdamW, adamw, {}),
    (ts.optim.AdamW, adamw, {"lr": 0.1, "weight_decay": 0.2, "amsgrad": True, "betas": (0.9, 0.9)}),
    (ts.optim.RMSprop, rmsprop, {}),
    (ts.optim.RMSprop, rmsprop, {"lr": 0.1, "alpha": 0.8, "eps": 1e-3, "weight_decay": 0.02}),
    (ts.optim.RMSprop, rmsprop, {"lr": 0.1, "momentum": 0.9, "weight_decay": 0.02}),
    (ts.optim.RMSprop, rmsprop, {"lr": 0.1, "alpha": 0.9, "centered": True}),
    (ts.optim.RMSprop, rmsprop, {"lr": 0.1, "alpha": 0.9, "centered": True, "momentum": 0.9, "weight_decay": 0.02}),
    (ts.optim.Adagrad, adagrad, {}),
    (ts.optim.Adagrad, adagrad, {"lr": 0.1, "lr_decay": 0.05, "weight_decay": 0.02}),
    (ts.optim.Adagrad, adagrad, {"lr": 0.1, "initial_accumulator_value": 0.4, "eps": 1e-3}),
]
NAMES = [f"{case[0].__name__}-{'-'.join(case[2])}" for case in CASES]
each_case = pytest.mark.parametrize(("optimizer", "formula", "options"), CASES, ids=NAMES)


def parameters(dtype, seed=0):
    rng = np.random.default_rng(seed)
    return [ts.tensor(rng.standard_normal(shape), dtype=dtype, requires_grad=True) for shape in SHAPES]


def gradient(param, t):
    """Return a gradient that depends on where the parameter is."""
    noise = np.random.default_rng(t).standard_normal(param.shape)
    return (0.5 * param + noise).astype(param.dtype)


def descend(optimizer, params, steps):
    for t in steps:
        for param in params:
            param.grad = ts.tensor(gradient(param.numpy(), t))
        optimizer.step()


def follow(formula, starts, options):
    ends = [start.copy() for start in starts]
    states: list[dict[str, Any]] = [{} for _ in starts]
    for t in range(1, STEPS + 1):
        ends = [formula(p, gradient(p, t), s, t, **options) for p, s in zip(ends, states, strict=True)]
    return ends


@each_case
def test_float64_follows_the_formula(optimizer, formula, options):
    params = parameters("float64")
    expected = follow(formula, [param.numpy().copy() for param in params], options)
    descend(optimizer(params, **options), params, range(1, STEPS + 1))
    for param, end in zip(params, expected, strict=True):
        np.testing.assert_allclose(param.numpy(), end, rtol=1e-11, atol=1e-12)


@each_case
def test_float32_follows_the_formula_and_stays_float32(optimizer, formula, options):
    params = parameters("float32")
    expected = follow(formula, [param.numpy().astype(np.float64) for param in params], options)
    opt = optimizer(params, **options)
    descend(opt, params, range(1, STEPS + 1))
    for param, end in zip(params, expected, strict=True):
        assert param.dtype == np.float32
        np.testing.assert_allclose(param.numpy(), end, rtol=2e-3, atol=2e-4)
    for state in opt.state_dict()["state"].values():
        assert {value.dtype for name, value in state.items() if name != "step"} <= {np.dtype(np.float32)}


@each_case
def test_maximize_climbs_as_descending_along_the_negative_gradient_does(optimizer, formula, options):
    up, down = parameters("float64"), parameters("float64")
    climbing, descending = optimizer(up, **options, maximize=True), optimizer(down, **options)
    for t in range(1, 6):
        for a, b in zip(up, down, strict=True):
            g = np.random.default_rng(t).standard_normal(a.shape)
            a.grad, b.grad = ts.tensor(g), ts.tensor(-g)
        climbing.step()
        descending.step()
    for a, b in zip(up, down, strict=True):
        np.testing.assert_array_equal(a.numpy(), b.numpy())


@each_case
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_state_saved_half_way_goes_on_bit_for_bit(optimizer, formula, options, dtype):
    params = parameters(dtype)
    opt = optimizer(params, **options)
    descend(opt, params, range(1, 21))
    copies = [ts.tensor(param.numpy().copy(), requires_grad=True) for param in params]
    resumed = optimizer(copies, lr=123.0)
    resumed.load_state_dict(opt.state_dict())
    assert resumed.param_groups[0]["lr"] == opt.param_groups[0]["lr"]
    descend(opt, params, range(21, 31))
    descend(resumed, copies, range(21, 31))
    for param, copy in zip(params, copies, strict=True):
        np.testing.assert_array_equal(param.numpy(), copy.numpy())


def test_a_centred_rmsprop_survives_a_constant_gradient():
    w = ts.tensor(np.full(1000, 0.5), requires_grad=True)
    optimizer = ts.optim.RMSprop([w], alpha=0.1, centered=True)
    for _ in range(100):
        w.grad = ts.tensor(np.linspace(0.1, 0.3, 1000))
        optimizer.step()
    assert np.isfinite(w.numpy()).all()


def test_a_whole_loop_with_the_tape_finds_the_minimum():
    target = np.array([[1.0, -2.0], [0.5, 3.0]])
    w = ts.nn.Parameter(np.zeros((2, 2), np.float32))
    optimizer = ts.optim.Adam([w], lr=0.1)
    for _ in range(300):
        optimizer.zero_grad()
        ((w - target) ** 2).sum().backward()
        optimizer.step()
    np.testing.assert_allclose(w.numpy(), target, atol=1e-2)
