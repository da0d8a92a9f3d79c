"""Process-wide settings: the default dtype, the random generator, the number of threads."""

from __future__ import annotations

import copy
import os
import threading

import numpy as np

from .errors import ArgumentError, CompileError, DtypeError

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
    if _drawing.refused:
        raise CompileError(
            "scan: expected a step that draws no random numbers, which would be the same at every time; "
            "draw them before the scan and pass them as xs, or pass compile=False."
        )
    return _chosen(given, _drawing.draws)


def _chosen(given: np.random.Generator | None, draws: Draws | None) -> np.random.Generator:
    if draws is not None:
        return draws.generator(given)
    return _generator if given is None else given


class _Drawing(threading.local):
    refused = False
    draws: Draws | None = None


class Draws:
    """The context that records what this thread draws from; entered again, it replays the same numbers.

    A replay draws from copies: the generators themselves advance the first time only.
    """

    def __init__(self) -> None:
        # By identity (0: the process-wide generator): the generator, and a copy from before its first draw.
        self._first: dict[int, tuple[np.random.Generator | None, np.random.Generator]] = {}
        self._again: dict[int, np.random.Generator] | None = None
        self._around: Draws | None = None

    def __enter__(self) -> None:
        self._around, _drawing.draws = _drawing.draws, self

    def __exit__(self, *error: object) -> None:
        _drawing.draws, self._around = self._around, None
        self._again = {}

    def generator(self, given: np.random.Generator | None) -> np.random.Generator:
        """Return what to draw from in place of `given`."""
        key = 0 if given is None else id(given)
        if self._again is not None:
            if key not in self._again and key in self._first:
                self._again[key] = copy.deepcopy(self._first[key][1])
            if key in self._again:
                return self._again[key]
        chosen = _chosen(given, self._around)
        if self._again is None and key not in self._first:
            self._first[key] = given, copy.deepcopy(chosen)
        return chosen


_drawing = _Drawing()


class RefusedDraws:
    """The context in which `generator` raises a `CompileError` in this thread, before any state has changed."""

    def __enter__(self) -> None:
        self._before, _drawing.refused = _drawing.refused, True

    def __exit__(self, *error: object) -> None:
        _drawing.refused = self._before


def manual_seed(seed: int) -> np.random.Generator:
    """Seed the process-wide generator and return it: the same seed gives the same weights, masks and samples."""
    global _generator
    if not isinstance(seed, int | np.integer) or seed < 0:
        raise ArgumentError(f"manual_seed: expected an integer >= 0, got {seed!r}; pass e.g. manual_seed(0).")
    _generator = np.random.default_rng(int(seed))
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
