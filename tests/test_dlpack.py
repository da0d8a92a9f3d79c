"""Memory shared with other libraries: who may write, what graphs keep, what is refused."""

from __future__ import annotations

import numpy as np
import pytest

import tinygrad_seq as ts
from tests.grad_of import grad_of
from tinygrad_seq.errors import ArgumentError, DtypeError, GraphError
from tinygrad_seq.ops.casting import SUPPORTED


@pytest.mark.parametrize("dtype", SUPPORTED)
@pytest.mark.parametrize("shape", [(2, 3), (), (0, 2)])
def test_round_trip_shares_memory(dtype, shape):
    x = ts.ones(shape, dtype=dtype)
    array = np.from_dlpack(x)
    back = ts.from_dlpack(array)
    assert array.dtype == back.dtype == np.dtype(dtype)
    assert array.shape == back.shape == shape
    assert x.size == 0 or np.shares_memory(array, x.numpy())
    assert x.size == 0 or np.shares_memory(array, back.numpy())


def test_writes_of_others_are_seen_but_not_by_graphs():
    w, x = ts.ones(3, requires_grad=True), ts.ones(3)
    before = (w * x).sum()
    array = np.from_dlpack(x)
    array[0] = 100.0
    after = (w * x).sum()
    array[0] = 200.0
    assert x.tolist() == [200.0, 1.0, 1.0]
    (before + after).backward()
    assert grad_of(w).tolist() == [101.0, 2.0, 2.0]


def test_writes_of_others_to_imported_memory():
    array = np.zeros(3, np.float32)
    x, w = ts.from_dlpack(array), ts.ones(3, requires_grad=True)
    product = (w * x).sum()
    array[1] = 5.0
    assert x.tolist() == [0.0, 5.0, 0.0]
    x.data[2] = 7.0
    assert array.tolist() == [0.0, 5.0, 7.0]
    product.backward()
    assert grad_of(w).tolist() == [0.0, 0.0, 0.0]


def test_read_only_memory_is_copied_before_it_is_written_to():
    array = np.zeros(3)
    array.flags.writeable = False
    x = ts.from_dlpack(array)
    assert np.shares_memory(x.numpy(), array)
    x[0] = 1.0
    assert array[0] == 0.0
    assert x.tolist() == [1.0, 0.0, 0.0]


def test_views_hand_out_the_memory_of_their_tensor():
    x = ts.ones((2, 3))
    np.from_dlpack(x[0])[1] = 9.0
    assert x.tolist() == [[1.0, 9.0, 1.0], [1.0, 1.0, 1.0]]


def test_memory_that_a_graph_needs_is_not_handed_out():
    x, w = ts.ones((2, 3)), ts.ones((2, 3), requires_grad=True)
    product = (w * x).sum()
    with pytest.raises(ArgumentError, match="in row-major order whose memory no graph needs, with copy=False"):
        x.__dlpack__(copy=False)
    with pytest.raises(ArgumentError, match="in row-major order whose memory no graph needs, with copy=False"):
        ts.ones((2, 3)).T.__dlpack__(copy=False)
    np.from_dlpack(x)[...] = 9.0
    product.backward()
    assert grad_of(w).tolist() == np.ones((2, 3)).tolist()
    assert x.tolist() == np.full((2, 3), 9.0).tolist()


def test_copies():
    x = ts.ones(2)
    assert not np.shares_memory(np.from_dlpack(x, copy=True), x.numpy())
    assert np.shares_memory(np.from_dlpack(x, copy=False), x.numpy())
    array = np.ones(2)
    assert not np.shares_memory(ts.from_dlpack(array, copy=True).numpy(), array)
    assert ts.asarray(array, copy=False)._array is array
    assert not np.shares_memory(ts.asarray(array, copy=True).numpy(), array)
    assert ts.asarray(x, copy=False) is x
    leaf = ts.ones(2, requires_grad=True)
    assert ts.asarray(leaf, copy=True).requires_grad


@pytest.mark.parametrize("version", [None, (0, 8), (1, 0), (1, 1), (2, 0)])
def test_versions_of_the_protocol(version):
    class Reader:
        def __dlpack__(self, **_options):
            return ts.ones(2).__dlpack__(max_version=version)

        def __dlpack_device__(self):
            return ts.ones(2).__dlpack_device__()

    assert np.from_dlpack(Reader()).tolist() == [1.0, 1.0]
    assert ts.from_dlpack(Reader()).tolist() == [1.0, 1.0]


class Elsewhere:
    def __dlpack__(self, **_options):
        raise AssertionError("not asked")

    def __dlpack_device__(self):
        return 2, 0


@pytest.mark.parametrize(
    ("call", "error", "text"),
    [
        (lambda: np.from_dlpack(ts.ones(2, requires_grad=True)), GraphError, r"__dlpack__: .*export x.detach\(\)"),
        (lambda: ts.from_dlpack(ts.ones(2, requires_grad=True)), GraphError, r"__dlpack__: .*export x.detach\(\)"),
        (lambda: ts.ones(2).__dlpack__(stream=1), ArgumentError, "__dlpack__: expected stream=None"),
        (lambda: ts.ones(2).__dlpack__(dl_device=(2, 0)), ArgumentError, "__dlpack__: expected dl_device=None or"),
        (lambda: ts.from_dlpack([1.0]), ArgumentError, "from_dlpack: expected an array with __dlpack__"),
        (lambda: ts.from_dlpack(Elsewhere()), ArgumentError, "from_dlpack: expected an array in main memory"),
        (
            lambda: ts.from_dlpack(np.ones(2), device="cuda"),
            ArgumentError,
            "from_dlpack: expected device=None",
        ),
        (lambda: ts.from_dlpack(np.ones(2, np.complex64)), DtypeError, "from_dlpack: expected one of float32"),
        (lambda: ts.from_dlpack(np.ones(2, ">f4")), ArgumentError, "from_dlpack: expected an array whose memory"),
    ],
)
def test_refusals(call, error, text):
    with pytest.raises(error, match=text):
        call()


@pytest.mark.parametrize("library", ["torch", "jax.numpy"])
def test_other_libraries(library):
    other = pytest.importorskip(library)
    x = ts.ones((2, 3))
    theirs = other.from_dlpack(x)  # JAX copies what does not lie at a multiple of 64 bytes
    assert library != "torch" or np.shares_memory(np.from_dlpack(theirs), x.numpy())
    back = ts.from_dlpack(theirs)
    assert np.shares_memory(back.numpy(), np.from_dlpack(theirs))
    assert back.dtype == x.dtype
    back[0, 0] = 5.0  # in the shared memory of torch, in a copy of that of jax, which is read-only
    assert float(theirs[0, 0]) == (5.0 if library == "torch" else 1.0)
