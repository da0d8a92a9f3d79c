"""Slices of one array as one `split` of it, and the key of an index as one slice per axis."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from typing import Any

from ...ops.primitive import TABLE
from ..ir.check import check
from ..ir.step import Aval, Eqn, Step, Var

Shape = tuple[int, ...]

_index, _split = TABLE["index"], TABLE["split"]  # this pass is about these two


def as_slices(key: Any, shape: Shape) -> tuple[list[slice], list[int | None]]:
    """Return a key as one slice per axis, and for each axis of the result that of the operand, None for a new one."""
    parts = list(key) if isinstance(key, tuple) else [key]
    given = sum(part is not None and part is not Ellipsis for part in parts)
    if Ellipsis not in parts:
        parts.append(Ellipsis)
    at = parts.index(Ellipsis)
    parts[at : at + 1] = [slice(None)] * (len(shape) - given)
    slices: list[slice] = []
    axes: list[int | None] = []
    for part in parts:
        if part is None:
            axes.append(None)
            continue
        size = shape[len(slices)]
        if isinstance(part, slice):
            axes.append(len(slices))
            start, stop, step = part.indices(size)
            count = len(range(start, stop, step))
            stop = start + count * step
            slices.append(slice(start, stop if stop >= 0 else None, step))
        else:
            start = part + size if part < 0 else part
            slices.append(slice(start, start + 1, 1))
    return slices, axes


def is_whole(part: slice, size: int) -> bool:
    """Return whether a slice takes everything along an axis of `size`."""
    return (part.start, part.stop, part.step) == (0, size, 1)


def slices_as_splits(step: Step) -> Step:
    """Return `step` with slices of one array along one axis, ``z[:, :H], z[:, H:]``, as one `split`.

    So the gradients of the slices are joined, not padded with zeros and added. Slices that overlap stay.
    """
    groups: dict[tuple[Var, int], list[tuple[Eqn, slice]]] = {}
    for eqn in step.eqns:
        if eqn.primitive is _index and eqn.operands[0].__class__ is Var:
            (x,) = eqn.operands
            slices, axes = as_slices(eqn.params["key"], x.shape)
            cut = [axis for axis, part in enumerate(slices) if not is_whole(part, x.shape[axis])]
            if len(cut) == 1 and axes == list(range(x.ndim)) and slices[cut[0]].step == 1:
                groups.setdefault((x, cut[0]), []).append((eqn, slices[cut[0]]))
    parts: dict[Eqn, Eqn] = {}
    for (x, axis), found in groups.items():
        found.sort(key=lambda pair: pair[1].start)
        bounds = [(part.start, part.stop) for _, part in found]
        if len(found) < 2 or any(a[1] > b[0] for a, b in pairwise(bounds)):
            continue
        ends = [0, *[end for pair in bounds for end in pair], x.shape[axis]]
        by_start = {part.start: eqn.result for eqn, part in found}
        cuts = [(a, b) for a, b in pairwise(sorted(set(ends))) if a < b]
        results = tuple(
            [by_start.get(a) or Var(Aval((*x.shape[:axis], b - a, *x.shape[axis + 1 :]), x.dtype)) for a, b in cuts]
        )
        split = Eqn(_split, (x,), {"cuts": tuple([a for a, _ in cuts[1:]]), "axis": axis}, results)
        parts.update(dict.fromkeys([eqn for eqn, _ in found], split))
    return check(replace(step, eqns=tuple(dict.fromkeys([parts.get(eqn, eqn) for eqn in step.eqns]))))
