"""The gradient of a parameter that many calls use on few rows each: one sum in place of one per call."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, Final

import numpy as np

from ...autograd.deferred import Deferred
from ...kernels.gemm.matmul import FLOAT_BYTES_PER_SECOND, SUM_DEPTH, SUM_ROWS, add_rows, multiply

FEW_ROWS: Final = 64
"""Most rows of a sum that waits for those of other calls."""


class SumOfCalls(Deferred):
    """A sum of terms with few rows.

    Parameters
    ----------
    terms
        Arrays with R rows each. They must not change.
    key
        What two sums have in common that can be added up together.
    """

    most: int
    """The number of rows that are added up at once."""

    def __init__(self, shape: tuple[int, ...], dtype: np.dtype, terms: tuple[np.ndarray, ...], key: Any) -> None:
        self.shape, self.dtype, self._key = shape, dtype, key
        self._terms, self._rows = [terms], len(terms[0])
        self._done: np.ndarray | None = None

    def joined(self, other: Deferred) -> Deferred | None:
        """Add the terms of another sum of one call and return this one; None if they are of another kind."""
        if other.__class__ is not self.__class__ or other._key != self._key or other._done is not None:
            return None
        self._terms += other._terms
        self._rows += other._rows
        if self._rows >= self.most:
            self._add_up()
        return self

    def value(self) -> np.ndarray:
        """Return the sum of the terms."""
        if self._rows or self._done is None:  # of no rows at all the sum is zero
            self._add_up()
        assert self._done is not None
        return self._done

    @property
    def seconds(self) -> float:  # type: ignore[override]
        """Roughly how long `value` takes on one thread."""
        return 2 * self._rows * math.prod(self.shape) * self.dtype.itemsize / FLOAT_BYTES_PER_SECOND

    def _add_up(self) -> None:
        terms = self._terms[0] if len(self._terms) == 1 else tuple(map(np.concatenate, zip(*self._terms, strict=True)))
        self._add(*terms)
        self._terms, self._rows = [], 0

    def _add(self, *terms: np.ndarray) -> None:
        """Add rows to `_done`, which is None at first."""
        raise NotImplementedError


class ProductSum(SumOfCalls):
    """A sum of products ``a.T @ b`` of matrices with few rows, ``(R, K)`` and ``(R, M)``.

    `precision` is that in which they are multiplied.
    """

    most = SUM_DEPTH

    def __init__(self, a: np.ndarray, b: np.ndarray, precision: str = "float32") -> None:
        shape = a.shape[1], b.shape[1]
        super().__init__(shape, a.dtype, (a, b), (shape, a.dtype, precision))
        self._precision = precision

    def transposed(self) -> ProductSum:
        """Return the sum of the transposed products, which takes over the terms."""
        (a, b), *rest = self._terms
        other = ProductSum(b, a, self._precision)
        for one, two in rest:
            other.joined(ProductSum(two, one, self._precision))
        return other

    def _add(self, *terms: np.ndarray) -> None:
        a, b = terms
        more = self._done is not None
        if self._done is None:
            self._done = np.empty(self.shape, self.dtype)
        multiply(a.T, b, self._done, more, self._precision)


class RowSum(SumOfCalls):
    """A sum of rows ``(R, G)``; `finish` puts it into its shape."""

    most = SUM_ROWS

    def __init__(
        self, rows: np.ndarray, finish: Callable[[np.ndarray], np.ndarray], shape: tuple[int, ...], dtype: np.dtype
    ) -> None:
        super().__init__(shape, dtype, (rows,), (finish, rows.shape[1]))
        self._finish = finish
        self._total: np.ndarray | None = None

    def _add(self, *terms: np.ndarray) -> None:
        (rows,) = terms
        if self._total is None and len(rows) == 1:
            self._total = rows[0] + 0.0
        else:
            if self._total is None:
                self._total = np.zeros(rows.shape[1], rows.dtype)
            add_rows(rows, self._total)
        self._done = self._finish(self._total)
