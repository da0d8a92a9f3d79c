"""The two directions of a layer, and independent scans, side by side: same bits, errors, switches and hooks."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from numba import config

import tinygrad_seq as ts
from tinygrad_seq import nn
from tinygrad_seq.autograd import tape
from tinygrad_seq.nn.recurrence import prepared_calls
from tinygrad_seq.scan import compiled
from tinygrad_seq.scan.program import Program

T, N, I, H = 7, 3, 4, 5

compiled_only = pytest.mark.skipif(bool(config.DISABLE_JIT), reason="scans on NumPy hold the GIL: one after the other")


@pytest.fixture(autouse=True)
def eager_to_share(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let work of any size run side by side."""
    monkeypatch.setattr("tinygrad_seq.kernels.pool.SECONDS_BESIDE", 0.0)


@pytest.fixture
def groups(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Return a list that receives how many scans ran side by side, each time."""
    found: list[int] = []
    for module in (compiled, tape, prepared_calls):
        run: Callable[..., Any] = module.side_by_side

        def counted(functions: Any, run: Callable[..., Any] = run) -> Any:
            found.append(len(functions))
            return run(functions)

        monkeypatch.setattr(module, "side_by_side", counted)
    return found


OPTIONS: dict[str, dict[str, Any]] = {
    "plain": {},
    "lengths": {"lengths": [7, 4, 2]},
    "held": {"lengths": [7, 4, 2], "masked_output": "held"},
    "no step": {"lengths": [0, 0, 0]},
    "zoneout": {"zoneout": 0.3},
    "dropout": {"dropout": 0.5, "num_layers": 2},
    "window": {"window": 3},
    "overlapping windows": {"window": 4, "stride": 2},
    "sqrt": {"remember": "sqrt"},
    "mean": {"merge": "mean", "residual": True, "num_layers": 2},
    "learned": {"learn_initial_state": True},
}


def bits(monkeypatch: pytest.MonkeyPatch, threads: int, options: dict[str, Any]) -> list[np.ndarray]:
    """Return outputs and gradients of a layer in two directions on some threads."""
    monkeypatch.setattr("tinygrad_seq.base.settings._threads", threads)
    ts.manual_seed(3)
    call = {key: options[key] for key in options if key == "lengths"}
    size = H if "residual" in options else I
    made = {key: options[key] for key in options if key not in call}
    layer = nn.LSTM(size, H, bidirectional=True, **made)
    xs = ts.randn(T, N, size).requires_grad_()
    ys, states = layer(xs * 2 + ts.tanh(xs), **call)
    loss = (ys * ts.randn(*ys.shape)).sum() + sum(part.sum() for part in _leaves(states)) + (xs * xs).sum()
    loss.backward()
    return [ys.numpy(), *[part.numpy() for part in _leaves(states)], *map(gradient_of, (xs, *layer.parameters()))]


def gradient_of(x: ts.Tensor) -> np.ndarray:
    """Return the gradient of a tensor, which must have one."""
    assert x.grad is not None
    return x.grad.numpy().copy()


def _leaves(tree: Any) -> list[ts.Tensor]:
    return [tree] if isinstance(tree, ts.Tensor) else [leaf for part in tree for leaf in _leaves(part)]


@pytest.mark.parametrize("name", OPTIONS)
def test_two_directions_have_the_same_bits_on_any_number_of_threads(
    name: str, monkeypatch: pytest.MonkeyPatch, groups: list[int]
) -> None:
    alone = bits(monkeypatch, 1, OPTIONS[name])
    assert not groups
    for threads in (2, 5):
        for one, other in zip(bits(monkeypatch, threads, OPTIONS[name]), alone, strict=True):
            np.testing.assert_array_equal(one, other)
    if not config.DISABLE_JIT and name != "no step":
        assert set(groups) == {2}
        assert len(groups) >= 4  # forward and backward, twice


@compiled_only
def test_scans_that_depend_on_each_other_run_one_after_the_other(
    monkeypatch: pytest.MonkeyPatch, groups: list[int]
) -> None:
    monkeypatch.setattr("tinygrad_seq.base.settings._threads", 2)
    layer = nn.GRU(I, H, num_layers=3)
    _, last = layer(ts.randn(T, N, I).requires_grad_())
    last.sum().backward()  # the scan of the first layer is in the heap while that of the second runs
    assert not groups


@compiled_only
def test_independent_scans_of_one_graph_run_their_backward_side_by_side(
    monkeypatch: pytest.MonkeyPatch, groups: list[int]
) -> None:
    layers, xs = [nn.GRU(I, H) for _ in range(3)], ts.randn(T, N, I)

    def gradients(threads: int) -> list[np.ndarray]:
        monkeypatch.setattr("tinygrad_seq.base.settings._threads", threads)
        given = xs.clone().requires_grad_()
        ys = [layer(given)[0] for layer in layers]
        (ys[0] * ys[1] + ys[2] * given.mean()).sum().backward()
        return [gradient_of(x) for x in (given, *[w for layer in layers for w in layer.parameters()])]

    found = []
    for threads in (1, 2, 4):
        found.append(gradients(threads))
        for layer in layers:
            layer.zero_grad()
    assert groups == [2, 3]
    for other in found[1:]:
        for one, alone in zip(other, found[0], strict=True):
            np.testing.assert_array_equal(one, alone)


@compiled_only
def test_hooks_and_kept_graphs(monkeypatch: pytest.MonkeyPatch, groups: list[int]) -> None:
    monkeypatch.setattr("tinygrad_seq.base.settings._threads", 2)
    layer, seen = nn.GRU(I, H, bidirectional=True, merge="sum"), list[Any]()
    xs = ts.randn(T, N, I).requires_grad_()
    ys, last = layer(xs)
    last.register_hook(lambda g: seen.append(threading.current_thread()))
    loss = ys.sum() + last.sum()
    loss.backward(retain_graph=True)
    first = gradient_of(xs)
    xs.grad = None
    loss.backward()
    np.testing.assert_array_equal(gradient_of(xs), first)
    assert seen == [threading.current_thread()] * 2
    assert groups == [2] * 3


@compiled_only
def test_derivatives_of_second_order(monkeypatch: pytest.MonkeyPatch) -> None:
    layer, xs = nn.GRU(I, H, bidirectional=True), ts.randn(3, 2, I)

    def curvature(threads: int) -> np.ndarray:
        monkeypatch.setattr("tinygrad_seq.base.settings._threads", threads)
        inner = ts.grad(lambda x: (layer(x)[0] ** 2).sum())
        return ts.grad(lambda x: (inner(x) ** 2).sum())(xs).numpy()

    np.testing.assert_array_equal(curvature(2), curvature(1))


@compiled_only
@pytest.mark.parametrize("bad", [0, 1])
def test_an_error_of_one_direction_is_raised_and_nothing_is_left_behind(
    bad: int, monkeypatch: pytest.MonkeyPatch, groups: list[int]
) -> None:
    monkeypatch.setattr("tinygrad_seq.base.settings._threads", 2)
    layer, xs = nn.GRU(I, H, bidirectional=True), ts.randn(T, N, I)
    expected = layer(xs)[0].numpy()
    run, count = Program.run_forward, [0]

    def fails(program: Program, *args: Any) -> Any:
        number, count[0] = count[0], count[0] + 1
        if number == bad:
            raise MemoryError("none left")
        return run(program, *args)

    with monkeypatch.context() as patch:
        patch.setattr(Program, "run_forward", fails)
        with pytest.raises(MemoryError, match="none left"):
            layer(xs)
    assert count == [2]
    np.testing.assert_array_equal(layer(xs)[0].numpy(), expected)


@compiled_only
def test_an_interrupt_waits_for_the_other_direction(monkeypatch: pytest.MonkeyPatch, groups: list[int]) -> None:
    monkeypatch.setattr("tinygrad_seq.base.settings._threads", 2)
    layer, xs, ended = nn.GRU(I, H, bidirectional=True), ts.randn(T, N, I), list[bool]()
    run, meeting = Program.run_forward, threading.Barrier(2)

    def interrupted(program: Program, *args: Any) -> Any:
        meeting.wait(30)
        if threading.current_thread() is threading.main_thread():
            raise KeyboardInterrupt
        found = run(program, *args)
        ended.append(True)
        return found

    with monkeypatch.context() as patch:
        patch.setattr(Program, "run_forward", interrupted)
        with pytest.raises(KeyboardInterrupt):
            layer(xs)
    assert ended == [True]


def test_anomalies_name_the_direction(monkeypatch: pytest.MonkeyPatch, groups: list[int]) -> None:
    monkeypatch.setattr("tinygrad_seq.base.settings._threads", 2)
    layer, xs = nn.GRU(I, H, bidirectional=True), ts.randn(T, N, I)
    layer.weight_hh_l0_reverse.data[0, 0] = np.inf
    with ts.detect_anomaly(), pytest.raises(ts.AnomalyError, match="GRUCell, layer 0, backwards"):
        layer(xs)[0].sum()
    assert not groups


@compiled_only
def test_nothing_is_recorded_where_recording_is_off(monkeypatch: pytest.MonkeyPatch, groups: list[int]) -> None:
    monkeypatch.setattr("tinygrad_seq.base.settings._threads", 2)
    layer, xs = nn.GRU(I, H, bidirectional=True), ts.randn(T, N, I)
    with ts.no_grad():
        assert not layer(xs)[0].requires_grad
    assert layer(xs)[0].requires_grad
    assert groups == [2, 2]


@compiled_only
def test_one_weight_in_both_directions(monkeypatch: pytest.MonkeyPatch) -> None:
    W = ts.randn(H, H).requires_grad_()
    xs = ts.randn(T, N, H)

    def gradient(threads: int) -> np.ndarray:
        monkeypatch.setattr("tinygrad_seq.base.settings._threads", threads)
        W.grad = None
        step = lambda h, x: (ts.tanh(x + h @ W),) * 2  # noqa: E731
        a, b = (ts.scan(step, ts.zeros((N, H)), xs, reverse=reverse)[1] for reverse in (False, True))
        ((a * b).sum() + (W * W).sum()).backward()
        return gradient_of(W)

    np.testing.assert_array_equal(gradient(3), gradient(1))


@compiled_only
def test_a_scan_whose_backward_ran_ahead_does_not_run_again(monkeypatch: pytest.MonkeyPatch, groups: list[int]) -> None:
    """The scan of `early` runs beside that of `last`, and is still in the heap when that of `first` arrives."""
    early, first, last = layers = [nn.GRU(I, H), nn.GRU(I, H), nn.GRU(H, H)]
    xs = ts.randn(T, N, I)

    def gradients(threads: int) -> list[np.ndarray]:
        monkeypatch.setattr("tinygrad_seq.base.settings._threads", threads)
        given = xs.clone().requires_grad_()
        ys = early(given)[0], last(first(given)[0])[0]
        (ys[0].sum() + ys[1].sum()).backward()
        return [gradient_of(x) for x in (given, *[w for layer in layers for w in layer.parameters()])]

    alone = gradients(1)
    for threads in (2, 5):
        for layer in layers:
            layer.zero_grad()
        for one, other in zip(gradients(threads), alone, strict=True):
            np.testing.assert_array_equal(one, other)
    assert groups == [2, 2]
