from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from tests.ops.checks import check_forward, check_gradients, values
from tinygrad_seq.autograd.tensor import Tensor
from tinygrad_seq.errors import ArgumentError, IndexRangeError, ShapeError
from tinygrad_seq.ops.shape import (
    broadcast_to,
    expand_dims,
    flatten,
    flip,
    matrix_transpose,
    moveaxis,
    permute_dims,
    reshape,
    roll,
    squeeze,
    sum_to,
    swapaxes,
    transpose,
    unflatten,
)

# operation, NumPy's result, shape of the operand
ROWS = {
    "reshape": (lambda x: reshape(x, (4, 3)), lambda x: x.reshape(4, 3), (2, 6)),
    "reshape -1": (lambda x: reshape(x, (2, -1, 2)), lambda x: x.reshape(2, -1, 2), (3, 4)),
    "reshape to an integer": (lambda x: reshape(x, -1), lambda x: x.reshape(-1), (3, 2)),
    "reshape 0-d": (lambda x: reshape(x, (1, 1)), lambda x: x.reshape(1, 1), ()),
    "reshape empty": (lambda x: reshape(x, (3, 0, 2)), lambda x: x.reshape(3, 0, 2), (0, 4)),
    "reshape empty -1": (lambda x: reshape(x, (2, -1)), lambda x: x.reshape(2, -1), (0, 4)),
    "permute_dims": (lambda x: permute_dims(x, (2, 0, 1)), lambda x: x.transpose(2, 0, 1), (2, 3, 4)),
    "permute_dims negative": (lambda x: permute_dims(x, (-1, 0, 1)), lambda x: x.transpose(2, 0, 1), (2, 3, 4)),
    "permute_dims 0-d": (lambda x: permute_dims(x, ()), lambda x: x, ()),
    "transpose": (transpose, np.transpose, (2, 3, 4)),
    "transpose axes": (lambda x: transpose(x, (1, 2, 0)), lambda x: x.transpose(1, 2, 0), (2, 3, 4)),
    "matrix_transpose": (matrix_transpose, lambda x: x.mT, (2, 3, 4)),
    "matrix_transpose 2-d": (matrix_transpose, lambda x: x.T, (3, 4)),
    "swapaxes": (lambda x: swapaxes(x, 0, -1), lambda x: x.swapaxes(0, -1), (2, 3, 4)),
    "moveaxis": (lambda x: moveaxis(x, 0, -1), lambda x: np.moveaxis(x, 0, -1), (2, 3, 4)),
    "moveaxis tuples": (
        lambda x: moveaxis(x, (0, 1), (-1, 0)),
        lambda x: np.moveaxis(x, (0, 1), (-1, 0)),
        (2, 3, 4),
    ),
    "expand_dims": (lambda x: expand_dims(x, -2), lambda x: np.expand_dims(x, -2), (2, 3)),
    "expand_dims tuple": (lambda x: expand_dims(x, (0, -1)), lambda x: np.expand_dims(x, (0, -1)), (2, 3)),
    "expand_dims 0-d": (lambda x: expand_dims(x, 0), lambda x: np.expand_dims(x, 0), ()),
    "squeeze": (squeeze, np.squeeze, (1, 3, 1)),
    "squeeze axis": (lambda x: squeeze(x, -1), lambda x: np.squeeze(x, -1), (1, 3, 1)),
    "squeeze axes": (lambda x: squeeze(x, (0, 2)), lambda x: np.squeeze(x, (0, 2)), (1, 3, 1)),
    "broadcast_to": (lambda x: broadcast_to(x, (4, 2, 3)), lambda x: np.broadcast_to(x, (4, 2, 3)), (2, 1)),
    "broadcast_to 0-d": (lambda x: broadcast_to(x, (2, 2)), lambda x: np.broadcast_to(x, (2, 2)), ()),
    "broadcast_to empty": (lambda x: broadcast_to(x, (0, 3)), lambda x: np.broadcast_to(x, (0, 3)), (1, 3)),
    "sum_to": (lambda x: sum_to(x, shape=(3, 1)), lambda x: x.sum((0, 2), keepdims=True)[0], (2, 3, 4)),
    "flatten": (flatten, np.ravel, (2, 3)),
    "flatten 0-d": (flatten, np.ravel, ()),
    "flatten some": (lambda x: flatten(x, 1, 2), lambda x: x.reshape(2, 12, 2), (2, 3, 4, 2)),
    "flatten empty": (lambda x: flatten(x, 1), lambda x: x.reshape(0, 12), (0, 3, 4)),
    "unflatten": (lambda x: unflatten(x, -1, (2, -1)), lambda x: x.reshape(2, 2, 3), (2, 6)),
    "flip": (flip, np.flip, (2, 3)),
    "flip axis": (lambda x: flip(x, 1), lambda x: np.flip(x, 1), (2, 3)),
    "flip axes": (lambda x: flip(x, (0, -1)), lambda x: np.flip(x, (0, -1)), (2, 3, 2)),
    "flip 0-d": (flip, np.flip, ()),
    "roll": (lambda x: roll(x, 2), lambda x: np.roll(x, 2), (2, 3)),
    "roll axis": (lambda x: roll(x, -1, 1), lambda x: np.roll(x, -1, 1), (2, 3)),
    "roll axes": (lambda x: roll(x, (1, 5), (0, 1)), lambda x: np.roll(x, (1, 5), (0, 1)), (2, 3)),
    "roll an axis twice": (lambda x: roll(x, (1, 5), (0, 0)), lambda x: np.roll(x, (1, 5), (0, 0)), (4, 3)),
    "roll one shift": (lambda x: roll(x, 1, (0, 1)), lambda x: np.roll(x, 1, (0, 1)), (2, 3)),
    "roll empty": (lambda x: roll(x, 1, 0), lambda x: np.roll(x, 1, 0), (0, 3)),
}


