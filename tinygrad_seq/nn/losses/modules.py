"""Losses as modules; each calls the function that its docstring names."""

from __future__ import annotations

from typing import Any

from ...ops import losses
from ...ops.primitive import Array
from ..module.module import Module
from .sequence_loss import sequence_cross_entropy


class CrossEntropyLoss(Module):
    """Cross entropy of logits (..., V) with class indices (...) or probabilities (..., V); the classes come last.

    Parameters
    ----------
    weight, ignore_index, reduction, label_smoothing
        As in `cross_entropy`.

    Examples
    --------
    >>> import tinygrad_seq as ts
    >>> ts.nn.CrossEntropyLoss()(ts.zeros((2, 4)), [1, 3]).item()  # ln 4
    1.3862943649291992
    """

    def __init__(
        self,
        weight: Array | None = None,
        ignore_index: int = -100,
        reduction: str = "mean",
        label_smoothing: float = 0.0,
    ) -> None:
        self.weight, self.ignore_index = weight, ignore_index
        self.reduction, self.label_smoothing = reduction, label_smoothing

    def forward(self, logits: Array, target: Array) -> Array:
        return losses.cross_entropy(
            logits, target, self.weight, self.ignore_index, self.reduction, self.label_smoothing
        )


class SequenceCrossEntropyLoss(Module):
    """Cross entropy of logits (T, N, V) with class indices (T, N), over the valid steps of sequences.

    Parameters
    ----------
    reduction, batch_first, weight, ignore_index, label_smoothing
        As in `sequence_cross_entropy`.

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
        weight: Array | None = None,
        ignore_index: int = -100,
        label_smoothing: float = 0.0,
    ) -> None:
        self.reduction, self.batch_first, self.weight = reduction, batch_first, weight
        self.ignore_index, self.label_smoothing = ignore_index, label_smoothing

    def forward(self, logits: Array, target: Array, lengths: Any = None, mask: Any = None) -> Array:
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


class NLLLoss(Module):
    """Negative log-likelihood of class indices (...) under log-probabilities (..., V).

    Parameters
    ----------
    weight, ignore_index, reduction
        As in `nll_loss`.
    """

    def __init__(self, weight: Array | None = None, ignore_index: int = -100, reduction: str = "mean") -> None:
        self.weight, self.ignore_index, self.reduction = weight, ignore_index, reduction

    def forward(self, log_probabilities: Array, target: Array) -> Array:
        return losses.nll_loss(log_probabilities, target, self.weight, self.ignore_index, self.reduction)


class BCELoss(Module):
    """Binary cross entropy of probabilities; see `binary_cross_entropy`."""

    def __init__(self, weight: Array | None = None, reduction: str = "mean") -> None:
        self.weight, self.reduction = weight, reduction

    def forward(self, probability: Array, target: Array) -> Array:
        return losses.binary_cross_entropy(probability, target, self.weight, self.reduction)


class BCEWithLogitsLoss(Module):
    """Binary cross entropy of logits; see `binary_cross_entropy_with_logits`."""

    def __init__(self, weight: Array | None = None, reduction: str = "mean", pos_weight: Array | None = None) -> None:
        self.weight, self.reduction, self.pos_weight = weight, reduction, pos_weight

    def forward(self, logits: Array, target: Array) -> Array:
        return losses.binary_cross_entropy_with_logits(logits, target, self.weight, self.pos_weight, self.reduction)


class MSELoss(Module):
    """Mean squared error; see `mse_loss`."""

    def __init__(self, reduction: str = "mean") -> None:
        self.reduction = reduction

    def forward(self, prediction: Array, target: Array) -> Array:
        return losses.mse_loss(prediction, target, self.reduction)


class L1Loss(Module):
    """Mean absolute error; see `l1_loss`."""

    def __init__(self, reduction: str = "mean") -> None:
        self.reduction = reduction

    def forward(self, prediction: Array, target: Array) -> Array:
        return losses.l1_loss(prediction, target, self.reduction)


class SmoothL1Loss(Module):
    """Squared error near zero and absolute error beyond `beta`, over `beta`; see `smooth_l1_loss`."""

    def __init__(self, reduction: str = "mean", beta: float = 1.0) -> None:
        self.reduction, self.beta = reduction, beta

    def forward(self, prediction: Array, target: Array) -> Array:
        return losses.smooth_l1_loss(prediction, target, self.reduction, self.beta)


class HuberLoss(Module):
    """Squared error near zero and absolute error beyond `delta`; see `huber_loss`."""

    def __init__(self, reduction: str = "mean", delta: float = 1.0) -> None:
        self.reduction, self.delta = reduction, delta

    def forward(self, prediction: Array, target: Array) -> Array:
        return losses.huber_loss(prediction, target, self.reduction, self.delta)


class KLDivLoss(Module):
    """Kullback-Leibler divergence of targets from log-probabilities; see `kl_div`."""

    def __init__(self, reduction: str = "mean", log_target: bool = False) -> None:
        self.reduction, self.log_target = reduction, log_target

    def forward(self, log_probabilities: Array, target: Array) -> Array:
        return losses.kl_div(log_probabilities, target, self.reduction, self.log_target)
