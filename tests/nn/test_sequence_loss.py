"""Losses over padded sequences against one sequence at a time, and what padding may not do."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import tinygrad_seq as ts
from tests.grad_of import grad_of
from tinygrad_seq.errors import ArgumentError, DtypeError, IndexRangeError, ShapeError
from tinygrad_seq.nn import functional

T, N, V = 5, 3, 4
LENGTHS = [5, 1, 3]
VALID = ts.nn.sequence_mask(LENGTHS, T)


@pytest.fixture
def logits(rng: np.random.Generator) -> np.ndarray:
    return rng.normal(size=(T, N, V))


@pytest.fixture
def target(rng: np.random.Generator) -> np.ndarray:
    return rng.integers(0, V, (T, N))


def each(logits: np.ndarray, target: np.ndarray) -> np.ndarray:
    """The losses (T, N), by the formula."""
    scores = np.log(np.exp(logits).sum(-1))
    return scores - np.take_along_axis(logits, target[..., None], -1)[..., 0]


@pytest.mark.parametrize("marked", [{"lengths": LENGTHS}, {"mask": VALID}, {"mask": ts.tensor(VALID)}])
def test_only_valid_steps_count(logits, target, marked) -> None:
    losses = each(logits, target)
    kept = np.where(VALID, losses, 0)
    np.testing.assert_allclose(functional.sequence_cross_entropy(logits, target, **marked), losses[VALID].mean())
    np.testing.assert_allclose(
        functional.sequence_cross_entropy(logits, target, reduction="sum", **marked), kept.sum(axis=0).mean()
    )
    np.testing.assert_allclose(functional.sequence_cross_entropy(logits, target, reduction="none", **marked), kept)


@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
def test_without_lengths_every_step_counts(logits, target, reduction) -> None:
    full = functional.sequence_cross_entropy(logits, target, lengths=[T] * N, reduction=reduction)
    np.testing.assert_array_equal(functional.sequence_cross_entropy(logits, target, reduction=reduction), full)
    reduce: dict[str, Callable[[np.ndarray], Any]] = {
        "mean": np.mean,
        "sum": lambda x: x.sum(axis=0).mean(),
        "none": np.asarray,
    }
    np.testing.assert_allclose(full, reduce[reduction](each(logits, target)))


@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
def test_padding_has_no_effect_and_no_gradient(logits, target, reduction) -> None:
    def run(filler: float, label: int) -> tuple[np.ndarray, np.ndarray]:
        x = ts.tensor(np.where(VALID[..., None], logits, filler), requires_grad=True)
        loss = functional.sequence_cross_entropy(x, np.where(VALID, target, label), LENGTHS, reduction=reduction)
        loss.sum().backward()
        return loss.numpy(), grad_of(x).numpy()

    loss, gradient = run(0.0, 0)
    assert (gradient[~VALID] == 0).all()
    assert (gradient[VALID] != 0).all()
    for filler in (np.nan, np.inf):
        for one, other in zip(run(filler, -1), (loss, gradient), strict=True):
            np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
def test_gradients(logits, target, reduction) -> None:
    def loss(x: ts.Tensor) -> ts.Tensor:
        return functional.sequence_cross_entropy(x, target, LENGTHS, reduction=reduction, label_smoothing=0.1)

    ts.gradcheck(loss, [ts.tensor(logits, requires_grad=True)], order=2)


@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
def test_batch_first_is_the_same_swapped(logits, target, reduction) -> None:
    expected = functional.sequence_cross_entropy(logits, target, LENGTHS, reduction=reduction)
    for marked in ({"lengths": LENGTHS}, {"mask": VALID.T}):
        found = functional.sequence_cross_entropy(
            logits.swapaxes(0, 1), target.T, reduction=reduction, batch_first=True, **marked
        )
        np.testing.assert_allclose(found, expected.T if reduction == "none" else expected)


def test_class_weights_weight_the_mean(logits, target) -> None:
    weight = np.array([1.0, 2.0, 0.5, 3.0])
    factors = weight[target][VALID]
    expected = (each(logits, target)[VALID] * factors).sum() / factors.sum()
    np.testing.assert_allclose(functional.sequence_cross_entropy(logits, target, LENGTHS, weight=weight), expected)
    module = ts.nn.SequenceCrossEntropyLoss(weight=weight)
    np.testing.assert_allclose(module(logits, target, LENGTHS), expected)


def test_ignored_classes_are_left_out_of_the_mean_too(logits, target) -> None:
    target[0, 0] = -100
    counted = VALID & (target != -100)
    expected = each(logits, np.maximum(target, 0))[counted].mean()
    np.testing.assert_allclose(functional.sequence_cross_entropy(logits, target, LENGTHS), expected)


def test_soft_targets(logits, target) -> None:
    soft = np.eye(V)[target]
    soft[~VALID] = np.nan
    np.testing.assert_allclose(
        functional.sequence_cross_entropy(logits, soft, LENGTHS),
        functional.sequence_cross_entropy(logits, target, LENGTHS),
    )


@pytest.mark.parametrize("loss", [functional.mse_loss, functional.binary_cross_entropy_with_logits, functional.l1_loss])
@pytest.mark.parametrize("features", [(), (2,)])
def test_any_loss_is_that_of_each_sequence_alone(rng, loss, features) -> None:
    x, y = rng.normal(size=(T, N, *features)), rng.uniform(size=(T, N, *features))
    alone = [loss(x[:length, n], y[:length, n], reduction="sum").item() for n, length in enumerate(LENGTHS)]
    np.testing.assert_allclose(functional.sequence_loss(loss, x, y, LENGTHS, reduction="sum"), np.mean(alone))
    mean = sum(alone) / (sum(LENGTHS) * np.prod(features, dtype=int))
    np.testing.assert_allclose(functional.sequence_loss(loss, x, y, LENGTHS), mean)
    losses = functional.sequence_loss(loss, x, y, LENGTHS, reduction="none")
    np.testing.assert_allclose(
        losses, np.where(VALID.reshape(T, N, *[1] * len(features)), loss(x, y, reduction="none"), 0)
    )


def test_options_reach_the_loss(rng) -> None:
    x, y = rng.normal(size=(2, T, N)) * 3
    expected = functional.huber_loss(x[VALID], y[VALID], delta=0.5)
    np.testing.assert_allclose(functional.sequence_loss(functional.huber_loss, x, y, LENGTHS, delta=0.5), expected)


def test_float32_stays_float32(logits, target) -> None:
    for reduction in ("mean", "sum", "none"):
        loss = functional.sequence_cross_entropy(logits.astype(np.float32), target, LENGTHS, reduction=reduction)
        assert loss.dtype == np.float32


def test_a_mask_may_leave_out_everything() -> None:
    for reduction in ("mean", "sum", "none"):
        for left_out in ({"mask": np.zeros((T, N), bool)}, {"lengths": [0] * N}):
            logits = ts.full((T, N, V), np.nan, requires_grad=True)
            loss = functional.sequence_cross_entropy(logits, np.full((T, N), -1), **left_out, reduction=reduction)
            loss.sum().backward()
            assert not loss.numpy().any()
            assert not grad_of(logits).numpy().any()


@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
def test_sequences_may_have_no_steps(reduction) -> None:
    logits = ts.zeros((0, N, V), requires_grad=True)
    loss = functional.sequence_cross_entropy(logits, np.zeros((0, N), int), reduction=reduction)
    assert loss.shape == ((0, N) if reduction == "none" else ())
    loss.sum().backward()
    assert grad_of(logits).shape == (0, N, V)


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"lengths": LENGTHS, "mask": VALID}, ArgumentError, "lengths or mask, got both"),
        ({"lengths": [1, 2]}, ShapeError, r"lengths of shape \(3,\).* got \(2,\)"),
        ({"lengths": [1, 2, 6]}, ArgumentError, "0 to 5, got 6 for sequence 2"),
        ({"lengths": [1, -1, 5]}, ArgumentError, "got -1 for sequence 1"),
        ({"lengths": [1.0, 2.0, 3.0]}, DtypeError, "float32"),
        ({"lengths": [[1], [1, 2], 3]}, ShapeError, "nested lists of equal lengths"),
        ({"mask": VALID.T}, ShapeError, r"mask of shape \(T, N\) = \(5, 3\) bool, got \(3, 5\)"),
        ({"mask": VALID.astype(int)}, DtypeError, "mask .* bool, got .* int64"),
        ({"reduction": "average"}, ArgumentError, "got 'average'"),
        ({"target": np.zeros((N, T), int)}, ShapeError, r"\(5, 3, 4\) and \(3, 5\)"),
        ({"logits": np.zeros(4)}, ShapeError, r"N = 1"),
        ({"target": np.full((T, N), 4)}, IndexRangeError, r"\[0, 4\)"),
    ],
)
def test_bad_input_is_refused(arguments, error, message) -> None:
    usual = {"logits": np.zeros((T, N, V)), "target": np.zeros((T, N), int)}
    with pytest.raises(error, match=message):
        functional.sequence_cross_entropy(**(usual | arguments))


def test_a_loss_is_a_function() -> None:
    with pytest.raises(ArgumentError, match="got 'l1'"):
        functional.sequence_loss("l1", np.zeros((2, 2)), np.zeros((2, 2)))  # type: ignore[arg-type]
