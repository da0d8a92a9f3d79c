"""Process-wide settings: the default dtype, the random generator, the number of threads."""

from __future__ import annotations

import copy
import functools
import os
from typing import NamedTuple

import numpy as np

from ..errors import ArgumentError, CompileError, DtypeError
from .modes import quiet
from .switches import Switch, current

_generator = np.random.default_rng()
_default_dtype: np.dtype = np.dtype(np.float32)


def default_dtype() -> np.dtype:
    """Return the dtype of new parameters and of tensors made from Python floats.

    Returns
    -------
    numpy.dtype
        float32 unless `set_default_dtype` changed it.

    Examples
    --------
    >>> import tinygrad_seq as ts
    >>> ts.default_dtype()
    dtype('float32')
    """
    return _default_dtype


def set_default_dtype(dtype: np.typing.DTypeLike) -> None:
    """Set the dtype of new parameters and of tensors made from Python floats.

    Parameters
    ----------
    dtype
        ``float32`` or ``float64``.

    Raises
    ------
    DtypeError
        If `dtype` is neither.

    Examples
    --------
    >>> import tinygrad_seq as ts
    >>> ts.set_default_dtype("float64")
    >>> ts.tensor(0.5).dtype
    dtype('float64')
    >>> ts.set_default_dtype("float32")
    """
    global _default_dtype
    chosen: np.dtype = np.dtype(dtype)
    if chosen not in (np.dtype(np.float32), np.dtype(np.float64)):
        raise DtypeError(f"set_default_dtype: expected float32 or float64, got {chosen}; pass one of the two.")
    _default_dtype = chosen


# ------------------------------------------------------------------------------------------------ randomness


def generator(given: np.random.Generator | None = None) -> np.random.Generator:
    """Return `given`, or the process-wide generator: the source of every random function of the package."""
    if given is not None and not isinstance(given, np.random.Generator):
        raise ArgumentError(
            f"generator: expected a numpy.random.Generator or None, got {given!r}; pass e.g. np.random.default_rng(0)."
        )
    if current().traced is not None:  # raise before any state changes
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
    """The random draws of a function: recorded on its first run and replayed on later runs."""

    def __init__(self) -> None:
        # Per id (0: the process-wide generator): the generator, and a copy of it from before its first draw.
        self._first: dict[int, tuple[np.random.Generator | None, np.random.Generator]] = {}

    def record(self) -> Switch:
        """Return a context that records the draws of this thread."""
        return Switch(draws=_Draw(self._first, None, current().draws))

    def replay(self) -> Switch:
        """Return a context that replays the recorded draws; the generators themselves do not advance."""
        return Switch(draws=_Draw(self._first, {}, current().draws))


class _Draw(NamedTuple):
    """One run of a function that uses random numbers."""

    first: dict[int, tuple[np.random.Generator | None, np.random.Generator]]
    again: dict[int, np.random.Generator] | None
    around: _Draw | None

    def generator(self, given: np.random.Generator | None) -> np.random.Generator:
        """Return the generator to use in place of `given`."""
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


def drawing_from(chosen: np.random.Generator) -> Switch:
    """Return a context in which this thread draws from `chosen` in place of the process-wide generator."""
    return Switch(draws=_InPlace(chosen))


class _InPlace(NamedTuple):
    chosen: np.random.Generator

    def generator(self, given: np.random.Generator | None) -> np.random.Generator:
        """Return the generator to use in place of `given`."""
        return self.chosen if given is None else given


def manual_seed(seed: int) -> np.random.Generator:
    """Seed the process-wide random generator: the same seed gives the same weights, masks and samples.

    Parameters
    ----------
    seed
        An integer >= 0.

    Returns
    -------
    numpy.random.Generator
        The generator, which all random functions use unless they receive another.

    Raises
    ------
    ArgumentError
        If `seed` is not an integer >= 0.

    Examples
    --------
    >>> import tinygrad_seq as ts
    >>> _ = ts.manual_seed(0)
    >>> a = ts.randn(2)
    >>> _ = ts.manual_seed(0)
    >>> bool((a == ts.randn(2)).all())
    True
    """
    global _generator
    if not isinstance(seed, int | np.integer) or seed < 0:
        raise ArgumentError(f"manual_seed: expected an integer >= 0, got {seed!r}; pass e.g. manual_seed(0).")
    _generator = quiet().run(np.random.default_rng, int(seed))  # it changes NumPy's error handling, and restores it
    return _generator


# --------------------------------------------------------------------------------------------------- threads


@functools.cache
def cores() -> int:
    """Return the number of cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _initial_threads() -> int:
    text = os.environ.get("TGS_THREADS")
    if text is None:
        return cores()
    if not text.isdigit() or int(text) < 1:
        raise ArgumentError(f"TGS_THREADS: expected an integer >= 1, got {text!r}; set e.g. TGS_THREADS=2.")
    return int(text)


_MOST_THREADS = 1024
_threads = _initial_threads()


def set_num_threads(threads: int) -> None:
    """Set the number of threads that kernels, and the BLAS under NumPy's matmul, may use in this process.

    Parameters
    ----------
    threads
        An integer from 1 to 1024. Results do not depend on it.

    Raises
    ------
    ArgumentError
        If `threads` is not such an integer.

    Examples
    --------
    >>> import tinygrad_seq as ts
    >>> threads = ts.get_num_threads()
    >>> ts.set_num_threads(1)
    >>> ts.get_num_threads()
    1
    >>> ts.set_num_threads(threads)
    """
    from threadpoolctl import threadpool_limits

    global _threads
    if not isinstance(threads, int | np.integer) or not 1 <= threads <= _MOST_THREADS:
        raise ArgumentError(
            f"set_num_threads: expected an integer from 1 to {_MOST_THREADS}, got {threads!r}; pass e.g. 2."
        )
    _threads = int(threads)
    threadpool_limits(_threads, user_api="blas")


def get_num_threads() -> int:
    """Return the number of threads that kernels may use in this process.

    Returns
    -------
    int
        By default the number of available cores, or the environment variable ``TGS_THREADS``.

    Examples
    --------
    >>> import tinygrad_seq as ts
    >>> ts.get_num_threads() >= 1
    True
    """
    return _threads
