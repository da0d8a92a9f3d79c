"""Sums over time, whose terms may arrive in segments, from the last step to the first.

Changes of shape are applied once, to the sum. A product of two time-varying values, such as the gradient of a weight,
is one product with ``T * N`` terms, not T products. Its terms are added in blocks counted from the last step, so that
a run in segments adds the same numbers in the same order as a run in one piece: terms that fill no block wait for the
next segment. Products that share an operand, as xᵀ @ dgates and hᵀ @ dgates of an LSTM do, are computed as one: [x h]ᵀ
@ dgates packs the gradients of the gates once. The gradient of a lookup is added to the entries of the table that were
looked up, the last step first.
"""

from __future__ import annotations

import itertools
import math
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np

from ...kernels.gemm.matmul import SUM_DEPTH, SUM_ROWS, add_rows, multiply
from ...kernels.scatter import scatter_add_rows
from ...ops.indexing import check_range
from ...ops.linear import matmul
from ...ops.primitive import TABLE, OpKind
from ..ir.step import Eqn, Var
from .batched import Env
from .sums_of_calls import ProductSum, RowSum, SumOfCalls

_permute_dims = TABLE["permute_dims"]
_take_add = TABLE["take_add"]  # the gradient of a lookup, added to the rows that were looked up
Matrix = Callable[[np.ndarray], np.ndarray]


class TimeSum(NamedTuple):
    """How one variable is summed over time.

    Attributes
    ----------
    var
        The variable, or the one that `finish` computes it from.
    needs
        The variables that are read, at all times.
    matrices
        For each of them, a function from its values ``(T, *shape)`` to a matrix with rows in the order of time. The
        sum is that of the rows of one matrix, or ``a.T @ b`` of two; of stacks ``(rows, S, N)`` each of S products.
    finish
        Returns the sum in its shape.
    scattered
        Whether `needs` are slices, and the indices of the table entries that they are added to: the gradient of a
        lookup, which has no `matrices`.
    precision
        That of a product of two matrices.
    plain
        Whether the sum is one product of two matrices in full precision, and nothing else.
    """

    var: Var
    needs: tuple[Var, ...]
    matrices: tuple[Matrix, ...]
    finish: Callable[[np.ndarray], np.ndarray]
    scattered: bool = False
    precision: str = "float32"
    plain: bool = False

    def can_wait(self, shared: bool) -> bool:
        """Return whether it may be a `SumOfCalls`; that of products is not computed twice if it is `shared`."""
        return (self.plain and not shared) if len(self.matrices) == 2 else len(self.matrices) == 1


def plan_time_sum(
    var: Var, producer: dict[Var, Eqn], time_varying: Collection[Var], shared: Collection[Var]
) -> TimeSum:
    """Return how to sum `var` over time; `shared` are variables that are needed for something else too."""
    eqn = producer.get(var)
    if eqn is not None and var not in shared:
        primitive, params = eqn.primitive, eqn.params
        view = primitive.kind is OpKind.VIEW
        if primitive.linear and (view or _follows(eqn, producer, shared)):
            inner, forward = plan_time_sum(eqn.operands[0], producer, time_varying, shared), eqn.primitive.forward
            return inner._replace(finish=lambda y: forward(inner.finish(y), **params), plain=False)
        if primitive.linear:  # a sum over axes
            return _plan_sum(var, eqn.operands[0], params["axes"])
        varying = all(operand in time_varying for operand in eqn.operands)
        if primitive is matmul and varying:  # all other products are lowered to it
            a, b = eqn.operands
            if a.ndim == b.ndim == 2:
                turned = producer.get(a)
                if turned is not None and turned.primitive is _permute_dims and turned.params["axes"] == (1, 0):
                    plan = TimeSum(var, (turned.operands[0], b), (_rows, _rows), lambda y: y)  # turned back
                else:
                    plan = TimeSum(var, (a, b), (lambda a: _rows(a.swapaxes(1, 2)), _rows), lambda y: y)
                precision = params.get("precision", "float32")
                return plan._replace(precision=precision, plain=precision == "float32" and a.dtype == b.dtype)
            if a.shape[:-2] == b.shape[:-2]:
                matrices = (lambda a: _stacks(a.swapaxes(-1, -2)), _stacks)
                return TimeSum(var, eqn.operands, matrices, lambda y: y.reshape(var.shape))
        if primitive is _take_add and params["axis"] == 0 and varying:
            return TimeSum(var, eqn.operands, (), lambda y: y.reshape(var.shape), scattered=True)
    return TimeSum(var, (var,), (lambda x: x.reshape(len(x), -1),), lambda y: y.reshape(var.shape))


