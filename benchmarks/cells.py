"""Training each cell of `nn.cells` at T=50 N=32 I=64 H=128: forward and backward, no optimiser.

Cells with a matrix state have four heads. There are no peers: the cells are compared with each other, in turn in one
process. The measure is processor time per step, which other programs disturb less than wall-clock time.
`cells_page.py` writes `docs/cells.md` from the results. Run: python -m benchmarks.cells
"""

from __future__ import annotations

import inspect
import time
from collections.abc import Callable

import numpy as np

import tinygrad_seq as ts
from benchmarks._subject import OURS, Contestant, Subject
from tinygrad_seq import nn

T, N, I, H, HEADS = 50, 32, 64, 128, 4
CELLS = tuple(
    name
    for name in nn.__all__
    if getattr(getattr(nn, name), "__module__", "").startswith("tinygrad_seq.nn.cells.") and name != "RNNCell"
)


def make(name: str) -> ts.nn.Cell:
    """Return the cell with that name, in the sizes of this benchmark."""
    kind = getattr(nn, name)
    options = {"num_heads": HEADS} if "num_heads" in inspect.signature(kind).parameters else {}
    return kind(I, H, **options)


def step_of(name: str) -> Callable[[], None]:
    """Return a training step of the cell with that name: forward and backward."""
    ts.manual_seed(0)
    rng = np.random.default_rng(0)
    model = ts.nn.Recurrent(make(name))
    xs, g = (ts.tensor(rng.standard_normal((T, N, size)).astype(np.float32)) for size in (I, H))
    xs.requires_grad = True

    def train():
        model.zero_grad()
        xs.grad = None
        model(xs)[0].backward(g)

    return train


def measure(names: tuple[str, ...], budget: float) -> dict:
    """Return the processor seconds of steps of each cell: three steps per cell in turn, repeatedly."""
    steps = {name: step_of(name) for name in names}
    seconds: dict[str, list[float]] = {name: [] for name in names}
    for train in steps.values():
        train()
    end = time.perf_counter() + budget * len(names)
    while time.perf_counter() < end:
        for name, train in steps.items():
            for _ in range(3):
                start = time.process_time()
                train()
                seconds[name].append(time.process_time() - start)
    return seconds


SUBJECT = Subject(
    script=__file__,
    what=__doc__.splitlines()[0],
    cases={"all": CELLS, "two": ("LSTMCell", "MinGRUCell")},
    contestants={OURS: Contestant(measure)},
    quick=("two",),
    units=dict.fromkeys(CELLS, "s"),
    facts={"tokens_per_step": T * N, "sizes": {"T": T, "N": N, "I": I, "H": H, "heads": HEADS}},
)

if __name__ == "__main__":
    SUBJECT.main()
