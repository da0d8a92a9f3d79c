"""`requires_grad` of each output of a compiled scan is that of the eager loop, for any length and any window."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest

import tinygrad_seq as ts
from tests.scan.case import projected
from tinygrad_seq.base.tree import flatten

H = 3


def register(carry: Any, x: ts.Tensor) -> Any:
    a, b, c = carry
    return (x.detach(), a, b), c


def swap(carry: Any, x: ts.Tensor) -> Any:
    a, b = carry
    return (b, a), (a * x.detach(), ts.sign(b))


def counter(carry: Any, x: ts.Tensor) -> Any:
    h, n = carry
    return (ts.tanh(h + x), n + 1), (n * 2, ts.floor(h), h > 0, n.detach())


def no_slope(h: ts.Tensor, x: ts.Tensor) -> Any:
    return ts.round(h + x), (ts.sign(x), ts.isnan(x), ts.astype(ts.astype(x, "int64"), "float64"))


def recorded_in_part(h: ts.Tensor, x: ts.Tensor) -> Any:
    with ts.no_grad():
        mean = x.mean()
    return ts.tanh(h + mean), (mean, h * x, mean * 2)


STEPS = {register: 3, swap: 2, counter: 2, no_slope: 1, recorded_in_part: 1}


@pytest.mark.parametrize("step", STEPS, ids=lambda step: step.__name__)
@pytest.mark.parametrize("window", [None, 1, 2])
def test_flags_and_gradients_are_those_of_the_loop(step: Any, window: int | None, rng) -> None:
    count = STEPS[step]
    for T, of_x, *of_init in itertools.product([1, 2, 3, 6], *[[False, True]] * (count + 1)):
        results = []
        for compile in (True, False):
            init = tuple([ts.tensor(np.full(H, 0.3 + at), requires_grad=bool(flag)) for at, flag in enumerate(of_init)])
            xs = ts.tensor(np.linspace(-1, 1, T * H).reshape(T, H), requires_grad=bool(of_x))
            outputs = ts.scan(step, init if count > 1 else init[0], xs, compile=compile, window=window)
            leaves = flatten(outputs)[0]
            loss = projected(outputs)
            if loss.requires_grad:
                loss.backward()
            gradients = [None if x.grad is None else x.grad.numpy() for x in (*init, xs)]
            results.append(([leaf.requires_grad for leaf in leaves], gradients))
        (flags, got), (expected, want) = results
        assert flags == expected, (T, of_x, of_init)
        for one, other in zip(got, want, strict=True):
            np.testing.assert_allclose(0 if one is None else one, 0 if other is None else other, atol=1e-14)
