"""Training texts: built-in ones, and any file or folder."""

from __future__ import annotations

import functools
import hashlib
import os
import platform
import stat
import sys
import sysconfig
import tempfile
import time
import weakref
import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..base.files import open_file, printable, shown
from ..errors import ArgumentError, DataError, ShapeError
from .demo_text import demo_text
from .folders import Progress, kind_of, list_files
from .text_stream import NotTextError, check_encoding, decode_pieces

STANDARD_INPUT = "-"
_CHUNK = 1 << 18

Document = Callable[[], Iterator[str]]
"""A function that opens a document and yields its text in pieces, none of them empty."""


@dataclass(frozen=True)
class Corpus:
    """A text of one or more documents that is streamed from disk; `load_corpus` creates it.

    Iteration yields pieces of the text; joined, they are what `read` returns. If a document does not end with a line
    break, one is inserted before the next document. A file that has changed since `load_corpus` raises a DataError.

    Attributes
    ----------
    name : str
        A short name.
    description : str
        The origin of the text.
    characters : int
        The length of the text.
    sha256 : str
        The SHA-256 hash of the text in UTF-8.
    skipped : tuple of (str, str)
        The path of each file or subfolder that was not read, and the reason.

    Examples
    --------
    >>> import pathlib, tempfile
    >>> from tinygrad_seq.data import load_corpus
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     for name in ("a.txt", "b.txt"):
    ...         _ = pathlib.Path(folder, name).write_text(f"text of {name}")
    ...     _ = pathlib.Path(folder, "c.pdf").write_bytes(b"%PDF-1.7")
    ...     corpus = load_corpus(folder)
    ...     corpus.characters, list(corpus.documents()), corpus.skipped
    (27, ['text of a.txt', 'text of b.txt'], (('c.pdf', 'a PDF document'),))
    """

    name: str
    description: str
    characters: int
    sha256: str
    skipped: tuple[tuple[str, str], ...]
    _documents: tuple[Document, ...] = field(repr=False, compare=False)

    def __iter__(self) -> Iterator[str]:
        end = "\n"
        for document in self._documents:
            for piece in _after(end, document()):
                yield piece
                end = piece[-1]

    def read(self) -> str:
        """Return the whole text."""
        return "".join(self)

    def documents(self) -> Iterator[str]:
        """Yield each document as one text, in a fixed order."""
        return ("".join(document()) for document in self._documents)

    def streams(self, order: Iterable[int] | None = None) -> Iterator[Iterator[str]]:
        """Yield each document as an iterator over its pieces, so that memory does not grow with the documents.

        Parameters
        ----------
        order : iterable of int, optional
            The numbers of the documents; by default all, in the order of `documents`.

        Returns
        -------
        iterator of iterators of str
            The documents.
        """
        documents = self._documents if order is None else (self._documents[i] for i in order)
        return (document() for document in documents)

    def report(self) -> str:
        """Return what was read, what was skipped and why.

        Returns
        -------
        str
            One line, and one more per kind of reason.
        """
        lines = [f"{self.description}: {self.characters:,} characters"]
        kinds: dict[str, list[tuple[str, str]]] = {}
        for path, reason in self.skipped:
            kinds.setdefault(reason.partition(" (")[0], []).append((path, reason))
        for (path, reason), *others in kinds.values():
            names = ", ".join(path for path, _ in others[:3]) + (f" and {len(others) - 3} more" if others[3:] else "")
            lines.append(f"  skipped {path}: {reason}" + (f"; likewise {names}" if others else ""))
        return "\n".join(lines)


