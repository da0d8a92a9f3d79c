"""Conversion between tokens and indices."""

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
    """The tokens that a model knows: characters, or words and punctuation.

    Index 0 is ``<PAD>``, 1 is ``<UNK>`` (any unknown token), 2 is ``<EOS>`` (end of a text).

    Parameters
    ----------
    tokens : iterable of str
        The ordinary tokens; the first gets index 3. `Vocabulary.build` finds them in a text.
    level : str, default "char"
        ``"char"`` or ``"word"``: how `encode` splits a text.

    Raises
    ------
    ArgumentError
        If `level` is neither.
    DataError
        If a token is empty, not a string, a duplicate, a special token, or, at level ``"char"``, longer than one
        character.

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
        """Build a vocabulary of the most frequent tokens. The texts are read once, as a stream.

        Parameters
        ----------
        texts : str or iterable of str or of sequence of str
            A text, or an iterable of texts (such as a `Corpus`) or of lists of tokens from another tokeniser. A token
            never spans two texts.
        level : str, default "char"
            ``"char"`` or ``"word"``.
        max_size : int, default 10000
            Maximum number of tokens, not counting the three special tokens.
        min_count : int, default 1
            How often a token must occur to be kept.

        Returns
        -------
        Vocabulary
            The most frequent tokens first; equally frequent tokens are sorted by code point.

        Raises
        ------
        ArgumentError
            If `level` is unknown, or a size is not an integer >= 1.
        DataError
            If there is no token, or none occurs `min_count` times.
        DtypeError
            If a text is not a string.
        """
        _check_level("Vocabulary.build", level)
        max_size = positive_int("Vocabulary.build", "max_size", max_size)
        min_count = positive_int("Vocabulary.build", "min_count", min_count)
        counts: Counter[str] = Counter()
        for text in [texts] if isinstance(texts, str) else texts:
            counts.update(_tokenize(text, level))
        return cls(_most_frequent(counts, max_size, min_count), level)

    # -------------------------------------------------------------------------------------------------- lookup

    def __len__(self) -> int:
        return len(self.tokens)

    def __contains__(self, token: object) -> bool:
        return token in self._index

    def __repr__(self) -> str:
        return f"Vocabulary({len(self)} tokens, level={self.level!r})"

    def token(self, index: int) -> str:
        """Return the token at an index.

        Parameters
        ----------
        index : int
            From 0 to the size of the vocabulary minus 1.

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
                "check that the index belongs to this vocabulary."
            )
        return self.tokens[index]

    def index(self, token: str) -> int:
        """Return the index of a token.

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
            If the vocabulary does not contain it.
        """
        if token not in self._index:
            raise DataError(
                f"Vocabulary.index: expected one of the {len(self)} tokens of the vocabulary, got {token!r}; "
                f"use {UNK!r} instead, or build the vocabulary from a text that contains it."
            )
        return self._index[token]

    # ------------------------------------------------------------------------------------- encoding and decoding

    def encode(self, text: str | Sequence[str], *, eos: bool = False, strict: bool = False) -> NDArray[np.int64]:
        """Convert a text to indices.

        Parameters
        ----------
        text : str or sequence of str
            A text, or a list of tokens.
        eos : bool, default False
            Whether to append ``<EOS>``.
        strict : bool, default False
            Whether an unknown token is an error instead of ``<UNK>``.

        Returns
        -------
        ndarray, shape (T,), int64
            One index per token.

        Raises
        ------
        DataError
            If `strict` is set and a token is unknown; the message names it.
        DtypeError
            If `text` is neither a string nor a list of strings.
        """
        tokens = _tokenize(text, self.level)
        indices = [self.index(token) if strict else self._index.get(token, self.unk) for token in tokens]
        return np.array([*indices, self.eos] if eos else indices, dtype=np.int64)

    def encode_all(
        self, texts: str | Iterable[str | Sequence[str]], *, eos: bool = False, strict: bool = False
    ) -> NDArray[np.int64]:
        """Convert several texts to one sequence of indices.

        Parameters
        ----------
        texts : str or iterable of str or of sequence of str
            Texts or lists of tokens, such as a `Corpus`.
        eos : bool, default False
            Whether to append ``<EOS>`` to each text.
        strict : bool, default False
            Whether an unknown token is an error instead of ``<UNK>``.

        Returns
        -------
        ndarray, shape (T,), int64
            One index per token, text after text.

        Raises
        ------
        DataError, DtypeError
            As `encode`.
        """
        every = [texts] if isinstance(texts, str) else texts
        return np.concatenate([np.empty(0, np.int64), *(self.encode(text, eos=eos, strict=strict) for text in every)])

    def decode(self, indices: ArrayLike, *, skip_special: bool = False) -> str:
        """Convert indices to a text.

        At level ``"char"`` this is exactly the encoded text (except for ``<UNK>``). At level ``"word"`` spaces are not
        tokens, and the result is a text with the usual spaces that has the same tokens.

        Parameters
        ----------
        indices : array_like of int, shape (T,)
            The indices of the tokens.
        skip_special : bool, default False
            Whether to leave out ``<PAD>``, ``<UNK>`` and ``<EOS>``.

        Returns
        -------
        str
            The text.

        Returns
        -------
        str
            The text.

        Raises
        ------
        ShapeError, DtypeError
            If `indices` is not one-dimensional, or not of integers.
        IndexRangeError
            If an index is outside the vocabulary.
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

    # ------------------------------------------------------------------------------------------------------ files

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the vocabulary to a JSON file, atomically.

        Parameters
        ----------
        path : str or path-like
            The file to write or replace.

        Raises
        ------
        CheckpointError
            If the file cannot be written.
        """
        content = {"format": _FORMAT, "version": _VERSION, "level": self.level, "tokens": self.tokens}
        write_atomically(path, json.dumps(content, indent=1).encode() + b"\n")

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Vocabulary:
        """Read a vocabulary that `save` wrote.

        Parameters
        ----------
        path : str or path-like
            The file to read.

        Returns
        -------
        Vocabulary
            An equal vocabulary.

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
            If it does not contain a vocabulary, is truncated, or was written by a newer version of the package.
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
            raise _malformed(path, f"no list 'tokens' that starts with {', '.join(special)}")
        try:
            return cls(tokens[len(special) :], content.get("level"))  # type: ignore[arg-type]
        except (ArgumentError, DataError) as error:
            raise _malformed(path, f"this: {error}") from error


def _malformed(path: str | os.PathLike[str], got: str) -> DataError:
    return DataError(
        f"Vocabulary.load: expected '{path}' to contain a vocabulary as JSON, got {got}; "
        "restore the file, or build and save the vocabulary again."
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
    """Return the most frequent tokens, sorted by frequency and then by code point."""
    for special in SPECIAL_TOKENS:
        counts.pop(special, None)
    ranked = sorted((-count, token) for token, count in counts.items() if count >= min_count)
    if not ranked:
        raise DataError(
            f"Vocabulary.build: expected a text with at least one token that occurs {min_count} times, got "
            f"{counts.total()} tokens, none of them that often; pass a longer text or a smaller min_count."
        )
    return [token for _, token in ranked[:max_size]]
