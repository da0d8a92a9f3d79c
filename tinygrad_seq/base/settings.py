"""Process-wide settings: the default dtype, the random generator, the number of threads."""

from __future__ import annotations

import copy
import os
from typing import NamedTuple

import numpy as np

from ..errors import ArgumentError, CompileError, DtypeError
from .modes import quiet
from .switches import Switch, current

_generator = np.random.default_rng()
_default_dtype: np.dtype = np.dtype(np.float32)


def default_dtype() -> np.dtype:
    """Return the dtype given to Python floats and to new parameters (float32 unless changed)."""
    return _default_dtype


def set_default_dtype(dtype: np.typing.DTypeLike) -> None:
    """Set the dtype given to Python floats and to new parameters.

    Parameters
    ----------
    dtype
        ``float32`` or ``float64``.

    Raises
    ------
    DtypeError
        If `dtype` is neither.
    """
    global _default_dtype
    chosen: np.dtype = np.dtype(dtype)
    if chosen not in (np.dtype(np.float32), np.dtype(np.float64)):
        raise DtypeError(f"set_default_dtype: expected float32 or float64, got {chosen}; pass one of the two.")
    _default_dtype = chosen


# ------------------------------------------------------------------------------------------------ randomness


def generator(given: np.random.Generator | None = None) -> np.random.Generator:
    """Return `given`, or the process-wide generator: what every random function of the package draws from."""
    if given is not None and not isinstance(given, np.random.Generator):
        raise ArgumentError(
            f"generator: expected a numpy.random.Generator or None, got {given!r}; pass e.g. np.random.default_rng(0)."
        )
    if current().traced is not None:  # refused before any state has changed
        raise CompileError(
            "scan: expected a step that draws no random numbers, which would be the same at every time; "
            "draw them before the scan and pass them as xs, or pass compile=False."
        )
    return _chosen(given, current().draws)


def _chosen(given: np.random.Generator | None, draws: _Draw | None) -> np.random.Generator:
    if draws is not None:
        return draws.generator(given)
    return _generator if given is None else given


class Draws:
    """What a function draws from: recorded when it first runs, and replayed from copies when it runs again."""

    def __init__(self) -> None:
        # By identity (0: the process-wide generator): the generator, and a copy from before its first draw.
        self._first: dict[int, tuple[np.random.Generator | None, np.random.Generator]] = {}

    def record(self) -> Switch:
        """Return the context in which this thread's draws are recorded."""
        return Switch(draws=_Draw(self._first, None, current().draws))

    def replay(self) -> Switch:
        """Return the context in which this thread draws the recorded numbers; the generators stay where they are."""
        return Switch(draws=_Draw(self._first, {}, current().draws))


class _Draw(NamedTuple):
    """One run of a function that draws."""

    first: dict[int, tuple[np.random.Generator | None, np.random.Generator]]
    again: dict[int, np.random.Generator] | None
    around: _Draw | None

    def generator(self, given: np.random.Generator | None) -> np.random.Generator:
        """Return what to draw from in place of `given`."""
        key = 0 if given is None else id(given)
        if self.again is not None:
            if key not in self.again and key in self.first:
                self.again[key] = copy.deepcopy(self.first[key][1])
            if key in self.again:
                return self.again[key]
        chosen = _chosen(given, self.around)
        if self.again is None and key not in self.first:
            self.first[key] = given, copy.deepcopy(chosen)
        return chosen


def manual_seed(seed: int) -> np.random.Generator:
    """Seed the process-wide generator and return it: the same seed gives the same weights, masks and samples."""
    global _generator
    if not isinstance(seed, int | np.integer) or seed < 0:
        raise ArgumentError(f"manual_seed: expected an integer >= 0, got {seed!r}; pass e.g. manual_seed(0).")
    _generator = quiet().run(np.random.default_rng, int(seed))  # it changes NumPy's error handling, and back
    return _generator


# --------------------------------------------------------------------------------------------------- threads


def _available_cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _initial_threads() -> int:
    text = os.environ.get("TGS_THREADS")
    if text is None:
        return _available_cores()
    if not text.isdigit() or int(text) < 1:
        raise ArgumentError(f"TGS_THREADS: expected an integer >= 1, got {text!r}; set e.g. TGS_THREADS=2.")
    return int(text)


_threads = _initial_threads()


def set_num_threads(threads: int) -> None:
    """Set how many threads the kernels of this process, and the BLAS under NumPy's matmul, may use."""
    from threadpoolctl import threadpool_limits

    global _threads
    if not isinstance(threads, int | np.integer) or threads < 1:
        raise ArgumentError(f"set_num_threads: expected an integer >= 1, got {threads!r}; pass e.g. 2.")
    _threads = int(threads)
    threadpool_limits(_threads, user_api="blas")


def get_num_threads() -> int:
    """Return how many threads the kernels of this process may use (the cores at hand, or ``TGS_THREADS``)."""
    return _threads
