"""Writing a file whole or not at all: what vocabularies, checkpoints and exported models are saved with."""

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
    """Write `data` to `path` so that any reader, at any moment, finds the old file or the whole new one.

    The bytes go to a temporary file in the same folder, are forced to the disk, and take the place of `path` in one
    step. If anything fails on the way, or Ctrl-C is pressed, `path` is as it was and the temporary file is gone.

    Parameters
    ----------
    path
        Where the file shall stand; its folder must exist. A symbolic link is followed.
    data
        The content, or a function that writes it to the binary file it is given.

    Raises
    ------
    CheckpointError
        If the file cannot be written: full disk, missing or unwritable folder. What `data` itself raises, other than
        an OSError, comes through unchanged.
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
        with contextlib.suppress(OSError):  # where the folder itself is what fails, there is nothing to remove
            temporary.unlink()
        if not isinstance(error, OSError):
            raise
        advice = _ADVICE.get(error.errno or 0, "choose another path")
        raise CheckpointError(
            f"write_atomically: expected to write '{target}', got: {error.strerror or error}; {advice} "
            "(what stood there before is untouched)."
        ) from error
