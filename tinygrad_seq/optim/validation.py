"""Validation of an optimiser's arguments: its parameters, and one rule per option, checked before every step."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator
from numbers import Real
from typing import Any, NamedTuple

import numpy as np

from ..autograd.tensor import Tensor
from ..errors import ArgumentError


def list_parameters(caller: str, parameters: Iterable[Tensor] | Tensor) -> list[Tensor]:
    """Return the tensors of `parameters`; raise, in the name of `caller`, e.g. ``"Adam: "``, if it is used up.

    A variable ``parameters = model.parameters()`` that is passed twice yields nothing the second time.
    """
    if isinstance(parameters, Tensor):
        return [parameters]
    tensors = list(parameters)
    if not tensors and isinstance(parameters, Iterator):
        raise ArgumentError(
            f"{caller}expected parameters, got an iterator that has none left; an iterator can be used once, so pass "
            "list(model.parameters()), or call model.parameters() again."
        )
    for tensor in tensors:
        if not isinstance(tensor, Tensor):
            raise ArgumentError(
                f"{caller}expected tensors, got a {type(tensor).__name__}; pass e.g. model.parameters()."
            )
    return tensors


class Rule(NamedTuple):
    """The valid values of an option: a description, a predicate and an example."""

    expected: str
    accepts: Callable[[Any], bool]
    example: object


def is_finite(value: Any) -> bool:
    """Return whether `value` is a number that a finite float can hold."""
    largest: Any = sys.float_info.max  # integers compare exactly
    return isinstance(value, Real) and abs(value) <= largest


def shown(value: object) -> str:
    """Return `value` in one line of at most 200 characters."""
    text = " ".join(repr(value).split())
    return text if len(text) <= 200 else f"{text[:197]}..."


def _betas(value: Any) -> bool:
    return isinstance(value, tuple | list) and len(value) == 2 and all(is_finite(b) and 0 <= b < 1 for b in value)


def at_least_zero(example: float) -> Rule:
    """Return the rule of an option that must be a finite number >= 0."""
    return Rule("a finite number >= 0", lambda value: is_finite(value) and value >= 0, example)


FINITE = Rule("a finite number", is_finite, 0.0)
FLAG = Rule("True or False", lambda value: isinstance(value, bool | np.bool_), False)
FRACTION = Rule("a number in [0, 1]", lambda value: is_finite(value) and 0 <= value <= 1, 0.99)
BETAS = Rule("two numbers in [0, 1)", _betas, (0.9, 0.999))
