"""LSTM training step over T, N and H, and on one and two threads, against torch.nn.LSTM.

Run: python -m benchmarks.scaling
"""

from __future__ import annotations

from dataclasses import replace

from benchmarks._harness import time_for
from benchmarks._layers import SHAPES, Layer, ours, with_torch
from benchmarks._subject import OURS, Contestant, Subject

BASE = Layer("LSTM", 50, 32, 64, 128)
CASES = [
    *(Layer("LSTM", *shape) for shape in SHAPES),
    *(replace(BASE, T=T) for T in (10, 250, 1250)),
    *(replace(BASE, N=N) for N in (1, 4, 16, 64, 128)),
    *(replace(BASE, H=H) for H in (32, 64, 256, 512)),
]


def of_ours(layer: Layer, budget: float) -> dict:
    work = ours(layer)
    return {"check": work.arrays(), "training": time_for(work.train, budget)}


def of_torch(threads: int):
    def run(layer: Layer, budget: float) -> dict:
        work = with_torch(layer, threads)
        return {"check": work.arrays(), "training": time_for(work.train, budget)}

    return Contestant(run, "torch", threads)


SUBJECT = Subject(
    script=__file__,
    what=__doc__.splitlines()[0],
    cases={layer.name: layer for layer in CASES},
    contestants={
        OURS: Contestant(of_ours),
        f"{OURS}, 2 threads": Contestant(of_ours, threads=2),
        "torch": of_torch(1),
        "torch, 2 threads": of_torch(2),
    },
    quick=(BASE.name, "LSTM 64x64x128x256"),
    units={"training": "s"},
)

if __name__ == "__main__":
    SUBJECT.main()
