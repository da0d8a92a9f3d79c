"""What the tests of the command line run."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tinygrad_seq.cli import main

LINES = ["the cat sat on the mat", "the dog ate a pear", "an apple and a pear", "a cat and a dog ran"] * 15
SIZES = ["--unit", "line", "--hidden", "8", "--embedding", "4", "--batch", "3", "--window", "8", "--warmup", "2"]
ENVIRONMENT = os.environ | {"PYTHONPATH": str(Path(__file__).resolve().parents[2])}


def arguments(corpus: Path, out: Path, *more: str, steps: int = 10) -> list[str]:
    return ["train", "--corpus", str(corpus), "--out", str(out), *SIZES, "--steps", str(steps),
            "--evaluate-every", "5", "--sample-length", "20", *more]  # fmt: skip


def process(*arguments: str, **options) -> subprocess.Popen:
    command = [sys.executable, "-W", "error", "-m", "tinygrad_seq", *arguments]
    defaults: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "env": ENVIRONMENT, "text": True}
    return subprocess.Popen(command, **(defaults | options))


def refused(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    """Return the one line of an error."""
    capsys.readouterr()
    assert main(arguments) == 2
    captured = capsys.readouterr()
    assert captured.err.startswith("error: ")
    assert captured.err.count("\n") == 1
    assert re.fullmatch(r"((Reading|Resuming) .* \.\.\.\n([a-z]+ .*\n)*)?", captured.out)
    return captured.err
