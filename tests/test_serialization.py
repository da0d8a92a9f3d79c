from __future__ import annotations

import errno
import json
import os
import subprocess
import sys
import tracemalloc
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from safetensors import safe_open
from safetensors.numpy import load_file, save_file

from tinygrad_seq.autograd import serialization
from tinygrad_seq.autograd.serialization import load, read_arrays, save
from tinygrad_seq.autograd.tensor import Tensor
from tinygrad_seq.base import files
from tinygrad_seq.base.files import open_file
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


# ------------------------------------------------------------------------------------------ files from strangers


def encoded(header: object, data: bytes = b"", *, length: int | None = None) -> bytes:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return (len(text) if length is None else length).to_bytes(8, "little") + text + data


def entry(dtype: object = "F32", shape: object = (2,), offsets: object = (0, 8)) -> dict[str, object]:
    return {"dtype": dtype, "shape": shape, "data_offsets": offsets}


HOSTILE = {
    "empty": b"",
    "zeros": bytes(100),
    "header of 2**64 - 1 bytes": b"\xff" * 20,
    "header of gigabytes": encoded(b"{}", length=1 << 33),
    "no object": encoded([]),
    "byte order mark": encoded(b"\xef\xbb\xbf{}"),
    "UTF-16": encoded('{"x": 1}'.encode("utf-16")),
    "not UTF-8": encoded(b'{"\xff": 1}'),
    "deep lists": encoded(b'{"x": ' + b"[" * 100_000 + b"]" * 100_000 + b"}"),
    "deep objects": encoded(b'{"x": ' * 100_000 + b"1" + b"}" * 100_000),
    "a name twice": encoded(b'{"x": {"dtype": "F32", "shape": [], "data_offsets": [0, 4]}, "x": {}}', bytes(4)),
    "half a character": encoded({"\ud800": entry()}, bytes(8)),
    "an entry that is a list": encoded({"x": []}),
    "an entry that is a text": encoded({"x": "F32"}),
    "metadata that is a list": encoded({"__metadata__": ["a"]}),
    "metadata that is no text": encoded({"__metadata__": {"a": 1}}),
    "metadata with half a character": encoded({"__metadata__": {"a": "\udfff"}}),
    "no offsets": encoded({"x": {"dtype": "F32", "shape": [2]}}, bytes(8)),
    "three offsets": encoded({"x": entry(offsets=[0, 4, 8])}, bytes(8)),
    "offsets that are true": encoded({"x": entry(offsets=[False, 8])}, bytes(8)),
    "offsets that are floats": encoded({"x": entry(offsets=[0.0, 8.0])}, bytes(8)),
    "NaN": encoded(b'{"x": {"dtype": "F32", "shape": [NaN], "data_offsets": [0, NaN]}}', bytes(8)),
    "infinity": encoded(b'{"x": {"dtype": "F32", "shape": [1e999], "data_offsets": [0, 8]}}', bytes(8)),
    "a number of many digits": encoded(b'{"x": {"dtype": "F32", "shape": [' + b"9" * 100_000 + b"]}}", bytes(8)),
    "negative size": encoded({"x": entry(shape=[-2, -1])}, bytes(8)),
    "offsets the wrong way round": encoded({"x": entry(offsets=[8, 0])}, bytes(8)),
    "offsets beyond the file": encoded({"x": entry(shape=[1 << 40], offsets=[0, 1 << 42])}, bytes(8)),
    "offsets of another tensor": encoded({"x": entry(), "y": entry()}, bytes(8)),
    "a gap": encoded({"x": entry(), "y": entry(offsets=[12, 20])}, bytes(20)),
    "an overlap": encoded({"x": entry(), "y": entry(offsets=[4, 12])}, bytes(12)),
    "bytes left over": encoded({"x": entry()}, bytes(9)),
    "a product that overflows": encoded({"x": entry(shape=[1 << 32, 1 << 32], offsets=[0, 0])}),
    "65 axes": encoded({"x": entry(shape=[1] * 65, offsets=[0, 4])}, bytes(4)),
    "a million huge axes": encoded(
        b'{"x": {"dtype": "U8", "shape": [' + b"9" * 18 + b",9" * 999_999 + b'], "data_offsets": [0,1]}}', b"1"
    ),
    "an empty axis and huge ones": encoded({"x": entry(shape=[0, 1 << 62, 1 << 62], offsets=[0, 0])}),
    "a boolean of 2": encoded({"x": entry("BOOL", [1], [0, 1])}, b"\x02"),
    "a dtype that is a number": encoded({"x": entry(32)}, bytes(8)),
}


@pytest.mark.parametrize("kind", HOSTILE)
def test_damaged_files_are_refused_in_one_line(tmp_path: Path, kind: str) -> None:
    file = tmp_path / "x.safetensors"
    file.write_bytes(HOSTILE[kind])
    tracemalloc.start()
    try:
        with pytest.raises(CheckpointError, match=r"load: expected .*x\.safetensors") as raised:
            load(file)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert "\n" not in str(raised.value)
    assert len(str(raised.value)) < 1000
    assert peak < 1e6 + 20 * len(HOSTILE[kind])


