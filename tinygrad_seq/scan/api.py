"""`scan`: the loop over time."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, TypedDict, TypeVar, Unpack, overload

import numpy as np

from ..autograd.creation import zeros
from ..autograd.tensor import Tensor
from ..base.locks import compiling
from ..base.modes import mode, no_grad
from ..base.switches import Switch, current
from ..base.tree import Tree, flatten, map_leaves
from ..errors import ArgumentError, CompileError, ShapeError
from ..ops.joining import unstack
from .eager import StepFunction, own, unroll, warn_once
from .ir.leaves import name_of, named_leaves, stack_leaves
from .ir.trace import as_leaf, check_inner
from .locate import locate
from .run.segments import Remember, check_remember, run_of

if TYPE_CHECKING:
    from .program import Program


C = TypeVar("C")
X = TypeVar("X")
Y = TypeVar("Y")


class _ScanOptions(TypedDict, total=False):
    length: int | None
    reverse: bool
    compile: bool | None
    window: int | None
    remember: Remember


@overload
def scan(step: Callable[[C, X], tuple[C, Y]], init: C, xs: X, **options: Unpack[_ScanOptions]) -> tuple[C, Y]: ...
@overload
def scan(step: StepFunction, init: Tree, xs: Tree = None, **options: Unpack[_ScanOptions]) -> tuple[Tree, Tree]: ...


def scan(
    step: StepFunction,
    init: Tree,
    xs: Tree = None,
    *,
    length: int | None = None,
    reverse: bool = False,
    compile: bool | None = None,
    window: int | None = None,
    remember: Remember = "all",
) -> tuple[Tree, Tree]:
    """Return the last carry and the stacked outputs of a step that is applied along the first axis of `xs`.

    It computes what this loop does, and gradients flow through it (backpropagation through time)::

        carry, ys = init, []
        for x in xs:
            carry, y = step(carry, x)
            ys.append(y)
        return carry, ts.stack(ys)

        ┌────────────────────────────────────────────────────────────────────┐
        │ A scan step returns (carry, y); a cell returns (output, state).    │
        └────────────────────────────────────────────────────────────────────┘

    Parameters
    ----------
    step
        ``step(carry, x) -> (carry, y)``. The carry keeps its structure, shapes and dtypes; `y` may be None. Tensors
        that the step closes over, such as weights, receive gradients too.
    init
        The first carry: an array or nested tuples, lists or dicts of arrays.
    xs
        Inputs, an array of shape (T, ...) or nested tuples, lists or dicts of them; step t sees ``xs[t]``. None for
        no input.
    length
        T; only needed if `xs` is None.
    reverse
        Go from the last step to the first; ``ys[t]`` still belongs to ``xs[t]``.
    compile
        None: compile the step, forward and backward, into one loop each; a step that cannot be compiled runs step by
        step, with one `CompileWarning` that says why. True: raise that as an error. False: run the steps one by one,
        as inside `detect_anomaly` and `disable_compile`. A compiled step runs once, on values that have a shape and a
        dtype but no numbers; its side effects, such as printing or drawing from its own NumPy generator, happen once.
    window
        Truncated backpropagation: the carry is detached after every `window` steps, so no gradient crosses that border.
        With 1, the loss at step t reaches only step t. `init` itself is not detached.
    remember
        What the forward run saves for the backward run. ``"all"``: everything it reads. A number k: the carry after
        every k steps; the backward run rematerialises the k steps, segment by segment, at the cost of a second forward
        run. ``"sqrt"``: k is the square root of T, so memory besides inputs and outputs grows with the square root.
        The gradients are equal to the last bit. An eager scan always uses ``"all"``.

    Returns
    -------
    carry
        As `init`.
    ys
        The structure of `y`, each array of shape (T, ...). If T is 0, the step runs once on zeros, unrecorded, to find
        it.

    Raises
    ------
    ShapeError
        The arrays of `xs` differ in length or have none, or the carry or `y` changes shape.
    DtypeError
        The carry or `y` changes dtype.
    CompileError
        With ``compile=True``, the step cannot be compiled: it reads a value in Python (``if h.sum() > 0``), draws
        random numbers, takes a gradient inside (`grad`, `custom_gradient`, ...), or applies an operation that has no
        compiled form to a value that depends on the carry.
    ArgumentError
        The step does not return two values, or they change structure; or an option is outside its range.

    Examples
    --------
    >>> import tinygrad_seq as ts
    >>> xs = ts.tensor([1.0, 2.0, 3.0], requires_grad=True)
    >>> total, totals = ts.scan(lambda carry, x: (carry + x, carry + x), ts.tensor(0.0), xs)
    >>> totals.numpy()
    array([1., 3., 6.], dtype=float32)
    >>> totals.sum().backward()
    >>> xs.grad
    tensor([3., 2., 1.])
    """
    return run_scans([begin_scan(step, init, xs, length, reverse, compile, window, remember)])[0]


def run_scans(begun: Sequence[Any]) -> list[tuple[Tree, Tree]]:
    """Return the results of independent scans that were begun by `begin_scan`; those that can run side by side do."""
    calls = [one for one in begun if one.__class__ is not tuple]
    found = iter(_compiler().run_calls(calls) if calls else [])
    return [one if one.__class__ is tuple else next(found) for one in begun]


def begin_scan(
    step: StepFunction,
    init: Tree,
    xs: Tree = None,
    length: int | None = None,
    reverse: bool = False,
    compile: bool | None = None,
    window: int | None = None,
    remember: Remember = "all",
) -> Any:
    """Return a scan that is compiled and ready to run, a `Call`; the results of one that runs step by step."""
    _check_options(compile, window, remember)
    carry, (columns, rebuild) = map_leaves(as_leaf, init), flatten(xs)
    leaves = [as_leaf(column) for column in columns]
    time = _length(xs, leaves, length)
    if time == 0:
        with no_grad(), Switch(anomaly=False):
            x = rebuild([zeros(leaf.shape[1:], leaf.dtype) for leaf in leaves])
            _, (y,) = unroll(step, carry, [x])
        return carry, map_leaves(lambda leaf: zeros((0, *leaf.shape), leaf.dtype), y)
    if mode.tracing:
        recorder = current().recorder
        if recorder is not None and time > 1:
            return recorder.scan(step, carry, leaves, rebuild, time, reverse)
        check_inner(time)
    elif compile is not False and mode.compiling and not mode.anomaly:
        try:
            return _compiler().prepare(step, carry, leaves, rebuild, run_of(time, reverse, window, remember))
        except CompileError as error:
            if compile:
                raise
            warn_once(error, stacklevel=3)
    rows = zip(*[unstack(own(leaf)) for leaf in leaves], strict=True) if leaves else [()] * time
    inputs = [rebuild(row) for row in rows]
    if mode.anomaly:
        step, inputs = locate(step), [*enumerate(inputs)]
    carry, ys = unroll(step, carry, reversed(inputs) if reverse else inputs, window)
    return carry, stack_leaves(ys[::-1] if reverse else ys)


def program_of(step: StepFunction, init: Tree, xs: Tree = None, *, length: int | None = None) -> Program:
    """Return the compiled program of a step, as `scan` would run it on these arrays; its `explain` shows it.

    Parameters
    ----------
    step, init, xs, length
        As in `scan`; gradients are compiled for the Tensors that require them.

    Raises
    ------
    CompileError
        If the step cannot be compiled.
    """
    columns, rebuild = flatten(xs)
    leaves = [as_leaf(column) for column in columns]
    run = run_of(_length(xs, leaves, length), reverse=False, window=None, remember="all")
    return _compiler().prepare(step, map_leaves(as_leaf, init), leaves, rebuild, run).program  # type: ignore[no-any-return]


def _check_options(compile: Any, window: Any, remember: Any) -> None:
    if compile is not None and not isinstance(compile, bool):
        raise ArgumentError(f"scan: expected compile to be None, True or False, got {compile!r}; leave it out.")
    if window is not None and (isinstance(window, bool) or not isinstance(window, int | np.integer) or window < 1):
        raise ArgumentError(
            f"scan: expected window to be an integer >= 1 or None, got {window!r}; None never cuts the gradient."
        )
    check_remember("scan", remember)


@functools.cache
def _compiler() -> Any:
    """Return the compiler, imported at first use because the import takes 120 ms."""
    with compiling:
        from . import compiled

    return compiled


def _length(xs: Tree, leaves: Sequence[Tensor], length: Any) -> int:
    """Return T, on which all `leaves` of `xs` and `length` must agree."""
    if length is not None and (isinstance(length, bool) or not isinstance(length, int | np.integer) or length < 0):
        raise ArgumentError(f"scan: expected length to be an integer >= 0, got {length!r}; pass the number of steps.")
    sizes = {leaf.shape[:1] for leaf in leaves}
    if length is not None:
        sizes.add((int(length),))
    if len(sizes) != 1 or () in sizes:
        raise _no_length(map_leaves(as_leaf, xs), length)
    ((time,),) = sizes
    return time


def _no_length(xs: Tree, length: Any) -> Exception:
    """Return the error for inputs of different lengths; it names them."""
    found: dict[str, int] = {} if length is None else {"length": int(length)}
    leaf: Tensor
    for path, leaf in named_leaves(xs):
        if not leaf.ndim:
            return ShapeError(
                f"scan: expected arrays with a time axis, got {name_of('xs', path)} of shape () {leaf.dtype}; "
                "make lists of numbers one array with ts.tensor, and close over what is constant."
            )
        found[name_of("xs", path)] = leaf.shape[0]
    if not found:
        return ArgumentError("scan: expected xs or length, got neither; pass length=T to run T steps without input.")
    lengths = ", ".join(f"{name}: {size}" for name, size in found.items())
    return ShapeError(f"scan: expected one length for all inputs, got {lengths}; cut or pad them to the same T.")
