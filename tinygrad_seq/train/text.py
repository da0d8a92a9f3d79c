"""A corpus as one sequence of tokens, with ``<EOS>`` after every unit: paragraph, line or document."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..data import Corpus, Vocabulary, split
from ..errors import DataError

_SPLIT: dict[str, Callable[[str], list[str]]] = {
    "paragraph": re.compile(r"\n\s*\n").split,
    "line": lambda text: text.split("\n"),
    "document": lambda text: [text],
}


@dataclass(frozen=True)
class Text:
    """The tokens of a corpus.

    Attributes
    ----------
    training : ndarray, shape (T,), int64
        The training part.
    validation : ndarray, shape (V,), int64
        The held-out part, the end of the text.
    characters_per_token : float
        Characters per token of the whole text, where ``<EOS>`` counts as one character; converts bits per token to bits
        per character.
    """

    training: NDArray[np.int64]
    validation: NDArray[np.int64]
    characters_per_token: float


def units(corpus: Corpus, unit: str) -> Iterator[str]:
    r"""Yield the non-blank paragraphs, lines or documents of `corpus`, without surrounding line breaks.

    Examples
    --------
    >>> import tempfile, pathlib
    >>> from tinygrad_seq.data import load_corpus
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     _ = pathlib.Path(folder, "a.txt").write_text("one\n  two\n\n\n  three\n")
    ...     list(units(load_corpus(folder), "paragraph"))
    ['one\n  two', '  three']
    """
    for document in corpus.documents():
        yield from (part.strip("\n") for part in _SPLIT[unit](document) if part.strip())


def encode_corpus(corpus: Corpus, vocabulary: Vocabulary, unit: str, validation: float) -> Text:
    """Return the tokens of `corpus`, with ``<EOS>`` at the start and after every unit.

    Raises
    ------
    DataError
        If the corpus is blank, or too short to be split into two parts.
    """
    parts: list[NDArray[Any]] = [np.array([vocabulary.eos])]
    characters = 1
    for part in units(corpus, unit):
        parts.append(vocabulary.encode(part, eos=True))
        characters += len(part) + 1
    if len(parts) == 1:
        raise DataError(
            f"Session: expected a corpus with text, got only blank lines in {corpus.description}; pass another corpus."
        )
    tokens = np.concatenate(parts)
    training, held_out = split(tokens, validation)
    if len(held_out) < 2:
        raise DataError(
            f"Session: expected at least 2 held-out tokens, got {len(held_out)} of {len(tokens)} with "
            f"validation={validation}; pass a longer text or increase validation."
        )
    return Text(training, held_out, characters / len(tokens))
