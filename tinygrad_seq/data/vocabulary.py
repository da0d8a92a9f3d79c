"""Conversion between tokens and indices."""

from __future__ import annotations

import hashlib
import json
import os
import unicodedata
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, ClassVar, get_args

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..base.files import read_json, shown, write_atomically
from ..errors import ArgumentError, DataError, DtypeError, IndexRangeError, ShapeError
from .levels import EOS_INDEX, PAD_INDEX, SPECIAL_TOKENS, UNK_INDEX, Characters, Level, Whitespace, Words
from .sizes import positive_int
from .subwords import Subwords
from .words import Joiner

__all__ = ["Decoder", "Level", "Vocabulary"]

_FORMAT = "tinygrad_seq.vocabulary"
_VERSION = 2
_LEVELS: dict[Level, type[Words]] = {
    "char": Characters,
    "word": Words,
    "whitespace": Whitespace,
    "subword": Subwords,
}
_NAMED = 100  # unknown tokens that a message names


@dataclass(frozen=True, init=False, repr=False)
class Vocabulary:
    """The tokens that a model knows: characters, words, or parts of words.

    Index 0 is ``<PAD>``, 1 is ``<UNK>`` (any unknown token), 2 is ``<EOS>`` (end of a text). These are only indices: a
    literal ``<EOS>`` in a text is ordinary text.

    Parameters
    ----------
    tokens : iterable of str
        The ordinary tokens; the first gets index 3. `Vocabulary.build` finds them in a text.
    level : str, default "char"
        How `encode` splits a text: ``"char"`` (Unicode code points), ``"word"`` (words, punctuation and line breaks),
        ``"whitespace"`` (what stands between white space, and line breaks; for pre-tokenised corpora) or ``"subword"``
        (parts of words; needs the library tokenizers, ``pip install 'tinygrad-seq[subwords]'``).
    lowercase : bool, default False
        Whether to convert each text to lower case.
    nfc : bool, default False
        Whether to convert each text to the Unicode normalisation form NFC, which composes letters and accents.

    Raises
    ------
    ArgumentError
        If `level` is none of these, or an option is not a bool.
    DataError
        If a token is empty, not a string, a duplicate, not valid Unicode, or none of the level: longer than one
        character at level ``"char"``, or not in the alphabet of bytes at level ``"subword"``.

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

    pad: ClassVar[int] = PAD_INDEX
    unk: ClassVar[int] = UNK_INDEX
    eos: ClassVar[int] = EOS_INDEX

    tokens: tuple[str, ...]
    level: Level
    lowercase: bool
    nfc: bool
    _codec: Words = field(init=False, repr=False, compare=False)

    def __init__(
        self, tokens: Iterable[str], level: Level = "char", *, lowercase: bool = False, nfc: bool = False
    ) -> None:
        codec = _check_level("Vocabulary", level)
        for name, value in (("lowercase", lowercase), ("nfc", nfc)):
            if not isinstance(value, bool):
                raise ArgumentError(f"Vocabulary: expected {name} to be True or False, got {value!r}; pass one.")
        ordinary = tuple(tokens)
        for token in ordinary:
            if not isinstance(token, str) or not codec.accepts(token) or _has_surrogate(token):
                raise DataError(
                    f"Vocabulary: expected tokens of valid Unicode that are {codec.wanted}, got {token!r:.80}; leave "
                    "it out."
                )
        if len(set(ordinary)) < len(ordinary):
            twice = Counter(ordinary).most_common(1)[0][0]
            raise DataError(f"Vocabulary: expected each token once, got {twice!r:.80} twice; leave one out.")
        object.__setattr__(self, "tokens", SPECIAL_TOKENS + ordinary)
        object.__setattr__(self, "level", level)
        object.__setattr__(self, "lowercase", lowercase)
        object.__setattr__(self, "nfc", nfc)
        object.__setattr__(self, "_codec", codec(ordinary))

    # ---------------------------------------------------------------------------------------------- building

    @classmethod
    def build(
        cls,
        texts: str | Iterable[str | Sequence[str]],
        level: Level = "char",
        *,
        max_size: int = 10_000,
        min_count: int = 1,
        lowercase: bool = False,
        nfc: bool = False,
    ) -> Vocabulary:
        """Build a vocabulary of the most frequent tokens. The texts are read once, as a stream.

        Parameters
        ----------
        texts : str or iterable of str or of sequence of str
            A text, or an iterable of texts (such as a `Corpus`) or of lists of tokens from another tokeniser. A token
            never spans two texts.
        level : str, default "char"
            ``"char"``, ``"word"``, ``"whitespace"`` or ``"subword"``.
        max_size : int, default 10000
            Maximum number of tokens, not counting the three special tokens; at level ``"subword"`` at least 256.
        min_count : int, default 1
            How often a token must occur to be kept; at level ``"subword"``, how often (at least twice) two neighbours
            must occur to become one token.
        lowercase, nfc : bool, default False
            Conversions of each text, in this order, as in the constructor.

        Returns
        -------
        Vocabulary
            The most frequent tokens first; equally frequent tokens are sorted by code point. At level ``"subword"``
            the 256 bytes first, then the most frequent unions of neighbours.

        Raises
        ------
        ArgumentError
            If `level` is unknown, a size is not an integer of at least the minimum, or the library tokenizers is
            missing.
        DataError
            If there is no token, none occurs `min_count` times, or one is not valid Unicode.
        DtypeError
            If a text is not a string.
        """
        codec = _check_level("Vocabulary.build", level)
        max_size = positive_int("Vocabulary.build", "max_size", max_size)
        min_count = positive_int("Vocabulary.build", "min_count", min_count)
        prepared = (_prepare(text, lowercase, nfc) for text in ([texts] if isinstance(texts, str) else texts))
        return cls(codec.learn(prepared, max_size, min_count), level, lowercase=lowercase, nfc=nfc)

    # -------------------------------------------------------------------------------------------------- lookup

    def __len__(self) -> int:
        return len(self.tokens)

    def __contains__(self, token: object) -> bool:
        return token in self._codec.index

    def __repr__(self) -> str:
        options = "".join(f", {name}=True" for name in ("lowercase", "nfc") if getattr(self, name))
        return f"Vocabulary({len(self)} tokens, level={self.level!r}{options})"

    @cached_property
    def digest(self) -> str:
        """The SHA-256 hash of the content: equal for equal vocabularies, whichever version wrote their files."""
        content = [self.level, self.lowercase, self.nfc, self.tokens]
        return hashlib.sha256(json.dumps(content).encode()).hexdigest()

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
        """Return the index of an ordinary token; the special tokens are `pad`, `unk` and `eos`.

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
        if token not in self._codec.index:
            raise DataError(
                f"Vocabulary.index: expected one of the {len(self)} tokens of the vocabulary, got {token!r}; "
                "use the attribute unk for unknown tokens, or build the vocabulary from a text that contains it."
            )
        return self._codec.index[token]

    # ------------------------------------------------------------------------------------- encoding and decoding

    def encode(self, text: str | Sequence[str], *, eos: bool = False, strict: bool = False) -> NDArray[np.int64]:
        """Convert a text to indices.

        The text is first converted to lower case and composed, if the vocabulary says so. A lone surrogate ``U+D800``,
        which decoded text cannot contain, is converted to ``<EOS>``.

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
            If `strict` is set and tokens are unknown; the message names each, with its code points.
        DtypeError
            If `text` is neither a string nor a list of strings.
        """
        prepared = _prepare(text, self.lowercase, self.nfc)
        indices = self._codec.encode(prepared)
        if strict and (unknown := self._codec.unknown(prepared) if (indices == self.unk).any() else []):
            rest = f" and {len(unknown) - _NAMED:,} more" if len(unknown) > _NAMED else ""
            raise DataError(
                f"Vocabulary.encode: expected only tokens of the vocabulary, got {len(unknown):,} unknown: "
                f"{', '.join(map(_name, unknown[:_NAMED]))}{rest}; remove or replace them."
            )
        return np.append(indices, self.eos) if eos else indices

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

        At levels ``"char"`` and ``"subword"`` this is exactly the encoded text (except for ``<UNK>``). At the other
        levels spaces are not tokens, and the result is a text with the usual spaces that has the same tokens.

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
        decoder = self.decoder()
        text = "".join([decoder.add(index) for index in array.tolist() if not 0 <= index < first])
        return text + decoder.finish()

    def decoder(self) -> Decoder:
        """Return a `Decoder`, which converts indices to text one at a time.

        Returns
        -------
        Decoder
            A decoder at the start of a text.
        """
        return Decoder(self.token, self._codec.joiner())

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
        write_atomically(path, json.dumps(self.content(), indent=1).encode() + b"\n", "Vocabulary.save")

    def content(self) -> dict[str, Any]:
        """Return what `save` writes: format, version, level, normalisation, and the tokens in the order of indices.

        Returns
        -------
        dict
            Ready for JSON.
        """
        return {
            "format": _FORMAT,
            "version": _VERSION,
            "level": self.level,
            "lowercase": self.lowercase,
            "nfc": self.nfc,
            "tokens": self.tokens,
        }

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Vocabulary:
        """Read a vocabulary that `save` wrote, in this version of the package or an earlier one.

        Parameters
        ----------
        path : str or path-like
            The file to read.

        Returns
        -------
        Vocabulary
            An equal vocabulary: the same tokens at the same indices.

        Raises
        ------
        CheckpointError
            If the file cannot be read, is truncated, or is not JSON.
        DataError
            If it does not contain a vocabulary, or was written by a newer version of the package.
        """
        content = read_json(path, "Vocabulary.load")
        if content.get("format") != _FORMAT:
            raise _malformed(path, "JSON of another kind")
        version, tokens, special = content.get("version"), content.get("tokens"), list(SPECIAL_TOKENS)
        if type(version) is not int or not 1 <= version <= _VERSION:
            raise _malformed(path, f"version {version!r:.80} of the format (this package reads 1 to {_VERSION})")
        if not isinstance(tokens, list) or tokens[: len(special)] != special:
            raise _malformed(path, f"no list 'tokens' that starts with {', '.join(special)}")
        options = {name: content.get(name) for name in ("lowercase", "nfc")} if version > 1 else {}
        try:
            return cls(tokens[len(special) :], content.get("level"), **options)  # type: ignore[arg-type]
        except (ArgumentError, DataError) as error:
            raise _malformed(path, f"this: {error}") from error


