"""Scalar functions: the stated error holds over the whole range, and loops over them are vectorised."""

from __future__ import annotations

import functools
import math
import re
from typing import Any

import numpy as np
import pytest
from numba import config, njit

from tests.kernels.references import REFERENCES, exact
from tinygrad_seq.kernels import scalar

DTYPES = [np.float32, np.float64]
SHAPES: dict[Any, tuple[Any, int, int, int, int]] = {
    np.float32: (np.uint32, 23, 255, 80, 104),
    np.float64: (np.uint64, 52, 2047, 12, 746),
}
# Where long double is no wider than float64, the references round as well.
SLACK = {np.float32: 0.0, np.float64: 0.0 if np.finfo(np.longdouble).nmant > 60 else 4.0}
every_function = pytest.mark.parametrize("name", list(REFERENCES))
every_dtype = pytest.mark.parametrize("dtype", DTYPES)
every_tail = pytest.mark.parametrize("name", [*REFERENCES, "gelu_tanh"])


@functools.cache
def loop(name: str):
    function = getattr(scalar, name)

    @njit(error_model="numpy")
    def run(x):
        for i in range(x.size):
            x[i] = function(x[i])

    return run


def apply(name: str, x: np.ndarray) -> np.ndarray:
    y = x.copy()
    with np.errstate(all="ignore"):
        loop(name)(y)
    return y


def over_all_binades(dtype: type, rng: np.random.Generator) -> np.ndarray:
    """Return numbers of both signs in every binade, with its first and last, and more where functions are not flat."""
    unsigned, bits, exponents, each, limit = SHAPES[dtype]
    mantissas = rng.integers(0, 2**bits, (exponents, each), dtype=np.uint64)
    mantissas[:, :3] = 0, 1, 2**bits - 1
    words = (np.arange(exponents, dtype=np.uint64)[:, None] << np.uint64(bits)) | mantissas
    everywhere: Any = words.astype(unsigned).view(dtype).ravel()
    near: Any = [rng.uniform(0, size, 400 * each).astype(dtype) for size in (1, 4, 16, limit)]
    positive = np.concatenate([everywhere, *near])
    both = np.concatenate([positive, -positive])
    return both[::401] if config.DISABLE_JIT else both


def stated_error(name: str, dtype: type) -> float:
    ((single, double),) = re.findall(r"error (\d+\.\d+) / (\d+\.\d+) ulp", getattr(scalar, name).__doc__)
    return float(single if dtype is np.float32 else double)


def ulp(value: np.ndarray, dtype: type) -> np.ndarray:
    info = np.finfo(dtype)
    _, exponent = np.frexp(value)
    return np.ldexp(value.dtype.type(1), np.maximum(exponent, info.minexp + 1) - info.nmant - 1)


@every_function
@every_dtype
def test_stated_error_holds_in_every_binade(name, dtype, rng) -> None:
    x = over_all_binades(dtype, rng)
    result, expected = apply(name, x), exact(name, x)
    assert result.dtype == dtype
    with np.errstate(all="ignore"):
        rounded = expected.astype(dtype)
        finite = np.isfinite(rounded)
        np.testing.assert_array_equal(result[~finite], rounded[~finite])
        error = np.abs(result[finite] - expected[finite]) / ulp(expected[finite], dtype)
    worst = error.argmax()
    assert error[worst] <= stated_error(name, dtype) + SLACK[dtype], x[finite][worst]
    nonzero = finite & (rounded != 0)
    np.testing.assert_array_equal(np.signbit(result[nonzero]), np.signbit(rounded[nonzero]))


EDGES = {  # at inf, -inf, 0, -0
    "exp": (np.inf, 0.0, 1.0, 1.0),
    "expm1": (np.inf, -1.0, 0.0, -0.0),
    "log": (np.inf, np.nan, -np.inf, -np.inf),
    "log1p": (np.inf, np.nan, 0.0, -0.0),
    "tanh": (1.0, -1.0, 0.0, -0.0),
    "sigmoid": (1.0, 0.0, 0.5, 0.5),
    "softplus": (np.inf, 0.0, math.log(2), math.log(2)),
    "log_sigmoid": (-0.0, -np.inf, -math.log(2), -math.log(2)),
    "silu": (np.inf, -0.0, 0.0, -0.0),
    "gelu": (np.inf, -0.0, 0.0, -0.0),
    "gelu_tanh": (np.inf, -0.0, 0.0, -0.0),
    "erf": (1.0, -1.0, 0.0, -0.0),
    "erfc": (0.0, 2.0, 1.0, 1.0),
    "ndtr": (1.0, 0.0, 0.5, 0.5),
}


