"""What a loss leaves out reaches neither value nor derivatives; targets out of range are refused; dtypes stay."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest

import tinygrad_seq as ts
from tests.grad_of import grad_of
from tinygrad_seq.errors import ArgumentError, DtypeError
from tinygrad_seq.nn import functional

inf, nan = np.inf, np.nan
POISON = {"-inf": -inf, "inf": inf, "nan": nan}
REDUCTIONS = ["none", "mean", "sum"]
LEFT = np.array([False, True, False, True])  # the rows that are left out
V = 3


def derivatives(loss, x: np.ndarray) -> list[np.ndarray]:
    """Return value, gradient and a Hessian-vector product of the sum of losses, and the loss's dtype is that of x."""
    found = loss(ts.tensor(x))
    assert found.dtype == x.dtype
    along = np.random.default_rng(5).standard_normal(x.shape).astype(x.dtype)
    first = ts.grad(lambda x: loss(x).sum())(ts.tensor(x))
    second = ts.hvp(lambda x: loss(x).sum(), (ts.tensor(x),), (ts.tensor(along),))[0]
    assert first.dtype == second.dtype == x.dtype
    return [found.numpy(), first.numpy(), second.numpy()]


def check(loss, x: np.ndarray, left: np.ndarray) -> None:
    """Compare the loss with that of harmless numbers at what is left out, whose derivatives must be exactly 0."""
    for dtype in (np.float32, np.float64):
        clean = derivatives(loss, np.where(left, x.dtype.type(0.5), x).astype(dtype))
        for poison in POISON.values():
            poisoned = derivatives(loss, np.where(left, poison, x).astype(dtype))
            for one, other in zip(poisoned, clean, strict=True):
                np.testing.assert_array_equal(one, other)
            for part in poisoned[1:]:
                assert not part[np.broadcast_to(left, part.shape)].any()


# --------------------------------------------------------------------------------------------------- cross entropy


@pytest.mark.parametrize("reduction", REDUCTIONS)
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("smoothing", [0.0, 0.1, 1.0])
@pytest.mark.parametrize("ignore_index", [-100, 0])
def test_ignored_rows(reduction, weighted, smoothing, ignore_index, rng) -> None:
    target = np.where(LEFT, ignore_index, [1, 2, 2, 1])
    weight = [0.3, 2.0, 0.7] if weighted else None

    def loss(x):
        return ts.cross_entropy(
            x, target, weight, ignore_index=ignore_index, reduction=reduction, label_smoothing=smoothing
        )

    check(loss, rng.standard_normal((4, V)), LEFT[:, None])


@pytest.mark.parametrize("reduction", REDUCTIONS)
def test_ignored_rows_of_nll_loss(reduction, rng) -> None:
    target = np.where(LEFT, -100, [1, 2, 2, 1])
    check(lambda x: ts.nll_loss(x, target, reduction=reduction), rng.standard_normal((4, V)), LEFT[:, None])
    target = np.where(LEFT, 0, [1, 2, 2, 1])
    weight = [0.0, 1.0, 2.0]
    check(lambda x: ts.nll_loss(x, target, weight, reduction=reduction), rng.standard_normal((4, V)), LEFT[:, None])


@pytest.mark.parametrize("reduction", REDUCTIONS)
def test_rows_of_a_class_of_weight_0(reduction, rng) -> None:
    target = np.where(LEFT, 0, [1, 2, 2, 1])
    check(
        lambda x: ts.cross_entropy(x, target, [0.0, 1.0, 2.0], reduction=reduction),
        rng.standard_normal((4, V)),
        LEFT[:, None],
    )


