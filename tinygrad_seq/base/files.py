"""Atomic file writes, used for vocabularies, checkpoints and exported models."""

from __future__ import annotations

import contextlib
import errno
import os
import secrets
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

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


def write_atomically(path: str | os.PathLike[str], data: bytes | Callable[[BinaryIO], None]) -> None:
    """Write `data` to `path` atomically: a reader finds either the old file or the complete new one.

    The bytes go to a temporary file in the same folder, are synced to disk, and replace `path` in one step. If anything
    fails, or Ctrl-C is pressed, `path` is unchanged and the temporary file is removed.

    Parameters
    ----------
    path
        The target file; its folder must exist. Symbolic links are followed.
    data
        The content, or a function that writes it to the binary file it receives.

    Raises
    ------
    CheckpointError
        If the file cannot be written: full disk, missing or unwritable folder. Other errors raised by `data` pass
        through unchanged.
    """
    target = Path(os.path.realpath(path))
    temporary = target.with_name(f".{secrets.token_hex(8)}.tmp")
    try:
        with open(temporary, "xb") as file:
            if callable(data):
                data(file)
            else:
                file.write(data)
            file.flush()
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
