"""Random models of Keras, PyTorch and onnxruntime, read and written by `ts.interop`, compared with their outputs.

``python -m tests.interop.oracles --cases 100`` runs the libraries that are installed. ``--write`` makes the files in
``data`` anew: models that these libraries have written, with inputs and outputs.
"""

from __future__ import annotations

import argparse
import os
import random
import sys
import tempfile
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

import tinygrad_seq as ts

DATA = Path(__file__).resolve().parent / "data"
ACTIVATIONS = (
    "tanh", "relu", "sigmoid", "softsign", "hard_sigmoid", "linear", "elu", "selu", "silu", "gelu", "leaky_relu",
    "softplus",
)  # fmt: skip
Random = random.Random


# ----------------------------------------------------------------------------------------------------------- Keras


def convolution(rng: Random, kl: Any) -> list[Any]:
    """Return a convolution and what often follows it, or nothing."""
    if rng.random() < 0.7:
        return []
    padding, size = rng.choice(("same", "causal")), rng.randint(1, 3)
    parts = [kl.Conv1D(4, size, rng.choice((1, 1, 2)), padding, activation=rng.choice((None, "relu")))]
    parts += [kl.BatchNormalization()] * (rng.random() < 0.5)
    return parts + [rng.choice((kl.MaxPooling1D, kl.AveragePooling1D))(1)] * (rng.random() < 0.3)


def as_model(rng: Random, parts: list[Any], sequences: bool) -> Any:
    """Return layers with an output layer as a Sequential, nested or functional model."""
    import keras
    from keras import layers as kl

    if sequences and rng.random() < 0.3:
        parts.append(rng.choice((kl.GlobalAveragePooling1D, kl.GlobalMaxPooling1D))())
    parts.append(kl.Dense(3, activation=rng.choice(("softmax", None, "sigmoid"))))
    if rng.random() < 0.5:
        return keras.Sequential(parts)
    if rng.random() < 0.3:
        return keras.Sequential([parts[0], keras.Sequential(parts[1:-1]), parts[-1]])
    y = parts[0]
    for part in parts[1:]:
        y = part(y)
    return keras.Model(parts[0], y)


def keras_model(rng: Random) -> tuple[Any, np.ndarray]:
    """Return a random model of Keras, and inputs for it."""
    os.environ.setdefault("KERAS_BACKEND", "torch")
    import keras
    from keras import layers as kl

    keras.utils.clear_session()
    keras.utils.set_random_seed(rng.randrange(1 << 30))
    ids, mask, N, T, size = (
        rng.random() < 0.7,
        rng.random() < 0.5,
        rng.randint(1, 4),
        rng.randint(1, 7),
        rng.randint(1, 5),
    )
    shape: tuple[Any, ...] = (rng.choice((None, T)),)
    parts: list[Any] = [keras.Input(shape, dtype="int32"), kl.Embedding(9, size, mask_zero=mask)]
    if not ids:
        parts = [keras.Input((*shape, size))] + [kl.Masking(0.0)] * mask
    parts += convolution(rng, kl) if not mask else []
    sequences = True
    for _ in range(rng.randint(1, 3)):
        sequences, units, plain = rng.random() < 0.7, rng.randint(1, 5), rng.random() < 0.5
        name = rng.choice(("LSTM", "GRU", "SimpleRNN"))
        options: dict[str, Any] = {
            "activation": "tanh" if plain else rng.choice(ACTIVATIONS),
            "use_bias": rng.random() < 0.8,
            "bias_initializer": "random_normal",
            "dropout": rng.choice((0, 0.2)),
            "recurrent_dropout": rng.choice((0, 0, 0.2)),
        }
        if name != "SimpleRNN":
            options["recurrent_activation"] = "sigmoid" if plain else rng.choice(ACTIVATIONS)
        if name == "GRU":
            options["reset_after"] = rng.random() < 0.5
        layer, how = getattr(kl, name), rng.random()
        if how < 0.35:
            inner = layer(units, return_sequences=sequences, **options)
            parts.append(kl.Bidirectional(inner, merge_mode=rng.choice(("concat", "sum", "ave", "mul"))))
        elif how < 0.45:
            parts.append(kl.RNN(getattr(kl, f"{name}Cell")(units, **options), return_sequences=sequences))
        elif how < 0.5:
            parts.append(kl.RNN([kl.LSTMCell(3), kl.GRUCell(units)], return_sequences=sequences))
        else:
            backwards, zeros = rng.random() < 0.3, rng.random() < 0.3
            more = {"return_sequences": sequences, "go_backwards": backwards, "zero_output_for_mask": zeros}
            parts.append(layer(units, **more, **options))
        parts += [kl.Dropout(0.1)] * (rng.random() < 0.3) + [kl.LayerNormalization()] * (rng.random() < 0.2)
        if not sequences:
            break
        parts += [kl.TimeDistributed(kl.Dense(3, activation="relu"))] * (rng.random() < 0.2)
    model = as_model(rng, parts, sequences)
    numbers = np.random.default_rng(rng.randrange(1 << 30))
    for variable in model.variables:
        if "moving" in variable.path:
            variable.assign(numbers.uniform(0.5, 2, variable.shape))
    if ids:
        x = numbers.integers(0 if mask else 1, 9, (N, T)).astype(np.int32)
        x[:, 0] = numbers.integers(1, 9, N)  # the mean over no steps is not defined
    else:
        x = numbers.normal(size=(N, T, size)).astype(np.float32)
        x[np.arange(N * T).reshape(N, T) % 3 > 0] *= 1 - mask * (numbers.random() < 0.5)
    return model, x


