"""ONNX models in: the recurrent node cases of the package onnx, a model of PyTorch, other operators, bad files."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tinygrad_seq as ts

onnx = pytest.importorskip("onnx")
helper = pytest.importorskip("onnx.helper")

DATA = Path(__file__).resolve().parent / "data"
FLOAT, INT64, BOOL = 1, 7, 9


@pytest.fixture(autouse=True)
def _eager() -> Iterator[None]:
    with ts.disable_compile():
        yield


def recurrent_cases() -> list[Any]:
    """Return the test cases of LSTM, GRU, RNN and Scan that the package onnx brings."""
    from onnx.backend.test.case import node
    from onnx.backend.test.case.node import gru, lstm, rnn, scan

    del gru, lstm, rnn, scan  # importing them collects their cases
    kinds = ("LSTM", "GRU", "RNN", "Scan")
    found = [case for case in node._NodeTestCases if case.model.graph.node[0].op_type in kinds]
    return [case for case in found if case.name != "test_scan_sum"]  # of opset 8


@pytest.mark.parametrize("case", recurrent_cases(), ids=lambda case: case.name)
def test_recurrent_nodes_of_the_package_onnx(case: Any, tmp_path: Path) -> None:
    (tmp_path / "x.onnx").write_bytes(case.model.SerializeToString())
    model = ts.interop.from_onnx(tmp_path / "x.onnx")
    for inputs, outputs in case.data_sets:
        given = model(*inputs)
        for own, wanted in zip(given if isinstance(given, tuple) else (given,), outputs, strict=True):
            np.testing.assert_allclose(own.numpy(), wanted, rtol=1e-5, atol=1e-6)


def test_all_recurrent_cases_are_there() -> None:
    assert len(recurrent_cases()) == 21  # 18 and three of Scan


def test_a_model_of_pytorch() -> None:
    """torch.onnx.export of PyTorch 2.13: an embedding, an LSTM of two layers and directions, a linear layer."""
    with np.load(DATA / "torch.npz") as file:
        x, y = file["x"], file["y"]
    model = ts.interop.from_onnx(DATA / "torch.onnx")
    assert all(type(layer) is ts.nn.LSTM for layer in model.layers.values())
    np.testing.assert_allclose(model(x).numpy(), y, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(model(ids=x[:1, :2]).shape, (1, 2, 5))  # another batch and length
    model(x).sum().backward()
    assert all(parameter.grad is not None for parameter in model.parameters())


def save(path: Path, nodes: list[Any], inputs: dict[str, Any], constants: dict[str, Any], outputs: list[str]) -> Path:
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info(name, FLOAT, shape) for name, shape in inputs.items()],
        [helper.make_tensor_value_info(name, FLOAT, None) for name in outputs],
        [onnx.numpy_helper.from_array(np.asarray(value), name) for name, value in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)])
    path.write_bytes(model.SerializeToString())
    return path


def node(op: str, inputs: str, outputs: str, **attributes: Any) -> Any:
    return helper.make_node(op, inputs.split(), outputs.split(), **attributes)


X = np.arange(24, dtype=np.float32).reshape(2, 3, 4) / 7 - 1
OPERATORS: list[tuple[str, list[Any], dict[str, Any], Callable[[np.ndarray], Any]]] = [
    ("slice", [node("Slice", "x s e a t", "y")],
     {"s": np.array([-1]), "e": np.array([-(1 << 62)]), "a": np.array([1]), "t": np.array([-2])}, lambda x: x[:, ::-2]),
    ("split", [node("Split", "x", "a y", axis=2, num_outputs=2)], {}, lambda x: x[..., 2:]),
    ("gather", [node("Gather", "x i", "y", axis=1)], {"i": np.array([[-1, 0]])}, lambda x: x[:, [[-1, 0]]]),
    ("shapes",
     [node("Shape", "x", "s", start=0, end=2), node("Concat", "s k", "t", axis=0), node("Reshape", "x t", "y")],
     {"k": np.array([2, -1])}, lambda x: x.reshape(2, 3, 2, -1)),
    ("gemm", [node("Flatten", "x", "f", axis=2), node("Gemm", "f w b", "y", transB=1, alpha=0.5)],
     {"w": np.ones((2, 4), np.float32), "b": np.ones(2, np.float32)},
     lambda x: 0.5 * x.reshape(6, 4).sum(-1)[:, None] + np.ones(2)),
    ("one hot", [node("Cast", "x", "i", to=onnx.TensorProto.INT64), node("OneHot", "i d v", "y", axis=1)],
     {"d": np.float32(3), "v": np.array([3, 5], np.float32)},
     lambda x: np.where(x[:, None].astype(int) % 3 == np.arange(3)[:, None, None], 5, 3)),
    ("unsqueeze", [node("Unsqueeze", "x a", "u"), node("Squeeze", "u a", "y")], {"a": np.array([-2])}, lambda x: x),
    ("pad", [node("Pad", "x p v", "y")], {"p": np.array([0, 1, 0, 0, 0, 2]), "v": np.float32(3)},
     lambda x: np.pad(x, ((0, 0), (1, 0), (0, 2)), constant_values=3)),
    ("reduce", [node("ReduceMean", "x a", "y", keepdims=0)], {"a": np.array([0, 2])}, lambda x: x.mean((0, 2))),
    ("topk", [node("TopK", "x k", "y i")], {"k": np.array([2])}, lambda x: x[..., :1:-1]),
    ("reverse", [node("ReverseSequence", "x n", "y", time_axis=1, batch_axis=0)], {"n": np.array([2, 3])},
     lambda x: np.stack([x[0, [1, 0, 2]], x[1, ::-1]])),
    ("where", [node("Greater", "x z", "c"), node("Where", "c x z", "y")],
     {"z": np.float32(0)}, lambda x: np.maximum(x, 0)),
    ("softmax", [node("Exp", "x", "e"), node("ReduceSum", "e a", "s"), node("Div", "e s", "p"), node("Log", "p", "l"),
                 node("LogSoftmax", "x", "m"), node("Sub", "l m", "y")], {"a": np.array([-1])}, lambda x: 0 * x),
]  # fmt: skip


@pytest.mark.parametrize(
    ("nodes", "constants", "formula"), [row[1:] for row in OPERATORS], ids=[row[0] for row in OPERATORS]
)
def test_operators(nodes: list[Any], constants: dict[str, Any], formula: Any, tmp_path: Path) -> None:
    path = save(tmp_path / "x.onnx", nodes, {"x": X.shape}, constants, ["y"])
    np.testing.assert_allclose(ts.interop.from_onnx(path)(X).numpy(), formula(X), rtol=1e-5, atol=1e-6)


def test_weights_that_are_computed_are_folded(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    constants = {
        "w": rng.normal(size=(4, 12)).astype("f4"), "r": rng.normal(size=(1, 12, 3)).astype("f4"), "a": np.array([0]),
    }  # fmt: skip
    nodes = [node("Transpose", "w", "v"), node("Unsqueeze", "v a", "W"), node("LSTM", "x W r", "y", hidden_size=3)]
    model = ts.interop.from_onnx(save(tmp_path / "x.onnx", nodes, {"x": X.shape}, constants, ["y"]))
    (layer,) = model.layers.values()
    assert isinstance(layer, ts.nn.LSTM)
    assert not model.weights
    assert model(X).shape == (2, 1, 3, 3)


def test_weights_that_are_inputs_get_gradients(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    shapes = {"x": (3, 2, 4), "w": (1, 6, 4), "r": (1, 6, 2)}
    path = save(tmp_path / "x.onnx", [node("GRU", "x w r", "y", hidden_size=2)], shapes, {}, ["y"])
    model = ts.interop.from_onnx(path)
    given = [ts.tensor(rng.normal(size=shape), requires_grad=True) for shape in shapes.values()]
    assert ts.gradcheck(model, given)


# ---------------------------------------------------------------------------------------------------- bad input


def test_unsupported_operators_are_listed(tmp_path: Path) -> None:
    nodes = [node("Det", "x", "a"), node("Hardmax", "a", "y")]
    with pytest.raises(ts.ArgumentError, match="got Det, Hardmax"):
        ts.interop.from_onnx(save(tmp_path / "x.onnx", nodes, {"x": (2, 2)}, {}, ["y"]))


def test_a_fault_names_the_node(tmp_path: Path) -> None:
    path = save(tmp_path / "x.onnx", [node("MatMul", "x w", "y")], {"x": (2, 2)}, {"w": np.ones((3, 3), "f4")}, ["y"])
    with pytest.raises(ts.ArgumentError, match=r"node 0 \(MatMul"):
        ts.interop.from_onnx(path)(np.ones((2, 2), "f4"))
    with pytest.raises(ts.ArgumentError, match=r"expected the inputs \['x'\]"):
        ts.interop.from_onnx(path)(z=X)


def cycle() -> list[Any]:
    return [node("Add", "x b", "a"), node("Add", "a x", "b"), node("Neg", "b", "y")]


def external(location: str, length: int = 8) -> Any:
    tensor = onnx.TensorProto(name="w", data_type=FLOAT, dims=[2], data_location=1)
    for key, value in (("location", location), ("length", str(length))):
        tensor.external_data.add(key=key, value=value)
    return tensor


def test_hostile_files_are_refused(tmp_path: Path) -> None:
    folder = tmp_path / "model"
    folder.mkdir()
    (tmp_path / "secret").write_bytes(bytes(8))
    (folder / "data").write_bytes(np.array([1, 2], "f4").tobytes())
    path = folder / "x.onnx"
    whole = (DATA / "torch.onnx").read_bytes()
    for content in (whole[: len(whole) // 2], b"", b"\x08", b"PK\x03\x04", bytes(100)):
        path.write_bytes(content)
        with pytest.raises(ts.CheckpointError, match=r"^from_onnx: [^\n]*$"):
            ts.interop.from_onnx(path)
    with pytest.raises(ts.CheckpointError, match="cycle"):
        ts.interop.from_onnx(save(path, cycle(), {"x": (2,)}, {}, ["y"]))
    with pytest.raises(ts.CheckpointError, match="'a' twice"):
        ts.interop.from_onnx(save(path, [node("Neg", "x", "a"), node("Neg", "a", "a")], {"x": (2,)}, {}, ["a"]))
    for tensor, text in (
        (external("../secret"), "in the folder of the model"),
        (external(str(tmp_path / "secret")), "in the folder of the model"),
        (external("data", 1 << 40), "expected 1,099,511,627,776 bytes"),
        (onnx.TensorProto(name="w", data_type=FLOAT, dims=[1 << 40], raw_data=b"1234"), "expected data of shape"),
        (onnx.TensorProto(name="w", data_type=FLOAT, dims=[-1]), "sizes >= 0"),
        (onnx.TensorProto(name="w", data_type=8, dims=[1], string_data=[b"x"]), "real numbers"),
    ):
        graph = helper.make_graph(
            [node("Neg", "w", "y")], "g", [], [helper.make_tensor_value_info("y", 1, None)], [tensor]
        )
        path.write_bytes(helper.make_model(graph).SerializeToString())
        with pytest.raises((ts.CheckpointError, ts.DtypeError), match=text):
            ts.interop.from_onnx(path)
    graph = helper.make_graph(
        [node("Neg", "w", "y")], "g", [], [helper.make_tensor_value_info("y", 1, None)], [external("data")]
    )
    path.write_bytes(helper.make_model(graph).SerializeToString())
    assert ts.interop.from_onnx(path)().tolist() == [-1, -2]
    huge = [node("ConstantOfShape", "n", "y")]
    with pytest.raises(ts.ArgumentError, match="at most 2"):
        ts.interop.from_onnx(save(path, huge, {}, {"n": np.array([1 << 20, 1 << 20])}, ["y"]))()


class NormedCell(ts.nn.Cell):
    """A user's cell with layer norm, which is a Scan in ONNX."""

    def __init__(self, input_size: int, hidden_size: int) -> None:
        self.input_size, self.state_shape = input_size, (hidden_size,)
        self.project, self.norm = ts.nn.Linear(input_size + hidden_size, hidden_size), ts.nn.LayerNorm(hidden_size)

    def forward(self, x: Any, h: Any) -> tuple[Any, Any]:
        h = ts.tanh(self.norm(self.project(ts.concat([x, h], axis=-1))))
        return h, h


