"""Cells that are traced once: whatever changes in them or around them between two calls is seen."""

from __future__ import annotations

import copy
import gc
import pickle
import threading
import weakref
from itertools import pairwise
from typing import Any

import numpy as np
import pytest

import tinygrad_seq as ts
from tests.nn.test_cell_library import ROWS
from tinygrad_seq import nn
from tinygrad_seq.autograd.tagging import collect_tags
from tinygrad_seq.base.tree import flatten
from tinygrad_seq.errors import AnomalyError, DtypeError
from tinygrad_seq.nn.recurrence.trace_cache import is_library, step_of_cell
from tinygrad_seq.scan import compiled
from tinygrad_seq.scan.repeated import SteadyStep

T, N, I, H = 4, 2, 4, 6

LAYERS: dict[str, Any] = {
    "rnn": lambda: nn.RNN(I, H),
    "relu rnn": lambda: nn.RNN(I, H, nonlinearity="relu"),
    "gru, two layers, two directions": lambda: nn.GRU(I, H, num_layers=2, bidirectional=True),
    "lstm": lambda: nn.LSTM(I, H),
    "lstm with a projection": lambda: nn.LSTM(I, H, proj_size=3),
    "recurrent": lambda: nn.Recurrent(nn.GRUCell(I, H)),
}


@pytest.fixture
def xs(rng) -> ts.Tensor:
    return ts.tensor(rng.standard_normal((T, N, I)), requires_grad=True)


def results(layer: nn.Module, xs: ts.Tensor) -> list[np.ndarray]:
    """Return outputs, states, and the gradients of everything."""
    leaves = [xs, *layer.parameters()]
    for leaf in leaves:
        leaf.grad = None
    ys, state = layer(xs)
    found = [*flatten(ys)[0], *flatten(state)[0]]
    sum(((part * part).sum() for part in found if part.dtype.kind == "f"), ts.tensor(0.0)).backward()
    return [part.numpy().copy() for part in found] + [x.grad.numpy() for x in leaves if x.grad is not None]


def check(layer: nn.Module, xs: ts.Tensor) -> np.ndarray:
    """Compare a layer as it is with its steps run one by one; return its outputs."""
    found = results(layer, xs)
    with ts.disable_compile():
        expected = results(layer, xs)
    for a, b in zip(found, expected, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-9, atol=1e-11)
    return found[0]


def traces(monkeypatch) -> list[Any]:
    """Return a list that grows with every trace."""
    seen: list[Any] = []
    trace = compiled.trace_step

    def tracing(*args: Any) -> Any:
        seen.append(args)
        return trace(*args)

    monkeypatch.setattr(compiled, "trace_step", tracing)
    return seen


@pytest.mark.parametrize("name", LAYERS)
def test_layers_are_traced_once(name, xs, monkeypatch) -> None:
    layer = LAYERS[name]().double()
    check(layer, xs)
    seen = traces(monkeypatch)
    for parameter in layer.parameters():
        parameter.data[...] *= 1.5
    check(layer, xs)
    assert seen == []


@pytest.mark.parametrize("name", [name for name in ROWS if "timestamps" not in name])
def test_every_cell_of_the_library_sees_its_weights_change(name, rng) -> None:
    cell = ROWS[name].make().double()
    layer, given = nn.Recurrent(cell), ts.tensor(rng.standard_normal((T, N, I)), requires_grad=True)
    first = check(layer, given)
    for found in (*layer.parameters(), *layer.buffers()):
        found.data[...] *= 0.8
    assert not np.array_equal(check(layer, given), first)


def test_weights_written_loaded_and_trained(xs) -> None:
    layer = nn.LSTM(I, H).double()
    seen = [check(layer, xs)]
    layer.weight_hh_l0.data[...] *= 2
    seen.append(check(layer, xs))
    layer.load_state_dict(nn.LSTM(I, H).double().state_dict())
    seen.append(check(layer, xs))
    adam = ts.optim.Adam(layer.parameters(), lr=0.1)
    for _ in range(2):
        results(layer, xs)
        adam.step()
        seen.append(check(layer, xs))
    layer.weight_ih_l0 = nn.Parameter(np.zeros((4 * H, I)), dtype="float64")
    seen.append(check(layer, xs))
    assert all(not np.allclose(a, b) for a, b in pairwise(seen))


