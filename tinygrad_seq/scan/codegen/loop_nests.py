"""Loop nests and reductions of one batch element as source text."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from itertools import pairwise
from typing import Any

from numba import config

from ..ir.step import Eqn, Var
from .arrange import is_elementwise
from .expression import expression, literal, type_name
from .kernel_text import KernelText, indented
from .layout import as_int
from .schedule import LoopNest, summed_down, summed_from


def loop_nest(text: KernelText, nest: LoopNest) -> list[str]:
    """Return the lines of a loop nest: load, compute, store, inside the loops over its axes."""
    emitter = _Emitter(text, nest)
    lines = [*emitter.scopes(), *emitter.loops()]
    text.nests += 1
    text.scalars = {var: name for var, name in emitter.names.items() if text.loop.is_scalar(var)}
    return [*emitter.before, *lines]


_CARRY = ({"now", "next"}, {"entering", "leaving"})
"""The kinds of buffers whose slabs change places from one iteration to the next."""
_ROWS = ["row0", "row1", "row2", "row3"]
"""The names of the indices of rows that are processed at once."""


class _Emitter:
    """Writes the lines of one loop nest.

    Attributes
    ----------
    names
        The names of values in registers.
    before
        The loads of numbers that are the same in the whole loop nest.
    """

    def __init__(self, text: KernelText, nest: LoopNest) -> None:
        self.text, self.nest = text, nest
        self.sums = [eqn for eqn in nest.eqns if not is_elementwise(eqn)]
        self.down = [eqn for eqn in self.sums if summed_down(text.loop, eqn)]
        results = [eqn.result for eqn in nest.eqns if eqn not in self.down]
        self.names = text.scalars | {result: f"v{text.fresh(result)}" for result in results}
        loaded = dict.fromkeys([var for eqn in nest.eqns for var in eqn.reads if var not in self.names])
        self.stored = [eqn.result for eqn in nest.eqns if eqn not in self.sums and eqn.result in text.layouts]
        touched = dict.fromkeys([*loaded, *self.stored, *[eqn.result for eqn in self.down]])
        self.strides = {var: text.strides_in(var, nest.shape) for var in touched}
        self.groups = disjoint_groups(text, list(touched), slabs=len(nest.shape) > 1)
        self.rows = self._rows_together()
        self.loaded = [var for var in loaded if any(stride != 0 for stride in self.strides[var])]
        self.before = [f"x{text.fresh(var)} = {self._load(var)}" for var in loaded if var not in self.loaded]

    def loops(self) -> list[str]:
        """Return the loops around the body; each sum starts before the loops that it is over."""
        text, shape = self.text, self.nest.shape
        numbers = "elements" if any(eqn.primitive.vectorised for eqn in self.nest.eqns) else "range"
        if text.fused:
            return [f"for j0 in {numbers}(units):", *indented(self._body([""]))]
        inner = len(shape) - 1 if self.rows > 1 else len(shape)
        lines = self._several_rows(self.rows, numbers) if self.rows > 1 else self._body([""])
        for axis in reversed(range(inner)):
            if self.rows > 1 and axis == inner - 1:
                pass  # these loops are there
            elif shape[axis] != 1 or not text.loop.has_reductions:
                lines = text.around(shape, [axis], lines, self.nest, numbers)
            lines = self._with_sums(lines, axis, numbers)
        return lines

    def scopes(self) -> list[str]:
        """Return the line that limits what `read` and `write` say to this iteration (see `disjoint_groups`)."""
        kinds = {self.text.layouts[var].buffer.kind for var in self.strides}
        both = len(self.nest.shape) > 1 and any(ways <= kinds for ways in _CARRY)
        return [f"scopes({self.text.nests}, {self._places()})"] if both and not config.BOUNDSCHECK else []

    def _places(self) -> int:
        return (max(self.groups.values(), default=0) + 1) * self.rows

    def _with_sums(self, lines: list[str], axis: int, numbers: str, rows: Sequence[str] = ("",)) -> list[str]:
        """Return the loop over an axis between the start and the end of the sums that it is the first one of."""
        text, shape = self.text, self.nest.shape
        for eqn in self.sums:
            zero = literal(0, eqn.result.dtype)
            strides = text.strides_in(eqn.result, shape) if eqn.result in text.layouts else None
            if (axes := summed_down(text.loop, eqn)) and axes[0] == axis:
                over = [other for other in range(axis, len(shape)) if other not in axes]
                fill = [f"{text.element(text.layouts[eqn.result], strides)} = {zero}"]
                lines = [*text.around(shape, over, fill, self.nest, numbers), *lines]
            elif summed_from(text.loop, eqn) == axis:
                for row, total in zip(rows, self._names_of(eqn.result, rows), strict=True):
                    lines = [f"{total} = {zero}", *lines]
                    if strides is not None:
                        element = text.element(text.layouts[eqn.result], strides, self._indices(row))
                        lines.append(f"{element} = {total}")
        return lines

    def _several_rows(self, together: int, numbers: str) -> list[str]:
        """Return the loops over the last two axes, with several rows in one iteration."""
        text, shape = self.text, self.nest.shape
        axis = len(shape) - 2
        rows = _ROWS[:together]
        whole = shape[axis] // together * together
        size, done = text.number((self.nest, axis), shape[axis]), text.number((self.nest, "whole"), whole)
        blocks = text.number((self.nest, "blocks"), whole // together)
        several, single = (
            self._with_sums(
                text.around(shape, [axis + 1], self._body(some), self.nest, numbers), axis + 1, numbers, some
            )
            for some in (rows, [""])
        )
        starts = [f"{row} = q * u8({together}) + u8({number})" for number, row in enumerate(rows)]
        return [
            f"for q in range({blocks}):",
            *indented([*starts, *several]),
            f"for j{axis} in range({done}, {size}):",
            *indented(single),
        ]

    def _rows_together(self) -> int:
        """Return how many rows to process at once: a short row has little to do between the loads of its addresses.

        What all rows read, or add up down the columns, is then loaded once. More rows need more address registers.
        """
        shape, loop = self.nest.shape, self.text.loop
        if config.BOUNDSCHECK or len(shape) < 2 or not self.sums or (loop.has_reductions and 1 in shape[-2:]):
            return 1
        if any((first := summed_from(loop, eqn)) is not None and first < len(shape) - 1 for eqn in self.sums):
            return 1
        streams = [var for var in self.strides if self.strides[var][-1] != 0 and self.strides[var][-2] != 0]
        return 4 if len(streams) <= 4 else 2 if len(streams) <= 8 else 1

    def _body(self, rows: Sequence[str]) -> list[str]:
        """Return the lines inside all loops, for each of some rows."""
        text = self.text
        added = {
            eqn.result: [f"s{text.fresh(eqn.result)}_{number}" for number in range(len(rows))] for eqn in self.down
        }
        lines: list[str] = []
        for number, row in enumerate(rows):
            loaded = [var for var in self.loaded if number == 0 or self._varies(var)]
            lines += [f"{self._names_of(var, rows)[number]} = {self._load(var, row)}" for var in loaded]
            for eqn in self.nest.eqns:
                operands = [self._names_of(o, rows)[number] if o.__class__ is Var else "" for o in eqn.operands]
                if eqn in self.down:
                    shared = number > 0 and not self._varies(eqn.result)
                    before = added[eqn.result][number - 1] if shared else self._load(eqn.result, row)
                    lines.append(f"{added[eqn.result][number]} = reduce.add({before}, {operands[0]})")
                    if number == len(rows) - 1 or self._varies(eqn.result):
                        lines.append(self._store(eqn.result, added[eqn.result][number], row))
                    continue
                result = self._names_of(eqn.result, rows)[number]
                if eqn in self.sums:
                    lines.append(f"{result} = reduce.add({result}, {operands[0]})")
                else:
                    lines.append(f"{result} = {expression(eqn, operands, partial(text.factor, eqn))}")
            lines += [self._store(var, self._names_of(var, rows)[number], row) for var in self.stored]
        return lines

    def _names_of(self, var: Var, rows: Sequence[str]) -> list[str]:
        """Return the names of a value for each of some rows."""
        name = self.names.get(var, f"x{self.text.fresh(var)}")
        if len(rows) == 1 or var in self.text.scalars or (var in self.strides and not self._varies(var)):
            return [name] * len(rows)
        return [f"{name}_{number}" for number in range(len(rows))]

    def _varies(self, var: Var) -> bool:
        """Return whether a variable in memory differs from row to row."""
        return len(self.nest.shape) > 1 and self.strides[var][-2] != 0

    def _indices(self, row: str) -> Sequence[str]:
        """Return the names of the indices along all axes in a row; none if they are the usual ones."""
        names = [f"j{axis}" for axis in range(len(self.nest.shape))]
        return (*names[:-2], row, names[-1]) if row else ()

    def _place(self, var: Var, row: str) -> tuple[str, str]:
        layout = self.text.layouts[var]
        return self.text.vector(layout.buffer), self.text.index(layout, self.strides[var], self._indices(row))

    def _load(self, var: Var, row: str = "") -> str:
        vector, index = self._place(var, row)
        return f"{vector}[{index}]" if config.BOUNDSCHECK else f"read({vector}, {index}, {self._group(var, row)})"

    def _store(self, var: Var, value: str, row: str) -> str:
        vector, index = self._place(var, row)
        if config.BOUNDSCHECK:
            return f"{vector}[{index}] = {value}"
        return f"write({vector}, {index}, {value}, {self._group(var, row)})"

    def _group(self, var: Var, row: str) -> str:
        """Return the literals that tell which loads and stores can touch what this one does: see `read`."""
        group = self.groups[var]
        together = [self.text.layouts[other] for other in self.groups if self.groups[other] == group]
        alike = all(
            layout.offset == together[0].offset and layout.strides == together[0].strides for layout in together
        )
        apart = bool(row) and alike and self._rows_apart(var)
        return f"{self.text.nests}, {group * self.rows + (_ROWS.index(row) if apart else 0)}, {self._places()}"

    def _rows_apart(self, var: Var) -> bool:
        """Return whether no two rows of a variable share memory."""
        row, element = map(as_int, self.strides[var][-2:])
        return row > element * (self.nest.shape[-1] - 1) >= 0


def disjoint_groups(text: KernelText, variables: Sequence[Var], slabs: bool = False) -> dict[Var, int]:
    """Return a number for each variable: those with different numbers never share memory, or not in one iteration.

    A carry and the next one are in two slabs of a buffer. They count as the same, as the next iteration reads what this
    one writes, unless `slabs` tells them apart. Parts of one buffer count as disjoint if none of them reaches into
    another, for any batch element and time.
    """
    spans: dict[tuple[str, bool], dict[tuple[int, int], list[Var]]] = {}
    for var in variables:
        layout = text.layouts[var]
        ends = [
            as_int(stride) * (size - 1) for stride, size in zip(layout.strides, text.loop.features(var), strict=True)
        ]
        first, last = (layout.offset + sum([f(end, 0) for end in ends]) for f in (min, max))
        slab = text.buffer(layout.buffer), slabs and layout.buffer.kind in {"next", "leaving"}
        spans.setdefault(slab, {}).setdefault((first, last), []).append(var)
    numbers: dict[Var, int] = {}
    count = 0
    for found in spans.values():
        ordered = sorted(found)
        disjoint = all(a[1] < b[0] for a, b in pairwise(ordered))
        for span in ordered:
            numbers.update(dict.fromkeys(found[span], count))
            count += disjoint
        count += not disjoint
    return numbers


def reduction(text: KernelText, eqn: Eqn) -> list[str]:
    """Return the lines of a reduction over feature axes."""
    operand, result = eqn.operands[0], eqn.result
    dtype, source, target = result.dtype, text.layouts[operand], text.layouts[result]
    shape = text.loop.features(operand)
    axes = [axis - (operand in text.loop.batched) for axis in eqn.params["axes"]]
    left = [axis for axis in range(len(shape)) if axis not in axes]

    def without_axes(strides: Sequence[Any]) -> tuple[Any, ...]:
        return tuple([0 if axis in axes else stride for axis, stride in enumerate(strides)])

    text.vector(source.buffer)  # the first of the two buffers
    into = text.element(target, without_axes(target.strides))
    value = text.element(source)
    if operand.dtype != dtype and dtype.kind != "b":
        value = f"{type_name(dtype)}({value})"
    assert eqn.primitive.fold is not None
    start, step = eqn.primitive.fold
    total = f"total{text.fresh(result)}"
    summing = text.around(shape, axes, [step.format(total=total, value=value)], (eqn, "inner"))
    first = (
        f"{type_name(dtype)}({text.element(source, without_axes(source.strides))})"
        if start is None
        else literal(start, dtype)
    )
    return text.around(shape, left, [f"{total} = {first}", *summing, f"{into} = {total}"], eqn)
