"""The custom cells in JAX, run by a jitted ``lax.scan``. Each is split into projection and step, as in PyTorch."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
from jax.nn import sigmoid

from benchmarks._cells import CustomCell
from benchmarks._workload import Workload


def norm(x, gain, shift):
    centred = x - x.mean(-1, keepdims=True)
    return centred * jax.lax.rsqrt((centred * centred).mean(-1, keepdims=True) + 1e-5) * gain + shift


def layer_norm_lstm(p, state, x):
    h, c = state
    i, f, g, o = jnp.split(x + norm(h @ p["U"], p["gain_h"], p["shift_h"]), 4, axis=-1)
    c = sigmoid(f) * c + sigmoid(i) * jnp.tanh(g)
    h = sigmoid(o) * jnp.tanh(norm(c, p["gain_c"], p["shift_c"]))
    return (h, c), h


def concat_gru(p, h, x):
    update, reset = jnp.split(sigmoid(jnp.concatenate([h, x], -1) @ p["W"] + p["b"]), 2, axis=-1)
    n = jnp.tanh(jnp.concatenate([reset * h, x], -1) @ p["V"] + p["d"])
    h = update * n + (1 - update) * h
    return h, h


def min_gru(_, h, x):
    z, n = jnp.split(x, 2, axis=-1)
    z = sigmoid(z)
    h = (1 - z) * h + z * n
    return h, h


def peephole_lstm(p, state, x):
    h, c = state
    i, f, g, o = jnp.split(x + h @ p["U"], 4, axis=-1)
    c = sigmoid(f + p["see_f"] * c) * c + sigmoid(i + p["see_i"] * c) * jnp.tanh(g)
    h = sigmoid(o + p["see_o"] * c) * jnp.tanh(c)
    return (h, c), h


def ind_rnn(p, h, x):
    h = jax.nn.relu(x + p["u"] * h)
    return h, h


def affine(p, x):
    return x @ p["W"] + p["b"]


# The projection, the step and the number of state arrays.
FUNCTIONS = {
    "layer-norm LSTM": (lambda p, x: norm(x @ p["W"], p["gain_x"], p["shift_x"]), layer_norm_lstm, 2),
    "concat GRU": (lambda _, x: x, concat_gru, 1),
    "minGRU": (affine, min_gru, 1),
    "peephole LSTM": (affine, peephole_lstm, 2),
    "IndRNN": (affine, ind_rnn, 1),
}


def with_jax(custom: CustomCell, hoisted: bool = False) -> Workload:
    project, step, states = FUNCTIONS[custom.cell]
    parameters, inputs, cotangent = custom.data()
    parameters = {name: jnp.asarray(value.T) for name, value in parameters.items()}
    xs, g = jnp.asarray(inputs), jnp.asarray(cotangent)
    zero = jnp.zeros((custom.N, custom.H), jnp.float32)
    init = zero if states == 1 else (zero,) * states

    def run(p, xs):
        if hoisted:
            return jax.lax.scan(lambda state, x: step(p, state, x), init, project(p, xs))[1]
        return jax.lax.scan(lambda state, x: step(p, state, project(p, x)), init, xs)[1]

    def loss(p, xs):
        ys = run(p, xs)
        return (ys * g).sum(), ys

    gradient, forward = jax.jit(jax.grad(loss, argnums=(0, 1), has_aux=True)), jax.jit(run)

    def arrays():
        (of_parameters, of_xs), ys = gradient(parameters, xs)
        return {"ys": ys, "xs": of_xs, **{name: np.asarray(value).T for name, value in of_parameters.items()}}

    return Workload(
        lambda: jax.block_until_ready(gradient(parameters, xs)),
        lambda: jax.block_until_ready(forward(parameters, xs)),
        arrays,
    )
