"""Precision, recall and F1 of the spans that tags mark, as conlleval counts them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from ..errors import DataError, ShapeError

_PREFIXES = ("B", "I", "E", "S")


class Span(NamedTuple):
    """The tokens from `start` up to, not including, `end`.

    Parameters
    ----------
    label : str
        What the tags say after the hyphen.
    start : int
        The index of the first token.
    end : int
        The index after the last token.

    Examples
    --------
    >>> import tinygrad_seq as ts
    >>> ts.metrics.find_spans(["O", "B-CITY", "I-CITY"])
    [Span(label='CITY', start=1, end=3)]
    """

    label: str
    start: int
    end: int


class Score(NamedTuple):
    """How many spans were found, how many there are, and how many are both.

    Parameters
    ----------
    correct : int
        How many spans were found and are right.
    found : int
        How many spans were found.
    expected : int
        How many spans there are.

    Examples
    --------
    >>> import tinygrad_seq as ts
    >>> score = ts.metrics.Score(correct=1, found=2, expected=4)
    >>> score.precision, score.recall
    (0.5, 0.25)
    """

    correct: int
    found: int
    expected: int

    @property
    def precision(self) -> float:
        """The share of the found spans that are right; 0 if none was found."""
        return self.correct / self.found if self.found else 0.0

    @property
    def recall(self) -> float:
        """The share of the expected spans that were found; 0 if there is none."""
        return self.correct / self.expected if self.expected else 0.0

    @property
    def f1(self) -> float:
        """The harmonic mean of precision and recall; 0 if both are."""
        total = self.found + self.expected
        return 2 * self.correct / total if total else 0.0


class Scores(NamedTuple):
    """The score of all spans together, and of those of each label.

    Parameters
    ----------
    micro : Score
        The score of all spans together.
    labels : dict
        The score of the spans of each label.

    Examples
    --------
    >>> import tinygrad_seq as ts
    >>> ts.metrics.score_spans([["B-CITY", "O"]], [["B-CITY", "O"]]).labels
    {'CITY': Score(correct=1, found=1, expected=1)}
    """

    micro: Score
    labels: dict[str, Score]


def find_spans(tags: Sequence[str]) -> list[Span]:
    """Return the spans that `tags`, in the manner of IOB, BIO or IOBES, mark in a sequence, in order.

    A tag is ``O``, outside, or ``B`` (begin), ``I`` (inside), ``E`` (end) or ``S`` (single) and, after a hyphen, the
    label: ``B-CITY``. Tags that contradict each other, as a network may give, are read as conlleval reads them: a span
    begins at ``B`` and ``S``, after ``O``, ``E`` and ``S``, and where the label changes; it goes on to the next
    beginning or ``O``.

    Parameters
    ----------
    tags : sequence of str
        A tag for each token (T,).

    Returns
    -------
    list of Span
        In the order of the sequence.

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
            "look class indices up in the list of tags."
        )
    return prefix, label


def score_spans(found: Sequence[Sequence[str]], expected: Sequence[Sequence[str]]) -> Scores:
    """Return how well spans were found: right are those with the label, the start and the end of an expected one.

    Parameters
    ----------
    found : sequence of sequence of str
        N sequences of tags, as `find_spans` reads them; of equal lengths, padding left out.
    expected : sequence of sequence of str
        N sequences of tags, as `find_spans` reads them; of equal lengths, padding left out.

    Returns
    -------
    Scores
        Precision, recall and F1, in all and by label.

    Raises
    ------
    ShapeError
        If there are not equally many sequences and tags.
    DataError
        If a tag has no known form.

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
                f"score_spans: expected a list of sequences of tags, got {type(sequences).__name__}; list them."
            )
    if len(found) != len(expected):
        raise ShapeError(
            f"score_spans: expected as many sequences found as expected, got {len(found)} and {len(expected)}; "
            "pass a list of sequences, also for a single one."
        )
    correct: Counter[str] = Counter()
    present: tuple[Counter[str], Counter[str]] = Counter(), Counter()
    for n, (ours, theirs) in enumerate(zip(found, expected, strict=True)):
        if len(ours) != len(theirs):
            raise ShapeError(
                f"score_spans: expected as many tags found as expected, got {len(ours)} and {len(theirs)} in sequence "
                f"{n}; cut both to the length of the sequence."
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