@every_tail
@every_dtype
def test_infinities_zeros_and_nan(name, dtype) -> None:
    result = apply(name, np.array([np.inf, -np.inf, 0.0, -0.0], dtype))
    expected = np.array(EDGES[name], dtype)
    np.testing.assert_array_equal(result, expected)
    number = ~np.isnan(expected)
    np.testing.assert_array_equal(np.signbit(result[number]), np.signbit(expected[number]))
    assert np.isnan(apply(name, np.array([np.nan], dtype))).all()


@pytest.mark.parametrize(("name", "pole"), [("log", 0.0), ("log1p", -1.0)])
@every_dtype
def test_logarithms_at_and_below_their_pole(name, pole, dtype) -> None:
    below = np.nextafter(dtype(pole), dtype(-2))
    np.testing.assert_array_equal(apply(name, np.array([pole, below, -1e30], dtype)), [-np.inf, np.nan, np.nan])


@every_dtype
def test_gelu_by_tanh_has_the_error_stated(dtype, rng) -> None:
    x = np.concatenate([rng.uniform(-10, 10, 20000), rng.uniform(-0.01, 0.01, 2000)]).astype(dtype)
    x = x[::101] if config.DISABLE_JIT else x
    wide = x.astype(np.longdouble)
    root = np.sqrt(8 / (4 * np.arctan(np.longdouble(1))))
    u = root * (wide + np.longdouble("0.044715") * wide**3)
    expected = wide / (1 + np.exp(-u))
    bound = np.where(x < 0, 3 + 3 * np.abs(u), 3) + SLACK[dtype]
    assert (np.abs(apply("gelu_tanh", x) - expected) <= bound * ulp(expected, dtype)).all()


@njit(error_model="numpy")
def logaddexp(a, b):
    for i in range(a.size):
        a[i] = scalar.logaddexp(a[i], b[i])


@every_dtype
def test_logaddexp_has_the_error_stated(dtype, rng) -> None:
    a, b = (rng.normal(size=5000) * np.exp(rng.normal(size=5000) * 2) for _ in range(2))
    a, b = a.astype(dtype), b.astype(dtype)
    a[:7], b[:7] = [np.inf, -np.inf, np.inf, -np.inf, 3, np.inf, 0], [np.inf, -np.inf, -np.inf, 2, 3, 2, 0]
    expected = np.logaddexp(a.astype(np.longdouble), b.astype(np.longdouble))
    result = a.copy()
    with np.errstate(all="ignore"):
        logaddexp(result, b)
    np.testing.assert_array_equal(result[[0, 1, 2, 3, 5]], expected[[0, 1, 2, 3, 5]])
    size = np.maximum(np.abs(expected), np.maximum(np.abs(a), np.abs(b)))
    finite = np.isfinite(size)
    error = np.abs(result[finite] - expected[finite])
    assert (error <= (3 + SLACK[dtype]) * ulp(size[finite], dtype)).all()
    pair = np.array([np.nan, 1], dtype), np.array([1, np.nan], dtype)
    with np.errstate(all="ignore"):
        logaddexp(*pair)
    assert np.isnan(pair[0]).all()


@every_tail
@every_dtype
def test_the_loop_is_vectorised_and_each_element_is_its_own(name, dtype, rng) -> None:
    x = (3 * rng.normal(size=101)).astype(dtype)
    whole = apply(name, x)
    for start in (1, 40, 97):  # another place in a vector, or in what is left after the last
        np.testing.assert_array_equal(apply(name, x[start:]), whole[start:])
    if config.DISABLE_JIT:
        return
    run = loop(name)
    signature = next(one for one in run.signatures if str(one[0].dtype) == dtype.__name__)
    of_vectors = rf"fmul (contract )?<\d+ x {'float' if dtype is np.float32 else 'double'}>"
    text = run.inspect_llvm(signature)
    assert re.search(of_vectors, text)