@pytest.mark.parametrize("reduction", REDUCTIONS)
@pytest.mark.parametrize("weight", [None, [0.5, 1.0, 2.0]])
def test_rows_of_target_probability_0(reduction, weight, rng) -> None:
    target = np.where(LEFT[:, None], 0.0, rng.dirichlet(np.ones(V), 4))
    check(
        lambda x: ts.cross_entropy(x, target, weight, reduction=reduction), rng.standard_normal((4, V)), LEFT[:, None]
    )


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
@pytest.mark.parametrize("soft", [False, True])
def test_a_forbidden_class_of_probability_or_weight_0(soft, smoothing, rng) -> None:
    """A logit of -inf, as a mask over the vocabulary makes, beside targets that do not want it."""
    x, weight = rng.standard_normal((2, V)), [0.0, 1.0, 2.0] if smoothing else None
    x[:, 0] = -inf
    target = np.array([[0.0, 0.25, 0.75], [0.0, 1.0, 0.0]]) if soft else np.array([2, 1])
    found = derivatives(lambda x: ts.cross_entropy(x, target, weight, label_smoothing=smoothing), x)
    assert all(np.isfinite(part).all() for part in found)
    shares = (target if soft else np.eye(V)[target]) * (1 - smoothing) + smoothing / V
    factors = np.array([0.0, 1.0, 2.0]) if smoothing else np.ones(V)
    scores = x[:, 1:] - np.log(np.exp(x[:, 1:]).sum(-1, keepdims=True))
    losses = -(shares * factors)[:, 1:] * scores
    rows = 2 if soft or not smoothing else factors[target].sum()
    np.testing.assert_allclose(found[0], losses.sum() / rows)
    assert not found[1][:, 0].any()


def test_a_wanted_class_of_logit_minus_infinity_is_infinitely_wrong() -> None:
    x = ts.tensor([[-inf, 0.0, 0.0]])
    assert ts.cross_entropy(x, [0]).item() == inf
    assert ts.cross_entropy(x, [[0.5, 0.5, 0.0]]).item() == inf
    assert ts.cross_entropy(x, [1], label_smoothing=0.1).item() == inf
    assert ts.cross_entropy(x, [0], label_smoothing=1.0).item() == inf


@pytest.mark.parametrize("options", [{}, {"weight": [1.0, 2.0, 3.0]}, {"label_smoothing": 0.1}])
@pytest.mark.parametrize("reduction", REDUCTIONS)
def test_every_row_ignored(options, reduction) -> None:
    x = ts.tensor(np.full((2, V), nan), requires_grad=True)
    loss = ts.cross_entropy(x, [-100, -100], reduction=reduction, **options)
    loss.sum().backward()
    assert not loss.numpy().any()
    assert not grad_of(x).numpy().any()


# --------------------------------------------------------------------------------------------- two classes, sequences


@pytest.mark.parametrize("reduction", REDUCTIONS)
@pytest.mark.parametrize(
    "function", [ts.binary_cross_entropy, ts.binary_cross_entropy_with_logits], ids=lambda f: f.__name__
)
def test_entries_of_weight_0(function, reduction, rng) -> None:
    weight = np.where(LEFT, 0.0, [1.0, 2.0, 0.5, 3.0])
    for target in ([0.0, 1.0, 1.0, 0.0], [0.0, nan, 1.0, 2.0], [0.25, -inf, 1.0, nan]):
        check(
            lambda x, target=target: function(x, np.where(LEFT & np.isnan(x.numpy()), target, np.nan_to_num(target)
                                              .clip(0, 1)), weight, reduction=reduction),
            rng.uniform(0.1, 0.9, 4), LEFT,
        )  # fmt: skip


@pytest.mark.parametrize("reduction", REDUCTIONS)
@pytest.mark.parametrize("marked", ["lengths", "mask"])
@pytest.mark.parametrize(
    "function",
    [functional.mse_loss, functional.l1_loss, functional.huber_loss, functional.smooth_l1_loss,
     functional.pinball_loss, functional.binary_cross_entropy, functional.binary_cross_entropy_with_logits],
    ids=lambda f: f.__name__,
)  # fmt: skip
def test_padded_steps(function, marked, reduction, rng) -> None:
    mask = ts.nn.sequence_mask([3, 1], 3)
    steps = {"lengths": [3, 1]} if marked == "lengths" else {"mask": mask}
    target = np.where(mask, rng.uniform(0.1, 0.9, (3, 2)), nan)
    check(
        lambda x: functional.sequence_loss(function, x, target, reduction=reduction, **steps),
        rng.uniform(0.1, 0.9, (3, 2)),
        ~mask,
    )


