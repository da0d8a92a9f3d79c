"""One-layer RNN, GRU and LSTM with the same weights in this package, PyTorch, JAX and onnxruntime, as `Workload`s."""

from __future__ import annotations

import contextlib
import functools
import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from benchmarks._workload import Inference, Workload, gradient_of

GATES = {"RNN": 1, "GRU": 3, "LSTM": 4}
SHAPES = [
    (100, 1, 64, 128),
    (50, 32, 64, 128),
    (64, 64, 128, 256),
    (35, 20, 650, 650),
    (128, 16, 32, 64),
    (1000, 8, 32, 64),
]
FEW_ROWS = [
    *((50, 1, H, H) for H in (128, 256, 512)),
    *((50, N, 256, 256) for N in (2, 4, 8)),
    (50, 8, 512, 512),
]
ONE_STEP = [(1, 1, H, H) for H in (128, 256, 512)]


@dataclass(frozen=True)
class Layer:
    """A cell and its sizes."""

    cell: str
    T: int
    N: int
    I: int
    H: int
    bidirectional: bool = False

    @property
    def name(self) -> str:
        return f"{'Bi' if self.bidirectional else ''}{self.cell} {self.T}x{self.N}x{self.I}x{self.H}"

    def data(self) -> tuple[dict[str, np.ndarray], np.ndarray, np.ndarray]:
        """Return the parameters under PyTorch's names, xs (T, N, I) and the gradient of the outputs (T, N, H or 2H)."""
        rng, rows = np.random.default_rng(0), GATES[self.cell] * self.H
        names = {
            "weight_ih_l0": (rows, self.I),
            "weight_hh_l0": (rows, self.H),
            "bias_ih_l0": (rows,),
            "bias_hh_l0": (rows,),
        }
        ends = ("", "_reverse") if self.bidirectional else ("",)
        shapes = {name + end: shape for end in ends for name, shape in names.items()}
        weights = {k: rng.uniform(-1, 1, s).astype(np.float32) / np.float32(self.H**0.5) for k, s in shapes.items()}
        sizes = self.I, self.H * len(ends)
        xs, g = (rng.standard_normal((self.T, self.N, size)).astype(np.float32) for size in sizes)
        return weights, xs, g


def ours(layer: Layer, lengths: np.ndarray | None = None, precision: str = "float32") -> Workload:
    """Return the layer of this package.

    `lengths` are the lengths of its sequences, by default all T. `precision` is that of its products, by `autocast`.
    """
    import tinygrad_seq as ts

    weights, inputs, cotangent = layer.data()
    model = getattr(ts.nn, layer.cell)(layer.I, layer.H, bidirectional=layer.bidirectional)
    model.load_state_dict(weights)
    parameters = dict(model.named_parameters())
    xs, g = ts.tensor(inputs, requires_grad=True), ts.tensor(cotangent)
    cast = contextlib.nullcontext if precision == "float32" else functools.partial(ts.autocast, precision)

    def train():
        model.zero_grad()
        xs.grad = None
        with cast():
            ys, _ = model(xs, lengths=lengths)
        ys.backward(g)
        return ys

    def infer():
        with ts.no_grad(), cast():
            return model(xs, lengths=lengths)[0]

    def arrays():
        ys = train()
        return {"ys": ys.numpy(), "xs": gradient_of(xs), **{name: gradient_of(p) for name, p in parameters.items()}}

    return Workload(train, infer, arrays)


def with_torch(
    layer: Layer, threads: int = 1, lengths: np.ndarray | None = None, precision: str = "float32"
) -> Workload:
    """Return the layer of PyTorch.

    With `lengths` its sequences are packed. `precision` is "float32", or "bfloat16" by its autocast.
    """
    import torch
    from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

    torch.set_num_threads(threads)
    weights, inputs, cotangent = layer.data()
    model = getattr(torch.nn, layer.cell)(layer.I, layer.H, bidirectional=layer.bidirectional)
    model.load_state_dict({name: torch.from_numpy(value) for name, value in weights.items()})
    half = precision == "bfloat16"
    cast = functools.partial(torch.autocast, "cpu", torch.bfloat16) if half else contextlib.nullcontext
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
        with cast():
            ys = run().float()
        ys.backward(g)
        return ys

    def infer():
        with torch.inference_mode(), cast():
            return run()

    def arrays():
        ys = train().detach()
        return {"ys": ys.numpy(), "xs": gradient_of(xs), **{name: gradient_of(p) for name, p in parameters.items()}}

    return Workload(train, infer, arrays)


