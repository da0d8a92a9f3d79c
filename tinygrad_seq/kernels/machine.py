"""A model of the machine: what decides how many threads share the work of a loop, and how.

Measured once per machine, in a tenth of a second, and stored in the cache folder. ``TGS_MACHINE=typical`` takes the
figures of a typical server in place of measured ones, so that two runs decide alike. Nothing but speed depends on it.
"""

from __future__ import annotations

import functools
import json
import os
import platform
import time
from collections.abc import Callable
from hashlib import sha256
from threading import get_ident
from typing import Any, Final, NamedTuple

import numpy as np
from numba import config

from ..base import cache_folder, settings
from ..base.locks import compiling
from ..errors import ArgumentError
from .crew import new_crew, rounds
from .gemm.packed import gemm, pack
from .llvm.address import address_of
from .llvm.simd import REGISTERS
from .pool import run_all


class Machine(NamedTuple):
    """What a thread does per second.

    Attributes
    ----------
    cores
        The cores that this process may use.
    flops
        Operations per second of a product in float32, in one thread; half as many in float64.
    near, far
        Bytes per second that a core reads of a matrix in its second cache, and of a larger one.
    cache
        Bytes of the second cache of a core.
    wake
        Seconds until another thread has begun a task.
    barrier
        Seconds that threads take to wait for each other, where all are at work.
    """

    cores: int
    flops: float
    near: float
    far: float
    cache: int
    wake: float
    barrier: float

    def product(self, rows: int, depth: int, columns: float, itemsize: int, resident: float) -> float:
        """Return how long one thread takes for a product ``(rows, depth) @ (depth, columns)`` in a loop.

        `resident` are the bytes of all matrices that it reads in an iteration.
        """
        size = depth * columns * itemsize
        read = size / (self.near if resident <= self.cache else self.far)
        return max(2 * rows * depth * columns * (itemsize / 4) / self.flops, read)

    def elements(self, count: float) -> float:
        """Return how long one thread takes for elementwise operations with so many results.

        One takes about as long as ten operations of a product: it uses half of the units, and loads and stores.
        """
        return 10 * count / self.flops


TYPICAL: Final = Machine(settings.cores(), 7e10, 5e10, 2e10, 2**20, 6e-5, 4e-7)


def machine() -> Machine:
    """Return the model of this machine, measured at the first call unless it is in the cache folder.

    Raises
    ------
    ArgumentError
        If the environment variable TGS_MACHINE is neither "typical" nor "measured".
    """
    how = os.environ.get("TGS_MACHINE", "measured")
    if how not in {"typical", "measured"}:
        raise ArgumentError(f"TGS_MACHINE: expected 'typical' or 'measured', got {how!r}; leave it unset to measure.")
    return TYPICAL if how == "typical" or config.DISABLE_JIT else _stored()


@functools.cache
def _stored() -> Machine:
    with compiling:
        cores = settings.cores()
        key = repr((1, cores, platform.node(), platform.machine(), REGISTERS)).encode()
        name = f"machine-{sha256(key).hexdigest()[:16]}.json"
        try:
            return Machine(**json.loads(cache_folder.read(cache_folder.prepare() / name)))
        except FileNotFoundError:
            pass
        except (OSError, ValueError, TypeError) as error:
            cache_folder.warn_once(error)
        found = measure(cores)
        try:
            cache_folder.write(cache_folder.prepare() / name, json.dumps(found._asdict()).encode())
        except OSError as error:
            cache_folder.warn_once(error)
        return found


def measure(cores: int) -> Machine:
    """Return the model of this machine from a tenth of a second of measurements: the best of many short runs each."""
    cache = _second_cache()
    flops = 2 * 24 * 256 * 512 / _best(_product(24, 256, 512), 20)
    near, far = (size / _best(_product(1, 256, size // 1024), count) for size, count in ((cache // 2, 20), (2**23, 8)))
    wake, barrier = (_wake(), _barrier()) if cores > 1 else (TYPICAL.wake, TYPICAL.barrier)
    return Machine(cores, flops, near, min(near, far), cache, wake, barrier)


def _best(run: Callable[[], Any], count: int) -> float:
    run()
    found = []
    for _ in range(count):
        begin = time.perf_counter()
        run()
        found.append(time.perf_counter() - begin)
    return min(found)


def _product(rows: int, depth: int, columns: int) -> Callable[[], None]:
    a, c = (np.ones((rows, size), np.float32) for size in (depth, columns))
    b = pack(np.ones((depth, columns), np.float32))
    return lambda: gemm(a, b, c, False)


def _second_cache() -> int:
    """Return the bytes of the second cache of a core, as Linux says; those of a typical one elsewhere."""
    try:
        size = os.sysconf("SC_LEVEL2_CACHE_SIZE")
    except (AttributeError, OSError, ValueError):
        size = 0
    return size if size >= 2**16 else TYPICAL.cache


def _wake() -> float:
    """Return how long another thread takes to begin a task, in the better runs of some."""
    me, longest = get_ident(), 1e-3

    def note(came: list[float]) -> None:
        if get_ident() != me:
            came.append(time.perf_counter())
        while not came and time.perf_counter() < begin + longest:
            time.sleep(0)  # the GIL is free now and then

    found = []
    for _ in range(20):
        came: list[float] = []
        begin = time.perf_counter()
        run_all([functools.partial(note, came)] * 2)
        found.append(came[0] - begin if came else longest)
    return sorted(found)[len(found) // 4]


def _barrier() -> float:
    """Return how long an epoch takes that has nothing to do, in the best of some runs."""
    count, found = 1000, [1e-5]
    for _ in range(10):
        crew = new_crew(2)
        begin = time.perf_counter()
        run_all([functools.partial(rounds, address_of(crew), me, count, 2) for me in range(2)])
        found.append((time.perf_counter() - begin) / count)
    return min(found[1:], default=found[0])
