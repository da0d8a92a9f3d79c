from __future__ import annotations

import errno
import os
import struct
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tinygrad_seq.errors import ArgumentError, CheckpointError
from tinygrad_seq.report import draw_curves, save_curves

NUMBERS = st.floats(-1e6, 1e6) | st.just(float("nan")) | st.just(float("inf"))


@given(
    st.lists(st.tuples(st.integers(0, 10_000), NUMBERS), min_size=1, max_size=30),
    st.integers(2, 80),
    st.integers(2, 20),
)
def test_any_curve_fits_into_its_area(points, width: int, height: int) -> None:
    curve = sorted(points, key=lambda point: point[0])
    finite = [y for _, y in curve if abs(y) < float("inf")]
    if not finite:
        with pytest.raises(ArgumentError, match="finite point"):
            draw_curves({"loss": curve}, width=width, height=height)
        return
    lines = draw_curves({"loss": curve}, width=width, height=height).splitlines()
    assert len(lines) == height + 3
    area = [line.split("┤")[-1].split("│")[-1] for line in lines[:height]]
    assert all(len(row) <= width for row in area)
    assert any(row.strip() for row in area)


def test_a_falling_curve_falls() -> None:
    lines = draw_curves({"loss": [(0, 2.0), (1, 1.0)]}, width=10, height=5).splitlines()[:5]
    starts = [line.split("┤")[-1].split("│")[-1] for line in lines]
    indents = [len(row) - len(row.lstrip()) for row in starts]
    assert indents == sorted(indents)
    assert indents[0] == 0
    assert indents[-1] > 5


def test_ticks_stand_above_their_labels() -> None:
    *_, ticks, labels, _ = draw_curves({"loss": [(10, 2.0), (1000, 1.0)]}, width=20, height=4).splitlines()
    assert labels.index("10") == ticks.index("┬")
    assert labels.index("1000") + 3 == ticks.rindex("┬")


def test_legend_names_every_curve() -> None:
    text = draw_curves({"training": [(0, 4.0), (9, 2.0)], "held out": [(5, 3.0)]})
    assert text.splitlines()[-2:] == ["training: 4.00 → 2.00", "held out: 3.00 → 3.00"]


def test_too_small_an_area_is_refused() -> None:
    with pytest.raises(ArgumentError, match="1 x 5"):
        draw_curves({"loss": [(0, 1.0)]}, width=1, height=5)


def test_png(tmp_path: Path) -> None:
    curves = {"loss": [(x, 2.0 / (x + 1)) for x in range(200)], "held out": [(100, 1.0)], "none": []}
    save_curves(curves, tmp_path / "loss.png", title="1 x gru", y_label="bits")
    content = (tmp_path / "loss.png").read_bytes()
    assert content.startswith(b"\x89PNG")
    assert struct.unpack(">II", content[16:24]) == (1200, 675)
    assert len(content) < 100_000


def test_nothing_to_draw_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ArgumentError, match="at least one point"):
        save_curves({"loss": []}, tmp_path / "loss.png")
    assert [*tmp_path.iterdir()] == []


def test_png_on_a_full_disk_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(CheckpointError, match="No space left"):
        save_curves({"loss": [(0, 2.0)]}, tmp_path / "loss.png")
    assert [*tmp_path.iterdir()] == []


def test_without_matplotlib(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "matplotlib.figure", None)
    with pytest.raises(ArgumentError, match=r"tinygrad-seq\[plot\]"):
        save_curves({"loss": [(0, 2.0)]}, tmp_path / "loss.png")
