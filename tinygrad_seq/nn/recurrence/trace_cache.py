"""Decide which cells may reuse a cached trace: the package's own, while nothing in them has changed.

The `forward` of a user's cell may read a global, a list or a clock. Nobody can tell, so it is traced at every call. The
package's own modules (`register_library`) read only their arguments and attributes, and the attributes are checked
before each call: each attribute of the cell and of the modules in it must be the same object as before, and hold the
same objects if it is a list or a dict. That is enough for numbers, names and parameters. Any other attribute that can
change in place, such as an array, and a class derived from one of the package's are treated like a user's cell.
"""

from __future__ import annotations

import weakref
from collections.abc import Iterable
from operator import is_
from typing import Any

from ...autograd.tagging import is_collecting
from ...autograd.tensor import Tensor
from ...ops.primitive import Primitive
from ...scan.eager import StepFunction
from ...scan.repeated import SteadyStep, Traces
from ..cell import Cell, step_of_one
from ..module.module import Module

_SETTINGS = (bool, int, float, str, type(None), Primitive)

_ignored: set[type] = set()  # attributes that the result of a module does not depend on
_library: dict[type, Any] = {}  # the package's own modules, each with the `forward` that it was registered with


def register_library(kinds: Iterable[type[Module]]) -> None:
    """Register classes whose `forward` depends on nothing but its arguments and the attributes of the module."""
    _library.update({kind: kind.forward for kind in kinds})


def ignore(kind: type) -> type:
    """Declare that the result of a module does not depend on attributes of this class; a decorator."""
    _ignored.add(kind)
    return kind


def is_library(module: Module) -> bool:
    """Return whether a module is of a registered class and its `forward` is still the one that was registered.

    A class that derives from a registered one is not registered, nor is one whose `forward` was replaced, on the object
    or on the class.
    """
    kind = type(module)
    return _library.get(kind) is kind.forward and "forward" not in vars(module)


class Snapshot:
    """The attributes of a module and of the modules in it, without a reference to the module itself.

    Attributes
    ----------
    usable
        Whether `fits` finds every change.
    tensors
        All parameters, buffers and other tensors in the module.
    """

    def __init__(self, module: Module, outer: tuple[Module, ...] = ()) -> None:
        attributes, outer = vars(module), (*outer, module)
        self._kind, self._forward = type(module), type(module).forward
        self._names, self._values = tuple(attributes), tuple(attributes.values())
        self.tensors: list[Tensor] = []
        self._inner: list[tuple[Module, Snapshot]] = []
        self._contents: list[tuple[Any, tuple[Any, ...], tuple[Any, ...]]] = []
        self.usable = is_library(module) and all(self._add(value, outer) for value in self._values)
        self._avals = [(tensor.shape, tensor.dtype) for tensor in self.tensors]

    def _add(self, value: Any, outer: tuple[Module, ...]) -> bool:
        """Record an attribute, or an element of one; return whether a comparison by identity finds every change."""
        if isinstance(value, tuple):
            return all(self._add(part, outer) for part in value)
        if value.__class__ is list or value.__class__ is dict:
            names, values = (tuple(value), tuple(value.values())) if value.__class__ is dict else ((), tuple(value))
            self._contents.append((value, names, values))
            return all(self._add(part, outer) for part in values)
        if isinstance(value, Tensor):
            self.tensors.append(value)
            return True
        if not isinstance(value, Module):
            return isinstance(value, _SETTINGS) or value.__class__ in _ignored
        if any(module is value for module in outer):  # modules that refer to each other
            return False
        inner = Snapshot(value, outer)
        self._inner.append((value, inner))
        self.tensors += inner.tensors
        return inner.usable

    def holds(self, module: Module) -> bool:
        """Return whether every object is the one that it was; the values of tensors may have changed."""
        attributes = module.__dict__
        if module.__class__ is not self._kind or self._kind.forward is not self._forward:
            return False
        if tuple(attributes) != self._names or not all(map(is_, attributes.values(), self._values)):
            return False
        for container, names, values in self._contents:
            if len(container) != len(values):
                return False
            if names and (tuple(container) != names or not all(map(is_, container.values(), values))):
                return False
            if not names and not all(map(is_, container, values)):
                return False
        return not self._inner or all(snapshot.holds(inner) for inner, snapshot in self._inner)

    def has_avals(self) -> bool:
        """Return whether the tensors have the shapes and dtypes that they had."""
        for tensor, aval in zip(self.tensors, self._avals, strict=True):
            array = tensor._array
            if (array.shape, array.dtype) != aval:
                return False
        return True

    def fits(self, module: Module) -> bool:
        """Return whether everything that a trace depends on is as it was."""
        return self.has_avals() and self.holds(module)


# One entry per living cell; each holds a `Memo` of traces, so both are bounded.
_known: weakref.WeakKeyDictionary[Cell, tuple[Snapshot, Traces]] = weakref.WeakKeyDictionary()


def step_of_cell(cell: Cell) -> StepFunction:
    """Return the step ``(state, x) -> (state, y)`` of a cell, as a `SteadyStep` if its traces may be reused."""
    step = step_of_one(cell)
    if not is_library(cell) or is_collecting():
        return step
    found = _known.get(cell)
    if found is None or not found[0].fits(cell):
        snapshot = Snapshot(cell)
        if not snapshot.usable:
            return step
        _known[cell] = found = snapshot, Traces(snapshot.tensors)
    return SteadyStep(step, found[1])
