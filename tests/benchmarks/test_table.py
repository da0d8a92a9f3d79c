"""The figures of docs/performance.md and README.md are those of the results: the tables are written, not typed."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path
from types import ModuleType

import pytest

from benchmarks.__main__ import COMPARISONS

BENCHMARKS = Path(__file__).resolve().parent.parent.parent / "benchmarks"


@pytest.fixture(scope="module")
def table() -> ModuleType:
    spec = importlib.util.spec_from_file_location("benchmarks_table", BENCHMARKS / "_table.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def result(cases: dict[str, dict[str, dict[str, float]]], **facts: object) -> dict[str, object]:
    """Return what a subject writes, from case -> measure -> contestant -> median."""
    results = {
        case: {m: {name: {"median": value} for name, value in rows.items()} for m, rows in measures.items()}
        for case, measures in cases.items()
    }
    machine = {
        "processor": "a processor",
        "cores": 2,
        "versions": {"numpy": "2.0"},
        "date": "2026-01-02",
        "missing": {},
    }
    return {**machine, **facts, "results": results}


@pytest.fixture
def results(tmp_path: Path) -> Path:
    folder = tmp_path / "results"
    folder.mkdir()
    ours = "tinygrad_seq"
    written = {
        "layers": result(
            {
                "LSTM 5x4x3x2": {"training": {ours: 0.002, "torch": 0.005, "jax": 0.009, "jax hoisted": 0.007}},
                "GRU 5x4x3x2": {"training": {ours: 0.002, "torch": 0.004}},
                "LSTM 1x1x3x2": {"inference": {ours: 0.002, "torch": 0.006, "onnxruntime": 0.001}},
            },
            missing={"jax": "not installed: jax"},
        ),
        "custom_cells": result({"minGRU": {"training": {ours: 0.001, "torch": 0.004, "torch hoisted": 0.003}}}),
        "training": result(
            {
                "GRU": {
                    "training": {ours: 0.1, f"{ours}, 2 threads": 0.08, "torch": 0.2, "torch, 2 threads": 0.1},
                    "peak": {ours: 2e6, "torch": 3e6},
                }
            },
            tokens_per_step={"GRU": 1000},
        ),
        "scaling": result({"LSTM 5x4x3x2": {"training": {ours: 0.3, f"{ours}, 2 threads": 0.2}}}),
        "low_precision": result(
            {
                "LSTM 5x1x3x2": {
                    "training": {ours: 4.0, f"{ours} bf16": 2.0, "torch": 5.0, "torch bf16": 3.0},
                    "inference": {ours: 3.0, f"{ours} int8": 1.0, "onnxruntime int8": 1.5},
                }
            }
        ),
        "threads": result(
            {"BiLSTM 5x1x3x2": {"training": {ours: 0.3, f"{ours}, 2 threads": 0.2, "torch, 2 threads": 0.5}}}
        ),
        "matrix_cells": result(
            {
                "GLA 5x4x3x2": {
                    "forward": {ours: 3.0, "limit": 2.0, "torch, loop": 9.0, "torch, one block": 6.0},
                    "backward": {ours: 4.0, "limit": 2.0},
                }
            }
        ),
        "busy_neighbour": {
            **result({}),
            "results": {"LSTM 5x4x3x2, training, neighbours on 1 of 2 cores [0]": {"ratio": 0.9}},
        },
        "per_token": result({"char-rnn": {"training": {ours: 0.3, "torch": 0.36}}}),
        "peak": result(
            {"LSTM 5x4x3x2": {"share of peak": {ours: 0.5}, "inference: share of peak": {ours: 0.4, "jax": 0.3}}}
        ),
        "layers_quick": result({"LSTM 5x4x3x2": {"training": {ours: 1.0, "torch": 99.0}}}),
    }
    for name, content in written.items():
        (folder / f"{name}.json").write_text(json.dumps(content))
    return folder


def test_ratios_are_peer_over_ours_and_the_faster_form_counts(table: ModuleType, results: Path) -> None:
    lines = table.tables(table.read(results)).splitlines()
    assert "| 5 × 4 × 3 × 2 | – | – | 2.00 | – | 2.50 | 3.50 | 2 ms |" in lines
    assert "| minGRU | 3.00 | – | – | – | 1 ms |" in lines
    assert "| GRU | 10,000 | 2.00 | 1.25 | 1.50 |" in lines
    assert "| LSTM 5 × 4 × 3 × 2 | 1.50 |" in lines
    assert "| 1 × 1 × 3 × 2 | – | – | – | – | – | – | 3.00 | – | 0.50 | 2 ms |" in lines
    assert "| LSTM 5 × 1 × 3 × 2 | 2.00 | 2.50 | 1.50 | – | – | – |" in lines
    assert "| LSTM 5 × 1 × 3 × 2 | 3.00 | 1.50 | – |" in lines
    assert "| BiLSTM 5 × 1 × 3 × 2 | 1.50 | 2.50 | – | – |" in lines
    assert "| GLA 5 × 4 × 3 × 2 | 1.50 | 2.00 | 2.00 | – |" in lines
    assert "| LSTM 5 × 4 × 3 × 2, training, neighbours on 1 of 2 cores [0] | 0.90 |" in lines
    assert "| char-rnn | 1.20 | 300 ms |" in lines
    assert "| LSTM 5 × 4 × 3 × 2 | 50 % | – | – | – |" in lines
    assert "| LSTM 5 × 4 × 3 × 2 | 40 % | – | 30 % | – |" in lines
    (source,) = {line for line in lines if line.startswith("*`layers.py`")}
    assert "a processor, 2 cores; numpy 2.0; 2026-01-02. Not measured: jax, not installed: jax." in source


def test_the_summary_is_the_lowest_and_the_highest_case(table: ModuleType, results: Path) -> None:
    lines = table.summary(table.read(results)).splitlines()
    assert "| RNN, GRU, LSTM: training step | 2.00 to 2.50 | 3.50 | – |" in lines
    assert "| RNN, GRU, LSTM: inference | 3.00 | – | 0.50 |" in lines
    assert "| five custom cells: training step | 3.00 | – | – |" in lines


@pytest.mark.parametrize(("page", "block"), [("README.md", "summary"), ("docs/performance.md", "tables")])
def test_pages_are_what_the_script_writes(table: ModuleType, page: str, block: str) -> None:
    text = (BENCHMARKS.parent / page).read_text(encoding="utf-8")
    written = getattr(table, block)(table.read(BENCHMARKS / "results"))
    assert f"{table.START}\n{written}\n{table.END}" in text, "run python -m benchmarks --table"


def test_each_subject_has_a_table(table: ModuleType) -> None:
    assert len(COMPARISONS) == len(set(COMPARISONS))
    assert set(COMPARISONS) <= set(table.SECTIONS)


def test_quick_results_are_not_shown(table: ModuleType, results: Path) -> None:
    assert "99" not in table.tables(table.read(results))


def test_update_replaces_what_is_between_the_markers(table: ModuleType, tmp_path: Path) -> None:
    readme = tmp_path / "README.md"
    readme.write_text(f"before\n{table.START}\nold\n{table.END}\nafter\n")
    table.update(readme, "old table")
    table.update(readme, "new table")
    assert readme.read_text() == f"before\n{table.START}\nnew table\n{table.END}\nafter\n"


@pytest.mark.parametrize("text", ["", "{end} {start}", "{start} {start} {end}"])
def test_update_refuses_a_text_without_the_two_markers(table: ModuleType, tmp_path: Path, text: str) -> None:
    readme = tmp_path / "README.md"
    readme.write_text(text.format(start=table.START, end=table.END))
    with pytest.raises(ValueError, match=r"README\.md: expected <!-- benchmarks:start -->"):
        table.update(readme, "table")
