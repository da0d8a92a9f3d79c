"""A step that was traced before: it runs again at every call, and whatever it reads anew is not forgotten."""

from __future__ import annotations

import threading
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import numpy as np
import pytest

import tinygrad_seq as ts
from tinygrad_seq.base.memo import Memo
from tinygrad_seq.errors import CompileError
from tinygrad_seq.scan import variants
from tinygrad_seq.scan.ir import retrace, trace

T, N, H = 4, 2, 3

SCALE = 1.0


@pytest.fixture
def data(rng) -> tuple[ts.Tensor, ts.Tensor]:
    return ts.tensor(rng.standard_normal((N, H)) / 2), ts.tensor(rng.standard_normal((T, N, H)))


def same(step: Callable[..., Any], init: ts.Tensor, xs: ts.Tensor, *leaves: ts.Tensor) -> np.ndarray:
    """Compare a compiled scan with the loop step by step, gradients of `leaves` too; return the outputs."""
    found = []
    for compile in (True, False):
        for leaf in leaves:
            leaf.grad = None
        _, ys = ts.scan(step, init, xs, compile=compile)
        if leaves:
            (ys * ys).sum().backward()
        found.append([ys.numpy(), *[leaf.grad.numpy() for leaf in leaves if leaf.grad is not None]])
    for a, b in zip(*found, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-12, atol=1e-14)
    return found[0][0].copy()


class Settings:
    rate = 0.5


def test_what_python_holds_is_read_at_every_call(data, monkeypatch) -> None:
    numbers, table, settings = [0.5], {"bias": 0.25}, Settings()

    def step(h, x):
        h = ts.tanh(h * SCALE + x * numbers[-1] + table["bias"]) * settings.rate
        return h, h

    seen = [same(step, *data)]
    numbers.append(0.75)
    seen.append(same(step, *data))
    table["bias"] = -1.0
    seen.append(same(step, *data))
    settings.rate = 2.0
    seen.append(same(step, *data))
    monkeypatch.setitem(globals(), "SCALE", 1.5)
    seen.append(same(step, *data))
    assert all(not np.allclose(a, b) for a, b in pairwise(seen))


def test_numbers_of_another_kind_are_other_numbers(data) -> None:
    factor: list[Any] = [1]

    def step(h, x):
        return h, x.astype("int64") * factor[0]

    for factor[0], dtype in ((1, "int64"), (1.0, "float32"), (True, "int64"), (1, "int64")):
        _, ys = ts.scan(step, *data, compile=True)
        _, expected = ts.scan(step, *data, compile=False)
        assert ys.dtype == expected.dtype
        assert (ys.dtype == "int64") == (dtype == "int64")


def test_a_way_that_turns_off_and_comes_back(data) -> None:
    way = ["tanh"]

    def step(h, x):
        h = h + x
        h = getattr(ts, way[0])(h)
        return h * 0.5, h

    first = same(step, *data)
    way[0] = "sigmoid"
    assert not np.allclose(same(step, *data), first)
    way[0] = "tanh"
    np.testing.assert_array_equal(same(step, *data), first)


def test_the_step_runs_once_a_call_and_is_compared_once_in_all(data, monkeypatch) -> None:
    calls, compared = [], []
    structure = variants.structure

    def comparing(step: Any) -> Any:
        compared.append(step)
        return structure(step)

    monkeypatch.setattr(variants, "structure", comparing)

    def step(h, x):
        calls.append(h)
        h = ts.tanh(0.123 * h + x)
        return h, h

    for _ in range(3):
        ts.scan(step, *data, compile=True)
    assert len(calls) == 3
    assert len(compared) == 1


