"""Eager overhead: forward and backward of a recurrent loop of 250 small operations, where the tape costs most.

T=50, N=8, H=16, five operations a step (two matmuls, two additions, tanh), float32, one thread.
Run: python benchmarks/eager_overhead.py      (peers that are not installed are left out and named)
"""

from __future__ import annotations

import argparse
import importlib.util
import json

import numpy as np
from _harness import machine_facts, pin_to_one_core, run_in_turn, save, summary, time_calls

T, N, H = 50, 8, 16
_rng = np.random.default_rng(0)
XS = [_rng.standard_normal((N, H)).astype(np.float32) for _ in range(T)]
WX, WH = ((0.3 * _rng.standard_normal((H, H))).astype(np.float32) for _ in range(2))
BIAS = np.zeros(H, np.float32)


def tinygrad_seq():
    import tinygrad_seq as ts

    wx, wh, b = (ts.nn.Parameter(a) for a in (WX, WH, BIAS))
    xs = [ts.tensor(x) for x in XS]
    zero = ts.zeros((N, H))

    def step():
        h = zero
        for x in xs:
            h = ts.tanh(x @ wx + h @ wh + b)
        h.sum().backward()
        wx.grad = wh.grad = b.grad = None

    return step


def torch():
    import torch

    torch.set_num_threads(1)
    wx, wh, b = (torch.tensor(a, requires_grad=True) for a in (WX, WH, BIAS))
    xs = [torch.tensor(x) for x in XS]
    zero = torch.zeros(N, H)

    def step():
        h = zero
        for x in xs:
            h = torch.tanh(x @ wx + h @ wh + b)
        h.sum().backward()
        wx.grad = wh.grad = b.grad = None

    return step


def autograd():
    import autograd.numpy as anp
    from autograd import grad

    def loss(parameters):
        wx, wh, b = parameters
        h = np.zeros((N, H), np.float32)
        for x in XS:
            h = anp.tanh(anp.dot(x, wx) + anp.dot(h, wh) + b)
        return anp.sum(h)

    gradient = grad(loss)
    return lambda: gradient((WX, WH, BIAS))


def mygrad():
    import mygrad as mg

    wx, wh, b = (mg.tensor(a) for a in (WX, WH, BIAS))

    def step():
        h = mg.tensor(np.zeros((N, H), np.float32), constant=True)
        for x in XS:
            h = mg.tanh(mg.matmul(x, wx) + mg.matmul(h, wh) + b)
        h.sum().backward()

    return step


CONTESTANTS = {f.__name__: f for f in (tinygrad_seq, torch, autograd, mygrad)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--worker", choices=CONTESTANTS)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    if options.worker:
        pin_to_one_core()
        print(json.dumps(time_calls(CONTESTANTS[options.worker]())))
        return
    present = [name for name in CONTESTANTS if importlib.util.find_spec(name)]
    print("not installed:", ", ".join(sorted(set(CONTESTANTS) - set(present))) or "none")
    rows = summary(run_in_turn(__file__, present, options.rounds), "tinygrad_seq")
    for name, row in rows.items():
        median, ratio = row["median_ms"], row["peer_over_ours"]
        print(f"{name:12s} {median:8.3f} ms (min {row['minimum_ms']:.3f}), peer/ours {ratio:.2f}")
    result = {"what": __doc__.splitlines()[0], "threads": 1, **machine_facts(["numpy", "numba", *present])}
    print("wrote", save("eager_overhead", {**result, "results": rows}).name)


if __name__ == "__main__":
    main()
