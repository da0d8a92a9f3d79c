"""Nested containers as a flat list and back."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from tinygrad_seq.base.tree import describe, flatten, map_leaves


class State(NamedTuple):
    h: object
    c: object


TREES = st.recursive(
    st.integers() | st.none(),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.lists(inner, max_size=3).map(tuple)
        | st.dictionaries(st.text(max_size=2), inner, max_size=3)
        | st.builds(State, inner, inner)
    ),
    max_leaves=12,
)


@given(TREES)
def test_round_trip(tree):
    leaves, rebuild = flatten(tree)
    assert all(isinstance(leaf, int) for leaf in leaves)
    again = rebuild(leaves)
    assert again == tree
    assert type(again) is type(tree)
    assert repr(again) == repr(tree)  # also the order of dicts
    assert map_leaves(lambda leaf: leaf + 1, tree) == rebuild([leaf + 1 for leaf in leaves])


def test_dicts_are_paired_by_key_not_by_order():
    first, rebuild = flatten({"h": 1, "c": 2})
    second, _ = flatten({"c": 20, "h": 10})
    assert rebuild([a + b for a, b in zip(first, second, strict=True)]) == {"h": 11, "c": 22}


def test_describe():
    tree = {"h": (np.zeros((2, 3), np.float32), [1, None])}
    assert describe(tree) == "{'h': ((2, 3) float32, [1, None])}"
