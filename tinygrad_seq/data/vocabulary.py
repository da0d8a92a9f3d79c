"""Tokens to indices and back."""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar, Literal, get_args

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..base.files import write_atomically
from ..errors import ArgumentError, CheckpointError, DataError, DtypeError, IndexRangeError, ShapeError
from .sizes import positive_int
from .words import EOS, PAD, SPECIAL_TOKENS, UNK, join_words, tokenize_words

Level = Literal["char", "word"]

_FORMAT = "tinygrad_seq.vocabulary"
_VERSION = 1


@dataclass(frozen=True, init=False, repr=False)
class Vocabulary:
    """The table of the tokens that a model knows: characters, or words and punctuation.

    Index 0 is ``<PAD>``, 1 is ``<UNK>`` (any token that is not in the table), 2 is ``<EOS>`` (end of a text).

    Parameters
    ----------
    tokens
        The ordinary tokens; the first gets index 3. `Vocabulary.build` finds them in a text.
    level
        ``"char"`` or ``"word"``: how `encode` takes a text apart.

    Raises
    ------
    ArgumentError
        If `level` is neither.
    DataError
        If a token is not a string, empty, there twice, special, or, at level ``"char"``, longer than one character.

    Examples
    --------
    >>> from tinygrad_seq.data import Vocabulary
    >>> vocabulary = Vocabulary.build(["the cat, the dog."], level="word")
    >>> vocabulary.tokens
    ('<PAD>', '<UNK>', '<EOS>', 'the', ',', '.', 'cat', 'dog')
    >>> vocabulary.encode("the cat, the cow.", eos=True)
    array([3, 6, 4, 3, 1, 5, 2])
    >>> vocabulary.decode([3, 6, 4, 3, 1, 5])
    'the cat, the <UNK>.'
    """

    pad: ClassVar[int] = SPECIAL_TOKENS.index(PAD)
    unk: ClassVar[int] = SPECIAL_TOKENS.index(UNK)
    eos: ClassVar[int] = SPECIAL_TOKENS.index(EOS)

    tokens: tuple[str, ...]
    level: Level
    _index: dict[str, int] = field(init=False, repr=False, compare=False)

    def __init__(self, tokens: Iterable[str], level: Level = "char") -> None:
        _check_level("Vocabulary", level)
        ordinary = tuple(tokens)
        for token in ordinary:
            if not isinstance(token, str) or not token or (level == "char" and len(token) > 1):
                wanted = "single characters" if level == "char" else "non-empty strings"
                raise DataError(f"Vocabulary: expected tokens that are {wanted}, got {token!r}; leave it out.")
        every = SPECIAL_TOKENS + ordinary
        index = {token: i for i, token in enumerate(every)}
        if len(index) < len(every):
            twice = Counter(every).most_common(1)[0][0]
            raise DataError(f"Vocabulary: expected each token once, got {twice!r} twice; leave one out.")
        object.__setattr__(self, "tokens", every)
        object.__setattr__(self, "level", level)
        object.__setattr__(self, "_index", index)

    # ---------------------------------------------------------------------------------------------- building

    @classmethod
    def build(
        cls,
        texts: str | Iterable[str | Sequence[str]],
        level: Level = "char",
        *,
        max_size: int = 10_000,
        min_count: int = 1,
    ) -> Vocabulary:
        """Return the vocabulary of the most frequent tokens of `texts`, which are read once, as a stream.

        Parameters
        ----------
        texts : str or iterable[str or sequence of str]
            A text, or an iterable of texts (a `Corpus` is one) or of lists of tokens that another tokeniser made. No
            token crosses from one text into the next.
        level : {"char", "word"}, default "char"
            ``"char"`` or ``"word"``.
        max_size : int, default 10000
            How many tokens to keep at most, not counting the three special ones.
        min_count : int, default 1
            How often a token must occur to be kept.

        Returns
        -------
        Vocabulary
            The three special tokens, then the others, the most frequent first.

        Raises
        ------
        ArgumentError
            If `level` is unknown, or a size is not an integer >= 1.
        DataError
            If there is no token, or none occurs `min_count` times.
        DtypeError
            If a text is no string.
        """
        _check_level("Vocabulary.build", level)
        max_size = positive_int("Vocabulary.build", "max_size", max_size)
        min_count = positive_int("Vocabulary.build", "min_count", min_count)
        counts: Counter[str] = Counter()
        for text in [texts] if isinstance(texts, str) else texts:
            counts.update(_tokenize(text, level))
        return cls(_most_frequent(counts, max_size, min_count), level)

    # ----------------------------------------------------------------------------------------------- looking up

    def __len__(self) -> int:
        return len(self.tokens)

    def __contains__(self, token: object) -> bool:
        return token in self._index

    def __repr__(self) -> str:
        return f"Vocabulary({len(self)} tokens, level={self.level!r})"

    def token(self, index: int) -> str:
        """Return the token at `index`.

        Parameters
        ----------
        index : int
            From 0 to the size of the vocabulary - 1.

        Returns
        -------
        str
            The token.

        Raises
        ------
        IndexRangeError
            If there is no such index.
        """
        if not 0 <= index < len(self):
            raise IndexRangeError(
                f"Vocabulary.token: expected an index from 0 to {len(self) - 1}, got {index}; "
                "is it another vocabulary's index?"
            )
        return self.tokens[index]

    def index(self, token: str) -> int:
        """Return the index of `token`.

        Parameters
        ----------
        token : str
            A token of the vocabulary.

        Returns
        -------
        int
            Its index.

        Raises
        ------
        DataError
            If the vocabulary lacks the token; the message names it.
        """
        if token not in self._index:
            raise DataError(
                f"Vocabulary.index: expected one of the {len(self)} tokens of the vocabulary, got {token!r}; "
                f"use {UNK!r} for it or build the vocabulary from a text that has it."
            )
        return self._index[token]

    # ---------------------------------------------------------------------------------------- texts and indices

    def encode(self, text: str | Sequence[str], *, eos: bool = False, strict: bool = False) -> NDArray[np.int64]:
        """Return the indices of the tokens of `text`.

        Parameters
        ----------
        text
            A text, or a list of tokens.
        eos
            Whether ``<EOS>`` follows the text.
        strict
            Whether a token outside the vocabulary is an error instead of ``<UNK>``.

        Returns
        -------
        ndarray
            Shape (T,), int64.

        Raises
        ------
        DataError
            If `strict` and a token is outside the vocabulary; the message names it.
        DtypeError
            If `text` is neither.
        """
        tokens = _tokenize(text, self.level)
        indices = [self.index(token) if strict else self._index.get(token, self.unk) for token in tokens]
        return np.array([*indices, self.eos] if eos else indices, dtype=np.int64)

    def encode_all(
        self, texts: str | Iterable[str | Sequence[str]], *, eos: bool = False, strict: bool = False
    ) -> NDArray[np.int64]:
        """Return the indices of all texts, one after the other.

        Parameters
        ----------
        texts : str or iterable[str or sequence of str]
            A text, or an iterable of texts or of lists of tokens.
        eos : bool, default False
            Whether ``<EOS>`` follows each text.
        strict : bool, default False
            Whether an unknown token is an error; otherwise it is ``<UNK>``.

        Returns
        -------
        ndarray
            (T,), int64.
        """
        every = [texts] if isinstance(texts, str) else texts
        return np.concatenate([np.empty(0, np.int64), *(self.encode(text, eos=eos, strict=strict) for text in every)])

    def decode(self, indices: ArrayLike, *, skip_special: bool = False) -> str:
        """Return the text that `indices`, integers of shape (T,), stand for.

        At level ``"char"`` this is the very text that was encoded (but for ``<UNK>``); at level ``"word"``, where
        spaces are not tokens, a text with the usual spaces that has the same tokens.

        Parameters
        ----------
        indices : array_like
            Shape (T,), integers.
        skip_special : bool, default False
            Whether ``<PAD>``, ``<UNK>`` and ``<EOS>`` are left out.

        Returns
        -------
        str
            The text.

        Raises
        ------
        ShapeError, DtypeError
            If `indices` are not one row, or not integers.
        IndexRangeError
            If one of them is outside the vocabulary.
        """
        array = np.asarray(indices)
        if array.ndim != 1:
            raise ShapeError(
                f"Vocabulary.decode: expected indices of shape (T,), got {array.shape}; decode one sequence at a time."
            )
        if array.size and array.dtype.kind not in "iu":
            raise DtypeError(f"Vocabulary.decode: expected integers, got {array.dtype}; cast them to int64.")
        first = len(SPECIAL_TOKENS) if skip_special else 0
        tokens = [self.token(index) for index in array.tolist()]
        kept = [token for token in tokens if self._index[token] >= first]
        return join_words(kept) if self.level == "word" else "".join(kept)

    # ------------------------------------------------------------------------------------------------- as a file

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the vocabulary to `path` as JSON, whole or not at all.

        Parameters
        ----------
        path : str or PathLike
            Where to write; an existing file is replaced.

        Raises
        ------
        CheckpointError
            If the file cannot be written.
        """
        content = {"format": _FORMAT, "version": _VERSION, "level": self.level, "tokens": self.tokens}
        write_atomically(path, json.dumps(content, indent=1).encode() + b"\n")

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Vocabulary:
        """Return the vocabulary that `save` wrote to `path`.

        Parameters
        ----------
        path : str or PathLike
            A file that `save` wrote.

        Returns
        -------
        Vocabulary
            The same tokens at the same indices.

        Raises
        ------
        CheckpointError
            If the file cannot be read.
        DataError
            If it is not the JSON of a vocabulary, is cut short, or was written by a newer version of the package.
        """
        try:
            content = json.loads(Path(path).read_bytes())
        except OSError as error:
            raise CheckpointError(
                f"Vocabulary.load: expected a readable file, got '{path}': {error.strerror}; check the path."
            ) from error
        except ValueError as error:
            raise _malformed(path, f"text that is not JSON ({error})") from error
        if not isinstance(content, dict) or content.get("format") != _FORMAT:
            raise _malformed(path, "JSON of another kind")
        if content.get("version") != _VERSION:
            raise _malformed(path, f"version {content.get('version')!r} of the format (this package reads {_VERSION})")
        tokens, special = content.get("tokens"), list(SPECIAL_TOKENS)
        if not isinstance(tokens, list) or tokens[: len(special)] != special:
            raise _malformed(path, f"no list 'tokens' that begins with {', '.join(special)}")
        try:
            return cls(tokens[len(special) :], content.get("level"))  # type: ignore[arg-type]
        except (ArgumentError, DataError) as error:
            raise _malformed(path, f"this: {error}") from error


def _malformed(path: str | os.PathLike[str], got: str) -> DataError:
    return DataError(
        f"Vocabulary.load: expected '{path}' to hold a vocabulary as JSON, got {got}; "
        "restore the file or build the vocabulary again and save it."
    )


def _check_level(caller: str, level: object) -> None:
    if level not in get_args(Level):
        raise ArgumentError(f'{caller}: expected level "char" or "word", got {level!r}; choose one of the two.')


def _tokenize(text: str | Sequence[str], level: Level) -> Sequence[str]:
    if isinstance(text, str):
        return text if level == "char" else tokenize_words(text)
    if isinstance(text, list | tuple) and all(isinstance(token, str) for token in text):
        return text
    raise DtypeError(
        f"Vocabulary: expected a text (str) or a list of tokens (str), got {type(text).__name__} {text!r:.40}; "
        "decode bytes to str first."
    )


def _most_frequent(counts: Counter[str], max_size: int, min_count: int) -> list[str]:
    """Return the most frequent tokens, the most frequent first, equally frequent ones by their code points."""
    for special in SPECIAL_TOKENS:
        counts.pop(special, None)
    ranked = sorted((-count, token) for token, count in counts.items() if count >= min_count)
    if not ranked:
        raise DataError(
            f"Vocabulary: expected a text with at least one token that occurs {min_count} times, got "
            f"{counts.total()} tokens, none of them so often; give more text or a smaller min_count."
        )
    return [token for _, token in ranked[:max_size]]
