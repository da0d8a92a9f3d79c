"""Folders as corpora: patterns, links, pipes, runs, and files that change."""

from __future__ import annotations

import json
import os
import socket
import stat
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import pytest

from tinygrad_seq.base.files import open_file
from tinygrad_seq.data import Corpus, load_corpus
from tinygrad_seq.errors import ArgumentError, DataError


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in ("a.txt", "b.md", "books/a.txt", "books/old/c.txt", "drafts/d.txt"):
        path = tmp_path / "corpus" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"{name}\n")
    return tmp_path / "corpus"


def files(corpus: Corpus) -> list[str]:
    return corpus.read().split()


# --------------------------------------------------------------------------------------------------------- patterns


@pytest.mark.parametrize(
    ("include", "exclude", "expected"),
    [
        (["*.md"], [], "b.md"),
        ("*.md", (), "b.md"),
        (["a.txt"], [], "a.txt books/a.txt"),
        (["/a.txt"], [], "a.txt"),
        (["./a.txt", "b.md"], [], "a.txt b.md books/a.txt"),
        (["books/*"], [], "books/a.txt books/old/c.txt"),
        (["books"], ["old/"], "books/a.txt"),
        (["**/*.txt"], ["drafts"], "a.txt books/a.txt books/old/c.txt"),
        ([], ["*.txt"], "b.md"),
        (["*.txt"], ["books/old/c.txt", "a.*"], "drafts/d.txt"),
        (["[ab].*"], [], "a.txt b.md books/a.txt"),
    ],
)
def test_patterns(folder: Path, include: list[str], exclude: list[str], expected: str) -> None:
    corpus = load_corpus(folder, include=include, exclude=exclude)
    assert files(corpus) == expected.split()
    assert {reason for _, reason in corpus.skipped} <= {"not included", "excluded"}
    assert len(corpus.skipped) + len(files(corpus)) == 5


@pytest.mark.parametrize("pattern", ["*.pfd", "A.TXT", ".*", "", "/", "corpus/*", "["])
def test_a_pattern_that_matches_nothing(folder: Path, pattern: str) -> None:
    (folder / ".hidden").touch()
    with pytest.raises(DataError) as caught:
        load_corpus(folder, include=["*.txt", pattern])
    assert f"got {pattern!r}, which matches none of 5 files" in str(caught.value)
    assert len(files(load_corpus(folder, exclude=[pattern]))) == 5  # what it was meant for may be gone


def test_a_name_with_wildcards_matches_itself(folder: Path) -> None:
    (folder / "[x].txt").write_text("brackets")
    assert files(load_corpus(folder, include=["[x].txt"])) == ["brackets"]
    assert "brackets" not in files(load_corpus(folder, exclude=["./[x].txt"]))


def test_everything_excluded(folder: Path) -> None:
    with pytest.raises(DataError, match=r"got none in .*skipped a\.txt: excluded; likewise b\.md, .* and 1 more"):
        load_corpus(folder, exclude=["*"])


def test_settings_that_do_not_apply(folder: Path) -> None:
    with pytest.raises(ArgumentError, match="include and exclude for a folder only, got them for the file"):
        load_corpus(folder / "a.txt", include=["*.txt"])
    for setting in ({"encoding": "latin-1"}, {"exclude": ["x"]}):
        with pytest.raises(ArgumentError, match="for a path only, got them for 'pydoc'"):
            load_corpus("pydoc", **setting)
    with pytest.raises(ArgumentError, match=r"^load_corpus: expected encoding .*'rot13'"):
        load_corpus(folder, encoding="rot13")


def test_a_named_encoding(folder: Path) -> None:
    (folder / "a.txt").write_bytes("é\n".encode("cp1252"))
    (folder / "b.md").write_bytes("\ufeffж\n".encode("utf-16-be"))
    (folder / "books/a.txt").write_bytes(b"\x81")
    corpus = load_corpus(folder, encoding="cp1252", include=["a.txt", "b.md"])
    assert corpus.read() == "é\nж\n"
    assert ("books/a.txt", "bytes that are not CP1252 (0x81 at byte 0)") in corpus.skipped


# ----------------------------------------------------------------------------------------- what is not a regular file


def test_pipes_sockets_and_devices_are_not_opened(folder: Path) -> None:
    os.mkfifo(folder / "pipe.txt")
    os.mkfifo(folder / "books/config.json")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(folder / "socket"))
        corpus = load_corpus(folder)
        with pytest.raises(DataError, match="got a socket"):
            load_corpus(folder / "socket")
    assert dict(corpus.skipped) == {
        "books/config.json": "a named pipe",
        "pipe.txt": "a named pipe",
        "socket": "a socket",
    }
    with pytest.raises(DataError, match=r"got a named pipe: .*read several times"):
        load_corpus(folder / "pipe.txt")
    with pytest.raises(DataError, match="got a device"):
        load_corpus(os.devnull)


