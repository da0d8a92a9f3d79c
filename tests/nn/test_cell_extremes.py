"""Every cell at huge, tiny and zero inputs and states: finite wherever the result is, and close to float64."""

from __future__ import annotations

import contextlib
from typing import Any

import numpy as np
import pytest

import tinygrad_seq as ts
from tests.grad_of import grad_of
from tests.nn.cell_names import CELLS
from tinygrad_seq import nn
from tinygrad_seq.base.tree import flatten, map_leaves

INPUTS = (0.0, 1e-30, 40.0, -110.0, 1e3, -1e3, 1e9, 1e30, -1e30)
STATES = (None, 0.0, 1e3, -1e30)
# The largest inputs and states in float32 where not 1e30. These cells multiply inputs with each other or the state, and
# their docstrings say how far that goes; or they never reach such a state, or it is a time that has no phase.
LARGEST_INPUT = {"LinearAttentionCell": 1e9, "MLSTMCell": 1e9, "MambaCell": 1e3}
LARGEST_STATE = dict.fromkeys(
    ["MultiplicativeLSTMCell", "MambaCell", "GLACell", "MLSTMCell", "RWKV4Cell", "SLSTMCell", "PhasedLSTMCell"], 1e3
)
SUMS = {"SLSTMCell": "n", "RWKV4Cell": "b"}  # sums of positive weights, the largest of which is 1
OPTIONS: dict[str, dict[str, Any]] = {"S4DCell": {"state_size": 2}, "MambaCell": {"state_size": 3}}
LARGEST = float(np.finfo(np.float32).max)


def filled(shape, value: float, dtype: str, rng) -> ts.Tensor:
    return ts.tensor(np.full(shape, value) * np.where(rng.random(shape) < 0.4, -1, 1), dtype, requires_grad=True)


def run(name: str, dtype: str, x: float, s: float | None, T: int, size: int, seed: int) -> tuple[list[Any], list[Any]]:
    """Return outputs and last states, and gradients, of a cell at I = H = `size` and N = 1."""
    ts.manual_seed(seed)
    rng = np.random.default_rng(seed)
    cell: Any = getattr(nn, name)(size, size, **OPTIONS.get(name, {})).to(dtype)
    if seed:
        for parameter in cell.parameters():
            parameter.data[...] = parameter.numpy() + 0.5 * rng.standard_normal(parameter.shape)
    xs = filled((T, 1, size), x, dtype, rng)
    state = cell.initial_state(1)
    if s is not None:
        state = map_leaves(lambda leaf: filled(leaf.shape, s, dtype, rng), state)
        if name in SUMS and s:
            state[SUMS[name]] = ts.ones((1, size), dtype, requires_grad=True)
        if name == "LinearAttentionCell":
            state = (state[0], ts.tensor(np.abs(state[1].numpy()), requires_grad=True))
    ys, last = nn.Recurrent(cell)(xs, state)
    ys.sum().backward()
    leaves = [xs, *cell.parameters(), *(flatten(state)[0] if s is not None else ())]
    values = [part.numpy() for part in (ys, *flatten(last)[0])]
    return values, [np.zeros(leaf.shape) if leaf.grad is None else leaf.grad.numpy() for leaf in leaves]


def check(name: str, x: float, s: float | None, T: int, size: int, seed: int) -> bool:
    """Compare float32 with float64; return whether float32 can hold the result."""
    place = f"{name}: x={x}, state={s}, T={T}, size={size}, seed={seed}"
    exact, exact_gradients = run(name, "float64", x, s, T, size, seed)
    assert all(np.isfinite(part).all() for part in exact + exact_gradients), place
    if not all((np.abs(part) < LARGEST / 4).all() for part in exact):
        return False
    values, gradients = run(name, "float32", x, s, T, size, seed)
    for value, want in zip(values, exact, strict=True):
        assert np.isfinite(value).all(), place
        scale = max(np.abs(want).max(), abs(s or 0), 1e-30 if x == 1e-30 else 1e-3)  # what was rounded
        if abs(x) <= 1e3:  # beyond, float32 cannot hold what is left of sums of products
            np.testing.assert_allclose(value / scale, want / scale, atol=2e-3, err_msg=place)
    for gradient, want in zip(gradients, exact_gradients, strict=True):
        assert np.isfinite(gradient[np.abs(want) < LARGEST / 4]).all(), place
    return True


