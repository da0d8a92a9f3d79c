"""What all optimisers share: parameter groups, validation, and state that can be saved."""

from __future__ import annotations

import math
import sys
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping
from collections.abc import Set as AbstractSet
from functools import partial
from numbers import Real
from typing import Any, ClassVar, NoReturn, TypeAlias, TypedDict, TypeVar, overload

import numpy as np
import numpy.typing as npt

from ..autograd.creation import zeros_like
from ..autograd.tensor import Tensor
from ..base.modes import enable_grad
from ..errors import AnomalyError, ArgumentError, DtypeError
from ..kernels.pool import Task
from .clip import clip_factor, total_norm
from .pieces import cut_pieces, run_pieces
from .validation import Rule, is_finite, list_parameters, shown

Array: TypeAlias = npt.NDArray[Any]
Group: TypeAlias = dict[str, Any]
State: TypeAlias = dict[str, Any]
Loss = TypeVar("Loss")
Params: TypeAlias = Iterable[Tensor | Mapping[str, Any]]


class Execution(TypedDict, total=False):
    """PyTorch's options of how an update is computed; here there is one way, so that they are None or False."""

    foreach: bool | None
    fused: bool | None
    capturable: bool
    differentiable: bool


_UPDATABLE = (np.dtype(np.float32), np.dtype(np.float64))
_INITIAL = "initial_lr"  # the learning rate of a group before any schedule; present only if the group has a schedule
# What state dicts of PyTorch hold beside options: how an update is computed, names, the notes of its schedules.
_NOT_READ = frozenset(
    {*Execution.__annotations__, "param_names"} | {"max_lr", "min_lr", "base_momentum", "max_momentum"}
)
_RELOAD = "load the state_dict() of the same optimiser on the same model"


