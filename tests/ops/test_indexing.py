from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from tests.ops.checks import check_forward, check_gradients, values
from tinygrad_seq.autograd.tensor import Tensor
from tinygrad_seq.errors import ArgumentError, DtypeError, IndexRangeError, ShapeError
from tinygrad_seq.ops.gathering import gather, scatter_add, take_along_axis
from tinygrad_seq.ops.indexing import diagonal, embedding, getitem, index_add, masked_select, take
from tinygrad_seq.ops.one_hot import one_hot
from tinygrad_seq.ops.primitive import TABLE

BASIC_KEYS = {
    "integer": 1,
    "negative": -1,
    "numpy integer": np.int32(1),
    "slice": slice(1, None),
    "step": slice(None, None, 2),
    "negative step": slice(None, None, -2),
    "empty slice": slice(2, 2),
    "ellipsis": ...,
    "None": None,
    "nothing": (),
    "mixed": (slice(None, None, -1), ..., None, 2),
    "all integers": (1, -2, 3),
}
ADVANCED_KEYS = {
    "list": [2, 0, 2],
    "array": np.array([[2, 0], [2, -1]]),
    "unsigned": np.array([1, 1], np.uint8),
    "empty list": [],
    "second axis": (slice(None), [1, 1, -2]),
    "two arrays": ([0, 0, 2], [1, 1, 0]),
    "broadcast arrays": (np.array([[0], [2]]), np.array([1, 1, 0])),
    "apart": ([0, 0], slice(None), [1, 1]),
    "with None": (None, [0, 0], ..., [3, 3]),
    "with an integer": (1, slice(None), [0, 0]),
    "mask": np.arange(24).reshape(3, 4, 2).repeat(2, 2)[..., :4] % 3 == 0,
    "mask of one axis": np.array([True, False, True]),
    "mask of second axis": (slice(None), np.array([True, False, True, True])),
    "mask and integers": (np.array([True, False, True]), [1, 1]),
    "mask of one and repeats": (np.array([False, False, True]), [1, 1]),
    "true": True,
    "false": np.False_,
}
KEYS = BASIC_KEYS | ADVANCED_KEYS
SHAPE = (3, 4, 4)

# ---------------------------------------------------------------------------------------------- indexing by a key


@pytest.mark.parametrize("key", KEYS.values(), ids=KEYS)
def test_getitem(key: Any) -> None:
    check_forward(lambda x: getitem(x, key), lambda x: x[key], values(*SHAPE))


@pytest.mark.parametrize("key", KEYS.values(), ids=KEYS)
def test_getitem_gradients(key: Any) -> None:
    check_gradients(lambda x: getitem(x, key), values(*SHAPE))


@pytest.mark.parametrize("key", BASIC_KEYS.values(), ids=BASIC_KEYS)
def test_basic_key_gives_a_view(key: Any) -> None:
    array = values(*SHAPE)
    result = getitem(array, key)
    assert result.size in (0, 1) or np.shares_memory(result, array)


def test_basic_key_is_never_added_at(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*args: Any, **params: Any) -> None:
        raise AssertionError

    for name in ("lookup_add", "take_add"):
        monkeypatch.setattr(TABLE[name], "forward", refuse)
    for key in BASIC_KEYS.values():
        x = Tensor(values(*SHAPE), requires_grad=True)
        y = x[key]
        y.backward(np.ones(y.shape))


def gradient_of(x: np.ndarray, key: Any) -> np.ndarray:
    """Return the gradient of ``Σ k x[key]_k``, by counting."""
    expected = np.zeros(x.shape)
    cotangent = np.arange(1.0, x[key].size + 1).reshape(x[key].shape)
    np.add.at(expected, key, cotangent)
    tensor = Tensor(x, requires_grad=True)
    y = getitem(tensor, key)
    np.testing.assert_array_equal(y.numpy(), x[key])
    y.backward(cotangent)
    assert tensor.grad is not None
    np.testing.assert_array_equal(tensor.grad.numpy(), expected)
    return expected


@given(hnp.array_shapes(max_dims=4, max_side=4), st.data())
def test_any_basic_key(shape: tuple[int, ...], data: st.DataObject) -> None:
    gradient_of(values(*shape), data.draw(hnp.basic_indices(shape, allow_newaxis=True, allow_ellipsis=True)))


@given(hnp.array_shapes(max_dims=4, max_side=4), st.data())
def test_any_integer_key(shape: tuple[int, ...], data: st.DataObject) -> None:
    gradient_of(values(*shape), data.draw(hnp.integer_array_indices(shape)))


