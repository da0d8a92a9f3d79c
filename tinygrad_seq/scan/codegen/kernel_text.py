"""The smallest pieces of a kernel's source: names of its runtime arguments, addresses, indices, loops."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Final, NamedTuple

from ..ir.step import Eqn, Var
from .arrange import Loop
from .expression import literal
from .fusion import Packing
from .layout import Buffer, Layout, Number, broadcast

_SLABS: Final = {
    "varying": "t", "stack": "t", "now": "now", "next": "next", "sum": "block",
    "entering": "entering", "leaving": "leaving", "replayed": "t",
}  # fmt: skip
OF_ELEMENT: Final = {"entering", "leaving", "replayed"}
"""The kinds of buffers that hold all times of one batch element."""


class Stride(NamedTuple):
    """A number known when the kernel runs: bytes from one index to the next along an axis of an input's array."""

    buffer: Buffer
    axis: int


class KernelText:
    """Names what a kernel uses, and records what it must be given.

    Parameters
    ----------
    loop, layouts
        The loop, and where its variables are.

    Attributes
    ----------
    buffers, weights, numbers, factors, checked
        The runtime arguments, see `emit.Source`: by what they are for, with their names.
    scratch
        The elements of the scratch of each fused product.
    rows
        By operand, precision and fixed scale: the names of operands that are converted, and the bytes of each.
    converted
        Those that the phase at work has converted.
    fused
        The products that are fused with the loop nest at work, and the first columns of their pieces.
    elements_apart
        Whether the loop over batch elements is outside of that over time.
    nests
        The number of loop nests so far.
    opened
        The buffers that the phase at work reads or writes, one batch element at a time.
    scalars
        The names of the single numbers that the phase at work holds in registers.
    """

    def __init__(self, loop: Loop, layouts: Mapping[Var, Layout]) -> None:
        self.loop, self.layouts = loop, layouts
        self.elements_apart = False
        self.buffers: dict[Buffer, str] = {}
        self.weights: dict[Packing, str] = {}
        self.numbers: dict[object, tuple[str, int | Stride]] = {}
        self.factors: dict[tuple[Eqn, int], tuple[str, float]] = {}
        self.checked: list[Eqn] = []
        self.scratch: dict[Buffer, int] = {}
        self.converted: set[str] = set()
        self.rows: dict[tuple[Var, str, int], tuple[str, str]] = {}
        self.fused: dict[Var, tuple[int, ...]] = {}
        self.nests = 0
        self.opened: set[Buffer] = set()
        self.scalars: dict[Var, str] = {}
        self._numbered: dict[Var, str] = {}

    def number(self, purpose: object, value: int | Stride) -> str:
        """Return the name of a size or stride."""
        if purpose not in self.numbers:
            self.numbers[purpose] = (f"n{len(self.numbers)}", value)
        return self.numbers[purpose][0]

    def stride(self, number: Number) -> str:
        """Return the text of a number."""
        return str(number) if isinstance(number, int) else self.number(*number)

    def factor(self, eqn: Eqn, position: int, value: float) -> str:
        """Return the name of a Python scalar of the step."""
        return self.factors.setdefault((eqn, position), (f"s{len(self.factors)}", value))[0]

    def fresh(self, var: Var) -> str:
        """Return the number of a variable, for names of values in registers."""
        return self._numbered.setdefault(var, str(len(self._numbered)))

    def buffer(self, buffer: Buffer) -> str:
        """Return the number of a buffer; the carry and the next carry are one."""
        shared = self.layouts[buffer.var].buffer if buffer.kind in {"next", "leaving"} else buffer
        return self.buffers.setdefault(shared, str(len(self.buffers)))

    def length(self, buffer: Buffer) -> str:
        """Return the number of elements of a buffer, without the batch axis."""
        if buffer.kind == "block":
            return f"(units * u8({len(self.fused[buffer.var])}))"
        return self.number((buffer.var, "length"), buffer.size)

    def address(self, buffer: Buffer, element: str) -> str:
        """Return the address of a batch element at the time of the iteration; an input has strides of its own."""
        name, slab = f"a{self.buffer(buffer)}", _SLABS.get(buffer.kind, "")
        if buffer.kind == "block":
            return f"c{self.buffer(buffer)} + ({element} - top) * {self.length(buffer)} * u8({buffer.dtype.itemsize})"
        if buffer.kind == "varying":
            terms = (slab, "slab bytes"), (element, "element bytes")
            steps = [
                f" + {index} * {self.number((buffer.var, purpose), Stride(buffer, axis))}"
                for axis, (index, purpose) in enumerate(terms[: 1 + buffer.batched])
            ]
            return name + "".join(steps)
        if buffer.alternates:
            slab = f"other_{slab}"
        elif buffer.in_place:
            slab = ""
        size = self.number((buffer.var, "element bytes"), buffer.size * buffer.dtype.itemsize)
        if buffer.kind in OF_ELEMENT:
            return f"{name} + {slab} * {size}"
        index = f"{slab} * N + {element}" if slab and buffer.batched else slab or (element if buffer.batched else "")
        return f"{name} + ({index}) * {size}" if index else name

    def row_step(self, buffer: Buffer) -> str:
        """Return the elements from one batch element to the next."""
        if buffer.kind == "varying":
            return f"{self.number((buffer.var, 'element bytes'), Stride(buffer, 1))} // u8({buffer.dtype.itemsize})"
        return self.length(buffer)

    def vector(self, buffer: Buffer) -> str:
        """Return the name of the elements of a buffer for the batch element at work."""
        self.opened.add(buffer)
        prefix = {"next": "y", "leaving": "y", "element": "w"}.get(buffer.kind, "r")
        return f"{prefix}{self.buffer(buffer)}"

    def declare(self, name: str, buffer: Buffer) -> str:
        """Return the line that gives a name to the elements of a buffer for the batch element at work."""
        return f"{name} = vector({self.address(buffer, 'i')}, {self.length(buffer)}, {literal(0, buffer.dtype)})"

    def index(self, layout: Layout, strides: tuple[Number, ...], names: Sequence[str] = ()) -> str:
        """Return the index of an element; the index along each axis is called j0, j1 ... unless `names` are given."""
        terms = [self.stride(offset) for offset in layout.offsets]
        if layout.buffer.kind == "block":
            piece = self.fused[layout.buffer.var].index(layout.offset)
            terms = [f"u8({piece}) * units"] if piece else []
        elif self.fused:
            names = ("(begin + j0)",)
        for axis, stride in enumerate(strides):
            name = names[axis] if names else f"j{axis}"
            if stride == 1:
                terms.append(name)
            elif stride != 0:
                terms.append(f"{name} * {self.stride(stride)}")
        return " + ".join(terms) or "zero"

    def element(self, layout: Layout, strides: tuple[Number, ...] | None = None, names: Sequence[str] = ()) -> str:
        """Return an element of a vector, for reading or writing."""
        strides = layout.strides if strides is None else strides
        return f"{self.vector(layout.buffer)}[{self.index(layout, strides, names)}]"

    def strides_in(self, var: Var, shape: tuple[int, ...]) -> tuple[Number, ...]:
        """Return the strides of `var` in a loop nest over `shape`."""
        return broadcast(self.loop, self.loop.features(var), self.layouts[var].strides, shape)

    def around(
        self, shape: tuple[int, ...], axes: Iterable[int], body: list[str], purpose: object, inner: str = "range"
    ) -> list[str]:
        """Return `body` inside loops over some of the axes; `inner` names what the last axis loops over."""
        lines: list[str] = []
        for axis in axes:
            numbers = inner if axis == len(shape) - 1 else "range"
            lines.append(f"{'    ' * len(lines)}for j{axis} in {numbers}({self.number((purpose, axis), shape[axis])}):")
        return lines + indented(body, len(lines))


def indented(lines: Iterable[str], levels: int = 1) -> list[str]:
    """Return `lines` further to the right."""
    return ["    " * levels + line for line in lines]
