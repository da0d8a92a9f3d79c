"""A compiled scan is an operation like any other: in graphs, beside other scans, under writes, hooks and threads."""

from __future__ import annotations

import threading
from functools import partial
from typing import Any

import numpy as np
import pytest

import tinygrad_seq as ts
from tests.grad_of import grad_of
from tests.scan.case import Result, assert_agree, assert_close, gradient_of, projected
from tests.scan.cells import CELLS
from tests.scan.traps import TRAPS
from tinygrad_seq.base.tree import flatten
from tinygrad_seq.errors import AnomalyError, GraphError
from tinygrad_seq.nn import Parameter

T, N, H = 5, 3, 4


def leaf(rng, *shape: int, scale: float = 0.5) -> ts.Tensor:
    return ts.tensor(scale * rng.standard_normal(shape), requires_grad=True)


def elman(u, compile: bool | None, **options: Any) -> Any:
    """Return the scan of ``h = tanh(h u + x)`` as a function of init and xs."""

    def run(init, xs):
        return ts.scan(lambda h, x: (ts.tanh(h @ u + x),) * 2, init, xs, compile=compile, **options)

    return run


def check(f: Any, *leaves: ts.Tensor, dtype: str = "float64") -> None:
    """Compare ``f(compile)``, which uses the leaves by closure, on both paths: results and gradients."""
    results = []
    for compile in (True, False):
        for x in leaves:
            x.grad = None
        outputs = f(compile)
        projected(outputs).backward()
        results.append(Result(outputs, {str(i): gradient_of(x) for i, x in enumerate(leaves)}))
    assert_agree(results[0], results[1], dtype)


# ---------------------------------------------------------------------------------------------------------- graphs


def test_weight_used_before_in_and_after_the_loop(rng) -> None:
    init, xs, u = leaf(rng, N, H), leaf(rng, T, N, H), leaf(rng, H, H)

    def f(compile):
        carry, ys = elman(u, compile)(init @ u, xs @ u)
        return carry @ u, ys @ u

    check(f, init, xs, u)


def test_weights_that_are_results_themselves(rng) -> None:
    """The gradient goes on to what they were computed from, before the scan or inside the step."""
    init, xs, raw = leaf(rng, N, H), leaf(rng, T, N, H), leaf(rng, H, H)

    def f(compile):
        u = ts.tanh(raw).T
        return ts.scan(lambda h, x: (ts.tanh(h @ u + x @ (raw * raw)[:, ::-1]),) * 2, init, xs, compile=compile)

    check(f, init, xs, raw)


def test_one_tensor_in_every_role(rng) -> None:
    a = leaf(rng, H, H)

    def f(compile):
        return ts.scan(lambda h, x: (ts.tanh(h @ a + x), x * a), a, ts.stack([a, a, a]), compile=compile)

    check(f, a)
    check(lambda compile: ts.scan(lambda h, x: (h * x + a[0], h), a[1], a, compile=compile), a)


def test_two_scans_in_one_graph(rng) -> None:
    init, xs, u, v = leaf(rng, N, H), leaf(rng, T, N, H), leaf(rng, H, H), leaf(rng, H, H)

    def f(compile):
        carry, ys = elman(u, compile)(init, xs)
        again = elman(u, compile, reverse=True)(carry, ys)
        return again, elman(v, compile)(carry, xs)

    check(f, init, xs, u, v)


def test_scan_inside_a_scan(rng) -> None:
    init, xs, u = leaf(rng, N, H), leaf(rng, T, 2, N, H), leaf(rng, H, H)

    def f(compile):
        def outer(h, inputs):
            return elman(u, compile)(h, inputs)

        return ts.scan(outer, init, xs, compile=compile)

    check(f, init, xs, u)


def test_scans_in_a_loop_of_python(rng) -> None:
    """Windows of a sequence, with other operations between them."""
    h, xs, u = leaf(rng, N, H), leaf(rng, T, N, H), leaf(rng, H, H)

    def f(compile):
        carry, parts = h, []
        for start in range(2):
            carry, ys = elman(u, compile)(carry * 2, xs[start::2])
            parts.append(ys.sum(axis=0))
        return carry, parts

    check(f, h, xs, u)


def test_no_grad_records_nothing(rng) -> None:
    problem = CELLS["lstm"].build()
    with ts.no_grad():
        got, want = (problem.run(compile) for compile in (True, False))
    assert_agree(got, want, "float64")
    assert not any(part.requires_grad for part in flatten(got.outputs)[0])


