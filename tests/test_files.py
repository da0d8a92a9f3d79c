"""write_atomically: the whole file or nothing, whatever fails."""

from __future__ import annotations

import errno
import os
import stat
import subprocess
import sys
from pathlib import Path
from typing import BinaryIO

import pytest

from tinygrad_seq.base.files import parse_json, read_json, read_regular, remove_leftovers, write_atomically
from tinygrad_seq.errors import ArgumentError, CheckpointError


def fail_with(code: int):
    def fail(*_: object) -> None:
        raise OSError(code, os.strerror(code))

    return fail


def test_writes_bytes_and_replaces_what_was_there(tmp_path: Path) -> None:
    path = tmp_path / "a.bin"
    write_atomically(path, b"old and longer", "save")
    write_atomically(str(path), b"new", "save")
    assert path.read_bytes() == b"new"
    assert list(tmp_path.iterdir()) == [path]


def test_writes_through_a_function(tmp_path: Path) -> None:
    def write(file: BinaryIO) -> None:
        file.write(b"one ")
        file.write(b"two")

    write_atomically(tmp_path / "a", write, "save")
    assert (tmp_path / "a").read_bytes() == b"one two"


def test_new_file_has_the_usual_permissions(tmp_path: Path) -> None:
    (tmp_path / "usual").write_bytes(b"")
    write_atomically(tmp_path / "ours", b"", "save")
    assert (tmp_path / "ours").stat().st_mode == (tmp_path / "usual").stat().st_mode


def test_follows_a_symbolic_link(tmp_path: Path) -> None:
    (tmp_path / "real").write_bytes(b"old")
    (tmp_path / "link").symlink_to("real")
    write_atomically(tmp_path / "link", b"new", "save")
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "real").read_bytes() == b"new"


@pytest.mark.parametrize("step", ["fsync", "replace"])
@pytest.mark.parametrize(("code", "advice"), [(errno.ENOSPC, "free some space"), (errno.EROFS, "read-only")])
def test_failure_keeps_the_old_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str, code: int, advice: str
) -> None:
    path = tmp_path / "a"
    path.write_bytes(b"old")
    monkeypatch.setattr(os, step, fail_with(code))
    with pytest.raises(CheckpointError, match=advice) as raised:
        write_atomically(path, b"new", "save")
    assert str(path) in str(raised.value)
    assert os.strerror(code) in str(raised.value)
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("error", [KeyboardInterrupt(), ZeroDivisionError()])
def test_what_the_writer_raises_comes_through(tmp_path: Path, error: BaseException) -> None:
    path = tmp_path / "a"
    path.write_bytes(b"old")

    def write(file: BinaryIO) -> None:
        file.write(b"half")
        raise error

    with pytest.raises(type(error)):
        write_atomically(path, write, "save")
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_the_data_is_on_the_disk_before_it_takes_the_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    events: list[str] = []
    fsync, replace = os.fsync, os.replace

    def watched_fsync(descriptor: int) -> None:
        status = os.fstat(descriptor)
        events.append("fsync folder" if stat.S_ISDIR(status.st_mode) else f"fsync {status.st_size}")
        fsync(descriptor)

    def watched_replace(source: Path, target: Path) -> None:
        events.append("replace")
        replace(source, target)

    monkeypatch.setattr(os, "fsync", watched_fsync)
    monkeypatch.setattr(os, "replace", watched_replace)
    write_atomically(tmp_path / "a", b"1234", "save")
    assert events == ["fsync 4", "replace", "fsync folder"]


def test_missing_folder(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="create the folder first"):
        write_atomically(tmp_path / "none" / "a", b"", "save")


def test_file_in_place_of_the_folder(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"old")
    with pytest.raises(CheckpointError, match="parent is a folder"):
        write_atomically(tmp_path / "file" / "a", b"", "save")
    assert (tmp_path / "file").read_bytes() == b"old"


