"""Columns: turn texts, words and numbers, one entry per sequence, into arrays that a model reads."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import chain
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from ..base.settings import default_dtype
from ..data import Vocabulary, tokenize_words
from ..errors import ArgumentError, DataError

KINDS = ("letters", "words", "numbers", "number", "category")
"""What an entry of a column is: a text read by letter or by word, numbers (T,) or (T, F); one number, one category."""

Ints = NDArray[np.int64]
Entries = Sequence[Any] | NDArray[Any]
CALLER = "fit_task"


def to_round_size(rows: Ints) -> Ints:
    """Repeat the last row until there are 2 ** k or 3 * 2 ** k: a scan is prepared anew for each batch size."""
    size = 1 << (len(rows) - 1).bit_length()
    size = 3 * size // 4 if 4 * len(rows) <= 3 * size and size > 2 else size
    return np.pad(rows, (0, size - len(rows)), mode="edge")


def steps_of(rows: Ints, lengths: Ints) -> Ints:
    """Return the positions of the steps of some sequences among those of sequences of `lengths`."""
    starts, chosen = np.cumsum(lengths) - lengths, lengths[rows]
    return np.repeat(starts[rows] - np.cumsum(chosen) + chosen, chosen) + np.arange(chosen.sum())


@dataclass(frozen=True)
class Values:
    """Values that follow each other, sequence after sequence; or one value per sequence, which every step reads."""

    values: NDArray[Any]
    lengths: Ints | None

    def at(self, rows: Ints, index: Ints) -> Any:
        """Return the values of sequences `rows` (N,) at the positions `index` (T, N)."""
        if self.lengths is not None:
            return self.values[index]
        chosen = self.values[rows]
        return np.broadcast_to(chosen, (len(index), *chosen.shape))

    def take(self, rows: Ints) -> Values:
        """Return the values of some sequences."""
        if self.lengths is None:
            return Values(self.values[rows], None)
        return Values(self.values[steps_of(rows, self.lengths)], self.lengths[rows])


@dataclass(frozen=True)
class Spelled:
    """Words and their letters; a batch holds the letters of each of its distinct words once."""

    words: NDArray[Any]
    spellings: Ints
    letters: Ints
    sizes: Ints
    lengths: Ints

    def at(self, rows: Ints, index: Ints) -> Any:
        """Return words (T, N); letters (L, M) and sizes (M,) of M spellings; and the spelling of each word (T, N)."""
        chosen, places = np.unique(self.spellings[index], return_inverse=True)
        chosen = to_round_size(chosen)
        sizes = self.sizes[chosen]
        return self.words[index], self.letters[: sizes.max(), chosen], sizes, places.reshape(index.shape)

    def take(self, rows: Ints) -> Spelled:
        """Return the words of some sequences."""
        steps = steps_of(rows, self.lengths)
        return replace(self, words=self.words[steps], spellings=self.spellings[steps], lengths=self.lengths[rows])


Encoded = Values | Spelled
"""A column as arrays: ``lengths``, None for one value per sequence, and ``at``, what a model reads of a batch."""


# ---------------------------------------------------------------------------------------------------- the kinds


@dataclass(frozen=True)
class TextColumn:
    """Letters, words, or one category per sequence.

    Attributes
    ----------
    kind : str
        ``"letters"``, ``"words"`` or ``"category"``.
    vocabulary : Vocabulary
        The tokens, the most frequent first.
    frequent : int
        The index of the first token that occurs only once. In training, half of these are read as ``<UNK>``, so that
        the model learns what to make of unknown tokens (Lample et al., 2016).
    letters : Vocabulary or None
        The letters of the words, if the model reads them too.
    """

    kind: str
    vocabulary: Vocabulary
    frequent: int
    letters: Vocabulary | None = None

    @classmethod
    def fit(cls, name: str, entries: Entries, kind: str, rows: Ints, *, max_words: int, letters: bool) -> Self:
        """Find the tokens of some rows of a column."""
        every = [*_tokens(name, entries, kind)]
        tokens = [every[row] for row in rows.tolist()]
        vocabulary = Vocabulary.build(tokens, "char" if kind == "letters" else "word", max_size=max_words)
        counts = np.bincount(np.concatenate([vocabulary.encode(each) for each in tokens]), minlength=len(vocabulary))
        once = np.flatnonzero(counts[Vocabulary.eos + 1 :] < 2)
        frequent = Vocabulary.eos + 1 + int(once[0]) if len(once) else len(vocabulary)
        spelled = Vocabulary.build(["".join(each) for each in tokens]) if letters and kind == "words" else None
        return cls(kind, vocabulary, frequent, spelled)

    def encode(self, name: str, entries: Entries) -> Encoded:
        """Return the entries as indices; unknown tokens are ``<UNK>``."""
        tokens = [*_tokens(name, entries, self.kind)]
        encoded = [self.vocabulary.encode(each) for each in tokens]
        values = np.concatenate(encoded)
        if self.kind == "category":
            return Values(values, None)
        lengths = np.array([len(each) for each in encoded], np.int64)
        if self.letters is None:
            return Values(values, lengths)
        index = {word: number for number, word in enumerate(dict.fromkeys(chain.from_iterable(tokens)))}
        spellings = np.fromiter((index[word] for word in chain.from_iterable(tokens)), np.int64, len(values))
        sizes = np.array([len(word) for word in index], np.int64)
        table = np.zeros((sizes.max(), len(index)), np.int64)
        for number, word in enumerate(index):
            table[: len(word), number] = self.letters.encode(word)
        return Spelled(values, spellings, table, sizes, lengths)

    def content(self) -> dict[str, Any]:
        """Return the column as JSON values."""
        letters = None if self.letters is None else [*self.letters.tokens[Vocabulary.eos + 1 :]]
        tokens = [*self.vocabulary.tokens[Vocabulary.eos + 1 :]]
        return {"kind": self.kind, "tokens": tokens, "frequent": self.frequent, "letters": letters}

    @classmethod
    def from_content(cls, content: Mapping[str, Any]) -> Self:
        """Return the column that `content` describes."""
        kind, letters = content["kind"], content["letters"]
        vocabulary = Vocabulary(content["tokens"], "char" if kind == "letters" else "word")
        return cls(kind, vocabulary, content["frequent"], None if letters is None else Vocabulary(letters))


@dataclass(frozen=True)
class NumberColumn:
    """Numbers, which the model reads standardised: less their mean, divided by their standard deviation.

    Attributes
    ----------
    kind : str
        ``"numbers"`` or ``"number"``.
    mean, scale : ndarray
        (F,), of all steps of the training data; the scale of a constant feature is 1.
    """

    kind: str
    mean: NDArray[np.float64]
    scale: NDArray[np.float64]

    @classmethod
    def fit(cls, name: str, entries: Entries, kind: str, rows: Ints) -> Self:
        """Measure the mean and the standard deviation of each feature in some rows."""
        return cls(kind, *moments(Values(*_numbers(name, entries, kind, None)).take(rows).values))

    def encode(self, name: str, entries: Entries) -> Encoded:
        """Return the standardised numbers, in the default dtype."""
        values, lengths = _numbers(name, entries, self.kind, len(self.mean))
        with np.errstate(over="ignore"):
            read = ((values - self.mean) / self.scale).astype(default_dtype())
        _check_finite(name, read, values, lengths, f"numbers that {read.dtype} can hold after standardising")
        return Values(read, lengths)

    def content(self) -> dict[str, Any]:
        """Return the column as JSON values."""
        return {"kind": self.kind, "mean": self.mean.tolist(), "scale": self.scale.tolist()}

    @classmethod
    def from_content(cls, content: Mapping[str, Any]) -> Self:
        """Return the column that `content` describes."""
        return cls(content["kind"], np.array(content["mean"]), np.array(content["scale"]))


Column = TextColumn | NumberColumn


def moments(values: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the mean and the standard deviation of each column; 1 where a column is constant."""
    _, exponents = np.frexp(np.abs(values).max(axis=0))
    unit = np.ldexp(1.0, np.maximum(exponents, -1000) - 1)  # a power of 2, so no bit changes and no square overflows
    scaled = values / unit
    scale = scaled.std(axis=0)
    return scaled.mean(axis=0) * unit, np.where(scale <= 1e-12, 1.0, scale * unit)