@given(hnp.array_shapes(max_dims=4, max_side=4), st.data())
def test_any_mixed_key(shape: tuple[int, ...], data: st.DataObject) -> None:
    arrays = data.draw(hnp.integer_array_indices(shape))
    slices = data.draw(hnp.basic_indices(shape, allow_newaxis=False, allow_ellipsis=False))
    slices = slices if isinstance(slices, tuple) else (slices,)
    slices += (slice(None),) * (len(shape) - len(slices))
    key = tuple(data.draw(st.sampled_from(pair)) for pair in zip(arrays, slices, strict=True))
    gradient_of(values(*shape), key)


@given(hnp.array_shapes(min_side=0, max_dims=3, max_side=4), st.data())
def test_any_mask(shape: tuple[int, ...], data: st.DataObject) -> None:
    ndim = data.draw(st.integers(1, len(shape)))
    gradient_of(values(*shape), data.draw(hnp.arrays(bool, shape[:ndim])))


def test_keys_may_be_tensors() -> None:
    x, rows = Tensor(values(*SHAPE), requires_grad=True), np.array([2, 0, 2])
    for key in (rows, x.numpy() > 0, np.array(1)):
        np.testing.assert_array_equal(x[Tensor(key)].numpy(), x.numpy()[key])
    np.testing.assert_array_equal(x[:, Tensor(rows), 1:].numpy(), x.numpy()[:, rows, 1:])
    y = x[Tensor(rows)]
    y.backward(np.ones(y.shape))
    assert x.grad is not None
    np.testing.assert_array_equal(x.grad.numpy()[:, 0, 0], [1, 0, 2])


@pytest.mark.parametrize("wrap", [lambda key: key, lambda key: (slice(None), key), lambda key: (key, key)])
def test_key_changed_later_does_not_matter(wrap) -> None:
    key = np.array([1, 1])
    x = Tensor(values(3, 3), requires_grad=True)
    y = x[wrap(key)]
    key[:] = 0
    y.backward(np.ones(y.shape))
    expected = np.zeros((3, 3))
    np.add.at(expected, wrap(np.array([1, 1])), 1)
    assert x.grad is not None
    np.testing.assert_array_equal(x.grad.numpy(), expected)


def test_0d_array() -> None:
    for key in ((), ..., None, True):
        gradient_of(np.asarray(2.0), key)


BAD_KEYS = [
    (3, IndexRangeError, r"index: expected a key that fits shape \(3, 4, 4\), got 3 .*3 is out of bounds"),
    ((0, 0, 0, 0), IndexRangeError, "too many indices"),
    ([0, 3], IndexRangeError, r"take: expected indices from -3 to 2, got 3 .* axis of size 3"),
    (([0, 3], 1), IndexRangeError, "index: .*3 is out of bounds"),
    (1.0, DtypeError, r"index: expected integers.*got \(\) float64"),
    ([0.5], DtypeError, r"got \(1,\) float64 as an index of an array of shape \(3, 4, 4\)"),
    ("a", DtypeError, "index: expected integers"),
    (np.array([True, False]), IndexRangeError, "index: .*boolean index did not match"),
]


@pytest.mark.parametrize(("key", "error", "message"), BAD_KEYS)
def test_bad_key_is_refused(key: Any, error: type[Exception], message: str) -> None:
    for x in (values(*SHAPE), Tensor(values(*SHAPE), requires_grad=True)):
        with pytest.raises(error, match=message):
            getitem(x, key)


# ------------------------------------------------------------------------------ lookups, gathers and scatters

ROWS_AND_REPEATS = np.array([[2, 0, 2], [1, -1, 2]])
PLACES = np.array([[2, 0, 2, 2], [-1, 1, 0, 0]])

