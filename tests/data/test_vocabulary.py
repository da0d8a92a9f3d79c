"""Vocabulary: order, special tokens, encoding both ways, unknown tokens, files."""

from __future__ import annotations

import errno
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tinygrad_seq.data import Vocabulary
from tinygrad_seq.data.vocabulary import Level
from tinygrad_seq.data.words import END_OF_UNIT
from tinygrad_seq.errors import ArgumentError, CheckpointError, DataError, DtypeError, IndexRangeError, ShapeError

SPECIAL = ("<PAD>", "<UNK>", "<EOS>")


# ------------------------------------------------------------------------------------------------------ building


def test_special_tokens_come_first_and_the_most_frequent_next() -> None:
    vocabulary = Vocabulary.build("abbccc")
    assert vocabulary.tokens == (*SPECIAL, "c", "b", "a")
    assert (vocabulary.pad, vocabulary.unk, vocabulary.eos) == (0, 1, 2)
    assert len(vocabulary) == 6


def test_ties_do_not_depend_on_the_order_of_the_text() -> None:
    assert Vocabulary.build("zyx").tokens == Vocabulary.build("xyz").tokens == (*SPECIAL, "x", "y", "z")


def test_texts_are_read_once_as_a_stream() -> None:
    alive = 0

    def texts() -> Iterator[str]:
        nonlocal alive
        for _ in range(3):
            alive += 1
            yield "the cat"

    stream = texts()
    assert Vocabulary.build(stream, "word").tokens == (*SPECIAL, "cat", "the")
    assert alive == 3
    assert next(stream, None) is None


def test_ten_thousand_words_by_default() -> None:
    text = " ".join(f"w{i}" for i in range(10_500)) + " often often"
    vocabulary = Vocabulary.build([text], level="word")
    assert len(vocabulary) == 10_003
    assert vocabulary.token(3) == "often"


def test_max_size_and_min_count() -> None:
    assert Vocabulary.build("aaabbc", max_size=2).tokens == (*SPECIAL, "a", "b")
    assert Vocabulary.build("aaabbc", min_count=3).tokens == (*SPECIAL, "a")


def test_lists_of_tokens_of_another_tokeniser() -> None:
    vocabulary = Vocabulary.build([["New York", "is"], ["New York", END_OF_UNIT]], level="word")
    assert vocabulary.tokens == (*SPECIAL, "New York", "is")
    assert vocabulary.encode(["is", "New York", END_OF_UNIT]).tolist() == [4, 3, 2]


@pytest.mark.parametrize("texts", ["", [], [""], ["", ""]])
def test_empty_text(texts: str | list[str]) -> None:
    with pytest.raises(DataError, match="got 0 tokens"):
        Vocabulary.build(texts)


def test_no_token_is_frequent_enough() -> None:
    with pytest.raises(DataError, match="occurs 3 times, got 4 tokens"):
        Vocabulary.build("abab", min_count=3)


@pytest.mark.parametrize("option", [{"max_size": -1}, {"max_size": 0}, {"min_count": -2}, {"max_size": 2.5}])
def test_bad_sizes(option: dict[str, Any]) -> None:
    with pytest.raises(ArgumentError, match=next(iter(option))):
        Vocabulary.build("abc", **option)


def test_unknown_level() -> None:
    level: Any = "byte"
    with pytest.raises(ArgumentError, match="'byte'"):
        Vocabulary.build("abc", level)
    with pytest.raises(ArgumentError, match="'byte'"):
        Vocabulary("abc", level)


@pytest.mark.parametrize("tokens", [["a", "a"], ["ab"], [""], [3]])
def test_bad_tokens(tokens: list[str]) -> None:
    with pytest.raises(DataError, match="expected"):
        Vocabulary(tokens)


@pytest.mark.parametrize("level", ["char", "word", "whitespace", "subword"])
def test_the_name_of_a_special_token_is_ordinary_text(level: Level) -> None:
    text = "a <EOS> and <UNK><PAD> here"
    vocabulary = Vocabulary.build([text], level, max_size=300)
    indices = vocabulary.encode(text + END_OF_UNIT, strict=True).tolist()
    assert indices.pop() == vocabulary.eos
    assert min(indices) > vocabulary.eos
    assert vocabulary.encode(vocabulary.decode(indices), strict=True).tolist() == indices
    if level == "whitespace":
        assert vocabulary.index("<EOS>") == indices[1] > vocabulary.eos
    else:
        assert "<EOS>" not in vocabulary
        with pytest.raises(DataError, match="use the attribute unk"):
            vocabulary.index("<EOS>")


# ---------------------------------------------------------------------------------------------------- looking up


def test_looking_up() -> None:
    vocabulary = Vocabulary(["cat", "dog"], "word")
    assert "cat" in vocabulary
    assert "cow" not in vocabulary
    assert "<UNK>" not in vocabulary
    assert vocabulary.index("dog") == 4
    assert vocabulary.token(4) == "dog"
    assert repr(vocabulary) == "Vocabulary(5 tokens, level='word')"


