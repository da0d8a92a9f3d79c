"""The small pieces of a kernel's source: names of numbers and buffers, addresses, indices, loops."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from ..ir.step import Eqn, Var
from .arrange import Loop
from .buffers import Buffer, Homes, Number, Place, stretched
from .schedule import features


class Stride(NamedTuple):
    """A number known when the kernel runs: bytes from one index to the next along an axis of what is given."""

    var: Var
    axis: int


class Texts:
    """Gives out the pieces, and remembers what the kernel has to be told.

    Attributes
    ----------
    buffers, weights, numbers, factors, risks
        See `emit.Source`; by what they are for, with their names.
    """

    def __init__(self, loop: Loop, homes: Homes, alternating: frozenset[Var]) -> None:
        self.loop, self.homes, self.alternating = loop, homes, alternating
        self.rows = homes.rows
        self.buffers: dict[Buffer, str] = {}
        self.weights: dict[Var, str] = {}
        self.factors: dict[tuple[Eqn, int], tuple[str, float]] = {}
        self.numbers: dict[object, tuple[str, int | Stride]] = {}
        self.names: dict[Var, str] = {}
        self.nests = 0
        self.risks: list[Eqn] = []

    def number(self, purpose: object, value: int | Stride) -> str:
        """Return the name of a number that is told at run time."""
        if purpose not in self.numbers:
            self.numbers[purpose] = (f"n{len(self.numbers)}", value)
        return self.numbers[purpose][0]

    def factor(self, eqn: Eqn, position: int, value: float) -> str:
        """Return the name of a Python scalar that is told at run time."""
        return self.factors.setdefault((eqn, position), (f"s{len(self.factors)}", value))[0]

    def stride(self, number: Number) -> str:
        return str(number) if isinstance(number, int) else self.number(*number)

    def buffer(self, buffer: Buffer) -> str:
        """Return the number of a buffer; a carry is one buffer, whether it is read or written."""
        shared = self.homes.places[buffer.var].buffer if buffer.kind == "next" else buffer
        return self.buffers.setdefault(shared, str(len(self.buffers)))

    def slab(self, buffer: Buffer) -> str:
        if buffer.kind in {"time", "stack"}:
            return "t"
        if buffer.kind in {"now", "next"}:
            return f"{'other_' if buffer.var in self.alternating else ''}{buffer.kind}"
        if buffer.kind == "total":
            return "block"
        return ""

    def address(self, buffer: Buffer, row: str) -> str:
        """Return the address of a row; what is given has the strides it comes with."""
        name = f"a{self.buffer(buffer)}"
        slab = self.slab(buffer)
        if buffer.kind == "time":
            step = f"{name} + t * {self.number((buffer.var, 'slab bytes'), Stride(buffer.var, 0))}"
            return (
                f"{step} + {row} * {self.number((buffer.var, 'row bytes'), Stride(buffer.var, 1))}"
                if buffer.rows
                else step
            )
        size = self.number((buffer.var, "row bytes"), buffer.size * buffer.dtype.itemsize)
        place = f"{slab} * N + {row}" if slab and buffer.rows else slab or (row if buffer.rows else "")
        return f"{name} + ({place}) * {size}" if place else name

    def row_name(self, buffer: Buffer) -> str:
        prefix = {"next": "y", "row": "w"}.get(buffer.kind, "r")
        return f"{prefix}{self.buffer(buffer)}"

    def index(self, place: Place, strides: tuple[Number, ...]) -> str:
        terms = [self.stride(offset) for offset in place.offsets]
        for axis, stride in enumerate(strides):
            if stride == 1:
                terms.append(f"j{axis}")
            elif stride != 0:
                terms.append(f"j{axis} * {self.stride(stride)}")
        return " + ".join(terms) or "zero"

    def element(self, var: Var, shape: tuple[int, ...]) -> tuple[str, tuple[Number, ...]]:
        """Return the index of an element of `var` in a nest over `shape`, and its strides."""
        place = self.homes.places[var]
        strides = stretched(features(var, self.rows), place.strides, shape, self.homes.narrow)
        return self.index(place, strides), strides

    def fresh(self, var: Var) -> str:
        return self.names.setdefault(var, str(len(self.names)))

    def around(
        self, shape: tuple[int, ...], axes: Iterable[int], body: list[str], purpose: object, inner: str = "range"
    ) -> list[str]:
        """Return `body` inside loops over some of the axes; what the last axis loops over may have another name."""
        lines: list[str] = []
        for axis in axes:
            numbers = inner if axis == len(shape) - 1 else "range"
            lines.append(f"{'    ' * len(lines)}for j{axis} in {numbers}({self.number((purpose, axis), shape[axis])}):")
        return lines + ["    " * len(lines) + line for line in body]
