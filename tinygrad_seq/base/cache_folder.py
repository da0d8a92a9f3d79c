"""The cache folder on disk, for compiled kernels and trusted code: its location, its permissions, atomic writes.

Its content is executed. So a folder or file that anyone but the user and root owns or can write is refused. The parents
of the folder are not checked: whoever can write to one of them can put another folder in its place, but cannot make
files that belong to the user, and the owner of each file is checked on the open file.
"""

from __future__ import annotations

import contextlib
import os
import re
import stat
import tempfile
import warnings
from pathlib import Path

from ..errors import CheckpointError

_OURS = re.compile(r"[0-9a-f]{32}(\.py|\.code|-\w+\.tmp)|.+-[0-9a-f]{16}(\.nbi|\.\d+\.nbc|(\.\d+)?-\w+\.tmp)")
_warned = False


def locate() -> Path:
    """Return the folder: ``TGS_CACHE_DIR``, else ``tinygrad_seq`` in ``XDG_CACHE_HOME`` or ``~/.cache``.

    Raises
    ------
    CheckpointError
        If the user has no home folder and `TGS_CACHE_DIR` is not set.
    """
    chosen = os.environ.get("TGS_CACHE_DIR")
    if chosen:
        return Path(os.path.expanduser(chosen)).absolute()
    base = os.environ.get("XDG_CACHE_HOME", "")
    try:
        return (Path(base) if os.path.isabs(base) else Path.home() / ".cache") / "tinygrad_seq"
    except RuntimeError as error:
        raise CheckpointError(f"cache: expected a home folder, got: {error}; set TGS_CACHE_DIR.") from error


def prepare(folder: Path | None = None) -> Path:
    """Return the folder, by default that of `locate`; create it with mode 0700 if it is missing.

    Raises
    ------
    OSError
        If it cannot be created, or anyone but the user and root owns it or can write to it.
    """
    folder = folder or locate()
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    check(folder, folder.stat())
    return folder


def read(path: Path) -> bytes:
    """Return the content of a file.

    Raises
    ------
    OSError
        If it is missing or unreadable, or anyone but the user and root owns it or can write to it.
    """
    with path.open("rb") as file:
        check(path, os.fstat(file.fileno()))
        return file.read()


def write(path: Path, content: bytes) -> None:
    """Write a file of mode 0600 atomically.

    Raises
    ------
    OSError
        If it cannot be written; nothing is left behind.
    """
    handle, temporary = tempfile.mkstemp(".tmp", f"{path.stem}-", path.parent)
    try:
        with open(handle, "wb") as file:
            file.write(content)
        os.replace(temporary, path)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(temporary)
        raise


def entries() -> list[Path]:
    """Return the files that this module wrote to the folder, sorted by name."""
    folder = locate()
    if not folder.is_dir():
        return []
    return sorted(path for path in folder.iterdir() if _OURS.fullmatch(path.name) and path.is_file())


def warn_once(problem: object) -> None:
    """Warn once per process that a kernel is compiled again, with the reason."""
    global _warned
    if not _warned:
        _warned = True
        warnings.warn(
            f"tinygrad_seq: the cache of compiled kernels could not be used: {problem}; compiling instead, "
            "with the same results. Set TGS_CACHE_DIR to a folder that only you can write, or delete the damaged "
            "files with 'tinygrad-seq cache --clear'.",
            RuntimeWarning,
            stacklevel=2,
        )


def check(path: Path, status: os.stat_result) -> None:
    """Raise a PermissionError if `status` says that anyone but the user and root owns `path` or can write to it."""
    if not hasattr(os, "geteuid"):  # Windows: access lists protect the folders of a user
        return
    if status.st_uid not in (os.geteuid(), 0):
        raise PermissionError(f"'{path}' belongs to another user (id {status.st_uid})")
    if status.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        raise PermissionError(f"'{path}' can be written by others (mode {stat.S_IMODE(status.st_mode):04o})")