def test_links(folder: Path) -> None:
    outside = folder.parent / "outside"
    outside.mkdir()
    (outside / "e.txt").write_text("outside/e.txt\n")
    (folder / "loop").symlink_to(folder)
    (folder / "self").symlink_to("self")
    (folder / "nowhere").symlink_to("missing")
    (folder / "elsewhere").symlink_to(outside)
    (folder / "e.txt").symlink_to(outside / "e.txt")
    (folder / "f.txt").symlink_to("a.txt")
    (folder / "aa.txt").symlink_to(outside / "e.txt")
    (folder / "0.txt").symlink_to("b.md")
    corpus = load_corpus(folder)
    assert files(corpus) == ["a.txt", "outside/e.txt", "b.md", "books/a.txt", "books/old/c.txt", "drafts/d.txt"]
    assert dict(corpus.skipped) == {
        "0.txt": "a link to a file that is read already ('b.md')",
        "e.txt": "a link to a file that is read already ('aa.txt')",
        "elsewhere": "a link to a folder",
        "f.txt": "a link to a file that is read already ('a.txt')",
        "loop": "a link to a folder",
        "nowhere": "an unreadable path (No such file or directory)",
        "self": "an unreadable path (Too many levels of symbolic links)",
    }
    assert files(load_corpus(folder / "loop")) == files(corpus)
    assert "b.md" in files(load_corpus(folder, include=["0.txt"]))
    for name in ("self", "nowhere"):
        with pytest.raises(DataError, match="expected a built-in corpus"):
            load_corpus(folder / name)


