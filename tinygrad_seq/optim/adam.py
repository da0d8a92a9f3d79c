"""Adam, and AdamW, which decays weights apart from the gradient."""

from __future__ import annotations

from typing import ClassVar

from ..kernels import update
from .optimizer import Array, Group, Optimizer, Params
from .validation import BETAS, FLAG, Rule, at_least_zero


class Adam(Optimizer):
    """Adam (Kingma & Ba 2015, arXiv 1412.6980), with AMSGrad (Reddi et al. 2018) as an option.

    ``g += weight_decay p``; ``m = beta1 m + (1 - beta1) g``; ``v = beta2 v + (1 - beta2) g^2``;
    ``p -= lr (m / (1 - beta1^t)) / (sqrt(v / (1 - beta2^t)) + eps)``; with `amsgrad`, the largest v so far.
    Arguments as in PyTorch.

    Parameters
    ----------
    params : iterable of Tensor or of dict
        Tensors, or groups ``{"params": tensors, "lr": 0.01, ...}`` whose options replace the defaults.
    lr : float, default 0.001
        The learning rate.
    betas : tuple of float, default (0.9, 0.999)
        The decay rates of the running means of g and of its square, in [0, 1).
    eps : float, default 1e-08
        What keeps the divisor above 0.
    weight_decay : float, default 0.0
        The factor of the parameter that is added to its gradient.
    amsgrad : bool, default False
        Whether to divide by the largest v so far.
    maximize : bool, default False
        Whether to go up the gradient.

    Examples
    --------
    >>> import tinygrad_seq as ts
    >>> w = ts.tensor([1.0, -2.0], requires_grad=True)
    >>> optimizer = ts.optim.Adam([w], lr=0.5)
    >>> (w * w).sum().backward()
    >>> optimizer.step()
    >>> w.data.round(4)
    array([ 0.5, -1.5], dtype=float32)
    """

    rules: ClassVar[dict[str, Rule]] = {
        "lr": at_least_zero(0.001),
        "betas": BETAS,
        "eps": at_least_zero(1e-8),
        "weight_decay": at_least_zero(0.0),
        "amsgrad": FLAG,
        "maximize": FLAG,
    }
    optional = frozenset({"max_exp_avg_sq"})
    _decoupled: ClassVar[bool] = False

    def __init__(
        self,
        params: Params,
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.0,
        amsgrad: bool = False,
        *,
        maximize: bool = False,
    ) -> None:
        super().__init__(
            params, lr=lr, betas=betas, eps=eps, weight_decay=weight_decay, amsgrad=amsgrad, maximize=maximize
        )

    def _buffers(self, group: Group) -> tuple[str, ...]:
        return ("exp_avg", "exp_avg_sq") + (("max_exp_avg_sq",) if group["amsgrad"] else ())

    def _update(
        self, param: Array, grad: Array, buffers: dict[str, Array], step: int, first: bool, group: Group
    ) -> None:
        real = param.dtype.type
        lr, (beta1, beta2), decay = group["lr"], group["betas"], group["weight_decay"]
        update.adam(
            param,
            grad,
            buffers["exp_avg"],
            buffers["exp_avg_sq"],
            buffers.get("max_exp_avg_sq", param[:0]),
            real(-1 if group["maximize"] else 1),
            real(lr / (1 - beta1**step)),
            real(0 if self._decoupled else decay),
            real(1 - lr * decay if self._decoupled else 1),
            real(beta1),
            real(1 - beta1),
            real(beta2),
            real(1 - beta2),
            real((1 - beta2**step) ** 0.5),
            real(group["eps"]),
            bool(group["amsgrad"]),
        )


class AdamW(Adam):
    """Adam with decoupled weight decay (Loshchilov & Hutter 2019, arXiv 1711.05101).

    As `Adam`, but weights decay by ``p -= lr weight_decay p`` and not through the gradient. Arguments as in PyTorch.

    Parameters
    ----------
    params : iterable of Tensor or of dict
        Tensors, or groups ``{"params": tensors, "lr": 0.01, ...}`` whose options replace the defaults.
    lr : float, default 0.001
        The learning rate.
    betas : tuple of float, default (0.9, 0.999)
        The decay rates of the running means of g and of its square, in [0, 1).
    eps : float, default 1e-08
        What keeps the divisor above 0.
    weight_decay : float, default 0.01
        The factor of the parameter that is added to its gradient.
    amsgrad : bool, default False
        Whether to divide by the largest v so far.
    maximize : bool, default False
        Whether to go up the gradient.

    Examples
    --------
    >>> import tinygrad_seq as ts
    >>> w = ts.tensor([1.0, -2.0], requires_grad=True)
    >>> optimizer = ts.optim.AdamW([w], lr=0.5, weight_decay=0.0)
    >>> (w * w).sum().backward()
    >>> optimizer.step()
    >>> w.data.round(4)
    array([ 0.5, -1.5], dtype=float32)
    """

    _decoupled = True

    def __init__(
        self,
        params: Params,
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 1e-2,
        amsgrad: bool = False,
        *,
        maximize: bool = False,
    ) -> None:
        super().__init__(params, lr, betas, eps, weight_decay, amsgrad, maximize=maximize)