def test_looking_up_what_is_not_there() -> None:
    vocabulary = Vocabulary(["cat"], "word")
    with pytest.raises(DataError, match="'cow'"):
        vocabulary.index("cow")
    for index in (-1, 4):
        with pytest.raises(IndexRangeError, match=f"from 0 to 3, got {index}"):
            vocabulary.token(index)


def test_vocabularies_are_values() -> None:
    assert Vocabulary("ab") == Vocabulary("ab") != Vocabulary("ba")
    assert Vocabulary("ab") != Vocabulary("ab", "word")
    assert len({Vocabulary("ab"), Vocabulary("ab")}) == 1


# ------------------------------------------------------------------------------------------- texts and indices


def test_the_sentence_of_the_course() -> None:
    vocabulary = Vocabulary.build(["Cats average 15 hours of sleep a day."], "word")
    indices = vocabulary.encode("Cats average 15 hours of bread a day.", eos=True)
    assert indices.dtype == np.int64
    assert vocabulary.decode(indices) == "Cats average 15 hours of <UNK> a day. <EOS>"
    assert vocabulary.decode(indices, skip_special=True) == "Cats average 15 hours of a day."


def test_strict_names_the_token() -> None:
    vocabulary = Vocabulary.build(["the cat"], "word")
    assert vocabulary.encode("the cow").tolist() == [4, 1]
    with pytest.raises(DataError, match="'cow'"):
        vocabulary.encode("the cow", strict=True)
    assert vocabulary.encode("the cat", strict=True).tolist() == [4, 3]


def test_encode_all_is_one_after_the_other() -> None:
    vocabulary = Vocabulary("ab")
    assert vocabulary.encode_all(iter(["ab", "", "b"])).tolist() == [3, 4, 4]
    assert vocabulary.encode_all(["ab", "b"], eos=True).tolist() == [3, 4, 2, 4, 2]
    assert vocabulary.encode_all("ab", eos=True).tolist() == [3, 4, 2]
    with pytest.raises(DataError, match="'c'"):
        vocabulary.encode_all(["ab", "bc"], strict=True)


def test_nothing_encodes_and_decodes_to_nothing() -> None:
    vocabulary = Vocabulary("ab")
    assert vocabulary.encode("").shape == (0,) == vocabulary.encode_all([]).shape
    assert vocabulary.encode("").dtype == np.int64 == vocabulary.encode_all([]).dtype
    assert vocabulary.decode([]) == ""


@pytest.mark.parametrize("text", [b"ab", [3, 4], 5, None])
def test_what_is_no_text(text: Any) -> None:
    with pytest.raises(DtypeError, match="expected a text"):
        Vocabulary("ab").encode(text)


def test_bad_indices() -> None:
    vocabulary = Vocabulary("ab")
    with pytest.raises(IndexRangeError, match="from 0 to 4, got 5"):
        vocabulary.decode([3, 5])
    with pytest.raises(IndexRangeError, match="got -1"):
        vocabulary.decode([-1])
    with pytest.raises(ShapeError, match=r"\(1, 2\)"):
        vocabulary.decode([[3, 4]])
    with pytest.raises(DtypeError, match="float64"):
        vocabulary.decode([3.0])


@given(st.text(min_size=1, max_size=50))
def test_characters_come_back_exactly(text: str) -> None:
    vocabulary = Vocabulary.build(text)
    assert vocabulary.decode(vocabulary.encode(text, strict=True)) == text


@given(
    st.text(st.sampled_from("ab1 \n.,'\"()"), min_size=1, max_size=50).filter(
        lambda text: not text.isspace() or "\n" in text
    )
)
def test_words_come_back_as_the_same_indices(text: str) -> None:
    vocabulary = Vocabulary.build([text], "word")
    indices = vocabulary.encode(text, strict=True)
    np.testing.assert_array_equal(vocabulary.encode(vocabulary.decode(indices), strict=True), indices)


# ---------------------------------------------------------------------------------------------------------- files


@given(text=st.text(min_size=1))
def test_saved_and_loaded(tmp_path_factory: pytest.TempPathFactory, text: str) -> None:
    path = tmp_path_factory.mktemp("vocabulary") / "v.json"
    vocabulary = Vocabulary.build(text)
    vocabulary.save(path)
    assert Vocabulary.load(path) == vocabulary


def test_the_file_is_json_with_a_version(tmp_path: Path) -> None:
    Vocabulary(["cat"], "word").save(tmp_path / "v.json")
    assert json.loads((tmp_path / "v.json").read_text()) == {
        "format": "tinygrad_seq.vocabulary",
        "version": 2,
        "level": "word",
        "lowercase": False,
        "nfc": False,
        "tokens": [*SPECIAL, "cat"],
    }


