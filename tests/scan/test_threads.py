"""Loops on several threads, by rows and by columns: the same bits; what a busy neighbour changes."""

from __future__ import annotations

import threading
from typing import Any

import numpy as np
import pytest
from numba import config

import tinygrad_seq as ts
from tinygrad_seq import nn
from tinygrad_seq.kernels.crew import Recess
from tinygrad_seq.kernels.crew import new_crew as make_crew
from tinygrad_seq.scan.run import launch
from tinygrad_seq.scan.run.kernel import Kernel
from tinygrad_seq.scan.run.launch import Split

pytestmark = pytest.mark.skipif(bool(config.DISABLE_JIT), reason="no loop is compiled then")

CELLS = {
    "lstm": nn.LSTMCell,
    "gru": nn.GRUCell,
    "elman": nn.RNNCell,
    "layer norm": nn.LayerNormLSTMCell,
    "mgu": nn.MGUCell,
    "delta net": nn.DeltaNetCell,
}
SHAPES = [(5, 1, 3, 130), (6, 3, 17, 5), (4, 8, 40, 66)]


def found(cell: Any, shape: tuple[int, int, int, int], **options: Any) -> list[np.ndarray]:
    ts.manual_seed(2)
    T, N, I, H = shape
    layer = nn.Recurrent(cell(I, H), **options)
    xs = ts.randn(T, N, I).requires_grad_()
    ys, _ = layer(xs)
    (ys * ts.randn(*ys.shape)).sum().backward()
    with ts.no_grad():
        again = layer(xs)[0]
    gradients = [x.grad.numpy() for x in (xs, *layer.parameters()) if x.grad is not None]
    return [ys.numpy(), again.numpy(), *gradients]


def force(monkeypatch: pytest.MonkeyPatch, threads: int, columns: bool) -> Recess:
    """Let all loops run on some threads; return what makes them pause."""
    recess = Recess()

    def split(kernel: Kernel, T: int) -> Split:
        return Split(threads, columns, 0.0) if kernel.cost.epochs or not columns else Split(1, False, 0.0)

    monkeypatch.setattr("tinygrad_seq.base.settings._threads", threads)
    monkeypatch.setattr(launch, "recess", recess)
    monkeypatch.setattr(Kernel, "split", split)
    return recess


@pytest.mark.parametrize("name", CELLS)
@pytest.mark.parametrize("shape", SHAPES)
def test_columns_and_rows_give_the_bits_of_one_thread(
    name: str, shape: tuple[int, int, int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    options: dict[str, Any] = {"window": 3, "remember": 2} if name == "lstm" else {}
    with monkeypatch.context() as patch:
        force(patch, 1, columns=False)
        expected = found(CELLS[name], shape, **options)
    for threads, columns in ((2, True), (3, True), (5, True), (3, False)):
        with monkeypatch.context() as patch:
            force(patch, threads, columns)
            for one, other in zip(found(CELLS[name], shape, **options), expected, strict=True):
                np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("precision", ["int8", "bfloat16"])
def test_quantised_loops_give_the_bits_of_one_thread(precision: str, monkeypatch: pytest.MonkeyPatch) -> None:
    T, N, I, H = SHAPES[2]
    ts.manual_seed(2)
    layer, xs = nn.LSTM(I, H), ts.randn(T, N, I)
    small = ts.quantize(layer, precision, [xs]) if precision == "int8" else ts.quantize(layer, precision)
    bits = []
    for threads, columns in ((1, False), (2, True), (3, True), (5, True), (3, False)):
        with monkeypatch.context() as patch:
            force(patch, threads, columns)
            bits.append(small(xs)[0].numpy())
    assert all(np.array_equal(found, bits[0]) for found in bits)


def test_a_loop_goes_on_alone_if_its_helpers_do_not_come(monkeypatch: pytest.MonkeyPatch) -> None:
    shape = SHAPES[2]
    with monkeypatch.context() as patch:
        force(patch, 1, columns=False)
        expected = found(nn.LSTMCell, shape)
    force(monkeypatch, 2, columns=True)
    monkeypatch.setattr(launch, "run_all", lambda tasks: tasks[0]())
    for one, other in zip(found(nn.LSTMCell, shape), expected, strict=True):
        np.testing.assert_array_equal(one, other)


def test_after_a_run_that_was_held_up_loops_run_on_one_thread_for_a_while(monkeypatch: pytest.MonkeyPatch) -> None:
    recess = force(monkeypatch, 2, columns=True)
    layer, xs, crews = nn.LSTM(8, 64), ts.randn(4, 300, 8), list[int]()

    def new_crew(parts: int) -> np.ndarray:
        crews.append(parts)
        return make_crew(parts)

    monkeypatch.setattr(launch, "new_crew", new_crew)
    monkeypatch.setattr(launch, "was_late", lambda crew: True)
    first = layer(xs)[0].numpy()
    recess.until = float("inf")
    np.testing.assert_array_equal(layer(xs)[0].numpy(), first)
    assert crews == [2]
    recess.until = 0.0
    np.testing.assert_array_equal(layer(xs)[0].numpy(), first)
    assert crews == [2, 2]
    assert recess.pause > Recess.first


def test_several_callers_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    force(monkeypatch, 3, columns=True)
    layer, xs = nn.GRU(8, 70), ts.randn(9, 3, 8)
    expected, results = layer(xs)[0].numpy(), list[bool]()

    def call() -> None:
        results.extend(np.array_equal(layer(xs)[0].numpy(), expected) for _ in range(20))

    threads = [threading.Thread(target=call) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert results == [True] * 80