def test_weights_that_are_others_get_their_own_gradient(data, rng) -> None:
    weights = [ts.tensor(rng.standard_normal((H, H)) / 2, requires_grad=True) for _ in range(2)]
    used = [weights[0], weights[0]]

    def step(h, x):
        h = ts.tanh(h @ used[0] + x @ used[1])
        return h, h

    same(step, *data, weights[0])
    used[1] = weights[1]  # one array met twice, then two arrays
    same(step, *data, *weights)
    used.reverse()
    same(step, *data, *weights)
    weights[0].requires_grad = False
    same(step, *data, *weights)


def test_what_is_computed_of_weights_in_the_step_is_computed_anew(data, rng) -> None:
    w = ts.tensor(rng.standard_normal(H), requires_grad=True)

    def step(h, x):
        h = ts.tanh(h * ts.exp(w) + x)
        return h, h

    first = same(step, *data, w)
    w.data[...] *= -1
    assert not np.allclose(same(step, *data, w), first)


def test_an_output_that_is_a_constant(data) -> None:
    given = [ts.ones(H, "float64")]

    def step(h, x):
        return h + x, (given[-1], h)

    for value in (1.0, 2.0):
        given.append(ts.full(H, value, "float64"))
        _, (ys, _) = ts.scan(step, *data, compile=True)
        np.testing.assert_array_equal(ys.numpy(), np.full((T, H), value))


def test_an_operation_that_was_refused_leaves_no_trace(data, rng) -> None:
    w, wrong = ts.tensor(rng.standard_normal((H, H))), ts.ones((7, 7))
    tries = [False]

    def step(h, x):
        if tries[0]:
            with pytest.raises(ts.errors.ShapeError):
                h @ wrong
        h = ts.tanh(h @ w + x)
        return h, h

    first = same(step, *data)
    tries[0] = True
    np.testing.assert_array_equal(same(step, *data), first)
    tries[0] = False
    np.testing.assert_array_equal(same(step, *data), first)


def test_a_value_of_an_earlier_call_is_refused(data) -> None:
    kept: list[Any] = []

    def step(h, x):
        kept.append(h)
        h = ts.tanh(kept[0] + x)
        return h, h

    ts.scan(step, *data, compile=True)
    with pytest.raises(CompileError, match="one of another step"):
        ts.scan(step, *data, compile=True)


def test_no_grad_in_the_step_is_seen(data, rng) -> None:
    w = ts.tensor(rng.standard_normal((H, H)), requires_grad=True)
    cut = [False]

    def step(h, x):
        with ts.set_grad_enabled(not cut[0]):
            h = h @ w
        h = ts.tanh(h + x @ w)
        return h, h

    for cut[0] in (False, True, False):
        same(step, *data, w)
        with ts.no_grad():
            assert not ts.scan(step, *data, compile=True)[1].requires_grad


def test_threads_grow_the_tree_at_once(data) -> None:
    failed: list[BaseException] = []

    def work(number: int) -> None:
        try:
            for k in range(6):
                factor = 0.1 * ((number + k) % 3)

                def step(h, x, factor=factor):
                    h = ts.tanh(h * factor + x)
                    return h, h

                same(step, *data)
        except BaseException as error:  # noqa: BLE001
            failed.append(error)

    threads = [threading.Thread(target=work, args=(n,)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failed == []


def test_an_option_that_changes_fills_no_memory(data, monkeypatch) -> None:
    monkeypatch.setattr(variants, "_known", Memo(6))
    monkeypatch.setattr(retrace, "_roots", Memo(20, lambda root: 1 + root.grown))
    monkeypatch.setattr(retrace, "MOST_PLACES", 20)
    monkeypatch.setattr(trace, "_inferred", Memo(5))
    for exponent in np.linspace(1.1, 1.9, 12):

        def step(h, x, exponent=float(exponent)):
            h = ts.tanh(abs(h) ** exponent + x)
            return h, h

        same(step, *data)
        assert len(variants._known) <= 2 * 6
        assert len(trace._inferred) <= 2 * 5
        assert sum(root.grown for root in retrace._roots.values()) <= 2 * 20 + 3
