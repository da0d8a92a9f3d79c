"""Word tokens: what is one, and text that reads well and comes apart the same way."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tinygrad_seq.data import join_words, tokenize_words
from tinygrad_seq.data.words import END_OF_UNIT


@pytest.mark.parametrize(
    ("text", "tokens"),
    [
        ("", []),
        ("  \t ", []),
        ("Cats average 15 hours of sleep a day.", ["Cats", "average", "15", "hours", "of", "sleep", "a", "day", "."]),
        ("don't stop", ["don't", "stop"]),
        ("well-known os.path", ["well-known", "os.path"]),
        ("3.14, 1,000 and a,b", ["3.14", ",", "1,000", "and", "a", ",", "b"]),
        ("wait... what?!", ["wait", "...", "what", "?", "!"]),
        ("one\n\ntwo", ["one", "\n", "\n", "two"]),
        ("naïve Größe кот", ["naïve", "Größe", "кот"]),
        ("A <UNK> cat.<EOS>", ["A", "<", "UNK", ">", "cat", ".", "<", "EOS", ">"]),
        (f"cat{END_OF_UNIT}{END_OF_UNIT}", ["cat", END_OF_UNIT, END_OF_UNIT]),
        ("<unknown>", ["<", "unknown", ">"]),
    ],
)
def test_tokens(text: str, tokens: list[str]) -> None:
    assert tokenize_words(text) == tokens


@pytest.mark.parametrize(
    "text",
    [
        "The apple and pear salad was delicious.",
        'He said: "No, not (again)!", and left.',
        "It's 'quoted' here; `code` there...\nNew line, 50% of 1,000.",
        "“Curly” and «angular» [brackets] {too}.",
    ],
)
def test_usual_text_comes_back_as_it_was(text: str) -> None:
    assert join_words(tokenize_words(text)) == text


def test_a_quote_that_stays_open_ends_with_its_line() -> None:
    text = """The dogs ' bowl.\nA 'big' one."""
    assert join_words(tokenize_words(text)) == """The dogs 'bowl.\nA 'big' one."""


@given(st.text(st.sampled_from("ab1 \n.,'\"`’-()[<>_%é=") | st.characters(), max_size=60))
def test_joined_words_come_apart_into_the_same_tokens(text: str) -> None:
    tokens = tokenize_words(text)
    assert tokenize_words(join_words(tokens)) == tokens


@given(st.text(max_size=80))
def test_only_space_is_dropped(text: str) -> None:
    assert "".join(tokenize_words(text)).replace("\n", "") == "".join(text.split())
