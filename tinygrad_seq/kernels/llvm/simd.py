"""LLVM vector instructions for `@intrinsic` kernels, of this machine's width; Numba has no vector type."""

from __future__ import annotations

import platform
from typing import Any, NamedTuple

from llvmlite import ir
from numba import config, types
from numba.core import cgutils
from numba.core.codegen import get_host_cpu_features

_MASKED_WIDTH = 64  # bytes of the registers of AVX-512


class Registers(NamedTuple):
    """The vector registers of a processor: count, bytes per register, and whether it has fused multiply-add."""

    number: int
    width: int
    fma: bool


def registers_of(features: str, machine: str) -> Registers:
    """Return the registers of a processor from LLVM's feature list, ``"+avx2,+fma,-avx512f"``, and its family.

    Without AVX or NEON it assumes 16 registers of 16 bytes; LLVM adapts to the actual hardware.
    """
    has = set(features.split(","))
    arm = machine.lower() in {"arm64", "aarch64"}
    if "+avx512f" in has:
        return Registers(32, 64, fma=True)
    if "+avx" in has:
        return Registers(16, 32, fma="+fma" in has)
    return Registers(32 if arm else 16, 16, fma=arm or "+fma" in has)


# The target that Numba compiles for: NUMBA_CPU_FEATURES and NUMBA_CPU_NAME override the host.
FEATURES: str = get_host_cpu_features() if config.CPU_FEATURES is None else config.CPU_FEATURES
REGISTERS = registers_of(FEATURES, platform.machine())


def elements(count: int) -> range:
    """Return ``range(count)``; a generated kernel processes two float32 vectors per iteration.

    Long dependency chains, such as a sigmoid, leave the processor idle; interleaving two vectors takes three quarters
    of the time. The remainder, and short rows, use masked vectors.
    """
    return range(count)