def test_step_under_no_grad_is_constant(rng) -> None:
    """`no_grad` and `detach` inside the step cut the gradient there only."""
    init, xs, u = leaf(rng, N, H), leaf(rng, T, N, H), leaf(rng, H, H)

    def f(compile):
        def step(h, x):
            with ts.no_grad():
                gate = ts.sigmoid(h @ u)
            h = ts.tanh(h.detach() * 0.5 + gate * x) + 0.1 * h
            return h, gate

        return ts.scan(step, init, xs, compile=compile)

    check(f, init, xs, u)


# -------------------------------------------------------------------------------------------------------- backward


def test_backward_twice_over_a_kept_graph_adds_up() -> None:
    problem = CELLS["lstm"].build()
    once = problem.run(True).gradients
    leaves = problem.leaves()
    loss = projected(problem.scan(True))
    for x in leaves.values():
        x.grad = None
    loss.backward(retain_graph=True)
    first = {name: grad_of(x).numpy().copy() for name, x in leaves.items()}
    loss.backward()
    for name, x in leaves.items():
        np.testing.assert_array_equal(first[name], once[name])
        np.testing.assert_array_equal(grad_of(x).numpy(), 2 * first[name])
    with pytest.raises(GraphError):
        loss.backward()


def test_each_result_pulled_back_by_itself() -> None:
    """One scan, several backward passes with different cotangents: nothing of one is left for the next."""
    problem = CELLS["lstm"].build()
    leaves = problem.leaves()
    for parts in zip(*(_pulled_one_by_one(problem, leaves, compile) for compile in (True, False)), strict=True):
        for name in leaves:
            assert_close(name, parts[0][name], parts[1][name])


def _pulled_one_by_one(problem, leaves, compile) -> list[dict[str, np.ndarray]]:
    ((h, c), ys) = problem.scan(compile)
    found = []
    for output in (ys, h, c, ys[2], h * c):
        for x in leaves.values():
            x.grad = None
        output.sum().backward(retain_graph=True)
        found.append({name: x.grad.numpy().copy() for name, x in leaves.items()})
    return found


def test_transforms_of_a_scan(rng) -> None:
    case = CELLS["lstm"]
    problem = case.build()
    arrays = [x.detach() for x in problem.leaves().values()]
    tangents = [ts.tensor(rng.standard_normal(x.shape)) for x in arrays]

    def transformed(compile) -> Any:
        def f(h, c, xs, w, u, b):
            return ts.scan(lambda carry, x: case.step(carry, x, w, u, b), (h, c), xs, compile=compile)

        value, pull = ts.vjp(f, *arrays)
        ((h, c), ys) = value
        return {
            "grad": ts.grad(lambda *args: projected(f(*args)), argnums=(2, 4))(*arrays),
            "vjp": (pull(((h, c), ys)), pull(((c, h), ys * 0))),
            "jvp": ts.jvp(f, arrays, tangents),
            "value": value,
        }

    got, want = transformed(True), transformed(False)
    assert_agree(Result(got, {}), Result(want, {}), "float64")


def test_create_graph_gives_second_derivatives() -> None:
    problem = CELLS["gru"].build(T=3)
    leaves = problem.leaves()
    found = []
    for compile in (True, False):
        for x in leaves.values():
            x.grad = None
        projected(problem.scan(compile)).backward(create_graph=True)
        penalty: Any = sum((grad_of(x) * grad_of(x)).sum() for x in leaves.values())
        for x in leaves.values():
            x.grad = None
        penalty.backward()
        found.append({name: grad_of(x).numpy() for name, x in leaves.items()})
    for name in leaves:
        assert_close(name, found[0][name], found[1][name], 1000)


def test_hooks_see_the_gradients_and_may_replace_them(rng) -> None:
    init, xs, u = leaf(rng, N, H), leaf(rng, T, N, H), leaf(rng, H, H)
    seen: dict[str, list[np.ndarray]] = {"entered": [], "weight": [], "ys": []}

    def note(name: str, g: ts.Tensor) -> None:
        seen[name].append(g.numpy())

    def f(compile):
        entered, weight = init * 2, u * 2
        carry, ys = elman(weight, compile)(entered, xs)
        for name, tensor in (("entered", entered), ("weight", weight), ("ys", ys)):
            tensor.register_hook(partial(note, name))
        ys.register_hook(lambda g: g * 3)
        return carry * 2, ys

    check(f, init, xs, u)
    for name, (got, want) in seen.items():
        assert_close(name, got, want)


