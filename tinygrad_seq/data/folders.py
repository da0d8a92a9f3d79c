"""List the files of a folder that may be text, and say why the others are not listed."""

from __future__ import annotations

import fnmatch
import os
import re
import stat
from collections.abc import Callable, Collection, Iterator, Sequence
from pathlib import Path, PurePath

from ..base.files import open_regular
from ..errors import DataError

Progress = Callable[[str, int, int], object]
"""A function that is called often with the stage, what is done, and the total; 0 is a total that is not known yet."""

_START_OF_CONFIG = 1 << 16
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
        If the folder cannot be read, or if a pattern matches no file.
    """
    skipped: list[tuple[str, str]] = []
    found: list[tuple[PurePath, os.stat_result]] = []
    for row in _regular_files(root, not_folders, skipped):
        found.append(row)
        progress("listing", len(found), 0)
    found.sort(key=lambda row: row[0].parts)
    matched: dict[str, list[bool]] = {}
    for pattern in (*include, *exclude):
        accepts = _matcher(pattern)
        matched[pattern] = [accepts(path) for path, _ in found]
        if not any(matched[pattern]):
            raise DataError(
                f"load_corpus: expected patterns that match a file of the folder '{shown(root)}', got {pattern!r}, "
                f"which matches none of {len(found)} files; correct it (a pattern is compared with the path inside "
                "the folder, such as 'books/a.txt', and with the name alone; hidden files are never read)."
            )
    files: list[tuple[Path, int]] = []
    names: dict[tuple[int, int], str] = {}
    for i, (path, status) in enumerate(found):
        name = shown(path)
        first = names.get((status.st_dev, status.st_ino), name) if status.st_ino else name
        if include and not any(matched[pattern][i] for pattern in include):
            skipped.append((name, "not included"))
        elif any(matched[pattern][i] for pattern in exclude):
            skipped.append((name, "excluded"))
        elif first != name:
            skipped.append((name, f"a second link to a file ('{first}')"))
        else:
            names[status.st_dev, status.st_ino] = name
            files.append((root / path, status.st_size))
    return files, skipped


def shown(path: str | os.PathLike[str]) -> str:
    """Return a path as it is shown to people: on one line, and with no character that cannot be printed."""
    text = str(path)
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def kind_of(status: os.stat_result) -> str:
    """Return what a path is that is not a regular file, e.g. ``"a named pipe"``."""
    return _KINDS.get(stat.S_IFMT(status.st_mode), "not a regular file")


def _regular_files(
    root: Path, not_folders: Collection[str], skipped: list[tuple[str, str]]
) -> Iterator[tuple[PurePath, os.stat_result]]:
    """Yield the regular files below `root`, and append everything else to `skipped`."""

    def report(error: OSError) -> None:
        if error.filename == str(root):
            raise DataError(
                f"load_corpus: expected a readable folder, got '{shown(root)}': {error.strerror}; check its "
                "permissions."
            ) from error
        skipped.append((shown(os.path.relpath(error.filename, root)), f"an unreadable folder ({error.strerror})"))

    for folder, subfolders, names in os.walk(str(root), onerror=report):
        inside = PurePath(folder).relative_to(root)
        if "config.json" in names and _is_run(Path(folder, "config.json")):
            subfolders.clear()
            skipped.append((shown(inside), "the folder of a run"))
            continue
        entered = []
        for name in (*subfolders, *names):
            if name in not_folders:
                continue
            path = inside / name
            try:
                status = None if name.startswith(".") else os.stat(root / path)
            except OSError as error:
                skipped.append((shown(path), f"an unreadable path ({error.strerror})"))
                continue
            if status is None:
                skipped.append((shown(path), "hidden"))
            elif stat.S_ISREG(status.st_mode):
                yield path, status
            elif stat.S_ISDIR(status.st_mode) and not os.path.islink(root / path):
                entered.append(name)
            else:
                skipped.append((shown(path), kind_of(status)))
        subfolders[:] = entered


def _is_run(config: Path) -> bool:
    try:
        with open_regular(config) as file:
            return b'"tinygrad_seq.run"' in file.read(_START_OF_CONFIG)
    except OSError:
        return False


def _matcher(pattern: str) -> Callable[[PurePath], bool]:
    """Return whether a path or one of the folders that it lies in matches, by the path inside the root or by name."""
    matches = re.compile(fnmatch.translate(pattern.removeprefix("./").rstrip("/"))).match

    def accepts(path: PurePath) -> bool:
        return any(
            matches(part.name) or matches(part.as_posix()) or matches(f"/{part.as_posix()}")
            for part in (path, *path.parents[:-1])
        )

    return accepts
