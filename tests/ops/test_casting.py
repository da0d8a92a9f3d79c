from __future__ import annotations

import numpy as np
import pytest

from tinygrad_seq.autograd.tensor import Tensor
from tinygrad_seq.errors import DtypeError
from tinygrad_seq.ops.casting import as_array, as_dtype, astype


def test_astype_gives_the_gradient_back_in_the_dtype_of_its_operand() -> None:
    x = Tensor(np.array([1.0, 2.0], np.float32), requires_grad=True)
    y = astype(x, "float64")
    assert y.dtype == np.float64
    y.backward(np.array([3.0, 4.0]))
    assert x.grad is not None
    assert x.grad.dtype == np.float32
    np.testing.assert_array_equal(x.grad.numpy(), [3, 4])
    assert not astype(x, int).requires_grad


@pytest.mark.parametrize("dtype", ["float16", "complex64", "no dtype", object, "U3"])
def test_a_dtype_that_no_tensor_has_is_refused(dtype) -> None:
    with pytest.raises(DtypeError, match="astype: expected"):
        astype(Tensor(np.ones(2)), dtype)


def test_dtypes_are_in_the_byte_order_of_the_machine() -> None:
    assert as_dtype("astype", ">f8") == np.dtype(float)
    assert as_dtype("astype", ">f8").isnative


def test_arrays_and_tensors_are_taken_as_they_are() -> None:
    x = Tensor(np.ones(2))
    assert as_array(x) is x
    np.testing.assert_array_equal(as_array([[1, 2]]), np.array([[1, 2]]))
