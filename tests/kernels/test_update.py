"""The update kernels: compiled they do what they say in Python, in the dtype they are given, in place."""

import numpy as np
import pytest

from tinygrad_seq.kernels import update

SIZES = [0, 1, 7, 130]
DTYPES = [np.float32, np.float64]

# Per kernel: the number of arrays, the scalars, the flags.
CALLS = {
    "sgd": (3, [1, 0.1, 0.01, 0.9, 0.9, 0.5], [True]),
    "sgd plain": (3, [-1, 0.1, 0, 0, 0, 1], [False]),
    "adam": (5, [1, 0.1, 0.01, 0.99, 0.9, 0.1, 0.999, 0.001, 0.03, 1e-8], [True]),
    "adam plain": (5, [1, 0.1, 0, 1, 0.9, 0.1, 0.999, 0.001, 0.03, 1e-8], [False]),
    "rmsprop": (5, [1, 0.1, 0.01, 0.99, 0.01, 1e-8, 0.9], [True]),
    "rmsprop plain": (5, [1, 0.1, 0, 0.99, 0.01, 1e-8, 0], [False]),
    "adagrad": (3, [1, 0.1, 0.01, 1e-10], []),
    "adamax": (4, [1, 0.1, 0.01, 0.999, 0.1, 1e-8], []),
    "nadam": (4, [1, 0.01, 0.99, 0.1, 0.999, 0.001, 0.03, 1e-8, 0.1, 0.2], []),
    "radam": (4, [1, 0.1, 0.01, 0.99, 0.1, 0.999, 0.001, 0.03, 1e-8], [True]),
    "adadelta": (4, [1, 0.1, 0.01, 0.9, 0.1, 1e-6], []),
    "asgd": (3, [1, 0.1, 0.01, 0.99, 0.5], []),
    "rprop": (4, [-1, 0.5, 1.2, 1e-6, 50], []),
}


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("call", CALLS)
def test_the_compiled_kernel_computes_what_its_source_says(call, size, dtype):
    count, scalars, flags = CALLS[call]
    kernel = getattr(update, call.split()[0])
    rng = np.random.default_rng(size)
    arrays = [rng.random(size).astype(dtype) for _ in range(count)]
    expected = [array.copy() for array in arrays]
    numbers = [dtype(number) for number in scalars]
    kernel(*arrays, *numbers, *flags)
    getattr(kernel, "py_func", kernel)(*expected, *numbers, *flags)
    for array, reference in zip(arrays, expected, strict=True):
        np.testing.assert_array_equal(array, reference)
        assert array.dtype == dtype


def test_the_centred_variance_is_never_negative():
    # The mean of squares in `square_avg` has lost what the square of the mean in `grad_avg` still has.
    param, grad, square, mean = (np.array([value]) for value in (1.0, 0.3, 0.09 * (1 - 1e-15), 0.3))
    update.rmsprop(param, grad, square, mean, param[:0], 1.0, 0.1, 0.0, 1.0, 0.0, 1e-8, 0.0, True)
    assert np.isfinite(param).all()


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("size", SIZES)
def test_scale(size, dtype):
    array = np.random.default_rng(size).standard_normal(size).astype(dtype)
    expected = array * dtype(0.3)
    update.scale(array, dtype(0.3))
    np.testing.assert_array_equal(array, expected)
