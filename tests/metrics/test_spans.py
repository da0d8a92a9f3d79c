"""Spans against hand counts, against a second way to read tags, and against every way to write the same spans."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tinygrad_seq.errors import DataError, ShapeError
from tinygrad_seq.metrics import Score, find_spans, score_spans

TAGS = st.lists(st.sampled_from(["O", *(f"{prefix}-{label}" for prefix in "BIES" for label in "XY")]), max_size=12)


@pytest.mark.parametrize(
    ("tags", "spans"),
    [
        ("", []),
        ("O O", []),
        ("B-X I-X O", [("X", 0, 2)]),
        ("B-X B-X", [("X", 0, 1), ("X", 1, 2)]),
        ("S-X O B-X I-X E-X", [("X", 0, 1), ("X", 2, 5)]),
        ("E-X I-X", [("X", 0, 1), ("X", 1, 2)]),
        ("S-X I-X E-X", [("X", 0, 1), ("X", 1, 3)]),
        ("I-X I-Y I-Y", [("X", 0, 1), ("Y", 1, 3)]),
        ("O I-X", [("X", 1, 2)]),
        ("B I O B", [("", 0, 2), ("", 3, 4)]),
        ("B-NEW-YORK I-NEW-YORK", [("NEW-YORK", 0, 2)]),
    ],
)
def test_spans(tags, spans) -> None:
    assert find_spans(tags.split()) == spans


def borders(tags: list[str]) -> list[tuple[str, int, int]]:
    """The rules of conlleval: is there an end between two tags, is there a beginning?"""
    spans, start = [], 0
    for position, (before, tag) in enumerate(zip(["O", *tags], [*tags, "O"], strict=True)):
        (b, _, old), (a, _, new) = before.partition("-"), tag.partition("-")
        if b != "O" and (b + a in {"BB", "BS", "BO", "IB", "IS", "IO"} or b in "ES" or old != new):
            spans.append((old, start, position))
        if a in "BS" or (b in "ESO" and a in "EI") or (a != "O" and old != new):
            start = position
    return spans


@given(TAGS)
def test_spans_are_those_of_conlleval(tags) -> None:
    assert find_spans(tags) == borders(tags)


@given(st.lists(st.tuples(st.sampled_from("OXY"), st.integers(1, 4)), max_size=6))
def test_both_notations_mark_the_same_spans(pieces) -> None:
    bio, iobes, expected, start = [], [], [], 0
    for label, length in pieces:
        if label == "O":
            bio += ["O"] * length
            iobes += ["O"] * length
        else:
            bio += [f"B-{label}", *[f"I-{label}"] * (length - 1)]
            one = [f"S-{label}"]
            iobes += one if length == 1 else [f"B-{label}", *[f"I-{label}"] * (length - 2), f"E-{label}"]
            expected.append((label, start, start + length))
        start += length
    assert find_spans(bio) == find_spans(iobes) == expected


def test_scores_by_hand() -> None:
    expected = [["B-PER", "I-PER", "O", "B-LOC"], ["B-LOC", "O", "B-LOC", "I-LOC"]]
    found = [["B-PER", "I-PER", "O", "B-PER"], ["B-LOC", "O", "B-LOC", "O"]]
    micro, labels = score_spans(found, expected)
    assert micro == Score(correct=2, found=4, expected=4)
    assert labels == {"LOC": Score(1, 2, 3), "PER": Score(1, 2, 1)}
    assert (labels["LOC"].precision, labels["LOC"].recall) == (1 / 2, 1 / 3)
    assert labels["LOC"].f1 == pytest.approx(2 / 5)
    assert micro.precision == micro.recall == micro.f1 == 0.5


def test_the_published_example_of_seqeval() -> None:
    """README of seqeval: micro F1 0.50, MISC 0, PER 1."""
    expected = [["O", "O", "O", "B-MISC", "I-MISC", "I-MISC", "O"], ["B-PER", "I-PER", "O"]]
    found = [["O", "O", "B-MISC", "I-MISC", "I-MISC", "I-MISC", "O"], ["B-PER", "I-PER", "O"]]
    micro, labels = score_spans(found, expected)
    assert micro.f1 == 0.5
    assert (labels["MISC"].f1, labels["PER"].f1) == (0, 1)


def test_nothing_found_and_nothing_there_is_zero_not_an_error() -> None:
    micro, labels = score_spans([["O"]], [["O"]])
    assert micro.precision == micro.recall == micro.f1 == 0
    assert labels == {}


@given(TAGS)
def test_the_right_tags_score_one(tags) -> None:
    micro, _ = score_spans([tags], [tags])
    assert micro.f1 == (1 if find_spans(tags) else 0)


@pytest.mark.parametrize("tag", ["CITY", "X-CITY", "", "b-CITY", "O-CITY", 3])
def test_unknown_tags_are_refused(tag) -> None:
    with pytest.raises(DataError, match="find_spans: expected O, or B, I, E or S"):
        find_spans(["O", tag])


def test_what_is_no_list_is_refused() -> None:
    for tags in ("O B-CITY", 3):
        with pytest.raises(DataError, match="find_spans: expected a list of tags, got"):
            find_spans(tags)  # type: ignore[arg-type]
        with pytest.raises(DataError, match="score_spans: expected a list of sequences of tags, got"):
            score_spans(tags, [["O"]])  # type: ignore[arg-type]


def test_unequal_numbers_are_refused() -> None:
    with pytest.raises(ShapeError, match="got 1 and 2; pass lists"):
        score_spans([["O"]], [["O"], ["O"]])
    with pytest.raises(ShapeError, match="got 1 and 2 in sequence 1"):
        score_spans([["O"], ["O"]], [["O"], ["O", "O"]])