@pytest.mark.parametrize(("dtype", "size"), [("C64", 1), ("F4", 16), ("F8_E8M0", 8)])
def test_dtypes_that_a_tensor_cannot_have_are_refused(tmp_path: Path, dtype: str, size: int) -> None:
    (tmp_path / "x").write_bytes(encoded({"x": entry(dtype, [size])}, bytes(8)))
    with pytest.raises(DtypeError, match=f"got '{dtype}' for 'x'"):
        load(tmp_path / "x", dtype="float32")


@pytest.mark.parametrize("dtype", ["F128", "f32", "O", "", "\0", "x" * 10_000])
def test_unknown_dtypes_are_refused(tmp_path: Path, dtype: str) -> None:
    (tmp_path / "x").write_bytes(encoded({"x": entry(dtype)}, bytes(8)))
    with pytest.raises(CheckpointError, match="unknown variant") as raised:
        load(tmp_path / "x", dtype="float32")
    assert len(str(raised.value)) < 1000


def test_what_is_not_a_file_is_refused_at_once(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "loop").symlink_to("loop")
    path: Any
    for path, reason in [
        (tmp_path / "pipe", "not a regular file"),
        (tmp_path, "Is a directory"),
        ("/dev/zero", "not a regular file"),
        (tmp_path / "loop", "Too many levels"),
        ("a\0b", "null"),
        ("\ud800", "surrogates not allowed"),
        (tmp_path / ("x" * 300), "too long"),
    ]:
        with pytest.raises(CheckpointError, match=f"load: expected a readable file.*{reason}"):
            load(path)
    not_a_path: Any
    for not_a_path in (None, 3, b"x".join, ["x"]):
        with pytest.raises(ArgumentError, match="load: expected a path"):
            load(not_a_path)


def test_a_file_that_shrinks_while_it_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "x"
    save({"x": np.ones(1_000_000, np.float32)}, file)

    def cut(path: Any) -> Any:
        opened = open_file(path)
        os.truncate(file, 1000)
        return opened

    monkeypatch.setattr(files, "open_file", cut)
    with pytest.raises(CheckpointError, match="of 1,000 bytes that is cut short or damaged"):
        load(file)


def test_reading_takes_twice_the_memory_of_the_file(tmp_path: Path) -> None:
    save({f"x{i}": np.ones(1_000_000, np.float32) for i in range(4)}, tmp_path / "x")
    tracemalloc.start()
    try:
        load(tmp_path / "x")
        assert tracemalloc.get_traced_memory()[1] < 33e6
    finally:
        tracemalloc.stop()


