"""What static type checkers see: the stubs agree with the table of operations, and a user's script checks."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.typing.stubs import STUBS

ROOT = Path(__file__).resolve().parents[2]
SCRIPT = Path(__file__).parent / "user_script.py"


@pytest.mark.parametrize("path", STUBS, ids=lambda path: path.name)
def test_stub_is_up_to_date(path: Path) -> None:
    assert path.read_text(encoding="utf-8") == STUBS[path](), "run python -m tests.typing.stubs --write"


def checked(tmp_path: Path, script: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "mypy", "--strict", "--config-file=", f"--cache-dir={tmp_path}", str(script)]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
