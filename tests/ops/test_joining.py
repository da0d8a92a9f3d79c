from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from tests.ops.checks import check_forward, check_gradients, values
from tinygrad_seq.autograd.tensor import Tensor
from tinygrad_seq.errors import ArgumentError, IndexRangeError, ShapeError
from tinygrad_seq.ops.joining import chunk, concat, hstack, repeat, split, stack, tile, unstack, vstack
from tinygrad_seq.ops.primitive import TABLE

ROWS = {
    "concat": (lambda *xs: concat(xs), lambda *xs: np.concatenate(xs), (2, 3), (4, 3), (0, 3)),
    "concat axis": (lambda *xs: concat(xs, -1), lambda *xs: np.concatenate(xs, -1), (2, 3), (2, 1)),
    "concat flat": (lambda *xs: concat(xs, None), lambda *xs: np.concatenate(xs, None), (2, 3), (), (4,)),
    "concat one": (lambda *xs: concat(xs), lambda *xs: np.concatenate(xs), (3,)),
    "concat twice the same": (lambda x: concat([x, x], 1), lambda x: np.concatenate([x, x], 1), (2, 3)),
    "stack": (lambda *xs: stack(xs), lambda *xs: np.stack(xs), (2, 3), (2, 3)),
    "stack last": (lambda *xs: stack(xs, -1), lambda *xs: np.stack(xs, -1), (2, 3), (2, 3)),
    "stack 0-d": (lambda *xs: stack(xs), lambda *xs: np.stack(xs), (), (), ()),
    "hstack": (lambda *xs: hstack(xs), lambda *xs: np.hstack(xs), (2, 3), (2, 1)),
    "hstack 1-d": (lambda *xs: hstack(xs), lambda *xs: np.hstack(xs), (2,), (), (3,)),
    "vstack": (lambda *xs: vstack(xs), lambda *xs: np.vstack(xs), (2, 3), (3,), (1, 3)),
    "vstack 0-d": (lambda *xs: vstack(xs), lambda *xs: np.vstack(xs), (), ()),
    "split parts": (lambda x: split(x, 3, 1), lambda x: np.split(x, 3, 1), (2, 6)),
    "split cuts": (lambda x: split(x, [1, 1, 4]), lambda x: np.split(x, [1, 1, 4]), (5, 2)),
    "split array of cuts": (lambda x: split(x, np.array([2])), lambda x: np.split(x, [2]), (5, 2)),
    "split negative cut": (lambda x: split(x, [2, -1]), lambda x: np.split(x, [2, -1]), (5,)),
    "split beyond": (lambda x: split(x, [2, 9]), lambda x: np.split(x, [2, 9]), (5,)),
    "split nowhere": (lambda x: split(x, []), lambda x: np.split(x, []), (5,)),
    "split empty": (lambda x: split(x, 3), lambda x: np.split(x, 3), (0, 2)),
    "chunk": (lambda x: chunk(x, 3), lambda x: np.split(x, [3, 6]), (7,)),
    "chunk fewer": (lambda x: chunk(x, 4, -1), lambda x: np.split(x, [2, 4], -1), (2, 6)),
    "unstack": (unstack, list, (3, 2)),
    "unstack last": (lambda x: unstack(x, -1), lambda x: list(np.moveaxis(x, -1, 0)), (3, 2)),
    "unstack 1-d": (unstack, list, (3,)),
    "tile": (lambda x: tile(x, (2, 3)), lambda x: np.tile(x, (2, 3)), (2, 2)),
    "tile fewer": (lambda x: tile(x, 2), lambda x: np.tile(x, 2), (2, 3)),
    "tile more": (lambda x: tile(x, (2, 1, 2)), lambda x: np.tile(x, (2, 1, 2)), (3,)),
    "tile 0-d": (lambda x: tile(x, 3), lambda x: np.tile(x, 3), ()),
    "tile zero times": (lambda x: tile(x, (0, 2)), lambda x: np.tile(x, (0, 2)), (3,)),
    "repeat": (lambda x: repeat(x, 2, 1), lambda x: np.repeat(x, 2, 1), (2, 3)),
    "repeat flat": (lambda x: repeat(x, 2), lambda x: np.repeat(x, 2), (2, 3)),
    "repeat each": (lambda x: repeat(x, [2, 0, 3], -1), lambda x: np.repeat(x, [2, 0, 3], -1), (2, 3)),
    "repeat 0-d": (lambda x: repeat(x, 2), lambda x: np.repeat(x, 2), ()),
}


@pytest.mark.parametrize("row", ROWS.values(), ids=ROWS)
def test_forward(row) -> None:
    op, reference, *shapes = row
    check_forward(op, reference, *[values(*shape) for shape in shapes])


@pytest.mark.parametrize("row", ROWS.values(), ids=ROWS)
def test_gradients(row) -> None:
    op, _, *shapes = row
    check_gradients(op, *[values(*shape) for shape in shapes])


def test_no_slices_of_an_empty_axis() -> None:
    assert unstack(Tensor(np.zeros((0, 3)), requires_grad=True)) == ()


def test_mixed_dtypes_are_promoted_and_gradients_keep_their_own() -> None:
    a, b = Tensor(np.ones(2, np.float32), requires_grad=True), Tensor(np.ones(3), requires_grad=True)
    y = concat([a, b])
    assert y.dtype == np.float64
    y.backward(np.arange(5.0))
    assert a.grad is not None
    assert b.grad is not None
    assert a.grad.dtype == np.float32
    assert b.grad.dtype == np.float64
    np.testing.assert_array_equal(b.grad.numpy(), [2, 3, 4])


