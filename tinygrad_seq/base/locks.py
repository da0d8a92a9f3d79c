"""Locks that every fork waits for: a child process never inherits a lock held by a thread that it does not have."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable

Action = Callable[[], object]

_pairs: list[tuple[Action, Action]] = []
_to_release: list[Action] = []


def hold_during_fork(acquire: Action, release: Action) -> None:
    """Make every fork of this process acquire a lock first, and release it afterwards in both processes.

    Locks are acquired in the order of registration: register outer locks before the locks acquired inside them.
    """
    _pairs.append((acquire, release))


def make_lock() -> threading.RLock:
    """Return a lock that is held during every fork."""
    lock = threading.RLock()
    hold_during_fork(lock.acquire, lock.release)
    return lock


def _acquire_all() -> None:
    for acquire, release in tuple(_pairs):
        acquire()
        _to_release.append(release)


def _release_all() -> None:
    while _to_release:
        _to_release.pop()()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_acquire_all, after_in_parent=_release_all, after_in_child=_release_all)

compiling = make_lock()
"""Held while a generated kernel is compiled and while the compiler is imported."""
