"""Run a bound loop on one thread or several: how many, and which part of the work each of them does."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import partial
from typing import NamedTuple

import numpy as np

from ...kernels.crew import new_crew, recess, was_late
from ...kernels.llvm.address import address_of
from ...kernels.machine import Machine
from ...kernels.pool import run_all, split
from ...ops.linear import matmul
from ..codegen.arrange import Loop, is_elementwise
from ..ir.step import Var
from .frame import Frame


class Bound(NamedTuple):
    """The memory of a loop, and its runtime arguments: where everything is, and how large.

    Attributes
    ----------
    frame
        What it has in common with other runs.
    pieces, starts
        See `Frame.take`.
    others
        Further arrays that must stay alive.
    addresses, sizes
        The runtime arguments.
    status
        What the code may store there: see `lookup`.
    """

    frame: Frame
    pieces: Sequence[np.ndarray]
    starts: Sequence[int]
    others: list[np.ndarray]
    addresses: np.ndarray
    sizes: np.ndarray
    status: np.ndarray

    def slab(self, var: Var, number: int) -> np.ndarray:
        """Return the values of a carry with a number."""
        return self.frame.slab(var, number).of(self.pieces, self.starts)

    def first(self) -> dict[Var, np.ndarray]:
        """Return where the carry is before the first step, by the variable that enters."""
        return {var: part.of(self.pieces, self.starts) for var, part in self.frame.first.items()}

    def last(self) -> dict[Var, np.ndarray]:
        """Return where the carry is after the last step."""
        return {var: part.of(self.pieces, self.starts) for var, part in self.frame.last.items()}


class Cost(NamedTuple):
    """The work of a loop at one time.

    Attributes
    ----------
    products
        For each product of the batch with a matrix, its rows per batch element, and shape and item size of the matrix.
    elements
        The results of elementwise operations per batch element, in numbers of float32.
    epochs
        How often threads that share a step wait for each other.
    """

    products: tuple[tuple[int, int, int, int], ...]
    elements: int
    epochs: int

    def seconds(self, model: Machine, rows: int, parts: int = 1) -> float:
        """Return how long one time takes for `rows` batch elements, of which each thread does one of `parts`."""
        resident = sum([depth * columns * itemsize for _, depth, columns, itemsize in self.products]) / parts
        products = [model.product(rows * m, k, n / parts, size, resident) for m, k, n, size in self.products]
        return sum(products) + model.elements(rows * self.elements / parts) + (parts > 1) * self.epochs * model.barrier


class Split(NamedTuple):
    """How threads share a loop: by batch elements (rows), or by columns of the products.

    Attributes
    ----------
    threads
        How many.
    columns
        Whether by columns.
    seconds
        How long that takes.
    """

    threads: int
    columns: bool
    seconds: float


def choose(cost: Cost, T: int, rows: int, threads: int, model: Machine, share: str = "what is faster") -> Split:
    """Return the fastest way to run a loop over `T` times and `rows` batch elements on up to so many threads.

    `share` is `pool.SHARE`: with "rows" or "columns" all threads share these, if the loop can be split so.
    """
    best = Split(1, False, T * cost.seconds(model, rows))
    if share == "rows" and (cost.products or cost.elements):
        return best._replace(threads=min(threads, rows))
    if share == "columns" and cost.epochs:
        return best._replace(threads=threads, columns=threads > 1)
    for count in range(2, min(threads, rows) + 1):
        seconds = model.wake + T * cost.seconds(model, -(-rows // count))
        if seconds < best.seconds:
            best = Split(count, False, seconds)
    if cost.epochs:
        for count in range(2, min(threads, model.cores) + 1):
            seconds = model.wake + T * cost.seconds(model, rows, count)
            if seconds < 0.95 * best.seconds:
                best = Split(count, True, seconds)
    return best


def launch(run: Callable[..., None], bound: Bound, rows: int, how: Split) -> None:
    """Run the machine code of a loop over a batch of `rows` elements."""
    call = partial(run, bound.addresses, bound.sizes)
    if how.threads == 1 or (how.columns and not recess.is_over()):
        call(0, rows, 0, 0, 1)
    elif how.columns:
        crew = new_crew(how.threads)
        run_all([partial(call, 0, rows, address_of(crew), me, how.threads) for me in range(how.threads)])
        recess.note(was_late(crew))
    else:
        run_all([partial(call, *ends, 0, 0, 1) for ends in split(rows, how.threads)])


def cost_of(loop: Loop, epochs: int) -> Cost:
    """Return the work of a loop at one time; of one without a batch axis none, as only one thread can run it."""
    if not loop.batched:
        return Cost((), 0, 0)
    products, elements = [], 0
    for eqn in loop.eqns:
        size = eqn.result.dtype.itemsize if len(eqn.results) == 1 else 4
        if eqn.primitive is matmul:  # all other products are lowered to it
            features, depth = loop.features(eqn.result), eqn.operands[0].shape[-1]
            products.append((math.prod(features[:-1]), depth, features[-1] if features else 1, size))
        elif is_elementwise(eqn):
            elements += math.prod(loop.features(eqn.result)) * size // 4
    return Cost(tuple(products), elements, epochs)
