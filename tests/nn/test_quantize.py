"""`quantize`: values, compiled and step by step, saving and copying, threads, and what it refuses."""

from __future__ import annotations

import copy
import pickle
import threading
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import tinygrad_seq as ts
from tests.grad_of import grad_of
from tests.nn.test_cell_library import ROWS
from tests.test_autocast import LAYERS, H, I, N, T
from tinygrad_seq import nn
from tinygrad_seq.errors import ArgumentError, DtypeError, GraphError, ShapeError
from tinygrad_seq.nn.module.quantised import FixedScale, Int8Table

# Root mean square and largest difference, relative to the largest value: from float32, and of the two paths, which may
# split a product of joined operands, so that each part has a scale of its own.
TOLERANCE = {"int8": (0.02, 0.2), "bfloat16": (0.01, 0.06)}
PRECISIONS = tuple(TOLERANCE)


def scaled_to_int8(x: np.ndarray, axis: int) -> tuple[np.ndarray, np.ndarray]:
    scale = np.abs(x).max(axis, keepdims=True) / 127
    return np.rint(x / scale), scale


def check_close(found: Any, expected: Any, precision: str) -> None:
    x, y = np.asarray(found), np.asarray(expected)
    typical, most = TOLERANCE[precision]
    scale = np.abs(y).max()
    assert np.sqrt(np.mean((x - y) ** 2)) <= typical * scale
    assert np.abs(x - y).max() <= most * scale


@pytest.fixture
def xs(rng) -> ts.Tensor:
    ts.manual_seed(0)
    return ts.tensor(rng.standard_normal((T, N, I)).astype("f4"))


def test_linear_is_the_product_of_integers(rng):
    layer, x = nn.Linear(40, 7), rng.standard_normal((3, 5, 40)).astype("f4")
    (rows, of_rows), (columns, of_columns) = scaled_to_int8(x, -1), scaled_to_int8(layer.weight.numpy().T, 0)
    expected = rows @ columns * of_rows * of_columns + dict(layer.named_parameters())["bias"].numpy()
    y = ts.quantize(layer, "int8")(ts.tensor(x))
    assert y.dtype == np.float32
    np.testing.assert_allclose(y.numpy(), expected, atol=1e-5)


def test_special_values():
    layer = ts.quantize(nn.Linear(4, 3, bias=False), "int8")
    x = np.array([[0, 0, 0, 0], [np.nan, 1, 1, 1], [np.inf, 1, 1, 1], [1e-42, 0, 0, 0], [3e38, 3e38, 0, 0]], "f4")
    y = layer(ts.tensor(x)).numpy()
    assert (y[0] == 0).all()
    assert not np.isfinite(y[1:3]).any()
    assert (np.abs(y[3]) <= 1e-38).all()
    np.testing.assert_allclose(y[4], x[4] @ layer.weight.numpy().T, rtol=0.05)


@pytest.mark.parametrize("precision", PRECISIONS)
def test_embedding_has_a_scale_per_row(precision):
    table = nn.Embedding(20, 16)
    small = ts.quantize(table, precision)
    rows = small(np.arange(20)).numpy()
    check_close(rows, table.weight.numpy(), precision)
    if precision == "int8":
        integers, scale = scaled_to_int8(table.weight.numpy(), 1)
        np.testing.assert_allclose(rows, integers * scale, rtol=1e-6)
    np.testing.assert_array_equal(ts.quantize(small, precision).weight.numpy(), rows)


class Tied(nn.Module):
    """The table is the matrix of the output layer."""

    def __init__(self) -> None:
        self.embedding, self.layer = nn.Embedding(20, H, padding_idx=0), nn.GRU(H, H)
        self.decoder = nn.Linear(H, 20)
        self.decoder.weight = self.embedding.weight

    def forward(self, tokens):
        return self.decoder(self.layer(self.embedding(tokens))[0])