@pytest.mark.parametrize("name", ["cell", "lengths"])
def test_what_to_onnx_writes_is_read(name: str, tmp_path: Path) -> None:
    pytest.importorskip("onnxruntime")
    layer: Any = ts.nn.Recurrent(NormedCell(3, 4)) if name == "cell" else ts.nn.GRU(3, 4, bidirectional=True)
    x, lengths = ts.randn(5, 2, 3), np.array([5, 2])
    more: Any = {} if name == "cell" else {"lengths": True}
    ts.interop.to_onnx(layer.eval(), tmp_path / "x.onnx", (x,), **more)
    given = ts.interop.from_onnx(tmp_path / "x.onnx")(x, *([] if name == "cell" else [lengths]))
    wanted = layer(x, lengths=None if name == "cell" else lengths)
    for own, other in zip(given, wanted, strict=True):
        np.testing.assert_allclose(own.numpy(), other.numpy(), rtol=1e-5, atol=1e-6)


def test_integers_are_divided_in_a_loop(tmp_path: Path) -> None:
    pytest.importorskip("onnxruntime")
    xs = np.array([[-7, 5], [3, -1], [8, 2]])
    ts.interop.to_onnx(
        lambda h, x: ((h + x) // 2, h), tmp_path / "x.onnx", xs, state=lambda n: ts.zeros(n, dtype="int64")
    )
    ys, last = ts.interop.from_onnx(tmp_path / "x.onnx")(xs)
    assert (ys.tolist(), last.tolist()) == ([[0, 0], [-4, 2], [-1, 0]], [3, 1])


def test_models_that_were_read_are_exported(tmp_path: Path) -> None:
    pytest.importorskip("onnxruntime")
    pytest.importorskip("h5py")
    ts.interop.to_keras([ts.nn.Embedding(9, 3), ts.nn.LSTM(3, 4), ts.nn.Linear(4, 2)], tmp_path / "x.keras")
    model, ids = ts.interop.from_keras(tmp_path / "x.keras").eval(), np.array([[1, 2, 3], [4, 5, 6]])
    ts.interop.to_onnx(model, tmp_path / "x.onnx", (ids,))
    again = ts.interop.from_onnx(tmp_path / "x.onnx")
    np.testing.assert_allclose(again(ids).numpy(), model(ids).numpy(), rtol=1e-5)
    ts.interop.to_onnx(again, tmp_path / "y.onnx", (ids,))  # a model that was read is written again
    np.testing.assert_allclose(ts.interop.from_onnx(tmp_path / "y.onnx")(ids).numpy(), model(ids).numpy(), rtol=1e-5)