def load_corpus(
    name_or_path: str | os.PathLike[str],
    *,
    encoding: str = "auto",
    include: Sequence[str] = (),
    exclude: Sequence[str] = (),
    progress: Progress | None = None,
    spool: str | os.PathLike[str] | None = None,
) -> Corpus:
    """Open a corpus: a built-in one, or the text of a file, a folder or the standard input.

    The whole text is read once, so a file that cannot be used is reported now and not during training. Files that were
    compressed with gzip are decompressed as they are read.

    Parameters
    ----------
    name_or_path : str or path-like
        ``"pydoc"`` (the documentation that Python's ``help()`` shows, about 465,000 characters), ``"stdlib"`` (the
        source code of the standard library), ``"demo"`` (sentences about fruit, animals and cities), ``"-"`` (the
        standard input), or the path of a file or folder. The files of a folder are read in the order of their paths.
        Hidden files, links to folders, the folders of training runs and files that are not text are skipped;
        `Corpus.skipped` names them.
    encoding : str, default "auto"
        The encoding of files without a byte order mark; ``"auto"`` is UTF-8. A mark tells UTF-8, UTF-16 and UTF-32
        apart, whatever `encoding` is.
    include : sequence of str, default ()
        Read only the files of a folder that match one of these patterns; empty means all. A pattern such as ``"*.txt"``
        or ``"books/*"`` is compared with the path inside the folder and with the name alone; ``*`` also matches
        ``/``. A pattern that matches a subfolder applies to all files in it.
    exclude : sequence of str, default ()
        Skip the files of a folder that match one of these patterns.
    progress : callable, optional
        Called as ``progress(stage, done, total)`` at least every 0.1 s of work: stage ``"listing"`` counts files, with
        total 0, and stage ``"reading"`` counts bytes, with total 0 for the standard input.
    spool : path-like, optional
        A folder with room for a copy of the standard input, which can be read only once: a file without a name, which
        is deleted with the corpus. By default it is the system's folder of temporary files.

    Returns
    -------
    Corpus
        The text, which is read as a stream.

    Raises
    ------
    ArgumentError
        If `encoding` is unknown, or if encoding or patterns are given for a corpus that they do not apply to.
    DataError
        If there is no such corpus, file or folder; if it has no text; if a file given by its path is binary or not
        text in its encoding (the message names the file and the byte offset); if a pattern of `include` matches no
        file; or if the standard input is a terminal, or its copy cannot be written.

    Examples
    --------
    >>> from tinygrad_seq.data import load_corpus
    >>> corpus = load_corpus("pydoc")
    >>> corpus.characters > 100_000
    True
    """
    check_encoding(encoding, "load_corpus")
    include, exclude = ((chosen,) if isinstance(chosen, str) else tuple(chosen) for chosen in (include, exclude))
    survey = _Survey(encoding, progress)
    if isinstance(name_or_path, str) and name_or_path in BUILT_IN:
        if encoding != "auto" or include or exclude:
            raise ArgumentError(
                f"load_corpus: expected encoding, include and exclude for a path only, got them for {name_or_path!r}; "
                "leave them out."
            )
        return survey.corpus(name_or_path, BUILT_IN[name_or_path](survey))
    if name_or_path == STANDARD_INPUT:
        if include or exclude:
            raise ArgumentError(
                "load_corpus: expected include and exclude for a folder only, got them for the standard input; leave "
                "them out."
            )
        survey.add_stream(_spooled(sys.stdin, spool, survey.progress))
        return survey.corpus("stdin", "the standard input")
    try:
        path = Path(name_or_path).absolute()
        status = os.stat(name_or_path)
    except (OSError, ValueError, TypeError) as error:  # ValueError: a NUL in the path
        missing = isinstance(error, FileNotFoundError)
        reason = ", which is none of them" if missing else f": {getattr(error, 'strerror', error)}"
        raise DataError(
            f"load_corpus: expected a built-in corpus ({', '.join(BUILT_IN)}) or the path of a file or folder, "
            f"got {str(name_or_path)!r:.80}{reason}; check the spelling."
        ) from error
    if stat.S_ISDIR(status.st_mode):
        files, survey.skipped = list_files(path, include, exclude, survey.progress)
        survey.add_files(files, path)
        skipped = f" ({len(survey.skipped)} skipped)" if survey.skipped else ""
        count = len(survey.documents)
        origin = f"the folder {shown(path)}, {count} {'file' if count == 1 else 'files'}{skipped}"
        return survey.corpus(printable(path.resolve().name), origin)
    if include or exclude:
        raise ArgumentError(
            f"load_corpus: expected include and exclude for a folder only, got them for the file {shown(path)}; "
            "leave them out."
        )
    if not stat.S_ISREG(status.st_mode):
        raise DataError(
            f"load_corpus: expected a file or folder, got {kind_of(status)}: {shown(path)}; save its text in a file, "
            "since a corpus is read several times."
        )
    survey.add_files([(path, status.st_size)])
    return survey.corpus(printable(path.name), f"the file {shown(path)}")


