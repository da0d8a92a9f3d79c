"""How the operands of a product are stored, and the instructions that multiply them: one class per format.

A product runs along K in *steps*. Per step a row of A has one word, and each column of B one entry; both hold `group`
numbers, which are multiplied in pairs and added to one sum. The dtype of the entries names the format:

    dtype      group   word of A            entry of B           sum       instruction
    float32    1       float32              float32              float32   fused multiply-add
    float64    1       float64              float64              float64   fused multiply-add
    uint32     2       2 bfloat16           2 bfloat16           float32   VDPBF16PS
    uint16     1       float32, rounded     bfloat16, widened    float32   fused multiply-add
    int32      4       4 uint8, or 4 int8   4 int8               int32     VPDPBUSD, or SDOT
    int16      2       2 int16              2 int8, widened      int32     VPMADDWD
    int8       1       int32                int8, widened        int32     multiply and add

The first bfloat16 and int8 format whose instruction the processor has is used. LLVM aborts the process on any other.
"""

from __future__ import annotations

import platform
from typing import Any, ClassVar, Final

import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils

from ..llvm.simd import FEATURES, REGISTERS, Writer, registers_of

_AVX512: Final = 64
_I8, _I16, _I32 = (ir.IntType(bits) for bits in (8, 16, 32))


class Real:
    """float32 or float64, as they are."""

    dtype: ClassVar[Any] = None
    """The dtype of the sums in C, if not that of the entries."""
    group: ClassVar[int] = 1
    row_header: ClassVar[int] = 0
    """Bytes before the words of a row of A."""
    panel_footer: ClassVar[int] = 0
    """Bytes per column after the entries of a panel."""
    offset: ClassVar[int] = 0
    """What is added to the numbers of A."""
    accumulates: ClassVar[bool] = True
    """Whether sums can start at the value in C."""

    def __init__(self, builder: Any, dtype: Any) -> None:
        self.builder = builder
        self.writer = Writer(builder, self.dtype or dtype)
        self.zero = self.writer.zero
        self.entry_bytes = self.writer.lanes * dtype.bitwidth // 8
        """Bytes of the entries of one vector of columns."""

    def load(self, place: Any) -> Any:
        """Return the entries of B for one vector of columns."""
        return self.writer.load(place)

    def spread(self, place: Any) -> Any:
        """Return the word of A at `place` in all lanes."""
        return self.writer.load_everywhere(place)

    def multiply_add(self, a: Any, b: Any, total: Any) -> Any:
        """Return `total` plus the products of one step."""
        return self.writer.multiply_add(a, b, total)

    def finish(self, total: Any, row: Any, footer: Any) -> Any:
        """Return a vector of C from its sums; `row` is the address of the first word, `footer` of the vector's part."""
        return total

    def _integers(self, place: Any, bits: int, count: int = 1) -> Any:
        """Load `count` integers per lane."""
        kind = ir.VectorType(ir.IntType(bits), count * self.writer.lanes)
        value = self.builder.load(self.builder.bitcast(place, kind.as_pointer()))
        value.align = 1
        return value

    def _word(self, place: Any) -> Any:
        value = self.builder.load(self.builder.bitcast(place, _I32.as_pointer()))
        value.align = 1
        return self.writer.spread(value)

    def _call(self, name: str, result: Any, *arguments: Any) -> Any:
        kind = ir.FunctionType(result, [argument.type for argument in arguments])
        return self.builder.call(cgutils.get_or_insert_function(self.builder.module, kind, f"llvm.{name}"), arguments)


class BFloat16Pairs(Real):
    """Pairs of bfloat16 by VDPBF16PS: subnormal numbers count as zero; both products are added one by one."""

    dtype = types.float32
    group = 2

    def load(self, place: Any) -> Any:
        return self._integers(place, 32)

    def spread(self, place: Any) -> Any:
        return self._word(place)

    def multiply_add(self, a: Any, b: Any, total: Any) -> Any:
        return self._call("x86.avx512bf16.dpbf16ps.512", total.type, total, a, b)


class BFloat16Widened(Real):
    """bfloat16 widened to float32 in the tile, for all processors; rows of A are rounded, but stored as float32."""

    dtype = types.float32

    def load(self, place: Any) -> Any:
        words = ir.VectorType(_I32, self.writer.lanes)
        wide = self.builder.zext(self._integers(place, 16), words)
        wide = self.builder.shl(wide, ir.Constant(words, [16] * self.writer.lanes))
        return self.builder.bitcast(wide, self.writer.vector)


