"""Run contestants in turn, each round in a fresh process on one pinned core; keep figures with the machine's facts."""

from __future__ import annotations

import datetime as dt
import importlib.metadata
import json
import os
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

RESULTS = Path(__file__).parent / "results"
ONE_THREAD = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "MKL_NUM_THREADS": "1", "TGS_THREADS": "1"}


def time_calls(call: Callable[[], object], repeats: int = 200, warm: int = 20) -> list[float]:
    """Return the seconds of each of `repeats` calls, after `warm` unmeasured ones."""
    for _ in range(warm):
        call()
    seconds = []
    for _ in range(repeats):
        start = time.perf_counter()
        call()
        seconds.append(time.perf_counter() - start)
    return seconds


def run_in_turn(script: str, contestants: list[str], rounds: int = 5) -> dict[str, list[float]]:
    """Return every contestant's seconds: ``script --worker NAME`` prints a JSON list of them, one process at a time."""
    seconds: dict[str, list[float]] = {name: [] for name in contestants}
    environment = {**os.environ, **ONE_THREAD}
    for _ in range(rounds):
        for name in contestants:
            command = [sys.executable, script, "--worker", name]
            done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
            seconds[name] += json.loads(done.stdout.splitlines()[-1])
    return seconds


def pin_to_one_core() -> None:
    """Keep this process on its first core, where the system can do that."""
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})


def summary(seconds: dict[str, list[float]], ours: str) -> dict[str, dict[str, float]]:
    """Return median, quartiles and minimum in milliseconds, and the ratio of medians peer / ours."""
    base = statistics.median(seconds[ours])
    rows = {}
    for name, values in seconds.items():
        low, middle, high = (1e3 * q for q in statistics.quantiles(values, n=4))
        rows[name] = {
            "median_ms": round(middle, 4),
            "quartiles_ms": [round(low, 4), round(high, 4)],
            "minimum_ms": round(1e3 * min(values), 4),
            "peer_over_ours": round(statistics.median(values) / base, 3),
        }
    return rows


def machine_facts(packages: list[str]) -> dict[str, object]:
    """Return what a figure depends on: processor, cores, versions, date."""
    model = platform.processor()
    info = Path("/proc/cpuinfo")
    if info.exists():
        names = [line.split(":", 1)[1].strip() for line in info.read_text().splitlines() if "model name" in line]
        model = names[0] if names else model
    versions = {}
    for package in packages:
        try:
            versions[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            versions[package] = "not installed"
    return {
        "date": dt.date.today().isoformat(),
        "processor": model,
        "cores": os.cpu_count(),
        "python": platform.python_version(),
        "versions": versions,
    }


def save(name: str, result: dict[str, object]) -> Path:
    """Write `result` as ``results/NAME.json`` and return the path."""
    RESULTS.mkdir(exist_ok=True)
    path = RESULTS / f"{name}.json"
    path.write_text(json.dumps(result, indent=1) + "\n")
    return path
