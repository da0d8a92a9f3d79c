"""Run the command line and do something just before its n-th operation on files: `python -m tests.soak.at`.

::

    python -m tests.soak.at ACTION NUMBER FOLDER train --out FOLDER/run ...

Operations are Python's audit events of files below FOLDER (open, rename, remove, mkdir, rmdir, ...) and of locks. The
same command has the same operations every time, so every moment between two of them can be reached. The actions:

==========  ==========================================================================================
``list``    write a line per operation to FOLDER.operations
``kill``    end the process as `kill -9` does
``int``     send it SIGINT, as Ctrl-C does
``term``    send it SIGTERM
``both``    send it both at once
``pause``   stop it (SIGSTOP), until it receives SIGCONT
``limit``   let no file grow over 64 bytes from then on, as on a full disk
``fill``    fill the disk that holds FOLDER, with a file FOLDER/filler
``remove``  remove the folder FOLDER/run
==========  ==========================================================================================
"""

from __future__ import annotations

import os
import re
import resource
import shutil
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tinygrad_seq.cli import main

EVENTS = ("open", "os.rename", "os.remove", "os.mkdir", "os.rmdir", "os.link", "os.truncate", "fcntl.flock")


def send(*numbers: int) -> None:
    for number in numbers:
        os.kill(os.getpid(), number)


def fill(folder: Path) -> None:
    with open(folder / "filler", "wb", buffering=0) as file:
        for size in (1 << 16, 1):
            try:
                while file.write(bytes(size)):
                    pass
            except OSError:
                continue


def actions(folder: Path) -> dict[str, Callable[[], object]]:
    return {
        "kill": lambda: send(signal.SIGKILL),
        "int": lambda: send(signal.SIGINT),
        "term": lambda: send(signal.SIGTERM),
        "both": lambda: send(signal.SIGINT, signal.SIGTERM),
        "pause": lambda: send(signal.SIGSTOP),
        "limit": lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (64, 64)),
        "fill": lambda: fill(folder),
        "remove": lambda: shutil.rmtree(folder / "run"),
    }


def described(event: str, arguments: tuple[Any, ...], folder: Path) -> str | None:
    """Return an operation in words, with random parts of names as '#'; None if it is not one of `folder`."""
    if event == "fcntl.flock":
        return event
    names = [os.fsdecode(each) for each in arguments if isinstance(each, str | bytes | os.PathLike)]
    if event == "open":
        writes = arguments[2] & (os.O_WRONLY | os.O_RDWR)
        names, event = names[:1], "open to write" if writes else "open to read"
    if event in ("os.remove", "os.rmdir", "os.mkdir") and isinstance(arguments[-1], int) and arguments[-1] >= 0:
        link = f"/proc/self/fd/{arguments[-1]}"  # `shutil.rmtree` names files by the descriptor of their folder
        names = [os.path.join(os.readlink(link), name) for name in names] if os.path.exists(link) else []
    paths = [os.path.abspath(name) for name in names]
    if not any(path.startswith(f"{folder}{os.sep}") for path in paths):
        return None
    return re.sub(r"[0-9a-f]{16}", "#", " ".join([event, *(os.path.relpath(path, folder) for path in paths)]))


def act_at(action: str, number: int, folder: Path) -> None:
    """Do `action` just before operation `number`, from 1."""
    act = None if action == "list" else actions(folder)[action]
    log = os.open(f"{folder}.operations", os.O_WRONLY | os.O_CREAT | os.O_APPEND) if act is None else -1
    count, inside = 0, False

    def hook(event: str, arguments: tuple[Any, ...]) -> None:
        nonlocal count, inside
        if event not in EVENTS or inside:
            return
        inside = True
        try:
            operation = described(event, arguments, folder)
            count += operation is not None
            if operation is not None and act is None:
                os.write(log, f"{operation}\n".encode())
            elif operation is not None and act is not None and count == number:
                act()
        finally:
            inside = False

    sys.addaudithook(hook)


if __name__ == "__main__":
    act_at(sys.argv[1], int(sys.argv[2]), Path(sys.argv[3]))
    sys.exit(main(sys.argv[4:]))
