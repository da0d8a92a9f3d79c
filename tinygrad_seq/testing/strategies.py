"""Hypothesis strategies: arrays, graphs, steps and cells.

Programs are drawn by the functions that the soak uses, from a `random.Random` whose choices hypothesis makes, so that
it can shrink them.
"""

from __future__ import annotations

from random import Random
from typing import Any

import numpy as np
from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy

from ..autograd.creation import tensor
from ..autograd.tensor import Tensor
from .generate import draw_graph, draw_step
from .random_cells import DrawnCell
from .random_program import Graph, Step


def shapes(max_rank: int = 3, max_size: int = 5) -> SearchStrategy[tuple[int, ...]]:
    """Return a strategy of shapes, without empty axes.

    Parameters
    ----------
    max_rank : int, default 3
        The most axes.
    max_size : int, default 5
        The largest axis.

    Returns
    -------
    SearchStrategy
        Of shapes.

    Examples
    --------
    >>> from hypothesis import find
    >>> find(shapes(), lambda shape: len(shape) == 2)
    (1, 1)
    """
    return st.lists(st.integers(1, max_size), max_size=max_rank).map(tuple)


@st.composite
def arrays(
    draw: st.DrawFn,
    shape: tuple[int, ...] | SearchStrategy[tuple[int, ...]] | None = None,
    dtype: str = "float64",
    bound: float = 2.0,
    requires_grad: bool = True,
) -> Tensor:
    """Return a strategy of Tensors of random numbers.

    Parameters
    ----------
    shape : tuple of float, default None
        A shape or a strategy of shapes; by default `shapes`.
    dtype : str, default "float64"
        Any dtype. Masks are drawn evenly; integers are from 0 to `bound`.
    bound : float, default 2.0
        No element is larger in magnitude.
    requires_grad : bool, default True
        Whether a floating-point Tensor requires grad.

    Returns
    -------
    SearchStrategy
        Of Tensors.

    Examples
    --------
    >>> from hypothesis import given
    >>> @given(arrays(shape=(2, 3)))
    ... def test_exp_is_positive(x):
    ...     assert (x.exp() > 0).all()
    >>> test_exp_is_positive()
    """
    chosen = shape if isinstance(shape, tuple) else draw(shapes() if shape is None else shape)
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    kind = np.dtype(dtype).kind
    if kind == "f":
        return tensor(rng.uniform(-bound, bound, chosen).astype(dtype), requires_grad=requires_grad)
    return tensor(np.asarray(rng.integers(0, 2 if kind == "b" else int(bound) + 1, chosen), dtype))


def _randoms() -> SearchStrategy[Random]:
    return st.randoms(use_true_random=False)


def graphs(depth: int = 12) -> SearchStrategy[Graph]:
    """Return a strategy of functions of arrays, of up to `depth` operations, whose derivatives `check_graph` checks.

    They are drawn from the whole table of primitives, within the domain of each.

    Parameters
    ----------
    depth : int, default 12
        How many operations a function has at most.

    Returns
    -------
    SearchStrategy
        Of functions.

    Examples
    --------
    >>> from hypothesis import given, settings
    >>> from tinygrad_seq.testing import check_graph
    >>> @settings(max_examples=3, deadline=None)
    ... @given(graphs(depth=4))
    ... def test_derivatives(graph):
    ...     assert not check_graph(graph).faults
    >>> test_derivatives()
    """
    return _randoms().map(lambda rng: draw_graph(rng, depth))


def steps(largest: int = 14) -> SearchStrategy[Step]:
    """Return a strategy of scans, with all their arrays and options, of a step of up to `largest` operations.

    Carries have any rank and structure, with the batch or without it; beside floating-point arrays there are counters
    and masks.

    Parameters
    ----------
    largest : int, default 14
        How many operations a step has at most.

    Returns
    -------
    SearchStrategy
        Of scans.

    Examples
    --------
    >>> from hypothesis import given, settings
    >>> from tinygrad_seq.testing import check_step
    >>> @settings(max_examples=1, deadline=None, derandomize=True, database=None)
    ... @given(steps(largest=3))
    ... def test_scan(step):
    ...     assert not check_step(step, second=False).faults
    >>> test_scan()
    """
    return _randoms().map(lambda rng: draw_step(rng, largest))


def cells(largest: int = 10) -> SearchStrategy[DrawnCell]:
    """Return a strategy of cells of up to `largest` operations, with an input sequence ``xs`` and a first ``state``.

    Parameters
    ----------
    largest : int, default 10
        How many operations a cell has at most.

    Returns
    -------
    SearchStrategy
        Of cells.

    Examples
    --------
    >>> from hypothesis import given, settings
    >>> from tinygrad_seq.base.tree import map_leaves
    >>> @settings(max_examples=3, deadline=None)
    ... @given(cells())
    ... def test_one_step(cell):
    ...     x = map_leaves(lambda leaf: leaf[0], cell.xs)
    ...     y, state = cell(x, cell.state)
    >>> test_one_step()
    """
    return _randoms().map(lambda rng: DrawnCell(draw_step(rng, largest, cell=True)))


__all__: list[Any] = ["arrays", "cells", "graphs", "shapes", "steps"]
