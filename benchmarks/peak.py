"""The share of the processor's measured FMA peak that a training step reaches, one thread, float32.

Only the products with the weights count, one forward and two backward: 6 T N G H (I + H) for G gates. Everything else,
such as activations, is overhead. The peak is measured in the same process, as in gemm.py.
Run: python -m benchmarks.peak
"""

from __future__ import annotations

from benchmarks._harness import time_for
from benchmarks._layers import GATES, SHAPES, Layer, ours, with_jax, with_torch
from benchmarks._subject import OURS, Contestant, Subject

LARGE = (64, 64, 128, 256)
CASES = [*(Layer("LSTM", *shape) for shape in SHAPES), Layer("GRU", *LARGE), Layer("RNN", *LARGE)]


def measure(workload, layer: Layer, budget: float) -> dict:
    from benchmarks.gemm import fma_peak

    T, N, I, H = layer.T, layer.N, layer.I, layer.H
    flops, peak = 6.0 * T * N * GATES[layer.cell] * H * (I + H), 1e9 * fma_peak("float32")
    seconds = time_for(workload(layer).train, budget)
    return {"training": seconds, "share of peak": [flops / s / peak for s in seconds], "peak": [peak]}


SUBJECT = Subject(
    script=__file__,
    what=__doc__.splitlines()[0],
    cases={layer.name: layer for layer in CASES},
    contestants={
        OURS: Contestant(lambda layer, budget: measure(ours, layer, budget)),
        "torch": Contestant(lambda layer, budget: measure(with_torch, layer, budget), "torch"),
        "jax": Contestant(lambda layer, budget: measure(with_jax, layer, budget), "jax"),
    },
    quick=("LSTM 64x64x128x256",),
    units={"training": "s", "share of peak": "1", "peak": "FLOP/s"},
)

if __name__ == "__main__":
    SUBJECT.main()
