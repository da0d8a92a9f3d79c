"""How a constant matrix of the loop is packed: what its shape determines."""

from __future__ import annotations

import math

import numpy as np

from ...kernels.gemm.packed import pack_at
from ...kernels.gemm.tile import PANEL_BYTES
from ...kernels.llvm.address import address_of, empty
from ..codegen.fusion import Packing


class Panels:
    """How a matrix is packed: what its shape determines. Blocks but the last one fill whole panels.

    Attributes
    ----------
    key
        Equal for two that pack the same matrix in the same way.
    """

    def __init__(self, packing: Packing) -> None:
        weight, starts, length, block = packing
        K, N, self._dtype = weight.shape[0], len(starts) * length, weight.dtype
        ends = [(begin, min(begin + block, length)) for begin in range(0, length, block)]
        slices = [slice(start + i, start + j) for i, j in ends for start in starts]
        in_order = [0, *[part.stop for part in slices]] == [*[part.start for part in slices], weight.shape[1]]
        self._slices = None if in_order else slices
        columns = PANEL_BYTES // self._dtype.itemsize
        self._shape = (-(-N // columns), K, columns)
        self._zero = self._dtype.type(0)
        self.key = self._shape, self._dtype, packing[1:]
        self.nbytes = math.prod(self._shape) * self._dtype.itemsize

    def pack(self, weight: np.ndarray) -> np.ndarray:
        """Return the panels of a matrix."""
        if self._slices is not None:
            weight = np.concatenate([weight[:, part] for part in self._slices], axis=1)
        (K, N), (row, column), step = weight.shape, weight.strides, weight.itemsize
        (count, _, columns), packed = self._shape, empty(self._shape, self._dtype)
        numbers = address_of(weight), K, N, row // step, column // step, address_of(packed), count, columns
        pack_at(np.array(numbers, np.int64).view(np.uint64), self._zero)
        return packed
