from __future__ import annotations

import errno
import os
import random
import zlib
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tinygrad_seq.autograd.serialization import save
from tinygrad_seq.autograd.tensor import Tensor
from tinygrad_seq.errors import CheckpointError, DtypeError
from tinygrad_seq.train import load_checkpoint, save_checkpoint

LEAVES = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text()
KEYS = st.text("ab.", min_size=1) | st.sampled_from(["$array", "$tuple", "$dict", "1", ""]) | st.integers(-1, 2)
CONTENT = st.dictionaries(
    st.text(min_size=1) | KEYS,
    st.recursive(
        LEAVES,
        lambda inner: st.lists(inner) | st.lists(inner).map(tuple) | st.dictionaries(KEYS, inner),
        max_leaves=10,
    ),
)


@given(CONTENT)
def test_any_nested_content_comes_back(tmp_path_factory, content) -> None:
    path = tmp_path_factory.mktemp("file") / "x"
    save_checkpoint(content, path)
    assert load_checkpoint(path) == content


def test_arrays_and_generator_state_come_back(tmp_path: Path) -> None:
    generator = np.random.default_rng(5)
    generator.standard_normal(3)
    content = {
        "state": (Tensor(np.ones((2, 3), np.float32)), [np.arange(3)]),
        "optimizer": {0: {"step": np.int64(4), "exp_avg": np.zeros((), np.float64)}},
        "generator": generator.bit_generator.state,
        "best": float("inf"),
    }
    save_checkpoint(content, tmp_path / "x")
    loaded = load_checkpoint(tmp_path / "x")
    tensor, [integers] = loaded["state"]
    assert (tensor.dtype, tensor.shape, integers.tolist()) == (np.float32, (2, 3), [0, 1, 2])
    assert loaded["optimizer"][0]["step"] == 4
    assert loaded["optimizer"][0]["exp_avg"].shape == ()
    assert loaded["best"] == float("inf")
    other = np.random.default_rng()
    other.bit_generator.state = loaded["generator"]
    assert other.random() == generator.random()


def test_keys_that_look_like_paths_stay_apart(tmp_path: Path) -> None:
    content = {"a": {"b": np.zeros(1)}, "a.b": np.ones(1)}
    save_checkpoint(content, tmp_path / "x")
    loaded = load_checkpoint(tmp_path / "x")
    assert (loaded["a"]["b"].tolist(), loaded["a.b"].tolist()) == ([0], [1])


def test_every_flipped_or_missing_byte_is_found(tmp_path: Path) -> None:
    path = tmp_path / "x"
    save_checkpoint({"w": np.arange(10.0), "number": 3, "note": "text"}, path)
    data = path.read_bytes()
    choice = random.Random(0)
    for position in [*range(8, 80), *choice.sample(range(8, len(data)), 60)]:
        damaged = bytearray(data)
        damaged[position] ^= 1
        path.write_bytes(damaged)
        try:
            loaded = load_checkpoint(path)
        except CheckpointError:
            continue
        # Only blanks between tokens of the head can change without effect.
        assert loaded["number"] == 3
        assert loaded["w"].tolist() == list(range(10))
    for length in range(0, len(data), 7):
        path.write_bytes(data[:length])
        with pytest.raises(CheckpointError):
            load_checkpoint(path)


def test_other_safetensors_files_are_refused(tmp_path: Path) -> None:
    save({"w": np.ones(2)}, tmp_path / "x")
    with pytest.raises(CheckpointError, match="without one"):
        load_checkpoint(tmp_path / "x")


def test_newer_version_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tinygrad_seq.train.checkpoint._VERSION", 3)
    save_checkpoint({}, tmp_path / "x")
    monkeypatch.undo()
    with pytest.raises(CheckpointError, match="version 3"):
        load_checkpoint(tmp_path / "x")


@pytest.mark.parametrize("value", [{1, 2}, object(), 1j, b"x", {1.5: 0}, {(1,): 0}, {None: 0}, {True: 0}])
def test_what_cannot_come_back_is_refused(tmp_path: Path, value: object) -> None:
    with pytest.raises(DtypeError, match="save_checkpoint: expected arrays, numbers"):
        save_checkpoint({"value": [value]}, tmp_path / "x")
    assert list(tmp_path.iterdir()) == []


def test_deep_and_circular_content_is_refused(tmp_path: Path) -> None:
    circle: list[object] = []
    circle.append(circle)
    deep: list[object] = []
    for _ in range(5000):
        deep = [deep]
    for value in (circle, deep):
        with pytest.raises(DtypeError, match="nested too deeply"):
            save_checkpoint({"value": value}, tmp_path / "x")


@pytest.mark.parametrize(
    "text",
    [
        "[]",
        "{}",
        "[" * 5000,
        '{"version": 2, "content": ' + '{"a":' * 990 + "1" + "}" * 991,
        '{"version": 2, "content": []}',
        '{"version": "2", "content": {}}',
        '{"version": [2], "content": {}}',
        '{"version": NaN, "content": {}}',
        '{"version": 2, "version": 2, "content": {}}',
        *(
            f'{{"version": 2, "content": {{"a": {{"{name}": {value}}}}}}}'
            for name in ("$array", "$tuple", "$dict")
            for value in ("5", "null", "[1]", "{}", "[[[], 1]]", '"x"', "[[1]]")
            if (name, value) not in {("$tuple", "[1]"), ("$tuple", "[[[], 1]]"), ("$tuple", "[[1]]")}
            if (name, value) not in {("$tuple", "{}"), ("$dict", "{}"), ("$tuple", '"x"')}
        ),
    ],
)
def test_a_header_that_save_checkpoint_did_not_write_is_refused(tmp_path: Path, text: str) -> None:
    metadata = {"tinygrad_seq.checkpoint": text, "crc32": f"{zlib.crc32(text.encode()):08x}"}
    save({}, tmp_path / "x", metadata=metadata)
    with pytest.raises(CheckpointError, match="load_checkpoint: expected"):
        load_checkpoint(tmp_path / "x")


@pytest.mark.parametrize("function", ["fsync", "replace"])
def test_a_failed_write_keeps_the_old_checkpoint(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, function) -> None:
    save_checkpoint({"number": 1}, tmp_path / "x")

    def full(*arguments: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, function, full)
    with pytest.raises(CheckpointError, match="No space left"):
        save_checkpoint({"number": 2}, tmp_path / "x")
    assert load_checkpoint(tmp_path / "x") == {"number": 1}
    assert [path.name for path in tmp_path.iterdir()] == ["x"]
