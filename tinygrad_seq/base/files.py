"""Atomic file writes and careful reads, used for vocabularies, checkpoints, run folders and exported models."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import secrets
import stat
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, BinaryIO

from ..errors import CheckpointError

_ADVICE = {
    errno.ENOSPC: "free some space on that disk",
    errno.EDQUOT: "free some of your disk quota",
    errno.EACCES: "choose a folder you may write to",
    errno.EPERM: "choose a folder you may write to",
    errno.EROFS: "choose a folder that is not read-only",
    errno.ENOENT: "create the folder first",
    errno.ENOTDIR: "choose a path whose parent is a folder",
    errno.EISDIR: "choose a path that is not a folder",
}


@contextlib.contextmanager
def open_atomically(path: str | os.PathLike[str], *, sync: bool = True) -> Iterator[BinaryIO]:
    """Open a file that replaces `path` when the block ends; until then a reader finds the old file.

    The bytes go to a temporary file in the same folder, are synced to disk, and replace `path` in one step. If anything
    fails, or Ctrl-C is pressed, `path` is unchanged and the temporary file is removed.

    Parameters
    ----------
    path
        The target file; its folder must exist. Symbolic links are followed.
    sync
        Whether to sync to disk, which cannot be interrupted. It is not needed if readers verify the content.

    Raises
    ------
    CheckpointError
        If the file cannot be written: full disk, missing or unwritable folder. An OSError of the block counts as one of
        the file; other errors pass through unchanged.
    """
    target = Path(os.path.realpath(path))
    temporary = target.with_name(f".{secrets.token_hex(8)}.tmp")
    try:
        with open(temporary, "xb") as file:
            yield file
            file.flush()
            if sync:
                os.fsync(file.fileno())
        os.replace(temporary, target)
    except BaseException as error:
        with contextlib.suppress(OSError):  # if the folder itself is missing, there is nothing to remove
            temporary.unlink()
        if not isinstance(error, OSError):
            raise
        advice = _ADVICE.get(error.errno or 0, "choose another path")
        raise CheckpointError(
            f"write_atomically: expected to write '{target}', got: {error.strerror or error}; {advice} "
            "(the previous content is untouched)."
        ) from error


def write_atomically(path: str | os.PathLike[str], data: bytes | Callable[[BinaryIO], None]) -> None:
    """Write `data` to `path` atomically, as `open_atomically`.

    Parameters
    ----------
    path
        The target file; its folder must exist. Symbolic links are followed.
    data
        The content, or a function that writes it to the binary file it receives.

    Raises
    ------
    CheckpointError
        As `open_atomically`.
    """
    with open_atomically(path) as file:
        if callable(data):
            data(file)
        else:
            file.write(data)


def open_regular(path: str | os.PathLike[str]) -> BinaryIO:
    """Open a regular file for reading; an OSError or ValueError says why it cannot be opened.

    Named pipes, sockets and devices are refused; opening a pipe would wait for a writer.
    """
    if not stat.S_ISREG(os.stat(path).st_mode):
        raise OSError(errno.EINVAL, "not a regular file")
    # O_NONBLOCK: a pipe may have taken the place of the file in the meantime. It has no effect on regular files.
    flag = getattr(os, "O_NONBLOCK", 0)
    file = open(path, "rb", opener=lambda name, flags: os.open(name, flags | flag))  # noqa: SIM115 (the caller closes it)
    if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
        file.close()
        raise OSError(errno.EINVAL, "not a regular file")
    return file


def read_regular(path: str | os.PathLike[str], caller: str) -> bytes:
    """Return the content of a regular file; `caller` is the name that a message starts with.

    Raises
    ------
    CheckpointError
        If the file is missing, unreadable, or not a regular file, such as a folder, a named pipe or a device.
    """
    try:
        with open_regular(path) as file:
            return file.read()
    except (OSError, ValueError) as error:  # ValueError: a NUL in the path
        reason = getattr(error, "strerror", None) or error
        raise CheckpointError(
            f"{caller}: expected a readable file, got {str(path)!r}: {reason}; check the path."
        ) from error


def read_json(path: str | os.PathLike[str], caller: str) -> dict[str, Any]:
    """Return the JSON object that a file holds; `caller` is the name that a message starts with.

    Raises
    ------
    CheckpointError
        As `read_regular`; or if the content is not a JSON object in UTF-8, has a key twice, or is nested too deeply.
    """
    return parse_json(read_regular(path, caller), caller, f"'{path}'")


def parse_json(data: bytes | str, caller: str, origin: str) -> dict[str, Any]:
    """Return the JSON object in `data`; messages name `caller`, and `origin` as the place. Raises as `read_json`."""
    try:
        content = json.loads(data, object_pairs_hook=_unique)
    except (ValueError, RecursionError) as error:
        reason = "values nested too deeply" if isinstance(error, RecursionError) else f"{type(error).__name__}: {error}"
        raise CheckpointError(f"{caller}: expected JSON in {origin}, got {reason}; restore the file.") from error
    if not isinstance(content, dict):
        raise CheckpointError(
            f"{caller}: expected a JSON object in {origin}, got a {type(content).__name__}; restore the file."
        )
    return content


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    content = dict(pairs)
    if len(content) < len(pairs):
        raise ValueError("a key that occurs twice")
    return content
