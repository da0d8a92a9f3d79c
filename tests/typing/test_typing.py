"""What static type checkers see: the stubs agree with the table of operations, and a user's script checks."""

from __future__ import annotations

import os
import shutil
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


def run(command: list[str]) -> tuple[int, str]:
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    return done.returncode, done.stdout + done.stderr


def mypy(tmp_path: Path, script: Path) -> tuple[int, str]:
    # The tests start in the root of the repository, where the package is found without being installed.
    options = ["--strict", "--config-file=", f"--cache-dir={tmp_path / 'cache'}", "--ignore-missing-imports"]
    return run([sys.executable, "-m", "mypy", *options, "--follow-imports=silent", str(script)])


def pyright(script: Path) -> tuple[int, str]:
    """Run basedpyright, which brings its own Node.js, with the rules of pyright."""
    program = shutil.which("basedpyright", path=os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]]))
    if program is None:
        pytest.skip("needs basedpyright")
    return run([program, "--level", "error", "--pythonpath", sys.executable, str(script)])


def test_a_strict_script_of_a_user_passes_mypy(tmp_path: Path) -> None:
    assert mypy(tmp_path, SCRIPT) == (0, "Success: no issues found in 1 source file\n")


def test_a_script_of_a_user_passes_pyright() -> None:
    code, said = pyright(SCRIPT)
    assert code == 0, said


WRONG = {
    "assignment": "n: int = ts.ones(3) * 2",
    "argument": "ts.concat(3)",
    "call": "ts.nn.Linear(2, 3)(ts.ones(2), 1)",
    "name": "ts.no_such_function(1)",
    "method": "ts.ones(3).no_such_method()",
    "unknown option": "ts.sum(ts.ones(3), axes=0)",
}


@pytest.mark.parametrize("checker", ["mypy", "pyright"])
def test_mistakes_are_found(tmp_path: Path, checker: str) -> None:
    """A check that finds nothing could be one that sees only Any."""
    script = tmp_path / "wrong.py"
    script.write_text("import tinygrad_seq as ts\n" + "\n".join(WRONG.values()) + "\n", encoding="utf-8")
    code, said = mypy(tmp_path, script) if checker == "mypy" else pyright(script)
    assert code == 1, said
    for line, mistake in enumerate(WRONG, 2):
        assert f"wrong.py:{line}:" in said, (mistake, said)
