"""New tensors: dtypes, copies, shapes, seeds, refusals."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import tinygrad_seq as ts
from tinygrad_seq.errors import ArgumentError, DtypeError, GraphError, ShapeError


@pytest.mark.parametrize(
    ("data", "dtype"),
    [
        (1.5, "float32"),
        (2, "int64"),
        (True, "bool"),
        ([[1.0, 2], [3, 4]], "float32"),
        ([1, 2], "int64"),
        (np.float64(1.5), "float64"),
        (np.arange(3, dtype="int16"), "int16"),
        (np.ones(2), "float64"),
        ([], "float32"),
    ],
)
def test_dtype_of_data(data, dtype):
    x = ts.tensor(data)
    assert x.dtype == np.dtype(dtype)
    np.testing.assert_array_equal(x.numpy(), data)


class Frame:
    """Like a pandas Series: an array comes only from `__array__`."""

    def __init__(self, values):
        self.values = values

    def __array__(self, dtype=None, copy=None):
        return np.array(self.values, dtype=dtype)


class Labelled(Frame):
    """Like an xarray DataArray: it has facts of an array and a sequence's methods too."""

    dtype, shape, ndim = np.dtype("float64"), (2,), 1

    def __len__(self):
        return len(self.values)

    def __getitem__(self, position):
        return float(self.values[position])


class Interface:
    def __init__(self, values):
        self.values, self.__array_interface__ = values, values.__array_interface__


class Capsule:
    """Like an array of another library: memory comes only through DLPack."""

    def __init__(self, values):
        self.values = values

    def __dlpack__(self, **options):
        return self.values.__dlpack__(**options)

    def __dlpack_device__(self):
        return self.values.__dlpack_device__()


WRAPPERS: dict[str, Callable[[np.ndarray], Any]] = {
    "itself": lambda values: values,
    "__array__": Frame,
    "__array__ of a sequence": Labelled,
    "__array_interface__": Interface,
    "buffer": lambda array: array.data,
    "dlpack": Capsule,
    "tensor": ts.tensor,
    "scalars in a list": list,
    "arrays in lists": lambda values: [[values], [values]],
    "objects in a list": lambda values: [Frame(values), values],
    "beside Python numbers": lambda values: [values, [1.5] * len(values)],
}


@pytest.mark.parametrize("dtype", ["float64", "float32", "int32", "uint8"])
@pytest.mark.parametrize("wrapper", WRAPPERS)
def test_what_has_a_dtype_keeps_it(wrapper, dtype):
    values = np.array([1 / 3, 5]).astype(dtype)
    wrapped = WRAPPERS[wrapper](values)
    kept = "float32" if wrapper == "beside Python numbers" and values.dtype.kind != "f" else dtype
    for make in (ts.tensor, ts.asarray):
        x = make(wrapped)
        assert x.dtype == np.dtype(kept)
        np.testing.assert_array_equal(x.numpy().reshape(-1)[:2], values)
        assert make(wrapped, "float64").dtype == np.float64


@pytest.mark.parametrize("value", [np.float64(1 / 3), np.array(1 / 3), Frame(1 / 3), np.array(1 / 3).data])
def test_a_single_number_that_has_a_dtype_keeps_it(value):
    assert ts.tensor(value).item() == 1 / 3
    assert ts.tensor(1 / 3).item() != 1 / 3
    assert ts.grad(lambda x: x * x)(value).item() == 2 / 3
    assert ts.grad(lambda x: x * x)(1 / 3).dtype == np.float32


def test_a_result_is_no_view_of_what_it_came_from():
    values = np.ones(2)
    for wrapper in ("__array__", "__array_interface__", "buffer", "dlpack"):
        x = ts.tensor(WRAPPERS[wrapper](values))
        values[0] += 1
        assert x.tolist() == [values[0] - 1, 1]


def test_pandas_series_and_frames_keep_float64():
    pandas = pytest.importorskip("pandas")
    for data in (pandas.Series([1 / 3, 2.0]), pandas.DataFrame({"a": [1 / 3], "b": [2.0]})):
        assert ts.tensor(data).dtype == np.float64


def test_tensor_of_tensors_and_nested_lists():
    x = ts.tensor([1.0, 2.0], dtype="float64", requires_grad=True)
    copied = ts.tensor(x)
    assert copied.dtype == np.float64
    assert not copied.requires_grad
    mixed: list[Any] = [ts.tensor(1.0), 2.0]
    assert ts.tensor([mixed]).shape == (1, 2)


def test_default_dtype():
    ts.set_default_dtype("float64")
    try:
        assert (
            ts.tensor([1.0]).dtype == ts.zeros(2).dtype == ts.randn(2).dtype == ts.full((2,), 0.5).dtype == np.float64
        )
    finally:
        ts.set_default_dtype("float32")


