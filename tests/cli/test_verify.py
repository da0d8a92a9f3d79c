from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.cli.commands import refused
from tinygrad_seq.cli import main

CODE = """
import tinygrad_seq as ts
from tinygrad_seq import nn

class Leaky(nn.Cell):
    def __init__(self, input_size, hidden_size, leak=0.5):
        self.input_size, self.state_shape, self.leak = input_size, (hidden_size,), leak
        self.project = nn.Linear(input_size, hidden_size)
    def forward(self, x, h):
        h = h + self.leak * (ts.tanh(self.project(x)) - h)
        return h, h

class Leaking(Leaky):
    def forward(self, x, h):
        y, h = super().forward(x, h)
        return y, h - h.mean(axis=0, keepdims=True)

class Sized(Leaky):
    def __init__(self, size, kind):
        super().__init__(size, size)

ready = Leaky(2, 2)

def a_step():
    w = ts.randn(2, 2, requires_grad=True)
    return lambda h, x: (ts.tanh(h @ w + x), h), ts.zeros((3, 2)), ts.randn(4, 3, 2)
"""
SHORT = ["--level", "short", "--no-compile"]


@pytest.fixture
def code(tmp_path: Path) -> str:
    (tmp_path / "cells.py").write_text(CODE, encoding="utf-8")
    return str(tmp_path / "cells.py")


def test_a_cell_that_is_right(code: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "certificate.json"
    given = ["--args", "hidden_size=2 leak=0.3", "--steps", "3", "--rows", "2", "--seed", "5", "--json", str(out)]
    assert main(["verify", f"{code}:Leaky", *SHORT, *given]) == 0
    text = capsys.readouterr().out
    assert text.startswith("Leaky: 18 passed, 0 failed, 2 skipped (T=3, N=2, short)")
    facts = json.loads(out.read_text(encoding="utf-8"))
    assert (facts["passed"], facts["seed"], facts["T"]) == (True, 5, 3)
    assert "'project.weight'" in text or "project" in out.read_text(encoding="utf-8")


def test_a_cell_that_is_wrong(code: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "certificate.json"
    assert main(["verify", f"{code}:Leaking", *SHORT, "--json", str(out)]) == 1
    text = capsys.readouterr().out
    assert "smallest failing case of 'row alone == row in a batch': T=1, N=2: " in text
    assert "smallest sizes, --args 'input_size=1 hidden_size=1': T=1, N=2: " in text
    failed = [check for check in json.loads(out.read_text(encoding="utf-8"))["checks"] if check["status"] == "failed"]
    assert failed[0]["smallest"].startswith("T=1, N=2")


@pytest.mark.parametrize("name", ["ready", "a_step"])
def test_objects_and_functions_that_make_them(code: str, name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["verify", f"{code}:{name}", *SHORT]) == 0
    assert "0 failed" in capsys.readouterr().out


def test_bad_input(code: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert "expected FILE.py:NAME, got 'Leaky'" in refused(capsys, "verify", "Leaky")
    assert "expected a Python file, got 'nowhere.py'" in refused(capsys, "verify", "nowhere.py:Leaky")
    assert "got Leaky, Leaking, Sized, ready, a_step" in refused(capsys, "verify", f"{code}:Lstm")
    assert "Sized requires, got none for size, kind; pass --args 'size=...'" in refused(
        capsys, "verify", f"{code}:Sized"
    )
    assert "expected --args like 'hidden_size=4 bias=False', got '4'" in refused(
        capsys, "verify", f"{code}:Leaky", "--args", "4"
    )
    assert "expected no --args for ready" in refused(capsys, "verify", f"{code}:ready", "--args", "leak=1")
    assert "expected Leaky(input_size=3, hidden_size=4, size=1) to run" in refused(
        capsys, "verify", f"{code}:Leaky", "--args", "size=1"
    )
    assert "expected level 'short' or 'full'" in refused(capsys, "verify", f"{code}:Leaky", "--level", "long")


def test_the_command_of_the_readme_runs(capsys) -> None:
    root = Path(__file__).resolve().parents[2]
    command = "verify examples/custom_cell.py:MinimalGatedUnit"
    assert f"tinygrad-seq {command}\n" in (root / "README.md").read_text(encoding="utf-8")
    name, target = command.split()
    assert main([name, str(root / target), "--level", "short"]) == 0
    assert "MinimalGatedUnit" in capsys.readouterr().out