class TiedByHand(Tied):
    def forward(self, tokens):
        return ts.linear(self.layer(self.embedding(tokens))[0], self.embedding.weight)


def test_tables_are_held_as_int8():
    table = nn.Embedding(1000, 64, padding_idx=3)
    small = ts.quantize(table, "int8")
    assert isinstance(small.weight, Int8Table)
    assert (small(3).numpy() == 0).all()
    rows, more = small(np.arange(1000)).numpy(), {"weight": table.weight.numpy() * 2}
    for other in (copy.deepcopy(small), pickle.loads(pickle.dumps(small)), small.float()):
        np.testing.assert_array_equal(other(np.arange(1000)).numpy(), rows)
    copied = nn.Embedding(1000, 64, padding_idx=3)
    copied.load_state_dict(small.state_dict())
    np.testing.assert_array_equal(copied.weight.numpy(), rows)
    copied.load_state_dict(more)
    small.load_state_dict(more)
    np.testing.assert_array_equal(small.weight.numpy(), ts.quantize(copied, "int8").weight.numpy())
    assert sum(part.numpy().nbytes for part in vars(small.weight)["_held"]) == 1000 * (64 + 4)
    with pytest.raises(ShapeError, match="copy_"):
        small.weight.copy_(np.ones(3))


WRITES: dict[str, Callable[[ts.Tensor], Any]] = {
    "x[0] = 5": lambda x: x.__setitem__(0, 5.0),
    "x[0][1] = 5": lambda x: x[0].__setitem__(1, 5.0),
    "x.T": lambda x: x.T.__setitem__(1, 5.0),
    "x.data": lambda x: x.data.__setitem__(0, 5.0),
    "x += 1": lambda x: x.__iadd__(1.0),
}


@pytest.mark.parametrize("write", WRITES)
def test_a_changed_table_is_a_plain_parameter(write):
    ts.manual_seed(0)
    small = ts.quantize(nn.Embedding(20, 16), "int8")
    plain = nn.Parameter(small.weight.numpy(), requires_grad=False)
    with ts.no_grad():
        WRITES[write](small.weight)
        WRITES[write](plain)
    assert type(small.weight) is nn.Parameter
    np.testing.assert_array_equal(small(np.arange(20)).numpy(), plain.numpy())
    np.testing.assert_array_equal(copy.deepcopy(small).weight.numpy(), plain.numpy())


def test_a_table_that_is_trained_again():
    small = ts.quantize(nn.Embedding(20, 16), "int8").requires_grad_()
    rows = small.weight.numpy()
    small._precision = "float32"
    small([1, 1]).sum().backward()
    np.testing.assert_array_equal(small.weight.numpy(), rows)
    assert grad_of(small.weight).numpy().sum() == 32


@pytest.mark.parametrize("make", [Tied, TiedByHand])
@pytest.mark.parametrize("calibrated", [False, True])
def test_tied_tables(make, calibrated, rng):
    ts.manual_seed(0)
    model, tokens = make().eval(), rng.integers(0, 20, (T, N))
    small = ts.quantize(model, "int8", [tokens] if calibrated else None)
    assert small.decoder.weight is small.embedding.weight
    with ts.no_grad():
        expected, found = model(tokens).numpy(), [small(tokens).numpy() for _ in range(3)]
    check_close(found[0], expected, "int8")
    for each in found[1:]:
        np.testing.assert_array_equal(each, found[0])
    with ts.disable_compile():
        check_close(small(tokens).numpy(), found[0], "int8")
    state = small.state_dict()
    assert {value.dtype for value in state.values()} == {np.dtype(np.float32)}
    assert type(small.embedding.weight) is (FixedScale if calibrated else nn.Parameter)
    np.testing.assert_array_equal(state["decoder.weight"], state["embedding.weight"])
    assert small.load_state_dict(state) == ([], [])


