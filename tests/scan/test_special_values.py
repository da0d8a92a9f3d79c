"""Reductions, softmax and norms at ties, zeros, infinities and NaN: compiled equals eager, values and gradients."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import tinygrad_seq as ts
from tinygrad_seq.nn import functional

inf, nan = np.inf, np.nan
ROWS = np.array(
    [
        [0.0, 0.0, 0.0, 0.0], [1.0, 1.0, 2.0, 2.0], [5.0, 5.0, 5.0, 5.0], [0.0, 0.0, 3.0, 0.0], [0.0, -0.0, 0.0, -0.0],
        [-inf, -inf, -inf, -inf], [inf, 1.0, 2.0, 3.0], [-inf, 1.0, 2.0, 3.0], [inf, inf, 1.0, 0.0],
        [inf, -inf, 1.0, 0.0], [nan, 1.0, 2.0, 3.0], [1e15, 1.0, 2.0, 3.0], [1e12, 1e12, 1.0, 1.0],
        [1e-30, 1e-30, 0.0, 0.0], [-1e3, 1e3, 0.0, 1.0], [3.0, 2.0, 5.0, 7.0],
    ]
)  # fmt: skip
FUNCTIONS: dict[str, Any] = {
    **{name: getattr(ts, name) for name in ("sum", "mean", "var", "std", "prod", "max", "min", "any", "all", "norm")},
    "count_nonzero": ts.count_nonzero,
    "softmax": ts.softmax,
    "log_softmax": ts.log_softmax,
    "logsumexp": ts.logsumexp,
    "layer_norm": lambda x, axis: functional.layer_norm(x, (4,)),
    "rms_norm": lambda x, axis: functional.rms_norm(x, (4,)),
}


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", FUNCTIONS)
def test_special_rows(name: str, dtype: str) -> None:
    """The value is computed in the loop, on the carry, and before it, on the inputs."""
    function, rows = FUNCTIONS[name], ROWS.astype(dtype)
    found = []
    for compile in (True, False):
        init = ts.tensor(rows, requires_grad=True)
        xs = ts.tensor(np.stack([rows[::-1], rows]), requires_grad=True)
        _, ys = ts.scan(lambda h, x: (x, (function(h, axis=-1), function(x, axis=-1))), init, xs, compile=compile)
        if ys[0].requires_grad:
            (ys[0] * 1.5 + ys[1] * 0.5).sum().backward()
        gradients = [np.zeros(()) if leaf.grad is None else leaf.grad.numpy() for leaf in (init, xs)]
        found.append([y.numpy() for y in ys] + gradients)
    for got, want in zip(*found, strict=True):
        tolerance = 1e-5 if dtype == "float32" else 1e-12
        np.testing.assert_allclose(got, want, rtol=tolerance, atol=tolerance, equal_nan=True)
