"""`WordVectors`: one vector per word, in the text files of GloVe and word2vec and out; similarity, analogies, bias."""

from __future__ import annotations

import math
import os
from collections.abc import Container, Iterable, Iterator, Sequence
from typing import BinaryIO

import numpy as np
from numpy.typing import ArrayLike, DTypeLike, NDArray

from ..base.files import open_atomically, open_regular, printable, shown
from ..errors import ArgumentError, CheckpointError, DataError, ShapeError
from .sizes import positive_int

__all__ = ["WordVectors"]

Vectors = NDArray[np.floating]
_LONGEST = 1 << 20  # bytes per line that are read
_CHUNK = 1 << 20  # numbers that are collected as Python objects before they become an array


class WordVectors:
    """Words with one vector each, such as those of GloVe: an embedding matrix and its dictionary.

    Parameters
    ----------
    words : iterable of str
        V words, each once.
    vectors : array_like
        (V, E), finite; float32 and float64 keep their dtype, other numbers become float32.

    Attributes
    ----------
    words : tuple of str
        The words in the order of the rows.
    vectors : ndarray
        (V, E), read-only.

    Raises
    ------
    ShapeError
        If there is not one vector per word, or none at all.
    DataError
        If a word is empty, not a string, not valid Unicode or there twice, or a number is not finite.

    Examples
    --------
    >>> from tinygrad_seq.data import WordVectors
    >>> vectors = WordVectors(["man", "woman", "king", "queen", "apple"], [[-1, 0], [1, 0], [-1, 1], [1, 1], [0, -1]])
    >>> vectors["king"]
    array([-1.,  1.], dtype=float32)
    >>> vectors.analogy("man", "woman", "king")
    [('queen', 1.0)]
    """

    def __init__(self, words: Iterable[str], vectors: ArrayLike) -> None:
        self.words = tuple(words)
        given = np.asarray(vectors)
        if given.ndim != 2 or not given.size or len(given) != len(self.words) or given.dtype.kind not in "iuf":
            raise ShapeError(
                f"WordVectors: expected vectors ({len(self.words)}, E), one row of numbers per word, got {given.shape} "
                f"{given.dtype}; pass the words in the order of the rows."
            )
        self.vectors: Vectors = given.astype(given.dtype if given.dtype in ("f4", "f8") else np.float32)
        self.vectors.flags.writeable = False
        self._index: dict[str, int] = {}
        for place, word in enumerate(self.words):
            if not isinstance(word, str) or not word or any("\ud800" <= letter <= "\udfff" for letter in word):
                raise DataError(f"WordVectors: expected words of valid Unicode, got {word!r:.80}; leave it out.")
            if self._index.setdefault(word, place) != place:
                raise DataError(
                    f"WordVectors: expected each word once, got {word!r:.80} in the rows {self._index[word]} and "
                    f"{place}; leave one out."
                )
        wrong = np.argwhere(~np.isfinite(self.vectors))
        if len(wrong):
            row, column = wrong[0]
            raise DataError(
                f"WordVectors: expected finite numbers, got {self.vectors[row, column]} for the word "
                f"{self.words[row]!r:.80}; leave it out."
            )

    def __len__(self) -> int:
        return len(self.words)

    def __contains__(self, word: object) -> bool:
        return word in self._index

    def __getitem__(self, word: str) -> Vectors:
        vector: Vectors = self.vectors[self.index(word)]
        return vector

    def __repr__(self) -> str:
        return f"WordVectors({len(self)} words, {self.vectors.shape[1]} numbers each, {self.vectors.dtype})"

    def index(self, word: str) -> int:
        """Return the row of a word.

        Parameters
        ----------
        word : str
            One of the words.

        Returns
        -------
        int
            Its row in `vectors`.

        Raises
        ------
        DataError
            If the word has no vector.
        """
        if word not in self._index:
            raise DataError(
                f"WordVectors: expected one of {len(self):,} words, got {word!r:.80}; check its spelling and case."
            )
        return self._index[word]

    def matrix(self, words: Iterable[str]) -> tuple[Vectors, NDArray[np.bool_]]:
        """Return the vectors of other words, such as ``vocabulary.tokens``, to initialise an embedding with.

        Parameters
        ----------
        words : iterable of str
            K words.

        Returns
        -------
        matrix : ndarray
            (K, E), with zeros for a word that has no vector.
        known : ndarray of bool
            (K,), whether the word has one.
        """
        rows = np.array([self._index.get(word, -1) for word in words], int)
        known = rows >= 0
        return np.where(known[:, None], self.vectors[rows], 0).astype(self.vectors.dtype), known

    # ------------------------------------------------------------------------------------------------ similarity

    def similarity(self, first: str, second: str) -> float:
        """Return the cosine of the angle between the vectors of two words, from -1 to 1; 0 if one is all zeros.

        Parameters
        ----------
        first, second : str
            Two of the words.

        Returns
        -------
        float
            The cosine similarity.

        Raises
        ------
        DataError
            If a word has no vector.
        """
        return float(_unit(self[first]) @ _unit(self[second]))

    def nearest(
        self, target: str | ArrayLike, count: int = 10, *, exclude: Iterable[str] = ()
    ) -> list[tuple[str, float]]:
        """Return the words with the largest cosine similarity to a word or a vector.

        Parameters
        ----------
        target : str or array_like
            A word, which is not returned itself, or a vector (E,).
        count : int, default 10
            How many words to return, at most.
        exclude : iterable of str, optional
            Words that are not returned.

        Returns
        -------
        list of (str, float)
            Words and their similarities, the nearest first.

        Raises
        ------
        DataError
            If a word has no vector.
        ShapeError, ArgumentError
            If the vector has another shape, or `count` is not an integer >= 1.
        """
        positive_int("WordVectors.nearest", "count", count)
        vector = self[target] if isinstance(target, str) else self._vector("nearest", target)
        left_out = [self.index(word) for word in exclude] + ([self.index(target)] if isinstance(target, str) else [])
        cosines = _unit(self.vectors) @ _unit(vector)
        cosines[left_out] = -np.inf
        best = np.argsort(-cosines, kind="stable")[: min(count, len(self) - len({*left_out}))]
        return [(self.words[row], float(cosines[row])) for row in best]

    def analogy(self, first: str, second: str, third: str, count: int = 1) -> list[tuple[str, float]]:
        """Complete "`first` is to `second` as `third` is to ...": the words nearest to ``second - first + third``.

        Parameters
        ----------
        first, second, third : str
            Three of the words, which are not returned.
        count : int, default 1
            How many words to return, at most.

        Returns
        -------
        list of (str, float)
            Words and their cosine similarities to that sum, the nearest first.

        Raises
        ------
        DataError
            If a word has no vector.
        ArgumentError
            If `count` is not an integer >= 1.
        """
        return self.nearest(self[second] - self[first] + self[third], count, exclude=(first, second, third))

    # ------------------------------------------------------------------------------------------------------ bias

    def normalized(self) -> WordVectors:
        """Return the words with vectors of length 1; a vector of zeros stays.

        Returns
        -------
        WordVectors
            New vectors for the same words.
        """
        return WordVectors(self.words, _unit(self.vectors))

    def neutralize(self, words: Iterable[str], direction: ArrayLike) -> WordVectors:
        """Remove from some words the part of their vectors along a direction: ``e - (e . g / g . g) g``.

        Parameters
        ----------
        words : iterable of str
            Words that should have no such part, such as those of professions.
        direction : array_like
            (E,), the vector g, such as ``vectors["woman"] - vectors["man"]``.

        Returns
        -------
        WordVectors
            All words, with new vectors for these.

        Raises
        ------
        DataError
            If a word has no vector.
        ShapeError, ArgumentError
            If the direction is not a vector (E,), or all zeros.
        """
        g = self._direction("neutralize", direction)
        rows = [self.index(word) for word in words]
        changed = self.vectors.copy()
        changed[rows] -= (changed[rows] @ g)[:, None] * g
        return WordVectors(self.words, changed)

    def equalize(self, pairs: Iterable[Sequence[str]], direction: ArrayLike) -> WordVectors:
        """Let the words of each pair differ along a direction only, by as much to either side (Bolukbasi et al., 2016).

        ::

            mean = (e_1 + e_2) / 2;   rest = mean - (mean . g) g                             (g of length 1)
            e_i  = rest + sqrt(1 - |rest|^2) * (e_i . g - mean . g) / |e_i . g - mean . g| * g

        Each of the two then has the same distance to any word that is neutralised.

        Parameters
        ----------
        pairs : iterable of (str, str)
            Such as ``[("man", "woman"), ("actor", "actress")]``. Their vectors must have length 1 (`normalized`).
        direction : array_like
            (E,), the vector g, of any length.

        Returns
        -------
        WordVectors
            All words, with new vectors of length 1 for these.

        Raises
        ------
        DataError
            If a word has no vector, or both words of a pair have the same part along the direction.
        ShapeError, ArgumentError
            If the direction is not a vector (E,) or all zeros, a pair is not two words, or their vectors do not have
            length 1.
        """
        g = self._direction("equalize", direction)
        changed = self.vectors.copy()
        for pair in pairs:
            if isinstance(pair, str) or len(pair) != 2:
                raise ArgumentError(f"WordVectors.equalize: expected pairs of words, got {pair!r:.80}; pass two words.")
            rows = [self.index(word) for word in pair]
            both = changed[rows]
            lengths = np.linalg.norm(both, axis=1)
            if not np.allclose(lengths, 1, atol=1e-3):
                raise ArgumentError(
                    f"WordVectors.equalize: expected vectors of length 1, got {lengths[0]:.4g} and {lengths[1]:.4g} "
                    f"for {pair[0]!r} and {pair[1]!r}; call normalized() first."
                )
            side = float(both[0] @ g - both[1] @ g)
            if not side:
                raise DataError(
                    f"WordVectors.equalize: expected two words that differ along the direction, got {pair[0]!r} and "
                    f"{pair[1]!r}; leave the pair out, or pass another direction."
                )
            mean = both.mean(axis=0)
            rest = mean - (mean @ g) * g
            part = np.sqrt(max(1 - float(rest @ rest), 0.0)) * np.sign(side) * g
            changed[rows] = rest + part, rest - part
        return WordVectors(self.words, changed)

    def _vector(self, method: str, given: ArrayLike) -> Vectors:
        vector = np.asarray(given)
        if vector.shape != self.vectors.shape[1:] or vector.dtype.kind not in "iuf":
            raise ShapeError(
                f"WordVectors.{method}: expected a vector of {self.vectors.shape[1]} numbers, got {vector.shape} "
                f"{vector.dtype}; pass e.g. vectors['woman'] - vectors['man']."
            )
        if not np.isfinite(vector).all():
            raise ArgumentError(f"WordVectors.{method}: expected finite numbers, got {vector!s:.80}; check the vector.")
        return vector.astype(self.vectors.dtype)

    def _direction(self, method: str, given: ArrayLike) -> Vectors:
        unit = _unit(self._vector(method, given))
        if not unit.any():
            raise ArgumentError(
                f"WordVectors.{method}: expected a direction, got a vector of zeros; pass e.g. vectors['woman'] - "
                "vectors['man']."
            )
        return unit

    # ----------------------------------------------------------------------------------------------------- files

    def save(self, path: str | os.PathLike[str], *, header: bool = False) -> None:
        """Write a text file, atomically: one line per word, with its numbers, separated by spaces.

        Parameters
        ----------
        path : str or path-like
            The file to write or replace.
        header : bool, default False
            Whether to begin with the line ``V E``, as word2vec and fastText do. GloVe does not.

        Raises
        ------
        CheckpointError
            If the file cannot be written.
        DataError
            If a word contains a space or a line break.
        """
        for word in self.words:
            if " " in word or "\n" in word or "\r" in word:
                raise DataError(
                    f"WordVectors.save: expected words without spaces and line breaks, got {word!r:.80}; leave it out."
                )
        with open_atomically(path, "WordVectors.save") as file:
            if header:
                file.write(b"%d %d\n" % self.vectors.shape)
            for word, vector in zip(self.words, self.vectors, strict=True):
                file.write(f"{word} {' '.join(map(str, vector))}\n".encode())

    @classmethod
    def load(
        cls,
        path: str | os.PathLike[str],
        *,
        only: Container[str] | None = None,
        max_words: int | None = None,
        header: bool | None = None,
        dtype: DTypeLike = np.float32,
    ) -> WordVectors:
        """Read a text file of GloVe, or of word2vec or fastText (``.vec``), in UTF-8.

        Parameters
        ----------
        path : str or path-like
            The file to read.
        only : container of str, optional
            Keep only these words, such as a `Vocabulary`; the file is read to its end.
        max_words : int, optional
            Read only the first words of the file, in which the most frequent ones come first.
        header : bool, optional
            Whether the first line is ``V E``, as word2vec and fastText write it. By default it is one if it consists
            of two integers.
        dtype : dtype, default float32
            float32 or float64.

        Returns
        -------
        WordVectors
            The words in the order of the file.

        Raises
        ------
        CheckpointError
            If the file cannot be read.
        DataError
            If a line has another number of numbers than the first one, a number that is not finite, or a word that is
            empty, there already, or not UTF-8; if there are other numbers of words than a header says; or if there is
            no word to keep. The message names the line.
        ArgumentError
            If an option is out of range.
        """
        if max_words is not None:
            positive_int("WordVectors.load", "max_words", max_words)
        if np.dtype(dtype) not in ("f4", "f8"):
            raise ArgumentError(
                f"WordVectors.load: expected dtype float32 or float64, got {dtype!r}; pass one of them."
            )
        with open_regular(path, "WordVectors.load") as file:
            words, vectors = _read(file, shown(path), only, max_words, header, np.dtype(dtype))
        if not words:
            raise DataError(
                f"WordVectors.load: expected words with vectors in {shown(path)}, got none{' to keep' * bool(only)}; "
                "check the path and what to keep."
            )
        return cls(words, vectors)


