"""RNN, GRU and LSTM: training step (to inputs and all weights) and inference, against torch.nn and JAX's scan.

Run: python -m benchmarks.layers
"""

from __future__ import annotations

from benchmarks._layers import GATES, SHAPES, Layer, ours, with_jax, with_torch
from benchmarks._subject import OURS, Contestant, Subject

CASES = [Layer(cell, *shape) for cell in GATES for shape in SHAPES]

SUBJECT = Subject(
    script=__file__,
    what=__doc__.splitlines()[0],
    cases={layer.name: layer for layer in CASES},
    contestants={
        OURS: Contestant(lambda layer, budget: ours(layer).measure(budget)),
        "torch": Contestant(lambda layer, budget: with_torch(layer).measure(budget), "torch"),
        "jax": Contestant(lambda layer, budget: with_jax(layer).measure(budget), "jax"),
        "jax hoisted": Contestant(lambda layer, budget: with_jax(layer, hoisted=True).measure(budget), "jax"),
    },
    quick=("RNN 128x16x32x64", "GRU 128x16x32x64", "LSTM 128x16x32x64"),
    units={"training": "s", "inference": "s"},
)

if __name__ == "__main__":
    SUBJECT.main()