class Decoder:
    """Convert indices to text one at a time, each in the same time; `Vocabulary.decoder` creates it.

    Examples
    --------
    >>> from tinygrad_seq.data import Vocabulary
    >>> vocabulary = Vocabulary.build("the cat, the dog.", level="word")
    >>> decoder = vocabulary.decoder()
    >>> [decoder.add(index) for index in vocabulary.encode("the dog, the cat")]
    ['the', ' dog', ',', ' the', ' cat']
    """

    def __init__(self, token: Callable[[int], str], joiner: Joiner) -> None:
        self._token, self._joiner = token, joiner

    def add(self, index: int) -> str:
        """Return the text that a token adds.

        Parameters
        ----------
        index : int
            The index of the token.

        Returns
        -------
        str
            The token, after a space if one belongs there. It is empty for a subword that ends within a character: the
            character is returned once it is complete.

        Raises
        ------
        IndexRangeError
            If the index is outside the vocabulary.
        """
        return self._joiner.add(self._token(index))

    def finish(self) -> str:
        r"""Return the replacement character ``\ufffd`` if the last character is incomplete, else an empty text."""
        return self._joiner.finish()


def _malformed(path: str | os.PathLike[str], got: str) -> DataError:
    return DataError(
        f"Vocabulary.load: expected {shown(path)} to contain a vocabulary, got {got}; restore the file, or build and "
        "save the vocabulary again."
    )


