from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from tests.ops.checks import check_forward, check_gradients, values
from tinygrad_seq.autograd.gradcheck import gradcheck
from tinygrad_seq.autograd.tensor import Tensor
from tinygrad_seq.errors import ArgumentError, IndexRangeError
from tinygrad_seq.ops.sorting import argsort, sort, topk

ROWS = {
    "sort": (sort, np.sort, (3, 4)),
    "sort axis": (lambda x: sort(x, 0), lambda x: np.sort(x, 0), (3, 4)),
    "sort descending": (lambda x: sort(x, descending=True), lambda x: -np.sort(-x), (3, 4)),
    "sort unstable": (lambda x: sort(x, stable=False), np.sort, (5,)),
    "sort empty": (sort, np.sort, (2, 0)),
    "topk": (lambda x: topk(x, 2)[0], lambda x: -np.sort(-x)[:, :2], (3, 4)),
    "topk smallest": (lambda x: topk(x, 3, 0, largest=False)[0], lambda x: np.sort(x, 0)[:3], (4, 2)),
    "topk all": (lambda x: topk(x, 4)[0], lambda x: -np.sort(-x), (3, 4)),
    "topk none": (lambda x: topk(x, 0)[0], lambda x: x[:, :0], (3, 4)),
}


@pytest.mark.parametrize("row", ROWS.values(), ids=ROWS)
def test_forward(row) -> None:
    op, reference, shape = row
    check_forward(op, reference, values(*shape))


@pytest.mark.parametrize("row", ROWS.values(), ids=ROWS)
def test_gradients(row) -> None:
    op, _, shape = row
    check_gradients(op, values(*shape))


# Few values, so that many are equal.
arrays = hnp.arrays(
    np.float64, hnp.array_shapes(max_dims=3, max_side=6), elements=st.sampled_from([0.0, 1.0, 2.0, np.nan])
)


@given(arrays, st.booleans(), st.data())
def test_argsort_is_stable_both_ways(array: np.ndarray, descending: bool, data: st.DataObject) -> None:
    axis = data.draw(st.integers(-array.ndim, array.ndim - 1))
    ranks = np.where(np.isnan(array), 9.0, array)  # NaN is the largest
    expected = np.argsort(-ranks if descending else ranks, axis, stable=True)
    np.testing.assert_array_equal(argsort(array, axis, descending=descending), expected)
    np.testing.assert_array_equal(sort(array, axis, descending=descending), np.take_along_axis(array, expected, axis))


@given(arrays, st.booleans(), st.data())
def test_topk_begins_the_sorted_array(array: np.ndarray, largest: bool, data: st.DataObject) -> None:
    axis = data.draw(st.integers(0, array.ndim - 1))
    k = data.draw(st.integers(0, array.shape[axis]))
    found, indices = topk(array, k, axis, largest=largest)
    first = argsort(array, axis, descending=largest)[(slice(None),) * axis + (slice(k),)]
    np.testing.assert_array_equal(indices, first)
    np.testing.assert_array_equal(found, np.take_along_axis(array, first, axis))


@pytest.mark.parametrize("largest", [True, False])
@pytest.mark.parametrize("k", [1, 2, 7, 64, 300])
def test_topk_of_long_rows(k: int, largest: bool) -> None:
    rows = np.random.default_rng(k).integers(0, 200, (3, 300)).astype(np.float32)
    rows[1, ::7] = np.nan
    _, indices = topk(rows, k, largest=largest)
    np.testing.assert_array_equal(indices, argsort(rows, descending=largest)[:, :k])


def test_second_derivative_of_topk() -> None:
    x = Tensor(np.array([3.0, 1.0, 2.0]), requires_grad=True)
    assert gradcheck(lambda x: topk(x * x * x, 2)[0], x, order=2)


def test_equal_elements_keep_their_own_gradients() -> None:
    x = Tensor(np.array([1.0, 0.0, 1.0]), requires_grad=True)
    sort(x, descending=True).backward(np.array([10.0, 20.0, 30.0]))
    assert x.grad is not None
    np.testing.assert_array_equal(x.grad.numpy(), [10, 30, 20])


def test_indices_carry_no_gradient() -> None:
    x = Tensor(values(4), requires_grad=True)
    found, indices = topk(x, 2)
    assert found.requires_grad
    assert not indices.requires_grad
    assert not argsort(x).requires_grad


@pytest.mark.parametrize("dtype", [np.float32, np.int64, np.uint8, np.bool_])
def test_dtype_is_kept(dtype) -> None:
    array = np.array([1, 0, 1], dtype)
    assert sort(array).dtype == dtype
    assert topk(array, 2)[0].tolist() == [1, 1]


MISTAKES = [
    (lambda x: topk(x, 4), ArgumentError, "topk: expected k from 0 to 3, the size of axis 1, got 4"),
    (lambda x: topk(x, 1.0), ArgumentError, "topk: expected integer sizes, got 1.0"),  # type: ignore[arg-type]
    (lambda x: topk(x, -1), ArgumentError, "topk: expected k from 0 to 3"),
    (lambda x: sort(x, 2), IndexRangeError, "argsort: expected an axis|sort: expected an axis"),
    (lambda x: argsort(x[0, 0]), IndexRangeError, "argsort"),
]


@pytest.mark.parametrize(("call", "error", "message"), MISTAKES)
def test_mistake_is_refused(call, error: type[Exception], message: str) -> None:
    for x in (values(2, 3), Tensor(values(2, 3), requires_grad=True)):
        with pytest.raises(error, match=message):
            call(x)
