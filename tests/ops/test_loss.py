"""Losses against plain NumPy formulas, their gradients against finite differences, and their ends of the range."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import tinygrad_seq as ts
from tests.grad_of import grad_of
from tests.ops.agreement import check_third_order
from tests.ops.checks import layouts
from tinygrad_seq.errors import ArgumentError, DtypeError, IndexRangeError, ShapeError

REDUCTIONS: dict[str, Callable[[np.ndarray], Any]] = {"mean": np.mean, "sum": np.sum, "none": np.asarray}


def log_softmax(x: np.ndarray) -> np.ndarray:
    shifted = x - x.max(axis=-1, keepdims=True)
    return shifted - np.log(np.exp(shifted).sum(axis=-1, keepdims=True))


@pytest.fixture
def logits(rng: np.random.Generator) -> np.ndarray:
    return rng.normal(size=(4, 3, 5))


@pytest.fixture
def classes(rng: np.random.Generator) -> np.ndarray:
    return rng.integers(0, 5, (4, 3))


def leaf(x: np.ndarray) -> ts.Tensor:
    return ts.tensor(x, requires_grad=True)


# ------------------------------------------------------------------------------------------- cross entropy


@pytest.mark.parametrize("reduction", REDUCTIONS)
def test_cross_entropy_of_indices(logits, classes, reduction):
    expected = -np.take_along_axis(log_softmax(logits), classes[..., None], -1)[..., 0]
    np.testing.assert_allclose(
        ts.cross_entropy(logits, classes, reduction=reduction).numpy(), REDUCTIONS[reduction](expected)
    )
    ts.gradcheck(lambda x: ts.cross_entropy(x, classes, reduction=reduction), [leaf(logits)], order=2)


@pytest.mark.parametrize("smoothing", [0.0, 0.1, 1.0])
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("reduction", REDUCTIONS)
def test_cross_entropy_options(logits, classes, rng, smoothing, weighted, reduction):
    """Weights, smoothing and ignored rows together, by the definition over the smoothed target distribution."""
    weight = rng.uniform(0.5, 2.0, 5) if weighted else np.ones(5)
    target = classes.copy()
    target[0, 1] = target[2, 2] = -100
    valid = target != -100
    safe = np.where(valid, target, 0)
    one_hot = np.eye(5)[safe]
    nll = -(one_hot * log_softmax(logits) * weight).sum(-1)
    spread = -(log_softmax(logits) * weight).mean(-1)
    losses = ((1 - smoothing) * nll + smoothing * spread) * valid
    row_weights = weight[safe] * valid
    expected = losses.sum() / row_weights.sum() if reduction == "mean" else REDUCTIONS[reduction](losses)

    def loss(x):
        return ts.cross_entropy(
            x, target, weight=weight if weighted else None, reduction=reduction, label_smoothing=smoothing
        )

    np.testing.assert_allclose(loss(ts.tensor(logits)).numpy(), expected)
    ts.gradcheck(loss, [leaf(logits)], order=2)


@pytest.mark.parametrize("smoothing", [0.0, 0.2])
def test_cross_entropy_of_probabilities(logits, rng, smoothing):
    target = rng.dirichlet(np.ones(5), (4, 3))
    smooth = target * (1 - smoothing) + smoothing / 5
    expected = -(smooth * log_softmax(logits)).sum(-1).mean()
    got = ts.cross_entropy(ts.tensor(logits), target, label_smoothing=smoothing)
    np.testing.assert_allclose(got.numpy(), expected)
    ts.gradcheck(lambda x, t: ts.cross_entropy(x, t, label_smoothing=smoothing), [leaf(logits), leaf(target)], order=2)


def test_cross_entropy_at_the_ends_of_the_range():
    x = leaf(np.array([[1000.0, 0.0, -1000.0], [-np.inf, 0.0, 0.0], [-1e300, 1e300, 0.0]]))
    losses = ts.cross_entropy(x, np.array([2, 1, 1]), reduction="none")
    np.testing.assert_allclose(losses.numpy(), [2000.0, np.log(2), 0.0])
    losses.sum().backward()
    np.testing.assert_allclose(grad_of(x).numpy(), [[1.0, 0.0, -1.0], [0.0, -0.5, 0.5], [0.0, 0.0, 0.0]], atol=1e-12)


def test_cross_entropy_to_third_order(logits, classes):
    check_third_order(lambda x: ts.cross_entropy(x, classes, reduction="none"), logits)


def test_cross_entropy_of_any_layout(logits, classes):
    """Strided and read-only logits, and a cotangent that is broadcast, give the same bits."""

    def run(x):
        x = leaf(x)
        losses = ts.cross_entropy(x, classes, reduction="none")
        losses.sum().backward()
        return losses.numpy(), x.grad.numpy()

    expected = run(logits)
    for view in layouts(logits):
        for result, wanted in zip(run(view), expected, strict=True):
            np.testing.assert_array_equal(result, wanted)


def test_cross_entropy_where_every_row_is_ignored_is_zero(logits):
    x = leaf(logits)
    loss = ts.cross_entropy(x, np.full((4, 3), -100))
    loss.backward()
    assert loss.item() == 0
    assert not grad_of(x).numpy().any()


def test_float32_stays_float32(logits, classes):
    x = ts.tensor(logits, dtype="float32", requires_grad=True)
    for loss in (
        ts.cross_entropy(x, classes),
        ts.cross_entropy(x, classes, weight=np.ones(5), label_smoothing=0.1),
        ts.nll_loss(ts.log_softmax(x, axis=-1), classes),
        ts.binary_cross_entropy(x.sigmoid(), ts.zeros_like(x)),
        ts.binary_cross_entropy_with_logits(x, ts.zeros_like(x)),
        ts.huber_loss(x, ts.zeros_like(x)),
    ):
        assert loss.dtype == np.float32


def test_nll_loss_is_cross_entropy_of_log_softmax(logits, classes, rng):
    weight = rng.uniform(0.5, 2.0, 5)
    target = classes.copy()
    target[1, 1] = 7
    options = {"weight": weight, "ignore_index": 7}
    x = ts.tensor(logits)
    for reduction in REDUCTIONS:
        np.testing.assert_allclose(
            ts.nll_loss(ts.log_softmax(x, axis=-1), target, reduction=reduction, **options).numpy(),
            ts.cross_entropy(x, target, reduction=reduction, **options).numpy(),
        )
    ts.gradcheck(lambda v: ts.nll_loss(v, target, **options), [leaf(logits)], order=1)


# ------------------------------------------------------------------------------------------- binary targets


@pytest.mark.parametrize("reduction", REDUCTIONS)
@pytest.mark.parametrize("weighted", [False, True])
def test_binary_cross_entropy(rng, reduction, weighted):
    p, t = rng.uniform(0.05, 0.95, (3, 4)), rng.uniform(size=(3, 4))
    weight = rng.uniform(0.5, 2.0, 4) if weighted else None
    expected = -(t * np.log(p) + (1 - t) * np.log(1 - p)) * (1 if weight is None else weight)
    got = ts.binary_cross_entropy(ts.tensor(p), t, weight, reduction)
    np.testing.assert_allclose(got.numpy(), REDUCTIONS[reduction](expected))
    ts.gradcheck(lambda x, y: ts.binary_cross_entropy(x, y, weight, reduction), [leaf(p), leaf(t)], order=2)
    z = np.log(p / (1 - p))
    got = ts.binary_cross_entropy_with_logits(ts.tensor(z), t, weight, reduction=reduction)
    np.testing.assert_allclose(got.numpy(), REDUCTIONS[reduction](expected))


def test_binary_cross_entropy_of_certainties():
    p = leaf(np.array([0.0, 1.0, 0.0, 1.0]))
    losses = ts.binary_cross_entropy(p, np.array([0.0, 1.0, 1.0, 0.0]), reduction="none")
    np.testing.assert_allclose(losses.numpy(), [0, 0, 100, 100])
    losses.sum().backward()
    assert np.isfinite(grad_of(p).numpy()).all()
    assert grad_of(p).numpy()[2] < 0 < grad_of(p).numpy()[3]


def test_binary_cross_entropy_with_logits(rng):
    z, t = rng.normal(size=(3, 4)), rng.uniform(size=(3, 4))
    pos_weight = rng.uniform(0.5, 3.0, 4)
    s = 1 / (1 + np.exp(-z))
    expected = -(pos_weight * t * np.log(s) + (1 - t) * np.log(1 - s)).mean()
    got = ts.binary_cross_entropy_with_logits(ts.tensor(z), t, pos_weight=pos_weight)
    np.testing.assert_allclose(got.numpy(), expected)
    for options in ({}, {"pos_weight": pos_weight}, {"weight": pos_weight}):
        ts.gradcheck(
            lambda x, y, options=options: ts.binary_cross_entropy_with_logits(x, y, **options),
            [leaf(z), leaf(t)],
            order=2,
        )
    ends = ts.binary_cross_entropy_with_logits(ts.tensor([1e4, -1e4, -1e4]), [1.0, 0.0, 1.0], reduction="none")
    np.testing.assert_allclose(ends.numpy(), [0, 0, 1e4])


# ---------------------------------------------------------------------------------------------- regression


def huber(delta):
    return lambda d: np.where(np.abs(d) < delta, d**2 / 2, delta * (np.abs(d) - delta / 2))


@pytest.mark.parametrize(
    ("loss", "formula"),
    [
        (ts.mse_loss, np.square),
        (ts.l1_loss, np.abs),
        (ts.huber_loss, huber(1)),
        (lambda x, y, r: ts.huber_loss(x, y, r, delta=0.5), huber(0.5)),
        (ts.smooth_l1_loss, huber(1)),
        (lambda x, y, r: ts.smooth_l1_loss(x, y, r, beta=2.0), lambda d: huber(2)(d) / 2),
        (lambda x, y, r: ts.smooth_l1_loss(x, y, r, beta=0.0), np.abs),
        (lambda x, y, r: ts.pinball_loss(x, y, 0.9, r), lambda d: np.where(d < 0, -0.9 * d, 0.1 * d)),
    ],
)
@pytest.mark.parametrize("reduction", REDUCTIONS)
def test_regression_losses(rng, loss, formula, reduction):
    x, y = rng.normal(size=(2, 5)) * 2, rng.normal(size=(2, 5))
    np.testing.assert_allclose(
        loss(ts.tensor(x), ts.tensor(y), reduction).numpy(), REDUCTIONS[reduction](formula(x - y))
    )
    ts.gradcheck(lambda a, b: loss(a, b, reduction), [leaf(x), leaf(y)], order=2)


def test_quantiles_on_the_last_axis(rng):
    quantiles = [0.1, 0.5, 0.8]
    x, y = rng.normal(size=(4, 2, 3)), rng.normal(size=(4, 2))
    each = [ts.pinball_loss(x[..., k], y, q, "none").numpy() for k, q in enumerate(quantiles)]
    np.testing.assert_allclose(ts.pinball_loss(x, y, quantiles, "none").numpy(), np.stack(each, -1))
    ts.gradcheck(lambda a, b: ts.pinball_loss(a, b, quantiles), [leaf(x), leaf(y)], order=2)
    sample = rng.normal(size=(1001, 1))
    best = np.quantile(sample, quantiles)
    for step in (-0.02, 0.02):  # the loss rises on both sides of the quantiles of a sample
        gradient = ts.grad(lambda c: ts.pinball_loss(c + np.zeros((1001, 1, 3)), sample, quantiles))
        slope = gradient(ts.tensor(best + step))
        assert (np.sign(slope.numpy()) == np.sign(step)).all()


@pytest.mark.parametrize("shape", [(2, 5), (2, 1), (2,)])
@pytest.mark.parametrize("reduction", REDUCTIONS)
def test_gaussian_nll_loss(rng, reduction, shape):
    x, y, var = rng.normal(size=(2, 5)), rng.normal(size=(2, 5)), rng.uniform(0.5, 2, shape)
    wide = np.broadcast_to(var.reshape(2, -1), (2, 5))
    expected = (np.log(wide) + (x - y) ** 2 / wide) / 2
    got = ts.gaussian_nll_loss(ts.tensor(x), y, var, reduction=reduction)
    np.testing.assert_allclose(got.numpy(), REDUCTIONS[reduction](expected))
    ts.gradcheck(
        lambda a, b, v: ts.gaussian_nll_loss(a, b, v, full=True, reduction=reduction),
        [leaf(x), leaf(y), leaf(var)],
        order=2,
    )


def test_variances_below_eps(rng):
    """They count as eps, and their gradient is that at eps, as in PyTorch."""
    var = leaf(np.array([0.0, 1e-9, 1.0]))
    loss = ts.gaussian_nll_loss(np.ones(3), np.zeros(3), var, eps=0.5, full=True, reduction="sum")
    loss.backward()
    raised = np.array([0.5, 0.5, 1.0])
    np.testing.assert_allclose(loss.item(), ((np.log(2 * np.pi * raised) + 1 / raised) / 2).sum())
    np.testing.assert_allclose(grad_of(var).numpy(), (1 / raised - 1 / raised**2) / 2)


@pytest.mark.parametrize("log_target", [False, True])
def test_kl_div(rng, log_target):
    p, q = rng.dirichlet(np.ones(4), 3), rng.dirichlet(np.ones(4), 3)
    expected = p * np.log(p / q)
    target = np.log(p) if log_target else p
    for reduction, reduce in {**REDUCTIONS, "batchmean": lambda v: v.sum() / 3}.items():
        got = ts.kl_div(ts.tensor(np.log(q)), target, reduction, log_target)
        np.testing.assert_allclose(got.numpy(), reduce(expected))
    ts.gradcheck(lambda a, b: ts.kl_div(a, b, log_target=log_target), [leaf(np.log(q)), leaf(target)], order=2)


def test_kl_div_of_impossible_events_is_zero():
    got = ts.kl_div(ts.tensor(np.log([0.5, 0.5])), np.array([1.0, 0.0]), "sum")
    np.testing.assert_allclose(got.numpy(), np.log(2))


# ----------------------------------------------------------------------------------------------- bad input


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: ts.cross_entropy(ts.zeros((2, 3)), [0, 3]), IndexRangeError, r"\[0, 3\).* got 3"),
        (lambda: ts.cross_entropy(ts.zeros((2, 3)), [0, -1]), IndexRangeError, "got -1"),
        (lambda: ts.cross_entropy(ts.zeros((2, 3)), [0, 1, 2]), ShapeError, r"\(2,\).*\(3,\)"),
        (lambda: ts.cross_entropy(ts.zeros((2, 3)), [0.0, 1.0]), DtypeError, "integer class indices"),
        (lambda: ts.cross_entropy(ts.zeros(()), 0), ShapeError, "0-d"),
        (lambda: ts.cross_entropy(ts.zeros((2, 3)), [0, 1], reduction="avg"), ArgumentError, "'avg'"),
        (lambda: ts.cross_entropy(ts.zeros((2, 3)), [0, 1], label_smoothing=1.5), ArgumentError, "1.5"),
        (lambda: ts.cross_entropy(ts.zeros((2, 3)), [0, 1], weight=[1.0, 2.0]), ShapeError, r"\(3,\).*\(2,\)"),
        (lambda: ts.mse_loss(ts.zeros(3), ts.zeros((3, 1))), ShapeError, "nothing is broadcast"),
        (lambda: ts.binary_cross_entropy(ts.tensor([1.5]), [1.0]), ArgumentError, "1.5"),
        (lambda: ts.binary_cross_entropy(ts.tensor([float("nan")]), [1.0]), ArgumentError, "nan"),
        (lambda: ts.huber_loss(ts.zeros(2), ts.zeros(2), delta=0.0), ArgumentError, "delta > 0"),
        (lambda: ts.smooth_l1_loss(ts.zeros(2), ts.zeros(2), beta=-1.0), ArgumentError, "beta >= 0"),
        (lambda: ts.kl_div(ts.zeros(2), ts.zeros(2), "batch"), ArgumentError, "batchmean"),
        (lambda: ts.pinball_loss(ts.zeros(2), ts.zeros(2), 1.0), ArgumentError, "between 0 and 1, got 1.0"),
        (lambda: ts.pinball_loss(ts.zeros(2), ts.zeros(2), float("nan")), ArgumentError, "got nan"),
        (lambda: ts.pinball_loss(ts.zeros(2), ts.zeros(2), []), ArgumentError, r"got \[\]"),
        (lambda: ts.pinball_loss(ts.zeros(2), ts.zeros(2), [0.5]), ShapeError, r"\(\.\.\., 1\).*\(2,\) and \(2,\)"),
        (lambda: ts.gaussian_nll_loss(ts.zeros(2), ts.zeros(2), [1.0, -1.0]), ArgumentError, "variances .* got -1"),
        (lambda: ts.gaussian_nll_loss(ts.zeros(2), ts.zeros(2), ts.zeros(3)), ShapeError, r"\(2,\).*\(3,\)"),
        (lambda: ts.gaussian_nll_loss(ts.zeros(2), ts.zeros(2), ts.ones(2), eps=0), ArgumentError, "eps > 0"),
    ],
)  # fmt: skip
def test_bad_input(call, error, message):
    with pytest.raises(error, match=message):
        call()


@pytest.mark.parametrize(
    "loss", [ts.mse_loss, ts.l1_loss, ts.huber_loss, ts.smooth_l1_loss, ts.kl_div, ts.binary_cross_entropy,
             ts.binary_cross_entropy_with_logits],
)  # fmt: skip
@pytest.mark.parametrize("kind", [list, np.array, ts.tensor])
def test_plain_targets_take_the_dtype_of_the_prediction(loss, kind):
    prediction = ts.tensor([0.25, 0.75])
    found = loss(prediction, kind([0, 1]))
    assert found.dtype == ts.float32
    np.testing.assert_array_equal(found.numpy(), loss(prediction, ts.tensor([0.0, 1.0])).numpy())


def test_cross_entropy_takes_lists_of_probabilities(logits):
    rows = logits[0].astype(np.float32)
    target = np.full(rows.shape, 0.2, np.float32)
    found = ts.cross_entropy(rows, target.tolist())
    assert found.dtype == ts.float32
    np.testing.assert_allclose(found.numpy(), ts.cross_entropy(rows, target).numpy(), rtol=1e-6)
