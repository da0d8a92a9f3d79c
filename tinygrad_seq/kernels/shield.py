"""Calls of Numba's compiler, protected against interrupts and forks.

Numba and llvmlite acquire locks and fill tables in Python code. An interrupt in between would leave a lock held for
ever, and a fork would copy a lock held by a thread that the child does not have. Python raises interrupts only in the
main thread, so the compiler runs in another thread, and a fork waits until no thread is compiling.
"""

from __future__ import annotations

import contextvars
import threading
from collections.abc import Callable
from queue import SimpleQueue
from typing import Any, ParamSpec, TypeVar

from llvmlite.binding import ffi
from numba.core.compiler_lock import global_compiler_lock

from ..base.locks import hold_during_fork

P = ParamSpec("P")
R = TypeVar("R")

COMPILER = "tinygrad_seq compiler"
"""The name of the threads in which kernels compile."""

_llvm: Any = ffi.lib._lock
hold_during_fork(global_compiler_lock.acquire, global_compiler_lock.release)
hold_during_fork(_llvm.__enter__, _llvm.__exit__)


def shielded(function: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
    """Return ``function(*args, **kwargs)``; in the main thread it runs to completion in a thread of its own.

    A compilation already in progress in this thread holds the lock, so it calls the function directly.

    An interrupt is raised here at once, while the function continues; its result (a compiled kernel) is available to
    the next call.
    """
    if threading.current_thread() is not threading.main_thread() or global_compiler_lock.is_locked():
        return function(*args, **kwargs)
    outcome: SimpleQueue[tuple[Any, BaseException | None]] = SimpleQueue()

    def work() -> None:
        try:
            outcome.put((function(*args, **kwargs), None))
        except BaseException as error:  # noqa: BLE001 (raised by the caller)
            outcome.put((None, error))

    thread = threading.Thread(target=contextvars.copy_context().run, args=(work,), name=COMPILER)
    try:
        thread.start()
    except RuntimeError:  # a system limit, or the interpreter is shutting down
        return function(*args, **kwargs)
    result, error = outcome.get()
    if error is not None:
        try:
            raise error
        finally:
            del error  # the traceback holds this frame, so the frame must not hold the traceback
    return result  # type: ignore[no-any-return]
