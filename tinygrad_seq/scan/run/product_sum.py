"""The gradient of a matrix that many calls multiply with few rows each: one product in place of one per call."""

from __future__ import annotations

import numpy as np

from ...autograd.deferred import Deferred
from ...kernels.gemm.matmul import SUM_DEPTH, multiply

FEW_ROWS = 64
"""Most rows of a product that waits for those of other calls."""


class ProductSum(Deferred):
    """A sum of products ``a.T @ b`` of matrices with few rows.

    Parameters
    ----------
    a, b
        ``(R, K)`` and ``(R, M)``. They must not change.
    precision
        In which they are multiplied.
    """

    def __init__(self, a: np.ndarray, b: np.ndarray, precision: str = "float32") -> None:
        self._precision = precision
        self.shape, self.dtype = (a.shape[1], b.shape[1]), a.dtype
        self._left, self._right, self._rows = [a], [b], len(a)
        self._done: np.ndarray | None = None

    def transposed(self) -> ProductSum:
        """Return the sum of the transposed products, which takes over the terms."""
        other = ProductSum(self._right[0], self._left[0], self._precision)
        other._left, other._right, other._rows = self._right, self._left, self._rows
        return other

    def joined(self, other: Deferred) -> Deferred | None:
        """Add the terms of another sum of one product and return this one; None if they are of another kind."""
        if not isinstance(other, ProductSum) or (other.shape, other.dtype) != (self.shape, self.dtype):
            return None
        if other._done is not None or other._precision != self._precision:
            return None
        self._left += other._left
        self._right += other._right
        self._rows += other._rows
        if self._rows >= SUM_DEPTH:
            self._add_up()
        return self

    def value(self) -> np.ndarray:
        """Return the sum of the terms."""
        if self._rows or self._done is None:  # of no rows at all the sum is zero
            self._add_up()
        assert self._done is not None
        return self._done

    def _add_up(self) -> None:
        a, b = (terms[0] if len(terms) == 1 else np.concatenate(terms) for terms in (self._left, self._right))
        more = self._done is not None
        if self._done is None:
            self._done = np.empty(self.shape, self.dtype)
        multiply(a.T, b, self._done, more, self._precision)
        self._left, self._right, self._rows = [], [], 0
