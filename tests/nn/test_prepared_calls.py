"""Calls that are prepared once and run again: no result is stale, and none changes afterwards."""

from __future__ import annotations

import contextlib
import copy
import gc
import os
import pickle
import threading
import weakref
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

import tinygrad_seq as ts
from tinygrad_seq import nn
from tinygrad_seq.base.tree import flatten
from tinygrad_seq.nn.recurrence import prepared_calls

N, I, H = 2, 4, 6

LAYERS: dict[str, Callable[[], Any]] = {
    "rnn": lambda: nn.RNN(I, H),
    "gru, two layers, two directions": lambda: nn.GRU(I, H, num_layers=2, bidirectional=True),
    "lstm": lambda: nn.LSTM(I, H),
    "lstm, projection, batch first": lambda: nn.LSTM(I, H, proj_size=3, batch_first=True),
    "lstm, means": lambda: nn.LSTM(I, H, bidirectional=True, merge="mean", batch_first=True),
    "gru, backwards, learned state": lambda: nn.GRU(I, H, go_backwards=True, learn_initial_state=True),
    "recurrent": lambda: nn.Recurrent([nn.GRUCell(I, H), nn.LSTMCell(H, 5)]),
    "recurrent, dict": lambda: nn.Recurrent(nn.PhasedLSTMCell(I, H)),
    "normalised": lambda: nn.Recurrent(nn.LayerNormLSTMCell(I, H)),
}


@pytest.fixture
def ran(monkeypatch) -> list[bool]:
    """Whether each call of a layer was run from a prepared one."""
    found: list[bool] = []
    run = prepared_calls.PreparedCalls.run

    def watched(*args: Any) -> Any:
        result = run(*args)
        found.append(result is not None)
        return result

    monkeypatch.setattr(prepared_calls.PreparedCalls, "run", watched)
    return found


def arrays(layer: nn.Module, *args: Any, **options: Any) -> list[np.ndarray]:
    return [leaf.numpy() for leaf in flatten(layer(*args, **options))[0]]


def expect(layer: nn.Module, *args: Any, **options: Any) -> list[np.ndarray]:
    """Compare two calls with steps that run one by one; return the results of the second."""
    with ts.no_grad():
        found = [arrays(layer, *args, **options) for _ in range(2)]
        with ts.disable_compile():
            expected = arrays(layer, *args, **options)
    for result in found:
        for a, b in zip(result, expected, strict=True):
            assert a.dtype == b.dtype
            np.testing.assert_allclose(a, b, rtol=1e-9, atol=1e-11)
    return found[1]


def inputs(rng: Any, layer: Any, T: int = 4, rows: int = N) -> ts.Tensor:
    shape = (rows, T, I) if layer.batch_first else (T, rows, I)
    return ts.tensor(rng.standard_normal(shape))


@pytest.mark.parametrize("T", [1, 3, 9])
@pytest.mark.parametrize("name", LAYERS)
def test_the_results_are_those_of_the_steps_one_by_one(name, T, rng, ran) -> None:
    layer = LAYERS[name]().double()
    for steps, rows in ((T, N), (T, 1), (T, N)):
        xs = inputs(rng, layer, steps, rows)
        expect(layer, xs)
        with ts.no_grad():
            _, state = layer(xs)
        expect(layer, inputs(rng, layer, steps, rows), state)
        expect(layer, xs.numpy())
    assert sum(ran) > len(ran) // 2


def test_results_equal_those_of_a_call_that_records_to_the_last_bit(rng) -> None:
    for make in (nn.RNN, nn.GRU, nn.LSTM):
        layer = make(I, H, num_layers=2, bidirectional=True)
        for T in (1, 3, 9):
            xs = inputs(rng, layer, T).astype("float32")
            recorded = arrays_detached(layer, xs)
            with ts.no_grad():
                found = [arrays(layer, xs) for _ in range(2)]
            for result in found:
                for a, b in zip(result, recorded, strict=True):
                    np.testing.assert_array_equal(a, b)


def arrays_detached(layer: nn.Module, xs: ts.Tensor) -> list[np.ndarray]:
    return [leaf.detach().numpy() for leaf in flatten(layer(xs))[0]]


def write_data(layer: Any) -> None:
    layer.weight_hh_l0.data[...] *= 0.5


