"""The names in a run folder, and how its content is replaced so that a kill or a reader never meets half a run.

A new run is prepared in ``RUN/.new-#``, and this folder is renamed to ``RUN/.run.next``. From this moment on the new
run is there: a file is looked up in ``.run.next`` first. Then the old content is deleted and the new files move up, one
by one; after a kill, the next process that locks the folder finishes this.
"""

from __future__ import annotations

import os
import re
import shutil
from pathlib import Path

FILES = ("cell.py", "checkpoints", "metrics.jsonl", "tokens", "vocabulary.json", "config.json")
LOCK = ".run.lock"  # overwritten and deleted also in a folder that is no run: not a name that others use
REPLACES = ".replaces"  # in the prepared folder: the old content is to be deleted
_NEXT = ".run.next"
_LEFT_BY_A_KILL = re.compile(r"\.new-[0-9a-f]{16}|\.tokens-[a-z0-9_]{8}|\.[0-9a-f]{16}\.tmp")


def locate(folder: Path, name: str) -> Path:
    """Return the path of a file of the run, which is in ``.run.next`` while the run is being replaced."""
    moving = folder / _NEXT / name
    return moving if os.path.exists(moving) else folder / name


def is_run(folder: Path) -> bool:
    """Return whether there is a run in `folder`."""
    return os.path.isfile(locate(folder, "config.json")) and os.path.isdir(locate(folder, "checkpoints"))


def is_empty(folder: Path) -> bool:
    """Return whether `folder` holds nothing but a lock and what a process needs while it starts a run.

    Raises
    ------
    OSError
        If it is not a folder, or cannot be listed.
    """
    return all(path.name == LOCK or _LEFT_BY_A_KILL.fullmatch(path.name) for path in folder.iterdir())


def replace(folder: Path, prepared: Path) -> None:
    """Make the files in `prepared`, a folder in `folder`, the content of the run."""
    prepared.rename(folder / _NEXT)
    tidy(folder)


def tidy(folder: Path) -> None:
    """Finish or delete what a killed process left; `folder` must be locked.

    Raises
    ------
    OSError
        If something cannot be moved or deleted.
    """
    new = folder / _NEXT
    if os.path.isdir(new):
        if (new / REPLACES).exists():
            discard(folder)
            (new / REPLACES).unlink()
        for name in FILES:
            if os.path.lexists(new / name):
                (new / name).rename(folder / name)
        new.rmdir()
    if is_run(folder) or is_empty(folder):
        for part in (folder, folder / "checkpoints", folder / "tokens"):
            for path in part.iterdir() if part.is_dir() else ():
                if _LEFT_BY_A_KILL.fullmatch(path.name):
                    delete(path)


def discard(folder: Path) -> None:
    """Delete the files of the run, and no others; `folder` must be locked."""
    for name in FILES:
        delete(folder / name)


def delete(path: Path) -> None:
    """Delete a file, link or folder, if there is one."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
