"""PyTorch's spellings of public operations: one table of keywords, and what to do where its meaning is another one.

The keyword says whose meaning is asked for: ``axis=`` and ``keepdims=`` are NumPy's and the array API's, ``dim=`` and
``keepdim=`` PyTorch's. Where the two differ, and nothing in a call says which is meant, it is an error.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from typing import Any, Generic, NamedTuple, TypeVar

import numpy as np

from ..errors import ArgumentError

# PyTorch's name of a parameter, and the names that it may have here: the first one that the function has.
PYTORCH: dict[str, tuple[str, ...]] = {
    "dim": ("axis",),
    "dims": ("axis", "axes"),
    "keepdim": ("keepdims",),
    "dim0": ("axis1",),
    "dim1": ("axis2", "axis1"),
    "dim2": ("axis2",),
    "axis0": ("axis1",),
    "start_dim": ("start_axis",),
    "end_dim": ("end_axis",),
    "index": ("indices",),
    "src": ("source",),
    "p": ("ord",),
    "diagonal": ("k",),
    "shifts": ("shift",),
    "size": ("shape",),
    "sizes": ("shape",),
    "dim_size": ("size",),
    "tensor": ("source",),
    "unbiased": ("correction",),
    "pad": ("pad_width",),
    "end": ("stop",),
    "steps": ("num",),
    "n": ("rows",),
    "m": ("columns",),
    "split_size": ("indices_or_sections",),
    "split_size_or_sections": ("indices_or_sections",),
    "other": ("b",),
    "mat2": ("b",),
    "vec2": ("b",),
    "target": ("targets",),
    "threshold": ("limit",),
}
# NumPy's names that are not those of the array API.
NUMPY: dict[str, str] = {"ddof": "correction", "constant_values": "value"}
# What names the first operand.
FIRST = ("input", "tensors", "self", "a", "x")


def _is_integer(value: Any) -> bool:
    return value.__class__ is int or isinstance(value, np.integer)


class Meaning(NamedTuple):
    """What PyTorch means by an operation where NumPy means something else.

    Attributes
    ----------
    function
        Is called, with the names of parameters that we have, if a keyword of PyTorch's is given.
    unclear
        ``unclear(args, kwargs)`` returns whether a call without one leaves open which is meant.
    write
        The two calls to write, for the error.
    """

    function: Callable[..., Any]
    unclear: Callable[[tuple[Any, ...], dict[str, Any]], bool] | None = None
    write: str = ""


class Several(tuple[int, ...]):
    """A tuple that was given as several integers: ``x.transpose(0, 1)``, not ``x.transpose((0, 1))``."""

    __slots__ = ()


A = TypeVar("A")


class Extremes(NamedTuple, Generic[A]):
    """Elements and where they were found, as PyTorch's ``max``, ``sort``, ``topk`` and others return them."""

    values: A
    indices: A


def without(*keywords: str) -> Callable[[tuple[Any, ...], dict[str, Any]], bool]:
    """Return a rule by which calls without any of these keywords are unclear."""
    return lambda _args, kwargs: not any(keyword in kwargs for keyword in keywords)


def pair_of(name: str, function: Callable[..., Extremes[Any]], call: str, meant: str, always: bool = False) -> Meaning:
    """Return the meaning of an operation that gives values with NumPy, and values with indices with PyTorch.

    It is unclear which is meant where the axis is given by position, or with `always` where it is not given either.
    """
    write = f"{name}({call}axis=-1) for {meant} (NumPy), or {name}({call}dim=-1) for (values, indices) (PyTorch)"
    return Meaning(function, without("axis") if always else positional_axis, write)


def positional_axis(args: tuple[Any, ...], _kwargs: dict[str, Any]) -> bool:
    """Return whether the second argument is given, by its position, and is an integer."""
    return len(args) > 1 and _is_integer(args[1])