def test_settings_of_a_cell_that_change(xs) -> None:
    cell = nn.ElmanCell(I, H).double()
    layer = nn.Recurrent(cell)
    first = check(layer, xs)
    cell.nonlinearity = "relu"
    assert not np.allclose(check(layer, xs), first)
    cell.bias_hh = None
    assert not np.allclose(check(layer, xs), first)
    cell.nonlinearity = "tanh"
    cell.forward = lambda x, h: (2 * x[:, :1] + h, h)  # type: ignore[method-assign]
    assert check(layer, xs).shape == (T, N, H)


def test_options_of_a_layer_that_change(xs) -> None:
    layer = nn.GRU(I, H).double()
    first = check(layer, xs)
    layer.options["go_backwards"] = True
    assert not np.allclose(check(layer, xs), first)
    layer.options["zoneout"] = 0.5
    layer.eval()
    assert not np.allclose(check(layer, xs), first)


def test_training_and_evaluation(xs) -> None:
    layer = nn.GRU(I, H, recurrent_dropout=0.5).double()
    first = check(layer.eval(), xs)
    drawn = [layer.train()(xs)[0].numpy().copy() for _ in range(2)]
    assert not np.allclose(drawn[0], drawn[1])
    np.testing.assert_array_equal(check(layer.eval(), xs), first)


def test_what_wants_a_gradient(xs) -> None:
    layer = nn.RNN(I, H).double()
    check(layer, xs)
    layer.weight_hh_l0.requires_grad = False
    check(layer, xs)
    assert layer.weight_hh_l0.grad is None
    with ts.no_grad():
        assert not layer(xs)[0].requires_grad
    xs.requires_grad = False
    check(layer, xs)
    layer.requires_grad_(False)
    assert not layer(xs)[0].requires_grad
    layer.requires_grad_(True)
    check(layer, xs)


def test_precision_that_changes(rng) -> None:
    layer, data = nn.GRU(I, H), rng.standard_normal((T, N, I))
    assert layer(ts.tensor(data, dtype="float32"))[0].dtype == "float32"
    layer.double()
    assert layer(ts.tensor(data))[0].dtype == "float64"
    with pytest.raises(DtypeError):
        layer(ts.tensor(data, dtype="float32"))


def test_modes_are_looked_at(xs) -> None:
    layer = nn.LSTM(I, H).double()
    check(layer, xs)
    assert layer.inspect(xs)["forget_gate"].shape == (T, N, H)
    with collect_tags() as tags:
        layer(xs)
    assert "forget_gate" in tags
    layer.weight_hh_l0.data[0, 0] = np.nan
    with ts.detect_anomaly(), pytest.raises(AnomalyError):
        layer(xs)


def test_gradients_of_gradients(xs) -> None:
    layer = nn.RNN(I, H).double()
    check(layer, xs)

    def loss(x: ts.Tensor) -> ts.Tensor:
        return (layer(x)[0] ** 2).sum()

    found = ts.grad(lambda x: (ts.grad(loss)(x) ** 2).sum())(xs)
    with ts.disable_compile():
        expected = ts.grad(lambda x: (ts.grad(loss)(x) ** 2).sum())(xs)
    np.testing.assert_allclose(found.numpy(), expected.numpy(), rtol=1e-9)


def test_shapes_that_change(rng) -> None:
    layer = nn.LSTM(I, H).double()
    for steps, rows in ((4, 2), (4, 3), (5, 3), (4, 2)):
        check(layer, ts.tensor(rng.standard_normal((steps, rows, I)), requires_grad=True))


@pytest.mark.parametrize("remake", [copy.deepcopy, lambda layer: pickle.loads(pickle.dumps(layer))])
def test_a_copy_has_weights_of_its_own(remake, xs) -> None:
    layer = nn.GRU(I, H).double()
    first = check(layer, xs)
    other = remake(layer)
    other.weight_hh_l0.data[...] *= 2
    assert not np.allclose(check(other, xs), first)
    np.testing.assert_array_equal(check(layer, xs), first)


def test_a_cell_that_is_handed_out_is_not_that_of_the_layer(xs) -> None:
    layer = nn.RNN(I, H).double()
    first = check(layer, xs)
    layer.layer(0).nonlinearity = "relu"
    np.testing.assert_array_equal(check(layer, xs), first)


