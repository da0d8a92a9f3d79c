"""The lock of a run folder: one process at a time trains in it.

The kernel releases the lock when the process ends, however it ends. The folder itself is locked or, where that is not
possible (Windows, some network file systems), the file ``.run.lock`` in it. The file names the process, for messages.
"""

from __future__ import annotations

import contextlib
import datetime as dt
import errno
import json
import os
import shlex
import socket
import sys
import time
import warnings
from collections.abc import Iterator
from pathlib import Path

from ..base.files import read_json
from ..errors import CheckpointError
from .run_files import LOCK, tidy

if sys.platform == "win32":
    import msvcrt

    def _lock(handle: int) -> None:
        os.lseek(handle, 1 << 30, os.SEEK_SET)  # a locked byte cannot be read by others
        msvcrt.locking(handle, msvcrt.LK_NBLCK, 1)

    _LOCKED = ((LOCK, os.O_RDWR | os.O_CREAT),)
else:
    import fcntl

    def _lock(handle: int) -> None:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)

    _LOCKED = (("", os.O_RDONLY), (LOCK, os.O_RDWR | os.O_CREAT))

_TAKEN = {errno.EWOULDBLOCK, errno.EAGAIN, errno.EACCES, errno.EDEADLK}
_IMPOSSIBLE = {errno.ENOLCK, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS, errno.EBADF, errno.EINVAL}
_PATIENCE = 2.0  # seconds; a killed process takes a moment to end
_held: dict[Path, tuple[int, Path]] = {}  # the handle and the path of what is locked, by folder


@contextlib.contextmanager
def lock_run(folder: str | os.PathLike[str]) -> Iterator[None]:
    """Return a context in which no other process can lock the run folder; it is created if it is missing.

    A process that holds the lock may lock again. A folder that this context created is removed if it is empty at the
    end. What a killed process left half done is finished or deleted.

    Parameters
    ----------
    folder : str or path-like
        The run folder.

    Raises
    ------
    CheckpointError
        If another process holds the lock (the message names it), the folder cannot be written, or it was moved, deleted
        or replaced while this process held the lock.

    Warns
    -----
    RuntimeWarning
        If the file system has no locks. Then nothing prevents two processes from training in one folder.

    Examples
    --------
    >>> import tempfile
    >>> from tinygrad_seq.train.lock import lock_run
    >>> with tempfile.TemporaryDirectory() as folder, lock_run(f"{folder}/demo"):
    ...     pass  # read the text, create the run, train
    """
    try:
        path = Path(os.path.realpath(folder))
        if path in _held:
            _check(path)
            yield
            return
        made = [part for part in (path, *path.parents) if not part.exists()]
        handle, locked = _acquire(path)
    except (OSError, ValueError) as error:
        if isinstance(error, CheckpointError):
            raise
        raise _unwritable(folder, error) from error
    _held[path] = handle, locked
    try:
        try:
            _check_links(path)
            tidy(path)
            _sign(path)
        except OSError as error:
            raise error if isinstance(error, CheckpointError) else _unwritable(folder, error) from error
        yield
    finally:
        with contextlib.suppress(OSError):  # Ctrl-C may have come right after a temporary folder was made
            _check(path)
            tidy(path)
        del _held[path]
        with contextlib.suppress(OSError):  # it may be gone, or in use (Windows)
            (path / LOCK).unlink()
        with contextlib.suppress(OSError):  # not empty
            for part in made:
                part.rmdir()
        os.close(handle)


def _acquire(folder: Path) -> tuple[int, Path]:
    """Return the handle and the path of what was locked."""
    deadline = time.monotonic() + _PATIENCE
    while True:
        folder.mkdir(parents=True, exist_ok=True)
        for name, flags in _LOCKED:
            try:
                handle = _try_lock(folder / name, flags)
            except OSError as error:
                if error.errno not in _IMPOSSIBLE:
                    raise
                continue
            if handle is not None:
                return handle, folder / name
            break
        else:
            warnings.warn(
                f"lock_run: the file system of '{folder}' has no locks; make sure that only one process trains there.",
                RuntimeWarning,
                stacklevel=4,
            )
            return os.open(folder / LOCK, os.O_RDWR | os.O_CREAT, 0o666), folder / LOCK
        if time.monotonic() > deadline:
            raise CheckpointError(
                f"Run.lock: expected '{folder}' to be free, got a run in which {_holder(folder)} is training; wait for "
                "it, stop it with Ctrl-C, or choose another folder (--out)."
            )
        time.sleep(0.02)


def _try_lock(path: Path, flags: int) -> int | None:
    """Return the handle of `path`, locked; None if another process holds the lock, or has just deleted `path`."""
    try:
        handle = os.open(path, flags, 0o666)
    except FileNotFoundError:
        return None
    try:
        _lock(handle)
        if os.path.samestat(os.fstat(handle), os.stat(path)):
            return handle
    except OSError as error:
        if error.errno not in _TAKEN and not isinstance(error, FileNotFoundError):
            os.close(handle)
            raise
    os.close(handle)
    return None


def _check(folder: Path) -> None:
    """Raise a CheckpointError unless the folder is still the one that was locked."""
    handle, locked = _held[folder]
    with contextlib.suppress(OSError):
        if os.path.samestat(os.fstat(handle), os.stat(locked)):
            return
    raise CheckpointError(
        f"Run.lock: expected the folder '{folder}' in which this process trains, got none or another one; somebody has "
        "moved, deleted or replaced it. Move it back, then continue with --resume."
    )


def _check_links(folder: Path) -> None:
    """Raise a CheckpointError if a file of the run is a symbolic link: the file that it names would be overwritten."""
    for part in (folder, folder / "checkpoints"):
        for path in part.iterdir() if part.is_dir() else ():
            if path.is_symlink() and not path.is_dir():
                raise CheckpointError(
                    f"Run.lock: expected files in the run folder, got a symbolic link, '{path}'; put the file there."
                )


def _sign(folder: Path) -> None:
    """Write who holds the lock."""
    since = dt.datetime.now().astimezone().isoformat(" ", "seconds")
    holder = {"pid": os.getpid(), "host": socket.gethostname(), "since": since, "command": shlex.join(sys.argv)}
    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | getattr(os, "O_NONBLOCK", 0)  # a named pipe would wait for a reader
    with open(os.open(folder / LOCK, flags, 0o666), "w", encoding="utf-8") as file:
        file.write(json.dumps(holder) + "\n")


def _holder(folder: Path) -> str:
    try:
        holder = read_json(folder / LOCK, "Run.lock")
    except CheckpointError:  # it is being written
        return "another process"
    pid, host, since, command = (str(holder.get(key))[:200] for key in ("pid", "host", "since", "command"))
    return f"process {pid} on {host} ({command!r}, since {since})"


def _unwritable(folder: str | os.PathLike[str], error: Exception) -> CheckpointError:
    return CheckpointError(
        f"Run.create: expected to create or write the run folder {str(folder)!r}, got: "
        f"{getattr(error, 'strerror', None) or error}; choose another folder (--out)."
    )
