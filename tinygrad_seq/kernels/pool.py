"""A thread pool for kernels that run without the GIL: threads wait on one queue, and the caller works too.

A caller announces its tasks and takes them one by one, and so does every pooled thread that wakes up in time. Nothing
waits for a free thread: neither concurrent callers, nor a caller after `fork` or at exit. Waking a thread takes 20-80
us (queue.SimpleQueue and Lock; Event takes 1.5 times that), and longer on a sleeping core.
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

Task = Callable[[], object]

SECONDS_PER_THREAD = 5e-4
"""The minimum work in seconds that pays for a thread: several times its wake-up time."""


_working = contextvars.ContextVar("inside a task", default=False)


class _Job:
    """The tasks of one call: those not taken yet, errors, and the helpers that joined and left."""

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
        """Run the caller's share: the first task, and all tasks that no other thread takes."""
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
        """Return when every helper that joined has left; one that joins later finds no task."""
        while len(self.gone) < len(self.come):
            try:
                self.bell.get()
            except BaseException as error:  # noqa: BLE001 (an interrupt: helpers still write to the caller's arrays)
                self.errors.append((-1, error))


class _Pool:
    """Daemon threads that take jobs from a queue; their number is the largest ever requested at once."""

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
                except RuntimeError:  # a system limit, or the interpreter is shutting down: the caller works alone
                    return
                self.size += 1

    def _serve(self) -> None:
        _working.set(True)
        while True:
            self.jobs.get().help()


_pool = _Pool()
_growing = make_lock()


def _renew() -> None:
    """Reset the pool in a forked child, which has only the thread that forked."""
    global _pool
    _pool = _Pool()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_renew)


def workers(work: float) -> int:
    """Return how many threads pay off for `work` seconds of work, at most `settings.get_num_threads`.

    Inside a task it is one.
    """
    return 1 if _working.get() else max(1, min(settings.get_num_threads(), int(work / SECONDS_PER_THREAD)))


def split(count: int, parts: int) -> list[tuple[int, int]]:
    """Split ``range(count)`` into at most `parts` even, non-empty ranges ``(start, stop)``."""
    parts = min(count, parts)
    return [(n * count // parts, (n + 1) * count // parts) for n in range(parts)]


def run_all(tasks: Sequence[Task]) -> None:
    """Run all tasks, the first on this thread, the others here or on pooled threads; return when all are done.

    At most `settings.get_num_threads` threads work on one call. A nested `run_all` runs entirely on its own thread.

    Raises
    ------
    BaseException
        The error of the first failed task in the list, after all tasks have run.
    """
    job = _Job(tasks[1:])
    helpers = 0 if _working.get() else min(len(tasks), settings.get_num_threads()) - 1
    try:
        try:
            if helpers > 0:
                _pool.announce(job, helpers)
            contextvars.copy_context().run(job.run_along, tasks)  # switches set inside end with the context
        finally:
            job.untaken.clear()  # an interrupt between two tasks leaves tasks behind
            job.wait()
    finally:  # an interrupt can end one wait early, not both
        job.untaken.clear()
        job.wait()
    try:
        if job.errors:
            raise min(job.errors, key=itemgetter(0))[1]
    finally:
        job.errors.clear()  # the traceback holds this frame, so the frame must not hold the traceback
