"""Adagrad."""

from __future__ import annotations

from typing import ClassVar, Unpack

from ..kernels import update
from .optimizer import Execution, Group, Optimizer, Params, State
from .validation import FLAG, Rule, at_least_zero


class Adagrad(Optimizer):
    """Adagrad (Duchi, Hazan & Singer 2011).

    ``g += weight_decay p``; ``s += g^2``; ``p -= lr / (1 + (t - 1) lr_decay) g / (sqrt(s) + eps)``. Names and defaults
    are those of PyTorch.

    Parameters
    ----------
    params : iterable of Tensor or of dict
        The tensors to update, float32 or float64, or groups of them; see `Optimizer`.
    lr : float, default 1e-2
        Learning rate, >= 0.
    lr_decay : float, default 0.0
        Decay of the learning rate with the number of updates t, >= 0.
    weight_decay : float, default 0.0
        Strength of L2 regularisation, >= 0.
    initial_accumulator_value : float, default 0.0
        Initial value of s, >= 0.
    eps : float, default 1e-10
        Added to the denominator, >= 0.
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
    >>> optimizer = ts.optim.Adagrad([w], lr=0.5)
    >>> (w * w).sum().backward()
    >>> optimizer.step()
    >>> w.data
    array([ 0.5, -1.5], dtype=float32)
    """

    rules: ClassVar[dict[str, Rule]] = {
        "lr": at_least_zero(0.01),
        "lr_decay": at_least_zero(0.0),
        "weight_decay": at_least_zero(0.0),
        "initial_accumulator_value": at_least_zero(0.0),
        "eps": at_least_zero(1e-10),
        "maximize": FLAG,
    }
    _averages: ClassVar[dict[str, str | None]] = {"sum": None}
    _kernel = staticmethod(update.adagrad)

    def __init__(
        self,
        params: Params,
        lr: float = 1e-2,
        lr_decay: float = 0.0,
        weight_decay: float = 0.0,
        initial_accumulator_value: float = 0.0,
        eps: float = 1e-10,
        *,
        maximize: bool = False,
        **execution: Unpack[Execution],
    ) -> None:
        super().__init__(
            params,
            lr=lr,
            lr_decay=lr_decay,
            weight_decay=weight_decay,
            initial_accumulator_value=initial_accumulator_value,
            eps=eps,
            maximize=maximize,
            **execution,
        )

    def _initial_value(self, group: Group, name: str) -> float:
        return float(group["initial_accumulator_value"])

    def _numbers(self, group: Group, state: State, first: bool) -> tuple[float | bool, ...]:
        step = state["step"]
        return group["lr"] / (1 + (step - 1) * group["lr_decay"]), group["weight_decay"], group["eps"]
