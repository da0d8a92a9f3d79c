"""RMSprop."""

from __future__ import annotations

from typing import ClassVar

from ..kernels import update
from .optimizer import Array, Group, Optimizer, Params
from .validation import FLAG, FRACTION, Rule, at_least_zero


class RMSprop(Optimizer):
    """RMSprop (Hinton 2012, Coursera lecture 6e), with momentum and the centred form of Graves (2013) as options.

    ``g += weight_decay p``; ``v = alpha v + (1 - alpha) g^2``; ``b = momentum b + g / (sqrt(v) + eps)``;
    ``p -= lr b``; with `centered` the square of the running mean of g is taken off v. Arguments as in PyTorch.

    Parameters
    ----------
    params : iterable of Tensor or of dict
        Tensors, or groups ``{"params": tensors, "lr": 0.01, ...}`` whose options replace the defaults.
    lr : float, default 0.01
        The learning rate.
    alpha : float, default 0.99
        The decay rate of the running mean of the square of g.
    eps : float, default 1e-08
        What keeps the divisor above 0.
    weight_decay : float, default 0.0
        The factor of the parameter that is added to its gradient.
    momentum : float, default 0.0
        The decay rate of the running sum b.
    centered : bool, default False
        Whether to take the square of the running mean of g off v.
    maximize : bool, default False
        Whether to go up the gradient.

    Examples
    --------
    >>> import tinygrad_seq as ts
    >>> w = ts.tensor([1.0, -2.0], requires_grad=True)
    >>> optimizer = ts.optim.RMSprop([w], lr=0.1, alpha=0.75)
    >>> (w * w).sum().backward()
    >>> optimizer.step()
    >>> w.data
    array([ 0.8, -1.8], dtype=float32)
    """

    rules: ClassVar[dict[str, Rule]] = {
        "lr": at_least_zero(0.01),
        "alpha": FRACTION,
        "eps": at_least_zero(1e-8),
        "weight_decay": at_least_zero(0.0),
        "momentum": at_least_zero(0.9),
        "centered": FLAG,
        "maximize": FLAG,
    }
    optional = frozenset({"grad_avg", "momentum_buffer"})

    def __init__(
        self,
        params: Params,
        lr: float = 1e-2,
        alpha: float = 0.99,
        eps: float = 1e-8,
        weight_decay: float = 0.0,
        momentum: float = 0.0,
        centered: bool = False,
        *,
        maximize: bool = False,
    ) -> None:
        super().__init__(
            params,
            lr=lr,
            alpha=alpha,
            eps=eps,
            weight_decay=weight_decay,
            momentum=momentum,
            centered=centered,
            maximize=maximize,
        )

    def _buffers(self, group: Group) -> tuple[str, ...]:
        mean = ("grad_avg",) if group["centered"] else ()
        return ("square_avg", *mean, "momentum_buffer") if group["momentum"] else ("square_avg", *mean)

    def _update(
        self, param: Array, grad: Array, buffers: dict[str, Array], step: int, first: bool, group: Group
    ) -> None:
        real = param.dtype.type
        update.rmsprop(
            param,
            grad,
            buffers["square_avg"],
            buffers.get("grad_avg", param[:0]),
            buffers.get("momentum_buffer", param[:0]),
            real(-1 if group["maximize"] else 1),
            real(group["lr"]),
            real(group["weight_decay"]),
            real(group["alpha"]),
            real(1 - group["alpha"]),
            real(group["eps"]),
            real(group["momentum"]),
            bool(group["centered"]),
        )
