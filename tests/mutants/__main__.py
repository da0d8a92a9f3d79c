"""Run the mutants: ``python -m tests.mutants [--only TEXT] [--workers N] [--json FILE]``.

Each mutant is applied to a copy of the checkout, and its tests are run there. It is killed if they fail. First the
tests of all mutants are run on an unchanged copy, where they must pass.
"""

from __future__ import annotations

import argparse
import concurrent.futures
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from .list_of_mutants import MUTANTS
from .mutant import ROOT, Mutant

TIMEOUT = 900.0
COPIED = ("tinygrad_seq", "tests", "benchmarks", "conftest.py", "pyproject.toml", "README.md")


def copy_checkout(folder: Path) -> None:
    for name in COPIED:
        source = ROOT / name
        if source.is_dir():
            shutil.copytree(source, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(source, folder / name)


def run_tests(folder: Path, tests: tuple[str, ...], cache: str) -> tuple[int, float]:
    """Return the exit code of pytest in `folder`, 1 after a timeout, and the seconds it took."""
    command = [sys.executable, "-m", "pytest", "-x", "-q", "-n", "0", "-p", "no:cacheprovider", *tests]
    environment = os.environ | {"PYTHONPATH": str(folder), "TGS_CACHE_DIR": cache, "CI": "1"}
    began = time.perf_counter()
    try:
        done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, timeout=TIMEOUT, check=False)
        code = done.returncode
    except subprocess.TimeoutExpired:
        code = 1
    return code, time.perf_counter() - began


def run(mutant: Mutant, cache: str) -> dict[str, Any]:
    with tempfile.TemporaryDirectory(prefix="mutant-") as name:
        folder = Path(name)
        copy_checkout(folder)
        (folder / "tinygrad_seq" / mutant.file).write_text(mutant.applied(), encoding="utf-8")
        code, seconds = run_tests(folder, mutant.tests, cache)
    outcome = {0: "survived", 1: "killed"}.get(code, f"pytest ended with {code}")
    print(f"{outcome:9} {seconds:6.1f} s  {mutant.name}", flush=True)
    return {"name": mutant.name, "file": mutant.file, "outcome": outcome, "explained": mutant.survives}


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.mutants", description=__doc__)
    parser.add_argument("--only", default="", help="run the mutants whose name contains this text")
    parser.add_argument("--workers", type=int, default=2, help="mutants run at once")
    parser.add_argument("--json", type=Path, help="write the outcome of each mutant to this file")
    arguments = parser.parse_args()
    chosen = [mutant for mutant in MUTANTS if arguments.only in mutant.name]
    with tempfile.TemporaryDirectory(prefix="mutant-cache-") as cache:
        with tempfile.TemporaryDirectory(prefix="mutant-") as name:
            copy_checkout(Path(name))
            code, seconds = run_tests(Path(name), tuple(sorted({test for m in chosen for test in m.tests})), cache)
        if code != 0:
            print(f"the tests must pass without a mutant, but pytest ended with {code}; mend them first")
            return 2
        print(f"unchanged: passed in {seconds:.0f} s", flush=True)
        with concurrent.futures.ThreadPoolExecutor(arguments.workers) as pool:
            rows = list(pool.map(lambda mutant: run(mutant, cache), chosen))
    killed = sum(row["outcome"] == "killed" for row in rows)
    print(f"{killed} of {len(rows)} killed")
    if arguments.json:
        found = {"killed": killed, "mutants": len(rows), "rows": rows}
        arguments.json.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    return int(any(row["outcome"] != "killed" and not row["explained"] for row in rows))


if __name__ == "__main__":
    sys.exit(main())