def split(tokens: ArrayLike, validation: float = 0.1) -> tuple[NDArray[Any], NDArray[Any]]:
    """Split tokens into a training part and a validation part, which is the end of the text.

    Parameters
    ----------
    tokens : array_like of int, shape (T,)
        The text.
    validation : float, default 0.1
        The fraction of tokens that is held out, between 0 and 1.

    Returns
    -------
    training : ndarray, shape (T - V,)
        A view of the first tokens.
    validation : ndarray, shape (V,)
        A view of the last V = round(validation * T) tokens.

    Raises
    ------
    ArgumentError
        If `validation` is not between 0 and 1.
    ShapeError
        If `tokens` is not one-dimensional.
    DataError
        If one of the parts would be empty.

    Examples
    --------
    >>> from tinygrad_seq.data import split
    >>> split([1, 2, 3, 4, 5], validation=0.4)
    (array([1, 2, 3]), array([4, 5]))
    """
    if not 0 < validation < 1:
        raise ArgumentError(f"split: expected validation between 0 and 1, got {validation!r}; pass e.g. 0.1.")
    array = np.asarray(tokens)
    if array.ndim != 1:
        raise ShapeError(f"split: expected tokens of shape (T,), got {array.shape}; pass one sequence of tokens.")
    cut = len(array) - round(validation * len(array))
    if not 0 < cut < len(array):
        raise DataError(
            f"split: expected enough tokens for two parts, got {len(array)} with validation={validation}; "
            "pass a longer text or another fraction."
        )
    return array[:cut], array[cut:]


# ------------------------------------------------------------------------------------------------ sources of text


def _silent(*_: object) -> None:
    pass


class _Survey:
    """Reads documents once to find their length and hash, and which of them are text."""

    def __init__(self, encoding: str, progress: Progress | None) -> None:
        self.encoding = encoding
        self.progress = _throttled(progress) if progress else _silent
        self.documents: list[Document] = []
        self.skipped: list[tuple[str, str]] = []
        self._digest, self._characters, self._end = hashlib.sha256(), 0, "\n"
        self._done = self._total = 0

    def corpus(self, name: str, description: str) -> Corpus:
        """Return what was read."""
        facts = (name, description, self._characters, self._digest.hexdigest())
        corpus = Corpus(*facts, tuple(self.skipped), tuple(self.documents))
        if not self.documents:
            found = "; ".join([description, *(line.strip() for line in corpus.report().splitlines()[1:])])
            raise DataError(f"load_corpus: expected text, got none in {found}; pass a file or folder with text.")
        return corpus

    def add_texts(self, texts: Sequence[str]) -> None:
        """Append documents that are in memory."""
        for text in texts:
            self._read(iter((text,)))
            self.documents.append(functools.partial(iter, (text,)))

    def add_files(self, files: Sequence[tuple[Path, int]], root: Path | None = None) -> None:
        """Append files, given with their sizes; those below `root` that are not text are skipped."""
        self._total = sum(size for _, size in files)
        for path, size in files:
            meter = _Meter(self._report)
            try:
                self._read(meter.pieces(path, self.encoding))
                self.documents.append(_File(path, self.encoding, meter.size, meter.checksum))
            except NotTextError as error:
                if root is None:
                    raise DataError(
                        f"load_corpus: expected text in {shown(path)}, got {error.reason}; {error.advice}."
                    ) from error
                self.skipped.append((printable(path.relative_to(root)), error.reason))
            self._done += size
        self._report(0)

    def add_stream(self, file: BinaryIO) -> None:
        """Append an open file, which nobody else reads."""
        document = _Opened(file, self.encoding)
        try:
            self._read(document())
        except NotTextError as error:
            raise DataError(
                f"load_corpus: expected text on the standard input, got {error.reason}; {error.advice}."
            ) from error
        self.documents.append(document)

    def _report(self, read: int) -> None:
        self.progress("reading", min(self._done + read, self._total), self._total)

    def _read(self, pieces: Iterator[str]) -> None:
        """Count and hash a document; if it is not text, raise NotTextError and change nothing."""
        digest, characters, end = self._digest.copy(), self._characters, ""
        for piece in _after(self._end, pieces):
            digest.update(piece.encode())
            characters += len(piece)
            end = piece[-1]
        if characters == self._characters:
            raise NotTextError("an empty file", "pass a file with text")
        self._digest, self._characters, self._end = digest, characters, end


