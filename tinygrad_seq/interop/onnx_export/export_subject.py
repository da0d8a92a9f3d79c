"""What is exported: a layer, a cell, a model or a step, its inputs and its results, by name."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any, NamedTuple

import numpy as np

from ...autograd.creation import as_tensor
from ...autograd.tensor import Tensor
from ...base.modes import disable_compile, no_grad
from ...base.switches import Switch
from ...base.tree import Tree, flatten, map_leaves
from ...errors import ArgumentError, CompileError, DtypeError, IndexRangeError, ShapeError
from ...nn.cell import Cell
from ...nn.module.module import Module, evaluating
from ...nn.recurrence.layer import SequenceLayer
from ...nn.recurrence.recurrent import Recurrent
from ...nn.recurrence.stacked_layers import StackedLayers
from ...ops.shape import expand_dims, squeeze
from ...scan import scan
from ...scan.ir.leaves import named_leaves
from ...scan.ir.step import Aval
from ..onnx_import import OnnxModel
from .merge import Trace
from .record import Recorder

Axes = tuple[str | None, ...]


class Input(NamedTuple):
    """An input of the exported file.

    Attributes
    ----------
    name
        Its name.
    shape
        Its sizes; names stand for those of dynamic axes.
    dtype
        Its dtype.
    values
        An example: what integers and booleans are drawn from.
    default
        Its value if it is not given, which is repeated along the batch; None if it must be given.
    """

    name: str
    shape: tuple[int | str, ...]
    dtype: np.dtype
    values: np.ndarray
    default: np.ndarray | None = None

    def at(self, sizes: Mapping[str, int]) -> tuple[int, ...]:
        """Return its shape for the sizes of the dynamic axes."""
        return tuple([sizes[size] if isinstance(size, str) else size for size in self.shape])

    @property
    def is_state(self) -> bool:
        """Whether it is a part of the state."""
        return self.default is not None

    def draw(self, sizes: Mapping[str, int], rng: np.random.Generator) -> np.ndarray:
        """Return random values of it, of a state the initial one."""
        shape = self.at(sizes)
        if self.default is not None:
            return np.broadcast_to(self.default, shape).copy()
        if self.name == "lengths":
            lengths = rng.integers(0, sizes["T"] + 1, shape)
            lengths[:1] = sizes["T"]
            return lengths.astype(self.dtype)
        if self.dtype.kind == "f":
            return rng.standard_normal(shape).astype(self.dtype)
        return rng.choice(self.values.ravel(), shape).astype(self.dtype)


class Subject(NamedTuple):
    """What is exported.

    Attributes
    ----------
    name
        Its name in messages.
    function
        Takes arrays in the order of `inputs` and returns the results by name.
    inputs
        The inputs.
    module
        The model, whose parameters are named in the file; None for a step.
    """

    name: str
    function: Callable[..., dict[str, Any]]
    inputs: tuple[Input, ...]
    module: Module | None

    @property
    def axes(self) -> tuple[str, ...]:
        """The names of the dynamic axes."""
        return tuple(dict.fromkeys([size for each in self.inputs for size in each.shape if isinstance(size, str)]))

    def trace(self, sizes: Mapping[str, int]) -> Trace:
        """Return what the function does on inputs of some sizes."""
        recorder = Recorder()
        inputs = [recorder.define(Aval(each.at(sizes), each.dtype)) for each in self.inputs]
        try:
            with self._evaluating(), no_grad(), Switch(traced=False, recorder=recorder):
                results = self.function(*inputs)
            outputs = [recorder.var(leaf) for leaf in results.values()]
            if not outputs:
                raise ArgumentError(f"to_onnx: expected {self.name} to return arrays, got none; return its results.")
        except CompileError as error:
            text = str(error).replace("scan: expected a step", "to_onnx: expected a model").replace("scan:", "to_onnx:")
            raise ArgumentError(
                text.replace(", or pass compile=False", "").replace("; pass compile=False", "")
            ) from error
        except (DtypeError, ShapeError, IndexRangeError) as error:
            raise ArgumentError(
                f"to_onnx: expected a model that runs at all sizes of its inputs, got at {dict(sizes)}: {error} "
                "Pass other examples, or axes= with None for axes of fixed size."
            ) from error
        return Trace(recorder, [x._var for x in inputs], outputs, list(results))

    def _evaluating(self) -> AbstractContextManager[Any]:
        return nullcontext() if self.module is None else evaluating(self.module)

    def draw(self, sizes: Mapping[str, int], rng: np.random.Generator) -> dict[str, np.ndarray]:
        """Return random inputs, and the initial state, by name."""
        return {each.name: each.draw(sizes, rng) for each in self.inputs}

    def run(self, given: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Return the results for inputs by name, step by step."""
        arrays = [given[each.name] for each in self.inputs]
        with self._evaluating(), no_grad(), disable_compile():
            found = self.function(*map(_given, arrays))
        return {name: leaf.numpy() if isinstance(leaf, Tensor) else np.asarray(leaf) for name, leaf in found.items()}


