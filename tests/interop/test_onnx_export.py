"""ONNX out. `to_onnx` itself compares each file with the model on random sizes; here are models, and refusals."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tinygrad_seq as ts
from tests.nn.cell_names import CELLS
from tests.soak import random_onnx
from tinygrad_seq import nn
from tinygrad_seq.base.tree import flatten
from tinygrad_seq.errors import ArgumentError, ShapeError, TinygradSeqError, VerificationError
from tinygrad_seq.interop.onnx_export import to_onnx as exporting
from tinygrad_seq.interop.onnx_export.node_table import OPERATIONS, REFUSED
from tinygrad_seq.interop.onnx_export.record import LOOP
from tinygrad_seq.interop.onnx_export.recurrent_nodes import NATIVE
from tinygrad_seq.ops.primitive import TABLE, OpKind, bind
from tinygrad_seq.scan.passes.lower import structure
from tinygrad_seq.train import LanguageModel

onnx = pytest.importorskip("onnx")
to_onnx = ts.interop.to_onnx
T, N, I, H = 2, 2, 4, 6
XS = np.zeros((T, N, I), np.float32)
TOKENS = np.arange(10).reshape(5, 2)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "model.onnx"


def nodes_of(path: Path) -> list[str]:
    return [node.op_type for node in onnx.load(path).graph.node]


def run(path: Path, **inputs: Any) -> dict[str, np.ndarray]:
    session = exporting.session_of(str(path))
    names = [output.name for output in session.get_outputs()]
    return dict(zip(names, session.run(names, inputs), strict=True))


# ------------------------------------------------------------------------------------------------------ operations


def test_every_operation_has_a_translation_or_a_reason() -> None:
    for primitive in TABLE.values():
        has = primitive in OPERATIONS or primitive.formula is not None or structure(primitive) is not None
        assert has or primitive in (LOOP, NATIVE) or primitive.name in REFUSED, primitive
    assert {primitive.name for primitive in OPERATIONS}.isdisjoint(REFUSED)


class Elementwise(nn.Module):
    """All elementwise operations on numbers, by name."""

    def forward(self, x, y, z):
        found = {}
        for primitive in OPERATIONS:
            if primitive.kind is OpKind.ELEMENTWISE and "bitwise" not in primitive.name and primitive.name != "invert":
                count = max(k + 1 for k in range(3) if f"{{{k}}}" in str(primitive.code))
                first = x > 0 if primitive.name == "where" else x
                found[primitive.name] = bind(primitive, (first, y, z)[:count], {})
        return found


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_elementwise_operations(path: Path, dtype: str) -> None:
    example = np.zeros((2, 3), dtype)
    to_onnx(Elementwise(), path, (example, example, example))
    assert len(onnx.load(path).graph.output) > 70


class Shapes(nn.Module):
    """Operations that move, join, look up, reduce and sort; T and N take part in most."""

    def forward(self, xs, tokens):
        rows = ts.arange(5.0)[:, None] + ts.zeros((5, 3))
        a, b = ts.split(xs, 2, axis=-1)
        order, images = ts.argsort(xs, axis=-1), xs.permute_dims(1, 2, 0)
        moved = [
            xs.reshape(-1, 4), images, xs[-1], xs[1:], xs[::-1], xs[:, :, None, ::2], xs[..., 1], ts.flip(xs, 0),
            ts.concat([a, b, a], axis=-1), ts.stack([a, b], axis=1), ts.roll(xs, 1, axis=2), ts.tile(xs, (1, 1, 2)),
            ts.broadcast_to(xs[:1], xs.shape), ts.pad(xs, ((1, 0), (0, 2), (0, 0)), value=2.0), ts.tril(xs, k=1),
            rows[tokens % 5], ts.take(xs, [0, 3], axis=2), ts.nn.functional.one_hot(tokens, 10), order,
            ts.take_along_axis(xs, order), ts.scatter_add(xs, 2, order, xs), ts.topk(xs, 2)[0],
            ts.sort(xs, axis=-1, descending=True), ts.argmax(xs, axis=2), ts.argmin(xs, axis=1),
        ]  # fmt: skip
        reduced = [
            xs.sum(0), xs.mean((0, 2)), xs.max(axis=1), xs.min(axis=(1, 2)), xs.std(axis=2, correction=1),
            xs.var(axis=2, correction=0), ts.prod(xs, axis=2), ts.any(xs > 0, axis=2), ts.all(xs > 0, axis=(0, 2)),
            ts.logsumexp(xs, axis=0), ts.count_nonzero(xs > 0, axis=1), ts.cumsum(xs, axis=0), ts.softmax(xs, -1),
            ts.log_softmax(xs, axis=1), ts.layer_norm(xs, 4), ts.rms_norm(xs, 4), xs.sum(0) / xs.shape[0],
            ts.einsum("tni,ti->tn", xs, xs[:, 0]), xs @ ts.ones((4, 2)), xs[0] @ ts.ones(4),
            ts.conv1d(images, ts.ones((3, 4, 2)), padding=1),
        ]  # fmt: skip
        of_integers = [
            ts.where(tokens[..., None] > 3, xs, -xs), tokens // 3, tokens % 3, -tokens // 2, (tokens & 3) | 4,
            tokens ^ 1, (tokens > 2) & (tokens < 7), xs.astype("int64"), tokens.astype("float32") / 2,
            ts.fmod(-tokens, 3), ts.where(tokens > 3, tokens > 5, tokens < 2),
        ]  # fmt: skip
        return moved, reduced, of_integers


def test_other_operations(path: Path) -> None:
    to_onnx(Shapes(), path, (XS, TOKENS))
    with ts.disable_compile(), ts.no_grad():
        given = ts.randn(3, 2, 4), ts.tensor([[1, 2], [9, 0], [4, 3]])
        wanted, found = flatten(Shapes()(*given))[0], ts.interop.from_onnx(path)(*given)
    for own, other in zip(wanted, found, strict=True):
        assert own.dtype == other.dtype
        np.testing.assert_allclose(other.numpy(), own.numpy(), rtol=1e-5, atol=1e-5)


class Divides(nn.Module):
    def forward(self, x, y):
        return x // y, x % y, ts.fmod(x, y)


def test_division_is_that_of_numpy(path: Path) -> None:
    numbers = np.array([0, -0.0, 0.1, 0.7, -0.7, 3, 1e9, 1e-30, np.inf, -np.inf, np.nan], np.float32)
    x, y = np.repeat(numbers, len(numbers)), np.tile(numbers, len(numbers))  # 0.7 // 0.1 is 6, 1e9 % 0.7 is not 0
    to_onnx(Divides(), path, (x, y))
    with np.errstate(all="ignore"):
        wanted = x // y, x % y, np.fmod(x, y)
    for own, found in zip(wanted, run(path, x=x, y=y).values(), strict=True):
        np.testing.assert_array_equal(found, own)


# ---------------------------------------------------------------------------------------------- layers and options


@pytest.mark.parametrize("name", CELLS)
def test_every_cell_of_the_library(name: str, path: Path) -> None:
    ts.manual_seed(0)
    to_onnx(getattr(nn, name)(I, H), path, XS, lengths=True)


LAYERS: dict[str, Callable[[], nn.Module]] = {
    "LSTM": lambda: nn.LSTM(I, H, num_layers=2, bidirectional=True, batch_first=True),
    "GRU": lambda: nn.GRU(I, H, bidirectional=True, merge="mean"),
    "RNN": lambda: nn.RNN(I, H, nonlinearity="relu", bias=False, go_backwards=True),
}


@pytest.mark.parametrize("name", LAYERS)
@pytest.mark.parametrize("lengths", [False, True])
def test_native_nodes(name: str, lengths: bool, path: Path) -> None:
    to_onnx(LAYERS[name](), path, lengths=lengths)
    assert name in nodes_of(path)
    assert "Scan" not in nodes_of(path)


SCANNED: dict[str, Callable[[], nn.Module]] = {
    "float64": lambda: nn.GRU(I, H, dtype="float64"),
    "projection": lambda: nn.LSTM(I, H, proj_size=2),
    "zoneout": lambda: nn.GRU(I, H, zoneout=0.1, learn_initial_state=True),
    "all states": lambda: nn.RNN(I, H, return_all_states=True, window=2),
    "residual": lambda: nn.Recurrent([nn.MGUCell(I, I), nn.LSTMCell(I, I)], residual=True),
    "both ways": lambda: nn.Recurrent(nn.MGUCell(I, H), bidirectional=True, batch_first=True, proj_size=3),
}


@pytest.mark.parametrize("name", SCANNED)
def test_what_native_nodes_cannot_say_is_a_scan(name: str, path: Path) -> None:
    to_onnx(SCANNED[name](), path, lengths=True)
    assert "Scan" in nodes_of(path)


class Normed(nn.Cell):
    """A cell of one's own: layer norm, a counter, a flag."""

    def __init__(self) -> None:
        self.input_size, self.state_shape = I, {"h": (H,), "count": (1,)}
        self.sums, self.norm = nn.Linear(I + H, 2 * H), nn.LayerNorm(2 * H)
        self.read = nn.Linear(H, 3)

    def forward(self, x, state):
        gate, new = ts.split(self.norm(self.sums(ts.concat([x, state["h"]], axis=-1))), 2, axis=-1)
        h = ts.where(state["count"] > 2, new.tanh(), ts.lerp(new.tanh(), state["h"], gate.sigmoid()))
        return self.read(h), {"h": h, "count": state["count"] + 1}


