"""Interrupts at every moment: the scenarios, the state that must be as before, and a soak with real signals.

Run ``python -m tests.interrupts [SECONDS] [SEED]``: a timer interrupts the scenarios at random moments.
"""

from __future__ import annotations

import dis
import functools
import os
import random
import signal
import sys
import time
from collections.abc import Callable
from itertools import islice
from pathlib import Path
from types import CodeType, FrameType
from typing import Any

import numpy as np

import tinygrad_seq as ts
from tinygrad_seq import nn
from tinygrad_seq.autograd.tagging import collect_tags
from tinygrad_seq.base import locks, settings, switches
from tinygrad_seq.kernels import pool
from tinygrad_seq.train import LanguageModel

PACKAGE = str(Path(ts.__file__).parent) + os.sep
# After these Python looks whether a signal has come. The rest of the instructions cannot be interrupted.
LOOKING = {"RESUME", "JUMP_BACKWARD", "CALL", "CALL_KW", "CALL_FUNCTION_EX", "SEND"}

Scenario = Callable[[], list[Any]]
T, N, I, H = 3, 2, 4, 4


class OwnCell(nn.Cell):
    """A cell of the user's, which is traced at every call."""

    state_shape = (H,)

    def __init__(self) -> None:
        self.a, self.b = nn.Linear(I, H), nn.Linear(H, H)

    def forward(self, x, h):
        h = ts.tanh(ts.tag(self.a(x), "input") + self.b(h))
        return h, h


def _data() -> ts.Tensor:
    return ts.tensor(np.random.default_rng(0).standard_normal((T, N, I)).astype(np.float32))


def _training(layer: nn.Module) -> Scenario:
    optimizer = ts.optim.Adam(layer.parameters(), lr=0.1)
    xs, weights, begin = _data(), layer.state_dict(), optimizer.state_dict()

    def run() -> list[Any]:
        ts.manual_seed(3)
        layer.load_state_dict(weights)
        optimizer.load_state_dict(begin)
        optimizer.zero_grad()
        layer(xs)[0].sum().backward()
        ts.optim.clip_grad_norm_(layer.parameters(), 1.0)
        optimizer.step()
        return [parameter.numpy().copy() for parameter in layer.parameters()]

    return run


def _eager() -> Scenario:
    x, w = _data(), ts.tensor(np.ones((I, H)), requires_grad=True)

    def run() -> list[Any]:
        w.grad = None
        with ts.detect_anomaly():
            ts.sum(ts.log(ts.exp(x @ w) + 1.0)).backward()
        with ts.no_grad(), ts.enable_grad(), collect_tags() as tags:
            ts.tag(x @ w, "product")
        return [w.grad, tags["product"]]

    return run


def _step_by_step() -> Scenario:
    layer, xs = nn.Recurrent(OwnCell()), _data()

    def run() -> list[Any]:
        with ts.disable_compile(), ts.no_grad():
            ys, state = layer(xs)
        with ts.detect_anomaly():
            layer(xs)
        return [ys, state]

    return run


def _inspect() -> Scenario:
    layer, xs = nn.Recurrent(OwnCell()), _data()

    def run() -> list[Any]:
        layer.zero_grad()
        inspection = layer.inspect(xs)
        inspection.ys.sum().backward()
        return [inspection["input"], inspection.gradients]

    return run


def _stream() -> Scenario:
    stream, xs = nn.LSTM(I, H).stream(N), _data()

    def run() -> list[Any]:
        stream.reset()
        return [stream(x) for x in xs] + list(stream.state)

    return run


def _sample() -> Scenario:
    model = LanguageModel(7, 3, H, cell="gru")

    def run() -> list[Any]:
        model.train()
        ts.manual_seed(0)
        return [np.array(list(islice(model.sample([1, 2]), 5)))]

    return run


def _draws() -> Scenario:
    dropout = nn.Dropout(0.5)

    def run() -> list[Any]:
        ts.manual_seed(1)
        return [ts.randn(3), dropout(ts.ones((4, 4))), nn.Linear(2, 2).weight]

    return run


def _gradcheck() -> Scenario:
    x = ts.tensor([0.5, -1.0], dtype="float64", requires_grad=True)

    def run() -> list[Any]:
        ts.gradcheck(lambda x: ts.tanh(x) * x, [x], order=2)
        return [x.numpy().copy()]

    return run


