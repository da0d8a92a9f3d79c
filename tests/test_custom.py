"""custom_gradient: the rule is used, differentiated and checked; what it would lose is refused."""

from __future__ import annotations

import gc

import numpy as np
import pytest

import tinygrad_seq as ts
from tests.grad_of import grad_of
from tinygrad_seq.autograd.tape import Node
from tinygrad_seq.errors import ArgumentError, CompileError, CompileWarning, GradientError, GraphError, ShapeError


def t(values, **options) -> ts.Tensor:
    return ts.tensor(np.asarray(values, np.float64), **options)


@ts.custom_gradient
def log1pexp(x):
    e = ts.exp(x)
    return ts.log(1.0 + e), lambda g: g * (1.0 - 1.0 / (1.0 + e))


@ts.custom_gradient
def product(a, b):
    """Of arrays of the same shape."""
    return a * b, lambda g: (g * b, g * a)


def test_rule_is_right_of_every_order():
    x = t([-1.0, 0.3, 2.0], requires_grad=True)
    assert ts.gradcheck(log1pexp, [x], order=2)
    assert ts.gradcheck(product, [x, t([0.5, 1.5, -2.0], requires_grad=True)], order=2)
    third = lambda f: ts.grad(ts.grad(ts.grad(f)))(t(0.3)).item()  # noqa: E731
    assert third(log1pexp) == pytest.approx(third(ts.softplus))
    assert product.__name__ == "product"
    assert product.__doc__ == "Of arrays of the same shape."


@pytest.mark.parametrize("transform", ["jvp", "hvp", "vjp", "jacobian", "hessian"])
def test_all_transforms_use_the_rule(transform):
    def apply(f):
        x, v = t([0.5, -1.0]), t([1.0, 3.0])
        if transform == "hvp":
            return ts.hvp(lambda x: ts.sum(f(x)), x, v)
        if transform == "vjp":
            return ts.vjp(f, x)[1](v)[0]
        return ts.jvp(f, x, v)[1] if transform == "jvp" else getattr(ts, transform)(f)(x)

    np.testing.assert_allclose(apply(log1pexp).numpy(), apply(ts.softplus).numpy(), rtol=1e-12)
    assert not apply(log1pexp).requires_grad


def test_wrong_rules_are_caught_by_gradcheck():
    wrong = ts.custom_gradient(lambda x: (x * x, lambda g: g * x))
    with pytest.raises(GradientError, match="input 0"):
        ts.gradcheck(wrong, [t([1.0, 2.0], requires_grad=True)])

    @ts.custom_gradient
    def wrong_at_second_order(x):
        constant = x.detach()
        return x * x, lambda g: 2.0 * g * constant

    ts.gradcheck(wrong_at_second_order, [t([1.0, 2.0], requires_grad=True)])
    with pytest.raises(GradientError, match="second derivative"):
        ts.gradcheck(wrong_at_second_order, [t([1.0, 2.0], requires_grad=True)], order=2)


def test_the_rule_is_used_even_if_it_is_no_derivative():
    reverse = ts.custom_gradient(lambda x: (x, lambda g: -2.0 * g))
    assert ts.grad(lambda x: reverse(x) * 3.0)(t(1.0)).item() == -6.0
    straight_through = ts.custom_gradient(lambda x: (ts.sign(x), lambda g: g))
    x = t([0.5, -2.0], requires_grad=True)
    ts.sum(straight_through(x) * t([1.0, 2.0])).backward()
    assert grad_of(x).tolist() == [1.0, 2.0]


def test_trees_integers_numbers_and_no_gradient():
    @ts.custom_gradient
    def f(p, index, scale, unused, *, factor=1.0):
        def pull(g):
            assert g["count"].shape == ()
            return {"b": (g["y"].sum(),), "w": g["y"] * scale * factor}, "ignored", 7, None

        return {"y": p["w"] * scale * factor + p["b"][0], "count": ts.sum(index)}, pull

    w, b, unused = t([1.0, 2.0], requires_grad=True), t(3.0, requires_grad=True), t(1.0, requires_grad=True)
    result = f({"w": w, "b": (b,)}, ts.tensor([1, 2]), 2.0, unused, factor=5.0)
    assert result["count"].item() == 3
    assert not result["count"].requires_grad
    ts.sum(result["y"] * t([1.0, 4.0])).backward()
    assert (grad_of(w).tolist(), grad_of(b).item(), grad_of(unused).item()) == ([10.0, 40.0], 5.0, 0.0)


def test_results_that_no_gradient_reaches_get_zeros():
    @ts.custom_gradient
    def both(x):
        return (x * 2.0, x * 3.0), lambda g: g[0] * 2.0 + g[1] * 3.0

    x = t([1.0, 2.0], requires_grad=True)
    ts.gradcheck(lambda x: both(x)[1] * x, [x], order=2)
    ts.sum(both(x)[0]).backward()
    assert grad_of(x).tolist() == [2.0, 2.0]


