"""Directional derivatives: `jvp`, `hvp`. They nest like the transforms in `gradients`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ...base.tree import flatten
from ..tensor import Tensor
from .level import Level


def jvp(f: Callable[..., Any], primals: Any, tangents: Any, *, create_graph: bool | None = None) -> tuple[Any, Any]:
    """Return ``f(*primals)`` and its directional derivative along `tangents`.

    Parameters
    ----------
    f
        Returns a Tensor or nested tuples, lists and dicts of them.
    primals
        A tuple or list of its arguments, or the bare argument if there is only one.
    tangents
        One array per array in `primals`, in the same structure and of the same shape.
    create_graph
        As in `grad`.

    Returns
    -------
    value, tangent
        Both with the structure and shapes of the result of `f`.

    Raises
    ------
    ShapeError
        If the tangents do not have the shapes of the primals.
    ArgumentError, DtypeError, CompileError
        See `grad`.

    Examples
    --------
    >>> import tinygrad_seq as ts
    >>> ts.jvp(lambda x: x * x, (ts.tensor([1.0, 2.0]),), (ts.tensor([1.0, 0.5]),))
    (tensor([1., 4.]), tensor([2., 2.]))
    """
    level = Level("jvp", _arguments(primals), create_graph)
    directions = level.matching(_arguments(tangents))
    outputs, rebuild = flatten(level.apply(f))
    for output in outputs:
        level.expect_tensor(output)
    values = [level.released(output) for output in outputs]
    return rebuild(values), rebuild(level.push_forward(outputs, directions))


def hvp(f: Callable[..., Tensor], primals: Any, tangents: Any, *, create_graph: bool | None = None) -> Any:
    """Return the product of the Hessian of the scalar function `f` at `primals` with `tangents`.

    Parameters
    ----------
    f, primals, tangents, create_graph
        As in `jvp`; `f` returns a scalar.

    Returns
    -------
    tuple
        One product per primal, with the primal's structure and shapes; not a tuple if `primals` is a bare argument.

    Raises
    ------
    GraphError
        If `f` does not return a scalar.
    ShapeError, ArgumentError, DtypeError, CompileError
        See `jvp`.

    Examples
    --------
    >>> import tinygrad_seq as ts
    >>> ts.hvp(lambda x: (x**3).sum(), (ts.tensor([1.0, 2.0]),), (ts.tensor([1.0, 1.0]),))
    (tensor([ 6., 12.]),)
    """
    level = Level("hvp", _arguments(primals), create_graph)
    directions = level.matching(_arguments(tangents))
    value = level.apply(f)
    level.expect_scalar(value)
    reached = level.gradients(value)
    found = level.pull_back([gradient for _, gradient in reached], [directions[i] for i, _ in reached])
    products = level.rebuild(found)
    return tuple(products) if isinstance(primals, tuple | list) else products[0]


def _arguments(values: Any) -> list[Any]:
    return list(values) if isinstance(values, tuple | list) else [values]
