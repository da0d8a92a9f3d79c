"""The loop of a step as machine code: what `interpret.run_loop` does, compiled."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import numpy as np

from ...errors import CompileError
from ...kernels.compile.generated import load
from ...kernels.gemm.packed import pack_at
from ...kernels.gemm.tile import PANEL_BYTES, ROWS
from ...kernels.llvm.address import address_of, empty
from ...kernels.pool import run_all, split, workers
from ...ops.linear import matmul
from ..codegen.arrange import Loop, arrange, is_elementwise, with_copy
from ..codegen.batch_axis import find_rows
from ..codegen.buffers import Buffer, CopyNeededError, Homes, as_int
from ..codegen.emit import FIXED, Source, emit
from ..codegen.lookup import COMPLAINT, raise_complaint
from ..codegen.schedule import features, schedule
from ..codegen.snippets import Stride
from ..ir.step import Stages, Var
from .batched import Env

_SIGNATURE = "void(uint64[::1], uint64[::1], uint64, uint64)"
FLOP_SECONDS = 1.5e-11
ELEMENT_SECONDS = 1.5e-10


class View(NamedTuple):
    """Where the values of a variable lie in a slab of a buffer, in bytes.

    Attributes
    ----------
    has_rows
        Whether the first axis of `var` is that of the rows; where `buffer` has none, all rows are the same.
    strides
        Of the other axes.
    """

    var: Var
    buffer: Buffer
    has_rows: bool
    start: int
    strides: tuple[int, ...]


class Bound(NamedTuple):
    """The memory of a loop, and the numbers that its code is given: where everything is, and how large.

    Attributes
    ----------
    arrays
        In the order of ``source.buffers``.
    carries
        Those of them that hold the carry, by the variable that enters.
    others
        Further arrays that must stay alive.
    addresses, sizes
        What the code is given.
    complaint
        What it may leave there: see `pick`.
    """

    arrays: list[np.ndarray]
    carries: dict[Var, np.ndarray]
    others: list[np.ndarray]
    addresses: np.ndarray
    sizes: np.ndarray
    complaint: np.ndarray


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
        self.stages = stages
        self.loop, self.homes, self.source, self.N = _emit(stages, over, history, backward)
        self.summands = dict(zip(self.loop.totals, self.stages.added, strict=True))
        self.outputs = self._outputs(history)
        self.seconds = _seconds_of_a_row(self.loop, self.homes)
        numbers, buffers = self.source.numbers, self.source.buffers
        self._number = {buffer: at for at, buffer in enumerate(buffers)}
        given = {buffer.var: at for at, buffer in enumerate(buffers)}
        self._strides = [
            (len(FIXED) + at, given[n.var], n.axis) for at, n in enumerate(numbers) if isinstance(n, Stride)
        ]
        self._known = [0 if isinstance(n, Stride) else n for n in numbers]
        self._factors = np.array(self.source.factors, np.float64)
        self._no_complaint = np.zeros(COMPLAINT, np.int64)
        self._memory = [self._memory_of(buffer) for buffer in buffers]
        self._carries = [(at, buffer.var) for at, buffer in enumerate(buffers) if buffer.kind == "now"]
        self._panels = [(var, Panels(var)) for var in self.source.weights]
        self._run_rows: Callable[..., None] | None = None

    @property
    def run_rows(self) -> Callable[..., None]:
        """The machine code, compiled or found when first asked for: a backward that never runs is never compiled."""
        if self._run_rows is None:
            self._run_rows = load(self.source.text, "run", _SIGNATURE)
        return self._run_rows

    def run(
        self, T: int, env: Env, init: dict[Var, np.ndarray], reverse: bool, window: int | None, start: int
    ) -> tuple[np.ndarray, ...]:
        """Run the loop over `T` times, `start` having gone before; stack into `env` and return the last carry."""
        alternating, bound = self.source.alternating, self.bind(T, env, reverse, window, start)
        carries = bound.carries
        for var, array in carries.items():
            array[T if reverse and var not in alternating else 0] = init[var].reshape(array.shape[1:])
        self.launch(bound, T)
        for view in self.outputs:
            if view.var not in env:
                env[view.var] = self.over_time(view, bound, T, reverse, env)
        last = []
        for var in self.loop.carry:
            at = T & 1 if var in alternating else 0 if reverse else T
            last.append(carries[var][at].reshape(var.shape).copy())
        return tuple(last)

    def bind(self, T: int, env: Env, reverse: bool = False, window: int | None = None, start: int = 0) -> Bound:
        """Return the memory for `T` times, of which `env` gives what is given, and where the loop finds it."""
        arrays = [memory(T, env) for memory in self._memory]
        complaint = np.zeros(COMPLAINT, np.int64) if self.source.risks else self._no_complaint
        others = [*[panels.pack(env[var]) for var, panels in self._panels], self._factors, complaint]
        addresses = [address_of(array) for array in (*arrays, *others)]
        sizes = [T, reverse, window or 0, start, self.N, *self._known]
        for at, number, axis in self._strides:
            sizes[at] = arrays[number].strides[axis]
        carries = {var: arrays[at] for at, var in self._carries}
        numbers = np.array(sizes, np.int64).view(np.uint64)
        return Bound(arrays, carries, others, np.array(addresses, np.uint64), numbers, complaint)

    def launch(self, bound: Bound, T: int) -> None:
        """Run the loop over the first `T` times, the number that ``bound.sizes`` begins with."""
        _, _, _, addresses, sizes, complaint = bound
        threads = min(workers(T * self.N * self.seconds), -(-self.N // ROWS))
        if threads == 1:
            self.run_rows(addresses, sizes, 0, self.N)
        else:
            run_all([partial(self.run_rows, addresses, sizes, *ends) for ends in split(self.N, threads)])
        if self.source.risks:
            raise_complaint(self.source.risks, complaint)

    def _memory_of(self, buffer: Buffer) -> Callable[[int, Env], np.ndarray]:
        """Return a function of T and what is given that returns the memory of a buffer."""
        kind, var, dtype = buffer.kind, buffer.var, buffer.var.dtype
        if kind == "const":
            return lambda T, env: np.ascontiguousarray(env[var])  # noqa: ARG005
        if kind == "time":
            return _given_over_time(buffer)
        if kind == "total":
            summand = self.summands[var]
            return lambda T, env: env[summand]  # noqa: ARG005
        row = self.N if buffer.rows else 1, buffer.size
        if kind == "stack":
            return lambda T, env: empty((T, *row), dtype)  # noqa: ARG005
        if kind == "now" and var not in self.source.alternating:
            return lambda T, env: empty((T + 1, *row), dtype)  # noqa: ARG005
        shape = (2, *row) if kind == "now" else row if kind == "block" else (0,)
        return lambda T, env: empty(shape, dtype)  # noqa: ARG005

    def _outputs(self, history: set[Var]) -> list[View]:
        """Return what others read of the loop."""
        step = self.stages.step
        found = dict.fromkeys((*self.stages.kept, *step.carry, *step.carry_out))
        wanted = [var for var in found if var in self.stages.kept or var in history]
        return [view for var in wanted if (view := self.view(var)) is not None]

    def view(self, var: Var) -> View | None:
        """Return where the values of a variable lie, None if they have no place in memory."""
        place = self.homes.places.get(self.loop.became.get(var, var))
        if place is None:
            return None
        step = var.dtype.itemsize
        strides = tuple([as_int(stride) * step for stride in place.strides])
        has_rows = len(strides) < var.ndim
        return View(var, place.buffer, has_rows, sum(map(as_int, place.offsets)) * step, strides)

    def over_time(self, view: View, bound: Bound, T: int, reverse: bool, env: Env) -> np.ndarray:
        """Return ``(T, *shape)`` of a variable, as a view of the buffer that holds it; `env` is that of `bind`."""
        var, buffer, has_rows, start, inner = view
        if buffer.kind == "now" or buffer.kind == "next":
            first = int((buffer.kind == "next") != reverse)
            base = bound.carries[buffer.var][first : first + T]
        elif (number := self._number.get(buffer)) is not None:
            base = bound.arrays[number]
        else:
            base = _given_over_time(buffer)(T, env)
        shape = (T, *var.shape)
        if 0 in shape:
            return np.empty(shape, var.dtype)
        lead = 2 if buffer.rows else 1  # memory of the loop has (slabs, rows, elements of a row), rows also where 1
        row = (base.strides[1] if buffer.rows else 0,) if has_rows else ()
        strides = (base.strides[0], *row, *inner)
        if base.flags.c_contiguous:  # five times as fast as what follows
            return np.ndarray(shape, var.dtype, base, start, strides)
        begin = start // var.dtype.itemsize
        return np.lib.stride_tricks.as_strided(base.reshape(*base.shape[:lead], -1)[..., begin:], shape, strides)


def _emit(stages: Stages, over: set[Var], history: set[Var], backward: bool) -> tuple[Loop, Homes, Source, int]:
    loop = arrange(stages, cuts_carry=backward)
    named = {loop.became.get(var, var) for var in history}
    copies: set[Var] = set()
    while True:
        made = {result for eqn in loop.eqns for result in eqn.results}
        given = {var for eqn in loop.eqns for var in eqn.reads if var not in made}
        N, rows = find_rows(loop)
        try:
            stretches = schedule(loop, rows, given - over)
            homes = Homes(loop, stretches, rows, over, _spare(stages, loop, history))
            kept = {homes.root(var) for var in loop.kept}
            alternating = {
                before
                for before, after in zip(loop.carry, loop.carry_out, strict=True)
                if named.isdisjoint((before, after)) and kept.isdisjoint((before, after))
            }
            return loop, homes, emit(loop, stretches, homes, alternating, backward), N
        except CopyNeededError as missing:
            if missing.var in copies:
                raise CompileError(
                    f"scan: expected a step whose arrays can be laid out in memory, got {missing.eqn.primitive.name!r} "
                    f"of {missing.var.aval} in this one; report it, and pass compile=False."
                ) from None
            loop, copy = with_copy(loop, missing.eqn, missing.var)
            copies.add(copy)


def _given_over_time(buffer: Buffer) -> Callable[[int, Env], np.ndarray]:
    var, lead = buffer.var, 2 if buffer.rows else 1
    return lambda T, env: _with_whole_rows(env[var], lead)  # noqa: ARG005


def _with_whole_rows(array: np.ndarray, lead: int) -> np.ndarray:
    """Return `array` with the axes after the first `lead` in one piece, the others with any strides."""
    step = array.itemsize
    for size, stride in zip(array.shape[: lead - 1 : -1], array.strides[: lead - 1 : -1], strict=True):
        if size != 1 and stride != step:
            return np.ascontiguousarray(array)
        step *= size
    return array


def _spare(stages: Stages, loop: Loop, history: set[Var]) -> list[Var]:
    """Return the products made before the loop that only the loop reads: their memory is the loop's to use."""
    outside = {operand for eqn in stages.before for operand in eqn.reads} | history
    made = [eqn.result for eqn in stages.before if eqn.primitive is matmul]
    names = {var: loop.became.get(var, var) for var in made}
    return [names[var] for var in made if var not in outside and var not in stages.kept]