def _threads() -> Scenario:
    def run() -> list[Any]:
        found = np.zeros(5)
        pool.run_all([functools.partial(found.__setitem__, n, n) for n in range(5)])
        return [found, pool.workers(1.0)]

    return run


SCENARIOS: dict[str, Callable[[], Scenario]] = {
    "own cell": lambda: _training(nn.Recurrent(OwnCell(), num_layers=2, dropout=0.5)),
    "known cell": lambda: _training(nn.LSTM(I, H, num_layers=2, dropout=0.5)),
    "eager": _eager,
    "step by step": _step_by_step,
    "inspect": _inspect,
    "stream": _stream,
    "sample": _sample,
    "draws": _draws,
    "gradcheck": _gradcheck,
    "threads": _threads,
}


def state() -> dict[str, Any]:
    """Return all that operations of this thread depend on, beside their operands."""
    locked: list[Any] = [acquire for acquire, _ in locks._pairs]
    return {
        "switches": switches.current() is switches.DEFAULT and not vars(switches.DEFAULT),
        "numpy": np.geterr(),
        "dtype": settings.default_dtype(),
        "threads": (settings.get_num_threads(), pool._share.get()),
        "locks": [lock.__self__._is_owned() for lock in locked if hasattr(lock.__self__, "_is_owned")],
        "recording": ts.is_grad_enabled(),
    }


def same(found: list[Any], expected: list[Any]) -> None:
    """Assert that two runs gave the same bits."""
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_array_equal(_array(one), _array(other))


def _array(value: Any) -> np.ndarray[Any, Any]:
    return value.numpy() if isinstance(value, ts.Tensor) else np.asarray(value)


@functools.cache
def _names(code: CodeType) -> dict[int, str]:
    return {instruction.offset: instruction.opname for instruction in dis.get_instructions(code)}


def interrupted(run: Callable[[], object], at: int, inside: str = PACKAGE) -> int:
    """Run with a KeyboardInterrupt at the `at`-th moment in the code `inside` at which Python would raise one.

    It returns how many moments went by: fewer than `at` if there was no interrupt.
    """
    moments = 0

    def count() -> None:
        nonlocal moments
        moments += 1
        if moments == at:
            raise KeyboardInterrupt

    def enter(frame: FrameType, event: str, arg: object) -> Any:
        if not frame.f_code.co_filename.startswith(inside):
            return None
        frame.f_trace_opcodes, frame.f_trace_lines = True, False
        names, before = _names(frame.f_code), ""

        def follow(frame: FrameType, event: str, arg: object) -> Any:
            nonlocal before
            if event == "opcode":
                looking, before = before in LOOKING, names[frame.f_lasti]
                if looking:
                    count()
            return follow

        return follow

    outer = sys.gettrace()
    sys.settrace(enter)
    try:
        run()
    except KeyboardInterrupt:
        pass
    finally:
        sys.settrace(outer)
    return moments


def soak(seconds: float, seed: int) -> tuple[int, int]:
    """Interrupt the scenarios by a timer; return how many interrupts there were, and after how many the state differed.

    After each a run must give the right numbers.
    """
    runs = {name: make() for name, make in SCENARIOS.items()}
    expected = {name: run() for name, run in runs.items()}
    before, draw = state(), random.Random(seed)
    interrupts = wrong = 0
    armed = False

    def strike(*_: object) -> None:
        if armed:
            raise KeyboardInterrupt

    signal.signal(signal.SIGALRM, strike)
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        name = draw.choice(list(runs))
        try:
            armed = True
            signal.setitimer(signal.ITIMER_REAL, draw.uniform(1e-4, 5e-3))
            while True:
                runs[name]()
        except KeyboardInterrupt:
            armed = False
        signal.setitimer(signal.ITIMER_REAL, 0)
        interrupts += 1
        if state() != before:
            wrong += 1
            sys.stdout.write(f"{name}: {state()}\n")
            np.seterr(**before["numpy"])  # counted once
        same(runs[name](), expected[name])
    return interrupts, wrong


if __name__ == "__main__":
    seconds, seed = (float(sys.argv[1]) if sys.argv[1:] else 60.0, int(sys.argv[2]) if sys.argv[2:] else 0)
    sys.stdout.write("interrupts {}, state not as before {}\n".format(*soak(seconds, seed)))