def joined(plans: Mapping[Var, TimeSum]) -> list[dict[Var, TimeSum]]:
    """Return plans of sums in groups. One product computes a group: its plans have the same last operand.

    Products of two matrices that share a first operand are transposed.
    """
    products = {var: plan for var, plan in plans.items() if len(plan.matrices) == 2 and plan.var.ndim == 2}
    groups = [{var: plan} for var, plan in plans.items() if var not in products]
    while products:
        count = Counter([key for plan in products.values() for key in dict.fromkeys(_sides(plan)[::-1])])
        shared = max(count, key=count.__getitem__)
        group = {var: plan for var, plan in products.items() if shared in _sides(plan)}
        groups.append({var: plan if shared == _sides(plan)[1] else _turned(plan) for var, plan in group.items()})
        products = {var: plan for var, plan in products.items() if var not in group}
    return groups


def _sides(plan: TimeSum) -> list[tuple[Any, ...]]:
    """Return what another product has in common with that of a plan if it shares its first, or its last, operand."""
    return [(var, plan.precision, plan.var.dtype) for var in plan.needs]


def _turned(plan: TimeSum) -> TimeSum:
    """Return the plan of the transposed product."""
    finish = plan.finish
    return plan._replace(needs=plan.needs[::-1], matrices=plan.matrices[::-1], finish=lambda y: finish(y.T))


def _follows(eqn: Eqn, producer: dict[Var, Eqn], shared: Collection[Var]) -> bool:
    """Return whether a linear equation made the operand for this equation only (see `find_terms`)."""
    before = producer.get(eqn.operands[0])
    return before is not None and before.primitive.linear and eqn.operands[0] not in shared


def _plan_sum(var: Var, operand: Var, axes: tuple[int, ...]) -> TimeSum:
    if axes == tuple(range(len(axes))):
        count, width = math.prod(operand.shape[: len(axes)]), math.prod(operand.shape[len(axes) :])
        return TimeSum(var, (operand,), (lambda x: x.reshape(len(x) * count, width),), lambda y: y.reshape(var.shape))
    shifted = tuple([axis + 1 for axis in axes])
    flat = lambda x: np.add.reduce(x, axis=shifted).reshape(len(x), -1)  # noqa: E731
    return TimeSum(var, (operand,), (flat,), lambda y: y.reshape(var.shape))


def _rows(x: np.ndarray) -> np.ndarray:
    """Return `x` ``(T, N, K)`` as ``(T * N, K)``, without a copy where the strides allow it."""
    T, N, K = x.shape
    if T == 1:
        return x.reshape(N, K)
    if x.flags.c_contiguous:
        return x.reshape(T * N, K)
    if x.strides[0] == N * x.strides[1] or N == 1:
        stride = x.strides[0] if N == 1 else x.strides[1]
        return np.lib.stride_tricks.as_strided(x, (T * N, K), (stride, x.strides[2]), writeable=False)
    return x.reshape(T * N, K)


def _stacks(x: np.ndarray) -> np.ndarray:
    """Return stacks of matrices, `x` ``(T, ..., K, N)``, as ``(T * K, S, N)``."""
    x = x.reshape(len(x), math.prod(x.shape[1:-2]), *x.shape[-2:])
    return x.swapaxes(1, 2).reshape(len(x) * x.shape[2], x.shape[1], x.shape[3])


def sum_of_calls(var: Var, plan: TimeSum, env: Env, backwards: bool) -> SumOfCalls:
    """Return the sum of `var` over a run in one segment, by a plan that `can_wait`, to be added up later."""
    parts = [matrix(env[need]) for matrix, need in zip(plan.matrices, plan.needs, strict=True)]
    parts = [part[::-1] for part in parts] if backwards else parts
    if len(parts) == 2:
        return ProductSum(parts[0], parts[1], plan.precision)
    return RowSum(parts[0].astype(plan.var.dtype, copy=False), plan.finish, var.shape, var.dtype)


