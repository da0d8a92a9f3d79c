"""The levels: what a token is. Each splits a text into tokens, and joins tokens to a text."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from heapq import nsmallest
from itertools import chain, repeat
from typing import ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from ..errors import DataError
from .words import END_OF_UNIT, Joiner, WordJoiner, tokenize_words

Level = Literal["char", "word", "whitespace", "subword"]

SPECIAL_TOKENS = ("<PAD>", "<UNK>", "<EOS>")
PAD_INDEX, UNK_INDEX, EOS_INDEX = range(len(SPECIAL_TOKENS))

_MAX_CHUNKS = 1 << 17  # distinct chunks that are remembered, which bounds the memory
_CHUNK = 1 << 20  # characters that are converted at once, which bounds the memory


class Words:
    """Level ``"word"``: words, punctuation and line breaks. The base of the other levels.

    Parameters
    ----------
    tokens : sequence of str
        The ordinary tokens; the first has the index 3.
    """

    wanted: ClassVar[str] = "non-empty strings"
    joiner: ClassVar[type[Joiner]] = WordJoiner

    def __init__(self, tokens: Sequence[str]) -> None:
        self.index = {END_OF_UNIT: EOS_INDEX} | {token: i for i, token in enumerate(tokens, len(SPECIAL_TOKENS))}
        self._indices = _Indices(self)

    @classmethod
    def accepts(cls, token: str) -> bool:
        """Return whether a string can be a token."""
        return bool(token)

    @classmethod
    def split(cls, text: str) -> Sequence[str]:
        """Return the tokens of a text."""
        return tokenize_words(text)

    @classmethod
    def tokens_of(cls, text: str | Sequence[str]) -> Sequence[str]:
        """Return the tokens of a text; a list of tokens as it is."""
        return cls.split(text) if isinstance(text, str) else text

    @classmethod
    def learn(cls, texts: Iterable[str | Sequence[str]], max_size: int, min_count: int) -> Sequence[str]:
        """Return the most frequent tokens, sorted by frequency and then by code point."""
        counts = cls.count(texts)
        del counts[END_OF_UNIT]
        ranked = nsmallest(max_size, ((-count, token) for token, count in counts.items() if count >= min_count))
        if not ranked:
            often, advice = f" that occurs {min_count} times", " or a smaller min_count"
            raise DataError(
                f"Vocabulary.build: expected a text with at least one token{often if min_count > 1 else ''}, got "
                f"{counts.total()} tokens; pass a longer text{advice if min_count > 1 else ''}."
            )
        return [token for _, token in ranked]

    @classmethod
    def count(cls, texts: Iterable[str | Sequence[str]]) -> Counter[str]:
        """Return how often each token occurs."""
        counts: Counter[str] = Counter()
        chunks: Counter[str] = Counter()
        for text in texts:
            if isinstance(text, str):
                chunks.update(_chunks(text))
            else:
                counts.update(text)
            if len(chunks) > _MAX_CHUNKS:
                cls._count_chunks(chunks, counts)
                chunks.clear()
        cls._count_chunks(chunks, counts)
        return counts

    @classmethod
    def _count_chunks(cls, chunks: Counter[str], counts: Counter[str]) -> None:
        for chunk, count in chunks.items():
            for token in cls.split(chunk):
                counts[token] += count

    def encode(self, text: str | Sequence[str]) -> NDArray[np.int64]:
        """Return the index of each token of a text or list of tokens; that of ``<UNK>`` for unknown ones."""
        if not isinstance(text, str):
            return np.fromiter(map(self.index.get, text, repeat(UNK_INDEX)), np.int64, len(text))
        return np.fromiter(chain.from_iterable(map(self._indices.__getitem__, _chunks(text))), np.int64)

    def unknown(self, text: str | Sequence[str]) -> list[str]:
        """Return the distinct unknown tokens, in order of their first occurrence."""
        return [token for token in dict.fromkeys(self.tokens_of(text)) if token not in self.index]


class _Indices(dict[str, list[int]]):
    """The indices of the tokens of each chunk of text; most chunks of a long text are repeated."""

    def __init__(self, level: Words) -> None:
        self._level = level

    def __missing__(self, chunk: str) -> list[int]:
        if len(self) > _MAX_CHUNKS:
            self.clear()
        self[chunk] = indices = [self._level.index.get(token, UNK_INDEX) for token in self._level.split(chunk)]
        return indices


def _chunks(text: str) -> list[str]:
    """Return what stands between white space, line breaks and ends of units; no token spans two of them."""
    chunks: list[str] = []
    for line in text.replace(END_OF_UNIT, f" {END_OF_UNIT} ").split("\n"):
        chunks += line.split()
        chunks.append("\n")
    return chunks[:-1]


class _WhitespaceJoiner(Joiner):
    def __init__(self) -> None:
        self._left = "\n"

    def add(self, token: str) -> str:
        spaced = "\n" not in (self._left, token)
        self._left = token
        return f" {token}" if spaced else token


class Whitespace(Words):
    """Level ``"whitespace"``: what stands between white space, and line breaks. For pre-tokenised corpora."""

    joiner = _WhitespaceJoiner

    @classmethod
    def split(cls, text: str) -> list[str]:
        return _chunks(text)


class Characters(Words):
    """Level ``"char"``: Unicode code points, which are counted and looked up as arrays of integers."""

    wanted = "single characters"
    joiner = Joiner

    def __init__(self, tokens: Sequence[str]) -> None:
        super().__init__(tokens)
        codes = {ord(token): i for token, i in self.index.items()}
        self._table = np.full(max(codes) + 2, UNK_INDEX, np.int64)  # the last entry stands for all higher code points
        self._table[list(codes)] = list(codes.values())

    @classmethod
    def accepts(cls, token: str) -> bool:
        return len(token) == 1

    @classmethod
    def split(cls, text: str) -> str:
        return text

    @classmethod
    def count(cls, texts: Iterable[str | Sequence[str]]) -> Counter[str]:
        listed: Counter[str] = Counter()
        counts = np.zeros(0, np.int64)
        for codes in _code_points(_regroup(texts, listed)):
            found = np.bincount(codes, minlength=len(counts))
            found[: len(counts)] += counts
            counts = found
        return listed + Counter({chr(code): int(counts[code]) for code in np.flatnonzero(counts)})

    def encode(self, text: str | Sequence[str]) -> NDArray[np.int64]:
        if not isinstance(text, str):
            return super().encode(text)
        indices = np.empty(len(text), np.int64)
        for start, codes in zip(range(0, len(text), _CHUNK), _code_points([text]), strict=True):
            self._table.take(codes, out=indices[start : start + _CHUNK], mode="clip")
        return indices


def _regroup(texts: Iterable[str | Sequence[str]], listed: Counter[str]) -> Iterator[str]:
    """Yield the texts joined to pieces of a million characters or more; count lists of tokens in `listed`."""
    pieces: list[str] = []
    size = 0
    for text in texts:
        if isinstance(text, str):
            pieces.append(text)
            size += len(text)
        else:
            listed.update(text)
        if size >= _CHUNK:
            yield "".join(pieces)
            pieces, size = [], 0
    yield "".join(pieces)


def _code_points(texts: Iterable[str]) -> Iterator[NDArray[np.uint32]]:
    for text in texts:
        for start in range(0, len(text), _CHUNK):
            yield np.array([text[start : start + _CHUNK]]).view(np.uint32)  # NumPy stores UCS-4
