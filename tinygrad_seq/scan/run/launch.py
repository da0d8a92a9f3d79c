"""Run a bound loop on one thread or several: how many, and which part of the work each of them does."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import numpy as np

from ...kernels.crew import new_crew
from ...kernels.gemm.tile import ROWS
from ...kernels.llvm.address import address_of
from ...kernels.pool import run_all, split, workers
from ...ops.linear import matmul
from ..codegen.arrange import Loop, is_elementwise
from ..ir.step import Var

FLOP_SECONDS = 1.5e-11
ELEMENT_SECONDS = 1.5e-10


class Bound(NamedTuple):
    """The memory of a loop, and its runtime arguments: where everything is, and how large.

    Attributes
    ----------
    arrays
        In the order of ``source.buffers``.
    carries
        Those of them that hold the carry, by the variable that enters.
    others
        Further arrays that must stay alive.
    addresses, sizes
        The runtime arguments.
    status
        What the code may store there: see `lookup`.
    """

    arrays: list[np.ndarray]
    carries: dict[Var, np.ndarray]
    others: list[np.ndarray]
    addresses: np.ndarray
    sizes: np.ndarray
    status: np.ndarray


def launch(run: Callable[..., None], bound: Bound, rows: int, work: float) -> None:
    """Run the machine code of a loop over a batch of `rows` elements, which takes about `work` seconds."""
    threads = workers(work)
    if threads == 1:
        run(bound.addresses, bound.sizes, 0, rows, 0, 0, 1)
    elif MODE == "rows":
        run_all(
            [
                partial(run, bound.addresses, bound.sizes, *ends, 0, 0, 1)
                for ends in split(rows, min(threads, -(-rows // ROWS)))
            ]
        )
    else:
        crew = new_crew(threads)
        at = address_of(crew)
        run_all([partial(run, bound.addresses, bound.sizes, 0, rows, at, me, threads) for me in range(threads)])


MODE = "columns"


def seconds_per_element(loop: Loop) -> float:
    """Return roughly how long one batch element takes at one time, to decide on threads; 0 without a batch axis."""
    if not loop.batched:
        return 0.0
    total = 0.0
    for eqn in loop.eqns:
        if eqn.primitive is matmul:  # all other products are lowered to it
            total += 2 * math.prod(loop.features(eqn.result)) * eqn.operands[0].shape[-1] * FLOP_SECONDS
        elif is_elementwise(eqn):
            total += math.prod(loop.features(eqn.result)) * ELEMENT_SECONDS
    return total
