"""The trap list of a scan, against a plain loop and finite differences."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import pytest

from tinygrad_seq.autograd.creation import tensor
from tinygrad_seq.autograd.tensor import Tensor
from tinygrad_seq.base.modes import no_grad
from tinygrad_seq.base.tree import flatten, map_leaves
from tinygrad_seq.errors import ArgumentError, DtypeError, ShapeError
from tinygrad_seq.ops.casting import astype
from tinygrad_seq.ops.exponential import exp
from tinygrad_seq.ops.joining import concat, stack
from tinygrad_seq.ops.reduction import mean
from tinygrad_seq.ops.reduction import sum as sum_
from tinygrad_seq.ops.trigonometric import tanh
from tinygrad_seq.scan import scan

T, N, I, H = 4, 3, 2, 5
VALUE_TOLERANCE = 1e-14  # the compiled loop adds in another order
GRADIENT_TOLERANCE = 1e-7  # central differences of step 1e-6 in float64


def gradient(x: Any) -> np.ndarray:
    return x.grad.numpy()


def leaf(rng, *shape: int) -> Tensor:
    return Tensor(0.5 * rng.standard_normal(shape), requires_grad=True)


def projected(outputs, seed: int = 7) -> Tensor:
    """Return a scalar that depends on every value of every floating-point output."""
    rng = np.random.default_rng(seed)
    leaves, _ = flatten(outputs)
    return sum((sum_(x * rng.standard_normal(x.shape)) for x in leaves if x.dtype.kind == "f"), tensor(0.0))


def check_gradients(f, inputs: list[Tensor]) -> None:
    """Compare the gradients of ``f(*inputs)`` with central differences along one random direction per input."""
    rng = np.random.default_rng(3)
    loss = f(*inputs)
    for x in inputs:
        x.grad = None
    loss.backward()
    for position, x in enumerate(inputs):
        direction = rng.standard_normal(x.shape)
        ends = []
        for sign in (1.0, -1.0):
            moved = [Tensor(y.numpy() + sign * 1e-6 * direction) if y is x else y.detach() for y in inputs]
            ends.append(f(*moved).item())
        got = 0.0 if x.grad is None else float(np.vdot(x.grad.numpy(), direction))
        assert got == pytest.approx((ends[0] - ends[1]) / 2e-6, abs=GRADIENT_TOLERANCE), f"input {position}"


def loop(step, carry, xs, reverse: bool = False):
    """Return what scan is said to return for arrays `xs` or None."""
    ys = []
    for t in reversed(range(T)) if reverse else range(T):
        carry, y = step(carry, map_leaves(lambda x, t=t: x[t], xs))
        ys.append(y)
    ys = ys[::-1] if reverse else ys
    columns = zip(*(flatten(y)[0] for y in ys), strict=True)
    return carry, flatten(ys[0])[1]([stack(column) for column in columns])


def elman(carry, x, w, u):
    h = tanh(x @ w + carry @ u)
    return h, h


def one_value_twice(h):
    return h, (h, h)


def softmax(e):
    return e / sum_(e, axis=-1, keepdims=True), e


# step(carry, x, w, u) with a carry of shape (N, H), x of (N, I), w of (I, H), u of (H, H)
STEPS = {
    "elman": elman,
    "carry passed through": lambda c, x, w, u: (c, tanh(x @ w) * c),
    "constant carry": lambda c, x, w, u: (np.ones((N, H)), c @ u),
    "output is an input": lambda c, x, w, u: (tanh(c @ u), x),
    "output is the old carry": lambda c, x, w, u: (tanh(x @ w + c), c),
    "output ignores the carry": lambda c, x, w, u: (tanh(c + x @ w), x @ w),
    "no output": lambda c, x, w, u: (tanh(c @ u + x @ w), None),
    "one value twice": lambda c, x, w, u: one_value_twice(tanh(c @ u + x @ w)),
    "weight used twice": lambda c, x, w, u: (tanh(c @ u) @ u + x @ w, c),
    "reduction": lambda c, x, w, u: (c - mean(tanh(c @ u + x @ w), axis=-1, keepdims=True), c),
    "softmax": lambda c, x, w, u: softmax(exp(c @ u + x @ w)),
    "broadcast (H,)": lambda c, x, w, u: (c * u[0] + x @ w, c),
    "broadcast (N, 1)": lambda c, x, w, u: (c * x[:, :1] + x @ w, x[:, :1]),
    "dict of outputs": lambda c, x, w, u: (tanh(c @ u), {"a": c, "b": (x, [c * 2])}),
    "concat": lambda c, x, w, u: (tanh(concat([x, c], axis=-1) @ concat([w, u])), x),
}


@pytest.mark.parametrize("name", STEPS)
@pytest.mark.parametrize("reverse", [False, True])
def test_scan_equals_the_loop_and_finite_differences(rng, name: str, reverse: bool) -> None:
    step = STEPS[name]
    inputs = [leaf(rng, N, H), leaf(rng, T, N, I), leaf(rng, I, H), leaf(rng, H, H)]

    def by_scan(init, xs, w, u):
        return scan(lambda c, x: step(c, x, w, u), init, xs, reverse=reverse)

    init, xs, w, u = inputs
    expected = loop(lambda c, x: step(c, x, w, u), init, xs, reverse)
    for got, want in zip(flatten(by_scan(*inputs))[0], flatten(expected)[0], strict=True):
        wanted = np.asarray(want if isinstance(want, np.ndarray) else want.numpy())
        np.testing.assert_allclose(got.numpy(), wanted, rtol=0, atol=VALUE_TOLERANCE)
    check_gradients(lambda *leaves: projected(by_scan(*leaves)), inputs)


def lstm_like(carry, x):
    h, c = carry
    c = c * 0.9 + tanh(h + x)
    return (tanh(c), c), h


def test_swapped_carry_is_another_function_with_right_gradients(rng) -> None:
    inputs = [leaf(rng, N, H), leaf(rng, N, H), leaf(rng, T, N, H)]

    def swapped(carry, x):
        (h, c), y = lstm_like(carry, x)
        return (c, h), y

    right, wrong = (scan(step, tuple(inputs[:2]), inputs[2])[1] for step in (lstm_like, swapped))
    assert np.abs(right.numpy() - wrong.numpy()).max() > 0.01
    for step in (lstm_like, swapped):
        check_gradients(lambda h, c, xs, step=step: projected(scan(step, (h, c), xs)), inputs)


def test_dict_carry_may_change_the_order_of_its_keys(rng) -> None:
    h, c, xs = leaf(rng, N, H), leaf(rng, N, H), leaf(rng, T, N, H)

    def ordered(carry, x):
        (h, c), y = lstm_like((carry["h"], carry["c"]), x)
        return {"h": h, "c": c}, {"y": y, "h": h}

    turns = iter(range(T))

    def unordered(carry, x):
        carry, y = ordered(carry, x)
        return dict(reversed(carry.items())), dict(reversed(y.items())) if next(turns) % 2 else y

    carry, ys = scan(ordered, {"h": h, "c": c}, xs)
    other, other_ys = scan(unordered, {"h": h, "c": c}, xs)
    for key in carry:
        np.testing.assert_array_equal(carry[key].numpy(), other[key].numpy())
    for key in ys:
        np.testing.assert_array_equal(ys[key].numpy(), other_ys[key].numpy())


class Pair(NamedTuple):
    h: Any
    c: Any


def test_structures_come_back_as_they_went_in(rng) -> None:
    init = Pair(leaf(rng, N), [leaf(rng, H), {"d": leaf(rng, 1)}])
    carry, ys = scan(lambda c, x: (c, c), init, length=T)
    assert type(carry) is Pair
    assert type(ys) is Pair
    assert [x.shape for x in flatten(carry)[0]] == [(N,), (H,), (1,)]
    assert [x.shape for x in flatten(ys)[0]] == [(T, N), (T, H), (T, 1)]


@pytest.mark.parametrize("part", ["carry", "ys"])
def test_using_one_result_only(rng, part: str) -> None:
    inputs = [leaf(rng, N, H), leaf(rng, T, N, I), leaf(rng, I, H), leaf(rng, H, H)]

    def f(init, xs, w, u):
        carry, ys = scan(lambda c, x: elman(c, x, w, u), init, xs)
        return projected(carry if part == "carry" else ys)

    check_gradients(f, inputs)


def test_weight_used_before_and_after_the_loop(rng) -> None:
    inputs = [leaf(rng, N, H), leaf(rng, T, N, H), leaf(rng, H, H)]

    def f(init, xs, u):
        carry, ys = scan(lambda c, x: (tanh(c @ u + x),) * 2, init @ u, xs @ u)
        return projected([carry @ u, ys @ u])

    check_gradients(f, inputs)


def test_two_scans_in_one_graph_and_a_scan_inside_a_scan(rng) -> None:
    inputs = [leaf(rng, N, H), leaf(rng, T, N, H), leaf(rng, H, H)]

    def two(init, xs, u):
        carry, ys = scan(lambda c, x: (tanh(c @ u + x),) * 2, init, xs)
        return projected(scan(lambda c, x: (tanh(c @ u + x),) * 2, carry, ys, reverse=True))

    def nested(init, xs, u):
        def outer(carry, x):
            carry, inner_ys = scan(lambda c, _: (tanh(c @ u + x),) * 2, carry, length=3)
            return carry, inner_ys

        carry, ys = scan(outer, init, xs)
        assert ys.shape == (T, 3, N, H)
        return projected([carry, ys])

    check_gradients(two, inputs)
    check_gradients(nested, inputs)


def test_several_inputs_integers_and_a_mask(rng) -> None:
    tokens = tensor(rng.integers(0, 6, (T, N)))
    mask = rng.integers(0, 2, (T, N, 1)).astype(bool)
    inputs = [leaf(rng, 6, H), leaf(rng, N, H)]

    def f(table, init):
        def step(carry, x):
            count, h = carry["count"], carry["h"]
            h = tanh(table[x["token"]] + h * x["mask"])
            return {"count": count + 1, "h": h}, (x["token"], h)

        carry, (tokens_out, hs) = scan(step, {"h": init, "count": tensor(0)}, {"token": tokens, "mask": mask})
        assert carry["count"].item() == T
        np.testing.assert_array_equal(tokens_out.numpy(), tokens.numpy())
        return projected(hs)

    check_gradients(f, inputs)


def test_unused_inputs_get_no_gradient(rng) -> None:
    xs, init = leaf(rng, T, N), leaf(rng, N)
    carry, ys = scan(lambda c, x: (c * 0.5, c), init, xs)
    projected([carry, ys]).backward()
    assert xs.grad is None
    assert init.grad is not None


def test_length_without_inputs(rng) -> None:
    def step(carry, x):
        assert x is None
        return carry * 2, carry

    carry, ys = scan(step, tensor(1.0), length=5)
    assert carry.item() == 32
    assert ys.tolist() == [1, 2, 4, 8, 16]
    numpy_length: Any = np.int64(5)
    assert scan(step, tensor(1.0), None, length=numpy_length)[0].item() == 32


@pytest.mark.parametrize("reverse", [False, True])
def test_no_steps_learn_the_shapes(rng, reverse: bool) -> None:
    init = leaf(rng, N, H)
    calls = []

    def step(carry, x):
        calls.append(x.shape)
        y = tanh(carry)
        assert not y.requires_grad
        return y, {"y": y, "none": None, "x": x, "flag": x > 0}

    carry, ys = scan(step, init, np.zeros((0, N, I), np.float32), reverse=reverse)
    assert carry is init
    assert calls == [(N, I)]
    assert (ys["y"].shape, ys["y"].dtype) == ((0, N, H), np.float64)
    assert (ys["x"].shape, ys["x"].dtype) == ((0, N, I), np.float32)
    assert (ys["flag"].shape, ys["flag"].dtype) == ((0, N, I), np.bool_)
    assert ys["none"] is None
    assert scan(lambda c, x: (c, None), init, length=0) == (init, None)


def test_one_step_and_one_row(rng) -> None:
    inputs = [leaf(rng, 1, H), leaf(rng, 1, 1, I), leaf(rng, I, H), leaf(rng, H, H)]
    check_gradients(lambda h, xs, w, u: projected(scan(lambda c, x: elman(c, x, w, u), h, xs)), inputs)


@pytest.mark.parametrize("size", [1, 7, 130])
def test_odd_sizes(rng, size: int) -> None:
    inputs = [leaf(rng, N, size), leaf(rng, T, N, size), leaf(rng, size, size)]
    inputs[2].data *= 0.1
    check_gradients(lambda h, xs, u: projected(scan(lambda c, x: (tanh(c @ u + x),) * 2, h, xs)), inputs)


def test_strided_and_read_only_inputs(rng) -> None:
    base = rng.standard_normal((2 * T, H, N))
    xs = base[::-2].transpose(0, 2, 1)
    xs.flags.writeable = False
    init = Tensor(np.zeros((N, H)))
    got = scan(lambda c, x: (tanh(c + x),) * 2, init, xs)[1].numpy()
    want = scan(lambda c, x: (tanh(c + x),) * 2, init, xs.copy())[1].numpy()
    np.testing.assert_array_equal(got, want)


def test_no_grad_records_nothing(rng) -> None:
    u = leaf(rng, H, H)
    with no_grad():
        carry, ys = scan(lambda c, x: (tanh(c @ u + x),) * 2, leaf(rng, N, H), leaf(rng, T, N, H))
    assert not carry.requires_grad
    assert not ys.requires_grad


def test_float32_stays_float32(rng) -> None:
    u = Tensor(rng.standard_normal((H, H)).astype(np.float32), requires_grad=True)
    xs = rng.standard_normal((T, N, H)).astype(np.float32)
    carry, ys = scan(lambda c, x: (0.5 * tanh(c @ u + x) + 1.0,) * 2, np.zeros((N, H), np.float32), xs)
    ys.backward(np.ones(ys.shape))
    assert {carry.dtype, ys.dtype, gradient(u).dtype} == {np.dtype(np.float32)}


def test_long_sequences_need_no_recursion_and_linear_time() -> None:
    weight = Tensor(np.array(0.999), requires_grad=True)
    carry, _ = scan(lambda c, x: (c * weight, None), Tensor(np.array(1.0)), length=20_000)
    carry.backward()
    assert gradient(weight).item() == pytest.approx(20_000 * 0.999**19_999)


# -------------------------------------------------------------------------------------------- truncated gradient


def test_window_of_one_reaches_one_step_only(rng) -> None:
    init, xs, u = leaf(rng, N, H), leaf(rng, T, N, H), leaf(rng, H, H)
    carry, ys = scan(lambda c, x: (tanh(c @ u + x),) * 2, init, xs, window=1)
    full = scan(lambda c, x: (tanh(c @ u + x),) * 2, init, xs)
    np.testing.assert_array_equal(carry.numpy(), full[0].numpy())
    sum_(ys[2]).backward()
    assert not np.any(gradient(init))
    assert [bool(np.any(x)) for x in gradient(xs)] == [False, False, True, False]


@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("window", [1, 2, 3, T, T + 1])
def test_window_equals_scans_of_chunks_with_detached_state(rng, window: int, reverse: bool) -> None:
    def gradients(f) -> list[np.ndarray]:
        rng = np.random.default_rng(5)
        inputs = [leaf(rng, N, H), leaf(rng, T, N, H), leaf(rng, H, H)]
        projected(f(*inputs)).backward()
        return [gradient(x) for x in inputs]

    def whole(init, xs, u):
        return scan(lambda c, x: (tanh(c @ u + x),) * 2, init, xs, window=window, reverse=reverse)

    def chunks(init, xs, u):
        carry, ys = init, []
        order = list(range(T))[::-1] if reverse else list(range(T))
        for start in range(0, T, window):
            carry = carry.detach() if start else carry
            for t in order[start : start + window]:
                carry = tanh(carry @ u + xs[t])
                ys.append(carry)
        return carry, stack(ys[::-1] if reverse else ys)

    for got, want in zip(gradients(whole), gradients(chunks), strict=True):
        np.testing.assert_allclose(got, want, rtol=0, atol=1e-14)


# --------------------------------------------------------------------------------------------------- bad input


def zeros(*shape: int, dtype=np.float32) -> np.ndarray:
    return np.zeros(shape, dtype)


BAD_CELLS = [
    (
        lambda c, x: ({"h": astype(c["h"], "float64"), "c": c["c"]}, None),
        DtypeError,
        (
            r"carry 'h' left the step as \(16, 128\) float64 but entered as \(16, 128\) float32; "
            r"cast it inside the cell or pass init as float64\."
        ),
    ),
    (
        lambda c, x: ({"h": c["h"][:8], "c": c["c"]}, None),
        ShapeError,
        r"carry 'h' left the step as \(8, 128\) float32 but entered as \(16, 128\) float32; keep its shape",
    ),
    (lambda c, x: ({"h": c["h"]}, None), ArgumentError, r"carry left the step as \{'h': .*\} but entered as"),
    (lambda c, x: ((c["h"], c["c"]), None), ArgumentError, r"carry left the step as \(.*\) but entered as \{"),
    (lambda c, x: ({"h": c["h"], "c": None}, None), ArgumentError, "return the same tuples"),
    (lambda c, x: (c, c["h"], None), ArgumentError, r"two values, \(carry, y\), got 3 values"),
    (lambda c, x: c["h"], ArgumentError, "got one array of shape"),
    (lambda c, x: [c, None], ArgumentError, "got list"),
    (lambda c, x: None, ArgumentError, "got NoneType"),
]


@pytest.mark.parametrize(("step", "error", "message"), BAD_CELLS)
@pytest.mark.parametrize("time", [0, 2])
def test_bad_cell(step, error, message: str, time: int) -> None:
    with pytest.raises(error, match=message):
        scan(step, {"h": zeros(16, 128), "c": zeros(16, 128)}, length=time)


def test_carry_that_broadcasts_is_named_by_its_shapes() -> None:
    with pytest.raises(ShapeError, match=r"carry left the step as \(3, 5\) float32 but entered as \(5,\) float32"):
        scan(lambda c, x: (c + x, None), zeros(5), zeros(2, 3, 5))
    with pytest.raises(DtypeError, match=r"carry '0\.1' left the step as \(5,\) float64"):
        scan(lambda c, x: (((c[0][0], c[0][1] + x),), None), ((zeros(5), zeros(5)),), zeros(2, 5, dtype=np.float64))


def test_output_that_changes_between_steps() -> None:
    lengths = iter(range(1, 9))
    with pytest.raises(ShapeError, match=r"y 'a' left step 1 as \(2,\) float32 but left the first step as \(1,\)"):
        scan(lambda c, x: (c, {"a": np.zeros(next(lengths), np.float32)}), zeros(1), length=3, compile=False)
    turns = iter(range(9))
    with pytest.raises(ArgumentError, match="y left step 1 as"):
        scan(lambda c, x: (c, c if next(turns) else None), zeros(1), length=3, compile=False)


BAD_CALLS = [
    ({"xs": {"a": zeros(4, 2), "b": zeros(3, 2)}}, ShapeError, r"got xs 'a': 4, xs 'b': 3; cut or pad"),
    ({"xs": zeros(4, 2), "length": 3}, ShapeError, "got length: 3, xs: 4"),
    ({"xs": [1.0, 2.0]}, ShapeError, r"xs '0' of shape \(\) float32"),
    ({"xs": tensor(1.0)}, ShapeError, r"got xs of shape \(\)"),
    ({}, ArgumentError, "expected xs or length, got neither"),
    ({"length": -1}, ArgumentError, "expected length to be an integer >= 0, got -1"),
    ({"length": 2.0}, ArgumentError, "expected length"),
    ({"length": True}, ArgumentError, "expected length"),
    ({"length": 2, "window": 0}, ArgumentError, "expected window to be an integer >= 1 or None, got 0"),
    ({"length": 2, "window": 1.5}, ArgumentError, "expected window"),
    ({"length": 2, "compile": "yes"}, ArgumentError, "expected compile"),
    ({"xs": "abc"}, DtypeError, "real numbers"),
]


@pytest.mark.parametrize(("arguments", "error", "message"), BAD_CALLS)
def test_bad_call_is_refused_before_any_step(arguments, error, message: str) -> None:
    def step(carry, x):
        raise AssertionError("a step ran")

    with pytest.raises(error, match=message):
        scan(step, zeros(2), **arguments)


def test_compile_false_is_the_eager_loop() -> None:
    assert scan(lambda c, x: (c + 1, c), 0, length=3, compile=False)[1].tolist() == [0, 1, 2]