def check_keras(rng: Random, folder: Path) -> float:
    """Read a random model of Keras, write it for Keras, and read that again; return the largest difference."""
    model, x = keras_model(rng)
    import keras

    wanted = np.array(keras.ops.convert_to_numpy(model(x, training=False)))
    worst = 0.0
    nested = any(isinstance(layer, keras.Sequential) for layer in model.layers)
    for suffix in (".keras",) if nested else (".h5", ".keras"):
        model.save(folder / f"theirs{suffix}")
        own = ts.interop.from_keras(folder / f"theirs{suffix}").eval()
        worst = max(worst, float(np.abs(own(x).numpy() - wanted).max()))
    ts.interop.to_keras(own, folder / "ours.keras")
    again = keras.saving.load_model(folder / "ours.keras")
    worst = max(worst, float(np.abs(keras.ops.convert_to_numpy(again(x, training=False)) - wanted).max()))
    second = ts.interop.from_keras(folder / "ours.keras")
    assert all(map(np.array_equal, own.state_dict().values(), second.state_dict().values())), "round trip"
    ts.interop.to_keras(own, folder / "ours.weights.h5")
    again.load_weights(folder / "ours.weights.h5")
    return worst


# --------------------------------------------------------------------------------------------------------- PyTorch


def check_torch(rng: Random, folder: Path) -> float:
    """Load the weights of a random layer of PyTorch, and load ours there; return the largest difference."""
    import torch

    torch.manual_seed(rng.randrange(1 << 30))
    name, layers, both, bias = (
        rng.choice(("LSTM", "GRU", "RNN")),
        rng.randint(1, 3),
        rng.random() < 0.5,
        rng.random() < 0.8,
    )
    I, H = rng.randint(1, 5), rng.randint(2, 5)
    options: dict[str, Any] = {"bias": bias, "bidirectional": both, "batch_first": rng.random() < 0.5}
    theirs = getattr(torch.nn, name)(I, H, layers, **options)
    cell = {"LSTM": ts.nn.LSTMCell, "GRU": ts.nn.GRUCell, "RNN": ts.nn.ElmanCell}[name]
    sizes = [I] + [H * (1 + both)] * (layers - 1)
    cells = [(cell(size, H, bias), cell(size, H, bias)) if both else cell(size, H, bias) for size in sizes]
    more: Any = {"bidirectional": both, "batch_first": options["batch_first"]}
    x = torch.randn(rng.randint(1, 4), rng.randint(1, 4), I)
    worst = 0.0
    torch.save({"epoch": 1, "state_dict": {f"module.{k}": v for k, v in theirs.state_dict().items()}}, folder / "a.pt")
    for own in (getattr(ts.nn, name)(I, H, layers, **options), ts.nn.Recurrent(cells, **more)):
        ts.interop.from_pytorch(rng.choice((theirs, folder / "a.pt")), own)
        worst = max(worst, float(np.abs(own(x.numpy())[0].numpy() - theirs(x)[0].detach().numpy()).max()))
        path = folder / rng.choice(("b.pt", "b.safetensors"))
        ts.interop.to_pytorch(own, path)
        theirs.load_state_dict(ts.interop.from_pytorch(path, dtype="float32") and _torch_load(path))
    return worst