def test_folder_in_place_of_the_file(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    with pytest.raises(CheckpointError, match="not a folder"):
        write_atomically(tmp_path / "folder", b"", "save")
    assert [path.name for path in tmp_path.iterdir()] == ["folder"]


def test_the_message_starts_with_what_the_person_called(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"^Vocabulary\.save: expected to write '.*none/a', got: No such file"):
        write_atomically(tmp_path / "none" / "a", b"", "Vocabulary.save")


def test_an_existing_file_keeps_its_permissions(tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_bytes(b"old")
    for mode in (0o600, 0o640, 0o666):
        path.chmod(mode)
        write_atomically(path, b"new", "save")
        assert stat.S_IMODE(path.stat().st_mode) == mode


def test_a_write_protected_file_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a"
    path.write_bytes(b"old")
    path.chmod(0o444)
    if os.geteuid() == 0:  # root may write to any file
        monkeypatch.setattr(os, "access", lambda *_: False)
    with pytest.raises(CheckpointError, match="write-protected; choose a file"):
        write_atomically(path, b"new", "save")
    assert path.read_bytes() == b"old"
    assert [*tmp_path.iterdir()] == [path]


def test_pipes_and_devices_are_not_replaced(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "null").symlink_to("/dev/null")
    for name in ("pipe", "null"):
        with pytest.raises(CheckpointError, match="not a regular file"):
            write_atomically(tmp_path / name, b"new", "save")
    assert stat.S_ISCHR(os.stat("/dev/null").st_mode)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["null", "pipe"]


def test_impossible_names(tmp_path: Path) -> None:
    (tmp_path / "loop").symlink_to("loop")
    for name, reason in [
        ("a\0b", "null"),
        ("\ud800", "surrogates not allowed"),
        ("x" * 300, "choose a shorter name"),
        ("loop", "Too many levels"),
    ]:
        with pytest.raises(CheckpointError, match=reason) as raised:
            write_atomically(f"{tmp_path}/{name}", b"", "save")
        str(raised.value).encode()  # any terminal can print it
    for path in (None, 3, [""]):
        with pytest.raises(ArgumentError, match="expected a path"):
            write_atomically(path, b"", "save")  # type: ignore[arg-type]
    assert [path.name for path in tmp_path.iterdir()] == ["loop"]


def test_what_killed_writers_leave_is_removed(tmp_path: Path) -> None:
    script = (
        "import os, sys; from tinygrad_seq.base.files import write_atomically\n"
        "write_atomically(sys.argv[1], lambda file: os._exit(9), 'save')"
    )
    assert subprocess.run([sys.executable, "-c", script, tmp_path / "a"], check=False).returncode == 9
    (tmp_path / ".mine.tmp").touch()
    assert len([*tmp_path.iterdir()]) == 2
    remove_leftovers(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == [".mine.tmp"]


def test_reading_refuses_what_is_too_long(tmp_path: Path) -> None:
    with (tmp_path / "sparse").open("wb") as file:
        file.truncate(1 << 40)
    with pytest.raises(CheckpointError, match=r"^Run\.open: expected .* 1,099,511,627,776 bytes, more than"):
        read_json(tmp_path / "sparse", "Run.open")
    (tmp_path / "a").write_bytes(b"12345")
    assert read_regular(tmp_path / "a", "x", 5) == b"12345"
    with pytest.raises(CheckpointError, match="5 bytes, more than the 4"):
        read_regular(tmp_path / "a", "x", 4)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (b"", "JSONDecodeError"),
        (b"[" * 100_000, "nested too deeply"),
        (b'{"a": ' * 100_000, "nested too deeply"),
        (b"[1]", "got a list"),
        (b"null", "got a NoneType"),
        (b'{"a": 1, "b": 2, "a": 3}', "the key 'a' twice"),
        (b'{"a": {"1": 1, "1": 1}}', "the key '1' twice"),
        (b'{"a": ' + b"1" * 5000 + b"}", "ValueError"),
        (b'{"\xff": 1}', "UnicodeDecodeError"),
        ('{"a": 1}'.encode("utf-16"), "UnicodeDecodeError"),
        (b'{"a": "\x00"}', "control character"),
    ],
)
def test_json_that_is_refused(text: bytes, reason: str) -> None:
    with pytest.raises(CheckpointError, match=f"Run.open: expected .*'config.json'.*{reason}"):
        parse_json(text, "Run.open", "'config.json'")


def test_json_of_an_editor_with_a_byte_order_mark() -> None:
    assert parse_json(b'\xef\xbb\xbf{"a": 1}', "x", "y") == {"a": 1}
