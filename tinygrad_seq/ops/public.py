"""The operations that users see, by name: where `functional`, the methods of Tensor and the type stubs come from."""

from __future__ import annotations

import functools
import inspect
import re
from collections.abc import Callable
from types import FunctionType
from typing import Any, TypeVar

from ..errors import ArgumentError, DtypeError, ShapeError, TinygradSeqError
from .spelling import Meaning, spelled

F = TypeVar("F", bound=Callable[..., Any])

_ARRAY = re.compile(r"\bArray\b")

# Every public operation, under its name and under each of its aliases.
PUBLIC: dict[str, Public] = {}


class Public:
    """Make an operation public: an argument of its row, or a decorator of a function built on rows.

    Parameters
    ----------
    *aliases
        More names, such as those of NumPy and PyTorch.
    method
        Whether it is also a method of arrays, the array being the first operand.
    operator
        The Python operator that it is, as in ``"add"`` for ``__add__`` and ``__radd__``.
    operands
        Which arguments of the public function may be plain data besides arrays: the ``"first"`` one (the others may be
        in any case), ``"each"`` item of the first one, the ``"rest"`` after the first one, or ``"all"``.
    example
        Of a row: the arguments of a call and the values of its result, as in ``"[4.0, 9.0] -> [2., 3.]"``.
    pytorch
        What PyTorch means by the name, where NumPy means something else.
    spread
        Whether a tuple as the second argument may be given as several integers.

    Attributes
    ----------
    function
        The function as the package calls it.
    spelled
        By name and alias: the function as users call it, which takes PyTorch's spellings too.
    """

    __slots__ = ("aliases", "example", "function", "method", "operands", "operator", "pytorch", "spelled", "spread")

    def __init__(
        self,
        *aliases: str,
        method: bool = True,
        operator: str = "",
        operands: str = "first",
        example: str = "",
        pytorch: Meaning | None = None,
        spread: bool = False,
    ) -> None:
        self.aliases = aliases
        self.method = method
        self.operator = operator
        self.operands = operands
        self.example = example
        self.pytorch = pytorch
        self.spread = spread
        self.function: Any = None
        self.spelled: dict[str, Any] = {}

    def __call__(self, function: F) -> F:
        self.function = function
        if self.example:
            function.__doc__ = document(function, self.example)
        own = function.__name__
        call = spelled(function, own, None, self.spread) if isinstance(function, FunctionType) else function
        for name in (own, *self.aliases):
            PUBLIC[name] = self
            self.spelled[name] = call
        if self.pytorch is not None:  # an alias is one library's own name, and has its meaning
            self.spelled[own] = spelled(function, own, self.pytorch, self.spread)
        return function


_DOCUMENT = """{summary}

    Parameters
    ----------
    {names} : array_like
        {operands}

    Returns
    -------
    Tensor
        {result}

    Examples
    --------
    >>> import tinygrad_seq as ts
    >>> ts.{name}({arguments})
    tensor({value})
    """


def named(function: F) -> F:
    """Return `function` with the errors of the operations that it calls raised in its own name."""

    @functools.wraps(function)
    def call(*args: Any, **kwargs: Any) -> Any:
        try:
            return function(*args, **kwargs)
        except TinygradSeqError as error:
            raise in_name(error, function.__name__) from error.__cause__

    return call  # type: ignore[return-value]


def in_name(error: TinygradSeqError, name: str) -> TinygradSeqError:
    """Return an error of arguments with `name` in place of the name that it begins with, any other error unchanged."""
    if type(error) not in (ArgumentError, DtypeError, ShapeError):
        return error
    _, colon, text = str(error).partition(":")
    return type(error)(f"{name}{colon}{text}")


def document(row: Any, example: str) -> str:
    """Return the numpydoc text of a row that works element by element, from its first sentence and its forward."""
    names = operand_names(row.rules)
    types = set(getattr(row.forward, "types", ()))  # of a ufunc: "l->l" takes int64, "d->?" gives booleans
    if types & {"d->?", "dd->?"}:
        dtype = "bool"
    elif types and not types & {"l->l", "ll->l"}:
        dtype = "floating-point; integers become the default dtype"
    else:
        dtype = "of its dtype" if len(names) == 1 else "of the promoted dtype"
    numbers = "Integers or booleans" if types and not types & {"d->d", "dd->d", "d->?", "dd->?"} else "Numbers"
    arguments, _, value = example.partition(" -> ")
    return _DOCUMENT.format(
        summary=row.__doc__.replace(". ", ".\n\n    ", 1),
        names=", ".join(names),
        operands=f"{numbers} of any shape." if len(names) == 1 else f"{numbers} whose shapes broadcast.",
        result=f"Of the shape of `x`, {dtype}." if len(names) == 1 else f"Of the broadcast shape, {dtype}.",
        name=row.name,
        arguments=arguments,
        value=value,
    )


def public_signature(function: Callable[..., Any]) -> inspect.Signature:
    """Return the signature of a function of `ops` for users: operands are ``ArrayLike``, results are Tensors."""
    found = inspect.signature(function)
    parameters = [
        p if p.name == "self" else p.replace(annotation=_ARRAY.sub("ArrayLike", p.annotation))
        for p in found.parameters.values()
    ]
    return inspect.Signature(parameters, return_annotation=_ARRAY.sub("Tensor", found.return_annotation))


def operand_names(rules: tuple[Callable[..., Any] | None, ...]) -> list[str]:
    """Return the names of the operands of a row, which its gradient rules have."""
    rule: Any = next(filter(None, rules), None)
    names = ("x",) if len(rules) == 1 else ("a", "b") if rule is None else rule.__code__.co_varnames[2 : 2 + len(rules)]
    return [name.strip("_").removesuffix("_like") for name in names]


def signature_of(rules: tuple[Callable[..., Any] | None, ...]) -> inspect.Signature:
    """Return the signature of the row with these gradient rules."""
    return inspect.Signature(
        [
            inspect.Parameter(name, inspect.Parameter.POSITIONAL_ONLY, annotation="Array")
            for name in operand_names(rules)
        ],
        return_annotation="Array",
    )
