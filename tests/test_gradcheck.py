"""gradcheck passes right rules, catches planted wrong ones and names the place, and does not blame rules for kinks."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pytest

import tinygrad_seq as ts
from tinygrad_seq.errors import ArgumentError, DtypeError, GradientError
from tinygrad_seq.ops.primitive import TABLE, Primitive


@pytest.fixture(autouse=True)
def planted():
    """Remove the primitives that a test adds to the table."""
    before = dict(TABLE)
    yield
    TABLE.clear()
    TABLE.update(before)


def leaf(values, **options) -> ts.Tensor:
    return ts.tensor(np.asarray(values, np.float64), requires_grad=True, **options)


def matrix(*shape: int, seed: int = 0) -> ts.Tensor:
    return leaf(np.random.default_rng(seed).normal(size=shape))


RIGHT: dict[str, Any] = {
    "arithmetic": (lambda a, b: a * b - a / b + (a - b) ** 2, [(3, 4), (4,)]),
    "powers": (lambda a, b: (a * a + 1.0) ** b, [(3,), (3,)]),
    "exponential": (lambda a: ts.exp(a) + ts.log(a * a + 1.0) + ts.sqrt(a * a + 0.5), [(2, 3)]),
    "tanh": (lambda a: ts.tanh(ts.tanh(a) * 3.0), [(5,)]),
    "matmul": (lambda a, b: a @ b, [(3, 4), (4, 2)]),
    "batched matmul": (lambda a, b: a @ b, [(2, 3, 4), (4, 2)]),
    "matrix vector": (lambda a, b: a @ b, [(3, 4), (4,)]),
    "broadcast": (lambda a, b: a * b, [(3, 1), (1, 4)]),
    "sum": (lambda a: ts.sum(a * a, axis=0), [(3, 4)]),
    "mean": (lambda a: ts.mean(a * a * a, axis=1), [(3, 4)]),
    "reshape": (lambda a: ts.reshape(a, (4, 3)) ** 3, [(3, 4)]),
    "transpose": (lambda a: ts.permute_dims(a, (1, 0)) * a, [(3, 3)]),
    "index": (lambda a: a[[0, 0, 2]] * a[1], [(3, 2)]),
    "slice": (lambda a: a[::-1] * a[:, 1:2], [(3, 2)]),
    "concat": (lambda a, b: ts.concat([a, b, a]) ** 2, [(2, 3), (1, 3)]),
    "stack": (lambda a, b: ts.stack([a, b]) * a, [(3,), (3,)]),
    "unstack": (lambda a: ts.unstack(a * a)[1] * a[0], [(3, 2)]),
    "where": (lambda a, b: ts.where(a > 0, a * b, b * b), [(4,), (4,)]),
    "maximum": (lambda a, b: ts.maximum(a, b) * a, [(4,), (4,)]),
    "relu": (lambda a: ts.maximum(a, 0.0) * a, [(6,)]),
    "many outputs": (lambda a: (a * a, {"b": ts.sum(a), "count": a > 0}), [(3,)]),
    "same operand": (lambda a: a * a * a, [()]),
    "constant": (lambda a, b: a * 2.0, [(2,), (2,)]),
    "empty": (lambda a: a * a, [(0, 3)]),
}


@pytest.mark.parametrize("order", [1, 2])
@pytest.mark.parametrize("name", RIGHT)
def test_right_rules_pass(name, order):
    f, shapes = RIGHT[name]
    inputs = [matrix(*shape, seed=seed) for seed, shape in enumerate(shapes)]
    assert ts.gradcheck(f, inputs, order) is True


@pytest.mark.parametrize("seed", range(20))
def test_no_false_alarm_over_seeds_and_scales(seed):
    rng = np.random.default_rng(seed)
    scale = 10.0 ** rng.integers(-3, 3)
    x = leaf(rng.normal(size=(4, 5)) * scale)
    assert ts.gradcheck(lambda x: ts.tanh(x) * x / (1.0 + x * x), [x], 2, generator=rng)


def test_strong_curvature_is_no_false_alarm():
    assert ts.gradcheck(lambda x: ts.exp(x * 300.0), [leaf([0.01, -0.02])])
    assert ts.gradcheck(ts.log, [leaf([3e-6, 1e-4, 5.0])])
    assert ts.gradcheck(lambda x: ts.maximum(x, 0.0), [leaf([1e-6, -1e-6])])  # nearer to the kink than the first step


# ------------------------------------------------------------------------------------------------- planted rules


def expect(f, inputs, *parts: str, order: int = 1) -> str:
    with pytest.raises(GradientError) as caught:
        ts.gradcheck(f, inputs, order)
    message = str(caught.value)
    for part in parts:
        assert part in message, message
    return message


def test_missing_factor_is_named():
    square = Primitive("planted_square", np.square, (lambda g, _y, x: g * x,))
    message = expect(square, [leaf([1.0, 3.0])], "input 0", "index (1,)", "2 of 2", "shape (2,)")
    numeric, analytic = map(float, re.findall(r"([-+.\de]+) \((?:numeric|analytic)\)", message))
    assert numeric == pytest.approx(2 * analytic, rel=1e-7)


def test_transposed_rule_is_caught():
    product = Primitive(
        "planted_matmul", np.matmul, (lambda g, _y, _a, b: g @ b, lambda g, _y, a, _b: ts.permute_dims(a, (1, 0)) @ g)
    )
    expect(product, [matrix(3, 3), matrix(3, 3, seed=1)], "input 0")


@pytest.mark.parametrize("index", [(0, 0), (17, 3), (39, 24)])
def test_one_wrong_element_of_a_thousand_is_named(index):
    def rule(g, _y, x):
        wrong = np.ones((40, 25))
        wrong[index] = 1.5
        return g * x * 2 * wrong

    square = Primitive("planted_element", np.square, (rule,))
    expect(square, [matrix(40, 25)], "input 0", f"index {index}", "1 of 1000")


def test_wrong_only_at_second_order():
    # Right as a number, but the rule computes on a bare copy of its operand, which cuts the graph.
    square = Primitive(
        "planted_second", np.square, (lambda g, _y, x: g * (x.numpy() if isinstance(x, ts.Tensor) else x) * 2,)
    )
    x = leaf([1.0, 3.0])
    assert ts.gradcheck(square, [x])
    expect(square, [x], "second derivative", "input 0", order=2)


def test_second_of_several_inputs_and_dict_keys_are_named():
    product = Primitive("planted_product", np.multiply, (lambda g, _y, _a, b: g * b, lambda g, _y, a, _b: g * a * 2))
    expect(product, [leaf([1.0, 2.0]), leaf([3.0, 4.0])], "input 1")
    expect(lambda x, w: product(x, w), {"x": leaf([1.0]), "w": leaf([2.0])}, "input 'w'")  # noqa: PLW0108
    expect(lambda s, x: product(x, s["h"][1]), [{"h": (1, leaf([1.0]))}, leaf([2.0])], "input 0['h'][1]")


def test_missing_gradient_is_caught():
    expect(lambda x: x.detach() * x, [leaf([2.0])], "input 0", "index (0,)")
    expect(lambda x: ts.tensor(x.numpy().copy()), [leaf([2.0])], "0 (analytic)")


def test_rule_that_writes_to_its_cotangent_is_caught():
    def rule(g, _y, _x):
        g *= 2
        return g

    double = Primitive("planted_writer", lambda x: x * 2, (rule,))
    expect(lambda x: double(x) + x, [leaf([1.0, 2.0])], "input 0")


# --------------------------------------------------------------------------------- points, functions and inputs


@pytest.mark.parametrize(
    ("f", "values"),
    [
        (abs, [1.0, 0.0, -2.0]),
        (lambda x: ts.maximum(x, 0.0), [1.0, 0.0, -2.0]),
        (lambda x: ts.where(x > 0, x * 3.0, x), [1.0, 0.0, -2.0]),
        (lambda x: ts.maximum(x, ts.tensor([0.0, 5.0, 0.0], dtype="float64")), [1.0, 5.0, -2.0]),
        (lambda x: ts.maximum(x, 0.0) * 3.0, [1.0, 1e-10, -2.0]),
    ],
    ids=["abs", "relu", "where", "tie", "within the step"],
)
def test_kinks_are_told_from_wrong_rules(f, values):
    expect(f, [leaf(values)], "not an error of a rule", "index (1,)", "move the inputs", "left", "right")


def test_tie_of_two_inputs_is_a_kink():
    expect(ts.maximum, [leaf([1.0, 2.0]), leaf([0.0, 2.0])], "differentiable", "index (1,)")


@pytest.mark.parametrize("f", [ts.floor, ts.sign], ids=["floor", "sign"])
def test_jumps_are_kinks(f):
    expect(f, [leaf([0.5, 0.0])], "differentiable", "index (1,)")


def test_kink_of_the_gradient_is_found_at_order_two():
    x = leaf([1.0, 0.0])
    assert ts.gradcheck(lambda x: x * abs(x), [x])
    expect(lambda x: x * abs(x), [x], "second derivative", "index (1,)", "differentiable", order=2)


def test_not_finite_values_are_reported():
    expect(ts.log, [leaf([1.0, -1.0])], "output 0 of f = nan", "index (1,)")
    expect(ts.sqrt, [leaf([1.0, 0.0])], "input 0 = inf at index (1,)")
    expect(lambda x: x**1.5, [leaf([1.0, 0.0])], "NaN or infinity next to input 0", "index (1,)")


def test_random_function_is_reported():
    rng = np.random.default_rng(0)
    expect(lambda x: x * rng.normal(size=3), [leaf([1.0, 2.0, 3.0])], "different ones", "dropout")
    assert ts.gradcheck(lambda x: x * np.random.default_rng(0).normal(size=3), [leaf([1.0, 2.0, 3.0])])


def test_random_rule_is_reported():
    rng = np.random.default_rng(0)
    noisy = Primitive("planted_noise", lambda x: x + 0, (lambda g, _y, _x: g * (1 + rng.normal() * 1e-12),))
    expect(noisy, [leaf([1.0])], "different bits")


def test_float32_is_refused_with_advice():
    with pytest.raises(DtypeError, match=r"input 0 of shape \(2,\) float32.*astype\('float64'\)"):
        ts.gradcheck(lambda x: x * x, [ts.tensor([1.0, 2.0], requires_grad=True)])
    with pytest.raises(DtypeError, match="input 'w'"):
        ts.gradcheck(lambda x, w: x * w, {"x": leaf([1.0]), "w": ts.tensor([1.0])})
    with pytest.raises(DtypeError, match="an output"):
        ts.gradcheck(lambda x: ts.astype(x, "float32"), [leaf([1.0])])


def test_bad_arguments():
    with pytest.raises(ArgumentError, match="order"):
        ts.gradcheck(lambda x: x, [leaf([1.0])], 3)
    with pytest.raises(ArgumentError, match="requires grad"):
        ts.gradcheck(lambda x: x, [ts.tensor([1.0], dtype="float64")])


def test_other_inputs_are_passed_on():
    assert ts.gradcheck(lambda x, index, scale: x[index] * scale, [matrix(4), ts.tensor([0, 2]), 3.0])
    assert ts.gradcheck(lambda x: x * x, leaf(3.0))


def test_inputs_used_by_closure():
    w, x = matrix(3, 2), matrix(4, 3, seed=1)
    assert ts.gradcheck(lambda *_: ts.tanh(x @ w), [w, x], order=2)
    h = ts.tanh(w)  # not a leaf
    assert ts.gradcheck(lambda h: h * h, [h], order=2)
    ts.sum(h).backward()
    assert w.grad is not None


@pytest.mark.parametrize("fails", [False, True])
def test_inputs_are_left_as_they_were(fails):
    calls = 0

    def f(x, y):
        nonlocal calls
        calls += 1
        if fails and calls == 7:
            raise RuntimeError("from f")
        return x * y

    x, y = matrix(3), matrix(3, seed=1)
    view = x.data
    arrays, values = (x._array, y._array), (x.numpy().copy(), y.numpy().copy())
    x.grad = ts.ones(3, dtype="float64")
    if fails:
        with pytest.raises(RuntimeError, match="from f"):
            ts.gradcheck(f, [x, y])
    else:
        ts.gradcheck(f, [x, y], order=2)
    assert x._array is arrays[0] is view
    assert y._array is arrays[1]
    np.testing.assert_array_equal(x.numpy(), values[0])
    np.testing.assert_array_equal(y.numpy(), values[1])
    np.testing.assert_array_equal(x.grad.numpy(), np.ones(3))
    assert y.grad is None


def test_same_seed_same_verdict_and_works_under_no_grad():
    with ts.no_grad():
        assert ts.gradcheck(ts.exp, [matrix(3)], order=2)
    assert ts.is_grad_enabled()


@pytest.mark.parametrize("f", [lambda x: x.numpy() * 2.0, lambda x: 3.0, ts.argmax])
def test_a_function_without_floating_point_tensors_is_refused(f):
    with pytest.raises(ArgumentError, match="floating-point Tensor"):
        ts.gradcheck(f, [leaf([1.0, 2.0])])
