"""The loop of a step as machine code: what `interpret.run_loop` does, compiled."""

from __future__ import annotations

import functools
from collections.abc import Callable, Collection
from typing import NamedTuple

import numpy as np

from ...base.memo import Memo
from ...kernels import pool
from ...kernels.compile.generated import load
from ...kernels.llvm.address import address_of, empty
from ...kernels.machine import machine
from ...kernels.pool import available
from ..codegen.emit import FIXED
from ..codegen.kernel_text import Stride
from ..codegen.layout import Buffer, as_int
from ..codegen.lookup import STATUS_SIZE, raise_status
from ..codegen.loop_source import loop_source
from ..codegen.runtime_arguments import Argument
from ..ir.step import Stages, Var
from .batched import Env
from .kept import NO_STAMPS, Stamps, packed
from .launch import Bound, Split, choose, cost_of, launch
from .panels import Panels

_SIGNATURE = "void(uint64[::1], uint64[::1], uint64, uint64, uint64, uint64, uint64)"


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


class Kernel:
    """A compiled loop.

    Parameters
    ----------
    stages
        Whose `during` it runs.
    time_varying
        The variables with one value per time.
    history
        The carries, before or after the step, whose values at all times are read after the loop.
    backward
        Whether windows cut the carry.

    Raises
    ------
    CompileError
        If the loop holds an operation that has no source.
    """

    def __init__(self, stages: Stages, time_varying: set[Var], history: set[Var], backward: bool) -> None:
        self.stages = stages
        self.loop, self.layouts, self.source = loop_source(stages, time_varying, history, backward)
        self.N = self.loop.batch_size
        self.outputs = self._outputs(history)
        self.cost = cost_of(self.loop, self.source.epochs)
        self._splits: Memo[tuple[int, int, str], Split] = Memo(100)
        numbers, buffers = self.source.numbers, self.source.buffers
        self._number = {buffer: at for at, buffer in enumerate(buffers)}
        self._strides = [
            (len(FIXED) + at, self._number[n.buffer], n.axis) for at, n in enumerate(numbers) if isinstance(n, Stride)
        ]
        self._known = [0 if isinstance(n, Stride) else n for n in numbers]
        self._factors = np.array(self.source.factors, np.float64)
        self._arguments = [(at, f.var) for at, f in enumerate(self.source.factors) if isinstance(f, Argument)]
        self._no_status = np.zeros(STATUS_SIZE, np.int64)
        self._memory = [self._memory_of(buffer) for buffer in buffers]
        self._carries = [(at, buffer) for at, buffer in enumerate(buffers) if buffer.kind == "now"]
        self.panels = [(packing.weight, Panels(packing)) for packing in self.source.weights]
        self._run_elements: Callable[..., None] | None = None

    @property
    def run_elements(self) -> Callable[..., None]:
        """The machine code, compiled or loaded at the first use: a backward that never runs is never compiled."""
        if self._run_elements is None:
            self._run_elements = load(self.source.text, "run", _SIGNATURE)
        return self._run_elements

    def run(
        self,
        T: int,
        env: Env,
        init: dict[Var, np.ndarray],
        reverse: bool,
        window: int | None,
        start: int,
        stamps: Stamps = NO_STAMPS,
    ) -> tuple[np.ndarray, ...]:
        """Run the loop over `T` times, after `start` earlier ones; stack into `env` and return the last carry."""
        bound = self.bind(T, env, reverse, window, start, stamps)
        ends = self.ends(T, reverse)
        for var, array in bound.carries.items():
            array[ends[var][0]] = init[var].reshape(array.shape[1:])
        self.launch(bound, T)
        for view in self.outputs:
            if view.var not in env:
                env[view.var] = self.over_time(view, bound, T, reverse, env)
        return tuple([bound.carries[var][ends[var][1]].reshape(var.shape).copy() for var in self.loop.carry])

    def ends(self, T: int, reverse: bool) -> dict[Var, tuple[int, int]]:
        """Return which slabs of each carry hold it before the first of `T` steps, and after the last."""
        every = (T, 0) if reverse else (0, T)
        return {b.var: (0, 0) if b.in_place else (0, T & 1) if b.alternates else every for _, b in self._carries}

    def bind(
        self,
        T: int,
        env: Env,
        reverse: bool = False,
        window: int | None = None,
        start: int = 0,
        stamps: Stamps = NO_STAMPS,
    ) -> Bound:
        """Return the memory for `T` times, in which `env` holds the inputs, and the runtime arguments.

        The weights are packed, but for those that are kept by one of `stamps`; those of `stamps` are kept.
        """
        arrays = [memory(T, env) for memory in self._memory]
        status = np.zeros(STATUS_SIZE, np.int64) if self.source.checked else self._no_status
        factors = self._factors.copy() if self._arguments else self._factors
        for at, var in self._arguments:
            factors[at] = env[var]
        others = [*[packed(env[var], panels, stamps) for var, panels in self.panels], factors, status]
        addresses = [address_of(array) for array in (*arrays, *others)]
        sizes = [T, reverse, window or 0, start, self.N, *self._known]
        for at, number, axis in self._strides:
            sizes[at] = arrays[number].strides[axis]
        carries = {buffer.var: arrays[at] for at, buffer in self._carries}
        numbers = np.array(sizes, np.int64).view(np.uint64)
        return Bound(arrays, carries, others, np.array(addresses, np.uint64), numbers, status)

    def seconds_of(self, T: int) -> float:
        """Return roughly how long `T` times take on one thread."""
        return T * self._step_seconds

    @functools.cached_property
    def _step_seconds(self) -> float:
        return self.cost.seconds(machine(), self.N)

    def split(self, T: int) -> Split:
        """Return how threads share a run over `T` times."""
        key = T, available(), pool.SHARE
        found = self._splits.get(key)
        if found is None:
            found = self._splits.put(key, choose(self.cost, T, self.N, key[1], machine(), pool.SHARE))
        return found

    def rebind(self, bound: Bound, T: int, env: Env, changed: Collection[Var]) -> None:
        """Put the inputs in `env` that have `changed` into the place of those that `bound` was made with."""
        for at, buffer in enumerate(self.source.buffers):
            if buffer.kind == "varying" and buffer.var in changed:
                array = bound.arrays[at] = self._memory[at](T, env)
                bound.addresses[at] = address_of(array)
                for place, number, axis in self._strides:
                    if number == at:
                        bound.sizes.view(np.int64)[place] = array.strides[axis]

    def launch(self, bound: Bound, T: int) -> None:
        """Run the loop over the first `T` times, the number that ``bound.sizes`` begins with."""
        launch(self.run_elements, bound, self.N, self.split(T))
        if self.source.checked:
            raise_status(self.source.checked, bound.status)

    def _memory_of(self, buffer: Buffer) -> Callable[[int, Env], np.ndarray]:
        """Return a function of T and the inputs that returns the memory of a buffer."""
        kind, var = buffer.kind, buffer.var
        if kind == "const":
            return lambda T, env: np.ascontiguousarray(env[var])  # noqa: ARG005
        if kind == "varying":
            return _time_varying(buffer)
        if kind == "sum":
            term = self.stages.time_sums[self.loop.time_sums.index(var)]
            return lambda T, env: env[term]  # noqa: ARG005
        slab = self.N if buffer.batched else 1, buffer.size
        return lambda T, env: empty((buffer.slabs(T), *slab), buffer.dtype)  # noqa: ARG005

    def _outputs(self, history: set[Var]) -> list[View]:
        """Return what is read of the loop after it."""
        step = self.stages.step
        found = dict.fromkeys((*self.stages.saved, *step.carry, *step.carry_out))
        wanted = [var for var in found if var in self.stages.saved or var in history]
        return [view for var in wanted if (view := self.view(var)) is not None]

    def view(self, var: Var) -> View | None:
        """Return where the values of a variable are, None if they are not in memory."""
        layout = self.layouts.get(self.loop.renamed.get(var, var))
        if layout is None:
            return None
        step = var.dtype.itemsize
        strides = tuple([as_int(stride) * step for stride in layout.strides])
        return View(var, layout.buffer, len(strides) < var.ndim, layout.offset * step, strides)

    def over_time(self, view: View, bound: Bound, T: int, reverse: bool, env: Env) -> np.ndarray:
        """Return ``(T, *shape)`` of a variable, as a view of the buffer that holds it; `env` is that of `bind`."""
        var, buffer, batched, start, inner = view
        if buffer.kind == "now" or buffer.kind == "next":
            first = int((buffer.kind == "next") != reverse)
            base = bound.carries[buffer.var][first : first + T]
        elif (number := self._number.get(buffer)) is not None:
            base = bound.arrays[number]
        else:
            base = _time_varying(buffer)(T, env)
        shape = (T, *var.shape)
        if 0 in shape:
            return np.empty(shape, var.dtype)
        lead = 2 if buffer.batched else 1  # memory of the loop has (slabs, N, elements), also where N is 1
        batch = (base.strides[1] if buffer.batched else 0,) if batched else ()
        strides = (base.strides[0], *batch, *inner)
        if base.flags.c_contiguous:  # five times as fast as what follows
            return np.ndarray(shape, var.dtype, base, start, strides)
        begin = start // var.dtype.itemsize
        return np.lib.stride_tricks.as_strided(base.reshape(*base.shape[:lead], -1)[..., begin:], shape, strides)


def _time_varying(buffer: Buffer) -> Callable[[int, Env], np.ndarray]:
    """Return a function of T and the inputs that returns an input with one value per time.

    Its feature axes must be contiguous, those for time and batch can have any strides in elements.
    """
    var, lead = buffer.var, 2 if buffer.batched else 1

    def memory(T: int, env: Env) -> np.ndarray:  # noqa: ARG001
        array = env[var]
        step = array.itemsize
        if any(stride % step for stride in array.strides[:lead]):  # not an element apart: parts of records
            return np.ascontiguousarray(array)
        for size, stride in zip(array.shape[: lead - 1 : -1], array.strides[: lead - 1 : -1], strict=True):
            if size != 1 and stride != step:
                return np.ascontiguousarray(array)
            step *= size
        return array

    return memory
