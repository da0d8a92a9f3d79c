"""The arguments and results of a layer's step: flat lists of arrays, for any structures of the cell."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, TypedDict

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


class Inputs(TypedDict, total=False):
    """The inputs of one step, or with a leading time axis those of a whole run.

    Attributes
    ----------
    x
        The inputs of the cell.
    mask, reset
        (N,) bool: the sequences for which the step is valid, and those that restart from the initial state.
    begin
        The state that `hold` gives to masked sequences.
    recurrent, zoneout, nudges
        One array for each array of the state, or None: see `drop_in_products`, `zoneout` and `observe`.
    """

    x: Arrays
    mask: Any
    reset: Any
    begin: Arrays
    recurrent: Arrays
    zoneout: Arrays
    nudges: Arrays


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
