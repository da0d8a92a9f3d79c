"""Edit distances against the recursive definition, and as the metric that they are."""

from __future__ import annotations

import sys
from functools import cache

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import tinygrad_seq as ts
from tinygrad_seq.errors import ArgumentError, DataError, ShapeError
from tinygrad_seq.metrics import character_error_rate, edit_distance, edit_distances, word_error_rate

TEXTS = st.text("abc", max_size=7)


def by_definition(one: str, other: str) -> int:
    @cache
    def distance(i: int, j: int) -> int:
        if not i or not j:
            return i + j
        return min(
            distance(i - 1, j) + 1, distance(i, j - 1) + 1, distance(i - 1, j - 1) + (one[i - 1] != other[j - 1])
        )

    return distance(len(one), len(other))


@given(st.lists(st.tuples(TEXTS, TEXTS), max_size=6))
def test_many_pairs_at_once_are_each_by_definition(pairs) -> None:
    found, expected = [one for one, _ in pairs], [other for _, other in pairs]
    distances = edit_distances(found, expected)
    assert distances.dtype == np.int64
    assert distances.tolist() == [by_definition(*pair) for pair in pairs]


@given(TEXTS, TEXTS, TEXTS)
def test_it_is_a_metric(one, two, three) -> None:
    assert (edit_distance(one, two) == 0) == (one == two)
    assert edit_distance(one, two) == edit_distance(two, one)
    assert edit_distance(one, three) <= edit_distance(one, two) + edit_distance(two, three)
    assert abs(len(one) - len(two)) <= edit_distance(one, two) <= max(len(one), len(two))


@given(TEXTS, TEXTS)
def test_normalised_is_between_0_and_1(one, two) -> None:
    assert 0 <= edit_distance(one, two, normalize=True) <= 1
    assert edit_distance(one, two, normalize=True) * (max(len(one), len(two)) or 1) == pytest.approx(
        edit_distance(one, two)
    )


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        ([1, 2, 3], [1, 3]),
        (np.array([1, 2, 3], np.int32), np.array([1, 3])),
        (ts.tensor([1, 2, 3]), [1, 3]),
        (("New", "York", "City"), ["New", "City"]),
    ],
)
def test_tokens_of_any_kind(found, expected) -> None:
    assert edit_distance(found, expected) == 1


def test_tokens_that_are_different_but_alike() -> None:
    """Python's hash of -1 is that of -2, and rapidfuzz takes a letter for its code point."""
    assert edit_distance([-1, "a", 0], [-2, 97, 2**61 - 1]) == 3
    assert edit_distance(["a"], "a") == 0


def test_without_rapidfuzz(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "rapidfuzz.distance.Levenshtein", None)
    with pytest.raises(ArgumentError, match=r"rapidfuzz .* run pip install 'tinygrad-seq\[metrics\]'"):
        edit_distance("a", "b")


def test_error_rates_are_over_all_texts_together() -> None:
    found, expected = ["the cat was full", "a"], ["the cats were full", "a pear salad too"]
    assert word_error_rate(found, expected) == (2 + 3) / (4 + 4)
    assert character_error_rate(["ab", ""], ["abcd", "ef"]) == 4 / 6
    assert character_error_rate(["aaaa"], ["b"]) == 4  # insertions count: more than one is possible


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: edit_distances(["a"], ["a", "b"]), ShapeError, "list of 1 and list of 2"),
        (lambda: edit_distances("ab", "ab"), ShapeError, "use edit_distance for a single pair"),
        (lambda: edit_distances(3, 4), ShapeError, "two lists of equally many sequences, got 3 and 4"),  # type: ignore[arg-type]
        (lambda: word_error_rate(3, ["a"]), DataError, "two lists of strings, got 3"),  # type: ignore[arg-type]
        (lambda: edit_distance([[1], [2]], [1]), DataError, "edit_distance: .* hashable"),  # type: ignore[list-item]
        (lambda: edit_distance(3, [1]), DataError, "got 3 at position 0"),  # type: ignore[arg-type]
        (lambda: word_error_rate("a b", ["a b"]), DataError, "two lists of strings, got str of 3"),
        (lambda: word_error_rate([["a"]], ["a"]), DataError, "got list of 1"),  # type: ignore[list-item]
        (lambda: word_error_rate(["a"], [""]), ArgumentError, "a text that is not empty"),
        (lambda: character_error_rate(["a"], []), ShapeError, "character_error_rate: .* list of 1 and list of 0"),
    ],
)
def test_bad_input_is_refused(call, error, message) -> None:
    with pytest.raises(error, match=message):
        call()