def test_parts_not_used_get_zeros() -> None:
    x = Tensor(values(6), requires_grad=True)
    split(x, 3)[1].backward(np.ones(2))
    assert x.grad is not None
    np.testing.assert_array_equal(x.grad.numpy(), [0, 0, 1, 1, 0, 0])


@pytest.mark.parametrize(("divide", "join"), [(lambda x: split(x, 3), "concat"), (unstack, "stack")])
def test_gradient_of_all_parts_is_one_operation(monkeypatch: pytest.MonkeyPatch, divide, join: str) -> None:
    calls = []
    forward = TABLE[join].forward

    def count(*xs: np.ndarray, **params: int) -> np.ndarray:
        calls.append(len(xs))
        return forward(*xs, **params)

    monkeypatch.setattr(TABLE[join], "forward", count)
    x = Tensor(values(3, 2), requires_grad=True)
    y = sum(divide(x))
    y.backward(np.ones(y.shape))
    assert calls == [3]


@given(hnp.array_shapes(max_dims=3, max_side=5), st.data())
def test_split_and_concat_undo_each_other(shape: tuple[int, ...], data: st.DataObject) -> None:
    axis = data.draw(st.integers(-len(shape), len(shape) - 1))
    cuts = sorted(data.draw(st.lists(st.integers(0, shape[axis] + 2), max_size=4)))
    array = values(*shape)
    parts = split(array, cuts, axis)
    for part, expected in zip(parts, np.split(array, cuts, axis), strict=True):
        np.testing.assert_array_equal(part, expected)
    np.testing.assert_array_equal(concat(parts, axis), array)
    np.testing.assert_array_equal(stack(unstack(array, axis), axis), array)


@given(hnp.array_shapes(min_dims=0, min_side=0, max_dims=3, max_side=3), st.data())
def test_tile_and_repeat_of_any_shape(shape: tuple[int, ...], data: st.DataObject) -> None:
    array = values(*shape)
    reps = data.draw(st.lists(st.integers(0, 3), max_size=4))
    np.testing.assert_array_equal(tile(array, reps), np.tile(array, reps))
    axis = data.draw(st.sampled_from([None, *range(len(shape))]))
    count = data.draw(st.integers(0, 3))
    np.testing.assert_array_equal(repeat(array, count, axis), np.repeat(array, count, axis))


MISTAKES = [
    (lambda x: concat([]), ShapeError, "concat: expected one or more arrays, got none"),
    (lambda x: stack([]), ShapeError, "stack: expected one or more arrays, got none"),
    (lambda x: hstack([]), ShapeError, "hstack: expected one or more arrays"),
    (lambda x: vstack([]), ShapeError, "vstack: expected one or more arrays"),
    (
        lambda x: concat([x, x[:, :2]]),
        ShapeError,
        r"equal shapes but for axis 0, got \(2, 2\) .*, \(2, 3\) float64",
    ),
    (lambda x: concat([x, x[0]]), ShapeError, "concat: expected equal shapes but for axis 0"),
    (lambda x: concat([x, x], 2), IndexRangeError, "concat"),
    (lambda x: concat([x[0, 0]]), IndexRangeError, "concat"),
    (lambda x: stack([x, x[:1]]), ShapeError, "stack: expected equal shapes"),
    (lambda x: split(x, 2, 1), ShapeError, "split: expected a number of equal parts of 3, got 2 for axis 1"),
    (lambda x: split(x, 0), ArgumentError, "split: expected a positive number of parts, got 0"),
    (lambda x: split(x, [2, 1], 1), ArgumentError, "split: expected indices that ascend"),
    (lambda x: split(x, 1.5), ArgumentError, "split: expected integer sizes"),  # type: ignore[arg-type]
    (lambda x: chunk(x, 0), ArgumentError, "chunk: expected a positive number of parts"),
    (lambda x: chunk(x, 1.5), ArgumentError, "chunk: expected integer sizes"),  # type: ignore[arg-type]
    (lambda x: unstack(x, 2), IndexRangeError, "unstack"),
    (lambda x: tile(x, (2, -1)), ArgumentError, "tile: expected counts of at least 0"),
    (lambda x: repeat(x, -1, 0), ArgumentError, "repeat: expected counts of at least 0"),
    (
        lambda x: repeat(x, [1, 2, 3], 0),
        ArgumentError,
        "repeat: expected one count, or one for each of the 2 elements",
    ),
]


@pytest.mark.parametrize(("call", "error", "message"), MISTAKES)
def test_mistake_is_refused(call, error: type[Exception], message: str) -> None:
    for x in (values(2, 3), Tensor(values(2, 3), requires_grad=True)):
        with pytest.raises(error, match=message):
            call(x)


@pytest.mark.parametrize("join", [concat, stack])
def test_the_rule_of_many_operands_is_called_once(join, monkeypatch: pytest.MonkeyPatch) -> None:
    row: Any = TABLE[join.__name__]
    calls = []

    def counting(g, _y, *_xs, **params):
        calls.append(len(_xs))
        return rule(g, _y, *_xs, **params)

    (rule,) = row.rules
    xs = [Tensor(values(2), requires_grad=True) for _ in range(50)]
    y = join(xs)
    monkeypatch.setattr(row, "rules", (counting,))
    y.backward(np.ones(y.shape))
    assert calls == [50]
    assert all(np.array_equal(x.grad.numpy(), np.ones(2)) for x in xs if x.grad is not None)
