"""Adamax, NAdam and RAdam."""

from __future__ import annotations

from typing import ClassVar, Unpack

from ..kernels import update
from .optimizer import Execution, Group, Optimizer, Params, State
from .validation import BETAS, FLAG, Rule, at_least_zero


class Adamax(Optimizer):
    """Adamax (Kingma & Ba 2015, arXiv 1412.6980): Adam with the largest gradient in place of the root mean square.

    ``g += weight_decay p``; ``m = beta1 m + (1 - beta1) g``; ``u = max(beta2 u, |g| + eps)``;
    ``p -= lr / (1 - beta1^t) m / u``. Names and defaults are those of PyTorch.

    Parameters
    ----------
    params : iterable of Tensor or of dict
        The tensors to update, float32 or float64, or groups of them; see `Optimizer`.
    lr : float, default 2e-3
        Learning rate, >= 0.
    betas : tuple of float, default (0.9, 0.999)
        Decay of the running averages of the gradient and of its largest magnitude, both in [0, 1).
    eps : float, default 1e-8
        Added to the magnitude, >= 0.
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
    >>> optimizer = ts.optim.Adamax([w], lr=0.5)
    >>> (w * w).sum().backward()
    >>> optimizer.step()
    >>> w.data.round(3)
    array([ 0.5, -1.5], dtype=float32)
    """

    rules: ClassVar[dict[str, Rule]] = {
        "lr": at_least_zero(0.002),
        "betas": BETAS,
        "eps": at_least_zero(1e-8),
        "weight_decay": at_least_zero(0.0),
        "maximize": FLAG,
    }
    _averages: ClassVar[dict[str, str | None]] = {"exp_avg": None, "exp_inf": None}
    _kernel = staticmethod(update.adamax)

    def __init__(
        self,
        params: Params,
        lr: float = 2e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.0,
        *,
        maximize: bool = False,
        **execution: Unpack[Execution],
    ) -> None:
        super().__init__(
            params,
            lr=lr,
            betas=betas,
            eps=eps,
            weight_decay=weight_decay,
            maximize=maximize,
            **execution,
        )

    def _numbers(self, group: Group, state: State, first: bool) -> tuple[float | bool, ...]:
        beta1, beta2 = group["betas"]
        step_size = group["lr"] / (1 - beta1 ** state["step"])
        return step_size, group["weight_decay"], beta2, 1 - beta1, group["eps"]


class NAdam(Optimizer):
    """Adam with Nesterov momentum (Dozat 2016).

    ``g += weight_decay p``; ``m = beta1 m + (1 - beta1) g``; ``v = beta2 v + (1 - beta2) g^2``;
    ``mu_t = beta1 (1 - 0.96^(t momentum_decay) / 2)``; ``M_t = mu_1 ... mu_t``;
    ``p -= lr ((1 - mu_t) / (1 - M_t) g + mu_(t+1) / (1 - M_(t+1)) m) / (sqrt(v / (1 - beta2^t)) + eps)``. Names and
    defaults are those of PyTorch.

    Parameters
    ----------
    params : iterable of Tensor or of dict
        The tensors to update, float32 or float64, or groups of them; see `Optimizer`.
    lr : float, default 2e-3
        Learning rate, >= 0.
    betas : tuple of float, default (0.9, 0.999)
        Decay of the running averages of the gradient and of its square, both in [0, 1).
    eps : float, default 1e-8
        Added to the denominator, >= 0.
    weight_decay : float, default 0.0
        Strength of L2 regularisation, >= 0.
    momentum_decay : float, default 4e-3
        How fast the momentum rises to `beta1`, >= 0.
    decoupled_weight_decay : bool, default False
        Whether weights decay by ``p -= lr weight_decay p`` instead of through the gradient.
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
    >>> optimizer = ts.optim.NAdam([w], lr=0.5)
    >>> (w * w).sum().backward()
    >>> optimizer.step()
    >>> w.data.round(3)
    array([ 0.5, -1.5], dtype=float32)
    """

    rules: ClassVar[dict[str, Rule]] = {
        "lr": at_least_zero(0.002),
        "betas": BETAS,
        "eps": at_least_zero(1e-8),
        "weight_decay": at_least_zero(0.0),
        "momentum_decay": at_least_zero(0.004),
        "decoupled_weight_decay": FLAG,
        "maximize": FLAG,
    }
    _averages: ClassVar[dict[str, str | None]] = {"exp_avg": None, "exp_avg_sq": None}
    _kernel = staticmethod(update.nadam)
    _counters = ("mu_product",)

    def __init__(
        self,
        params: Params,
        lr: float = 2e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.0,
        momentum_decay: float = 4e-3,
        decoupled_weight_decay: bool = False,
        *,
        maximize: bool = False,
        **execution: Unpack[Execution],
    ) -> None:
        super().__init__(
            params,
            lr=lr,
            betas=betas,
            eps=eps,
            weight_decay=weight_decay,
            momentum_decay=momentum_decay,
            decoupled_weight_decay=decoupled_weight_decay,
            maximize=maximize,
            **execution,
        )

    def _initial_counters(self, group: Group) -> tuple[float, ...]:
        return (1.0,)

    def _numbers(self, group: Group, state: State, first: bool) -> tuple[float | bool, ...]:
        lr, (beta1, beta2), step = group["lr"], group["betas"], state["step"]
        mu, mu_next = (beta1 * (1 - 0.5 * 0.96 ** (t * group["momentum_decay"])) for t in (step, step + 1))
        state["mu_product"] *= mu
        decay, shrink = _decay(group)
        of_grad = lr * (1 - mu) / (1 - state["mu_product"])
        of_mean = lr * mu_next / (1 - state["mu_product"] * mu_next)
        correction = 1 - beta2**step
        return decay, shrink, 1 - beta1, beta2, 1 - beta2, correction, group["eps"], of_grad, of_mean


