"""A short round of the fuzzer; ``make fuzz`` runs 100,000 inputs."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.fuzz import __main__ as fuzz
from tests.fuzz.inputs import READERS
from tinygrad_seq.errors import DataError


@pytest.mark.skipif(sys.platform != "linux", reason="limits of memory and time are those of Linux")
@pytest.mark.parametrize("reader", READERS)
def test_a_short_round(reader: str, tmp_path: Path) -> None:
    inputs = {
        "kernels": 5,
        "arguments": 40,
        "keras files": 20,
        "onnx files": 60,
        "hub folders": 60,
        "torch files": 100,
    }.get(reader, 300)
    command = [sys.executable, "-m", "tests.fuzz", "--only", reader, "--inputs", str(inputs), "--out", str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=300)
    saved = "".join(path.read_text()[-3000:] for path in sorted(tmp_path.glob("*/what.txt"))[:3])
    assert done.returncode == 0, done.stdout + done.stderr + saved


def fail() -> None:
    raise KeyError("x")


def refuse() -> None:
    raise DataError("one line")


def spend() -> None:
    began = time.process_time()
    while time.process_time() < began + 2.1:
        pass


@pytest.mark.parametrize(
    ("call", "outcome"), [(fail, "FAILED: KeyError"), (refuse, "DataError"), (spend, "FAILED: cost"), (list, "ok")]
)
def test_what_counts_as_a_failure(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, call, outcome: str) -> None:
    monkeypatch.setitem(READERS, "x", (1, lambda rng, folder: (folder / "file").touch() or call))
    assert fuzz.run("x", 3, 0, tmp_path) == outcome
    if outcome.startswith("FAILED"):
        assert (tmp_path / "x-3" / "input" / "file").exists()
        assert "--seed 0 --only x:3" in (tmp_path / "x-3" / "what.txt").read_text()
