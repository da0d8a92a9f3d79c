"""Plain data as operands: what makes a function of `ops` a public one."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, ParamSpec

from ..ops.joining import stack
from ..ops.primitive import LEVELS
from .creation import asarray

_P = ParamSpec("_P")


def public(function: Callable[_P, Any], *, several: bool = False) -> Callable[_P, Any]:
    """Return `function` with its first operand, of arrays or numbers, made a Tensor (a list of them if `several`)."""
    lift = _lift_each if several else _lift

    @functools.wraps(function)
    def call(*args: Any, **kwargs: Any) -> Any:
        if args:
            if args[0].__class__ not in LEVELS:
                args = (lift(args[0]), *args[1:])
        elif kwargs:
            first = next(iter(kwargs))
            kwargs = {**kwargs, first: lift(kwargs[first])}
        return function(*args, **kwargs)

    return call


def public_equation(function: Callable[..., Any]) -> Callable[..., Any]:
    """Return `function`, whose first argument is an equation, with all its operands made Tensors."""

    @functools.wraps(function)
    def call(equation: str, *operands: Any, **kwargs: Any) -> Any:
        return function(equation, *map(_lift, operands), **kwargs)

    return call


def _lift(operand: Any) -> Any:
    if operand.__class__ in LEVELS:
        return operand
    if isinstance(operand, list | tuple) and _holds_tensors(operand):
        return stack([_lift(item) for item in operand])
    return asarray(operand)


def _lift_each(operands: Any) -> Any:
    return [_lift(operand) for operand in operands] if isinstance(operands, list | tuple) else _lift(operands)


def _holds_tensors(operand: Any) -> bool:
    return isinstance(operand, list | tuple) and any(x.__class__ in LEVELS or _holds_tensors(x) for x in operand)