def _unit(vectors: Vectors) -> Vectors:
    """Return vectors (..., E) divided by their lengths; zeros stay."""
    largest = np.abs(vectors).max(axis=-1, keepdims=True)
    scaled = vectors / np.where(largest > 0, largest, 1)  # no overflow, no underflow
    lengths = np.linalg.norm(scaled, axis=-1, keepdims=True)
    return scaled / np.where(lengths > 0, lengths, 1)


def _lines(file: BinaryIO, origin: str) -> Iterator[tuple[int, bytes]]:
    """Yield the numbers of the lines, from 1, and the lines without what ends them."""
    number = 0
    while True:
        try:
            line = file.readline(_LONGEST)
        except (OSError, MemoryError) as error:
            raise CheckpointError(
                f"WordVectors.load: expected a readable file, got {origin}: {error}; check the disk."
            ) from error
        if not line:
            return
        number += 1
        if len(line) == _LONGEST and not line.endswith(b"\n"):
            raise _wrong(number, origin, f"a line of at most {_LONGEST:,} bytes", "a longer one")
        yield number, line.removeprefix(b"\xef\xbb\xbf" if number == 1 else b"").rstrip(b"\r\n ")


def _wrong(number: int, origin: str, expected: str, got: str) -> DataError:
    return DataError(
        f"WordVectors.load: expected {expected} in line {number} of {origin}, got {got}; restore the file, or remove "
        "the line."
    )


