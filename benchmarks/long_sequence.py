"""An LSTM of 128 units trained on one sequence of 100,000 steps: peak memory and time for each value of `remember`.

    python -m benchmarks.long_sequence

Each value runs in its own process; the peak is the maximum resident memory of that process.
"""

from __future__ import annotations

import json
import resource
import subprocess
import sys
import time
from typing import Any

T, N, I, H = 100_000, 1, 64, 128
WAYS = ("all", "sqrt", "1024")


def measure(remember: str) -> dict[str, float]:
    """Return the peak memory of this process before and after three training steps, and the shortest step time."""
    import tinygrad_seq as ts

    kept: Any = int(remember) if remember.isdigit() else remember
    layer = ts.nn.LSTM(I, H, remember=kept)
    layer(ts.randn(4, N, I))[0].sum().backward()
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    xs = ts.randn(T, N, I)
    times = []
    for _ in range(3):
        layer.zero_grad()
        start = time.perf_counter()
        ys, _ = layer(xs)
        (ys * ys).mean().backward()
        times.append(time.perf_counter() - start)
        del ys
    return {
        "MB at the start": before,
        "peak MB": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
        "seconds": min(times),
    }


def main() -> None:
    if len(sys.argv) > 1:
        print(json.dumps(measure(sys.argv[1])))
        return
    print(f"LSTM, one training step, T = {T:,}, N = {N}, I = {I}, H = {H}\n")
    for remember in WAYS:
        command = [sys.executable, "-m", "benchmarks.long_sequence", remember]
        found = json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
        print(f"remember {remember:6}" + "".join([f"   {name}: {value:8.2f}" for name, value in found.items()]))


if __name__ == "__main__":
    main()
