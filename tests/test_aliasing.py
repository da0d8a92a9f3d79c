"""No graph ever sees an array change under it: every way to write leaves gradients right or raises."""

from __future__ import annotations

import sys
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import tinygrad_seq as ts
from tests.grad_of import grad_of
from tinygrad_seq.errors import GraphError, TinygradSeqError


def leaf(values) -> ts.Tensor:
    return ts.tensor(np.asarray(values, np.float64), requires_grad=True)


def gradient_of_square(x: ts.Tensor, y: ts.Tensor, values) -> None:
    """Run backward of ``y = x * x`` and compare with 2 x at the old `values`."""
    x.grad = None
    ts.sum(y).backward()
    np.testing.assert_array_equal(grad_of(x).numpy(), 2 * np.asarray(values))


# ------------------------------------------------------------------------------------------- arrays of the caller


def test_tensor_copies():
    array = np.array([1.0, 2.0])
    x = ts.tensor(array, requires_grad=True)
    array[:] = 9
    np.testing.assert_array_equal(x.numpy(), [1.0, 2.0])


@pytest.mark.parametrize("make", [np.array, lambda v: np.array([v, v])[1], lambda v: np.array(v * 2)[:2][::1]])
def test_asarray_shares_but_graphs_do_not(make):
    array = make([1.0, 2.0])
    c, x = ts.asarray(array), leaf([3.0, 4.0])
    y = c * x
    array[:] = 9.0
    np.testing.assert_array_equal(c.numpy(), [9.0, 9.0])
    ts.sum(y).backward()
    np.testing.assert_array_equal(grad_of(x).numpy(), [1.0, 2.0])


def test_asarray_with_requires_grad():
    array = np.array([1.0, 2.0])
    x = ts.asarray(array).requires_grad_()
    y = x * x
    array[:] = 9.0
    gradient_of_square(x, y, [1.0, 2.0])


def test_asarray_whose_owner_is_gone_is_not_copied():
    c = ts.asarray(np.array([1.0, 2.0]))
    array = id(c._array)
    y = c * leaf([3.0, 4.0])
    assert y._source is not None
    assert id(y._source.saved[0]) == array


class Memmapped(np.ndarray):
    pass


@pytest.mark.parametrize("wrap", [lambda a: a, lambda a: a[::1], lambda a: a.view(Memmapped), memoryview])
@pytest.mark.parametrize("reflected", [False, True])
def test_numpy_operand_may_change_after_the_operation(wrap, reflected):
    array = np.array([1.0, 2.0])
    operand, x = wrap(array), leaf([3.0, 4.0])
    y = operand * x if reflected and isinstance(operand, np.ndarray) else x * operand
    array[:] = 9.0
    ts.sum(y).backward()
    np.testing.assert_array_equal(grad_of(x).numpy(), [1.0, 2.0])


def test_operands_of_functions_may_change():
    array, mask, x = np.array([1.0, 2.0]), np.array([True, False]), leaf([3.0, 4.0])
    y = ts.sum(ts.where(mask, x * 2.0, x) + ts.maximum(x, array) + ts.concat([x, array])[:2] * array)
    array[:], mask[:] = 100.0, ~mask
    y.backward()
    np.testing.assert_array_equal(grad_of(x).numpy(), [4.0, 4.0])


@pytest.mark.parametrize("kind", ["array", "tensor", "list", "tuple", "mask"])
def test_index_may_change_after_the_operation(kind):
    x = leaf([1.0, 2.0, 3.0])
    index: Any = {
        "array": np.array([0, 1]),
        "tensor": ts.asarray(np.array([0, 1])),
        "list": [0, 1],
        "tuple": (np.array([0, 1]),),
        "mask": np.array([True, True, False]),
    }[kind]
    y = x[index]
    target = index.data if kind == "tensor" else index[0] if kind == "tuple" else index
    target[0] = False if kind == "mask" else 2
    ts.sum(y).backward()
    np.testing.assert_array_equal(grad_of(x).numpy(), [1.0, 1.0, 0.0])


