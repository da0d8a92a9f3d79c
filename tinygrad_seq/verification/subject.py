"""One interface for the objects that can be verified: cells, recurrent layers, steps of a scan, modules."""

from __future__ import annotations

import copy
import inspect
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import numpy as np

from ..autograd.creation import asarray
from ..autograd.tensor import Tensor, pull_back
from ..base.settings import default_dtype, set_default_dtype
from ..base.tree import Tree, describe, flatten, map_leaves
from ..errors import ArgumentError, CompileError
from ..nn.cell import Cell
from ..nn.module.module import Module
from ..nn.module.parameter import Buffer, Parameter
from ..nn.recurrence.layer import SequenceLayer
from ..nn.recurrence.passes import step_of_pass
from ..nn.recurrence.recurrent import Recurrent
from ..nn.recurrence.stacked_layers import StackedLayers
from ..scan import program_of, scan
from ..scan.eager import StepFunction
from ..scan.ir.leaves import named_leaves

Outputs = dict[str, Tree]
# The arguments `lengths`, `mask` and `reset` of a recurrent layer.
Flags = Mapping[str, np.ndarray]
_NONE: Flags = {}

# The needs of checks that not every subject meets, worded for the message "X does not have ...".
CARRY = "a state that is carried over time, forwards or backwards"
FORWARD = "one direction, forwards in time"
ROWS = "a batch axis"
LENGTHS = "lengths, masks and resets"
REVERSE = "a direction that can be reversed"
WINDOW = "a window of backpropagation"
MODULE = "a state_dict"
STREAM = "a stream"
COMPILED = "a step that can be compiled"


@contextmanager
def replaced(values: Iterable[tuple[Tensor, np.ndarray]]) -> Iterator[None]:
    """Return a context in which tensors hold other arrays."""
    before = []
    try:
        for tensor, array in values:
            before.append((tensor, tensor._array, tensor._exposed))
            tensor._array, tensor._exposed = array, False
        yield
    finally:
        for tensor, array, exposed in reversed(before):
            tensor._array, tensor._exposed = array, exposed


def _refusal(step: StepFunction, state: Tree, xs: Tree) -> str:
    try:
        program_of(step, state, xs)
    except CompileError as error:
        return str(error)
    return ""


class Subject:
    """Base class of the subjects; time is axis 0 of inputs and outputs.

    Attributes
    ----------
    name : str
        The name in reports.
    module : Module or None
        A copy of the user's module; None for a step.
    row_axis : int or None
        The batch axis of the inputs; None if unknown.
    state_axis : int
        The batch axis of the states.
    axes : tuple of str
        The names of the first axes of inputs and outputs, if known.
    goes_backwards : bool
        Whether it runs from the last step to the first.
    """

    module: Module | None = None
    row_axis: int | None = 1
    state_axis = 0
    axes: tuple[str, ...] = ("time", "row")
    goes_backwards = False

    def __init__(self, name: str) -> None:
        self.name = name

    def lacks(self, need: str) -> str:
        """Return why a check with this need cannot run; an empty string if it can."""
        return f"{self.name} does not have {need}"

    def run(self, xs: Tree, state: Tree, *, evaluate: bool = False, flags: Flags = _NONE, **options: Any) -> Outputs:
        """Return the outputs by name: "ys", and "state" if there is one.

        Parameters
        ----------
        xs, state : pytree
            The inputs and the initial state.
        evaluate : bool, default False
            Whether to run in evaluation mode, without dropout; by default, in the user's mode.
        flags : mapping, optional
            The lengths, mask and resets of a recurrent layer.
        **options
            Options of a recurrent layer or a scan that replace its own: `window`, `remember`, `go_backwards` ...
        """
        raise NotImplementedError

    def parameters(self) -> dict[str, Tensor]:
        """Return the trainable parameters by name."""
        assert self.module is not None
        return {name: p for name, p in self.module.named_parameters() if p.requires_grad and p.dtype.kind == "f"}

    def initial_state(self, rows: int) -> Tree:
        """Return the default initial state."""
        return None

    def whole_gradient(self) -> dict[str, Any]:
        """Return the options that disable truncation of gradients."""
        return {}

    def step(self) -> tuple[StepFunction, Callable[[Tree], Tree]]:
        """Return one step, for subjects that run forwards, and a function that converts a state for the step."""
        raise NotImplementedError

    def refusal(self, xs: Tree, state: Tree, evaluate: bool) -> str:
        """Return why it cannot be compiled, in the user's mode or in evaluation; an empty string if it can."""
        return ""

    @contextmanager
    def as_dtype(self, dtype: Any, change: Callable[[np.ndarray], np.ndarray] = lambda array: array) -> Iterator[None]:
        """Return a context in which parameters and buffers have another dtype, and values transformed by `change`."""
        module = self.module
        held: list[Tensor] = [*self.parameters().values()] if module is None else [*module.parameters()]
        held += [] if module is None else module.buffers()
        default = default_dtype()
        try:
            if module is not None and any(map(_has_no_dtype, module.modules())):
                set_default_dtype(dtype)
            casts = [(tensor, tensor._array.astype(dtype)) for tensor in held if tensor.dtype.kind == "f"]
            with replaced([(t, change(cast).astype(dtype) if t.requires_grad else cast) for t, cast in casts]):
                yield
        finally:
            set_default_dtype(default)


