"""The part all optimisers share: groups of parameters, their checks, and state that can be saved."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping
from collections.abc import Set as AbstractSet
from typing import Any, ClassVar, NoReturn, TypeAlias

import numpy as np
import numpy.typing as npt

from ..autograd.tensor import Tensor
from ..errors import ArgumentError, DtypeError
from .validation import Rule, list_parameters

Array: TypeAlias = npt.NDArray[Any]
Group: TypeAlias = dict[str, Any]
State: TypeAlias = dict[str, Any]
Params: TypeAlias = Iterable[Tensor | Mapping[str, Any]]

_UPDATABLE = (np.dtype(np.float32), np.dtype(np.float64))
_INITIAL = "initial_lr"  # the rate of a group before any schedule; only there if the group has one
_RELOAD = "load what state_dict() of the same optimiser on the same model returned"


class Optimizer(ABC):
    """Base of the optimisers: changes parameters in place, given their gradients.

    A subclass names the `rules` of its options, the running averages it keeps (`_buffers`, of which `optional` come
    with an option) and the kernel of one update (`_update`).

    Parameters
    ----------
    params
        Tensors, or groups ``{"params": tensors, "lr": 0.01, ...}`` whose options replace the defaults.
    **defaults
        The value of every option.

    Attributes
    ----------
    param_groups : list of dict
        Per group ``"params"`` and every option. Options may be changed here: ``param_groups[0]["lr"] = 0.1``.

    Raises
    ------
    ArgumentError
        No parameters, the same one twice, something that is no leaf Tensor, or an option outside its range.
    DtypeError
        A parameter that is neither float32 nor float64.

    Examples
    --------
    >>> import tinygrad_seq as ts
    >>> w = ts.tensor([1.0], requires_grad=True)
    >>> optimizer = ts.optim.SGD([w], lr=0.1)
    >>> isinstance(optimizer, ts.optim.Optimizer), optimizer.param_groups[0]["lr"]
    (True, 0.1)
    """

    rules: ClassVar[dict[str, Rule]]
    optional: ClassVar[frozenset[str]] = frozenset()
    """The running averages of options: kept while these are switched off, lacking until they are first used."""

    def __init__(self, params: Params, **defaults: Any) -> None:
        if isinstance(params, Tensor | Mapping):
            self._refuse("a list of tensors or of groups", f"one {type(params).__name__}", "put it in a list")
        if not isinstance(params, Iterable) or isinstance(params, AbstractSet):
            self._refuse("a list of tensors or of groups", f"a {type(params).__name__}", "pass e.g. model.parameters()")
        items: list[Any] = list(params)
        if not items:
            self._refuse("at least one parameter", "an empty list", "pass e.g. model.parameters()")
        self.defaults = defaults
        self.param_groups: list[Group] = []
        self._states: list[State] = []
        self._schedules: list[Any] = []  # see `Scheduler`, which keeps both
        self._scheduled_lrs: list[float] = []
        for group in items if isinstance(items[0], Mapping) else [{"params": items}]:
            self.add_param_group(group)

    def add_param_group(self, group: Mapping[str, Any]) -> None:
        """Add one more group, ``{"params": tensors, option: value, ...}``; options not named take the defaults.

        Parameters
        ----------
        group : mapping[str, Any]
            ``{"params": tensors, ...}`` with any of the options.
        """
        if not isinstance(group, Mapping) or "params" not in group:
            self._refuse("a group {'params': tensors, ...}", type(group).__name__, "do not mix both")
        if unknown := group.keys() - self.rules.keys() - {"params", _INITIAL}:
            self._refuse(f"the options {', '.join(self.rules)}", f"{sorted(unknown)}", "correct or remove them")
        if isinstance(group["params"], AbstractSet):
            self._refuse("a list of tensors", f"a {type(group['params']).__name__}, which has no order", "sort it")
        params = list_parameters(f"{type(self).__name__}: ", group["params"])
        seen = {id(param) for param in self._params()}
        for param in params:
            self._check_param(param)
            if id(param) in seen:
                self._refuse("every parameter once", f"one of shape {param.shape} twice", "list it once")
            seen.add(id(param))
        complete = {**self.defaults, **group, "params": params}
        self._check_options(complete)
        self.param_groups.append(complete)
        self._states.extend({"step": 0} for _ in params)

    def zero_grad(self) -> None:
        """Drop the gradient of every parameter."""
        for param in self._params():
            param.grad = None

    def step(self) -> None:
        """Update every parameter that has a gradient; nothing is changed if any option or gradient is unfit.

        An interrupt (Ctrl-C) in the middle may leave some parameters updated and others not; go on from a checkpoint.

        Raises
        ------
        ArgumentError
            An option in `param_groups` is outside its range.
        """
        for group in self.param_groups:
            self._check_options(group)
        updates = []
        for group, param, state in self._slots():
            if param.grad is not None:
                updates.append((group, param, self._contiguous(param.grad), state))
        new = [self._add_buffers(group, param, state) for group, param, _, state in updates]
        arrays = [param._writable() for _, param, _, _ in updates]
        for (group, _, grad, state), array, first in zip(updates, arrays, new, strict=True):
            state["step"] += 1
            buffers = {name: state[name].reshape(-1) for name in self._buffers(group)}
            self._update(array.reshape(-1), grad.reshape(-1), buffers, state["step"], first, group)

    def state_dict(self) -> dict[str, Any]:
        """Return a copy of all that `load_state_dict` needs to go on bit for bit, laid out as in PyTorch.

        ``{"state": {0: {"step": 3, "exp_avg": array, ...}, ...}, "param_groups": [{"lr": 0.1, ..., "params": [0]}]}``.
        Parameters are numbered through all groups; one that was never updated has no state.
        """
        groups: list[Group] = []
        numbers = iter(range(len(self._states)))
        for group in self.param_groups:
            names = (*self.rules, _INITIAL) if _INITIAL in group else self.rules
            options = {name: _as_python(group[name]) for name in names}
            groups.append({**options, "params": [next(numbers) for _ in group["params"]]})
        states = {}
        for number, state in enumerate(self._states):
            if state["step"]:
                states[number] = {name: _copied(value) for name, value in state.items()}
        return {"state": states, "param_groups": groups}

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Take over options and a copy of the state in `state_dict`, whose keys may be strings, as JSON makes them.

        Parameters
        ----------
        state_dict : mapping[str, Any]
            What `state_dict` returned, of this optimiser or of one with as many parameters of the same shapes.

        Raises
        ------
        ArgumentError
            It comes from another optimiser or another model. Nothing has been changed then.
        """
        groups, states = self._read_state_dict(state_dict)
        for group, loaded in zip(self.param_groups, groups, strict=True):
            group.update({name: value for name, value in loaded.items() if name != "params"})
        self._states = states

    # ------------------------------------------------------------------------------------------ for subclasses

    @abstractmethod
    def _buffers(self, group: Group) -> tuple[str, ...]:
        """Return the names of the running averages that the options of `group` need."""

    def _initial_value(self, group: Group) -> float:
        """Return what new running averages are filled with."""
        return 0.0

    @abstractmethod
    def _update(
        self, param: Array, grad: Array, buffers: dict[str, Array], step: int, first: bool, group: Group
    ) -> None:
        """Update `param` and `buffers` in place: flat arrays of one dtype.

        `step` counts from 1; `first` says whether a running average is new, which is later where an option was switched
        on later.
        """

    # ------------------------------------------------------------------------------------------ what is stepped

    def _params(self) -> Iterator[Tensor]:
        return (param for group in self.param_groups for param in group["params"])

    def _slots(self) -> Iterator[tuple[Group, Tensor, State]]:
        """Yield every parameter between its group and its state."""
        owned = ((group, param) for group in self.param_groups for param in group["params"])
        return ((group, param, state) for (group, param), state in zip(owned, self._states, strict=True))

    def _add_buffers(self, group: Group, param: Tensor, state: State) -> bool:
        """Add the running averages that `state` lacks, later those of options switched on since; return if any."""
        lacking = [name for name in self._buffers(group) if name not in state]
        for name in lacking:
            state[name] = np.full(param.shape, self._initial_value(group), param.dtype)
        return bool(lacking)

    # ---------------------------------------------------------------------------------------------- the checks

    def _refuse(self, expected: str, got: str, advice: str) -> NoReturn:
        raise ArgumentError(f"{type(self).__name__}: expected {expected}, got {got}; {advice}.")

    def _check_param(self, param: Tensor) -> None:
        if not param.is_leaf:
            self._refuse("leaf tensors", f"the result of an operation, {param.shape}", "pass what it was made of")
        if param.dtype not in _UPDATABLE:
            raise DtypeError(
                f"{type(self).__name__}: expected float32 or float64 parameters, got {param.shape} {param.dtype}; "
                "leave it out or convert it."
            )

    def _check_options(self, group: Group) -> None:
        for name, rule in (self.rules | ({_INITIAL: self.rules["lr"]} if _INITIAL in group else {})).items():
            if not rule.accepts(group[name]):
                self._refuse(f"{name} to be {rule.expected}", f"{group[name]!r}", f"pass e.g. {name}={rule.example}")

    def _contiguous(self, grad: Tensor) -> Array:
        """Return the contiguous array of `grad`."""
        if grad._array.flags.c_contiguous:
            return grad._array
        from ..kernels.transposition import contiguous  # on first use: LLVM's language takes a while to import

        return contiguous(grad._array)

    def _read_state_dict(self, state_dict: Mapping[str, Any]) -> tuple[list[Group], list[State]]:
        """Return the groups of `state_dict` and a copy of the state of every parameter, or refuse them."""
        if not isinstance(state_dict, Mapping) or state_dict.keys() != {"state", "param_groups"}:
            got = sorted(map(str, state_dict)) if isinstance(state_dict, Mapping) else type(state_dict).__name__
            self._refuse("a state_dict with 'state' and 'param_groups'", f"{got}", _RELOAD)
        groups = list(state_dict["param_groups"])
        sizes = [len(group["params"]) for group in self.param_groups]
        if (got_sizes := [len(group.get("params", ())) for group in groups]) != sizes:
            self._refuse(f"groups of {sizes} parameters", f"{got_sizes}", _RELOAD)
        for group in groups:
            if group.keys() - {_INITIAL} != {*self.rules, "params"}:
                self._refuse(f"the options {', '.join(self.rules)}", ", ".join(group.keys() - {"params"}), _RELOAD)
            self._check_options(group)
        saved = {str(number): state for number, state in state_dict["state"].items()}
        if len(saved) != len(state_dict["state"]):
            self._refuse("one state per parameter", f"two, of {sorted(map(repr, state_dict['state']))}", _RELOAD)
        if unknown := saved.keys() - {str(number) for number in range(len(self._states))}:
            self._refuse(f"state of {len(self._states)} parameters", f"also of {sorted(unknown)}", _RELOAD)
        owners = [group for group, size in zip(groups, sizes, strict=True) for _ in range(size)]
        states: list[State] = []
        for number, (group, param) in enumerate(zip(owners, self._params(), strict=True)):
            if (state := saved.get(str(number))) is not None:
                self._check_state(number, param, state, {"step", *self._buffers(group)} - self.optional)
            states.append({name: _copied(value) for name, value in (state or {"step": 0}).items()})
        return groups, states

    def _check_state(self, number: int, param: Tensor, state: Mapping[str, Any], names: set[str]) -> None:
        if state.keys() - self.optional != names:
            self._refuse(f"{sorted(names)} for parameter {number}", f"{sorted(state)}", _RELOAD)
        for name, value in state.items():
            if name == "step":
                fits, expected = isinstance(value, int) and value >= 1, "an integer >= 1"
            else:
                fits, expected = _kind(value) == _kind(param), _kind(param)
            if not fits:
                self._refuse(f"{name} of parameter {number} to be {expected}", _kind(value), _RELOAD)


def _kind(value: Any) -> str:
    return f"{value.shape} {value.dtype}" if isinstance(value, np.ndarray | Tensor) else repr(value)


def _copied(value: Any) -> Any:
    return np.array(value, order="C") if isinstance(value, np.ndarray) else value


def _as_python(value: Any) -> Any:
    return value.item() if isinstance(value, np.generic) else value
