"""One-layer RNN, GRU and LSTM with the same weights in this package, PyTorch and JAX, as `Workload`s."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from benchmarks._workload import Workload, gradient_of

GATES = {"RNN": 1, "GRU": 3, "LSTM": 4}
SHAPES = [
    (100, 1, 64, 128),
    (50, 32, 64, 128),
    (64, 64, 128, 256),
    (35, 20, 650, 650),
    (128, 16, 32, 64),
    (1000, 8, 32, 64),
]


@dataclass(frozen=True)
class Layer:
    """A cell and its sizes."""

    cell: str
    T: int
    N: int
    I: int
    H: int

    @property
    def name(self) -> str:
        return f"{self.cell} {self.T}x{self.N}x{self.I}x{self.H}"

    def data(self) -> tuple[dict[str, np.ndarray], np.ndarray, np.ndarray]:
        """Return the parameters under PyTorch's names, xs (T, N, I) and the gradient of the outputs (T, N, H)."""
        rng, rows = np.random.default_rng(0), GATES[self.cell] * self.H
        shapes = {
            "weight_ih_l0": (rows, self.I),
            "weight_hh_l0": (rows, self.H),
            "bias_ih_l0": (rows,),
            "bias_hh_l0": (rows,),
        }
        weights = {k: rng.uniform(-1, 1, s).astype(np.float32) / np.float32(self.H**0.5) for k, s in shapes.items()}
        xs, g = (rng.standard_normal((self.T, self.N, size)).astype(np.float32) for size in (self.I, self.H))
        return weights, xs, g


def ours(layer: Layer, lengths: np.ndarray | None = None) -> Workload:
    """Return the layer of this package; `lengths` are the lengths of its sequences, by default all T."""
    import tinygrad_seq as ts

    weights, inputs, cotangent = layer.data()
    model = getattr(ts.nn, layer.cell)(layer.I, layer.H)
    model.load_state_dict(weights)
    parameters = dict(model.named_parameters())
    xs, g = ts.tensor(inputs, requires_grad=True), ts.tensor(cotangent)

    def train():
        model.zero_grad()
        xs.grad = None
        ys, _ = model(xs, lengths=lengths)
        ys.backward(g)
        return ys

    def infer():
        with ts.no_grad():
            return model(xs, lengths=lengths)[0]

    def arrays():
        ys = train()
        return {"ys": ys.numpy(), "xs": gradient_of(xs), **{name: gradient_of(p) for name, p in parameters.items()}}

    return Workload(train, infer, arrays)


def with_torch(layer: Layer, threads: int = 1, lengths: np.ndarray | None = None) -> Workload:
    """Return the layer of PyTorch; with `lengths` its sequences are packed."""
    import torch
    from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

    torch.set_num_threads(threads)
    weights, inputs, cotangent = layer.data()
    model = getattr(torch.nn, layer.cell)(layer.I, layer.H)
    model.load_state_dict({name: torch.from_numpy(value) for name, value in weights.items()})
    parameters = dict(model.named_parameters())
    xs, g = torch.tensor(inputs, requires_grad=True), torch.from_numpy(cotangent)
    ends = None if lengths is None else torch.from_numpy(lengths)

    def run():
        if ends is None:
            return model(xs)[0]
        ys, _ = model(pack_padded_sequence(xs, ends, enforce_sorted=False))
        return pad_packed_sequence(ys, total_length=layer.T)[0]

    def train():
        model.zero_grad()
        xs.grad = None
        ys = run()
        ys.backward(g)
        return ys

    def infer():
        with torch.inference_mode():
            return run()

    def arrays():
        ys = train().detach()
        return {"ys": ys.numpy(), "xs": gradient_of(xs), **{name: gradient_of(p) for name, p in parameters.items()}}

    return Workload(train, infer, arrays)


def with_jax(layer: Layer, hoisted: bool = False) -> Workload:
    """Return the layer as a jitted ``lax.scan``; `hoisted` moves the input product out of it by hand."""
    import jax
    import jax.numpy as jnp

    def rnn(h, x, w, b):
        h = jnp.tanh(x + h @ w + b)
        return h, h

    def gru(h, x, w, b):
        (xr, xz, xn), (hr, hz, hn) = jnp.split(x, 3, axis=-1), jnp.split(h @ w + b, 3, axis=-1)
        r, z = jax.nn.sigmoid(xr + hr), jax.nn.sigmoid(xz + hz)
        n = jnp.tanh(xn + r * hn)
        h = n + z * (h - n)
        return h, h

    def lstm(state, x, w, b):
        h, c = state
        i, f, g, o = jnp.split(x + h @ w + b, 4, axis=-1)
        c = jax.nn.sigmoid(f) * c + jax.nn.sigmoid(i) * jnp.tanh(g)
        h = jax.nn.sigmoid(o) * jnp.tanh(c)
        return (h, c), h

    step = {"RNN": rnn, "GRU": gru, "LSTM": lstm}[layer.cell]
    weights, inputs, cotangent = layer.data()
    weights = {name: jnp.asarray(value.T) for name, value in weights.items()}
    xs, g = jnp.asarray(inputs), jnp.asarray(cotangent)
    zero = jnp.zeros((layer.N, layer.H), jnp.float32)
    init = (zero, zero) if layer.cell == "LSTM" else zero

    def run(weights, xs):
        w, b = weights["weight_hh_l0"], weights["bias_hh_l0"]

        def project(x):
            return x @ weights["weight_ih_l0"] + weights["bias_ih_l0"]

        if hoisted:
            return jax.lax.scan(lambda state, x: step(state, x, w, b), init, project(xs))[1]
        return jax.lax.scan(lambda state, x: step(state, project(x), w, b), init, xs)[1]

    def loss(weights, xs):
        ys = run(weights, xs)
        return (ys * g).sum(), ys

    gradient = jax.jit(jax.grad(loss, argnums=(0, 1), has_aux=True))
    forward = jax.jit(run)

    def arrays():
        (of_weights, of_xs), ys = gradient(weights, xs)
        return {"ys": ys, "xs": of_xs, **{name: np.asarray(value).T for name, value in of_weights.items()}}

    return Workload(
        lambda: jax.block_until_ready(gradient(weights, xs)),
        lambda: jax.block_until_ready(forward(weights, xs)),
        arrays,
    )