def _given(array: np.ndarray) -> Any:
    return as_tensor("to_onnx", array.copy())  # a model may write to its inputs


def subject_of(
    model: Any,
    inputs: Any = None,
    *,
    state: Callable[[int], Tree] | None = None,
    lengths: bool = False,
    step: bool = False,
    axes: Mapping[str, Sequence[str | None]] | None = None,
) -> Subject:
    """Return what `to_onnx` exports; see there.

    Raises
    ------
    ArgumentError, ShapeError
        If it cannot be exported, or an argument does not fit it.
    """
    name = type(model).__name__ if isinstance(model, Module) else getattr(model, "__name__", type(model).__name__)
    if isinstance(model, Cell):
        model = Recurrent(model)
    if isinstance(model, Module):
        if any(isinstance(module, SequenceLayer) and module.options["stateful"] for module in model.modules()):
            raise ArgumentError(
                f"to_onnx: expected layers that keep no state between calls, got a stateful one in {name}; build it "
                "without stateful=True: the file takes and returns the state."
            )
    elif not callable(model):
        raise ArgumentError(
            f"to_onnx: expected a module, a cell or a step (carry, x) -> (carry, y), got {name}; pass one of them."
        )
    examples = _examples(model, name, inputs)
    _check_arguments(model, name, examples, lengths)
    if isinstance(model, SequenceLayer):
        _check_layer(model, name, lengths, step)
        state = model.initial_state if state is None else state
    elif not isinstance(model, Module) and state is None:
        raise ArgumentError(
            f"to_onnx: expected the initial carry of the step {name!r}, got none; pass "
            "state=lambda n: ts.zeros((n, 8)), or the like."
        )
    batch_first = bool(getattr(model, "batch_first", False))
    leaves, rebuild = flatten([*examples.values()])
    paths = {number: path for path, number in _named_trees(examples, rebuild(range(len(leaves)))).items()}
    declared = [
        _declare(paths[number], leaf, batch_first, _axes_of(paths[number], axes or {}))
        for number, leaf in enumerate(leaves)
    ]
    states = [] if state is None else _declare_state(model, state)
    ends = [Input("lengths", ("N",), np.dtype(np.int64), np.arange(2))] if lengths else []
    function = _function(model, list(examples), rebuild, len(leaves), state, lengths)
    subject = Subject(name, function, (*declared, *states, *ends), model if isinstance(model, Module) else None)
    return _one_step(subject, len(declared)) if step else subject


def _arguments_of(model: Module) -> list[str]:
    """Return the names of the arguments of a module's call."""
    return list(model.input_names if isinstance(model, OnnxModel) else inspect.signature(model.forward).parameters)


def _check_arguments(model: Any, name: str, examples: Mapping[str, Any], lengths: bool) -> None:
    """Raise unless the model takes arguments of these names."""
    takes = set(_arguments_of(model)) if isinstance(model, Module) else set(examples)
    unknown = [key for key in (*examples, *(("lengths",) if lengths else ())) if key not in takes]
    if unknown:
        raise ArgumentError(
            f"to_onnx: expected the arguments of {name}, {', '.join(sorted(takes))}, got {unknown[0]!r}; correct it."
        )


