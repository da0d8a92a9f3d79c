"""`linear_cross_entropy` against `cross_entropy` of `linear`: options, blocks of any size, threads, derivatives."""

import importlib
import tracemalloc

import numba
import numpy as np
import pytest

import tinygrad_seq as ts
from tests.ops.agreement import check_third_order
from tinygrad_seq.errors import ArgumentError, DtypeError, IndexRangeError, ShapeError

module = importlib.import_module("tinygrad_seq.ops.linear_cross_entropy")
V, H = 7, 6


@pytest.fixture(params=[1, 3, 5, 100], ids=lambda rows: f"blocks of {rows}")
def blocks(request, monkeypatch):
    monkeypatch.setattr(module, "BLOCK_BYTES", request.param * V * 8)


def leaf(array):
    return ts.tensor(array, requires_grad=True)


def drawn(rng, dtype=np.float64):
    arrays = rng.standard_normal((4, 3, H)), rng.standard_normal((V, H)), rng.standard_normal(V)
    return [array.astype(dtype) for array in arrays]


def target_of(rng):
    target = rng.integers(0, V, (4, 3))
    target[1, 1] = target[3, 2] = -100
    return target


def unfused(x, weight, bias, *rest, **options):
    return ts.cross_entropy(ts.linear(x, weight, bias), *rest, **options)


@pytest.mark.parametrize("smoothing", [0.0, 0.1, 1.0])
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
@pytest.mark.parametrize("with_bias", [True, False])
def test_value_and_derivatives(blocks, rng, smoothing, weighted, reduction, with_bias):
    x, weight, bias = drawn(rng)
    target, factors = target_of(rng), rng.random(V) if weighted else None
    if weighted:
        factors[2] = 0
    options = {"reduction": reduction, "label_smoothing": smoothing}
    arrays = [x, weight, bias] if with_bias else [x, weight]

    def call(loss, *leaves):
        return loss(*leaves, *([] if with_bias else [None]), target, factors, **options)

    ours, reference = [leaf(array) for array in arrays], [leaf(array) for array in arrays]
    found, expected = call(ts.linear_cross_entropy, *ours), call(unfused, *reference)
    np.testing.assert_allclose(found.numpy(), expected.numpy(), rtol=1e-12)
    (found.sum() * 3).backward()
    (expected.sum() * 3).backward()
    for one, two in zip(ours, reference, strict=True):
        np.testing.assert_allclose(one.grad.numpy(), two.grad.numpy(), rtol=1e-9, atol=1e-13)
    ts.gradcheck(lambda *leaves: call(ts.linear_cross_entropy, *leaves), [leaf(array) for array in arrays], order=2)


def test_third_order(rng):
    x, weight, bias = drawn(rng)
    check_third_order(lambda w: ts.linear_cross_entropy(x, w, bias, target_of(np.random.default_rng(1))), weight)


@pytest.mark.parametrize("wanted", [(0,), (1,), (2,), (0, 2), (1, 2)])
def test_only_some_operands_want_a_gradient(rng, wanted):
    arrays, target = drawn(rng), target_of(rng)
    ours, reference = (
        [ts.tensor(array, requires_grad=at in wanted) for at, array in enumerate(arrays)] for _ in range(2)
    )
    ts.linear_cross_entropy(*ours, target).backward()
    unfused(*reference, target).backward()
    for at in range(3):
        if at in wanted:
            np.testing.assert_allclose(ours[at].grad.numpy(), reference[at].grad.numpy(), rtol=1e-9, atol=1e-13)
        else:
            assert ours[at].grad is None


def test_tied_embeddings(rng):
    """The weight is the table of the embedding too: its two gradients add up."""
    table, tokens, target = rng.standard_normal((V, H)), rng.integers(0, V, (4, 3)), target_of(rng)

    def of(loss):
        weight = leaf(table)
        loss(ts.tanh(ts.embedding(weight, tokens)), weight, None, target).backward()
        return weight.grad.numpy()

    np.testing.assert_allclose(of(ts.linear_cross_entropy), of(unfused), rtol=1e-9, atol=1e-13)


def test_ignored_rows_are_not_computed_with(rng, blocks):
    x, weight, bias = drawn(rng)
    target = target_of(rng)
    x[target == -100] = np.nan
    leaves = [leaf(array) for array in (x, weight, bias)]
    ts.linear_cross_entropy(*leaves, target).backward()
    assert all(np.isfinite(tensor.grad.numpy()).all() for tensor in leaves)
    assert (leaves[0].grad.numpy()[target == -100] == 0).all()


def test_every_row_ignored_and_empty_batches(rng):
    x, weight, bias = drawn(rng)
    leaves = [leaf(array) for array in (x, weight, bias)]
    loss = ts.linear_cross_entropy(*leaves, np.full((4, 3), -100))
    assert loss.item() == 0
    loss.backward()
    assert all((tensor.grad.numpy() == 0).all() for tensor in leaves)
    empty = ts.linear_cross_entropy(x[:0], weight, bias, np.zeros((0, 3), int), reduction="sum")
    assert empty.item() == 0


