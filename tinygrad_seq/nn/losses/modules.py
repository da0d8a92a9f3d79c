"""Losses as modules. Each calls the function of `nn.functional` that its docstring names."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike

from ...autograd.creation import asarray
from ...autograd.tensor import Tensor
from ...errors import ArgumentError
from ...ops import losses
from ..module.module import Module
from ..module.parameter import Buffer
from ..pytorch_functions import cross_entropy, nll_loss
from .sequence_loss import sequence_cross_entropy

__all__ = [
    "BCELoss",
    "BCEWithLogitsLoss",
    "CrossEntropyLoss",
    "GaussianNLLLoss",
    "HuberLoss",
    "KLDivLoss",
    "L1Loss",
    "MSELoss",
    "NLLLoss",
    "PinballLoss",
    "SequenceCrossEntropyLoss",
    "SmoothL1Loss",
]


class _Weighted(Module):
    """Base of losses with factors, which are buffers, as in PyTorch: saved and cast with the module."""

    weight: Buffer | None
    pos_weight: Buffer | None

    def _set_factor(self, name: str, factor: ArrayLike | None) -> None:
        if isinstance(factor, np.ndarray):  # which a Buffer would make float32
            factor = asarray(factor)
        setattr(self, name, None if factor is None else Buffer(factor))

    def _set_ignored(self, ignore_index: int) -> None:
        if isinstance(ignore_index, bool) or not isinstance(ignore_index, int | np.integer):
            raise ArgumentError(
                f"{type(self).__name__}: expected ignore_index to be an integer, got {ignore_index!r}; write "
                "reduction='sum' for the size_average=False of old PyTorch code."
            )
        self.ignore_index = ignore_index


class CrossEntropyLoss(_Weighted):
    """Cross entropy of logits (..., V) with class indices (...) or probabilities (..., V); see `cross_entropy`.

    Parameters
    ----------
    weight : array_like, optional
        (V,), a factor per class.
    ignore_index : int, default -100
        The class index of targets to ignore.
    reduction : {"mean", "sum", "none"}, default "mean"
        How to combine the losses; a mean is weighted by `weight`.
    label_smoothing : float, default 0.0
        The share, in [0, 1], of each target that is spread evenly over the classes.
    axis : int, optional
        The axis of the classes. By default the last one, or axis 1 if only that fits the target.

    Raises
    ------
    ArgumentError
        If `ignore_index` is not an integer.

    Examples
    --------
    >>> import tinygrad_seq as ts
    >>> ts.nn.CrossEntropyLoss()(ts.zeros((2, 4)), [1, 3]).item()  # ln 4
    1.3862943649291992
    """

    def __init__(
        self,
        weight: ArrayLike | None = None,
        ignore_index: int = -100,
        reduction: str = "mean",
        label_smoothing: float = 0.0,
        *,
        axis: int | None = None,
    ) -> None:
        self._set_factor("weight", weight)
        self._set_ignored(ignore_index)
        self.reduction, self.label_smoothing, self.axis = reduction, label_smoothing, axis

    def forward(self, logits: ArrayLike, target: ArrayLike) -> Tensor:
        return cross_entropy(
            logits, target, self.weight, self.ignore_index, self.reduction, self.label_smoothing, axis=self.axis
        )


class SequenceCrossEntropyLoss(Module):
    """Cross entropy of logits (T, N, V) with class indices (T, N), over valid steps; see `sequence_cross_entropy`.

    Parameters
    ----------
    reduction : {"mean", "sum", "none"}, default "mean"
        ``"mean"`` over the valid steps; ``"sum"`` over time, averaged over sequences; ``"none"``, one per step.
    batch_first : bool, default False
        Whether arrays are (N, T, ...) instead of (T, N, ...).
    weight : array_like, optional
        (V,), a factor per class.
    ignore_index : int, default -100
        The class index of targets to ignore.
    label_smoothing : float, default 0.0
        The share, in [0, 1], of each target that is spread evenly over the classes.

    Examples
    --------
    >>> import tinygrad_seq as ts
    >>> loss = ts.nn.SequenceCrossEntropyLoss(reduction="sum")
    >>> loss(ts.zeros((3, 2, 4)), [[1, 3], [2, -1], [0, -1]], lengths=[3, 1]).item()  # (3 + 1) / 2 ln 4
    2.7725887298583984
    """

    def __init__(
        self,
        reduction: str = "mean",
        batch_first: bool = False,
        weight: ArrayLike | None = None,
        ignore_index: int = -100,
        label_smoothing: float = 0.0,
    ) -> None:
        self.reduction, self.batch_first, self.weight = reduction, batch_first, weight
        self.ignore_index, self.label_smoothing = ignore_index, label_smoothing

    def forward(
        self, logits: ArrayLike, target: ArrayLike, lengths: ArrayLike | None = None, mask: ArrayLike | None = None
    ) -> Tensor:
        return sequence_cross_entropy(
            logits,
            target,
            lengths,
            mask,
            self.reduction,
            self.batch_first,
            self.weight,
            self.ignore_index,
            self.label_smoothing,
        )


class NLLLoss(_Weighted):
    """Negative log-likelihood of class indices (...) under log-probabilities (..., V); see `nll_loss`.

    Parameters
    ----------
    weight : array_like, optional
        (V,), a factor per class.
    ignore_index : int, default -100
        The class index of targets to ignore.
    reduction : {"mean", "sum", "none"}, default "mean"
        How to combine the losses; a mean is weighted by `weight`.
    axis : int, optional
        The axis of the classes. By default the last one, or axis 1 if only that fits the target.

    Raises
    ------
    ArgumentError
        If `ignore_index` is not an integer.

    Examples
    --------
    >>> import tinygrad_seq as ts
    >>> ts.nn.NLLLoss()(ts.log_softmax(ts.zeros((2, 4))), [1, 3])  # ln 4
    tensor(1.3862944)
    """

    def __init__(
        self,
        weight: ArrayLike | None = None,
        ignore_index: int = -100,
        reduction: str = "mean",
        *,
        axis: int | None = None,
    ) -> None:
        self._set_factor("weight", weight)
        self._set_ignored(ignore_index)
        self.reduction, self.axis = reduction, axis

    def forward(self, log_probabilities: ArrayLike, target: ArrayLike) -> Tensor:
        return nll_loss(log_probabilities, target, self.weight, self.ignore_index, self.reduction, axis=self.axis)


class BCELoss(_Weighted):
    """Binary cross entropy of probabilities and targets in [0, 1], of one shape; see `binary_cross_entropy`.

    Parameters
    ----------
    weight : array_like, optional
        A factor per element, broadcast against the losses.
    reduction : {"mean", "sum", "none"}, default "mean"
        How to combine the losses; ``"none"`` returns one per element.

    Examples
    --------
    >>> import tinygrad_seq as ts
    >>> ts.nn.BCELoss()(ts.tensor([0.5, 0.5]), [1.0, 0.0])  # ln 2
    tensor(0.6931472)
    """

    def __init__(self, weight: ArrayLike | None = None, reduction: str = "mean") -> None:
        self._set_factor("weight", weight)
        self.reduction = reduction

    def forward(self, probability: ArrayLike, target: ArrayLike) -> Tensor:
        return losses.binary_cross_entropy(probability, target, self.weight, self.reduction)


class BCEWithLogitsLoss(_Weighted):
    """Binary cross entropy of logits and targets in [0, 1]; see `binary_cross_entropy_with_logits`.

    Parameters
    ----------
    weight : array_like, optional
        A factor per element, broadcast against the losses.
    reduction : {"mean", "sum", "none"}, default "mean"
        How to combine the losses; ``"none"`` returns one per element.
    pos_weight : array_like, optional
        A factor of the loss of positive targets, broadcast against the logits.

    Examples
    --------
    >>> import tinygrad_seq as ts
    >>> ts.nn.BCEWithLogitsLoss()(ts.tensor([0.0, 0.0]), [1.0, 0.0])  # ln 2
    tensor(0.6931472)
    """

    def __init__(
        self, weight: ArrayLike | None = None, reduction: str = "mean", pos_weight: ArrayLike | None = None
    ) -> None:
        self._set_factor("weight", weight)
        self._set_factor("pos_weight", pos_weight)
        self.reduction = reduction

    def forward(self, logits: ArrayLike, target: ArrayLike) -> Tensor:
        return losses.binary_cross_entropy_with_logits(logits, target, self.weight, self.pos_weight, self.reduction)


class MSELoss(Module):
    """Squared error of predictions and targets of one shape; see `mse_loss`.

    Parameters
    ----------
    reduction : {"mean", "sum", "none"}, default "mean"
        How to combine the losses; ``"none"`` returns one per element.

    Examples
    --------
    >>> import tinygrad_seq as ts
    >>> ts.nn.MSELoss()(ts.tensor([1.0, 3.0]), [0.0, 0.0])
    tensor(5.)
    """

    def __init__(self, reduction: str = "mean") -> None:
        self.reduction = reduction

    def forward(self, prediction: ArrayLike, target: ArrayLike) -> Tensor:
        return losses.mse_loss(prediction, target, self.reduction)


class L1Loss(Module):
    """Absolute error of predictions and targets of one shape; see `l1_loss`.

    Parameters
    ----------
    reduction : {"mean", "sum", "none"}, default "mean"
        How to combine the losses; ``"none"`` returns one per element.

    Examples
    --------
    >>> import tinygrad_seq as ts
    >>> ts.nn.L1Loss()(ts.tensor([1.0, 3.0]), [0.0, 0.0])
    tensor(2.)
    """

    def __init__(self, reduction: str = "mean") -> None:
        self.reduction = reduction

    def forward(self, prediction: ArrayLike, target: ArrayLike) -> Tensor:
        return losses.l1_loss(prediction, target, self.reduction)


class SmoothL1Loss(Module):
    """Huber loss divided by `beta`: squared for errors below `beta`, absolute above; see `smooth_l1_loss`.

    Parameters
    ----------
    reduction : {"mean", "sum", "none"}, default "mean"
        How to combine the losses; ``"none"`` returns one per element.
    beta : float, default 1.0
        The error at which the loss becomes linear, >= 0.

    Examples
    --------
    >>> import tinygrad_seq as ts
    >>> ts.nn.SmoothL1Loss(beta=2.0)(ts.tensor([1.0, 4.0]), [0.0, 0.0])  # (1 / 4 + 3) / 2
    tensor(1.625)
    """

    def __init__(self, reduction: str = "mean", beta: float = 1.0) -> None:
        self.reduction, self.beta = reduction, beta

    def forward(self, prediction: ArrayLike, target: ArrayLike) -> Tensor:
        return losses.smooth_l1_loss(prediction, target, self.reduction, self.beta)


class HuberLoss(Module):
    """Huber loss: squared for errors below `delta`, linear above; see `huber_loss`.

    Parameters
    ----------
    reduction : {"mean", "sum", "none"}, default "mean"
        How to combine the losses; ``"none"`` returns one per element.
    delta : float, default 1.0
        The error at which the loss becomes linear, > 0.

    Examples
    --------
    >>> import tinygrad_seq as ts
    >>> ts.nn.HuberLoss()(ts.tensor([1.0, 4.0]), [0.0, 0.0])  # (1 / 2 + 7 / 2) / 2
    tensor(2.)
    """

    def __init__(self, reduction: str = "mean", delta: float = 1.0) -> None:
        self.reduction, self.delta = reduction, delta

    def forward(self, prediction: ArrayLike, target: ArrayLike) -> Tensor:
        return losses.huber_loss(prediction, target, self.reduction, self.delta)


class PinballLoss(Module):
    """Loss that is least for quantiles of the target; see `pinball_loss`.

    Parameters
    ----------
    quantile : float or sequence of float, default 0.5
        The quantile, between 0 and 1; or Q of them, which predictions (..., Q) have on their last axis.
    reduction : {"mean", "sum", "none"}, default "mean"
        How to combine the losses; ``"none"`` returns one per predicted number.

    Examples
    --------
    >>> import tinygrad_seq as ts
    >>> ts.nn.PinballLoss([0.1, 0.9])(ts.tensor([[0.0, 2.0]]), [1.0])
    tensor(0.1)
    """

    def __init__(self, quantile: float | Sequence[float] = 0.5, reduction: str = "mean") -> None:
        self.quantile, self.reduction = quantile, reduction

    def forward(self, prediction: ArrayLike, target: ArrayLike) -> Tensor:
        return losses.pinball_loss(prediction, target, self.quantile, self.reduction)


class GaussianNLLLoss(Module):
    """Negative log-likelihood of normal distributions with predicted means and variances; see `gaussian_nll_loss`.

    Parameters
    ----------
    full : bool, default False
        Whether to add the constant ``log(2 pi) / 2``.
    eps : float, default 1e-6
        The least variance, > 0.
    reduction : {"mean", "sum", "none"}, default "mean"
        How to combine the losses; ``"none"`` returns one per element.

    Examples
    --------
    >>> import tinygrad_seq as ts
    >>> ts.nn.GaussianNLLLoss()(ts.tensor([0.0, 2.0]), [0.0, 0.0], [1.0, 1.0])  # (0 + 2) / 2
    tensor(1.)
    """

    def __init__(self, *, full: bool = False, eps: float = 1e-6, reduction: str = "mean") -> None:
        self.full, self.eps, self.reduction = full, eps, reduction

    def forward(self, prediction: ArrayLike, target: ArrayLike, var: ArrayLike) -> Tensor:
        return losses.gaussian_nll_loss(prediction, target, var, self.full, self.eps, self.reduction)


class KLDivLoss(Module):
    """Kullback-Leibler divergence of target probabilities from log-probabilities, of one shape; see `kl_div`.

    Parameters
    ----------
    reduction : {"mean", "batchmean", "sum", "none"}, default "mean"
        How to combine the losses; ``"batchmean"`` divides their sum by the size of the first axis.
    log_target : bool, default False
        Whether targets are log-probabilities too.

    Examples
    --------
    >>> import tinygrad_seq as ts
    >>> ts.nn.KLDivLoss("batchmean")(ts.log(ts.tensor([[0.5, 0.5]])), [[1.0, 0.0]])  # ln 2
    tensor(0.6931472)
    """

    def __init__(self, reduction: str = "mean", log_target: bool = False) -> None:
        self.reduction, self.log_target = reduction, log_target

    def forward(self, log_probabilities: ArrayLike, target: ArrayLike) -> Tensor:
        return losses.kl_div(log_probabilities, target, self.reduction, self.log_target)
