"""Stochastic gradient descent."""

from __future__ import annotations

from typing import ClassVar, Unpack

from ..kernels import update
from .optimizer import Execution, Group, Optimizer, Params, State
from .validation import FINITE, FLAG, Rule, at_least_zero


class SGD(Optimizer):
    """Stochastic gradient descent, with momentum (Polyak 1964) or Nesterov momentum (Sutskever et al. 2013).

    ``g += weight_decay p``; ``b = momentum b + (1 - dampening) g`` (``b = g`` at the first update); ``p -= lr b``, or
    with Nesterov momentum ``p -= lr (g + momentum b)``. Names and defaults are those of PyTorch.

    Parameters
    ----------
    params : iterable of Tensor or of dict
        The tensors to update, float32 or float64, or groups of them; see `Optimizer`.
    lr : float, default 1e-3
        Learning rate, >= 0.
    momentum : float, default 0.0
        Decay of the running average of gradients, >= 0; 0 keeps no average.
    dampening : float, default 0.0
        Fraction of the gradient that does not enter the running average.
    weight_decay : float, default 0.0
        Strength of L2 regularisation, >= 0.
    nesterov : bool, default False
        Whether to use Nesterov momentum; needs ``momentum > 0`` and ``dampening=0``.
    maximize : bool, default False
        Whether to ascend along the gradients instead of descending.
    **execution : bool or None
        PyTorch's `foreach`, `fused`, `capturable` and `differentiable`: None or False.

    Raises
    ------
    ArgumentError
        If an option is outside its range, or `nesterov` is set without momentum or with dampening; see `Optimizer`.
    DtypeError
        If a parameter is neither float32 nor float64.

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
    _averages: ClassVar[dict[str, str | None]] = {"momentum_buffer": "momentum"}
    _kernel = staticmethod(update.sgd)
    _counts_steps = False

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
        **execution: Unpack[Execution],
    ) -> None:
        super().__init__(
            params,
            lr=lr,
            momentum=momentum,
            dampening=dampening,
            weight_decay=weight_decay,
            nesterov=nesterov,
            maximize=maximize,
            **execution,
        )

    def _check_options(self, group: Group) -> None:
        super()._check_options(group)
        if group["nesterov"] and (group["momentum"] == 0 or group["dampening"] != 0):
            got = f"momentum={group['momentum']}, dampening={group['dampening']}"
            self._refuse("momentum > 0 and dampening 0 with nesterov", got, "pass e.g. momentum=0.9, dampening=0")

    def _numbers(self, group: Group, state: State, first: bool) -> tuple[float | bool, ...]:
        return (
            group["lr"],
            group["weight_decay"],
            group["momentum"],
            0 if first else group["momentum"],
            1 if first else 1 - group["dampening"],
            bool(group["nesterov"]),
        )
