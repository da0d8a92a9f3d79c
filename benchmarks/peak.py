"""The share of the processor's measured FMA peak that training and inference reach, one thread, float32.

Only the products with the weights count: 2 T N G H (I + H) for G gates, forward, and twice that backward. Everything
else, such as activations, is overhead. The peak is measured in the same process, as in gemm.py.
Run: python -m benchmarks.peak
"""

from __future__ import annotations

from benchmarks._layers import GATES, SHAPES, Layer, ours, with_jax, with_onnxruntime, with_torch
from benchmarks._subject import OURS, Contestant, Subject

LARGE = (64, 64, 128, 256)
MANY_ROWS = [(50, 32, 256, 256), (35, 64, 512, 512), (50, 128, 128, 256)]
CASES = [*(Layer("LSTM", *shape) for shape in (*SHAPES, *MANY_ROWS)), Layer("GRU", *LARGE), Layer("RNN", *LARGE)]

# For each measure, the name of its share, and how many products it makes with each weight.
SHARES = {"training": ("share of peak", 3), "inference": ("inference: share of peak", 1)}


def contestant(make, package: str = OURS, *needs: str) -> Contestant:
    def run(layer: Layer, budget: float) -> dict:
        from benchmarks.gemm import fma_peak

        peak = 1e9 * fma_peak("float32")
        flops = 2.0 * layer.T * layer.N * GATES[layer.cell] * layer.H * (layer.I + layer.H)
        found = make(layer).measure(budget)
        for measure, (share, passes) in SHARES.items():
            if measure in found:
                found[share] = [passes * flops / seconds / peak for seconds in found[measure]]
        return found | {"peak": [peak]}

    return Contestant(run, package, needs=needs)


SUBJECT = Subject(
    script=__file__,
    what=__doc__.splitlines()[0],
    cases={layer.name: layer for layer in CASES},
    contestants={
        OURS: contestant(ours),
        "torch": contestant(with_torch, "torch"),
        "jax": contestant(with_jax, "jax"),
        "onnxruntime": contestant(with_onnxruntime, "onnxruntime", "onnx"),
    },
    quick=("LSTM 64x64x128x256",),
    units={
        "training": "s",
        "inference": "s",
        **{share: "1" for share, _ in SHARES.values()},
        "peak": "FLOP/s",
    },
    budget=0.5,
)

if __name__ == "__main__":
    SUBJECT.main()
