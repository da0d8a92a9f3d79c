"""The unrolled loop: each step runs and is recorded by itself. It defines what a scan computes."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable
from typing import Any

from ..autograd.tensor import Tensor, attach
from ..base.memo import Memo
from ..base.switches import Switch
from ..base.tree import Tree, describe, map_leaves
from ..errors import ArgumentError, CompileError, CompileWarning
from .ir.leaves import alike, difference
from .ir.trace import as_leaf

StepFunction = Callable[[Tree, Tree], tuple[Tree, Tree]]


_stepping = Switch(stepping=True)


@_stepping
def unroll(step: StepFunction, carry: Tree, xs: Iterable[Tree], window: int | None = None) -> tuple[Tree, list[Tree]]:
    """Return the last carry and the list of outputs of ``carry, y = step(carry, x)`` over `xs`.

    With a `window` the carry is detached after every `window` steps.
    """
    entered = carry
    ys: list[Tree] = []
    for t, x in enumerate(xs):
        carry = map_leaves(own, carry)
        if window is not None and t and t % window == 0:
            carry = map_leaves(Tensor.detach, carry)
        carry, y = pair(step(carry, map_leaves(own, x)))
        if not alike(entered, carry):
            carry = map_leaves(as_leaf, carry)
            if not alike(entered, carry):
                raise difference("carry", "entered", "left the step", entered, carry, "pass init")
        if y.__class__ is not Tensor:
            y = map_leaves(as_leaf, y)
        if ys and not alike(ys[0], y):
            raise difference("y", "left the first step", f"left step {t}", ys[0], y, "return it at every step")
        ys.append(y)
    return carry, ys


def own(leaf: Any) -> Any:
    """Return an operand of a step as a tensor that the step may write to, as by ``h += x``, and nobody else sees it."""
    if not isinstance(leaf, Tensor):
        return leaf
    if leaf._requires_grad:
        return attach(leaf._array, leaf._source) if leaf._viewed else leaf
    return leaf.detach()


def pair(result: Any) -> tuple[Tree, Tree]:
    """Return the two values of a step; raises ArgumentError if it returned anything else."""
    if isinstance(result, tuple) and len(result) == 2:
        return result
    got = type(result).__name__
    if isinstance(result, tuple):
        got = f"{len(result)} values {describe(result)}"
    elif hasattr(result, "dtype"):
        got = f"one array of shape {result.shape} {result.dtype}"
    raise ArgumentError(
        f"scan: expected step(carry, x) to return two values, (carry, y), got {got}; "
        "put several arrays of the state or the output into one tuple, and return None for no output."
    )


_warned: Memo[str, bool] = Memo(1000)


def warn_once(error: CompileError, stacklevel: int) -> None:
    """Warn that a step runs eagerly, once per reason; `stacklevel` 1 is the caller of this function."""
    text = f"{error} Until then it runs step by step."
    if not _warned.get(text):
        _warned.put(text, True)
        warnings.warn(text, CompileWarning, stacklevel=stacklevel + 1)