def _check_layer(layer: SequenceLayer, name: str, lengths: bool, step: bool) -> None:
    if step and (layer.bidirectional or layer.options["go_backwards"]):
        raise ArgumentError(
            f"to_onnx: expected step=True of a layer that goes forwards only, got {name} that goes backwards; it needs "
            "whole sequences: leave step out."
        )
    if lengths and layer.options["masked_output"] != "zeros":
        raise ArgumentError(
            f"to_onnx: expected masked_output='zeros' with lengths=True, got {layer.options['masked_output']!r}; leave "
            "one out."
        )


def _examples(model: Any, name: str, inputs: Any) -> dict[str, Tree]:
    """Return an example of each input by its name, an array or a tree of them."""
    if inputs is None:
        size = getattr(model, "input_size", None)
        if isinstance(model, Recurrent):
            size = model.cells[0].input_size
        if not isinstance(model, SequenceLayer) or size is None:
            raise ArgumentError(
                f"to_onnx: expected inputs= for {name}, an example of its inputs, got none; pass an array such as "
                "zeros (T, N, I) or tokens (T, N), or a dict of them by the names of the arguments."
            )
        cell = model._pass_cells()[0]
        return {"xs": np.zeros((2, 2, size), cell.dtype)}
    if not isinstance(inputs, Mapping):
        given = inputs if isinstance(inputs, tuple) else (inputs,)
        names = _arguments_of(model) if isinstance(model, Module) else ["xs"]
        inputs = dict(zip(names, given, strict=False))
        if len(inputs) != len(given):
            raise ArgumentError(
                f"to_onnx: expected at most {len(names)} inputs of {name}, got {len(given)}; pass a dict by name."
            )
    return {key: map_leaves(lambda leaf, key=key: _example(key, leaf), tree) for key, tree in inputs.items()}


def _example(key: str, leaf: Any) -> np.ndarray:
    array = leaf.numpy() if isinstance(leaf, Tensor) else np.asarray(leaf)
    if array.dtype.kind not in "fiub" or not array.size:
        raise ArgumentError(
            f"to_onnx: expected inputs[{key!r}] to be an example of numbers, got {array.shape} {array.dtype}; "
            "pass a small array."
        )
    return array.astype(np.int64) if array.dtype.kind in "iu" else array


def _declare(name: str, example: np.ndarray, batch_first: bool, axes: Sequence[str | None] | None) -> Input:
    if axes is None:
        one = example.ndim - (example.dtype.kind == "f") < 2  # the last axis of floating-point numbers has features
        front = ("N",) if one else ("N", "T") if batch_first else ("T", "N")
        axes = (*front, *[None] * (example.ndim - len(front)))[: example.ndim]
    if len(axes) != example.ndim:
        raise ShapeError(
            f"to_onnx: expected axes[{name!r}] with {example.ndim} entries for {example.shape} {example.dtype}, got "
            f"{tuple(axes)}; name each dynamic axis, and pass None for a fixed one."
        )
    shape = tuple([size if axis is None else axis for axis, size in zip(axes, example.shape, strict=True)])
    return Input(name, shape, example.dtype, example)


def _declare_state(model: Any, state: Callable[[int], Tree]) -> list[Input]:
    with no_grad():
        one, two = (flatten(state(count)) for count in (1, 2))
    names = _state_names(model, one[1](range(len(one[0]))))
    found = []
    for name, a, b in zip(names, one[0], two[0], strict=True):
        a, b = (
            np.asarray(a.numpy() if isinstance(a, Tensor) else a),
            np.asarray(b.numpy() if isinstance(b, Tensor) else b),
        )
        shape = tuple(["N" if small != large else small for small, large in zip(a.shape, b.shape, strict=True)])
        found.append(Input(name, shape, a.dtype, a, a.copy()))
    return found


