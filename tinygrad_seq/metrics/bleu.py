"""BLEU, by sacrebleu."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain, zip_longest
from typing import Any

from ..errors import ArgumentError, DataError, ShapeError


def bleu(found: Sequence[str], expected: Sequence[str | Sequence[str]], **options: Any) -> float:
    """Return the BLEU of N texts, from 0 to 100, as sacrebleu has it; needs sacrebleu, the extra ``metrics``.

    Parameters
    ----------
    found : sequence of str
        N texts as a person would read them; sacrebleu splits them into words.
    expected : sequence[str or sequence of str]
        N references, or N lists of references each.
    **options : Any
        Those of ``sacrebleu.BLEU``, such as ``lowercase=True`` or ``tokenize="char"``.

    Returns
    -------
    float
        From 0 to 100.

    Raises
    ------
    ArgumentError
        If sacrebleu is not installed, or does not know an option.
    ShapeError, DataError
        If there are not as many references as texts, there is none, or one is no string.

    Examples
    --------
    >>> from tinygrad_seq.metrics import bleu
    >>> found = ["the cat that ate was full of fish"]
    >>> bleu(found, found), bleu(found, ["the cats that ate were full of fish"]) < 50
    (100.0, True)
    """
    try:
        from sacrebleu.metrics.bleu import BLEU
    except ImportError as error:
        raise ArgumentError(
            "bleu: expected sacrebleu to be installed, got none; pip install 'tinygrad-seq[metrics]'."
        ) from error
    references = [[texts] if isinstance(texts, str) else list(texts) for texts in expected]
    if isinstance(found, str) or isinstance(expected, str) or len(found) != len(references) or not references:
        raise ShapeError(
            f"bleu: expected a list of texts and as many references, got {len(found)} and {len(expected)}; "
            "put a single text into a list."
        )
    if not all(references) or not all(isinstance(text, str) for text in chain(found, *references)):
        raise DataError("bleu: expected strings, with a reference for each text, got others; join tokens to texts.")
    try:
        metric = BLEU(**options)
    except (AssertionError, LookupError, TypeError) as error:
        raise ArgumentError(
            f"bleu: expected options of sacrebleu.BLEU, got {options} ({error}); correct them."
        ) from error
    return float(metric.corpus_score(list(found), [list(texts) for texts in zip_longest(*references)]).score)