def test_cotangent_may_change_after_backward():
    x, g = leaf([1.0, 2.0]), np.array([1.0, 1.0])
    tensor = ts.asarray(g)
    x.backward(tensor)
    g[:] = 9.0
    np.testing.assert_array_equal(grad_of(x).numpy(), [1.0, 1.0])
    x.grad = None
    x.backward(g)
    g[:] = 1.0
    np.testing.assert_array_equal(grad_of(x).numpy(), [9.0, 9.0])


# ------------------------------------------------------------------------------------------------ writes to `.data`


def write_data(x):
    x.data[...] = 9.0


def write_view(x):
    x.data[:1][...] = 9.0
    x.data[1:] = 9.0


def write_augmented(x):
    x.data *= 3.0
    x.data -= 1.0


def write_assigned(x):
    x.data = np.full(x.shape, 9.0)


def write_like_an_optimiser(x):
    array = x._writable()
    array -= 1.0


def write_copy(x):
    with ts.no_grad():
        x.copy_(9.0)


def write_item(x):
    with ts.no_grad():
        x[0] = 9.0
        x[1:] = ts.tensor([8.0])


def write_in_place(x):
    with ts.no_grad():
        same = x
        x += 5.0
        x *= 2.0
        x -= 1.0
        x /= 3.0
    assert same is x


WRITES = [
    write_data, write_view, write_augmented, write_assigned, write_like_an_optimiser, write_copy, write_item,
    write_in_place,
]  # fmt: skip


@pytest.mark.parametrize("write", WRITES)
@pytest.mark.parametrize("handed_out", [False, True])
def test_parameter_changed_between_forward_and_backward(write, handed_out):
    x = leaf([1.0, 2.0])
    held = x.data if handed_out else None
    y = x * x
    write(x)
    assert not np.array_equal(x.numpy(), [1.0, 2.0])
    gradient_of_square(x, y, [1.0, 2.0])
    now = x.numpy().copy()
    gradient_of_square(x, x * x, now)
    if held is not None and write is not write_assigned:
        np.testing.assert_array_equal(held, now)


@pytest.mark.parametrize("write", WRITES)
def test_retained_graph_survives_writes(write):
    x = leaf([1.0, 2.0])
    y = ts.sum(x * x)
    for _ in range(3):
        x.grad = None
        y.backward(retain_graph=True)
        np.testing.assert_array_equal(grad_of(x).numpy(), [2.0, 4.0])
        write(x)


@pytest.mark.parametrize("write", WRITES)
@pytest.mark.parametrize(
    "derive",
    [
        lambda x: x.detach(),
        lambda x: ts.reshape(x, (2, 1)),
        lambda x: ts.permute_dims(ts.reshape(x, (1, 2)), (1, 0)),
        lambda x: x[:],
        lambda x: x[::-1],
        lambda x: ts.expand_dims(x, 0),
        lambda x: ts.broadcast_to(x, (3, 2)),
        lambda x: ts.concat(ts.unstack(ts.reshape(x, (2, 1)))),
        lambda x: ts.astype(x, "float64"),
    ],
)
def test_derived_tensors_keep_their_values(write, derive):
    x = leaf([1.0, 2.0])
    other = derive(x)
    values = other.numpy().copy()
    y = ts.sum(other * other) if other.requires_grad else None
    write(x)
    np.testing.assert_array_equal(other.numpy(), values)
    if y is not None:
        y.backward()
        counts = values.size // 2
        np.testing.assert_array_equal(grad_of(x).numpy(), counts * 2 * np.array([1.0, 2.0]))


@pytest.mark.parametrize("derive", [lambda x: x.detach(), lambda x: x.detach()[::-1], lambda x: x.detach()[:]])
def test_writes_to_a_derived_tensor_leave_the_source_alone(derive):
    x = leaf([1.0, 2.0])
    y = x * x
    other = derive(x)
    other.data[...] = 9.0
    other[...] = 8.0
    other.copy_(7.0)
    np.testing.assert_array_equal(x.numpy(), [1.0, 2.0])
    gradient_of_square(x, y, [1.0, 2.0])


def test_view_of_data_taken_before_the_operation():
    x = leaf([[1.0, 2.0], [3.0, 4.0]])
    views = [x.data[0], x.data.T, x.data.reshape(-1)[1:], x.data.data]
    y = x * x
    views[0][:] = 9.0
    views[1][1, 1] = 9.0
    views[2][0] = 9.0
    views[3][1, 0] = 9.0
    np.testing.assert_array_equal(x.numpy(), [[9.0, 9.0], [9.0, 9.0]])
    gradient_of_square(x, y, [[1.0, 2.0], [3.0, 4.0]])


