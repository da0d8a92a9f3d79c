"""How good predictions are, as numbers and as a table."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import chain
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..metrics import classification_report, confusion_matrix, score_spans
from ..metrics.classification import mark_spans


@dataclass(frozen=True)
class Evaluation:
    """The scores of a task on some data; ``print`` shows the table.

    Attributes
    ----------
    name : str
        What `score` is: ``"accuracy"``, ``"span F1"`` (for tags that mark spans) or ``"R2"``.
    score : float
        The main score; higher is better.
    values : dict of str to float
        All scores by name.
    table : str
        Precision, recall and F1 per class or label, as `classification_report` prints them; for numbers the scores.
    classes : tuple of str or of int
        The classes or tags, in the order of `confusion`.
    confusion : ndarray or None
        (K, K), how often each class (row) was predicted as each (column); None for numbers.

    Examples
    --------
    >>> from tinygrad_seq.tasks import Evaluation
    >>> Evaluation("R2", 0.9, {"R2": 0.9}, "R2  0.90").score
    0.9
    """

    name: str
    score: float
    values: dict[str, float]
    table: str
    classes: tuple[Any, ...] = ()
    confusion: NDArray[np.int64] | None = field(default=None, compare=False)

    def __str__(self) -> str:
        return self.table


def evaluate_classes(found: Sequence[Any], expected: Sequence[Any], classes: Sequence[Any]) -> Evaluation:
    """Return the accuracy and a table of the classes."""
    confusion = confusion_matrix(found, expected, classes)
    values = {"accuracy": float(np.trace(confusion) / confusion.sum())}
    table = classification_report(found, expected)
    return Evaluation("accuracy", values["accuracy"], values, table, tuple(classes), confusion)


def evaluate_tags(
    found: Sequence[Sequence[Any]], expected: Sequence[Sequence[Any]], classes: Sequence[Any]
) -> Evaluation:
    """Return the F1 of spans if the tags mark spans, else the accuracy of tags; and a table of the labels."""
    confusion = confusion_matrix([*chain(*found)], [*chain(*expected)], classes)
    values = {"accuracy": float(np.trace(confusion) / confusion.sum())}
    name = "accuracy"
    if mark_spans(classes):
        micro, name = score_spans(found, expected).micro, "span F1"
        values = {"span F1": micro.f1, "precision": micro.precision, "recall": micro.recall, **values}
    return Evaluation(name, values[name], values, classification_report(found, expected), tuple(classes), confusion)


def evaluate_numbers(found: NDArray[np.float64], expected: NDArray[np.float64]) -> Evaluation:
    """Return R2, the mean absolute error and the root of the mean squared error, over all outputs."""
    found, expected = (np.asarray(rows, np.float64).reshape(len(rows), -1) for rows in (found, expected))
    squares = ((found - expected) ** 2).sum(axis=0)
    total = ((expected - expected.mean(axis=0)) ** 2).sum(axis=0)
    parts = np.where(total > 0, 1 - squares / np.where(total > 0, total, 1), np.where(squares > 0, 0.0, 1.0))
    values = {
        "R2": float(parts.mean()),
        "mean absolute error": float(np.abs(found - expected).mean()),
        "root mean squared error": float(np.sqrt(squares.sum() / expected.size)),
    }
    width = max(map(len, values))
    table = "".join(f"{name:>{width}}  {value:.4g}\n" for name, value in values.items())
    return Evaluation("R2", values["R2"], values, table)
