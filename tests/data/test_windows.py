"""Windows: every token once and in order, rows that go on, a position that is restored exactly."""

from __future__ import annotations

import itertools
import json
import math
import subprocess
import sys
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tinygrad_seq.data import Windows
from tinygrad_seq.errors import ArgumentError, DataError, DtypeError, IndexRangeError, ShapeError


@st.composite
def arguments(draw: st.DrawFn) -> tuple[np.ndarray, int, int]:
    """A text that is long enough, a batch size and a window."""
    batch_size, window = draw(st.integers(1, 6)), draw(st.integers(1, 7))
    size = batch_size * window + 1 + draw(st.integers(0, 60))
    return np.arange(size) * 3, batch_size, window


def windows_of_a_text() -> st.SearchStrategy[Windows]:
    return arguments().map(lambda given_arguments: Windows(*given_arguments))


@given(windows_of_a_text())
def test_every_token_once_in_order(windows: Windows) -> None:
    pairs = list(windows)
    streams = np.concatenate([inputs for inputs, _ in pairs])
    following = np.concatenate([targets for _, targets in pairs])
    np.testing.assert_array_equal(streams.T.ravel(), np.arange(streams.size) * 3)
    np.testing.assert_array_equal(following.T.ravel(), np.arange(1, streams.size + 1) * 3)


@given(windows_of_a_text())
def test_shapes(windows: Windows) -> None:
    pairs = list(windows)
    assert len(pairs) == len(windows)
    for inputs, targets in pairs:
        assert inputs.dtype == targets.dtype == np.int64
        assert inputs.flags.c_contiguous
        assert targets.flags.c_contiguous
        assert inputs.shape == targets.shape
    assert all(inputs.shape == (windows.window, windows.batch_size) for inputs, _ in pairs[:-1])
    assert 1 <= len(pairs[-1][0]) <= windows.window


@given(windows_of_a_text())
def test_each_row_goes_on_where_it_ended(windows: Windows) -> None:
    pairs = list(windows)
    for (_, targets), (inputs, _) in itertools.pairwise(pairs):
        np.testing.assert_array_equal(inputs[0], targets[-1])


@pytest.mark.parametrize("size", range(13, 40))
def test_fewer_than_batch_size_tokens_are_left_out(size: int) -> None:
    windows = Windows(np.arange(size), batch_size=4, window=3)
    assert 0 <= size - 1 - sum(inputs.size for inputs, _ in windows) < 4


def test_the_picture_in_the_readme() -> None:
    windows = Windows([ord(letter) for letter in "abcdefghijklm"], batch_size=2, window=3)
    read = [["".join(map(chr, row)) for row in np.concatenate(pair, axis=1)] for pair in windows]
    assert read == [["agbh", "bhci", "cidj"], ["djek", "ekfl", "flgm"]]


def test_arrays_belong_to_the_caller() -> None:
    tokens = np.arange(20)
    windows = Windows(tokens, 2, 4)
    inputs, targets = windows[0]
    inputs[:], targets[:] = -1, -1
    assert tokens.min() == 0
    assert windows[0][0].min() == 0


# -------------------------------------------------------------------------------------------------------- position


@given(arguments(), st.data())
def test_resumed_is_as_if_never_stopped(given_arguments: tuple[np.ndarray, int, int], data: st.DataObject) -> None:
    windows, resumed = Windows(*given_arguments), Windows(*given_arguments)
    whole = list(windows) + list(windows)
    stop = data.draw(st.integers(1, len(windows)))
    for count, _ in enumerate(windows, 1):
        if count == stop:
            state = json.loads(json.dumps(windows.state_dict()))
            break
    resumed.load_state_dict(state)
    rest = list(resumed) + list(resumed)
    assert len(rest) == len(whole) - stop
    for (inputs, targets), (expected_inputs, expected_targets) in zip(rest, whole[stop:], strict=True):
        np.testing.assert_array_equal(inputs, expected_inputs)
        np.testing.assert_array_equal(targets, expected_targets)


def test_a_loop_left_by_break_goes_on() -> None:
    windows = Windows(np.arange(21), 2, 3)
    first = next(iter(windows))[0]
    assert windows.position == 1
    rest = [inputs for inputs, _ in windows]
    np.testing.assert_array_equal(np.concatenate([first, *rest]).T.ravel(), np.arange(20))
    assert windows.position == 0


