"""A corpus as tokens: the tokens of 0.1.0, parts of text, files that are complete or absent."""

from __future__ import annotations

import itertools
import os
import resource
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.data.test_units import UNITS, oracle
from tinygrad_seq.data import Corpus, Vocabulary, load_corpus
from tinygrad_seq.data import units as unit_stream
from tinygrad_seq.data.words import END_OF_UNIT
from tinygrad_seq.errors import CheckpointError, DataError
from tinygrad_seq.train import TrainingConfig
from tinygrad_seq.train.text import PARTS, Text, Writer, open_text, read_text

SENTENCES = "the cat sat\nthe dog ate\n\nan apple fell\n \n\n  a pear (too)\n"
LEVELS = pytest.mark.parametrize("level", ["char", "word"])


@pytest.fixture(autouse=True)
def short_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    """Texts of a few characters are read in many pieces."""
    monkeypatch.setattr(unit_stream, "PIECE", 5)


@pytest.fixture(scope="module")
def scratch(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("corpus")


def corpus_of(folder: Path, *documents: str) -> Corpus:
    folder.mkdir(exist_ok=True)
    for old in folder.iterdir():
        old.unlink()
    for i, document in enumerate(documents):
        (folder / f"{i:03}.txt").write_text(document, encoding="utf-8", newline="")
    return load_corpus(folder)


def config_of(**settings: Any) -> TrainingConfig:
    return TrainingConfig(**{"validation": 0.3, **settings})


def old_tokens(corpus: Corpus, vocabulary: Vocabulary, unit: str) -> list[int]:
    """The tokens of version 0.1.0."""
    texts = oracle(list(corpus.documents()), unit).split(END_OF_UNIT)[1:-1]
    return [vocabulary.eos, *itertools.chain(*(vocabulary.encode(text, eos=True).tolist() for text in texts))]


def tokens_of(text: Text) -> list[int]:
    return [*text.training.tolist(), *text.validation.tolist(), *text.test.tolist()]


# -------------------------------------------------------------------------------------------------- the same tokens

WORDS = st.lists(st.sampled_from(["cat", "d", ".", " ", " ", "\n", "\n", "\t", "\u2028", "é"]), max_size=40).map(
    "".join
)
DOCUMENTS = st.lists(WORDS.filter(lambda text: not text.isspace()), min_size=1, max_size=3)


@LEVELS
@UNITS
@given(documents=DOCUMENTS, size=st.integers(1, 20))
def test_tokens_are_those_of_the_first_version(scratch: Path, level, unit: str, documents, size: int) -> None:
    corpus = corpus_of(scratch, *documents, "cat d\ncat d\n\ncat")
    vocabulary = Vocabulary.build(corpus, level)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(unit_stream, "PIECE", size)
        _, old = read_text(corpus, config_of(level=level, unit=unit), vocabulary=vocabulary, rule="tokens")
        _, new = read_text(corpus, config_of(level=level, unit=unit), vocabulary=vocabulary)
    expected = old_tokens(corpus, vocabulary, unit)
    assert tokens_of(old) == expected
    assert len(old.validation) == round(0.3 * len(expected))
    characters = len(oracle(list(corpus.documents()), unit))
    assert old.characters_per_token("validation") == pytest.approx(characters / len(expected))
    if unit == "line":
        assert sorted(tokens_of(new)) == sorted([*expected, vocabulary.eos])  # each part begins with one
    else:
        assert tokens_of(new) == expected
        assert sum(new.characters.values()) == characters
        if level == "char":
            assert len(new.validation) == len(old.validation)


# ------------------------------------------------------------------------------------------------------- the split


@given(validation=st.floats(0.1, 0.45), test=st.floats(0.1, 0.45))
@LEVELS
def test_text_is_cut_by_characters_and_words_stay_whole(scratch: Path, level, validation: float, test: float) -> None:
    whole = "the cat sat. " * 5 + "\n\n" + "a dog " * 9
    corpus = corpus_of(scratch, whole)
    config = config_of(level=level, validation=validation, test=test)
    vocabulary, text = read_text(corpus, config)
    characters = len(oracle([whole], "paragraph"))
    first = characters - round(validation * characters) - round(test * characters)
    second = characters - round(test * characters)
    begins = [0, text.characters["training"], text.characters["training"] + text.characters["validation"]]
    assert sum(text.characters.values()) == characters
    if level == "char":
        assert begins == [0, first, second]
    else:
        assert first <= begins[1] < first + len("sat. ")
        assert second <= begins[2] < second + len("sat. ")
        assert {*vocabulary.tokens[3:]} <= {"the", "cat", "sat", ".", "a", "dog"}


@LEVELS
@given(st.lists(st.sampled_from(["a cat", "  dogs", "an é", "x"]), min_size=3, max_size=60), st.data())
def test_each_line_is_drawn_once_and_parts_keep_the_order(scratch: Path, level, lines, data: st.DataObject) -> None:
    lines = [f"{i:02} {line}" for i, line in enumerate(lines)]
    validation, test = data.draw(st.floats(0.01, 0.4)), data.draw(st.sampled_from([0.0, 0.01, 0.4]))
    config = config_of(level=level, unit="line", validation=validation, test=test, seed=data.draw(st.integers(0, 9)))
    corpus = corpus_of(scratch, "\n \n\n".join(lines))
    every = Vocabulary.build(corpus)
    _, text = read_text(corpus, config, vocabulary=every)
    found = {}
    for part in text.characters:
        start, *units, end = every.decode(getattr(text, part)).split("<EOS>")
        assert start == end == ""
        assert units == sorted(units)
        assert text.characters[part] == 1 + sum(len(unit) + 1 for unit in units)
        found[part] = units
    assert sorted(itertools.chain(*found.values())) == lines
    assert all(found.values())
    if len(found["training"]) > 1:
        assert len(found["validation"]) == max(1, round(validation * len(lines)))
        assert len(found.get("test", [])) == (max(1, round(test * len(lines))) if test else 0)


@pytest.mark.parametrize("settings", [{"unit": "line"}, {"unit": "document", "shuffle": True}])
def test_the_seed_draws_lines_and_orders_documents(tmp_path: Path, settings) -> None:
    corpus = corpus_of(tmp_path / "corpus", *(f"document {i}\nof two lines\n" for i in range(20)))
    vocabulary = Vocabulary.build(corpus)
    first, same, other = (
        tokens_of(read_text(corpus, config_of(**settings, seed=seed), vocabulary=vocabulary)[1]) for seed in (0, 0, 1)
    )
    assert first == same != other
    assert sorted(first) == sorted(other)


def test_vocabulary_comes_from_the_training_part_alone(tmp_path: Path) -> None:
    corpus = corpus_of(tmp_path / "corpus", "abab " * 10 + "xyx")
    vocabulary, text = read_text(corpus, config_of(validation=0.1))
    assert set(vocabulary.tokens[3:]) == set("ab ")
    assert text.unknown == {"training": 0, "validation": 3}
    assert text.facts()["validation"]["unknown"] == 3
    assert text.characters == {"training": 49, "validation": 6}
    given_one, same = read_text(corpus, config_of(validation=0.1), vocabulary=Vocabulary("x"))
    assert len(given_one) == 4
    assert same.unknown == {"training": 48, "validation": 3}


def test_bits_per_character_use_the_characters_of_their_part(tmp_path: Path) -> None:
    corpus = corpus_of(tmp_path / "corpus", "a b c d e f\n\n" * 5 + "abcdef ghijkl")
    _, text = read_text(corpus, config_of(level="word", validation=0.15))
    assert text.characters_per_token("training") < 2.1
    assert text.characters_per_token("validation") >= 4


@pytest.mark.parametrize(
    ("content", "settings", "message"),
    [
        (" \n\n\n", {}, "only blank lines"),
        ("abcdefgh", {"validation": 0.01}, "at least 2 validation tokens, got 0 of 10 with validation=0.01"),
        ("abcdefgh", {"validation": 0.3, "test": 0.1}, "at least 2 test tokens, got 1 of 10"),
        ("abcdefgh", {"validation": 0.9}, "at least 2 training tokens, got 1 of 10"),
        ("abcdefgh", {"validation": 0.999}, "at least 2 training tokens, got 0 of 10"),
        ("word", {"level": "word", "validation": 0.5}, "at least 2 validation tokens, got 0 of"),
        (
            "a\nb",
            {"unit": "line", "test": 0.1},
            "at least 3 lines, one per part, got 2 with validation=0.3 and test=0.1",
        ),
        ("one", {"unit": "line"}, "at least 2 lines, one per part, got 1 .* more lines, or choose another unit"),
    ],
)
def test_blank_or_tiny_corpus_is_refused(tmp_path: Path, content: str, settings, message: str) -> None:
    (tmp_path / "x.txt").write_text(content, encoding="utf-8")
    folder = tmp_path / "tokens"
    folder.mkdir()
    with pytest.raises(DataError, match=message):
        read_text(load_corpus(tmp_path / "x.txt"), config_of(**settings), vocabulary=Vocabulary("abc"), folder=folder)
    assert not [*folder.iterdir()]


# ------------------------------------------------------------------------------------------------------- the files


@pytest.fixture
def corpus(tmp_path: Path) -> Corpus:
    return corpus_of(tmp_path / "corpus", SENTENCES * 5)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    path = tmp_path / "tokens"
    path.mkdir()
    return path


@UNITS
@LEVELS
@pytest.mark.parametrize("test", [0.0, 0.2])
def test_files_hold_what_memory_holds(corpus: Corpus, folder: Path, level, unit: str, test: float) -> None:
    _, in_memory = read_text(corpus, config_of(level=level, unit=unit, test=test))
    _, in_files = read_text(corpus, config_of(level=level, unit=unit, test=test), folder=folder)
    opened = open_text(folder, {"parts": in_memory.facts()})
    assert opened is not None
    for text in (in_files, opened):
        assert text.facts() == in_memory.facts()
        assert tokens_of(text) == tokens_of(in_memory)
        assert text.training.dtype == in_memory.training.dtype == np.uint8
        assert isinstance(text.training, np.memmap)
        assert len(text.test) == len(in_memory.test)
    assert sorted(path.name for path in folder.iterdir()) == sorted(f"{part}.npy" for part in in_memory.characters)
    np.testing.assert_array_equal(np.load(folder / "training.npy"), in_memory.training)


def test_dtype_is_the_narrowest(tmp_path: Path, folder: Path) -> None:
    corpus = corpus_of(tmp_path / "corpus", "".join(map(chr, range(0x4E00, 0x4E00 + 600))))
    for size, dtype in ((253, np.uint8), (254, np.uint16)):
        vocabulary, text = read_text(corpus, config_of(max_vocabulary=size), folder=folder)
        assert len(vocabulary) == size + 3
        assert text.training.dtype == text.validation.dtype == dtype
        assert text.training.max() == size + 2
        assert open_text(folder, {"parts": text.facts()}) is not None


def cut(data: bytes) -> bytes:
    return data[:-1]


def flip(data: bytes) -> bytes:
    return data[:-1] + bytes([data[-1] ^ 1])


def header(text: str) -> Any:
    return lambda data: data[:10] + text.ljust(117).encode() + b"\n" + data[128:]


DAMAGE = {
    "empty": lambda data: b"",
    "one byte less": cut,
    "one byte more": lambda data: data + b"x",
    "a flipped bit": flip,
    "half": lambda data: data[: len(data) // 2],
    "a pickle": header("{'descr': '|O', 'fortran_order': False, 'shape': (3,), }"),
    "a huge shape": header("{'descr': '|u1', 'fortran_order': False, 'shape': (999999999999999,), }"),
    "a negative shape": header("{'descr': '|u1', 'fortran_order': False, 'shape': (-5,), }"),
    "Fortran order": header("{'descr': '|u1', 'fortran_order': True, 'shape': (3,), }"),
    "a deep header": header("(" * 117),
    "noise": lambda data: bytes(range(256)),
}


@pytest.mark.parametrize("damage", DAMAGE.values(), ids=DAMAGE)
@pytest.mark.parametrize("part", PARTS)
def test_damaged_file_is_not_opened_and_written_again(corpus: Corpus, folder: Path, part: str, damage) -> None:
    config = config_of(test=0.2)
    _, text = read_text(corpus, config, folder=folder)
    facts = {"parts": text.facts()}
    path = folder / f"{part}.npy"
    path.write_bytes(damage(path.read_bytes()))
    assert open_text(folder, facts) is None
    read_text(corpus, config, folder=folder)
    assert open_text(folder, facts) is not None


def test_what_is_no_file_is_not_opened(corpus: Corpus, folder: Path) -> None:
    _, text = read_text(corpus, config_of(), folder=folder)
    facts = {"parts": text.facts()}
    path = folder / "validation.npy"
    path.unlink()
    assert open_text(folder, facts) is None
    path.mkdir()
    assert open_text(folder, facts) is None
    path.rmdir()
    os.mkfifo(path)
    assert open_text(folder, facts) is None
    path.unlink()
    assert open_text(folder / "missing", facts) is None
    assert open_text(Path("nul\0"), facts) is None


HOSTILE: list[Any] = [None, -1, 0, 1.0, True, 10**5000, "7", "0" * 64, [], {}]


@given(
    part=st.sampled_from(["training", "validation"]),
    name=st.sampled_from(["tokens", "sha256"]),
    value=st.sampled_from(HOSTILE),
)
def test_facts_of_another_text_open_nothing(
    tmp_path_factory: pytest.TempPathFactory, part: str, name: str, value
) -> None:
    folder = tmp_path_factory.mktemp("tokens")
    _, text = read_text(corpus_of(folder / "corpus", SENTENCES), config_of(), folder=folder)
    facts = text.facts()
    facts[part][name] = value
    assert open_text(folder, {"parts": facts}) is None
    assert open_text(folder, {"parts": facts | {part: value}}) is None
    assert open_text(folder, {"parts": value}) is None
    assert open_text(folder, {}) is None


@pytest.mark.parametrize("files", [True, False])
@pytest.mark.parametrize("unit", ["line", "paragraph"])
def test_ctrl_c_at_any_moment_leaves_nothing(corpus: Corpus, folder: Path, unit: str, files: bool) -> None:
    calls: list[tuple[str, int, int]] = []
    config = config_of(unit=unit)
    expected = read_text(corpus, config, progress=lambda *call: calls.append(call))[1]
    assert [stage for stage, _ in itertools.groupby(calls, key=lambda call: call[0])] == [
        "measuring",
        "counting",
        "encoding",
    ]
    assert {total for _, _, total in calls} == {corpus.characters}
    assert calls[-1][1] == corpus.characters
    for stop in range(len(calls)):
        count = itertools.count()

        def progress(*_: object, count: Iterator[int] = count, stop: int = stop) -> None:
            if next(count) == stop:
                raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            read_text(corpus, config, folder=folder if files else None, progress=progress)
        assert not [*folder.iterdir()]
    assert tokens_of(read_text(corpus, config, folder=folder)[1]) == tokens_of(expected)


def test_full_disk_is_one_error_and_leaves_the_old_files(corpus: Corpus, folder: Path) -> None:
    _, text = read_text(corpus, config_of(), folder=folder)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (140, limits[1]))
    try:
        with pytest.raises(CheckpointError, match=r"training\.npy"):
            read_text(corpus, config_of(level="word"), folder=folder)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert open_text(folder, {"parts": text.facts()}) is not None
    assert not [*folder.glob(".*")]


def test_missing_folder_is_one_error(corpus: Corpus, folder: Path) -> None:
    with pytest.raises(CheckpointError, match="create the folder first"):
        read_text(corpus, config_of(), folder=folder / "missing")


def test_what_a_kill_left_is_removed(corpus: Corpus, folder: Path) -> None:
    (folder / f".{'0' * 16}.tmp").write_bytes(b"left")
    read_text(corpus, config_of(), folder=folder)
    assert {path.name for path in folder.iterdir()} == {"training.npy", "validation.npy"}


# ------------------------------------------------------------------------------------------------------- the writer


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
