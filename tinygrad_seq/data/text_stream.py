"""Stream a UTF-8 file of any size as pieces of text."""

from __future__ import annotations

import codecs
import io
from collections.abc import Iterator
from pathlib import Path

from ..errors import DataError

_CHUNK = 1 << 18


def is_binary(path: Path) -> bool:
    """Return whether the first 8,000 bytes of a file contain a NUL byte, as in images, archives and programs."""
    with _open(path) as file:
        return b"\0" in file.read(8000)


def read_pieces(path: Path, chunk: int = _CHUNK) -> Iterator[str]:
    r"""Yield the text of `path` in non-empty pieces of about `chunk` bytes.

    A piece ends after a line break, or else after a space, or else anywhere. All line breaks are converted to ``\n``,
    and a byte order mark is dropped.

    Raises
    ------
    DataError
        If the file cannot be read, is binary (contains a NUL byte) or is not UTF-8; the message has the byte offset.
    """
    decoder = io.IncrementalNewlineDecoder(codecs.getincrementaldecoder("utf-8-sig")(), translate=True)
    rest, end = "", 0
    with _open(path) as file:
        while True:
            data = file.read(chunk)
            if (nul := data.find(b"\0")) >= 0:
                raise _refused(path, f"a NUL byte at byte {end + nul}, so it is binary")
            end += len(data)
            try:
                text = rest + decoder.decode(data, final=not data)
            except UnicodeDecodeError as error:
                offset = end - len(error.object) + error.start
                raise _refused(path, f"byte 0x{error.object[error.start]:02x} at byte {offset}") from error
            at_break = text.rfind("\n") + 1 or text.rfind(" ") + 1 or len(text)
            cut = at_break if data else len(text)
            if cut:
                yield text[:cut]
            rest = text[cut:]
            if not data:
                return


def _open(path: Path) -> io.BufferedReader:
    try:
        return path.open("rb")
    except OSError as error:
        raise DataError(
            f"load_corpus: expected a readable file, got '{path}': {error.strerror}; check its permissions."
        ) from error


def _refused(path: Path, got: str) -> DataError:
    return DataError(f"load_corpus: expected UTF-8 text in '{path}', got {got}; convert the file or leave it out.")
