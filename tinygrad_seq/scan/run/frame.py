"""What the runs of a loop over T times have in common: its runtime arguments, and the shape of its memory."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Final, NamedTuple

import numpy as np

from ...kernels.llvm.address import address_of, empty
from ..codegen.layout import Buffer
from ..ir.step import Var

LINE: Final = 64
ONE_PIECE: Final = 2**16
"""Most bytes that a run takes in one piece, which an output keeps in memory; each further piece costs 2 us."""


class View(NamedTuple):
    """Where the values of a variable are in a slab of a buffer, in bytes.

    Attributes
    ----------
    batched
        Whether the first axis of `var` is the batch; if `buffer` has no batch axis, all batch elements are the same.
    start
        Of the first element.
    strides
        Of the other axes.
    """

    var: Var
    buffer: Buffer
    batched: bool
    start: int
    strides: tuple[int, ...]


class Part(NamedTuple):
    """An array in the memory of a run: the piece of memory, and how to find it there."""

    piece: int
    shape: tuple[int, ...]
    dtype: np.dtype
    start: int
    strides: tuple[int, ...] | None

    def of(self, pieces: Sequence[np.ndarray], starts: Sequence[int]) -> np.ndarray:
        """Return the array."""
        return np.ndarray(self.shape, self.dtype, pieces[self.piece], starts[self.piece] + self.start, self.strides)


class Frame:
    """What the runs of a loop over `T` times have in common.

    Parameters
    ----------
    sizes
        The runtime arguments.
    own
        The buffers that a run takes memory for, with their numbers.
    T, reverse, N
        See `Kernel`.
    outputs
        Where the values are that are read after the loop.

    Attributes
    ----------
    first, last
        The carry before the first step and after the last one, by the variable that enters.
    outputs
        The values in `own` that are read after the loop, by variable.
    nbytes
        The memory of a run.
    """

    def __init__(
        self,
        sizes: np.ndarray,
        own: Mapping[Buffer, int],
        T: int,
        reverse: bool,
        N: int,
        outputs: Iterable[View],
    ) -> None:
        self.sizes = sizes
        self._numbers = list(own.values())
        counts = {b: b.slabs(T) * (N if b.batched else 1) * b.size * b.dtype.itemsize for b in own}
        self._counts = [-(-count // LINE) * LINE for count in counts.values()]
        self.nbytes = sum(self._counts)
        self._starts = [sum(self._counts[:at]) for at in range(len(self._counts))]
        slab = {buffer: (N if buffer.batched else 1) * buffer.size * buffer.dtype.itemsize for buffer in own}
        piece = {buffer.var if buffer.kind == "now" else buffer: at for at, buffer in enumerate(own)}
        self._slabs = {buffer.var: slab[buffer] for buffer in own if buffer.kind == "now"}
        self._piece = piece
        self.first: dict[Var, Part] = {}
        self.last: dict[Var, Part] = {}
        for buffer in own:
            if buffer.kind == "now":
                begin, end = (T, 0) if reverse else (0, T)
                if buffer.alternates or buffer.in_place:
                    begin, end = 0, T & buffer.alternates
                self.first[buffer.var], self.last[buffer.var] = (self.slab(buffer.var, n) for n in (begin, end))
        self.outputs: dict[Var, Part] = {}
        for var, buffer, batched, start, inner in outputs:
            carry = buffer.kind in {"now", "next"}
            at = piece.get(buffer.var if carry else buffer)
            if at is None:
                continue
            step = self._slabs[buffer.var] if carry else slab[buffer]
            begin = step if carry and (buffer.kind == "next") != reverse else 0
            batch = (buffer.size * buffer.dtype.itemsize if buffer.batched else 0,) if batched else ()
            shape, strides = (T, *var.shape), (step, *batch, *inner)
            self.outputs[var] = Part(at, shape, var.dtype, 0 if 0 in shape else begin + start, strides)

    def slab(self, var: Var, number: int) -> Part:
        """Return where the values of a carry with a number are."""
        return Part(self._piece[var], var.shape, var.dtype, number * self._slabs[var], None)

    def take(self, addresses: list[int]) -> tuple[list[np.ndarray], list[int]]:
        """Return the pieces of memory of a run and where they start, and put their addresses among those of buffers."""
        if self.nbytes <= ONE_PIECE:
            room = np.empty(self.nbytes + LINE, np.uint8)
            address = address_of(room)
            begin = -address % LINE
            starts = [begin + start for start in self._starts]
            for number, start in zip(self._numbers, starts, strict=True):
                addresses[number] = address + start
            return [room] * len(starts), starts
        pieces = [empty((count,), _BYTE) for count in self._counts]
        for number, piece in zip(self._numbers, pieces, strict=True):
            addresses[number] = address_of(piece)
        return pieces, [0] * len(pieces)


_BYTE: Final = np.dtype(np.uint8)
