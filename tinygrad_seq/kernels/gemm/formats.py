"""How the operands of a product are stored, and the instructions that multiply them: one class per format.

A product runs along K in *steps*. Per step, a row of A has one word and each column of B has one entry; a format with
``group`` g multiplies g pairs of numbers per step. The class is chosen by the dtype of the packed entries of B.
"""

from __future__ import annotations

from typing import Any, ClassVar

from numba import types

from ..llvm.simd import REGISTERS, Writer


class Real:
    """float32 or float64 as they are: one number per step, fused multiply-add if the processor has it."""

    group: ClassVar[int] = 1
    entry_bytes: ClassVar[int] = REGISTERS.width
    """Bytes of the entries of one vector of columns."""

    def __init__(self, builder: Any, dtype: Any) -> None:
        self.writer = Writer(builder, dtype)
        self.zero = self.writer.zero

    def load(self, place: Any) -> Any:
        """Return the entries of B of one vector of columns."""
        return self.writer.load(place)

    def spread(self, place: Any) -> Any:
        """Return the word of A at `place` in all lanes."""
        return self.writer.load_everywhere(place)

    def multiply_add(self, a: Any, b: Any, total: Any) -> Any:
        """Return `total` plus the products of one step."""
        return self.writer.multiply_add(a, b, total)


FORMATS: dict[Any, type[Real]] = {types.float32: Real, types.float64: Real}