def test_a_table_inside_a_step(rng):
    class Reader(nn.Cell):
        def __init__(self) -> None:
            self.state_shape = (H,)
            self.table, self.own = nn.Embedding(20, I), nn.Linear(I + H, H)

        def forward(self, token, h):
            h = self.own(ts.concat([self.table(token), h], axis=-1)).tanh()
            return h, h

    layer, tokens = nn.Recurrent(Reader()), rng.integers(0, 20, (T, N))
    small = ts.quantize(layer, "int8")
    with ts.no_grad():
        found = small(tokens)[0].numpy()
        check_close(found, layer(tokens)[0].numpy(), "int8")
    with ts.disable_compile():
        check_close(small(tokens)[0].numpy(), found, "int8")


@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize("name", LAYERS)
def test_layers(name, precision, xs):
    layer = LAYERS[name]()
    before = {name: value.copy() for name, value in layer.state_dict().items()}
    small = ts.quantize(layer, precision)
    with ts.no_grad():
        expected, found = layer.eval()(xs)[0].numpy(), small(xs)[0].numpy()
    check_close(found, expected, precision)
    assert not np.array_equal(found, expected)
    assert not small.training
    assert not any(parameter.requires_grad for parameter in small.parameters())
    with ts.disable_compile():
        check_close(small(xs)[0].numpy(), found, precision)
    for key, value in layer.state_dict().items():
        np.testing.assert_array_equal(value, before[key])
        assert small.state_dict()[key].dtype == np.float32
    for parameter in layer.parameters():
        assert parameter.requires_grad


@pytest.mark.parametrize("name", ROWS)
def test_cells_of_the_library(name):
    """Every cell can be quantised; some states go far beyond what its weights give, so only a step is compared."""
    ts.manual_seed(0)
    cell = ROWS[name].make().float()
    if cell.input_size is None or not list(cell.parameters()):
        return
    x, state = ts.randn(5, cell.input_size) / 2, cell.initial_state(5)
    expected, found = cell.eval()(x, state)[0].detach().numpy(), ts.quantize(cell, "int8")(x, state)[0].numpy()
    assert np.abs(found - expected).max() <= 0.1 * np.abs(expected).max()


@pytest.mark.parametrize("precision", PRECISIONS)
def test_streams_samples_and_copies_agree(precision, xs):
    small = ts.quantize(nn.Recurrent(nn.StackedCell(nn.GRUCell(I, H), nn.LSTMCell(H, H))), precision)
    expected = small(xs)[0].numpy()
    stream = small.stream(N)
    found = np.stack([stream(x).numpy() for x in xs])
    np.testing.assert_allclose(found, expected, atol=1e-6)
    with ts.no_grad():
        np.testing.assert_allclose(small.inspect(xs).ys.numpy(), expected, atol=1e-6)
    for other in (copy.deepcopy(small), pickle.loads(pickle.dumps(small))):
        np.testing.assert_array_equal(other(xs)[0].numpy(), expected)


def test_the_model_and_its_copies_share_nothing(xs):
    layer = nn.LSTM(I, H)
    full = layer(xs)[0].numpy()
    small = {precision: ts.quantize(layer, precision) for precision in PRECISIONS}
    found = {precision: model(xs)[0].numpy() for precision, model in small.items()}
    np.testing.assert_array_equal(layer(xs)[0].numpy(), full)
    layer.weight_hh_l0.data[...] = 0
    for precision, model in small.items():
        np.testing.assert_array_equal(model(xs)[0].numpy(), found[precision])
        check_close(found[precision], full, precision)


# ----------------------------------------------------------------------------------------------------- calibration


