"""Where each array of a loop lives: its buffer, and the way from an element's indices to its place there.

Changes of shape copy nothing. A split is an offset, a transpose an exchange of strides, a broadcast a stride of 0; the
parts of a `concat` are written where the whole will be read.

    buffer    (slabs, N, F)    slabs: one for each time, two to alternate, or one; N rows of F elements
    place     offset and one stride for each axis of a row
"""

from __future__ import annotations

import math
from collections.abc import Collection
from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np

from ...ops.primitive import OpKind
from ..ir.step import Eqn, Var
from .arrange import Loop
from .schedule import Nest, Stretch, features, has_reductions, is_placed

Kind = Literal["const", "time", "stack", "now", "next", "total", "block", "row"]


@dataclass(eq=False)
class Buffer:
    """Memory for one array of the loop.

    Attributes
    ----------
    kind
        ``const``: given, the same at every time. ``time``: given for each time. ``stack``: kept for each time.
        ``now`` and ``next``: the carry, two names of one buffer. ``total``: the sums over each block of times.
        ``block``: one turn's value for all rows. ``row``: the value of the row at work.
    var
        The variable whose values it holds; for a carry the one that enters.
    rows
        Whether it has a row for each sequence.
    """

    kind: Kind
    var: Var
    rows: bool

    @property
    def size(self) -> int:
        """The number of elements in a row."""
        return math.prod(self.var.shape[1:] if self.rows else self.var.shape)

    @property
    def dtype(self) -> np.dtype:
        return self.var.dtype


# A number that the kernel is told at run time: what it is for (each purpose is told once), and the number; or 0 or 1,
# which are part of the source.
Number = tuple[object, int] | Literal[0, 1]


class Place(NamedTuple):
    """How to find an element: ``buffer[sum(offsets) + sum(index * stride)]``."""

    buffer: Buffer
    offsets: tuple[Number, ...]
    strides: tuple[Number, ...]


class CopyNeededError(Exception):
    """An equation that cannot read or write a variable where it lives, only in a copy with rows in one piece."""

    def __init__(self, eqn: Eqn, var: Var) -> None:
        super().__init__()
        self.eqn, self.var = eqn, var