def write_view(layer: Any) -> None:
    layer.weight_ih_l0.data.reshape(-1)[3] += 1


def copy_in(layer: Any) -> None:
    with ts.no_grad():
        layer.weight_hh_l0.copy_(0.3)


def set_items(layer: Any) -> None:
    with ts.no_grad():
        layer.weight_hh_l0[1] = 0.3


def operate_in_place(layer: Any) -> None:
    with ts.no_grad():
        layer.bias_hh_l0 += 1


def augment_data(layer: Any) -> None:
    layer.bias_ih_l0.data -= 1


def assign_data(layer: Any) -> None:
    layer.weight_hh_l0.data = layer.weight_hh_l0.numpy() * 2


def load(layer: Any) -> None:
    layer.load_state_dict({name: x * 0.9 for name, x in layer.state_dict().items()})


def step_of(make: Callable[..., Any]) -> Callable[[Any], None]:
    def step(layer: Any) -> None:
        for parameter in layer.parameters():
            parameter.grad = ts.ones(parameter.shape, parameter.dtype)
        make(layer.parameters(), lr=0.1).step()

    return step


def swap(layer: Any) -> None:
    layer.weight_hh_l0 = nn.Parameter(0.5 * layer.weight_hh_l0.numpy(), dtype="float64")


def exchange(layer: Any) -> None:
    layer.bias_ih_l0, layer.bias_hh_l0 = layer.bias_hh_l0, layer.bias_ih_l0
    layer.weight_ih_l0, other = nn.Parameter(layer.weight_ih_l0.numpy() + 1, dtype="float64"), layer.weight_ih_l0
    assert other is not layer.weight_ih_l0


def reset(layer: Any) -> None:
    layer.reset_parameters()


def through_another_tensor(layer: Any) -> None:
    other = layer.weight_hh_l0.detach()
    other.data[...] = 7  # no change of the weight, whose memory the other shared
    layer.weight_hh_l0.data[0] = 3


CHANGES = {
    **{
        f.__name__: f for f in (write_data, write_view, copy_in, set_items, operate_in_place, augment_data, assign_data)
    },
    **{f.__name__: f for f in (load, swap, exchange, reset, through_another_tensor)},
    **{kind.__name__: step_of(kind) for kind in (ts.optim.SGD, ts.optim.Adam, ts.optim.RMSprop, ts.optim.Adagrad)},
}


@pytest.mark.parametrize("T", [1, 6])
@pytest.mark.parametrize("name", CHANGES)
def test_weights_that_change(name, T, rng) -> None:
    layer = nn.LSTM(I, H).double()
    xs, state = inputs(rng, layer, T), tuple(ts.tensor(rng.standard_normal((1, N, H))) for _ in "hc")
    before = expect(layer, xs, state)
    CHANGES[name](layer)
    assert not np.allclose(before[0], expect(layer, xs, state)[0])
    layer.weight_hh_l0.data[...] += 0.01
    CHANGES[name](layer)
    expect(layer, xs, state)


@pytest.mark.parametrize("T", [1, 6])
def test_an_array_that_the_user_keeps_and_writes_to(T, rng) -> None:
    layer = nn.GRU(I, H).double()
    xs, kept = inputs(rng, layer, T), layer.weight_ih_l0.data
    seen = [expect(layer, xs)[0]]
    for _ in range(3):
        kept[...] *= 0.7
        seen.append(expect(layer, xs)[0])
    view = kept[2:]
    del kept
    view[...] = 0
    seen.append(expect(layer, xs)[0])
    del view
    seen.append(expect(layer, xs)[0])
    assert not np.allclose(seen[0], seen[1])
    assert not np.allclose(seen[3], seen[4])
    np.testing.assert_array_equal(seen[4], seen[5])


def test_settings_that_change(rng) -> None:
    layer = nn.RNN(I, H).double().eval()
    xs = inputs(rng, layer)
    before = expect(layer, xs)
    for name, values in (("go_backwards", (True, False)), ("residual", (False,)), ("zoneout", (0.5, 0.0))):
        for value in values:
            layer.options[name] = value  # type: ignore[literal-required]
            expect(layer, xs)
    layer.settings["nonlinearity"] = "relu"
    assert not np.allclose(before[0], expect(layer, xs)[0])
    layer.batch_first = True
    assert expect(layer, xs)[0].shape == (4, N, H)


