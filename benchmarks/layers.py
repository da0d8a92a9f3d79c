"""RNN, GRU and LSTM: training step (to inputs and all weights) and inference, against torch.nn, JAX and onnxruntime.

Float32; shapes with many rows, with few rows, and calls of one step. onnxruntime only does inference.
Run: python -m benchmarks.layers
"""

from __future__ import annotations

from benchmarks._layers import FEW_ROWS, GATES, ONE_STEP, SHAPES, Layer, ours, with_jax, with_onnxruntime, with_torch
from benchmarks._subject import OURS, Contestant, Subject

CASES = [Layer(cell, *shape) for shape in (*SHAPES, *FEW_ROWS, *ONE_STEP) for cell in GATES]


def of_jax(hoisted: bool) -> Contestant:
    """Return the contestant; there is nothing to move out of a loop of one step."""

    def run(layer: Layer, budget: float) -> dict:
        return {} if hoisted and layer.T == 1 else with_jax(layer, hoisted).measure(budget)

    return Contestant(run, "jax")


SUBJECT = Subject(
    script=__file__,
    what=__doc__.splitlines()[0],
    cases={layer.name: layer for layer in CASES},
    contestants={
        OURS: Contestant(lambda layer, budget: ours(layer).measure(budget)),
        "torch": Contestant(lambda layer, budget: with_torch(layer).measure(budget), "torch"),
        "jax": of_jax(hoisted=False),
        "jax hoisted": of_jax(hoisted=True),
        "onnxruntime": Contestant(
            lambda layer, budget: with_onnxruntime(layer).measure(budget), "onnxruntime", needs=("onnx",)
        ),
    },
    quick=("RNN 128x16x32x64", "GRU 128x16x32x64", "LSTM 128x16x32x64", "LSTM 1x1x128x128"),
    units={"training": "s", "inference": "s"},
    budget=0.3,
)

if __name__ == "__main__":
    SUBJECT.main()
