"""A fork while other threads compile: the child has every lock."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

import tinygrad_seq as ts
from tinygrad_seq.base import locks

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork")

WHILE_COMPILING = """
import faulthandler, multiprocessing, os, sys, threading, time
import tinygrad_seq as ts

def work(k):
    "Compile a step that nobody has compiled, and send a gradient back through it."
    u = ts.ones((3, 3), requires_grad=True)
    for _ in range(1 + k % 7):
        u = ts.tanh(u)
    def step(h, x):
        for n in range(k.bit_length()):
            h = ts.tanh(h * 0.5 + x) if k >> n & 1 else ts.sin(h + x)
        return h @ u, h
    ts.scan(step, ts.zeros((2, 3)), ts.ones((4, 2, 3)), compile=True)[0].sum().backward()

def child(k):
    faulthandler.dump_traceback_later(100, exit=True)
    work(k)

def loop(k):
    while not stop:
        work(k)
        k += 1

stop, seed = [], int(sys.argv[1])
threads = [threading.Thread(target=loop, args=(seed + 1000 * n,)) for n in range(1)]
for thread in threads:
    thread.start()
hung = 0
for k in range(int(sys.argv[2])):
    time.sleep(0.05)
    if k % 2:
        process = multiprocessing.get_context("fork").Process(target=child, args=(k,))
        process.start()
        process.join()
        hung += process.exitcode != 0
    else:
        pid = os.fork()
        if pid == 0:
            child(k)
            os._exit(0)
        hung += os.waitpid(pid, 0)[1] != 0
stop.append(1)
for thread in threads:
    thread.join()
print("hung", hung)
"""


def test_a_child_of_a_process_that_compiles_does_not_hang(tmp_path: Path) -> None:
    environment = {**os.environ, "TGS_CACHE_DIR": str(tmp_path), "PYTHONPATH": str(Path(ts.__file__).parents[1])}
    command = [sys.executable, "-c", WHILE_COMPILING, "4097", "3"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300, check=False)
    assert done.stdout == "hung 0\n", done.stdout + done.stderr


def test_a_fork_waits_for_a_lock_and_the_child_has_it() -> None:
    lock, taken = locks.make_lock(), threading.Event()

    def hold() -> None:
        with lock:
            taken.set()
            time.sleep(0.1)

    thread = threading.Thread(target=hold)
    try:
        thread.start()
        taken.wait()
        pid = os.fork()
        if pid == 0:
            found = lock.acquire(timeout=5) and locks.compiling.acquire(timeout=5)
            os._exit(0 if found else 1)
        assert os.waitpid(pid, 0)[1] == 0
        assert lock.acquire(timeout=5)
        lock.release()
    finally:
        thread.join()
        locks._pairs.pop()
