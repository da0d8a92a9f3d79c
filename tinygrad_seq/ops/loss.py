"""Losses: how far a prediction is from its target, averaged, summed or one by one; stable at the ends of the range."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..errors import ArgumentError, DtypeError, IndexRangeError, ShapeError
from ..primitive import Array, Primitive
from .arithmetic import abs, maximum, square
from .comparison import less, where
from .compiled import as_rows, row_kernel, writable
from .creation import one_hot
from .exponential import exp, log, softplus
from .gathering import take_along_axis
from .normalisation import log_softmax, softmax, softmax_pull
from .reduction import mean, sum
from .shape import expand_dims, reshape

_REDUCTIONS = ("mean", "sum", "none")


def _check(caller: str, prediction: Array, target: Array, reduction: str) -> Array:
    """Return `target`, as the prediction's dtype if it is of lists, integers or booleans."""
    _check_reduction(caller, reduction)
    if not hasattr(target, "dtype"):
        target = np.asarray(target, prediction.dtype)
    if prediction.shape != target.shape:
        raise ShapeError(
            f"{caller}: expected a target of the prediction's shape {prediction.shape}, got {target.shape}; "
            "reshape one of them, nothing is broadcast here."
        )
    return target if target.dtype.kind == "f" else target.astype(prediction.dtype)


def _check_reduction(caller: str, reduction: str, known: tuple[str, ...] = _REDUCTIONS) -> None:
    if reduction not in known:
        raise ArgumentError(f"{caller}: expected reduction to be one of {known}, got {reduction!r}; choose one.")


def _reduce(losses: Array, reduction: str) -> Array:
    if reduction == "none":
        return losses
    return mean(losses) if reduction == "mean" else sum(losses)


# ------------------------------------------------------------------------------------------- classification


def _nll_of_logits(logits: np.ndarray, classes: np.ndarray) -> np.ndarray:
    losses: np.ndarray
    if (rows := as_rows((1,), logits)) is not None:
        losses = np.empty(len(classes), logits.dtype)
        row_kernel("nll_of_logits")(*rows, classes, losses)
        return losses
    top = _finite_top(logits)
    picked = np.take_along_axis(logits, classes[:, None], axis=-1)
    losses = np.log(np.exp(logits - top).sum(axis=-1, keepdims=True)) - (picked - top)
    return losses[:, 0]


def _nll_pull_forward(g: np.ndarray, logits: np.ndarray, classes: np.ndarray) -> np.ndarray:
    """Return ``g * (softmax(logits) - one_hot(classes))``."""
    out: np.ndarray
    if g.dtype == logits.dtype and (rows := as_rows((1,), logits)) is not None:
        out = np.empty_like(rows[0])
        row_kernel("nll_of_logits_adjoint")(writable(g), *rows, classes, out)
        return out
    out = np.exp(logits - _finite_top(logits))
    out *= g[:, None] / out.sum(axis=-1, keepdims=True)
    out[np.arange(len(classes)), classes] -= g
    return out


def _finite_top(logits: np.ndarray) -> np.ndarray:
    top: np.ndarray = logits.max(axis=-1, keepdims=True, initial=-np.inf)
    top[~np.isfinite(top)] = 0
    return top


def _nll_pull_rule_g(h: Array, _out: None, _g: None, logits: Array, classes: Array) -> Array:
    return sum(h * (softmax(logits) - one_hot(classes, logits.shape[-1], dtype=logits.dtype)), axis=-1)


def _nll_pull_rule_logits(h: Array, _out: None, g: Array, logits: Array, _classes: None) -> Array:
    return softmax_pull(h * expand_dims(g, -1), softmax(logits), axis=1)


_nll_pull = Primitive("nll_of_logits_adjoint", _nll_pull_forward, (_nll_pull_rule_g, _nll_pull_rule_logits, None))
_nll = Primitive("nll_of_logits", _nll_of_logits, (lambda g, _y, logits, classes: _nll_pull(g, logits, classes), None))


