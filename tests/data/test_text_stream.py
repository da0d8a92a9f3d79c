"""Decoding: every encoding, byte order mark and line break, in chunks of any size; what is not text."""

from __future__ import annotations

import codecs
import encodings
import errno
import io
import pkgutil
import re

import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

from tinygrad_seq.data.text_stream import _BINARY, NotTextError, decode_pieces, is_encoding, read_lines
from tinygrad_seq.errors import ArgumentError, DataError

CODECS = sorted(module.name for module in pkgutil.iter_modules(encodings.__path__) if is_encoding(module.name))
MARKS = {
    "utf-8": codecs.BOM_UTF8,
    "utf-16-le": codecs.BOM_UTF16_LE,
    "utf-16-be": codecs.BOM_UTF16_BE,
    "utf-32-le": codecs.BOM_UTF32_LE,
    "utf-32-be": codecs.BOM_UTF32_BE,
}
CHARACTERS = "ab +-~\\ \n\n\r\r\té€😀ж漢か한ÿ\u0085\u2028"
CHUNKS = st.integers(1, 9)


def decode(data: bytes, encoding: str = "auto", chunk: int = 1 << 18) -> str:
    pieces = list(decode_pieces(io.BytesIO(data), encoding, chunk))
    assert all(pieces)
    return "".join(pieces)


def with_line_feeds(text: str) -> str:
    return text.replace("\r\n", "\n").replace("\r", "\n")


# -------------------------------------------------------------------------------------------------------- encodings


def test_the_encodings_are_those_of_text_files() -> None:
    assert len(CODECS) > 95
    for name in ("auto", "Latin-1", "windows-1252"):
        assert is_encoding(name)
    for name in ("rot13", "hex", "zip", "idna", "punycode", "unicode_escape", "raw_unicode_escape", "undefined"):
        assert not is_encoding(name)
    for value in ("", "nothing", "utf-8\0", "../x", None, 8, b"utf-8", ["utf-8"]):
        assert not is_encoding(value)


@pytest.mark.parametrize("encoding", CODECS)
@settings(max_examples=30)
@given(data=st.data(), chunk=CHUNKS)
def test_every_encoding(encoding: str, data: st.DataObject, chunk: int) -> None:
    known = [character for character in CHARACTERS if character.encode(encoding, "ignore")]
    raw = data.draw(st.text(st.sampled_from(known), max_size=40)).encode(encoding)
    text = raw.decode(encoding)  # not always the text drawn: shift_jis has one code for two characters
    if not raw.startswith(tuple(MARKS.values())) or encoding.startswith("utf"):
        assert decode(raw, encoding, chunk) == with_line_feeds(text.removeprefix("\ufeff"))


@given(
    text=st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=20)
    | st.text(st.sampled_from(CHARACTERS)),
    encoding=st.sampled_from(list(MARKS)),
    named=st.sampled_from(["auto", "utf-8", "utf-16", "latin-1", "shift_jis"]),
    chunk=CHUNKS,
)
@example(text="a\r\n\ufeffb", encoding="utf-32-be", named="utf-16", chunk=3)
@example(text="\ufeffa", encoding="utf-8", named="utf-8-sig", chunk=1)
def test_a_byte_order_mark_decides(text: str, encoding: str, named: str, chunk: int) -> None:
    assert decode(MARKS[encoding] + text.encode(encoding), named, chunk) == with_line_feeds(text)


@pytest.mark.parametrize("encoding", ["utf-7", "gb18030"])
def test_the_mark_of_other_encodings_is_dropped(encoding: str) -> None:
    for chunk in (1, 3, 1000):
        assert decode("\ufeffmark".encode(encoding), encoding, chunk) == "mark"


