"""Subwords: byte-level byte-pair encoding, trained and applied by the library tokenizers.

A text is split into words by the regular expression of GPT-2, and each word into the bytes of its UTF-8 form. Then the
pair of neighbours whose union comes first in the vocabulary is merged, again and again. All 256 bytes are tokens, so
nothing is unknown. A token is written with one printable character per byte, as in GPT-2: ``Ġ`` is a space.

The tokens alone describe the encoding, so a vocabulary file needs nothing else: every split of a token into two tokens
is a merge.
"""

from __future__ import annotations

import codecs
import re
from collections.abc import Iterable, Iterator, Sequence
from functools import cached_property
from itertools import zip_longest
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import ArgumentError, DataError
from .levels import UNK_INDEX, Words
from .words import END_OF_UNIT, Joiner

_SURROGATE = re.compile(r"([\ud800-\udfff])")
_PORTION = 1 << 14  # characters; the library counts 256 portions at once, without memory bounds or Ctrl-C in between
_PRINTABLE = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
_OTHERS = [byte for byte in range(256) if byte not in _PRINTABLE]
_BYTE_OF = {chr(byte): byte for byte in _PRINTABLE} | {chr(256 + i): byte for i, byte in enumerate(_OTHERS)}


class _ByteJoiner(Joiner):
    def __init__(self) -> None:
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")

    def add(self, token: str) -> str:
        return self._decoder.decode(bytes(map(_BYTE_OF.__getitem__, token)))

    def finish(self) -> str:
        return self._decoder.decode(b"", final=True)


class Subwords(Words):
    """Level ``"subword"``: parts of words, whose number is chosen; any text can be encoded."""

    wanted = "subwords, with one printable character per byte"
    joiner = _ByteJoiner

    def __init__(self, tokens: Sequence[str]) -> None:
        super().__init__(tokens)
        if missing := [character for character in _BYTE_OF if character not in self.index]:
            raise DataError(
                f"Vocabulary: expected a token for each of the 256 bytes, got none for {len(missing)}, such as "
                f"{missing[0]!r}; build the vocabulary with Vocabulary.build."
            )

    @classmethod
    def accepts(cls, token: str) -> bool:
        return bool(token) and _BYTE_OF.keys() >= set(token)

    @classmethod
    def learn(cls, texts: Iterable[str | Sequence[str]], max_size: int, min_count: int) -> list[str]:
        """Return the 256 bytes, then the unions of frequent pairs; a pair must occur at least twice."""
        if max_size < len(_BYTE_OF):
            raise ArgumentError(
                f"Vocabulary.build: expected max_size >= {len(_BYTE_OF)} at level 'subword', which has a token for "
                f"each byte, got {max_size}; increase it."
            )
        tokenizer = _make_tokenizer({}, [])
        from tokenizers.trainers import BpeTrainer

        trainer = BpeTrainer(
            vocab_size=max_size,
            min_frequency=max(2, min_count),
            initial_alphabet=list(_BYTE_OF),
            show_progress=False,
        )
        fed = 0

        def portions() -> Iterator[str]:
            nonlocal fed
            for text in texts:
                for part in _SURROGATE.split(text if isinstance(text, str) else " ".join(text))[::2]:
                    fed += len(part)
                    yield from (part[start : start + _PORTION] for start in range(0, len(part), _PORTION))

        tokenizer.train_from_iterator(portions(), trainer)
        if not fed:
            raise DataError("Vocabulary.build: expected a text, got 0 tokens; pass a longer text.")
        found: dict[str, int] = tokenizer.get_vocab()
        return sorted(found, key=found.__getitem__)

    @cached_property
    def _tokenizer(self) -> Any:
        ids = {token: i for token, i in self.index.items() if token != END_OF_UNIT}
        splits = ((token[:cut], token[cut:]) for token in ids for cut in range(1, len(token)))
        return _make_tokenizer(ids, [(left, right) for left, right in splits if left in ids and right in ids])

    def encode(self, text: str | Sequence[str]) -> NDArray[np.int64]:
        if not isinstance(text, str):
            return super().encode(text)
        parts = _SURROGATE.split(text)
        indices: list[int] = []
        for encoding, surrogate in zip_longest(self._tokenizer.encode_batch_fast(parts[::2]), parts[1::2]):
            indices += encoding.ids
            if surrogate:
                indices.append(self.index.get(surrogate, UNK_INDEX))
        return np.array(indices, np.int64)

    @classmethod
    def split(cls, text: str) -> list[str]:
        """Return the lone surrogates of a text, the only characters that can be unknown."""
        return _SURROGATE.findall(text)


def _make_tokenizer(ids: dict[str, int], merges: list[tuple[str, str]]) -> Any:
    try:
        from tokenizers import Tokenizer, models, pre_tokenizers
    except ImportError as error:
        raise ArgumentError(
            "Vocabulary: expected tokenizers to be installed for level 'subword', got none; run "
            "pip install 'tinygrad-seq[subwords]'."
        ) from error
    tokenizer = Tokenizer(models.BPE(vocab=ids, merges=merges))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    return tokenizer
