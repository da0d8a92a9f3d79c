"""Plain data as operands: what makes a function of `ops` a public one."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, ParamSpec

import numpy as np

from .creation import asarray
from .primitive import LEVELS

_P = ParamSpec("_P")
_PLAIN = (list, tuple, int, float, np.generic)


def public(function: Callable[_P, Any]) -> Callable[_P, Any]:
    """Return `function` with its first operand made a Tensor: an array, numbers, or a list of tensors and arrays."""

    @functools.wraps(function)
    def call(*args: Any, **kwargs: Any) -> Any:
        if args:
            if args[0].__class__ not in LEVELS:
                args = (_lift(args[0]), *args[1:])
        elif kwargs:
            first = next(iter(kwargs))
            kwargs = {**kwargs, first: _lift(kwargs[first])}
        return function(*args, **kwargs)

    return call


def _lift(operand: Any) -> Any:
    if isinstance(operand, list | tuple) and not all(isinstance(x, _PLAIN) for x in operand):
        return [x if x.__class__ in LEVELS else asarray(x) for x in operand]
    return operand if operand is None else asarray(operand)