FACTOR = 1.0


class Own(nn.ElmanCell):
    """Derives from a cell of the library, and reads a global."""

    def forward(self, x, h):
        h = ts.tanh(FACTOR * ts.linear(x, self.weight_ih) + h)
        return h, h


class Holder(nn.Cell):
    """A cell of the user's with cells of the library in it, which reads a list."""

    def __init__(self) -> None:
        self.state_shape, self.inner, self.factors = (H,), nn.GRUCell(I, H), [1.0]

    def forward(self, x, h):
        y, h = self.inner(x, h)
        return self.factors[-1] * y, h


def test_cells_of_the_user_are_run_at_every_call(xs, monkeypatch) -> None:
    own = nn.Recurrent(Own(I, H)).double()
    first = check(own, xs)
    monkeypatch.setitem(globals(), "FACTOR", 2.0)
    assert not np.allclose(check(own, xs), first)
    holder = Holder()
    layer = nn.Recurrent(holder).double()
    first = check(layer, xs)
    holder.factors.append(3.0)
    np.testing.assert_allclose(check(layer, xs), 3 * first)


def test_a_library_cell_around_one_of_the_user_is_not_steady(xs) -> None:
    stacked = nn.StackedCell(nn.GRUCell(I, H), Own(H, H)).double()
    assert not isinstance(step_of_cell(stacked), SteadyStep)
    assert isinstance(step_of_cell(nn.GRUCell(I, H)), SteadyStep)
    assert not isinstance(step_of_cell(Own(I, H)), SteadyStep)


PUBLIC = [value for value in vars(nn).values() if isinstance(value, type) and issubclass(value, nn.Module)]


@pytest.mark.parametrize("kind", PUBLIC)
def test_public_modules_are_of_the_library_and_classes_derived_from_them_are_not(kind: type[nn.Module]) -> None:
    assert is_library(object.__new__(kind))
    assert not is_library(object.__new__(type("Own", (kind,), {})))


@pytest.mark.parametrize("name", ROWS)
def test_cells_of_the_library_reuse_their_traces(name: str) -> None:
    assert isinstance(step_of_cell(ROWS[name].make()), SteadyStep)


def test_a_forward_that_is_put_in_its_place(xs, monkeypatch) -> None:
    layer = nn.RNN(I, H).double()
    first = check(layer, xs)
    monkeypatch.setattr(nn.ElmanCell, "forward", lambda self, x, h: (ts.linear(x, self.weight_ih), h))
    assert not np.allclose(check(layer, xs), first)


def test_nothing_outlives_its_layer(xs) -> None:
    layer: Any = nn.LSTM(I, H).double()
    check(layer, xs)
    cell = layer._passes()[0].cell
    dead = [weakref.ref(layer), weakref.ref(cell), weakref.ref(layer.weight_hh_l0)]
    del layer, cell
    gc.collect()
    assert [ref() for ref in dead] == [None] * 3


def test_threads_share_a_layer(xs) -> None:
    layer = nn.GRU(I, H).double()
    failed: list[Any] = []
    expected = layer(xs)[0].numpy().copy()

    def work() -> None:
        failed.extend(True for _ in range(20) if not np.array_equal(layer(xs)[0].numpy(), expected))

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failed == []


def test_a_bare_pass_runs_the_step_of_its_cell_alone(xs, monkeypatch) -> None:
    steps: list[Any] = []
    plan = compiled.plan

    def watched(step: Any, *args: Any) -> Any:
        steps.append(step)
        return plan(step, *args)

    monkeypatch.setattr(compiled, "plan", watched)
    nn.GRU(I, H).double()(xs)
    nn.GRU(I, H, zoneout=0.1).double()(xs)
    assert [isinstance(step, SteadyStep) for step in steps] == [True, False]


def test_cells_that_refer_to_each_other_run() -> None:
    a, b = ts.nn.GRUCell(4, 6), ts.nn.GRUCell(4, 6)
    want = ts.nn.Recurrent(a)(xs := ts.randn(3, 2, 4))[0].numpy()
    a.twin, b.twin = b, a
    np.testing.assert_array_equal(ts.nn.Recurrent(a)(xs)[0].numpy(), want)
