"""Helpers to measure in one process: pinned threads, repeated calls, statistics, machine facts, JSON."""

from __future__ import annotations

import datetime as dt
import importlib.metadata
import json
import os
import platform
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).resolve().parent.parent
RESULTS = Path(__file__).resolve().parent / "results"
sys.path.insert(0, str(ROOT))


def environment(threads: int = 1) -> dict[str, str]:
    """Return an environment in which every library uses `threads` threads and Python caches byte code."""
    pools = ("OMP", "OPENBLAS", "MKL", "NUMBA")
    eigen = "" if threads > 1 else "--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1"
    return {
        **{name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"},
        **{f"{pool}_NUM_THREADS": str(threads) for pool in pools},
        "TGS_THREADS": str(threads),
        "XLA_FLAGS": eigen,
        "JAX_PLATFORMS": "cpu",
        "PYTHONPATH": os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")])),
    }


def pin_to_one_core() -> None:
    """Pin this process to its first core, if the system supports it."""
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})


def time_calls(call: Callable[[], object], repeats: int = 200, warm: int = 20) -> list[float]:
    """Return the seconds of each of `repeats` calls, after `warm` calls that are not measured."""
    for _ in range(warm):
        call()
    seconds = []
    for _ in range(repeats):
        start = time.perf_counter()
        call()
        seconds.append(time.perf_counter() - start)
    return seconds


def time_for(call: Callable[[], object], budget: float) -> list[float]:
    """Return the seconds of as many calls as fit in `budget` seconds, between 3 and 1000, after some to warm up."""
    call()
    (once,) = time_calls(call, repeats=1, warm=0)
    calls = int(np.clip(budget / once, 3, 1000))
    return time_calls(call, repeats=calls, warm=0 if once > budget else 1 + calls // 20)


def fingerprint(arrays: dict[str, np.ndarray]) -> dict[str, list[float]]:
    """Return ``[r . a, |a|]`` of each array a, with r random but fixed: equal arrays have equal fingerprints."""
    marks = {}
    for name, array in arrays.items():
        values = np.asarray(array, np.float64).ravel()
        direction = np.random.default_rng(1).standard_normal(values.size)
        marks[name] = [float(direction @ values), float(np.linalg.norm(values))]
    return marks


def agree(mine: dict[str, list[float]], other: dict[str, list[float]], tolerance: float = 1e-3) -> bool:
    """Return whether the fingerprints in `other` belong to arrays equal to mine: projections within tolerance * |a|."""
    return bool(other) and all(
        name in mine and abs(mine[name][0] - mark[0]) <= tolerance * max(mine[name][1], mark[1], 1e-30)
        for name, mark in other.items()
    )


def statistics_of(values: list[float]) -> dict[str, Any]:
    """Return the median, quartiles, minimum and number of `values`."""
    low, _, high = statistics.quantiles(values, n=4) if len(values) > 1 else values * 3
    return {
        "median": _short(statistics.median(values)),
        "quartiles": [_short(low), _short(high)],
        "minimum": _short(min(values)),
        "samples": len(values),
    }


def _short(value: float) -> float:
    return float(f"{value:.5g}")


def summary(seconds: dict[str, list[float]], ours: str) -> dict[str, dict[str, Any]]:
    """Return the median, quartiles and minimum in milliseconds, and the ratio of medians, peer / ours."""
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
    """Return the facts that a figure depends on: processor, cores, versions, date."""
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


def save(name: str, result: dict[str, object], quick: bool = False) -> Path:
    """Write `result` as ``results/NAME.json``, or ``NAME_quick.json``, and return the path."""
    RESULTS.mkdir(exist_ok=True)
    path = RESULTS / f"{name}{'_quick' if quick else ''}.json"
    path.write_text(json.dumps(result, indent=1) + "\n")
    return path