def test_training_and_evaluation(rng, ran) -> None:
    layer = nn.GRU(I, H, num_layers=2, dropout=0.5).double()
    xs = inputs(rng, layer)
    with ts.no_grad():
        drawn = [layer(xs)[0].numpy() for _ in range(3)]
    assert not np.allclose(drawn[0], drawn[1])
    first = expect(layer.eval(), xs)
    layer.train()
    with ts.no_grad():
        assert not np.allclose(layer(xs)[0].numpy(), layer(xs)[0].numpy())
    np.testing.assert_array_equal(expect(layer.eval(), xs)[0], first[0])
    assert any(ran)


def test_gradients_in_between(rng, ran) -> None:
    layer = nn.LSTM(I, H).double()
    xs, adam = inputs(rng, layer), ts.optim.Adam(layer.parameters(), lr=0.1)
    for _ in range(3):
        expect(layer, xs)
        layer.zero_grad()
        ys, _ = layer(xs)
        assert ys.requires_grad
        (ys * ys).sum().backward()
        adam.step()
    layer.requires_grad_(False)
    ran.clear()
    assert not layer(xs)[0].requires_grad
    assert not layer(xs)[0].requires_grad
    assert ran[-1]
    xs.requires_grad = True
    assert layer(xs)[0].requires_grad
    xs.requires_grad = False
    layer.bias_hh_l0.requires_grad = True
    assert layer(xs)[0].requires_grad
    state = (ts.zeros((1, N, H), "float64", requires_grad=True), ts.zeros((1, N, H), "float64"))
    layer.requires_grad_(False)
    assert layer(xs, state)[0].requires_grad


def test_precision_that_changes(rng) -> None:
    layer = nn.GRU(I, H)
    xs = inputs(rng, layer)
    with ts.no_grad():
        single = [layer(xs.astype("float32"))[0].numpy() for _ in range(2)]
    double = expect(layer.double(), xs)
    np.testing.assert_allclose(single[1], double[0], rtol=1e-4, atol=1e-5)
    with ts.no_grad(), pytest.raises(ts.errors.DtypeError):
        layer(xs.astype("float32"))


def test_switches(rng) -> None:
    layer = nn.LSTM(I, H).double()
    xs = inputs(rng, layer)
    expect(layer, xs)
    layer.bias_hh_l0.data[0] = np.nan
    with ts.no_grad(), ts.detect_anomaly(), pytest.raises(ts.errors.AnomalyError):
        layer(xs)
    layer.bias_hh_l0.data[0] = 0
    assert layer.inspect(xs)["forget_gate"].shape == (4, N, H)
    inner = nn.Recurrent(nn.GRUCell(I, H)).double()
    with ts.no_grad():
        inner(xs)
        inner(xs)
        _, found = ts.scan(lambda c, x: (c, inner(x)[0]), ts.zeros(1), ts.stack([xs, xs]))  # inside a traced step
        np.testing.assert_allclose(found[1].numpy(), inner(xs)[0].numpy(), rtol=1e-9)


def test_flags_and_options_that_take_the_general_path(rng) -> None:
    layer = nn.LSTM(I, H, return_all_states=True).double()
    xs = inputs(rng, layer, 5, 3)
    expect(layer, xs)
    plain = nn.LSTM(I, H).double()
    expect(plain, xs)
    expect(plain, xs, lengths=[5, 2, 3])
    expect(plain, xs, mask=rng.random((5, 3)) > 0.5)
    expect(plain, xs, reset=rng.random((5, 3)) > 0.5)
    expect(plain, xs)
    expect(plain, xs[:, 0])
    stateful = nn.GRU(I, H, stateful=True).double()
    other = nn.GRU(I, H).double()
    other.load_state_dict(stateful.state_dict())
    with ts.no_grad():
        stateful(xs)
        found = stateful(xs)[0].numpy()
        np.testing.assert_allclose(found, other(xs, other(xs)[1])[0].numpy(), rtol=1e-9)