class _OfModule(Subject):
    """A subject with a module, which is a copy of the user's."""

    def __init__(self, name: str, module: Module) -> None:
        super().__init__(name)
        self.module = module
        self._flags = [(each, each.training) for each in module.modules()]

    @contextmanager
    def _mode(self, evaluate: bool) -> Iterator[None]:
        """Return a context in evaluation mode, or in the user's mode."""
        for each, _ in self._flags if evaluate else ():
            each.training = False
        try:
            yield
        finally:
            for each, training in self._flags if evaluate else ():
                each.training = training


class LayerSubject(_OfModule):
    """A recurrent layer, or a cell inside one."""

    def __init__(self, layer: SequenceLayer, cell: Cell | None = None) -> None:
        super().__init__(type(layer if cell is None else cell).__name__, layer)
        self.layer, self.cell = layer, cell
        layer.reset_states()
        self.row_axis, self.state_axis = 1, int(isinstance(layer, StackedLayers))
        self.bidirectional, self.goes_backwards = layer.bidirectional, layer.options["go_backwards"]
        self._variants: dict[tuple[Any, ...], SequenceLayer] = {}

    def holds_rows(self, N: int) -> bool:
        """Return whether its modules hold arrays (N, ...) other than parameters and buffers, such as a memory."""
        held = flatten([vars(module) for module in self.layer.modules()])[0]
        return any(not isinstance(x, Parameter | Buffer) and getattr(x, "shape", ())[:1] == (N,) for x in held)

    def lacks(self, need: str) -> str:
        if need in (ROWS, LENGTHS) and self.row_axis is None:
            return f"{self.name} holds arrays with one row per sequence, so its batch size cannot change"
        if need in (CARRY, FORWARD, STREAM) and self.bidirectional:
            return f"{self.name} is bidirectional"
        if need in (FORWARD, STREAM) and self.goes_backwards:
            return f"{self.name} runs backwards"
        return ""

    def parameters(self) -> dict[str, Tensor]:
        owner = self.layer if self.cell is None else self.cell
        return {name: p for name, p in owner.named_parameters() if p.requires_grad and p.dtype.kind == "f"}

    def run(self, xs: Tree, state: Tree, *, evaluate: bool = False, flags: Flags = _NONE, **options: Any) -> Outputs:
        layer = self._with(options)
        if layer.batch_first:
            xs = map_leaves(lambda x: x.swapaxes(0, 1), xs)
            flags = {name: flag.T if name in ("mask", "reset") else flag for name, flag in flags.items()}
        with self._mode(evaluate):
            layer.training = self.layer.training
            ys, final, *rest = layer(xs, state, **flags)
        if layer.batch_first:
            ys = map_leaves(lambda y: y.swapaxes(0, 1), ys)
        return {"ys": ys, "state": final, **({"states": rest[0]} if rest else {})}

    def _with(self, options: dict[str, Any]) -> SequenceLayer:
        """Return the layer with some options replaced and the same parameters."""
        key = tuple(sorted(options.items(), key=lambda item: item[0]))
        if key not in self._variants:
            layer = copy.copy(self.layer)
            layer.options = {**layer.options, "stateful": False, **options}  # type: ignore[typeddict-item]
            self._variants[key] = layer
        return self._variants[key]

    def initial_state(self, rows: int) -> Tree:
        return self.layer.initial_state(rows)

    def whole_gradient(self) -> dict[str, Any]:
        return {"window": None, "stride": None}

    def step(self) -> tuple[StepFunction, Callable[[Tree], Tree]]:
        def split(state: Tree) -> Tree:
            return tuple(self.layer._split(state, flatten(state)[0][0].shape[self.state_axis]))

        function = self.layer._step()

        def step(states: Tree, x: Tree) -> tuple[Tree, Tree]:
            with self._mode(True):
                return function(states, x)

        return step, split

    def refusal(self, xs: Tree, state: Tree, evaluate: bool) -> str:
        rows = flatten(xs)[0][0].shape[1]
        for one in self.layer._passes()[: 1 + self.bidirectional]:
            with self._mode(evaluate):
                found = _refusal(step_of_pass(one, self.layer.options), one.initial_state(rows), xs)
            if found:
                return found
        return ""


