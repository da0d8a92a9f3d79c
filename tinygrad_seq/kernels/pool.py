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
from functools import partial
from operator import itemgetter
from queue import SimpleQueue
from typing import Literal, TypeVar

from ..base import settings
from ..base.locks import make_lock

Task = Callable[[], object]
R = TypeVar("R")

SECONDS_PER_THREAD = 5e-4
"""The minimum work in seconds that pays for a thread: several times its wake-up time."""
SHARE: Literal["what is faster", "rows", "columns"] = "what is faster"
"""What threads share of a compiled loop: a check of the code takes one after the other, whatever it costs."""


SECONDS_BESIDE = 1.5e-4
"""The minimum work in seconds that pays for running on another thread beside work of the same kind."""

_share: contextvars.ContextVar[int | None] = contextvars.ContextVar("threads of a task", default=None)
"""How many threads the running task may use; None outside a task."""


class _Job:
    """The tasks of one call: those not taken yet, errors, and the helpers that joined and left.

    Every thread that takes tasks does so in its own copy of `context`.
    """

    def __init__(self, tasks: Sequence[Task], context: contextvars.Context) -> None:
        self.untaken = deque(enumerate(tasks))
        self.context = context
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
        if self.untaken:
            self.context.copy().run(self.run_untaken)
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
        most = helpers if _share.get() is None else settings.get_num_threads() - 1  # a task's helpers, beside others
        if self.size < most:
            self._grow(most)
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
    """Return how many threads pay off for `work` seconds of work, at most `available`."""
    most = int(work / SECONDS_PER_THREAD)
    return 1 if most <= 1 else min(available(), most)


def available() -> int:
    """Return how many threads may work for the caller: `settings.get_num_threads`, or the share of the running task."""
    share = _share.get()
    return settings.get_num_threads() if share is None else share


def pays_off(seconds: Sequence[float]) -> bool:
    """Return whether tasks that take so long are worth running side by side."""
    return available() > 1 and sum(seconds) - max(seconds) > SECONDS_BESIDE


def split(count: int, parts: int) -> list[tuple[int, int]]:
    """Split ``range(count)`` into at most `parts` even, non-empty ranges ``(start, stop)``."""
    parts = min(count, parts)
    return [(n * count // parts, (n + 1) * count // parts) for n in range(parts)]


def side_by_side(functions: Sequence[Callable[[], R]]) -> list[R]:
    """Return what the functions return, run as the tasks of `run_all`."""
    found: dict[int, R] = {}

    def call(number: int, function: Callable[[], R]) -> None:
        found[number] = function()

    run_all([partial(call, number, function) for number, function in enumerate(functions)])
    return [found[number] for number in range(len(functions))]


def run_all(tasks: Sequence[Task]) -> None:
    """Run all tasks, the first on this thread, the others here or on pooled threads; return when all are done.

    At most `available` threads work on one call, and each task may use an equal share of them. Every task runs in a
    copy of the caller's context: switches that it sets end with it.

    Raises
    ------
    BaseException
        The error of the first failed task in the list, after all tasks have run.
    """
    threads = available()
    context = contextvars.copy_context()
    context.run(_share.set, -(-threads // max(1, len(tasks))))
    job = _Job(tasks[1:], context)
    helpers = min(len(tasks), threads) - 1
    try:
        try:
            if helpers > 0:
                _pool.announce(job, helpers)
            context.copy().run(job.run_along, tasks)
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