def test_bad_calls_are_refused_after_good_ones(rng) -> None:
    layer = nn.LSTM(I, H).double()
    xs = inputs(rng, layer)
    _, (h, c) = layer(xs)
    with ts.no_grad():
        for _ in range(2):
            layer(xs, (h, c))
        for state in (h, (h,), (h, c, c), (h[:, :1], c), (h.astype("float32"), c)):
            with pytest.raises(ts.errors.TinygradSeqError):
                layer(xs, state)
        for bad in (xs[..., :2], xs.astype("float32"), xs[0, 0]):
            with pytest.raises(ts.errors.TinygradSeqError):
                layer(bad)


@pytest.mark.parametrize("T", [1, 7])
def test_results_are_never_overwritten(T, rng) -> None:
    layer = nn.GRU(I, H, num_layers=2, bidirectional=True).double()
    given = [inputs(rng, layer, T) for _ in range(6)]
    with ts.no_grad():
        kept = [layer(xs) for xs in given]
        copies = [[leaf.numpy().copy() for leaf in flatten(result)[0]] for result in kept]
        for xs in given:
            ys, state = layer(xs)
            ys.data[...] = 9  # nor does a write to a result reach another one
            state.data[...] = 9
            xs.data[...] = 9
    for result, values in zip(kept, copies, strict=True):
        for leaf, value in zip(flatten(result)[0], values, strict=True):
            np.testing.assert_array_equal(leaf.numpy(), value)


def test_inputs_of_any_strides(rng) -> None:
    layer = nn.LSTM(I, H).double()
    wide = ts.tensor(rng.standard_normal((N, 2 * I, 5))).permute_dims((2, 0, 1))[::-1, :, ::2]
    expect(layer, wide)
    read_only = rng.standard_normal((5, N, I))
    read_only.flags.writeable = False
    expect(layer, read_only)


@pytest.mark.parametrize("remake", [copy.deepcopy, copy.copy, lambda layer: pickle.loads(pickle.dumps(layer))])
def test_a_copy_of_a_layer(remake, rng) -> None:
    layer = nn.GRU(I, H).double()
    xs = inputs(rng, layer)
    first = expect(layer, xs)
    other = remake(layer)
    np.testing.assert_array_equal(expect(other, xs)[0], first[0])
    other.weight_hh_l0 = nn.Parameter(np.zeros((3 * H, H)), dtype="float64")
    assert not np.allclose(expect(other, xs)[0], first[0])
    np.testing.assert_array_equal(expect(layer, xs)[0], first[0])


FACTOR = 1.0


class Own(nn.ElmanCell):
    """Derives from a cell of the library, and reads a global."""

    def forward(self, x, h):
        h = ts.tanh(FACTOR * ts.linear(x, self.weight_ih) + ts.linear(h, self.weight_hh))
        return h, h


def test_cells_of_the_user_are_never_prepared(rng, monkeypatch, ran) -> None:
    layer = nn.Recurrent(Own(I, H)).double()
    xs = inputs(rng, layer)
    first = expect(layer, xs)
    monkeypatch.setitem(globals(), "FACTOR", 2.0)
    assert not np.allclose(expect(layer, xs)[0], first[0])
    assert not any(ran)


def test_a_method_that_is_put_in_its_place(rng, monkeypatch) -> None:
    layer = nn.RNN(I, H).double()
    xs = inputs(rng, layer)
    first = expect(layer, xs)
    monkeypatch.setattr(nn.ElmanCell, "forward", lambda self, x, h: (ts.linear(x, self.weight_ih) + h, h))
    assert not np.allclose(expect(layer, xs)[0], first[0])


def test_two_shapes_and_two_layers_in_turn(rng, ran) -> None:
    layers = [nn.LSTM(I, H).double() for _ in range(2)]
    given = [ts.tensor(rng.standard_normal((T, rows, I))) for T, rows in ((1, 1), (5, 3), (1, 2))]
    for _ in range(3):
        for layer in layers:
            for xs in given:
                expect(layer, xs)
    ran.clear()
    with ts.no_grad():
        for layer in layers:
            for xs in given:
                layer(xs)
    assert all(ran)


def test_tied_weights(rng) -> None:
    a, b = nn.GRU(I, H).double(), nn.GRU(I, H).double()
    b.weight_hh_l0 = a.weight_hh_l0
    xs = inputs(rng, a)
    before = expect(a, xs), expect(b, xs)
    a.weight_hh_l0.data[...] *= 2
    assert not np.allclose(before[1][0], expect(b, xs)[0])
    assert not np.allclose(before[0][0], expect(a, xs)[0])


