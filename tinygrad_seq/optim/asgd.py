"""Averaged stochastic gradient descent."""

from __future__ import annotations

from typing import ClassVar, Unpack

from ..kernels import update
from .optimizer import Execution, Group, Optimizer, Params, State
from .validation import FINITE, FLAG, Rule, at_least_zero


class ASGD(Optimizer):
    """Averaged stochastic gradient descent (Polyak & Juditsky 1992).

    ``g += weight_decay p``; ``p -= eta (lambd p + g)``; ``a += mu (p - a)``, where
    ``eta = lr / (1 + lambd lr t)^alpha`` and ``mu = 1 / max(1, t - t0)`` after t steps. The averages a are ``"ax"`` in
    `state_dict`. Names and defaults are those of PyTorch.

    Parameters
    ----------
    params : iterable of Tensor or of dict
        The tensors to update, float32 or float64, or groups of them; see `Optimizer`.
    lr : float, default 1e-2
        Learning rate, >= 0.
    lambd : float, default 1e-4
        Decay of the parameters and of the rate.
    alpha : float, default 0.75
        The power of the decay of the rate.
    t0 : float, default 1e6
        The step at which the averages begin.
    weight_decay : float, default 0.0
        Strength of L2 regularisation, >= 0.
    maximize : bool, default False
        Whether to ascend along the gradients instead of descending.
    **execution : bool or None
        PyTorch's `foreach`, `fused`, `capturable` and `differentiable`: None or False.

    Raises
    ------
    ArgumentError
        If an option is outside its range; see `Optimizer`.
    DtypeError
        If a parameter is neither float32 nor float64.

    Examples
    --------
    >>> import tinygrad_seq as ts
    >>> w = ts.tensor([1.0, -2.0], requires_grad=True)
    >>> optimizer = ts.optim.ASGD([w], lr=0.1)
    >>> (w * w).sum().backward()
    >>> optimizer.step()
    >>> w.data.round(3)
    array([ 0.8, -1.6], dtype=float32)
    """

    rules: ClassVar[dict[str, Rule]] = {
        "lr": at_least_zero(0.01),
        "lambd": FINITE,
        "alpha": FINITE,
        "t0": FINITE,
        "weight_decay": at_least_zero(0.0),
        "maximize": FLAG,
    }
    _averages: ClassVar[dict[str, str | None]] = {"ax": None}
    _kernel = staticmethod(update.asgd)
    _counters = ("eta", "mu")

    def __init__(
        self,
        params: Params,
        lr: float = 1e-2,
        lambd: float = 1e-4,
        alpha: float = 0.75,
        t0: float = 1e6,
        weight_decay: float = 0.0,
        *,
        maximize: bool = False,
        **execution: Unpack[Execution],
    ) -> None:
        super().__init__(
            params,
            lr=lr,
            lambd=lambd,
            alpha=alpha,
            t0=t0,
            weight_decay=weight_decay,
            maximize=maximize,
            **execution,
        )

    def _initial_counters(self, group: Group) -> tuple[float, ...]:
        return float(group["lr"]), 1.0

    def _numbers(self, group: Group, state: State, first: bool) -> tuple[float | bool, ...]:
        eta, mu, step = state["eta"], state["mu"], state["step"]
        lr, lambd = group["lr"], group["lambd"]
        state["eta"] = lr / (1 + lambd * lr * step) ** group["alpha"]
        state["mu"] = 1 / max(1, step - group["t0"])
        return eta, group["weight_decay"], 1 - lambd * eta, mu
