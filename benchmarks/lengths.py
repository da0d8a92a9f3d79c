"""LSTM training step over sequences of lengths spread from 1 to T, against torch.nn.LSTM on packed sequences.

Run: python -m benchmarks.lengths

``padded`` is the same batch without lengths, in this package and in PyTorch: every sequence runs to T.
"""

from __future__ import annotations

import numpy as np

from benchmarks._harness import time_for
from benchmarks._layers import Layer, ours, with_torch
from benchmarks._subject import OURS, Contestant, Subject

SHAPES = [(200, 32, 64, 128), (50, 32, 64, 128), (200, 8, 64, 128)]
CASES = [Layer("LSTM", *shape) for shape in SHAPES]


def lengths_of(layer: Layer) -> np.ndarray:
    """Return lengths (N,) spread evenly from 1 to T, in random order."""
    return np.random.default_rng(2).permutation(np.linspace(1, layer.T, layer.N).round().astype(np.int64))


def with_lengths(layer: Layer, budget: float) -> dict:
    work = ours(layer, lengths=lengths_of(layer))
    return {"check": work.arrays(), "training": time_for(work.train, budget)}


def torch_packed(layer: Layer, budget: float) -> dict:
    work = with_torch(layer, lengths=lengths_of(layer))
    return {"check": work.arrays(), "training": time_for(work.train, budget)}


SUBJECT = Subject(
    script=__file__,
    what=__doc__.splitlines()[0],
    cases={layer.name: layer for layer in CASES},
    contestants={
        OURS: Contestant(with_lengths),
        f"{OURS} padded": Contestant(lambda layer, budget: {"training": time_for(ours(layer).train, budget)}),
        "torch packed": Contestant(torch_packed, "torch"),
        "torch padded": Contestant(
            lambda layer, budget: {"training": time_for(with_torch(layer).train, budget)}, "torch"
        ),
    },
    quick=("LSTM 50x32x64x128",),
    units={"training": "s"},
)

if __name__ == "__main__":
    SUBJECT.main()
