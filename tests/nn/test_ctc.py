"""CTC against the sum over all ways, one by one; padding; impossible targets; compiled as step by step."""

from __future__ import annotations

import itertools
from collections import defaultdict

import numpy as np
import pytest

import tinygrad_seq as ts
from tests.grad_of import grad_of
from tests.scan.case import assert_close
from tinygrad_seq import nn
from tinygrad_seq.errors import ArgumentError, DtypeError, IndexRangeError, ShapeError

T, N, C = 5, 4, 3
TARGETS = np.array([[1, 2, 0], [1, 1, 0], [2, 1, 2], [0, 0, 0]])
COUNTS = [2, 2, 3, 0]
LENGTHS = [5, 3, 4, 2]
ctc_loss = nn.functional.ctc_loss
inf = float("inf")


def probabilities(log_probs: np.ndarray, blank: int = 0) -> dict[tuple[int, ...], float]:
    """Return the probability of everything that can be said in log_probs (T, C), way by way."""
    said: dict[tuple[int, ...], float] = defaultdict(float)
    for way in itertools.product(range(log_probs.shape[1]), repeat=len(log_probs)):
        labels = tuple(label for label, _ in itertools.groupby(way) if label != blank)
        said[labels] += np.exp(sum(log_probs[t, label] for t, label in enumerate(way)))
    return said


def scores(rng, shape=(T, N, C)) -> ts.Tensor:
    return ts.tensor(rng.standard_normal(shape), requires_grad=True)


def losses_of(logits, **options):
    return ctc_loss(ts.log_softmax(logits), TARGETS, LENGTHS, COUNTS, reduction="none", **options)


@pytest.mark.filterwarnings("error::tinygrad_seq.CompileWarning")
def test_is_the_sum_over_all_ways(rng) -> None:
    logits = scores(rng)
    losses = losses_of(logits)
    log_probs = ts.log_softmax(logits).numpy()
    for n, (length, count) in enumerate(zip(LENGTHS, COUNTS, strict=True)):
        expected = -np.log(probabilities(log_probs[:length, n])[tuple(TARGETS[n, :count])])
        assert_close(f"row {n}", losses.numpy()[n], expected)
    losses.sum().backward()
    compiled = grad_of(logits).numpy()
    logits.grad = None
    with ts.disable_compile():
        eager = losses_of(logits)
    eager.sum().backward()
    assert_close("values", losses.numpy(), eager.numpy())
    assert_close("gradients", compiled, grad_of(logits).numpy())
    assert not compiled[~nn.sequence_mask(LENGTHS, T)].any()


def test_probabilities_of_all_targets_sum_to_one(rng) -> None:
    log_probs = ts.log_softmax(scores(rng, (3, 1, C)))
    targets = [said for count in range(4) for said in itertools.product((1, 2), repeat=count)]
    padded = np.zeros((len(targets), 3), int)
    for row, said in zip(padded, targets, strict=True):
        row[: len(said)] = said
    rows = ts.broadcast_to(log_probs, (3, len(targets), C))
    losses = ctc_loss(rows, padded, target_lengths=[len(said) for said in targets], reduction="none")
    assert_close("total", np.exp(-losses.numpy()).sum(), np.float64(1))


def test_gradients(rng) -> None:
    with ts.disable_compile():
        ts.gradcheck(losses_of, [scores(rng)])
        ts.gradcheck(lambda x: ctc_loss(x, TARGETS, target_lengths=COUNTS), [scores(rng)])


def test_forms_of_targets_and_lengths(rng) -> None:
    log_probs = ts.log_softmax(scores(rng))
    with ts.disable_compile():
        losses = ctc_loss(log_probs, TARGETS, LENGTHS, COUNTS, reduction="none").numpy()
        joined = np.concatenate([row[:count] for row, count in zip(TARGETS, COUNTS, strict=True)])
        same = ctc_loss(log_probs, ts.tensor(joined), ts.tensor(LENGTHS), ts.tensor(COUNTS), reduction="none")
        np.testing.assert_array_equal(same.numpy(), losses)
        one = ctc_loss(log_probs[:4, 2], TARGETS[2], 4, 3, reduction="none")
        assert one.shape == ()
        assert_close("one", one.numpy(), losses[2])
        assert_close("sum", nn.CTCLoss(reduction="sum")(log_probs, TARGETS, LENGTHS, COUNTS).numpy(), losses.sum())
        averaged = (losses / [2, 2, 3, 1]).mean()
        assert_close("mean", nn.CTCLoss()(log_probs, TARGETS, LENGTHS, COUNTS).numpy(), averaged)
        swapped = ctc_loss(log_probs[..., [1, 2, 0]], (TARGETS - 1) % 3, LENGTHS, COUNTS, 2, "none")
        assert_close("blank", swapped.numpy(), losses)


def test_padding_has_no_effect(rng) -> None:
    log_probs = ts.log_softmax(scores(rng)).numpy()
    with ts.disable_compile():
        losses = ctc_loss(log_probs, TARGETS, LENGTHS, COUNTS, reduction="none").numpy()
        dirty = np.where(nn.sequence_mask(LENGTHS, T)[:, :, None], log_probs, np.nan)
        padded = np.where(np.arange(3) < np.array(COUNTS)[:, None], TARGETS, -7)
        x = ts.tensor(dirty, requires_grad=True)
        found = ctc_loss(x, padded, LENGTHS, COUNTS, reduction="none")
        found.sum().backward()
        np.testing.assert_array_equal(found.numpy(), losses)
        assert np.isfinite(grad_of(x).numpy()).all()


