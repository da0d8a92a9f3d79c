"""The one decorator every kernel wears: compiled by Numba, free of the GIL, cached on disk."""

from __future__ import annotations

import functools
import hashlib
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

from numba import config, njit
from numba.core.caching import FunctionCache, IndexDataCacheFile, NullCache
from numba.core.runtime import rtsys

from ..base.modes import ieee
from .shield import shielded

P = ParamSpec("P")
R = TypeVar("R")


def kernel(function: Callable[P, R]) -> Callable[P, R]:
    """Return `function` as a kernel: ``njit(nogil=True, error_model="numpy")`` with a disk cache that heals itself.

    Nothing is compiled before the first call. Under ``NUMBA_DISABLE_JIT=1`` the function itself comes back, as silent
    about overflow as compiled code. Where no folder can hold a cache, the kernel is compiled once in every process.
    """
    if config.DISABLE_JIT:
        return ieee(function)
    return cached(njit(nogil=True, error_model="numpy")(function))  # type: ignore[no-any-return]


def cached(compiled: Any) -> Any:
    """Return a function that Numba is to compile, with a cache on disk that is opened when it is first called."""
    compiled._cache = _CacheOnDemand(compiled)
    compiled.compile = functools.partial(shielded, compiled.compile)
    return compiled


class _CacheOnDemand(NullCache):  # type: ignore[misc]
    """Puts a `_HealingCache` in its place when the function is first compiled: looking for a folder takes time."""

    def __init__(self, compiled: Any) -> None:
        self._compiled = compiled

    def load_overload(self, sig: object, target_context: object) -> object:
        try:
            self._compiled._cache = _HealingCache(self._compiled.py_func)
        except RuntimeError as error:
            if "cannot cache function" not in str(error):
                raise
            self._compiled._cache = NullCache()
        return self._compiled._cache.load_overload(sig, target_context)


class _HealingCache(FunctionCache):  # type: ignore[misc]
    """Numba's cache of one function, made safe against damaged, stale and unwritable files.

    Numba stamps a cache with the source file of the function alone, and writes the index before the code it points
    to. So a kernel that calls another file keeps the old callee inlined, and a crash between the two writes replays
    old code under a new stamp. Here the names of the files carry a digest of every source they are built from.
    """

    def __init__(self, function: Callable[..., object]) -> None:
        super().__init__(function)
        stamp = self._impl.locator.get_source_stamp()
        digest = hashlib.sha256(repr((stamp, kernel_sources(), compiler_settings())).encode()).hexdigest()[:16]
        self._cache_file = IndexDataCacheFile(self._cache_path, f"{self._impl.filename_base}-{digest}", stamp)

    def load_overload(self, sig: object, target_context: object) -> object:
        try:
            with self._guard_against_spurious_io_errors():
                prepare(target_context)
                return self._load_overload(sig, target_context)
        except Exception as error:  # noqa: BLE001 (a damaged pickle raises nearly any exception)
            self._warn(error)
            try:
                self.flush()
            except OSError:
                self.disable()
            return None

    def save_overload(self, sig: object, data: object) -> None:
        try:
            super().save_overload(sig, data)
        except OSError as error:
            self._warn(error)
            self.disable()

    def _warn(self, error: Exception) -> None:
        warnings.warn(
            f"tinygrad_seq: the folder of compiled kernels {self._cache_path} could not be used "
            f"({type(error).__name__}: {error}); compiling again. Delete the folder if this comes back.",
            RuntimeWarning,
            stacklevel=1,
        )


def prepare(target_context: Any) -> None:
    """Make Numba ready for code that is found compiled: of its start-up, 0.14 s, the sixth part that such code needs.

    Before it compiles anything Numba sees to the rest by itself.
    """
    rtsys.initialize(target_context)


@functools.cache
def kernel_sources() -> bytes:
    """Return a digest of every source file of this folder and those in it, for kernels call one another."""
    files = sorted(Path(__file__).parent.rglob("*.py"))
    return hashlib.sha256(b"".join(file.read_bytes() for file in files)).digest()


def compiler_settings() -> tuple[object, ...]:
    """Return the switches of Numba that change what it makes of one source; its own caches do not ask for them."""
    names = ("BOUNDSCHECK", "OPT", "LOOP_VECTORIZE", "SLP_VECTORIZE", "DEBUGINFO_DEFAULT")
    return tuple(str(getattr(config, name)) for name in names)
