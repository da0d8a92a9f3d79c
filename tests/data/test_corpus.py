"""Corpora: the two that come with Python, files, folders, streams of pieces, and the split."""

from __future__ import annotations

import dataclasses
import gzip
import hashlib
import io
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tinygrad_seq.data import Corpus, Vocabulary, load_corpus, split
from tinygrad_seq.errors import ArgumentError, DataError, ShapeError


def write(path: Path, data: bytes) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    return path


def give(monkeypatch: pytest.MonkeyPatch, data: bytes | None) -> None:
    """Let the standard input be `data`; None is a terminal."""
    stream = io.TextIOWrapper(io.BytesIO(data or b""))
    monkeypatch.setattr(stream, "isatty", lambda: data is None, raising=False) if data is None else None
    monkeypatch.setattr(sys, "stdin", stream)


# ------------------------------------------------------------------------------------------------ built-in corpora


def test_pydoc() -> None:
    corpus = load_corpus("pydoc")
    text = corpus.read()
    assert corpus.name == "pydoc"
    assert "help()" in corpus.description
    assert len(text) == corpus.characters > 400_000
    assert corpus.sha256 == hashlib.sha256(text.encode()).hexdigest()
    assert "".join(corpus) == text
    assert load_corpus("pydoc") == corpus
    assert len(list(corpus.documents())) > 50


def test_pydoc_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pydoc_data.topics", None)
    with pytest.raises(DataError, match=r"pydoc_data\.topics.*'stdlib' or a path"):
        load_corpus("pydoc")


