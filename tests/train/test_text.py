from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tinygrad_seq.data import Vocabulary, load_corpus
from tinygrad_seq.data.words import END_OF_UNIT
from tinygrad_seq.errors import DataError
from tinygrad_seq.train.text import encode_corpus, units
from tinygrad_seq.train.writer import Writer


@pytest.mark.parametrize(
    ("unit", "expected"),
    [
        ("paragraph", ["a\n b", "  c", "d"]),
        ("line", ["a", " b", "  c", "d"]),
        ("document", ["a\n b\n\n \n  c", "d"]),
    ],
)
def test_units(tmp_path: Path, unit: str, expected: list[str]) -> None:
    (tmp_path / "1.txt").write_text("\n\na\n b\n\n \n  c\n", encoding="utf-8")
    (tmp_path / "2.txt").write_text("d", encoding="utf-8")
    assert list(units(load_corpus(tmp_path), unit)) == expected


def test_encoded_text_has_eos_around_every_unit(tmp_path: Path) -> None:
    (tmp_path / "x.txt").write_text("ab\n\nba\nb\n", encoding="utf-8")
    corpus = load_corpus(tmp_path / "x.txt")
    vocabulary = Vocabulary.build("abab\n")
    text = encode_corpus(corpus, vocabulary, "line", 0.5)
    tokens = [*text.training, *text.validation]
    assert vocabulary.decode(tokens) == "<EOS>ab<EOS>ba<EOS>b<EOS>"
    assert (len(text.training), len(text.validation)) == (4 + 1, 4)
    assert text.characters_per_token == 1.0


def test_words_count_their_characters(tmp_path: Path) -> None:
    (tmp_path / "x.txt").write_text("one two\nthree\n", encoding="utf-8")
    corpus = load_corpus(tmp_path / "x.txt")
    text = encode_corpus(corpus, Vocabulary.build(corpus, "word"), "line", 0.5)
    assert text.characters_per_token == (1 + 8 + 6) / 6


@pytest.mark.parametrize(("content", "message"), [(" \n\n\n", "only blank lines"), ("a", "at least 2 held-out")])
def test_blank_or_tiny_corpus_is_refused(tmp_path: Path, content: str, message: str) -> None:
    (tmp_path / "x.txt").write_text(content, encoding="utf-8")
    corpus = load_corpus(tmp_path / "x.txt")
    with pytest.raises(DataError, match=message):
        encode_corpus(corpus, Vocabulary.build("ab"), "line", 0.4)


@given(st.lists(st.sampled_from(["the", "cat", ",", '"', "(", ")", ".", "\n", "<EOS>"]), max_size=30))
def test_writing_piece_by_piece_is_writing_at_once(tokens: list[str]) -> None:
    vocabulary = Vocabulary(["the", "cat", ",", '"', "(", ")", ".", "\n"], "word")
    writer = Writer(vocabulary, "line")
    marked = [END_OF_UNIT if token == "<EOS>" else token for token in tokens]
    pieces = "".join(writer.write(int(token)) for token in vocabulary.encode(marked))
    parts = " ".join(tokens).split("<EOS>")
    whole = "\n".join(vocabulary.decode(vocabulary.encode(part)) for part in parts)
    assert pieces == whole


def test_hidden_tokens_are_padding_and_unknown() -> None:
    assert Writer(Vocabulary.build("ab"), "line").hidden == [Vocabulary.pad, Vocabulary.unk]