@dataclass(frozen=True, slots=True)
class _File:
    """A document that must be what it was when it was read first."""

    path: Path
    encoding: str
    size: int
    checksum: int

    def __call__(self) -> Iterator[str]:
        meter = _Meter()
        try:
            yield from meter.pieces(self.path, self.encoding)
            if (meter.size, meter.checksum) != (self.size, self.checksum):
                raise NotTextError(f"other content ({meter.size} bytes, before {self.size})", "")
        except NotTextError as error:
            raise DataError(
                f"Corpus: expected {shown(self.path)} as load_corpus found it, got {error.reason}; start again, and "
                "do not change the files of a corpus while it is read."
            ) from error


@dataclass(frozen=True, eq=False)
class _Opened:
    """A document in a file that stays open as long as the document exists."""

    file: BinaryIO
    encoding: str

    def __post_init__(self) -> None:
        weakref.finalize(self, self.file.close)

    def __call__(self) -> Iterator[str]:
        self.file.seek(0)
        yield from decode_pieces(self.file, self.encoding)


class _Meter:
    """Reads a file, and counts its bytes and their checksum."""

    def __init__(self, report: Callable[[int], object] = _silent) -> None:
        self.size = self.checksum = 0
        self._report = report

    def pieces(self, path: Path, encoding: str) -> Iterator[str]:
        try:
            self._file = open_file(path)
        except OSError as error:
            raise NotTextError(f"an unreadable file ({error.strerror})", "check its permissions") from error
        with self._file:
            yield from decode_pieces(self, encoding)

    def read(self, size: int, /) -> bytes:
        data = self._file.read(size)
        self.size += len(data)
        self.checksum = zlib.crc32(data, self.checksum)
        self._report(self.size)
        return data


def _spooled(stream: Any, folder: str | os.PathLike[str] | None, progress: Progress) -> BinaryIO:
    """Return a copy on disk, without a name, of what can be read once from a stream such as ``sys.stdin``."""
    if stream is None or stream.isatty():
        kind = "a terminal" if stream else "none, since it is closed"
        raise DataError(
            f"load_corpus: expected a text on the standard input, got {kind}; pipe one into the command, e.g. "
            "cat *.txt | tinygrad-seq train --corpus - --out runs/texts."
        )
    try:
        copy = tempfile.TemporaryFile(dir=folder)  # noqa: SIM115 (it lives as long as the corpus)
        while data := stream.buffer.read1(_CHUNK):
            copy.write(data)
            progress("reading", copy.tell(), 0)
        copy.flush()
    except OSError as error:
        raise DataError(
            f"load_corpus: expected to copy the standard input to {shown(folder or tempfile.gettempdir())}, got: "
            f"{error.strerror}; free some space there, or save the text in a file and pass its path."
        ) from error
    return copy


def _after(end: str, pieces: Iterator[str]) -> Iterator[str]:
    """Yield the pieces of a document; a line break comes first if the one before it ended without."""
    for piece in pieces:
        if end != "\n":
            yield "\n"
            end = "\n"
        yield piece


def _throttled(progress: Progress) -> Progress:
    """Return `progress`, called every 0.05 s and at the end."""
    due = 0.0

    def report(stage: str, done: int, total: int) -> None:
        nonlocal due
        now = time.monotonic()
        if now >= due or done == total:
            due = now + 0.05
            progress(stage, done, total)

    return report


def _pydoc(survey: _Survey) -> str:
    try:
        from pydoc_data.topics import topics
    except ImportError as error:
        raise DataError(
            "load_corpus: expected Python to have the module pydoc_data.topics, got none; "
            "install your system's full Python (not a 'minimal' one), or pass 'stdlib' or a path."
        ) from error
    survey.add_texts([topics[name] for name in sorted(topics) if topics[name]])
    return f"the topics of help() in Python {platform.python_version()}"


def _stdlib(survey: _Survey) -> str:
    files, _ = list_files(Path(sysconfig.get_path("stdlib")), (), (), survey.progress, _NOT_STDLIB)
    survey.add_files([(path, size) for path, size in files if path.suffix == ".py" and size])
    documents = len(survey.documents)
    return f"the source code of the standard library of Python {platform.python_version()}, {documents} files"


def _demo(survey: _Survey) -> str:
    survey.add_texts([demo_text()])
    return "sentences drawn from the grammar in tinygrad_seq.data.demo_text"


# Each reads the documents into a survey and returns a description of their origin.
BUILT_IN: dict[str, Callable[[_Survey], str]] = {"pydoc": _pydoc, "stdlib": _stdlib, "demo": _demo}
_NOT_STDLIB = frozenset({"site-packages", "dist-packages", "test", "tests", "idle_test", "__pycache__"})
