"""Padding and bucketing: nothing lost, nothing twice, little padding, the same batches for the same seed."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from tinygrad_seq.base import settings
from tinygrad_seq.data import bucket_batches, pad_sequences, unpad_sequences
from tinygrad_seq.errors import ArgumentError, DataError, DtypeError, IndexRangeError, ShapeError

LENGTHS = st.lists(st.integers(0, 40), min_size=1, max_size=50)


def numbered(lengths: list[int]) -> list[np.ndarray]:
    """Sequence n holds its own number, n + 1."""
    return [np.full(length, n + 1) for n, length in enumerate(lengths)]


# --------------------------------------------------------------------------------------------------------- padding


@given(
    st.lists(st.integers(0, 6), min_size=1, max_size=6),
    st.lists(st.integers(1, 3), max_size=2),
    st.sampled_from([np.int64, np.int32, np.float32, np.float64, np.bool_]),
    st.data(),
)
def test_padded_and_unpadded(lengths: list[int], features: list[int], dtype: type, data: st.DataObject) -> None:
    sequences = [data.draw(hnp.arrays(dtype, (length, *features))) for length in lengths]
    padded, ends = pad_sequences(sequences)
    assert padded.shape == (max(lengths), len(lengths), *features)
    assert padded.dtype == dtype
    assert ends.tolist() == lengths
    assert ends.dtype == np.int64
    for sequence, back in zip(sequences, unpad_sequences(padded, ends), strict=True):
        np.testing.assert_array_equal(back, sequence)
        assert back.dtype == sequence.dtype


def test_what_stands_after_the_end() -> None:
    padded, _ = pad_sequences([[5, 6, 7], [8], [9, 10]], value=-100)
    assert padded.tolist() == [[5, 8, 9], [6, -100, 10], [7, -100, -100]]
    padded, _ = pad_sequences([np.ones((1, 2), np.float32), np.ones((2, 2), np.float32)], value=np.nan)
    assert np.isnan(padded[1, 0]).all()
    assert padded.dtype == np.float32


@pytest.mark.parametrize(
    ("dtype", "value"), [(np.int64, 0.5), (np.uint8, -1), (np.uint8, 300), (np.int32, np.nan), (np.int64, np.inf)]
)
def test_a_value_that_the_dtype_cannot_hold(dtype: type, value: float) -> None:
    with pytest.raises(ArgumentError, match=f"{np.dtype(dtype)} can hold, got"):
        pad_sequences([np.zeros(3, dtype)], value)


def test_sequences_that_do_not_fit() -> None:
    with pytest.raises(DataError, match="at least one sequence"):
        pad_sequences([])
    with pytest.raises(ShapeError, match=r"\(4, 3\) for sequence 1 and \(4, 2\)"):
        pad_sequences([np.zeros((4, 2)), np.zeros((4, 3))])
    with pytest.raises(ShapeError, match=r"got \(\) for sequence 0"):
        pad_sequences([1, 2])
    with pytest.raises(DtypeError, match="float64 for sequence 1 and int64"):
        pad_sequences([[1, 2], [1.0]])


def test_an_empty_list_takes_the_dtype_and_features_of_the_others() -> None:
    padded, lengths = pad_sequences([[], [5, 6], []])
    assert padded.dtype == np.int64
    assert (padded.tolist(), lengths.tolist()) == ([[0, 5, 0], [0, 6, 0]], [0, 2, 0])
    assert pad_sequences([np.ones((2, 3), np.float32), []])[0].shape == (2, 2, 3)
    with pytest.raises(DtypeError, match="float64 for sequence 2 and int64 for sequence 1"):
        pad_sequences([[], [1], [1.0]])


def test_lengths_that_do_not_fit() -> None:
    padded = np.zeros((3, 2))
    with pytest.raises(ShapeError, match=r"\(3, 2\) and \(3,\)"):
        unpad_sequences(padded, [1, 1, 1])
    with pytest.raises(ShapeError, match=r"\(3,\)"):
        unpad_sequences(np.zeros(3), [1])
    for length in (4, -1):
        with pytest.raises(IndexRangeError, match=f"got {length}"):
            unpad_sequences(padded, [1, length])
    with pytest.raises(DtypeError, match="float64"):
        unpad_sequences(padded, [1.0, 2.0])


# ------------------------------------------------------------------------------------------------------- bucketing


@given(LENGTHS, st.integers(1, 9), st.floats(0, 0.95), st.integers(0, 5))
def test_every_sequence_once_and_whole(lengths: list[int], batch_size: int, max_padding: float, seed: int) -> None:
    sequences = numbered(lengths)
    batches = list(bucket_batches(sequences, batch_size, np.random.default_rng(seed), max_padding=max_padding))
    assert sorted(np.concatenate([batch.indices for batch in batches])) == list(range(len(lengths)))
    for inputs, ends, indices in batches:
        assert inputs.shape == (ends.max(), len(indices))
        assert 1 <= len(indices) <= batch_size
        for index, sequence in zip(indices, unpad_sequences(inputs, ends), strict=True):
            np.testing.assert_array_equal(sequence, sequences[index])


@given(LENGTHS, st.integers(1, 9), st.floats(0, 0.95))
def test_padding_is_bounded_and_reported(lengths: list[int], batch_size: int, max_padding: float) -> None:
    rng = np.random.default_rng(0)
    for batch in bucket_batches(numbered(lengths), batch_size, rng, max_padding=max_padding):
        assert batch.padding <= max_padding + 1e-12
        if batch.inputs.size:
            assert batch.padding == pytest.approx(np.mean(batch.inputs == 0))


def test_padding_is_less_than_without_buckets() -> None:
    lengths = np.random.default_rng(0).integers(1, 200, 1000)
    sequences = numbered(lengths.tolist())
    batches = list(bucket_batches(sequences, 32, np.random.default_rng(0), max_padding=0.25))
    cells = sum(batch.inputs.size for batch in batches)
    unsorted = sum(pad_sequences(sequences[i : i + 32])[0].size for i in range(0, 1000, 32))
    assert 1 - lengths.sum() / cells < 0.15
    assert 1 - lengths.sum() / unsorted > 0.4
    assert len(batches) < 1000 / 32 * 1.6


def test_no_padding_at_all_if_asked() -> None:
    batches = list(bucket_batches(numbered([3, 5, 3, 5, 4]), 8, np.random.default_rng(0), max_padding=0))
    assert sorted(batch.lengths.tolist() for batch in batches) == [[3, 3], [4], [5, 5]]


def test_the_generator_decides() -> None:
    sequences = numbered(list(range(1, 60)) * 2)

    def order(seed: int) -> list[list[int]]:
        return [batch.indices.tolist() for batch in bucket_batches(sequences, 8, np.random.default_rng(seed))]

    assert order(1) == order(1)
    assert order(1) != order(2)
    assert {tuple(sorted(indices)) for indices in order(1)} != {tuple(sorted(indices)) for indices in order(2)}


def test_batches_do_not_come_in_the_order_of_length() -> None:
    batches = list(bucket_batches(numbered(list(range(1, 50))), 4, np.random.default_rng(0), max_padding=0))
    longest = [batch.lengths.max() for batch in batches]
    assert longest != sorted(longest)


def test_the_process_wide_generator_is_the_default(monkeypatch: pytest.MonkeyPatch) -> None:
    sequences = numbered([3] * 20)
    monkeypatch.setattr(settings, "_generator", np.random.default_rng(5))
    ours = [batch.indices.tolist() for batch in bucket_batches(sequences, 4)]
    given_one = [batch.indices.tolist() for batch in bucket_batches(sequences, 4, np.random.default_rng(5))]
    assert ours == given_one


def test_features_and_value() -> None:
    sequences = [np.ones((length, 2), np.float32) for length in (3, 4)]
    (batch,) = bucket_batches(sequences, 2, np.random.default_rng(0), value=-1)
    assert batch.inputs.shape == (4, 2, 2)
    assert batch.inputs.dtype == np.float32
    assert (batch.inputs == -1).sum() == 2
    assert batch.padding == 0.125


@pytest.mark.parametrize("batch_size", [-1, 0, 1.5])
def test_bad_batch_sizes_are_refused_at_once(batch_size: int) -> None:
    with pytest.raises(ArgumentError, match="batch_size"):
        bucket_batches(numbered([1, 2]), batch_size)


@pytest.mark.parametrize("max_padding", [-0.1, 1, 2, float("nan")])
def test_bad_bounds_are_refused_at_once(max_padding: float) -> None:
    with pytest.raises(ArgumentError, match="max_padding"):
        bucket_batches(numbered([1, 2]), 2, max_padding=max_padding)


def test_bad_sequences_are_refused_at_once() -> None:
    with pytest.raises(DataError, match="bucket_batches: expected at least one"):
        bucket_batches([], 2)
    with pytest.raises(ArgumentError, match="can hold"):
        bucket_batches([[1], [2]], 2, value=0.5)
