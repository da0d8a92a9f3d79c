"""Stochastic gradient descent."""

from __future__ import annotations

from typing import ClassVar

from ..kernels import update
from .optimizer import Array, Group, Optimizer, Params
from .validation import FINITE, FLAG, Rule, at_least_zero


class SGD(Optimizer):
    """Stochastic gradient descent, with momentum (Polyak 1964) or Nesterov's (Sutskever et al. 2013).

    ``g += weight_decay p``; ``b = momentum b + (1 - dampening) g`` (the first time ``b = g``); ``p -= lr b``, or with
    Nesterov ``p -= lr (g + momentum b)``. Arguments as in PyTorch.

    Parameters
    ----------
    params : iterable of Tensor or of dict
        Tensors, or groups ``{"params": tensors, "lr": 0.01, ...}`` whose options replace the defaults.
    lr : float, default 0.001
        The learning rate.
    momentum : float, default 0.0
        The decay rate of the running sum b.
    dampening : float, default 0.0
        The share of g that the running sum leaves out.
    weight_decay : float, default 0.0
        The factor of the parameter that is added to its gradient.
    nesterov : bool, default False
        Whether to look ahead along the running sum.
    maximize : bool, default False
        Whether to go up the gradient.

    Raises
    ------
    ArgumentError
        An option outside its range, or `nesterov` without momentum or with dampening; see also `Optimizer`.

    Examples
    --------
    >>> import tinygrad_seq as ts
    >>> w = ts.tensor([1.0, 2.0], requires_grad=True)
    >>> optimizer = ts.optim.SGD([w], lr=0.1)
    >>> (w * w).sum().backward()
    >>> optimizer.step()
    >>> w.data
    array([0.8, 1.6], dtype=float32)
    """

    rules: ClassVar[dict[str, Rule]] = {
        "lr": at_least_zero(0.001),
        "momentum": at_least_zero(0.9),
        "dampening": FINITE,
        "weight_decay": at_least_zero(0.0),
        "nesterov": FLAG,
        "maximize": FLAG,
    }
    optional = frozenset({"momentum_buffer"})

    def __init__(
        self,
        params: Params,
        lr: float = 1e-3,
        momentum: float = 0.0,
        dampening: float = 0.0,
        weight_decay: float = 0.0,
        nesterov: bool = False,
        *,
        maximize: bool = False,
    ) -> None:
        super().__init__(
            params,
            lr=lr,
            momentum=momentum,
            dampening=dampening,
            weight_decay=weight_decay,
            nesterov=nesterov,
            maximize=maximize,
        )

    def _check_options(self, group: Group) -> None:
        super()._check_options(group)
        if group["nesterov"] and (group["momentum"] == 0 or group["dampening"] != 0):
            got = f"momentum={group['momentum']}, dampening={group['dampening']}"
            self._refuse("momentum > 0 and dampening 0 with nesterov", got, "pass e.g. momentum=0.9, dampening=0")

    def _buffers(self, group: Group) -> tuple[str, ...]:
        return ("momentum_buffer",) if group["momentum"] else ()

    def _update(
        self, param: Array, grad: Array, buffers: dict[str, Array], step: int, first: bool, group: Group
    ) -> None:
        real = param.dtype.type
        update.sgd(
            param,
            grad,
            buffers.get("momentum_buffer", param[:0]),
            real(-1 if group["maximize"] else 1),
            real(group["lr"]),
            real(group["weight_decay"]),
            real(group["momentum"]),
            real(0 if first else group["momentum"]),
            real(1 if first else 1 - group["dampening"]),
            bool(group["nesterov"]),
        )