def test_unreadable_parts(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    scan = os.scandir

    def refuse(call: Callable[[Path], object], name: str) -> Callable[[Path], object]:
        def refusing(path: Path) -> object:
            if str(path).endswith(name):
                raise PermissionError(13, "Permission denied", str(path))
            return call(path)

        return refusing

    monkeypatch.setattr(os, "scandir", refuse(scan, "old"))
    monkeypatch.setattr("tinygrad_seq.data.corpus.open_file", refuse(open_file, "b.md"))
    found = load_corpus(folder)
    assert files(found) == ["a.txt", "books/a.txt", "drafts/d.txt"]
    assert dict(found.skipped) == {
        "b.md": "an unreadable file (Permission denied)",
        "books/old": "an unreadable folder (Permission denied)",
    }
    with pytest.raises(DataError, match=r"b\.md', got an unreadable file \(Permission denied\)"):
        load_corpus(folder / "b.md")
    monkeypatch.setattr(os, "scandir", refuse(scan, "corpus"))
    with pytest.raises(DataError, match=r"readable folder.*Permission denied"):
        load_corpus(folder)


def test_names_that_no_terminal_can_print(folder: Path) -> None:
    name = os.fsdecode(b"bad\xff\n\x1b[31m.bin")
    (folder / name).write_bytes(b"\0\1")
    corpus = load_corpus(folder)
    assert corpus.skipped[0][0] == r"bad\udcff\n\x1b[31m.bin"
    (folder / name).write_text("text")
    assert "text" in load_corpus(folder).read()
    assert load_corpus(folder / name).name == r"bad\udcff\n\x1b[31m.bin"
    (folder / name).write_bytes(b"\0\1")
    with pytest.raises(DataError, match=r"bad\\udcff\\n\\x1b\[31m\.bin', got binary"):
        load_corpus(folder / name)


def test_a_deep_folder(folder: Path) -> None:
    """Deeper than Python's recursion limit."""
    depth = 1100
    for levels in range(1, depth + 1):
        os.mkdir(f"{folder}{'/d' * levels}")
    text = Path(f"{folder}{'/d' * depth}", "deep.txt")
    text.write_text("deep.txt")
    assert "deep.txt" in files(load_corpus(folder))
    text.unlink()
    for levels in range(depth, 0, -1):  # recursive deletion fails, too
        os.rmdir(f"{folder}{'/d' * levels}")


def test_a_relative_path_outlives_a_change_of_folder(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder.parent)
    corpus = load_corpus("corpus")
    monkeypatch.chdir("/")
    assert len(files(corpus)) == 5


# ------------------------------------------------------------------------------------------------------------- runs


@pytest.mark.parametrize("indent", [None, 1])
def test_runs_inside_the_corpus_are_left_out(folder: Path, indent: int | None) -> None:
    before = load_corpus(folder)
    run = folder / "runs" / "x"
    (run / "checkpoints").mkdir(parents=True)
    assert load_corpus(folder) == before
    (run / "config.json").write_text(json.dumps({"format": "tinygrad_seq.run", "version": 2}, indent=indent))
    (run / "metrics.jsonl").write_text("{}\n")
    (run / "checkpoints" / "notes.txt").write_text("no text of the corpus")
    (folder / "books" / "config.json").write_text('{"format": "another"}')
    (folder / "drafts" / "config.json").mkdir()
    after = load_corpus(folder, exclude=["config.json"])
    assert (after.sha256, after.characters) == (before.sha256, before.characters)
    assert dict(after.skipped) == {"books/config.json": "excluded", "runs/x": "the folder of a run"}
    with pytest.raises(DataError, match=r"x', 0 files \(1 skipped\); skipped \.: the folder of a run; pass a f"):
        load_corpus(run)


# ---------------------------------------------------------------------------------------------- reading, later reads


@pytest.mark.parametrize("change", ["same size", "longer", "shorter", "gone", "pipe", "binary", "unreadable folder"])
def test_a_file_that_changes_after_the_survey(folder: Path, change: str) -> None:
    corpus = load_corpus(folder)
    before = corpus.read()
    path = folder / "books/a.txt"
    if change in ("gone", "pipe", "unreadable folder"):
        path.unlink()
    if change == "pipe":
        os.mkfifo(path)
    elif change == "unreadable folder":
        path.mkdir()
    elif change != "gone":
        new = {"same size": "books/b.txt\n", "longer": "books/a.txt\nmore", "shorter": "books", "binary": "\0"}[change]
        status = path.stat()
        path.write_text(new)
        os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
    with pytest.raises(
        DataError, match=r"^Corpus: expected '.*books/a\.txt' as load_corpus found it, got .*start again"
    ):
        corpus.read()
    if path.is_dir():
        path.rmdir()
    path.unlink(missing_ok=True)
    path.write_text("books/a.txt\n")
    assert corpus.read() == before


def test_a_file_that_grows_while_it_is_read(tmp_path: Path) -> None:
    path = tmp_path / "log.txt"
    path.write_text("line\n" * 100_000)
    corpus = load_corpus(path)
    pieces = iter(corpus)
    next(pieces)
    with path.open("a") as file:
        file.write("one more line\n")
    with pytest.raises(DataError, match="got other content"):
        list(pieces)


def test_progress(folder: Path) -> None:
    (folder / "long.txt").write_text("text\n" * 500_000)
    (folder / "zero.bin").write_bytes(b"\0" * 1000)
    calls: list[tuple[str, int, int]] = []
    load_corpus(folder, progress=lambda *call: calls.append(call))
    reading = [done for stage, done, _ in calls if stage == "reading"]
    total = sum(path.stat().st_size for path in folder.rglob("*") if stat.S_ISREG(path.stat().st_mode))
    assert calls[0] == ("listing", 1, 0)
    assert calls[-1] == ("reading", total, total)
    assert reading == sorted(reading)
    assert {call[2] for call in calls if call[0] == "reading"} == {total}


@pytest.mark.parametrize("error", [KeyboardInterrupt, ZeroDivisionError])
@pytest.mark.parametrize("stage", ["listing", "reading"])
def test_errors_of_progress_pass_through(folder: Path, error: type[BaseException], stage: str) -> None:
    def stop(at: str, done: int, total: int) -> None:
        if at == stage:
            raise error

    with pytest.raises(error):
        load_corpus(folder, progress=stop)
    assert files(load_corpus(folder, progress=lambda *_: None))[0] == "a.txt"


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16-le"])
@pytest.mark.parametrize("line", ["one line of text, é\n", "no line break, ", "noblankatall"])
def test_memory_does_not_grow_with_a_file(tmp_path: Path, encoding: str, line: str) -> None:
    path = tmp_path / "large.txt"
    block = (line * 50_000).encode(encoding)
    with path.open("wb") as file:
        for _ in range(16_000_000 // len(block)):
            file.write(block)
    tracemalloc.start()
    try:
        corpus = load_corpus(path, encoding=encoding)
        length = sum(len(piece) for document in corpus.streams() for piece in document)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert length == corpus.characters == 16_000_000 // len(block) * 50_000 * len(line)
    assert peak < 5_000_000


def test_the_report(folder: Path) -> None:
    hint = "--encoding may name another, e.g. cp1252 or shift_jis"
    for i in range(6):
        (folder / f"image{i}.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    (folder / "latin.txt").write_bytes(b"caf\xe9")
    lines = load_corpus(folder).report().splitlines()
    assert lines == [
        f"the folder '{folder}', 5 files (7 skipped): 52 characters",
        "  skipped image0.png: a PNG image; likewise image1.png, image2.png, image3.png and 2 more",
        f"  skipped latin.txt: bytes that are not UTF-8 (0xe9 at byte 3; {hint})",
    ]
