"""`custom_gradient`: a function with a user-defined gradient rule."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from ...base.modes import mode
from ...base.tree import Tree, describe, flatten, map_leaves, same_structure
from ...errors import ArgumentError, GraphError, ShapeError
from ...ops.primitive import Array, Like, Primitive
from ..creation import asarray
from ..tape import next_number, survey
from ..tensor import Tensor, record, source_of, wrap
from .level import refuse_traced, renamed


def custom_gradient(f: Callable[..., tuple[Any, Callable[[Any], Any]]]) -> Callable[..., Any]:
    """Return a function with the values of `f` and the gradient rule that `f` provides; usable as a decorator.

    Higher-order gradients differentiate the rule itself: with respect to the arguments, through the values that `f`
    computed from them, and with respect to any other tensor that the rule reads and that requires grad. Every enclosing
    differentiation uses the rule. `gradcheck` compares it with finite differences.

    Parameters
    ----------
    f
        ``f(*args) -> (value, pull_back)``. `value` is a Tensor or nested tuples, lists and dicts of them.
        ``pull_back(g)`` takes a cotangent with the structure and shapes of `value` and returns one gradient per
        positional argument: a tuple, or the bare gradient if there is one argument. Each has the structure and shapes
        of its argument, or is None for zero. Gradients of arguments that are not floating-point Tensors are ignored.
        Keyword arguments have no gradient.

    Returns
    -------
    callable
        ``f(*args)``, which returns `value`. Inside a scan it runs step by step where gradients are recorded; a
        compiled scan refuses it.

    Raises
    ------
    ArgumentError
        If `f` does not return a value and a function. In the backward pass, if the number or structure of the
        gradients differs from the arguments.
    ShapeError
        In the backward pass, if a gradient does not have the shape of its argument.
    GraphError
        If `value` depends on a tensor that requires grad and is not an argument: its gradient would be lost.
    CompileError
        On values of a scan step that is being compiled.

    Examples
    --------
    >>> import tinygrad_seq as ts
    >>> @ts.custom_gradient
    ... def clipped(x):  # the identity, with its gradient clipped to [-1, 1]
    ...     return x, lambda g: ts.clip(g, -1.0, 1.0)
    >>> ts.grad(lambda x: (5.0 * clipped(x)).sum())(ts.tensor([1.0, 2.0]))
    tensor([1., 1.])
    """
    name = getattr(f, "__name__", type(f).__name__)

    @functools.wraps(f)
    def call(*args: Any, **kwargs: Any) -> Any:
        leaves, rebuild = flatten(args)
        if not mode.recording:
            return _pair(name, f(*args, **kwargs))[0]
        for leaf in leaves:
            refuse_traced("custom_gradient", leaf)
        since = next_number()
        names = [renamed(x) if isinstance(x, Tensor) and x._requires_grad else x for x in leaves]
        value, rule = _pair(name, f(*rebuild(names), **kwargs))
        results, rebuild_value = flatten(value)
        for result in results:
            refuse_traced("custom_gradient", result)
        results = list(map(asarray, results))
        own = {source_of(x) for x, leaf in zip(names, leaves, strict=True) if x is not leaf}
        _refuse_closures(name, survey([source_of(x) for x in results if x._requires_grad], since, own)[1])
        values = [result.detach() for result in results]
        params = {"rule": _Rule(name, rule, args, rebuild_value, len(values))}
        operands = (*values, *filter(_is_floating, leaves))
        return rebuild_value(record(_custom, operands, params)) if own else rebuild_value(values)

    return call


def _pair(name: str, result: Any) -> tuple[Any, Callable[[Any], Any]]:
    if isinstance(result, tuple) and len(result) == 2 and callable(result[1]):
        return result
    raise ArgumentError(
        f"custom_gradient: expected {name!r} to return a value and its pull-back, got {describe(result)}; "
        "return e.g. x * x, lambda g: 2.0 * g * x."
    )


def _refuse_closures(name: str, outside: set[Any]) -> None:
    for source in outside:
        raise GraphError(
            f"custom_gradient: expected the value of {name!r} to depend on its arguments alone, got one that depends "
            f"on another tensor that requires grad, of shape {source.shape}, whose gradient would be lost; pass that "
            "as an argument, or detach it."
        )


class _Rule:
    """The pull-back of one call."""

    def __init__(
        self, name: str, rule: Callable[[Any], Any], args: Tree, rebuild: Callable[[Sequence[Any]], Any], count: int
    ) -> None:
        self.count = count
        self._name, self._rule, self._rebuild = name, rule, rebuild
        self._places = [map_leaves(lambda _: True, arg) for arg in args]
        self._likes = [[Like(x) if _is_floating(x) else None for x in flatten(arg)[0]] for arg in args]

    def __call__(self, cotangents: Sequence[Array]) -> list[Array]:
        """Return the gradients of the floating-point arguments: Tensors if any cotangent is one, else ndarrays."""
        found = self._rule(self._rebuild(list(map(asarray, cotangents))))
        if len(self._likes) == 1 and not (isinstance(found, tuple) and len(found) == 1):
            found = (found,)
        if not isinstance(found, tuple | list) or len(found) != len(self._likes):
            raise ArgumentError(
                f"custom_gradient: expected the pull-back of {self._name!r} to return a tuple of {len(self._likes)} "
                f"gradients, one per positional argument, got {describe(found)}; return None where there is none."
            )
        parts: list[Tensor] = []
        for position, (gradient, likes) in enumerate(zip(found, self._likes, strict=True)):
            leaves = [None] * len(likes) if gradient is None else flatten(gradient)[0]
            fits = len(leaves) == len(likes) and (
                len(likes) == 1 or gradient is None or same_structure(gradient, self._places[position])
            )
            if not fits and any(likes):
                raise ArgumentError(
                    f"custom_gradient: expected the gradient of argument {position} of {self._name!r} to have its "
                    f"structure, with {len(likes)} arrays, got {describe(gradient)}; return one gradient per array."
                )
            parts += [self._fitting(g, like, position) for g, like in zip(leaves, likes, strict=False) if like]
        return parts if any(isinstance(g, Tensor) for g in cotangents) else [part._frozen() for part in parts]

    def _fitting(self, gradient: Any, like: Like, position: int) -> Tensor:
        if gradient is None:
            return wrap(np.zeros(like.shape, like.dtype))
        part = gradient if isinstance(gradient, Tensor) else wrap(np.array(gradient, like.dtype))
        if part.shape != like.shape:
            raise ShapeError(
                f"custom_gradient: expected the gradient of argument {position} of {self._name!r} to have its shape "
                f"{like.shape}, got {part.shape} {part.dtype}; sum over the axes that were broadcast."
            )
        return part


def _is_floating(x: Any) -> bool:
    return isinstance(x, Tensor) and x.dtype.kind == "f"


# Returns its first operands, which are already computed; gradients flow to the others.
_custom = Primitive(
    "custom_gradient",
    lambda *operands, rule: operands[: rule.count],
    lambda gs, _y, *_xs, rule: [*[None] * rule.count, *rule(gs)],
    multiple=True,
)
_custom.opaque = True
