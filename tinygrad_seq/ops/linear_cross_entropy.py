"""The cross entropy of a linear layer in one operation, block by block of rows: all logits never exist at once."""

from __future__ import annotations

import functools
from functools import partial
from typing import Any

import numpy as np

from ..base.switches import current
from ..kernels.pool import run_all, split, workers
from .casting import as_array
from .compiled_forward import row_kernel, writable
from .indexing import take
from .linear import check_linear, linear, matmul_at, rows
from .losses import check_smoothing, cross_entropy
from .normalisation import softmax
from .one_hot import one_hot
from .primitive import Array, Primitive, is_traced
from .public import Public, named
from .reduction import sum
from .shape import expand_dims
from .targets import check_classes, check_reduction, class_weights

BLOCK_BYTES = 1 << 25
"""Memory of a block of logits. Each block but the first adds to the gradient of the weight, a pass over that array."""
BYTES_PER_SECOND = 5e9
"""Bytes of logits per second that one thread turns into losses and their gradient."""
_WANTED_X, _WANTED_WEIGHT, _WANTED_BIAS = 1, 2, 4
_DTYPES = (np.dtype(np.float32), np.dtype(np.float64))


@functools.cache
def _products() -> Any:
    """Return the module of products, imported at first use because LLVM takes long to import."""
    from ..kernels.gemm import matmul as module

    return module


def _losses_of_block(
    block: np.ndarray,
    bias: np.ndarray,
    classes: np.ndarray,
    factors: np.ndarray,
    shares: np.ndarray,
    losses: np.ndarray,
    gradient: bool,
) -> None:
    """Write the losses of a block of products, and their gradient in place of the products if `gradient`."""
    kernel, threads = row_kernel("cross_entropy_of_products"), workers(block.nbytes / BYTES_PER_SECOND)
    cuts = [slice(*cut) for cut in split(len(block), 1 if threads == 1 else 4 * threads)]
    run_all([partial(kernel, block[i], bias, classes[i], factors[i], shares, losses[i], gradient) for i in cuts])