def ours_int8(layer: Layer) -> Inference:
    """Return the quantised layer of this package."""
    import tinygrad_seq as ts

    weights, inputs, _ = layer.data()
    model = getattr(ts.nn, layer.cell)(layer.I, layer.H)
    model.load_state_dict(weights)
    quantised, xs = ts.quantize(model, "int8"), ts.tensor(inputs)

    def infer():
        with ts.no_grad():
            return quantised(xs)[0].numpy()

    return Inference(infer)


def with_torch_converted(layer: Layer, precision: str) -> Inference:
    """Return the layer of PyTorch converted to "bfloat16", or to "int8" by dynamic quantisation."""
    import torch

    torch.set_num_threads(1)
    weights, inputs, _ = layer.data()
    model = getattr(torch.nn, layer.cell)(layer.I, layer.H)
    model.load_state_dict({name: torch.from_numpy(value) for name, value in weights.items()})
    xs = torch.from_numpy(inputs)
    if precision == "bfloat16":
        model, xs = model.bfloat16(), xs.bfloat16()
    else:
        quantize = torch.ao.quantization.quantize_dynamic
        (model,) = quantize(torch.nn.Sequential(model), {torch.nn.LSTM, torch.nn.GRU}, dtype=torch.qint8)

    def infer():
        with torch.inference_mode():
            return model(xs)[0].float().numpy()

    return Inference(infer)


def with_onnxruntime(layer: Layer, int8: bool = False) -> Inference:
    """Return the inference of onnxruntime's layer; `int8` quantises its weights, which it can do for an LSTM."""
    import onnxruntime
    from onnx import TensorProto, helper, numpy_helper

    weights, inputs, _ = layer.data()
    order = {"RNN": [0], "GRU": [1, 0, 2], "LSTM": [0, 3, 1, 2]}[layer.cell]  # of ONNX: z, r, h and i, o, f, c

    def gates(name: str) -> np.ndarray:
        blocks = np.split(weights[f"{name}_l0"], GATES[layer.cell])
        return np.concatenate([blocks[index] for index in order])

    biases = np.concatenate([gates("bias_ih"), gates("bias_hh")])
    constants = {"W": gates("weight_ih")[None], "R": gates("weight_hh")[None], "B": biases[None]}
    options = {"hidden_size": layer.H} | ({"linear_before_reset": 1} if layer.cell == "GRU" else {})
    graph = helper.make_graph(
        [helper.make_node(layer.cell, ["xs", *constants], ["ys"], **options)],
        "layer",
        [helper.make_tensor_value_info("xs", TensorProto.FLOAT, inputs.shape)],
        [helper.make_tensor_value_info("ys", TensorProto.FLOAT, (layer.T, 1, layer.N, layer.H))],
        [numpy_helper.from_array(array, name) for name, array in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9).SerializeToString()
    if int8:
        model = _quantised(model)
    settings = onnxruntime.SessionOptions()
    settings.intra_op_num_threads = settings.inter_op_num_threads = 1
    session = onnxruntime.InferenceSession(model, settings, providers=["CPUExecutionProvider"])

    def infer():
        return session.run(["ys"], {"xs": inputs})[0][:, 0]

    return Inference(infer)


def _quantised(model: bytes) -> bytes:
    """Return an ONNX model with int8 weights, which are quantised from file to file."""
    from onnxruntime.quantization import QuantType, quantize_dynamic

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.onnx"
        path.write_bytes(model)
        quantize_dynamic(path, path, weight_type=QuantType.QInt8)
        return path.read_bytes()


@functools.cache  # compiled once for all rounds
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
