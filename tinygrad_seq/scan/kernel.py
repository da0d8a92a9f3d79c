"""The loop of a step as machine code: what `interpret.run_loop` does, compiled."""

from __future__ import annotations

import math

import numpy as np

from ..kernels.gemm import pack_at
from ..kernels.generated import load
from ..kernels.tile import PANEL_BYTES
from .arrange import Loop, arrange, with_copy
from .emit import FIXED, Source, emit
from .homes import Buffer, Homes, NeedsCopy, Place
from .ir import Stages, Var
from .lift import Env
from .rows import find_rows
from .schedule import features, schedule

_SIGNATURE = "void(uint64[::1], uint64[::1], uint64, uint64)"
_LINE = 64


class Kernel:
    """A compiled loop.

    Parameters
    ----------
    stages
        Whose `during` it runs.
    over
        The variables with one value for each time.
    history
        The carries, before or after the step, whose values at all times somebody reads.
    backward
        Whether windows cut the carry.

    Raises
    ------
    CompileError
        If the loop holds an operation that has no source.
    """

    def __init__(self, stages: Stages, over: set[Var], history: set[Var], backward: bool) -> None:
        self.loop, self.homes, self.source, self.N = _emit(stages, over, history, backward)
        self.stages = stages
        self.run_rows = load(self.source.text, "run", _SIGNATURE)

    def run(
        self, T: int, env: Env, init: dict[Var, np.ndarray], reverse: bool, window: int | None
    ) -> tuple[np.ndarray, ...]:
        """Run the loop over `T` times; put what it stacks into `env` and return the last carry."""
        source = self.source
        arrays = {buffer: self._memory(buffer, T, env) for buffer in source.buffers}
        carries = {buffer.var: array for buffer, array in arrays.items() if buffer.kind == "now"}
        for var, array in carries.items():
            array[T if reverse and var not in source.alternating else 0] = init[var].reshape(array.shape[1:])
        weights = [_packed(env[var]) for var in source.weights]
        addresses = np.array([array.__array_interface__["data"][0] for array in (*arrays.values(), *weights)], np.uint64)
        sizes = np.array([T, reverse, window or 0, self.N, *source.numbers], np.int64).view(np.uint64)
        assert len(sizes) == len(FIXED) + len(source.numbers)
        self.run_rows(addresses, sizes, 0, self.N)
        for var in (*self.stages.kept, *self.stages.step.carry, *self.stages.step.carry_out):
            name = self.loop.became.get(var, var)
            place = self.homes.places.get(name)
            if var not in env and place is not None:
                if place.buffer.kind == "time" and place.buffer not in arrays:
                    arrays[place.buffer] = self._memory(place.buffer, T, env)
                found = self._over_time(name, place, arrays, carries, T, reverse)
                if found is not None:
                    env[var] = found
        last = []
        for var in self.loop.carry:
            at = T & 1 if var in source.alternating else 0 if reverse else T
            last.append(carries[var][at].reshape(var.shape).copy())
        return tuple(last)

    def _memory(self, buffer: Buffer, T: int, env: Env) -> np.ndarray:
        if buffer.kind in {"const", "time"}:  # given
            return np.ascontiguousarray(env[buffer.var], buffer.dtype)
        row = (self.N if buffer.rows else 1, buffer.size)
        if buffer.kind == "now":
            return np.empty((2 if buffer.var in self.source.alternating else T + 1, *row), buffer.dtype)
        if buffer.kind == "stack":
            return np.empty((T, *row), buffer.dtype)
        return np.empty(row if buffer.kind == "block" else 0, buffer.dtype)

    def _over_time(
        self, var: Var, place: Place, arrays: dict[Buffer, np.ndarray], carries: dict[Var, np.ndarray], T: int, reverse: bool
    ) -> np.ndarray | None:
        """Return ``(T, *shape)`` of a variable, as a view of the buffer that holds it; None if none does."""
        buffer = place.buffer
        if buffer.kind in {"now", "next"}:
            if buffer.var in self.source.alternating:
                return None
            first = int((buffer.kind == "next") != reverse)
            base = carries[buffer.var][first : first + T]
        elif buffer.kind in {"stack", "time"}:
            base = arrays[buffer]
        else:
            return None
        rows = [self.N] if buffer.rows else []
        step = buffer.dtype.itemsize
        slab = (self.N if buffer.rows else 1) * buffer.size * step
        strides = [slab, *[buffer.size * step for _ in rows], *[_value(s) * step for s in place.strides]]
        start = sum(map(_value, place.offsets))
        flat = base.reshape(-1)[start:]
        shape = (T, *rows, *features(var, self.homes.rows))
        return np.lib.stride_tricks.as_strided(flat, shape, strides) if math.prod(shape) else np.empty(shape, var.dtype)


def _value(number: object) -> int:
    return number if isinstance(number, int) else number[1]  # type: ignore[index, no-any-return]


def _emit(stages: Stages, over: set[Var], history: set[Var], backward: bool) -> tuple[Loop, Homes, Source, int]:
    loop = arrange(stages)
    while True:
        made = {result for eqn in loop.eqns for result in eqn.results}
        given = {var for eqn in loop.eqns for var in eqn.reads if var not in made}
        N, rows = find_rows(loop) or (1, frozenset[Var]())
        try:
            stretches = schedule(loop, rows, given - over)
            homes = Homes(loop, stretches, rows, over)
            kept = {homes.root(var) for var in loop.kept}
            alternating = {
                before
                for before, after, out in zip(loop.carry, loop.carry_out, stages.step.carry_out, strict=True)
                if history.isdisjoint((before, after, out)) and kept.isdisjoint((before, after))
            }
            return loop, homes, emit(loop, stretches, homes, alternating, backward), N
        except NeedsCopy as missing:
            loop = with_copy(loop, missing.eqn, missing.operand)


def _packed(weight: np.ndarray) -> np.ndarray:
    """Return the panels of a matrix, on a cache line."""
    K, N = weight.shape
    columns = PANEL_BYTES // weight.itemsize
    count = -(-N // columns)
    size = count * K * columns
    room = np.empty(size + _LINE // weight.itemsize, weight.dtype)
    address = room.__array_interface__["data"][0]
    room = room[-address % _LINE // weight.itemsize :]
    steps = [stride // weight.itemsize for stride in weight.strides]
    source, target = (x.__array_interface__["data"][0] for x in (weight, room))
    pack_at(np.array([source, K, N, *steps, target, count, columns], np.int64).view(np.uint64), weight.dtype.type(0))
    return room
