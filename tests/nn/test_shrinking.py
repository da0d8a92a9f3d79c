"""Batches whose sequences end at different times: which rows run when."""

from __future__ import annotations

from itertools import combinations, pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import tinygrad_seq as ts
from tinygrad_seq import nn
from tinygrad_seq.nn.recurrence import shrinking
from tinygrad_seq.nn.recurrence.shrinking import plan_segments

WEIGHTS = 4 * 128 * (64 + 128)


@given(
    lengths=st.lists(st.integers(0, 60), min_size=1, max_size=40).filter(any),
    more=st.integers(0, 9),
    window=st.none() | st.integers(1, 25),
    reverse=st.booleans(),
    weights=st.sampled_from([0, 10**5, 10**9]),
)
def test_every_step_that_counts_runs(
    lengths: list[int], more: int, window: int | None, reverse: bool, weights: int
) -> None:
    ends = np.sort(lengths)[::-1]
    T = int(ends[0]) + more
    segments = plan_segments(ends, T, window, reverse, weights)
    assert [segment.start for segment in segments] == [0, *[segment.stop for segment in segments[:-1]]]
    assert segments[-1].stop == T
    for segment in segments:
        assert (ends[segment.rows :] <= segment.start).all()
        if window is not None and segment.stop < T:
            assert (T - segment.stop if reverse else segment.stop) % window == 0
    assert all(a.rows > b.rows for a, b in pairwise(segments))


def test_a_batch_of_equal_lengths_is_not_cut() -> None:
    assert plan_segments(np.full(32, 100), 100, None, False, WEIGHTS) == [(0, 100, 32)]
    assert plan_segments(np.full(32, 90), 100, None, False, WEIGHTS) == [(0, 90, 32), (90, 100, 0)]


def test_half_the_steps_take_little_more_than_half_the_work() -> None:
    lengths = np.linspace(200, 1, 32).astype(int)

    def work(weights: int) -> float:
        segments = plan_segments(lengths, 200, None, False, weights)
        return sum((segment.stop - segment.start) * segment.rows for segment in segments) / lengths.sum()

    assert work(WEIGHTS) < 1.4
    assert work(100 * WEIGHTS) < 1.1


def test_segments_cost_least() -> None:
    """They are the best of all choices of times to cut at."""
    ends, weights = np.array([50, 44, 31, 30, 12, 9, 9, 2]), 2_000_000

    def cost(segments: list[shrinking.Segment]) -> float:
        price = len(segments) * shrinking.SEGMENT / weights
        return price + sum((segment.stop - segment.start) * segment.rows for segment in segments)

    choices = []
    for count in range(8):
        for cuts in combinations(sorted({*ends.tolist()} - {50}), count):
            times = [0, *cuts, 50]
            choices.append([shrinking.Segment(a, b, int((ends > a).sum())) for a, b in pairwise(times)])
    found = plan_segments(ends, 50, None, False, weights)
    assert 1 < len(found) < 7
    assert cost(found) == min(map(cost, choices))


def test_a_small_cell_is_not_cut() -> None:
    assert len(plan_segments(np.arange(32, 0, -1), 32, None, False, 100)) == 1


@pytest.mark.parametrize(("window", "states"), [(None, False), (5, False), (None, True), (5, True)])
@pytest.mark.parametrize("masked_output", ["zeros", "held"])
def test_in_segments_is_as_with_a_mask(
    masked_output: str, window: int | None, states: bool, rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A plain mask leaves out the same steps, and runs all rows at all times."""
    T, N = 31, 9
    lengths = rng.integers(0, T - 3, N)
    options = {"masked_output": masked_output, "window": window, "return_all_states": states}
    layer = nn.GRU(3, 4, num_layers=2, bidirectional=True, **options).double()  # type: ignore[arg-type]
    monkeypatch.setattr(shrinking, "SEGMENT", 0)
    assert len(plan_segments(np.sort(lengths)[::-1], T, window, False, 1)) > 3
    found = []
    for call in ({"lengths": lengths}, {"mask": nn.sequence_mask(lengths, T)}):
        xs = ts.tensor(np.random.default_rng(5).standard_normal((T, N, 3)), requires_grad=True)
        layer.zero_grad()
        outputs = layer(xs, **call)
        total: Any = sum((y * np.cos(np.arange(y.size)).reshape(y.shape)).sum() for y in outputs)
        total.backward()
        found.append([*outputs, xs.grad, *[parameter.grad for parameter in layer.parameters()]])
    for a, b in zip(*found, strict=True):
        np.testing.assert_allclose(a.numpy(), b.numpy(), rtol=0, atol=1e-12)


@pytest.mark.parametrize("compile", [True, False])
def test_a_cell_may_read_anything_that_has_a_row_per_sequence(compile: bool, rng) -> None:
    """Rows stay where they are beside a memory that nobody can find, in a list that a function around it holds."""
    memory = [ts.tensor(rng.standard_normal((3, 4)))]

    class Reading(nn.Cell):
        input_size, state_shape, dtype = 4, (4,), np.dtype("float64")

        def forward(self, x, h):
            h = ts.tanh(h + x * memory[0])
            return h, h

    xs, lengths = ts.tensor(rng.standard_normal((5, 3, 4))), [2, 5, 3]
    layer = nn.Recurrent(Reading())
    if not compile:
        with ts.disable_compile():
            ys, last = layer(xs, lengths=lengths)
    else:
        ys, last = layer(xs, lengths=lengths)
    for n, end in enumerate(lengths):
        h = np.zeros(4)
        for t in range(end):
            h = np.tanh(h + xs.numpy()[t, n] * memory[0].numpy()[n])
            np.testing.assert_allclose(ys.numpy()[t, n], h, atol=1e-14)
        np.testing.assert_allclose(last.numpy()[n], h, atol=1e-14)


@pytest.mark.parametrize("on_class", [True, False])
def test_a_cell_whose_forward_was_replaced_is_one_of_the_user(on_class: bool, monkeypatch, rng) -> None:
    """Neither are its rows reordered, nor is it traced only once."""
    memory = ts.tensor(rng.standard_normal((3, 4)))
    layer = nn.Recurrent(nn.GRUCell(4, 4)).double()
    cell: Any = layer.cells[0]
    plain = nn.GRUCell.forward
    xs, lengths = ts.tensor(rng.standard_normal((5, 3, 4))), [2, 5, 3]
    layer(xs, lengths=lengths)

    def forward(x, h):
        return plain(cell, x * memory, h)

    if on_class:
        monkeypatch.setattr(nn.GRUCell, "forward", lambda self, x, h: forward(x, h))
    else:
        monkeypatch.setattr(cell, "forward", forward)
    monkeypatch.setattr(shrinking, "SEGMENT", 0)
    for _ in range(2):
        ys = layer(xs, lengths=lengths)[0].numpy()
        for n, end in enumerate(lengths):
            h = ts.zeros((1, 4), dtype="float64")
            for t in range(end):
                h = plain(cell, xs[t, n : n + 1] * memory[n : n + 1], h)[1]
                np.testing.assert_allclose(ys[t, n], h.numpy()[0], atol=1e-13)
        memory = 2 * memory