class Homes:
    """The place of every variable of a loop that has one.

    Parameters
    ----------
    loop, stretches
        The loop and its order.
    rows
        The variables with a row for each sequence.
    over
        The given variables with one value for each time.
    spare
        Those among them that nobody reads after the loop, in memory that may be written to.
    """

    def __init__(
        self,
        loop: Loop,
        stretches: list[Stretch],
        rows: Collection[Var],
        over: Collection[Var],
        spare: Collection[Var] = (),
    ) -> None:
        self.rows, self.narrow = rows, has_reductions(loop)
        self.places: dict[Var, Place] = {}
        self._producer = {result: eqn for eqn in loop.eqns for result in eqn.results}
        self._whole = {part: eqn for eqn in loop.eqns if eqn.primitive.kind is OpKind.JOIN for part in eqn.operands}
        for position, var in enumerate(loop.carry):
            self._carry(loop, position, var)
        for total, out in zip(loop.totals, loop.totals_out, strict=True):
            self.places[total] = self.places[out] = self._whole_buffer(Buffer("total", total, total in rows))
        made = set(self._producer)
        kept = {self.root(var) for var in loop.kept}
        used, local = self._uses(stretches)
        for var in dict.fromkeys([v for eqn in loop.eqns for v in eqn.reads]):
            if var not in made and var not in self.places:
                self.places[var] = self._whole_buffer(Buffer("time" if var in over else "const", var, var in rows))
        views = [eqn for eqn in loop.eqns if eqn.primitive.kind is OpKind.VIEW]
        for eqn in views:
            if eqn.operands[0] in self.places:
                self._view(eqn)
        self._reuse(stretches, loop.kept, spare)
        for eqn in loop.eqns:
            for var in eqn.results:
                if var in self.places or eqn.primitive.kind is OpKind.VIEW or var in self._whole:
                    continue
                family = self._family(var)
                if var not in local or not kept.isdisjoint(family):
                    readers = set().union(*[used.get(member, set()) for member in family])
                    kind = self._kind(var, not kept.isdisjoint(family), len(readers) == 1)
                    self.places[var] = self._whole_buffer(Buffer(kind, var, var in rows))
        for eqn in reversed(loop.eqns):
            if eqn.primitive.kind is OpKind.JOIN:
                self._put_parts(eqn)
        for eqn in views:
            if eqn.results[0] not in self.places:
                self._view(eqn)

    def _kind(self, var: Var, kept: bool, in_one_stretch: bool) -> Kind:
        if kept:
            return "stack"
        return "row" if in_one_stretch and var in self.rows else "block"

    def _carry(self, loop: Loop, position: int, var: Var) -> None:
        has_rows = var in self.rows
        self.places[var] = self._whole_buffer(Buffer("now", var, has_rows))
        self.places[loop.carry_out[position]] = self._whole_buffer(Buffer("next", var, has_rows))

    def _reuse(self, stretches: list[Stretch], kept: Collection[Var], spare: Collection[Var]) -> None:
        """Let what a nest keeps take the place of what it reads last: gates, that of their sums of products."""
        last: dict[Var, object] = {}
        pieces: dict[Var, dict[Var, None]] = {}
        nests: dict[Var, Nest] = {}
        for item in [item for stretch in stretches for item in (*stretch.items, *stretch.products)]:
            eqns = item.eqns if isinstance(item, Nest) else [item]
            for eqn in eqns:
                for var in eqn.reads:
                    last[var] = item
                    pieces.setdefault(self.root(var), {})[var] = None
                if isinstance(item, Nest):
                    nests[eqn.result] = item
        for source in spare:
            cutters = {self._cutter(piece) for piece in pieces.get(source, ())}
            if len(cutters) != 1 or None in cutters:
                continue
            free = [piece for piece in pieces[source] if piece not in kept]
            for var in kept:
                fits = [
                    piece
                    for piece in free
                    if piece.aval == var.aval
                    and (piece in self.rows) == (var in self.rows)
                    and last[piece] is nests.get(var)
                ]
                if fits and var not in self.places and var not in self._whole:
                    self.places[var] = self.places[fits[0]]
                    free.remove(fits[0])

    def _cutter(self, piece: Var) -> object:
        """Return what makes `piece` apart from the other pieces of its root: the root itself or a `split` of it."""
        eqn = self._producer.get(piece)
        if eqn is None:
            return piece
        first = eqn.operands[0] not in self._producer
        return eqn if eqn.primitive.kind is OpKind.VIEW and eqn.primitive.multiple and first else None

    def _uses(self, stretches: list[Stretch]) -> tuple[dict[Var, set[object]], set[Var]]:
        """Return where each variable is written or read, and those that stay in registers.

        These never leave the nest that makes them, or are one number that nests of the same stretch read.
        """
        used: dict[Var, set[object]] = {}
        local: set[Var] = set()

        def mark(var: Var, place: object) -> None:
            used.setdefault(var, set()).add(place)
            eqn = self._producer.get(var)
            if eqn is not None and is_placed(eqn):
                for operand in eqn.reads:
                    local.discard(operand)
                    mark(operand, place)

        for number, stretch in enumerate(stretches):
            singles: set[Var] = set()
            for item in stretch.items:
                eqns = item.eqns if isinstance(item, Nest) else [item]
                inside = {result for eqn in eqns for result in eqn.results}
                known = inside | singles if isinstance(item, Nest) else set()
                local |= inside & known
                singles |= {var for var in inside & known if self.is_single(var)}
                for eqn in eqns:
                    for result in eqn.results:
                        mark(result, number)
                    for operand in eqn.reads:
                        if operand not in known:
                            local.discard(operand)
                        mark(operand, number)
            for eqn in stretch.products:
                for var in (*eqn.results, *eqn.reads):
                    local.discard(var)
                    mark(var, ("product", number))
        return used, local

    def is_single(self, var: Var) -> bool:
        """Return whether a row of `var` is one number."""
        return self.narrow and math.prod(features(var, self.rows)) == 1

    def root(self, var: Var) -> Var:
        """Return the variable that `var` is a view of; itself if it is none."""
        eqn = self._producer.get(var)
        return self.root(eqn.operands[0]) if eqn is not None and eqn.primitive.kind is OpKind.VIEW else var

    def _family(self, var: Var) -> list[Var]:
        """Return `var` and, if it is a `concat`, all parts that live in it."""
        eqn = self._producer[var]
        if eqn.primitive.kind is not OpKind.JOIN:
            return [var]
        return [var, *[member for part in eqn.operands for member in self._family(part)]]

    def _whole_buffer(self, buffer: Buffer) -> Place:
        shape = features(buffer.var, self.rows)
        strides: list[Number] = []
        for axis in range(len(shape)):
            step = math.prod(shape[axis + 1 :])
            strides.append(1 if axis == len(shape) - 1 else ((buffer, axis), step))
        return Place(buffer, (), tuple(strides))

    def _put_parts(self, eqn: Eqn) -> None:
        whole = self.places[eqn.result]
        axis = eqn.params["axis"] - (eqn.result in self.rows)
        start = 0
        for part in eqn.operands:
            step = _times(whole.strides[axis], start, (eqn, part))
            offsets = (*whole.offsets, step) if start else whole.offsets
            self.places[part] = Place(whole.buffer, offsets, whole.strides)
            start += features(part, self.rows)[axis]

    # ------------------------------------------------------------------------------------------------------- views

    def _view(self, eqn: Eqn) -> None:
        operand = eqn.operands[0]
        source, shape = self.places[operand], operand.shape
        strides = dict(enumerate(source.strides, int(operand in self.rows)))  # the rows stay where they are
        assert eqn.primitive.view is not None
        for part, found in zip(eqn.results, eqn.primitive.view(shape, **eqn.params), strict=True):
            for outer, inner in found.adjacent:
                if as_int(strides[outer]) != as_int(strides[inner]) * shape[inner]:
                    raise CopyNeededError(eqn, operand)
            starts = [_times(strides[axis], count, (part, axis, "start")) for axis, count in found.starts]
            steps: list[Number] = []
            for axis in range(int(part in self.rows), part.ndim):
                along, step = found.steps[axis] or (axis, 0)
                repeats = step == 0 or (self.narrow and part.shape[axis] == 1)
                stride = 0 if repeats else strides[along]
                steps.append(stride if step == 1 else _times(stride, step, (part, axis)))
            self.places[part] = Place(source.buffer, (*source.offsets, *starts), tuple(steps))


def stretched(
    shape: tuple[int, ...], strides: tuple[Number, ...], out: tuple[int, ...], narrow: bool
) -> tuple[Number, ...]:
    """Return the strides by which a row of `shape` is read as a row of the shape `out` that it broadcasts to.

    With `narrow` there is no step along an axis of size 1, and no loop: see `has_reductions`.
    """
    extra = len(out) - len(shape)
    alike = [at >= extra and shape[at - extra] == size and not (narrow and size == 1) for at, size in enumerate(out)]
    return tuple([strides[at - extra] if same else 0 for at, same in enumerate(alike)])


def _times(stride: Number, count: int, purpose: object) -> Number:
    """Return ``stride * count`` as a number told at run time."""
    return 0 if stride == 0 else (purpose, as_int(stride) * count)


def in_order(place: Place, shape: tuple[int, ...]) -> bool:
    """Return whether the elements of `shape` lie side by side in their order, at the sizes at hand."""
    axes = [axis for axis, size in enumerate(shape) if size != 1]
    return all(as_int(place.strides[axis]) == math.prod(shape[axis + 1 :]) for axis in axes)


def as_int(number: Number) -> int:
    """Return a number as it is at the sizes at hand."""
    return number if isinstance(number, int) else number[1]