def test_write_to_a_result_that_a_rule_reads():
    x = leaf([1.0, 2.0])
    y = ts.exp(x)
    y.data[...] = 100.0
    ts.sum(y).backward()
    np.testing.assert_allclose(grad_of(x).numpy(), np.exp([1.0, 2.0]))


def test_data_written_takes_effect_for_good():
    w = leaf([1.0, 2.0])
    d = w.data
    for value in (5.0, 6.0, 7.0):
        d[0] = value
        assert w.numpy()[0] == value
        assert w.data is d
        ts.sum(w * w).backward()
        assert grad_of(w).numpy()[0] == 2 * value
        w.grad = None
        w._writable()[1] = value
        assert d[1] == value
    w.data -= 1.0
    np.testing.assert_array_equal(d, [6.0, 6.0])
    np.testing.assert_array_equal(w.numpy(), d)


def test_data_setter_copies_and_checks():
    w, array = leaf([1.0, 2.0]), np.array([3.0, 4.0])
    w.data = array
    array[:] = 9.0
    np.testing.assert_array_equal(w.numpy(), [3.0, 4.0])
    w.data = ts.tensor([5.0, 6.0])
    assert w.dtype == np.float64
    with pytest.raises(TinygradSeqError, match=r"Tensor\.data"):
        w.data = np.ones(3)
    with pytest.raises(TinygradSeqError, match=r"Tensor\.data"):
        ts.tensor([1, 2]).data = np.array([0.5, 0.5])


def test_numpy_is_read_only():
    x = leaf([1.0, 2.0])
    values = x.numpy()
    with pytest.raises(ValueError, match="read-only"):
        values[0] = 9.0
    with pytest.raises(ValueError, match="read-only"):
        np.asarray(x.detach())[0] = 9.0
    x.data[0] = 5.0
    np.testing.assert_array_equal(values, [1.0, 2.0])


# ------------------------------------------------------------------------------------------------- refused writes


def test_writes_that_would_falsify_a_graph_are_refused():
    x = leaf([1.0, 2.0])
    y = x * x
    for tensor in (x, y):
        with pytest.raises(GraphError, match=r"no_grad|ts\.where"):
            tensor[0] = 9.0
        with pytest.raises(GraphError, match="copy_"):
            tensor.copy_(9.0)
    with ts.no_grad(), pytest.raises(GraphError):
        y[0] = 9.0
    with pytest.raises(GraphError, match="in-place operator"):
        x += 1.0
    with pytest.raises(GraphError):
        ts.zeros(2, dtype="float64")[0] = x[0]
    gradient_of_square(x, y, [1.0, 2.0])


def test_in_place_operator_on_a_result_binds_a_new_tensor():
    x = leaf([1.0, 2.0])
    y = old = x * x
    y += x
    y *= 2.0
    assert y is not old
    np.testing.assert_array_equal(old.numpy(), [1.0, 4.0])
    ts.sum(y).backward()
    np.testing.assert_array_equal(grad_of(x).numpy(), [6.0, 10.0])


@pytest.mark.parametrize("recorded", [True, False])
def test_in_place_operator_on_a_view_is_seen_in_the_other_tensor_or_refused(recorded):
    x = leaf([1.0, 2.0])
    y = x * x if recorded else ts.zeros(2, dtype="float64")
    view = y[None][:, :1]
    with pytest.raises(GraphError, match=r"a view of shape \(1, 1\)"):
        view += x[:1]
    del y  # nobody is left who would miss the change
    view += x[:1]
    parts = (x * x).chunk(2)
    parts[0].__iadd__(x[:1])


@pytest.mark.parametrize(
    "view", [lambda x: x.diagonal(), lambda x: x.t(), lambda x: x[:, ::2]], ids=["diagonal", "t", "stride"]
)
def test_writes_to_a_view_in_another_order(view):
    x = ts.zeros((3, 3))
    view(x).fill_(1.0)
    view(x).data[...] += 1.0
    assert x.numpy().sum() == 2 * view(x).numpy().size


