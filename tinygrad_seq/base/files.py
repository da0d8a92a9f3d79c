"""Atomic file writes and careful reads, used for vocabularies, checkpoints, run folders and exported models."""

from __future__ import annotations

import collections
import contextlib
import errno
import json
import os
import secrets
import stat
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, BinaryIO

from ..errors import ArgumentError, CheckpointError

_ADVICE = {
    errno.ENOSPC: "free some space on that disk",
    errno.EDQUOT: "free some of your disk quota",
    errno.EFBIG: "raise the limit on the size of files (ulimit -f)",
    errno.EACCES: "choose a file and a folder you may write to",
    errno.EPERM: "choose a file and a folder you may write to",
    errno.EROFS: "choose a folder that is not read-only",
    errno.ENOENT: "create the folder first",
    errno.ENOTDIR: "choose a path whose parent is a folder",
    errno.EISDIR: "choose a path that is not a folder",
    errno.ENAMETOOLONG: "choose a shorter name",
}


def write_atomically(path: str | os.PathLike[str], data: bytes | Callable[[BinaryIO], None], caller: str) -> None:
    """Write `data` to `path` atomically; parameters and errors as `open_atomically`.

    Parameters
    ----------
    path
        The target file.
    data
        The content, or a function that writes it to the binary file it receives.
    caller
        The name of the function that the user called.
    """
    with open_atomically(path, caller) as file:
        if callable(data):
            data(file)
        else:
            file.write(data)


@contextlib.contextmanager
def open_atomically(path: str | os.PathLike[str], caller: str, *, sync: bool = True) -> Iterator[BinaryIO]:
    """Open a file that replaces `path` when the block ends: a reader finds either the old file or the complete new one.

    The bytes go to a temporary file in the same folder, ``.<16 hex digits>.tmp``, are synced to disk, and replace
    `path` in one step, which is synced too. If anything fails, or Ctrl-C is pressed, `path` is unchanged and the
    temporary file is removed; only a process that is killed leaves it behind (`remove_leftovers`).

    Parameters
    ----------
    path
        The target file; its folder must exist. Symbolic links are followed. A file that exists keeps its permissions,
        and is refused if it is write-protected or not a regular file.
    caller
        The name of the function that the user called; messages start with it.
    sync
        Whether to sync to disk, which cannot be interrupted. It is not needed if readers verify the content.

    Raises
    ------
    CheckpointError
        If the file cannot be written: full disk, missing or unwritable folder, a folder or device at `path`. An OSError
        of the block counts as one of the file; other errors pass through unchanged.
    ArgumentError
        If `path` is not a path.
    """
    try:
        target = Path(os.path.realpath(path))
        temporary = target.with_name(f".{secrets.token_hex(8)}.tmp")
        mode = _mode(target)
    except (OSError, ValueError, TypeError) as error:
        raise _unwritable(path, caller, error) from error
    try:
        with open(temporary, "xb") as file:
            yield file
            file.flush()
            if mode is not None:
                os.chmod(temporary, mode)
            if sync:
                os.fsync(file.fileno())
        os.replace(temporary, target)
    except BaseException as error:
        with contextlib.suppress(OSError):  # if the folder itself is missing, there is nothing to remove
            temporary.unlink()
        if not isinstance(error, OSError) or isinstance(error, CheckpointError):
            raise
        raise _unwritable(path, caller, error) from error
    if sync:
        _sync_folder(target.parent)


def _mode(target: Path) -> int | None:
    """Return the permissions of an existing file; None for a new one, which gets the usual ones."""
    try:
        mode = target.stat().st_mode
    except FileNotFoundError:
        return None
    if not stat.S_ISREG(mode):
        raise _not_regular(mode)
    if not os.access(target, os.W_OK):
        raise OSError(errno.EACCES, "the file is write-protected")
    return stat.S_IMODE(mode)


def _sync_folder(folder: Path) -> None:
    """Make the new name of a file survive a power loss.

    Some file systems cannot sync a folder, and Windows cannot open one. The file itself is complete by now, so a
    failure here must not be taken for a failure to write.
    """
    with contextlib.suppress(OSError):
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def _unwritable(path: str | os.PathLike[str], caller: str, error: Exception) -> Exception:
    if isinstance(error, TypeError):
        return ArgumentError(f"{caller}: expected a path, got {path!r}; pass the name of a file.")
    code = error.errno or 0 if isinstance(error, OSError) else 0
    reason = getattr(error, "strerror", None) or error
    return CheckpointError(
        f"{caller}: expected to write {shown(path)}, got: {reason}; {_ADVICE.get(code, 'choose another path')} "
        "(the previous content is untouched)."
    )


