"""Switches of a thread: no_grad, enable_grad, detect_anomaly."""

from __future__ import annotations

import threading

import numpy as np
import pytest

import tinygrad_seq as ts
from tinygrad_seq.errors import AnomalyError
from tinygrad_seq.primitive import TABLE, Primitive


def leaf(values) -> ts.Tensor:
    return ts.tensor(np.asarray(values, np.float64), requires_grad=True)


def test_no_grad_as_context_and_decorator():
    x = leaf([1.0, 2.0])

    @ts.no_grad()
    def double(x):
        return x * 2.0

    for _ in range(2):
        assert not double(x).requires_grad
        assert ts.is_grad_enabled()
    with ts.no_grad():
        assert not ts.is_grad_enabled()
        y = x * 2.0
        with ts.enable_grad():
            assert (x * 2.0).requires_grad
        with ts.set_grad_enabled(True):
            assert (x * 2.0).requires_grad
        assert not ts.is_grad_enabled()
    assert y.is_leaf
    assert y._source is None


def test_mode_is_restored_after_an_error():
    def fail():
        raise KeyError("inside")

    with pytest.raises(KeyError), ts.no_grad(), ts.detect_anomaly():
        fail()
    assert ts.is_grad_enabled()
    assert (leaf([1.0]) * 1.0).requires_grad
    ts.log(ts.tensor([0.0]) + 1.0)


def test_backward_works_and_records_nothing_under_no_grad():
    x = leaf([1.0, 2.0])
    y = ts.sum(x * x)
    with ts.no_grad():
        y.backward()
    assert not x.grad.requires_grad
    np.testing.assert_array_equal(x.grad.numpy(), [2.0, 4.0])


def test_mode_belongs_to_its_thread():
    x, entered, checked = leaf([1.0]), threading.Event(), threading.Event()
    inside: list[bool] = []

    def work():
        inside.append((x * 2.0).requires_grad)
        with ts.no_grad(), ts.detect_anomaly():
            entered.set()
            checked.wait(10)
            inside.append((x * 2.0).requires_grad)

    with ts.no_grad():
        thread = threading.Thread(target=work)
        thread.start()
        assert entered.wait(10)
        with ts.enable_grad():
            assert (x * 2.0).requires_grad
    with np.errstate(all="ignore"):
        assert np.isinf(ts.log(ts.tensor([0.0])).numpy()[0])
    checked.set()
    thread.join()
    assert inside == [True, False]


def test_anomaly_of_a_forward_names_operation_index_and_line():
    x = leaf([[1.0, 2.0], [0.0, 3.0]])
    with ts.detect_anomaly(), pytest.raises(AnomalyError) as caught:
        ts.log(x)  # the culprit
    message = str(caught.value)
    for part in ("'log'", "-inf", "(1, 0)", "test_modes.py", "# the culprit"):
        assert part in message


def test_anomaly_of_a_gradient_names_operation_and_line_of_the_forward():
    x = leaf([1.0, 0.0])
    with ts.detect_anomaly():
        y = ts.sum(ts.sqrt(x))  # the culprit
        with pytest.raises(AnomalyError) as caught:
            y.backward()
    message = str(caught.value)
    for part in ("gradient of 'sqrt'", "inf", "(1,)", "test_modes.py", "# the culprit"):
        assert part in message
    assert x.grad is None


def test_anomaly_lets_infinities_of_the_user_pass():
    x = leaf([1.0, 2.0])
    with ts.detect_anomaly():
        masked = ts.where(np.array([True, False]), x, -np.inf)
        assert masked.numpy()[1] == -np.inf
        ts.sum(ts.exp(masked)).backward()
        assert (x > 1).numpy().tolist() == [False, True]
    np.testing.assert_allclose(x.grad.numpy(), [np.e, 0.0])


def test_anomaly_in_one_of_several_results_and_at_second_order():
    before = dict(TABLE)
    try:
        pair = Primitive("planted_pair", lambda x: (x, x / 0.0), (lambda g, _y, _x: g[0],), multiple=True)
        with (
            np.errstate(all="ignore"),
            ts.detect_anomaly(),
            pytest.raises(AnomalyError, match="'planted_pair' made inf"),
        ):
            pair(leaf([1.0]))
    finally:
        TABLE.clear()
        TABLE.update(before)
    x = leaf([0.0])
    with ts.detect_anomaly():
        ts.sum(x**1.5).backward(create_graph=True)
        gradient, x.grad = x.grad, None
        with pytest.raises(AnomalyError):
            ts.sum(gradient).backward()


def test_a_switch_can_be_used_again_and_inside_itself():
    off = ts.no_grad()
    for _ in range(2):
        with off, off:
            assert not ts.is_grad_enabled()
        assert ts.is_grad_enabled()
