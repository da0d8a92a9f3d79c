"""Resilient backpropagation."""

from __future__ import annotations

from typing import Any, ClassVar, Unpack

from ..kernels import update
from .optimizer import Execution, Group, Optimizer, Params, State
from .validation import FLAG, Rule, at_least_zero, is_finite


def _is_pair(value: Any) -> bool:
    return isinstance(value, tuple | list) and len(value) == 2 and all(map(is_finite, value))


_ETAS = Rule(
    "a number in (0, 1) and one above 1", lambda etas: _is_pair(etas) and 0 < etas[0] < 1 < etas[1], (0.5, 1.2)
)
_STEP_SIZES = Rule(
    "two numbers >= 0 in order", lambda sizes: _is_pair(sizes) and 0 <= sizes[0] <= sizes[1], (1e-6, 50.0)
)


class Rprop(Optimizer):
    """Resilient backpropagation (Riedmiller & Braun 1993): steps by the signs of the gradients, for whole data sets.

    Each element has a step size. It is multiplied by ``etas[1]`` while the sign of the gradient stays the same and by
    ``etas[0]`` when it changes. The element moves against the sign by its step size, except when the sign has changed.
    Names and defaults are those of PyTorch.

    Parameters
    ----------
    params : iterable of Tensor or of dict
        The tensors to update, float32 or float64, or groups of them; see `Optimizer`.
    lr : float, default 1e-2
        The first step size, >= 0.
    etas : tuple of float, default (0.5, 1.2)
        The factors of a step size: between 0 and 1, and above 1.
    step_sizes : tuple of float, default (1e-6, 50.0)
        The smallest and the largest step size.
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
    >>> optimizer = ts.optim.Rprop([w], lr=0.1)
    >>> (w * w).sum().backward()
    >>> optimizer.step()
    >>> w.data.round(3)
    array([ 0.9, -1.9], dtype=float32)
    """

    rules: ClassVar[dict[str, Rule]] = {
        "lr": at_least_zero(0.01),
        "etas": _ETAS,
        "step_sizes": _STEP_SIZES,
        "maximize": FLAG,
    }
    _averages: ClassVar[dict[str, str | None]] = {"prev": None, "step_size": None}
    _kernel = staticmethod(update.rprop)

    def __init__(
        self,
        params: Params,
        lr: float = 1e-2,
        etas: tuple[float, float] = (0.5, 1.2),
        step_sizes: tuple[float, float] = (1e-6, 50.0),
        *,
        maximize: bool = False,
        **execution: Unpack[Execution],
    ) -> None:
        super().__init__(
            params,
            lr=lr,
            etas=etas,
            step_sizes=step_sizes,
            maximize=maximize,
            **execution,
        )

    def _initial_value(self, group: Group, name: str) -> float:
        return float(group["lr"]) if name == "step_size" else 0.0

    def _numbers(self, group: Group, state: State, first: bool) -> tuple[float | bool, ...]:
        return *group["etas"], *group["step_sizes"]