def _read(
    file: BinaryIO,
    origin: str,
    only: Container[str] | None,
    max_words: int | None,
    header: bool | None,
    dtype: np.dtype,
) -> tuple[list[str], Vectors]:
    """Return the words and their vectors (V, E). Memory grows with what is read, not with what a header promises."""
    words: list[str] = []
    places: dict[str, int] = {}
    chunks: list[Vectors] = []
    pending: list[float] = []
    count = size = None
    number = 0
    for number, line in _lines(file, origin):
        fields = line.split(b" ")
        if number == 1 and header is not False:
            integers = len(fields) == 2 and all(field.isdigit() and len(field) < 10 for field in fields)
            if header and not integers:
                raise _wrong(1, origin, "a header of two integers, the numbers of words and of numbers per word",
                             printable(line[:60].decode(errors="replace")))  # fmt: skip
            if integers:
                count, size = map(int, fields)
                continue
        if max_words is not None and len(places) == max_words:
            break
        size = len(fields) - 1 if size is None else size
        if len(fields) <= size or size < 1 or (len(fields) > size + 1 and _is_number(fields[-size - 1])):
            raise _wrong(number, origin, f"a word and {max(size, 1)} numbers", f"{len(fields)} fields")
        try:
            word = b" ".join(fields[: len(fields) - size]).decode()  # a few words of GloVe have spaces
        except UnicodeDecodeError as error:
            raise _wrong(number, origin, "a word in UTF-8", f"{error.object[:40]!r}") from error
        if not word:
            raise _wrong(number, origin, f"a word and {size} numbers", "an empty word")
        if places.setdefault(word, number) != number:
            raise _wrong(number, origin, "each word once", f"{word!r:.80}, which is in line {places[word]} too")
        if only is not None and word not in only:
            continue
        words.append(word)
        pending += _numbers(fields[-size:], number, origin, word)
        if len(pending) > _CHUNK:
            chunks.append(_rows(pending, size, dtype))
            pending = []
    if count is not None and len(places) != min(count, max_words or count):
        raise DataError(
            f"WordVectors.load: expected {count:,} words, as line 1 of {origin} says, got {len(places):,}; restore the "
            "file, or correct the line."
        )
    return words, np.concatenate([*chunks, _rows(pending, size or 1, dtype)])


def _numbers(fields: list[bytes], number: int, origin: str, word: str) -> list[float]:
    wanted = f"{len(fields)} finite numbers after the word {word!r:.80}"
    for field in fields:
        if b"_" in field:  # Python would read 1_000
            raise _wrong(number, origin, wanted, f"{field[:40]!r}")
    try:
        found = [float(field) for field in fields]
    except ValueError as error:
        raise _wrong(number, origin, wanted, f"this: {error!s:.80}") from error
    if not all(map(math.isfinite, found)):
        raise _wrong(number, origin, wanted, "one that is not")
    return found


def _is_number(field: bytes) -> bool:
    """Whether a field can be no part of a word with spaces, so that its line has too many numbers."""
    try:
        return math.isfinite(float(field))
    except ValueError:
        return False


def _rows(numbers: list[float], size: int, dtype: np.dtype) -> Vectors:
    with np.errstate(over="ignore"):  # what is infinite in float32 is refused with all that is not finite
        return np.array(numbers, np.float64).astype(dtype).reshape(-1, size)
