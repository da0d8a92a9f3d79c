"""The levels: what a token is, exact round trips, counting and looking up, speed and memory."""

from __future__ import annotations

import collections
import sys
import time
import tracemalloc
from collections.abc import Callable, Iterator
from typing import Any, get_args

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tinygrad_seq.data import Vocabulary, load_corpus
from tinygrad_seq.data.levels import Level, Whitespace
from tinygrad_seq.data.vocabulary import _LEVELS
from tinygrad_seq.data.words import END_OF_UNIT
from tinygrad_seq.errors import ArgumentError, DataError
from tinygrad_seq.train.config import LEVELS

ANY = st.text(st.characters(exclude_categories=()) | st.sampled_from("ab \n\té😀\u0301\0" + END_OF_UNIT), max_size=60)
TEXT = st.text(st.characters(codec="utf-8") | st.sampled_from("ab \n\té😀\u0301\0"), max_size=60)


@pytest.fixture(scope="module")
def subwords() -> Vocabulary:
    return Vocabulary.build(["the cat and the dog, the café and the 😀\n" * 50], "subword", max_size=300)


def test_every_level_has_a_class_and_is_a_setting() -> None:
    assert tuple(_LEVELS) == get_args(Level) == LEVELS


# ---------------------------------------------------------------------------------------------------- characters


@given(st.lists(ANY, max_size=5))
def test_characters_are_counted_as_a_counter_counts_them(texts: list[str]) -> None:
    expected = collections.Counter("".join(texts))
    found = _LEVELS["char"].count(texts)
    assert found == expected


@given(ANY, ANY)
def test_characters_are_looked_up_as_a_dict_looks_them_up(known: str, text: str) -> None:
    tokens = [character for character in dict.fromkeys(known) if not "\ud800" <= character <= "\udfff"]
    vocabulary = Vocabulary(tokens)
    index = {END_OF_UNIT: 2} | {token: i for i, token in enumerate(tokens, 3)}
    assert vocabulary.encode(text).tolist() == [index.get(character, 1) for character in text]


def test_long_texts_are_converted_in_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    texts = ["abcabd", "", "e" * 7, "ba"]
    vocabulary = Vocabulary.build(texts)
    monkeypatch.setattr("tinygrad_seq.data.levels._CHUNK", 3)
    assert Vocabulary.build(texts) == vocabulary
    assert vocabulary.decode(vocabulary.encode("".join(texts), strict=True)) == "".join(texts)


def test_lists_of_characters_are_counted_too() -> None:
    assert Vocabulary.build([["a", "b"], "bb"]).tokens[3:] == ("b", "a")
    with pytest.raises(DataError, match="single characters, got 'New York'"):
        Vocabulary.build([["New York"], "a"])


def test_characters_take_nanoseconds_and_little_memory() -> None:
    text = "the cat, the dög 😀.\n" * 200_000  # a Python loop takes 65 ns per character
    began = time.process_time()
    vocabulary = Vocabulary.build([text])
    built = time.process_time() - began
    tracemalloc.start()
    began = time.process_time()
    indices = vocabulary.encode(text)
    encoded = time.process_time() - began
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert built < 25e-9 * len(text)
    assert encoded < 25e-9 * len(text)
    assert peak < indices.nbytes + 40e6


# ---------------------------------------------------------------------------------------------------- whitespace


def test_a_pre_tokenised_corpus_keeps_its_tokens() -> None:
    text = " the <unk> 's well @-@ known , N % of <eos>\n it is n't\t.\n"
    vocabulary = Vocabulary.build(text, "whitespace")
    indices = vocabulary.encode(text, strict=True)
    tokens = [vocabulary.token(index) for index in indices]
    assert tokens == [*text.splitlines()[0].split(), "\n", "it", "is", "n't", ".", "\n"]
    assert vocabulary.decode(indices) == "the <unk> 's well @-@ known , N % of <eos>\nit is n't .\n"


def test_lines_as_units_have_the_published_number_of_tokens() -> None:
    lines = ["the cat sat", "", "it <unk> ."]
    text = "\n".join(lines)
    vocabulary = Vocabulary.build(text, "whitespace")
    ends = vocabulary.encode("".join(line + END_OF_UNIT for line in lines), strict=True)
    assert ends.tolist() == vocabulary.encode_all(lines, eos=True).tolist()
    assert len(ends) == len(text.split()) + 3 == len(vocabulary.encode(text + "\n"))


@given(ANY)
def test_white_space_tokens_are_those_of_split(text: str) -> None:
    tokens = Whitespace.split(text)
    words = text.replace(END_OF_UNIT, f" {END_OF_UNIT} ").split()
    assert [token for token in tokens if token != "\n"] == words
    assert tokens.count("\n") == text.count("\n")


