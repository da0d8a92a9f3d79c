"""The examples run, in their short mode, and learn what little they can in it."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
import wave
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

import tinygrad_seq as ts

EXAMPLES = Path(__file__).resolve().parent.parent / "examples"
README = (EXAMPLES.parent / "README.md").read_text(encoding="utf-8")


def load(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, EXAMPLES / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def forgets_sooner(ratios: dict[str, float]) -> bool:
    return ratios["RNN"] < 1e-3 * ratios["LSTM"] and ratios["RNN"] < ratios["GRU"] < ratios["LSTM"]


EXPECTED = {
    "custom_cell": lambda error: error < 2,
    "inspect_gradients": forgets_sooner,
    "one_to_one": lambda share: share > 0.6,  # one in three by chance
    "many_to_one": lambda share: share > 0.2,  # one in eleven
    "many_to_many": lambda scores: scores["both ways"] > 0.1,
    "token_types": lambda scores: min(scores.values()) > 0.5,
    "ctc": lambda wrong: wrong["beam"] <= wrong["greedy"] < 0.6,  # 1.0 for empty texts
    "encoder_decoder": lambda wrong: wrong["with attention"] < 0.6,
    "forecast": lambda scores: scores["model"] < scores["seasonal naive"] and 0.6 < scores["coverage"] < 0.95,
    "subject_verb_agreement": lambda shares: all(share[0] > 0.75 for share in shares.values()),
}


@pytest.mark.parametrize("name", EXPECTED)
def test_example(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    result: Any = load(name).main(short=True)
    assert EXPECTED[name](result), result
    assert capsys.readouterr().out


def test_the_melody_is_written_as_sound(tmp_path: Path) -> None:
    path = tmp_path / "melody.wav"
    in_key, _, _ = load("one_to_many").main(short=True, out=path)
    assert in_key > 0.5
    with wave.open(str(path)) as file:
        assert file.getparams()[:3] == (1, 2, 22_050)
        assert file.getnframes() / file.getframerate() == pytest.approx(8, abs=0.01)


def test_a_cell_streams_without_the_package(capsys: pytest.CaptureFixture[str]) -> None:
    with ts.disable_compile():
        here, there = load("run_onnx").main(short=True)
    assert here == there
    assert len(capsys.readouterr().out) > 100


def test_names_are_learned_by_each_cell(capsys: pytest.CaptureFixture[str]) -> None:
    with ts.disable_compile():
        losses = load("names").main(short=True)
    assert len(losses) == 3
    assert max(losses.values()) < 2  # ln 25 by chance
    assert capsys.readouterr().out.count("new") == 3


def test_every_example_is_tested_and_short() -> None:
    sources = {path.stem: path.read_text(encoding="utf-8") for path in EXAMPLES.glob("*.py")}
    assert sources.keys() == {*EXPECTED, "many_models", "names", "one_to_many", "time_xray", "run_onnx", "serve"}
    readme = (EXAMPLES / "README.md").read_text(encoding="utf-8")
    for name, source in sources.items():
        assert f"`{name}.py`" in readme
        if name == "serve":  # no training: tests/test_serving.py
            continue
        assert len(source.splitlines()) < 120, name
        assert '"--short"' in source, name


def test_the_gradient_reaches_back_where_gates_carry_the_state(capsys, tmp_path: Path) -> None:
    with ts.disable_compile():
        reach = load("time_xray").main(short=True, png=str(tmp_path / "xray.png"))
    assert reach["RNN"][23] < 1e-2 * min(reach["GRU"][23], reach["LSTM"][23])
    assert capsys.readouterr().out.count("10 back") == 3
    assert (tmp_path / "xray.png").stat().st_size > 10_000


def test_the_readme_shows_the_cell_of_the_example() -> None:
    """The forward pass in README.md is, line by line, the one of the example."""
    source = (EXAMPLES / "custom_cell.py").read_text()
    lines = source[source.index("        f = self.gate") : source.index("def count_ones")].splitlines()
    assert all(line in README for line in lines)


def test_the_program_of_the_readme_trains(capsys: pytest.CaptureFixture[str]) -> None:
    """It runs as it is printed, and then, as the text says, with the layer replaced by one of the cell below it."""
    program, cell = (block.split("```")[0] for block in README.split("```python\n")[1:3])
    layer, other = "ts.nn.GRU(1, 16)", "ts.nn.Recurrent(MinimalGatedUnit(1, 16))"
    assert program.count(layer) == 1
    assert other in README
    for code in (program, "import tinygrad_seq as ts\n" + cell + program.replace(layer, other)):
        exec(compile(code, "README.md", "exec"), {"__name__": "__main__"})
        last = capsys.readouterr().out.splitlines()[-1]
        assert last.startswith("step 300: ")
        assert float(last.split()[-1]) < 0.3


def test_many_models_are_trained_in_a_pool_of_processes() -> None:
    command = [sys.executable, str(EXAMPLES / "many_models.py"), "--short"]
    done = subprocess.run(command, cwd=EXAMPLES.parent, capture_output=True, text=True, check=True)
    *lines, best = done.stdout.splitlines()
    assert [line.split()[1] for line in sorted(lines)] == ["0.01", "0.03"]
    assert best.startswith("best: lr ")
