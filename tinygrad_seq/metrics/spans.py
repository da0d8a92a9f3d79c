"""Precision, recall and F1 of tagged spans, with the rules of conlleval."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from ..errors import DataError, ShapeError

_PREFIXES = ("B", "I", "E", "S")


class Span(NamedTuple):
    """A labelled span of tokens.

    Attributes
    ----------
    label : str
        The label, e.g. ``"CITY"``.
    start : int
        The position of the first token.
    end : int
        The position after the last token.

    Examples
    --------
    >>> from tinygrad_seq.metrics import find_spans
    >>> find_spans(["O", "B-CITY", "I-CITY"])
    [Span(label='CITY', start=1, end=3)]
    """

    label: str
    start: int
    end: int


class Score(NamedTuple):
    """Counts of spans, with precision, recall and F1.

    Attributes
    ----------
    correct : int
        The number of found spans that are expected.
    found : int
        The number of found spans.
    expected : int
        The number of expected spans.

    Examples
    --------
    >>> from tinygrad_seq.metrics import Score
    >>> score = Score(correct=1, found=2, expected=4)
    >>> score.precision, score.recall, round(score.f1, 3)
    (0.5, 0.25, 0.333)
    """

    correct: int
    found: int
    expected: int

    @property
    def precision(self) -> float:
        """The fraction of found spans that are correct; 0 if none was found."""
        return self.correct / self.found if self.found else 0.0

    @property
    def recall(self) -> float:
        """The fraction of expected spans that were found; 0 if there are none."""
        return self.correct / self.expected if self.expected else 0.0

    @property
    def f1(self) -> float:
        """The harmonic mean of precision and recall; 0 if both are 0."""
        total = self.found + self.expected
        return 2 * self.correct / total if total else 0.0


class Scores(NamedTuple):
    """The scores of all spans and per label.

    Attributes
    ----------
    micro : Score
        The score of all spans together.
    labels : dict of str to Score
        The score per label.

    Examples
    --------
    >>> from tinygrad_seq.metrics import score_spans
    >>> scores = score_spans([["B-CITY", "O"]], [["B-CITY", "B-DAY"]])
    >>> scores.micro.recall, scores.labels["CITY"].recall
    (0.5, 1.0)
    """

    micro: Score
    labels: dict[str, Score]


def find_spans(tags: Sequence[str]) -> list[Span]:
    """Return the spans marked by IOB, BIO or IOBES tags.

    A tag is ``O`` (outside), or ``B`` (begin), ``I`` (inside), ``E`` (end) or ``S`` (single) with a label: ``B-CITY``.
    Inconsistent tags, as a network may predict, are read as by conlleval: a span begins at ``B`` and ``S``, after
    ``O``, ``E`` and ``S``, and where the label changes; it ends before the next begin or ``O``.

    Parameters
    ----------
    tags : sequence of str, length T
        One tag per token.

    Returns
    -------
    list of Span
        The spans, in order.

    Raises
    ------
    DataError
        If a tag has another form.

    Examples
    --------
    >>> from tinygrad_seq.metrics import find_spans
    >>> find_spans("O B-CITY I-CITY O I-CITY B-CITY".split())
    [Span(label='CITY', start=1, end=3), Span(label='CITY', start=4, end=5), Span(label='CITY', start=5, end=6)]
    """
    if isinstance(tags, str) or not hasattr(tags, "__len__"):
        raise DataError(f"find_spans: expected a list of tags, got {type(tags).__name__}; split a text first.")
    return list(_spans(tags))


def _spans(tags: Sequence[str]) -> Iterator[Span]:
    before, label, start = "O", "", 0
    for position, tag in enumerate(tags):
        prefix, new_label = _parse(tag)
        begins = prefix != "O" and (prefix in "BS" or before in "OES" or new_label != label)
        if before != "O" and (begins or prefix == "O"):
            yield Span(label, start, position)
        if begins:
            start = position
        before, label = prefix, new_label
    if before != "O":
        yield Span(label, start, len(tags))


def _parse(tag: str) -> tuple[str, str]:
    prefix, _, label = tag.partition("-") if isinstance(tag, str) else ("", "", "")
    if tag != "O" and prefix not in _PREFIXES:
        raise DataError(
            f"find_spans: expected O, or B, I, E or S with a label as in 'B-CITY', got {tag!r}; "
            "convert class indices to tags first."
        )
    return prefix, label


def score_spans(found: Sequence[Sequence[str]], expected: Sequence[Sequence[str]]) -> Scores:
    """Count the spans with the correct label, start and end.

    Parameters
    ----------
    found, expected : sequence of sequence of str
        N sequences of tags each, as for `find_spans`, without padding.

    Returns
    -------
    Scores
        Precision, recall and F1 of all spans and per label.

    Raises
    ------
    ShapeError
        If the numbers of sequences or of tags differ.
    DataError
        If a tag has another form.

    Examples
    --------
    >>> from tinygrad_seq.metrics import score_spans
    >>> found, expected = ["B-CITY I-CITY O B-DAY".split()], ["B-CITY I-CITY B-CITY O".split()]
    >>> scores = score_spans(found, expected)
    >>> scores.micro.f1, scores.labels["CITY"].precision, scores.labels["CITY"].recall
    (0.5, 1.0, 0.5)
    """
    for sequences in (found, expected):
        if isinstance(sequences, str) or not hasattr(sequences, "__len__"):
            raise DataError(
                f"score_spans: expected a list of sequences of tags, got {type(sequences).__name__}; pass a list."
            )
    if len(found) != len(expected):
        raise ShapeError(
            f"score_spans: expected equally many sequences in found and expected, got {len(found)} and "
            f"{len(expected)}; pass lists of sequences, also for a single one."
        )
    correct: Counter[str] = Counter()
    present: tuple[Counter[str], Counter[str]] = Counter(), Counter()
    for n, (ours, theirs) in enumerate(zip(found, expected, strict=True)):
        if len(ours) != len(theirs):
            raise ShapeError(
                f"score_spans: expected equally many tags in found and expected, got {len(ours)} and {len(theirs)} in "
                f"sequence {n}; cut both to the length of the sequence."
            )
        spans = find_spans(ours), find_spans(theirs)
        correct.update(span.label for span in {*spans[0]} & {*spans[1]})
        for counts, each in zip(present, spans, strict=True):
            counts.update(span.label for span in each)
    labels = {
        label: Score(correct[label], present[0][label], present[1][label])
        for label in sorted({*present[0], *present[1]})
    }
    return Scores(Score(correct.total(), present[0].total(), present[1].total()), labels)
