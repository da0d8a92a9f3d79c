"""BLEU, computed by sacrebleu."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain, zip_longest
from typing import Any

from ..errors import ArgumentError, DataError, ShapeError


def bleu(found: Sequence[str], expected: Sequence[str | Sequence[str]], **options: Any) -> float:
    """Return the corpus BLEU of N texts, computed by sacrebleu (the extra ``metrics``).

    Parameters
    ----------
    found : sequence of str
        N detokenised texts; sacrebleu splits them into words.
    expected : sequence of str or of sequence of str
        N references, or N lists of references.
    **options : Any
        Options of ``sacrebleu.BLEU``, such as ``lowercase=True`` or ``tokenize="char"``.

    Returns
    -------
    float
        From 0 to 100.

    Raises
    ------
    ArgumentError
        If sacrebleu is not installed, or does not know an option.
    ShapeError, DataError
        If the numbers of texts and references differ, there are none, or one is not a string.

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
            "bleu: expected sacrebleu to be installed, got none; run pip install 'tinygrad-seq[metrics]'."
        ) from error
    references = [[texts] if isinstance(texts, str) else list(texts) for texts in expected]
    if isinstance(found, str) or isinstance(expected, str) or len(found) != len(references) or not references:
        raise ShapeError(
            f"bleu: expected a list of texts and as many references, got {len(found)} and {len(expected)}; "
            "pass a single text in a list."
        )
    if not all(references) or not all(isinstance(text, str) for text in chain(found, *references)):
        raise DataError(
            "bleu: expected strings, with at least one reference per text, got others; join tokens to texts."
        )
    try:
        metric = BLEU(**options)
    except (AssertionError, LookupError, TypeError) as error:
        raise ArgumentError(
            f"bleu: expected options of sacrebleu.BLEU, got {options} ({error}); correct them."
        ) from error
    return float(metric.corpus_score(list(found), [list(texts) for texts in zip_longest(*references)]).score)
