from __future__ import annotations

import math
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


def test_damage_in_the_middle_is_named(tmp_path: Path) -> None:
    (tmp_path / "m").write_text('{"step": 1}\n{"st\n{"step": 3}\n', encoding="utf-8")
    with pytest.raises(CheckpointError, match="line 2"):
        read_rows(tmp_path / "m")


def test_missing_file_and_folder(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="No such file"):
        read_rows(tmp_path / "none")
    with pytest.raises(CheckpointError, match="directory"):
        append_row(tmp_path, {})
