"""List the files of a folder that may be text, and say why the others are not listed."""

from __future__ import annotations

import fnmatch
import os
import re
import stat
from collections.abc import Callable, Collection, Iterator, Sequence
from pathlib import Path, PurePath
from typing import NamedTuple

from ..base.files import open_file, printable, shown
from ..errors import DataError

Progress = Callable[[str, int, int], object]
"""A function that is called often with the stage, what is done, and the total; 0 is a total that is not known yet."""

_LARGEST_CONFIG = 1 << 24
_KINDS = {
    stat.S_IFIFO: "a named pipe",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
    stat.S_IFDIR: "a link to a folder",
}


def list_files(
    root: Path,
    include: Sequence[str],
    exclude: Sequence[str],
    progress: Progress,
    not_folders: Collection[str] = (),
) -> tuple[list[tuple[Path, int]], list[tuple[str, str]]]:
    """Return the files below `root` and their sizes, sorted by path in the same way on any system.

    Parameters
    ----------
    root : Path
        The folder.
    include, exclude : sequence of str
        Patterns as in `load_corpus`.
    progress : callable
        Called with stage ``"listing"``, the number of files so far, and 0.
    not_folders : collection of str, default ()
        Names of folders that are not entered.

    Returns
    -------
    files : list of (Path, int)
        The files. Links to files are followed; links to folders are not.
    skipped : list of (str, str)
        The relative path of everything else, and the reason.

    Raises
    ------
    DataError
        If the folder cannot be read, or if a pattern of `include` matches no file. Those of `exclude`
        may match none: the files may be gone.
    """
    skipped: list[tuple[str, str]] = []
    matchers = {pattern: _matcher(pattern) for pattern in (*include, *exclude)}
    found: list[tuple[_Found, set[str]]] = []
    for row in _regular_files(root, not_folders, skipped):
        found.append((row, {pattern for pattern, accepts in matchers.items() if accepts(row.path)}))
        progress("listing", len(found), 0)
    for pattern in set(include) - set[str]().union(*(patterns for _, patterns in found)):
        raise DataError(
            f"load_corpus: expected patterns that match a file of the folder {shown(root)}, got {pattern!r}, which "
            f"matches none of {len(found)} files; correct it (a pattern is compared with the path inside the folder, "
            "such as 'books/a.txt', and with the name alone; hidden files are never read)."
        )
    found.sort(key=lambda row: row[0].path.parts)
    chosen: list[_Found] = []
    for row, patterns in found:
        if include and not patterns.intersection(include):
            skipped.append((printable(row.path), "not included"))
        elif patterns.intersection(exclude):
            skipped.append((printable(row.path), "excluded"))
        else:
            chosen.append(row)
    files: list[tuple[Path, int]] = []
    targets = {row.identity: row.path for row in chosen if not row.is_link}
    for row in chosen:
        first = targets.setdefault(row.identity, row.path)
        if row.is_link and first != row.path:
            skipped.append((printable(row.path), f"a link to a file that is read already ({shown(first)})"))
        else:
            files.append((root / row.path, row.size))
    return files, skipped


def kind_of(status: os.stat_result) -> str:
    """Return what a path is that is not a regular file, e.g. ``"a named pipe"``."""
    return _KINDS.get(stat.S_IFMT(status.st_mode), "not a regular file")


class _Found(NamedTuple):
    path: PurePath
    size: int
    identity: tuple[int, int]
    is_link: bool


def _regular_files(root: Path, not_folders: Collection[str], skipped: list[tuple[str, str]]) -> Iterator[_Found]:
    """Yield the regular files below `root`, and append everything else to `skipped`."""
    folders = [PurePath()]
    while folders:
        folder = folders.pop()
        try:
            with os.scandir(root / folder) as scan:
                entries = list(scan)
        except OSError as error:
            if not folder.parts:
                raise DataError(
                    f"load_corpus: expected a readable folder, got {shown(root)}: {error.strerror}; check its "
                    "permissions."
                ) from error
            skipped.append((printable(folder), f"an unreadable folder ({error.strerror})"))
            continue
        if any(entry.name == "config.json" and _is_run(entry.path) for entry in entries):
            skipped.append((printable(folder), "the folder of a run"))
            continue
        for entry in entries:
            path = folder / entry.name
            if entry.name in not_folders:
                continue
            try:
                status = None if entry.name.startswith(".") else entry.stat()
            except OSError as error:
                skipped.append((printable(path), f"an unreadable path ({error.strerror})"))
                continue
            if status is None:
                skipped.append((printable(path), "hidden"))
            elif stat.S_ISREG(status.st_mode):
                yield _Found(path, status.st_size, (status.st_dev, status.st_ino), entry.is_symlink())
            elif stat.S_ISDIR(status.st_mode) and not entry.is_symlink():
                folders.append(path)
            else:
                skipped.append((printable(path), kind_of(status)))


def _is_run(config: str) -> bool:
    try:
        with open_file(config) as file:
            return b'"tinygrad_seq.run"' in file.read(_LARGEST_CONFIG)
    except OSError:
        return False


def _matcher(pattern: str) -> Callable[[PurePath], bool]:
    """Return a function that matches a path or a folder that it lies in, by its place inside the root or its name."""
    literal = pattern.removeprefix("./").rstrip("/")
    matches = re.compile(fnmatch.translate(literal)).match

    def accepts(path: PurePath) -> bool:
        return any(
            name == literal or matches(name)
            for part in (path, *path.parents[:-1])
            for name in (part.name, part.as_posix(), f"/{part.as_posix()}")
        )

    return accepts
