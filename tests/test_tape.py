"""The tape: deep graphs, memory, several passes, hooks, several results, dtypes."""

from __future__ import annotations

import copy
import gc
import pickle
import threading
import tracemalloc
import weakref
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import tinygrad_seq as ts
from tests.grad_of import grad_of
from tinygrad_seq.autograd.tape import Node
from tinygrad_seq.errors import DtypeError, GraphError, ShapeError
from tinygrad_seq.ops.primitive import TABLE, Primitive

DEPTH = 100_000


@pytest.fixture
def planted():
    before = dict(TABLE)
    yield
    TABLE.clear()
    TABLE.update(before)


def leaf(values, dtype="float64") -> ts.Tensor:
    return ts.tensor(np.asarray(values), dtype=dtype, requires_grad=True)


def in_small_thread(work):
    """Run `work` in a thread with a stack of 1 MiB, an eighth of the usual, and return its result.

    CPython 3.13 itself frees a chain of objects up to 10,000 deep by recursion, which 256 KiB do not hold.
    """
    found: list = []

    def run():
        try:
            found.append(work())
        except BaseException as error:  # noqa: BLE001
            found.append(error)

    before = threading.stack_size(1024 * 1024)
    try:
        thread = threading.Thread(target=run)
        thread.start()
        thread.join()
    finally:
        threading.stack_size(before)
    if isinstance(found[0], BaseException):
        raise found[0]
    return found[0]


# ---------------------------------------------------------------------------------------------------- deep graphs


