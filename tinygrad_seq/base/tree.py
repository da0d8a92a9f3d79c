"""Trees: nested tuples, lists and dicts of arrays, flattened to a list of leaves and rebuilt."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from operator import itemgetter
from typing import Any

# A leaf (anything but a container) or a nested tuple, list or dict of leaves. None has no leaf.
Tree = Any

_CONTAINERS = (dict, tuple, list)
_first = itemgetter(0)


def flatten(tree: Tree) -> tuple[list[Any], Callable[[Sequence[Any]], Tree]]:
    """Return the leaves of `tree` in order (dicts by key) and a function that rebuilds the tree from new leaves.

    Examples
    --------
    >>> leaves, rebuild = flatten({"h": 1, "c": (2, 3)})
    >>> leaves, rebuild([10, 20, 30])
    ([2, 3, 1], {'h': 30, 'c': (10, 20)})
    """
    if tree is not None and not isinstance(tree, _CONTAINERS):
        return [tree], _first
    leaves: list[Any] = []
    shape = _walk(tree, leaves)

    def rebuild(values: Sequence[Any]) -> Tree:
        return shape(iter(values))

    return leaves, rebuild


def _walk(tree: Tree, leaves: list[Any]) -> Callable[[Any], Tree]:
    if tree is None:
        return lambda _: None
    if isinstance(tree, dict):
        order = tuple(tree)
        parts = {key: _walk(tree[key], leaves) for key in sorted(order, key=str)}

        def rebuild(values: Any) -> dict[Any, Any]:
            found = {key: part(values) for key, part in parts.items()}
            return {key: found[key] for key in order}

        return rebuild
    if isinstance(tree, tuple | list):
        items = [_walk(value, leaves) for value in tree]
        kind = type(tree)
        if hasattr(tree, "_fields"):  # a named tuple
            return lambda values: kind(*[item(values) for item in items])
        return lambda values: kind([item(values) for item in items])
    leaves.append(tree)
    return next


def map_leaves(function: Callable[..., Any], tree: Tree) -> Tree:
    """Return `tree` with every leaf replaced by ``function(leaf)``."""
    if tree is None or not isinstance(tree, _CONTAINERS):
        return tree if tree is None else function(tree)
    leaves, rebuild = flatten(tree)
    return rebuild([function(leaf) for leaf in leaves])


def same_structure(a: Tree, b: Tree) -> bool:
    """Return whether two trees have the same structure; lists and tuples count as equal.

    Examples
    --------
    >>> same_structure({"h": 1, "c": [2]}, {"c": (3,), "h": 4}), same_structure({"h": 1}, [1])
    (True, False)
    """
    if isinstance(a, tuple | list) and isinstance(b, tuple | list):
        return len(a) == len(b) and all(map(same_structure, a, b))
    if isinstance(a, dict) and isinstance(b, dict):
        return a.keys() == b.keys() and all(same_structure(a[key], b[key]) for key in a)
    return not isinstance(a, _CONTAINERS) and not isinstance(b, _CONTAINERS) and (a is None) == (b is None)


def first_leaf(tree: Tree) -> Any:
    """Return the first leaf of `tree`, which must not be empty."""
    return flatten(tree)[0][0] if isinstance(tree, _CONTAINERS) else tree


def describe(tree: Tree) -> str:
    """Return the structure of `tree` with shapes and dtypes, for errors: ``(h (8, 16) float32, ...)``."""
    if isinstance(tree, dict):
        return "{" + ", ".join(f"{key!r}: {describe(value)}" for key, value in tree.items()) + "}"
    if isinstance(tree, tuple | list):
        inner = ", ".join(map(describe, tree))
        return f"({inner})" if isinstance(tree, tuple) else f"[{inner}]"
    return f"{tuple(tree.shape)} {tree.dtype}" if hasattr(tree, "shape") else repr(tree)
