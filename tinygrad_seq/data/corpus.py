"""Training texts: two that come with Python, and any file or folder."""

from __future__ import annotations

import hashlib
import os
import platform
import sysconfig
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..errors import ArgumentError, DataError, ShapeError
from .demo_text import demo_text
from .text_stream import is_binary, read_pieces

Document = Callable[[], Iterator[str]]
"""A function that opens a document and yields its text in pieces."""


@dataclass(frozen=True)
class Corpus:
    """A text of one or more documents that is streamed from disk; `load_corpus` creates it.

    Iteration yields pieces of the text; joined, they are what `read` returns. If a document does not end with a line
    break, one is inserted before the next document.

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

    Examples
    --------
    >>> import pathlib, tempfile
    >>> from tinygrad_seq.data import load_corpus
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     for name in ("a.txt", "b.txt"):
    ...         _ = pathlib.Path(folder, name).write_text(f"text of {name}")
    ...     corpus = load_corpus(folder)
    ...     corpus.characters, list(corpus.documents())
    (27, ['text of a.txt', 'text of b.txt'])
    """

    name: str
    description: str
    characters: int
    sha256: str
    _documents: tuple[Document, ...] = field(repr=False, compare=False)

    def __iter__(self) -> Iterator[str]:
        return _pieces(self._documents)

    def read(self) -> str:
        """Return the whole text."""
        return "".join(self)

    def documents(self) -> Iterator[str]:
        """Yield each document as one text, in a fixed order."""
        return ("".join(document()) for document in self._documents)


def load_corpus(name_or_path: str | os.PathLike[str]) -> Corpus:
    """Open a corpus: one that comes with Python, or the text of a file or folder.

    The whole text is read once, so a file that cannot be used is reported now and not during training.

    Parameters
    ----------
    name_or_path : str or path-like
        ``"pydoc"`` (the documentation that Python's ``help()`` shows, about 465,000 characters), ``"stdlib"`` (the
        source code of the standard library), ``"demo"`` (sentences about fruit, animals and cities), or the path of a
        UTF-8 file or of a folder. The files of a folder are read in the order of their paths, except hidden and binary
        ones.

    Returns
    -------
    Corpus
        The text.

    Returns
    -------
    Corpus
        The text, which is read as a stream.

    Raises
    ------
    DataError
        If there is no such corpus, file or folder; if it has no text; or if a file is binary or not UTF-8 (the message
        names the file and the byte offset).

    Examples
    --------
    >>> from tinygrad_seq.data import load_corpus
    >>> corpus = load_corpus("pydoc")
    >>> corpus.characters > 100_000
    True
    """
    if isinstance(name_or_path, str) and name_or_path in _BUILT_IN:
        return _BUILT_IN[name_or_path]()
    path = Path(name_or_path)
    if os.path.isfile(path):  # unlike Path.is_file, False for a name too long for a path
        return _survey(path.name, f"the file '{path}'", [_file(path)])
    if os.path.isdir(path):
        return _folder(path)
    raise DataError(
        f"load_corpus: expected a built-in corpus ({', '.join(_BUILT_IN)}) or the path of a file or folder, "
        f"got {str(name_or_path)!r:.80}, which is none of them; check the spelling."
    )


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


def _pydoc() -> Corpus:
    try:
        from pydoc_data.topics import topics
    except ImportError as error:
        raise DataError(
            "load_corpus: expected Python to have the module pydoc_data.topics, got none; "
            "install your system's full Python (not a 'minimal' one), or pass 'stdlib' or a path."
        ) from error
    texts = [topics[name] for name in sorted(topics) if topics[name]]
    origin = f"the topics of help() in Python {platform.python_version()}"
    return _survey("pydoc", origin, [_text(text) for text in texts])


def _stdlib() -> Corpus:
    root = Path(sysconfig.get_path("stdlib"))
    paths = [path for path in _walk(root, _NOT_STDLIB) if path.suffix == ".py"]
    origin = f"the source code of the standard library of Python {platform.python_version()}, {len(paths)} files"
    return _survey("stdlib", origin, [_file(path) for path in paths])


def _demo() -> Corpus:
    return _survey("demo", "sentences drawn from the grammar in tinygrad_seq.data.demo_text", [_text(demo_text())])


def _folder(root: Path) -> Corpus:
    paths = _walk(root)
    texts = [path for path in paths if not is_binary(path)]
    left_out = len(paths) - len(texts)
    origin = f"the folder '{root}', {len(texts)} files" + (f" ({left_out} binary files left out)" if left_out else "")
    return _survey(root.resolve().name, origin, [_file(path) for path in texts])


_BUILT_IN: dict[str, Callable[[], Corpus]] = {"pydoc": _pydoc, "stdlib": _stdlib, "demo": _demo}
_NOT_STDLIB = frozenset({"site-packages", "dist-packages", "test", "tests", "idle_test", "__pycache__"})


def _walk(root: Path, skip: frozenset[str] = frozenset()) -> list[Path]:
    """Return the files below `root` that are not hidden, sorted by path in the same way on any system."""
    found: list[Path] = []
    for folder, subfolders, names in os.walk(root, onerror=_refuse_folder):
        subfolders[:] = [name for name in subfolders if name not in skip and not name.startswith(".")]
        found += [Path(folder, name) for name in names if not name.startswith(".")]
    return sorted((path for path in found if path.is_file()), key=lambda path: path.relative_to(root).parts)


def _refuse_folder(error: OSError) -> None:
    raise DataError(
        f"load_corpus: expected a readable folder, got '{error.filename}': {error.strerror}; check its permissions."
    ) from error


def _text(text: str) -> Document:
    return lambda: iter((text,))


def _file(path: Path) -> Document:
    return lambda: read_pieces(path)


def _pieces(documents: Sequence[Document]) -> Iterator[str]:
    end = "\n"
    for document in documents:
        for i, piece in enumerate(document()):
            if i == 0 and end != "\n":
                yield "\n"
            yield piece
            end = piece[-1]


def _survey(name: str, description: str, documents: Sequence[Document]) -> Corpus:
    """Read `documents` once and return them as a corpus."""
    digest, characters = hashlib.sha256(), 0
    for piece in _pieces(documents):
        digest.update(piece.encode())
        characters += len(piece)
    if not characters:
        raise DataError(f"load_corpus: expected text, got none in {description}; pass a file or folder with text.")
    return Corpus(name, description, characters, digest.hexdigest(), tuple(documents))