class Int8(Real):
    """int8, for all processors: exact int32 sums, scaled to float32.

    The header of a row is its scale, float32. The footer of a panel is the scale of each column, float32, and what to
    subtract from the sum, int32.
    """

    dtype = types.float32
    row_header = 4
    panel_footer = 8
    accumulates = False

    def __init__(self, builder: Any, dtype: Any) -> None:
        super().__init__(builder, dtype)
        self.words = ir.VectorType(_I32, self.writer.lanes)
        self.zero = ir.Constant(self.words, None)

    def load(self, place: Any) -> Any:
        return self.builder.sext(self._integers(place, 8), self.words)

    def spread(self, place: Any) -> Any:
        return self._word(place)

    def multiply_add(self, a: Any, b: Any, total: Any) -> Any:
        return self.builder.add(total, self.builder.mul(a, b))

    def finish(self, total: Any, row: Any, footer: Any) -> Any:
        builder, writer, number = self.builder, self.writer, ir.IntType(64)
        less = writer.move(footer, (number(REGISTERS.number // 8), number(REGISTERS.width)))
        exact = builder.sub(total, self._integers(less, 32))
        scale = writer.load_everywhere(writer.move(row, (number(-self.row_header), number(1))))
        return builder.fmul(builder.sitofp(exact, writer.vector), builder.fmul(scale, writer.load(footer)))


class Int8Pairs(Int8):
    """Pairs of int8, widened to int16, by VPMADDWD, whose sums of two products fit into int32."""

    group = 2
    _NAMES: ClassVar[dict[int, str]] = {64: "avx512.pmaddw.d.512", 32: "avx2.pmadd.wd", 16: "sse2.pmadd.wd"}

    def load(self, place: Any) -> Any:
        return self.builder.sext(self._integers(place, 8, 2), self._pairs)

    def multiply_add(self, a: Any, b: Any, total: Any) -> Any:
        a = self.builder.bitcast(a, self._pairs)
        return self.builder.add(total, self._call(f"x86.{self._NAMES[REGISTERS.width]}", self.words, a, b))

    @property
    def _pairs(self) -> Any:
        return ir.VectorType(_I16, 2 * self.writer.lanes)


class Int8Quads(Int8):
    """Quads of int8 by VPDPBUSD, whose A is unsigned, or by SDOT; sums wrap at 2**31 and do not saturate."""

    group = 4
    offset = 0 if "+dotprod" in FEATURES.split(",") else 128

    def load(self, place: Any) -> Any:
        return self._integers(place, 32)

    def multiply_add(self, a: Any, b: Any, total: Any) -> Any:
        if self.offset:
            return self._call(f"x86.avx512.vpdpbusd.{8 * REGISTERS.width}", self.words, total, a, b)
        quads = ir.VectorType(_I8, 4 * self.writer.lanes)
        a, b = (self.builder.bitcast(x, quads) for x in (a, b))
        return self._call("aarch64.neon.sdot.v4i32.v16i8", self.words, total, a, b)


FORMATS: Final[dict[Any, type[Real]]] = {
    types.float32: Real,
    types.float64: Real,
    types.uint32: BFloat16Pairs,
    types.uint16: BFloat16Widened,
    types.int32: Int8Quads,
    types.int16: Int8Pairs,
    types.int8: Int8,
}


def formats_of(features: str, machine: str) -> tuple[np.dtype, np.dtype]:
    """Return the dtypes of the bfloat16 and the int8 format of a processor; arguments as of `registers_of`."""
    has, width = set(features.split(",")), registers_of(features, machine).width
    bfloat16, int8 = "uint16", "int8"
    if machine.lower() in {"x86_64", "amd64"}:
        dot, pairs = {64: ("+avx512vnni", "+avx512bw"), 32: ("+avxvnni", "+avx2"), 16: ("none", "")}[width]
        bfloat16 = "uint32" if width == _AVX512 and "+avx512bf16" in has else "uint16"
        int8 = "int32" if dot in has else "int16" if pairs in {*has, ""} else "int8"
    elif "+dotprod" in has:
        int8 = "int32"
    return np.dtype(bfloat16), np.dtype(int8)


BFLOAT16, INT8 = formats_of(FEATURES, platform.machine())
"""The formats of this processor."""
