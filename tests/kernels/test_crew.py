"""Threads that share the parts of each phase: every part once, whoever is absent, late or suspended; the model."""

from __future__ import annotations

import json
import threading
import time
from functools import partial
from typing import Any

import numpy as np
import pytest
from numba import config

from tinygrad_seq.base import cache_folder
from tinygrad_seq.errors import ArgumentError
from tinygrad_seq.kernels import machine as machine_file
from tinygrad_seq.kernels.compile.generated import load
from tinygrad_seq.kernels.crew import DONE, LATE, LINE, PRESENT, STATE, Recess, new_crew, was_late
from tinygrad_seq.kernels.llvm.address import address_of
from tinygrad_seq.kernels.machine import TYPICAL, machine, measure
from tinygrad_seq.scan.run.launch import Cost, choose

compiled_only = pytest.mark.skipif(bool(config.DISABLE_JIT), reason="no machine code then")

TEXT = """
import numpy as np
from numpy import float64 as f8, int64 as i8, uint64 as u8
from tinygrad_seq.kernels import crew
from tinygrad_seq.kernels.crew import finish, take
from tinygrad_seq.kernels.llvm.address import vector
crew.ready()


def run(addresses, sizes, members, me, parts):
    T = sizes[0]
    n = sizes[1]
    one = u8(1)
    x = vector(addresses[0], n * u8(2), f8(0))
    counts = vector(addresses[1], parts, i8(0))
    turns = parts + one if parts > one else one
    for p in range(T):
        now = (p & one) * n
        next = (one - (p & one)) * n
        for turn in range(turns):
            part = take(members, me, p + one, parts)
            if part < parts:
                for j in range(part * n // parts, (part + one) * n // parts):
                    s = f8(0)
                    for k in range(n):
                        s = s + x[now + k] * f8(0.9)
                    x[next + j] = s / f8(n) + f8(0.1)
                counts[part] += i8(1)
                finish(members, part, p + one)
"""
T, SIZE = 300, 40


class Work:
    """A loop of T steps, each of which reads all that the step before it made."""

    def __init__(self, parts: int) -> None:
        self.run = load(TEXT, "run", "void(uint64[::1], uint64[::1], uint64, uint64, uint64)")
        self.parts, self.crew = parts, new_crew(parts)
        self.x, self.counts = np.zeros(2 * SIZE), np.zeros(parts, np.int64)
        self.x[:SIZE] = np.arange(SIZE)
        self.addresses = np.array([address_of(self.x), address_of(self.counts)], np.uint64)

    def of(self, me: int, delay: float = 0.0) -> None:
        time.sleep(delay)
        members = address_of(self.crew) if self.parts > 1 else 0
        self.run(self.addresses, np.array([T, SIZE], np.uint64), members, me, self.parts)

    def check(self) -> None:
        alone = Work(1)
        alone.of(0)
        np.testing.assert_array_equal(self.x, alone.x)
        assert list(self.counts) == [T] * self.parts


def started(*functions: Any) -> list[threading.Thread]:
    threads = [threading.Thread(target=function) for function in functions]
    for thread in threads:
        thread.start()
    return threads


@compiled_only
@pytest.mark.parametrize("parts", [2, 3, 7])
@pytest.mark.parametrize("delay", [0.0, 0.001])
def test_every_part_is_done_once_whoever_comes_when(parts: int, delay: float) -> None:
    for _ in range(5):
        work = Work(parts)
        threads = started(*[partial(work.of, me, delay * me) for me in range(1, parts)])
        work.of(0)
        for thread in threads:
            thread.join()
        work.check()


@compiled_only
def test_one_thread_does_the_parts_of_those_that_never_come() -> None:
    work = Work(3)
    work.of(0)
    work.check()
    assert not was_late(work.crew)
    for me in (1, 2):  # they find everything done
        work.of(me)
    work.check()