@pytest.mark.parametrize("level", ["word", "whitespace"])
@given(text=TEXT.filter(lambda text: not text.isspace() and text != ""))
def test_decoded_text_has_the_same_tokens(level: Level, text: str) -> None:
    vocabulary = Vocabulary.build(text, level)
    indices = vocabulary.encode(text, strict=True)
    np.testing.assert_array_equal(vocabulary.encode(vocabulary.decode(indices), strict=True), indices)


# ------------------------------------------------------------------------------------------------------- subwords


@given(text=TEXT)
def test_subwords_come_back_exactly(subwords: Vocabulary, text: str) -> None:
    indices = subwords.encode(text, strict=True)
    assert subwords.decode(indices) == text
    assert len(indices) <= len(text.encode())
    assert indices.dtype == np.int64


@given(parts=st.lists(TEXT, max_size=4))
def test_ends_of_units_between_subwords(subwords: Vocabulary, parts: list[str]) -> None:
    whole = subwords.encode(END_OF_UNIT.join(parts))
    pieces = [subwords.encode(part, eos=i < len(parts) - 1) for i, part in enumerate(parts)]
    assert whole.tolist() == [index for piece in pieces for index in piece]


def test_frequent_words_are_one_subword(subwords: Vocabulary) -> None:
    assert 256 < len(subwords) - 3 <= 300
    assert subwords.token(subwords.encode(" the").item()) == "Ġthe"
    assert [subwords.decode([index]) for index in subwords.encode("the thecat")] == ["the", " the", "ca", "t"]


def test_each_subword_of_a_corpus_is_encoded_as_itself() -> None:
    corpus = load_corpus("pydoc").read()[:100_000]
    vocabulary = Vocabulary.build(corpus, "subword", max_size=1500)
    assert len(vocabulary) == 1500 + 3
    for index in range(3 + 256, len(vocabulary)):
        text = vocabulary.decode([index])
        assert "\ufffd" in text or vocabulary.encode(text).tolist() == [index]
    assert len(vocabulary.encode(corpus)) < len(corpus) / 3


def test_an_incomplete_character_waits_for_its_bytes(subwords: Vocabulary) -> None:
    indices = subwords.encode("ж€").tolist()
    assert len(indices) == 2 + 3
    decoder = subwords.decoder()
    assert [decoder.add(index) for index in indices] == ["", "ж", "", "", "€"]
    assert decoder.finish() == ""
    assert subwords.decode(indices[:-1]) == "ж\ufffd"
    assert subwords.decode([indices[0], subwords.eos]) == "\ufffd<EOS>"