def fit_column(name: str, entries: Entries, kind: str, rows: Ints, *, max_words: int, letters: bool) -> Column:
    """Return the column of `kind` that encodes entries like those of `rows`; all entries are checked.

    Raises
    ------
    ArgumentError, DataError
        If there is no such kind, or an entry is not of it.
    """
    if kind not in KINDS:
        raise ArgumentError(
            f"{CALLER}: expected the kind of column {name!r} to be one of {', '.join(KINDS)}, got {kind!r}; correct it."
        )
    if kind in ("numbers", "number"):
        return NumberColumn.fit(name, entries, kind, rows)
    return TextColumn.fit(name, entries, kind, rows, max_words=max_words, letters=letters)


def column_from(content: Mapping[str, Any]) -> Column:
    """Return the column that `content`, JSON values, describes."""
    return NumberColumn.from_content(content) if "mean" in content else TextColumn.from_content(content)


def guess_kind(entries: Entries) -> str:
    """Return the kind of a column, guessed from its entries.

    Parameters
    ----------
    entries : sequence
        One entry per sequence: strings, lists of words, numbers, or arrays of numbers.

    Returns
    -------
    str
        ``"words"`` for lists of strings, and for strings if at least half of them contain a blank between other
        characters; ``"letters"`` for other strings; ``"number"`` for single numbers; else ``"numbers"``. A category
        cannot be told from a text: it has to be named.

    Examples
    --------
    >>> from tinygrad_seq.tasks import guess_kind
    >>> guess_kind(["a good film", "bad"]), guess_kind(["Ada", "Grace"]), guess_kind([[0.5, 1.5], [2.5]])
    ('words', 'letters', 'numbers')
    """
    if isinstance(entries, np.ndarray) and entries.dtype.kind in "biuf":
        return "number" if entries.ndim == 1 else "numbers"
    first = entries[0] if len(entries) else ""
    if isinstance(first, str):
        blanks = sum(len(entry.split(maxsplit=1)) > 1 for entry in entries if isinstance(entry, str))
        return "words" if 2 * blanks >= len(entries) else "letters"
    if np.ndim(first) == 0 and not isinstance(first, list | tuple):
        return "number"
    return "words" if len(first) and isinstance(first[0], str) else "numbers"


