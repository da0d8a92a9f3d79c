"""Loop nests and reductions of one batch element as source text."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from itertools import pairwise
from typing import Any

from numba import config

from ..ir.step import Eqn, Var
from .arrange import is_elementwise
from .expression import expression, literal, type_name
from .kernel_text import KernelText, indented
from .layout import as_int
from .schedule import LoopNest, summed_down, summed_from


def loop_nest(text: KernelText, nest: LoopNest) -> list[str]:
    """Return the lines of a loop nest: load, compute, store, inside the loops over its axes."""
    sums = [eqn for eqn in nest.eqns if not is_elementwise(eqn)]
    down = [eqn for eqn in sums if summed_down(text.loop, eqn)]
    names = text.scalars | {eqn.result: f"v{text.fresh(eqn.result)}" for eqn in nest.eqns if eqn not in down}
    loaded = dict.fromkeys([var for eqn in nest.eqns for var in eqn.reads if var not in names])
    stored = [eqn.result for eqn in nest.eqns if eqn not in sums and eqn.result in text.layouts]
    groups = disjoint_groups(text, [*loaded, *stored, *[eqn.result for eqn in down]])
    count = len(set(groups.values()))
    groups_of = {var: f"{text.nests}, {group}, {count}" for var, group in groups.items()}
    text.nests += 1
    before: list[str] = []
    body: list[str] = []

    def place(var: Var) -> tuple[str, str]:
        layout = text.layouts[var]
        return text.vector(layout.buffer), text.index(layout, text.strides_in(var, nest.shape))

    def load(var: Var) -> str:
        vector, index = place(var)
        return f"{vector}[{index}]" if config.BOUNDSCHECK else f"read({vector}, {index}, {groups_of[var]})"

    def store(var: Var, value: str) -> str:
        vector, index = place(var)
        if config.BOUNDSCHECK:
            return f"{vector}[{index}] = {value}"
        return f"write({vector}, {index}, {value}, {groups_of[var]})"

    for var in loaded:
        varies = any(stride != 0 for stride in text.strides_in(var, nest.shape))
        (body if varies else before).append(f"x{text.fresh(var)} = {load(var)}")
    for eqn in nest.eqns:
        operands = [names.get(o, f"x{text.fresh(o)}") if o.__class__ is Var else "" for o in eqn.operands]
        if eqn in down:
            body.append(store(eqn.result, f"reduce.add({load(eqn.result)}, {operands[0]})"))
            continue
        result = names[eqn.result]
        added = f"reduce.add({result}, {operands[0]})"
        body.append(f"{result} = {added if eqn in sums else expression(eqn, operands, partial(text.factor, eqn))}")
    body += [store(var, names[var]) for var in stored]
    text.scalars = {var: name for var, name in names.items() if text.loop.is_scalar(var)}
    return before + _loops(text, nest, body, {eqn: names.get(eqn.result, "") for eqn in sums})


def _loops(text: KernelText, nest: LoopNest, body: list[str], sums: dict[Eqn, str]) -> list[str]:
    """Return the loops of a loop nest around its body; each sum starts before the loops that it is over."""
    numbers = "elements" if any(eqn.primitive.vectorised for eqn in nest.eqns) else "range"
    if text.fused:
        return [f"for j0 in {numbers}(units):", *indented(body)]
    for axis in reversed(range(len(nest.shape))):
        if nest.shape[axis] != 1 or not text.loop.has_reductions:
            body = text.around(nest.shape, [axis], body, nest, numbers)
        for eqn, total in sums.items():
            if (axes := summed_down(text.loop, eqn)) and axes[0] == axis:
                over = [other for other in range(axis, len(nest.shape)) if other not in axes]
                element = text.element(text.layouts[eqn.result], text.strides_in(eqn.result, nest.shape))
                zeros = [f"{element} = {literal(0, eqn.result.dtype)}"]
                body = [*text.around(nest.shape, over, zeros, nest, numbers), *body]
            elif summed_from(text.loop, eqn) == axis:
                body = [f"{total} = {literal(0, eqn.result.dtype)}", *body]
                if (layout := text.layouts.get(eqn.result)) is not None:
                    body.append(f"{text.element(layout, text.strides_in(eqn.result, nest.shape))} = {total}")
    return body


def disjoint_groups(text: KernelText, variables: Sequence[Var]) -> dict[Var, int]:
    """Return a number for each variable: those with different numbers never share memory.

    Parts of one buffer count as disjoint if none of them reaches into another, for any batch element and time.
    """
    spans: dict[str, dict[tuple[int, int], list[Var]]] = {}
    for var in variables:
        layout = text.layouts[var]
        ends = [
            as_int(stride) * (size - 1) for stride, size in zip(layout.strides, text.loop.features(var), strict=True)
        ]
        first, last = (layout.offset + sum([f(end, 0) for end in ends]) for f in (min, max))
        spans.setdefault(text.buffer(layout.buffer), {}).setdefault((first, last), []).append(var)
    numbers: dict[Var, int] = {}
    count = 0
    for found in spans.values():
        ordered = sorted(found)
        disjoint = all(a[1] < b[0] for a, b in pairwise(ordered))
        for span in ordered:
            numbers.update(dict.fromkeys(found[span], count))
            count += disjoint
        count += not disjoint
    return numbers


def reduction(text: KernelText, eqn: Eqn) -> list[str]:
    """Return the lines of a reduction over feature axes."""
    operand, result = eqn.operands[0], eqn.result
    dtype, source, target = result.dtype, text.layouts[operand], text.layouts[result]
    shape = text.loop.features(operand)
    axes = [axis - (operand in text.loop.batched) for axis in eqn.params["axes"]]
    left = [axis for axis in range(len(shape)) if axis not in axes]

    def without_axes(strides: Sequence[Any]) -> tuple[Any, ...]:
        return tuple([0 if axis in axes else stride for axis, stride in enumerate(strides)])

    text.vector(source.buffer)  # the first of the two buffers
    into = text.element(target, without_axes(target.strides))
    value = text.element(source)
    if operand.dtype != dtype and dtype.kind != "b":
        value = f"{type_name(dtype)}({value})"
    assert eqn.primitive.fold is not None
    start, step = eqn.primitive.fold
    total = f"total{text.fresh(result)}"
    summing = text.around(shape, axes, [step.format(total=total, value=value)], (eqn, "inner"))
    first = (
        f"{type_name(dtype)}({text.element(source, without_axes(source.strides))})"
        if start is None
        else literal(start, dtype)
    )
    return text.around(shape, left, [f"{total} = {first}", *summing, f"{into} = {total}"], eqn)
