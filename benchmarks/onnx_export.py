"""Inference of layers here, against onnxruntime on the files that `ts.interop.to_onnx` writes of them.

LSTM and GRU are native nodes of ONNX, all other cells are a Scan; "LSTM as Scan" is an LSTM that a user has written.
Run: python -m benchmarks.onnx_export
"""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks._harness import time_for
from benchmarks._subject import OURS, Contestant, Subject

I, H = 64, 128


@dataclass(frozen=True)
class Case:
    """A cell and the sizes of its inputs."""

    cell: str
    T: int
    N: int

    @property
    def name(self) -> str:
        return f"{self.cell} T={self.T} N={self.N}"


CELLS = ("LSTM", "GRU", "LSTM as Scan", "LayerNormLSTM", "MGU")
CASES = [Case(cell, T, N) for cell in CELLS for T, N in ((100, 1), (50, 32))]


def layer_of(case: Case) -> Any:
    """Return the layer of a case, in evaluation mode."""
    import tinygrad_seq as ts

    class Written(ts.nn.LSTMCell):
        """An LSTM that is not one of the package's own."""

    ts.manual_seed(0)
    if case.cell in {"LSTM", "GRU"}:
        return getattr(ts.nn, case.cell)(I, H).eval()
    kind = Written if case.cell == "LSTM as Scan" else getattr(ts.nn, f"{case.cell}Cell")
    return ts.nn.Recurrent(kind(I, H)).eval()


def inputs_of(case: Case) -> np.ndarray:
    return np.random.default_rng(1).standard_normal((case.T, case.N, I)).astype(np.float32)


def ours(case: Case, budget: float) -> dict:
    import tinygrad_seq as ts

    layer, xs = layer_of(case), ts.tensor(inputs_of(case))

    def run():
        with ts.no_grad():
            return layer(xs)[0]

    return {"check": {"ys": run().numpy()}, "inference": time_for(run, budget)}


def with_onnxruntime(case: Case, budget: float) -> dict:
    import tinygrad_seq as ts
    from tinygrad_seq.interop.onnx_export.to_onnx import session_of

    layer, xs = layer_of(case), inputs_of(case)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "layer.onnx"
        ts.interop.to_onnx(layer, path)
        session = session_of(str(path))

    def run():
        return session.run(["ys"], {"xs": xs})[0]

    return {"check": {"ys": run()}, "inference": time_for(run, budget)}


SUBJECT = Subject(
    script=__file__,
    what=__doc__.splitlines()[0],
    cases={case.name: case for case in CASES},
    contestants={
        OURS: Contestant(ours),
        "onnxruntime": Contestant(with_onnxruntime, "onnxruntime", needs=("onnx",)),
    },
    quick=(CASES[0].name, CASES[4].name),
    units={"inference": "s"},
)

if __name__ == "__main__":
    SUBJECT.main()
