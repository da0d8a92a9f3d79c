"""Optimiser updates, each in one pass over memory: read the gradient, update parameter and running averages.

All arrays are 1-D, contiguous, of one length and one dtype, float32 or float64, and every number is a scalar of that
dtype, so nothing is upcast. A running average that an option does not use may be empty. *Changed* names the arrays
modified in place. Gradients are multiplied by `factor`: that of clipping, or 1; below 0 to maximise. Formulas and their
order of operations are PyTorch's.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from .jit import kernel

Array = npt.NDArray[Any]
Real = Any
"""A scalar of the arrays' dtype."""


@kernel
def sgd(
    param: Array,
    grad: Array,
    momentum_buffer: Array,
    factor: Real,
    lr: Real,
    weight_decay: Real,
    momentum: Real,
    keep: Real,
    take: Real,
    nesterov: bool,
) -> None:
    """Take one step of gradient descent with momentum. *Changed*: `param`, `momentum_buffer` (used if momentum != 0).

    ``b = keep b + take g``, then ``p -= lr b``, or with `nesterov` ``p -= lr (g + momentum b)``.
    """
    for i in range(param.size):
        g = factor * grad[i]
        if weight_decay != 0:
            g += weight_decay * param[i]
        if momentum != 0:
            b = keep * momentum_buffer[i] + take * g
            momentum_buffer[i] = b
            g = g + momentum * b if nesterov else b
        param[i] -= lr * g


@kernel
def adam(
    param: Array,
    grad: Array,
    exp_avg: Array,
    exp_avg_sq: Array,
    max_exp_avg_sq: Array,
    factor: Real,
    step_size: Real,
    weight_decay: Real,
    shrink: Real,
    beta1: Real,
    one_minus_beta1: Real,
    beta2: Real,
    one_minus_beta2: Real,
    root_correction: Real,
    eps: Real,
    amsgrad: bool,
) -> None:
    """Take one step of Adam. *Changed*: `param`, `exp_avg`, `exp_avg_sq`, `max_exp_avg_sq` (used if `amsgrad`).

    ``m = beta1 m + (1 - beta1) g``, ``v = beta2 v + (1 - beta2) g^2``,
    ``p = shrink p - step_size m / (sqrt(v) / root_correction + eps)``; with `amsgrad`, the largest v so far.
    `step_size` is the learning rate over the bias correction of m, `root_correction` the root of that of v.
    `weight_decay` is the one added to the gradient (L2), `shrink` the decoupled one, ``1 - lr * weight_decay``.
    """
    for i in range(param.size):
        g = factor * grad[i]
        if weight_decay != 0:
            g += weight_decay * param[i]
        m = beta1 * exp_avg[i] + one_minus_beta1 * g
        v = beta2 * exp_avg_sq[i] + one_minus_beta2 * (g * g)
        exp_avg[i] = m
        exp_avg_sq[i] = v
        if amsgrad:
            v = np.maximum(max_exp_avg_sq[i], v)
            max_exp_avg_sq[i] = v
        param[i] = shrink * param[i] - step_size * (m / (np.sqrt(v) / root_correction + eps))


@kernel
def rmsprop(
    param: Array,
    grad: Array,
    square_avg: Array,
    grad_avg: Array,
    momentum_buffer: Array,
    factor: Real,
    lr: Real,
    weight_decay: Real,
    alpha: Real,
    one_minus_alpha: Real,
    eps: Real,
    momentum: Real,
    centered: bool,
) -> None:
    """Take one step of RMSprop.

    *Changed*: `param`, `square_avg`, `grad_avg` (used if `centered`), `momentum_buffer` (used if momentum != 0).

    ``v = alpha v + (1 - alpha) g^2``, ``u = g / (sqrt(v) + eps)``, ``b = momentum b + u``, ``p -= lr b``; with
    `centered` v is taken about the running mean of g, and held at 0 where rounding would make it negative.
    """
    for i in range(param.size):
        g = factor * grad[i]
        if weight_decay != 0:
            g += weight_decay * param[i]
        v = alpha * square_avg[i] + one_minus_alpha * (g * g)
        square_avg[i] = v
        if centered:
            mean = grad_avg[i] + one_minus_alpha * (g - grad_avg[i])
            grad_avg[i] = mean
            v -= np.minimum(mean * mean, v)
        u = g / (np.sqrt(v) + eps)
        if momentum != 0:
            u += momentum * momentum_buffer[i]
            momentum_buffer[i] = u
        param[i] -= lr * u


@kernel
def adagrad(
    param: Array, grad: Array, square_sum: Array, factor: Real, step_size: Real, weight_decay: Real, eps: Real
) -> None:
    """Take one step of Adagrad. *Changed*: `param`, `square_sum`.

    ``s += g^2``, ``p -= step_size g / (sqrt(s) + eps)``.
    """
    for i in range(param.size):
        g = factor * grad[i]
        if weight_decay != 0:
            g += weight_decay * param[i]
        s = square_sum[i] + g * g
        square_sum[i] = s
        param[i] -= step_size * (g / (np.sqrt(s) + eps))


@kernel
def adamax(
    param: Array,
    grad: Array,
    exp_avg: Array,
    exp_inf: Array,
    factor: Real,
    step_size: Real,
    weight_decay: Real,
    beta2: Real,
    one_minus_beta1: Real,
    eps: Real,
) -> None:
    """Take one step of Adamax. *Changed*: `param`, `exp_avg`, `exp_inf`.

    ``m += (1 - beta1) (g - m)``, ``u = max(beta2 u, |g| + eps)``, ``p -= step_size m / u``.
    """
    for i in range(param.size):
        g = factor * grad[i]
        if weight_decay != 0:
            g += weight_decay * param[i]
        m = exp_avg[i] + one_minus_beta1 * (g - exp_avg[i])
        u = np.maximum(beta2 * exp_inf[i], np.abs(g) + eps)
        exp_avg[i] = m
        exp_inf[i] = u
        param[i] -= step_size * (m / u)


