"""The loop of a step as machine code: what `interpret.run_loop` does, compiled."""

from __future__ import annotations

import functools
from collections.abc import Callable, Collection
from typing import Any

import numpy as np

from ...base.memo import Memo
from ...kernels import pool
from ...kernels.compile.generated import load
from ...kernels.llvm.address import address_of
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
from .frame import Frame, View
from .kept import NO_STAMPS, Stamps, packed
from .launch import Bound, Split, choose, cost_of, launch
from .panels import Panels

_GIVEN = {"const", "varying", "sum"}
_SIGNATURE = "void(uint64[::1], uint64[::1], uint64, uint64, uint64, uint64, uint64)"


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
        self._own = {buffer: at for at, buffer in enumerate(buffers) if buffer.kind not in _GIVEN}
        self._given = [(at, self._array_of(buffer)) for at, buffer in enumerate(buffers) if buffer.kind in _GIVEN]
        number = {buffer: at for at, buffer in enumerate(buffers)}
        self._strides = [
            (len(FIXED) + at, number[n.buffer], n.axis) for at, n in enumerate(numbers) if isinstance(n, Stride)
        ]
        self._known = [0 if isinstance(n, Stride) else n for n in numbers]
        self._frames: Memo[Any, Frame] = Memo(100)
        self._factors = np.array(self.source.factors, np.float64)
        self._arguments = [(at, f.var) for at, f in enumerate(self.source.factors) if isinstance(f, Argument)]
        self._no_status = np.zeros(STATUS_SIZE, np.int64)
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
        for var, array in bound.first().items():
            array[...] = init[var]
        self.launch(bound, T)
        frame, pieces, starts = bound.frame, bound.pieces, bound.starts
        for var, part in frame.outputs.items():
            if var not in env:
                env[var] = part.of(pieces, starts)
        for view in self.outputs:
            if view.var not in env:
                env[view.var] = _in_input(view, T, env)
        last = bound.last()
        return tuple([last[var].copy() for var in self.loop.carry])

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
        addresses = [0] * (len(self._own) + len(self._given))
        others, strides = [], {}
        for at, array_of in self._given:
            array = array_of(env)
            others.append(array)
            addresses[at], strides[at] = address_of(array), array.strides
        steps = [strides[number][axis] for _, number, axis in self._strides]
        key = T, reverse, window, start, *steps
        frame = self._frames.get(key)
        if frame is None:
            sizes = [T, reverse, window or 0, start, self.N, *self._known]
            for (at, _, _), step in zip(self._strides, steps, strict=True):
                sizes[at] = step
            arguments = np.array(sizes, np.int64).view(np.uint64)
            frame = self._frames.put(key, Frame(arguments, self._own, T, reverse, self.N, self.outputs))
        pieces, starts = frame.take(addresses)
        status = np.zeros(STATUS_SIZE, np.int64) if self.source.checked else self._no_status
        factors = self._factors.copy() if self._arguments else self._factors
        for at, var in self._arguments:
            factors[at] = env[var]
        others += [*[packed(env[var], panels, stamps) for var, panels in self.panels], factors, status]
        addresses += [address_of(array) for array in others[len(self._given) :]]
        return Bound(frame, pieces, starts, others, np.array(addresses, np.uint64), frame.sizes, status)

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

    def rebind(self, bound: Bound, env: Env, changed: Collection[Var]) -> None:
        """Put the inputs in `env` that have `changed` into the place of those that `bound` was made with."""
        for place, (at, array_of) in enumerate(self._given):
            if self.source.buffers[at].var in changed:
                array = bound.others[place] = array_of(env)
                bound.addresses[at] = address_of(array)
                for number, of, axis in self._strides:
                    if of == at:
                        bound.sizes.view(np.int64)[number] = array.strides[axis]

    def launch(self, bound: Bound, T: int) -> None:
        """Run the loop over the first `T` times, the number that ``bound.sizes`` begins with."""
        launch(self.run_elements, bound, self.N, self.split(T))
        if self.source.checked:
            raise_status(self.source.checked, bound.status)

    def _array_of(self, buffer: Buffer) -> Callable[[Env], np.ndarray]:
        """Return a function that returns the array of a buffer that a run is given."""
        kind, var = buffer.kind, buffer.var
        if kind == "const":
            return lambda env: np.ascontiguousarray(env[var])
        if kind == "varying":
            return _time_varying(buffer)
        term = self.stages.time_sums[self.loop.time_sums.index(var)]
        return lambda env: env[term]

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

    def over_time(self, view: View, bound: Bound, T: int, env: Env) -> np.ndarray:
        """Return ``(T, *shape)`` of a variable, as a view of the buffer that holds it; `env` is that of `bind`."""
        part = bound.frame.outputs.get(view.var)
        return _in_input(view, T, env) if part is None else part.of(bound.pieces, bound.starts)


def _in_input(view: View, T: int, env: Env) -> np.ndarray:
    """Return ``(T, *shape)`` of a variable that the loop leaves in the memory of an input."""
    var, buffer, batched, start, inner = view
    base, shape = _time_varying(buffer)(env), (T, *var.shape)
    if 0 in shape:
        return np.empty(shape, var.dtype)
    lead = 2 if buffer.batched else 1
    batch = (base.strides[1] if buffer.batched else 0,) if batched else ()
    strides = (base.strides[0], *batch, *inner)
    if base.flags.c_contiguous:  # five times as fast as what follows
        return np.ndarray(shape, var.dtype, base, start, strides)
    begin = start // var.dtype.itemsize
    return np.lib.stride_tricks.as_strided(base.reshape(*base.shape[:lead], -1)[..., begin:], shape, strides)


def _time_varying(buffer: Buffer) -> Callable[[Env], np.ndarray]:
    """Return a function that returns an input with one value per time.

    Its feature axes must be contiguous, those for time and batch can have any strides in elements.
    """
    var, lead = buffer.var, 2 if buffer.batched else 1

    def memory(env: Env) -> np.ndarray:
        array = env[var]
        if array.flags.c_contiguous:
            return array
        step = array.itemsize
        if any(stride % step for stride in array.strides[:lead]):  # not an element apart: parts of records
            return np.ascontiguousarray(array)
        for size, stride in zip(array.shape[: lead - 1 : -1], array.strides[: lead - 1 : -1], strict=True):
            if size != 1 and stride != step:
                return np.ascontiguousarray(array)
            step *= size
        return array

    return memory