class Optimizer(ABC):
    """Base class of the optimisers: updates parameters in place, given their gradients.

    A subclass defines the `rules` of its options, its running averages, the kernel of one update, and the numbers that
    the kernel takes.

    Parameters
    ----------
    params : iterable of Tensor or of dict
        Leaf tensors, float32 or float64, or groups ``{"params": tensors, "lr": 0.01, ...}`` whose options replace the
        defaults. A list, tuple or iterator; sets have no order and are rejected.
    **defaults : Any
        The value of every option.

    Attributes
    ----------
    param_groups : list of dict
        One dict per group, with ``"params"`` and every option. Options may be changed at any time:
        ``param_groups[0]["lr"] = 0.1``.

    Raises
    ------
    ArgumentError
        If there are no parameters, one occurs twice, one is not a leaf Tensor, or an option is outside its range.
    DtypeError
        If a parameter is neither float32 nor float64.

    Examples
    --------
    Two groups with different learning rates:

    >>> import tinygrad_seq as ts
    >>> body, head = ts.nn.GRU(2, 3), ts.nn.Linear(3, 1)
    >>> optimizer = ts.optim.Adam([{"params": body.parameters()}, {"params": head.parameters(), "lr": 0.01}])
    >>> [group["lr"] for group in optimizer.param_groups]
    [0.001, 0.01]
    """

    rules: ClassVar[dict[str, Rule]]
    _decoupled: ClassVar[bool] = False
    """Whether weights decay apart from the gradient."""
    _counts_steps: ClassVar[bool] = True
    """Whether the update depends on the number of steps, which PyTorch saves only then."""
    _averages: ClassVar[dict[str, str | None]]
    """The running averages in the kernel's order, each with the option that enables it, or None if always kept.

    An average is created when its option is first enabled, and stays when the option is disabled.
    """
    _counters: ClassVar[tuple[str, ...]] = ()
    """Numbers in the state of a parameter beside `step`; `_initial_counters` returns their first values."""
    _kernel: ClassVar[Callable[..., None]]
    """Updates a flat parameter: ``(param, grad, *averages, factor, *numbers)``; a disabled average is empty."""

    def __init__(self, params: Params, **defaults: Any) -> None:
        if isinstance(params, Tensor | Mapping):
            self._refuse("a list of tensors or of groups", f"one {type(params).__name__}", "put it in a list")
        if not isinstance(params, Iterable) or isinstance(params, AbstractSet):
            self._refuse("a list of tensors or of groups", f"a {type(params).__name__}", "pass e.g. model.parameters()")
        items: list[Any] = list(params)
        if not items:
            self._refuse("at least one parameter", "an empty list", "pass e.g. model.parameters()")
        self.defaults = {name: value for name, value in defaults.items() if name in self.rules}
        for name in defaults.keys() - self.rules.keys():
            self._refuse_execution(name, defaults[name])
        self.param_groups: list[Group] = []
        self._states: list[State] = []
        self._schedules: list[Any] = []  # `Scheduler` maintains both
        self._scheduled_lrs: list[float] = []
        for group in items if isinstance(items[0], Mapping) else [{"params": items}]:
            self.add_param_group(group)

    def add_param_group(self, group: Mapping[str, Any]) -> None:
        """Add a parameter group.

        Parameters
        ----------
        group : mapping
            ``{"params": tensors, option: value, ...}``; missing options take the defaults of the optimiser.

        Raises
        ------
        ArgumentError
            If `group` is not such a mapping, an option is unknown or outside its range, or a parameter is not a leaf
            Tensor or is already in a group.
        DtypeError
            If a parameter is neither float32 nor float64.
        """
        if not isinstance(group, Mapping) or "params" not in group:
            self._refuse("a group {'params': tensors, ...}", type(group).__name__, "pass tensors or groups, not both")
        if unknown := group.keys() - self.rules.keys() - {"params", _INITIAL}:
            self._refuse(f"the options {', '.join(self.rules)}", f"{sorted(unknown)}", "correct or remove them")
        if isinstance(group["params"], AbstractSet):
            self._refuse("a list of tensors", f"an unordered {type(group['params']).__name__}", "pass a list")
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

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Set the gradient of every parameter to None.

        Parameters
        ----------
        set_to_none : bool, default True
            False to set the gradients that there are to zeros.
        """
        for param in self._params():
            param.grad = None if set_to_none or param.grad is None else zeros_like(param.grad)

    @overload
    def step(self) -> None: ...

    @overload
    def step(self, closure: Callable[[], Loss]) -> Loss: ...

    @overload
    def step(self, closure: None = None, *, max_norm: float) -> float: ...

    def step(self, closure: Callable[[], Any] | None = None, *, max_norm: float | None = None) -> Any:
        """Update every parameter that has a gradient. If an option or gradient is invalid, no parameter changes.

        With `max_norm`, parameters become what `clip_grad_norm_` followed by ``step()`` makes of them, bit for bit, if
        both get the same parameters. Gradients are scaled as they are read: ``grad`` itself does not change, and memory
        is passed over twice in place of three times.

        An interrupt (Ctrl-C) during the update may leave only some parameters updated; resume from a checkpoint.

        Parameters
        ----------
        closure : callable, optional
            Called first: it clears the gradients, computes the loss, runs its backward pass and returns the loss.
        max_norm : float, optional
            The bound on the 2-norm of all gradients as one vector, >= 0; ``float("inf")`` only measures it. By default
            gradients are not clipped.

        Returns
        -------
        Tensor, float or None
            What the closure returned, or the norm before clipping; None without either.

        Raises
        ------
        ArgumentError
            If an option in `param_groups`, or `max_norm`, is outside its range, or both arguments are given.
        AnomalyError
            If `max_norm` is given and the norm is NaN or infinite.

        Examples
        --------
        >>> import tinygrad_seq as ts
        >>> w = ts.tensor([3.0, 4.0], requires_grad=True)
        >>> optimizer = ts.optim.SGD([w], lr=0.5)
        >>> (w * w).sum().backward()
        >>> optimizer.step(max_norm=5.0)
        10.0
        >>> w.data.round(3)
        array([1.5, 2. ], dtype=float32)
        """
        if closure is not None:
            if max_norm is not None:
                advice = "call closure() first, then step(max_norm=...)"
                self._refuse("a closure or max_norm in step", "both", advice)
            loss = self._call(closure)
            self._step(None)
            return loss
        return self._step(max_norm)

    def _call(self, closure: Callable[[], Any]) -> Any:
        if not callable(closure):
            advice = "pass a bound by name: step(max_norm=1.0)"
            self._refuse("a function without arguments that returns the loss", shown(closure), advice)
        with enable_grad():
            return closure()

    def _step(self, max_norm: float | None) -> float | None:
        for group in self.param_groups:
            self._check_options(group)
        updates = []
        for group, param, state in self._slots():
            if param.grad is not None:
                updates.append((group, param, param.grad._array, state))
        norm, factor = None, 1.0
        if max_norm is not None:
            norm = self._checked_norm([grad for _, _, grad, _ in updates], max_norm)
            factor = clip_factor(norm, max_norm)
        new = [self._add_averages(group, param, state) for group, param, _, state in updates]
        arrays = [param._writable().reshape(-1) for _, param, _, _ in updates]
        tasks: list[Task] = []
        for (group, _, grad, state), array, first in zip(updates, arrays, new, strict=True):
            state["step"] += 1
            enabled = self._enabled(group)
            flat = [array, *[state[name].reshape(-1) if name in enabled else array[:0] for name in self._averages]]
            numbers = (-factor if group["maximize"] else factor, *self._numbers(group, state, first))
            real = array.dtype.type
            scalars = [number if isinstance(number, bool) else real(number) for number in numbers]
            for piece, part in cut_pieces(grad):
                tasks.append(partial(self._update, part, *[whole[piece] for whole in flat], scalars=scalars))
        try:
            run_pieces(tasks, sum(array.nbytes for array in arrays) * (3 + 2 * len(self._averages)))
        finally:  # a call in another thread may have packed weights that were half written
            for _, param, _, _ in updates:
                param._written()
        return norm

    def state_dict(self) -> dict[str, Any]:
        """Return a copy of the state that `load_state_dict` restores bit for bit, in PyTorch's layout.

        ``{"state": {0: {"step": 3, "exp_avg": array, ...}, ...}, "param_groups": [{"lr": 0.1, ..., "params": [0]}]}``.
        Parameters are numbered across all groups; one that was never updated has no state.

        Returns
        -------
        dict
            Options and running averages; `ts.train.save_checkpoint` can write it.
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
        """Load the options and a copy of the state from `state_dict`.

        Parameters
        ----------
        state_dict : mapping
            What `state_dict` of the same optimiser on the same model returned, here or in PyTorch. Parameter numbers
            may be strings, as after a round trip through JSON.

        Raises
        ------
        ArgumentError
            If it belongs to another optimiser or model. Nothing changes in that case.
        """
        groups, states = self._read_state_dict(state_dict)
        for group, loaded in zip(self.param_groups, groups, strict=True):
            group.update({name: value for name, value in loaded.items() if name != "params"})
        self._states = states

    # ------------------------------------------------------------------------------------------ for subclasses

    def _initial_value(self, group: Group, name: str) -> float:
        """Return the initial value of a running average."""
        return 0.0

    def _initial_counters(self, group: Group) -> tuple[float, ...]:
        """Return the initial values of `_counters`."""
        return ()

    @abstractmethod
    def _numbers(self, group: Group, state: State, first: bool) -> tuple[float | bool, ...]:
        """Return the arguments of the kernel after the factor: floats, cast to the parameter's dtype, and bools.

        ``state["step"]`` counts from 1; the other counters are changed here. `first` tells whether a running average is
        new: at step 1, and when an option has just been enabled.
        """

    # ------------------------------------------------------------------------------------- parameters and their state

    @property
    def state(self) -> dict[Tensor, State]:
        """The running averages by parameter, as in PyTorch; a parameter that was never updated has no entry."""
        return {param: state for _, param, state in self._slots() if state["step"]}

    def _params(self) -> Iterator[Tensor]:
        return (param for group in self.param_groups for param in group["params"])

    def _slots(self) -> Iterator[tuple[Group, Tensor, State]]:
        """Yield (group, parameter, state) per parameter."""
        owned = ((group, param) for group in self.param_groups for param in group["params"])
        return ((group, param, state) for (group, param), state in zip(owned, self._states, strict=True))

    def _enabled(self, group: Group) -> list[str]:
        """Return the running averages that the options of `group` need."""
        return [name for name, option in self._averages.items() if option is None or group[option]]

    def _add_averages(self, group: Group, param: Tensor, state: State) -> bool:
        """Create the enabled running averages that `state` lacks, and return whether there were any."""
        if self._counters and self._counters[0] not in state:
            state.update(zip(self._counters, self._initial_counters(group), strict=True))
        missing = [name for name in self._enabled(group) if name not in state]
        for name in missing:
            state[name] = np.full(param.shape, self._initial_value(group, name), param.dtype)
        return bool(missing)

    # ---------------------------------------------------------------------------------------------- validation

    def _checked_norm(self, gradients: list[Array], max_norm: float) -> float:
        """Return the norm of `gradients`; raise unless it is finite and `max_norm` a bound."""
        if not isinstance(max_norm, Real) or not max_norm >= 0:
            self._refuse("max_norm >= 0", shown(max_norm), "pass e.g. max_norm=1.0")
        norm = total_norm(gradients)
        if not math.isfinite(norm):
            raise AnomalyError(
                f"{type(self).__name__}.step: expected gradients with a finite norm, got {norm}; no parameter was "
                "changed. Look for the cause with ts.detect_anomaly(), or skip this step."
            )
        return norm

    def _refuse(self, expected: str, got: str, advice: str) -> NoReturn:
        raise ArgumentError(f"{type(self).__name__}: expected {expected}, got {got}; {advice}.")

    def _refuse_execution(self, name: str, value: object) -> None:
        """Raise unless `name` is one of the options of `Execution`, and not asked for."""
        if name not in Execution.__annotations__:
            raise TypeError(f"{type(self).__name__}() got an unexpected keyword argument {name!r}")
        if value:
            self._refuse(f"{name}=None or False", shown(value), "leave it out: there is one kernel per update")

    def _check_param(self, param: Tensor) -> None:
        if not param.is_leaf:
            self._refuse("leaf tensors", f"the result of an operation, {param.shape}", "pass the tensors it depends on")
        if param.dtype not in _UPDATABLE:
            raise DtypeError(
                f"{type(self).__name__}: expected float32 or float64 parameters, got {param.shape} {param.dtype}; "
                "leave it out or convert it."
            )

    def _check_options(self, group: Group) -> None:
        for name, rule in (self.rules | ({_INITIAL: self.rules["lr"]} if _INITIAL in group else {})).items():
            if not rule.accepts(group[name]):
                self._refuse(f"{name} to be {rule.expected}", shown(group[name]), f"pass e.g. {name}={rule.example}")

    def _update(self, grad: Array, param: Array, *averages: Array, scalars: list[Any]) -> None:
        if not grad.flags.c_contiguous:
            from ..kernels.transposition import contiguous  # imported on first use, because LLVM takes long to import

            grad = contiguous(grad)
        self._kernel(param, grad.reshape(-1), *averages, *scalars)

    def _read_state_dict(self, state_dict: Mapping[str, Any]) -> tuple[list[Group], list[State]]:
        """Validate `state_dict`; return its groups and a copy of the state per parameter."""
        if not isinstance(state_dict, Mapping) or state_dict.keys() != {"state", "param_groups"}:
            got = sorted(map(str, state_dict)) if isinstance(state_dict, Mapping) else type(state_dict).__name__
            self._refuse("a state_dict with 'state' and 'param_groups'", f"{got}", _RELOAD)
        groups, by_number = state_dict["param_groups"], state_dict["state"]
        if (
            not isinstance(groups, list)
            or not _holds_dicts(groups)
            or not all(isinstance(group.get("params", []), list) for group in groups)
        ):
            self._refuse("param_groups to be a list of dicts with a list of params", shown(groups), _RELOAD)
        if not isinstance(by_number, Mapping) or not _holds_dicts(by_number.values()):
            self._refuse("state to hold a dict per parameter", shown(by_number), _RELOAD)
        sizes = [len(group["params"]) for group in self.param_groups]
        if (got_sizes := [len(group.get("params", ())) for group in groups]) != sizes:
            self._refuse(f"groups of {sizes} parameters", f"{got_sizes}", _RELOAD)
        groups = [self._read_group(group) for group in groups]
        saved = {str(number): state for number, state in by_number.items()}
        if len(saved) != len(by_number):
            self._refuse("one state per parameter", f"two, of {sorted(map(repr, by_number))}", _RELOAD)
        if unknown := saved.keys() - {str(number) for number in range(len(self._states))}:
            self._refuse(f"state of {len(self._states)} parameters", f"also of {sorted(unknown)}", _RELOAD)
        owners = [group for group, size in zip(groups, sizes, strict=True) for _ in range(size)]
        states: list[State] = []
        for number, (group, param) in enumerate(zip(owners, self._params(), strict=True)):
            state = saved.get(str(number))
            states.append({"step": 0} if state is None else self._read_state(number, group, param, state))
        return groups, states

    def _read_group(self, group: Mapping[str, Any]) -> Group:
        """Return the options of a saved group, checked; what only PyTorch reads is left out."""
        read = {name: _as_python(value) for name, value in group.items() if name not in _NOT_READ}
        if "decoupled_weight_decay" in read.keys() - self.rules.keys():
            decoupled = read.pop("decoupled_weight_decay")
            if decoupled != self._decoupled:
                advice = "load it into an AdamW" if decoupled else "load it into an Adam"
                self._refuse(f"decoupled_weight_decay={self._decoupled}", str(decoupled), advice)
        if read.keys() - {_INITIAL} != {*self.rules, "params"}:
            got = ", ".join(sorted(map(str, read.keys() - {"params"})))
            self._refuse(f"the options {', '.join(self.rules)}", got, _RELOAD)
        self._check_options(read)
        return read

    def _read_state(self, number: int, group: Group, param: Tensor, state: Mapping[str, Any]) -> State:
        """Return a checked copy of the state of a parameter."""
        optional = {name for name, option in self._averages.items() if option}
        read = {name: _as_saved(value) for name, value in state.items() if value is not None}
        for name in ("step", *self._counters) if self._counts_steps else ():
            if name in read:  # PyTorch saves tensors
                read[name] = _as_python(read[name])
        if not self._counts_steps:
            read.setdefault("step", 1)
        elif isinstance(read.get("step"), float) and read["step"].is_integer():
            read["step"] = int(read["step"])
        if read.keys() - optional != (names := {"step", *self._counters, *self._enabled(group)} - optional):
            self._refuse(f"{sorted(names)} for parameter {number}", f"{sorted(map(str, read))}", _RELOAD)
        for name, value in read.items():
            if name == "step":
                fits, expected = isinstance(value, int) and 0 <= value <= sys.maxsize, "an integer >= 0"
            elif name in self._counters:
                fits, expected = is_finite(value), "a finite number"
            else:
                fits, expected = _kind(value) == _kind(param), _kind(param)
            if not fits:
                self._refuse(f"{name} of parameter {number} to be {expected}", _kind(value), _RELOAD)
        return read


def _kind(value: Any) -> str:
    return f"{value.shape} {value.dtype}" if isinstance(value, np.ndarray | Tensor) else shown(value)


def _holds_dicts(values: Iterable[object]) -> bool:
    return all(isinstance(value, Mapping) for value in values)


def _copied(value: Any) -> Any:
    if isinstance(value, list):
        return [_copied(part) for part in value]
    return np.array(value, order="C") if isinstance(value, np.ndarray) else value


def _as_python(value: Any) -> Any:
    """Return a number of NumPy or a 0-d tensor as a number of Python."""
    return value.item() if getattr(value, "shape", None) == () else value


def _as_saved(value: Any) -> Any:
    """Return a value of a saved state as a copy: an array, also of a tensor of PyTorch, or a number of Python."""
    if isinstance(value, Tensor):
        value = value.numpy()
    elif hasattr(value, "detach"):
        value = np.asarray(value.detach().cpu())
    return _copied(value)
