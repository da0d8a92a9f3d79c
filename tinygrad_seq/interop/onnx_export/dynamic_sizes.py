"""Sizes of arrays that depend on the sizes of the inputs, and traces at several sizes as one.

A model is traced at a few sizes of its dynamic axes. An integer that is the same in all traces is a constant; another
one is a polynomial in the sizes, in which each size has degree 0 or 1: `T`, `T - 1`, `3 N`, `T N H`.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

import numpy as np

from ...errors import ArgumentError

SMALL: Final = (2, 3, 5, 7, 11, 13, 17, 19, 23, 29, 31)
LARGE: Final = (*SMALL[4:], 37, 41, 43, 47, 53, 59)
"""The sizes to trace at: small ones are fast, large ones are seldom equal to a size of the model by chance."""


@dataclass(frozen=True)
class Size:
    """A polynomial in the sizes of dynamic axes: pairs of the names of a product and its integer factor."""

    terms: tuple[tuple[tuple[str, ...], int], ...]

    @property
    def name(self) -> str | None:
        """The name of the axis, if it is the size of one."""
        (names, factor), *rest = self.terms
        return names[0] if not rest and factor == 1 and len(names) == 1 else None

    def __str__(self) -> str:
        return "+".join(
            "*".join((*([str(factor)] if factor != 1 or not names else []), *names)) for names, factor in self.terms
        )


class Iota(NamedTuple):
    """A constant array that counts along one axis, ``start + step * i``, and is the same along all others."""

    start: Any
    step: Any
    axis: int
    shape: tuple[Any, ...]
    dtype: np.dtype


class Triangle(NamedTuple):
    """A constant array that is `low` up to the diagonal `k` of its last two axes, and `high` above it."""

    low: Any
    high: Any
    k: int | Size
    shape: tuple[Any, ...]
    dtype: np.dtype


class Prefix(NamedTuple):
    """The first rows of a table, along the axis whose size is dynamic."""

    table: np.ndarray
    axis: int
    shape: tuple[Any, ...]


class Filled(NamedTuple):
    """A constant array that repeats `array` along the axes whose sizes are dynamic."""

    array: np.ndarray
    shape: tuple[Any, ...]


class Differs(Exception):  # noqa: N818 (caught where the line is known)
    """Two traces do not do the same."""


class Samples:
    """The sizes at which a model is traced.

    Attributes
    ----------
    points
        By name of an axis, its size, for each trace. The last one checks what the others say.
    """

    def __init__(self, names: Sequence[str], taken: set[int], sizes: Sequence[int] = SMALL) -> None:
        free, count = [n for n in sizes if n not in taken], len(names)
        self.names = tuple(names)
        pairs = [(free[k], free[count + k]) for k in range(count)]
        corners = [dict(zip(names, corner, strict=True)) for corner in itertools.product(*pairs)]
        last = {name: free[k + 1 if count > 1 else 2] for k, name in enumerate(names)}
        self.points = [*corners, last]
        self._monomials = [
            subset for count in range(len(names) + 1) for subset in itertools.combinations(self.names, count)
        ]
        values = [[np.prod([point[name] for name in subset]) for subset in self._monomials] for point in self.points]
        self._matrix = np.array(values, np.float64)
        self._inverse = np.linalg.inv(self._matrix[:-1])

    def fit(self, values: Sequence[int]) -> int | Size:
        """Return what an integer is, given its value in each trace."""
        if len(set(values)) == 1:
            return int(values[0])
        factors = np.rint(self._inverse @ np.array(values[:-1], np.float64))
        if not np.array_equal(self._matrix @ factors, values):
            raise Differs(f"a size that is {values[0]} for {self.points[0]} and {values[-1]} for {self.points[-1]}")
        return Size(tuple([(m, int(f)) for m, f in zip(self._monomials, factors, strict=True) if f]))

    def merge(self, values: Sequence[Any]) -> Any:
        """Return a number, shape or option of an operation of all traces as one, with `Size` where it differs."""
        first = values[0]
        if first.__class__ in (tuple, list):
            if any(len(value) != len(first) for value in values):
                raise Differs(f"{len(first)} parts of an array for some and {len(values[-1])} for others")
            return type(first)([self.merge(column) for column in zip(*values, strict=True)])
        if isinstance(first, dict):
            return {key: self.merge([value[key] for value in values]) for key in first}
        if isinstance(first, slice):
            return slice(
                *[self.merge([getattr(value, part) for value in values]) for part in ("start", "stop", "step")]
            )
        if isinstance(first, np.ndarray):
            return first
        if all(value.__class__ is first.__class__ and value == first for value in values):
            return first
        if all(isinstance(value, int | np.integer) and not isinstance(value, bool) for value in values):
            return self.fit(values)
        raise Differs(f"{first!r} and {values[-1]!r}")

    def merge_arrays(self, arrays: Sequence[np.ndarray]) -> np.ndarray | Filled | Iota | Triangle | Prefix:
        """Return a constant of all traces as one."""
        first = arrays[0]
        if all(array is first or (array.shape == first.shape and _equal(array, first)) for array in arrays):
            return first
        shape = self.merge([array.shape for array in arrays])
        axes = [axis for axis, size in enumerate(shape) if isinstance(size, Size)]
        pieces = [
            array[tuple([slice(0, 1) if k in axes else slice(None) for k in range(array.ndim)])] for array in arrays
        ]
        repeats = all(
            _equal(np.broadcast_to(piece, array.shape), array) for piece, array in zip(pieces, arrays, strict=True)
        )
        if repeats and all(_equal(piece, pieces[0]) for piece in pieces):
            return Filled(pieces[0].copy(), shape)
        found = self._iota(arrays, shape, axes) or self._triangle(arrays, shape) or _prefix(arrays, shape, axes)
        if found is not None:
            return found
        raise Differs(f"a constant of shape {first.shape} whose values depend on the sizes of the inputs")

    def _iota(self, arrays: Sequence[np.ndarray], shape: Any, axes: Sequence[int]) -> Iota | None:
        if len(axes) != 1 or not arrays[0].size or arrays[0].dtype == bool:
            return None
        lines = [np.moveaxis(array, axes[0], 0).reshape(array.shape[axes[0]], -1) for array in arrays]
        step = (lines[0][1, 0] - lines[0][0, 0]).item()
        for line in lines:
            counted = (line[0, 0] + step * np.arange(len(line)))[:, None]
            if not np.array_equal(line, np.broadcast_to(counted, line.shape)):
                return None
        return Iota(self.merge([line[0, 0].item() for line in lines]), step, axes[0], shape, arrays[0].dtype)

    def _triangle(self, arrays: Sequence[np.ndarray], shape: Any) -> Triangle | None:
        diagonals, ends = [], set()
        for array in arrays:
            if array.ndim < 2 or not array.size:
                return None
            matrix = array[(0,) * (array.ndim - 2)]
            if not _equal(np.broadcast_to(matrix, array.shape), array):
                return None
            high, low = matrix[0, -1].item(), matrix[-1, 0].item()
            k = int((matrix[0] == low).sum()) - 1
            if not np.array_equal(matrix, np.where(np.tri(matrix.shape[0], matrix.shape[1], k, dtype=bool), low, high)):
                return None
            diagonals.append(k)
            ends.add((low, high))
        if len(ends) > 1:
            return None
        return Triangle(*ends.pop(), self.merge(diagonals), shape, arrays[0].dtype)


def _prefix(arrays: Sequence[np.ndarray], shape: Any, axes: Sequence[int]) -> Prefix | None:
    """Return arrays as the first rows of the table that they are views of."""
    if len(axes) != 1:
        return None
    table = arrays[0]
    while isinstance(table.base, np.ndarray):
        table = table.base
    if not table.ndim or arrays[0].size * len(table) != table.size * arrays[0].shape[axes[0]]:
        return None
    rows = [table[: array.shape[axes[0]]] for array in arrays]
    if all(
        row.size == array.size and _equal(row.reshape(array.shape), array)
        for row, array in zip(rows, arrays, strict=True)
    ):
        return Prefix(table, axes[0], shape)
    return None


def _equal(a: np.ndarray, b: np.ndarray) -> bool:
    return a.dtype == b.dtype and np.array_equal(a, b, equal_nan=a.dtype.kind == "f")


def refuse(what: str, line: str) -> Exception:
    """Return the error for a model that does not do the same for all sizes."""
    return ArgumentError(
        f"to_onnx: expected a model that does the same operations for all sizes of its inputs, got {what} (at {line}); "
        "run loops over time with ts.scan or a recurrent layer, and compute what depends on a size with operations."
    )
