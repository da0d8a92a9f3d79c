"""Generate equations one by one: the arrays so far, which of them fit together, and shapes and bounds of results."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence
from random import Random
from typing import Any, NamedTuple

import numpy as np

from .random_program import SYMBOLS, Equation, Leaf, Value
from .reference import evaluate

BOUND = 2.0
"""The maximum magnitude of any element of a program, so that nothing overflows and every domain is known."""

LARGEST = 300
"""The maximum number of elements of an array; the maximum number of axes is four."""


class Sketch(NamedTuple):
    """An equation without a name: template, operands, and a bound on the magnitude of the result."""

    template: str
    operands: Sequence[Value]
    bound: float = BOUND


class NothingFitsError(Exception):
    """The program has no value that fits the operation: draw another operation."""


class Drawing:
    """A program under construction: its leaves, its equations and all values so far.

    Parameters
    ----------
    rng : random.Random
        Source of all choices.
    dtype : str
        The dtype of floating-point arrays.
    sizes : sequence of int
        The possible sizes of the axes of new weights.
    N : int, default 1
        The batch size.
    strict : bool, default False
        Whether no weight may have a batch axis, as in a cell, because a layer reorders batch elements.
    smooth : bool, default False
        Whether to leave out what finite differences cannot check: jumps and detached values.
    """

    def __init__(
        self, rng: Random, dtype: str, sizes: Sequence[int], N: int = 1, strict: bool = False, smooth: bool = False
    ) -> None:
        self.rng, self.dtype, self.sizes, self.N, self.strict, self.smooth = rng, dtype, sizes, N, strict, smooth
        self.leaves: dict[str, Leaf] = {}
        self.equations: list[Equation] = []
        self.values: list[Value] = []
        self.unread: dict[str, Value] = {}

    # ------------------------------------------------------------------------------------------------ choices

    def chance(self, probability: float) -> bool:
        return chance(self.rng, probability)

    def pick(self, kind: str = "f", fits: Callable[[Value], bool] | None = None) -> Value | None:
        """Return a random value, preferring recent ones and ones that no equation has read."""
        found = [value for value in self.values if value.kind == kind and (fits is None or fits(value))]
        if not found:
            return None
        waiting = [value for value in found if value.name in self.unread]
        if waiting and self.chance(0.4):
            found = waiting
        elif self.chance(0.5):
            found = found[-4:]
        return self.rng.choice(found)

    def need(self, kind: str = "f", fits: Callable[[Value], bool] | None = None) -> Value:
        """Return a random value as `pick` does, for an operation that is impossible without one."""
        value = self.pick(kind, fits)
        if value is None:
            raise NothingFitsError
        return value

    def axes(self, value: Value) -> list[int]:
        """Return the axes that an equation may mix or move: all except the batch axis."""
        return list(range(int(value.rows), value.ndim))

    def some(self, axes: Sequence[int]) -> tuple[int, ...]:
        """Return a random non-empty subset of `axes`, sorted."""
        chosen = self.rng.sample(list(axes), self.rng.randint(1, len(axes)))
        return tuple(sorted(chosen))

    # ------------------------------------------------------------------------------------------------- leaves

    def leaf(self, name: str, shape: tuple[int, ...], kind: str = "f", **options: Any) -> Value:
        """Add a leaf and return its value; `options` are those of `Value` and `Leaf`."""
        dtype = {"f": self.dtype, "i": options.pop("integer", "int64"), "b": "bool"}[kind]
        flags = {key: options.pop(key) for key in ("rows", "carried") if key in options}
        bound = {"f": BOUND, "i": SYMBOLS - 1, "b": 1}[kind]
        value = Value(name, shape, dtype, bound, **flags)
        if "layout" not in options and not self.smooth and len(shape) > 1 and self.chance(0.1):
            options["layout"] = "F"
        self.leaves[name] = Leaf(value, len(self.leaves), **options)
        self.values.append(value)
        if not name.startswith("w"):
            self.unread[name] = value
        return value

    def weight(self, shape: tuple[int, ...]) -> Value:
        """Return a new or existing weight or constant of this shape."""
        old = [
            leaf.value for leaf in self.leaves.values() if leaf.value.name.startswith("w") and leaf.value.shape == shape
        ]
        if old and self.chance(0.4):
            return self.rng.choice(old)
        count = sum(name.startswith("w") for name in self.leaves)
        tensor = self.smooth or self.chance(0.85)
        grad = tensor and (self.smooth or self.chance(0.75))
        value = self.leaf(f"w{count}", shape, grad=grad, tensor=tensor)
        if not tensor:  # an equation of ndarrays alone would run in NumPy
            self.values.remove(value)
        return value

    def partner(self, value: Value) -> Value:
        """Return a value that broadcasts with `value`: an existing one, or a weight."""
        if self.chance(0.6):
            found = self.pick("f", lambda other: fit_together([value, other]))
            if found is not None:
                return found
        shape = list(value.shape)
        if shape and self.chance(0.6):
            del shape[: self.rng.randint(int(value.rows), len(shape))]
        shape = [1 if self.chance(0.25) or (self.strict and size == self.N) else size for size in shape]
        if not value.rows and value.ndim < 3 and self.chance(0.1):
            shape = [self.rng.choice(self.sizes), *[1] * (value.ndim - len(shape)), *shape]
            shape = shape if math.prod(np.broadcast_shapes(tuple(shape), value.shape)) <= LARGEST else []
        return self.weight(tuple(shape))

    # ----------------------------------------------------------------------------------------------- equations

    def add(self, sketch: Sketch) -> Value | None:
        """Add an equation and return its value; return None if the result is too large or empty."""
        template, operands, bound = sketch
        ones = [np.ones(value.shape, value.dtype) for value in operands]
        result = np.asarray(evaluate(template, ones))
        if result.size > LARGEST or result.ndim > 4 or result.size == 0:
            return None
        kind = result.dtype.kind
        if kind == "f" and bound > BOUND:
            template, bound = f"{BOUND / bound:.3g} * ({template})", BOUND
        dtype = self.dtype if kind == "f" else str(result.dtype)
        rows, carried = any(value.rows for value in operands), any(value.carried for value in operands)
        if rows and result.shape[:1] != (self.N,):
            return None
        value = Value(f"v{len(self.equations)}", result.shape, dtype, bound, rows, carried)
        self.equations.append(Equation(value, template, tuple([operand.name for operand in operands])))
        self.values.append(value)
        for operand in operands:
            self.unread.pop(operand.name, None)
        self.unread[value.name] = value
        return value


def chance(rng: Random, probability: float) -> bool:
    """Return True with this probability; the smallest random number gives False, so hypothesis can shrink programs."""
    return rng.random() >= 1 - probability


def fit_together(values: Sequence[Value]) -> bool:
    """Return whether values broadcast and every batch axis stays the first axis."""
    try:
        shape = np.broadcast_shapes(*[value.shape for value in values])
    except ValueError:
        return False
    rows = [value for value in values if value.rows]
    return math.prod(shape) <= LARGEST and all(
        value.ndim == len(shape) and value.shape[0] == shape[0] for value in rows
    )


def divisors(number: int) -> list[int]:
    """Return the divisors of a number, sorted."""
    return [k for k in range(1, number + 1) if number % k == 0]


def number(rng: Random, low: float, high: float) -> str:
    """Return a random number between `low` and `high` as text."""
    return f"{rng.uniform(low, high):.2f}"


def letters(count: int) -> str:
    """Return the first letters of the alphabet, one per axis."""
    return "".join(itertools.islice("abcdefgh", count))
