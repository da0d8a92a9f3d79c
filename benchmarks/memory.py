"""Peak memory of a training step: the peak resident memory minus that before the step, against PyTorch, on Linux.

A small step first loads all code. Memory that malloc holds free is returned before the counter is reset.
Run: python -m benchmarks.memory
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from benchmarks._layers import Layer, ours, with_torch
from benchmarks._subject import OURS, Contestant, Subject
from benchmarks._workload import Workload

CASES = [
    Layer("LSTM", 50, 32, 64, 128),
    Layer("LSTM", 64, 64, 128, 256),
    Layer("LSTM", 35, 20, 650, 650),
    Layer("LSTM", 1000, 8, 32, 64),
    Layer("GRU", 64, 64, 128, 256),
    Layer("RNN", 64, 64, 128, 256),
]


def resident(entry: str) -> int:
    """Return a size of this process in bytes: VmRSS is the current one, VmHWM the peak since the last reset."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(f"{entry}:"):
            return int(line.split()[1]) * 1024
    raise RuntimeError(f"memory: this system does not tell {entry}")


def peak_of(call: Callable[[], object]) -> int:
    """Return the peak resident bytes during `call` minus those before it."""
    ctypes.CDLL(None).malloc_trim(0)
    Path("/proc/self/clear_refs").write_text("5")  # the peak starts from here
    before = resident("VmRSS")
    call()
    return resident("VmHWM") - before


def measure(workload: Callable[[Layer], Workload], layer: Layer) -> dict:
    small = workload(replace(layer, T=3, N=2, I=8, H=16))
    small.train()
    return {"peak": [peak_of(workload(layer).train)]}


SUBJECT = Subject(
    script=__file__,
    what=__doc__.splitlines()[0],
    cases={layer.name: layer for layer in CASES},
    contestants={
        OURS: Contestant(lambda layer, _: measure(ours, layer)),
        "torch": Contestant(lambda layer, _: measure(with_torch, layer), "torch"),
    },
    quick=(CASES[0].name, CASES[1].name),
    units={"peak": "bytes"},
    apart=True,
)

if __name__ == "__main__":
    SUBJECT.main()
