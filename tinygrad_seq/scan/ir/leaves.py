"""What a scan asks of nested tuples, lists and dicts of tensors: are two alike, how do they differ, stack them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from ...base.tree import Tree, describe
from ...errors import ArgumentError, DtypeError, ShapeError, TinygradSeqError
from ...ops.joining import stack
from ...ops.primitive import LEVELS


def alike(a: Any, b: Any) -> bool:
    """Return whether two trees agree in structure, shapes and dtypes; the order of dict keys is free."""
    kind, other = type(a), type(b)
    if kind in LEVELS:
        return other in LEVELS and (a.shape, a.dtype) == (b.shape, b.dtype)
    if kind is not other:
        return False
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(alike(a[key], b[key]) for key in a)
    return a is None or (len(a) == len(b) and all(map(alike, a, b)))


def named_leaves(tree: Tree, path: str = "") -> Iterator[tuple[str, Any]]:
    """Yield each leaf of `tree` with its dotted path: ``h``, ``layers.0.h``; empty if the tree is one leaf."""
    if isinstance(tree, dict | tuple | list):
        for key, value in tree.items() if isinstance(tree, dict) else enumerate(tree):
            yield from named_leaves(value, f"{path}.{key}" if path else str(key))
    elif tree is not None:
        yield path, tree


def name_of(role: str, path: str) -> str:
    """Return how a message calls the leaf at `path`: ``carry 'h'``."""
    return f"{role} {path!r}" if path else role


def difference(
    role: str, before: str, after: str, old: Tree, new: Tree, where: str, caller: str = "scan"
) -> TinygradSeqError:
    """Return the error for two trees that are not alike; it names the first leaf that differs.

    Parameters
    ----------
    role
        What the trees are: ``carry`` or ``y``.
    before, after
        Verbs that say where the old and the new one came from: ``entered``, ``left the step``.
    where
        What else could be given in the dtype or shape of the new one.
    caller
        What the error names.
    """
    order = "" if role == "y" else " A cell returns (output, state); a scan step returns (carry, y)."
    olds, news = dict(named_leaves(old)), dict(named_leaves(new))
    for path in olds.keys() & news.keys() if olds.keys() == news.keys() else ():
        a, b = olds[path], news[path]
        if (a.shape, a.dtype) != (b.shape, b.dtype):
            facts = (
                f"{caller}: {name_of(role, path)} {after} as {b.shape} {b.dtype} but {before} as {a.shape} {a.dtype}; "
            )
            if a.shape == b.shape:
                return DtypeError(f"{facts}cast it inside the cell or {where} as {b.dtype}.{order}")
            return ShapeError(f"{facts}keep its shape inside the cell or {where} with shape {b.shape}.{order}")
    return ArgumentError(
        f"{caller}: {role} {after} as {describe(new)} but {before} as {describe(old)}; "
        f"return the same tuples, lists and dict keys at every step.{order}"
    )


def stack_leaves(trees: Sequence[Tree]) -> Tree:
    """Return one tree whose leaves are those of `trees`, stacked along a new first axis."""
    first = trees[0]
    if first.__class__ in LEVELS:
        return stack(trees)
    if first is None:
        return None
    if isinstance(first, dict):
        return {key: stack_leaves([tree[key] for tree in trees]) for key in first}
    parts = [stack_leaves(column) for column in zip(*trees, strict=True)]
    return type(first)(*parts) if hasattr(first, "_fields") else type(first)(parts)