# -------------------------------------------------------------------------------------------------------- aliasing


def gradients_after(write: Any, compile: bool) -> dict[str, np.ndarray | None]:
    """Return the gradients of a scan after whose forward pass `write` has been at its arrays."""
    rng = np.random.default_rng(0)
    init, xs, u, row = leaf(rng, N, H), leaf(rng, T, N, H), leaf(rng, H, H), rng.standard_normal(H)
    outside = rng.standard_normal((T, N, H))

    def step(h, x):
        h = ts.tanh(h @ u + x[0] * x[1] * row)
        return h, h

    carry, ys = ts.scan(step, init, (xs, outside), compile=compile)
    loss = projected((carry, ys))
    write(init, xs, u, row, outside, carry, ys)
    loss.backward()
    return {"init": gradient_of(init), "xs": gradient_of(xs), "u": gradient_of(u)}


def _write(position: int) -> Any:
    def write(*arrays: Any) -> None:
        target = arrays[position].data if isinstance(arrays[position], ts.Tensor) else arrays[position]
        target[...] = 7.0

    return write


@pytest.mark.parametrize("position", range(7), ids=["init", "xs", "weight", "row", "xs array", "carry", "ys"])
def test_arrays_may_change_between_forward_and_backward(position: int) -> None:
    untouched, got, want = (
        gradients_after(write, compile)
        for write, compile in ((lambda *_: None, False), (_write(position), True), (_write(position), False))
    )
    for name, expected in want.items():
        np.testing.assert_array_equal(expected, untouched[name])
        assert_close(name, got[name], expected)


def test_results_share_no_memory_that_can_be_written(rng) -> None:
    """The last carry, the outputs, the inputs that came out again: a write to one is not seen in another."""
    problem = TRAPS["delay_line"].build()
    before = [part.numpy().copy() for part in (*problem.scan(False)[0], problem.xs, *problem.init)]
    ((newer, older), ys) = problem.scan(True)
    ys.data[...] = 7.0
    newer.data[...] = 8.0
    for part, kept in zip((older, problem.xs, *problem.init), before[1:], strict=True):
        np.testing.assert_array_equal(part.numpy(), kept)


def test_second_call_leaves_the_results_of_the_first(rng) -> None:
    """Buffers are not used again while anyone holds them; both graphs stay whole."""
    init, xs, u = leaf(rng, N, H), leaf(rng, T, N, H), leaf(rng, H, H)
    run = elman(u, True)
    first = run(init, xs)
    values = [part.numpy().copy() for part in first]
    second = run(init * 2, xs * 3)
    for part, value in zip(first, values, strict=True):
        np.testing.assert_array_equal(part.numpy(), value)
    projected(second).backward()
    for x in (init, xs, u):
        x.grad = None
    projected(first).backward()
    got = [grad_of(x).numpy() for x in (init, xs, u)]
    for x in (init, xs, u):
        x.grad = None
    projected(elman(u, False)(init, xs)).backward()
    for a, x in zip(got, (init, xs, u), strict=True):
        assert_close("gradient", a, grad_of(x).numpy())


# ------------------------------------------------------------------------------------------------------ what comes in


def test_layouts_of_inputs(rng) -> None:
    """Strided, reversed, transposed, broadcast and read-only arrays."""
    base = rng.standard_normal((2 * T, H, N))
    xs = base[::-2].transpose(0, 2, 1)
    xs.flags.writeable = False
    init = np.broadcast_to(rng.standard_normal(H), (N, H))
    wide = ts.tensor(rng.standard_normal((2 * H, 2 * H)), requires_grad=True)
    for given in (xs, np.asfortranarray(xs), np.broadcast_to(xs[0], xs.shape)):
        check(lambda compile, xs=given: elman(wide[::2, ::-2], compile)(init, xs), wide)
        check(lambda compile, xs=given: elman(wide.T[:H, H:], compile)(init, xs), wide)
        check(lambda compile, xs=given: elman(ts.broadcast_to(wide[:1, :H], (H, H)), compile)(init, xs), wide)


