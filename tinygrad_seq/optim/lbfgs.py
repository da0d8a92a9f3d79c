"""L-BFGS: a quasi-Newton method that keeps the last few changes of the gradient."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, ClassVar, NoReturn

import numpy as np

from ..autograd.tensor import Tensor
from .line_search import Point, strong_wolfe
from .optimizer import Array, Group, Optimizer, Params, State
from .validation import Rule, at_least_zero

_TENSORS = ("d", "prev_flat_grad")
_LISTS = ("old_dirs", "old_stps")
_COUNT = Rule("an integer >= 1", lambda n: isinstance(n, int) and not isinstance(n, bool) and n >= 1, 20)
_SEARCH = Rule("None or 'strong_wolfe'", lambda name: name is None or name == "strong_wolfe", "'strong_wolfe'")


class LBFGS(Optimizer):
    """Limited-memory BFGS (Nocedal 1980; Nocedal & Wright 2006, algorithm 7.5), for losses without noise.

    A step runs up to `max_iter` iterations. Each goes along ``-H g``, where H approximates the inverse Hessian by the
    last `history_size` changes of parameters and gradients: by `lr`, or as far as a line search says. Names, defaults
    and stopping rules are those of PyTorch.

    Parameters
    ----------
    params : iterable of Tensor
        The tensors to update, float32 or float64, all of one dtype; one group only.
    lr : float, default 1.0
        The length of a step in units of ``H g``, >= 0; at the first iteration less.
    max_iter : int, default 20
        The largest number of iterations per step.
    max_eval : int, optional
        The largest number of calls of the closure per step; ``max_iter * 5 // 4`` by default.
    tolerance_grad : float, default 1e-7
        A step ends if no gradient is larger.
    tolerance_change : float, default 1e-9
        A step ends if neither the loss nor a parameter changes by more.
    history_size : int, default 100
        How many changes are kept.
    line_search_fn : str, optional
        ``"strong_wolfe"`` for a line search by the strong Wolfe conditions.

    Raises
    ------
    ArgumentError
        If an option is outside its range, or there are several groups; see `Optimizer`.
    DtypeError
        If a parameter is neither float32 nor float64.

    Examples
    --------
    >>> import tinygrad_seq as ts
    >>> w = ts.tensor([-1.2, 1.0], requires_grad=True)
    >>> optimizer = ts.optim.LBFGS([w], max_iter=50, line_search_fn="strong_wolfe")
    >>> def closure():
    ...     optimizer.zero_grad()
    ...     loss = (1 - w[0]) ** 2 + 100 * (w[1] - w[0] ** 2) ** 2
    ...     loss.backward()
    ...     return loss
    >>> loss = optimizer.step(closure)
    >>> w.data.round(3)
    array([1., 1.], dtype=float32)
    """

    rules: ClassVar[dict[str, Rule]] = {
        "lr": at_least_zero(1.0),
        "max_iter": _COUNT,
        "max_eval": _COUNT,
        "tolerance_grad": at_least_zero(1e-7),
        "tolerance_change": at_least_zero(1e-9),
        "history_size": _COUNT,
        "line_search_fn": _SEARCH,
    }
    _averages: ClassVar[dict[str, str | None]] = {}

    def __init__(
        self,
        params: Params,
        lr: float = 1.0,
        max_iter: int = 20,
        max_eval: int | None = None,
        tolerance_grad: float = 1e-7,
        tolerance_change: float = 1e-9,
        history_size: int = 100,
        line_search_fn: str | None = None,
    ) -> None:
        super().__init__(
            params,
            lr=lr,
            max_iter=max_iter,
            max_eval=max_iter * 5 // 4 if max_eval is None else max_eval,
            tolerance_grad=tolerance_grad,
            tolerance_change=tolerance_change,
            history_size=history_size,
            line_search_fn=line_search_fn,
        )

    def add_param_group(self, group: Mapping[str, Any]) -> None:
        """Add the parameters; a second group is refused.

        Parameters
        ----------
        group : mapping
            As in `Optimizer.add_param_group`.

        Raises
        ------
        ArgumentError
            If there is a group already.
        """
        if self.param_groups:
            self._refuse("one group of parameters", "another one", "pass all parameters in one list")
        super().add_param_group(group)
        dtypes = {param.dtype for param in self._params()}
        if len(dtypes) > 1:
            self._refuse("parameters of one dtype", f"{sorted(map(str, dtypes))}", "cast them")

    def step(self, closure: Callable[[], Any] | None = None, *, max_norm: float | None = None) -> Any:
        """Run up to `max_iter` iterations.

        Parameters
        ----------
        closure : callable
            Clears the gradients, computes the loss, runs its backward pass and returns the loss; called several times.
        max_norm : None
            Gradients cannot be clipped here; clip them in the closure.

        Returns
        -------
        Tensor
            The loss before the step.

        Raises
        ------
        ArgumentError
            If there is no closure, or `max_norm` is given.
        """
        if closure is None or max_norm is not None:
            got = "max_norm" if closure is not None else "none"
            self._refuse("step(closure) alone, with a function that returns the loss", got, "write step(closure)")
        group = self.param_groups[0]
        self._check_options(group)
        first = self._call(closure)
        _Iterations(self, group, self._states[0], closure, float(first)).run()
        return first

    def _numbers(self, group: Group, state: State, first: bool) -> NoReturn:
        raise NotImplementedError  # there is no update by elements

    def _read_state(self, number: int, group: Group, param: Tensor, state: Mapping[str, Any]) -> State:
        """Return a checked copy of the state, which belongs to all parameters and is saved with the first."""
        flat, read = (sum(each.size for each in self._params()),), dict(state)
        names = {"func_evals", "n_iter", *_TENSORS, *_LISTS, "t", "ro", "H_diag", "prev_loss"}
        read.pop("al", None)  # a work area of PyTorch
        read.setdefault("step", read.get("n_iter"))
        if number or (read.keys() != names | {"step"} and read.keys() != {"func_evals", "n_iter", "step"}):
            self._refuse(f"{sorted(names)} for parameter 0", f"{sorted(map(str, read))}", "load the same optimiser")
        for name in _TENSORS:
            if name in read:
                read[name] = _flat(read[name])
        for name in (*_LISTS, "ro"):
            if name in read:
                read[name] = [_flat(each) for each in read[name]]
        for name in ("t", "H_diag", "prev_loss"):
            if name in read:
                read[name] = float(read[name])
        read["ro"] = [float(each) for each in read.get("ro", ())]
        arrays = [read[name] for name in _TENSORS if name in read]
        for array in (*arrays, *(each for name in _LISTS for each in read.get(name, ()))):
            if array.shape != flat or array.dtype != param.dtype:
                self._refuse(f"arrays of {flat} {param.dtype}", f"{array.shape} {array.dtype}", "load the same model")
        return read


def _flat(value: Any) -> Array:
    return np.array(value.detach().cpu() if hasattr(value, "detach") else value)


class _Iterations:
    """The iterations of one step."""

    def __init__(self, optimizer: LBFGS, group: Group, state: State, closure: Callable[[], Any], loss: float) -> None:
        self.optimizer, self.group, self.state, self.closure = optimizer, group, state, closure
        self.params: list[Tensor] = group["params"]
        self.point = Point(loss, self._gradient())
        self.calls = 1
        state["func_evals"] = state.get("func_evals", 0) + 1
        state.setdefault("n_iter", 0)

    def run(self) -> None:
        group, state = self.group, self.state
        if self._is_flat():
            return
        for iteration in range(1, group["max_iter"] + 1):
            state["n_iter"] += 1
            state["step"] = state["n_iter"]
            direction = self._direction()
            before = self.point
            state["prev_flat_grad"], state["prev_loss"], state["d"] = before.gradient, before.loss, direction
            length = group["lr"]
            if state["n_iter"] == 1:
                length *= min(1.0, 1.0 / float(np.abs(before.gradient).sum()))
            state["t"] = length
            slope = float(before.gradient @ direction)
            if slope > -group["tolerance_change"]:
                return
            calls = self.calls
            last = iteration == group["max_iter"]
            if group["line_search_fn"]:
                length = self._search(direction, length, slope)
            else:
                self._move(self._values(), direction, length)
                if not last:
                    self.point = self._evaluate()
            state["t"] = length
            state["func_evals"] += self.calls - calls
            if last or self.calls >= group["max_eval"] or self._is_flat():
                return
            if float(np.abs(direction * length).max()) <= group["tolerance_change"]:
                return
            if abs(self.point.loss - before.loss) < group["tolerance_change"]:
                return

    def _direction(self) -> Array:
        """Return ``-H g``, after H has learned from the last iteration."""
        state, gradient = self.state, self.point.gradient
        if state["n_iter"] == 1:
            state.update(old_dirs=[], old_stps=[], ro=[], H_diag=1.0)
            return -gradient
        change, step = gradient - state["prev_flat_grad"], state["d"] * gradient.dtype.type(state["t"])
        curvature = float(change @ step)
        if curvature > 1e-10:
            for name, value in (("old_dirs", change), ("old_stps", step), ("ro", 1 / curvature)):
                state[name] = [*state[name], value][-self.group["history_size"] :]
            state["H_diag"] = curvature / float(change @ change)
        real = gradient.dtype.type
        history = list(zip(state["old_dirs"], state["old_stps"], state["ro"], strict=True))
        direction, shares = -gradient, []
        for change, step, ratio in reversed(history):
            shares.append(float(step @ direction) * ratio)
            direction -= real(shares[-1]) * change
        direction *= real(state["H_diag"])
        for (change, step, ratio), share in zip(history, reversed(shares), strict=True):
            direction += real(share - float(change @ direction) * ratio) * step
        return direction

    def _search(self, direction: Array, length: float, slope: float) -> float:
        """Move along `direction` as far as a line search says; return how far."""
        start = self._values()

        def evaluate(t: float) -> Point:
            self._move(start, direction, t)
            return self._evaluate()

        budget = self.group["max_eval"] - self.calls
        length, self.point = strong_wolfe(
            evaluate, self.point, direction, slope, length, self.group["tolerance_change"], budget
        )
        self._move(start, direction, length)
        return length

    def _evaluate(self) -> Point:
        self.calls += 1
        return Point(float(self.optimizer._call(self.closure)), self._gradient())

    def _gradient(self) -> Array:
        """Return the gradients of all parameters as one vector."""
        parts = [np.zeros(p.size, p.dtype) if p.grad is None else p.grad.numpy().reshape(-1) for p in self.params]
        return np.concatenate(parts)

    def _values(self) -> list[Array]:
        return [param.numpy().copy() for param in self.params]

    def _move(self, start: list[Array], direction: Array, length: float) -> None:
        """Set the parameters to ``start + length * direction``."""
        end = 0
        for param, values in zip(self.params, start, strict=True):
            part = direction[end : end + param.size].reshape(param.shape)
            np.add(values, direction.dtype.type(length) * part, out=param._writable())
            param._written()
            end += param.size

    def _is_flat(self) -> bool:
        return bool(np.abs(self.point.gradient).max() <= self.group["tolerance_grad"])