def test_a_saved_subword_vocabulary_encodes_in_the_same_way(
    subwords: Vocabulary, tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = tmp_path_factory.mktemp("subwords") / "v.json"
    subwords.save(path)
    loaded = Vocabulary.load(path)
    text = "the dog, a catalogue of cafés 😀 and 1,000 others\n"
    assert loaded == subwords
    assert loaded.digest == subwords.digest
    assert loaded.encode(text).tolist() == subwords.encode(text).tolist()


def test_subwords_need_room_for_the_bytes_and_text() -> None:
    with pytest.raises(ArgumentError, match=r"max_size >= 256 at level 'subword'.* got 255"):
        Vocabulary.build("abc", "subword", max_size=255)
    with pytest.raises(DataError, match="got 0 tokens"):
        Vocabulary.build(["", END_OF_UNIT], "subword")
    assert len(Vocabulary.build("abc", "subword", max_size=256)) == 256 + 3
    often = Vocabulary.build("ab " * 9 + "cd " * 5, "subword", min_count=6)
    assert {"ab", "Ġab"} & set(often.tokens)
    assert not {"cd", "Ġcd"} & set(often.tokens)


@pytest.mark.parametrize("error", [KeyboardInterrupt, ZeroDivisionError])
def test_an_error_while_texts_are_read_passes_through(error: type[BaseException]) -> None:
    def texts() -> Iterator[str]:
        yield "the cat"
        raise error

    for level in get_args(Level):
        with pytest.raises(error):
            Vocabulary.build(texts(), level)


def test_a_missing_library_is_named(monkeypatch: pytest.MonkeyPatch, subwords: Vocabulary) -> None:
    loaded = Vocabulary(subwords.tokens[3:], "subword")
    monkeypatch.setitem(sys.modules, "tokenizers", None)
    calls: list[Callable[[], Any]] = [
        lambda: Vocabulary.build("abc", "subword"),
        lambda: loaded.encode("abc"),
    ]
    for call in calls:
        with pytest.raises(ArgumentError, match=r"pip install 'tinygrad-seq\[subwords\]'"):
            call()
    assert loaded.decode(subwords.encode("the cat")) == "the cat"


# ---------------------------------------------------------------------------------------- conversions of the text


@given(text=TEXT)
@pytest.mark.parametrize("level", ["char", "subword"])
def test_lower_case_and_composition(level: Level, text: str) -> None:
    options: dict[str, Any] = {"lowercase": True, "nfc": True, "max_size": 256 if level == "subword" else 10_000}
    vocabulary = Vocabulary.build("x" + text, level, **options)
    once = vocabulary.decode(vocabulary.encode(text, strict=True))
    assert vocabulary.decode(vocabulary.encode(once, strict=True)) == once


def test_prompts_are_converted_as_the_corpus_was() -> None:
    vocabulary = Vocabulary.build(["Cafe\u0301 ÉTÉ"], lowercase=True, nfc=True)
    assert set(vocabulary.tokens[3:]) == set("café t")
    assert vocabulary.encode("CAFE\u0301", strict=True).tolist() == vocabulary.encode("café", strict=True).tolist()
    assert vocabulary.encode(["É"], strict=True).item() == vocabulary.index("é")
    assert repr(vocabulary) == "Vocabulary(9 tokens, level='char', lowercase=True, nfc=True)"
    plain = Vocabulary(vocabulary.tokens[3:])
    assert plain != vocabulary
    assert plain.digest != vocabulary.digest
    with pytest.raises(DataError, match="'É' U\\+00C9"):
        plain.encode("É", strict=True)


@pytest.mark.parametrize("option", ["lowercase", "nfc"])
def test_an_option_that_is_no_bool(option: str) -> None:
    options: dict[str, Any] = {option: "yes"}
    with pytest.raises(ArgumentError, match=f"expected {option} to be True or False, got 'yes'"):
        Vocabulary.build("abc", **options)


# ------------------------------------------------------------------------------------------------ unknown tokens


def test_all_unknown_characters_are_named_once_with_code_points() -> None:
    vocabulary = Vocabulary("abc ")
    with pytest.raises(DataError) as raised:
        vocabulary.encode("aéé b\u200bж a\udc80", strict=True)
    message = str(raised.value)
    assert "got 4 unknown: 'é' U+00E9, '\\u200b' U+200B, 'ж' U+0436, '\\udc80' U+DC80;" in message
    assert "<UNK>" not in message  # in a text these are five characters


def test_unknown_words_are_named_with_the_code_points_of_look_alikes() -> None:
    vocabulary = Vocabulary.build("the cat sat", "word")
    with pytest.raises(DataError, match=r"got 2 unknown: 'dog', 'сat' U\+0441;"):
        vocabulary.encode("the dog dog сat", strict=True)


def test_a_text_in_another_script_gives_a_short_message() -> None:
    text = "".join(map(chr, range(0x4E00, 0x4E00 + 5000)))
    with pytest.raises(DataError, match=r"got 5,000 unknown: .* and 4,900 more; remove or replace them") as raised:
        Vocabulary("abc").encode(text, strict=True)
    assert len(str(raised.value)) < 2000


@pytest.mark.parametrize("level", get_args(Level))
def test_a_text_with_lone_surrogates_gives_no_vocabulary(level: Level, subwords: Vocabulary) -> None:
    if level == "subword":  # nothing else is unknown to it
        assert subwords.encode("a\udc80a").tolist() == [subwords.index("a"), subwords.unk, subwords.index("a")]
        with pytest.raises(DataError, match=r"got 1 unknown: '\\udc80' U\+DC80"):
            subwords.encode("a\udc80", strict=True)
    else:
        with pytest.raises(DataError, match="valid Unicode"):
            Vocabulary.build("a \udc80", level)


# ------------------------------------------------------------------------------------------------------ decoding


@pytest.mark.parametrize("level", get_args(Level))
@given(data=st.data())
def test_decoding_one_by_one_is_decoding_at_once(level: Level, data: st.DataObject) -> None:
    words = "the cat ,\"()' . é😀 \n \n"
    vocabulary = Vocabulary.build([words], level, max_size=256 if level == "subword" else 10_000)
    indices = data.draw(st.lists(st.integers(0, len(vocabulary) - 1), max_size=30))
    decoder = vocabulary.decoder()
    assert "".join(map(decoder.add, indices)) + decoder.finish() == vocabulary.decode(indices)


@pytest.mark.parametrize("level", get_args(Level))
def test_decoding_a_long_line_is_linear(level: Level) -> None:
    vocabulary = Vocabulary.build(["the cat sat on a mat and ran"], level)
    decoder = vocabulary.decoder()
    began = time.process_time()
    for i in range(50_000):
        decoder.add(3 + i % (len(vocabulary) - 3))
    assert time.process_time() - began < 2  # 0.05 s; a quadratic one takes minutes