def _seconds_of_a_row(loop: Loop, homes: Homes) -> float:
    """Return roughly how long one row takes at one time, to decide on threads; 0 where rows are not apart."""
    if not homes.rows:
        return 0.0
    total = 0.0
    for eqn in loop.eqns:
        if eqn.primitive is matmul:  # all other products are made of it
            total += 2 * math.prod(features(eqn.result, homes.rows)) * eqn.operands[0].shape[-1] * FLOP_SECONDS
        elif is_elementwise(eqn):
            total += math.prod(features(eqn.result, homes.rows)) * ELEMENT_SECONDS
    return total


class Panels:
    """How a matrix is packed: what is known of it beforehand."""

    def __init__(self, weight: Var) -> None:
        (K, N), step = weight.shape, weight.dtype.itemsize
        self._columns = PANEL_BYTES // step
        self._count = -(-N // self._columns)
        self._room = (self._count, K, self._columns)
        self._dtype, self._zero = weight.dtype, weight.dtype.type(0)

    def pack(self, weight: np.ndarray) -> np.ndarray:
        """Return the panels of a matrix."""
        (K, N), (row, column), step = weight.shape, weight.strides, weight.itemsize
        room = empty(self._room, self._dtype)
        numbers = address_of(weight), K, N, row // step, column // step, address_of(room), self._count, self._columns
        pack_at(np.array(numbers, np.int64).view(np.uint64), self._zero)
        return room
