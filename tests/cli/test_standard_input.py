"""``train --corpus -``: the text comes from a pipe, and is not needed again."""

from __future__ import annotations

import gzip
import io
import os
import pty
import shutil
import sys
from pathlib import Path

import pytest

from tests.cli.commands import LINES, arguments, refused
from tinygrad_seq.cli import main
from tinygrad_seq.train import Run

TEXT = ("\n".join(LINES) + "\n").encode()


def pipe(monkeypatch: pytest.MonkeyPatch, data: bytes) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(data)))


def test_a_piped_text_trains_the_model_of_the_file(corpus: Path, tmp_path: Path, monkeypatch, capsys) -> None:
    assert main(arguments(corpus, tmp_path / "file", "--no-compile")) == 0
    pipe(monkeypatch, gzip.compress(TEXT))
    assert main(arguments(Path("-"), tmp_path / "piped", "--no-compile")) == 0
    assert "the standard input: " in capsys.readouterr().out
    of_file, piped = (Run.open(tmp_path / name) for name in ("file", "piped"))
    assert piped.config.corpus == "-"
    assert piped.facts["sha256"] == of_file.facts["sha256"]
    weights = [run.load()["steps"]["model"] for run in (of_file, piped)]
    assert all((weights[0][name] == weights[1][name]).all() for name in weights[0])
    assert sorted(os.listdir(tmp_path / "piped" / "tokens")) == ["training.npy", "validation.npy"]

    resume = ["train", "--resume", "--no-compile", "--out", str(tmp_path / "piped"), "--steps"]
    pipe(monkeypatch, b"")  # it is not read again
    assert main([*resume, "12"]) == 0
    shutil.rmtree(tmp_path / "piped" / "tokens")
    assert "came from the standard input, in " in refused(capsys, *resume, "14")
    pipe(monkeypatch, TEXT)
    assert main([*resume, "14", "--corpus", "-"]) == 0
    pipe(monkeypatch, TEXT + b"another line\n")
    assert "got another in -" in refused(capsys, *resume, "16", "--corpus", "-")


def test_nothing_to_read(tmp_path: Path, monkeypatch, capsys) -> None:
    pipe(monkeypatch, b"")
    message = refused(capsys, *arguments(Path("-"), tmp_path / "run"))
    assert "error: train: expected text on the standard input, got an empty file; pass a file with text." in message
    main_end, terminal = pty.openpty()
    with open(terminal, encoding="utf-8") as stream:
        monkeypatch.setattr(sys, "stdin", stream)
        message = refused(capsys, *arguments(Path("-"), tmp_path / "run"))
    os.close(main_end)
    assert "got a terminal; pipe one into the command, e.g. cat *.txt | tinygrad-seq train --corpus - " in message
    assert os.listdir(tmp_path) == []