def test_products_leave_the_loop(path: Path) -> None:
    """``x @ W`` stands before the Scan and the output layer after it, though the cell writes them inside."""
    to_onnx(Normed(), path)
    assert nodes_of(path).count("MatMul") == 2
    (scan,) = [node for node in onnx.load(path).graph.node if node.op_type == "Scan"]
    assert [node.op_type for node in scan.attribute[0].g.node].count("MatMul") == 1


def test_state_is_optional_and_continues(path: Path) -> None:
    layer = nn.Recurrent(Normed())
    to_onnx(layer, path)
    xs = np.random.default_rng(0).standard_normal((7, 3, I)).astype(np.float32)
    whole = run(path, xs=xs)
    first = run(path, xs=xs[:3])
    state = {name.removeprefix("new_"): array for name, array in first.items() if name.startswith("new_")}
    assert set(state) == {"state.h", "state.count"}
    rest = run(path, xs=xs[3:], **state)
    np.testing.assert_allclose(np.concatenate([first["ys"], rest["ys"]]), whole["ys"], atol=1e-6)
    with ts.disable_compile():
        np.testing.assert_allclose(whole["ys"], layer(ts.tensor(xs))[0].detach().numpy(), atol=1e-5)
    to_onnx(layer, path, step=True)  # the same, one step per call
    one = run(path, xs=xs[3], **state)
    np.testing.assert_allclose(one["ys"], whole["ys"][3], atol=1e-6)
    assert "Scan" not in nodes_of(path)