def test_numpy_in_place_operator_refuses_tensors_that_require_grad():
    array = np.ones(2)
    with pytest.raises(GraphError):
        array += leaf([1.0, 2.0])
    array += leaf([1.0, 2.0]).detach()
    np.testing.assert_array_equal(array, [2.0, 3.0])


# ------------------------------------------------------------------------------------------------- no needless copy


@pytest.mark.parametrize("touch", [lambda w: None, lambda w: w.data, lambda w: w.numpy().sum(), repr])
def test_training_loop_makes_no_copy(touch):
    w, b = leaf(np.ones((3, 3))), leaf(np.zeros(3))
    x = ts.ones((2, 3), dtype="float64")
    pointers = [w._array.ctypes.data, b._array.ctypes.data]
    for _ in range(5):
        touch(w)
        loss = ts.mean(ts.tanh(x @ w + b) ** 2)
        loss.backward()
        for parameter in (w, b):
            array = parameter._writable()
            array -= 0.1 * grad_of(parameter).numpy()
            parameter.grad = None
        assert [w._array.ctypes.data, b._array.ctypes.data] == pointers


def test_writable_is_contiguous_and_private():
    for array in (np.ones((3, 2)).T, np.asfortranarray(np.ones((3, 2))), np.broadcast_to(1.0, (3, 2))):
        x = ts.asarray(array)
        found = x._writable()
        assert found.flags.carray
        found[...] = 5.0
        np.testing.assert_array_equal(x.numpy(), np.full(array.shape, 5.0))
        np.testing.assert_array_equal(array, np.ones(array.shape))


def test_shared_gradients_are_parted_before_a_write():
    a, b = leaf([1.0, 2.0]), leaf([1.0, 2.0])
    ts.sum(a + b).backward()
    grad_of(a)._writable()[...] = 9.0
    np.testing.assert_array_equal(grad_of(b).numpy(), [1.0, 1.0])


# ------------------------------------------------------------------------------------------- any sequence of steps

STEPS = st.lists(
    st.sampled_from(["use", "use twice", "hold", "hold view", "drop", "write held", "detach", "write", "backward"]),
    max_size=25,
)


@given(STEPS, st.integers(0, len(WRITES) - 1))
def test_any_sequence_of_uses_and_writes(steps, which):
    """A model that copies on every use says what each gradient has to be."""
    x = leaf([1.0, 2.0])
    graphs: list[tuple[ts.Tensor, np.ndarray]] = []
    values: list[tuple[ts.Tensor, np.ndarray]] = []
    held: list[np.ndarray] = []
    write = WRITES[which]
    for step in steps:
        if step == "use":
            graphs.append((ts.sum(x * x), 2 * x.numpy()))
        elif step == "use twice":
            view = x[::-1]
            graphs.append((ts.sum(view * x), 2 * x.numpy()[::-1]))
        elif step == "hold":
            held.append(x.data)
        elif step == "hold view":
            held.append(x.data[1:])
        elif step == "drop":
            held.clear()
        elif step == "write held" and held:
            held[-1] += 1.0
        elif step == "detach":
            values.append((x.detach(), x.numpy().copy()))
        elif step == "write":
            write(x)
        elif step == "backward" and graphs:
            y, expected = graphs.pop()
            x.grad = None
            y.backward()
            np.testing.assert_array_equal(grad_of(x).numpy(), expected)
    for y, expected in graphs:
        x.grad = None
        y.backward()
        np.testing.assert_array_equal(grad_of(x).numpy(), expected)
    for tensor, expected in values:
        np.testing.assert_array_equal(tensor.numpy(), expected)


def test_threads_write_to_views_of_one_tensor():
    buffer = ts.zeros((16, 4000))
    kept = [buffer[at] for at in range(16)]

    def write(first):
        for _ in range(20):
            for at in range(first, 16, 4):
                kept[at] += 1.0
                row = buffer[at]
                row += 1.0

    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    try:
        with ThreadPoolExecutor(4) as pool:
            list(pool.map(write, range(4)))
    finally:
        sys.setswitchinterval(interval)
    assert (buffer.numpy() == 40.0).all()