def test_a_full_disk_keeps_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    path = tmp_path / "v.json"
    Vocabulary("ab").save(path)
    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(CheckpointError, match="free some space"):
        Vocabulary("abc").save(path)
    assert Vocabulary.load(path) == Vocabulary("ab")
    assert list(tmp_path.iterdir()) == [path]


def test_a_file_in_place_of_the_folder(tmp_path: Path) -> None:
    (tmp_path / "folder").write_text("a file")
    with pytest.raises(CheckpointError, match="folder"):
        Vocabulary("ab").save(tmp_path / "folder" / "v.json")


def test_a_missing_file(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="No such file"):
        Vocabulary.load(tmp_path / "none.json")


def test_every_truncation_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "v.json"
    Vocabulary("ab").save(path)
    whole = path.read_bytes().rstrip()
    for size in range(len(whole)):
        path.write_bytes(whole[:size])
        with pytest.raises(CheckpointError, match=f"Vocabulary.load: expected JSON in '{path}'"):
            Vocabulary.load(path)


OLD = {"format": "tinygrad_seq.vocabulary", "version": 1, "level": "char", "tokens": [*SPECIAL, "a"]}
GOOD = {**OLD, "version": 2, "lowercase": False, "nfc": False}


@pytest.mark.parametrize(
    ("content", "got"),
    [
        ([], "got a list"),
        (None, "got a NoneType"),
        ({**GOOD, "format": "else"}, "JSON of another kind"),
        ({**GOOD, "version": 3}, "version 3"),
        ({**GOOD, "version": True}, "version True"),
        ({**GOOD, "version": "1"}, "version '1'"),
        ({**GOOD, "lowercase": 1}, "lowercase to be True or False, got 1"),
        ({name: GOOD[name] for name in OLD}, "lowercase to be True or False, got None"),
        ({**GOOD, "tokens": {"a": 3}}, "no list 'tokens'"),
        ({**GOOD, "tokens": [*SPECIAL, ["a"]]}, r"got \['a'\]"),
        ({**GOOD, "tokens": [*SPECIAL, "\udc80"]}, r"got '\\udc80'"),
        ({**GOOD, "tokens": [*SPECIAL, "\ud800"]}, r"got '\\ud800'"),
        ({**GOOD, "tokens": [*SPECIAL, ""]}, "got ''"),
        ({**GOOD, "tokens": [*SPECIAL, "a" * 10_000]}, "got 'a{79}; leave"),
        ({**GOOD, "level": "subword"}, "a token for each of the 256 bytes, got none for 255"),
        ({**GOOD, "level": "subword", "tokens": [*SPECIAL, "a b"]}, "one printable character per byte"),
        ({**GOOD, "level": "byte"}, "'byte'"),
        ({**GOOD, "level": ["char"]}, "'char'"),
        ({**GOOD, "tokens": None}, "no list 'tokens'"),
        ({**GOOD, "tokens": ["a", "b", "c"]}, "starts with <PAD>"),
        ({**GOOD, "tokens": [*SPECIAL, "a", "a"]}, "'a' twice"),
        ({**GOOD, "tokens": [*SPECIAL, 7]}, "got 7"),
    ],
)
def test_malformed_files(tmp_path: Path, content: object, got: str) -> None:
    path = tmp_path / "v.json"
    path.write_text(json.dumps(content))
    with pytest.raises((DataError, CheckpointError), match=got) as raised:
        Vocabulary.load(path)
    assert str(path) in str(raised.value)
    assert "\n" not in str(raised.value)
    assert len(str(raised.value)) < 600
    path.write_text(json.dumps(GOOD))
    assert Vocabulary.load(path) == Vocabulary("a")


def test_a_file_that_is_not_text(tmp_path: Path) -> None:
    (tmp_path / "v.json").write_bytes(b"\xff\xfe\x00\x81")
    with pytest.raises(CheckpointError, match="expected JSON"):
        Vocabulary.load(tmp_path / "v.json")


@pytest.mark.parametrize("level", ["char", "word"])
def test_a_file_of_version_1_is_the_same_vocabulary(tmp_path: Path, level: str) -> None:
    old = Path(__file__).parents[1] / "train" / "fixtures" / "run_0_1_0" / level / "vocabulary.json"
    assert json.loads(old.read_text())["version"] == 1
    vocabulary = Vocabulary.load(old)
    vocabulary.save(tmp_path / "v.json")
    again = Vocabulary.load(tmp_path / "v.json")
    assert again == vocabulary
    assert again.digest == vocabulary.digest


def test_the_digest_depends_on_the_content_alone() -> None:
    every = [Vocabulary("ab"), Vocabulary("ba"), Vocabulary("ab", "word"), Vocabulary("ab", nfc=True), Vocabulary("a")]
    assert len({vocabulary.digest for vocabulary in every}) == len(every)
    assert Vocabulary("ab").digest == Vocabulary.build("aab").digest
    assert (
        Vocabulary("a").digest == "b19420e51fab5e211ac504149aec0e701278fccc5eb59bcce09955118b8e0e1f"
    )  # for ever: it binds checkpoints to vocabularies