class Flagged(nn.Module):
    """A layer with a mask, another with resets."""

    def __init__(self) -> None:
        self.first, self.second = nn.Recurrent(nn.MGUCell(I, H), bidirectional=True), nn.GRU(2 * H, 3)

    def forward(self, xs, mask, reset):
        return self.second(self.first(xs, mask=mask)[0], reset=reset)[0]


def test_masks_and_resets(path: Path) -> None:
    flags = np.array([[True, False]] * 2)
    to_onnx(Flagged(), path, (XS, flags, flags))


class Decaying(nn.Cell):
    """A cell that reads two arrays: values, and the time since the last ones."""

    state_shape = (I,)

    def forward(self, x, h):
        values, passed = x
        h = ts.exp(-ts.abs(passed))[:, None] * h + values
        return h, h


def test_trees_of_inputs(path: Path) -> None:
    xs = (XS, np.zeros((T, N), np.float32))
    to_onnx(nn.Recurrent(Decaying()), path, {"xs": xs}, axes={"xs.1": ("T", "N")}, lengths=True)
    assert [each.name for each in onnx.load(path).graph.input][:2] == ["xs.0", "xs.1"]


W = ts.ones((I, I)) / 3
STEPS: dict[str, tuple[Callable[..., Any], Callable[[int], Any]]] = {
    "swapped": (lambda c, x: ((c[1] + x, c[0]), c[0]), lambda n: (ts.zeros((n, I)), ts.ones((n, I)))),
    "passed on": (lambda c, x: ((c[0], c[1] + c[0] * x), c[1]), lambda n: (ts.ones((n, I)), ts.zeros((n, I)))),
    "not read": (lambda c, x: (x, x * 2), lambda n: ts.zeros((n, I))),
    "old carry": (lambda c, x: (c + x, c @ W), lambda n: ts.zeros((n, I))),
    "no output": (lambda c, x: (c @ W + x @ W, None), lambda n: ts.zeros((n, I))),
    "twice": (lambda c, x: (c + 1, (c, c, x)), lambda n: ts.zeros((n, I))),
    "integers": (lambda c, x: (c + (x > 0).any(axis=-1), c % 2 == 0), lambda n: ts.zeros(n, dtype="int64")),
    "a scan inside": (
        lambda c, x: (ts.scan(lambda d, w: (d * w + x, d), c, ts.arange(20.0))[0].tanh(), c),
        lambda n: ts.zeros((n, I)),
    ),
}


