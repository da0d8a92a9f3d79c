"""Hypothesis strategies: arrays, graphs, steps and cells.

They use the generators of the soak test with a `random.Random` that hypothesis controls, so it can shrink programs.
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
    """Return a strategy for shapes without empty axes.

    Parameters
    ----------
    max_rank : int, default 3
        The maximum number of axes.
    max_size : int, default 5
        The maximum size of an axis.

    Returns
    -------
    SearchStrategy of tuple of int
        The strategy.

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
    """Return a strategy for Tensors of random numbers.

    Parameters
    ----------
    shape : tuple of int or SearchStrategy, optional
        A shape or a strategy for shapes; by default `shapes`.
    dtype : str, default "float64"
        Any dtype. Booleans are uniform; integers are from 0 to `bound`.
    bound : float, default 2.0
        The maximum magnitude of an element.
    requires_grad : bool, default True
        Whether a floating-point Tensor requires grad.

    Returns
    -------
    SearchStrategy of Tensor
        The strategy.

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
    """Return a strategy for functions of arrays, made of any primitives within their domains; see `check_graph`.

    Parameters
    ----------
    depth : int, default 12
        The maximum number of operations.

    Returns
    -------
    SearchStrategy of Graph
        The strategy.

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
    """Return a strategy for scans with all their arrays and options; see `check_step`.

    Carries have any rank and structure, with or without a batch axis, and include integers and masks.

    Parameters
    ----------
    largest : int, default 14
        The maximum number of operations per step.

    Returns
    -------
    SearchStrategy of Step
        The strategy.

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
    """Return a strategy for cells, each with an input sequence ``xs`` and an initial ``state``; see `check_cell`.

    Parameters
    ----------
    largest : int, default 10
        The maximum number of operations per step.

    Returns
    -------
    SearchStrategy of DrawnCell
        The strategy.

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
