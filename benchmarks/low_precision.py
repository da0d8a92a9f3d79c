"""LSTM in bfloat16 and int8, training step and inference, against PyTorch and onnxruntime in the same precisions.

bfloat16 is by `autocast`, and for inference with PyTorch also by a conversion of the weights; int8 is by `quantize` and
by the dynamic quantisation of PyTorch and onnxruntime. Results in bfloat16 must agree with ours in float32 to 2 % of
the norm, those in int8 to 5 %.
Run: python -m benchmarks.low_precision
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from benchmarks._layers import Layer, ours, ours_int8, with_onnxruntime, with_torch, with_torch_converted
from benchmarks._subject import OURS, Contestant, Subject

SHAPES = [
    (64, 64, 128, 256),
    (50, 32, 64, 128),
    (35, 20, 650, 650),
    (100, 1, 64, 128),
    (100, 1, 256, 256),
    (100, 1, 512, 512),
]
BF16, INT8 = 0.02, 0.05


def contestant(make: Callable[..., Any], tolerance: float | None, package: str = OURS, *needs: str) -> Contestant:
    return Contestant(lambda layer, budget: make(layer).measure(budget), package, needs=needs, tolerance=tolerance)


SUBJECT = Subject(
    script=__file__,
    what=__doc__.splitlines()[0],
    cases={(layer := Layer("LSTM", *shape)).name: layer for shape in SHAPES},
    contestants={
        OURS: contestant(ours, None),
        f"{OURS} bf16": contestant(partial(ours, precision="bfloat16"), BF16),
        f"{OURS} int8": contestant(ours_int8, INT8),
        "torch": contestant(with_torch, None, "torch"),
        "torch bf16": contestant(partial(with_torch, precision="bfloat16"), BF16, "torch"),
        "torch bf16 weights": contestant(partial(with_torch_converted, precision="bfloat16"), BF16, "torch"),
        "torch int8": contestant(partial(with_torch_converted, precision="int8"), INT8, "torch"),
        "onnxruntime": contestant(with_onnxruntime, None, "onnxruntime", "onnx"),
        "onnxruntime int8": contestant(partial(with_onnxruntime, int8=True), INT8, "onnxruntime", "onnx"),
    },
    quick=("LSTM 50x32x64x128", "LSTM 100x1x256x256"),
    units={"training": "s", "inference": "s"},
    budget=0.5,
)

if __name__ == "__main__":
    SUBJECT.main()
