"""The pool: what runs where, several callers, nesting, exceptions, interrupts, fork, exit and the settings."""

import contextvars
import os
import signal
import subprocess
import sys
import threading
import time
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import tinygrad_seq as ts
from tinygrad_seq.kernels import pool
from tinygrad_seq.kernels.pool import pays_off, run_all, side_by_side, split, workers

ROOT = Path(pool.__file__).parents[2]
MOMENT = 0.02


@pytest.fixture(autouse=True)
def threads(monkeypatch):
    """Let every test use four threads, whatever the machine has, and leave no setting behind."""
    monkeypatch.setattr("tinygrad_seq.base.settings._threads", 4)


def run(script, **settings):
    environment = {**os.environ, "PYTHONPATH": str(ROOT), **settings}
    command = [sys.executable, "-W", "error::RuntimeWarning", "-c", script]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.split()


def note(seen, moment=0.0):
    """Add the thread that runs this to `seen`."""
    time.sleep(moment)
    seen.append(threading.current_thread())


@given(count=st.integers(0, 60), parts=st.integers(1, 12))
def test_ranges_are_even_and_make_up_the_whole(count, parts):
    ranges = split(count, parts)
    assert [i for start, stop in ranges for i in range(start, stop)] == list(range(count))
    sizes = {stop - start for start, stop in ranges}
    assert len(ranges) == min(count, parts)
    assert 0 not in sizes
    assert max(sizes, default=0) - min(sizes, default=0) <= 1


def test_threads_follow_the_work_and_the_setting(monkeypatch):
    assert [workers(work) for work in (0.0, 0.0004, 0.0009, 0.0011, 0.0016, 10.0)] == [1, 1, 1, 2, 3, 4]
    monkeypatch.setattr("tinygrad_seq.base.settings._threads", 2)
    assert workers(10.0) == 2


@pytest.mark.parametrize("count", [0, 1, 2, 5, 40])
def test_every_task_runs_once_and_the_first_here(count):
    seen: list[list[Any]] = [[] for _ in range(count)]
    run_all([partial(note, calls) for calls in seen])
    assert all(len(calls) == 1 for calls in seen)
    assert not count or seen[0] == [threading.current_thread()]


def test_tasks_run_at_the_same_time():
    meeting = threading.Barrier(3)
    run_all([partial(meeting.wait, 30)] * 3)  # a task that waits for one that has not begun would break the barrier


@pytest.mark.parametrize("limit", [1, 2, 3])
def test_no_more_threads_than_set_work_on_a_call(monkeypatch, limit):
    run_all([partial(time.sleep, MOMENT)] * 8)  # leaves three threads waiting
    monkeypatch.setattr("tinygrad_seq.base.settings._threads", limit)
    seen: list[Any] = []
    run_all([partial(note, seen, MOMENT)] * 12)
    assert 1 <= len(set(seen)) <= limit
    assert len(seen) == 12


def test_set_num_threads_holds_from_the_next_call_on():
    script = """if True:
        import threading, tinygrad_seq as ts
        from tinygrad_seq.kernels.pool import run_all, workers
        for threads in (3, 1, 2):
            ts.set_num_threads(threads)
            meeting = threading.Barrier(workers(1.0))
            run_all([lambda: meeting.wait(30)] * workers(1.0))
            print(workers(1.0), threading.active_count())
    """
    assert run(script, TGS_THREADS="5") == ["3", "3", "1", "3", "2", "3"]


@pytest.mark.parametrize("threads", ["1", "3"])
def test_the_environment_sets_the_threads(threads):
    script = "from tinygrad_seq.kernels.pool import workers; print(workers(1.0))"
    assert run(script, TGS_THREADS=threads) == [threads]


def test_a_task_of_a_task_runs_in_the_same_thread_if_all_are_busy():
    run_all([partial(time.sleep, MOMENT)] * 4)  # leaves three threads waiting
    inner: list[list[Any]] = [[], [], [], []]
    counts: list[Any] = []

    def outer(seen):
        counts.append(workers(1.0))
        run_all([partial(note, seen, MOMENT)] * 5)
        note(seen)

    run_all([partial(outer, seen) for seen in inner])
    assert [len(set(seen)) for seen in inner] == [1] * 4
    assert [len(seen) for seen in inner] == [6] * 4
    assert counts == [1] * 4
    assert workers(1.0) == 4


def test_tasks_share_the_threads():
    counts: list[Any] = []

    def outer(meeting):
        counts.append(workers(1.0))
        run_all([partial(meeting.wait, 30)] * 2)  # passes only if two threads are at work

    run_all([partial(outer, threading.Barrier(2)) for _ in range(2)])
    assert counts == [2, 2]


def test_a_task_runs_in_a_copy_of_the_context_of_its_caller():
    number = contextvars.ContextVar("number", default=0)
    number.set(7)

    def task(meeting):
        meeting.wait(30)  # on three threads
        found = number.get(), ts.is_grad_enabled(), np.geterr()["over"]
        number.set(8)
        return found

    with ts.no_grad(), np.errstate(over="ignore"):
        found = side_by_side([partial(task, threading.Barrier(3))] * 3)
    assert found == [(7, False, "ignore")] * 3
    assert number.get() == 7