class StepSubject(Subject):
    """A step of a scan, with the Tensors that it uses."""

    def __init__(self, step: StepFunction, parameters: Tree, row_axis: int | None) -> None:
        super().__init__(f"step {getattr(step, '__name__', type(step).__name__)!r}")
        self._step, self.row_axis = step, row_axis
        self.axes = ("time",) if row_axis is None else ("time", "row")
        self._parameters = {f"{path or 'w'}": leaf for path, leaf in named_leaves(parameters)}

    def lacks(self, need: str) -> str:
        if need in (LENGTHS, MODULE):
            return f"{self.name} is a function and does not have {need}; write it as a nn.Cell"
        if need == ROWS and self.row_axis is None:
            return f"the batch axis of {self.name} is unknown; pass batch_axis=1 if xs has one"
        return ""

    def parameters(self) -> dict[str, Tensor]:
        return self._parameters

    def run(self, xs: Tree, state: Tree, *, evaluate: bool = False, flags: Flags = _NONE, **options: Any) -> Outputs:
        reverse = options.pop("go_backwards", False)
        options.pop("stride", None)
        carry, ys = scan(self._step, state, xs, reverse=reverse, **options)
        return {"ys": ys, "state": carry}

    def step(self) -> tuple[StepFunction, Callable[[Tree], Tree]]:
        return self._step, lambda state: state

    def refusal(self, xs: Tree, state: Tree, evaluate: bool) -> str:
        return _refusal(self._step, state, xs)


class ModuleSubject(_OfModule):
    """A module that maps whole sequences to outputs."""

    axes = ()

    def __init__(self, module: Module, batch_axis: int | None) -> None:
        super().__init__(type(module).__name__, module)
        self.row_axis = batch_axis

    def lacks(self, need: str) -> str:
        if need == ROWS and self.row_axis is None:
            return f"the batch axis of {self.name} is unknown; pass batch_axis"
        if need in (MODULE, ROWS, COMPILED):
            return ""
        return f"{self.name} is a module and does not have {need}"

    def run(self, xs: Tree, state: Tree, *, evaluate: bool = False, flags: Flags = _NONE, **options: Any) -> Outputs:
        assert self.module is not None
        for each in self.module.modules():
            if isinstance(each, SequenceLayer):
                each.reset_states()
        with self._mode(evaluate):
            return {"ys": self.module(xs)}


def _has_no_dtype(module: Module) -> bool:
    """Return whether a module is a cell without parameters, which uses the default dtype."""
    return isinstance(module, Cell) and not any(p.dtype.kind == "f" for p in module.parameters())


def subject_of(given: Any, init: Tree, xs: Tree, parameters: Tree, batch_axis: int | None) -> Subject:
    """Return the user's object as a subject.

    Raises
    ------
    ArgumentError
        If it is not a cell, layer, module or step, or an argument that it needs is missing.
    """
    if isinstance(given, type):
        raise ArgumentError(
            f"verify: expected a cell, layer, step or module, got the class {given.__name__}; pass an instance, e.g. "
            f"{given.__name__}(3, 4)."
        )
    if isinstance(given, Module) and parameters is not None:
        raise ArgumentError(
            f"verify: expected parameters for a step only, got parameters with a {type(given).__name__}; leave them "
            "out."
        )
    if isinstance(given, Cell):
        cell = copy.deepcopy(given)
        return LayerSubject(Recurrent(cell).train(given.training) if _alike(given) else Recurrent(cell), cell)
    if isinstance(given, SequenceLayer):
        return LayerSubject(copy.deepcopy(given))
    if isinstance(given, Module):
        return ModuleSubject(copy.deepcopy(given), batch_axis)
    if not callable(given):
        raise ArgumentError(
            f"verify: expected a cell, layer, step or module, got {type(given).__name__}; pass e.g. nn.GRUCell(3, 4), "
            "or a function step(carry, x) with init= and xs=."
        )
    if init is None or xs is None:
        raise ArgumentError(
            f"verify: expected init and xs for a step, got {describe(init)} and {describe(xs)}; pass them as to scan."
        )
    return StepSubject(given, _closed_over(given, init, xs) if parameters is None else parameters, batch_axis)


def _alike(module: Module) -> bool:
    """Return whether all parts of a module are in the same mode, training or evaluation."""
    return len({each.training for each in module.modules()}) == 1


def _closed_over(step: StepFunction, init: Tree, xs: Tree) -> dict[str, Tensor]:
    """Return the leaves that require grad and that a step uses besides its arguments, by their names in the step."""
    own = [leaf for leaf in flatten([init, xs])[0] if isinstance(leaf, Tensor)]
    first = map_leaves(lambda x: asarray(x)[0], xs)
    carry, y = step(map_leaves(asarray, init), first)
    outputs = [leaf for leaf in flatten([carry, y])[0] if isinstance(leaf, Tensor) and leaf.requires_grad]
    reached = pull_back(outputs, [np.ones(leaf.shape) for leaf in outputs])
    found = [leaf for leaf in reached if all(leaf is not other for other in own)]
    names: dict[str, Tensor] = {}
    if inspect.isfunction(step):
        scope = inspect.getclosurevars(step)
        for path, leaf in named_leaves({**scope.globals, **scope.nonlocals}):
            if any(leaf is other for other in found):
                names.setdefault(path, leaf)
    rest = [leaf for leaf in found if all(leaf is not other for other in names.values())]
    return {**names, **{f"constant {k}": leaf for k, leaf in enumerate(rest)}}