def test_looking_at_a_window_does_not_move() -> None:
    windows = Windows(np.arange(21), 2, 3)
    np.testing.assert_array_equal(windows[3][0], [[9, 19]])
    assert windows.position == 0
    for index in (-1, 4):
        with pytest.raises(IndexRangeError, match=f"from 0 to 3, got {index}"):
            windows[index]


@pytest.mark.parametrize(
    ("other", "name"),
    [
        (Windows(np.arange(41), 4, 3), "batch_size"),
        (Windows(np.arange(41), 2, 5), "window"),
        (Windows(np.arange(42), 2, 3), "checksum"),
        (Windows(np.arange(41)[::-1], 2, 3), "checksum"),
    ],
)
def test_a_state_of_something_else_is_refused(other: Windows, name: str) -> None:
    windows = Windows(np.arange(41), 2, 3)
    with pytest.raises(DataError, match=f"expected a state with {name}="):
        windows.load_state_dict(other.state_dict())


@pytest.mark.parametrize("position", [-1, 99, None, "2"])
def test_a_damaged_position_is_refused(position: object) -> None:
    windows = Windows(np.arange(41), 2, 3)
    state = windows.state_dict() | {"position": position}
    with pytest.raises(DataError, match="from 0 to 7"):
        windows.load_state_dict(state)
    with pytest.raises(DataError, match="got None"):
        windows.load_state_dict({})


# ------------------------------------------------------------------------------------------------------- bad input


def test_a_text_shorter_than_a_window() -> None:
    with pytest.raises(DataError, match=r"= 4 \* 8 \+ 1 = 33 tokens, got 32"):
        Windows(np.arange(32), batch_size=4, window=8)
    assert len(Windows(np.arange(33), batch_size=4, window=8)) == 1
    with pytest.raises(DataError, match="got 0"):
        Windows([], 1, 1)


@pytest.mark.parametrize("sizes", [(-1, 5), (0, 5), (2, -5), (2, 0), (2.0, 5), (True, 5)])
def test_bad_sizes(sizes: tuple[int, int]) -> None:
    with pytest.raises(ArgumentError, match="integer >= 1"):
        Windows(np.arange(100), *sizes)


def test_bad_tokens() -> None:
    with pytest.raises(ShapeError, match=r"\(10, 10\)"):
        Windows(np.zeros((10, 10), int), 2, 2)
    for dtype in (complex, bool):
        with pytest.raises(DtypeError, match=str(np.dtype(dtype))):
            Windows(np.zeros(100, dtype), 2, 2)


# ---------------------------------------------------------------------------------------------------- narrow tokens

DTYPES = ["u1", "i1", "<u2", ">u2", "<i4", "<u4", "<i8"]


@pytest.mark.parametrize("dtype", DTYPES)
@given(tokens=st.lists(st.integers(0, 127), min_size=7, max_size=40))
def test_neither_windows_nor_states_depend_on_the_dtype(dtype: str, tokens: list[int]) -> None:
    windows, wide = Windows(np.array(tokens, dtype), 2, 3), Windows(tokens, 2, 3)
    for pair, expected in zip(windows, wide, strict=True):
        np.testing.assert_array_equal(pair, expected)
        assert pair[0].dtype == pair[1].dtype == np.int64
    assert windows.state_dict() == wide.state_dict()


@pytest.mark.parametrize("low", [0, -5])
@pytest.mark.parametrize("high", [10, 255, 256, 70_000, 2**40])
def test_checksum_covers_every_bit(low: int, high: int) -> None:
    tokens = np.array([low, *range(20), high])
    changed = tokens.copy()
    changed[-1] -= 1
    assert Windows(tokens, 2, 3).state_dict() != Windows(changed, 2, 3).state_dict()


@pytest.mark.parametrize("dtype", DTYPES)
def test_states_of_the_first_version_are_accepted(monkeypatch: pytest.MonkeyPatch, dtype: str) -> None:
    monkeypatch.setattr("tinygrad_seq.data.windows._CHUNK", 4)
    tokens = np.arange(41)
    state = {"position": 3, "batch_size": 2, "window": 3, "checksum": zlib.crc32(tokens.astype("<i8").data)}
    windows = Windows(tokens.astype(dtype), 2, 3)
    windows.load_state_dict(state)
    assert windows.position == 3
    with pytest.raises(DataError, match="checksum="):
        windows.load_state_dict(state | {"checksum": state["checksum"] ^ 1})