def spans(builder: ir.IRBuilder, count: Any) -> list[tuple[Any, Any, dict[str, int]]]:
    """Return the loops that implement `elements`: start, stop and loop metadata for LLVM (see `advise`)."""
    if REGISTERS.width < _MASKED_WIDTH:  # no masked loads and stores, and too few registers for two vectors
        return [(count.type(0), count, {})]
    whole = builder.and_(count, count.type(-2 * REGISTERS.width // 4))
    return [(count.type(0), whole, {"interleave.count": 2}), (whole, count, {"vectorize.predicate.enable": 1})]


def advise(branch: Any, advice: dict[str, int]) -> None:
    """Attach vectorisation metadata to the loop that `branch` closes."""
    if not advice:
        return
    module = branch.module
    hints = [
        module.add_metadata([ir.MetaDataString(module, f"llvm.loop.{name}"), ir.IntType(32)(value)])
        for name, value in advice.items()
    ]
    loop = module.add_metadata([ir.MetaDataString(module, f"loop {len(module.metadata)}")])
    loop.operands = (loop, *hints)  # the self-reference makes the metadata distinct per loop
    branch.set_metadata("llvm.loop", loop)


class Writer:
    """Emits vector instructions on elements of `dtype`, float32 or float64, at the position of `builder`.

    A vector fills one register unless `lanes` is given; LLVM then splits it into registers. A mask is a vector of
    booleans: inactive lanes are loaded as zeros and are not stored.
    """

    def __init__(self, builder: ir.IRBuilder, dtype: Any, lanes: int | None = None) -> None:
        self.builder = builder
        self.element = ir.FloatType() if dtype == types.float32 else ir.DoubleType()
        self.size: int = dtype.bitwidth // 8
        self.lanes = REGISTERS.width // self.size if lanes is None else lanes
        self.vector = ir.VectorType(self.element, self.lanes)
        self.zero = ir.Constant(self.vector, None)

    def move(self, pointer: Any, *steps: tuple[Any, Any]) -> Any:
        """Return `pointer` moved by each (count, stride in bytes)."""
        pointer = self.builder.bitcast(pointer, ir.IntType(8).as_pointer())
        for count, stride in steps:
            pointer = self.builder.gep(pointer, [self.builder.mul(count, stride)])
        return pointer

    def load(self, place: Any, mask: Any = None) -> Any:
        place = self.builder.bitcast(place, self.vector.as_pointer())
        if mask is None:
            value = self.builder.load(place)
            value.align = 1
            return value
        return self._call("masked.load", ".p0", self.vector, place, ir.IntType(32)(1), mask, self.zero)

    def store(self, value: Any, place: Any, mask: Any = None) -> None:
        place = self.builder.bitcast(place, self.vector.as_pointer())
        if mask is None:
            self.builder.store(value, place).align = 1
        else:
            self._call("masked.store", ".p0", ir.VoidType(), value, place, ir.IntType(32)(1), mask)

    def prefetch(self, place: Any, write: bool = False) -> None:
        """Prefetch the cache line at `place` for reading or writing; the address need not be valid."""
        number = ir.IntType(32)
        kind = ir.FunctionType(ir.VoidType(), [place.type, number, number, number])
        ask = cgutils.get_or_insert_function(self.builder.module, kind, "llvm.prefetch.p0")
        self.builder.call(ask, [place, number(int(write)), number(3), number(1)])  # high temporal locality, data cache

    def fence(self) -> None:
        """Emit a compiler barrier: loads do not move across it, and the enclosing loop is not unrolled."""
        kind = ir.FunctionType(ir.VoidType(), [])
        self.builder.call(ir.InlineAsm(kind, "", "~{memory}", side_effect=True), [], attrs=("convergent",))

    def load_everywhere(self, place: Any) -> Any:
        """Return the element at `place`, broadcast to all lanes."""
        value = self.builder.load(self.builder.bitcast(place, self.element.as_pointer()))
        value.align = 1
        return self.spread(value)

    def spread(self, value: Any) -> Any:
        """Return `value`, broadcast to all lanes."""
        undefined, number = ir.Constant(ir.VectorType(value.type, self.lanes), ir.Undefined), ir.IntType(32)
        first = self.builder.insert_element(undefined, value, number(0))
        return self.builder.shuffle_vector(first, undefined, ir.Constant(ir.VectorType(number, self.lanes), None))

    def below(self, limit: Any, start: int = 0) -> Any:
        """Return the mask of the lanes whose index, counted from `start`, is less than `limit`."""
        numbers = ir.Constant(ir.VectorType(limit.type, self.lanes), [start + lane for lane in range(self.lanes)])
        return self.builder.icmp_signed("<", numbers, self.spread(limit))

    def multiply_add(self, x: Any, y: Any, z: Any) -> Any:
        """Return ``x * y + z``, fused if the processor supports it."""
        if REGISTERS.fma:
            return self._call("fma", "", self.vector, x, y, z)
        return self.builder.fadd(self.builder.fmul(x, y), z)

    def transpose(self, rows: list[Any]) -> list[Any]:
        """Return the columns of a square block from its rows, by exchanging halves of rows recursively.

        Of fewer rows, a power of two, those of several square blocks side by side.
        """
        lanes, count = range(self.lanes), range(len(rows))
        kind = ir.VectorType(ir.IntType(32), self.lanes)
        for s in (1 << power for power in range(len(rows).bit_length() - 1)):
            upper = ir.Constant(kind, [self.lanes + n - s if n & s else n for n in lanes])
            lower = ir.Constant(kind, [self.lanes + n if n & s else n + s for n in lanes])
            rows = [self.builder.shuffle_vector(rows[n & ~s], rows[n | s], lower if n & s else upper) for n in count]
        return rows

    def _call(self, name: str, suffix: str, result: ir.Type, *arguments: Any) -> Any:
        kind = ir.FunctionType(result, [argument.type for argument in arguments])
        full_name = f"llvm.{name}.v{self.lanes}f{8 * self.size}{suffix}"
        return self.builder.call(cgutils.get_or_insert_function(self.builder.module, kind, full_name), arguments)