class RAdam(Optimizer):
    """Rectified Adam (Liu et al. 2020): the first steps, whose averages of squares vary too much, do without them.

    ``g += weight_decay p``; ``m = beta1 m + (1 - beta1) g``; ``v = beta2 v + (1 - beta2) g^2``;
    ``n = 2 / (1 - beta2) - 1``; ``r = n - 2 t beta2^t / (1 - beta2^t)``; ``p -= lr m / (1 - beta1^t)``, for r > 5 times
    ``sqrt((r - 4) (r - 2) n / ((n - 4) (n - 2) r)) sqrt(1 - beta2^t) / (sqrt(v) + eps)``. Names and defaults are those
    of PyTorch.

    Parameters
    ----------
    params : iterable of Tensor or of dict
        The tensors to update, float32 or float64, or groups of them; see `Optimizer`.
    lr : float, default 1e-3
        Learning rate, >= 0.
    betas : tuple of float, default (0.9, 0.999)
        Decay of the running averages of the gradient and of its square, both in [0, 1).
    eps : float, default 1e-8
        Added to the denominator, >= 0.
    weight_decay : float, default 0.0
        Strength of L2 regularisation, >= 0.
    decoupled_weight_decay : bool, default False
        Whether weights decay by ``p -= lr weight_decay p`` instead of through the gradient.
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
    >>> optimizer = ts.optim.RAdam([w], lr=0.25)
    >>> (w * w).sum().backward()
    >>> optimizer.step()
    >>> w.data.round(3)
    array([ 0.5, -1. ], dtype=float32)
    """

    rules: ClassVar[dict[str, Rule]] = {
        "lr": at_least_zero(0.001),
        "betas": BETAS,
        "eps": at_least_zero(1e-8),
        "weight_decay": at_least_zero(0.0),
        "decoupled_weight_decay": FLAG,
        "maximize": FLAG,
    }
    _averages: ClassVar[dict[str, str | None]] = {"exp_avg": None, "exp_avg_sq": None}
    _kernel = staticmethod(update.radam)

    def __init__(
        self,
        params: Params,
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.0,
        decoupled_weight_decay: bool = False,
        *,
        maximize: bool = False,
        **execution: Unpack[Execution],
    ) -> None:
        super().__init__(
            params,
            lr=lr,
            betas=betas,
            eps=eps,
            weight_decay=weight_decay,
            decoupled_weight_decay=decoupled_weight_decay,
            maximize=maximize,
            **execution,
        )

    def _numbers(self, group: Group, state: State, first: bool) -> tuple[float | bool, ...]:
        (beta1, beta2), step = group["betas"], state["step"]
        decay, shrink = _decay(group)
        step_size, correction = group["lr"] / (1 - beta1**step), 1 - beta2**step
        longest = 2 / (1 - beta2) - 1
        length = longest - 2 * step * beta2**step / correction
        adaptive = length > 5
        if adaptive:
            rectified = (length - 4) * (length - 2) * longest / ((longest - 4) * (longest - 2) * length)
            step_size *= rectified**0.5
        numbers = step_size, decay, shrink, 1 - beta1, beta2, 1 - beta2, correction**0.5
        return *numbers, group["eps"], adaptive


def _decay(group: Group) -> tuple[float, float]:
    """Return the weight decay that is added to the gradient, and the factor of decoupled decay."""
    decay = group["weight_decay"]
    return (0, 1 - group["lr"] * decay) if group["decoupled_weight_decay"] else (decay, 1)