@pytest.mark.parametrize("name", ["lstm", "lstm, two layers, two directions, a projection", "user", "mlstm", "stack"])
def test_fixed_scales(name, xs):
    layer = LAYERS[name]()
    small = ts.quantize(layer, "int8", calibration=[xs, (xs[:2],)])
    dynamic = ts.quantize(layer, "int8")
    with ts.no_grad():
        expected, found = layer.eval()(xs)[0].numpy(), small(xs)[0].numpy()
    check_close(found, expected, "int8")
    assert not np.array_equal(found, dynamic(xs)[0].numpy())
    with ts.disable_compile():
        check_close(small(xs)[0].numpy(), found, "int8")
        if name == "lstm":  # no joined operands, whose parts meet columns with scales of their own
            np.testing.assert_allclose(small(xs)[0].numpy(), found, atol=2e-6)
    for other in (copy.deepcopy(small), pickle.loads(pickle.dumps(small)), ts.quantize(small, "int8")):
        np.testing.assert_array_equal(other(xs)[0].numpy(), found)
    for key, value in layer.state_dict().items():
        np.testing.assert_array_equal(small.state_dict()[key], value)


def test_scales_are_those_of_the_calibration():
    layer, x = nn.Linear(4, 3, bias=False), np.array([[0.5, -2, 1, 0], [8, 1, -30, 1]], "f4")
    small = ts.quantize(layer, "int8", calibration=iter([ts.tensor(x[:1]), ts.tensor(x[:1] / 2)]))
    numbers = np.rint(np.clip(x, -2, 2) * (127 / 2))
    columns, scale = scaled_to_int8(layer.weight.numpy().T, 0)
    np.testing.assert_allclose(small(ts.tensor(x)).numpy(), numbers @ columns * (2 / 127) * scale, atol=1e-5)
    unreached = ts.quantize(layer, "int8", [np.zeros((1, 4), "f4")])  # no scale: it stays dynamic
    np.testing.assert_array_equal(unreached(ts.tensor(x)).numpy(), ts.quantize(layer, "int8")(ts.tensor(x)).numpy())
    small.load_state_dict({"weight": layer.weight.numpy() * 2})
    np.testing.assert_allclose(small(ts.tensor(x)).numpy(), numbers @ columns * (4 / 127) * scale, atol=1e-5)


def test_a_scan_of_the_models_own(xs):
    class Own(nn.Module):
        def __init__(self) -> None:
            self.W, self.U = nn.Parameter(ts.randn(I, H) / 2), nn.Parameter(ts.randn(H, H) / 4)

        def forward(self, xs):
            def step(h, x):
                h = ts.tanh(x @ self.W + h @ self.U)
                return h, h

            return ts.scan(step, ts.zeros((N, H)), xs)[1]

    model = Own()
    small = ts.quantize(model, "int8", calibration=[xs])
    assert [parameter.largest_input for parameter in small.parameters() if isinstance(parameter, FixedScale)] == [
        pytest.approx(np.abs(xs.numpy()).max()),
        pytest.approx(np.abs(model(xs).detach().numpy()[:-1]).max()),
    ]
    found = small(xs).numpy()
    check_close(found, model(xs).detach().numpy(), "int8")
    with ts.disable_compile():
        np.testing.assert_allclose(small(xs).numpy(), found, atol=2e-6)


def test_saving(xs, tmp_path):
    layer = nn.Sequential(nn.Linear(I, H), nn.Tanh(), nn.Linear(H, 3))
    small = ts.quantize(layer, "int8")
    ts.save(small.state_dict(), tmp_path / "small.safetensors")
    other = nn.Sequential(nn.Linear(I, H), nn.Tanh(), nn.Linear(H, 3))
    other.load_state_dict(ts.load(tmp_path / "small.safetensors"))
    np.testing.assert_array_equal(other(xs).numpy(), layer(xs).numpy())
    np.testing.assert_array_equal(ts.quantize(other, "int8")(xs).numpy(), small(xs).numpy())


