"""Clipping: the norm it returns, the gradients it leaves, and what it refuses."""

import math

import numpy as np
import pytest

import tinygrad_seq as ts
from tinygrad_seq.errors import ArgumentError


def with_gradients(*gradients):
    tensors = []
    for gradient in gradients:
        tensor = ts.tensor(np.zeros_like(gradient), requires_grad=True)
        tensor.grad = ts.tensor(gradient)
        tensors.append(tensor)
    return tensors


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("norm_type", [1.0, 2.0, 3, math.inf])
@pytest.mark.parametrize("max_norm", [0.0, 0.5, 1000.0])
def test_the_norm_of_all_gradients_is_returned_and_bounded(dtype, norm_type, max_norm):
    rng = np.random.default_rng(0)
    gradients = [rng.standard_normal(shape).astype(dtype) for shape in [(3, 4), (), (0,), (101,)]]
    tensors = [*with_gradients(*gradients), ts.tensor([1.0], requires_grad=True)]
    everything = np.concatenate([g.ravel() for g in gradients]).astype(np.float64)
    expected = np.linalg.norm(everything, norm_type)
    norm = ts.optim.clip_grad_norm_(iter(tensors), max_norm, norm_type)
    assert isinstance(norm, float)
    assert norm == pytest.approx(expected, rel=1e-7 if dtype == np.float32 else 1e-13)
    factor = min(1.0, max_norm / (expected + 1e-6))
    for tensor, gradient in zip(tensors, gradients, strict=False):
        assert tensor.grad.dtype == dtype
        np.testing.assert_allclose(tensor.grad.numpy(), gradient * factor, rtol=1e-6)
    assert tensors[-1].grad is None


def test_the_norm_of_many_small_float32_gradients_loses_no_digits():
    (w,) = with_gradients(np.full(3_000_000, 1e-4, np.float32))
    assert ts.optim.clip_grad_norm_(w, 1.0) == pytest.approx(float(np.float32(1e-4)) * math.sqrt(3e6), rel=1e-10)


@pytest.mark.parametrize("bad", [math.nan, math.inf])
@pytest.mark.parametrize("norm_type", [1.0, 2.0, math.inf])
def test_a_norm_that_is_not_finite_is_returned_or_refused(bad, norm_type):
    w, v = with_gradients(np.array([1.0, bad]), np.ones(2))
    with pytest.raises(ArgumentError, match="clip_grad_norm_: expected gradients with a finite norm"):
        ts.optim.clip_grad_norm_([v, w], 1.0, norm_type, error_if_nonfinite=True)
    np.testing.assert_array_equal(v.grad.numpy(), [1.0, 1.0])
    norm = ts.optim.clip_grad_norm_([v, w], 1.0, norm_type)
    assert not math.isfinite(norm)
    assert np.isnan(w.grad.numpy()[1])


def test_tensors_given_twice_and_gradients_that_share_memory_are_scaled_once():
    shared = ts.tensor([3.0, 4.0])
    a, b = (ts.tensor([0.0, 0.0], requires_grad=True) for _ in range(2))
    a.grad, b.grad = shared.detach(), shared.detach()
    norm = ts.optim.clip_grad_norm_([a, b, a], 5.0)
    assert norm == pytest.approx(math.sqrt(50))
    for tensor in (a, b):
        assert tensor.grad is not None
        np.testing.assert_allclose(tensor.grad.numpy(), np.array([3.0, 4.0]) * 5 / math.sqrt(50), rtol=1e-5)
    np.testing.assert_array_equal(shared.numpy(), [3.0, 4.0])


def test_one_gradient_tensor_of_two_parameters_is_scaled_once():
    a, b = (ts.tensor([0.0, 0.0], requires_grad=True) for _ in range(2))
    a.grad = b.grad = ts.tensor([3.0, 4.0])
    ts.optim.clip_grad_norm_([a, b], 5.0)
    np.testing.assert_allclose(a.grad.numpy(), np.array([3.0, 4.0]) * 5 / math.sqrt(50), rtol=1e-5)


def test_no_gradients_at_all_have_norm_zero():
    assert ts.optim.clip_grad_norm_([], 1.0) == 0.0
    assert ts.optim.clip_grad_norm_([ts.tensor([1.0], requires_grad=True)], 1.0, math.inf) == 0.0


@pytest.mark.parametrize("wrap", [iter, reversed, lambda tensors: (t for t in tensors)])
@pytest.mark.parametrize(
    "clip", [lambda given: ts.optim.clip_grad_norm_(given, 1.0), lambda given: ts.optim.clip_grad_value_(given, 0.5)]
)
def test_an_iterator_is_gone_through_once_and_refused_the_second_time(wrap, clip):
    tensors = with_gradients(np.full(3, 5.0), np.full(2, 5.0))
    parameters = wrap(tensors)
    clip(parameters)
    clipped = [tensor.grad.tolist() for tensor in tensors]
    assert max(map(max, clipped)) < 1
    with pytest.raises(ArgumentError, match=r"clip_grad_\w+: expected parameters, got an iterator that has none left"):
        clip(parameters)
    assert [tensor.grad.tolist() for tensor in tensors] == clipped


def test_values_are_clipped_and_nan_stays_visible():
    (w,) = with_gradients(np.array([-3.0, 0.25, 3.0, math.nan], np.float32))
    ts.optim.clip_grad_value_([w], 0.5)
    np.testing.assert_array_equal(w.grad.numpy(), np.array([-0.5, 0.25, 0.5, math.nan], np.float32))
    assert w.grad.dtype == np.float32


@pytest.mark.parametrize(("max_norm", "norm_type"), [(-1, 2), (math.nan, 2), ("1", 2), (1, 0), (1, -1), (1, "inf")])
def test_bounds_and_norms_out_of_range_are_refused(max_norm, norm_type):
    with pytest.raises(ArgumentError, match=r"clip_grad_norm_: expected (max_norm|norm_type) >=? 0, got "):
        ts.optim.clip_grad_norm_([], max_norm, norm_type)


def test_a_negative_value_and_what_is_no_tensor_are_refused():
    with pytest.raises(ArgumentError, match="clip_value >= 0, got -1"):
        ts.optim.clip_grad_value_([], -1)
    with pytest.raises(ArgumentError, match="expected tensors, got a ndarray"):
        ts.optim.clip_grad_value_([np.ones(3)], 1.0)  # type: ignore[list-item]