def test_cotangents_of_any_layout(rng) -> None:
    init, xs, u = leaf(rng, N, H), leaf(rng, T, N, H), leaf(rng, H, H)
    cotangents = [rng.standard_normal((H, N, T)).T, np.broadcast_to(1.0, (T, N, H)), np.ones((2 * T, N, H))[::-2]]
    for cotangent in cotangents:
        found = []
        for compile in (True, False):
            u.grad = None
            elman(u, compile)(init, xs)[1].backward(cotangent)
            found.append(grad_of(u).numpy())
        assert_close("u", found[0], found[1])


def test_numbers_arrays_and_parameters_as_inputs() -> None:
    """What is no Tensor yet becomes one, as it does eagerly; a Parameter is a Tensor."""
    weight = Parameter(np.array([0.5, 2.0], np.float32))

    def step(carry, x):
        total, count = carry
        return [total * weight[0] + x, count + 1], (total * weight, 2.5)

    xs = np.arange(4, dtype=np.float32)
    check(lambda compile: ts.scan(step, [0.5, 0], xs, compile=compile), weight, dtype="float32")
    assert ts.scan(lambda c, x: (c + 1, c), 0, length=3, compile=True)[1].tolist() == [0, 1, 2]


def test_numbers_the_step_closes_over_may_change_between_calls(rng) -> None:
    """A program found again must be that of these numbers, options and tensors."""
    init, xs = leaf(rng, N, H), leaf(rng, T, N, H)

    def compare(step, *leaves):
        check(lambda compile: ts.scan(step, init, xs, compile=compile), init, xs, *leaves)

    for factor in (1, 2.0, True):
        compare(lambda h, x, k=factor: (ts.tanh(h * k + x),) * 2)
    for axis in (0, 1):
        compare(lambda h, x, axis=axis: (ts.softmax(h + x, axis=axis),) * 2)
    for w in (leaf(rng, H, H), leaf(rng, H, H), leaf(rng, 1, H)):
        compare(lambda h, x, w=w: ((h + x) * w[0], h), w)


def test_nan_infinity_and_signed_zero() -> None:
    xs = np.array([[0.0, -0.0, np.inf, -np.inf, np.nan, 1e300, -1e-310, 800.0]]).repeat(2, axis=0)

    def step(c, x):
        same = ts.tanh(x), x * 1.0, -x, ts.where(x > c, x, c)
        return ts.maximum(c, x), (*same, ts.sigmoid(x), ts.exp(x), x - x, ts.relu(x))

    (top, got), (wanted_top, want) = (ts.scan(step, np.zeros(8), xs, compile=compile) for compile in (True, False))
    for a, b in zip((top, *got), (wanted_top, *want), strict=True):
        np.testing.assert_allclose(a.numpy(), b.numpy(), rtol=1e-14)
    for a, b in zip(got[:4], want[:4], strict=True):
        number = ~np.isnan(b.numpy())
        np.testing.assert_array_equal(np.signbit(a.numpy())[number], np.signbit(b.numpy())[number])


# ------------------------------------------------------------------------------------------------------- company


def test_several_python_threads_at_once() -> None:
    problems = [CELLS["lstm"].build("float32", T=6, N=4 + index, seed=index) for index in range(4)]
    wanted = [problem.run(False) for problem in problems]
    faults: list[BaseException] = []

    def work(index: int) -> None:
        try:
            for _ in range(5):
                assert_agree(problems[index].run(True), wanted[index], "float32")
        except BaseException as error:  # noqa: BLE001 (a thread has nobody to raise to)
            faults.append(error)

    threads = [threading.Thread(target=work, args=(index,)) for index in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not faults


def test_anomaly_is_found_in_the_default_mode(rng) -> None:
    with ts.detect_anomaly(), pytest.raises(AnomalyError, match="'log' made"):
        ts.scan(lambda c, x: (c, ts.log(c * x)), np.ones(2), np.array([[1.0, 1.0], [1.0, 0.0]]))


def test_programs_that_differ_in_what_they_read(rng) -> None:
    """Two steps of the same operations; one puts out a part of an array, the other what was computed next."""
    init, xs = leaf(rng, N, H), leaf(rng, T, N, H)
    for which in (0, 1):

        def step(h, x, which=which):
            parts = ts.split(x, H, axis=-1)
            product = parts[0] * parts[1]
            return h, h[:, :1] + (parts[2], product)[which]

        check(lambda compile, step=step: ts.scan(step, init, xs, compile=compile), init, xs)