def test_stdlib_is_source_code_without_tests(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("b.py", "a.py", "json/decoder.py", "test/x.py", "json/tests/x.py", "site-packages/x.py", "data.bin"):
        write(tmp_path / name, f"# {name}\n".encode())
    monkeypatch.setattr("sysconfig.get_path", lambda name: {"stdlib": str(tmp_path)}[name])
    corpus = load_corpus("stdlib")
    assert corpus.read() == "# a.py\n# b.py\n# json/decoder.py\n"
    assert "3 files" in corpus.description


def test_the_real_stdlib() -> None:
    corpus = load_corpus("stdlib")
    assert corpus.characters > 1_000_000
    assert any("class Fraction" in document for document in corpus.documents())


def test_an_unknown_name_lists_what_exists() -> None:
    with pytest.raises(DataError, match=r"\(pydoc, stdlib, demo\).*'shakespeare'"):
        load_corpus("shakespeare")


# ---------------------------------------------------------------------------------------------- files and folders


def test_a_file(tmp_path: Path) -> None:
    path = write(tmp_path / "text.txt", "\ufeffcafé\r\nзима\rend".encode())
    for corpus in (load_corpus(path), load_corpus(str(path))):
        assert corpus.read() == "café\nзима\nend"
        assert (corpus.name, corpus.characters) == ("text.txt", 13)
        assert list(corpus.documents()) == ["café\nзима\nend"]
        assert str(path) in corpus.description


def test_a_file_named_like_a_built_in_corpus(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path / "pydoc", b"mine")
    monkeypatch.chdir(tmp_path)
    assert load_corpus(Path("pydoc")).read() == load_corpus("./pydoc").read() == "mine"
    assert load_corpus("pydoc").characters > 400_000


def test_a_folder_is_read_in_the_order_of_paths(tmp_path: Path) -> None:
    root = tmp_path / "books"
    for name, data in {
        "b.txt": b"bee",
        "a/z.txt": b"zed\n",
        "a.txt": b"ay",
        "a/utf16": "\ufeffu".encode("utf-16-be"),
    }.items():
        write(root / name, data)
    corpus = load_corpus(root)
    assert corpus.read() == "u\nzed\nay\nbee"
    assert list(corpus.documents()) == ["u", "zed\n", "ay", "bee"]
    assert ["".join(pieces) for pieces in corpus.streams()] == list(corpus.documents())
    assert ["".join(pieces) for pieces in corpus.streams([3, 0])] == ["bee", "u"]
    assert (corpus.name, corpus.description, corpus.skipped) == ("books", f"the folder '{root}', 4 files", ())
    assert corpus.sha256 == hashlib.sha256(corpus.read().encode()).hexdigest()
    assert corpus.characters == len(corpus.read())


def test_what_is_not_text_is_skipped_and_reported(tmp_path: Path) -> None:
    for name, data in {
        "text.txt": b"text\r\nmore",
        "empty.txt": b"",
        "mark.txt": b"\xef\xbb\xbf",
        ".hidden": b"no",
        ".git/config": b"no",
        "image.png": b"\x89PNG\r\n\x1a\n",
        "paper.pdf": b"%PDF-1.7 text",
        "late.bin": b"text " * 100_000 + b"\0",
        "latin.txt": b"caf\xe9",
        "sub/late latin.txt": b"x" * 300_000 + b"\xe9",
        "utf-16.txt": "text\n".encode("utf-16-le"),
        "last.txt": b"end",
    }.items():
        write(tmp_path / name, data)
    corpus = load_corpus(tmp_path)
    assert corpus.read() == "end\ntext\nmore"
    assert corpus.sha256 == hashlib.sha256(b"end\ntext\nmore").hexdigest()
    may_read = "--encoding may name another, e.g. cp1252 or shift_jis)"
    assert dict(corpus.skipped) == {
        ".git": "hidden",
        ".hidden": "hidden",
        "empty.txt": "an empty file",
        "image.png": "a PNG image",
        "late.bin": "binary data (a NUL character at byte 500000)",
        "latin.txt": f"bytes that are not UTF-8 (0xe9 at byte 3; {may_read}",
        "mark.txt": "an empty file",
        "paper.pdf": "a PDF document",
        "sub/late latin.txt": f"bytes that are not UTF-8 (0xe9 at byte 300000; {may_read}",
        "utf-16.txt": "UTF-16 without a byte order mark (--encoding utf-16-le reads it)",
    }
    assert corpus.description.endswith("2 files (10 skipped)")


def test_a_corpus_is_read_anew_each_time_and_frozen(tmp_path: Path) -> None:
    corpus = load_corpus(write(tmp_path / "a", b"one two"))
    assert corpus.read() == corpus.read() == "one two"
    with pytest.raises(dataclasses.FrozenInstanceError):
        corpus.name = "other"  # type: ignore[misc]
    assert isinstance(corpus, Corpus)


def test_the_hash_tells_texts_apart(tmp_path: Path) -> None:
    one, two = (load_corpus(write(tmp_path / "a", data)).sha256 for data in (b"one", b"two"))
    assert one != two


@pytest.mark.parametrize(
    ("data", "offset"), [(b"abc\xffdef", 3), (b"\xef\xbb\xbfab\xc3", 5), (b"x" * 300_000 + b"\xe9\n", 300_000)]
)
def test_invalid_utf8_names_file_and_offset(tmp_path: Path, data: bytes, offset: int) -> None:
    path = write(tmp_path / "latin.txt", data)
    with pytest.raises(DataError, match=rf"latin.txt', got bytes that are not UTF-8 \(0x.. at byte {offset}; "):
        load_corpus(path)
    with pytest.raises(DataError, match=rf"got none in .*skipped latin.txt: bytes .*0x.. at byte {offset}; "):
        load_corpus(tmp_path)


def test_a_binary_file(tmp_path: Path) -> None:
    path = write(tmp_path / "a.bin", b"text" * 100_000 + b"\0")
    with pytest.raises(DataError, match=r"a\.bin', got binary data \(a NUL character at byte 400000\)"):
        load_corpus(path)


@pytest.mark.parametrize(
    ("path", "reason"),
    [
        ("nowhere", "which is none of them"),
        ("", "which is none of them"),
        ("a\0b", "embedded null byte"),
        ("a whole text, not a path " * 1000, "File name too long"),
        (b"bytes", "bytes"),
        (None, "NoneType"),
        (["a"], "list"),
    ],
)
def test_what_is_no_path(path: str, reason: str) -> None:
    with pytest.raises(DataError, match=rf"expected a built-in corpus \(pydoc, stdlib, demo\) or .*{reason}"):
        load_corpus(path)


def test_nothing_to_read(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="got an empty file"):
        load_corpus(write(tmp_path / "folder" / "empty.txt", b""))
    with pytest.raises(DataError, match=r"got none in .*skipped empty.txt: an empty file"):
        load_corpus(tmp_path / "folder")
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match=r"got none in the folder '.*empty', 0 files; pass a file or folder with text"):
        load_corpus(tmp_path / "empty")


def test_an_unreadable_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(path: str) -> None:
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(os, "scandir", refuse)
    with pytest.raises(DataError, match=r"readable folder.*Permission denied"):
        load_corpus(tmp_path)


def test_words_of_pieces_are_the_words_of_the_text(tmp_path: Path) -> None:
    path = write(tmp_path / "a", b"some words, in long lines of text... and short\n" * 20_000)
    corpus = load_corpus(path)
    vocabulary = Vocabulary.build(corpus, "word")
    assert len(list(corpus)) > 1
    np.testing.assert_array_equal(vocabulary.encode_all(corpus, strict=True), vocabulary.encode(corpus.read()))


# -------------------------------------------------------------------------------- the standard input, and gzip


