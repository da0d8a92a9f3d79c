"""Print the lines of code per folder of the package: ``python -m tools.lines [--commit REV]``.

Docstrings, comments and blank lines do not count. The last line says how much code runs in one training step of an
LSTM (`tools.one_step`): what a reader reads to follow a parameter from the layer's call into the kernel and back.
"""

from __future__ import annotations

import argparse
import ast
import io
import json
import os
import subprocess
import sys
import tarfile
import tempfile
import tokenize
from collections.abc import Mapping
from pathlib import Path, PurePosixPath

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = "tinygrad_seq"
STEP_GOAL = 1500

NO_CODE = {
    tokenize.COMMENT,
    tokenize.DEDENT,
    tokenize.ENCODING,
    tokenize.ENDMARKER,
    tokenize.INDENT,
    tokenize.NEWLINE,
    tokenize.NL,
}


def code_lines(source: str) -> set[int]:
    """Return the numbers of the lines that hold code; a string that is a statement of its own is a docstring."""
    numbers: set[int] = set()
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type not in NO_CODE:
            numbers.update(range(token.start[0], token.end[0] + 1))
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str):
            numbers.difference_update(range(node.lineno, (node.end_lineno or node.lineno) + 1))
    lines = source.split("\n")
    return {number for number in numbers if lines[number - 1].strip()}


def read_sources(root: Path) -> dict[str, str]:
    """Return the text of the package's files in a checkout, by path below the package."""
    package = root / PACKAGE
    return {
        path.relative_to(package).as_posix(): path.read_text(encoding="utf-8")
        for path in sorted(package.rglob("*.py"))
        if "__pycache__" not in path.parts
    }


def count_folders(sources: Mapping[str, str]) -> dict[str, tuple[int, int]]:
    """Return the number of files and of lines of code in and below each folder; "." is the whole package."""
    folders: dict[str, tuple[int, int]] = {}
    for path, source in sources.items():
        lines = len(code_lines(source))
        for folder in map(str, PurePosixPath(path).parents):
            files_so_far, lines_so_far = folders.get(folder, (0, 0))
            folders[folder] = files_so_far + 1, lines_so_far + lines
    return folders


def count_functions(sources: Mapping[str, str], functions: Mapping[str, list[tuple[int, int]]]) -> int:
    """Return the lines of code of functions, which are given as first and last lines by file."""
    count = 0
    for path, spans in functions.items():
        inside = {number for first, last in spans for number in range(first, last + 1)}
        count += len(code_lines(sources[path]) & inside)
    return count


def run_one_step(root: Path) -> dict[str, list[tuple[int, int]]]:
    """Return the functions that run in a training step with the package in `root`, as first and last lines by file."""
    done = subprocess.run(
        [sys.executable, str(Path(__file__).with_name("one_step.py"))],
        env=os.environ | {"PYTHONPATH": str(root)},
        stdout=subprocess.PIPE,
        check=True,
    )
    functions: dict[str, list[tuple[int, int]]] = json.loads(done.stdout)
    return functions


def extract(commit: str, folder: Path, root: Path = ROOT) -> None:
    """Write the package as it is in a commit into `folder`."""
    archive = subprocess.run(["git", "archive", commit, PACKAGE], cwd=root, stdout=subprocess.PIPE, check=True).stdout
    with tarfile.open(fileobj=io.BytesIO(archive)) as files:
        files.extractall(folder, filter="data")


def report(root: Path) -> str:
    """Return the table of a checkout."""
    sources = read_sources(root)
    folders = count_folders(sources)
    loose = [len(code_lines(source)) for path, source in sources.items() if "/" not in path]
    total = folders.pop(".")
    rows = [("files of no folder", len(loose), sum(loose))]
    rows += [("  " * folder.count("/") + folder, *folders[folder]) for folder in sorted(folders)]
    rows += [("total", *total)]
    step = count_functions(sources, run_one_step(root))
    return "\n".join(
        [
            f"{'folder':32} {'files':>6} {'lines of code':>14}",
            *(f"{name:32} {files:6} {lines:14,}" for name, files, lines in rows),
            f"One training step of an LSTM runs {step:,} of them (goal: at most {STEP_GOAL:,}).",
        ]
    )


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tools.lines", description="Print the lines of code per folder.")
    parser.add_argument("--commit", metavar="REV", help="count the files of this commit instead of the working tree")
    commit = parser.parse_args().commit
    if commit is None:
        print(report(ROOT))
        return
    with tempfile.TemporaryDirectory() as folder:
        extract(commit, Path(folder))
        print(report(Path(folder)))


if __name__ == "__main__":
    main()
