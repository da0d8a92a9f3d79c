"""Word vectors: files in and out, damaged files, similarity, analogies, bias; pairs and negative samples."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tinygrad_seq.data import Vocabulary, WordVectors, negative_samples, skip_gram_pairs
from tinygrad_seq.errors import ArgumentError, CheckpointError, DataError, DtypeError, ShapeError

WORDS = ["man", "woman", "king", "queen", "apple", "nurse"]


@pytest.fixture
def vectors(rng) -> WordVectors:
    return WordVectors(WORDS, rng.standard_normal((len(WORDS), 4)))


def cosine(a: np.ndarray, b: np.ndarray) -> float:
    return float(a @ b / np.sqrt((a @ a) * (b @ b)))


# ------------------------------------------------------------------------------------------------------- files


@pytest.mark.parametrize("header", [False, True])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_file_holds_the_same_bits(rng, tmp_path: Path, header: bool, dtype: Any) -> None:
    numbers = (rng.standard_normal((300, 7)) * 10.0 ** rng.integers(-30, 30, (300, 7))).astype(dtype)
    words = [f"w{place}" for place in range(297)] + ["3", "\xa0", "\u2028"]
    WordVectors(words, numbers).save(tmp_path / "x.txt", header=header)
    found = WordVectors.load(tmp_path / "x.txt", dtype=dtype)
    assert found.words == tuple(words)
    assert found.vectors.dtype == dtype
    np.testing.assert_array_equal(found.vectors, numbers)
    assert (tmp_path / "x.txt").read_bytes().startswith(b"300 7\n" if header else b"w0 ")


def load(tmp_path: Path, content: bytes, **options: Any) -> dict[str, list[float]]:
    (tmp_path / "x.vec").write_bytes(content)
    found = WordVectors.load(tmp_path / "x.vec", **options)
    return dict(zip(found.words, found.vectors.tolist(), strict=True))


@pytest.mark.parametrize(
    ("content", "options"),
    [
        (b"a 1 2\nb 3 4\n", {}),
        (b"2 2\na 1 2 \nb 3 4 \n", {}),  # word2vec ends each line with a space
        (b"\xef\xbb\xbfa 1 2\r\nb 3 4", {}),
        (b"a 1 2\nb 3 4\nc 5 6\n", {"max_words": 2}),
        (b"4 2\na 1 2\nb 3 4\nc 5 6\nbroken", {"max_words": 2}),
        (b"a 1 2\nc 5 6\nb 3 4\n", {"only": {"a", "b"}}),
    ],
)
def test_kinds_of_files(tmp_path: Path, content: bytes, options: Any) -> None:
    assert load(tmp_path, content, **options) == {"a": [1, 2], "b": [3, 4]}


def test_unusual_words(tmp_path: Path) -> None:
    assert load(tmp_path, b"a 1 2\n. . 3 4\n7 5 6\n") == {"a": [1, 2], ". .": [3, 4], "7": [5, 6]}
    assert load(tmp_path, b"3 1\n4 2\n", header=False) == {"3": [1], "4": [2]}
    assert load(tmp_path, "é\x85 1e-3\n".encode(), header=False) == {"é\x85": [pytest.approx(1e-3)]}


@pytest.mark.parametrize(
    ("content", "text"),
    [
        (b"a 1 2\nb 3\n", "a word and 2 numbers in line 2 of .*x.vec.*got 2 fields"),
        (b"a 1 2\n\nb 3 4\n", "a word and 2 numbers in line 2"),
        (b"a\nb\n", "a word and 1 numbers in line 1"),
        (b"a 1 2\nb c 3 4\nb 3\t4\n", "in line 3"),
        (b"a 1 2\nb 3 4 5\n", "a word and 2 numbers in line 2 of .*got 4 fields"),
        (b"a 1 2\nb 3 x\n", "2 finite numbers after the word 'b' in line 2.*'x'"),
        (b"a 1 2\nb 3 nan\n", "2 finite numbers after the word 'b' in line 2"),
        (b"a 1 2\nb 1_0 4\n", "2 finite numbers after the word 'b' in line 2.*1_0"),
        (b"a 1 2\nb 1e40 4\n", "finite numbers, got inf for the word 'b'"),
        (b"a 1 2\nb 1e999 4\n", "2 finite numbers after the word 'b' in line 2"),
        (b"a 1 2\nb 3 4\na 5 6\n", "each word once in line 3 .*'a', which is in line 1 too"),
        (b"a 1 2\n\xff 3 4\n", "a word in UTF-8 in line 2"),
        (b"a 1 2\n 3 4\n", "line 2 .*an empty word"),
        (b"3 2\na 1 2\nb 3 4\n", "expected 3 words, as line 1 of .* says, got 2"),
        (b"1 2\na 1 2\nb 3 4\n", "expected 1 words, as line 1 of .* says, got 2"),
        (b"2 3\na 1 2\nb 3 4\n", "a word and 3 numbers in line 2"),
        (b"", "words with vectors in .*got none"),
        (b"a " + b"1 " * (1 << 20), "a line of at most 1,048,576 bytes in line 1"),
    ],
)
def test_damaged_files(tmp_path: Path, content: bytes, text: str) -> None:
    with pytest.raises(DataError, match=text) as refused:
        load(tmp_path, content)
    assert str(refused.value).startswith("WordVectors")


def test_refusals_of_files(tmp_path: Path, vectors: WordVectors) -> None:
    with pytest.raises(CheckpointError, match=r"WordVectors.load: expected a readable file"):
        WordVectors.load(tmp_path)
    with pytest.raises(DataError, match="got none to keep"):
        load(tmp_path, b"a 1 2\n", only={"b"})
    with pytest.raises(DataError, match="a header of two integers"):
        load(tmp_path, b"a 1 2\n", header=True)
    for options in ({"max_words": 0}, {"dtype": "int32"}):
        with pytest.raises(ArgumentError, match=r"WordVectors.load: expected"):
            load(tmp_path, b"a 1 2\n", **options)
    for word in ("a b", "a\nb"):
        with pytest.raises(DataError, match=r"WordVectors.save: expected words without spaces"):
            WordVectors([word], [[1.0]]).save(tmp_path / "y.txt")
    with pytest.raises(CheckpointError, match=r"WordVectors.save: expected to write"):
        vectors.save(tmp_path / "none" / "y.txt")
    assert not (tmp_path / "y.txt").exists()


@pytest.mark.parametrize(
    ("words", "numbers", "error"),
    [
        (["a"], [1.0], ShapeError),
        (["a"], [[1.0], [2.0]], ShapeError),
        ([], np.zeros((0, 2)), ShapeError),
        (["a"], [["1"]], ShapeError),
        (["a", "a"], [[1.0], [2.0]], DataError),
        ([""], [[1.0]], DataError),
        (["\ud800"], [[1.0]], DataError),
        ([1], [[1.0]], DataError),
        (["a"], [[np.nan]], DataError),
    ],
)
def test_refusals_of_vectors(words: Any, numbers: Any, error: Any) -> None:
    with pytest.raises(error, match="WordVectors: expected"):
        WordVectors(words, numbers)


# -------------------------------------------------------------------------------------------------- similarity


def test_look_up(vectors: WordVectors) -> None:
    assert len(vectors) == 6
    assert "king" in vectors
    assert "knight" not in vectors
    np.testing.assert_array_equal(vectors["queen"], vectors.vectors[3])
    assert not vectors.vectors.flags.writeable
    with pytest.raises(DataError, match="expected one of 6 words, got 'knight'"):
        vectors["knight"]
    vocabulary = Vocabulary(["king", "knight"], "word")
    matrix, known = vectors.matrix(vocabulary.tokens)
    assert known.tolist() == [False, False, False, True, False]
    np.testing.assert_array_equal(matrix, [[0] * 4] * 3 + [vectors["king"].tolist()] + [[0] * 4])


def test_similarity_and_the_nearest_are_cosines(vectors: WordVectors) -> None:
    expected = sorted(
        ((cosine(vectors["king"], vectors[word]), word) for word in WORDS if word != "king"), reverse=True
    )
    found = vectors.nearest("king", 3)
    assert [word for word, _ in found] == [word for _, word in expected[:3]]
    for (word, value), (similarity, _) in zip(found, expected, strict=False):
        assert value == pytest.approx(similarity)
        assert vectors.similarity("king", word) == pytest.approx(similarity)
    assert vectors.nearest(vectors["king"])[0][0] == "king"
    assert len(vectors.nearest("king")) == 5
    assert len(vectors.nearest("king", exclude=["king", "man"])) == 4
    sum_of = vectors["woman"] - vectors["man"] + vectors["king"]
    best = max((word for word in WORDS if word not in WORDS[:3]), key=lambda word: cosine(sum_of, vectors[word]))
    ((found_word, value),) = vectors.analogy("man", "woman", "king")
    assert found_word == best
    assert value == pytest.approx(cosine(sum_of, vectors[best]))


def test_extreme_lengths_have_directions() -> None:
    vectors = WordVectors(["a", "b", "c"], np.array([[1e200, 1e200], [1e-200, 0], [0, 0]]))
    assert vectors.similarity("a", "b") == pytest.approx(np.sqrt(0.5))
    assert vectors.similarity("a", "c") == 0
    np.testing.assert_allclose(vectors.normalized().vectors, [[np.sqrt(0.5)] * 2, [1, 0], [0, 0]])


# -------------------------------------------------------------------------------------------------------- bias


def test_neutral_words_have_no_part_along_the_direction(vectors: WordVectors) -> None:
    g = 3 * (vectors["woman"] - vectors["man"])
    found = vectors.neutralize(["nurse", "apple"], g)
    for word in WORDS:
        expected = vectors[word] - (vectors[word] @ g) / (g @ g) * g if word in ("nurse", "apple") else vectors[word]
        np.testing.assert_allclose(found[word], expected, atol=1e-12)


def test_equalised_words_are_as_far_from_neutral_ones(vectors: WordVectors) -> None:
    vectors = vectors.normalized()
    g = vectors["woman"] - vectors["man"]
    found = vectors.neutralize(["nurse"], g).normalized().equalize([("king", "queen"), ("man", "woman")], g)
    unit = g / np.linalg.norm(g)
    for first, second in (("king", "queen"), ("man", "woman")):
        assert found.similarity("nurse", first) == pytest.approx(found.similarity("nurse", second))
        np.testing.assert_allclose([np.linalg.norm(found[word]) for word in (first, second)], 1)
        np.testing.assert_allclose(found[first] + found[second], 2 * found[first] - 2 * (found[first] @ unit) * unit)
        assert np.sign((vectors[first] - vectors[second]) @ unit) == np.sign((found[first] - found[second]) @ unit)
        mean = (vectors[first] + vectors[second]) / 2
        np.testing.assert_allclose((found[first] + found[second]) / 2, mean - (mean @ unit) * unit, atol=1e-12)
    np.testing.assert_array_equal(found["apple"], vectors["apple"])


def test_refusals_of_methods(vectors: WordVectors) -> None:
    unit = vectors.normalized()
    calls: list[tuple[Any, Any, str]] = [
        (lambda: vectors.nearest([1.0]), ShapeError, "nearest: expected a vector of 4 numbers"),
        (lambda: vectors.nearest([1.0, np.nan, 0.0, 0.0]), ArgumentError, "nearest: expected finite numbers"),
        (lambda: vectors.nearest("king", 0), ArgumentError, "nearest: expected count"),
        (lambda: vectors.nearest("knight"), DataError, "knight"),
        (lambda: vectors.neutralize(["nurse"], np.zeros(4)), ArgumentError, "neutralize: expected a direction"),
        (lambda: vectors.neutralize(["nurse"], ["a"] * 4), ShapeError, "neutralize: expected a vector"),
        (lambda: vectors.equalize([("man", "woman")], np.ones(4)), ArgumentError, "equalize: expected .* length 1"),
        (lambda: unit.equalize(["man"], np.ones(4)), ArgumentError, "equalize: expected pairs"),
        (lambda: unit.equalize([("man", "man")], np.ones(4)), DataError, "differ along the direction"),
    ]
    for call, error, text in calls:
        with pytest.raises(error, match=text):
            call()


# ------------------------------------------------------------------------------------------- pairs and samples


def test_pairs_are_those_of_two_loops(rng) -> None:
    text = rng.integers(0, 50, 200)
    pairs = list(zip(*(array.tolist() for array in skip_gram_pairs(text, 3, generator=rng)), strict=True))
    every = [
        (text[t], text[u], abs(t - u)) for t in range(200) for u in range(max(t - 3, 0), min(t + 4, 200)) if t != u
    ]
    assert set(pairs) <= {(a, b) for a, b, _ in every}
    near = [(a, b) for a, b, distance in every if distance == 1]
    assert all(pairs.count(pair) >= near.count(pair) for pair in near)
    # The reach is 1, 2 or 3: on average two neighbours to each side.
    assert len(pairs) == pytest.approx(200 * 4, rel=0.1)
    first, second = (skip_gram_pairs(text, 3, generator=np.random.default_rng(1)) for _ in range(2))
    np.testing.assert_array_equal(first, second)
    assert skip_gram_pairs([], 2)[0].shape == skip_gram_pairs([7], 2)[0].shape == (0,)


def test_negative_samples_follow_the_counts(rng) -> None:
    counts = np.array([0, 1, 10, 0, 100, 0])
    for power in (0.0, 0.75, 1.0):
        expected = np.where(counts, counts.astype(float) ** power, 0)
        found = np.bincount(negative_samples(counts, (200, 100), power=power, generator=rng).ravel(), minlength=6)
        np.testing.assert_allclose(found / 20_000, expected / expected.sum(), atol=0.015)
        assert not found[counts == 0].any()
    assert negative_samples([2.5], 3).tolist() == [0, 0, 0]


def test_refusals_of_pairs_and_samples() -> None:
    calls: list[tuple[Any, Any, str]] = [
        (lambda: skip_gram_pairs([[1]], 1), ShapeError, "skip_gram_pairs: expected tokens"),
        (lambda: skip_gram_pairs([0.5], 1), DtypeError, "skip_gram_pairs: expected integer"),
        (lambda: skip_gram_pairs([1], 0), ArgumentError, "skip_gram_pairs: expected window"),
        (lambda: negative_samples([0, 0], 1), DataError, "negative_samples: expected counts"),
        (lambda: negative_samples([-1, 2], 1), DataError, "negative_samples: expected counts"),
        (lambda: negative_samples([[1]], 1), DataError, "negative_samples: expected counts"),
        (lambda: negative_samples([1], 1, power=-1), ArgumentError, "negative_samples: expected power"),
    ]
    for call, error, text in calls:
        with pytest.raises(error, match=text):
            call()