def _check_level(caller: str, level: Level) -> type[Words]:
    names = get_args(Level)
    if level not in names:
        raise ArgumentError(f"{caller}: expected level to be one of {', '.join(names)}, got {level!r:.80}; choose one.")
    return _LEVELS[level]


def _has_surrogate(token: str) -> bool:
    return any("\ud800" <= character <= "\udfff" for character in token)


def _prepare(text: str | Sequence[str], lowercase: bool, nfc: bool) -> str | Sequence[str]:
    """Return a text or list of tokens in lower case and composed, if asked for."""
    if isinstance(text, str):
        text = text.lower() if lowercase else text
        return unicodedata.normalize("NFC", text) if nfc else text
    if isinstance(text, list | tuple) and all(isinstance(token, str) for token in text):
        return [str(_prepare(token, lowercase, nfc)) for token in text] if lowercase or nfc else text
    raise DtypeError(
        f"Vocabulary: expected a text (str) or a list of tokens (str), got {type(text).__name__} {text!r:.40}; "
        "decode bytes to str first."
    )


def _name(token: str) -> str:
    """Return a token in quotes, with the code point of a single character and of each character beyond ASCII."""
    codes = [f"U+{ord(character):04X}" for character in token if len(token) == 1 or not character.isascii()]
    return " ".join([repr(token), *codes])