def test_the_rule_may_read_what_is_differentiated_outside():
    def f(strength):
        scaled = ts.custom_gradient(lambda x: (x, lambda g: strength * g))
        return ts.grad(lambda x: scaled(x) * x)(t(3.0))  # x + strength * x

    assert f(t(2.0)).item() == 9.0
    assert not f(t(2.0)).requires_grad
    assert ts.grad(f)(t(2.0)).item() == 3.0
    leaf = t(2.0, requires_grad=True)
    f(leaf).backward()
    assert grad_of(leaf).item() == 3.0


@pytest.mark.parametrize(
    ("rule", "error", "message"),
    [
        (lambda g: (g, g, g), ArgumentError, r"tuple of 2 gradients.*got \(\(2,\) float64"),
        (lambda g: g, ArgumentError, "tuple of 2 gradients"),
        (lambda g: (g, g.sum()), ShapeError, r"argument 1 of 'f' to have its shape \(2,\), got \(\)"),
        (lambda g: (g, (g, g)), ArgumentError, r"argument 1 of 'f' to have its structure, with 1 arrays"),
    ],
)
def test_rules_of_the_wrong_form_are_refused(rule, error, message):
    @ts.custom_gradient
    def f(a, b):
        return a * b, rule

    with pytest.raises(error, match=message):
        ts.grad(lambda a, b: ts.sum(f(a, b)), (0, 1))(t([1.0, 2.0]), t([3.0, 4.0]))


def test_functions_of_the_wrong_form_are_refused():
    with pytest.raises(ArgumentError, match=r"'<lambda>' to return a value and its pull-back, got \(2,\) float64"):
        ts.custom_gradient(lambda x: x * x)(t([1.0, 2.0]))
    w = t([1.0, 2.0], requires_grad=True)
    with pytest.raises(GraphError, match=r"depend on its arguments alone.*shape \(2,\).*pass that as an argument"):
        ts.custom_gradient(lambda x: (x * w, lambda g: g * w))(t([1.0, 2.0], requires_grad=True))
    with pytest.raises(GraphError, match="arguments alone"):
        ts.grad(lambda w: ts.sum(ts.custom_gradient(lambda x: (x * w, lambda g: g * w))(t([1.0, 2.0]))))(w)
    fine = ts.custom_gradient(lambda x: (x * w.detach(), lambda g: g * w.detach()))
    assert ts.grad(lambda x: ts.sum(fine(x)))(t([1.0, 1.0])).tolist() == [1.0, 2.0]


def test_no_gradient_wanted_no_rule_recorded():
    x = t([1.0, 2.0])
    assert not log1pexp(x).requires_grad
    with ts.no_grad():
        assert not log1pexp(t([1.0], requires_grad=True)).requires_grad
    gc.collect()
    gc.disable()
    try:
        before = sum(type(thing) is Node for thing in gc.get_objects())
        leaf = t([1.0, 2.0], requires_grad=True)
        ts.sum(log1pexp(leaf) * leaf).backward()
        ts.grad(lambda x: ts.sum(ts.grad(lambda x: ts.sum(log1pexp(x)))(x)))(leaf)
        assert sum(type(thing) is Node for thing in gc.get_objects()) == before
    finally:
        gc.enable()


def test_in_a_scan():
    xs = t(np.random.default_rng(0).normal(size=(4, 2)), requires_grad=True)

    def run(xs, f, **options):
        return ts.sum(ts.scan(lambda h, x: (f(h) - x, h * x), t([0.2, 0.4]), xs, **options)[1])

    ts.gradcheck(lambda xs: run(xs, log1pexp, compile=False), [xs], order=2)
    with pytest.raises(CompileError, match=r"custom_gradient: .*compile=False"):
        run(xs, log1pexp, compile=True)
    with pytest.warns(CompileWarning):
        found = ts.grad(lambda xs: run(xs, log1pexp))(xs)
    np.testing.assert_allclose(found.numpy(), ts.grad(lambda xs: run(xs, ts.softplus))(xs).numpy(), rtol=1e-12)
    with ts.no_grad():  # nothing to refuse
        compiled = run(xs, log1pexp, compile=True)
    np.testing.assert_allclose(compiled.numpy(), run(xs, log1pexp, compile=False).numpy(), rtol=1e-12)
    around = ts.custom_gradient(
        lambda x: (run(x, ts.softplus), lambda g: g * ts.grad(lambda y: run(y, ts.softplus))(x))
    )
    ts.gradcheck(around, [xs], order=2)


def test_a_gradient_of_another_structure_is_refused():
    """Leaves of dicts are in the order of their keys: those of a list would go to the wrong places."""
    given = {"b": ts.tensor(2.0), "a": ts.tensor(3.0)}
    wrong = ts.custom_gradient(lambda p: (p["b"] * p["a"], lambda g: [g * p["a"], g * p["b"]]))
    with pytest.raises(ArgumentError, match="to have its structure, with 2 arrays"):
        ts.grad(wrong)(given)
    right = ts.custom_gradient(lambda p: (p["b"] * p["a"], lambda g: {"b": g * p["a"], "a": g * p["b"]}))
    found = ts.grad(right)(given)
    assert (found["b"].item(), found["a"].item()) == (3.0, 2.0)
