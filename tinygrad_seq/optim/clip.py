"""Gradient clipping by the total norm or by value."""

from __future__ import annotations

import math
from collections.abc import Iterable
from functools import partial
from numbers import Real

import numpy as np

from ..autograd.tensor import Tensor
from ..errors import ArgumentError
from ..kernels import update
from .pieces import Array, pieces, run_pieces, sum_of_squares
from .validation import list_parameters


def clip_grad_norm_(
    parameters: Iterable[Tensor] | Tensor, max_norm: float, norm_type: float = 2.0, error_if_nonfinite: bool = False
) -> float:
    """Scale all gradients in place so that their total norm is at most `max_norm`.

    Gradients are scaled by ``min(1, max_norm / (norm + 1e-6))``, as in PyTorch. The norm is accumulated in float64.
    ``optimizer.step(max_norm=...)`` has the same effect on the parameters and saves the pass over memory that scales.

    Parameters
    ----------
    parameters : iterable of Tensor, or Tensor
        Tensors; those without a gradient are skipped.
    max_norm : float
        The bound, >= 0; ``float("inf")`` only measures.
    norm_type : float, default 2.0
        The p of the p-norm, > 0; ``float("inf")`` is the largest magnitude.
    error_if_nonfinite : bool, default False
        Whether to raise if the norm is NaN or infinite. Otherwise the gradients become NaN or 0; check the returned
        norm.

    Returns
    -------
    float
        The norm of all gradients as one vector, before scaling.

    Raises
    ------
    ArgumentError
        If `max_norm` or `norm_type` is out of range, `parameters` is an iterator that has none left, or the norm is not
        finite and `error_if_nonfinite` is set; the gradients are unchanged in that case.

    Examples
    --------
    >>> import tinygrad_seq as ts
    >>> w = ts.tensor([3.0, 4.0], requires_grad=True)
    >>> (w * w).sum().backward()
    >>> ts.optim.clip_grad_norm_([w], max_norm=5.0)
    10.0
    >>> w.grad.data.round(4)
    array([3., 4.], dtype=float32)
    """
    _check("clip_grad_norm_", "max_norm", max_norm, isinstance(max_norm, Real) and max_norm >= 0, ">= 0")
    _check("clip_grad_norm_", "norm_type", norm_type, isinstance(norm_type, Real) and norm_type > 0, "> 0")
    gradients = _gradients("clip_grad_norm_", parameters)
    norm = total_norm([gradient._array for gradient in gradients], norm_type)
    if error_if_nonfinite and not math.isfinite(norm):
        raise ArgumentError(
            f"clip_grad_norm_: expected gradients with a finite norm, got {norm}; look for the cause with "
            "ts.detect_anomaly(), or skip this step."
        )
    factor = clip_factor(norm, max_norm)
    if factor != 1:
        unique = list({id(gradient): gradient for gradient in gradients}.values())
        arrays = [gradient._writable().reshape(-1) for gradient in unique]
        cuts = [array[piece] for array in arrays for piece in pieces(array.size)]
        try:
            run_pieces(
                [partial(update.scale, cut, cut.dtype.type(factor)) for cut in cuts],
                2 * sum(cut.nbytes for cut in cuts),
            )
        finally:
            for gradient in unique:
                gradient._written()
    return norm


def clip_grad_value_(parameters: Iterable[Tensor] | Tensor, clip_value: float) -> None:
    """Clip every element of every gradient to ``[-clip_value, clip_value]``, in place.

    Parameters
    ----------
    parameters : iterable of Tensor, or Tensor
        Tensors; those without a gradient are skipped.
    clip_value : float
        The bound on the magnitude, >= 0.

    Raises
    ------
    ArgumentError
        If `clip_value` is negative, or `parameters` is an iterator that has none left.

    Examples
    --------
    >>> import tinygrad_seq as ts
    >>> w = ts.tensor([0.1, -4.0], requires_grad=True)
    >>> (w * w).sum().backward()
    >>> ts.optim.clip_grad_value_([w], 1.0)
    >>> w.grad
    tensor([ 0.2, -1. ])
    """
    _check("clip_grad_value_", "clip_value", clip_value, isinstance(clip_value, Real) and clip_value >= 0, ">= 0")
    for gradient in _gradients("clip_grad_value_", parameters):
        array = gradient._writable()
        np.clip(array, -clip_value, clip_value, out=array)
        gradient._written()


def _check(function: str, name: str, value: object, fits: bool, expected: str) -> None:
    if not fits:
        raise ArgumentError(f"{function}: expected {name} {expected}, got {value!r}; pass e.g. {name}=1.0.")


def _gradients(function: str, parameters: Iterable[Tensor] | Tensor) -> list[Tensor]:
    """Return the gradients of `parameters`, each tensor counted once."""
    tensors = list_parameters(f"{function}: ", parameters)
    return list({id(tensor): tensor.grad for tensor in tensors if tensor.grad is not None}.values())


def clip_factor(norm: float, max_norm: float) -> float:
    """Return the factor that makes a gradient of norm `norm` one of at most `max_norm`: at most 1, or NaN."""
    factor = max_norm / (norm + 1e-6)
    return 1.0 if factor >= 1 else factor


def total_norm(arrays: list[Array], norm_type: float = 2.0) -> float:
    """Return the `norm_type`-norm of all elements of `arrays`, accumulated in float64."""
    if norm_type == 2:
        return math.sqrt(sum_of_squares(arrays))
    flat = [array.ravel(order="K") for array in arrays]
    if norm_type == math.inf:
        return float(np.max([np.max(np.abs(array), initial=0.0) for array in flat], initial=0.0))
    return float(sum(np.sum(np.abs(array.astype(np.float64)) ** norm_type) for array in flat) ** (1 / norm_type))
