"""Threads of our own over kernels that need no GIL: they wait in one queue, and the caller works along.

A caller announces its tasks and takes them one after the other, as does every pooled thread that wakes up in time.
So nothing ever waits for a thread to be free: not two callers at once, not a caller after `fork` or at exit. Waking
takes 20-80 us (queue.SimpleQueue and Lock alike, Event 1.5 times that), and longer on a core that sleeps.
"""

from __future__ import annotations

import contextvars
import os
import threading
from collections import deque
from collections.abc import Callable, Sequence
from operator import itemgetter
from queue import SimpleQueue

from ..base import settings
from ..base.locks import make_lock

Task = Callable[[], None]

SECONDS_PER_THREAD = 5e-4
"""The least work that is worth a thread: several times what waking it may take."""


_working = contextvars.ContextVar("inside a task", default=False)


class _Job:
    """The tasks of one call: those nobody has taken, what failed, and which helpers have come and gone."""

    def __init__(self, tasks: Sequence[Task]) -> None:
        self.untaken = deque(enumerate(tasks))
        self.errors: list[tuple[int, BaseException]] = []
        self.come: list[None] = []
        self.gone: list[None] = []
        self.bell: SimpleQueue[None] = SimpleQueue()

    def run_one(self, number: int, task: Task) -> None:
        try:
            task()
        except BaseException as error:  # noqa: BLE001 (raised by run_all, even an interrupt, when no task runs)
            self.errors.append((number, error))

    def run_along(self, tasks: Sequence[Task]) -> None:
        """Run what the caller runs: the first of all tasks, and what nobody else takes."""
        _working.set(True)
        for task in tasks[:1]:
            self.run_one(-1, task)
        self.run_untaken()

    def run_untaken(self) -> None:
        while self.untaken:
            try:
                number, task = self.untaken.popleft()
            except IndexError:  # another thread was faster
                return
            self.run_one(number, task)

    def help(self) -> None:
        self.come.append(None)
        self.run_untaken()
        self.gone.append(None)
        self.bell.put(None)

    def wait(self) -> None:
        """Return when every helper that came is gone: one that comes later finds no task."""
        while len(self.gone) < len(self.come):
            try:
                self.bell.get()
            except BaseException as error:  # noqa: BLE001 (an interrupt: helpers still write to the caller's arrays)
                self.errors.append((-1, error))


class _Pool:
    """Daemon threads that take jobs from a queue, as many as were ever wanted at once."""

    def __init__(self) -> None:
        self.jobs: SimpleQueue[_Job] = SimpleQueue()
        self.size = 0

    def announce(self, job: _Job, helpers: int) -> None:
        if self.size < helpers:
            self._grow(helpers)
        for _ in range(helpers):
            self.jobs.put(job)

    def _grow(self, size: int) -> None:
        with _growing:
            while self.size < size:
                try:
                    threading.Thread(target=self._serve, name="tinygrad_seq", daemon=True).start()
                except RuntimeError:  # the system's limit, or the interpreter is shutting down: the caller works alone
                    return
                self.size += 1

    def _serve(self) -> None:
        _working.set(True)
        while True:
            self.jobs.get().help()


_pool = _Pool()
_growing = make_lock()


def _renew() -> None:
    """Start over in a forked child, which has only the thread that forked."""
    global _pool
    _pool = _Pool()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_renew)


def workers(work: float) -> int:
    """Return how many threads are worth it for so many seconds of work, at most `config.get_num_threads`.

    Inside a task it is one.
    """
    return 1 if _working.get() else max(1, min(settings.get_num_threads(), int(work / SECONDS_PER_THREAD)))


def split(count: int, parts: int) -> list[tuple[int, int]]:
    """Return the ends ``(start, stop)`` of at most `parts` even, non-empty ranges that make up ``range(count)``."""
    parts = min(count, parts)
    return [(n * count // parts, (n + 1) * count // parts) for n in range(parts)]


def run_all(tasks: Sequence[Task]) -> None:
    """Run all tasks, the first on this thread, the others here or on pooled threads; return when all are done.

    At most `config.get_num_threads` threads work on one call. A task that calls `run_all` runs all of it by itself.

    Raises
    ------
    BaseException
        What the first task in the list that failed has raised, after all tasks have run.
    """
    job = _Job(tasks[1:])
    helpers = 0 if _working.get() else min(len(tasks), settings.get_num_threads()) - 1
    try:
        try:
            if helpers > 0:
                _pool.announce(job, helpers)
            contextvars.copy_context().run(job.run_along, tasks)  # what is set inside ends with the context
        finally:
            job.untaken.clear()  # an interrupt between two tasks leaves some
            job.wait()
    finally:  # an interrupt can cut one wait short, not both
        job.untaken.clear()
        job.wait()
    try:
        if job.errors:
            raise min(job.errors, key=itemgetter(0))[1]
    finally:
        job.errors.clear()  # the traceback holds this frame, so the frame must not hold the traceback
