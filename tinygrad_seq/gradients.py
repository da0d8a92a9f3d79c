"""Gradients of functions: `grad`, `value_and_grad`, `vjp`, `jvp`, `hvp`.

Each differentiates ``f(*args)`` with respect to the arguments named by position and leaves every ``.grad`` alone. All
results are Tensors that can be differentiated again.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from .conversion import to_array
from .errors import ArgumentError, DtypeError, GraphError, ShapeError
from .modes import enable_grad, mode
from .ops.casting import alias
from .primitive import Array
from .tensor import Tensor, pull_back, wrap
from .tree import flatten, map_leaves


def grad(
    f: Callable[..., Any],
    argnums: int | Sequence[int] = 0,
    *,
    has_aux: bool = False,
    create_graph: bool | None = None,
) -> Callable[..., Any]:
    """Return a function that computes the gradient of the scalar function `f` and takes the same arguments.

    Parameters
    ----------
    f
        Returns a scalar Tensor; its arguments are Tensors, arrays, or nested tuples, lists and dicts of them.
    argnums
        The position of the argument to differentiate with respect to, or several.
    has_aux
        Whether `f` returns a pair of the scalar and anything else, which is then returned beside the gradient.
    create_graph
        Whether the result can itself be differentiated; by default, if an argument already requires grad.

    Returns
    -------
    callable
        Its result has the structure and shapes of the argument (a tuple of them for several); with `has_aux` it is
        ``(gradient, aux)``.

    Raises
    ------
    GraphError
        If `f` does not return a scalar.
    ArgumentError
        If `f` is no function, or `argnums` does not name positional arguments, each once.

    Examples
    --------
    >>> import tinygrad_seq as ts
    >>> ts.grad(lambda x: x**3)(2.0)
    tensor(12.)
    >>> ts.grad(ts.grad(lambda x: x**3))(2.0)
    tensor(12.)
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
    """Return a function that computes ``(f(*args), gradient)``, or ``((value, aux), gradient)``; see `grad`.

    Examples
    --------
    >>> import tinygrad_seq as ts
    >>> ts.value_and_grad(lambda x: (x * x).sum())(ts.tensor([1.0, 2.0]))
    (tensor(5.), tensor([2., 4.]))
    """
    if not callable(f):
        raise ArgumentError(
            f"grad: expected a function, got {type(f).__name__}; pass the function that computes the loss, or call "
            "loss.backward() and read x.grad."
        )
    positions = (argnums,) if isinstance(argnums, int) else tuple(argnums)

    @functools.wraps(f)
    def compute(*args: Any, **kwargs: Any) -> tuple[Any, Any]:
        for position in positions:
            if not -len(args) <= position < len(args):
                raise ArgumentError(
                    f"grad: expected argnums within the {len(args)} positional arguments, got {position}; "
                    "pass the argument by position."
                )
        if len({position % len(args) for position in positions}) < len(positions):
            raise ArgumentError(f"grad: expected each argument once in argnums, got {argnums}; drop the repeated one.")
        chosen = [args[position] for position in positions]
        inputs = _Inputs("grad", chosen, create_graph)
        arguments = list(args)
        for position, value in zip(positions, inputs.tree, strict=True):
            arguments[position] = value
        with enable_grad():
            result = f(*arguments, **kwargs)
        value, aux = result if has_aux else (result, None)
        inputs.refuse_unless_scalar(value)
        gradients = inputs.pull_back([value], [None])
        found = gradients[0] if isinstance(argnums, int) else tuple(gradients)
        value = inputs.released(value)
        return (value, map_leaves(inputs.released, aux)) if has_aux else value, found

    return compute


def vjp(f: Callable[..., Any], *primals: Any) -> tuple[Any, Callable[[Any], tuple[Any, ...]]]:
    """Return ``f(*primals)`` and a function from cotangents of the result to a tuple of gradients of the primals.

    Examples
    --------
    >>> import tinygrad_seq as ts
    >>> y, pull = ts.vjp(lambda x: x * x, ts.tensor([1.0, 2.0]))
    >>> pull(ts.tensor([1.0, 10.0]))
    (tensor([ 2., 40.]),)
    """
    inputs = _Inputs("vjp", list(primals), None)
    with enable_grad():
        value = f(*inputs.tree)
    outputs, rebuild = flatten(value)
    for output in outputs:
        _expect_tensor("vjp", output)

    def pull(cotangents: Any) -> tuple[Any, ...]:
        given, _ = flatten(cotangents)
        if len(given) != len(outputs):
            raise ShapeError(
                f"vjp: expected {len(outputs)} cotangents, one per result, got {len(given)}; "
                "pass them in the structure of the result."
            )
        return tuple(inputs.pull_back(outputs, given, keep=True))

    return rebuild([inputs.released(output) for output in outputs]), pull


def jvp(f: Callable[..., Any], primals: Any, tangents: Any) -> tuple[Any, Any]:
    """Return ``f(*primals)`` and its directional derivative along `tangents`.

    `primals` is a tuple or list of arguments, or the only argument by itself; `tangents` has the same structure.

    The pull-back is linear in its cotangent, so its own pull-back pushes tangents forward: no second set of rules.

    Examples
    --------
    >>> import tinygrad_seq as ts
    >>> ts.jvp(lambda x: x * x, (ts.tensor([1.0, 2.0]),), (ts.tensor([1.0, 0.5]),))
    (tensor([1., 4.]), tensor([2., 2.]))
    """
    inputs = _Inputs("jvp", _arguments(primals), None)
    directions = inputs.matching(_arguments(tangents))
    with enable_grad():
        value = f(*inputs.tree)
        outputs, rebuild = flatten(value)
        for output in outputs:
            _expect_tensor("jvp", output)
        weights = [wrap(np.zeros(output.shape, output.dtype), output.requires_grad) for output in outputs]
        live = [(output, weight) for output, weight in zip(outputs, weights, strict=True) if output.requires_grad]
        pulled = pull_back(
            [output for output, _ in live],
            [weight for _, weight in live],
            only=inputs.leaves,
            keep=True,
            differentiable=True,
        )
        reached = [(pulled[leaf], d) for leaf, d in zip(inputs.leaves, directions, strict=True) if leaf in pulled]
        reached = [(gradient, direction) for gradient, direction in reached if gradient.requires_grad]
        pushed = pull_back(
            [gradient for gradient, _ in reached],
            [direction for _, direction in reached],
            only=weights,
            keep=inputs.differentiable,
            differentiable=inputs.differentiable,
        )
    results = [pushed.get(weight, wrap(np.zeros(weight.shape, weight.dtype))) for weight in weights]
    return rebuild([inputs.released(output) for output in outputs]), rebuild(results)


