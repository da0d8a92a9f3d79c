"""``tinygrad-seq export``."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated

import numpy as np
import typer

from ..nn.quantization import quantize
from ..train.run import Run
from .arguments import Checkpoint, Folder, Precision, Trust, examples

EXAMPLES = examples("export runs/demo model.onnx", "export runs/demo model.onnx --step")


def export(
    run: Folder,
    path: Annotated[Path, typer.Argument(help="The file to write.", show_default=False)],
    step: Annotated[
        bool, typer.Option("--step", help="One token per call, with the state as input and output, for streaming.")
    ] = False,
    checkpoint: Checkpoint = None,
    precision: Precision = "float32",
    trust: Trust = False,
) -> None:
    """Write a trained model as an ONNX file, which onnxruntime runs without this package; needs the extra 'onnx'.

    The file takes tokens (T, N), returns logits (T, N, V) and the state, and holds the vocabulary in its metadata.
    """
    from ..interop import to_onnx  # the extra may be missing

    opened = Run.open(run, trust=trust)
    model, number = opened.load_model(checkpoint)
    model = model if precision == "float32" else quantize(model, precision)
    vocabulary = opened.vocabulary
    tokens = np.arange(len(vocabulary)).repeat(1 + len(vocabulary) % 2).reshape(-1, 2)
    metadata = {
        "vocabulary": json.dumps(vocabulary.content()),
        "unit": opened.config.unit,
        "step": str(number),
        "precision": precision,
    }
    to_onnx(model, path, {"tokens": tokens}, state=model.recurrent.initial_state, step=step, metadata=metadata)
    axes = ("(N,)", "(N, V)") if step else ("(T, N)", "(T, N, V)")
    sys.stdout.write(f"wrote {path}: tokens {axes[0]} to logits {axes[1]} of {len(vocabulary)} tokens\n")