@pytest.mark.parametrize("reduction", REDUCTIONS)
@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_padded_and_ignored_steps_of_sequence_cross_entropy(reduction, smoothing, rng) -> None:
    mask = ts.nn.sequence_mask([3, 1], 3)
    target = np.where(mask, rng.integers(0, V, (3, 2)), 99)
    target[1, 0] = -100
    check(
        lambda x: functional.sequence_cross_entropy(
            x, target, [3, 1], reduction=reduction, label_smoothing=smoothing, weight=[1.0, 2.0, 3.0]
        ),
        rng.standard_normal((3, 2, V)),
        (~mask | (target == -100))[:, :, None],
    )


# ---------------------------------------------------------------------------------------------- ends of the range


def test_binary_cross_entropy_with_infinite_logits() -> None:
    x, t = map(np.array, zip(*itertools.product([inf, -inf, 0.0], [0.0, 1.0, 0.5]), strict=True))
    for options in ({}, {"pos_weight": 2.0}):
        factor = options.get("pos_weight", 1.0)
        losses, first, second = derivatives(
            lambda x, options=options: ts.binary_cross_entropy_with_logits(x, t, reduction="none", **options), x
        )
        ln2 = np.log(2)
        expected = [inf, 0, inf, 0, inf, inf, ln2, factor * ln2, (factor + 1) / 2 * ln2]
        np.testing.assert_allclose(losses, expected)
        slopes = [1, 0, 0.5, 0, -factor, -0.5 * factor, 0.5, -0.5 * factor, 0.25 * (1 - factor)]
        np.testing.assert_allclose(first, slopes, atol=1e-15)
        assert not second[:6].any()
        assert (second[6:] != 0).all()


def test_huber_loss_at_its_joints_and_at_infinity() -> None:
    x = np.array([0.0, 2.0, -2.0, inf, -inf, 3.0])
    losses, first, _ = derivatives(lambda x: ts.huber_loss(x, np.zeros(6), "none", delta=2.0), x)
    np.testing.assert_array_equal(losses, [0, 2, 2, inf, inf, 4])
    np.testing.assert_array_equal(first, [0, 2, -2, 2, -2, 2])
    second = ts.hvp(
        lambda x: ts.huber_loss(x, np.zeros(6), "sum", delta=2.0), (ts.tensor(x),), (ts.ones(6, dtype="float64"),)
    )
    np.testing.assert_array_equal(second[0].numpy(), [1, 1, 1, 0, 0, 0])


def test_kl_div_leaves_out_what_has_probability_0() -> None:
    for target, options in (([0.0, 1.0], {}), ([-inf, 0.0], {"log_target": True})):
        for score in (-inf, nan, -1.0):
            found = derivatives(
                lambda x, target=target, options=options: ts.kl_div(x, target, "sum", **options),
                np.array([score, -0.5]),
            )
            np.testing.assert_allclose(found[0], 0.5)
            np.testing.assert_array_equal(found[1], [0, -1])
            np.testing.assert_array_equal(found[2], [0, 0])
        leaf = ts.tensor(np.array(target), requires_grad=True)
        ts.kl_div(ts.tensor(np.array([-inf, -0.5])), leaf, "sum", **options).backward()
        assert np.isfinite(grad_of(leaf).numpy()).all()


# --------------------------------------------------------------------------------------------------- targets and dtypes

half = ts.tensor([0.5, 0.5])


@pytest.mark.parametrize("wrong", [2.0, -1.0, 1.25, nan, inf])
@pytest.mark.parametrize(
    "function", [ts.binary_cross_entropy, ts.binary_cross_entropy_with_logits, ts.nn.BCELoss(),
                 ts.nn.BCEWithLogitsLoss(), ts.cross_entropy, ts.kl_div],
    ids=["bce", "logits", "BCELoss", "BCEWithLogitsLoss", "cross_entropy", "kl_div"],
)  # fmt: skip
def test_targets_outside_their_range_are_refused(function, wrong) -> None:
    if function is ts.kl_div and 0 < wrong < inf:
        assert np.isfinite(function(half, [0.5, wrong]).item())  # a measure need not be normalised
        return
    for kind in (list, np.array, ts.tensor):
        with pytest.raises(ArgumentError, match=f"expected target.* got {wrong}"):
            function(half, kind([0.5, wrong]))


