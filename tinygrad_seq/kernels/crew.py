"""Several threads on one loop, inside machine code: each phase of a step has parts, which threads claim one by one.

    epoch 1         epoch 2         epoch 3              an epoch is one phase of one step
    part 0 ▓▓▓▓     part 0 ▓▓▓▓     part 0 ▓▓▓▓          done by thread 0, whose cache keeps this part of the weights
    part 1 ▓▓▓▓     part 1 ▓▓▓▓     part 1 ▓▓▓▓          done by thread 1, or by any thread if that one is not there

No part of an epoch begins before all parts of the previous epoch are done. A thread takes its own part first. Then it
waits for the others, but takes over a part that nobody has begun: of an absent thread at once, of a present one after a
short wait, after which it counts as absent until it takes a part again. Only a thread that is suspended inside a part
holds the others up: they yield their cores until it goes on. Then it leaves the loop: one such wait per run.

Every part of every epoch is done once, by one thread, so the results do not depend on who does it.
"""

from __future__ import annotations

import platform
import time
from typing import Any, Final

import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from .jit import kernel
from .llvm.address import empty
from .llvm.shared import call, publish

LINE: Final = 64
"""Bytes of the memory of a part: a cache line, so that threads that wait for different parts do not disturb others."""
DONE, STATE, RESULT = 8, 16, 24
"""Offsets in that line: the last epoch that is done, the state of its thread, what `take` returns; first the last epoch
that has begun."""
ABSENT, PRESENT, LATE = 0, 1, 2
"""States of a thread: it does not take its parts, it takes them, it was suspended inside a part and leaves."""
GRACE: Final = 500
"""How often a thread looks whether the part of a present thread has begun before it takes it over: some 10
microseconds, as all threads leave an epoch at the same time."""
SPINS: Final = 3000
"""How often a thread looks whether a part that has begun is done before it yields its core: some 50 microseconds."""


