"""Softmax, cross entropy and normalisation of matrix rows, and their gradients; memory is read once per row.

Arrays are C-contiguous and of one dtype, float32 or float64: `x`, `y`, `g` ``(N, V)``, one value per row ``(N,)``.
Later passes over a row hit the cache. *Changed* names the output arrays.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from . import scalar
from .jit import kernel
from .llvm.inline import inlined
from .strands import dot, top, total

Array = npt.NDArray[Any]
Classes = npt.NDArray[np.int64]

# ------------------------------------------------------------------------------------------------------- softmax


@inlined
def _exp_into(y: Array, x: Array, origin: Any) -> None:
    for i in range(x.size):
        y[i] = scalar.exp(x[i] - origin)


@kernel
def softmax(x: Array, y: Array) -> None:
    """Set ``y = exp(x - max x) / sum(exp(x - max x))``: nan where the maximum is infinite. *Changed*: `y`."""
    real = x.dtype.type
    for n in range(x.shape[0]):
        _exp_into(y[n], x[n], top(x[n]))
        factor = real(1 / total(y[n]))
        for i in range(x.shape[1]):
            y[n, i] *= factor


@kernel
def softmax_adjoint(g: Array, y: Array, out: Array) -> None:
    """Set ``out = y (g - sum(g y))``. *Changed*: `out`."""
    for n in range(y.shape[0]):
        mean = y.dtype.type(dot(g[n], y[n]))
        for i in range(y.shape[1]):
            out[n, i] = y[n, i] * (g[n, i] - mean)


@kernel
def log_softmax(x: Array, y: Array) -> None:
    """Set ``y = x - max x - log(sum(exp(x - max x)))``: nan where the maximum is infinite. *Changed*: `y`."""
    for n in range(x.shape[0]):
        highest = top(x[n])
        _exp_into(y[n], x[n], highest)
        rest = x.dtype.type(np.log(total(y[n])))
        for i in range(x.shape[1]):
            y[n, i] = (x[n, i] - highest) - rest


@kernel
def log_softmax_adjoint(g: Array, y: Array, out: Array) -> None:
    """Set ``out = g - exp(y) sum(g)``, and `g` where it sums to 0, also of a row of NaN. *Changed*: `out`."""
    for n in range(y.shape[0]):
        factor = y.dtype.type(total(g[n]))
        if factor == 0:
            out[n] = g[n]
            continue
        for i in range(y.shape[1]):
            out[n, i] = g[n, i] - scalar.exp(y[n, i]) * factor


# ------------------------------------------------------------------------------------------------- cross entropy


@inlined
def _origin(x: Array) -> Any:
    """Return the maximum of `x` if it is finite, else 0."""
    highest = top(x)
    return highest if np.isfinite(highest) else x.dtype.type(0)


@kernel
def nll_of_logits(x: Array, classes: Classes, losses: Array) -> None:
    """Set ``losses = log(sum(exp(x))) - x[classes]`` ``(N,)``, for classes in ``[0, V)``. *Changed*: `losses`."""
    room = np.empty(x.shape[1], x.dtype)
    for n in range(x.shape[0]):
        origin = _origin(x[n])
        _exp_into(room, x[n], origin)
        losses[n] = np.log(total(room)) - (np.float64(x[n, classes[n]]) - np.float64(origin))


@kernel
def nll_of_logits_adjoint(g: Array, x: Array, classes: Classes, out: Array) -> None:
    """Set ``out = g (softmax(x) - one_hot(classes))``, for `g` ``(N,)``. *Changed*: `out`.

    Only the logits are saved: computing exp takes about as long as reading a saved softmax from memory.
    """
    for n in range(x.shape[0]):
        _exp_into(out[n], x[n], _origin(x[n]))
        factor = x.dtype.type(g[n] / total(out[n]))
        for i in range(x.shape[1]):
            out[n, i] *= factor
        out[n, classes[n]] -= g[n]


@inlined
def _weighted_sum(weights: Array, x: Array) -> Any:
    """Return the sum of ``weights * x``, a float64; elements of weight 0 may be infinite."""
    found = dot(weights, x)
    if not np.isfinite(found):
        found = 0.0
        for i in range(x.size):
            if weights[i] != 0:
                found += np.float64(weights[i]) * np.float64(x[i])
    return found


@kernel
def cross_entropy_of_products(
    z: Array, bias: Array, classes: Classes, factors: Array, shares: Array, losses: Array, gradient: bool
) -> None:
    """Set ``losses = factors nll(z + bias, classes) - sum(shares log_softmax(z + bias))``, float64 ``(N,)``.

    `bias` and `shares` are ``(V,)``, `factors` is ``(N,)``; `shares` may be empty. *Changed*: `losses`, and `z`, which
    becomes the gradient of the sum of the losses if `gradient`.
    """
    real = z.dtype.type
    room = np.empty(0 if gradient else z.shape[1], z.dtype)
    share = total(shares)
    for n in range(z.shape[0]):
        row = z[n]
        for i in range(row.size):
            row[i] += bias[i]
        origin = _origin(row)
        wide = np.float64(origin)
        picked = np.float64(row[classes[n]]) - wide
        spread = _weighted_sum(shares, row) - share * wide if shares.size else 0.0
        if gradient:
            for i in range(row.size):
                row[i] = scalar.exp(row[i] - origin)
            whole = total(row)
        else:
            _exp_into(room, row, origin)
            whole = total(room)
        rest = np.log(whole)
        losses[n] = share * rest - spread
        if factors[n] != 0:
            losses[n] += factors[n] * (rest - picked)
        if gradient:
            factor = real((np.float64(factors[n]) + share) / whole)
            for i in range(row.size):
                row[i] *= factor
            if shares.size:
                for i in range(row.size):
                    row[i] -= shares[i]
            row[classes[n]] -= factors[n]


# ------------------------------------------------------------------------------------------------- normalisation


@kernel
def standardise(x: Array, y: Array, scale: Array, eps: float, centre: bool) -> None:
    """Set `y` to `x`, centred if `centre`, times ``scale = 1 / sqrt(mean of squares + eps)`` ``(N,)``.

    *Changed*: `y`, `scale`.
    """
    real, V = x.dtype.type, max(x.shape[1], 1)
    for n in range(x.shape[0]):
        mean = real(total(x[n]) / V) if centre else real(0)
        for i in range(x.shape[1]):
            y[n, i] = x[n, i] - mean
        factor = real(1 / np.sqrt(dot(y[n], y[n]) / V + eps))
        for i in range(x.shape[1]):
            y[n, i] *= factor
        scale[n] = factor


@kernel
def standardise_adjoint(g: Array, y: Array, scale: Array, along: Array, out: Array, centre: bool) -> None:
    """Set ``out = scale (g - mean(g) - y (mean(g y) + along))``, without ``mean(g)`` unless `centre`.

    `scale` and `along` are ``(N,)``. *Changed*: `out`.
    """
    real, V = y.dtype.type, max(y.shape[1], 1)
    for n in range(y.shape[0]):
        mean = real(total(g[n]) / V) if centre else real(0)
        slope = real(dot(g[n], y[n]) / V + along[n])
        for i in range(y.shape[1]):
            out[n, i] = scale[n] * (g[n, i] - mean - y[n, i] * slope)
