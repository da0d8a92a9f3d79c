"""RMSprop."""

from __future__ import annotations

from typing import ClassVar, Unpack

from ..kernels import update
from .optimizer import Execution, Group, Optimizer, Params, State
from .validation import FLAG, FRACTION, Rule, at_least_zero


class RMSprop(Optimizer):
    """RMSprop (Hinton 2012, Coursera lecture 6e), optionally with momentum and centred (Graves 2013).

    ``g += weight_decay p``; ``v = alpha v + (1 - alpha) g^2``; ``b = momentum b + g / (sqrt(v) + eps)``;
    ``p -= lr b``. With `centered`, the square of the running mean of g is subtracted from v. Names and defaults are
    those of PyTorch.

    Parameters
    ----------
    params : iterable of Tensor or of dict
        The tensors to update, float32 or float64, or groups of them; see `Optimizer`.
    lr : float, default 1e-2
        Learning rate, >= 0.
    alpha : float, default 0.99
        Decay of the running average of squared gradients, in [0, 1].
    eps : float, default 1e-8
        Added to the denominator, >= 0.
    weight_decay : float, default 0.0
        Strength of L2 regularisation, >= 0.
    momentum : float, default 0.0
        Decay of the running average b, >= 0; 0 keeps no average.
    centered : bool, default False
        Whether to divide by the standard deviation of the gradient instead of its root mean square.
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
    _averages: ClassVar[dict[str, str | None]] = {
        "square_avg": None,
        "grad_avg": "centered",
        "momentum_buffer": "momentum",
    }
    _kernel = staticmethod(update.rmsprop)

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
        **execution: Unpack[Execution],
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
            **execution,
        )

    def _numbers(self, group: Group, state: State, first: bool) -> tuple[float | bool, ...]:
        return (
            group["lr"],
            group["weight_decay"],
            group["alpha"],
            1 - group["alpha"],
            group["eps"],
            group["momentum"],
            bool(group["centered"]),
        )
