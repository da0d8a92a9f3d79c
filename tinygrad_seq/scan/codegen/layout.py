"""Layouts: where the elements of a variable are in a buffer.

Changes of shape copy nothing. A split is an offset, a transpose an exchange of strides, a broadcast a stride of 0; the
operands of a `concat` are written where the whole will be read.

    buffer    (slabs, N, F)    slabs: one per time, two that alternate, or one; N batch elements of F numbers
    layout    an offset and one stride per axis, within the F numbers of a batch element
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np

from ..ir.step import Eqn, Var
from .arrange import Loop

Kind = Literal[
    "const", "varying", "stack", "now", "next", "sum", "batch", "element", "block", "entering", "leaving", "replayed"
]


@dataclass(frozen=True, eq=False)
class Buffer:
    """Memory for one array of the loop.

    Attributes
    ----------
    kind
        ``const``: an input, the same at every time. ``varying``: an input with a value per time. ``stack``: saved for
        each time. ``now`` and ``next``: the carry, two names of one buffer. ``sum``: the sums over each block of times.
        ``batch``: the value of one iteration. ``element``: the value of one iteration for one batch element. ``block``:
        the pieces of a fused product for one tile of rows and one block of units. ``entering``, ``leaving`` and
        ``replayed``: the carry and the results of a replay, at all times for one batch element.
    var
        The variable whose values it holds; of a carry the one that enters.
    batched
        Whether it has a value per batch element.
    alternates
        Whether it holds the carry of two times only.
    in_place
        Whether it holds the carry of one time only: the next one is written over it.
    """

    kind: Kind
    var: Var
    batched: bool
    alternates: bool = False
    in_place: bool = False

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape without the batch axis."""
        return self.var.shape[1:] if self.batched else self.var.shape

    @property
    def size(self) -> int:
        """The number of elements without the batch axis."""
        return math.prod(self.shape)

    @property
    def dtype(self) -> np.dtype:
        return self.var.dtype

    def slabs(self, T: int) -> int:
        """Return the number of slabs that the loop allocates for `T` times."""
        carries = 1 if self.in_place else 2 if self.alternates else T + 1
        return {"now": carries, "stack": T, "batch": 1}.get(self.kind, 0)


# A number in the source. 0 and 1 are written as they are. Any other is a runtime argument: its purpose, for which there
# is one argument, and its value.
Number = tuple[object, int] | Literal[0, 1]


class Layout(NamedTuple):
    """How to find an element: ``buffer[sum(offsets) + sum(index * stride)]``."""

    buffer: Buffer
    offsets: tuple[Number, ...]
    strides: tuple[Number, ...]

    @property
    def offset(self) -> int:
        """The sum of the offsets."""
        return sum(map(as_int, self.offsets))


class CopyNeededError(Exception):
    """An equation that cannot read or write a variable in its layout, only in a contiguous copy."""

    def __init__(self, eqn: Eqn, var: Var) -> None:
        super().__init__()
        self.eqn, self.var = eqn, var


def as_int(number: Number) -> int:
    """Return the value of a number."""
    return number if isinstance(number, int) else number[1]


def contiguous(buffer: Buffer) -> Layout:
    """Return the layout of a variable that has `buffer` to itself.

    Buffers of one shape share their strides, so that a loop nest over several of them computes one index.
    """
    last = len(buffer.shape) - 1
    strides: list[Number] = [
        1 if axis == last else (("stride", buffer.shape, axis), math.prod(buffer.shape[axis + 1 :]))
        for axis in range(last + 1)
    ]
    return Layout(buffer, (), tuple(strides))


def concatenated(loop: Loop, eqn: Eqn, whole: Layout) -> dict[Var, Layout]:
    """Return the layouts of the operands of a `concat`, side by side in that of its result."""
    axis, start = eqn.params["axis"] - whole.buffer.batched, 0
    layouts = {}
    for part in eqn.operands:
        offsets = (*whole.offsets, _times(whole.strides[axis], start, (eqn, part))) if start else whole.offsets
        layouts[part] = Layout(whole.buffer, offsets, whole.strides)
        start += loop.features(part)[axis]
    return layouts


def view(loop: Loop, eqn: Eqn, source: Layout) -> dict[Var, Layout]:
    """Return the layouts of the results of a view, given that of its operand.

    Raises
    ------
    CopyNeededError
        If a reshape merges axes that are not adjacent in memory.
    """
    operand = eqn.operands[0]
    buffer, offsets, own = source
    strides = dict(enumerate(own, int(operand in loop.batched)))  # the batch axis stays where it is
    layouts = {}
    assert eqn.primitive.view is not None
    for result, found in zip(eqn.results, eqn.primitive.view(operand.shape, **eqn.params), strict=True):
        for outer, inner in found.adjacent:
            if as_int(strides[outer]) != as_int(strides[inner]) * operand.shape[inner]:
                raise CopyNeededError(eqn, operand)
        starts = [_times(strides[axis], count, (result, axis, "start")) for axis, count in found.starts]
        steps: list[Number] = []
        for axis in range(int(result in loop.batched), result.ndim):
            along, step = found.steps[axis] or (axis, 0)
            repeats = step == 0 or (loop.has_reductions and result.shape[axis] == 1)
            stride = 0 if repeats else strides[along]
            steps.append(stride if step == 1 else _times(stride, step, (result, axis)))
        layouts[result] = Layout(buffer, (*offsets, *starts), tuple(steps))
    return layouts


def broadcast(
    loop: Loop, shape: tuple[int, ...], strides: tuple[Number, ...], out: tuple[int, ...]
) -> tuple[Number, ...]:
    """Return the strides by which an array of `shape` is read as one of the shape `out` that it broadcasts to.

    Where an axis of size 1 gets no loop (`Loop.has_reductions`), its stride is 0.
    """
    extra = len(out) - len(shape)
    narrow = loop.has_reductions
    alike = [at >= extra and shape[at - extra] == size and not (narrow and size == 1) for at, size in enumerate(out)]
    return tuple([strides[at - extra] if same else 0 for at, same in enumerate(alike)])


def _times(stride: Number, count: int, purpose: object) -> Number:
    """Return ``stride * count`` as a number of its own."""
    step = as_int(stride)
    return 0 if step == 0 else (purpose, step * count)
