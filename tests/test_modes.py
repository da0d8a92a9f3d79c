"""Switches of a thread or task: no_grad, enable_grad, detect_anomaly."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from typing import Any

import numpy as np
import pytest

import tinygrad_seq as ts
from tests.grad_of import grad_of
from tinygrad_seq.errors import AnomalyError, ArgumentError
from tinygrad_seq.ops.primitive import TABLE, Primitive


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
    assert not grad_of(x).requires_grad
    np.testing.assert_array_equal(grad_of(x).numpy(), [2.0, 4.0])


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
    np.testing.assert_allclose(grad_of(x).numpy(), [np.e, 0.0])


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
        gradient, x.grad = grad_of(x), None
        with pytest.raises(AnomalyError):
            ts.sum(gradient).backward()


def test_a_switch_can_be_used_again_and_inside_itself():
    off = ts.no_grad()
    for _ in range(2):
        with off, off:
            assert not ts.is_grad_enabled()
        assert ts.is_grad_enabled()


def recorded() -> bool:
    return (leaf([1.0]) * 2).requires_grad


def test_a_switch_entered_by_hand_or_by_an_exit_stack():
    off = ts.no_grad()
    off.__enter__()
    with off:
        assert not recorded()
    assert not recorded()
    off.__exit__(None, None, None)
    assert recorded()
    with contextlib.ExitStack() as stack:
        stack.enter_context(off)
        stack.enter_context(ts.enable_grad())
        assert recorded()
        stack.pop_all().close()
        assert recorded()
        stack.enter_context(ts.no_grad())
        assert not recorded()
    assert recorded()


def test_tasks_that_take_turns_have_switches_of_their_own():
    async def worker(switch, expected):
        for _ in range(3):
            with switch:
                await asyncio.sleep(0)
                assert recorded() is expected
            assert recorded()
            await asyncio.sleep(0)

    async def together():
        off = ts.no_grad()
        await asyncio.gather(worker(off, False), worker(ts.enable_grad(), True), worker(off, False))
        assert recorded()
        with off:
            assert await asyncio.to_thread(recorded) is False

    asyncio.run(together())
    assert recorded()


def test_generators_that_take_turns_leave_nothing_on():
    def generator():
        with ts.no_grad():
            yield
            yield

    one, other = generator(), generator()
    next(one)
    next(other)
    one.close()
    assert not recorded()  # as in PyTorch, a generator that waits inside the block leaves it on
    next(other)
    other.close()
    assert recorded()


def test_decorated_generators_and_coroutines():
    @ts.no_grad()
    def generator(n):
        try:
            sent = yield recorded()
            sent = yield recorded(), sent
            try:
                yield n
            except KeyError:
                yield recorded(), "caught"
        finally:
            closed.append(recorded())
        return n

    closed: list[Any] = []
    steps = generator(7)
    assert next(steps) is False
    assert recorded()
    assert steps.send("x") == (False, "x")
    assert next(steps) == 7
    assert steps.throw(KeyError) == (False, "caught")
    assert recorded()
    with pytest.raises(StopIteration) as stop:
        next(steps)
    assert stop.value.value == 7
    steps = generator(7)
    next(steps)
    steps.close()
    assert closed == [False, False]
    assert recorded()

    @ts.no_grad()
    async def coroutine():
        await asyncio.sleep(0)
        return recorded()

    assert asyncio.run(coroutine()) is False
    with pytest.raises(ArgumentError, match="asynchronous generator"):

        @ts.no_grad()
        async def refused():
            yield


def test_threads_have_switches_of_their_own():
    found = []
    with ts.no_grad():
        thread = threading.Thread(target=lambda: found.append(recorded()))
        thread.start()
        thread.join()
        assert not recorded()
    assert found == [True]


def test_numpy_goes_on_warning_after_an_operation():
    with np.errstate(all="raise"):
        ts.log(ts.tensor([0.0]))
        with pytest.raises(FloatingPointError):
            np.log(np.zeros(1))
