"""Training step of LSTM and GRU with one option of recurrent layers, divided by the step without it.

Run: python -m benchmarks.options

Both run in turn, call by call, in one process. The measure is median processor time, which a busy machine disturbs
little. Two directions are compared with two plain runs, and dropout between layers with two plain layers.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from benchmarks._layers import Layer
from benchmarks._subject import OURS, Contestant, Subject

SIZES = [(50, 32, 64, 128), (64, 64, 128, 256)]
OPTIONS: dict[str, dict] = {
    "lengths": {},
    "mask": {},
    "reset": {},
    "learn_initial_state": {"learn_initial_state": True},
    "dropout": {"num_layers": 2, "dropout": 0.3},
    "variational_dropout": {"variational_dropout": 0.3},
    "recurrent_dropout": {"recurrent_dropout": 0.3},
    "drop_connect": {"drop_connect": 0.3},
    "zoneout": {"zoneout": 0.1},
    "residual": {"residual": True},
    "proj_size": {},
    "bidirectional": {"bidirectional": True},
    "go_backwards": {"go_backwards": True},
    "return_all_states": {"return_all_states": True},
    "window": {"window": 10},
    "stateful": {"stateful": True},
}


@dataclass(frozen=True)
class Case:
    """A layer with one option."""

    layer: Layer
    option: str

    @property
    def name(self) -> str:
        return f"{self.option} {self.layer.name}"


CASES = [Case(Layer(cell, *size), option) for option in OPTIONS for cell in ("LSTM", "GRU") for size in SIZES]


def training_step(model, xs: np.ndarray, **call) -> Callable[[], None]:
    """Return a call that runs forward and backward, to the inputs and all weights."""
    import tinygrad_seq as ts

    x = ts.tensor(xs, requires_grad=True)
    g = None

    def step() -> None:
        nonlocal g
        model.zero_grad()
        x.grad = None
        ys = model(x, **call)[0]
        if g is None:
            g = ts.randn(*ys.shape)
        ys.backward(g)

    return step


def pair(case: Case) -> tuple[Callable[[], None], Callable[[], None], int]:
    """Return the steps with and without the option, and how many plain steps do the same amount of work."""
    import tinygrad_seq as ts

    layer, rng = case.layer, np.random.default_rng(0)
    kind, T, N, H = getattr(ts.nn, layer.cell), layer.T, layer.N, layer.H
    options, plain = OPTIONS[case.option], {}
    call: dict[str, Any] = {}
    times = 1
    if case.option == "residual":
        layer = Layer(layer.cell, T, N, H, H)
    elif case.option == "dropout":
        plain = {"num_layers": 2}
    elif case.option == "bidirectional":
        times = 2
    elif case.option == "lengths":
        call = {"lengths": [T, *[T - 1] * (N - 1)]}
    elif case.option == "mask":
        call = {"mask": rng.random((T, N)) < 0.9}
    elif case.option == "reset":
        call = {"reset": rng.random((T, N)) < 0.1}
    xs = layer.data()[1]
    if case.option != "proj_size":
        return (
            training_step(kind(layer.I, H, **options), xs, **call),
            training_step(kind(layer.I, H, **plain), xs),
            times,
        )
    cell = getattr(ts.nn, f"{layer.cell}Cell")(layer.I, H)
    with_option = ts.nn.Recurrent(cell, proj_size=H // 2)
    return training_step(with_option, xs), training_step(ts.nn.Recurrent(cell), xs), times


def measure(case: Case, budget: float) -> dict:
    """Return samples of the ratio and of the seconds of both; the two steps alternate."""
    with_option, plain, times = pair(case)
    for step in (with_option, plain) * 2:
        step()
    seconds: tuple[list[float], list[float]] = ([], [])
    end = time.process_time() + 2 * budget
    while time.process_time() < end or len(seconds[0]) < 7:
        for step, found in zip((with_option, plain), seconds, strict=True):
            start = time.process_time()
            step()
            found.append(time.process_time() - start)
    ratio = statistics.median(seconds[0]) / statistics.median(seconds[1]) / times
    return {"ratio": [ratio], "training": seconds[0], "plain": seconds[1]}


SUBJECT = Subject(
    script=__file__,
    what=__doc__.splitlines()[0],
    cases={case.name: case for case in CASES},
    contestants={OURS: Contestant(measure)},
    quick=("zoneout LSTM 50x32x64x128",),
    units={"ratio": "times", "training": "s", "plain": "s"},
    rounds=1,
)

if __name__ == "__main__":
    SUBJECT.main()
