"""Shrink a failing program: remove parts as long as it still fails."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any, TypeVar

from ..base.tree import Tree
from .random_program import Equation, Graph, Leaf, Step, leaves_of, needed, rename

Flags = tuple[tuple[str, Any], ...] | None
Program = TypeVar("Program", bound=Graph | Step)


def shrink(program: Program, fails: Callable[[Program], bool], seconds: float = 60.0) -> Program:
    """Search for a smaller program that fails in the same way.

    Parameters
    ----------
    program : Graph or Step
        A program for which `fails` is true.
    fails : callable
        Whether a program shows the fault.
    seconds : float, default 60.0
        The time limit of the search.

    Returns
    -------
    Graph or Step
        The smallest program found for which `fails` is true.

    Examples
    --------
    >>> from random import Random
    >>> from tinygrad_seq.testing.generate import draw_graph
    >>> graph = draw_graph(Random(3))
    >>> def has_product(graph):
    ...     return any("@" in equation.template for equation in graph.equations)
    >>> has_product(graph), len(graph.equations), len(shrink(graph, has_product).equations)
    (True, 8, 1)
    """
    end = time.monotonic() + seconds
    improved = True
    while improved:
        improved = False
        for candidate in _smaller(program):
            if time.monotonic() > end:
                return program
            if _size(candidate) < _size(program) and _is_sound(candidate) and fails(candidate):
                program, improved = candidate, True
                break
    return program


def _is_sound(program: Graph | Step) -> bool:
    """Return whether a step of a layer uses no array with a batch axis besides its arguments."""
    if isinstance(program, Graph) or program.layer is None:
        return True
    entered = leaves_of([program.carry, program.xs])
    return program.xs is not None and all(leaf.value.rows == (leaf.value.name in entered) for leaf in program.leaves)


def _size(program: Graph | Step) -> tuple[int, ...]:
    grads = sum(leaf.grad + (leaf.layout != "{0}") for leaf in program.leaves)
    if isinstance(program, Graph):
        return len(program.equations), len(program.outputs), len(program.leaves), grads
    trees = (program.carry, program.xs, program.ys)
    depth = sum(len(str(tree)) for tree in trees)
    read = len(leaves_of([program.carry, program.ys])) if program.read is None else len(program.read)
    count = sum(len(leaves_of(tree)) for tree in trees)
    return (
        len(program.equations),
        count,
        len(program.leaves),
        len(program.options) + len(program.layer or ()) + program.runs + (program.form != "weighted"),
        program.T,
        read,
        grads,
        depth,
    )


def _smaller(program: Any) -> Iterator[Any]:
    if isinstance(program, Step):
        yield from _smaller_step(program)
    else:
        for name in program.outputs:
            yield _pruned(replace(program, outputs=(name,)))
    yield from _fewer_equations(program)
    for leaf in program.leaves:
        if leaf.grad and leaf.value.name.startswith("w"):
            yield replace(program, leaves=_swapped(program.leaves, leaf, leaf._replace(grad=False)))


def _plainer_call(step: Step) -> Iterator[Step]:
    """Yield the step with a simpler call: fewer steps, runs and options, default memory layouts."""
    if step.runs > 1 or step.form != "weighted":
        yield replace(step, runs=1, form="weighted")
        yield replace(step, runs=1)
        yield replace(step, form="weighted")
    for leaf in step.leaves:
        if leaf.layout != "{0}":
            yield replace(step, leaves=_swapped(step.leaves, leaf, leaf._replace(layout="{0}")))
    for option in step.options:
        yield replace(step, options=tuple([other for other in step.options if other != option]))
    for T in sorted({1, 2, step.T // 2}):
        if 0 < T < step.T:
            yield replace(step, T=T, layer=_cut(step.layer, T))
    for flag in step.layer or ():
        yield replace(step, layer=tuple([other for other in step.layer or () if other != flag]))


def _smaller_step(step: Step) -> Iterator[Step]:
    yield from _plainer_call(step)
    results = leaves_of(step.ys)
    for name in [None, *dict.fromkeys(results)]:
        yield _pruned(replace(step, ys=name, read=None))
        yield _pruned(replace(step, ys=name, read=(len(step.carry_out),) if name else (0,)))
    entered = leaves_of(step.carry)
    if len(entered) > 1:
        for name, out in zip(entered, step.carry_out, strict=True):  # turn a part of the carry into a constant
            left = tuple([other for other, part in zip(step.carry_out, entered, strict=True) if part != name])
            yield _pruned(replace(step, carry=_without(step.carry, name), carry_out=left, read=None))
            if out != name:
                same = tuple(
                    [name if part == name else other for part, other in zip(entered, step.carry_out, strict=True)]
                )
                yield _pruned(replace(step, carry_out=same))
    for name in leaves_of(step.xs):
        yield _pruned(replace(step, xs=_without(step.xs, name)))
    count = len(leaves_of([step.carry, step.ys]))
    if step.read is None and count > 1:
        for i in range(count):
            yield replace(step, read=(i,))
    for field in ("carry", "xs", "ys"):
        names = leaves_of(getattr(step, field))
        flat: Tree = names[0] if len(names) == 1 else tuple(names)
        if names and getattr(step, field) != flat:
            yield replace(step, **{field: flat})


def _cut(layer: Flags, T: int) -> Flags:
    """Return the flags of a layer for fewer steps."""
    if layer is None:
        return None
    changed = dict(layer)
    if "lengths" in changed:
        changed["lengths"] = [min(length, T) for length in changed["lengths"]]
    return tuple([(key, flag[:T] if key in ("mask", "reset") else flag) for key, flag in changed.items()])


def _fewer_equations(program: Any) -> Iterator[Any]:
    """Yield the program without one equation, whose result becomes a similar value, a constant or an input."""
    values = [leaf.value for leaf in program.leaves]
    for position, equation in enumerate(program.equations):
        value = equation.value
        rest = program.equations[:position], program.equations[position + 1 :]
        known = [*values, *[other.value for other in rest[0]]]
        like = [other.name for other in known if (other.shape, other.dtype) == (value.shape, value.dtype)]
        for name in [*[n for n in like if n in equation.operands], *like[-2:]]:
            yield _renamed(program, [*rest[0], *rest[1]], {value.name: name})
        given = Leaf(value._replace(carried=False), 100 + position, value.kind == "f")
        shorter = replace(program, equations=(*rest[0], *rest[1]), leaves=(*program.leaves, given))
        yield _pruned(shorter)
        if isinstance(shorter, Step):
            yield _pruned(replace(shorter, xs=(*leaves_of(shorter.xs), value.name)))


def _renamed(program: Program, equations: list[Equation], names: dict[str, str]) -> Program:
    changed = tuple([equation.renamed(names) for equation in equations])
    if isinstance(program, Graph):
        outputs = tuple([names.get(name, name) for name in program.outputs])
        return _pruned(replace(program, equations=changed, outputs=outputs))
    carry_out = tuple([names.get(name, name) for name in program.carry_out])
    return _pruned(replace(program, equations=changed, carry_out=carry_out, ys=rename(program.ys, names)))


def _pruned(program: Program) -> Program:
    """Return the program without unused equations and leaves."""
    if isinstance(program, Graph):
        equations, names = needed(program.equations, program.outputs)
    else:
        equations, names = needed(program.equations, [*program.carry_out, *leaves_of(program.ys)])
        names |= {*leaves_of(program.carry), *leaves_of(program.xs)}
    leaves = tuple([leaf for leaf in program.leaves if leaf.value.name in names])
    return replace(program, equations=equations, leaves=leaves)


def _without(tree: Tree, name: str) -> Tree:
    """Return a tree of names without one of them; None if none is left."""
    if isinstance(tree, dict):
        found = {key: part for key, old in tree.items() if (part := _without(old, name)) is not None}
        return found or None
    if isinstance(tree, tuple | list):
        parts = [part for old in tree if (part := _without(old, name)) is not None]
        return type(tree)(parts) if parts else None
    return None if tree == name else tree


def _swapped(leaves: tuple[Leaf, ...], old: Leaf, new: Leaf) -> tuple[Leaf, ...]:
    return tuple([new if leaf is old else leaf for leaf in leaves])
