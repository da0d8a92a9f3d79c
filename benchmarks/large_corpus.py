"""The time from reading a large text to the first window of training tokens, and the memory that it takes.

Run: python -m benchmarks.large_corpus [--quick] [--cases "char line 200 MB" ...]

A synthetic text (words whose frequencies follow Zipf's law, a blank line after one line in eight) is written to a
temporary folder. Each case runs in a fresh process: ``read`` is the time of `load_corpus`, which reads and verifies the
text once; ``ready`` is the time from the start of `load_corpus` until the first window of training tokens exists,
memory-mapped from files in the same folder; ``resumed`` is the time in which `open_text` verifies these files, which a
resumed run does instead. ``silent`` is the longest time between two reports of progress, within which Ctrl-C is obeyed.
``load`` is the number of processes that wanted a core, ``ready_cpu`` the processor time, which depends on it less. Peak
memory is that of the whole process with the interpreter and its libraries (``imported``).
"""

from __future__ import annotations

import argparse
import json
import os
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks._harness import machine_facts, save
from tinygrad_seq.data import Windows, load_corpus
from tinygrad_seq.train import TrainingConfig
from tinygrad_seq.train.text import open_text, read_text

CASES = {
    f"{level} {unit} {megabytes} MB": (level, unit, megabytes)
    for level, unit, megabytes in [
        ("char", "paragraph", 200),
        ("char", "line", 200),
        ("word", "paragraph", 100),
        ("char", "paragraph", 1000),
        ("char", "line", 1000),
    ]
}
BLOCK = 20_000_000


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="a twentieth of the size, as a smoke test")
    parser.add_argument("--cases", nargs="+", choices=CASES, default=list(CASES))
    parser.add_argument("--child", nargs=3, metavar=("FILE", "LEVEL", "UNIT"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        print(json.dumps(measure(*options.child)))
        return
    results: dict[str, Any] = {}
    for name in options.cases:
        level, unit, megabytes = CASES[name]
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder, "text.txt")
            write_text(path, megabytes * 1_000_000 // (20 if options.quick else 1))
            command = [sys.executable, "-m", "benchmarks.large_corpus", "--child", str(path), level, unit]
            results[name] = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
        print(f"{name:>24}  {results[name]}", flush=True)
    save("large_corpus", {**machine_facts([]), "results": results}, quick=options.quick)


def write_text(path: Path, size: int) -> None:
    """Write `size` characters; the same 20 million are repeated."""
    generator = np.random.default_rng(0)
    letters = np.array([*"etaoinshrdlucmfwypvbgkqjxz"])
    words = np.array(["".join(generator.choice(letters, n)) for n in generator.integers(1, 10, 50_000)])
    chosen = words[np.minimum(generator.zipf(1.2, BLOCK // 6), len(words)) - 1]
    lines = np.split(chosen, np.cumsum(generator.integers(3, 16, BLOCK // 70)))
    ends = generator.choice([".\n", ",\n", "!\n", ".\n\n"], len(lines), p=[0.5, 0.25, 0.125, 0.125])
    block = "".join(" ".join(line).capitalize() + end for line, end in zip(lines, ends, strict=True))[:BLOCK]
    with path.open("w", encoding="utf-8") as file:
        for start in range(0, size, len(block)):
            file.write(block[: size - start])


def measure(file: str, level: Any, unit: str) -> dict[str, float]:
    """Return the times in seconds and the memory in MB of one case."""
    imported = peak_memory()
    times = [time.perf_counter()]

    def progress(*_: object) -> None:
        times.append(time.perf_counter())

    folder = Path(file).parent
    began = time.process_time()
    corpus = load_corpus(file, progress=progress)
    read = time.perf_counter()
    _, text = read_text(corpus, TrainingConfig(file, level=level, unit=unit), folder=folder, progress=progress)
    next(iter(Windows(text.training, batch_size=32, window=64)))
    ready, cpu = time.perf_counter(), time.process_time() - began
    if open_text(folder, {"parts": text.facts()}) is None:
        raise RuntimeError("the files that read_text wrote are not those that open_text expects")
    return {
        "characters": corpus.characters,
        "tokens": len(text.training) + len(text.validation),
        "read": round(read - times[0], 2),
        "ready": round(ready - times[0], 2),
        "ready_cpu": round(cpu, 2),
        "silent": round(float(np.diff(times).max()), 2),
        "load": round(os.getloadavg()[0], 1),
        "resumed": round(time.perf_counter() - ready, 2),
        "imported_mb": imported,
        "peak_mb": peak_memory(),
    }


def peak_memory() -> float:
    """Return the peak of resident memory in MB; unlike ru_maxrss, it does not begin with that of the parent process."""
    status = Path("/proc/self/status").read_text(encoding="utf-8")
    return round(int(re.findall(r"VmHWM:\s*(\d+) kB", status)[0]) / 1000, 1)


if __name__ == "__main__":
    main()