@pytest.mark.parametrize("run", [lambda work: work(), in_small_thread], ids=["main thread", "small stack"])
class TestDeepGraphs:
    def test_chain_forward_and_backward(self, run):
        def work():
            x = leaf(1.0)
            y = x
            for _ in range(DEPTH):
                y = y + 1.0
            y.backward()
            return grad_of(x).item(), y.item()

        assert run(work) == (1.0, DEPTH + 1.0)

    def test_chain_dropped_without_backward(self, run):
        def work():
            x = leaf(1.0)
            y = x
            for _ in range(DEPTH):
                y = y * 1.0
            node = weakref.ref(y._source)
            del y
            return node()

        assert run(work) is None

    def test_chain_of_diamonds(self, run):
        def work():
            x = leaf(1.0)
            y = x
            for _ in range(DEPTH // 4):
                y = y * 0.5 + y * 0.5
            y.backward(retain_graph=True)
            first = grad_of(x).item()
            del y
            return first

        assert run(work) == 1.0


# --------------------------------------------------------------------------------------------------------- memory


def live(kind) -> int:
    return sum(issubclass(type(thing), kind) for thing in gc.get_objects())


@pytest.fixture
def no_collector():
    gc.collect()
    gc.disable()
    yield
    gc.enable()


def recurrent_step(w, x):
    h = ts.zeros((2, 4), dtype="float64")
    for _ in range(3):
        h = ts.tanh(x @ w + h @ w)
    first, second = ts.unstack(h)
    return ts.sum(ts.concat([first, second * 2.0]))


def test_no_reference_cycles_and_flat_memory(no_collector):
    w, x = leaf(np.full((4, 4), 0.1)), ts.ones((2, 4), dtype="float64")

    def step():
        recurrent_step(w, x).backward()
        w.grad = None

    for _ in range(20):
        step()
    nodes, tensors = live(Node), live(ts.Tensor)
    tracemalloc.start()
    try:
        for _ in range(1000):  # fills the free lists of CPython
            step()
        before = tracemalloc.get_traced_memory()[0]
        for _ in range(1000):
            step()
        after = tracemalloc.get_traced_memory()[0]
    finally:
        tracemalloc.stop()
    assert (live(Node), live(ts.Tensor)) == (nodes, tensors)
    assert after - before < 40_000  # a leaked node a step would be 100,000


def test_no_reference_cycles_with_hooks_second_order_and_errors(no_collector):
    w, x = leaf(np.full((4, 4), 0.1)), ts.ones((2, 4), dtype="float64")
    nodes = live(Node)
    for _ in range(5):
        h = ts.tanh(x @ w)
        h.retain_grad()
        h.register_hook(lambda g: g * 2.0)
        ts.sum(h * h).backward()
        ts.grad(lambda w: ts.sum(ts.grad(lambda w: ts.sum(ts.tanh(x @ w)))(w)))(w)
        ts.jvp(ts.tanh, (w.detach(),), (w.detach(),))
        recurrent_step(w, x)  # no backward
        with pytest.raises(ShapeError):
            h @ x
        del h
    w.grad = None
    assert live(Node) == nodes


def test_arrays_are_freed_as_backward_goes(planted):
    alive: list[int] = []
    arrays: list[weakref.ref] = []

    def rule(g, y):
        alive.append(sum(array() is not None for array in arrays))
        return g * y

    def forward(x):
        y = x * 1.5
        arrays.append(weakref.ref(y))
        return y

    scaled = Primitive("planted_scale", forward, (lambda g, y, _x: rule(g, y),))
    y = leaf(np.ones(3))
    for _ in range(10):
        y = scaled(y)
    total = ts.sum(y)
    del y
    total.backward()
    assert alive == list(range(10, 0, -1))


def test_rules_save_no_more_than_they_read():
    x, y = leaf(np.ones(4)), leaf(np.ones(4))
    added: Any = (x + y)._source
    assert added.saved == (None, None)
    assert added.output is None
    power: Any = ts.exp(x)._source
    assert power.saved == (None,)
    product: Any = (x * y.detach())._source
    assert product.saved[0] is None
    assert isinstance(product.saved[1], np.ndarray)


# ------------------------------------------------------------------------------------------------- several passes


def test_freed_graph_is_refused_and_retained_graph_runs_again():
    x = leaf([1.0, 2.0])
    y = ts.sum(x * x)
    y.backward(retain_graph=True)
    y.backward()
    np.testing.assert_array_equal(grad_of(x).numpy(), [4.0, 8.0])
    with pytest.raises(GraphError, match="retain_graph=True"):
        y.backward()
    np.testing.assert_array_equal(grad_of(x).numpy(), [4.0, 8.0])


def test_freed_part_of_a_shared_graph_leaves_gradients_alone():
    x, w = leaf([1.0, 2.0]), leaf(3.0)
    shared = ts.exp(x)
    ts.sum(shared).backward()
    before = grad_of(x).numpy().copy()
    called: list[ts.Tensor] = []
    shared.register_hook(called.append)
    with pytest.raises(GraphError, match="'exp'"):
        ts.sum(shared * w).backward()
    assert w.grad is None
    assert not called
    np.testing.assert_array_equal(grad_of(x).numpy(), before)


def test_gradients_accumulate_until_cleared():
    x = leaf([1.0, 2.0])
    for _ in range(3):
        ts.sum(x * 2.0).backward()
    np.testing.assert_array_equal(grad_of(x).numpy(), [6.0, 6.0])
    x.grad = None
    ts.sum(x * 2.0).backward()
    np.testing.assert_array_equal(grad_of(x).numpy(), [2.0, 2.0])


def test_accumulating_does_not_touch_a_gradient_held_elsewhere():
    a, b = leaf([1.0, 2.0]), leaf([3.0, 4.0])
    (a + b).backward(np.array([1.0, 10.0]))
    held = a.grad
    assert held is not None
    values = held.numpy()
    (a + b).backward(np.array([1.0, 10.0]))
    np.testing.assert_array_equal(values, [1.0, 10.0])
    grad_of(a).data[...] = 0
    np.testing.assert_array_equal(grad_of(b).numpy(), [2.0, 20.0])


def test_create_graph_gives_third_derivatives():
    x = leaf(0.7)
    y = ts.tanh(x)
    y.backward(create_graph=True)
    first, x.grad = grad_of(x), None
    first.backward(create_graph=True)
    second, x.grad = grad_of(x), None
    second.backward()
    t = np.tanh(0.7)
    assert first.item() == pytest.approx(1 - t * t)
    assert second.item() == pytest.approx(-2 * t * (1 - t * t))
    assert grad_of(x).item() == pytest.approx((1 - t * t) * (6 * t * t - 2))
    x.grad = None


@given(st.floats(-2, 2), st.integers(1, 5))
def test_derivatives_of_0d_tensors_of_any_order(x, order):
    exp, cube = ts.exp, lambda x: x**3
    for _ in range(order):
        exp, cube = ts.grad(exp), ts.grad(cube)
    closed = [3 * x**2, 6 * x, 6.0, 0.0, 0.0][order - 1]
    point = ts.tensor(np.float64(x))
    assert exp(point).item() == pytest.approx(np.exp(x), rel=1e-12)
    assert cube(point).item() == pytest.approx(closed, abs=1e-9)


def test_gradient_argument():
    x = leaf([1.0, 2.0, 3.0])
    y = x * x
    with pytest.raises(GraphError, match=r"expected a scalar, got shape \(3,\)"):
        y.backward()
    with pytest.raises(ShapeError, match=r"gradient of shape \(3,\), got \(2,\)"):
        y.backward(np.ones(2))
    y.backward(ts.tensor([1, 0, 2]))
    np.testing.assert_array_equal(grad_of(x).numpy(), [2.0, 0.0, 12.0])
    assert grad_of(x).dtype == np.float64
    with pytest.raises(GraphError, match="requires grad"):
        x.detach().backward()


def test_backward_of_a_leaf_and_of_one_element():
    x = leaf([[5.0]])
    x.backward()
    assert grad_of(x).shape == (1, 1)
    assert grad_of(x).item() == 1.0


# ------------------------------------------------------------------------------------------------------- topology


def test_diamonds_and_repeated_operands():
    x = leaf(3.0)
    a = x * x
    b = a + a
    (b * a + b).backward()  # 2 x^4 + 2 x^2
    assert grad_of(x).item() == pytest.approx(8 * 27 + 4 * 3)


def test_broadcast_operands_get_their_own_shape():
    a, b, c = leaf(np.ones((2, 1, 3))), leaf(np.ones((4, 1))), leaf(2.0)
    ts.sum(a * b * c).backward()
    assert [grad_of(t).shape for t in (a, b, c)] == [(2, 1, 3), (4, 1), ()]
    np.testing.assert_array_equal(grad_of(a).numpy(), np.full((2, 1, 3), 8.0))
    np.testing.assert_array_equal(grad_of(b).numpy(), np.full((4, 1), 12.0))
    assert grad_of(c).item() == 24.0


@pytest.mark.parametrize("used", [(0,), (2,), (0, 2), (1, 1), (2, 1, 0)])
def test_primitive_with_several_results_partly_used(used):
    x = leaf(np.arange(6.0).reshape(3, 2))
    parts = ts.unstack(x * x)
    total = parts[used[0]]
    for slot in used[1:]:
        total = total * parts[slot]
    ts.sum(total).backward()
    numeric = np.zeros((3, 2))
    for index in np.ndindex(3, 2):
        for sign in (1, -1):
            moved = np.arange(6.0).reshape(3, 2)
            moved[index] += sign * 1e-5
            moved **= 2
            numeric[index] += sign * np.prod([moved[slot] for slot in used], axis=0).sum() / 2e-5
    np.testing.assert_allclose(grad_of(x).numpy(), numeric, rtol=1e-6, atol=1e-5)


def test_many_results_take_linear_work():
    x = leaf(np.ones(5000))
    total = ts.concat([ts.reshape(part, (1,)) for part in ts.unstack(x)])
    ts.sum(total * total).backward()
    np.testing.assert_array_equal(grad_of(x).numpy(), np.full(5000, 2.0))


def test_results_that_are_integers_carry_no_gradient(planted):
    pair = Primitive(
        "planted_pair",
        lambda x: (x * 2, np.argsort(x)),
        (lambda g, y, _x: g[0] * 2 + 0 * y[1],),
        multiple=True,
    )
    x = leaf([3.0, 1.0])
    doubled, order = pair(x)
    assert doubled.requires_grad
    assert not order.requires_grad
    ts.sum(doubled).backward(create_graph=True)
    np.testing.assert_array_equal(grad_of(x).numpy(), [2.0, 2.0])
    x.grad = None


def test_like_results_of_several_at_second_order(planted):
    halves = Primitive(
        "planted_halves",
        lambda x: (x[:1] ** 2, x[1:] ** 2),
        (lambda g, y_like, x: ts.concat([g[0], g[1]]) * x * 2.0 * float(len(y_like)) / 2.0,),
        multiple=True,
    )
    assert ts.gradcheck(halves, [leaf([3.0, 1.0])], order=2)


# ---------------------------------------------------------------------------------------------------------- hooks


def test_hooks_see_replace_and_are_removed():
    x = leaf([1.0, 2.0])
    h = x * 3.0
    seen = []
    h.register_hook(lambda g: seen.append(g.numpy().copy()))
    remove = h.register_hook(lambda g: g * 10.0)
    remove_leaf = x.register_hook(lambda g: g + 1.0)
    ts.sum(h + h).backward(retain_graph=True)
    np.testing.assert_array_equal(seen, [[2.0, 2.0]])  # once, with the finished sum
    np.testing.assert_array_equal(grad_of(x).numpy(), [61.0, 61.0])
    remove()
    remove_leaf()
    x.grad = None
    ts.sum(h).backward()
    np.testing.assert_array_equal(grad_of(x).numpy(), [3.0, 3.0])


def test_hook_may_return_an_array_and_is_held_to_shape_and_dtype():
    x = leaf([1.0, 2.0], "float32")
    remove = x.register_hook(lambda g: np.array([5.0, 6.0]))
    ts.sum(x).backward()
    assert grad_of(x).dtype == np.float32
    np.testing.assert_array_equal(grad_of(x).numpy(), [5.0, 6.0])
    remove()
    x.register_hook(lambda g: ts.zeros(3))
    with pytest.raises(ShapeError, match=r"gradient hook: expected a gradient of shape \(2,\), got \(3,\)"):
        ts.sum(x).backward()
    with pytest.raises(GraphError, match="register_hook"):
        ts.ones(2).register_hook(print)


def test_hook_cannot_change_the_gradient_by_writing_to_it():
    a, b = leaf([1.0]), leaf([1.0])

    def write(g):
        g.data[...] = 100.0

    h = a + b
    h.register_hook(write)
    a.register_hook(write)
    ts.sum(h).backward()
    assert (grad_of(a).item(), grad_of(b).item()) == (1.0, 1.0)


def test_hook_on_one_of_several_results_and_under_create_graph():
    x = leaf([[1.0, 2.0], [3.0, 4.0]])
    first, second = ts.unstack(x)
    second.register_hook(lambda g: g * 5.0)
    ts.sum(first * first + second * second).backward(create_graph=True)
    np.testing.assert_array_equal(grad_of(x).numpy(), [[2.0, 4.0], [30.0, 40.0]])
    gradient, x.grad = grad_of(x), None
    ts.sum(gradient).backward()
    np.testing.assert_array_equal(grad_of(x).numpy()[0], [2.0, 2.0])
    x.grad = None


def test_retain_grad():
    x = leaf([1.0, 2.0])
    h = x * 3.0
    h.retain_grad()
    h.retain_grad()
    ts.sum(h * h).backward()
    np.testing.assert_array_equal(grad_of(h).numpy(), [6.0, 12.0])
    x.retain_grad()
    with pytest.raises(GraphError):
        ts.ones(2).retain_grad()


# -------------------------------------------------------------------------------------------------------- threads


def test_two_threads_share_leaves():
    w = leaf(np.ones(8))

    def work():
        for _ in range(300):
            ts.sum(w * 2.0).backward()

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    np.testing.assert_array_equal(grad_of(w).numpy(), np.full(8, 4 * 300 * 2.0))


# --------------------------------------------------------------------------------------------------------- dtypes


@given(
    st.sampled_from(["float32", "float64"]),
    st.sampled_from(["float32", "float64"]),
    st.sampled_from(["add", "subtract", "multiply", "divide", "maximum", "pow", "matmul"]),
)
def test_gradients_have_the_dtype_of_their_operand(left, right, name):
    a, b = leaf(np.full((2, 2), 1.5), left), leaf(np.full((2, 2), 2.5), right)
    y = TABLE[name](a, b)
    assert y.dtype == np.result_type(left, right)
    ts.sum(y).backward()
    assert (grad_of(a).dtype, grad_of(b).dtype) == (np.dtype(left), np.dtype(right))


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_scalars_are_weak_and_arrays_without_axes_strong(dtype):
    x = leaf([1.0, 2.0], dtype)
    for y in (x * 2, 2 * x, x + 0.1, 0.1 - x, x / 3, 3 / x, x**2, 2.0**x, True * x, x @ x * 2.0):
        assert y.dtype == np.dtype(dtype)
    for y in (x * np.float64(2), np.float64(2) * x, x - np.int64(2)):
        assert y.dtype == np.dtype(dtype)
        assert isinstance(y, ts.Tensor)
    assert (np.array(2.0) - x).dtype == np.float64
    assert (np.float32(2) * x).dtype == np.dtype(dtype)
    ts.sum(x * 2 + 0.5 / x + x**2).backward()
    assert grad_of(x).dtype == np.dtype(dtype)
    np.testing.assert_allclose(grad_of(x).numpy(), 2 - 0.5 / np.array([1, 4]) + 2 * np.array([1, 2]), rtol=1e-6)


def test_integers_and_booleans_carry_no_gradient():
    with pytest.raises(DtypeError, match="int64"):
        ts.tensor([1, 2], requires_grad=True)
    x = leaf([1.5, -2.0])
    for y in (x > 0, x == x, ts.astype(x, "int64"), ts.isnan(x)):
        assert not y.requires_grad
        assert y.is_leaf
    y = ts.astype(x, "int64") * x
    ts.sum(y).backward()
    np.testing.assert_array_equal(grad_of(x).numpy(), [1.0, -2.0])


def test_constants_and_numpy_operands_on_either_side():
    x = leaf([1.0, 2.0])
    array = np.array([3.0, 4.0])
    ts.sum(array * x + x * array + [1, 2] + array - (array - x)).backward()
    np.testing.assert_array_equal(grad_of(x).numpy(), [7.0, 9.0])


# ------------------------------------------------------------------------------------------------- copies, errors


def test_copies_are_leaves_of_their_own():
    x = leaf([1.0, 2.0])
    y = x * 2.0
    for other in (copy.deepcopy(x), copy.copy(x), pickle.loads(pickle.dumps(x)), copy.deepcopy(y)):
        assert other.is_leaf
        assert other.requires_grad
        other.data[...] = 0
    np.testing.assert_array_equal(x.numpy(), [1.0, 2.0])


def test_errors_of_a_forward_name_the_operation():
    x = leaf(np.ones((2, 3)))
    with pytest.raises(ShapeError, match=r"add: .*\(2, 3\) float64, \(4,\) float64"):
        x + np.ones(4)
    with pytest.raises(DtypeError, match="multiply: expected real numbers or booleans, got str"):
        x * "a"
    with pytest.raises(DtypeError, match=r"multiply: .* complex"):
        x * 1j
    with pytest.raises(IndexError):
        x[5]


def test_error_of_our_own_is_not_its_own_cause():
    x = leaf(np.ones((2, 3)))
    with pytest.raises(ShapeError) as caught:
        ts.reshape(x, (5,))
    assert caught.value.__cause__ is not caught.value


def test_many_reads_of_one_tensor_cost_no_array_of_its_size_each() -> None:
    """``x[t]`` for every t adds into one gradient; one as large as x for every read would be quadratic work."""
    steps, width = 400, 1000
    x = ts.tensor(np.ones((steps, width)), requires_grad=True)
    total = sum((x[t] * float(t) for t in range(1, steps)), start=x[0] * 0.0)
    tracemalloc.start()
    total.sum().backward()
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    np.testing.assert_array_equal(grad_of(x).numpy(), np.arange(steps)[:, None] * np.ones(width))
    assert peak < 4 * x.numpy().nbytes
    table = ts.tensor(np.ones((steps, width)), requires_grad=True)
    rows = [ts.embedding(table, np.array([[t, 0]])) * float(t) for t in range(steps)]
    tracemalloc.start()
    ts.stack(rows).sum().backward()
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    expected = np.arange(float(steps))[:, None] * np.ones(width)
    expected[0] = sum(range(steps))
    np.testing.assert_array_equal(grad_of(table).numpy(), expected)
    assert peak < 4 * table.numpy().nbytes
    y = ts.tensor(np.array(1.0), requires_grad=True)
    (y[...] * 2 + y[()] * 3 + y[None].sum() * 4).backward()
    assert grad_of(y).item() == 9


def test_hook_handles_remove_their_hook_once():
    x = leaf([1.0, 2.0])
    calls: list[str] = []

    def once(gradient):
        calls.append("once")
        first.remove()

    first = x.register_hook(once)
    second = x.register_hook(lambda gradient: calls.append("each time"))
    ts.sum(x).backward()  # a hook that removes itself leaves the next one its turn
    ts.sum(x).backward()
    first.remove()
    second()
    ts.sum(x).backward()
    assert calls == ["once", "each time", "each time"]