def _state_names(model: Any, numbers: Tree) -> list[str]:
    """Return the names of the arrays of a state."""
    if isinstance(model, StackedLayers):
        return ["h", "c"][: model.cell.states]
    paths = {number: f"state.{path}" if path else "state" for path, number in named_leaves(numbers)}
    return [paths[number] for number in range(len(paths))]


def _named_trees(examples: Mapping[str, Tree], trees: Sequence[Tree]) -> dict[str, Any]:
    """Return the leaves of trees by the names of the inputs and their paths."""
    return {path: leaf for key, tree in zip(examples, trees, strict=True) for path, leaf in _named(key, tree).items()}


def _axes_of(name: str, axes: Mapping[str, Sequence[str | None]]) -> Sequence[str | None] | None:
    return axes.get(name, axes.get(name.split(".", maxsplit=1)[0]))


def _function(
    model: Any,
    keys: list[str],
    rebuild: Callable[[Sequence[Any]], Tree],
    count: int,
    state: Callable[[int], Tree] | None,
    lengths: bool,
) -> Callable[..., dict[str, Any]]:
    """Return a function of arrays: `count` leaves of the inputs, those of the state, and lengths."""
    begin, rebuild_state = flatten(None if state is None else state(1))
    names = [] if state is None else _state_names(model, rebuild_state(range(len(begin))))
    first = "state"
    if isinstance(model, Module) and state is not None:
        parameters = inspect.signature(model.forward).parameters
        rest = [key for key in parameters if key not in keys and key != "lengths"]
        first = "state" if "state" in parameters or not rest else rest[0]

    def function(*arrays: Any) -> dict[str, Any]:
        given = dict(zip(keys, rebuild(arrays[:count]), strict=True))
        entered = rebuild_state(arrays[count : count + len(names)])
        if not isinstance(model, Module):
            last, ys = scan(model, entered, next(iter(given.values())) if len(given) == 1 else given)
            return _named("ys", ys) | _after(names, last)
        options = ({} if state is None else {first: entered}) | ({"lengths": arrays[-1]} if lengths else {})
        result = model(**given, **options)
        if state is None:
            return _named("output", result)
        ys, last, *more = result
        found = _named("ys" if isinstance(model, SequenceLayer) else "output", ys) | _after(names, last)
        return found | (_named("states", more[0]) if more else {})

    return function


def _named(stem: str, tree: Tree) -> dict[str, Any]:
    return {f"{stem}.{path}" if path else stem: leaf for path, leaf in named_leaves(tree)}


def _after(names: Sequence[str], last: Tree) -> dict[str, Any]:
    return {f"new_{name}": leaf for name, leaf in zip(names, flatten(last)[0], strict=True)}


def _one_step(subject: Subject, count: int) -> Subject:
    """Return one step of a subject: inputs and outputs have no axis of time."""
    sizes = dict.fromkeys(subject.axes, 3)
    rng = np.random.default_rng(0)
    shapes = []
    for T in (1, 2):
        found = subject.run(subject.draw(sizes | {"T": T}, rng))
        shapes.append({name: array.shape for name, array in found.items()})
    timed = {
        name: [axis for axis, (one, two) in enumerate(zip(shape, shapes[1][name], strict=True)) if one != two]
        for name, shape in shapes[0].items()
    }
    at = [each.shape.index("T") if "T" in each.shape else None for each in subject.inputs[:count]]

    def function(*arrays: Any) -> dict[str, Any]:
        whole = [x if k is None else expand_dims(x, k) for x, k in zip(arrays, at, strict=False)]
        found = subject.function(*whole, *arrays[count:])
        return {name: squeeze(leaf, timed[name][0]) if timed[name] else leaf for name, leaf in found.items()}

    inputs = [
        each if "T" not in each.shape else each._replace(shape=tuple([size for size in each.shape if size != "T"]))
        for each in subject.inputs
    ]
    return subject._replace(function=function, inputs=tuple(inputs))