@pytest.mark.parametrize("row", ROWS.values(), ids=ROWS)
def test_forward(row) -> None:
    op, reference, shape = row
    array = values(*shape)
    check_forward(op, reference, np.round(array * 64))  # whole numbers, so that sums are exact


@pytest.mark.parametrize("row", ROWS.values(), ids=ROWS)
def test_gradients(row) -> None:
    op, _, shape = row
    check_gradients(op, values(*shape))


@pytest.mark.parametrize(
    "name", ["permute_dims", "transpose", "swapaxes", "moveaxis", "flip", "broadcast_to", "reshape"]
)
def test_result_is_a_view(name: str) -> None:
    op, _, shape = ROWS[name]
    array = values(*shape)
    assert np.shares_memory(op(array), array)


@given(hnp.mutually_broadcastable_shapes(num_shapes=2, max_dims=4, max_side=4))
def test_broadcast_to_and_sum_to_undo_each_other(drawn: hnp.BroadcastableShapes) -> None:
    old, new = drawn.input_shapes[0], drawn.result_shape
    array = np.round(values(*old) * 64)
    spread = broadcast_to(array, new)
    np.testing.assert_array_equal(spread, np.broadcast_to(array, new))
    times = np.ones(new).size / max(array.size, 1)
    np.testing.assert_array_equal(sum_to(spread, shape=old), array * times)


@given(hnp.array_shapes(min_dims=0, min_side=0, max_dims=4, max_side=4), st.data())
def test_permutation_and_reshape_of_any_shape(shape: tuple[int, ...], data: st.DataObject) -> None:
    array = values(*shape)
    axes = tuple(data.draw(st.permutations(range(len(shape)))))
    np.testing.assert_array_equal(permute_dims(array, axes), array.transpose(axes))
    x = Tensor(array, requires_grad=True)
    weight = np.arange(array.size, dtype=float)
    y = reshape(permute_dims(x, axes), -1 if array.size else (0,)) * weight
    y.backward(np.ones(y.shape))
    assert x.grad is not None
    moved = np.arange(array.size).reshape(array.transpose(axes).shape).transpose(np.argsort(axes))
    np.testing.assert_array_equal(x.grad.numpy(), moved)