# ------------------------------------------------------------------------------------------------ the entries


def _tokens(name: str, entries: Entries, kind: str) -> Iterator[Sequence[str]]:
    """Yield the tokens of each entry."""
    for row, entry in enumerate(entries):
        if kind == "words" and isinstance(entry, list | tuple | np.ndarray):
            words = entry.tolist() if isinstance(entry, np.ndarray) else entry
            if not all(isinstance(word, str) and word for word in words):
                wrong = next(word for word in words if not (isinstance(word, str) and word))
                raise _wrong(name, row, "non-empty words", f"{wrong!r:.80} among them")
        elif not isinstance(entry, str):
            raise _wrong(name, row, "a string" if kind != "words" else "a string or a list of words", f"{entry!r:.80}")
        else:
            words = [entry] if kind == "category" else entry if kind == "letters" else tokenize_words(entry)
        if not len(words) or (kind == "category" and not entry):
            raise _wrong(name, row, f"at least one {'letter' if kind == 'letters' else 'word'}", f"{entry!r:.80}")
        yield words


def _numbers(name: str, entries: Entries, kind: str, features: int | None) -> tuple[NDArray[np.float64], Ints | None]:
    """Return the numbers of all steps (steps, F), and the lengths (N,)."""
    if isinstance(entries, np.ndarray) and entries.dtype.kind in "biuf":
        shapes, rows = [entries.shape[1:]], [*entries.astype(np.float64)]  # all rows have one shape
    else:
        rows = [_floats(name, row, entry) for row, entry in enumerate(entries)]
        shapes = [row.shape for row in rows]
    for row, shape in enumerate(shapes):
        if kind == "number" and shape != ():
            raise _wrong(name, row, "one number", f"shape {shape}")
        if kind == "numbers" and (len(shape) not in (1, 2) or 0 in shape):
            raise _wrong(name, row, "numbers of shape (T,) or (T, F), for one step or more", f"shape {shape}")
        if shape[1:] != shapes[0][1:]:
            raise _wrong(name, row, f"numbers of shape {('T', *shapes[0][1:])} as in row 0", f"shape {shape}")
    lengths = np.array([len(values) if kind == "numbers" else 1 for values in rows], np.int64)
    count = shapes[0][1] if len(shapes[0]) == 2 else 1
    stacked = np.concatenate([values.reshape(-1, count) for values in rows])
    if features is not None and stacked.shape[1] != features:
        raise _wrong(name, 0, f"{features} features, as in training", f"{stacked.shape[1]}")
    _check_finite(name, stacked, stacked, lengths, "finite numbers", "fill in or leave out what is missing")
    return stacked, lengths if kind == "numbers" else None


def _check_finite(
    name: str, array: NDArray[Any], given: NDArray[Any], lengths: Ints | None, expected: str, *advice: str
) -> None:
    """Raise unless all numbers (steps, F) are finite; the message shows the first wrong one as it was given."""
    if not (finite := np.isfinite(array)).all():
        step, feature = (int(index) for index in np.argwhere(~finite)[0])
        row = step if lengths is None else int(np.searchsorted(np.cumsum(lengths), step, side="right"))
        raise _wrong(name, row, expected, f"{given[step, feature]}", *advice)


def _floats(name: str, row: int, entry: Any) -> NDArray[np.float64]:
    try:
        array = np.asarray(entry)
        if array.dtype.kind in "biuf" or (array.dtype.kind == "O" and not isinstance(entry, str)):
            return array.astype(np.float64)
    except (ValueError, TypeError) as error:
        raise _wrong(name, row, "numbers", f"{entry!r:.80} ({error})") from None
    raise _wrong(name, row, "numbers", f"{entry!r:.80}")


def _wrong(name: str, row: int, expected: str, got: str, advice: str = "correct this row or leave it out") -> DataError:
    return DataError(f"column {name!r}: expected {expected}, got {got} in row {row}; {advice}.")
