"""Edit distances: the number of insertions, deletions and replacements between two sequences; by rapidfuzz."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from itertools import chain
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import ArgumentError, DataError, ShapeError

Tokens = Sequence[Hashable] | NDArray[Any]


def edit_distance(found: Tokens, expected: Tokens, normalize: bool = False) -> float:
    """Return the minimum number of insertions, deletions and replacements that turn `found` into `expected`.

    Parameters
    ----------
    found, expected : sequence of hashable
        Strings, compared by character, or sequences of tokens such as words or class indices.
    normalize : bool, default False
        Whether to divide by the length of the longer sequence.

    Returns
    -------
    float
        The number of edits, or a distance from 0 to 1 if `normalize` is set.

    Raises
    ------
    DataError
        If an argument is not a sequence, or its tokens are not hashable.
    ArgumentError
        If rapidfuzz is not installed.

    Examples
    --------
    >>> from tinygrad_seq.metrics import edit_distance
    >>> edit_distance("kitten", "sitting"), edit_distance("the cat was".split(), "the cats were".split())
    (3, 2)
    >>> edit_distance("2009-01-02", "2009-02-02", normalize=True)
    0.1
    """
    distance = int(_distances("edit_distance", [found], [expected])[0])
    return distance / (max(len(found), len(expected)) or 1) if normalize else distance


def edit_distances(found: Sequence[Tokens], expected: Sequence[Tokens]) -> NDArray[np.int64]:
    """Return the edit distances of N pairs of sequences, computed by rapidfuzz (the extra ``metrics``).

    Parameters
    ----------
    found, expected : sequence of sequence of hashable
        N sequences each: strings, or sequences of tokens.

    Returns
    -------
    ndarray, shape (N,), int64
        The number of edits per pair.

    Raises
    ------
    ShapeError
        If the numbers of sequences differ.
    DataError
        If an element is not a sequence, or its tokens are not hashable.
    ArgumentError
        If rapidfuzz is not installed.

    Examples
    --------
    >>> from tinygrad_seq.metrics import edit_distances
    >>> edit_distances(["abc", "", "flaw"], ["abd", "xy", "lawn"])
    array([1, 2, 2])
    """
    return _distances("edit_distances", found, expected)


def character_error_rate(found: Sequence[str], expected: Sequence[str]) -> float:
    """Return the total edit distance of N texts in characters, divided by the number of expected characters.

    Parameters
    ----------
    found, expected : sequence of str
        N texts each.

    Returns
    -------
    float
        0 if all texts are equal; may exceed 1.

    Raises
    ------
    ArgumentError, ShapeError, DataError
        If all expected texts are empty, the numbers of texts differ, one is not a string, or rapidfuzz is not
        installed.

    Examples
    --------
    >>> from tinygrad_seq.metrics import character_error_rate
    >>> character_error_rate(["pair", "apple"], ["pear", "apples"])
    0.2
    """
    return _error_rate("character_error_rate", found, expected, list)


def word_error_rate(found: Sequence[str], expected: Sequence[str]) -> float:
    """Return the total edit distance of N texts in words, divided by the number of expected words.

    Words are split at white space.

    Parameters
    ----------
    found, expected : sequence of str
        N texts each.

    Returns
    -------
    float
        0 if all texts are equal; may exceed 1.

    Raises
    ------
    ArgumentError, ShapeError, DataError
        If all expected texts are empty, the numbers of texts differ, one is not a string, or rapidfuzz is not
        installed.

    Examples
    --------
    >>> from tinygrad_seq.metrics import word_error_rate
    >>> word_error_rate(["the apple and pair salad"], ["the apple and pear salad"])
    0.2
    """
    return _error_rate("word_error_rate", found, expected, str.split)


def _error_rate(caller: str, found: Sequence[str], expected: Sequence[str], split: Any) -> float:
    for texts in (found, expected):
        if not _is_list(texts) or not all(isinstance(text, str) for text in texts):
            raise DataError(f"{caller}: expected two lists of strings, got {_facts(texts)}; pass lists of texts.")
    references = [split(text) for text in expected]
    distances = _distances(caller, [split(text) for text in found], references)
    if not (total := sum(map(len, references))):
        raise ArgumentError(f"{caller}: expected a text that is not empty in expected, got none; pass some text.")
    return float(distances.sum()) / total


def _distances(caller: str, found: Sequence[Tokens], expected: Sequence[Tokens]) -> NDArray[np.int64]:
    if not (_is_list(found) and _is_list(expected)) or len(found) != len(expected):
        raise ShapeError(
            f"{caller}: expected two lists of equally many sequences, got {_facts(found)} and "
            f"{_facts(expected)}; use edit_distance for a single pair."
        )
    try:
        from rapidfuzz.distance.Levenshtein import distance
    except ImportError as error:
        raise ArgumentError(
            f"{caller}: expected rapidfuzz to be installed, got none; run pip install 'tinygrad-seq[metrics]'."
        ) from error
    ours: Sequence[Any] = found
    theirs: Sequence[Any] = expected
    if not all(isinstance(sequence, str) for sequence in chain(found, expected)):
        # rapidfuzz compares tokens by their hash, which different ones may share; the numbers of tokens are different.
        codes: dict[Hashable, int] = {}
        ours, theirs = _encode(caller, found, codes), _encode(caller, expected, codes)
    return np.array([distance(*pair) for pair in zip(ours, theirs, strict=True)], np.int64)


def _encode(caller: str, sequences: Sequence[Tokens], codes: dict[Hashable, int]) -> list[list[int]]:
    """Return the tokens as numbers, equal for equal tokens."""
    lists = []
    for n, sequence in enumerate(sequences):
        tokens = sequence.tolist() if hasattr(sequence, "tolist") else sequence
        try:
            lists.append([codes.setdefault(token, len(codes)) for token in tokens])
        except TypeError as error:
            raise DataError(
                f"{caller}: expected sequences of hashable tokens, got {_facts(sequence)} at position {n} "
                f"({error}); pass strings, or lists of words or numbers."
            ) from None
    return lists


def _is_list(value: Any) -> bool:
    return hasattr(value, "__len__") and not isinstance(value, str)


def _facts(value: Any) -> str:
    return f"{type(value).__name__} of {len(value)}" if hasattr(value, "__len__") else repr(value)