def _torch_load(path: Path) -> Any:
    import torch
    from safetensors.torch import load_file

    return load_file(path) if path.suffix == ".safetensors" else torch.load(path, weights_only=True)


# ------------------------------------------------------------------------------------------------------------ ONNX


def onnx_node(rng: Random) -> tuple[Any, dict[str, np.ndarray]]:
    """Return a model of one recurrent node with random options, and inputs for it."""
    from onnx import TensorProto, helper

    numbers = np.random.default_rng(rng.randrange(1 << 30))
    op, way = rng.choice(("LSTM", "GRU", "RNN")), rng.choice(("forward", "reverse", "bidirectional"))
    D, T, N, I, H = (
        1 + (way == "bidirectional"),
        rng.randint(1, 5),
        rng.randint(1, 4),
        rng.randint(1, 4),
        rng.randint(1, 4),
    )
    gates, functions = {"LSTM": (4, 3), "GRU": (3, 2), "RNN": (1, 1)}[op]
    shapes = {"X": (T, N, I), "W": (D, gates * H, I), "R": (D, gates * H, H), "B": (D, 2 * gates * H)}
    shapes |= {"sequence_lens": (N,), "initial_h": (D, N, H)} | (
        {"initial_c": (D, N, H), "P": (D, 3 * H)} if op == "LSTM" else {}
    )
    values = {name: numbers.normal(size=shape).astype(np.float32) for name, shape in shapes.items()}
    values["sequence_lens"] = numbers.integers(1, T + 1, N).astype(np.int32)
    values = {name: x for name, x in values.items() if name in "XWR" or rng.random() < 0.5}
    options: dict[str, Any] = {"hidden_size": H, "direction": way}
    if rng.random() < 0.5:
        names = ("Sigmoid", "Tanh", "Relu", "HardSigmoid", "Softsign", "Softplus", "Elu", "LeakyRelu", "Affine")
        options["activations"] = [rng.choice(names) for _ in range(functions * D)]
        alphas = {"HardSigmoid": 0.3, "Elu": 0.7, "LeakyRelu": 0.1, "Affine": 0.5}
        betas = {"HardSigmoid": 0.4, "Affine": 0.1}
        options["activation_alpha"] = [alphas[name] for name in options["activations"] if name in alphas]
        options["activation_beta"] = [betas[name] for name in options["activations"] if name in betas]
    options = {name: value for name, value in options.items() if value != []}
    if rng.random() < 0.2:
        options["clip"] = rng.uniform(0.2, 1.5)
    if op == "GRU":
        options["linear_before_reset"] = rng.randint(0, 1)
    if op == "LSTM" and "P" not in values:
        options["input_forget"] = int(rng.random() < 0.2)
    outputs = ["Y", "Y_h", "Y_c"][: 3 if op == "LSTM" else 2]
    node = helper.make_node(op, [name if name in values else "" for name in shapes], outputs, **options)
    fixed = [name for name in values if name in ("W", "R", "B", "P") and rng.random() < 0.8]
    kinds = {name: TensorProto.INT32 if name == "sequence_lens" else TensorProto.FLOAT for name in values}
    graph = helper.make_graph(
        [node],
        "one node",
        [helper.make_tensor_value_info(name, kinds[name], x.shape) for name, x in values.items() if name not in fixed],
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in outputs],
        [helper.make_tensor(name, TensorProto.FLOAT, values[name].shape, values[name].ravel()) for name in fixed],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    return model, {name: x for name, x in values.items() if name not in fixed}


def check_onnx(rng: Random, folder: Path) -> float:
    """Run a random recurrent node here and in onnxruntime; return the largest difference."""
    import onnxruntime

    model, inputs = onnx_node(rng)
    path = folder / "node.onnx"
    path.write_bytes(model.SerializeToString())
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    wanted = session.run(None, inputs)
    given = ts.interop.from_onnx(path)(**inputs)
    worst = 0.0
    for own, theirs in zip(given, wanted, strict=True):
        finite = np.isfinite(theirs) & (np.abs(theirs) < 1e30)  # activations without bounds may overflow
        assert (np.isfinite(own.numpy()) >= finite).all(), "only ours overflows"
        difference = np.abs(own.numpy()[finite] - theirs[finite]) / (1 + np.abs(theirs[finite]))
        worst = max(worst, float(difference.max(initial=0.0)))
    return worst