def test_results_come_in_the_order_of_the_functions():
    def late(number):
        time.sleep(MOMENT * (3 - number))
        return number

    assert side_by_side([partial(late, number) for number in range(4)]) == [0, 1, 2, 3]


def test_work_pays_off_side_by_side_where_enough_can_be_done_elsewhere(monkeypatch):
    assert pays_off([1.0, 1.0])
    assert not pays_off([1.0])
    assert not pays_off([1.0, 1e-5])
    monkeypatch.setattr("tinygrad_seq.base.settings._threads", 1)
    assert not pays_off([1.0, 1.0])


def test_several_python_threads_at_once():
    counts = [0] * 8

    def add(n, numbers, value):
        numbers.append(value)

    def call(n):
        for _ in range(100):
            numbers: list[int] = []
            run_all([partial(add, n, numbers, value) for value in range(6)])
            counts[n] += sorted(numbers) == list(range(6))

    callers = [threading.Thread(target=call, args=(n,)) for n in range(8)]
    for caller in callers:
        caller.start()
    for caller in callers:
        caller.join()
    assert counts == [100] * 8


def test_the_first_exception_comes_after_all_tasks_ran():
    seen: list[Any] = []

    def fail(moment, name):
        time.sleep(moment)
        raise ValueError(name)

    tasks = [partial(note, seen), partial(fail, 2 * MOMENT, "first"), partial(fail, 0, "second")]
    for _ in range(3):
        seen.clear()
        with pytest.raises(ValueError, match="first"):
            run_all([*tasks, partial(note, seen, 3 * MOMENT)])
        assert len(seen) == 2
    run_all([partial(note, seen)] * 3)
    assert len(seen) == 5


def test_an_exception_of_the_only_task_is_raised():
    with pytest.raises(ZeroDivisionError):
        run_all([lambda: 1 // 0])


def test_an_exception_leaves_no_cycle_that_keeps_its_arrays():
    import gc
    import weakref

    class Data:
        pass

    def fail(data):
        raise ValueError(data.__class__.__name__)

    gc.disable()
    try:
        data = Data()
        alive = weakref.ref(data)
        with pytest.raises(ValueError, match="Data") as caught:
            run_all([partial(fail, data), partial(note, [])])
        del data, caught
        assert alive() is None
    finally:
        gc.enable()


@pytest.mark.skipif(not hasattr(signal, "pthread_kill"), reason="signals to a thread exist on POSIX only")
def test_an_interrupt_waits_for_the_tasks_that_run():
    main = threading.main_thread().ident
    assert main is not None
    seen: list[Any] = []

    def interrupt():
        time.sleep(MOMENT)  # the caller waits for this task by now
        signal.pthread_kill(main, signal.SIGINT)
        time.sleep(MOMENT)
        note(seen)

    meeting = threading.Barrier(2)
    with pytest.raises(KeyboardInterrupt):
        run_all([partial(meeting.wait, 30), lambda: (meeting.wait(30), interrupt())])
    assert seen
    assert seen[0] is not main


def test_the_caller_works_alone_where_no_thread_can_start(monkeypatch):
    def refuse(thread):
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(pool, "_pool", pool._Pool())
    monkeypatch.setattr(threading.Thread, "start", refuse)
    seen: list[Any] = []
    run_all([partial(note, seen)] * 5)
    assert seen == [threading.current_thread()] * 5


MEET = """
import os, sys, threading
from tinygrad_seq.kernels.pool import run_all

def meet(threads=3):
    meeting = threading.Barrier(threads)
    run_all([lambda: meeting.wait(30)] * threads)
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="fork exists on POSIX only")
def test_a_forked_child_has_a_pool_of_its_own():
    script = """
meet()
child = os.fork()
if child == 0:
    assert threading.active_count() == 1
    meet()
    os._exit(7)
meet()
print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""
    assert run(MEET + script, TGS_THREADS="3") == ["7"]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="fork exists on POSIX only")
def test_a_child_forked_while_another_thread_works():
    script = """
begun, end = threading.Event(), threading.Event()
caller = threading.Thread(target=run_all, args=([end.wait, lambda: (begun.set(), end.wait())],))
caller.start()
begun.wait()
child = os.fork()
if child == 0:
    meet()
    os._exit(7)
print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
end.set()
caller.join()
"""
    assert run(MEET + script, TGS_THREADS="3") == ["7"]


def test_the_interpreter_ends_without_waiting_for_the_pool():
    script = """
import atexit
atexit.register(lambda: (run_all([lambda: None] * 20), print("end")))
class Late:
    def __del__(self, run_all=run_all):
        run_all([lambda: None] * 20)
late = Late()
meet()
"""
    assert run(MEET + script, TGS_THREADS="3") == ["end"]


def test_threads_are_made_when_they_are_needed():
    script = "import threading, tinygrad_seq.kernels.pool; print(threading.active_count())"
    assert run(script) == ["1"]


def test_the_public_setting_is_the_one_used():
    assert ts.get_num_threads() == 4
