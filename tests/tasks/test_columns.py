"""Columns: what entries become, and which are refused."""

from __future__ import annotations

import json

import numpy as np
import pytest

from tinygrad_seq.errors import ArgumentError, DataError
from tinygrad_seq.tasks import guess_kind
from tinygrad_seq.tasks.columns import Spelled, Values, column_from, fit_column, to_round_size


def fitted(entries, kind, letters=False, max_words=100):
    return fit_column("x", entries, kind, np.arange(len(entries)), max_words=max_words, letters=letters)


@pytest.mark.parametrize(
    ("entries", "kind"),
    [
        (["a good film", "a bad one", "fine"], "words"),
        (["Ada", "Grace", "von Neumann"], "letters"),
        ([["Ada", "met"], ["Bob"]], "words"),
        ([[1.0, 2.0], [3]], "numbers"),
        ([np.zeros((3, 2)), np.zeros((1, 2))], "numbers"),
        (np.zeros((4, 3)), "numbers"),
        ([1.5, 2.0], "number"),
        (np.arange(3), "number"),
    ],
)
def test_kinds_are_guessed(entries, kind: str) -> None:
    assert guess_kind(entries) == kind


def test_texts_become_indices_and_unknown_tokens_unk() -> None:
    column = fitted(["b a", "b c"], "words")
    encoded = column.encode("x", ["a b", "z"])
    assert isinstance(encoded, Values)
    assert encoded.values.tolist() == [4, 3, 1]
    assert encoded.lengths is not None
    assert encoded.lengths.tolist() == [2, 1]
    assert column.frequent == 4  # "b" is read twice, "a" and "c" once


def test_a_batch_spells_each_of_its_words_once() -> None:
    column = fitted([["ab", "c"], ["ab", "ab", "abc"]], "words", letters=True)
    encoded = column.encode("x", [["ab", "c"], ["ab", "ab", "abc"]])
    assert isinstance(encoded, Spelled)
    words, letters, sizes, places = encoded.at(np.array([1]), np.array([[2], [3], [4]]))
    assert words.shape == places.shape == (3, 1)
    spelled = [letters[:size, n] for n, size in enumerate(sizes)]
    expected = [column.letters.encode(word).tolist() for word in ("ab", "ab", "abc")]
    assert [spelled[place].tolist() for place in places[:, 0]] == expected
    assert len(spelled) == 2


def test_numbers_are_standardised() -> None:
    entries = [np.array([[1.0, 5.0], [3.0, 5.0]]), np.array([[5.0, 5.0]])]
    column = fitted(entries, "numbers")
    values = column.encode("x", entries).values
    np.testing.assert_allclose(values[:, 0].mean(), 0, atol=1e-6)
    np.testing.assert_allclose(values[:, 0].std(), 1, rtol=1e-6)
    assert not values[:, 1].any()  # a constant feature
    array = np.stack([entries[0], entries[0]])
    np.testing.assert_array_equal(column.encode("x", array).values, column.encode("x", list(array)).values)


@pytest.mark.parametrize("unit", [1e-300, 1e-14, 1e-3, 1e14, 1e300])
def test_the_unit_of_numbers_changes_nothing(unit: float) -> None:
    entries = np.array([[1.0, 2.0, -4.0], [0.5, 8.0, 3.0]])
    found = fitted(entries * unit, "numbers").encode("x", entries * unit)
    np.testing.assert_allclose(found.values, fitted(entries, "numbers").encode("x", entries).values, rtol=1e-6)


def test_numbers_far_from_those_of_the_training_data_are_refused() -> None:
    column = fitted([[1.0, 2.0]], "numbers")
    with pytest.raises(DataError, match=r"numbers that float32 can hold after standardising, got 1e\+60 in row 1"):
        column.encode("x", [[1.0], [2.0, 1e60]])


@pytest.mark.parametrize(
    ("entries", "kind"),
    [(["ab", "b"], "letters"), ([["ab", "c"]], "words"), (["u", "v"], "category"), ([1, 2], "number")],
)
def test_a_column_survives_json(entries, kind: str) -> None:
    column = fitted(entries, kind, letters=True)
    again = column_from(json.loads(json.dumps(column.content())))
    assert again.content() == column.content()
    found, expected = (one.encode("x", entries) for one in (again, column))
    for name, value in vars(expected).items():
        np.testing.assert_array_equal(getattr(found, name), value)


@pytest.mark.parametrize(
    ("entries", "kind", "message"),
    [
        (["a", ""], "letters", "at least one letter, got '' in row 1"),
        (["a b", "  "], "words", "at least one word, got '  ' in row 1"),
        ([["a"], ["b", ""]], "words", "non-empty words, got '' among them in row 1"),
        ([["a"], [None]], "words", "got None among them in row 1"),
        (["a", None], "words", "a string or a list of words, got None in row 1"),
        (["a", np.zeros(3)], "letters", "a string, got array"),
        (["u", 3], "category", "a string, got 3 in row 1"),
        ([[1.0], []], "numbers", r"for one step or more, got shape \(0,\) in row 1"),
        ([[1.0], 2.0], "numbers", r"got shape \(\) in row 1"),
        (
            [np.zeros((2, 3)), np.zeros((2, 4))],
            "numbers",
            r"numbers of shape \('T', 3\) as in row 0, got shape \(2, 4\)",
        ),
        ([[1.0], [1.0, np.nan]], "numbers", "finite numbers, got nan in row 1; fill in"),
        (np.array([[1.0, np.inf]]), "numbers", "finite numbers, got inf in row 0"),
        ([[1.0], "abc"], "numbers", "numbers, got 'abc' in row 1"),
        ([[1.0], [[1.0], [2.0, 3.0]]], "numbers", "numbers, got .* in row 1"),
        ([1.0, [1.0, 2.0]], "number", r"one number, got shape \(2,\) in row 1"),
    ],
)
def test_a_wrong_entry_is_named(entries, kind: str, message: str) -> None:
    with pytest.raises(DataError, match=f"column 'x': expected .*{message}"):
        fitted(entries, kind)


def test_other_features_than_in_training_are_refused() -> None:
    column = fitted([[1.0, 2.0]], "numbers")
    with pytest.raises(DataError, match="expected 1 features, as in training, got 2"):
        column.encode("x", [np.zeros((3, 2))])


def test_an_unknown_kind_is_refused() -> None:
    with pytest.raises(ArgumentError, match="one of letters, words, numbers, number, category, got 'text'"):
        fitted(["a"], "text")


@pytest.mark.parametrize(
    ("count", "size"), [(1, 1), (2, 2), (3, 3), (4, 4), (5, 6), (7, 8), (9, 12), (13, 16), (100, 128)]
)
def test_round_sizes(count: int, size: int) -> None:
    rows = to_round_size(np.arange(count))
    assert len(rows) == size
    assert rows[:count].tolist() == list(range(count))
    assert (rows[count:] == count - 1).all()
