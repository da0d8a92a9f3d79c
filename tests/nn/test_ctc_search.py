"""The searches of CTC against all alignments, one by one."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

import tinygrad_seq as ts
from tests.nn.test_ctc import COUNTS, LENGTHS, TARGETS, C, N, T, probabilities
from tests.scan.case import assert_close
from tinygrad_seq import nn
from tinygrad_seq.errors import AnomalyError, ArgumentError, IndexRangeError, ShapeError


def log_probs(rng, blank: int = 0) -> np.ndarray:
    """Return random log-probabilities, in which one class is impossible at one step, and garbage after the lengths."""
    scores = rng.standard_normal((T, N, C))
    scores[1, 0, 1] = -np.inf
    found = ts.log_softmax(scores).numpy()
    return np.where(nn.sequence_mask(LENGTHS, T)[:, :, None], np.roll(found, blank, axis=2), np.nan)


@pytest.mark.parametrize("blank", [0, 2])
def test_a_beam_that_holds_everything_ranks_all_labels(rng, blank: int) -> None:
    scores = log_probs(rng, blank)
    found = nn.ctc_beam_search(scores, LENGTHS, blank=blank, beam_size=200, num_best=60)
    for n, length in enumerate(LENGTHS):
        every = sorted(probabilities(scores[:length, n], blank).items(), key=lambda one: -one[1])
        every = [one for one in every if one[1] > 0]
        assert np.isfinite(found.scores[n]).sum() == len(every)
        for place, (labels, p) in enumerate(every):
            assert tuple(found.tokens[n, place, : found.lengths[n, place]]) == labels
            assert (found.tokens[n, place, len(labels) :] == blank).all()
            assert_close("p", np.exp(found.scores[n, place]), np.float64(p))


def test_the_score_is_minus_the_loss(rng) -> None:
    scores = ts.log_softmax(ts.tensor(rng.standard_normal((T, N, C))))
    found = nn.ctc_beam_search(scores, LENGTHS, beam_size=200)
    with ts.disable_compile():
        losses = nn.functional.ctc_loss(scores, found.tokens[:, 0], LENGTHS, found.lengths[:, 0], reduction="none")
    assert_close("score", found.scores[:, 0], -losses.numpy())


@pytest.mark.parametrize("blank", [0, 2])
def test_greedy_gives_the_labels_of_the_likeliest_alignment(rng, blank: int) -> None:
    scores = log_probs(rng, blank)
    found = nn.ctc_greedy_search(scores, ts.tensor(LENGTHS), blank=blank)
    for n, length in enumerate(LENGTHS):
        alignments = itertools.product(range(C), repeat=length)
        p, best = max((sum(scores[t, n, label] for t, label in enumerate(one)), one) for one in alignments)
        labels = tuple(label for label, _ in itertools.groupby(best) if label != blank)
        assert tuple(found.tokens[n, : found.lengths[n]]) == labels
        assert (found.tokens[n, len(labels) :] == blank).all()
        assert_close("p", found.log_probabilities[n], np.float64(p))


def test_a_sequence_alone_is_that_of_a_batch_in_narrow_beams_too(rng) -> None:
    scores = log_probs(rng)
    together = nn.ctc_beam_search(scores, LENGTHS, beam_size=2, num_best=2)
    for n, length in enumerate(LENGTHS):
        alone = nn.ctc_beam_search(scores[:length, n : n + 1], beam_size=2, num_best=2)
        np.testing.assert_array_equal(alone.scores[0], together.scores[n])
        np.testing.assert_array_equal(alone.lengths[0], together.lengths[n])


def test_the_targets_are_found_where_they_are_certain() -> None:
    """The targets of a batch, with a blank between equal labels."""
    alignments = np.zeros((7, N), int)
    for n, count in enumerate(COUNTS):
        alignments[1 : 2 * count : 2, n] = TARGETS[n, :count]
    scores = np.log(np.eye(C)[alignments] * 0.98 + 0.02 / C)
    for found in (nn.ctc_greedy_search(scores), nn.ctc_beam_search(scores, beam_size=3)):
        tokens = found.tokens.reshape(N, -1)
        for n, count in enumerate(COUNTS):
            assert tokens[n].tolist() == [*TARGETS[n, :count], *[0] * (3 - count)]


def test_nothing_is_found_where_nothing_is_possible() -> None:
    found = nn.ctc_beam_search(np.full((2, 1, 3), -np.inf), num_best=2)
    assert found.tokens.shape == (1, 2, 0)
    assert np.isneginf(found.scores).all()


@pytest.mark.parametrize("search", [nn.ctc_greedy_search, nn.ctc_beam_search])
@pytest.mark.parametrize(
    ("change", "error", "text"),
    [
        ({"log_probs": np.zeros((T, C))}, ShapeError, "log_probs .T, N, C."),
        ({"log_probs": np.zeros((T, N, C), int)}, ShapeError, "floating-point log_probs"),
        ({"log_probs": np.full((T, N, C), np.nan)}, AnomalyError, "log-probabilities, got nan at .0, 0, 0."),
        ({"log_probs": np.full((T, N, C), np.inf)}, AnomalyError, "log-probabilities, got inf"),
        ({"input_lengths": [T + 1] * N}, ArgumentError, "input_lengths from 0 to 5"),
        ({"input_lengths": [1]}, ShapeError, "input_lengths"),
        ({"blank": C}, IndexRangeError, "blank to be one of 3"),
        ({"blank": True}, IndexRangeError, "blank to be one of 3"),
    ],
)
def test_refusals(search, change, error, text: str) -> None:
    with pytest.raises(error, match=text) as refused:
        search(**{"log_probs": np.zeros((T, N, C)), **change})
    assert str(refused.value).startswith(f"{search.__name__}: ")


@pytest.mark.parametrize("options", [{"beam_size": 0}, {"num_best": 0}, {"beam_size": 2, "num_best": 3}])
def test_refusals_of_beams(options) -> None:
    with pytest.raises(ArgumentError, match="ctc_beam_search: expected"):
        nn.ctc_beam_search(np.zeros((T, N, C)), **options)
