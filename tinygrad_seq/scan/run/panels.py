"""How a constant matrix of the loop is packed: what its shape determines."""

from __future__ import annotations

import numpy as np

from ...kernels.gemm.narrow import packed, panels_nbytes
from ..codegen.fusion import Packing
from ..ir.step import Var


class Panels:
    """How a matrix is packed: what its shape determines. Blocks but the last one fill whole panels.

    Attributes
    ----------
    key
        Equal for two that pack the same matrix in the same way.
    precision
        That of the product.
    """

    def __init__(self, packing: Packing) -> None:
        weight, starts, length, block, self.precision = packing
        K, N = weight.shape[0], len(starts) * length
        ends = [(begin, min(begin + block, length)) for begin in range(0, length, max(1, block))]
        slices = [slice(start + i, start + j) for i, j in ends for start in starts]
        in_order = [0, *[part.stop for part in slices]] == [*[part.start for part in slices], weight.shape[1]]
        self._slices = None if in_order else slices
        self.key = (K, N), weight.dtype, packing[1:]
        self.nbytes = panels_nbytes(K, N, self.precision, weight.dtype)

    def pack(self, weight: np.ndarray) -> np.ndarray:
        """Return the panels of a matrix."""
        if self._slices is not None:
            weight = np.concatenate([weight[:, part] for part in self._slices], axis=1)
        return packed(weight, self.precision)


def plain(weight: Var, precision: str = "float32") -> Panels:
    """Return how all columns of a matrix are packed, in order."""
    return Panels(Packing(weight, (0,), weight.shape[1], weight.shape[1], precision))
