"""Where views find their elements among those of the operand: what a compiler must know to copy nothing."""

from __future__ import annotations

import math
from itertools import pairwise
from typing import NamedTuple


class Elements(NamedTuple):
    """Where a view finds the elements of one result.

    Attributes
    ----------
    steps
        For each axis of the result the axis of the operand that it runs along, and how many elements a step is (0
        along an axis of size 1 that is added); None where the same elements come again.
    starts
        Axes of the operand whose first elements are skipped, and how many.
    adjacent
        Pairs of axes of the operand, the outer first, that must lie side by side for the view to exist.
    """

    steps: tuple[tuple[int, int] | None, ...]
    starts: tuple[tuple[int, int], ...] = ()
    adjacent: tuple[tuple[int, int], ...] = ()


def of_broadcast(old: tuple[int, ...], shape: tuple[int, ...]) -> tuple[Elements]:
    """Return where `broadcast_to` finds elements."""
    extra = len(shape) - len(old)
    same = [at >= extra and old[at - extra] == size for at, size in enumerate(shape)]
    return (Elements(tuple([(at - extra, 1) if alike else None for at, alike in enumerate(same)])),)


def of_reshape(old: tuple[int, ...], shape: tuple[int, ...]) -> tuple[Elements]:
    """Return where `reshape` finds elements: each group of axes with one number of elements is split or merged."""
    steps: list[tuple[int, int] | None] = []
    adjacent: list[tuple[int, int]] = []
    i = j = 0
    while i < len(old) or j < len(shape):
        if i < len(old) and old[i] == 1 and not (j < len(shape) and shape[j] == 1):
            i += 1
            continue
        if j < len(shape) and shape[j] == 1 and not (i < len(old) and old[i] == 1):
            steps.append((0, 0))
            j += 1
            continue
        i0, j0 = i, j
        a, b = old[i], shape[j]
        i, j = i + 1, j + 1
        while a != b:
            if a < b:
                a, i = a * old[i], i + 1
            else:
                b, j = b * shape[j], j + 1
        solid = [axis for axis in range(i0, i) if old[axis] != 1] or [i0]
        adjacent += pairwise(solid)
        steps += [(solid[-1], math.prod(shape[axis + 1 : j])) for axis in range(j0, j)]
    return (Elements(tuple(steps), adjacent=tuple(adjacent)),)


def of_permutation(_shape: tuple[int, ...], axes: tuple[int, ...]) -> tuple[Elements]:
    """Return where `permute_dims` finds elements."""
    return (Elements(tuple([(axis, 1) for axis in axes])),)


def of_split(shape: tuple[int, ...], cuts: tuple[int, ...], axis: int) -> tuple[Elements, ...]:
    """Return where `split` finds the elements of each part."""
    steps = tuple([(at, 1) for at in range(len(shape))])
    return tuple([Elements(steps, ((axis, start),) if start else ()) for start in (0, *cuts)])


def of_slices(_shape: tuple[int, ...], key: tuple[slice, ...]) -> tuple[Elements]:
    """Return where `index` finds elements, by a key of one slice per axis."""
    steps = tuple([(axis, part.step) for axis, part in enumerate(key)])
    return (Elements(steps, tuple([(axis, part.start) for axis, part in enumerate(key) if part.start])),)
