"""Functions of `nn.functional` that have PyTorch's arguments, where those of `tinygrad_seq` follow NumPy or JAX."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from .. import functional
from ..autograd.creation import asarray
from ..autograd.tensor import Tensor
from ..errors import ArgumentError, DtypeError
from ..ops.primitive import LEVELS
from ..ops.spelling import keywords
from ..ops.targets import class_axes

_MODES = {"replicate": "edge", "circular": "wrap"}


def _check_class_axis(caller: str, logits: Any, target: Any, axis: int | None) -> None:
    """Raise ArgumentError if the classes may be on two axes."""
    if axis is None and np.ndim(logits) > 2 and len(class_axes(logits, target)) > 1:
        raise ArgumentError(
            f"{caller}: expected logits of which one axis may be that of the classes, got {logits.shape} with a target "
            f"{np.shape(target)}, which fits axis -1 (here) and axis 1 (PyTorch); say axis=-1 or axis=1."
        )


@keywords
def cross_entropy(
    logits: Any,
    target: Any,
    weight: Any = None,
    ignore_index: int = -100,
    reduction: str = "mean",
    label_smoothing: float = 0.0,
    *,
    axis: int | None = None,
) -> Tensor:
    """Return ``ts.cross_entropy``, but refuse logits (N, C, T) with C = T, whose classes may be on two axes.

    Parameters
    ----------
    logits, target, weight, ignore_index, reduction, label_smoothing, axis
        Those of `tinygrad_seq.cross_entropy`.

    Returns
    -------
    Tensor
        A number, or the loss of each row with ``reduction="none"``.

    Raises
    ------
    ArgumentError
        If the classes may be on axis 1 and on the last one, and `axis` does not say which.

    Examples
    --------
    >>> import tinygrad_seq as ts
    >>> ts.nn.functional.cross_entropy(ts.zeros((2, 4, 4)), ts.tensor([[1, 0, 2, 3]] * 2), axis=1).item()  # ln 4
    1.3862943649291992
    """
    _check_class_axis("cross_entropy", logits, target, axis)
    return functional.cross_entropy(logits, target, weight, ignore_index, reduction, label_smoothing, axis=axis)


@keywords
def nll_loss(
    log_probabilities: Any,
    target: Any,
    weight: Any = None,
    ignore_index: int = -100,
    reduction: str = "mean",
    *,
    axis: int | None = None,
) -> Tensor:
    """Return ``ts.nll_loss``, but refuse log-probabilities (N, C, T) with C = T, whose classes may be on two axes.

    Parameters
    ----------
    log_probabilities, target, weight, ignore_index, reduction, axis
        Those of `tinygrad_seq.nll_loss`.

    Returns
    -------
    Tensor
        A number, or the loss of each row with ``reduction="none"``.

    Raises
    ------
    ArgumentError
        If the classes may be on axis 1 and on the last one, and `axis` does not say which.

    Examples
    --------
    >>> import tinygrad_seq as ts
    >>> ts.nn.functional.nll_loss(ts.log([[0.5, 0.25, 0.25]]), [1])
    tensor(1.3863)
    """
    _check_class_axis("nll_loss", log_probabilities, target, axis)
    return functional.nll_loss(log_probabilities, target, weight, ignore_index, reduction, axis=axis)


@keywords
def embedding(indices: Any, weight: Any, padding_idx: int | None = None) -> Tensor:
    """Return the row of `weight` ``(V, H)`` for each index of `indices` ``(...)``: ``ts.embedding`` in PyTorch's order.

    Parameters
    ----------
    indices : array_like
        Integers ``(...)`` from 0 to V - 1.
    weight : array_like
        ``(V, H)``.
    padding_idx : int, default None
        A row that gets no gradient.

    Returns
    -------
    Tensor
        ``(..., H)``, of the dtype of `weight`.

    Raises
    ------
    DtypeError
        If `indices` are no integers, as where the two are in the other order.

    Examples
    --------
    >>> import tinygrad_seq as ts
    >>> ts.nn.functional.embedding(ts.tensor([1, 0]), ts.tensor([[1.0, 2.0], [3.0, 4.0]]))
    tensor([[3., 4.],
            [1., 2.]])
    """
    if getattr(indices, "dtype", np.dtype(int)).kind == "f":
        raise DtypeError(
            f"embedding: expected integer indices before the weight, got {indices.shape} {indices.dtype} first; write "
            "nn.functional.embedding(ids, weight), or ts.embedding(weight, ids)."
        )
    if padding_idx is not None:
        rows = np.arange(len(weight)) == range(len(weight))[padding_idx]
        weight = functional.where(rows[:, None], weight.detach(), weight)
    return functional.embedding(weight, indices)


@keywords
def one_hot(indices: Any, num_classes: int | None = None) -> Tensor:
    """Return a row of `num_classes` zeros with a one at the index, for each index, as int64.

    ``ts.one_hot`` gives float32, or any other dtype.

    Parameters
    ----------
    indices : array_like
        Integers ``(...)`` from 0 to C - 1.
    num_classes : int, default None
        C; None or -1 for one more than the greatest index.

    Returns
    -------
    Tensor
        ``(..., C)``, int64.

    Examples
    --------
    >>> import tinygrad_seq as ts
    >>> ts.nn.functional.one_hot(ts.tensor([2, 0]), 3)
    tensor([[0, 0, 1],
            [1, 0, 0]])
    """
    return functional.one_hot(indices, None if num_classes == -1 else num_classes, np.int64)


@keywords
def pad(x: Any, pad_width: Any, mode: str = "constant", value: float | None = None) -> Tensor:
    """Return `x` with more elements before and after it along its last axes.

    Parameters
    ----------
    x : array_like
        Numbers of any shape.
    pad_width : sequence of int
        ``(before, after)`` of the last axis, then of the one before it, and so on, as in PyTorch. A sequence of pairs
        is ``((before, after), ...)`` for each axis from the first one, as in ``ts.pad``.
    mode : {"constant", "reflect", "replicate", "circular"}, default "constant"
        What stands there: `value`, the elements mirrored, the last one, or those of the other end.
    value : float, default None
        The constant; None is 0.

    Returns
    -------
    Tensor
        Each axis is longer by what was added to it.

    Raises
    ------
    ArgumentError
        If `pad_width` is no flat sequence of pairs of integers that `x` has axes for.

    Examples
    --------
    >>> import tinygrad_seq as ts
    >>> ts.nn.functional.pad(ts.ones((2, 2)), (0, 1))
    tensor([[1., 1., 0.],
            [1., 1., 0.]])
    """
    x = x if x.__class__ in LEVELS else asarray(x)
    how: Any = _MODES.get(mode, mode)
    constant = 0 if value is None else value
    if not isinstance(pad_width, Sequence) or any(isinstance(one, Sequence) for one in pad_width):
        return functional.pad(x, pad_width, how, constant)
    count = len(pad_width) // 2
    if len(pad_width) % 2 or count > x.ndim:
        raise ArgumentError(
            f"pad: expected (before, after) of the last axis, then of the one before it, got {pad_width!r} for an "
            f"array of shape {x.shape}; pass two integers per axis, at most {2 * x.ndim}."
        )
    pairs = [(pad_width[2 * at], pad_width[2 * at + 1]) for at in range(count)]
    return functional.pad(x, [(0, 0)] * (x.ndim - count) + pairs[::-1], how, constant)


@keywords
def softmax(x: Any, axis: int | None = None) -> Tensor:
    """Return ``exp(x) / sum(exp(x))`` along an axis, without overflow.

    Parameters
    ----------
    x : array_like
        Numbers of any shape.
    axis : int, default None
        The axis along which to normalise. None is the last one of at most two; PyTorch takes another one of more.

    Returns
    -------
    Tensor
        Of the shape of `x`, floating-point.

    Raises
    ------
    ArgumentError
        If no axis is given for three axes or more.

    Examples
    --------
    >>> import tinygrad_seq as ts
    >>> ts.nn.functional.softmax(ts.zeros((2, 2)), dim=1)
    tensor([[0.5, 0.5],
            [0.5, 0.5]])
    """
    return functional.softmax(x, _axis_of("softmax", x, axis))


@keywords
def log_softmax(x: Any, axis: int | None = None) -> Tensor:
    """Return the logarithm of `softmax` along an axis, accurate where softmax underflows to 0.

    Parameters
    ----------
    x : array_like
        Numbers of any shape.
    axis : int, default None
        The axis along which to normalise. None is the last one of at most two; PyTorch takes another one of more.

    Returns
    -------
    Tensor
        Of the shape of `x`, floating-point.

    Raises
    ------
    ArgumentError
        If no axis is given for three axes or more.

    Examples
    --------
    >>> import tinygrad_seq as ts
    >>> ts.nn.functional.log_softmax(ts.zeros(2), dim=-1)
    tensor([-0.6931472, -0.6931472])
    """
    return functional.log_softmax(x, _axis_of("log_softmax", x, axis))


def _axis_of(name: str, x: Any, axis: int | None) -> int:
    if axis is not None:
        return axis
    if np.ndim(x) > 2:
        raise ArgumentError(
            f"{name}: expected dim= for {np.ndim(x)} axes, got none, and PyTorch does not take the last one then; say "
            "dim=-1."
        )
    return -1


@keywords
def softplus(x: Any, beta: float = 1.0, threshold: float = 20.0) -> Tensor:
    """Return ``ln(1 + e**(beta x)) / beta``, and `x` where ``beta x`` is above the threshold.

    Parameters
    ----------
    x : array_like
        Numbers of any shape.
    beta : float, default 1.0
        The slope of the curve at 0 is ``1/2`` for any `beta`; the larger it is, the closer to `relu`.
    threshold : float, default 20.0
        Where the curve is so close to the line that it is taken for it.

    Returns
    -------
    Tensor
        Of the shape of `x`, floating-point.

    Examples
    --------
    >>> import tinygrad_seq as ts
    >>> ts.nn.functional.softplus(ts.tensor([0.0, 3.0]), beta=2)
    tensor([0.3465736, 3.0012379])
    """
    scaled = x if beta == 1 else x * beta
    curve = functional.softplus(scaled)
    if threshold < 20:
        curve = functional.where(scaled > threshold, scaled, curve)
    return curve if beta == 1 else curve / beta


@keywords
def normalize(x: Any, p: float = 2.0, axis: int = 1, eps: float = 1e-12) -> Tensor:
    """Return vectors divided by their norms: ``x / max(norm(x), eps)``.

    Parameters
    ----------
    x : array_like
        Numbers of any shape.
    p : float, default 2.0
        The order of the norm, as `ord` in ``ts.norm``.
    axis : int, default 1
        The axis of the vectors.
    eps : float, default 1e-12
        Shorter vectors are divided by this instead of their norm.

    Returns
    -------
    Tensor
        Of the shape of `x`, floating-point.

    Examples
    --------
    >>> import tinygrad_seq as ts
    >>> ts.nn.functional.normalize(ts.tensor([[3.0, 4.0], [0.0, 0.0]]))
    tensor([[0.6, 0.8],
            [0. , 0. ]])
    """
    x = x if x.__class__ in LEVELS else asarray(x)
    return x / functional.maximum(functional.norm(x, p, axis=axis, keepdims=True), eps)


@keywords
def cosine_similarity(x1: Any, x2: Any, axis: int = 1, eps: float = 1e-8) -> Tensor:
    """Return the cosine of the angle between vectors: ``sum(x1 * x2) / (max(norm(x1), eps) * max(norm(x2), eps))``.

    Parameters
    ----------
    x1, x2 : array_like
        Numbers of shapes that broadcast.
    axis : int, default 1
        The axis of the vectors.
    eps : float, default 1e-8
        Shorter vectors are divided by this instead of their norm.

    Returns
    -------
    Tensor
        From -1 to 1, of the broadcast shape without the axis.

    Examples
    --------
    >>> import tinygrad_seq as ts
    >>> ts.nn.functional.cosine_similarity(ts.tensor([3.0, 4.0]), ts.tensor([[4.0, 3.0], [-3.0, -4.0]]), dim=-1)
    tensor([ 0.96, -1.  ])
    """
    return functional.sum(normalize(x1, 2.0, axis, eps) * normalize(x2, 2.0, axis, eps), axis=axis)
