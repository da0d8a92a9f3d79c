"""Confusion matrices and reports, against scikit-learn."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import classification_report as sklearn_report
from sklearn.metrics import confusion_matrix as sklearn_matrix

from tinygrad_seq.errors import DataError, ShapeError
from tinygrad_seq.metrics import classification_report, confusion_matrix


@pytest.mark.parametrize("digits", [2, 4])
def test_reports_of_classes_are_those_of_scikit_learn(digits: int, rng) -> None:
    names = np.array(["ant", "bee", "a longer name"])
    found, expected = (names[rng.integers(0, 3, 50)].tolist() for _ in range(2))
    ours = classification_report(found, expected, digits)
    assert ours == sklearn_report(expected, found, digits=digits)
    np.testing.assert_array_equal(
        confusion_matrix(found, expected, sorted(names)), sklearn_matrix(expected, found, labels=sorted(names))
    )


def test_the_report_of_spans_has_the_layout_of_seqeval() -> None:
    expected = [["O", "O", "O", "B-MISC", "I-MISC", "I-MISC", "O"], ["B-PER", "I-PER", "O"]]
    found = [["O", "O", "B-MISC", "I-MISC", "I-MISC", "I-MISC", "O"], ["B-PER", "I-PER", "O"]]
    assert classification_report(found, expected).splitlines() == [
        "              precision    recall  f1-score   support",
        "",
        "        MISC       0.00      0.00      0.00         1",
        "         PER       1.00      1.00      1.00         1",
        "",
        "   micro avg       0.50      0.50      0.50         2",
        "   macro avg       0.50      0.50      0.50         2",
        "weighted avg       0.50      0.50      0.50         2",
    ]


def test_reports_of_other_tags_count_single_tags() -> None:
    assert "N       0.67" in classification_report([["N", "V"], ["N", "N"]], [["N", "V"], ["N", "V"]])


@pytest.mark.parametrize(
    ("found", "expected", "error"),
    [
        ("ab", ["a", "b"], DataError),
        ([], [], ShapeError),
        (["a"], ["a", "b"], ShapeError),
        ([["a"]], [["a", "b"]], ShapeError),
    ],
)
def test_reports_need_pairs(found, expected, error) -> None:
    with pytest.raises(error, match="classification_report"):
        classification_report(found, expected)


def test_a_confusion_matrix_needs_all_classes() -> None:
    with pytest.raises(DataError, match="the 1 classes 'a', got 'b'"):
        confusion_matrix(["b"], ["a"], ["a"])
