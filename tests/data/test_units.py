"""Units as a stream: any cut into pieces gives what splitting the whole document at once gives."""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tinygrad_seq.data import units
from tinygrad_seq.data.units import mark_units
from tinygrad_seq.data.words import END_OF_UNIT

SPLIT: dict[str, Callable[[str], list[str]]] = {
    "paragraph": re.compile(r"\n\s*\n").split,
    "line": lambda text: text.split("\n"),
    "document": lambda text: [text],
}
UNITS = pytest.mark.parametrize("unit", SPLIT)


def oracle(documents: list[str], unit: str) -> str:
    """The units as version 0.1.0 found them: each document in memory, one Python string per unit."""
    found = [part.strip("\n") for text in documents for part in SPLIT[unit](text) if part.strip()]
    return END_OF_UNIT + "".join(part + END_OF_UNIT for part in found)


TEXTS = st.text(st.sampled_from("ab \n\n\n\t\r\u2028\x85é𝄞"), max_size=40)


@st.composite
def documents_in_pieces(draw: st.DrawFn) -> list[list[str]]:
    documents = []
    for text in draw(st.lists(TEXTS, max_size=4)):
        cuts = sorted(draw(st.lists(st.integers(0, len(text)), max_size=6)))
        pieces = [text[a:b] for a, b in zip([0, *cuts], [*cuts, len(text)], strict=True)]
        documents.append([piece for piece in pieces if piece])
    return documents


@UNITS
@settings(max_examples=max(300, settings().max_examples))
@given(documents=documents_in_pieces(), size=st.integers(1, 12), longest=st.integers(0, 10))
def test_any_cut_gives_the_units_of_the_whole(unit: str, documents, size: int, longest: int) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(units, "PIECE", size)
        patch.setattr(units, "_LONGEST", longest)
        pieces = list(mark_units(documents, unit))
    assert "".join(pieces) == oracle(["".join(document) for document in documents], unit)
    assert all(pieces)


@UNITS
@given(documents=documents_in_pieces(), size=st.integers(1, 12))
def test_no_word_is_cut(unit: str, documents, size: int) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(units, "PIECE", size)
        pieces = list(mark_units(documents, unit))
    for left, right in itertools.pairwise(pieces):
        assert left[-1] == END_OF_UNIT or right[0] == END_OF_UNIT or right[0].isspace()


@UNITS
@pytest.mark.parametrize("character", ["a", " ", "\n"])
def test_a_document_of_one_character_takes_linear_time_and_little_memory(unit: str, character: str) -> None:
    pieces = mark_units([[character * 1000] * 20_000], unit)
    longest = max(map(len, pieces))
    assert longest <= units._LONGEST + units.PIECE + 1000
