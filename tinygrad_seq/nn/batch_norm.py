"""Normalisation over the batch, with running statistics."""

from __future__ import annotations

import numpy as np
from numpy.typing import DTypeLike

from ..autograd.creation import asarray, ones, zeros
from ..autograd.tensor import Tensor
from ..base.modes import no_grad
from ..errors import ArgumentError, CompileError, ShapeError
from ..ops.arithmetic import sqrt
from ..ops.primitive import is_traced
from ..ops.reduction import mean, var
from ..ops.shape import reshape
from .checks import check_numbers, check_sizes, check_switches, check_tensor
from .init import ones_, zeros_
from .module.module import Module
from .module.parameter import Buffer, Parameter
from .module.placement import check_placement

__all__ = ["BatchNorm1d"]

_RUNNING = ("running_mean", "running_var", "num_batches_tracked")


class BatchNorm1d(Module):
    """Normalisation of each feature over batch and time (Ioffe and Szegedy, 2015), as `torch.nn.BatchNorm1d`.

    ``(x - mean) / sqrt(var + eps) * weight + bias``, with the mean and variance of the batch in training, and with
    their running averages in evaluation.

    Parameters
    ----------
    num_features : int
        C.
    eps : float, default 1e-5
        Added to the variance.
    momentum : float or None, default 0.1
        The share of the batch in a running average; None for the average of all batches so far.
    affine : bool, default True
        Whether there are a weight and a bias.
    track_running_stats : bool, default True
        Whether there are running averages; otherwise the batch is used in evaluation too.
    device : str, optional
        None or ``"cpu"``; accepted so that PyTorch code runs.
    dtype : dtype, optional
        ``"float32"`` or ``"float64"``; `default_dtype` if None.

    Attributes
    ----------
    weight, bias : Parameter or None
        (C,), initially ones and zeros.
    running_mean, running_var : Buffer or None
        (C,), initially zeros and ones. The variance is the unbiased one.
    num_batches_tracked : Buffer or None
        The number of batches in the averages.

    Raises
    ------
    ArgumentError, DtypeError
        If an argument is not one of those above.

    Examples
    --------
    >>> import tinygrad_seq as ts
    >>> norm = ts.nn.BatchNorm1d(1)
    >>> norm(ts.tensor([[1.0], [3.0]])).numpy().round(3)
    array([[-1.],
           [ 1.]], dtype=float32)
    >>> norm.running_mean, norm.running_var
    (tensor([0.2]), tensor([1.1]))
    """

    def __init__(
        self,
        num_features: int,
        eps: float = 1e-5,
        momentum: float | None = 0.1,
        affine: bool = True,
        track_running_stats: bool = True,
        device: str | None = None,
        dtype: DTypeLike | None = None,
    ) -> None:
        name = type(self).__name__
        check_sizes(name, num_features=num_features)
        check_numbers(name, 0, np.inf, eps=eps)
        check_switches(name, affine=affine, track_running_stats=track_running_stats)
        check_placement(name, device, dtype)
        if momentum is not None:
            check_numbers(name, 0, 1, momentum=momentum)
        self.num_features, self.eps, self.momentum = num_features, eps, momentum
        self.weight = Parameter(ones(num_features, dtype)) if affine else None
        self.bias = Parameter(zeros(num_features, dtype)) if affine else None
        self.running_mean = Buffer(zeros(num_features, dtype)) if track_running_stats else None
        self.running_var = Buffer(ones(num_features, dtype)) if track_running_stats else None
        self.num_batches_tracked = Buffer(np.array(0)) if track_running_stats else None

    def reset_running_stats(self) -> None:
        """Forget the running averages."""
        for buffer, value in zip(self.buffers(), (0, 1, 0), strict=False):
            buffer.copy_(value)

    def reset_parameters(self) -> None:
        """Set the weight to ones, the bias to zeros, and forget the running averages."""
        self.reset_running_stats()
        if self.weight is not None and self.bias is not None:
            ones_(self.weight)
            zeros_(self.bias)

    def forward(self, x: Tensor) -> Tensor:
        """Return x with each feature normalised; in training, add the batch to the running averages.

        Parameters
        ----------
        x : Tensor
            (N, C) or (N, C, L), of the dtype of the parameters.

        Returns
        -------
        Tensor
            Like x.

        Raises
        ------
        ShapeError, DtypeError
            If x is not an array of this shape and of the dtype of the parameters.
        ArgumentError
            If a batch in training has one value per feature.
        CompileError
            If it is in training, inside the step of a scan; the scan then runs step by step, with a warning.
        """
        name, stored = type(self).__name__, self.running_mean if self.weight is None else self.weight
        check_tensor(name, x, None if stored is None else stored.dtype)
        x = asarray(x)
        if x.ndim not in (2, 3) or x.shape[1] != self.num_features:
            raise ShapeError(
                f"{name}: expected x (N, C) or (N, C, L) with C={self.num_features} features, got {x.shape} {x.dtype}; "
                "put the features on axis 1 with swapaxes."
            )
        shape = (1, -1, 1)[: x.ndim]
        centre, spread = self.running_mean, self.running_var
        if self.training or centre is None or spread is None:
            axes = (0, 2)[: x.ndim - 1]
            count = x.size // self.num_features
            if self.training and count == 1:
                raise ArgumentError(
                    f"{name}: expected more than one value per feature in training, got {x.shape} {x.dtype}; pass a "
                    "larger batch, or call .eval()."
                )
            centre, spread = mean(x, axis=axes), var(x, axis=axes, correction=0)
            if self.training and self.running_mean is not None:
                self._track(centre, spread, count)
        y = (x - reshape(centre, shape)) / sqrt(reshape(spread, shape) + self.eps)
        return y if self.weight is None else y * reshape(self.weight, shape) + reshape(self.bias, shape)

    def _track(self, centre: Tensor, spread: Tensor, count: int) -> None:
        """Add the mean and variance of a batch with `count` values per feature to the running averages."""
        if is_traced(centre):
            raise CompileError(
                f"{type(self).__name__}: expected to add a batch to its running averages, got values of a step that is "
                "being compiled; pass compile=False, normalise outside of the scan, or use LayerNorm."
            )
        running_mean, running_var, batches = (self.get_buffer(name) for name in _RUNNING)
        with no_grad():
            batches.copy_(batches.numpy() + 1)
            share = 1 / batches.item() if self.momentum is None else self.momentum
            unbiased = spread.numpy() * (count / (count - 1))
            for average, now in ((running_mean, centre.numpy()), (running_var, unbiased)):
                old = average.numpy()
                average.copy_(old.dtype.type(1 - share) * old + old.dtype.type(share) * now)
