from __future__ import annotations

import errno
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from tinygrad_seq.autograd.serialization import load, read_arrays, save
from tinygrad_seq.autograd.tensor import Tensor
from tinygrad_seq.errors import ArgumentError, CheckpointError, DtypeError

DTYPES = ["float32", "float64", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64", "bool"]


@given(st.sampled_from(DTYPES).flatmap(lambda dtype: hnp.arrays(dtype, hnp.array_shapes(min_dims=0, min_side=0))))
def test_every_dtype_and_shape_comes_back(tmp_path_factory, array: np.ndarray) -> None:
    path = tmp_path_factory.mktemp("file") / "x.safetensors"
    save({"x": Tensor(array), "y": array}, path)
    loaded = load(path)
    assert isinstance(loaded["x"], Tensor)
    for tensor in loaded.values():
        assert (tensor.shape, tensor.dtype) == (array.shape, array.dtype)
        np.testing.assert_array_equal(tensor.numpy(), array)


@pytest.mark.parametrize(
    "array",
    [
        np.arange(6.0).reshape(2, 3).T,
        np.arange(6.0)[::-1],
        np.asfortranarray(np.arange(6.0).reshape(2, 3)),
        np.arange(3, dtype=">f4"),
    ],
)
def test_layout_and_byte_order_do_not_matter(tmp_path: Path, array: np.ndarray) -> None:
    save({"x": array}, tmp_path / "x")
    np.testing.assert_array_equal(load(tmp_path / "x")["x"].numpy(), array)


def test_loaded_tensors_are_trainable(tmp_path: Path) -> None:
    save({"x": np.ones(3, np.float32)}, tmp_path / "x")
    x = load(tmp_path / "x")["x"].requires_grad_()
    (x * x).sum().backward()
    assert x.grad is not None
    assert x.grad.tolist() == [2, 2, 2]


def test_metadata_comes_back(tmp_path: Path) -> None:
    save({}, tmp_path / "x", metadata={"a": "é\n"})
    assert read_arrays(tmp_path / "x") == ({}, {"a": "é\n"})


@pytest.mark.parametrize(
    ("tensors", "error", "message"),
    [
        ([np.ones(2)], ArgumentError, "expected tensors by name, got list"),
        ({1: np.ones(2)}, ArgumentError, "got 1"),
        ({"__metadata__": np.ones(2)}, ArgumentError, "__metadata__"),
        ({"a": [1.0]}, DtypeError, "'a', got list"),
        ({"a": np.ones(2, complex)}, DtypeError, r"\(2,\) complex128"),
        ({"a": np.ones(2, np.float16)}, DtypeError, "float16"),
    ],
)
def test_what_cannot_be_saved_is_refused_before_writing(tmp_path: Path, tensors, error, message: str) -> None:
    with pytest.raises(error, match=message):
        save(tensors, tmp_path / "x")
    assert [*tmp_path.iterdir()] == []


def test_full_disk_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    save({"x": np.ones(2)}, tmp_path / "x")

    def full(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(CheckpointError, match="No space left"):
        save({"x": np.zeros(2)}, tmp_path / "x")
    assert load(tmp_path / "x")["x"].tolist() == [1, 1]
    assert [path.name for path in tmp_path.iterdir()] == ["x"]


def test_truncated_anywhere_is_an_error(tmp_path: Path) -> None:
    save({"x": np.arange(5.0), "y": np.ones((2, 2), np.float32)}, tmp_path / "x")
    data = (tmp_path / "x").read_bytes()
    for length in range(len(data)):
        (tmp_path / "x").write_bytes(data[:length])
        with pytest.raises(CheckpointError, match="cut short or damaged"):
            load(tmp_path / "x")


def test_missing_file_and_folder(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="No such file"):
        load(tmp_path / "none")
    with pytest.raises(CheckpointError, match="directory"):
        load(tmp_path)


def test_half_precision_file_is_refused(tmp_path: Path) -> None:
    from safetensors.numpy import save_file

    save_file({"w": np.ones(2, np.float16)}, tmp_path / "x")
    with pytest.raises(DtypeError, match="F16 for 'w'"):
        load(tmp_path / "x")


def test_import_does_not_load_safetensors() -> None:
    script = "import sys, tinygrad_seq.autograd.serialization; sys.exit('safetensors' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", script], check=False).returncode == 0