@pytest.mark.parametrize("name", STEPS)
def test_steps(name: str, path: Path) -> None:
    step, state = STEPS[name]
    to_onnx(step, path, XS, state=state)


# ----------------------------------------------------------------------------------------------------------- models


class Tied(nn.Module):
    """Tokens to logits, with one table for both, a causal attention and an embedding of positions."""

    batch_first = True

    def __init__(self) -> None:
        self.table, self.lstm = nn.Embedding(10, 8), nn.LSTM(8, 8, batch_first=True)
        self.attention, self.drop = nn.MultiheadAttention(8, 2, batch_first=True), nn.Dropout(0.5)
        self.places = nn.Parameter(ts.randn(60, 8))

    def forward(self, tokens, hx=None, lengths=None):
        xs = self.drop(self.table(tokens)) + self.places[: tokens.shape[1]]
        xs, _ = self.attention(xs, xs, xs, is_causal=True, lengths=lengths)
        ys, hx = self.lstm(xs, hx, lengths=lengths)
        return ys @ self.table.weight.T, hx


def test_a_model_with_tied_weights(path: Path) -> None:
    model = Tied()
    to_onnx(model, path, TOKENS, state=model.lstm.initial_state, lengths=True, metadata={"words": "a b"})
    file = onnx.load(path)
    assert {each.key: each.value for each in file.metadata_props}["words"] == "a b"
    assert [tuple(each.dims) for each in file.graph.initializer].count((10, 8)) == 1
    assert file.producer_name == "tinygrad_seq"


def test_the_mode_of_a_model_does_not_matter_and_stays(path: Path) -> None:
    model = LanguageModel(10, 4, 8, num_layers=2, dropout=0.5, cell="gru")
    model.decoder.eval()
    to_onnx(model, path, TOKENS)
    assert (model.training, model.dropout.training, model.decoder.training) == (True, True, False)


class EncoderDecoder(nn.Module):
    """Two lengths, S and T, and attention from one loop to the outputs of another."""

    def __init__(self) -> None:
        self.encoder = nn.GRU(I, H, bidirectional=True)
        self.decoder = nn.AttentionDecoder(nn.GRUCell(I + 2 * H, H), nn.AdditiveAttention(H, 2 * H, 5))

    def forward(self, source, target, lengths):
        memory, _ = self.encoder(source, lengths=lengths)
        return self.decoder(target, memory, memory_lengths=lengths)[0]


def test_two_lengths(path: Path) -> None:
    axes = {"source": ("T", "N", None), "target": ("L", "N", None)}
    to_onnx(EncoderDecoder(), path, {"source": XS, "target": XS}, axes=axes, lengths=True)


@pytest.mark.parametrize("step", [False, True])
def test_language_model(step: bool, path: Path) -> None:
    model = LanguageModel(10, 4, 8, num_layers=2, cell=nn.LayerNormLSTMCell)
    to_onnx(model, path, TOKENS, state=model.recurrent.initial_state, step=step)


@pytest.mark.parametrize("precision", ["int8", "bfloat16"])
def test_quantised_models(precision: str, path: Path) -> None:
    model = ts.quantize(LanguageModel(10, 4, 8, cell="gru"), precision)
    to_onnx(model, path, TOKENS)
    (scan,) = [node for node in onnx.load(path).graph.node if node.op_type == "Scan"]
    inside = {node.op_type for node in scan.attribute[0].g.node}
    assert ("MatMulInteger" in inside) == (precision == "int8")


def test_fixed_scales(path: Path) -> None:
    with ts.disable_compile():
        model = ts.quantize(nn.LSTM(I, H), "int8", [ts.randn(5, 2, I)])
    to_onnx(model, path)
    (scan,) = [node for node in onnx.load(path).graph.node if node.op_type == "Scan"]
    assert "ReduceMax" not in {node.op_type for node in scan.attribute[0].g.node}


def test_random_cells() -> None:
    counts = random_onnx.main(12)
    assert counts["exported"] >= 8, counts


# --------------------------------------------------------------------------------------------------------- refusals


class Asks(nn.Module):
    def forward(self, xs):
        return xs if xs.sum() > 0 else -xs