@pytest.mark.parametrize("encoding", ["utf-16-le", "utf-16-be", "utf-32-le", "utf-32-be"])
@pytest.mark.parametrize(
    "text", ["plain text\n", "a", "Съешь ещё\r\nэтих булок", "一二三，四五六。\n一\n", "smile 😀‍ ok"]
)
def test_unicode_without_a_mark_is_named(encoding: str, text: str) -> None:
    for data in (text.encode(encoding), (text * 9000).encode(encoding)):
        for named in ("auto", "utf-16", "utf-32", "cp1252", "utf-7"):
            with pytest.raises(NotTextError) as caught:
                decode(data, named)
            assert caught.value.reason == (
                f"{encoding[:6].upper()} without a byte order mark (--encoding {encoding} reads it)"
            )
    assert decode(text.encode(encoding), encoding) == with_line_feeds(text)


# ------------------------------------------------------------------------------------------------------------ pieces


def test_pieces_are_small_and_end_after_a_word() -> None:
    pieces = list(decode_pieces(io.BytesIO(b"one two\nthree four five six\n" * 1000), chunk=50))
    assert max(map(len, pieces)) <= 100
    assert all(piece[-1] in " \n" for piece in pieces)
    assert max(map(len, decode_pieces(io.BytesIO(b"x" * 1000), chunk=50))) <= 100


# -------------------------------------------------------------------------------------------------- what is not text


@given(data=st.binary(max_size=30), chunk=CHUNKS)
def test_the_offset_of_a_bad_byte(data: bytes, chunk: int) -> None:
    data = data.replace(b"\0", b"\x01").replace(b"\x1b", b"\x01")  # an escape may begin ISO-2022
    assume(not data.startswith((*MARKS.values(), *(magic for magic, _ in _BINARY))))
    try:
        expected = data.decode()
    except UnicodeDecodeError as error:
        with pytest.raises(NotTextError, match=rf"not UTF-8 \(0x{data[error.start]:02x} at byte {error.start};"):
            decode(data, "auto", chunk)
    else:
        assert decode(data, "auto", chunk) == with_line_feeds(expected)


@pytest.mark.parametrize("encoding", CODECS)
@settings(max_examples=30)
@given(data=st.binary(max_size=30), chunk=CHUNKS)
def test_any_bytes_are_decoded_or_refused(encoding: str, data: bytes, chunk: int) -> None:
    """Chunks make no difference, no lone surrogate gets through, and no other error is raised."""
    results = set()
    for size in (chunk, 1 << 18):
        try:
            results.add(decode(data, encoding, size))
        except NotTextError as error:
            at = re.search(r"at byte (\d+)", error.reason)
            assert at is None or int(at[1]) < len(data)
            results.add(error.reason)
    assert len(results) == 1
    result = results.pop().encode()
    assert b"\0" not in result


@pytest.mark.parametrize(
    ("encoding", "data", "at"),
    [
        ("iso2022_jp", b"ab\x1b($\\{/ {b", 2),  # too long for the buffer of an incremental decoder
        ("iso2022_kr", b"\x1b$)C\x0e,X\x0f\x1b$0\x0e*+\x0f", 8),  # shifts produce no character
        ("shift_jis", b"abc\x81", 3),
        ("utf-16-be", b"\0a\xd8\0\0b", 2),
        ("utf-16-le", b"a\0b", 2),
    ],
)
def test_offsets_of_other_encodings(encoding: str, data: bytes, at: int) -> None:
    for chunk in (1, 2, 3, 100):
        with pytest.raises(NotTextError, match=rf"\(0x{data[at]:02x} at byte {at}\)"):
            decode(data, encoding, chunk)


@pytest.mark.parametrize("encoding", ["utf-8", "cp1252", "utf-16-le", "utf-32-be", "gb18030", "shift_jis"])
@given(before=st.text(st.sampled_from("ab \r\né"), max_size=12), chunk=CHUNKS)
def test_a_nul_character_is_binary(encoding: str, before: str, chunk: int) -> None:
    before = before if encoding.startswith("utf") else before.replace("é", "e")
    start = before.encode(encoding)
    with pytest.raises(NotTextError, match=rf"^binary data \(a NUL character at byte {len(start)}\)$"):
        decode(start + "\0 and \x01 more, all of it in ASCII".encode(encoding), encoding, chunk)