def test_the_library_of_the_format_reads_our_files_and_we_read_its(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    arrays = {dtype: rng.integers(0, 2, (3, 5)).astype(dtype) for dtype in DTYPES}
    arrays |= {"no axis": np.array(3.0), "empty": np.zeros((0, 4), np.int8)}
    save(arrays, tmp_path / "ours", metadata={"é": "\0"})
    save_file(arrays, tmp_path / "theirs", metadata={"é": "\0"})
    for found in (load_file(tmp_path / "ours"), {k: v.numpy() for k, v in load(tmp_path / "theirs").items()}):
        assert found.keys() == arrays.keys()
        for name, array in arrays.items():
            assert (found[name].dtype, found[name].shape) == (array.dtype, array.shape)
            np.testing.assert_array_equal(found[name], array)
    with safe_open(tmp_path / "ours", "numpy") as file:
        assert file.metadata() == {"é": "\0"}
    assert load(tmp_path / "theirs", metadata=True)[1] == {"é": "\0"}


# ------------------------------------------------------------------------------------------------ narrow numbers

INF, NAN = float("inf"), float("nan")
# The bits of a number, and the number as ``torch.tensor(bits).view(dtype).float()`` (torch 2.13) returns it.
NARROW = {
    "BF16": (
        "<u2",
        {0x0000: 0.0, 0x8000: -0.0, 0x3F80: 1.0, 0xC049: -3.140625, 0x7F7F: 3.3895313892515355e38, 0x7F80: INF}
        | {0xFF80: -INF, 0x7FC0: NAN, 0x0001: 9.183549615799121e-41, 0x007F: 1.1663108012064884e-38},
    ),
    "F16": (
        "<u2",
        {0x0000: 0.0, 0x8000: -0.0, 0x3C00: 1.0, 0xC248: -3.140625, 0x7BFF: 65504.0, 0x7C00: INF, 0xFC00: -INF}
        | {0x7E00: NAN, 0x7C01: NAN, 0x0001: 5.960464477539063e-08, 0x03FF: 6.097555160522461e-05},
    ),
    "F8_E5M2": (
        "u1",
        {0x00: 0.0, 0x80: -0.0, 0x3C: 1.0, 0xC1: -2.5, 0x7B: 57344.0, 0x7C: INF, 0xFC: -INF, 0x7F: NAN}
        | {0x01: 1.52587890625e-05, 0x03: 4.57763671875e-05},
    ),
    "F8_E4M3": (
        "u1",
        {0x00: 0.0, 0x80: -0.0, 0x38: 1.0, 0xC2: -2.5, 0x7E: 448.0, 0xFE: -448.0, 0x7F: NAN, 0xFF: NAN}
        | {0x01: 0.001953125, 0x07: 0.013671875},
    ),
}


@pytest.mark.parametrize("kind", NARROW)
@pytest.mark.parametrize("dtype", ["float32", np.float64])
def test_narrow_numbers_are_widened_exactly(tmp_path: Path, kind: str, dtype: Any) -> None:
    stored, values = NARROW[kind]
    data = np.array([*values], stored).tobytes()
    header = {"w": entry(kind, [1, len(values)], [0, len(data)]), "n": entry("I8", [], [len(data), len(data) + 1])}
    (tmp_path / "x").write_bytes(encoded(header, data + b"\x07"))
    tensors = load(tmp_path / "x", dtype=dtype)
    assert (tensors["w"].dtype, tensors["w"].shape) == (np.dtype(dtype), (1, len(values)))
    assert tensors["n"].dtype == np.int8
    want = np.array([[*values.values()]], dtype)
    np.testing.assert_array_equal(tensors["w"].numpy(), want)
    np.testing.assert_array_equal(np.signbit(tensors["w"].numpy()) & (want == 0), np.signbit(want) & (want == 0))
    with pytest.raises(DtypeError, match=rf"got {kind} for 'w'; write ts.load\('.*x', dtype='float32'\)"):
        load(tmp_path / "x")


def test_every_narrow_number_agrees_with_its_definition(tmp_path: Path) -> None:
    bits = np.arange(1 << 16, dtype=np.uint16)
    save_file({"x": bits.view(np.float16)}, tmp_path / "x")
    np.testing.assert_array_equal(load(tmp_path / "x", dtype="f4")["x"].numpy(), bits.view(np.float16).astype("f4"))
    byte = np.arange(256)
    (tmp_path / "x").write_bytes(encoded({"x": entry("F8_E4M3", [256], [0, 256])}, bytes(range(256))))
    exponent, fraction = byte >> 3 & 15, byte & 7
    value = np.where(exponent == 0, np.ldexp(fraction, -9), np.ldexp(8 + fraction, exponent - 10))
    want = np.where(byte & 127 == 127, np.nan, value * np.where(byte > 127, -1, 1)).astype(np.float32)
    np.testing.assert_array_equal(load(tmp_path / "x", dtype="f4")["x"].numpy(), want)


def test_dtype_converts_floating_point_tensors_only(tmp_path: Path) -> None:
    save({"a": np.ones(2), "b": np.ones(2, bool), "c": np.arange(2)}, tmp_path / "x")
    tensors = load(tmp_path / "x", dtype="float32")
    assert {name: tensor.dtype.name for name, tensor in tensors.items()} == {"a": "float32", "b": "bool", "c": "int64"}
    for dtype in ("int32", "float16", "junk"):
        with pytest.raises(DtypeError, match="load: expected"):
            load(tmp_path / "x", dtype=dtype)


# ------------------------------------------------------------------------------------------------ where it is saved


@pytest.mark.parametrize(
    ("tensors", "metadata"),
    [
        ({"\ud800": np.ones(2)}, None),
        ({"x": np.ones(2)}, {"a": 1}),
        ({"x": np.ones(2)}, {1: "a"}),
        ({"x": np.ones(2)}, ["a"]),
        ({"x": np.ones(2)}, {"a": "\udcff"}),
    ],
)
def test_names_and_metadata_must_be_text(tmp_path: Path, tensors: Any, metadata: Any) -> None:
    with pytest.raises(ArgumentError, match="save: expected names and metadata that are Unicode texts"):
        save(tensors, tmp_path / "x", metadata=metadata)
    assert [*tmp_path.iterdir()] == []


def test_a_header_that_no_reader_would_take_is_not_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(serialization, "_LONGEST_HEADER", 1000)
    with pytest.raises(ArgumentError, match="at most 1,000 bytes"):
        save({}, tmp_path / "x", metadata={"a": "b" * 1000})
    assert [*tmp_path.iterdir()] == []


def test_a_limit_on_the_size_of_files(tmp_path: Path) -> None:
    script = (
        "import resource, sys, numpy as np, tinygrad_seq as ts\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, 10_000))\n"
        "try:\n    ts.save({'x': np.zeros(10_000)}, sys.argv[1])\n"
        "except ts.errors.CheckpointError as error:\n    print(error)"
    )
    save({"x": np.ones(2)}, tmp_path / "x")
    done = subprocess.run(
        [sys.executable, "-c", script, tmp_path / "x"], check=True, capture_output=True, text=True, timeout=100
    )
    assert "save: expected to write" in done.stdout
    assert "File too large; raise the limit on the size of files" in done.stdout
    assert load(tmp_path / "x")["x"].tolist() == [1, 1]
    assert [path.name for path in tmp_path.iterdir()] == ["x"]