def test_threads(xs):
    layer = nn.GRU(I, H)
    models = [layer, ts.quantize(layer, "int8"), ts.quantize(layer, "bfloat16")]
    expected = [model(xs)[0].numpy() for model in models]
    wrong: list[int] = []

    def work(number: int) -> None:
        found = [models[number](xs)[0].numpy() for _ in range(20)]
        wrong.extend(number for ys in found if not np.array_equal(ys, expected[number]))

    threads = [threading.Thread(target=work, args=(number % 3,)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


@pytest.mark.parametrize("precision", PRECISIONS)
def test_packed_weights_are_those_of_the_array_that_was_read(precision, monkeypatch):
    """Another thread writes new weights after an operation has read the old ones."""
    small, x = ts.quantize(nn.Linear(8, 4, bias=False), precision), ts.ones((2, 8))
    current, old = ts.Tensor._current_stamp, small(x).numpy()

    def late(weight: ts.Tensor) -> Any:
        monkeypatch.undo()
        weight.copy_(np.zeros((4, 8)))
        return current(weight)

    monkeypatch.setattr(ts.Tensor, "_current_stamp", late)
    np.testing.assert_array_equal(small(x).numpy(), old)
    np.testing.assert_array_equal(small(x).numpy(), np.zeros((2, 4)))


@pytest.mark.parametrize("compile", [True, False])
def test_a_quantised_module_inside_autocast_keeps_its_precision(compile, xs):
    small = ts.quantize(nn.GRU(I, H), "int8")
    expected = small(xs)[0].numpy()
    with ts.autocast("bfloat16"):
        if compile:
            found = small(xs)[0].numpy()
        else:
            with ts.disable_compile():
                found = small(xs)[0].numpy()
    np.testing.assert_allclose(found, expected, atol=1e-6)


def test_a_cell_can_keep_its_products_in_float32(xs):
    class Exact(nn.Cell):
        def __init__(self) -> None:
            self.input_size, self.state_shape = I, (H,)
            self.new = nn.Linear(I + H, H)

        def forward(self, x, h):
            with ts.autocast("float32"):
                h = ts.linear(ts.concat([x, h], axis=-1), self.new.weight, self.new.bias).tanh()
            return h, h

    layer = nn.Recurrent(Exact())
    np.testing.assert_array_equal(ts.quantize(layer, "int8")(xs)[0].numpy(), layer(xs)[0].numpy())


class Projected(nn.Attention):
    """Keys by the attention's own matrix."""

    def __init__(self, query_size: int, memory_size: int) -> None:
        self.query_size, self.memory_size = query_size, memory_size
        self.keys = nn.Parameter(ts.randn(memory_size, query_size))

    def make_keys(self, memory: ts.Tensor) -> ts.Tensor:
        return memory @ self.keys

    def score(self, query: ts.Tensor, keys: ts.Tensor) -> ts.Tensor:
        return query @ keys.swapaxes(1, 2)


@pytest.mark.parametrize("make", [lambda: nn.MultiHeadAttention(I, 2), lambda: Projected(I, I)])
def test_a_memory_prepared_by_itself(make, xs):
    attention = make()
    small = ts.quantize(attention, "int8")
    memory, query = small.prepare(xs), xs.swapaxes(0, 1)
    expected = small(xs, xs, xs)[0] if isinstance(small, nn.MultiHeadAttention) else small(xs, xs)[0]
    found = small.attend(query, memory)[0].swapaxes(0, 1)
    np.testing.assert_array_equal(found.numpy(), expected.numpy())
    assert not np.array_equal(memory.keys.numpy(), attention.prepare(xs).keys.numpy())


# ----------------------------------------------------------------------------------------------------------- errors


def test_refused_arguments():
    with pytest.raises(ArgumentError, match=r"quantize: .*'int4'"):
        ts.quantize(nn.Linear(3, 4), "int4")
    with pytest.raises(ArgumentError, match=r"float32.*as it is"):
        ts.quantize(nn.Linear(3, 4), "float32")
    with pytest.raises(ArgumentError, match=r"expected a Module, got list"):
        ts.quantize([nn.Linear(3, 4)], "int8")  # type: ignore[type-var]
    for given, why in (
        (xs := ts.ones((2, 3)), r"an iterable of inputs.*got Tensor.*\[xs\]"),
        (3, "got int"),
        ([], "got none"),
        ([xs * np.nan], r"'weight' multiplies nan"),
    ):
        with pytest.raises(ArgumentError, match=f"quantize: .*calibration.*{why}"):
            ts.quantize(nn.Linear(3, 4), "int8", given)  # type: ignore[arg-type]
    with pytest.raises(ArgumentError, match=r"for int8 only.*'bfloat16'"):
        ts.quantize(nn.Linear(3, 4), "bfloat16", [xs])
    with pytest.raises(DtypeError, match=r"'1\.weight' .*float64"):
        ts.quantize(nn.Sequential(nn.Linear(3, 4), nn.Linear(4, 4).double()), "int8")
    small = nn.Sequential(nn.Linear(3, 4), ts.quantize(nn.Linear(4, 4), "int8"))
    with pytest.raises(DtypeError, match=r"Module\.to: expected a quantised Linear to stay float32.*int8"):
        small.double()
    assert {parameter.dtype for parameter in small.float().parameters()} == {np.dtype(np.float32)}


@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize(
    "make", [lambda: nn.LSTM(I, H), lambda: nn.Linear(I, H), lambda: nn.Recurrent(nn.GRUCell(I, H))]
)
def test_no_gradient_and_no_training(make: Callable[[], nn.Module], precision, xs):
    small = ts.quantize(make(), precision)
    x = xs.detach().requires_grad_()
    for switch in (lambda f: f, ts.disable_compile()):
        with pytest.raises(GraphError, match=r"quanti[sz]e.*without gradients"):
            switch(small)(x)
    with ts.no_grad():
        small(x)
    with pytest.raises(GraphError, match=r"evaluation mode"):
        small.train()(xs)
    with ts.no_grad():
        small(xs)
    small.eval()(xs)


def test_no_gradient_through_a_part_of_a_trained_step(xs):
    class Outer(nn.Cell):
        def __init__(self) -> None:
            self.input_size, self.state_shape = I, (H,)
            self.own, self.part = nn.Linear(I, H), ts.quantize(nn.Linear(H, H), "int8")

        def forward(self, x, h):
            h = (self.own(x) + self.part(h)).tanh()
            return h, h

    layer = nn.Recurrent(Outer())
    with ts.no_grad():
        layer(xs)
    with pytest.raises(GraphError, match=r"without gradients"):
        layer(xs)


class Stacked(nn.Cell):
    """Heads with a matrix each."""

    def __init__(self) -> None:
        self.input_size, self.state_shape = I, (H,)
        self.new, self.heads = nn.Linear(I, H), nn.Parameter(ts.randn(4, 4, 4))

    def forward(self, x, h):
        heads = ts.reshape(h, (-1, 4, 1, 4)) @ self.heads
        h = (self.new(x) + ts.reshape(heads, (-1, H))).tanh()
        return h, h


class OnTheLeft(Stacked):
    def forward(self, x, h):
        h = (self.new(x) + (self.new.weight @ ts.expand_dims(x, -1))[..., 0]).tanh()
        return h, h


class ByEinsum(Stacked):
    def forward(self, x, h):
        h = ts.einsum("ni,hi->nh", x, self.new.weight).tanh() * h
        return h, h


@pytest.mark.parametrize(
    ("cell", "why"),
    [(Stacked, r"'matmul'.*\(4, 4, 4\) is constant"), (OnTheLeft, r"'matmul'.*\(16, 8\)"), (ByEinsum, "'einsum'")],
)
def test_cells_that_cannot_be_quantised(cell, why):
    with pytest.raises(ArgumentError, match=f"quantize: expected a {cell.__name__} whose products.*{why}"):
        ts.quantize(nn.Recurrent(cell()), "int8")
