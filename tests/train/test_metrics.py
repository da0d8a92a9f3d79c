from __future__ import annotations

import math
import os
from pathlib import Path

import pytest

from tinygrad_seq.errors import CheckpointError
from tinygrad_seq.train.metrics import append_row, keep_rows, measures, read_rows


def test_measures() -> None:
    found = measures(math.log(8), 4.0)
    assert found["bits_per_character"] == pytest.approx(0.75)
    assert found["perplexity"] == pytest.approx(8)
    assert math.isfinite(measures(1e6, 1.0)["perplexity"])


def test_rows_come_back_and_a_cut_last_line_is_left_out(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    for step in (1, 2, 3):
        append_row(path, {"step": step, "sample": "a\nb é"})
    with path.open("a", encoding="utf-8") as file:
        file.write('{"step": 4, "los')
    assert [row["step"] for row in read_rows(path)] == [1, 2, 3]
    assert read_rows(path)[0]["sample"] == "a\nb é"
    keep_rows(path, 2)
    append_row(path, {"step": 3})
    assert [row["step"] for row in read_rows(path)] == [1, 2, 3]


@pytest.mark.parametrize("tail", [b'{"step": 4, "los', bytes(4096), b'{"step": 4}' + bytes(20), b"\xff\xfe", b"{}"])
def test_what_a_crash_or_power_loss_leaves_at_the_end_goes_at_the_next_resume(tmp_path: Path, tail: bytes) -> None:
    path = tmp_path / "metrics.jsonl"
    whole = b'{"step": 1, "loss": 2.50}\n{"step":  2}\n'
    path.write_bytes(whole + tail)
    assert [row["step"] for row in read_rows(path)] == [1, 2]
    keep_rows(path, 5)
    assert path.read_bytes() == whole  # as it was written, not as Python would write it


def test_keeping_everything_does_not_write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "metrics.jsonl"
    append_row(path, {"step": 1})
    monkeypatch.setattr("tinygrad_seq.train.metrics.write_atomically", None)
    keep_rows(path, 1)


@pytest.mark.parametrize(
    "line",
    [
        b'{"st',
        b"",
        b"[]",
        b"5",
        b"{}",
        b'{"step": "1"}',
        b'{"step": NaN}',
        b'{"step": true}',
        b'{"step": 2, "sample": 5}',
        b'{"step": 2, "loss": "low"}',
        b'{"step": 2, "loss": [1]}',
        b'{"step": 2, "step": 2}',
        b'{"step": 2, "sample": "\xe9"}',
        b"\x00\x00",
        b"[" * 5000,
        b'{"step": 2, "loss": ' + b"[" * 5000,
    ],
)
def test_damage_in_the_middle_is_named_and_nothing_is_rewritten(tmp_path: Path, line: bytes) -> None:
    path = tmp_path / "m"
    path.write_bytes(b'{"step": 1}\n' + line + b'\n{"step": 3}\n')
    before = path.read_bytes()
    for read in (read_rows, lambda path: keep_rows(path, 1)):
        with pytest.raises(CheckpointError, match="line 2"):
            read(path)
    assert path.read_bytes() == before


def test_values_that_are_not_finite_are_left_out(tmp_path: Path) -> None:
    (tmp_path / "m").write_text('{"step": 1, "loss": NaN, "validation_loss": Infinity, "tokens_per_second": null}\n')
    assert read_rows(tmp_path / "m") == [{"step": 1, "tokens_per_second": None}]
    keep_rows(tmp_path / "m", 1)
    assert "NaN" in (tmp_path / "m").read_text()


def test_missing_file_folder_and_pipe(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="somebody has moved or deleted the run folder"):
        append_row(tmp_path / "gone" / "metrics.jsonl", {})
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path, tmp_path / "pipe"):
        with pytest.raises(CheckpointError, match=r"Session\.rows: expected to write"):
            append_row(path, {})
        with pytest.raises(CheckpointError, match=r"Run\.rows: expected a readable file"):
            read_rows(path)


def test_a_missing_file_can_be_replaced_by_an_empty_one(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    with pytest.raises(CheckpointError, match="got no file; restore it, or create an empty one"):
        keep_rows(path, 3)
    assert not path.exists()
    path.touch()
    keep_rows(path, 3)
    assert read_rows(path) == []
