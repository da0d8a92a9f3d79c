"""Two threads where rows are few: wide LSTMs with 8 to 20 rows, and both directions of a layer; against torch.nn.LSTM.

Training step and inference on one thread, pinned, and on two.
Run: python -m benchmarks.threads
"""

from __future__ import annotations

from benchmarks._layers import Layer, ours, with_torch
from benchmarks._subject import OURS, Contestant, Subject

WIDE = [(35, 20, 400, 400), (50, 12, 256, 256), (50, 8, 512, 512)]
CASES = [
    *(Layer("LSTM", *shape) for shape in WIDE),
    *(Layer("LSTM", 50, N, 256, 256, bidirectional=True) for N in (1, 2, 4, 8)),
]


def of_ours(threads: int) -> Contestant:
    return Contestant(lambda layer, budget: ours(layer).measure(budget), threads=threads)


def of_torch(threads: int) -> Contestant:
    return Contestant(lambda layer, budget: with_torch(layer, threads).measure(budget), "torch", threads)


SUBJECT = Subject(
    script=__file__,
    what=__doc__.splitlines()[0],
    cases={layer.name: layer for layer in CASES},
    contestants={
        OURS: of_ours(1),
        f"{OURS}, 2 threads": of_ours(2),
        "torch": of_torch(1),
        "torch, 2 threads": of_torch(2),
    },
    quick=("LSTM 50x12x256x256", "BiLSTM 50x1x256x256"),
    units={"training": "s", "inference": "s"},
    budget=0.5,
)

if __name__ == "__main__":
    SUBJECT.main()
