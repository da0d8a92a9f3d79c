"""What PyTorch code calls on modules, layers and optimisers: hooks, buffers, containers, packing, closures."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Iterator
from contextlib import nullcontext
from typing import Any

import numpy as np
import pytest

import tinygrad_seq as ts
from tinygrad_seq import nn, optim
from tinygrad_seq.errors import ArgumentError, CompileWarning, DtypeError, ShapeError


@pytest.fixture(autouse=True)
def step_by_step(request: pytest.FixtureRequest) -> Iterator[None]:
    with nullcontext() if "step_by_step" in request.node.name else ts.disable_compile():
        yield


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.inner = nn.Linear(2, 2)
        self.register_buffer("mean", ts.zeros(2))
        self.register_buffer("cache", ts.ones(1), persistent=False)
        self.scale = nn.Parameter(ts.ones(2))
        self.register_parameter("none", None)

    def forward(self, x: Any, times: float = 1) -> Any:
        return self.inner(x) * self.scale * times


def test_own_parameters_come_first() -> None:
    net = nn.Sequential(Net(), nn.Linear(2, 1))
    names = ["0.scale", "0.inner.weight", "0.inner.bias", "1.weight", "1.bias"]
    assert [name for name, _ in net.named_parameters()] == names
    assert list(net.state_dict()) == ["0.scale", "0.mean", *names[1:]]
    assert next(name for name, _ in net.named_parameters("net")) == "net.0.scale"
    assert [name for name, _ in net[0].named_parameters(recurse=False)] == ["scale"]
    assert [name for name, _ in net.named_buffers()] == ["0.mean", "0.cache"]
    assert [name for name, _ in net.named_children()] == ["0", "1"]
    assert [name for name, _ in net.named_modules(prefix="net")] == ["net", "net.0", "net.0.inner", "net.1"]
    inner: Any = net.get_submodule("0.inner")
    assert net.get_parameter("0.inner.weight") is inner.weight
    assert next(iter(net.state_dict(prefix="model."))) == "model.0.scale"
    with pytest.raises(ArgumentError, match="expected the name of a Buffer"):
        net.get_buffer("0.scale")


def test_registering() -> None:
    net: Any = Net()
    other: Any
    for other in (net, copy.deepcopy(net), pickle.loads(pickle.dumps(net))):
        assert [other.mean.persistent, other.cache.persistent] == [True, False]
        assert "cache" not in other.state_dict()
    assert net.double().cache.dtype == np.float64
    net.register_module("more", nn.Linear(2, 1))
    net.add_module("more", None)
    for call in (
        lambda: net.register_buffer("inner", ts.ones(1)),
        lambda: net.register_buffer("a.b", ts.ones(1)),
        lambda: net.register_buffer("late", None),
        lambda: net.register_parameter("forward", nn.Parameter([1.0])),
        lambda: net.add_module("x", 3),
    ):
        with pytest.raises(ArgumentError, match=r"^Net"):
            call()


def test_hooks() -> None:
    net, seen = Net(), list[Any]()
    x = ts.ones((1, 2))
    plain = net(x).numpy()
    first = net.register_forward_pre_hook(lambda module, args: (args[0] * 2,))
    second = net.register_forward_hook(lambda module, args, output: seen.append((args[0].tolist(), output.shape)))
    third = net.register_forward_hook(
        lambda module, args, kwargs, output: output * kwargs.get("times", 0), with_kwargs=True, prepend=True
    )
    y = net(x, times=3.0)
    np.testing.assert_allclose(y.numpy(), 9 * (net.inner(2 * x) * net.scale).numpy(), rtol=1e-6)
    assert seen == [([[2, 2]], (1, 2))]
    for handle in (first, second, third):
        handle.remove()
    np.testing.assert_array_equal(net(x).numpy(), plain)
    assert len(seen) == 1
    with pytest.raises(ArgumentError, match=r"^GRUCell: expected a layer .* name the value with ts.tag"):
        nn.GRUCell(2, 2).register_forward_hook(print)


def test_hooks_inside_a_cell_make_its_scan_run_step_by_step() -> None:
    class Own(nn.Cell):
        def __init__(self) -> None:
            self.state_shape, self.net, self.shapes = (2,), nn.Linear(2, 2), list[Any]()

        def forward(self, x: Any, h: Any) -> Any:
            h = ts.tanh(self.net(x) + h)
            return h, h

    cell = Own()
    cell.net.register_forward_hook(lambda module, args, output: cell.shapes.append(output.numpy().shape))
    with pytest.warns(CompileWarning, match="Linear: expected to run its forward hooks"):
        nn.Recurrent(cell)(ts.ones((3, 1, 2)))
    assert cell.shapes == [(1, 2)] * 3


def test_placement() -> None:
    net = Net()
    assert net.cpu() is net.to("cpu") is net.to(device="cpu") is net.float() is net
    assert net.to("cpu", np.float64).scale.dtype == np.float64
    assert net.to(ts.zeros(1)).scale.dtype == np.float32
    assert net.to(dtype="float64", non_blocking=True).scale.dtype == np.float64
    for bad in ("cuda", "cuda:1"):
        with pytest.raises(ArgumentError, match="expected device None or 'cpu'"):
            net.to(bad)
    with pytest.raises(DtypeError, match="expected float32 or float64, got float16"):
        net.to(np.float16)
    for build in (nn.Linear, nn.Embedding):
        assert build(2, 3, device="cpu", dtype="float64").weight.dtype == np.float64
        with pytest.raises(ArgumentError, match="expected device None or 'cpu', got 'cuda'"):
            build(2, 3, device="cuda")


def test_containers() -> None:
    a, b, c = (nn.Linear(2, n) for n in (1, 2, 3))
    layers: Any = nn.ModuleList([a, b])
    layers += [c]
    layers.insert(1, nn.Tanh())
    assert [type(each).__name__ for each in layers] == ["Linear", "Tanh", "Linear", "Linear"]
    assert [name for name, _ in layers.named_parameters()][2:4] == ["2.weight", "2.bias"]
    del layers[1]
    layers[0] = nn.Linear(2, 5)
    assert (len(layers), layers[-1], layers[1:][0]) == (3, c, b)
    assert layers[0].out_features == 5
    named = nn.Sequential({"first": a, "last": nn.Tanh()})
    assert [name for name, _ in named.named_parameters()] == ["first.weight", "first.bias"]
    assert len(named.append(nn.Tanh())) == 3
    assert list(nn.Sequential(nn.Tanh(), b)[1:].state_dict()) == ["1.weight", "1.bias"]
    heads: Any = nn.ModuleDict({"tag": a})
    heads.update([("word", b)])
    assert (list(heads), "tag" in heads, heads.pop("tag"), len(heads)) == (["tag", "word"], True, a, 1)
    with pytest.raises(ArgumentError, match="to register, got 'keys', which the module has"):
        heads["keys"] = c
    with pytest.raises(KeyError):
        del heads["tag"]
    weights: Any = nn.ParameterDict({"w": ts.ones(2)})
    assert weights["w"].requires_grad
    assert [p.shape for p in nn.ParameterList([ts.ones(2), nn.Parameter([1.0])]).parameters()] == [(2,), (1,)]


class TorchTensor:
    """What a tensor of PyTorch offers: NumPy can read neither one with a gradient nor one in bfloat16."""

    def __init__(self, values: Any, dtype: str, requires_grad: bool = True) -> None:
        self.values, self.dtype, self.requires_grad = np.asarray(values), f"torch.{dtype}", requires_grad

    def detach(self) -> TorchTensor:
        return TorchTensor(self.values, self.dtype.removeprefix("torch."), False)

    def cpu(self) -> TorchTensor:
        return self

    def float(self) -> TorchTensor:
        return TorchTensor(self.values.astype(np.float32), "float32", self.requires_grad)

    def __array__(self, dtype: Any = None, copy: Any = None) -> np.ndarray:
        if self.requires_grad:
            raise RuntimeError("Can't call numpy() on Tensor that requires grad.")
        if self.dtype == "torch.bfloat16":
            raise TypeError("Got unsupported ScalarType BFloat16")
        return self.values


def test_state_dicts_of_pytorch() -> None:
    values = np.array([[0.5, -1.25]], np.float32)
    for weight in (TorchTensor(values, "float32"), TorchTensor(values, "bfloat16"), values.astype(np.float16)):
        layer = nn.Linear(2, 1)
        found = layer.load_state_dict({"weight": weight, "other": values}, strict=False)
        assert layer.weight.tolist() == values.tolist()
        assert (found.missing_keys, found.unexpected_keys) == (["bias"], ["other"])
    with pytest.raises(ArgumentError) as error:
        nn.Linear(2, 1).load_state_dict({"weight": np.ones((1, 3), np.float16), "more": values})
    for part in ("missing ['bias']", "unexpected ['more']", "'weight' expected (1, 2) float32, got (1, 3) float32"):
        assert part in str(error.value)


def test_hx_and_packed_sequences(rng: np.random.Generator) -> None:
    rnn, lengths = nn.utils.rnn, [2, 4, 1]
    for batch_first, merge in ((False, "concat"), (True, None)):
        options: Any = {"bidirectional": True, "batch_first": batch_first, "merge": merge, "dtype": "float64"}
        layer: Any = nn.LSTM(2, 3, 2, **options)
        xs = rng.standard_normal((3, 4, 2) if batch_first else (4, 3, 2))
        state = tuple(ts.tensor(rng.standard_normal((4, 3, 3)), requires_grad=True) for _ in range(2))
        packed = rnn.pack_padded_sequence(xs, lengths, batch_first, enforce_sorted=False)
        assert packed.batch_sizes.tolist() == [3, 2, 1, 1]
        assert packed.lengths.tolist() == lengths
        ys, last = layer(packed, hx=state)
        expected, final = layer(xs, state, lengths=lengths)
        pairs = zip(ys, expected, strict=True) if merge is None else [(ys, expected)]
        for one, whole in pairs:
            padded, counts = rnn.pad_packed_sequence(one, batch_first)
            np.testing.assert_array_equal(padded.numpy(), whole.numpy())
            assert counts.tolist() == lengths
        for got, want in zip(last, final, strict=True):
            np.testing.assert_array_equal(got.numpy(), want.numpy())
    sequences = [ts.tensor(rng.standard_normal((n, 2)), requires_grad=True) for n in (3, 1)]
    packed = rnn.pack_sequence(sequences)
    (packed.data * packed.data).sum().backward()
    np.testing.assert_allclose(sequences[1].grad.numpy(), 2 * sequences[1].numpy())  # type: ignore[union-attr]
    padded = rnn.pad_sequence(sequences, padding_value=7.0, padding_side="left")
    assert padded[:2, 1].tolist() == [[7, 7], [7, 7]]
    for got, want in zip(rnn.unpad_sequence(rnn.pad_sequence(sequences), [3, 1]), sequences, strict=True):
        np.testing.assert_array_equal(got.numpy(), want.numpy())
    with pytest.raises(ArgumentError, match=r"descending order, got \[1, 2\]; pass enforce_sorted=False"):
        rnn.pack_padded_sequence(np.ones((2, 2)), [1, 2])
    gru = nn.GRU(2, 3)
    with pytest.raises(ArgumentError, match="GRU: expected state or hx, got both"):
        gru(ts.ones((2, 1, 2)), ts.zeros((1, 1, 3)), hx=ts.zeros((1, 1, 3)))
    with pytest.raises(ArgumentError, match="expected packed sequences alone, got lengths"):
        gru(rnn.pack_sequence([ts.ones((2, 2))]), lengths=[2])


def test_merging_directions(rng: np.random.Generator) -> None:
    layers: dict[Any, Any] = {how: nn.GRU(2, 3, bidirectional=True, merge=how) for how in ("concat", "mul", None)}
    xs = rng.standard_normal((4, 2, 2)).astype(np.float32)
    for layer in layers.values():
        layer.load_state_dict(layers["concat"].state_dict())
    whole = layers["concat"](xs)[0]
    pair, _ = layers[None](xs)
    np.testing.assert_array_equal(np.concatenate([part.numpy() for part in pair], -1), whole.numpy())
    np.testing.assert_array_equal(layers["mul"](xs)[0].numpy(), (pair[0] * pair[1]).numpy())
    assert [part.shape for part in layers[None](xs[:, 0])[0]] == [(4, 3)] * 2
    assert [part.shape for part in layers[None].inspect(xs).ys] == [(4, 2, 3)] * 2
    both = nn.Recurrent([nn.GRUCell(2, 3), nn.GRUCell(6, 3)], bidirectional=True, merge=None)
    assert [part.shape for part in both(xs)[0]] == [(4, 2, 3)] * 2


def test_vectors_of_parameters() -> None:
    layer, other = nn.Linear(3, 2), nn.Linear(3, 2)
    vector = nn.utils.parameters_to_vector(layer.parameters())
    (vector * vector).sum().backward()
    np.testing.assert_allclose(layer.bias.grad.numpy(), 2 * layer.bias.numpy())  # type: ignore[union-attr]
    nn.utils.vector_to_parameters(vector, other.parameters())
    np.testing.assert_array_equal(other.weight.numpy(), layer.weight.numpy())
    with pytest.raises(ShapeError, match=r"expected a vector \(8,\)"):
        nn.utils.vector_to_parameters(ts.zeros(7), other.parameters())


def test_options_without_a_meaning_here_are_refused() -> None:
    x = ts.ones((1, 2))
    cases: list[Any] = [
        lambda: nn.ReLU(inplace=True),
        lambda: nn.Dropout(0.5, True),
        lambda: nn.Embedding(3, 2, max_norm=1.0),  # type: ignore[arg-type]
        lambda: nn.Embedding(3, 2, sparse=True),
        lambda: nn.MultiheadAttention(4, 2, add_bias_kv=True),
        lambda: nn.CrossEntropyLoss(None, False),
        lambda: nn.Softmax()(ts.ones((2, 2, 2))),
        lambda: nn.BatchNorm1d(2)(ts.ones((1, 2))),
        lambda: nn.BatchNorm1d(2)(ts.ones((4, 3))),
        lambda: nn.Conv1d(2, 3, 2, groups=2),
        lambda: nn.functional.scaled_dot_product_attention(x, x, x, ts.ones((1, 1)), is_causal=True),
        lambda: nn.PositionalEncoding(2, max_len=3)(ts.ones((4, 1, 2))),
        lambda: optim.SGD([ts.zeros(1)]).step(1.0),  # type: ignore[call-overload]
        lambda: optim.SGD([ts.zeros(1)]).step(lambda: 0, max_norm=1.0),  # type: ignore[call-overload]
        lambda: optim.LBFGS([ts.zeros(1)]).step(),
        lambda: optim.LBFGS([{"params": [ts.zeros(1)]}, {"params": [ts.zeros(1)]}]),
        lambda: optim.lr_scheduler.OneCycleLR(optim.Adagrad([ts.zeros(1)]), 0.1, 5),
        lambda: optim.Rprop([ts.zeros(1)], etas=(1.0, 2.0)),
    ]
    for call in cases:
        with pytest.raises((ArgumentError, ShapeError), match=r"expected .* got"):
            call()


def test_batch_norm_in_training_makes_its_scan_run_step_by_step() -> None:
    norm = nn.BatchNorm1d(2)
    with pytest.warns(CompileWarning, match="BatchNorm1d: expected to add a batch"):
        ts.scan(lambda h, x: (h + norm(x), h), ts.zeros((3, 2)), ts.randn(4, 3, 2))
    assert norm.get_buffer("num_batches_tracked").item() == 4
    assert norm(np.ones((2, 2), np.float32)).shape == (2, 2)  # type: ignore[arg-type]


def test_factors_of_losses_are_buffers() -> None:
    loss = nn.CrossEntropyLoss(weight=[1.0, 2.0])
    assert list(loss.state_dict()) == ["weight"]
    assert list(nn.BCEWithLogitsLoss(pos_weight=[3.0]).state_dict()) == ["pos_weight"]
    assert loss.double()(ts.zeros((1, 2), "float64"), [1]).dtype == np.float64


def test_closures_and_gradients_set_to_zero() -> None:
    w = ts.tensor([1.0], requires_grad=True)
    optimizer = optim.SGD([w], lr=0.5)

    def closure() -> Any:
        optimizer.zero_grad(set_to_none=False)
        loss = (w * w).sum()
        loss.backward()
        return loss

    with ts.no_grad():
        assert optimizer.step(closure).item() == 1
    assert w.item() == 0
    optimizer.zero_grad(set_to_none=False)
    assert w.grad.tolist() == [0]  # type: ignore[union-attr]


def test_positions() -> None:
    encoding = nn.PositionalEncoding(5, dropout=0.0, max_len=7, batch_first=True)
    assert encoding.get_buffer("pe").shape == (7, 1, 5)
    added = encoding(ts.zeros((2, 3, 5))).numpy()
    t, i = np.arange(3)[:, None], np.arange(5)
    angles = t / 10000 ** (i // 2 * 2 / 5)
    np.testing.assert_allclose(added[1], np.where(i % 2, np.cos(angles), np.sin(angles)), atol=1e-6)


def test_embedding_from_a_table() -> None:
    layer = nn.Embedding.from_pretrained([[1.0, 2.0], [3.0, 4.0]], padding_idx=1)
    assert not layer.weight.requires_grad
    assert layer([1]).tolist() == [[3, 4]]
    assert nn.Embedding.from_pretrained(ts.ones((2, 2)), freeze=False).weight.requires_grad


def test_initial_values() -> None:
    init, x = nn.init, ts.zeros((40, 300))
    for mode, fan in (("fan_in", 300), ("fan_out", 40)):
        deviation = np.sqrt(2 / 6 / fan)  # gain sqrt(2 / (1 + 5))
        assert init.kaiming_normal_(x, np.sqrt(5), mode).numpy().std() == pytest.approx(deviation, rel=0.05)
        assert abs(init.kaiming_uniform_(x, np.sqrt(5), mode).numpy()).max() == pytest.approx(
            np.sqrt(3) * deviation, rel=0.01
        )
    assert init.kaiming_uniform_(x, a=0, mode="fan_in", nonlinearity="relu").shape == (40, 300)
    low, high = (fold(init.uniform_(x, a=-3.0, b=-2.0).numpy()) for fold in (np.min, np.max))
    assert -3 <= low < high <= -2
    assert init.constant_(x, val=3.0).numpy().max() == 3
    values = init.trunc_normal_(x, 1.0, 2.0, 0.0, 3.0).numpy()
    assert (values.min() >= 0) & (values.max() <= 3)
    assert values.mean() == pytest.approx(1.41, abs=0.05)  # of a normal distribution cut at -1/2 and 1 deviations
    assert init.eye_(ts.zeros((2, 3))).tolist() == [[1, 0, 0], [0, 1, 0]]
    with pytest.raises(ArgumentError, match="expected mode 'fan_in' or 'fan_out', got 'fan'"):
        init.kaiming_normal_(x, mode="fan")
    assert init.calculate_gain("conv1d") == 1
