"""Eager overhead: forward and backward of a recurrent loop of 250 small operations, where tape overhead dominates.

T=50, N=8, H=16, five operations per step (two matmuls, two additions, tanh), float32, one thread.
Run: python -m benchmarks.eager_overhead
"""

from __future__ import annotations

import numpy as np

from benchmarks._harness import time_for
from benchmarks._subject import OURS, Contestant, Subject

T, N, H = 50, 8, 16
_rng = np.random.default_rng(0)
XS = [_rng.standard_normal((N, H)).astype(np.float32) for _ in range(T)]
WX, WH = ((0.3 * _rng.standard_normal((H, H))).astype(np.float32) for _ in range(2))
BIAS = np.zeros(H, np.float32)


def ours():
    import tinygrad_seq as ts

    wx, wh, b = (ts.nn.Parameter(a) for a in (WX, WH, BIAS))
    xs = [ts.tensor(x) for x in XS]
    zero = ts.zeros((N, H))

    def step():
        h = zero
        for x in xs:
            h = ts.tanh(x @ wx + h @ wh + b)
        h.sum().backward()
        gradients = wx.grad, wh.grad, b.grad
        wx.grad = wh.grad = b.grad = None
        return gradients

    return step


def with_torch():
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
        gradients = wx.grad, wh.grad, b.grad
        wx.grad = wh.grad = b.grad = None
        return gradients

    return step


def with_autograd():
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


def with_mygrad():
    import mygrad as mg

    wx, wh, b = (mg.tensor(a) for a in (WX, WH, BIAS))

    def step():
        h = mg.tensor(np.zeros((N, H), np.float32), constant=True)
        for x in XS:
            h = mg.tanh(mg.matmul(x, wx) + mg.matmul(h, wh) + b)
        h.sum().backward()
        return wx.grad, wh.grad, b.grad

    return step


def contestant(build, package: str = OURS) -> Contestant:
    def run(_: str, budget: float) -> dict:
        step = build()
        check = {name: np.asarray(gradient) for name, gradient in zip(("wx", "wh", "b"), step(), strict=True)}
        return {"check": check, "training": time_for(step, budget)}

    return Contestant(run, package)


SUBJECT = Subject(
    script=__file__,
    what=__doc__.splitlines()[0],
    cases={"loop of 250 operations": "loop"},
    contestants={
        OURS: contestant(ours),
        "torch": contestant(with_torch, "torch"),
        "autograd": contestant(with_autograd, "autograd"),
        "mygrad": contestant(with_mygrad, "mygrad"),
    },
    quick=("loop of 250 operations",),
    units={"training": "s"},
    rounds=5,
)

if __name__ == "__main__":
    SUBJECT.main()