@pytest.mark.parametrize(("data", "at"), [(b"ab +2AA- c", 3), (b"+2D3eAA-\n+3gA-", 9)])
def test_half_a_surrogate_pair(data: bytes, at: int) -> None:
    for chunk in (1, 2, 3, 100):
        with pytest.raises(NotTextError, match=rf"surrogate at byte {at}\)"):
            decode(data, "utf-7", chunk)


@pytest.mark.parametrize(
    ("start", "kind"),
    [
        (b"%PDF-1.7\nall of this is text\n", "a PDF document"),
        (b"BZh91AY", "a bzip2 archive"),
        (b"PK\x03\x04", "a zip archive or office document"),
        (b"\x89PNG\r\n\x1a\n", "a PNG image"),
        (b"\xff\xd8\xff\xe0", "a JPEG image"),
        (b"\x7fELF\x02", "a program"),
    ],
)
def test_kinds_of_binary_files(start: bytes, kind: str) -> None:
    for encoding in ("auto", "latin-1"):
        with pytest.raises(NotTextError) as caught:
            decode(start, encoding)
        assert caught.value.reason == kind


def test_the_advice_fits() -> None:
    with pytest.raises(NotTextError) as caught:
        decode(b"caf\xe9")
    hint = "--encoding may name another, e.g. cp1252 or shift_jis"
    assert caught.value.reason == f"bytes that are not UTF-8 (0xe9 at byte 3; {hint})"
    for encoding in ("iso2022_jp", "iso2022_kr", "iso2022_jp_2", "iso2022_jp_2004", "iso2022_jp_3"):
        data = "text: 日本".encode(encoding)
        with pytest.raises(NotTextError, match=rf"^ISO-2022 \(at byte \d+; --encoding {encoding[:10]} may read it\)$"):
            decode(data)
        assert decode(data, encoding) == "text: 日本"
    assert decode(b"\x1b[31mred\x1b(B\x1b[m") == "\x1b[31mred\x1b(B\x1b[m"  # colours of a terminal
    with pytest.raises(NotTextError, match=r"^no byte order mark, which utf-16 needs"):
        decode(b"plain ASCII", "utf-16")
    with pytest.raises(NotTextError, match=r"not CP1252 \(0x81 at byte 1\)") as caught:
        decode(b"a\x81", "cp1252")
    assert "latin-1" not in caught.value.reason


# ------------------------------------------------------------------------------------------------------------- lines


@given(lines=st.lists(st.text(st.sampled_from("ab é😀"), min_size=1)), encoding=st.sampled_from(list(MARKS)))
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_lines(lines: list[str], encoding: str, end: str) -> None:
    for text in (end.join(lines), "".join(line + end for line in lines)):
        data = MARKS[encoding] + text.encode(encoding)
        assert list(read_lines(io.BytesIO(data), "score", "standard input")) == lines


def test_lines_that_are_not_text() -> None:
    with pytest.raises(
        DataError, match=r"^score: expected text in standard input, got bytes that are not UTF-8 \(0xe9 at byte 3"
    ):
        list(read_lines(io.BytesIO(b"caf\xe9"), "score", "standard input"))
    with pytest.raises(ArgumentError, match=r"^score: expected encoding .*'rot13'"):
        list(read_lines(io.BytesIO(b"a"), "score", "standard input", "rot13"))
    assert list(read_lines(io.BytesIO(b"caf\xe9\n\nb"), "score", "standard input", "latin-1")) == ["café", "", "b"]


def test_a_read_that_fails() -> None:
    class Broken(io.BytesIO):
        def read(self, size: int | None = -1, /) -> bytes:
            raise OSError(errno.EIO, "Input/output error")

    with pytest.raises(NotTextError, match=r"unreadable data \(Input/output error\)"):
        list(decode_pieces(Broken()))