CHECKS: dict[str, Callable[[Random, Path], float]] = {"keras": check_keras, "onnx": check_onnx, "torch": check_torch}


def run(name: str, cases: int, seed: int) -> tuple[float, int]:
    """Return the largest difference of a number of random cases, and how many failed; print the failed ones."""
    worst, failed = 0.0, 0
    for number in range(cases):
        with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
            warnings.simplefilter("ignore")
            try:
                difference = CHECKS[name](Random(f"{seed} {name} {number}"), Path(folder))
            except Exception as error:  # noqa: BLE001 - all of them are reported
                difference = float("inf")
                sys.stderr.write(f"{name} {number}: {type(error).__name__}: {str(error)[:400]}\n")
        worst, failed = max(worst, difference), failed + (not difference < 3e-5)
        if 3e-5 <= difference < float("inf"):
            sys.stderr.write(f"{name} {number}: differs by {difference:.1e}\n")
    return worst, failed


def write() -> None:
    """Write the files of other libraries that the tests read, with inputs and outputs."""
    DATA.mkdir(exist_ok=True)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        _write_keras()
        _write_torch()


def _write_keras() -> None:
    os.environ.setdefault("KERAS_BACKEND", "torch")
    import keras
    from keras import layers as kl

    keras.utils.set_random_seed(0)
    tagger = keras.Sequential(
        [
            keras.Input((None,), dtype="int32"),
            kl.Embedding(9, 3, mask_zero=True),
            kl.Bidirectional(kl.LSTM(2, return_sequences=True, bias_initializer="random_normal"), merge_mode="ave"),
            kl.GRU(
                3, return_sequences=True, reset_after=False, activation="softsign", bias_initializer="random_normal"
            ),
            kl.TimeDistributed(kl.Dense(4, activation="softmax")),
        ]
    )
    x = keras.Input((5, 2))
    y = kl.Masking(0.0)(x)
    y = kl.SimpleRNN(3, return_sequences=True, go_backwards=True, bias_initializer="random_normal")(y)
    y = kl.GRU(3, bias_initializer="random_normal")(kl.Dropout(0.1)(y))
    scorer = keras.Model(x, kl.Dense(1, activation="sigmoid")(y))
    ids = np.array([[3, 1, 4, 1, 0], [5, 0, 0, 0, 0]], np.int32)
    features = np.random.default_rng(0).normal(size=(2, 5, 2)).astype(np.float32)
    features[1, 3:] = 0
    for name, model, given in (("tagger", tagger, ids), ("scorer", scorer, features)):
        model.save(DATA / f"{name}.keras")
        np.savez(DATA / f"{name}.npz", x=given, y=keras.ops.convert_to_numpy(model(given, training=False)))
    tagger.save(DATA / "tagger.h5")
    tagger.save_weights(DATA / "tagger.weights.h5")


def _write_torch() -> None:
    import torch

    torch.manual_seed(0)

    class Model(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.embedding = torch.nn.Embedding(9, 3)
            self.lstm = torch.nn.LSTM(3, 2, num_layers=2, bidirectional=True, batch_first=True)
            self.output = torch.nn.Linear(4, 5)

        def forward(self, ids: Any) -> Any:
            return torch.log_softmax(self.output(self.lstm(self.embedding(ids))[0]), -1)

    model, ids = Model().eval(), torch.tensor([[3, 1, 4, 1], [5, 7, 2, 6]])
    torch.save(model.state_dict(), DATA / "torch.pt")
    np.savez(DATA / "torch.npz", x=ids.numpy(), y=model(ids).detach().numpy())
    names: dict[str, Any] = {"input_names": ["ids"], "output_names": ["y"]}
    torch.onnx.export(
        model, (ids,), str(DATA / "torch.onnx"), dynamo=False, dynamic_axes={"ids": {0: "N", 1: "T"}}, **names
    )


def main() -> int:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cases", type=int, default=50)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", choices=CHECKS)
    parser.add_argument("--write", action="store_true")
    given = parser.parse_args()
    if given.write:
        write()
        return 0
    failures = 0
    for name in [given.only] if given.only else CHECKS:
        worst, failed = run(name, given.cases, given.seed)
        failures += failed
        sys.stdout.write(f"{name}: {given.cases} cases, {failed} failed, largest difference {worst:.1e}\n")
    return int(failures > 0)


if __name__ == "__main__":
    sys.exit(main())