def spelled(function: Any, name: str, pytorch: Meaning | None = None, spread: bool = False) -> Any:
    """Return `function` for users: it takes PyTorch's keywords too, and refuses calls that may mean two things.

    Parameters
    ----------
    function
        A function of `ops`; the row of an operation has no options and is returned as it is.
    name
        What errors begin with.
    pytorch
        PyTorch's meaning, None where it is the same.
    spread
        Whether a tuple as the second argument may be given as several integers.
    """
    known = frozenset(inspect.signature(function).parameters)
    theirs, unclear = (None, None) if pytorch is None else (pytorch.function, pytorch.unclear)

    @functools.wraps(function)
    def call(*args: Any, **kwargs: Any) -> Any:
        chosen = function
        if spread and len(args) > 2 and _is_integer(args[1]) and args[-1].__class__ is not bool:
            args = (args[0], Several(args[1:]))
        if kwargs and not known.issuperset(kwargs):
            if theirs is not None and not known.union(NUMPY, FIRST).issuperset(kwargs):
                chosen = theirs
            kwargs = translated(chosen, name, args, kwargs)
            if "dtype" in kwargs and "dtype" not in known:  # the sum, softmax ... of values in another dtype
                dtype = kwargs.pop("dtype")
                args = (args[0] if dtype is None else args[0].astype(dtype), *args[1:])
        if chosen is function and unclear is not None and unclear(args, kwargs):
            raise ArgumentError(
                f"{name}: expected a call that says whether NumPy's or PyTorch's meaning is wanted, got "
                f"{_shown(args, kwargs)}; write {pytorch.write}."  # type: ignore[union-attr]
            )
        try:
            return chosen(*args, **kwargs)
        except TypeError as error:
            raise misfit(chosen, name, args, kwargs, error) from None

    return call


F = TypeVar("F", bound=Callable[..., Any])


def keywords(function: F) -> F:
    """Let a function that is not in the table of operations take PyTorch's keywords too."""
    return spelled(function, function.__name__)  # type: ignore[no-any-return]


def translated(function: Any, name: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> dict[str, Any]:
    """Return `kwargs` under the names that `function` has."""
    known = inspect.signature(function).parameters
    found: dict[str, Any] = {}
    for keyword, value in kwargs.items():
        ours = keyword
        if keyword not in known:
            if keyword in PYTORCH:
                ours = next((one for one in PYTORCH[keyword] if one in known and one not in found), keyword)
            elif keyword in NUMPY:
                ours = NUMPY[keyword]
            elif keyword in FIRST and not args:
                ours = next(iter(known))
            if ours not in known:
                if keyword == "dtype" and args and known.keys() & {"axis"}:
                    found[keyword] = value
                    continue
                raise ArgumentError(
                    f"{name}: expected the parameters {signature_text(function)}, got {keyword}=; leave it out, or "
                    "compute it by another operation."
                )
        if ours in found or (ours in kwargs and ours != keyword):
            raise ArgumentError(f"{name}: expected one of {ours}= and {keyword}=, got both; drop one of them.")
        found[ours] = value
    return found


def misfit(function: Any, name: str, args: tuple[Any, ...], kwargs: dict[str, Any], error: TypeError) -> Exception:
    """Return the error of a call whose arguments do not fit the parameters, any other `error` unchanged."""
    try:
        inspect.signature(function).bind(*args, **kwargs)
    except TypeError as reason:
        return ArgumentError(
            f"{name}: expected the parameters {signature_text(function)}, got {_shown(args, kwargs)} ({reason}); give "
            "the options by name."
        )
    return error


def signature_text(function: Any) -> str:
    """Return the parameters of `function` without their types: ``(x, axis=None, keepdims=False)``."""
    found = inspect.signature(function)
    parameters = [p.replace(annotation=inspect.Parameter.empty) for p in found.parameters.values()]
    return str(found.replace(parameters=parameters, return_annotation=inspect.Signature.empty))


def _shown(args: tuple[Any, ...], kwargs: dict[str, Any]) -> str:
    """Return the arguments after the first one, arrays by their shape: ``(1, dim=0)``."""
    rest = [_one(value) for value in args[1:]] + [f"{key}={_one(value)}" for key, value in kwargs.items()]
    return f"({', '.join(['...', *rest])})"


def _one(value: Any) -> str:
    return f"<{value.shape} {value.dtype}>" if hasattr(value, "dtype") and hasattr(value, "shape") else repr(value)
