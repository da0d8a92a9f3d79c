"""How a constant matrix of the loop is packed: what its shape determines."""

from __future__ import annotations

import math

import numpy as np

from ...kernels.gemm.packed import pack_at
from ...kernels.gemm.tile import PANEL_BYTES
from ...kernels.llvm.address import address_of, empty
from ..ir.step import Var


class Panels:
    """How a matrix is packed: what its shape determines.

    Attributes
    ----------
    key
        Equal for two that pack the same matrix in the same way.
    """

    def __init__(self, weight: Var) -> None:
        (K, N), self._dtype = weight.shape, weight.dtype
        columns = PANEL_BYTES // self._dtype.itemsize
        self._shape = (-(-N // columns), K, columns)
        self._zero = self._dtype.type(0)
        self.key = self._shape, self._dtype
        self.nbytes = math.prod(self._shape) * self._dtype.itemsize

    def pack(self, weight: np.ndarray) -> np.ndarray:
        """Return the panels of a matrix."""
        (K, N), (row, column), step = weight.shape, weight.strides, weight.itemsize
        (count, _, columns), packed = self._shape, empty(self._shape, self._dtype)
        numbers = address_of(weight), K, N, row // step, column // step, address_of(packed), count, columns
        pack_at(np.array(numbers, np.int64).view(np.uint64), self._zero)
        return packed
