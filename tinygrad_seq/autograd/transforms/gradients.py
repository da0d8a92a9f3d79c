"""Gradients of functions: `grad`, `value_and_grad`, `vjp`.

Each differentiates ``f(*args)`` with respect to some arguments; no ``.grad`` attribute changes.

**Nesting.** A result can itself be differentiated with respect to everything it depends on: an argument, a value that
the function closes over, a cotangent or tangent, a parameter that requires grad. So the transforms nest in any order
and to any depth, and a gradient penalty or a differentiated training step needs no option::

    ts.grad(lambda x: ts.grad(lambda y: x * y * y)(2.0))(3.0)  # d/dx (x * 2y) = 4

A result that depends on none of these is a constant, and its graph is freed. Under `no_grad` every result is a
constant: `no_grad` around a transform does not stop that transform, only the enclosing ones; inside the function it
makes constants, as usual. ``create_graph`` overrides the rule: False makes results constants, which saves the time and
memory of a recorded backward pass when parameters require grad; True records even under `no_grad`.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np

from ...base.tree import describe, flatten, map_leaves, same_structure
from ...errors import ArgumentError, ShapeError
from .level import Level, refuse_traced


def grad(
    f: Callable[..., Any],
    argnums: int | Sequence[int] = 0,
    *,
    has_aux: bool = False,
    create_graph: bool | None = None,
) -> Callable[..., Any]:
    """Return a function that takes the arguments of the scalar function `f` and returns its gradient.

    Parameters
    ----------
    f
        Returns a scalar Tensor; its arguments are Tensors, arrays, or nested tuples, lists and dicts of them.
    argnums
        The position of the argument to differentiate with respect to, or several.
    has_aux
        Whether `f` returns a pair (scalar, aux); `aux` is then returned with the gradient.
    create_graph
        Whether value and gradient can be differentiated with respect to what they depend on, such as parameters that
        require grad. None: yes, if recording is on where the returned function is called.

    Returns
    -------
    callable
        Its result has the structure and shapes of the argument (a tuple for several arguments); with `has_aux` it is
        ``(gradient, aux)``.

    Raises
    ------
    GraphError
        If `f` does not return a scalar.
    ArgumentError
        If `f` is not a function, or `argnums` does not name distinct positional arguments.
    DtypeError
        If an argument is not floating-point.
    CompileError
        On values of a scan step that is being compiled; the scan then runs step by step, with a `CompileWarning`.

    Examples
    --------
    >>> import tinygrad_seq as ts
    >>> ts.grad(lambda x: x**3)(2.0)
    tensor(12.)
    >>> ts.grad(ts.grad(lambda x: x**3))(2.0)
    tensor(12.)
    >>> ts.grad(lambda x: ts.grad(lambda y: x * y**2)(2.0))(3.0)
    tensor(4.)
    """
    compute = value_and_grad(f, argnums, has_aux=has_aux, create_graph=create_graph)

    @functools.wraps(f)
    def gradient(*args: Any, **kwargs: Any) -> Any:
        value, found = compute(*args, **kwargs)
        return (found, value[1]) if has_aux else found

    return gradient


def value_and_grad(
    f: Callable[..., Any],
    argnums: int | Sequence[int] = 0,
    *,
    has_aux: bool = False,
    create_graph: bool | None = None,
) -> Callable[..., tuple[Any, Any]]:
    """Return a function that takes the arguments of the scalar function `f` and returns its value and gradient.

    Parameters
    ----------
    f, argnums, has_aux, create_graph
        As in `grad`.

    Returns
    -------
    callable
        Its result is ``(value, gradient)``; with `has_aux` it is ``((value, aux), gradient)``.

    Raises
    ------
    GraphError, ArgumentError, DtypeError, CompileError
        See `grad`.

    Examples
    --------
    >>> import tinygrad_seq as ts
    >>> ts.value_and_grad(lambda x: (x * x).sum())(ts.tensor([1.0, 2.0]))
    (tensor(5.), tensor([2., 4.]))
    """
    choose = chooser("grad", f, argnums)

    @functools.wraps(f)
    def compute(*args: Any, **kwargs: Any) -> tuple[Any, Any]:
        chosen, put_back = choose(args)
        level = Level("grad", chosen, create_graph)
        result = level.apply(f, *put_back(level.tree), **kwargs)
        if has_aux and not (isinstance(result, tuple) and len(result) == 2):
            raise ArgumentError(
                f"grad: expected a function that returns a pair (value, aux) for has_aux=True, got {describe(result)}; "
                "return both, or leave has_aux out."
            )
        value, aux = result if has_aux else (result, None)
        level.expect_scalar(value)
        gradients = level.rebuild(level.pull_back([value], [None]))
        found = gradients[0] if isinstance(argnums, int | np.integer) else tuple(gradients)
        value = level.released(value)
        return (value, map_leaves(level.released, aux)) if has_aux else value, found

    return compute


Chooser = Callable[[tuple[Any, ...]], tuple[list[Any], Callable[[Sequence[Any]], list[Any]]]]


def chooser(caller: str, f: Any, argnums: int | Sequence[int]) -> Chooser:
    """Return a function that splits positional arguments into those in `argnums` and a function to replace them.

    Raises
    ------
    ArgumentError
        If `f` is not a function; when called, if an argument does not exist or is named twice.
    """
    if not callable(f):
        raise ArgumentError(
            f"{caller}: expected a function, got {type(f).__name__}; pass the function that computes the loss, or call "
            "loss.backward() and read x.grad."
        )
    positions = tuple(argnums) if isinstance(argnums, Iterable) else (argnums,)
    if not all(isinstance(position, int | np.integer) for position in positions):
        raise ArgumentError(
            f"{caller}: expected argnums to be an integer or a tuple of integers, got {argnums!r}; pass e.g. (0, 1)."
        )

    def choose(args: tuple[Any, ...]) -> tuple[list[Any], Callable[[Sequence[Any]], list[Any]]]:
        for position in positions:
            if not -len(args) <= position < len(args):
                raise ArgumentError(
                    f"{caller}: expected argnums within the {len(args)} positional arguments, got {position}; "
                    "pass the argument by position."
                )
        if len({position % len(args) for position in positions}) < len(positions):
            raise ArgumentError(
                f"{caller}: expected each argument once in argnums, got {argnums}; drop the repeated one."
            )

        def put_back(values: Sequence[Any]) -> list[Any]:
            arguments = list(args)
            for position, value in zip(positions, values, strict=True):
                arguments[position] = value
            return arguments

        return [args[position] for position in positions], put_back

    return choose


def vjp(
    f: Callable[..., Any], *primals: Any, create_graph: bool | None = None
) -> tuple[Any, Callable[[Any], tuple[Any, ...]]]:
    """Return ``f(*primals)`` and its pull-back, which maps cotangents of the result to gradients of the primals.

    The pull-back can be called any number of times, at any later time, and inside another differentiation.

    Parameters
    ----------
    f
        Returns a Tensor or nested tuples, lists and dicts of them.
    primals
        Its arguments: floating-point arrays or nested tuples, lists and dicts of them.
    create_graph
        As in `grad`; None is resolved when the value is computed, and again at each call of the pull-back.

    Returns
    -------
    value
        ``f(*primals)``.
    pull_back : callable
        ``pull_back(cotangents)`` returns a tuple with one gradient per primal.

    Raises
    ------
    ShapeError
        If the cotangents given to the pull-back do not have the structure and shapes of the result (for a single array
        the structure does not matter).
    ArgumentError, DtypeError, CompileError
        See `grad`.

    Examples
    --------
    >>> import tinygrad_seq as ts
    >>> y, pull = ts.vjp(lambda x: x * x, ts.tensor([1.0, 2.0]))
    >>> pull(ts.tensor([1.0, 10.0]))
    (tensor([ 2., 40.]),)
    """
    level = Level("vjp", list(primals), create_graph)
    outputs, rebuild = flatten(level.apply(f))
    for output in outputs:
        level.expect_tensor(output)
    result = rebuild([level.released(output) for output in outputs])

    def pull(cotangents: Any) -> tuple[Any, ...]:
        given, _ = flatten(cotangents)
        if len(given) != len(outputs) or (len(given) > 1 and not same_structure(cotangents, result)):
            raise ShapeError(
                f"vjp: expected {len(outputs)} cotangents, one per result {describe(result)}, got "
                f"{describe(cotangents)}; pass them in the structure of the result."
            )
        for cotangent in given:
            refuse_traced("vjp", cotangent)
        return tuple(level.rebuild(level.pull_back(outputs, given, keep=True)))

    return result, pull