@pytest.mark.parametrize("mode", ["r", "r+", "c"])
def test_memory_maps_are_neither_copied_nor_changed(tmp_path: Path, mode: Any) -> None:
    tokens = np.arange(200, dtype=np.uint8)
    np.save(tmp_path / "tokens.npy", tokens)
    mapped = np.load(tmp_path / "tokens.npy", mmap_mode=mode)
    if mode != "r":
        mapped[7] = tokens[7] = 99
    windows = Windows(mapped, 2, 3)
    assert np.shares_memory(windows._inputs, mapped)
    assert np.shares_memory(windows._targets, mapped)
    assert windows.state_dict() == Windows(tokens, 2, 3).state_dict()
    np.testing.assert_array_equal(mapped, tokens)


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_checksum_of_a_large_map_leaves_no_memory(tmp_path: Path) -> None:
    script = (
        "import re, sys, numpy as np\n"
        "from tinygrad_seq.data import Windows\n"
        "peak = lambda: int(re.findall(r'VmHWM:\\s*(\\d+) kB', open('/proc/self/status').read())[0])\n"
        "windows = Windows(np.memmap(sys.argv[1], np.uint8, 'r'), 32, 64)\n"
        "before = peak()\n"
        "windows.state_dict()\n"
        "print(peak() - before)\n"
    )
    path = tmp_path / "tokens"
    with path.open("wb") as file:
        file.truncate(200_000_000)
    done = subprocess.run([sys.executable, "-c", script, path], capture_output=True, text=True, check=True)
    assert int(done.stdout) < 40_000  # KiB


# ----------------------------------------------------------------------------------------------------------- series


@given(arguments(), st.sampled_from([(), (1,), (3,)]), st.sampled_from([None, 1, 4]))
def test_windows_of_a_series(arguments: tuple[np.ndarray, int, int], features: tuple[int, ...], horizon: Any) -> None:
    """The target of the value at step i is what follows it in the series, also where the next stream begins."""
    tokens, batch_size, window = arguments
    ahead, size = horizon or 1, math.prod(features)
    series = np.arange(len(tokens) * size + 4 * size, dtype=np.float32).reshape(-1, *features)
    windows = Windows(series, batch_size, window, horizon)
    for inputs, targets in windows:
        assert inputs.dtype == targets.dtype == np.float32
        assert inputs.shape[1:] == (batch_size, *features)
        steps = inputs.reshape(*inputs.shape[:2], -1)[..., 0].astype(int) // size
        np.testing.assert_array_equal(inputs, series[steps])
        following = np.stack([series[steps + k] for k in range(1, ahead + 1)], axis=2)
        np.testing.assert_array_equal(targets, following if horizon else following[:, :, 0])
    read = np.concatenate([inputs for inputs, _ in windows])
    assert 0 <= len(series) - ahead - read.size // size < batch_size


def test_the_state_of_a_series() -> None:
    series = np.linspace(0, 1, 40, dtype=np.float32)
    state = Windows(series, 2, 4, horizon=2).state_dict()
    Windows(series.astype(np.float64), 2, 4, horizon=2).load_state_dict(json.loads(json.dumps(state)))
    for other in (Windows(series, 2, 4), Windows(series[::-1], 2, 4, 2), Windows(series[:, None], 2, 4, 2)):
        with pytest.raises(DataError, match="expected a state with"):
            other.load_state_dict(state)


@pytest.mark.parametrize(
    ("tokens", "horizon", "error", "message"),
    [
        (np.zeros((9, 2), int), None, ShapeError, r"\(9, 2\) int64; pass one sequence"),
        (np.zeros((9, 2, 1)), None, ShapeError, r"\(9, 2, 1\)"),
        (np.zeros((9, 0)), None, ShapeError, r"\(9, 0\)"),
        (np.zeros(9, int), 2, DtypeError, "floats, which a horizon needs, got int64"),
        (np.zeros(9, bool), None, DtypeError, "got bool"),
        (np.zeros(9), 4, DataError, r"2 \* 3 \+ 4 = 10 steps, got 9"),
        (np.zeros(9), 0, ArgumentError, "horizon to be an integer >= 1"),
        (np.array([0.0] * 8 + [np.nan]), None, DataError, "expected finite values"),
    ],
)
def test_series_that_are_refused(tokens: Any, horizon: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        Windows(tokens, 2, 3, horizon)
