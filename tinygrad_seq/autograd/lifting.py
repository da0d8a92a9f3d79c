"""Plain data as operands: what makes a function of `ops` a public one."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import numpy as np

from ..errors import ArgumentError, TinygradSeqError
from ..ops.joining import stack
from ..ops.primitive import LEVELS, Primitive
from ..ops.public import PUBLIC, Public, in_name, public_signature
from ..ops.spelling import FIRST
from .creation import as_tensor


@functools.cache
def public_functions() -> dict[str, Callable[..., Any]]:
    """Return the public functions by name. The function of an alias differs in the name that its errors begin with."""
    return {name: _public(name, operation) for name, operation in PUBLIC.items()}


def _public(caller: str, operation: Public) -> Callable[..., Any]:
    """Return the function of `operation` that takes plain data too; its errors begin with `caller`."""
    function, spelled = operation.function, operation.spelled[caller]
    alias = caller != function.__name__
    scalars = isinstance(function, Primitive) and len(function.rules) > 1
    lift = _lift_each if operation.operands == "each" else _lift
    name = "" if isinstance(function, Primitive) else getattr(function, "__wrapped__", function).__code__.co_varnames[0]

    def lift_first(*args: Any, **kwargs: Any) -> Any:
        if args:
            if args[0].__class__ not in LEVELS and not (scalars and _is_weak(args)):
                args = (lift(caller, args[0]), *args[1:])
        else:
            given = name if name in kwargs else next((key for key in FIRST if key in kwargs), None)
            if given is not None:
                kwargs = {**kwargs, given: lift(caller, kwargs[given])}
        try:
            return spelled(*args, **kwargs)
        except TinygradSeqError as error:
            if not alias:
                raise
            raise in_name(error, caller) from error.__cause__

    plain = {"rest": 1, "all": 0}.get(operation.operands, 0)  # how many of the first arguments are no arrays

    def lift_rest(*args: Any, **kwargs: Any) -> Any:
        return spelled(*args[:plain], *[_lift(caller, operand) for operand in args[plain:]], **kwargs)

    call = functools.wraps(function)(lift_rest if operation.operands in ("rest", "all") else lift_first)
    call.__module__ = "tinygrad_seq"
    call.__wrapped__ = _Signature(function)
    return call


class _Signature:
    """Stand where `inspect.signature` looks for the signature of a public function, which is made on demand."""

    def __init__(self, function: Callable[..., Any]) -> None:
        self.__wrapped__ = function

    @property
    def __signature__(self) -> inspect.Signature:
        return public_signature(self.__wrapped__)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:  # what has a signature is callable
        return self.__wrapped__(*args, **kwargs)


def _lift(caller: str, operand: Any) -> Any:
    if operand.__class__ in LEVELS:
        return operand
    if isinstance(operand, list | tuple) and _holds_tensors(operand):
        return stack([_lift(caller, item) for item in operand])
    return as_tensor(caller, operand)


def _is_weak(operands: tuple[Any, ...]) -> bool:
    """Return whether the first operand is a Python number, which never changes a dtype, beside an array."""
    return operands[0].__class__ in (float, int, bool) and any(x.__class__ in LEVELS for x in operands[1:])


def _lift_each(caller: str, operands: Any) -> Any:
    if operands.__class__ is not list and operands.__class__ is not tuple:
        if isinstance(operands, np.ndarray):
            return as_tensor(caller, operands)
        if not isinstance(operands, Iterable) or isinstance(operands, str | Mapping):
            raise ArgumentError(
                f"{caller}: expected an iterable of arrays, got {type(operands).__name__}; pass a list or tuple of "
                "them, or the values() of a dict."
            )
    return [operand if operand.__class__ in LEVELS else _lift(caller, operand) for operand in operands]


def _holds_tensors(operand: Any) -> bool:
    return isinstance(operand, list | tuple) and any(x.__class__ in LEVELS or _holds_tensors(x) for x in operand)
