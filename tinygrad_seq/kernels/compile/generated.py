"""Kernels whose source is generated at run time: compiled once per machine, then loaded from disk.

    text ──► key ──► in memory? ──► on disk, complete and trusted? ──► compile, store

The text in memory is what runs: the file next to the stored code is for readers and is never executed. Stored code is a
pickle, so its digest is checked before unpickling.
"""

from __future__ import annotations

import functools
import hashlib
import linecache
import pickle
import platform
import sys
import weakref
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import llvmlite
import numba
import numpy as np
from numba import config, njit
from numba.core import serialize, sigutils
from numba.core.caching import NullCache
from numba.core.compiler import CompileResult
from numba.core.registry import cpu_target

from ...base import cache_folder
from ...base.locks import compiling
from ...base.memo import Memo
from ...errors import ArgumentError
from ..jit import compiler_settings, kernel_sources, prepare
from ..llvm.translate import Translated
from ..shield import shielded

_OPTIONS: dict[str, Any] = {"nogil": True, "error_model": "numpy", "fastmath": {"contract"}, "no_cfunc_wrapper": True}
_loaded: Memo[str, Callable[..., Any]] = Memo(1000)
_compilations = 0


def load(source: str, name: str, signature: Any) -> Callable[..., Any]:
    """Return the function `name` of the module `source`, compiled for one signature.

    It comes from memory, else from disk, else from the compiler; concurrent threads wait for one compilation. A
    missing, damaged, unreadable or untrusted cache costs time and one warning, never the result.

    Parameters
    ----------
    source
        Text of a Python module with its own imports; tracebacks show it.
    name
        The function to compile.
    signature
        Numba signature or its text, ``"void(uint64[::1], uint64)"``. The function refuses other types.

    Raises
    ------
    ArgumentError
        If the JIT is switched off.
    """
    if config.DISABLE_JIT:
        raise ArgumentError(
            f"load: expected Numba's compiler for the kernel '{name}', got NUMBA_DISABLE_JIT=1; run the scan eagerly."
        )
    key = _key(source, name, signature)
    return _loaded.get(key) or shielded(_load, source, name, signature, key)


def compilations() -> int:
    """Return how many generated kernels this process has compiled, not counting those loaded from disk."""
    return _compilations


def _key(source: str, name: str, signature: Any) -> str:
    """Return a digest of everything that the machine code depends on."""
    parts = source, name, str(sigutils.normalize_signature(signature)), _OPTIONS, compiler_settings(), _environment()
    return hashlib.sha256(repr(parts).encode()).hexdigest()[:32]


@functools.cache
def _environment() -> tuple[object, ...]:
    versions = sys.version, platform.machine(), numba.__version__, llvmlite.__version__, np.__version__
    return *versions, cpu_target.target_context.codegen().magic_tuple(), kernel_sources()


def _load(source: str, name: str, signature: Any, key: str) -> Callable[..., Any]:
    with compiling:
        return _loaded.get(key) or _loaded.put(key, _build(source, name, signature, key))


def _build(source: str, name: str, signature: Any, key: str) -> Callable[..., Any]:
    path = _publish(source, key)
    filename = f"<generated kernel {key}>" if path is None else str(path)
    linecache.cache[filename] = len(source), None, source.splitlines(keepends=True), filename
    module = ModuleType(f"tinygrad_seq_kernel_{key}")
    module.__file__ = filename
    sys.modules[module.__name__] = module  # unpickling looks here for the globals of the function
    exec(compile(source, filename, "exec"), module.__dict__)
    function = getattr(module, name)
    function.__name__ = function.__qualname__ = f"{name}_{key}"  # names the symbols of the machine code
    function.__source__ = source
    compiled: Any = njit(**_OPTIONS, pipeline_class=Translated)(function)
    compiled._cache = _Store(None if path is None else path.with_suffix(".code"))
    compiled.compile(signature)
    compiled.disable_compile()
    del sys.modules[module.__name__]
    weakref.finalize(compiled, linecache.cache.pop, filename, None).atexit = False
    return compiled  # type: ignore[no-any-return]


def _publish(source: str, key: str) -> Path | None:
    """Write `source` to its file unless it is already there; return None without a trusted folder."""
    try:
        path = cache_folder.prepare() / f"{key}.py"
    except OSError as error:
        cache_folder.warn_once(error)
        return None
    text, problem = source.encode(), None
    try:
        if cache_folder.read(path) == text:
            return path
        problem = f"'{path}' is not as it was written"
    except FileNotFoundError:
        pass
    except OSError as error:
        problem = str(error)
    if problem:
        cache_folder.warn_once(problem)
    try:
        cache_folder.write(path, text)
    except OSError as error:
        cache_folder.warn_once(error)
    return path


class _Store(NullCache):  # type: ignore[misc]
    """The cache of one Numba dispatcher: one function, one file.

    The file holds a digest of its name and content, then Numba's pickle of the compiled code.
    """

    def __init__(self, path: Path | None) -> None:
        self._path = path

    def load_overload(self, sig: object, target_context: Any) -> CompileResult | None:
        if self._path is None:
            return None
        prepare(target_context)
        try:
            content = cache_folder.read(self._path)
            if content[:32] != self._digest(content[32:]):
                raise ValueError("it is not as it was written")
            return CompileResult._rebuild(target_context, *pickle.loads(content[32:]))
        except FileNotFoundError:
            return None
        except Exception as error:  # noqa: BLE001 (a pickle raises nearly any exception)
            cache_folder.warn_once(f"'{self._path}': {error}")
            return None

    def save_overload(self, sig: object, data: CompileResult) -> None:
        global _compilations
        _compilations += 1
        if self._path is None or data.library.has_dynamic_globals:
            return
        content = serialize.dumps(data._reduce())
        try:
            cache_folder.write(self._path, self._digest(content) + content)
        except OSError as error:
            cache_folder.warn_once(error)

    def _digest(self, content: bytes) -> bytes:
        assert self._path is not None
        return hashlib.sha256(self._path.name.encode() + content).digest()
