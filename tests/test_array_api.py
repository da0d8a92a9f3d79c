"""The namespace of the array API standard: its names and parameters, and its results beside NumPy's.

`make array-api` runs the standard's own suite, with the differences listed in array_api_differences.txt.
"""

from __future__ import annotations

import inspect
from typing import Any

import numpy as np
import pytest

import tinygrad_seq as ts
from tinygrad_seq.errors import ArgumentError, CompileError, DtypeError

array_api: Any = ts.ones(1).__array_namespace__()

# Version 2024.12 without complex numbers: positional parameters, a bar, those that are given by name.
UNARY = (
    "abs acos acosh asin asinh atan atanh bitwise_invert ceil cos cosh exp expm1 floor isfinite isinf isnan log log10 "
    "log1p log2 logical_not matrix_transpose negative nonzero positive reciprocal round sign signbit sin sinh sqrt "
    "square tan tanh trunc unique_all unique_counts unique_inverse unique_values finfo iinfo"
)
BINARY = (
    "add atan2 bitwise_and bitwise_left_shift bitwise_or bitwise_right_shift bitwise_xor can_cast copysign divide "
    "equal floor_divide greater greater_equal hypot less less_equal logaddexp logical_and logical_or logical_xor "
    "matmul maximum minimum multiply nextafter not_equal pow remainder subtract"
)
PARAMETERS = {
    **dict.fromkeys(UNARY.split(), "x"), **dict.fromkeys(BINARY.split(), "x1 x2"),
    **dict.fromkeys(["zeros", "ones", "empty"], "shape | dtype device"), "full": "shape fill_value | dtype device",
    **dict.fromkeys(["zeros_like", "ones_like", "empty_like"], "x | dtype device"),
    "full_like": "x fill_value | dtype device", "arange": "start stop step | dtype device",
    "asarray": "obj | dtype device copy", "eye": "n_rows n_cols | k dtype device", "from_dlpack": "x | device copy",
    "linspace": "start stop num | dtype device endpoint", "tril": "x | k", "triu": "x | k",
    "astype": "x dtype | copy device", "isdtype": "dtype kind", "clip": "x min max", "take": "x indices | axis",
    "take_along_axis": "x indices | axis", "tensordot": "x1 x2 | axes", "vecdot": "x1 x2 | axis",
    "broadcast_to": "x shape", "concat": "arrays | axis", "expand_dims": "x axis", "flip": "x | axis",
    "moveaxis": "x source destination", "permute_dims": "x axes", "repeat": "x repeats | axis",
    "reshape": "x shape | copy", "roll": "x shift | axis", "squeeze": "x axis", "stack": "arrays | axis",
    "tile": "x repetitions", "unstack": "x | axis", "searchsorted": "x1 x2 | side sorter", "where": "condition x1 x2",
    **dict.fromkeys(["argmax", "argmin", "count_nonzero", "max", "mean", "min", "all", "any"], "x | axis keepdims"),
    **dict.fromkeys(["sum", "prod"], "x | axis dtype keepdims"),
    **dict.fromkeys(["std", "var"], "x | axis correction keepdims"),
    **dict.fromkeys(["sort", "argsort"], "x | axis descending stable"),
    **dict.fromkeys(["cumulative_sum", "cumulative_prod"], "x | axis dtype include_initial"),
    "diff": "x | axis n prepend append", "meshgrid": "* | indexing", "broadcast_arrays": "*", "result_type": "*",
}  # fmt: skip
DTYPES = ("bool", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64", "float32", "float64")


@pytest.mark.parametrize("name", PARAMETERS)
def test_parameters(name):
    positional, _, named = PARAMETERS[name].partition(" | ")
    found = inspect.signature(getattr(array_api, name))
    if positional == "*":
        found.bind(1, 2, 3, **dict.fromkeys(named.split()))
    else:
        found.bind(*positional.split(), **dict.fromkeys(named.split()))


def test_what_is_there():
    x = ts.ones(2)
    for version in (None, "2021.12", "2022.12", "2023.12", "2024.12"):
        assert x.__array_namespace__(api_version=version) is array_api
    with pytest.raises(ArgumentError, match="api_version None or one of"):
        x.__array_namespace__(api_version="2030.12")
    assert array_api.__array_api_version__ == "2024.12"
    for name in DTYPES:
        dtype = getattr(array_api, name)
        assert dtype == np.dtype(name)
        assert hash(dtype) == hash(array_api.asarray([0], dtype=dtype).dtype)
    assert (array_api.pi, array_api.e, array_api.inf, array_api.newaxis) == (np.pi, np.e, np.inf, None)
    assert not {"linalg", "fft", "conj", "real", "imag", "complex64"} & set(dir(array_api))
    info = array_api.__array_namespace_info__()
    assert type(getattr(ts, "__array_namespace_info__")()) is type(info)  # noqa: B009
    assert info.devices() == [info.default_device()] == [x.device] == ["cpu"]
    assert info.default_dtypes(device="cpu") == {"real floating": x.dtype, "integral": "int64", "indexing": "int64"}
    assert tuple(sorted(info.dtypes())) == tuple(sorted(DTYPES))
    assert set(info.dtypes(kind=("bool", "real floating"))) == {"bool", "float32", "float64"}
    assert info.capabilities()["data-dependent shapes"]


# Expressions of a namespace `xp`, a float64 matrix `x` and an int64 matrix `n`.
CASES = """
xp.sum(x)
xp.sum(xp.astype(n, xp.int8))
xp.sum(xp.astype(n, xp.uint8), axis=0)
xp.sum(xp.astype(n, xp.int8), dtype=xp.int8)
xp.sum(x, axis=(0, 1), keepdims=True)
xp.sum(x, dtype=xp.float32)
xp.prod(x, axis=1, dtype=xp.float64)
xp.std(x)
xp.var(x, axis=0, correction=1.0, keepdims=True)
xp.mean(x, axis=-1)
xp.max(x)
xp.min(n, axis=1)
xp.cumulative_sum(x, axis=1, include_initial=True)
xp.cumulative_sum(xp.astype(n, xp.int16), axis=0)
xp.cumulative_prod(x[0], dtype=xp.float32)
xp.cumulative_prod(x, axis=-1, include_initial=True)
xp.sort(x)
xp.argsort(x)
xp.diff(x, axis=0, n=2)
xp.diff(n, prepend=n[:, :1])
xp.nonzero(x)
xp.where(x > 0, x, 0)
xp.count_nonzero(x, axis=0)
xp.searchsorted(xp.sort(x[0]), x[1], side="right")
xp.argmax(x, axis=1, keepdims=True)
list(xp.unique_all(x))
list(xp.unique_counts(n))
list(xp.unique_inverse(x))
xp.sort(xp.unique_values(n))
xp.meshgrid(x[0], n[0])
xp.meshgrid(x[0], x[1], n[0], indexing="ij")
list(xp.broadcast_arrays(x, n[:, :1]))
xp.broadcast_to(x[0], (2, 4))
xp.repeat(x, 2)
xp.repeat(x, xp.asarray([1, 0, 2]), axis=0)
xp.tile(x, (2, 1, 2))
xp.roll(x, 1)
xp.roll(x, (1, -1), axis=(0, 1))
xp.flip(x, axis=1)
xp.concat([x, n], axis=1)
xp.concat([x, x], axis=None)
xp.stack([x, x], axis=-1)
list(xp.unstack(x, axis=1))
xp.expand_dims(x, axis=1)
xp.squeeze(x[None], axis=0)
xp.moveaxis(x, 0, 1)
xp.permute_dims(x, (1, 0))
xp.reshape(x, (2, 6), copy=True)
xp.take(x, xp.asarray([2, 0]), axis=1)
xp.take_along_axis(x, xp.argsort(x, axis=1), axis=1)
xp.tensordot(x, x, axes=((0,), (0,)))
xp.vecdot(x, x, axis=0)
xp.matrix_transpose(x)
xp.matmul(x, xp.matrix_transpose(x))
xp.tril(x, k=1)
xp.triu(n, k=-1)
xp.clip(x, -1, 2)
xp.clip(xp.astype(n, xp.int8), max=2)
xp.clip(x, min=x[0])
xp.add(1, xp.astype(n, xp.int8))
xp.maximum(xp.astype(x, xp.float32), 1.5)
xp.pow(x, 2)
xp.remainder(x, -3)
xp.floor_divide(n, 2)
xp.copysign(x, -1.0)
xp.nextafter(xp.astype(x, xp.float32), 9.0)
xp.hypot(x, 2)
xp.signbit(-0.0 * x)
xp.bitwise_left_shift(xp.astype(n, xp.int16), 3)
n >> 1
xp.astype(n, xp.uint8) << xp.astype(n, xp.uint8)
xp.bitwise_invert(xp.astype(n, xp.uint8))
xp.logaddexp(x, 1.0)
xp.sign(x)
xp.round(x)
xp.trunc(n)
xp.astype(x, xp.int32)
xp.astype(x, xp.float64, copy=False)
xp.astype(n, xp.bool)
xp.linspace(0, 1, 4, dtype=xp.float64, endpoint=False)
xp.eye(3, 4, k=-1, dtype=xp.int8)
xp.arange(5, 1, -2)
xp.arange(3.0, dtype=xp.float64)
xp.full((2,), True)
xp.full(3, 4)
xp.full_like(n, 7)
xp.ones_like(x, dtype=xp.uint8)
xp.zeros((2, 0), dtype=xp.float64)
xp.asarray([[1, 2], [3, 4]], dtype=xp.float64)
xp.asarray(True)
x[x > 0]
x[..., None, 1]
x.mT
xp.result_type(xp.int8, xp.uint8)
xp.result_type(xp.astype(x, xp.float32), 1.5)
xp.result_type(xp.astype(n, xp.uint8), 3, xp.int16)
xp.isdtype(xp.int8, ("signed integer", xp.bool))
xp.isdtype(xp.float32, "numeric")
xp.can_cast(xp.int8, xp.int16)
xp.can_cast(x, xp.float32)
[float(getattr(xp.finfo(xp.float32), name)) for name in ("bits", "eps", "max", "min", "smallest_normal")]
[xp.iinfo(xp.uint64).max, xp.iinfo(xp.int8).min]
"""


def evaluate(expression: str, xp: Any) -> list[Any]:
    x = xp.asarray([[3.0, -1.0, 2.5, 0.0], [0.5, 4.0, -2.0, 1.0], [3.0, 7.0, -5.0, 2.0]], dtype=xp.float64)
    n = xp.asarray([[3, 1, 2, 0], [5, 4, 2, 1], [3, 7, 5, 2]])
    found = eval(expression, {"xp": xp, "x": x, "n": n})  # noqa: S307
    return list(found) if isinstance(found, list | tuple) else [found]


@pytest.mark.parametrize("expression", CASES.strip().splitlines())
def test_results_are_numpys(expression):
    found, expected = evaluate(expression, array_api), evaluate(expression, np)
    assert len(found) == len(expected)
    for ours, theirs in zip(found, expected, strict=True):
        if not isinstance(theirs, np.ndarray | np.generic):
            assert ours == theirs
            continue
        assert (ours.shape, ours.dtype) == (theirs.shape, theirs.dtype)
        tolerance = 1e-6 if theirs.dtype == np.float32 else 1e-14
        np.testing.assert_allclose(ours.numpy(), np.asarray(theirs), rtol=tolerance)


def test_gradients_flow_and_scans_compile():
    x = ts.tensor(np.random.default_rng(0).normal(size=(3, 4)), requires_grad=True)
    xp = x.__array_namespace__()
    assert ts.gradcheck(lambda x: xp.std(xp.concat([xp.sort(x), xp.cumulative_sum(x, axis=1)])), [x])

    def step(h, x):
        xp = h.__array_namespace__()
        h = xp.tanh(xp.sum(x, axis=-1, keepdims=True) + xp.where(xp.signbit(h), h, 0.5 * h))
        return h, xp.max(h, axis=-1)

    xs = ts.randn(4, 2, 3)
    compiled, eager = (ts.scan(step, ts.ones((2, 3)), xs, compile=how)[1].numpy() for how in (True, False))
    np.testing.assert_allclose(compiled, eager, rtol=1e-5)


@pytest.mark.parametrize(
    ("call", "error", "text"),
    [
        (lambda: array_api.zeros(2, device="cuda"), ArgumentError, "zeros: expected device=None or 'cpu', got 'cuda'"),
        (lambda: ts.ones(2).to_device("tpu"), ArgumentError, "to_device: expected device"),
        (lambda: ts.ones(2).to_device("cpu", stream=1), ArgumentError, "to_device: expected stream=None"),
        (lambda: array_api.finfo(array_api.int8), DtypeError, "finfo: expected float32 or float64"),
        (lambda: array_api.iinfo(ts.ones(2)), DtypeError, "iinfo: expected an integer dtype"),
        (lambda: array_api.isdtype(array_api.int8, "integer"), ArgumentError, "isdtype: expected a dtype and a kind"),
        (lambda: array_api.result_type(1, 2.0), ArgumentError, "result_type: expected an array or a dtype"),
        (lambda: array_api.reshape(ts.ones((2, 3)).T, (6,), copy=False), ArgumentError, "reshape: expected an array"),
        (lambda: array_api.cumulative_sum(ts.ones((2, 3))), ArgumentError, "cumulative_sum: expected an axis"),
        (lambda: ts.nonzero(ts.ones(2)), ArgumentError, r"write nonzero\(x, as_tuple=True\) or argwhere\(x\)"),
        (lambda: ts.meshgrid([1], [2]), ArgumentError, "meshgrid: expected indexing="),
        (lambda: ts.asarray([1.0], copy=False), ArgumentError, "asarray: expected data whose memory can be shared"),
    ],
)
def test_refusals(call, error, text):
    with pytest.raises(error, match=text):
        call()


def test_sizes_that_depend_on_values_are_refused_in_a_compiled_scan():
    with pytest.raises(CompileError, match="takes one for an index, a size or an ndarray"):
        ts.scan(lambda h, x: (h, ts.unique_values(x)), ts.zeros(3), ts.zeros((2, 3)), compile=True)
