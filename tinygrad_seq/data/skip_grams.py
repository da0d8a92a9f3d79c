"""What skip-gram models with negative sampling are trained on: pairs of near words, and words drawn at random."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..base import settings
from ..errors import ArgumentError, DataError, DtypeError, ShapeError
from .sizes import positive_int

__all__ = ["negative_samples", "skip_gram_pairs"]

Tokens = NDArray[np.int64]


def skip_gram_pairs(
    tokens: ArrayLike, window: int, *, generator: np.random.Generator | None = None
) -> tuple[Tokens, Tokens]:
    """Return every word of a text with each of its neighbours: contexts and targets (Mikolov et al., 2013).

    Each word has a reach of its own, drawn from 1 to `window`, so that near words are paired more often than far ones.

    Parameters
    ----------
    tokens : array_like of int
        (T,), the words of a text.
    window : int
        The largest distance between the two words of a pair. 1 draws nothing at random.
    generator : numpy.random.Generator, optional
        Draws the reach of each word; by default the generator that `manual_seed` seeds.

    Returns
    -------
    contexts : ndarray of int64
        (P,), the word that each pair is about, in the order of the text.
    targets : ndarray of int64
        (P,), one of its neighbours.

    Raises
    ------
    ShapeError, DtypeError, ArgumentError
        If the tokens are not integers (T,), or the window is not an integer >= 1.

    Examples
    --------
    >>> from tinygrad_seq.data import skip_gram_pairs
    >>> contexts, targets = skip_gram_pairs([5, 6, 7], window=1)
    >>> list(zip(contexts.tolist(), targets.tolist()))
    [(5, 6), (6, 5), (6, 7), (7, 6)]
    """
    positive_int("skip_gram_pairs", "window", window)
    text = np.asarray(tokens)
    if text.ndim != 1:
        raise ShapeError(f"skip_gram_pairs: expected tokens (T,), got shape {text.shape}; pass one text at a time.")
    if text.size and text.dtype.kind not in "iu":
        raise DtypeError(
            f"skip_gram_pairs: expected integer tokens, got {text.dtype}; encode the text with a Vocabulary."
        )
    reach = settings.generator(generator).integers(1, window + 1, len(text)) if window > 1 else np.ones(len(text), int)
    offsets = np.array([offset for offset in range(-window, window + 1) if offset])
    places = np.arange(len(text))[:, None]
    paired = (np.abs(offsets) <= reach[:, None]) & (places + offsets >= 0) & (places + offsets < len(text))
    rows, columns = np.nonzero(paired)
    text = text.astype(np.int64)
    return text[rows], text[rows + offsets[columns]]


def negative_samples(
    counts: ArrayLike,
    shape: int | tuple[int, ...],
    *,
    power: float = 0.75,
    generator: np.random.Generator | None = None,
) -> Tokens:
    """Draw words with probabilities in proportion to ``count ** power`` (Mikolov et al., 2013).

    Parameters
    ----------
    counts : array_like
        (V,), how often each word occurs in the text, such as ``numpy.bincount(tokens, minlength=V)``. A word with 0 is
        never drawn.
    shape : int or tuple of int
        The shape of the result.
    power : float, default 0.75
        >= 0. 1 draws words as often as they occur, 0 draws all that occur equally often.
    generator : numpy.random.Generator, optional
        Draws the words; by default the generator that `manual_seed` seeds.

    Returns
    -------
    ndarray of int64
        Words from 0 to V - 1.

    Raises
    ------
    DataError
        If the counts are not (V,) finite numbers >= 0 with at least one above 0.
    ArgumentError
        If `power` is negative or not finite.

    Examples
    --------
    >>> import numpy as np
    >>> from tinygrad_seq.data import negative_samples
    >>> drawn = negative_samples([0, 1, 16], 10_000, generator=np.random.default_rng(0))
    >>> (np.bincount(drawn) / 10_000).round(1)  # 1 ** 0.75 : 16 ** 0.75 is 1 : 8
    array([0. , 0.1, 0.9])
    """
    given = np.asarray(counts)
    usable = given.ndim == 1 and given.dtype.kind in "iuf" and np.isfinite(given).all() and (given >= 0).all()
    if not usable or not given.any():
        raise DataError(
            f"negative_samples: expected counts (V,) of at least 0, with one above 0, got {given.shape} {given.dtype} "
            f"{given.ravel()[:3]}; pass e.g. numpy.bincount(tokens)."
        )
    if isinstance(power, bool) or not isinstance(power, int | float | np.number) or not 0 <= power < np.inf:
        raise ArgumentError(f"negative_samples: expected power to be a number >= 0, got {power!r}; pass e.g. 0.75.")
    weights = np.where(given > 0, given.astype(np.float64) ** power, 0)
    cumulative = np.cumsum(weights / weights.sum())
    last = np.flatnonzero(weights)[-1]
    drawn = settings.generator(generator).random(shape)
    found: Tokens = np.minimum(np.searchsorted(cumulative, drawn, side="right"), last)
    return found