@pytest.mark.parametrize("order", [">", "<"])
def test_byte_order_becomes_native(order):
    array = np.array([1.0, 2.0], order + "f4")
    for x in (ts.tensor(array), ts.asarray(array)):
        assert x.dtype.isnative
        np.testing.assert_array_equal(x.numpy(), [1.0, 2.0])


@pytest.mark.parametrize("data", ["text", [1j], None, [None], np.ones(2, "float16"), {"a": 1}, np.array(["a"])])
def test_refused_data(data):
    with pytest.raises(DtypeError, match="tensor: expected"):
        ts.tensor(data)


def test_refused_dtypes_and_shapes():
    with pytest.raises(DtypeError, match="zeros: expected one of"):
        ts.zeros(2, dtype="complex64")
    with pytest.raises(DtypeError, match="expected a dtype"):
        ts.zeros(2, dtype="floaty")
    with pytest.raises(ShapeError, match="equal lengths"):
        ts.tensor([[1, 2], [3]])
    with pytest.raises(ShapeError, match="integers >= 0"):
        ts.ones((2, -1))
    with pytest.raises(DtypeError, match="requires_grad"):
        ts.zeros(2, dtype="int64", requires_grad=True)


def test_asarray():
    array = np.ones(3)
    assert ts.asarray(array).numpy() is array
    x = ts.tensor([1.0])
    assert ts.asarray(x) is x
    assert ts.asarray(x, "float64").dtype == np.float64
    assert ts.asarray([1, 2]).dtype == np.int64
    assert ts.asarray(array, "float32").dtype == np.float32
    with pytest.raises(DtypeError, match="asarray"):
        ts.asarray(np.array(["a"]))


def test_from_a_shape():
    x = ts.zeros((2, 3), dtype="float64")
    assert ts.ones_like(x).dtype == np.float64
    assert ts.zeros_like(x, "int32").dtype == np.int32
    np.testing.assert_array_equal(ts.full_like(x, 7).numpy(), np.full((2, 3), 7.0))
    assert ts.full(3, True).dtype == np.bool_
    np.testing.assert_array_equal(ts.eye(2, 3).numpy(), np.eye(2, 3))
    assert ts.ones(2, requires_grad=True).requires_grad


def test_ranges():
    np.testing.assert_array_equal(ts.arange(3).numpy(), [0, 1, 2])
    assert ts.arange(3).dtype == np.int64
    assert ts.arange(0, 1, 0.25).dtype == np.float32
    np.testing.assert_array_equal(ts.arange(5, 0, -2).numpy(), [5, 3, 1])
    np.testing.assert_allclose(ts.linspace(0, 1, 5).numpy(), [0, 0.25, 0.5, 0.75, 1])
    with pytest.raises(ArgumentError, match="step"):
        ts.arange(0, 3, 0)


@pytest.mark.parametrize(
    "draw", [lambda **k: ts.randn(3, 4, **k), lambda **k: ts.rand(3, 4, **k), lambda **k: ts.randint(0, 9, (3, 4), **k)]
)
def test_random_values_follow_the_seed_or_the_generator(draw):
    ts.manual_seed(5)
    first = draw().numpy()
    assert not np.array_equal(first, draw().numpy())
    ts.manual_seed(5)
    np.testing.assert_array_equal(first, draw().numpy())
    np.testing.assert_array_equal(
        draw(generator=np.random.default_rng(1)).numpy(), draw(generator=np.random.default_rng(1)).numpy()
    )


def test_random_dtypes_and_ranges():
    assert ts.randn(2, dtype="float64").dtype == np.float64
    assert ts.rand(2).dtype == np.float32
    values = ts.rand(1000).numpy()
    assert values.min() >= 0
    assert values.max() < 1
    assert ts.randn().shape == ()
    with pytest.raises(ArgumentError, match="low < high"):
        ts.randint(3, 3, 2)


def test_random_shapes_as_one_tuple_or_several_integers():
    assert ts.rand((2, 3)).shape == ts.rand(2, 3).shape == ts.randn((2, 3)).shape == ts.randn(2, 3).shape == (2, 3)
    assert ts.randn().shape == ts.rand(()).shape == ()


@pytest.mark.parametrize("make", [ts.tensor, ts.asarray], ids=lambda make: make.__name__)
def test_a_list_with_a_tensor_that_requires_grad_is_refused(make):
    """A copy would drop its gradient without a word."""
    x = ts.tensor([1.0, 2.0], requires_grad=True)
    for inner in (x, x * 2, [x]):
        with pytest.raises(GraphError, match=r"join them with ts\.stack, or use x\.detach"):
            make([inner])
    np.testing.assert_array_equal(make([x.detach()]).numpy(), [[1.0, 2.0]])


def test_casts_copy_unless_they_are_told_not_to():
    x = ts.ones(2)
    assert x.astype("float32", copy=False) is x
    assert not np.shares_memory(x.astype("float32").numpy(), x.numpy())
    assert x.astype("int8", copy=False).dtype == np.int8