@compiled_only
def test_a_thread_that_is_present_and_does_not_begin_is_replaced() -> None:
    work = Work(2)
    work.crew[1, STATE // 8] = PRESENT
    work.of(0)
    work.check()
    assert not was_late(work.crew)


@compiled_only
def test_the_others_wait_for_a_thread_that_is_suspended_inside_a_part_and_go_on_without_it() -> None:
    work = Work(2)
    work.crew[1, 0], work.crew[1, STATE // 8] = 1, PRESENT  # it has begun its part of the first epoch
    (other,) = started(partial(work.of, 0))
    time.sleep(0.05)
    assert other.is_alive()
    assert list(work.counts) == [1, 0]
    assert was_late(work.crew)
    for j in range(SIZE // 2, SIZE):  # it does its part now
        s = 0.0
        for k in range(SIZE):
            s += work.x[k] * 0.9
        work.x[SIZE + j] = s / SIZE + 0.1
    work.counts[1] += 1
    work.crew[1, DONE // 8] = 1
    other.join(30)
    assert not other.is_alive()
    work.of(1)  # it leaves
    work.check()
    assert work.crew[1, STATE // 8] == LATE


def test_the_parts_do_not_share_cache_lines() -> None:
    crew = new_crew(3)
    assert crew.strides[0] == LINE
    assert address_of(crew) % LINE == 0
    assert not crew.any()


def test_pauses_grow_while_a_neighbour_is_busy_and_shrink_afterwards(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [100.0]
    monkeypatch.setattr("tinygrad_seq.kernels.crew.time.monotonic", lambda: now[0])
    recess, pauses = Recess(), []
    assert recess.is_over()
    for _ in range(12):
        recess.note(late=True)
        assert not recess.is_over()
        pauses.append(recess.pause)
        now[0] += recess.pause
        assert recess.is_over()
    assert pauses[:3] == [0.01, 0.02, 0.04]
    assert pauses[-1] == Recess.longest
    for _ in range(12):
        recess.note(late=False)
    assert recess.pause == 0
    assert recess.is_over()


# ------------------------------------------------------------------------------------------------------- the model

MODEL = TYPICAL._replace(cores=8)
LSTM_512 = Cost(((1, 512, 2048, 4),), 20 * 512, 1)


def test_few_rows_of_a_wide_loop_share_columns_many_share_rows() -> None:
    assert choose(LSTM_512, 100, 1, 2, MODEL)[:2] == (2, True)
    assert choose(LSTM_512, 100, 64, 2, MODEL)[:2] == (2, False)
    assert choose(LSTM_512, 100, 64, 1, MODEL)[:2] == (1, False)


def test_short_loops_stay_on_one_thread() -> None:
    small = Cost(((1, 16, 64, 4),), 20 * 16, 1)
    assert choose(small, 10, 1, 8, MODEL)[:2] == (1, False)
    assert choose(small, 10, 8, 8, MODEL)[:2] == (1, False)


def test_columns_need_epochs_and_cores() -> None:
    assert not choose(LSTM_512._replace(epochs=0), 100, 1, 2, MODEL).columns
    assert choose(LSTM_512, 100, 1, 8, MODEL._replace(cores=2)).threads == 2


def test_the_model_is_typical_where_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TGS_MACHINE", "typical")
    assert machine() == TYPICAL
    monkeypatch.setenv("TGS_MACHINE", "fast")
    with pytest.raises(ArgumentError, match="TGS_MACHINE: expected 'typical' or 'measured', got 'fast'"):
        machine()


@compiled_only
def test_the_model_is_measured_once_and_stored(monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> None:
    monkeypatch.setenv("TGS_MACHINE", "measured")
    prepare = cache_folder.prepare
    monkeypatch.setattr(cache_folder, "prepare", lambda folder=None: prepare(folder) if folder else tmp_path)
    counted: list[int] = []

    def measured(cores: int) -> Any:
        counted.append(cores)
        return measure(cores)

    monkeypatch.setattr(machine_file, "measure", measured)
    machine_file._stored.cache_clear()
    first = machine()
    machine_file._stored.cache_clear()
    assert machine() == first
    assert len(counted) == 1
    (path,) = tmp_path.iterdir()
    assert json.loads(path.read_text())["cores"] == first.cores
    assert min(first) > 0
    assert first.far <= first.near
    machine_file._stored.cache_clear()
