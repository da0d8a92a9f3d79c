"""Losses: how far a prediction is from its target, averaged, summed or one by one; stable at the ends of the range."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np

from ..errors import ArgumentError, ShapeError
from .arithmetic import abs, clip, maximum, square
from .casting import as_array
from .comparison import where
from .compiled_forward import as_rows, row_kernel, writable
from .exponential import exp, log, softplus
from .gathering import take_along_axis
from .limits import scaled
from .normalisation import log_softmax, softmax, softmax_pull
from .one_hot import one_hot
from .primitive import Array, Primitive
from .public import Public, named
from .reduction import mean, sum
from .shape import broadcast_to, expand_dims, reshape
from .targets import (
    REDUCTIONS,
    as_dtype_of,
    check_classes,
    check_prediction,
    check_range,
    check_reduction,
    check_target,
    class_weights,
    classes_last,
    counting,
)


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


def check_smoothing(caller: str, label_smoothing: float) -> None:
    """Refuse a share that is not in [0, 1]."""
    if not 0 <= label_smoothing <= 1:
        raise ArgumentError(f"{caller}: expected label_smoothing in [0, 1], got {label_smoothing}; use e.g. 0.1.")


@Public(method=False)
def cross_entropy(
    logits: Array,
    target: Array,
    weight: Array | None = None,
    ignore_index: int = -100,
    reduction: str = "mean",
    label_smoothing: float = 0.0,
    *,
    axis: int | None = None,
) -> Array:
    """Return ``-sum_k q_k log softmax(logits)_k``, the cross entropy of a target distribution and logits.

    Parameters
    ----------
    logits : array_like
        Unnormalised log-probabilities (..., V), or (N, V, ...) as in PyTorch; see `axis`.
    target : array_like
        Class indices (...), integers; or probabilities of the shape of `logits`, floating-point, in [0, 1].
    weight : array_like, default None
        A factor per class (V,).
    ignore_index : int, default -100
        Examples with this class index are ignored, whatever their logits are, NaN included: their loss is 0 and so
        are all its derivatives. The same holds for rows whose class has weight 0, and for classes of probability 0.
    reduction : str, default "mean"
        ``"mean"`` (over rows, weighted by their class's `weight`; 0 if every row is ignored), ``"sum"`` or ``"none"``.
    label_smoothing : float, default 0.0
        The share, in [0, 1], of the target that is spread evenly over the classes.
    axis : int, default None
        The axis of the classes. None takes the last one, or axis 1 if only that fits the target, of which probabilities
        add up to 1 along the classes.

    Returns
    -------
    Tensor
        A number, or the loss of each row (...) with ``reduction="none"``.

    Raises
    ------
    ShapeError, DtypeError, IndexRangeError, ArgumentError
        If the target does not fit the logits, or an option is out of range. Inside a compiled scan the values of target
        probabilities are not known, and not checked.

    Examples
    --------
    >>> import tinygrad_seq as ts
    >>> ts.cross_entropy(ts.zeros((2, 4)), [1, 3]).item()  # ln 4
    1.3862943649291992
    """
    check_reduction("cross_entropy", reduction)
    check_smoothing("cross_entropy", label_smoothing)
    if not logits.ndim:
        raise ShapeError("cross_entropy: expected logits of shape (..., V), got a 0-d array; add the class axis.")
    check_prediction("cross_entropy", logits)
    shape = logits.shape
    logits = classes_last("cross_entropy", logits, target, axis)
    count = logits.shape[-1]
    factors = class_weights("cross_entropy", weight, logits)
    target = as_array(target)
    if target.shape == shape and target.dtype.kind == "f":
        target = classes_last("cross_entropy", target, target, axis)
        check_range("cross_entropy", "target probabilities", target, 0, 1, "normalise them, or pass class indices")
        smooth = as_dtype_of(logits, target)
        if label_smoothing:
            smooth = smooth * (1 - label_smoothing) + label_smoothing / count
        smooth = smooth if factors is None else smooth * factors
        return _reduce(-sum(scaled(smooth, log_softmax(logits, axis=-1)), axis=-1), reduction)
    classes, valid = check_classes("cross_entropy", logits, target, ignore_index)
    rows = logits if logits.ndim == 2 else reshape(logits, (-1, count))
    if factors is None and not label_smoothing and np.count_nonzero(valid) == valid.size:
        losses = _nll(rows, classes)
        return reshape(losses, logits.shape[:-1]) if reduction == "none" else _reduce(losses, reduction)
    row_weights = (valid if factors is None else valid * factors[classes]).astype(logits.dtype)
    counted = valid if label_smoothing else row_weights != 0
    rows = where(counted[:, None], rows, 0)  # what does not count is not computed with
    losses = scaled(row_weights * (1 - label_smoothing), _nll(rows, classes))
    if label_smoothing:
        share = np.where(valid[:, None], 1.0 if factors is None else factors, 0).astype(logits.dtype)
        losses = losses - sum(scaled(share * (label_smoothing / count), log_softmax(rows, axis=-1)), axis=-1)
    return _reduce_rows(losses, row_weights, classes_shape=logits.shape[:-1], reduction=reduction)


@Public(method=False)
def nll_loss(
    log_probabilities: Array,
    target: Array,
    weight: Array | None = None,
    ignore_index: int = -100,
    reduction: str = "mean",
    *,
    axis: int | None = None,
) -> Array:
    """Return the negative log-likelihood of class indices `target` (...) under log-probabilities (..., V).

    The options are those of `cross_entropy`, which takes logits.

    Parameters
    ----------
    log_probabilities : array_like
        (..., V), or (N, V, ...) as in PyTorch; see `axis`.
    target : array_like
        Class indices (...), integers.
    weight : array_like, default None
        A factor per class (V,).
    ignore_index : int, default -100
        Examples with this class index are ignored.
    reduction : str, default "mean"
        ``"mean"``, ``"sum"`` or ``"none"``.
    axis : int, default None
        The axis of the classes. None takes the last one, or axis 1 if only that fits the target.

    Returns
    -------
    Tensor
        A number, or the loss of each row (...) with ``reduction="none"``.

    Raises
    ------
    ShapeError, DtypeError, IndexRangeError, ArgumentError
        If the target does not fit the log-probabilities, or an option is out of range.

    Examples
    --------
    >>> import tinygrad_seq as ts
    >>> ts.nll_loss(ts.log([[0.5, 0.25, 0.25]]), [1])
    tensor(1.3863)
    """
    check_reduction("nll_loss", reduction)
    check_prediction("nll_loss", log_probabilities)
    log_probabilities = classes_last("nll_loss", log_probabilities, target, axis)
    factors = class_weights("nll_loss", weight, log_probabilities)
    classes, valid = check_classes("nll_loss", log_probabilities, target, ignore_index)
    rows = reshape(log_probabilities, (-1, log_probabilities.shape[-1]))
    row_weights = (valid if factors is None else valid * factors[classes]).astype(log_probabilities.dtype)
    losses = -scaled(row_weights, take_along_axis(rows, classes[:, None], axis=-1)[:, 0])
    return _reduce_rows(losses, row_weights, classes_shape=log_probabilities.shape[:-1], reduction=reduction)


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


def _weighted(
    loss: Callable[[Array, Array], Array],
    prediction: Array,
    target: Array,
    weight: Array | None,
    counted: Array | None,
    reduction: str,
) -> Array:
    """Return the losses times `weight`; entries that are not `counted` are 0, and so are all their derivatives."""
    if weight is None or counted is None:
        return _reduce(loss(prediction, target), reduction)
    losses = loss(where(counted, prediction, 0), where(counted, target, 0))
    return _reduce(where(counted, losses, 0) * weight, reduction)


@Public(method=False)
def binary_cross_entropy(
    probability: Array, target: Array, weight: Array | None = None, reduction: str = "mean"
) -> Array:
    """Return ``-(t log p + (1 - t) log(1 - p))``: the logistic loss, of probabilities and equal-shaped targets.

    Logs are taken as no smaller than -100. Prefer `binary_cross_entropy_with_logits`, which loses no digits.

    Parameters
    ----------
    probability : array_like
        Of any shape, in [0, 1].
    target : array_like
        Of the same shape, in [0, 1].
    weight : array_like, default None
        A factor per loss, which broadcasts. An entry of weight 0 is 0 whatever it holds, NaN included.
    reduction : str, default "mean"
        ``"mean"``, ``"sum"`` or ``"none"``.

    Returns
    -------
    Tensor
        A number, or the loss of each element with ``reduction="none"``.

    Raises
    ------
    ArgumentError
        If a probability or a target lies outside [0, 1] or is NaN. Values are not checked inside a compiled scan,
        where they are not known.
    ShapeError, DtypeError
        If the shapes differ, or probabilities are not floating-point.

    Examples
    --------
    >>> import tinygrad_seq as ts
    >>> ts.binary_cross_entropy(ts.tensor([0.5, 0.5]), [1, 0]).item()  # ln 2
    0.6931471824645996
    """
    target = check_target("binary_cross_entropy", probability, target, reduction)
    weight = None if weight is None else as_dtype_of(probability, weight)
    counted = counting(weight, probability, target)
    todo = "apply sigmoid, or use binary_cross_entropy_with_logits"
    check_range("binary_cross_entropy", "probabilities", probability, 0, 1, todo, counted, rounding=0)
    check_range("binary_cross_entropy", "targets", target, 0, 1, _BINARY, counted)

    def loss(p: Array, t: Array) -> Array:
        return -(t * _clamped_log(p) + (1 - t) * _clamped_log(1 - p))

    return _weighted(loss, probability, target, weight, counted, reduction)


_BINARY = "pass 0, 1 or a probability, and give weight 0 to what is missing"


@Public(method=False)
def binary_cross_entropy_with_logits(
    logits: Array,
    target: Array,
    weight: Array | None = None,
    pos_weight: Array | None = None,
    reduction: str = "mean",
) -> Array:
    """Return the binary cross entropy of ``sigmoid(logits)`` and equal-shaped targets, exact for logits of any size.

    Parameters
    ----------
    logits : array_like
        Of any shape; ±inf is allowed.
    target : array_like
        Of the same shape, in [0, 1].
    weight : array_like, default None
        A factor per loss, which broadcasts. An entry of weight 0 is 0 whatever it holds, NaN included.
    pos_weight : array_like, default None
        A factor of the part of positive targets, which broadcasts.
    reduction : str, default "mean"
        ``"mean"``, ``"sum"`` or ``"none"``.

    Returns
    -------
    Tensor
        A number, or the loss of each element with ``reduction="none"``.

    Raises
    ------
    ArgumentError
        If a target lies outside [0, 1] or is NaN. Values are not checked inside a compiled scan, where they are not
        known.
    ShapeError, DtypeError
        If the shapes differ, or logits are not floating-point.

    Examples
    --------
    >>> import tinygrad_seq as ts
    >>> ts.binary_cross_entropy_with_logits(ts.tensor([0.0, -ts.inf]), [1, 0], reduction="none")
    tensor([0.6931472, 0.       ])
    """
    target = check_target("binary_cross_entropy_with_logits", logits, target, reduction)
    weight = None if weight is None else as_dtype_of(logits, weight)
    counted = counting(weight, logits, target)
    check_range("binary_cross_entropy_with_logits", "targets", target, 0, 1, _BINARY, counted)

    def loss(x: Array, t: Array) -> Array:
        positive = t if pos_weight is None else t * as_dtype_of(x, pos_weight)
        return scaled(positive, softplus(-x)) + scaled(1 - t, softplus(x))

    return _weighted(loss, logits, target, weight, counted, reduction)


# ---------------------------------------------------------------------------------------------- regression


@Public(method=False)
def mse_loss(prediction: Array, target: Array, reduction: str = "mean") -> Array:
    """Return ``(prediction - target)**2`` of equal shapes.

    Parameters
    ----------
    prediction : array_like
        Floating-point numbers of any shape.
    target : array_like
        Numbers of the same shape.
    reduction : str, default "mean"
        ``"mean"``, ``"sum"`` or ``"none"``.

    Returns
    -------
    Tensor
        A number, or the loss of each element with ``reduction="none"``.

    Raises
    ------
    ShapeError, DtypeError, ArgumentError
        If the shapes differ, predictions are not floating-point, or the reduction is unknown.

    Examples
    --------
    >>> import tinygrad_seq as ts
    >>> ts.mse_loss([1.0, 2.0], [3.0, 2.0])
    tensor(2.)
    """
    target = check_target("mse_loss", prediction, target, reduction)
    return _reduce(square(prediction - target), reduction)


@Public(method=False)
def l1_loss(prediction: Array, target: Array, reduction: str = "mean") -> Array:
    """Return ``|prediction - target|`` of equal shapes.

    Parameters
    ----------
    prediction : array_like
        Floating-point numbers of any shape.
    target : array_like
        Numbers of the same shape.
    reduction : str, default "mean"
        ``"mean"``, ``"sum"`` or ``"none"``.

    Returns
    -------
    Tensor
        A number, or the loss of each element with ``reduction="none"``.

    Raises
    ------
    ShapeError, DtypeError, ArgumentError
        If the shapes differ, predictions are not floating-point, or the reduction is unknown.

    Examples
    --------
    >>> import tinygrad_seq as ts
    >>> ts.l1_loss([1.0, 2.0], [4.0, 2.0])
    tensor(1.5)
    """
    target = check_target("l1_loss", prediction, target, reduction)
    return _reduce(abs(prediction - target), reduction)


@Public(method=False)
def huber_loss(prediction: Array, target: Array, reduction: str = "mean", delta: float = 1.0) -> Array:
    """Return ``d**2 / 2`` where ``d = |prediction - target| <= delta`` and ``delta * (d - delta / 2)`` beyond.

    Parameters
    ----------
    prediction : array_like
        Floating-point numbers of any shape.
    target : array_like
        Numbers of the same shape.
    reduction : str, default "mean"
        ``"mean"``, ``"sum"`` or ``"none"``.
    delta : float, default 1.0
        Where the loss turns from a square into a straight line, above 0.

    Returns
    -------
    Tensor
        A number, or the loss of each element with ``reduction="none"``.

    Raises
    ------
    ShapeError, DtypeError, ArgumentError
        If the shapes differ, predictions are not floating-point, or an option is out of range.

    Examples
    --------
    >>> import tinygrad_seq as ts
    >>> ts.huber_loss([0.5, 4.0], [0.0, 0.0], reduction="none")
    tensor([0.125, 3.5  ])
    """
    target = check_target("huber_loss", prediction, target, reduction)
    if not delta > 0:
        raise ArgumentError(f"huber_loss: expected delta > 0, got {delta}; use e.g. 1.0.")
    distance = prediction - target
    near = clip(distance, -delta, delta)
    return _reduce(near * (distance - near * 0.5), reduction)


@Public(method=False)
@named
def smooth_l1_loss(prediction: Array, target: Array, reduction: str = "mean", beta: float = 1.0) -> Array:
    """Return `huber_loss` with ``delta=beta``, divided by `beta`; with ``beta=0`` it is `l1_loss`.

    Parameters
    ----------
    prediction : array_like
        Floating-point numbers of any shape.
    target : array_like
        Numbers of the same shape.
    reduction : str, default "mean"
        ``"mean"``, ``"sum"`` or ``"none"``.
    beta : float, default 1.0
        Where the loss turns from a square into a straight line, 0 or more.

    Returns
    -------
    Tensor
        A number, or the loss of each element with ``reduction="none"``.

    Raises
    ------
    ShapeError, DtypeError, ArgumentError
        If the shapes differ, predictions are not floating-point, or an option is out of range.

    Examples
    --------
    >>> import tinygrad_seq as ts
    >>> ts.smooth_l1_loss([0.5, 4.0], [0.0, 0.0], reduction="none", beta=2.0)
    tensor([0.0625, 3.    ])
    """
    if not beta >= 0:
        raise ArgumentError(f"smooth_l1_loss: expected beta >= 0, got {beta}; use e.g. 1.0.")
    if beta == 0:
        return l1_loss(prediction, target, reduction)
    return huber_loss(prediction, target, reduction, delta=beta) / beta


@Public(method=False)
def pinball_loss(
    prediction: Array, target: Array, quantile: float | Sequence[float] = 0.5, reduction: str = "mean"
) -> Array:
    """Return ``max(q * d, (q - 1) * d)`` with ``d = target - prediction``: least for the q-quantile of the target.

    Parameters
    ----------
    prediction : array_like
        Floating-point numbers of any shape; (..., Q) for Q quantiles, in their order.
    target : array_like
        Numbers of the same shape; (...) for several quantiles.
    quantile : float or sequence of float, default 0.5
        q, or Q values of it, between 0 and 1. With 0.5 the loss is half the absolute error.
    reduction : str, default "mean"
        ``"mean"``, ``"sum"`` or ``"none"``.

    Returns
    -------
    Tensor
        A number, or the loss of each predicted number with ``reduction="none"``.

    Raises
    ------
    ShapeError, DtypeError, ArgumentError
        If the shapes do not fit, predictions are not floating-point, or an option is out of range.

    Examples
    --------
    >>> import tinygrad_seq as ts
    >>> ts.pinball_loss([1.0, 1.0], [3.0, 0.0], 0.75, reduction="none")
    tensor([1.5 , 0.25])
    >>> ts.pinball_loss([[0.0, 0.5, 2.0]], [1.0], [0.25, 0.5, 0.75], reduction="none")
    tensor([[0.25, 0.25, 0.25]])
    """
    check_prediction("pinball_loss", prediction)
    try:
        levels = np.asarray(quantile, prediction.dtype)
    except (TypeError, ValueError):
        levels = np.full((), np.nan)
    if levels.ndim > 1 or not levels.size or not ((levels > 0) & (levels < 1)).all():
        raise ArgumentError(f"pinball_loss: expected quantiles between 0 and 1, got {quantile!r:.80}; pass e.g. 0.9.")
    if levels.ndim:
        target = as_array(target)
        if prediction.shape != (*target.shape, levels.size):
            raise ShapeError(
                f"pinball_loss: expected a prediction (..., {levels.size}) of {levels.size} quantiles and a target "
                f"(...), got {prediction.shape} and {target.shape}; the last axis is that of the quantiles."
            )
        target = broadcast_to(expand_dims(target, -1), prediction.shape)
    target = check_target("pinball_loss", prediction, target, reduction)
    missed = target - prediction
    return _reduce(maximum(missed * levels, missed * (levels - 1)), reduction)


# As in PyTorch: the variance is at least eps, and its gradient passes as if it were not raised.
_at_least = Primitive("at_least", np.maximum, (lambda g, _y, _x, _least: g, None))


@Public(method=False)
def gaussian_nll_loss(
    prediction: Array,
    target: Array,
    var: Array,
    full: bool = False,
    eps: float = 1e-6,
    reduction: str = "mean",
) -> Array:
    """Return ``(log var + (prediction - target)**2 / var) / 2``: the loss of predicted means and variances.

    Parameters
    ----------
    prediction : array_like
        The means, floating-point numbers of any shape.
    target : array_like
        Numbers of the same shape.
    var : array_like
        The variances, 0 or more: of the same shape, or one for all numbers of the last axis, (..., 1) or (...).
    full : bool, default False
        Whether to add ``log(2 pi) / 2``, which makes it the negative log-likelihood.
    eps : float, default 1e-6
        The least variance, above 0; smaller ones count as `eps`, and their gradient passes unchanged.
    reduction : str, default "mean"
        ``"mean"``, ``"sum"`` or ``"none"``.

    Returns
    -------
    Tensor
        A number, or the loss of each element with ``reduction="none"``.

    Raises
    ------
    ArgumentError
        If a variance is negative or NaN (not checked inside a compiled scan), or an option is out of range.
    ShapeError, DtypeError
        If the shapes do not fit, or means are not floating-point.

    Examples
    --------
    >>> import tinygrad_seq as ts
    >>> ts.gaussian_nll_loss([0.0, 2.0], [0.0, 0.0], [1.0, 4.0], full=True, reduction="none")  # 4 is the square of 2
    tensor([0.9189385, 2.1120858])
    """
    target = check_target("gaussian_nll_loss", prediction, target, reduction)
    if not eps > 0:
        raise ArgumentError(f"gaussian_nll_loss: expected eps > 0, got {eps!r:.40}; use e.g. 1e-6.")
    var = as_dtype_of(prediction, var)
    if var.shape != prediction.shape and var.shape == prediction.shape[:-1]:
        var = expand_dims(var, -1)
    if var.shape not in (prediction.shape, (*prediction.shape[:-1], 1)):
        raise ShapeError(
            f"gaussian_nll_loss: expected var of the prediction's shape {prediction.shape}, or (..., 1) or (...) "
            f"without the last axis, got {var.shape}; reshape it."
        )
    most = float(np.finfo(var.dtype).max)
    check_range(
        "gaussian_nll_loss", "variances", var, 0, most, "apply exp or softplus to what the model returns", None, 0
    )
    var = _at_least(var, np.asarray(eps, var.dtype))
    losses = (log(var) + square(prediction - target) / var) * 0.5
    return _reduce(losses + 0.5 * math.log(2 * math.pi) if full else losses, reduction)


@Public(method=False)
def kl_div(log_probabilities: Array, target: Array, reduction: str = "mean", log_target: bool = False) -> Array:
    """Return ``t * (log t - log_probabilities)``, the pointwise Kullback-Leibler divergence from equal-shaped targets.

    `target` holds probabilities, or their logs if `log_target`; where it is 0 the divergence and its derivatives are 0.
    ``reduction="batchmean"`` divides the sum by the first axis, which is the divergence per example.

    Parameters
    ----------
    log_probabilities : array_like
        Floating-point numbers of any shape.
    target : array_like
        Probabilities of the same shape, or their logs.
    reduction : str, default "mean"
        ``"mean"``, ``"batchmean"``, ``"sum"`` or ``"none"``.
    log_target : bool, default False
        Whether `target` holds logs.

    Returns
    -------
    Tensor
        A number, or the divergence of each element with ``reduction="none"``.

    Raises
    ------
    ArgumentError
        If a target is negative, +inf or NaN, or a log +inf or NaN (not checked inside a compiled scan).
    ShapeError, DtypeError
        If the shapes differ, or log-probabilities are not floating-point.

    Examples
    --------
    >>> import tinygrad_seq as ts
    >>> ts.kl_div(ts.log([0.5, 0.5]), [0.25, 0.75], reduction="sum")
    tensor(0.1308)
    """
    check_reduction("kl_div", reduction, (*REDUCTIONS, "batchmean"))
    target = check_target("kl_div", log_probabilities, target, "none")
    most = float(np.finfo(target.dtype).max)
    if log_target:
        check_range("kl_div", "logs of target probabilities", target, -np.inf, most, "pass log_softmax of logits")
        possible = target > -np.inf
        log_share = where(possible, target, 0)
        share = exp(log_share)
    else:
        check_range("kl_div", "target probabilities", target, 0, most, "pass log_target=True if they are logs")
        possible = target > 0
        share = where(possible, target, 1)
        log_share = log(share)
    losses = where(possible, share * (log_share - where(possible, log_probabilities, 0)), 0)
    if reduction == "batchmean":
        return sum(losses) / losses.shape[0]
    return _reduce(losses, reduction)