@pytest.mark.parametrize("name", CELLS)
def test_results_are_finite_wherever_they_can_be(name: str) -> None:
    held = 0
    with ts.disable_compile():
        for x in INPUTS:
            for s in STATES:
                if abs(x) > LARGEST_INPUT.get(name, 1e30) or abs(s or 0) > LARGEST_STATE.get(name, 1e30):
                    continue
                held += check(name, x, s, 1, 1, seed=0)
                held += check(name, x, s, 3, 3, seed=1)
    assert held >= 30


@pytest.mark.parametrize("name", ["MinLSTMCell", "SLSTMCell", "MLSTMCell", "RWKV4Cell", "LinearAttentionCell"])
@pytest.mark.parametrize("x", [1e3, -1e3, 1e9])
def test_compiled_results_are_those_of_the_loop(name: str, x: float) -> None:
    for T, size, seed in ((1, 1, 1), (3, 3, 2)):
        compiled = run(name, "float64", x, None, T, size, seed)
        with ts.disable_compile():
            eager = run(name, "float64", x, None, T, size, seed)
        for one, other in zip(compiled[0] + compiled[1], eager[0] + eager[1], strict=True):
            assert np.isfinite(one).all()
            np.testing.assert_allclose(one, other, rtol=1e-9, atol=1e-12 * np.abs(other).max() + 1e-100)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("compile", [True, False])
@pytest.mark.parametrize("gate", [-1.0, -50.0, -104.0, -750.0, -1e30])
def test_minlstm_shares_out_also_where_both_gates_underflow(dtype: str, compile: bool, gate: float) -> None:
    cell = nn.MinLSTMCell(1, 1).to(dtype)
    cell.weight_ih.data[...] = 0
    cell.bias.data[...] = [gate, gate - 1, 1]
    share = 1 / (1 + np.exp(np.logaddexp(0, 1 - gate) - np.logaddexp(0, -gate)))  # of the input gate
    with contextlib.nullcontext() if compile else ts.disable_compile():
        ys, _ = nn.Recurrent(cell)(ts.zeros((2, 1, 1), dtype))
        ys.sum().backward()
    np.testing.assert_allclose(ys.numpy().ravel(), 1.5 * share * np.array([1, 2 - share]), rtol=1e-5)
    slope = 1.5 * share * (1 - share) * (1 + 2 * (1 - share))  # by the difference of the logarithms of the gates
    i, f = (np.exp(-np.logaddexp(0, a)) for a in (gate - 1, gate))
    np.testing.assert_allclose(grad_of(cell.bias).numpy()[:2], [-slope * f, slope * i], rtol=1e-4)


@pytest.mark.parametrize("name", ["SLSTMCell", "RWKV4Cell"])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_state_of_zeros_is_the_empty_one(name: str, dtype: str) -> None:
    """Also where the first exponents are far below 0, and so far below those of the sum of nothing."""
    cell: Any = getattr(nn, name)(2, 2).to(dtype)
    x = ts.tensor([[300.0, -300.0]], dtype)
    zeros = map_leaves(ts.zeros_like, cell.initial_state(1))
    y, _ = cell(x, zeros)
    assert np.isfinite(y.numpy()).all()
    for exponent in (-1e3, 50.0):
        key = "m" if name == "SLSTMCell" else "p"
        np.testing.assert_array_equal(cell(x, {**zeros, key: ts.full((1, 2), exponent, dtype)})[0].numpy(), y.numpy())