def test_the_standard_input_is_read_several_times(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    reports: list[tuple[str, int, int]] = []
    data = "\ufeffHällo\r\nzwei\n".encode("utf-16-le")
    for content in (data, gzip.compress(data)):
        give(monkeypatch, content)
        corpus = load_corpus("-", spool=tmp_path, progress=lambda *report: reports.append(report))
        assert corpus.read() == corpus.read() == "Hällo\nzwei\n"
        assert (corpus.name, corpus.description, corpus.skipped) == ("stdin", "the standard input", ())
        assert corpus.sha256 == load_corpus(write(tmp_path / "same", data)).sha256
        assert ("reading", len(content), 0) in reports
    assert os.listdir(tmp_path) == ["same"]


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (None, r"expected a text on the standard input, got a terminal; pipe one .* --corpus - "),
        (b"", "expected text on the standard input, got an empty file"),
        (b"ab\0", "expected text on the standard input, got binary data"),
        (gzip.compress(b"text" * 99, mtime=0)[:-9], "got a damaged gzip archive"),
    ],
)
def test_a_standard_input_without_text(monkeypatch: pytest.MonkeyPatch, data: bytes | None, message: str) -> None:
    give(monkeypatch, data)
    with pytest.raises(DataError, match=message):
        load_corpus("-")


def test_a_standard_input_that_cannot_be_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    give(monkeypatch, b"text")
    with pytest.raises(DataError, match=r"expected to copy the standard input to .*missing', got: No such file"):
        load_corpus("-", spool=tmp_path / "missing")
    with pytest.raises(ArgumentError, match="include and exclude for a folder only"):
        load_corpus("-", include=["*.txt"])
    monkeypatch.setattr(sys, "stdin", None)
    with pytest.raises(DataError, match="got none, since it is closed"):
        load_corpus("-")


def test_shards_that_gzip_made(tmp_path: Path) -> None:
    write(tmp_path / "a.txt.gz", gzip.compress("eins".encode("utf-8-sig")) + gzip.compress(b" zwei"))  # two members
    write(tmp_path / "b.txt", b"drei")
    write(tmp_path / "c.txt.gz", gzip.compress(b"vier" * 99)[:-9])
    write(tmp_path / "d.tar.gz", gzip.compress(b"d.txt\0\0\0"))
    corpus = load_corpus(tmp_path)
    assert list(corpus.documents()) == ["eins zwei", "drei"]
    assert [(name, reason.partition(" (")[0]) for name, reason in corpus.skipped] == [
        ("c.txt.gz", "a damaged gzip archive"),
        ("d.tar.gz", "binary data"),
    ]
    assert load_corpus(tmp_path, include=["*.txt.gz"]).characters == 9
    write(tmp_path / "a.txt.gz", gzip.compress(b"another"))
    with pytest.raises(DataError, match=r"expected .*a\.txt\.gz' as load_corpus found it, got other content"):
        corpus.read()


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_memory_does_not_grow_with_a_stream_or_shards(tmp_path: Path) -> None:
    script = (
        "import pathlib, re, sys\n"
        "from tinygrad_seq.data import load_corpus\n"
        "from tinygrad_seq.train import TrainingConfig\n"
        "from tinygrad_seq.train.text import read_text\n"
        "peak = lambda: int(re.findall(r'VmHWM:\\s*(\\d+) kB', open('/proc/self/status').read())[0])\n"
        "folder = pathlib.Path(sys.argv[1])\n"
        "for source in (folder / 'shards' / '0.txt.gz', '-', folder / 'shards'):\n"
        "    corpus = load_corpus(source, spool=folder)\n"
        "    read_text(corpus, TrainingConfig(str(source)), folder=folder)\n"
        "    print(corpus.characters, peak())\n"
    )
    text = b"the quick brown fox jumps over the lazy dog\n" * (1 << 16)
    for number in range(9):
        write(tmp_path / "shards" / f"{number}.txt.gz", gzip.compress(text, 1))
    command = [sys.executable, "-c", script, str(tmp_path)]
    done = subprocess.run(command, input=text * 9, capture_output=True, check=True)
    characters, peaks = zip(*[[int(word) for word in line.split()] for line in done.stdout.splitlines()], strict=True)
    assert characters == (len(text), 9 * len(text), 9 * len(text))
    assert max(peaks) < peaks[0] + 8_000  # KiB; the text has 26,000


# ----------------------------------------------------------------------------------------------------------- split


@given(st.integers(2, 200), st.floats(0.01, 0.99))
def test_split_is_contiguous(size: int, fraction: float) -> None:
    tokens = np.arange(size)
    held_out = round(fraction * size)
    if held_out in (0, size):
        with pytest.raises(DataError, match=f"got {size} with"):
            split(tokens, fraction)
    else:
        training, validation = split(tokens, fraction)
        np.testing.assert_array_equal(np.concatenate([training, validation]), tokens)
        assert len(validation) == held_out
        assert np.shares_memory(training, tokens)


@pytest.mark.parametrize("fraction", [0, 1, -0.1, 1.5, float("nan")])
def test_split_at_a_bad_fraction(fraction: float) -> None:
    with pytest.raises(ArgumentError, match="between 0 and 1"):
        split(np.arange(10), fraction)


def test_split_of_too_little() -> None:
    with pytest.raises(DataError, match="got 0 with"):
        split([])
    with pytest.raises(ShapeError, match=r"\(2, 2\)"):
        split([[1, 2], [3, 4]])
