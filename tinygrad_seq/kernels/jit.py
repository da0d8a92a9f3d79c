"""The decorator of every kernel: compiled by Numba, runs without the GIL, cached on disk."""

from __future__ import annotations

import contextlib
import functools
import hashlib
import io
import pickle
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

from numba import config, njit
from numba.core.caching import (
    CompileResultCacheImpl,
    FunctionCache,
    IndexDataCacheFile,
    InTreeCacheLocator,
    NullCache,
    UserProvidedCacheLocator,
    UserWideCacheLocator,
)
from numba.core.runtime import rtsys

from ..base import cache_folder
from ..base.modes import ieee
from .shield import shielded

P = ParamSpec("P")
R = TypeVar("R")


def kernel(function: Callable[P, R]) -> Callable[P, R]:
    """Return `function` as a kernel: ``njit(nogil=True, error_model="numpy")`` with a self-repairing disk cache.

    Compilation happens at the first call. Under ``NUMBA_DISABLE_JIT=1`` the function itself is returned, without
    warnings about overflow, like compiled code. If no folder can hold a cache, each process compiles the kernel once.
    """
    if config.DISABLE_JIT:
        return ieee(function)
    return cached(njit(nogil=True, error_model="numpy")(function))  # type: ignore[no-any-return]


def cached(compiled: Any) -> Any:
    """Give a Numba dispatcher a disk cache that is opened at the first call."""
    compiled._cache = _CacheOnDemand(compiled)
    compiled.compile = functools.partial(shielded, compiled.compile)
    return compiled


class _CacheOnDemand(NullCache):  # type: ignore[misc]
    """Replaces itself with a `_HealingCache` at the first compilation, since finding a folder takes time."""

    def __init__(self, compiled: Any) -> None:
        self._compiled = compiled

    def load_overload(self, sig: object, target_context: object) -> object:
        try:
            self._compiled._cache = _HealingCache(self._compiled.py_func)
        except (OSError, RuntimeError) as error:
            if isinstance(error, OSError):
                cache_folder.warn_once(error)
            elif "cannot cache function" not in str(error):
                raise
            self._compiled._cache = NullCache()
        return self._compiled._cache.load_overload(sig, target_context)


class _Named(UserProvidedCacheLocator):  # type: ignore[misc]
    """The folder ``NUMBA_CACHE_DIR``."""

    def ensure_cache_path(self) -> None:
        folder = Path(self.get_cache_path())
        try:
            cache_folder.prepare(folder.parent)
            cache_folder.prepare(folder)
        except OSError as error:
            _warn_of_named(str(error))
            raise
        super().ensure_cache_path()


class _InTree(InTreeCacheLocator):  # type: ignore[misc]
    """The folder ``__pycache__`` next to the source."""

    def ensure_cache_path(self) -> None:
        super().ensure_cache_path()
        cache_folder.prepare(Path(self.get_cache_path()))


class _OfUser(UserWideCacheLocator):  # type: ignore[misc]
    """The folder of generated kernels."""

    def __init__(self, function: Callable[..., object], file: str) -> None:
        super().__init__(function, file)
        self._cache_path = str(cache_folder.locate())

    def ensure_cache_path(self) -> None:
        try:
            cache_folder.prepare()
        except OSError as error:
            cache_folder.warn_once(error)
            raise
        super().ensure_cache_path()


class _Placed(CompileResultCacheImpl):  # type: ignore[misc]
    """Numba takes the first folder that raises no OSError."""

    _locator_classes = (_Named, _InTree, _OfUser)


class _Files(IndexDataCacheFile):  # type: ignore[misc]
    """Numba's index and code files, checked and written as all files of `cache_folder`: they hold pickles."""

    def _load_index(self) -> dict[Any, str]:
        try:
            file = io.BytesIO(cache_folder.read(Path(self._index_path)))
        except FileNotFoundError:
            return {}
        if pickle.load(file) != self._version:
            return {}
        stamp, overloads = pickle.load(file)
        return overloads if stamp == self._source_stamp else {}

    def _load_data(self, name: str) -> Any:
        return pickle.loads(cache_folder.read(Path(self._data_path(name))))

    @contextlib.contextmanager
    def _open_for_write(self, filepath: str) -> Iterator[io.BytesIO]:
        content = io.BytesIO()
        yield content
        cache_folder.write(Path(filepath), content.getvalue())


class _HealingCache(FunctionCache):  # type: ignore[misc]
    """Numba's cache of one function, safe against damaged, stale, foreign and unwritable files.

    Numba stamps a cache with the function's own source file only, and writes the index before the code it points to. A
    kernel that calls functions of another file would keep the old callee inlined, and a crash between the two writes
    would reuse old code under a new stamp. Here the file names contain a digest of all kernel sources.
    """

    _impl_class = _Placed

    def __init__(self, function: Callable[..., object]) -> None:
        super().__init__(function)
        cache_folder.prepare(Path(self._cache_path))  # NUMBA_CACHE_LOCATOR_CLASSES may have chosen it
        stamp = self._impl.locator.get_source_stamp()
        digest = hashlib.sha256(repr((stamp, kernel_sources(), compiler_settings())).encode()).hexdigest()[:16]
        self._cache_file = _Files(self._cache_path, f"{self._impl.filename_base}-{digest}", stamp)

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


@functools.cache
def _warn_of_named(problem: str) -> None:
    warnings.warn(
        f"tinygrad_seq: NUMBA_CACHE_DIR is not used for the kernels of this package: {problem}; they are stored in "
        "another folder. Set it to a folder that only you can write.",
        RuntimeWarning,
        stacklevel=1,
    )


def prepare(target_context: Any) -> None:
    """Initialise the part of Numba that cached code needs: 0.02 s of the full start-up of 0.14 s.

    Numba initialises the rest itself before it compiles.
    """
    rtsys.initialize(target_context)


@functools.cache
def kernel_sources() -> bytes:
    """Return a digest of all source files below this folder, since kernels call one another."""
    files = sorted(Path(__file__).parent.rglob("*.py"))
    return hashlib.sha256(b"".join(file.read_bytes() for file in files)).digest()


def compiler_settings() -> tuple[object, ...]:
    """Return the Numba settings that affect code generation; Numba's own caches ignore them."""
    names = ("BOUNDSCHECK", "OPT", "LOOP_VECTORIZE", "SLP_VECTORIZE", "DEBUGINFO_DEFAULT")
    return tuple(str(getattr(config, name)) for name in names)