def cross_entropy(
    logits: Array,
    target: Array,
    weight: Array | None = None,
    ignore_index: int = -100,
    reduction: str = "mean",
    label_smoothing: float = 0.0,
) -> Array:
    """Return ``-sum_k q_k log softmax(logits)_k``, the cross entropy of a target distribution and logits.

    Parameters
    ----------
    logits
        Unnormalised log-probabilities (..., V); the classes are the last axis.
    target
        Class indices (...), integers; or probabilities (..., V), floating-point.
    weight
        A factor per class (V,).
    ignore_index
        Rows with this class index count for nothing.
    reduction
        ``"mean"`` (over rows, weighted by their class's `weight`; 0 if every row is ignored), ``"sum"`` or ``"none"``.
    label_smoothing
        The share, in [0, 1], of the target that is spread evenly over the classes.

    Raises
    ------
    ShapeError, DtypeError, IndexRangeError, ArgumentError
        If the target does not fit the logits, or an option is out of range.

    Examples
    --------
    >>> import tinygrad_seq as ts
    >>> ts.cross_entropy(ts.zeros((2, 4)), [1, 3]).item()  # ln 4
    1.3862943649291992
    """
    _check_reduction("cross_entropy", reduction)
    if not 0 <= label_smoothing <= 1:
        raise ArgumentError(f"cross_entropy: expected label_smoothing in [0, 1], got {label_smoothing}; use e.g. 0.1.")
    if not logits.ndim:
        raise ShapeError("cross_entropy: expected logits of shape (..., V), got a 0-d array; add the class axis.")
    count = logits.shape[-1]
    factors = _class_weights("cross_entropy", weight, logits)
    if not hasattr(target, "dtype"):
        target = np.asarray(target)
        target = target.astype(logits.dtype) if target.dtype.kind == "f" else target
    if target.shape == logits.shape and target.dtype.kind == "f":
        smooth = target * (1 - label_smoothing) + label_smoothing / count if label_smoothing else target
        scores = log_softmax(logits, axis=-1)
        losses = -sum(smooth * scores * factors if factors is not None else smooth * scores, axis=-1)
        return _reduce(losses, reduction)
    classes, valid = _check_classes("cross_entropy", logits, target, ignore_index)
    rows = reshape(logits, (-1, count))
    losses = _nll(rows, classes)
    if factors is None and not label_smoothing and valid.all():
        return reshape(losses, logits.shape[:-1]) if reduction == "none" else _reduce(losses, reduction)
    row_weights = (valid if factors is None else valid * factors[classes]).astype(logits.dtype)
    losses = losses * row_weights
    if label_smoothing:
        scores = log_softmax(rows, axis=-1)
        spread = -sum(scores if factors is None else scores * factors, axis=-1) * valid.astype(logits.dtype)
        losses = losses * (1 - label_smoothing) + spread * (label_smoothing / count)
    return _reduce_rows(losses, row_weights, classes_shape=logits.shape[:-1], reduction=reduction)


def nll_loss(
    log_probabilities: Array,
    target: Array,
    weight: Array | None = None,
    ignore_index: int = -100,
    reduction: str = "mean",
) -> Array:
    """Return the negative log-likelihood of class indices `target` (...) under log-probabilities (..., V).

    The options are those of `cross_entropy`, which takes logits.
    """
    _check_reduction("nll_loss", reduction)
    factors = _class_weights("nll_loss", weight, log_probabilities)
    classes, valid = _check_classes("nll_loss", log_probabilities, target, ignore_index)
    rows = reshape(log_probabilities, (-1, log_probabilities.shape[-1]))
    row_weights = (valid if factors is None else valid * factors[classes]).astype(log_probabilities.dtype)
    picked = take_along_axis(rows, classes[:, None], axis=-1)[:, 0]
    losses = -where(valid, picked, 0) * row_weights
    return _reduce_rows(losses, row_weights, classes_shape=log_probabilities.shape[:-1], reduction=reduction)


def _plain(target: Array) -> Any:
    return target.numpy() if hasattr(target, "numpy") else target


def _class_weights(caller: str, weight: Array | None, logits: Array) -> np.ndarray | None:
    if weight is None:
        return None
    factors = np.asarray(_plain(weight), logits.dtype)
    if factors.shape != logits.shape[-1:]:
        raise ShapeError(
            f"{caller}: expected a weight per class, shape {logits.shape[-1:]}, got {factors.shape}; reshape it."
        )
    return factors


def _check_classes(caller: str, logits: Array, target: Array, ignore_index: int) -> tuple[np.ndarray, np.ndarray]:
    """Return flat class indices, 0 where ignored, and where they count."""
    classes = np.asarray(_plain(target))
    if classes.dtype.kind not in "iu":
        raise DtypeError(
            f"{caller}: expected integer class indices of shape {logits.shape[:-1]} or probabilities of shape "
            f"{logits.shape}, got {classes.shape} {classes.dtype}; cast indices with astype('int64')."
        )
    if classes.shape != logits.shape[:-1]:
        raise ShapeError(
            f"{caller}: expected class indices of shape {logits.shape[:-1]} for logits {logits.shape}, got "
            f"{classes.shape}; the class axis of the logits is the last one."
        )
    classes = classes.reshape(-1).astype(np.int64)
    valid = classes != ignore_index
    classes[~valid] = 0
    bad = (classes < 0) | (classes >= logits.shape[-1])
    if bad.any():
        raise IndexRangeError(
            f"{caller}: expected class indices in [0, {logits.shape[-1]}) or ignore_index={ignore_index}, got "
            f"{classes[bad][0]}; check the vocabulary against the size of the output layer."
        )
    return classes, valid


def _reduce_rows(losses: Array, row_weights: np.ndarray, classes_shape: tuple[int, ...], reduction: str) -> Array:
    if reduction == "none":
        return reshape(losses, classes_shape)
    total = sum(losses)
    return total / (float(row_weights.sum()) or 1.0) if reduction == "mean" else total


