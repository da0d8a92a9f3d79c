"""Equations batched over time: one operation for all steps, on arrays with a time axis in front.

Time-varying values are arrays ``(T, *shape)``; others have their own shape. Elementwise operations broadcast, changes
of shape move their axes by one, and a product with a constant matrix is one product of a tall matrix. An operation
without a rule here runs T times.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Iterable
from functools import partial
from typing import Any

import numpy as np
from numba import config

from ...base.modes import ieee
from ...kernels.gemm.matmul import SUM_DEPTH, multiply, multiply_packed
from ...kernels.gemm.one_row import multiply_row
from ...kernels.llvm.address import empty
from ...ops.linear import matmul
from ...ops.primitive import OpKind, Rule
from ..ir.step import Eqn, Var
from .kept import NO_STAMPS, Stamps, packed_once
from .panels import Panels, plain

Env = dict[Var, np.ndarray]
Evaluate = Callable[..., None]

SMALL, SMALL_VECTOR = 131072, 8192
"""Most multiplications in a product of matrices, and of a matrix and a vector, that are left to NumPy in a stack."""


def _aligned(x: Any, batched: bool, rank: int) -> Any:
    """Return an operand with axes of size 1 after the time axis, so that it broadcasts to `rank` axes and time."""
    missing = rank + 1 - x.ndim if batched else 0
    return x.reshape(x.shape[0], *[1] * missing, *x.shape[1:]) if missing else x


def _matmul(batched: tuple[bool, ...], params: dict[str, Any], a: np.ndarray, b: np.ndarray) -> np.ndarray:
    if not batched[1] and b.ndim == 2:
        return product(a.reshape(math.prod(a.shape[:-1]), len(b)), b, **params).reshape(*a.shape[:-1], b.shape[1])
    rank = max(x.ndim - over for x, over in zip((a, b), batched, strict=True))
    return product(_aligned(a, batched[0], rank), _aligned(b, batched[1], rank))


def product(a: np.ndarray, b: np.ndarray, precision: str = "float32", largest: float = 0.0) -> np.ndarray:
    """Return ``a @ b`` of matrices or stacks of them, of any strides, with the same bits for any number of threads.

    `precision` and `largest` are those of a product of two matrices, as in `multiply`.
    """
    dtype, flat = a.dtype if a.dtype == b.dtype else np.result_type(a, b), a.ndim == b.ndim == 2
    if dtype.char not in "fd" or (max(a.ndim, b.ndim) > 2 and _is_small(a, b)):
        return np.asarray(np.matmul(a, b))
    a, b = a.astype(dtype, copy=False), b.astype(dtype, copy=False)
    if flat:
        y = empty((a.shape[0], b.shape[1]), dtype)
        multiply(a, b, y, precision=precision, largest=largest)
        return y
    stack = np.broadcast_shapes(a.shape[:-2], b.shape[:-2])
    y = np.empty((*stack, a.shape[-2], b.shape[-1]), dtype)
    a, b = (np.broadcast_to(x, (*stack, *x.shape[-2:])) for x in (a, b))
    for at in np.ndindex(stack):
        multiply(a[at], b[at], y[at])
    return y


def _is_small(a: np.ndarray, b: np.ndarray) -> bool:
    """Return whether NumPy's BLAS does each product of a stack on one thread, in a fraction of the time of `multiply`.

    OpenBLAS takes more from 262144 multiplications on, of a matrix with a vector from 9216.
    """
    (M, K), N = a.shape[-2:], b.shape[-1]
    limit = SMALL_VECTOR if 1 in (M, N) else SMALL
    return bool(limit >= M * K * N)


def _choose(eqn: Eqn, batched: tuple[bool, ...]) -> Rule:
    """Return a function of T and the operands, of which the `batched` ones have a time axis, for the results."""
    primitive, params = eqn.primitive, eqn.params
    forward, kind = primitive.forward, primitive.kind
    if primitive is matmul:  # by the kernels of the package, not by NumPy
        if any(batched):
            return lambda T, a, b: _matmul(batched, params, a, b)  # noqa: ARG005
        return lambda T, a, b: product(a, b, **params)  # noqa: ARG005
    if not any(batched):
        return lambda T, *xs: forward(*xs, **params)  # noqa: ARG005
    rule = primitive.batched
    if rule is not None:
        return lambda T, *xs: rule(T, batched, *xs, **params)
    if primitive.axes is not None and (axes := params[primitive.axes]) is not None:
        shifted = axes + 1 if isinstance(axes, int) else tuple([axis + 1 for axis in axes])
        params = params | {primitive.axes: shifted}
        return lambda T, x: forward(x, **params)  # noqa: ARG005
    if kind is OpKind.ELEMENTWISE or kind is OpKind.CAST:
        rank = max(operand.ndim for operand in eqn.reads)
        return lambda T, *xs: forward(  # noqa: ARG005
            *[_aligned(x, x_over, rank) for x, x_over in zip(xs, batched, strict=True)], **params
        )
    if kind is OpKind.LOOKUP and batched == (False, True):  # the axes of the indices are where the looked up was
        return lambda T, *xs: np.moveaxis(forward(*xs, **params), params.get("axis", 0), 0)  # noqa: ARG005
    return partial(_one_by_one, eqn, batched)


def _one_by_one(eqn: Eqn, batched: tuple[bool, ...], T: int, *operands: Any) -> Any:
    rows = [
        eqn.primitive.forward(*[x[t] if over else x for x, over in zip(operands, batched, strict=True)], **eqn.params)
        for t in range(T)
    ]
    return [np.stack(column) for column in zip(*rows, strict=True)] if eqn.primitive.multiple else np.stack(rows)


def results_of(eqn: Eqn, found: Any) -> list[np.ndarray]:
    """Return what the forward of an equation returned as arrays of the right dtypes, one for each result."""
    values = found if eqn.primitive.multiple else (found,)
    return [np.asarray(value, result.dtype) for result, value in zip(eqn.results, values, strict=True)]


def plan_all(eqns: Iterable[Eqn], time_varying: Collection[Var]) -> Evaluate:
    """Return a function of T and an `Env` that evaluates equations for all times and adds their results.

    The variables in `time_varying` have a time axis; the results must be among them if an operand is.
    """
    rules = [_rule_of(eqn, time_varying) for eqn in eqns]
    if not rules:
        return lambda *_: None  # floating-point flags cost 2 µs

    @ieee
    def run(T: int, env: Env, stamps: Stamps = NO_STAMPS) -> None:
        for rule in rules:
            rule(T, env, stamps)

    return run


def _rule_of(eqn: Eqn, time_varying: Collection[Var]) -> Callable[[int, Env, Stamps], None]:
    """Return a function that evaluates an equation: see `plan_all`."""
    rule, operands = _choose(eqn, tuple([operand in time_varying for operand in eqn.operands])), eqn.operands
    if _has_constant_matrix(eqn, time_varying):
        (left, right), result = operands, eqn.result
        form, largest = plain(right, eqn.params.get("precision", "float32")), eqn.params.get("largest", 0.0)

        def multiply_all(T: int, env: Env, stamps: Stamps) -> None:
            a, b = env[left], env[right]
            if a.size == len(b) and (y := _product_of_row(a, b, form)) is not None:
                env[result] = y
                return
            y = _kept_product(a, b, form, stamps, largest) if stamps else None
            env[result] = rule(T, a, b) if y is None else y

        return multiply_all

    def apply(T: int, env: Env, stamps: Stamps) -> None:  # noqa: ARG001
        found = rule(T, *[env[operand] if operand.__class__ is Var else operand for operand in operands])
        env.update(zip(eqn.results, results_of(eqn, found), strict=True))

    return apply


def _has_constant_matrix(eqn: Eqn, time_varying: Collection[Var]) -> bool:
    """Return whether an equation multiplies values at all times by one matrix of the same dtype."""
    if eqn.primitive is not matmul:  # all other products are lowered to it
        return False
    a, b = eqn.operands
    return a in time_varying and b not in time_varying and b.ndim == 2 and a.dtype == b.dtype


def _product_of_row(a: np.ndarray, b: np.ndarray, form: Panels) -> np.ndarray | None:
    """Return ``a @ b`` for one row, from the matrix as it is; None if its rows or columns are not contiguous."""
    K, N = b.shape
    if form.precision != "float32" or not 0 < K <= SUM_DEPTH or config.DISABLE_JIT or b.dtype.char not in "fd":
        return None
    if b.strides[1] == b.itemsize:
        y = np.empty((1, N), a.dtype)
        multiply(a.reshape(1, K), b, y)
        return y.reshape(*a.shape[:-1], N)
    if b.strides[0] != b.itemsize or b.strides[1] % b.itemsize:
        return None
    y = np.empty((*a.shape[:-1], N), a.dtype)
    multiply_row(np.ascontiguousarray(a), b, y)
    return y


def _kept_product(a: np.ndarray, b: np.ndarray, form: Panels, stamps: Stamps, largest: float) -> np.ndarray | None:
    """Return ``a @ b`` from the kept panels of a matrix with a stamp; None if another way is faster, or there is none.

    Rows of a float32 matrix that lie side by side are read in place.
    """
    K, N = b.shape
    in_place = form.precision == "float32" and b.strides[1] == b.itemsize
    if in_place or not 0 < K <= SUM_DEPTH or config.DISABLE_JIT or b.dtype.char not in "fd":
        return None
    panels = packed_once(b, form, stamps)
    if panels is None:
        return None
    y = empty((math.prod(a.shape[:-1]), N), a.dtype)
    multiply_packed(a.reshape(-1, K), panels, y, form.precision, largest)
    return y.reshape(*a.shape[:-1], N)