@kernel
def nadam(
    param: Array,
    grad: Array,
    exp_avg: Array,
    exp_avg_sq: Array,
    factor: Real,
    weight_decay: Real,
    shrink: Real,
    one_minus_beta1: Real,
    beta2: Real,
    one_minus_beta2: Real,
    correction: Real,
    eps: Real,
    of_grad: Real,
    of_mean: Real,
) -> None:
    """Take one step of NAdam. *Changed*: `param`, `exp_avg`, `exp_avg_sq`.

    ``m += (1 - beta1) (g - m)``, ``v = beta2 v + (1 - beta2) g^2``,
    ``p = shrink p - (of_grad g + of_mean m) / (sqrt(v / correction) + eps)``.
    """
    for i in range(param.size):
        g = factor * grad[i]
        if weight_decay != 0:
            g += weight_decay * param[i]
        m = exp_avg[i] + one_minus_beta1 * (g - exp_avg[i])
        v = beta2 * exp_avg_sq[i] + one_minus_beta2 * (g * g)
        exp_avg[i] = m
        exp_avg_sq[i] = v
        spread = np.sqrt(v / correction) + eps
        param[i] = shrink * param[i] - of_grad * (g / spread) - of_mean * (m / spread)


@kernel
def radam(
    param: Array,
    grad: Array,
    exp_avg: Array,
    exp_avg_sq: Array,
    factor: Real,
    step_size: Real,
    weight_decay: Real,
    shrink: Real,
    one_minus_beta1: Real,
    beta2: Real,
    one_minus_beta2: Real,
    root_correction: Real,
    eps: Real,
    adaptive: bool,
) -> None:
    """Take one step of RAdam. *Changed*: `param`, `exp_avg`, `exp_avg_sq`.

    ``m += (1 - beta1) (g - m)``, ``v = beta2 v + (1 - beta2) g^2``, and ``p = shrink p - step_size m``, times
    ``root_correction / (sqrt(v) + eps)`` if `adaptive`.
    """
    for i in range(param.size):
        g = factor * grad[i]
        if weight_decay != 0:
            g += weight_decay * param[i]
        m = exp_avg[i] + one_minus_beta1 * (g - exp_avg[i])
        v = beta2 * exp_avg_sq[i] + one_minus_beta2 * (g * g)
        exp_avg[i] = m
        exp_avg_sq[i] = v
        change = step_size * m
        if adaptive:
            change *= root_correction / (np.sqrt(v) + eps)
        param[i] = shrink * param[i] - change


@kernel
def adadelta(
    param: Array,
    grad: Array,
    square_avg: Array,
    acc_delta: Array,
    factor: Real,
    lr: Real,
    weight_decay: Real,
    rho: Real,
    one_minus_rho: Real,
    eps: Real,
) -> None:
    """Take one step of Adadelta. *Changed*: `param`, `square_avg`, `acc_delta`.

    ``v = rho v + (1 - rho) g^2``, ``d = sqrt(u + eps) / sqrt(v + eps) g``, ``u = rho u + (1 - rho) d^2``,
    ``p -= lr d``.
    """
    for i in range(param.size):
        g = factor * grad[i]
        if weight_decay != 0:
            g += weight_decay * param[i]
        v = rho * square_avg[i] + one_minus_rho * (g * g)
        d = np.sqrt(acc_delta[i] + eps) / np.sqrt(v + eps) * g
        square_avg[i] = v
        acc_delta[i] = rho * acc_delta[i] + one_minus_rho * (d * d)
        param[i] -= lr * d


@kernel
def asgd(
    param: Array, grad: Array, ax: Array, factor: Real, eta: Real, weight_decay: Real, shrink: Real, mu: Real
) -> None:
    """Take one step of averaged SGD. *Changed*: `param`, `ax`.

    ``p = shrink p - eta g``, ``a += mu (p - a)``.
    """
    for i in range(param.size):
        g = factor * grad[i]
        if weight_decay != 0:
            g += weight_decay * param[i]
        p = shrink * param[i] - eta * g
        param[i] = p
        ax[i] = p if mu == 1 else ax[i] + mu * (p - ax[i])


@kernel
def rprop(
    param: Array,
    grad: Array,
    prev: Array,
    step_size: Array,
    factor: Real,
    shrink: Real,
    grow: Real,
    least: Real,
    most: Real,
) -> None:
    """Take one step of Rprop. *Changed*: `param`, `prev`, `step_size`.

    A step grows while the sign of the gradient stays the same; it shrinks when the sign changes, and then p stays.
    """
    for i in range(param.size):
        g = factor * grad[i]
        agreement = g * prev[i]
        s = step_size[i]
        if agreement > 0:
            s *= grow
        elif agreement < 0:
            s *= shrink
            g = g * 0
        s = np.minimum(np.maximum(s, least), most)
        step_size[i] = s
        prev[i] = g
        if g > 0:
            param[i] -= s
        elif g < 0:
            param[i] += s


@kernel
def scale(array: Array, factor: Real) -> None:
    """Multiply `array` by `factor`, a scalar of its dtype. *Changed*: `array`."""
    for i in range(array.size):
        array[i] *= factor