@contextlib.contextmanager
def all_of(threads: list[threading.Thread]) -> Iterator[None]:
    for thread in threads:
        thread.start()
    yield
    for thread in threads:
        thread.join()


def test_threads_share_a_layer(rng) -> None:
    layer = nn.GRU(I, H, num_layers=2).double()
    given = [inputs(rng, layer, T, rows) for T, rows in ((1, 1), (1, 1), (6, 2), (6, 2))]
    with ts.no_grad():
        expected = [layer(xs)[0].numpy() for xs in given]
    failed: list[int] = []

    def work(number: int) -> None:
        with ts.no_grad():
            for turn in range(200):
                at = (number + turn) % 4
                if not np.array_equal(layer(given[at])[0].numpy(), expected[at]):
                    failed.append(at)

    with all_of([threading.Thread(target=work, args=(number,)) for number in range(4)]):
        pass
    assert failed == []


def test_weights_that_another_thread_writes(rng) -> None:
    """While it writes anything may come out; afterwards everything is as written."""
    layer = nn.GRU(I, H).double()
    xs, done = inputs(rng, layer, 1), threading.Event()

    def write() -> None:
        with ts.no_grad():
            for turn in range(300):
                layer.weight_hh_l0.copy_(turn / 300)
        done.set()

    with all_of([threading.Thread(target=write)]), ts.no_grad():
        while not done.is_set():
            layer(xs)
    expect(layer, xs)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork")
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_a_forked_child_runs_what_its_parent_prepared(rng) -> None:
    layer = nn.LSTM(I, H).double()
    xs = inputs(rng, layer)
    first = expect(layer, xs)
    child = os.fork()
    if not child:
        code = 1
        try:
            with ts.no_grad():
                same = np.array_equal(layer(xs)[0].numpy(), first[0])
                layer.weight_hh_l0.data[...] = 0
                code = 0 if same and not np.allclose(layer(xs)[0].numpy(), first[0]) else 2
        finally:
            os._exit(code)
    assert os.waitpid(child, 0)[1] == 0
    np.testing.assert_array_equal(expect(layer, xs)[0], first[0])


def test_nothing_outlives_its_layer(rng) -> None:
    layer: Any = nn.LSTM(I, H).double()
    expect(layer, inputs(rng, layer))
    weight = layer.weight_hh_l0
    dead = [weakref.ref(layer), weakref.ref(weight), weakref.ref(weight._stamp)]
    del layer, weight
    gc.collect()
    assert [ref() for ref in dead] == [None] * 3


def test_packed_weights_are_shared_and_freed(rng) -> None:
    layer = nn.LSTM(I, H).double()
    for rows in range(1, 6):
        expect(layer, inputs(rng, layer, 6, rows))
    stamp = layer.weight_hh_l0._stamp
    assert stamp is not None
    kept = stamp.kept
    if kept:  # without the compiler nothing is packed
        assert len(kept) == 1
    layer.weight_hh_l0.data[...] = 0
    assert layer.weight_hh_l0._stamp is None


def test_the_number_of_prepared_calls_is_bounded(rng) -> None:
    layer = nn.RNN(I, H)
    with ts.no_grad():
        for T in range(1, 40):
            layer(ts.zeros((T, 1, I)))
        big = ts.zeros((2000, 400, I))
        layer(big)
    known = layer._prepared._known
    assert known is not None
    waiting = [one for idle in known.idle.values() for one in idle]
    assert len(waiting) <= 39
    assert sum(one.nbytes for one in waiting) < prepared_calls.KEPT_BYTES
    assert all(len(idle) <= prepared_calls.IDLE for idle in known.idle.values())


def test_calls_prepared_with_old_weights_are_freed(rng) -> None:
    layer = nn.LSTM(I, H)
    old = []
    with ts.no_grad():
        for T in range(1, 6):
            layer.weight_hh_l0.copy_(1 / T)
            layer(ts.zeros((T, 1, I)))
            old.append(weakref.ref(layer.weight_hh_l0._stamp))
    gc.collect()
    assert [ref() is None for ref in old] == [True] * 4 + [False]
