"""Decode a file of any size as pieces of text, or find out why it is not text."""

from __future__ import annotations

import codecs
import contextlib
import gzip
import io
import re
import unicodedata
import zlib
from collections.abc import Iterator
from typing import Protocol

from ..errors import ArgumentError, DataError

_CHUNK = 1 << 18
_HEAD = 8000

# UTF-32 comes first: its little-endian mark starts with the one of UTF-16.
_MARKS = (
    (codecs.BOM_UTF32_LE, "utf-32-le"),
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
    (codecs.BOM_UTF8, "utf-8"),
)
_BINARY = (
    (b"%PDF-", "a PDF document"),
    (b"BZh", "a bzip2 archive"),
    (b"\xfd7zXZ\0", "an xz archive"),
    (b"\x28\xb5\x2f\xfd", "a zstd archive"),
    (b"PK\x03\x04", "a zip archive or office document"),
    (b"\x89PNG\r\n", "a PNG image"),
    (b"\xff\xd8\xff", "a JPEG image"),
    (b"GIF8", "a GIF image"),
    (b"\x7fELF", "a program"),
)
# Codecs of domain names and of Python's source code, and one that always fails. The first three do not decode in parts.
_NOT_FOR_FILES = frozenset({"idna", "punycode", "unicode-escape", "raw-unicode-escape", "undefined"})
_PRINTABLE = bytes(range(32, 127))
_GZIP = b"\x1f\x8b"
_CONVERT = "convert it to UTF-8, or pass its encoding (encoding=, --encoding)"
# Switches to another character set. ISO-2022 consists of ASCII bytes, so it is valid UTF-8.
_ISO_2022 = re.compile(rb"\x1b\$(?:[@AB]|[()][A-Z])")


class NotTextError(Exception):
    """Why a file cannot be read as text; callers turn it into a `DataError` or skip the file.

    Attributes
    ----------
    reason : str
        What the file is, e.g. ``"a PDF document"``.
    advice : str
        What the user can do.
    """

    def __init__(self, reason: str, advice: str) -> None:
        super().__init__(reason)
        self.reason, self.advice = reason, advice


class Readable(Protocol):
    """A binary file, as far as it is needed here."""

    def read(self, size: int, /) -> bytes:
        """Return the next `size` bytes, or fewer at the end."""


def is_encoding(name: object) -> bool:
    """Return whether `name` is ``"auto"`` or an encoding of text files that Python knows."""
    if name == "auto":
        return True
    try:
        codec = codecs.lookup(name)  # type: ignore[arg-type]
    except (LookupError, ValueError, TypeError):  # ValueError: a NUL in the name
        return False
    return codec._is_text_encoding and codec.name not in _NOT_FOR_FILES


def check_encoding(name: object, caller: str) -> None:
    """Raise ArgumentError unless `name` is an encoding; `caller` starts the message."""
    if not is_encoding(name):
        raise ArgumentError(
            f"{caller}: expected encoding to be 'auto' or an encoding of text that Python knows, got {name!r:.80}; "
            "pass e.g. 'utf-16', 'latin-1', 'cp1252' or 'shift_jis'."
        )


def decode_pieces(file: Readable, encoding: str = "auto", chunk: int = _CHUNK) -> Iterator[str]:
    r"""Yield the text of `file` in non-empty pieces of about `chunk` bytes.

    A piece ends after a line break, or else after a space, or else anywhere. All line breaks are converted to ``\n``. A
    byte order mark is dropped and decides what the encoding is; `encoding` is the one of a file without a mark, where
    ``"auto"`` means UTF-8. What gzip has compressed is decompressed.

    Raises
    ------
    NotTextError
        If the file cannot be read, is binary, or has bytes that the encoding does not allow.
    """
    head = _read(file, max(chunk, _HEAD))
    if head.startswith(_GZIP):
        file = gzip.GzipFile(fileobj=_Resumed(head, file))
        head = _read(file, max(chunk, _HEAD))
    mark, name = next((row for row in _MARKS if head.startswith(row[0])), (b"", encoding))
    codec = codecs.lookup("utf-8" if name in ("auto", "utf-8-sig") else name)
    if not mark:
        _refuse_binary(head, codec.name)
    decoder = codec.incrementaldecoder()
    newlines = io.IncrementalNewlineDecoder(decoder, translate=True)
    rest, end, at_start = "", len(mark), not mark
    for data in _chunks(head[end:], file, chunk):
        state = decoder.getstate()
        try:
            text = newlines.decode(data, final=not data)
        except UnicodeError as error:
            raise _first_fault(decoder, state, data, codec.name, head, end) from error
        if not _is_clean(text, codec.name):
            raise _first_fault(decoder, state, data, codec.name, head, end)
        end += len(data)
        if at_start and text:  # the byte order mark of an encoding that is not in the table above
            text, at_start = text.removeprefix("\ufeff"), False
        text = rest + text
        at_break = text.rfind("\n") + 1 or text.rfind(" ") + 1 or len(text)
        cut = at_break if data else len(text)
        if cut:
            yield text[:cut]
        rest = text[cut:]


