"""The examples run, in a short mode, and show what they say they show."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType

import tinygrad_seq as ts

EXAMPLES = Path(__file__).resolve().parent.parent / "examples"


def load(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, EXAMPLES / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_custom_cell_learns_to_count() -> None:
    count_ones = load("custom_cell").count_ones
    assert count_ones(150) < 0.3 * count_ones(1)


def test_the_simple_rnn_forgets_sooner_than_gru_and_lstm(capsys) -> None:
    ratios = load("inspect_gradients").compare(32)
    assert ratios["RNN"] < 1e-3 * ratios["LSTM"]
    assert ratios["RNN"] < ratios["GRU"] < ratios["LSTM"]
    assert "t=  0" in capsys.readouterr().out


def test_the_gradient_reaches_back_where_gates_carry_the_state(capsys, tmp_path: Path) -> None:
    with ts.disable_compile():
        reach = load("time_xray").compare(time=24, updates=2, png=str(tmp_path / "xray.png"))
    assert reach["RNN"][23] < 1e-2 * min(reach["GRU"][23], reach["LSTM"][23])
    assert capsys.readouterr().out.count("10 back") == 3
    assert (tmp_path / "xray.png").stat().st_size > 10_000


def test_the_readme_shows_the_cell_of_the_example() -> None:
    """The forward pass in README.md is, line by line, the one of the example."""
    readme = (EXAMPLES.parent / "README.md").read_text()
    source = (EXAMPLES / "custom_cell.py").read_text()
    lines = source[source.index("        f = self.gate") : source.index("def count_ones")].splitlines()
    assert all(line in readme for line in lines)
