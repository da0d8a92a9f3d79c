"""The arguments and results of a layer's step: flat lists of arrays, for any structures of the cell."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from ....base.tree import Tree, flatten
from ....ops.indexing import take
from ....ops.shape import reshape

Arrays = list[Any]


class Leaves(NamedTuple):
    """A nested structure of arrays, flattened: a layer flattens its inputs once and packs its outputs once.

    Attributes
    ----------
    arrays
        Its arrays, in the order of `flatten`.
    rebuild
        Returns the structure with other arrays in it.
    """

    arrays: Arrays
    rebuild: Callable[[Sequence[Any]], Tree]

    @classmethod
    def of(cls, tree: Tree) -> Leaves:
        return cls(*flatten(tree))

    def tree(self) -> Tree:
        """Return the structure."""
        return self.rebuild(self.arrays)

    def map(self, function: Callable[[Any], Any]) -> Leaves:
        """Return the same structure with ``function(array)`` in place of each array."""
        return Leaves([function(array) for array in self.arrays], self.rebuild)


Inputs = dict[str, Any]
"""The inputs of one step by name, or with a leading time axis those of a whole run.

``x`` has the arrays that the cell reads; the functions that transform a step document the others.
"""


class Outputs(NamedTuple):
    """The results of a step besides the state, or with a leading time axis those of a whole run.

    Attributes
    ----------
    y
        The arrays of the output.
    tags
        The tagged values by name, if the step is observed.
    states
        The arrays of the state after the step, if requested.
    """

    y: Arrays
    tags: dict[str, Any] = {}  # noqa: RUF012 - never written to
    states: Arrays = []  # noqa: RUF012


InputStep = Callable[[Arrays, Inputs], tuple[Arrays, Outputs]]
"""``step(state, inputs) -> (state, outputs)``."""


def per_row(flags: Any, like: Any) -> Any:
    """Return flags (N,) or (T, N) with as many axes as `like`, (N, ...) or (T, N, ...)."""
    return reshape(flags, (*flags.shape, *[1] * (like.ndim - flags.ndim)))


def take_steps(x: Any, places: Any) -> Any:
    """Return the elements of an array (T, N, ...) at `places`, each ``t * N + n``.

    The gradient of `take` is faster on one joined axis than on two.
    """
    return take(reshape(x, (x.shape[0] * x.shape[1], *x.shape[2:])), places, axis=0)