def test_a_class_whose_logit_is_minus_infinity(rng):
    x, weight, bias = drawn(rng)
    bias[3] = -np.inf
    target = rng.choice([0, 1, 2, 4], (4, 3))
    ours, reference = [leaf(array) for array in (x, weight, bias)], [leaf(array) for array in (x, weight, bias)]
    factors = np.ones(V)
    factors[3] = 0
    for loss, leaves in ((ts.linear_cross_entropy, ours), (unfused, reference)):
        loss(*leaves, target, factors, label_smoothing=0.1).backward()
    for one, two in zip(ours, reference, strict=True):
        np.testing.assert_allclose(one.grad.numpy(), two.grad.numpy(), rtol=1e-9, atol=1e-13)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_bits_do_not_depend_on_the_number_of_threads(dtype, monkeypatch):
    monkeypatch.setattr("tinygrad_seq.kernels.pool.SECONDS_PER_THREAD", 1e-9)
    rng = np.random.default_rng(0)
    arrays = [rng.standard_normal(shape).astype(dtype) for shape in ((67, 40), (130, 40), (130,))]
    target, found, before = rng.integers(0, 130, 67), [], ts.get_num_threads()
    for threads in (1, 2, 5):
        ts.set_num_threads(threads)
        leaves = [leaf(array) for array in arrays]
        loss = ts.linear_cross_entropy(*leaves, target)
        loss.backward()
        found.append([loss.numpy().tobytes(), *[tensor.grad.numpy().tobytes() for tensor in leaves]])
    ts.set_num_threads(before)
    assert found[0] == found[1] == found[2]


@pytest.mark.skipif(numba.config.DISABLE_JIT, reason="kernels as plain Python take a minute under tracemalloc")
def test_memory_is_that_of_a_block(monkeypatch):
    monkeypatch.setattr(module, "BLOCK_BYTES", 1 << 14)
    rng = np.random.default_rng(0)
    x, weight = leaf(rng.standard_normal((500, 8), np.float32)), leaf(rng.standard_normal((400, 8), np.float32))
    target = rng.integers(0, 400, 500)
    ts.linear_cross_entropy(x, weight, None, target).backward()
    tracemalloc.start()
    ts.linear_cross_entropy(x, weight, None, target).backward()
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 1 << 17  # all logits take 800 KB


def test_the_graph_can_be_kept(rng):
    leaves = [leaf(array) for array in drawn(rng)]
    loss = ts.linear_cross_entropy(*leaves, target_of(rng))
    loss.backward(retain_graph=True)
    once = [tensor.grad.numpy().copy() for tensor in leaves]
    loss.backward()
    for tensor, gradient in zip(leaves, once, strict=True):
        np.testing.assert_allclose(tensor.grad.numpy(), 2 * gradient)


def test_without_recording_no_gradient_is_computed(rng):
    leaves = [leaf(array) for array in drawn(rng)]
    target = target_of(rng)
    with ts.no_grad():
        loss = ts.linear_cross_entropy(*leaves, target)
    assert not loss.requires_grad
    assert loss.item() == pytest.approx(ts.linear_cross_entropy(*leaves, target).item(), rel=1e-12)


@pytest.mark.parametrize("order", [1, 2])
def test_in_bfloat16_it_is_near_the_composition(blocks, rng, order):
    arrays, target, found = drawn(rng, np.float32), target_of(rng), []
    for loss in (ts.linear_cross_entropy, unfused):
        leaves = [leaf(array) for array in arrays]
        with ts.autocast("bfloat16"):
            value = loss(*leaves, target)
        value.backward(create_graph=order == 2)
        if order == 2:
            (leaves[0].grad * leaves[0].grad).sum().backward()
        found.append([value.numpy(), *[tensor.grad.numpy() for tensor in leaves]])
    for one, two in zip(*found, strict=True):
        np.testing.assert_allclose(one, two, rtol=0.02, atol=0.01)


def test_inside_a_scan(rng):
    x, weight, bias = drawn(rng)
    target = np.abs(target_of(rng)) % V

    def of(loss):
        def step(total, inputs):
            rows, number = inputs
            return total + loss(rows, leaves[1], leaves[2], target[0]) * number, total

        leaves = [leaf(array) for array in (x, weight, bias)]
        total, _ = ts.scan(step, ts.zeros((), dtype="float64"), (leaves[0], ts.ones(4, dtype="float64")))
        total.backward()
        return [tensor.grad.numpy() for tensor in leaves]

    for one, two in zip(of(ts.linear_cross_entropy), of(unfused), strict=True):
        np.testing.assert_allclose(one, two, rtol=1e-9, atol=1e-13)


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"weight": ts.ones((V, 2))}, ShapeError, "linear_cross_entropy: expected x"),
        ({"bias": ts.zeros(2)}, ShapeError, "linear_cross_entropy: expected bias"),
        ({"target": [0, 1, 2]}, ShapeError, "linear_cross_entropy: expected class indices"),
        ({"target": [0, V]}, IndexRangeError, "linear_cross_entropy: expected class indices .* got 7"),
        ({"target": [0.0, 1.0]}, DtypeError, "linear_cross_entropy: expected integer class indices"),
        ({"reduction": "avg"}, ArgumentError, "linear_cross_entropy: .* got 'avg'"),
        ({"label_smoothing": 2}, ArgumentError, "linear_cross_entropy: expected label_smoothing"),
        ({"class_weight": [1.0]}, ShapeError, "linear_cross_entropy: expected a weight per class"),
    ],
)
def test_what_is_refused(change, error, message):
    arguments = {"x": ts.ones((2, H)), "weight": ts.ones((V, H)), "bias": ts.zeros(V), "target": [0, 1]}
    with pytest.raises(error, match=message):
        ts.linear_cross_entropy(**arguments | change)
