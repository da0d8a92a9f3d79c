"""Confusion matrices, and precision, recall and F1 per class as a table."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import chain
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import DataError, ShapeError
from .spans import Score, score_spans

_KINDS = ("B-", "I-", "E-", "S-")


def confusion_matrix(found: Sequence[Any], expected: Sequence[Any], classes: Sequence[Any]) -> NDArray[np.int64]:
    """Count how often each class was predicted as each class.

    Parameters
    ----------
    found, expected : sequence
        N classes each.
    classes : sequence
        The K classes, in the order of rows and columns.

    Returns
    -------
    ndarray of int, shape (K, K)
        Rows are the expected classes, columns the found ones.

    Raises
    ------
    ShapeError
        If `found` and `expected` have different lengths.
    DataError
        If a class is not one of `classes`.

    Examples
    --------
    >>> from tinygrad_seq.metrics import confusion_matrix
    >>> confusion_matrix(["a", "b", "b"], ["a", "a", "b"], ["a", "b"])
    array([[1, 1],
           [0, 1]])
    """
    _check_counts("confusion_matrix", found, expected)
    index = {label: number for number, label in enumerate(classes)}
    try:
        pairs = [index[theirs] * len(index) + index[ours] for ours, theirs in zip(found, expected, strict=True)]
    except KeyError as error:
        raise DataError(
            f"confusion_matrix: expected the {len(index)} classes {', '.join(map(repr, list(index)[:20]))}, got "
            f"{error.args[0]!r:.80}; pass all classes."
        ) from None
    return np.bincount(np.array(pairs, np.int64), minlength=len(index) ** 2).reshape(len(index), len(index))


def classification_report(found: Sequence[Any], expected: Sequence[Any], digits: int = 2) -> str:
    """Return precision, recall, F1 and support per label as text, laid out as by seqeval and scikit-learn.

    Parameters
    ----------
    found, expected : sequence
        N classes each, or N sequences of tags each. If all tags are ``O`` or mark spans (``B-X``, ``I-X``, ``E-X``,
        ``S-X``), spans are counted, as by `score_spans`; else single tags.
    digits : int, default 2
        Digits after the decimal point.

    Returns
    -------
    str
        A row per label, then the averages: over all spans or classes (micro, or the accuracy, which is the same), over
        the labels (macro), and over the labels by their support.

    Raises
    ------
    DataError, ShapeError
        If the numbers of classes, sequences or tags differ, or there are none.

    Examples
    --------
    >>> from tinygrad_seq.metrics import classification_report
    >>> print(classification_report([["B-PER", "O", "B-LOC"]], [["B-PER", "O", "O"]]))
                  precision    recall  f1-score   support
    <BLANKLINE>
             LOC       0.00      0.00      0.00         0
             PER       1.00      1.00      1.00         1
    <BLANKLINE>
       micro avg       0.50      1.00      0.67         1
       macro avg       0.50      0.50      0.50         1
    weighted avg       1.00      1.00      1.00         1
    <BLANKLINE>
    """
    _check_counts("classification_report", found, expected)
    if isinstance(expected[0], list | tuple | np.ndarray):
        found, expected = ([list(tags) for tags in sequences] for sequences in (found, expected))
        if mark_spans(chain(*found, *expected)):
            scores = score_spans(found, expected)
            return _table(scores.labels, "micro avg", scores.micro, digits)
        for row, (ours, theirs) in enumerate(zip(found, expected, strict=True)):
            _check_counts(f"classification_report, sequence {row}", ours, theirs)
        found, expected = ([*chain(*sequences)] for sequences in (found, expected))
    classes = sorted({*found, *expected})
    confusion = confusion_matrix(found, expected, classes)
    right, ours, theirs = confusion.diagonal(), confusion.sum(axis=0), confusion.sum(axis=1)
    counts = zip(classes, right.tolist(), ours.tolist(), theirs.tolist(), strict=True)
    total = Score(int(right.sum()), len(found), len(expected))
    return _table({name: Score(*numbers) for name, *numbers in counts}, "accuracy", total, digits)


def mark_spans(tags: Iterable[Any]) -> bool:
    """Return whether all tags are ``O`` or mark spans, and one does."""
    names = set(tags)
    wrong = (name for name in names if not (name == "O" or (isinstance(name, str) and name[:2] in _KINDS and name[2:])))
    return bool(names - {"O"}) and next(wrong, None) is None


def _table(scores: Mapping[Any, Score], name: str, total: Score, digits: int) -> str:
    """Return a table with a row per label, one of all together, and two of averages."""
    rows = [(str(label), (one.precision, one.recall, one.f1), one.expected) for label, one in scores.items()]
    values = np.array([row[1] for row in rows]).reshape(-1, 3)
    support = np.array([row[2] for row in rows], np.float64)
    weights = support / support.sum() if support.sum() else support
    averages = [
        (name, (None, None, total.f1) if name == "accuracy" else (total.precision, total.recall, total.f1)),
        ("macro avg", values.mean(axis=0) if len(values) else (0.0, 0.0, 0.0)),
        ("weighted avg", weights @ values),
    ]
    width = max(len("weighted avg"), *(len(row[0]) for row in rows), digits) if rows else len("weighted avg")
    columns = ("precision", "recall", "f1-score", "support")

    def line(label: str, numbers: Any, count: int) -> str:
        cells = ("" if number is None else f"{number:.{digits}f}" for number in numbers)
        return f"{label:>{width}} " + "".join(f" {cell:>9}" for cell in cells) + f" {count:>9}\n"

    head = f"{'':>{width}} " + "".join(f" {column:>9}" for column in columns) + "\n"
    body = "".join(line(*row) for row in rows)
    return f"{head}\n{body}\n" + "".join(line(label, numbers, total.expected) for label, numbers in averages)


def _check_counts(caller: str, found: Any, expected: Any) -> None:
    for values in (found, expected):
        if isinstance(values, str) or not hasattr(values, "__len__"):
            raise DataError(f"{caller}: expected two lists, got {type(values).__name__}; pass lists.")
    if len(found) != len(expected) or not len(found):
        raise ShapeError(
            f"{caller}: expected two equally long lists with something in them, got {len(found)} and {len(expected)}; "
            "pass a prediction per expected value."
        )