def read_lines(file: Readable, caller: str, origin: str, encoding: str = "auto") -> Iterator[str]:
    r"""Yield the lines of a binary file, such as ``sys.stdin.buffer``, without line breaks.

    Encodings, byte order marks and line breaks are handled as in a corpus.

    Parameters
    ----------
    file : binary file
        The file.
    caller : str
        The name that a message starts with.
    origin : str
        What a message calls the file, e.g. ``"standard input"``.
    encoding : str, default "auto"
        As in `load_corpus`.

    Yields
    ------
    str
        A line; the last one is not followed by an empty line if the file ends with a line break.

    Raises
    ------
    DataError
        If the file is not text.

    Examples
    --------
    >>> import io
    >>> from tinygrad_seq.data.text_stream import read_lines
    >>> list(read_lines(io.BytesIO("\ufeffone\r\ntwo\r\n".encode("utf-16-le")), "score", "standard input"))
    ['one', 'two']
    """
    check_encoding(encoding, caller)
    rest = ""
    try:
        for piece in decode_pieces(file, encoding):
            *lines, rest = (rest + piece).split("\n")
            yield from lines
    except NotTextError as error:
        raise DataError(f"{caller}: expected text in {origin}, got {error.reason}; {error.advice}.") from error
    if rest:
        yield rest


class _Resumed(io.RawIOBase):
    """A file from its beginning, of which `head` has been read."""

    def __init__(self, head: bytes, file: Readable) -> None:
        self._head, self._file = head, file

    def read(self, size: int = -1, /) -> bytes:
        head, self._head = self._head[:size], self._head[size:]
        return head or self._file.read(size)


def _read(file: Readable, size: int) -> bytes:
    try:
        return file.read(size)
    except (gzip.BadGzipFile, zlib.error, EOFError) as error:
        raise NotTextError(f"a damaged gzip archive ({error})", "compress it again") from error
    except OSError as error:
        raise NotTextError(f"unreadable data ({error.strerror or error})", "check the file and its disk") from error


def _chunks(head: bytes, file: Readable, chunk: int) -> Iterator[bytes]:
    """Yield the bytes in chunks, and an empty one at the end."""
    yield from (head[start : start + chunk] for start in range(0, len(head), chunk))
    while data := _read(file, chunk):
        yield data
    yield b""


def _refuse_binary(head: bytes, name: str) -> None:
    """Raise NotTextError if a file without a byte order mark starts like a binary file, or must have a mark."""
    for magic, kind in _BINARY:
        if head.startswith(magic):
            raise NotTextError(kind, "save its text as a text file, or leave it out")
    if name == "utf-8" and (switch := _ISO_2022.search(head)):
        reader = "iso2022_kr" if switch.group() == b"\x1b$)C" else "iso2022_jp"
        raise NotTextError(f"ISO-2022 (at byte {switch.start()}; --encoding {reader} may read it)", _CONVERT)
    if name in ("utf-16", "utf-32") and head:
        if order := _guess(head):
            raise _without_mark(order)
        raise NotTextError(f"no byte order mark, which {name} needs ({name}-le and {name}-be do not)", _CONVERT)


def _is_clean(text: str, name: str) -> bool:
    """Return whether there are no NUL characters and no lone surrogates, which decoders such as utf-7 let through."""
    if "\0" in text:
        return False
    try:
        return name == "utf-8" or text.isascii() or bool(text.encode())
    except UnicodeEncodeError:
        return False


def _first_fault(
    decoder: codecs.IncrementalDecoder, state: tuple[bytes, int], data: bytes, name: str, head: bytes, end: int
) -> NotTextError:
    """Decode `data`, which starts at byte `end` of a file, byte by byte, and return the first fault as an error."""
    if (order := _guess(head)) and order != name:
        return _without_mark(order)
    decoder.setstate(state)
    origin = start = end - len(state[0])
    for i in range(len(data) + 1):
        try:
            text = decoder.decode(data[i : i + 1], final=i == len(data))
        except UnicodeError as error:
            at = start
            if isinstance(error, UnicodeDecodeError):  # not so after too long an escape sequence
                at = end + min(i + 1, len(data)) - len(error.object) + error.start
            what = f"0x{(state[0] + data)[at - origin]:02x} at byte {at}"
            hint = "; --encoding may name another, e.g. cp1252 or shift_jis" if name == "utf-8" else ""
            return NotTextError(f"bytes that are not {name.upper()} ({what}{hint})", _CONVERT)
        if not _is_clean(text, name):
            what = "NUL character" if "\0" in text else "lone surrogate"
            return NotTextError(f"binary data (a {what} at byte {start})", "leave it out")
        start = end + i + 1 - len(decoder.getstate()[0])
    raise AssertionError("decoding byte by byte found no fault")


def _without_mark(name: str) -> NotTextError:
    return NotTextError(f"{name[:6].upper()} without a byte order mark (--encoding {name} reads it)", _CONVERT)


def _guess(head: bytes) -> str | None:
    """Return the UTF-16 or UTF-32 encoding that the start of a file without a byte order mark looks like, if any."""
    if b"\0" not in head or 4 * len(head.translate(None, _PRINTABLE)) < len(head):
        return None  # with a few zeros, it is ASCII with stray ones
    with contextlib.suppress(UnicodeDecodeError):
        if not codecs.getincrementaldecoder("utf-8")().decode(head.replace(b"\0", b"")).isascii():
            return None  # UTF-8 with stray zeros
    low_first = head[1::2].count(0) >= head[::2].count(0)
    orders = ("utf-16-le", "utf-16-be") if low_first else ("utf-16-be", "utf-16-le")
    for name in ("utf-32-le", "utf-32-be", *orders):
        try:
            text = codecs.getincrementaldecoder(name)().decode(head)
        except UnicodeDecodeError:
            continue
        has_ascii = any(character.isascii() for character in text)
        if has_ascii and all(c.isspace() or unicodedata.category(c) not in ("Cc", "Cn", "Co") for c in text):
            return name
    return None