ROWS = {
    "take": (lambda x: take(x, ROWS_AND_REPEATS, 0), lambda x: x.take(ROWS_AND_REPEATS, 0), (3, 4)),
    "take last": (lambda x: take(x, ROWS_AND_REPEATS, -1), lambda x: x.take(ROWS_AND_REPEATS, -1), (2, 4, 3)),
    "take flat": (lambda x: take(x, [3, 3, -1]), lambda x: x.take([3, 3, -1]), (3, 4)),
    "take one": (lambda x: take(x, np.array(1), 1), lambda x: x.take(1, 1), (3, 4)),
    "take none": (lambda x: take(x, np.array([], int), 0), lambda x: x[:0], (3, 4)),
    "take of rows of size 0": (lambda x: take(x, [0, 0], 0), lambda x: x[[0, 0]], (2, 0)),
    "embedding": (lambda x: embedding(x, [[1, 1], [0, 2]]), lambda x: x[[[1, 1], [0, 2]]], (3, 4)),
    "masked_select": (
        lambda x: masked_select(x, np.array([True, False, True])),
        lambda x: x[:, [True, False, True]].ravel(),
        (2, 3),
    ),
    "take_along_axis": (
        lambda x: take_along_axis(x, PLACES, 0),
        lambda x: np.take_along_axis(x, PLACES, 0),
        (3, 4),
    ),
    "take_along_axis broadcast": (
        lambda x: take_along_axis(x, np.array([[[1], [0], [1]]]), -1),
        lambda x: np.take_along_axis(x, np.array([[[1], [0], [1]]]), -1),
        (2, 1, 2),
    ),
    "gather": (lambda x: gather(x, 0, PLACES), lambda x: x[PLACES, np.arange(4)], (3, 5)),
    "gather 1-d": (lambda x: gather(x, 0, [1, 1, -1]), lambda x: x[[1, 1, -1]], (3,)),
    "gather none": (lambda x: gather(x, 1, np.zeros((0, 2), int)), lambda x: x[:0, :2], (3, 4)),
    "gather of empty": (
        lambda x: gather(x, 0, np.zeros((2, 0), int)),
        lambda x: np.zeros((2, 0), x.dtype),
        (3, 0),
    ),
    "scatter_add": (
        lambda x, source: scatter_add(x, 0, PLACES, source),
        lambda x, source: added_at(x, (PLACES, np.arange(4)), source),
        (3, 5),
        (2, 4),
    ),
    "index_add": (
        lambda x, source: index_add(x, 1, [2, 0, 2, -1], source),
        lambda x, source: added_at(x, (slice(None), [2, 0, 2, -1]), source),
        (2, 3, 2),
        (2, 4, 2),
    ),
    "diagonal": (diagonal, np.diagonal, (3, 4)),
    "diagonal offset": (lambda x: diagonal(x, 1), lambda x: x.diagonal(1), (3, 4)),
    "diagonal axes": (lambda x: diagonal(x, -1, 2, -3), lambda x: x.diagonal(-1, 2, 0), (3, 2, 4)),
    "diagonal outside": (lambda x: diagonal(x, 9), lambda x: x.diagonal(9), (3, 4)),
}


def added_at(x: np.ndarray, key: Any, source: np.ndarray) -> np.ndarray:
    change = np.zeros_like(x)
    np.add.at(change, key, source)
    return x + change


@pytest.mark.parametrize("row", ROWS.values(), ids=ROWS)
def test_forward(row) -> None:
    op, reference, *shapes = row
    check_forward(op, reference, *[np.round(values(*shape) * 64) for shape in shapes])


@pytest.mark.parametrize("row", ROWS.values(), ids=ROWS)
def test_gradients(row) -> None:
    op, _, *shapes = row
    check_gradients(op, *[values(*shape) for shape in shapes])


@given(hnp.array_shapes(min_side=1, max_dims=3, max_side=4), hnp.array_shapes(min_dims=0, max_dims=2), st.data())
def test_take_of_any_shape(shape: tuple[int, ...], chosen: tuple[int, ...], data: st.DataObject) -> None:
    axis = data.draw(st.integers(-len(shape), len(shape) - 1))
    indices = data.draw(hnp.arrays(np.int64, chosen, elements=st.integers(-shape[axis], shape[axis] - 1)))
    x = Tensor(values(*shape), requires_grad=True)
    y = take(x, indices, axis)
    np.testing.assert_array_equal(y.numpy(), x.numpy().take(indices, axis))
    cotangent = np.arange(1.0, y.size + 1).reshape(y.shape)
    y.backward(cotangent)
    expected = np.zeros(shape)
    np.add.at(
        np.moveaxis(expected, axis, 0),
        indices.ravel(),
        np.moveaxis(
            cotangent.reshape(*shape[: axis % len(shape)], -1, *shape[axis % len(shape) + 1 :]), axis % len(shape), 0
        ),
    )
    assert x.grad is not None
    np.testing.assert_array_equal(x.grad.numpy(), expected)


@given(hnp.array_shapes(max_dims=3, max_side=4), st.data())
def test_scatter_add_is_the_adjoint_of_gather(shape: tuple[int, ...], data: st.DataObject) -> None:
    axis = data.draw(st.integers(0, len(shape) - 1))
    smaller = [data.draw(st.integers(0, size)) for size in shape]
    smaller[axis] = data.draw(st.integers(0, 5))
    indices = data.draw(hnp.arrays(np.int64, tuple(smaller), elements=st.integers(0, shape[axis] - 1)))
    x, source = values(*shape), values(*smaller)
    picked = gather(x, axis, indices)
    for place in np.ndindex(*smaller):
        assert picked[place] == x[(*place[:axis], indices[place], *place[axis + 1 :])]
    scattered = scatter_add(np.zeros(shape), axis, indices, source)
    np.testing.assert_allclose((picked * source).sum(), (scattered * x).sum(), atol=1e-12)