def hvp(f: Callable[..., Tensor], primals: Any, tangents: Any) -> Any:
    """Return the product of the Hessian of the scalar function `f` at `primals` with `tangents`.

    `primals` is a tuple or list of arguments, or the only argument by itself; `tangents` has the same structure.

    Returns
    -------
    tuple
        One product per primal, with the primal's structure and shapes; no tuple for an only primal by itself.

    Examples
    --------
    >>> import tinygrad_seq as ts
    >>> ts.hvp(lambda x: (x**3).sum(), (ts.tensor([1.0, 2.0]),), (ts.tensor([1.0, 1.0]),))
    (tensor([ 6., 12.]),)
    """
    inputs = _Inputs("hvp", _arguments(primals), None)
    directions = inputs.matching(_arguments(tangents))
    with enable_grad():
        value = f(*inputs.tree)
    inputs.refuse_unless_scalar(value)
    live = [value] if value.requires_grad else []
    first = pull_back(live, [None] * len(live), only=inputs.leaves, keep=True, differentiable=True)
    reached = [(first[leaf], d) for leaf, d in zip(inputs.leaves, directions, strict=True) if leaf in first]
    reached = [(gradient, direction) for gradient, direction in reached if gradient.requires_grad]
    products = inputs.pull_back([gradient for gradient, _ in reached], [direction for _, direction in reached])
    return tuple(products) if isinstance(primals, tuple | list) else products[0]


def _arguments(values: Any) -> list[Any]:
    return list(values) if isinstance(values, tuple | list) else [values]


class _Inputs:
    """The arguments to differentiate with respect to: fresh names for their values, so that nothing else counts.

    Attributes
    ----------
    leaves
        The new Tensors, flat.
    tree
        The same in the structure of the arguments.
    differentiable
        Whether results keep their graph.
    """

    def __init__(self, caller: str, arguments: list[Any], create_graph: bool | None) -> None:
        self.caller = caller
        values, self.rebuild = flatten(arguments)
        given = [value if isinstance(value, Tensor) else _from_user(caller, value) for value in values]
        outside = any(value.requires_grad for value in given)
        self.differentiable = mode.recording and outside if create_graph is None else create_graph
        with enable_grad():
            self.leaves = [
                alias(value) if value.requires_grad else wrap(value._frozen(), requires_grad=True) for value in given
            ]
        self.tree = self.rebuild(self.leaves)

    def matching(self, tangents: list[Any]) -> list[Tensor]:
        """Return `tangents` flat, checked against the inputs."""
        values, _ = flatten(tangents)
        found = [value if isinstance(value, Tensor) else _from_user(self.caller, value) for value in values]
        expected = [leaf.shape for leaf in self.leaves]
        if [value.shape for value in found] != expected:
            raise ShapeError(
                f"{self.caller}: expected tangents of the primals' shapes {expected}, got "
                f"{[value.shape for value in found]}; pass one tangent per primal."
            )
        return found

    def refuse_unless_scalar(self, value: Any) -> None:
        _expect_tensor(self.caller, value)
        if value.size != 1:
            raise GraphError(
                f"{self.caller}: expected a function that returns a scalar, got shape {value.shape}; "
                "reduce it with .sum() or .mean(), or use ts.vjp."
            )

    def pull_back(self, outputs: list[Tensor], cotangents: list[Any], keep: bool = False) -> list[Any]:
        """Return the gradients of `outputs` in the structure of the arguments, zeros where nothing arrives."""
        live = [(output, g) for output, g in zip(outputs, cotangents, strict=True) if output.requires_grad]
        arrived = pull_back(
            [output for output, _ in live],
            [cotangent for _, cotangent in live],
            only=self.leaves,
            keep=keep or self.differentiable,
            differentiable=self.differentiable,
        )
        return self.rebuild([  # type: ignore[no-any-return]
            arrived[leaf] if leaf in arrived else wrap(np.zeros(leaf.shape, leaf.dtype)) for leaf in self.leaves
        ])  # fmt: skip

    def released(self, value: Any) -> Any:
        """Return a result of `f`, cut off from the graph unless that is to be kept."""
        return value.detach() if isinstance(value, Tensor) and not self.differentiable else value


def _from_user(caller: str, value: Array) -> Tensor:
    array = to_array(caller, value)
    if array.dtype.kind != "f":
        raise DtypeError(
            f"{caller}: expected floating-point arguments, got {type(value).__name__} ({array.dtype}); "
            "cast it, or let the function close over it (in grad: leave it out of argnums)."
        )
    return wrap(array)


def _expect_tensor(caller: str, value: Any) -> None:
    if not isinstance(value, Tensor):
        raise ArgumentError(
            f"{caller}: expected a function that returns Tensors, got {type(value).__name__}; "
            "compute with tinygrad_seq functions and return their result."
        )