# ---------------------------------------------------------------------------------- two classes, many labels

# As in PyTorch: the log is no smaller than -100, and its slope no larger than 1e12, so that 0 and 1 stay usable.
_clamped_log = Primitive(
    "clamped_log",
    lambda x: np.maximum(np.log(x, where=x > 0, out=np.full_like(x, -100)), -100),
    (lambda g, _y, x: g / maximum(x, 1e-12),),
)


def binary_cross_entropy(
    probability: Array, target: Array, weight: Array | None = None, reduction: str = "mean"
) -> Array:
    """Return ``-(t log p + (1 - t) log(1 - p))``: the notes' logistic loss, of probabilities and equal-shaped targets.

    Logs are taken as no smaller than -100. Prefer `binary_cross_entropy_with_logits`, which loses no digits.

    Raises
    ------
    ArgumentError
        If a probability lies outside [0, 1].
    """
    target = _check("binary_cross_entropy", probability, target, reduction)
    values = _plain(probability)
    if values.size and not (values.min() >= 0 and values.max() <= 1):
        raise ArgumentError(
            f"binary_cross_entropy: expected probabilities in [0, 1], got values from {values.min()} to "
            f"{values.max()}; apply sigmoid, or use binary_cross_entropy_with_logits."
        )
    losses = -(target * _clamped_log(probability) + (1 - target) * _clamped_log(1 - probability))
    return _reduce(losses if weight is None else losses * weight, reduction)


def binary_cross_entropy_with_logits(
    logits: Array,
    target: Array,
    weight: Array | None = None,
    pos_weight: Array | None = None,
    reduction: str = "mean",
) -> Array:
    """Return the binary cross entropy of ``sigmoid(logits)`` and equal-shaped targets, exact for logits of any size.

    `weight` multiplies each loss and `pos_weight` the part of positive targets; both broadcast.
    """
    target = _check("binary_cross_entropy_with_logits", logits, target, reduction)
    if pos_weight is None:
        losses = softplus(logits) - logits * target
    else:
        losses = (1 - target) * logits + ((pos_weight - 1) * target + 1) * softplus(-logits)
    return _reduce(losses if weight is None else losses * weight, reduction)


# ---------------------------------------------------------------------------------------------- regression


def mse_loss(prediction: Array, target: Array, reduction: str = "mean") -> Array:
    """Return ``(prediction - target)**2`` of equal shapes."""
    target = _check("mse_loss", prediction, target, reduction)
    return _reduce(square(prediction - target), reduction)


def l1_loss(prediction: Array, target: Array, reduction: str = "mean") -> Array:
    """Return ``|prediction - target|`` of equal shapes."""
    target = _check("l1_loss", prediction, target, reduction)
    return _reduce(abs(prediction - target), reduction)


def huber_loss(prediction: Array, target: Array, reduction: str = "mean", delta: float = 1.0) -> Array:
    """Return ``d**2 / 2`` where ``d = |prediction - target| < delta`` and ``delta * (d - delta / 2)`` beyond."""
    target = _check("huber_loss", prediction, target, reduction)
    if delta <= 0:
        raise ArgumentError(f"huber_loss: expected delta > 0, got {delta}; use e.g. 1.0.")
    distance = abs(prediction - target)
    return _reduce(where(less(distance, delta), square(distance) * 0.5, (distance - 0.5 * delta) * delta), reduction)


def smooth_l1_loss(prediction: Array, target: Array, reduction: str = "mean", beta: float = 1.0) -> Array:
    """Return `huber_loss` with ``delta=beta``, divided by `beta`; with ``beta=0`` it is `l1_loss`."""
    if beta < 0:
        raise ArgumentError(f"smooth_l1_loss: expected beta >= 0, got {beta}; use e.g. 1.0.")
    if beta == 0:
        return l1_loss(prediction, target, reduction)
    return huber_loss(prediction, target, reduction, delta=beta) / beta


def kl_div(log_probabilities: Array, target: Array, reduction: str = "mean", log_target: bool = False) -> Array:
    """Return ``t * (log t - log_probabilities)``, the pointwise Kullback-Leibler divergence from equal-shaped targets.

    `target` holds probabilities, or their logs if `log_target`. ``reduction="batchmean"`` divides the sum by the first
    axis, which is the divergence per example.
    """
    _check_reduction("kl_div", reduction, (*_REDUCTIONS, "batchmean"))
    target = _check("kl_div", log_probabilities, target, "none")
    if log_target:
        losses = exp(target) * (target - log_probabilities)
    else:
        positive = _plain(target) > 0
        losses = where(positive, target * (log(where(positive, target, 1)) - log_probabilities), 0)
    if reduction == "batchmean":
        return sum(losses) / losses.shape[0]
    return _reduce(losses, reduction)
