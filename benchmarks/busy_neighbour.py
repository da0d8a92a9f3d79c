"""Two threads beside a busy process: never much slower than one thread.

A process that never pauses is pinned to no core, to the second core, to the first, and one to each. In each case, loops
run on one thread and on two in turn; the ratio is the mean time of one over that of two.
Run: python -m benchmarks.busy_neighbour
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import time
from typing import Any

import tinygrad_seq as ts
from benchmarks._harness import machine_facts, save

SHAPES = {"LSTM 50x8x512x512": (50, 8, 512, 512, False), "LSTM 100x1x512x512": (100, 1, 512, 512, False)}
SHAPES |= {"LSTM 35x20x400x400": (35, 20, 400, 400, False), "two directions 100x1x128x256": (100, 1, 128, 256, True)}
SPIN = "import os, sys; os.sched_setaffinity(0, {int(sys.argv[1])})\nwhile True: pass"


def work(shape: tuple[int, int, int, int, bool], train: bool) -> Any:
    """Return a function that runs a layer once."""
    T, N, I, H, both = shape
    layer, xs = ts.nn.LSTM(I, H, bidirectional=both), ts.randn(T, N, I)

    def run() -> None:
        if train:
            layer.zero_grad()
            layer(xs)[0].sum().backward()
        else:
            with ts.no_grad():
                layer(xs)

    return run


def ratio(run: Any, seconds: float) -> dict[str, float]:
    """Return the times of runs on one thread and on two, taken in turn for so long, and their ratio."""
    found: dict[int, list[float]] = {1: [], 2: []}
    for threads in found:
        ts.set_num_threads(threads)
        run()
    end = time.perf_counter() + seconds
    while time.perf_counter() < end:
        for threads, times in found.items():
            ts.set_num_threads(threads)
            begin = time.perf_counter()
            for _ in range(3):
                run()
            times.append((time.perf_counter() - begin) / 3)
    one, two = (statistics.fmean(times) for times in found.values())
    return {"one": one, "two": two, "ratio": one / two, "rounds": len(found[1])}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=2.0, help="how long each case runs")
    parser.add_argument("--cases", nargs="*", default=list(SHAPES), choices=list(SHAPES))
    arguments = parser.parse_args()
    first, second = sorted(os.sched_getaffinity(0))[:2]
    os.sched_setaffinity(0, {first, second})
    results: dict[str, Any] = {}
    for neighbours in ((), (second,), (first,), (first, second)):
        busy = [subprocess.Popen([sys.executable, "-c", SPIN, str(core)]) for core in neighbours]
        try:
            for name in arguments.cases:
                for train in (False, True):
                    label = (
                        f"{name}, {'training' if train else 'inference'}, neighbours on {len(neighbours)} of 2 cores"
                    )
                    label += f" {[*neighbours]}" if len(neighbours) == 1 else ""
                    results[label] = ratio(work(SHAPES[name], train), arguments.seconds)
                    print(f"{label}: {results[label]['ratio']:.2f}", flush=True)
        finally:
            for process in busy:
                process.kill()
    what = {"what": __doc__.splitlines()[0], **machine_facts(["numpy", "numba"])}
    print("wrote", save("busy_neighbour", {**what, "seconds": arguments.seconds, "results": results}).name)


if __name__ == "__main__":
    main()
