from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tinygrad_seq as ts
from tinygrad_seq.report import gradient_reach, time_xray

T, N, H = 9, 3, 4


def inspect(layer: Any, xs: Any = None, last: int = -1) -> Any:
    with ts.disable_compile():
        inspection = layer.inspect(ts.randn(T, N, 2) if xs is None else xs)
        inspection.ys[last].sum().backward()
    return inspection


def test_layers_side_by_side(tmp_path: Path) -> None:
    both = inspect(ts.nn.GRU(2, H, bidirectional=True))
    found = {"RNN": inspect(ts.nn.RNN(2, H)), "LSTM": inspect(ts.nn.LSTM(2, H)), "back": both.one(0, "backwards")}
    time_xray(found, tmp_path / "xray.png", row=2, title="three")
    assert (tmp_path / "xray.png").read_bytes().startswith(b"\x89PNG")


def test_reach_is_by_distance_in_time() -> None:
    forwards, backwards = inspect(ts.nn.GRU(2, H)), inspect(ts.nn.GRU(2, H, go_backwards=True), last=0)
    norms = forwards.gradient_norms().mean(axis=1)
    np.testing.assert_allclose(gradient_reach(forwards), norms[::-1], rtol=1e-6)
    np.testing.assert_allclose(gradient_reach(backwards), backwards.gradient_norms().mean(axis=1), rtol=1e-6)
    for reach in (gradient_reach(forwards), gradient_reach(backwards)):
        np.testing.assert_allclose(reach[0], np.sqrt(H), rtol=1e-6)
        assert reach[-1] < reach[0]


def test_what_is_not_finite_and_a_state_without_gradient_at_the_last_step(tmp_path: Path) -> None:
    xs = np.ones((T, N, 2), np.float32)
    xs[4:] = np.nan
    time_xray({"LSTM": inspect(ts.nn.LSTM(2, H), xs)}, tmp_path / "nan.png")
    time_xray({"LSTM": inspect(ts.nn.LSTM(2, H), last=0)}, tmp_path / "first.png")
    assert len([*tmp_path.iterdir()]) == 2


def test_what_cannot_be_drawn_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "xray.png"
    inspection = inspect(ts.nn.GRU(2, H))
    with ts.disable_compile():
        fresh, none = ts.nn.GRU(2, H).inspect(ts.randn(T, N, 2)), ts.nn.GRU(2, H).inspect(ts.randn(0, N, 2))
    refused: list[tuple[Any, Any, type[Exception], str]] = [
        ({}, 0, ts.ArgumentError, "at least one inspection"),
        ([inspection], 0, ts.ArgumentError, "inspections by name, got list"),
        ({"GRU": 3}, 0, ts.ArgumentError, "expected an inspection, got int"),
        ({"GRU": inspection}, "0", ts.IndexRangeError, "row from 0 to 2, got '0'"),
        ({"GRU": inspection}, N, ts.IndexRangeError, "row from 0 to 2, got 3"),
        ({"GRU": inspect(ts.nn.GRU(2, H, num_layers=2))}, 0, ts.ArgumentError, "one of GRUCell, layer 0; GRUCell"),
        ({"GRU": fresh}, 0, ts.GraphError, "a backward pass"),
        ({"GRU": none}, 0, ts.ArgumentError, "at least one step"),
    ]
    for found, row, error, message in refused:
        with pytest.raises(error, match=message):
            time_xray(found, path, row=row)
    monkeypatch.setitem(__import__("sys").modules, "matplotlib.figure", None)
    with pytest.raises(ts.ArgumentError, match=r"tinygrad-seq\[plot\]"):
        time_xray({"GRU": inspection}, path)
    assert not path.exists()