class Accumulator:
    """Computes one sum over time, or a group of products, from its segments.

    Parameters
    ----------
    plans
        What to sum, one of the groups of `joined`.
    backwards
        Whether the segments come in the order of time, as in the backward run of a reversed scan.

    Attributes
    ----------
    plans
        As given.
    needs, matrices
        As in `TimeSum`: of a group, for the first operand of each product, and then for the shared one.
    block
        The number of terms in a block.
    """

    def __init__(self, plans: Mapping[Var, TimeSum], backwards: bool) -> None:
        self.plans, self._plan, self._backwards = plans, next(iter(plans.values())), backwards
        self.needs = *[var for plan in plans.values() for var in plan.needs[:1]], *self._plan.needs[1:]
        self.matrices = *[f for plan in plans.values() for f in plan.matrices[:1]], *self._plan.matrices[1:]
        self.block = SUM_DEPTH if len(self.matrices) >= 2 else SUM_ROWS
        self._value: np.ndarray | None = None
        self._waiting: list[np.ndarray] = []
        self._begun = False
        self._ends: list[int] = []

    def add(self, env: Env, last: bool) -> None:
        """Add the values of the segment before those added so far; `last` if none will follow."""
        if self._plan.scattered:
            self._scatter(*[env[var] for var in self.needs])
            return
        given = zip(self.matrices, self.needs, strict=True)
        parts = [matrix(env[var]).astype(self._plan.var.dtype, copy=False) for matrix, var in given]
        if self._backwards:
            parts = [part[::-1] for part in parts]
        if self._waiting:
            room = self.block - len(self._waiting[0])
            cut = max(len(parts[0]) - room, 0)
            block = [np.concatenate([part[cut:], old]) for part, old in zip(parts, self._waiting, strict=True)]
            parts = [part[:cut] for part in parts]
            if len(block[0]) < self.block and not last:
                self._waiting = block
                return
            self._take(block)
        cut = 0 if last else len(parts[0]) % self.block
        self._take([part[cut:] for part in parts] if cut else parts)
        self._waiting = [part[:cut].copy() for part in parts] if cut else []

    def _scatter(self, slices: np.ndarray, indices: np.ndarray) -> None:
        shape, step = self._plan.var.shape, 1 if self._backwards else -1
        if self._value is None:
            self._value = np.zeros((shape[0], math.prod(shape[1:])), self._plan.var.dtype)
        flat = np.ascontiguousarray(check_range("take", indices, shape[0], -shape[0])[::step]).ravel()
        rows = np.ascontiguousarray(slices[::step]).reshape(flat.size, self._value.shape[1])
        scatter_add_rows(self._value, flat, rows.astype(self._value.dtype, copy=False))

    def _take(self, parts: list[np.ndarray]) -> None:
        stack = parts[0].shape[1:-1]
        if self._value is None:
            make = np.empty if len(parts) >= 2 and len(parts[0]) else np.zeros  # a product overwrites what it finds
            self._ends = [*itertools.accumulate([part.shape[-1] for part in parts[:-1]])]
            self._value = make([*stack, *self._ends[-1:], parts[-1].shape[-1]], self._plan.var.dtype)
        if len(parts) == 1:
            add_rows(parts[0], self._value)
        elif len(parts[0]):
            *lefts, b = parts
            for at in itertools.product(*map(range, stack)) if stack else [()]:
                rows: Any = slice(None), *at
                multiply([a[rows].T for a in lefts], b[rows], self._value[at], self._begun, self._plan.precision)
            self._begun = True

    def results(self) -> Iterator[tuple[Var, np.ndarray]]:
        """Yield each variable and its sum."""
        assert self._value is not None
        cuts = np.split(self._value, self._ends[:-1], axis=0) if len(self.plans) > 1 else [self._value]
        for (var, plan), value in zip(self.plans.items(), cuts, strict=True):
            yield var, plan.finish(value)
