"""Operands of a scan that have to do with one another, and sums over time of what was brought into shape."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import tinygrad_seq as ts
from tests.grad_of import grad_of
from tinygrad_seq.scan import Remember

T, N, H = 3, 2, 3


def tanh_of_two(init: ts.Tensor, first: ts.Tensor, second: ts.Tensor) -> ts.Tensor:
    def step(h, x):
        h = ts.tanh(h @ first + x @ second)
        return h, h

    return ts.scan(step, init, ts.tensor(np.linspace(-1, 1, T * N * H).reshape(T, N, H)))[1]


def of_one_carry_twice(c: ts.Tensor) -> ts.Tensor:
    xs = ts.tensor(np.linspace(-1, 1, T * H).reshape(T, H))
    return ts.scan(lambda s, x: ((ts.tanh(s[0] + x), s[1] * 0.5), s[0] * s[1]), (c[0], c[0]), xs)[1]


def of_one_input_twice(x: ts.Tensor) -> ts.Tensor:
    return ts.scan(lambda h, two: (ts.tanh(h + two[0] * two[1]),) * 2, ts.zeros(H, dtype="float64"), (x, x))[1]


OPERANDS: dict[str, Callable[[ts.Tensor], ts.Tensor]] = {
    "a weight and its transpose": lambda w: tanh_of_two(w[:N], w, w.T),
    "a weight twice": lambda w: tanh_of_two(w[:N], w, w),
    "a weight and a multiple of it": lambda w: tanh_of_two(w[:N], w, w * 2.0),
    "the first carry made of a weight": lambda w: tanh_of_two(ts.tanh(w)[:N] @ w, w, w),
    "one tensor as both carries": of_one_carry_twice,
    "one tensor as both inputs": of_one_input_twice,
    "outputs that are constants": lambda k: ts.scan(lambda c, x: (c, k * 2 * x), k, ts.tensor(np.ones((T, 1, 1))))[1],
}


@pytest.mark.parametrize("name", OPERANDS)
def test_gradients_that_can_be_differentiated_again(name: str, rng) -> None:
    w = ts.tensor(rng.standard_normal((H, H)) / 2, requires_grad=True)
    found = []
    for once_more in (False, True):
        w.grad = None
        ys = OPERANDS[name](w)
        (ys * ys).sum().backward(create_graph=once_more)
        found.append(grad_of(w).numpy().copy())
    np.testing.assert_allclose(found[1], found[0], rtol=1e-12)
    assert ts.gradcheck(OPERANDS[name], [w], order=2)


def test_forward_mode_of_one_tensor_as_both_carries(rng) -> None:
    c, direction = (ts.tensor(rng.standard_normal((1, H))) for _ in range(2))
    _, found = ts.jvp(of_one_carry_twice, c, direction)
    with ts.disable_compile():
        _, want = ts.jvp(of_one_carry_twice, c, direction)
    np.testing.assert_allclose(found.numpy(), want.numpy(), rtol=1e-12)


SHAPED: dict[str, Callable[[ts.Tensor, ts.Tensor, ts.Tensor], ts.Tensor]] = {
    "reshape of a sum": lambda h, x, b: h + (x + b).reshape(-1, 2, 2),
    "axes exchanged": lambda h, x, b: h + (x + b).reshape(-1, 2, 2).permute_dims((0, 2, 1)),
    "a sum of a new axis": lambda h, x, b: h + (x[:, None] + b).sum(axis=1).reshape(-1, 2, 2),
    "a sum of a sum": lambda h, x, b: h + ((x + b).reshape(-1, 2, 2).sum(axis=1, keepdims=True)),
}


@pytest.mark.parametrize("remember", ["all", 2])
@pytest.mark.parametrize("name", SHAPED)
def test_a_vector_that_is_added_before_a_change_of_shape(name: str, remember: Remember, rng) -> None:
    b, xs = ts.tensor(rng.standard_normal(4), requires_grad=True), ts.tensor(rng.standard_normal((5, 3, 4)))
    found = []
    for way in (True, False):

        def step(h, x):
            h = ts.tanh(SHAPED[name](h, x, b))
            return h, h

        b.grad = None
        _, ys = ts.scan(
            step, ts.zeros((3, 2, 2), dtype="float64"), xs, compile=way, remember=remember if way else "all"
        )
        (ys * ys).sum().backward()
        found.append(grad_of(b).numpy().copy())
    np.testing.assert_allclose(found[0], found[1], rtol=1e-12)


@pytest.mark.parametrize("shape", [(2, 0), (0, 3)], ids=str)
def test_rows_or_features_of_size_0(shape: tuple[int, int]) -> None:
    w = ts.zeros(shape[1], dtype="float64", requires_grad=True)
    _, ys = ts.scan(lambda h, x: (ts.tanh(h + x * w),) * 2, ts.zeros(shape, dtype="float64"), ts.zeros((4, *shape)))
    ys.sum().backward()
    assert grad_of(w).numpy().tolist() == [0.0] * shape[1]


def test_minus_zero_is_not_zero_in_an_option() -> None:
    signs = []
    for value in (0.0, -0.0):

        def step(h: Any, x: Any, value: float = value) -> Any:
            return h, 1 / ts.pad(x, ((0, 1),), value=value)

        _, ys = ts.scan(step, ts.zeros(1), ts.ones((2, 1)))
        signs.append(float(ys.numpy()[0, 1]))
    assert signs == [np.inf, -np.inf]


@pytest.mark.parametrize("T", [2, 4])  # 4 is also the size of the axis beside which it looks up
def test_a_lookup_along_another_axis_than_the_first(T: int, rng) -> None:
    table = ts.tensor(rng.standard_normal((4, 6)), requires_grad=True)
    indices = ts.tensor(rng.integers(-6, 6, (T, 3)))
    results = []
    for compile in (False, True):
        table.grad = None
        carry, ys = ts.scan(
            lambda h, i: (h + ts.take(table, i, axis=1), ts.take(table, i, axis=-1) * 2),
            ts.zeros((4, 3), dtype="float64"), indices, compile=compile,
        )  # fmt: skip
        ((ys * ts.arange(3)).sum() + (carry * carry).sum()).backward()
        results.append([carry.numpy(), ys.numpy(), grad_of(table).numpy()])
    for got, want in zip(*results, strict=True):
        np.testing.assert_allclose(got, want, rtol=1e-14)


def test_a_float16_array_runs_step_by_step(rng) -> None:
    xs, half = ts.tensor(rng.standard_normal((3, 2))), np.ones(2, np.float16)
    with pytest.raises(ts.CompileError, match="float16"):
        ts.scan(lambda h, x: (h + x * half, h), ts.zeros(2, dtype="float64"), xs, compile=True)
    with pytest.warns(ts.CompileWarning, match="float16"):
        carry, _ = ts.scan(lambda h, x: (h + x * half, h), ts.zeros(2, dtype="float64"), xs)
    np.testing.assert_allclose(carry.numpy(), xs.numpy().sum(axis=0))


@pytest.mark.parametrize("wrong", [len, iter, lambda x: x[0]], ids=["len", "iter", "index"])
def test_mistakes_with_a_number_are_the_same_error(wrong: Any) -> None:
    errors = []
    for compile in (False, True):
        with pytest.raises(ts.TinygradSeqError) as caught:
            ts.scan(lambda h, x: (h, wrong(x)), ts.tensor(0.0), ts.ones(3), compile=compile)
        errors.append((caught.type, str(caught.value)))
    assert errors[0] == errors[1]


@pytest.mark.parametrize("index", [4, -5])
def test_an_index_outside_of_a_table_is_the_same_error(index: int) -> None:
    table, errors = ts.ones((4, 3)), []

    def step(carry: Any, x: ts.Tensor) -> Any:
        h, at = carry
        return (h + ts.take(table, at, axis=0), x), h

    for compile in (False, True):
        with pytest.raises(ts.errors.IndexRangeError) as caught:
            ts.scan(step, (ts.zeros((2, 3)), ts.tensor([0, 1])), ts.tensor([[0, index], [0, 0]]), compile=compile)
        errors.append(str(caught.value))
    assert errors[0] == errors[1]