def remove_leftovers(folder: Path) -> None:
    """Delete the temporary files that killed writers left in `folder`; nobody else may be writing to it meanwhile."""
    for path in folder.glob(".*.tmp"):
        if len(path.stem) == 17:
            path.unlink(missing_ok=True)


def open_file(path: str | os.PathLike[str]) -> BinaryIO:
    """Open a regular file for reading; an OSError or ValueError says why it cannot be opened.

    Folders, named pipes, sockets and devices are refused, and not opened: opening a pipe would wait for a writer.
    """
    mode = os.stat(os.fspath(path)).st_mode
    # O_NONBLOCK: a pipe may have taken the place of the file in the meantime. It has no effect on regular files.
    flag = getattr(os, "O_NONBLOCK", 0)
    if stat.S_ISREG(mode):
        file = open(path, "rb", opener=lambda name, flags: os.open(name, flags | flag))  # noqa: SIM115
        mode = os.fstat(file.fileno()).st_mode
        if stat.S_ISREG(mode):
            return file
        file.close()
    raise _not_regular(mode)


def open_regular(path: str | os.PathLike[str], caller: str) -> BinaryIO:
    """Open a regular file for reading; `caller` is the name that a message starts with.

    Raises
    ------
    CheckpointError
        If the file is missing, unreadable, or not a regular file, such as a folder, a named pipe or a device.
    ArgumentError
        If `path` is not a path.
    """
    try:
        return open_file(path)
    except TypeError as error:
        raise ArgumentError(f"{caller}: expected a path, got {path!r}; pass the name of a file.") from error
    except (OSError, ValueError) as error:  # ValueError: a NUL in the path
        raise _unreadable(path, caller, getattr(error, "strerror", None) or error) from error


def read_regular(path: str | os.PathLike[str], caller: str, limit: int = sys.maxsize) -> bytes:
    """Return the content of a regular file of at most `limit` bytes. Raises as `open_regular`."""
    with open_regular(path, caller) as file:
        size = os.fstat(file.fileno()).st_size
        if size > limit:
            raise _unreadable(path, caller, f"{size:,} bytes, more than the {limit:,} that are read")
        try:
            return file.read()
        except (OSError, MemoryError) as error:
            raise _unreadable(path, caller, getattr(error, "strerror", None) or "too little memory") from error


def _unreadable(path: str | os.PathLike[str], caller: str, reason: object) -> CheckpointError:
    return CheckpointError(f"{caller}: expected a readable file, got {shown(path)}: {reason}; check the path.")


def shown(path: str | os.PathLike[str]) -> str:
    """Return `path` in quotes, as text that any terminal can print."""
    return repr(os.fsdecode(path))


def printable(text: str | os.PathLike[str]) -> str:
    """Return a text or path on one line: what cannot be printed, such as a line break, is escaped as in Python."""
    return "".join(c if c.isprintable() else repr(c)[1:-1] for c in os.fsdecode(text))


def _not_regular(mode: int) -> OSError:
    code = errno.EISDIR if stat.S_ISDIR(mode) else errno.EINVAL
    return OSError(code, os.strerror(code) if code == errno.EISDIR else "not a regular file")


def read_json(path: str | os.PathLike[str], caller: str) -> dict[str, Any]:
    """Return the JSON object that a file holds; `caller` is the name that a message starts with.

    Raises
    ------
    CheckpointError
        As `read_regular`; or if the content is larger than 1 GiB, not a JSON object in UTF-8, has a key twice, or is
        nested too deeply.
    """
    return parse_json(read_regular(path, caller, 1 << 30), caller, shown(path))


def parse_json(data: bytes | str, caller: str, origin: str) -> dict[str, Any]:
    """Return the JSON object in `data`; messages name `caller`, and `origin` as the place. Raises as `read_json`."""
    try:
        # json.loads would take bytes of any encoding
        text = data.decode("utf-8-sig") if isinstance(data, bytes) else data
        content = json.loads(text, object_pairs_hook=_unique)
    except (ValueError, RecursionError, MemoryError) as error:
        reason = {RecursionError: "values nested too deeply", MemoryError: "more than the memory holds"}.get(
            type(error), f"{type(error).__name__}: {error}"
        )
        raise CheckpointError(f"{caller}: expected JSON in {origin}, got {reason}; restore the file.") from error
    if not isinstance(content, dict):
        raise CheckpointError(
            f"{caller}: expected a JSON object in {origin}, got a {type(content).__name__}; restore the file."
        )
    return content


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    content = dict(pairs)
    if len(content) < len(pairs):
        (name, _), *_ = collections.Counter(key for key, _ in pairs).most_common(1)
        raise ValueError(f"the key {name[:50]!r} twice")
    return content