@pytest.mark.parametrize("dtype", [np.int8, np.uint16, np.int32, np.int64, np.uint64])
def test_indices_of_any_integer_dtype(dtype) -> None:
    indices = np.array([1, 1, 0], dtype)
    x = Tensor(np.ones((2, 3), np.float32), requires_grad=True)
    y = embedding(x, Tensor(indices)) + gather(x, 0, Tensor(np.stack([indices] * 3)))[0]
    y.backward(np.ones(y.shape, np.float32))
    assert x.grad is not None
    assert x.grad.dtype == np.float32
    np.testing.assert_array_equal(x.grad.numpy(), [[1, 1, 4], [5, 5, 2]])


def test_one_hot() -> None:
    rows = one_hot(np.array([[2, 0], [1, 1]]), 3)
    assert rows.dtype == np.float32
    np.testing.assert_array_equal(rows, np.eye(3)[[[2, 0], [1, 1]]])
    assert one_hot(Tensor(np.array(1)), 2, np.float64).tolist() == [0.0, 1.0]
    assert one_hot(np.zeros((2, 0), int), 4, bool).shape == (2, 0, 4)
    assert one_hot(np.array([0, 2])).shape == (2, 3)
    with pytest.raises(DtypeError, match="one_hot: expected a dtype"):
        one_hot(np.array([1]), 3, "no dtype")


MISTAKES = [
    (
        lambda x: take(x, [0, -3], 0),
        IndexRangeError,
        "take: expected indices from -2 to 1, got -3 .* axis of size 2",
    ),
    (lambda x: take(x, [0.0], 0), DtypeError, r"take: expected integer indices, got shape \(1,\) float64"),
    (lambda x: take(x, [0], 2), IndexRangeError, "take: expected an axis"),
    (lambda x: take(x[:0], [0], 0), IndexRangeError, "take: expected indices"),
    (lambda x: embedding(x, [0, 2]), IndexRangeError, "embedding: expected indices from 0 to 1, got 2"),
    (lambda x: embedding(x, [0, -1]), IndexRangeError, "embedding: expected indices from 0 to 1, got -1"),
    (lambda x: embedding(x, [True]), DtypeError, "embedding: expected integer indices"),
    (lambda x: embedding(x[0], [0]), ShapeError, r"embedding: expected a weight of shape \(V, H\)"),
    (lambda x: masked_select(x, [[1, 0, 1]]), DtypeError, "masked_select: expected a boolean mask"),
    (lambda x: masked_select(x, [True, False]), ShapeError, "broadcast"),
    (
        lambda x: index_add(x, 0, [0], x),
        ShapeError,
        r"index_add: expected 1-d indices and a source of shape \(1, 3\)",
    ),
    (lambda x: index_add(x, 0, [0, 2], x), IndexRangeError, "index_add: expected indices"),
    (lambda x: gather(x, 0, [0]), ShapeError, "gather: expected indices with 2 axes"),
    (
        lambda x: gather(x, 0, [[0, 0, 0, 0]]),
        ShapeError,
        r"gather: expected indices no larger than shape \(2, 3\)",
    ),
    (lambda x: gather(x, 0, [[2]]), IndexRangeError, "gather: expected indices from -2 to 1, got 2"),
    (lambda x: gather(x, 0, [[0.5]]), DtypeError, "gather: expected integer indices"),
    (
        lambda x: scatter_add(x, 0, [[0]], x),
        ShapeError,
        "scatter_add: expected a source of the shape of the indices",
    ),
    (
        lambda x: scatter_add(x, 0, [[5]], [[1.0]]),
        IndexRangeError,
        "scatter_add: expected indices from -2 to 1",
    ),
    (lambda x: take_along_axis(x, [0], 0), ShapeError, "take_along_axis: expected indices with 2 axes"),
    (
        lambda x: take_along_axis(x, [[0, 0]], 0),
        ShapeError,
        "take_along_axis: expected indices that broadcast",
    ),
    (lambda x: diagonal(x[0]), ShapeError, "diagonal: expected at least two axes"),
    (lambda x: diagonal(x, 0, 1, 1), ArgumentError, "diagonal: expected each axis once"),
    (lambda x: one_hot([0, 3], 3), IndexRangeError, "one_hot: expected indices from 0 to 2, got 3"),
    (lambda x: one_hot([-1], 3), IndexRangeError, "one_hot: expected indices from 0 to 2, got -1"),
    (lambda x: one_hot([0.0], 3), DtypeError, "one_hot: expected integer indices"),
    (lambda x: one_hot([0], 2.5), ArgumentError, "one_hot: expected integer sizes"),  # type: ignore[arg-type]
    (lambda x: one_hot([0], 0), ArgumentError, "one_hot: expected a positive num_classes"),
]


@pytest.mark.parametrize(("call", "error", "message"), MISTAKES)
def test_mistake_is_refused(call, error: type[Exception], message: str) -> None:
    for x in (values(2, 3), Tensor(values(2, 3), requires_grad=True)):
        with pytest.raises(error, match=message):
            call(x)
