"""Run the mutants: ``python -m tests.mutants [--only TEXT ...] [--workers N] [--json FILE] [--unchecked]``.

Each mutant is applied to a copy of the checkout, and its tests are run there. It is killed if they fail. First the
tests of all mutants are run on an unchanged copy, where they must pass.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import queue
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numba
import numpy as np

from .list_of_mutants import MUTANTS
from .mutant import ROOT, Mutant

TIMEOUT = 600.0
COPIED = ("tinygrad_seq", "tests", "benchmarks", "conftest.py", "pyproject.toml", "README.md")


def copy_checkout(folder: Path) -> Path:
    for name in COPIED:
        source = ROOT / name
        if source.is_dir():
            shutil.copytree(source, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy2(source, folder / name)
    return folder


def run_tests(folder: Path, tests: Iterable[str], cache: Path) -> tuple[int, float, str]:
    """Return the exit code of pytest in `folder`, 1 after a timeout, the seconds it took and the end of its output."""
    command = [sys.executable, "-m", "pytest", "-x", "-q", "-n", "0", "-p", "no:cacheprovider", *tests]
    environment = os.environ | {"PYTHONPATH": str(folder), "TGS_CACHE_DIR": str(cache), "CI": "1"}
    began = time.perf_counter()
    try:
        done = subprocess.run(
            command, cwd=folder, env=environment, capture_output=True, text=True, timeout=TIMEOUT, check=False
        )
        code, said = done.returncode, done.stdout[-2000:]
    except subprocess.TimeoutExpired:
        code, said = 1, f"no end after {TIMEOUT:.0f} s"
    return code, time.perf_counter() - began, said


def run_mutant(mutant: Mutant, folder: Path, cache: Path) -> dict[str, Any]:
    """Return the outcome of one mutant in a copy of the checkout, which is as before afterwards."""
    path = folder / "tinygrad_seq" / mutant.file
    text, stamp = path.read_text(encoding="utf-8"), path.stat()
    path.write_text(mutant.applied(), encoding="utf-8")
    try:
        code, seconds, said = run_tests(folder, mutant.tests, cache)
    finally:
        path.write_text(text, encoding="utf-8")
        os.utime(path, ns=(stamp.st_atime_ns, stamp.st_mtime_ns))  # Python then reads the text again
    outcome = {0: "survived", 1: "killed"}.get(code, f"pytest ended with {code}")
    print(f"{outcome:9} {seconds:6.1f} s  {mutant.name}", flush=True)
    if outcome not in ("survived", "killed"):
        print(said, flush=True)
    area = mutant.file.partition("/")[0] if "/" in mutant.file else "engine"
    found = {"name": mutant.name, "area": area, "file": mutant.file, "outcome": outcome, "seconds": round(seconds)}
    return found | ({"explained": mutant.survives} if mutant.survives else {})


def write_score(path: Path, found: list[dict[str, Any]]) -> None:
    """Write the outcomes to a file, in the place of those that it has of the same mutants."""
    rows = {row["name"]: row for row in json.loads(path.read_text(encoding="utf-8"))["rows"]} if path.exists() else {}
    rows |= {row["name"]: row for row in found}
    kept = [rows[mutant.name] for mutant in MUTANTS if mutant.name in rows]
    areas = {
        area: {"killed": sum(outcome == "killed" for outcome in outcomes), "mutants": len(outcomes)}
        for area in sorted({row["area"] for row in kept})
        if (outcomes := [row["outcome"] for row in kept if row["area"] == area])
    }
    score = {
        "date": datetime.now(UTC).date().isoformat(),
        "versions": {"python": platform.python_version(), "numpy": np.__version__, "numba": numba.__version__},
        "killed": sum(row["outcome"] == "killed" for row in kept),
        "mutants": len(kept),
        "areas": areas,
        "rows": kept,
    }
    path.write_text(json.dumps(score, indent=1) + "\n", encoding="utf-8")


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.mutants", description=__doc__)
    parser.add_argument(
        "--only", nargs="+", default=[""], help="run the mutants whose name or file contains one of these"
    )
    parser.add_argument("--workers", type=int, default=2, help="mutants run at once")
    parser.add_argument("--json", type=Path, help="write the outcomes to this file, which keeps those of other mutants")
    parser.add_argument("--unchecked", action="store_true", help="leave out the run without a mutant")
    arguments = parser.parse_args()
    chosen = [
        mutant for mutant in MUTANTS if any(text in mutant.file or text in mutant.name for text in arguments.only)
    ]
    signal.signal(signal.SIGINT, signal.default_int_handler)  # in the background a shell ignores it, and so would tests
    began = time.perf_counter()
    rows: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory(prefix="mutants-") as name:
        copies: queue.Queue[Path] = queue.Queue()
        for number in range(arguments.workers):
            copies.put(copy_checkout(Path(name, str(number))))
        cache = Path(name, "cache")

        def in_copy(task: Any, *given: Any) -> Any:
            folder = copies.get()
            try:
                return task(*given, folder, cache)
            finally:
                copies.put(folder)

        def passes(test: str) -> bool:
            code, seconds, said = in_copy(lambda folder, cache: run_tests(folder, (test,), cache))
            print(f"unchanged {seconds:6.1f} s  {test}" + (f"\n{said}" if code else ""), flush=True)
            return code == 0

        def outcome(mutant: Mutant) -> None:
            rows.append(in_copy(run_mutant, mutant))
            if arguments.json:
                write_score(arguments.json, rows)

        with ThreadPoolExecutor(arguments.workers) as pool:
            tests = [] if arguments.unchecked else sorted({test for mutant in chosen for test in mutant.tests})
            if not all(list(pool.map(passes, tests))):
                print("the tests must pass without a mutant; mend them first")
                return 2
            list(pool.map(outcome, chosen))
    killed = sum(row["outcome"] == "killed" for row in rows)
    print(f"{killed} of {len(rows)} killed in {(time.perf_counter() - began) / 60:.0f} min")
    return int(any(row["outcome"] != "killed" and "explained" not in row for row in rows))


if __name__ == "__main__":
    sys.exit(main())
