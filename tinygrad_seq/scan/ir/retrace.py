"""Traces that reuse earlier ones.

A step is run on `Tracer`s at every call, for it may read any Python state and do something else than last time. Most
steps do the same, and then no equation is made again. Operations are the branches of a tree, one tree per shapes and
dtypes of the inputs; a step follows the branches, and where it ends its `Step` is stored::

    root ── linear(x0, w0, w1) ──▶ ○ ── linear(h0, w2, w3) ──▶ ○ ── add ──▶ ○ ── tanh ──▶ ●  Step
                                                                            └─── relu ──▶ ●  Step

A new operation adds a branch. Arrays that the step closes over are known by their order, the first, the second ...: so
two cells with different weights share a path, and the tree holds no arrays. Python numbers that may become runtime
arguments (`numbers`) do not branch either.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Final

from ...base.memo import Memo
from ...base.switches import DEFAULT, current, in_front
from ...base.tree import Tree
from ...ops.linear import with_precision
from ...ops.primitive import Array, OpKind, Primitive
from .check import check
from .numbers import changeable, with_numbers
from .step import Atom, Aval, Eqn, Step, Var
from .trace import Builder, Key, identity, infer

Rebuild = Callable[[Sequence[Any]], Tree]


@dataclass(frozen=True, eq=False)
class Traced:
    """A step as written down.

    Attributes
    ----------
    template
        The step, but for its Python numbers: one object for all traces that differ in these alone.
    numbers
        Its Python numbers (see `numbers.changeable`), in the order of the equations.
    objects
        The Tensors and arrays that it closes over.
    rebuild_carry, rebuild_y
        How its results go together.
    """

    template: Step
    numbers: tuple[float, ...]
    objects: list[Any]
    rebuild_carry: Rebuild
    rebuild_y: Rebuild

    @cached_property
    def step(self) -> Step:
        """The step with its numbers."""
        return with_numbers(self.template, self.numbers) if self.numbers else self.template


class Place:
    """What a step has done so far; the branches are what steps have done next.

    Attributes
    ----------
    key
        The operation that led here; None if it has numbers that may change, so that it is never the same again.
    results
        Its results.
    eqn
        The operation as an equation; None if it is on this path already.
    branches
        By key: the next places.
    steps
        The steps that ended here, by what they closed over and returned.
    """

    __slots__ = ("branches", "eqn", "key", "results", "steps")

    def __init__(self, key: Key | None, results: tuple[Var, ...], eqn: Eqn | None) -> None:
        self.key, self.results, self.eqn = key, results, eqn
        self.branches: dict[Key, Place] = {}
        self.steps: dict[Any, Step] = {}


class Root(Place):
    """The inputs of a step, before its first operation; `grown` counts the places that were added to the tree."""

    __slots__ = ("_constants", "carry", "grown", "xs")

    def __init__(self, carry: Sequence[Aval], xs: Sequence[Aval]) -> None:
        super().__init__(None, (), None)
        self.carry, self.xs = tuple(map(Var, carry)), tuple(map(Var, xs))
        self._constants: dict[tuple[int, Aval], Var] = {}
        self.grown = 0

    def constant(self, number: int, aval: Aval) -> Var:
        """Return the variable of the array that a step closes over and meets as the `number`-th."""
        var = self._constants.get((number, aval))
        return self._constants.setdefault((number, aval), Var(aval)) if var is None else var


MOST_PLACES: Final = 50_000
"""Places of all trees of a generation, of 1 to 2 KB each: a step with an option that changes adds some at every call,
and each batch size has a tree."""
_roots: Memo[Any, Root] = Memo(MOST_PLACES, lambda root: 1 + root.grown)


def root_of(carry: tuple[Aval, ...], xs: tuple[Aval, ...]) -> Root:
    """Return the root of the steps that take such arrays."""
    root = _roots.get((carry, xs))
    if root is None or root.grown > MOST_PLACES:
        root = _roots.put((carry, xs), Root(carry, xs))
    return root


class Walk(Builder):
    """Follows one run of a step.

    Attributes
    ----------
    constants
        The arrays that it closes over, by variable.
    numbers
        See `Traced`.
    """

    def __init__(self, root: Root) -> None:
        super().__init__()
        self.numbers: list[float] = []
        self._root, self._way = root, list[Place]([root])
        self._seen: dict[Key | None, tuple[Var, ...]] | None = None

    def constant(self, array: Array) -> Var:
        """Return the variable of a Tensor or ndarray that is the same at every time."""
        var = self._of_object.get(id(array))
        if var is None:
            var = self._root.constant(len(self.constants), Aval(array.shape, array.dtype))
            self._of_object[id(array)] = var
            self.constants[var] = array
        return var

    def apply(self, primitive: Primitive, operands: Iterable[Any], params: dict[str, Any]) -> Any:
        """Write down one operation of the user's step, a product in the precision of the place where it is called."""
        modes = in_front()
        if modes is not DEFAULT and primitive.kind is OpKind.PRODUCT:
            operands = tuple(operands)
            modes = current()
            params = with_precision(primitive, operands, params, modes.precision, operands if modes.quantized else ())
        return super().apply(primitive, operands, params)

    def _find(
        self, primitive: Primitive, atoms: tuple[Atom, ...], params: dict[str, Any], options: Any
    ) -> tuple[Var, ...]:
        atoms_key = tuple([atom if atom.__class__ is Var else identity(atom) for atom in atoms])
        free = changeable(primitive, atoms) if float in map(type, atoms) else ()
        if free:  # any such number leads on
            atoms_key = tuple([float if at in free else part for at, part in enumerate(atoms_key)])
        key = (primitive, atoms_key, options)
        place = self._way[-1].branches.get(key)
        if place is None:
            place = self._grow(key, Eqn(primitive, atoms, params, ()), bool(free))
            place = self._way[-1].branches.setdefault(key, place)
        if free:
            self.numbers += [atoms[at] for at in free]
        elif self._seen is not None:
            self._seen[key] = place.results
        self._way.append(place)
        return place.results

    def _grow(self, key: Key, eqn: Eqn, free: bool) -> Place:
        """Return a new place; an operation that was done before on this way has its results, but for `free` numbers."""
        self._root.grown += 1
        _roots.charge(1)
        if self._seen is None:
            self._seen = {place.key: place.results for place in self._way}
        results = None if free else self._seen.get(key)
        if results is not None:
            return Place(key, results, None)
        results = tuple([Var(aval) for aval in infer(eqn.primitive, eqn.operands, eqn.params, key[2])])
        return Place(None if free else key, results, replace(eqn, results=results))

    def step(self, carry_out: tuple[Var, ...], ys: tuple[Var, ...]) -> Step:
        """Return the step that ends here: the same object as when it was last traced."""
        key = tuple(self.constants), carry_out, ys
        step = self._way[-1].steps.get(key)
        if step is None:
            eqns = tuple([place.eqn for place in self._way if place.eqn is not None])
            step = check(Step(key[0], self._root.carry, self._root.xs, eqns, carry_out, ys))
            step = self._way[-1].steps.setdefault(key, step)
        return step
