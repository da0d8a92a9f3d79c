"""Random steps as cells of a layer, and the checks of a layer: lengths, masks, resets, both directions."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np

from .. import nn
from ..autograd.creation import asarray, tensor
from ..autograd.tensor import Tensor
from ..base.modes import disable_compile
from ..base.tree import Tree, flatten, map_leaves
from ..errors import CompileError, CompileWarning
from ..functional import stack, where
from ..nn.module.parameter import Parameter
from .properties import TOLERANCE, Outcome, differences, execute
from .random_program import Step


class _Source:
    """The names of an executed program, hidden from `Module`, which would register the arrays."""

    def __init__(self, scope: dict[str, Any]) -> None:
        self.scope = scope


class DrawnCell(nn.Cell):
    """The cell of a random step whose arrays all have the batch axis first; its weights are parameters.

    Parameters
    ----------
    drawn : Step
        The step; its representation is its source code.

    Examples
    --------
    >>> from random import Random
    >>> from tinygrad_seq.base.tree import map_leaves
    >>> from tinygrad_seq.testing import DrawnCell
    >>> from tinygrad_seq.testing.generate import draw_step
    >>> cell = DrawnCell(draw_step(Random(1), largest=3, cell=True))
    >>> y, state = cell(map_leaves(lambda leaf: leaf[0], cell.xs), cell.state)
    """

    def __init__(self, drawn: Step) -> None:
        self.drawn = drawn
        self._source = _Source(execute(drawn.definitions()))
        self.state_shape = map_leaves(lambda leaf: leaf.shape[1:], self.state)
        self._weights = [leaf.value.name for leaf in drawn.leaves if leaf.grad and leaf.value.name.startswith("w")]
        for name in self._weights:
            setattr(self, name, Parameter(self._source.scope[name].detach()))

    @property
    def dtype(self) -> np.dtype:
        return np.dtype(self.drawn.leaves[0].value.dtype)

    @property
    def xs(self) -> Tree:
        """A random input sequence: a tree of Tensors (T, N, ...)."""
        return self._source.scope["xs"]

    @property
    def state(self) -> Tree:
        """A random initial state: a tree of Tensors (N, ...)."""
        return self._source.scope["init"]

    def forward(self, x: Tree, state: Tree) -> tuple[Tree, Tree]:
        for name in self._weights:
            self._source.scope[name] = getattr(self, name)
        carry, y = self._source.scope["step"](state, x)
        return y, carry

    def __repr__(self) -> str:
        return repr(self.drawn)


def check_cell(step: Step) -> Outcome:
    """Compare a layer of the cell compiled, step by step and as a plain loop, with padding.

    The inputs of padded or masked steps are NaN. Outputs, final state and the gradients of inputs, state and parameters
    must agree.

    Parameters
    ----------
    step : Step
        The step of a cell: ``cell.drawn`` for a cell from `cells`.

    Returns
    -------
    Outcome
        The faults and the number of checks.

    Examples
    --------
    >>> from random import Random
    >>> from tinygrad_seq.testing.generate import draw_step
    >>> check_cell(draw_step(Random(1), largest=3, cell=True)).faults
    []
    """
    cell = DrawnCell(step)
    flags = dict(step.layer or ())
    layer = nn.Recurrent(cell, go_backwards=flags.pop("go_backwards", False))
    scope = cell._source.scope
    valid = _valid(step, flags)
    padded = map_leaves(lambda leaf: _padded(leaf, valid), scope["xs"])
    plain = _result(cell, lambda: _plain_layer(step, cell, valid, np.asarray(flags.get("reset", False))), cell.xs)
    tolerance = TOLERANCE[str(cell.dtype)]

    def run() -> tuple[Tree, Tree]:
        ys, state = layer(padded, cell.state, **flags)
        return state, ys

    with disable_compile():
        eager = _result(cell, run, padded)
    faults = differences("layer step by step", eager, plain, tolerance)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", CompileWarning)
            compiled = _result(cell, run, padded)
    except (CompileError, CompileWarning):
        return Outcome(faults, 1, refused=True)
    return Outcome([*faults, *differences("layer compiled", compiled, plain, tolerance)], 2)


def _valid(step: Step, flags: dict[str, Any]) -> np.ndarray:
    """Return which steps count per batch element: (T, N)."""
    N = step.leaves[0].value.shape[0]
    if "lengths" in flags:
        return np.arange(step.T)[:, None] < np.asarray(flags["lengths"])
    return np.broadcast_to(np.asarray(flags.get("mask", True)), (step.T, N))


def _per_row(flags: np.ndarray, x: Any) -> np.ndarray:
    return flags.reshape(*flags.shape, *[1] * (x.ndim - flags.ndim))


def _padded(leaf: Tensor, valid: np.ndarray) -> Tensor:
    """Return a leaf with NaN at the steps that do not count."""
    values = np.where(_per_row(valid, leaf), leaf.numpy(), np.nan).astype(leaf.dtype)
    return tensor(values, requires_grad=leaf.requires_grad)


def _result(cell: DrawnCell, run: Callable[[], tuple[Tree, Tree]], xs: Tree) -> dict[str, np.ndarray]:
    """Run a cell and return its results and the gradients of the loss by name."""
    leaves = {f"input {i}": leaf for i, leaf in enumerate(flatten(xs)[0])}
    leaves |= {f"state {i}": leaf for i, leaf in enumerate(flatten(cell.state)[0])}
    leaves |= dict(cell.named_parameters())
    for leaf in leaves.values():
        leaf.grad = None
    carry, ys = run()
    found = {f"result {i}": np.asarray(asarray(y).numpy()) for i, y in enumerate(flatten((carry, ys))[0])}
    total = cell._source.scope["loss"](carry, ys)
    if isinstance(total, Tensor) and total.requires_grad:
        total.backward()
    for name, leaf in leaves.items():
        found[f"gradient of {name}"] = (
            np.zeros(leaf.shape) if leaf.grad is None else np.asarray(leaf.grad.numpy(), float)
        )
    return found


def _plain_layer(step: Step, cell: DrawnCell, valid: np.ndarray, reset: np.ndarray) -> tuple[Tree, Tree]:
    """Compute a layer as a plain loop: steps that do not count leave the state unchanged and return 0."""
    T, N = valid.shape
    state, first = cell.state, cell.initial_state(N)
    columns, rebuild = flatten(cell.xs)
    reset, waiting = np.broadcast_to(reset, (T, N)), np.zeros(N, bool)
    found: list[Any] = [None] * T
    backwards = dict(step.layer or ()).get("go_backwards", False)
    for t in reversed(range(T)) if backwards else range(T):
        waiting = waiting | reset[t]
        begins = waiting & valid[t]
        waiting = waiting & ~valid[t]
        entered = _select(begins, first, state)
        y, after = cell.forward(rebuild([column[t] for column in columns]), entered)
        state = _select(valid[t], after, state)
        found[t] = map_leaves(lambda part, t=t: where(_per_row(valid[t], part), part, 0), y)
    leaves = [flatten(y)[0] for y in found]
    return state, flatten(found[0])[1]([stack(list(parts)) for parts in zip(*leaves, strict=True)])


def _select(flags: np.ndarray, new: Tree, old: Tree) -> Tree:
    leaves, rebuild = flatten(new)
    others = flatten(old)[0]
    return rebuild([where(_per_row(flags, a), a, b) for a, b in zip(leaves, others, strict=True)])
