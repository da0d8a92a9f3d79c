"""Products of a matrix and a vector of one batch element, as elementwise products and sums that loop nests can hold.

A cell with a matrix state per batch element multiplies it by vectors. Such a product uses each element of the matrix
once, so it gains nothing from being done for all times at once. As elementwise work and a sum it stays in the loop, in
one pass over the matrix with all else that reads it::

    y (1, G) = q (1, K) @ S (K, G)          sum(qᵀ * S, axis=-2)         down the columns
    y (1, G) = q (1, K) @ Sᵀ, S (G, K)      sum(q * S, axis=-1)ᵀ         along the rows: S is read as it is stored
    S (M, G) = k (M, 1) @ v (1, G)          k * v

A product that is only summed over time stays: it becomes one product of matrices for all times.
"""

from __future__ import annotations

import math
from dataclasses import replace

from ...ops.arithmetic import multiply
from ...ops.linear import matmul
from ...ops.primitive import TABLE
from ..ir.check import check
from ..ir.step import Aval, Eqn, Step, Var

_permute_dims, _sum = TABLE["permute_dims"], TABLE["sum"]


def vectors_as_sums(step: Step) -> Step:
    """Return `step` with its products of stacks of matrices and vectors as elementwise products and sums."""
    producer = {result: eqn for eqn in step.eqns for result in eqn.results}
    summed = _summed_over_time(step, producer)
    eqns: list[Eqn] = []
    for eqn in step.eqns:
        if eqn.primitive is matmul and eqn.result not in summed and _has_vector(eqn):
            eqns += _expanded(eqn, producer)
        else:
            eqns.append(eqn)
    return check(replace(step, eqns=tuple(eqns)))


def _summed_over_time(step: Step, producer: dict[Var, Eqn]) -> set[Var]:
    """Return the time sums of `step` and what they are linear functions of."""
    found: set[Var] = set()
    for var in step.sums:
        found.add(var)
        while (eqn := producer.get(var)) is not None and eqn.primitive.linear:
            var = eqn.operands[0]
            found.add(var)
    return found


def _has_vector(eqn: Eqn) -> bool:
    """Return whether an equation multiplies stacks of floats, one of which are vectors."""
    a, b = eqn.operands
    if min(a.ndim, b.ndim) < 3 or not a.dtype == b.dtype == eqn.result.dtype or a.dtype.kind != "f":
        return False
    return 1 in (a.shape[-2], a.shape[-1], b.shape[-1]) and math.prod(eqn.result.shape) * a.shape[-1] > 0


def _expanded(eqn: Eqn, producer: dict[Var, Eqn]) -> list[Eqn]:
    """Return the equations that compute the result of a product, summing along the stored rows of its matrix."""
    a, b = eqn.operands
    if a.shape[-1] == 1:
        return [Eqn(multiply, (a, b), {}, eqn.results)]
    eqns: list[Eqn] = []

    def transposed(x: Var) -> Var:
        y = Var(Aval((*x.shape[:-2], x.shape[-1], x.shape[-2]), x.dtype))
        eqns.append(_transpose(x, y))
        return y

    if b.shape[-1] == 1:  # M K times K: the matrix is a
        stored = _stored_transposed(a, producer)
        matrix, vector = (a, transposed(b)) if stored is None else (stored, b)
        down, turned = stored is not None, stored is not None
    else:  # K times K G
        stored = _stored_transposed(b, producer)
        matrix, vector = (b, transposed(a)) if stored is None else (stored, a)
        down, turned = stored is None, stored is not None
    rank = eqn.result.ndim
    lead, (rows, columns) = eqn.result.shape[:-2], matrix.shape[-2:]
    product = Var(Aval((*lead, rows, columns), eqn.result.dtype))
    eqns.append(Eqn(multiply, (matrix, vector), {}, (product,)))
    shape = (*lead, 1, columns) if down else (*lead, rows, 1)
    total = Var(Aval(shape, eqn.result.dtype)) if turned else eqn.result
    eqns.append(Eqn(_sum, (product,), {"axes": (rank - 2 if down else rank - 1,), "keepdims": True}, (total,)))
    if turned:
        eqns.append(_transpose(total, eqn.result))
    return eqns


def _transpose(x: Var, y: Var) -> Eqn:
    return Eqn(_permute_dims, (x,), {"axes": (*range(x.ndim - 2), x.ndim - 1, x.ndim - 2)}, (y,))


def _stored_transposed(x: Var, producer: dict[Var, Eqn]) -> Var | None:
    """Return the variable whose matrices `x` has transposed; None if `x` is not such a view."""
    eqn = producer.get(x)
    if eqn is None or eqn.primitive is not _permute_dims:
        return None
    turned = (*range(x.ndim - 2), x.ndim - 1, x.ndim - 2)
    return eqn.operands[0] if tuple(eqn.params["axes"]) == turned and min(x.shape[-2:]) > 1 else None