class Loops(nn.Module):
    def forward(self, xs):
        return sum(x for x in xs)


class Draws(nn.Module):
    def forward(self, xs):
        return xs + ts.randn(4)


class Nothing(nn.Module):
    def forward(self, xs):
        return None


class Cuts(nn.Module):
    def forward(self, xs):
        return xs[:512] * 2


class CutsInPython(nn.Module):
    def forward(self, xs):
        return xs[: min(len(xs), 50)] * 2


class AsksForEvenSizes(nn.Module):
    def forward(self, xs):
        return xs if len(xs) % 2 else -xs


class RunningMaximum(nn.Module):
    def forward(self, xs):
        return ts.cummax(xs, axis=0)


REFUSALS: dict[str, tuple[Callable[[], Any], dict[str, Any], str]] = {
    "stateful": (lambda: nn.LSTM(I, H, stateful=True), {}, "stateful"),
    "no module": (lambda: 3, {}, "expected a module, a cell or a step"),
    "no example": (Loops, {}, "expected inputs= for Loops"),
    "no carry": (lambda: lambda c, x: (c, x), {"inputs": XS}, "expected the initial carry"),
    "unknown argument": (
        Loops,
        {"inputs": {"ys": XS}},
        "expected the arguments of Loops, xs, got 'ys'",
    ),
    "no lengths": (Loops, {"inputs": XS, "lengths": True}, "got 'lengths'"),
    "axes": (Loops, {"inputs": XS, "axes": {"xs": ("T",)}}, "with 3 entries"),
    "no function": (lambda: nn.GRU(I, H), {"state": 3}, "function of the batch size, got 3"),
    "metadata": (lambda: nn.GRU(I, H), {"metadata": {"a": 3}}, "metadata of str by str"),
    "no results": (Nothing, {"inputs": XS}, "to return arrays, got none"),
    "wrong dtype": (lambda: LanguageModel(9), {"inputs": XS[0]}, "expected integer indices.*Pass other examples"),
    "backwards": (lambda: nn.GRU(I, H, bidirectional=True), {"step": True}, "goes forwards only"),
    "held": (lambda: nn.GRU(I, H, masked_output="held"), {"lengths": True}, "masked_output='zeros'"),
    "control flow": (Asks, {"inputs": XS}, r"test_onnx_export.py:\d+: return xs if xs.sum"),
    "unrolled": (Loops, {"inputs": XS}, r"parts of an array.*test_onnx_export.py:\d+: return sum"),
    "a far end": (Cuts, {"inputs": XS}, r"a slice that cuts .*\[None:512\] at .*test_onnx_export.py:\d+: return xs"),
    "random": (Draws, {"inputs": XS}, "draws no random numbers"),
    "no such node": (RunningMaximum, {"inputs": XS}, r"'cummax' at .*:\d+: return ts.cummax.*ts.scan"),
}


@pytest.mark.parametrize("name", REFUSALS)
def test_refusals(name: str, path: Path) -> None:
    make, options, text = REFUSALS[name]
    with pytest.raises((ArgumentError, ShapeError), match=f"^to_onnx: .*{text}"):
        to_onnx(make(), path, **options)
    assert not path.exists()


@pytest.mark.parametrize(("make", "size"), [(CutsInPython, 97), (AsksForEvenSizes, 6)])
def test_what_differs_at_some_sizes_only(make: Any, size: int, path: Path) -> None:
    with pytest.raises(VerificationError, match=rf"'T': {size}.*nothing was written"):
        to_onnx(make(), path, XS)


def test_a_path_that_cannot_be_written(tmp_path: Path) -> None:
    for path in (tmp_path, tmp_path / "no" / "model.onnx"):
        with pytest.raises(TinygradSeqError, match="to_onnx: expected a path that can be written"):
            to_onnx(nn.LSTM(I, H), path)


def test_a_missing_extra(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "onnxruntime", None)
    with pytest.raises(ArgumentError, match=r"pip install 'tinygrad-seq\[onnx\]'"):
        to_onnx(nn.LSTM(I, H), path)


def test_a_wrong_translation_is_found_and_nothing_written(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(OPERATIONS, TABLE["tanh"], OPERATIONS[TABLE["sigmoid"]])
    with pytest.raises(VerificationError, match="nothing was written"):
        to_onnx(nn.Recurrent(nn.MGUCell(I, H)), path)
    assert not path.exists()