@given(hnp.array_shapes(min_dims=1, max_dims=4, max_side=3), st.data())
def test_moveaxis_of_any_axes(shape: tuple[int, ...], data: st.DataObject) -> None:
    axes = st.lists(st.integers(0, len(shape) - 1), unique=True, max_size=len(shape))
    source = tuple(data.draw(axes))
    target = tuple(data.draw(st.permutations(range(len(shape))))[: len(source)])
    array = values(*shape)
    np.testing.assert_array_equal(moveaxis(array, source, target), np.moveaxis(array, source, target))


MISTAKES = [
    (
        lambda x: reshape(x, (4, 2)),
        ShapeError,
        r"reshape: expected a shape of 6 elements .* got \(4, 2\).*\(2, 3\)",
    ),
    (lambda x: reshape(x, (-1, -1)), ShapeError, r"at most one -1, got \(-1, -1\)"),
    (lambda x: reshape(x, (-2, -3)), ShapeError, r"got \(-2, -3\)"),
    (lambda x: reshape(x, (4, -1)), ShapeError, r"got \(4, -1\)"),
    (lambda x: reshape(x, (0, -1)), ShapeError, r"got \(0, -1\)"),
    (lambda x: reshape(x, (2.0, 3)), ArgumentError, r"reshape: expected integer sizes, got \(2.0, 3\)"),  # type: ignore[arg-type]
    (lambda x: reshape(x, 6.0), ArgumentError, r"reshape: expected integer sizes, got 6.0"),  # type: ignore[arg-type]
    (
        lambda x: broadcast_to(x, (2, 4)),
        ShapeError,
        r"broadcast_to: expected a shape that \(2, 3\) broadcasts to",
    ),
    (lambda x: broadcast_to(x, (3,)), ShapeError, r"got \(3,\)"),
    (lambda x: broadcast_to(x, (-1, 2, 3)), ShapeError, r"got \(-1, 2, 3\)"),
    (lambda x: permute_dims(x, (0,)), ArgumentError, r"permute_dims: expected each of the 2 axes once"),
    (lambda x: permute_dims(x, (0, 0)), ArgumentError, "permute_dims"),
    (lambda x: permute_dims(x, (0, 2)), IndexRangeError, "permute_dims"),
    (
        lambda x: matrix_transpose(x[0]),
        ShapeError,
        r"matrix_transpose: expected at least two axes, got shape \(3,\)",
    ),
    (lambda x: swapaxes(x, 0, 2), IndexRangeError, "swapaxes"),
    (lambda x: moveaxis(x, (0, 1), 0), ArgumentError, "moveaxis: expected as many destinations as sources"),
    (lambda x: expand_dims(x, 3), IndexRangeError, "expand_dims"),
    (lambda x: expand_dims(x, (0, 0)), ArgumentError, "expand_dims"),
    (lambda x: squeeze(x, 0), ShapeError, "squeeze: expected size 1 along axis 0, got 2"),
    (lambda x: flatten(x, 1, 0), ArgumentError, "flatten: expected start_axis before end_axis"),
    (lambda x: unflatten(x, 1, (2, -1)), ShapeError, "unflatten: expected sizes of 3 elements"),
    (lambda x: unflatten(x, 1, (-3, -1)), ShapeError, "unflatten: expected sizes of 3 elements"),
    (lambda x: flip(x, 2), IndexRangeError, "flip"),
    (lambda x: roll(x, (1, 2, 3), (0, 1)), ArgumentError, "roll: expected one shift for each axis"),
    (lambda x: roll(x, 1, 2), IndexRangeError, "roll"),
    (lambda x: roll(x, 0.5, 0), ArgumentError, "roll: expected integer sizes"),  # type: ignore[arg-type]
]


@pytest.mark.parametrize(("call", "error", "message"), MISTAKES)
def test_mistake_is_refused(call, error: type[Exception], message: str) -> None:
    for x in (values(2, 3), Tensor(values(2, 3), requires_grad=True)):
        with pytest.raises(error, match=message):
            call(x)
