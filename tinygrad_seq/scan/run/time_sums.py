"""Sums over time of lifted values, which may arrive in parts, from the last time to the first.

Changes of shape are done once, on the sum. A product of two values of the step, such as the gradient of a weight, is
not made T times and added: it is one product with ``T * N`` terms. Its terms are added in blocks counted from the last,
so that a scan which goes back over its times segment by segment adds the same numbers in the same order as one that
does so at once: parts that fill no block wait for the next. The gradient of a lookup in the step is added to the rows
of the table that were looked up, the last time first.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Collection
from typing import Any, NamedTuple

import numpy as np

from ...kernels.gemm.matmul import SUM_DEPTH, SUM_ROWS, add_rows, multiply
from ...kernels.scatter import scatter_add_rows
from ...ops.indexing import check_range
from ...ops.linear import matmul
from ...ops.primitive import TABLE, OpKind
from ..ir.step import Eqn, Var
from .batched import Env

_take_add = TABLE["take_add"]  # the gradient of a lookup, added to the rows that were looked up
Matrix = Callable[[np.ndarray], np.ndarray]


class Total(NamedTuple):
    """How one variable is summed over time.

    Attributes
    ----------
    var
        The variable, or what it is made of by `finish`.
    needs
        The variables whose lifted values are read.
    matrices
        For each of them, a function from its lifted value to a matrix with rows in the order of time. Of one matrix
        the rows are added up; of two, `a` and `b`, it is ``a.T @ b``, of stacks ``(rows, S, N)`` of them each of the S
        products. None at all: `var` is the same at every time.
    finish
        Returns the sum in its shape.
    scattered
        Whether `needs` are slices and the indices of the rows that they are to be added to: the gradient of a lookup.
    """

    var: Var
    needs: tuple[Var, ...]
    matrices: tuple[Matrix, ...]
    finish: Callable[[np.ndarray], np.ndarray]
    scattered: bool = False


def plan_total(var: Var, producer: dict[Var, Eqn], over: Collection[Var], shared: Collection[Var]) -> Total:
    """Return how to sum `var` over time.

    `shared` are variables that are needed for themselves too, and so are not worth taking apart.
    """
    if var not in over:
        return Total(var, (var,), (), lambda y: y)
    eqn = producer.get(var)
    if eqn is not None and var not in shared:
        primitive, params = eqn.primitive, eqn.params
        view = primitive.kind is OpKind.VIEW
        if primitive.linear and (view or _follows(eqn, producer, shared)):
            inner, forward = plan_total(eqn.operands[0], producer, over, shared), eqn.primitive.forward
            return inner._replace(finish=lambda y: forward(inner.finish(y), **params))
        if primitive.linear:  # a sum over axes
            return _plan_sum(var, eqn.operands[0], params["axes"])
        if primitive is matmul and all(
            operand in over for operand in eqn.operands
        ):  # all other products are lowered to it
            a, b = eqn.operands
            if a.ndim == b.ndim == 2:
                return Total(var, eqn.operands, (lambda a: _rows(a.swapaxes(1, 2)), _rows), lambda y: y)
            if a.shape[:-2] == b.shape[:-2]:
                matrices = (lambda a: _stacks(a.swapaxes(-1, -2)), _stacks)
                return Total(var, eqn.operands, matrices, lambda y: y.reshape(var.shape))
        if primitive is _take_add and params["axis"] == 0 and all(operand in over for operand in eqn.operands):
            return Total(var, eqn.operands, (), lambda y: y.reshape(var.shape), scattered=True)
    return Total(var, (var,), (lambda x: x.reshape(len(x), -1),), lambda y: y.reshape(var.shape))


def _follows(eqn: Eqn, producer: dict[Var, Eqn], shared: Collection[Var]) -> bool:
    """Return whether an equation reads what a change of shape or a sum made for it alone: see `find_summands`."""
    before = producer.get(eqn.operands[0])
    return before is not None and before.primitive.linear and eqn.operands[0] not in shared


def _plan_sum(var: Var, operand: Var, axes: tuple[int, ...]) -> Total:
    if axes == tuple(range(len(axes))):
        count, width = math.prod(operand.shape[: len(axes)]), math.prod(operand.shape[len(axes) :])
        return Total(var, (operand,), (lambda x: x.reshape(len(x) * count, width),), lambda y: y.reshape(var.shape))
    shifted = tuple([axis + 1 for axis in axes])
    flat = lambda x: np.add.reduce(x, axis=shifted).reshape(len(x), -1)  # noqa: E731
    return Total(var, (operand,), (flat,), lambda y: y.reshape(var.shape))


def _rows(x: np.ndarray) -> np.ndarray:
    """Return `x` ``(T, N, K)`` as ``(T * N, K)``, without a copy where the strides allow it."""
    T, N, K = x.shape
    if x.flags.c_contiguous:
        return x.reshape(T * N, K)
    if x.strides[0] == N * x.strides[1] or T == 1 or N == 1:
        stride = x.strides[0] if N == 1 else x.strides[1]
        return np.lib.stride_tricks.as_strided(x, (T * N, K), (stride, x.strides[2]), writeable=False)
    return x.reshape(T * N, K)


def _stacks(x: np.ndarray) -> np.ndarray:
    """Return stacks of matrices, `x` ``(T, ..., K, N)``, as ``(T * K, S, N)``."""
    x = x.reshape(len(x), -1, *x.shape[-2:])
    return x.swapaxes(1, 2).reshape(-1, x.shape[1], x.shape[3])


class Sum:
    """One sum over time while it is being taken.

    Parameters
    ----------
    total
        What to sum.
    backwards
        Whether the first times come first, as where the scan itself began at the last.
    """

    def __init__(self, total: Total, backwards: bool) -> None:
        self._total, self._backwards = total, backwards
        self._block = SUM_DEPTH if len(total.matrices) == 2 else SUM_ROWS
        self._value: np.ndarray | None = None
        self._waiting: list[np.ndarray] = []
        self._times, self._begun = 0, False

    def add(self, env: Env, T: int, last: bool) -> None:
        """Add the values at `T` times that come before those added so far; `last` if none will follow."""
        if self._total.scattered:
            self._scatter(*[env[var] for var in self._total.needs])
            return
        if not self._total.matrices:
            self._times += T
            self._value = env[self._total.var] * self._times
            return
        given = zip(self._total.matrices, self._total.needs, strict=True)
        parts = [matrix(env[var]).astype(self._total.var.dtype, copy=False) for matrix, var in given]
        if self._backwards:
            parts = [part[::-1] for part in parts]
        if self._waiting:
            room = self._block - len(self._waiting[0])
            cut = max(len(parts[0]) - room, 0)
            block = [np.concatenate([part[cut:], old]) for part, old in zip(parts, self._waiting, strict=True)]
            parts = [part[:cut] for part in parts]
            if len(block[0]) < self._block and not last:
                self._waiting = block
                return
            self._take(block)
        cut = 0 if last else len(parts[0]) % self._block
        self._take([part[cut:] for part in parts] if cut else parts)
        self._waiting = [part[:cut].copy() for part in parts] if cut else []

    def _scatter(self, slices: np.ndarray, indices: np.ndarray) -> None:
        shape, step = self._total.var.shape, 1 if self._backwards else -1
        if self._value is None:
            self._value = np.zeros((shape[0], math.prod(shape[1:])), self._total.var.dtype)
        flat = np.ascontiguousarray(check_range("take", indices, shape[0], -shape[0])[::step]).ravel()
        rows = np.ascontiguousarray(slices[::step]).reshape(flat.size, self._value.shape[1])
        scatter_add_rows(self._value, flat, rows.astype(self._value.dtype, copy=False))

    def _take(self, parts: list[np.ndarray]) -> None:
        stack = parts[0].shape[1:-1]
        if self._value is None:
            make = np.empty if len(parts) == 2 and len(parts[0]) else np.zeros  # a product overwrites what it finds
            self._value = make([*stack, *[part.shape[-1] for part in parts]], self._total.var.dtype)
        if len(parts) == 1:
            add_rows(parts[0], self._value)
        elif len(parts[0]):
            a, b = parts
            for at in itertools.product(*map(range, stack)) if stack else [()]:
                rows: Any = slice(None), *at
                multiply(a[rows].T, b[rows], self._value[at], accumulate=self._begun)
            self._begun = True

    def result(self) -> np.ndarray:
        """Return the sum."""
        assert self._value is not None
        return self._total.finish(self._value)