def new_crew(parts: int) -> np.ndarray:
    """Return the memory of a run in `parts`, to be kept until the run has ended."""
    crew = empty((parts, LINE // 8), np.dtype(np.int64))
    crew.fill(0)
    return crew


def was_late(crew: np.ndarray) -> bool:
    """Return whether a thread of a run that has ended was suspended inside a part."""
    return bool((crew[:, STATE // 8] == LATE).any())


class Recess:
    """When crews work again after one was held up by a busy neighbour: after pauses that grow while that goes on.

    Attributes
    ----------
    first, longest
        The pauses in seconds.
    """

    first, longest = 0.01, 2.0

    def __init__(self) -> None:
        self.pause = self.until = 0.0

    def is_over(self) -> bool:
        """Return whether a crew may work."""
        return not self.pause or time.monotonic() >= self.until

    def note(self, late: bool) -> None:
        """Take note of how a run went."""
        if late:
            self.pause = min(max(2 * self.pause, self.first), self.longest)
            self.until = time.monotonic() + self.pause
        elif self.pause:
            self.pause = 0.0 if self.pause <= self.first else self.pause / 2


recess = Recess()


# ------------------------------------------------------------------------------------------------ atomic operations


def _pointer(builder: Any, address: Any) -> Any:
    return builder.inttoptr(address, ir.IntType(64).as_pointer())


@intrinsic  # type: ignore[untyped-decorator, unused-ignore]
def _load(typing, address):  # type: ignore[no-untyped-def]  # noqa: ARG001
    """Return the integer at an address; what follows sees what its writer did before."""

    def generate(context, builder, signature, values):  # type: ignore[no-untyped-def]  # noqa: ARG001
        return builder.load_atomic(_pointer(builder, values[0]), "acquire", 8)

    return types.int64(types.int64), generate


@intrinsic  # type: ignore[untyped-decorator, unused-ignore]
def _store(typing, address, value):  # type: ignore[no-untyped-def]  # noqa: ARG001
    """Set the integer at an address, after all that this thread did before."""

    def generate(context, builder, signature, values):  # type: ignore[no-untyped-def]  # noqa: ARG001
        builder.store_atomic(values[1], _pointer(builder, values[0]), "release", 8)
        return context.get_dummy_value()

    return types.void(types.int64, types.int64), generate


@intrinsic  # type: ignore[untyped-decorator, unused-ignore]
def _swap(typing, address, old, new):  # type: ignore[no-untyped-def]  # noqa: ARG001
    """Change the integer at an address from `old` to `new`; return whether it was `old`."""

    def generate(context, builder, signature, values):  # type: ignore[no-untyped-def]  # noqa: ARG001
        found = builder.cmpxchg(_pointer(builder, values[0]), values[1], values[2], "acq_rel", "acquire")
        return builder.extract_value(found, 1)

    return types.boolean(types.int64, types.int64, types.int64), generate


@intrinsic  # type: ignore[untyped-decorator, unused-ignore]
def _pause(typing):  # type: ignore[no-untyped-def]  # noqa: ARG001
    """Tell the processor that this thread waits."""

    def generate(context, builder, signature, values):  # type: ignore[no-untyped-def]  # noqa: ARG001
        machine, number = platform.machine().lower(), ir.IntType(32)
        if machine in {"x86_64", "amd64"}:
            kind = ir.FunctionType(ir.VoidType(), [])
            builder.call(cgutils.get_or_insert_function(builder.module, kind, "llvm.x86.sse2.pause"), [])
        elif machine in {"arm64", "aarch64"}:
            kind = ir.FunctionType(ir.VoidType(), [number])
            builder.call(cgutils.get_or_insert_function(builder.module, kind, "llvm.aarch64.hint"), [number(1)])
        return context.get_dummy_value()

    return types.void(), generate


_yield_core = types.ExternalFunction("sched_yield", types.int32())


# ------------------------------------------------------------------------------------------------------- the claims


@kernel
def _take(crew: int, me: int, epoch: int, parts: int, _: int) -> None:
    """Find the part that thread `me` does next; see `take`."""
    own = crew + LINE * me
    part, looks, left = parts, 0, me == 0 or _load(own + STATE) != LATE
    while left:
        left = False
        for k in range(parts):
            other = me + k if me + k < parts else me + k - parts
            line = crew + LINE * other
            if _load(line + DONE) >= epoch:
                continue
            left = True
            begun = _load(line)
            present = _load(line + STATE) == PRESENT
            if begun < epoch and (k == 0 or looks > GRACE or not present) and _swap(line, begun, epoch):
                if present == (k > 0):
                    _swap(line + STATE, PRESENT if present else ABSENT, ABSENT if present else PRESENT)
                part = other
                break
            if k > 0 and looks > 2 * SPINS and _load(own + STATE) == PRESENT:
                _swap(line + STATE, PRESENT, LATE)
        if part < parts:
            break
        looks += 1
        if looks > SPINS:
            _yield_core()
        else:
            _pause()
    _store(own + RESULT, part)


@kernel
def rounds(crew: int, me: int, count: int, parts: int) -> None:
    """Do nothing in `count` epochs: what a barrier costs."""
    for n in range(count):
        for _ in range(parts + 1):
            _take(crew, me, n + 1, parts, 0)
            part = _load(crew + LINE * me + RESULT)
            if part < parts:
                _store(crew + LINE * part + DONE, n + 1)


def ready() -> None:
    """Compile what `take` calls; needed once before a kernel that calls it is compiled or loaded."""
    publish("take", _take, 4, types.int64)


@intrinsic  # type: ignore[untyped-decorator, unused-ignore]
def take(typing, crew, me, epoch, parts):  # type: ignore[no-untyped-def]  # noqa: ARG001
    """Return the part of an epoch that thread `me` does next; `parts` if none is left, all are done, and it can go on.

    `crew` is the address of `new_crew`; at 0 a thread works alone, on part 0. Call `ready` before.
    """

    def generate(context, builder, signature, values):  # type: ignore[no-untyped-def]  # noqa: ARG001
        crew, me, epoch, parts = values
        number = crew.type
        with builder.if_else(builder.icmp_unsigned("==", crew, number(0))) as (alone, together):
            with alone:
                first = builder.block
            with together:
                call(context, builder, "take", types.int64, [crew, me, epoch, parts])
                line = builder.add(crew, builder.mul(me, number(LINE)))
                found = builder.load(_pointer(builder, builder.add(line, number(RESULT))))
                second = builder.block
        part = builder.phi(number)
        part.add_incoming(number(0), first)
        part.add_incoming(found, second)
        return part

    return types.uint64(*[types.uint64] * 4), generate


@intrinsic  # type: ignore[untyped-decorator, unused-ignore]
def finish(typing, crew, part, epoch):  # type: ignore[no-untyped-def]  # noqa: ARG001
    """Say that a part of an epoch is done."""

    def generate(context, builder, signature, values):  # type: ignore[no-untyped-def]  # noqa: ARG001
        crew, part, epoch = values
        with builder.if_then(builder.icmp_unsigned("!=", crew, crew.type(0))):
            line = builder.add(crew, builder.mul(part, crew.type(LINE)))
            builder.store_atomic(epoch, _pointer(builder, builder.add(line, crew.type(DONE))), "release", 8)
        return context.get_dummy_value()

    return types.void(*[types.uint64] * 3), generate
