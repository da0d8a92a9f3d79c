"""A thread per rank that watches another rank, so that no rank waits for ever for one that has gone.

Four times per second each rank sends a sign of life to the next one. It comes from a thread, so a rank that computes,
compiles or writes for a long time still sends it; one that was killed or stopped does not.
"""

from __future__ import annotations

import atexit
import contextlib
import os
import socket
import sys
import threading
import time
import types
from collections.abc import Iterator
from typing import Any

import numpy as np
from mpi4py import MPI

from ..errors import ArgumentError

_EVERY = 0.25  # seconds between two signs of life
_GRACE = 1.0  # seconds in which rank 0 may report what happened on all ranks
_ALIVE, _LEAVING = 0, 1


class Watch:
    """Watches the rank before this one, and ends all ranks when it is silent for ``TGS_MPI_PATIENCE`` seconds.

    An exception that nobody catches ends all ranks, too; at the end of the program, ranks wait for each other.

    Parameters
    ----------
    comm : mpi4py.MPI.Comm
        The ranks.

    Attributes
    ----------
    is_waiting : bool
        Whether this rank has been waiting for others for a while.

    Raises
    ------
    ArgumentError
        If ``TGS_MPI_PATIENCE`` is not a number of at least 1, or the MPI does not allow calls in two threads.
    """

    def __init__(self, comm: Any) -> None:
        text = os.environ.get("TGS_MPI_PATIENCE", "10")
        self._patience = float(text) if text.replace(".", "", 1).isdigit() else 0.0
        if self._patience < 1:
            raise ArgumentError(
                f"TGS_MPI_PATIENCE: expected a number of seconds >= 1, got {text!r}; set e.g. TGS_MPI_PATIENCE=10."
            )
        if MPI.Query_thread() != MPI.THREAD_MULTIPLE:
            raise ArgumentError(
                "distributed.world: expected an MPI that allows calls in two threads (MPI_THREAD_MULTIPLE), got "
                f"{MPI.Get_library_version().split()[0]} without; install 'tinygrad-seq[mpi]', which brings MPICH."
            )
        self.is_waiting = False
        self._comm = comm.Dup()
        self._rank, self._size = comm.Get_rank(), comm.Get_size()
        self._previous = (self._rank - 1) % self._size
        self._names = comm.allgather(f"process {os.getpid()} on {socket.gethostname()}")
        self._is_leaving = threading.Event()
        sys.excepthook = self._fail
        atexit.register(self._leave)
        self._thread = threading.Thread(target=self._run, name="tinygrad_seq ranks", daemon=True)
        self._thread.start()

    def _run(self) -> None:
        sent: list[Any] = []
        silence = waited = 0.0
        is_gone = False
        before = time.monotonic()
        while True:
            leaving = self._is_leaving.wait(_EVERY)
            sign = np.array([_LEAVING if leaving else _ALIVE], np.uint8)
            sent = [request for request in sent if not request[0].Test()]
            sent.append((self._comm.Isend(sign, (self._rank + 1) % self._size), sign))
            if leaving:
                return
            now = time.monotonic()
            elapsed = min(now - before, 2 * _EVERY)  # not the time in which this rank itself was stopped
            before = now
            silence += elapsed
            while self._comm.Iprobe(self._previous):
                silence = 0.0
                got = np.empty(1, np.uint8)
                self._comm.Recv(got, self._previous)
                is_gone |= bool(got[0] == _LEAVING)
            waited = waited + elapsed if is_gone and self.is_waiting else 0.0
            name = f"rank {self._previous} ({self._names[self._previous]})"
            if waited > _GRACE:
                self._end(f"{name} has ended, but rank {self._rank} waits for it; let all ranks make the same calls")
            if silence > self._patience and not is_gone:
                self._end(
                    f"{name} has given no sign of life for {self._patience:g} s: it was stopped or killed, or cannot "
                    "be reached; start again, with --resume or resume=True from the last checkpoint"
                )

    def _end(self, message: str) -> None:
        """Report what went wrong and end all ranks, whatever they are doing."""
        os.write(2, f"error: expected all ranks to take part, got: {message}.\n".encode())
        _abort(1)

    @contextlib.contextmanager
    def failing(self, code: int) -> Iterator[None]:
        """Return a context for the report of an error that ends all ranks; see `World.failing`."""
        if self._rank:
            time.sleep(_GRACE)
            sys.stderr.write(f"rank {self._rank}: ")
        yield
        for stream in (sys.stdout, sys.stderr):
            stream.flush()
        _abort(code)

    def _fail(self, kind: type[BaseException], error: BaseException, trace: types.TracebackType | None) -> None:
        """Show an exception that nobody caught and end all ranks."""
        with self.failing(130 if issubclass(kind, KeyboardInterrupt) else 1):
            sys.__excepthook__(kind, error, trace)

    def _leave(self) -> None:
        """Wait until all ranks have come here, since mpirun kills the others when one ends with an error."""
        self._is_leaving.set()
        self._thread.join()
        for stream in (sys.stdout, sys.stderr):
            if stream is not None:
                stream.flush()
        request = self._comm.Ibarrier()
        while not request.Test():
            time.sleep(1e-3)


def _abort(code: int) -> None:
    time.sleep(0.2)  # mpirun drops what it has not yet read from its processes
    if "HYDI_CONTROL_FD" in os.environ:  # MPICH's mpirun ends all ranks when one ends, without a message of its own
        os._exit(code)
    MPI.COMM_WORLD.Abort(code)
