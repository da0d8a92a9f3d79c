"""Labels: a fixed order, unseen labels are an error that lists them."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tinygrad_seq.data import Labels
from tinygrad_seq.errors import DataError, DtypeError, IndexRangeError, ShapeError

CLASSES = st.one_of(st.lists(st.text(), min_size=1), st.lists(st.integers(), min_size=1))


def wrong(value: Any) -> Any:
    """Hide the type of an argument from the type checker."""
    return value


@given(CLASSES)
def test_there_and_back(values: list[Any]) -> None:
    labels = Labels.build(values)
    assert list(labels.classes) == sorted(set(values))
    assert labels.decode(labels.encode(values)) == values
    again = Labels.from_content(json.loads(json.dumps(labels.content())))
    assert again == labels
    assert again.digest == labels.digest


def test_the_order_counts() -> None:
    labels = Labels(["b", "a"])
    assert labels.encode(["a", "b"]).tolist() == [1, 0]
    assert labels != Labels(["a", "b"])
    assert labels.digest != Labels(["a", "b"]).digest
    assert "a" in labels
    assert "c" not in labels
    assert Labels.build([10, 9]).classes == (9, 10)
    assert repr(labels) == "Labels(['b', 'a'])"


def test_arrays_of_numpy() -> None:
    assert Labels.build(np.array(["y", "x"])).classes == ("x", "y")
    labels = Labels.build([np.int32(3), np.int64(-1)])
    assert labels.classes == (-1, 3)
    assert type(labels.classes[0]) is int
    assert labels.encode(np.array([3, 3], np.uint8)).tolist() == [1, 1]
    assert labels.encode([]).dtype == np.int64


def test_all_unseen_labels_are_listed() -> None:
    labels = Labels(["a", "b"])
    with pytest.raises(DataError, match=r"got the unseen labels 'd' \(2 times\), 'c' \(1 time\);"):
        labels.encode_all([["a", "d"], ["c", "d"]])
    with pytest.raises(DataError, match=r"and 80 more; leave"):
        labels.encode(map(str, range(100)))


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: Labels([]), DataError, "at least one class"),
        (lambda: Labels(["a", "a"]), DataError, "'a' twice"),
        (lambda: Labels(["a", 1]), DataError, "got int and str"),
        (lambda: Labels([0, True]), DataError, "got bool and int"),
        (lambda: Labels(wrong([None])), DataError, "got NoneType"),
        (lambda: Labels.build("abc"), DataError, "a list of labels"),
        (lambda: Labels(["1"]).encode([1]), DataError, "the unseen label 1 "),
        (lambda: Labels(["a"]).encode(wrong([[]])), DataError, "got list"),
        (lambda: Labels(["a"]).decode([1]), IndexRangeError, "from 0 to 0, got 1 to 1"),
        (lambda: Labels(["a"]).decode([-1]), IndexRangeError, "got -1"),
        (lambda: Labels(["a"]).decode([[0]]), ShapeError, r"\(1, 1\)"),
        (lambda: Labels(["a"]).decode([0.0]), DtypeError, "float64"),
        (lambda: Labels.from_content([]), DataError, "other data"),
        (
            lambda: Labels.from_content(Labels(["a"]).content() | {"version": 2}),
            DataError,
            "format, got 2",
        ),
        (lambda: Labels.from_content(Labels(["a"]).content() | {"classes": [[]]}), DataError, "got list"),
    ],
)
def test_errors(call: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        call()