def test_impossible_targets_are_infinite_and_have_no_gradient(rng) -> None:
    log_probs = ts.log_softmax(scores(rng)).numpy().copy()
    log_probs[:, 1, 1] = -np.inf  # row 1 never says 1
    x = ts.tensor(log_probs, requires_grad=True)
    targets, lengths, counts = TARGETS, [5, 5, 3, 2], COUNTS  # row 2 has no time for 3 labels, but just enough
    with ts.disable_compile():
        losses = ctc_loss(x, targets, lengths, counts, reduction="none")
        assert np.isinf(losses.numpy()).tolist() == [False, True, False, False]
        losses[1:2].sum().backward()
        assert not grad_of(x).numpy().any()
        short = ctc_loss(x, targets, [5, 5, 2, 2], counts, reduction="none", zero_infinity=True)
    assert (short.numpy() == 0).tolist() == [False, True, True, False]
    x.grad = None
    short.sum().backward()
    assert np.isfinite(grad_of(x).numpy()).all()
    assert not grad_of(x).numpy()[:, 1:3].any()


def test_in_no_step_only_nothing_can_be_said(rng) -> None:
    x = scores(rng, (2, 3, C))
    with ts.disable_compile():
        losses = ctc_loss(x, [[1], [1], [1]], [0, 0, 2], [1, 0, 1], reduction="none")
        losses[1:].sum().backward()
        kept = ctc_loss(x, [[1], [1], [1]], [0, 0, 2], [1, 0, 1], reduction="none", zero_infinity=True)
    assert losses.numpy()[:2].tolist() == [inf, 0]
    assert kept.numpy()[:2].tolist() == [0, 0]
    assert not grad_of(x).numpy()[:, :2].any()
    assert grad_of(x).numpy()[:, 2].any()
    x.grad = None
    with ts.disable_compile():
        ctc_loss(x, [[1], [1], [1]], [0, 0, 2], [1, 0, 1], zero_infinity=True).backward()
    assert np.isfinite(grad_of(x).numpy()).all()
    assert not grad_of(x).numpy()[:, :2].any()


def test_classes_of_probability_zero_leave_the_rest_right(rng) -> None:
    log_probs = ts.log_softmax(scores(rng, (T, 1, C))).numpy().copy()
    log_probs[1, 0, 2] = log_probs[3, 0, 0] = -np.inf
    x = ts.tensor(log_probs, requires_grad=True)
    with ts.disable_compile():
        loss = ctc_loss(x, [[1, 2]], reduction="sum")
    assert_close("loss", loss.numpy(), -np.log(probabilities(log_probs[:, 0])[1, 2]))
    loss.backward()
    occupied = -grad_of(x).numpy()[:, 0]
    assert_close("a class is said at each step", occupied.sum(-1), np.ones(T))
    assert occupied[1, 2] == occupied[3, 0] == 0


def test_float32_is_close_over_long_inputs(rng) -> None:
    log_probs = ts.log_softmax(ts.tensor(rng.standard_normal((300, 2, 5)))).numpy()
    targets = rng.integers(1, 5, (2, 40))
    with ts.disable_compile():
        wide, narrow = (ctc_loss(log_probs.astype(kind), targets, reduction="sum") for kind in ("float64", "float32"))
    assert narrow.dtype == np.float32
    assert abs(narrow.item() / wide.item() - 1) < 1e-5


@pytest.mark.parametrize(
    ("change", "error", "text"),
    [
        ({"log_probs": np.zeros((T, N, C), int)}, ShapeError, "floating-point log_probs"),
        ({"log_probs": np.zeros((0, N, C))}, ShapeError, "log_probs .T, N, C."),
        ({"targets": TARGETS * 1.0}, DtypeError, "integer targets"),
        ({"targets": [[1], [1, 2]]}, ShapeError, "nested lists of equal lengths"),
        ({"targets": TARGETS[:2]}, ShapeError, "targets of shape .4, S., got .2, "),
        ({"targets": TARGETS[0]}, ShapeError, "targets of shape .7,., the sum"),
        ({"targets": TARGETS + 1}, IndexRangeError, "got 3"),
        ({"targets": TARGETS * 0}, IndexRangeError, "other than the blank 0, got 0"),
        ({"input_lengths": [6, 1, 1, 1]}, ArgumentError, "input_lengths from 0 to 5, got 6"),
        ({"input_lengths": [5, -1, 1, 1]}, ArgumentError, "input_lengths from 0 to 5, got -1"),
        ({"target_lengths": [4, 1, 1, 1]}, ArgumentError, "target_lengths from 0 to 3, got 4 for sequence 0"),
        ({"target_lengths": [-1, 1, 1, 1]}, ArgumentError, "got -1 for sequence 0"),
        ({"target_lengths": [1, 1]}, ShapeError, "target_lengths of shape .4,."),
        ({"blank": 3}, IndexRangeError, "blank to be one of 3"),
        ({"reduction": "average"}, ArgumentError, "reduction none, mean or sum"),
    ],
)
def test_refusals(change, error, text: str) -> None:
    call = {"log_probs": np.zeros((T, N, C)), "targets": TARGETS, "target_lengths": COUNTS}
    with pytest.raises(error, match=text):
        ctc_loss(**{**call, **change})
