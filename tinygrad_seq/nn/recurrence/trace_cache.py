"""Which cells do the same at every call: those of this package, as long as nothing in them has changed.

A cell of the user may read a global, a list, a clock in its `forward`; nobody can tell, so it is run at every call, on
values without numbers. The cells of this package read their attributes, and those are looked at before each call: every
attribute of the cell and of the modules in it must be the object that it was. Numbers, names and parameters can be
looked at so. What changes by itself, such as a list, or a class that derives from one of these, makes a cell like the
user's.
"""

from __future__ import annotations

import weakref
from operator import is_
from typing import Any

from ...autograd.tagging import is_collecting
from ...autograd.tensor import Tensor
from ...ops.primitive import Primitive
from ...scan.eager import StepFunction
from ...scan.repeated import SteadyStep, Traces
from ..cell import Cell, step_of_one
from ..module.module import Module

_NN = __package__.rpartition(".")[0]
_PLACES = tuple([f"{_NN}.{name}" for name in ("cells.", "layers", "activations")])
_SETTINGS = (bool, int, float, str, type(None), Primitive)


def is_from_package(module: Module, places: str | tuple[str, ...] = f"{_NN}.") -> bool:
    """Return whether the class of a module and its `forward` are defined in `places`, prefixes of module names.

    A class that derives from one of these, or whose `forward` was replaced, on the object or on the class, is not.
    """
    kind = type(module)
    forward = getattr(kind.forward, "__module__", None) or ""
    return kind.__module__.startswith(places) and forward.startswith(places) and "forward" not in vars(module)


class _Facts:
    """What a module is made of, without a reference to the module itself."""

    def __init__(self, module: Module, around: tuple[Module, ...] = ()) -> None:
        attributes, self._around = vars(module), (*around, module)
        self._kind, self._forward = type(module), type(module).forward
        self._names, self._values = tuple(attributes), tuple(attributes.values())
        self.tensors: list[Tensor] = []
        self._inner: list[tuple[Module, _Facts]] = []
        self.known = is_from_package(module, _PLACES) and all(map(self._take, self._values))
        self._avals = [(tensor.shape, tensor.dtype) for tensor in self.tensors]
        del self._around  # no reference to the module itself

    def _take(self, value: Any) -> bool:
        """Note an attribute, or a part of one; return whether it is of a kind that can be looked at."""
        if isinstance(value, Tensor):
            self.tensors.append(value)
        elif isinstance(value, Module):
            if any(module is value for module in self._around):  # modules that refer to each other
                return False
            inner = _Facts(value, self._around)
            self._inner.append((value, inner))
            self.tensors += inner.tensors
            return inner.known
        elif isinstance(value, tuple):
            return all(map(self._take, value))
        else:
            return isinstance(value, _SETTINGS)
        return True

    def hold(self, module: Module) -> bool:
        """Return whether all is as it was."""
        attributes = module.__dict__
        if module.__class__ is not self._kind or self._kind.forward is not self._forward:
            return False
        if tuple(attributes) != self._names or not all(map(is_, attributes.values(), self._values)):
            return False
        for tensor, aval in zip(self.tensors, self._avals, strict=True):
            array = tensor._array
            if (array.shape, array.dtype) != aval:
                return False
        return all(facts.hold(inner) for inner, facts in self._inner)


_known: weakref.WeakKeyDictionary[Cell, tuple[_Facts, Traces]] = weakref.WeakKeyDictionary()


def step_of_cell(cell: Cell) -> StepFunction:
    """Return the step ``(state, x) -> (state, y)`` of a cell, as a `SteadyStep` if it is one."""
    step = step_of_one(cell)
    if not is_from_package(cell, _PLACES) or is_collecting():
        return step
    found = _known.get(cell)
    if found is None or not found[0].hold(cell):
        facts = _Facts(cell)
        if not facts.known:
            return step
        _known[cell] = found = facts, Traces(facts.tensors)
    return SteadyStep(step, found[1])