def _forward(
    x: np.ndarray,
    weight: np.ndarray,
    bias: np.ndarray,
    classes: np.ndarray,
    factors: np.ndarray,
    shares: np.ndarray,
    wanted: int,
    precision: str,
) -> tuple[np.ndarray, ...]:
    """Return the sum of the losses and, where wanted, its gradients with respect to `x`, `weight` and `bias`."""
    multiply, add_rows = partial(_products().multiply, precision=precision), _products().add_rows
    M, V, none = len(x), len(weight), np.empty(0, x.dtype)
    bias, classes, factors, shares = map(writable, (bias, classes, factors, shares))
    losses = np.empty(M)
    limit = max(1, BLOCK_BYTES // (V * x.itemsize))
    cuts = split(M, -(-M // limit))
    products = np.empty((max([stop - start for start, stop in cuts], default=0), V), x.dtype)
    of_x = np.empty_like(x) if wanted & _WANTED_X else none
    of_weight = np.zeros((x.shape[1], V), x.dtype) if wanted & _WANTED_WEIGHT else none
    of_bias = np.zeros(V, x.dtype) if wanted & _WANTED_BIAS else none
    for start, stop in cuts:
        part, block = x[start:stop], products[: stop - start]
        multiply(part, weight.T, block)
        _losses_of_block(
            block, bias, classes[start:stop], factors[start:stop], shares, losses[start:stop], gradient=wanted != 0
        )
        if wanted & _WANTED_X:
            multiply(block, weight, of_x[start:stop])
        if wanted & _WANTED_WEIGHT:
            multiply(part.T, block, of_weight, accumulate=start > 0)
        if wanted & _WANTED_BIAS:
            add_rows(block, of_bias)
    return np.asarray(losses.sum(), x.dtype), of_x, of_weight.T, of_bias


def _rule(
    g: tuple[Array, ...], y: tuple[Array, ...], *operands: Array, wanted: int, precision: str
) -> tuple[Array | None, ...]:
    """Return the gradients that the forward computed, times `g`; to be differentiated, by operations."""
    factor = g[0]
    if factor.__class__ is np.ndarray:
        parts = [part if factor == 1 else part * factor for part in y[1:]]
        return *parts, None, None, None
    x, weight, bias, classes, factors, shares = operands
    odds = expand_dims(factors + sum(shares), -1) * softmax(matmul_at(x, weight.mT, precision) + bias, axis=-1)
    picked = expand_dims(factors, -1) * one_hot(classes, weight.shape[0], dtype=x.dtype)
    of_logits = factor * (odds - picked - (shares if shares.size else 0))
    of_x, of_weight = matmul_at(of_logits, weight, precision), matmul_at(of_logits.mT, x, precision)
    return of_x, of_weight, sum(of_logits, axis=0), None, None, None


_fused = Primitive("linear_cross_entropy", _forward, _rule, multiple=True)


@Public(method=False)
@named
def linear_cross_entropy(
    x: Array,
    weight: Array,
    bias: Array | None,
    target: Array,
    class_weight: Array | None = None,
    ignore_index: int = -100,
    reduction: str = "mean",
    label_smoothing: float = 0.0,
) -> Array:
    """Return ``cross_entropy(linear(x, weight, bias), target)`` without keeping the logits.

    Logits are computed in blocks of at most 32 MiB, and so are their gradients, in the forward pass: the output layer
    of a language model takes the memory of one block, and no more time. Call ``zero_grad`` before, so that gradients
    do not exist twice. Rows that do not count are not computed.
    All logits are computed at once, as by `cross_entropy`, if ``reduction="none"``, in int8, inside a compiled scan,
    and if dtypes differ.

    Parameters
    ----------
    x : array_like
        ``(..., in)``, such as the outputs of the last layer.
    weight : array_like
        ``(V, in)``: one row per class, such as the table of an `Embedding`.
    bias : array_like, default None
        ``(V,)``, or None.
    target : array_like
        Class indices (...), integers.
    class_weight : array_like, default None
        A factor per class (V,).
    ignore_index : int, default -100
        Examples with this class index are ignored.
    reduction : str, default "mean"
        ``"mean"``, ``"sum"`` or ``"none"``.
    label_smoothing : float, default 0.0
        The share, in [0, 1], of the target that is spread evenly over the classes.

    Returns
    -------
    Tensor
        A number, or the loss of each row (...) with ``reduction="none"``.

    Raises
    ------
    ShapeError, DtypeError, IndexRangeError, ArgumentError
        If the shapes are not these, the target does not fit, or an option is out of range.

    Examples
    --------
    >>> import tinygrad_seq as ts
    >>> ts.linear_cross_entropy(ts.ones((2, 3)), ts.zeros((4, 3)), None, [1, 3]).item()  # ln 4
    1.3862943649291992
    """
    weight, target = as_array(weight), as_array(target)
    bias = None if bias is None else as_array(bias)
    check_linear("linear_cross_entropy", x, weight, bias)
    arrays = [x, weight] if bias is None else [x, weight, bias]
    alike = x.dtype in _DTYPES and all(array.dtype == x.dtype for array in arrays)
    modes = current()
    precision = modes.precision
    if (
        reduction == "none"
        or not (alike and target.size and x.size)
        or (precision != "float32" and (precision == "int8" or x.dtype != np.float32))
        or target.dtype.kind not in "iu"
        or any(map(is_traced, arrays))
    ):
        logits = linear(x, weight, bias)
        return cross_entropy(logits, target, class_weight, ignore_index, reduction, label_smoothing)
    check_reduction("linear_cross_entropy", reduction)
    check_smoothing("linear_cross_entropy", label_smoothing)
    V = weight.shape[0]
    logits = np.broadcast_to(np.zeros((), x.dtype), (*x.shape[:-1], V))  # their shape, without memory
    factors = class_weights("linear_cross_entropy", class_weight, logits)
    classes, valid = check_classes("linear_cross_entropy", logits, target, ignore_index)
    row_weights = (valid if factors is None else valid * factors[classes]).astype(x.dtype)
    counted = valid if label_smoothing else row_weights != 0
    total = (float(row_weights.sum()) or 1.0) if reduction == "mean" else 1.0
    inputs, shares = rows(x), np.empty(0, x.dtype)
    if not counted.all():
        inputs, classes, row_weights = (
            take(inputs, np.flatnonzero(counted), axis=0),
            classes[counted],
            row_weights[counted],
        )
    if label_smoothing:
        shares = (np.ones(V) if factors is None else factors) * (label_smoothing / V / total)
    if bias is None:
        bias = np.zeros(V, x.dtype)
    wanted = 0
    if modes.recording:
        for bit, array in ((_WANTED_X, x), (_WANTED_WEIGHT, weight), (_WANTED_BIAS, bias)):
            wanted |= bit * bool(getattr(array, "requires_grad", False))
    factor = ((1 - label_smoothing) / total * row_weights).astype(x.dtype)
    return _fused(inputs, weight, bias, classes, factor, shares.astype(x.dtype), wanted=wanted, precision=precision)[0]
