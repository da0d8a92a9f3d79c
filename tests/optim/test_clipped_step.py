"""`step(max_norm=...)`: the bits of clipping followed by a step, on any number of threads, and what it refuses."""

import math

import numpy as np
import pytest

import tinygrad_seq as ts
from tinygrad_seq.errors import AnomalyError, ArgumentError
from tinygrad_seq.optim import pieces

OPTIMIZERS = {
    "sgd": lambda params: ts.optim.SGD(params, lr=0.1),
    "momentum": lambda params: ts.optim.SGD(params, lr=0.1, momentum=0.9, nesterov=True, weight_decay=0.1),
    "ascent": lambda params: ts.optim.SGD(params, lr=0.1, maximize=True),
    "adam": lambda params: ts.optim.Adam(params, amsgrad=True, weight_decay=0.1),
    "adamw": ts.optim.AdamW,
    "rmsprop": lambda params: ts.optim.RMSprop(params, centered=True, momentum=0.5),
    "adagrad": ts.optim.Adagrad,
}


@pytest.fixture(autouse=True)
def short_pieces(monkeypatch):
    monkeypatch.setattr(pieces, "PIECE", 64)


def parameters(dtype):
    rng = np.random.default_rng(0)
    shapes = [(3, 4), (), (0,), (3 * pieces.PIECE + 37,)]
    return [ts.tensor(rng.standard_normal(shape).astype(dtype), requires_grad=True) for shape in shapes]


def set_gradients(tensors, seed):
    rng = np.random.default_rng(seed)
    for tensor in tensors:
        tensor.grad = ts.tensor(rng.standard_normal(tensor.shape).astype(tensor.dtype))


def bits(tensors):
    return [tensor.numpy().tobytes() for tensor in tensors]


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("name", OPTIMIZERS)
@pytest.mark.parametrize("max_norm", [0.5, 1e6, math.inf])
def test_it_has_the_bits_of_clipping_and_a_step(name, dtype, max_norm):
    ours, reference = parameters(dtype), parameters(dtype)
    one, two = OPTIMIZERS[name](ours), OPTIMIZERS[name](reference)
    for seed in range(3):
        set_gradients(ours, seed)
        set_gradients(reference, seed)
        gradients = bits([tensor.grad for tensor in ours])
        norm = one.step(max_norm=max_norm)
        assert norm == ts.optim.clip_grad_norm_(reference, max_norm)
        two.step()
        assert bits(ours) == bits(reference)
        assert bits([tensor.grad for tensor in ours]) == gradients


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_bits_do_not_depend_on_the_number_of_threads(name, monkeypatch):
    monkeypatch.setattr("tinygrad_seq.kernels.pool.SECONDS_PER_THREAD", 1e-9)
    found, before = [], ts.get_num_threads()
    for threads in (1, 2, 5):
        ts.set_num_threads(threads)
        tensors = parameters(np.float32)
        set_gradients(tensors, 0)
        norm = OPTIMIZERS[name](tensors).step(max_norm=0.5)
        set_gradients(tensors, 0)
        assert ts.optim.clip_grad_norm_(tensors, 0.5) == norm
        found.append((norm, bits(tensors), bits([tensor.grad for tensor in tensors])))
    ts.set_num_threads(before)
    assert found[0] == found[1] == found[2]


@pytest.mark.parametrize("shape", [(130, 70), (70, 130), (3, 1000), (5, 6, 7)])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_a_transposed_gradient_gives_the_bits_of_a_contiguous_one(shape, dtype):
    rng = np.random.default_rng(0)
    first, gradient = rng.standard_normal(shape).astype(dtype), rng.standard_normal(shape).astype(dtype)
    found = []
    for transposed in (False, True):
        tensor = ts.tensor(first, requires_grad=True)
        tensor.grad = ts.tensor(gradient)
        if transposed:
            tensor.grad._array = gradient.T.copy().T
        ts.optim.Adam([tensor]).step()
        found.append(tensor.numpy())
    np.testing.assert_array_equal(found[0], found[1])


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_a_norm_that_is_not_finite_changes_nothing(bad):
    tensors = [ts.tensor([1.0, 2.0], requires_grad=True), ts.tensor([3.0], requires_grad=True)]
    tensors[0].grad, tensors[1].grad = ts.tensor([1.0, 1.0]), ts.tensor([bad])
    adam = ts.optim.Adam(tensors)
    with pytest.raises(AnomalyError, match=r"Adam\.step: expected gradients with a finite norm"):
        adam.step(max_norm=1.0)
    assert [list(tensor.numpy()) for tensor in tensors] == [[1.0, 2.0], [3.0]]
    assert adam.state_dict()["state"] == {}


@pytest.mark.parametrize("bound", [-1.0, math.nan, "1"])
def test_a_bound_that_is_none_is_refused(bound):
    adam = ts.optim.Adam([ts.tensor([1.0], requires_grad=True)])
    with pytest.raises(ArgumentError, match="Adam: expected max_norm >= 0"):
        adam.step(max_norm=bound)


def test_without_gradients_the_norm_is_zero():
    assert ts.optim.Adam([ts.tensor([1.0], requires_grad=True)]).step(max_norm=1.0) == 0.0


@pytest.mark.parametrize("write", ["step", "clip_grad_norm_", "clip_grad_value_"])
def test_what_another_thread_keeps_while_values_are_half_written_is_dropped(write, monkeypatch):
    (w,) = tensors = [ts.tensor(np.ones(4, np.float32), requires_grad=True)]
    w.grad = ts.tensor(np.full(4, 8.0, np.float32))
    written, stamps = w if write == "step" else w.grad, []
    run, clip = pieces.run_pieces, np.clip

    def reading(function):
        def read(*args, **kwargs):
            stamps.append(written._current_stamp())
            function(*args, **kwargs)

        return read

    monkeypatch.setattr("tinygrad_seq.optim.optimizer.run_pieces", reading(run))
    monkeypatch.setattr("tinygrad_seq.optim.clip.run_pieces", reading(run))
    monkeypatch.setattr("tinygrad_seq.optim.clip.np.clip", reading(clip))
    if write == "step":
        ts.optim.SGD(tensors, lr=0.5).step()
    else:
        getattr(ts.optim, write)(tensors, 1.0)
    (stamp,) = stamps
    assert stamp is not None
    assert not written._has(stamp)
