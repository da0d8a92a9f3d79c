"""Full derivatives of a function: `jacobian`, `hessian`."""

from __future__ import annotations

import functools
import itertools
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from ...base.modes import set_grad_enabled
from ...base.tree import flatten
from ...errors import DtypeError
from ...ops.joining import stack
from ...ops.shape import reshape
from ..tensor import Tensor, wrap
from .gradients import chooser
from .level import Level


def jacobian(
    f: Callable[..., Any], argnums: int | Sequence[int] = 0, *, create_graph: bool | None = None
) -> Callable[..., Any]:
    """Return a function that takes the arguments of `f` and returns its Jacobian.

    Parameters
    ----------
    f
        Returns a floating-point Tensor of any shape, or nested tuples, lists and dicts of them.
    argnums
        The position of the argument to differentiate with respect to, or several.
    create_graph
        As in `grad`.

    Returns
    -------
    callable
        Its result has the structure of the result of `f`. In place of each array of shape ``out`` it has the structure
        of the argument (a tuple for several arguments) with arrays of shape ``out + in``. It runs one backward pass per
        element of the result of `f`.

    Raises
    ------
    DtypeError
        If `f` returns integers or booleans, or an argument is not floating-point.
    ArgumentError, CompileError
        See `grad`.

    Examples
    --------
    >>> import tinygrad_seq as ts
    >>> ts.jacobian(lambda x: x * x)(ts.tensor([1.0, 2.0]))
    tensor([[2., 0.],
            [0., 4.]])
    """
    return _derivative("jacobian", f, argnums, create_graph)


def hessian(
    f: Callable[..., Any], argnums: int | Sequence[int] = 0, *, create_graph: bool | None = None
) -> Callable[..., Any]:
    """Return a function that takes the arguments of `f` and returns its Hessian.

    Parameters
    ----------
    f, argnums, create_graph
        As in `jacobian`; a scalar function is the common case.

    Returns
    -------
    callable
        The `jacobian` of the `jacobian`: arrays of shape ``out + in + in`` in the structure of the result of `f`, then
        twice in the structure of the argument (tuples of tuples for several arguments).

    Raises
    ------
    DtypeError, ArgumentError, CompileError
        See `jacobian`.

    Examples
    --------
    >>> import tinygrad_seq as ts
    >>> ts.hessian(lambda x: x[0] ** 2 * x[1])(ts.tensor([1.0, 2.0]))
    tensor([[4., 2.],
            [2., 0.]])
    """
    return _derivative("hessian", _derivative("hessian", f, argnums, None), argnums, create_graph)


def _derivative(
    caller: str, f: Callable[..., Any], argnums: int | Sequence[int], create_graph: bool | None
) -> Callable[..., Any]:
    choose = chooser(caller, f, argnums)

    @functools.wraps(f)
    def compute(*args: Any, **kwargs: Any) -> Any:
        chosen, put_back = choose(args)
        level = Level(caller, chosen, create_graph)
        outputs, rebuild = flatten(level.apply(f, *put_back(level.tree), **kwargs))

        def rows(output: Tensor) -> Any:
            level.expect_tensor(output)
            if output.dtype.kind != "f":
                raise DtypeError(
                    f"{caller}: expected a function that returns floating-point Tensors, got {output.shape} "
                    f"{output.dtype}; return it beside them only in grad with has_aux=True."
                )
            found = [level.pull_back([output], [one], keep=True) for one in _ones(output)]
            columns = zip(*found, strict=True) if found else itertools.repeat(())
            with set_grad_enabled(level.recording):
                blocks = level.rebuild([
                    _stacked(column, (*output.shape, *leaf.shape), leaf.dtype)
                    for leaf, column in zip(level.leaves, columns, strict=False)
                ])  # fmt: skip
            return blocks[0] if isinstance(argnums, int | np.integer) else tuple(blocks)

        return rebuild([rows(output) for output in outputs])

    return compute


def _ones(output: Tensor) -> Any:
    """Yield arrays of the shape of `output`, zero but for one element, which is each of them in turn."""
    for index in np.ndindex(output.shape):
        one = np.zeros(output.shape, output.dtype)
        one[index] = 1.0
        yield one


def _stacked(parts: Sequence[Tensor], shape: tuple[int, ...], dtype: np.dtype) -> Tensor:
    return reshape(stack(list(parts)), shape) if parts else wrap(np.zeros(shape, dtype))