@pytest.mark.parametrize("wrong", [nan, inf])
def test_logs_of_targets_that_are_none_are_refused(wrong) -> None:
    with pytest.raises(ArgumentError, match=r"kl_div: expected logs of target probabilities"):
        ts.kl_div(half, [0.0, wrong], log_target=True)


def test_rounding_of_a_probability_is_none_of_a_fault() -> None:
    assert np.isfinite(ts.binary_cross_entropy_with_logits(half, [1 + 1e-7, -1e-7]).item())


@pytest.mark.parametrize(
    "function", [ts.mse_loss, ts.l1_loss, ts.huber_loss, ts.smooth_l1_loss, ts.pinball_loss, ts.kl_div,
                 ts.binary_cross_entropy, ts.binary_cross_entropy_with_logits, ts.cross_entropy],
    ids=lambda f: f.__name__,
)  # fmt: skip
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("reduction", REDUCTIONS)
def test_a_loss_has_the_dtype_of_its_prediction(function, dtype, reduction) -> None:
    prediction = ts.tensor(np.array([[0.25, 0.75]], dtype), requires_grad=True)
    options = {"weight": np.ones(2)} if "cross_entropy" in function.__name__ else {}
    for other in (np.float32, np.float64, np.int64):
        target = np.array([[0, 1]], other)
        for kind in (np.array, ts.tensor, np.ndarray.tolist):
            if function is ts.cross_entropy and other is np.int64:
                target = np.array([1])
            loss = function(prediction, kind(target), reduction=reduction, **options)
            assert loss.dtype == dtype
            loss.sum().backward()
    assert grad_of(prediction).dtype == dtype
    with pytest.raises(DtypeError, match="floating-point prediction"):
        function(np.array([[0, 1]]), np.array([[0.0, 1.0]]))


def test_the_gradient_reaches_targets_of_another_dtype() -> None:
    target = ts.tensor(np.array([0.5, 0.25]), requires_grad=True)
    ts.mse_loss(half, target).backward()
    assert grad_of(target).dtype == np.float64
    np.testing.assert_allclose(grad_of(target).numpy(), [0, -0.25])


@pytest.mark.parametrize("compile", [True, False])
def test_losses_inside_a_scan(compile, rng) -> None:
    """Values cannot be checked while a step is traced: the step is compiled, and computes what it says."""
    xs, targets = rng.standard_normal((3, 2, V)), rng.dirichlet(np.ones(V), (3, 2))
    x = ts.tensor(xs, requires_grad=True)

    def step(total, x):
        logits, target = x
        rows = ts.binary_cross_entropy_with_logits(logits, target, reduction="none").sum(axis=-1)
        rows = (
            rows + ts.cross_entropy(logits, target, reduction="none") + ts.kl_div(logits, target, "none").sum(axis=-1)
        )
        rows = rows + ts.pinball_loss(logits, target, 0.9, "none").sum(axis=-1)
        rows = rows + ts.gaussian_nll_loss(logits, target, ts.exp(logits), reduction="none").sum(axis=-1)
        total = total + rows + ts.huber_loss(logits, target, "none").sum(axis=-1)
        return total, None

    total, _ = ts.scan(step, ts.zeros(2, dtype="float64"), (x, ts.tensor(targets)), compile=compile)
    total.sum().backward()
    y = ts.tensor(xs, requires_grad=True)
    expected: Any = sum(
        function(y, targets, reduction="sum")
        for function in (
            *(ts.binary_cross_entropy_with_logits, ts.cross_entropy, ts.kl_div, ts.huber_loss),
            lambda y, target, **options: ts.pinball_loss(y, target, 0.9, **options),
            lambda y, target, **options: ts.gaussian_nll_loss(y, target, ts.exp(y), **options),
        )
    )
    expected.backward()
    np.testing.assert_allclose(total.sum().item(), expected.item())
    np.testing.assert_allclose(grad_of(x).numpy(), grad_of(y).numpy(), atol=1e-14)
