"""Adadelta."""

from __future__ import annotations

from typing import ClassVar, Unpack

from ..kernels import update
from .optimizer import Execution, Group, Optimizer, Params, State
from .validation import FLAG, FRACTION, Rule, at_least_zero


class Adadelta(Optimizer):
    """Adadelta (Zeiler 2012, arXiv 1212.5701).

    ``g += weight_decay p``; ``v = rho v + (1 - rho) g^2``; ``d = sqrt(u + eps) / sqrt(v + eps) g``;
    ``u = rho u + (1 - rho) d^2``; ``p -= lr d``. Names and defaults are those of PyTorch.

    Parameters
    ----------
    params : iterable of Tensor or of dict
        The tensors to update, float32 or float64, or groups of them; see `Optimizer`.
    lr : float, default 1.0
        Learning rate, >= 0.
    rho : float, default 0.9
        Decay of the running averages of squares, in [0, 1].
    eps : float, default 1e-6
        Added to both averages, >= 0.
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
    >>> optimizer = ts.optim.Adadelta([w], lr=100.0)
    >>> (w * w).sum().backward()
    >>> optimizer.step()
    >>> w.data.round(3)
    array([ 0.684, -1.684], dtype=float32)
    """

    rules: ClassVar[dict[str, Rule]] = {
        "lr": at_least_zero(1.0),
        "rho": FRACTION,
        "eps": at_least_zero(1e-6),
        "weight_decay": at_least_zero(0.0),
        "maximize": FLAG,
    }
    _averages: ClassVar[dict[str, str | None]] = {"square_avg": None, "acc_delta": None}
    _kernel = staticmethod(update.adadelta)

    def __init__(
        self,
        params: Params,
        lr: float = 1.0,
        rho: float = 0.9,
        eps: float = 1e-6,
        weight_decay: float = 0.0,
        *,
        maximize: bool = False,
        **execution: Unpack[Execution],
    ) -> None:
        super().__init__(
            params,
            lr=lr,
            rho=rho,
            eps=eps,
            weight_decay=weight_decay,
            maximize=maximize,
            **execution,
        )

    def _numbers(self, group: Group, state: State, first: bool) -> tuple[float | bool, ...]:
        return group["lr"], group["weight_decay"], group["rho"], 1 - group["rho"], group["eps"]
