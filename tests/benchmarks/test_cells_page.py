"""The page of cells is in step with the cells: written from their docstrings, not typed."""

from __future__ import annotations

import json

from benchmarks import cells_page
from tests.nn.cell_names import CELLS
from tinygrad_seq import nn


def test_page_is_what_the_script_writes() -> None:
    results = json.loads(cells_page.MEASURED.read_text(encoding="utf-8"))
    assert cells_page.PAGE.read_text(encoding="utf-8") == cells_page.page(results), (
        "run python -m benchmarks.cells_page"
    )


def test_every_cell_is_on_it_with_equations_source_and_speed() -> None:
    text = cells_page.PAGE.read_text(encoding="utf-8")
    for name in CELLS:
        section = text.split(f"\n### {name}\n")[1].split("\n### ")[0]
        assert "\n    " in section, f"{name} has no equations"
        assert any(word in section for word in ("Source:", "torch.nn.", "Cho et al.")), f"{name} names no source"
        (row,) = (line for line in text.splitlines() if line.startswith(f"| [`{name}`]"))
        assert "–" not in row, f"{name} has not been measured"


def test_a_cell_without_a_measurement() -> None:
    row = cells_page.row_of(nn.ElmanCell, "elman", {"LSTMCell": 10.0})
    assert row.endswith("| 24,832 | – | – |")
    assert cells_page.row_of(nn.ElmanCell, "elman", {"LSTMCell": 10.0, "ElmanCell": 25.0}).endswith("| 25 | 2.50 |")
