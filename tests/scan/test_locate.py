"""Anomalies inside a scan are told with their place: the step, the row and the tagged value."""

from __future__ import annotations

import numpy as np
import pytest

import tinygrad_seq as ts
from tinygrad_seq.base.modes import Within

T, N, H = 6, 3, 4


def error_of(step, xs, **options) -> ts.AnomalyError:
    def run() -> None:
        with ts.detect_anomaly(), Within("LeakyCell, layer 1", N):
            last, ys = ts.scan(step, ts.ones((N, H), dtype="float64"), xs, **options)
            (last.sum() + ys.sum()).backward()

    with pytest.raises(ts.AnomalyError) as caught:
        run()
    return caught.value


def inputs(*bad: tuple[int, int, int], value: float) -> ts.Tensor:
    xs = np.ones((T, N, H))
    for place in bad:
        xs[place] = value
    return ts.tensor(xs, requires_grad=True)


@pytest.mark.parametrize(("reverse", "step", "row"), [(False, 2, 1), (True, 4, 0)])
def test_a_value_is_told_by_step_row_and_the_tag_it_leads_to(reverse: bool, step: int, row: int) -> None:
    def leaky(h, x):
        other, rate = ts.tag(ts.tanh(h), "other"), ts.tag(ts.log(x) * h, "rate")
        return h + rate, ts.tag(h * other, "too_late")

    error = error_of(leaky, inputs((2, 1, 3), (4, 0, 0), value=-1.0), reverse=reverse)
    assert error.place == f"LeakyCell, layer 1, step {step}, row {row}"
    assert str(error).startswith(f"{error.place}: 'rate' is nan: 'log' made nan at index ({row}, ")
    assert "test_locate.py" in error.text


def test_without_a_tag_the_operation_is_told() -> None:
    error = error_of(lambda h, x: (h, x * ts.exp(x)), inputs((3, 2, 0), value=1e4))
    assert str(error).startswith("LeakyCell, layer 1, step 3, row 2: 'exp' made inf at index (2, 0)")


def test_a_gradient_is_told_by_step_row_and_tag() -> None:
    def leaky(h, x):
        return h * ts.tag(ts.sqrt(x), "rate"), h

    error = error_of(leaky, inputs((4, 1, 2), value=0.0))
    assert str(error).startswith("LeakyCell, layer 1, step 4, row 1: the gradient of 'sqrt' ('rate') made inf")


def test_rows_are_told_only_where_there_are_sequences() -> None:
    with ts.detect_anomaly(), pytest.raises(ts.AnomalyError, match=r"^step 1: 'sqrt' made nan at index \(2,\)"):
        ts.scan(lambda c, x: (c, ts.sqrt(x)), ts.zeros(()), np.array([[1.0, 1, 1], [1, 1, -1]], np.float32))


def test_a_place_ends_with_its_block() -> None:
    with Within("GRUCell, layer 0", N):
        pass
    with ts.detect_anomaly(), pytest.raises(ts.AnomalyError, match=r"^'log' made nan"):
        ts.log(-ts.ones((N, 1)))
