"""The command cache."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.cli.commands import refused
from tinygrad_seq.cli import main

KEY = "0123456789abcdef" * 2


@pytest.fixture
def folder(tmp_path: Path, monkeypatch) -> Path:
    monkeypatch.setenv("TGS_CACHE_DIR", str(tmp_path / "cache"))
    return tmp_path / "cache"


def test_shows_a_folder_that_is_not_there_yet(folder: Path, capsys) -> None:
    assert main(["cache"]) == 0
    assert capsys.readouterr().out == f"{folder}\n0 compiled kernels, 0 bytes\n"
    assert main(["cache", "--clear"]) == 0
    assert not folder.exists()


def test_clear_deletes_what_is_ours_and_nothing_else(folder: Path, capsys) -> None:
    folder.mkdir()
    (folder / f"{KEY}.code").write_bytes(b"12345")
    (folder / f"{KEY}.py").write_bytes(b"123")
    (folder / f"{KEY}-left_1.tmp").write_bytes(b"1")  # of a process that was killed
    foreign = [folder / "notes.py", folder / f"{KEY}.txt", folder / f"x{KEY}.py"]
    for path in foreign:
        path.write_text("mine")
    (folder / f"{KEY[::-1]}.code").mkdir()
    assert main(["cache"]) == 0
    assert capsys.readouterr().out == f"{folder}\n1 compiled kernel, 9 bytes\n"
    assert main(["cache", "--clear"]) == 0
    assert capsys.readouterr().out == f"{folder}\ndeleted: 1 compiled kernel, 9 bytes\n"
    assert sorted(folder.iterdir()) == sorted([*foreign, folder / f"{KEY[::-1]}.code"])


def test_a_file_that_cannot_be_deleted_is_one_line(folder: Path, capsys, monkeypatch) -> None:
    folder.mkdir()
    (folder / f"{KEY}.code").write_bytes(b"12345")

    def closed(*_, **__):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "unlink", closed)
    assert "set TGS_CACHE_DIR" in refused(capsys, "cache", "--clear")
