"""Each transform inside each other, with each thing that the inner result can depend on, against closed forms."""

from __future__ import annotations

import gc
import weakref
from typing import Any, NamedTuple

import numpy as np
import pytest

import tinygrad_seq as ts
from tests.grad_of import grad_of
from tinygrad_seq.autograd.tape import Node
from tinygrad_seq.errors import ArgumentError, CompileError, CompileWarning, GraphError, ShapeError

K = np.array([0.7, -1.3, 2.1])
POINT = {"y": np.array([1.5, -0.8, 0.6]), "c": np.array([-1.2, 0.9, 1.7]), "v": np.array([0.4, 1.1, -0.5])}
U = np.array([1.0, -2.0, 0.3])


def t(values, **options) -> ts.Tensor:
    return ts.tensor(np.asarray(values, np.float64), **options)


class Monomial(NamedTuple):
    """``factor * y**y * c**c * v**v``, element by element."""

    factor: float
    y: int
    c: int
    v: int

    def at(self, point: dict[str, np.ndarray]) -> np.ndarray:
        return self.factor * point["y"] ** self.y * point["c"] ** self.c * point["v"] ** self.v

    def d(self, role: str) -> Monomial:
        power = getattr(self, role)
        return self._replace(factor=self.factor * power, **{role: max(power - 1, 0)})


# What is differentiated inside: c^2 y^5, element by element, or its sum.
def curve(c):
    return lambda y: c**2 * y**5


def total(c):
    return lambda y: ts.sum(c**2 * y**5)


def pulled_later(y, c, v):
    _, pull = ts.vjp(curve(c), y)
    pull(t(np.ones(3)))  # may be called again and again
    return pull(v)[0]


INNER: dict[str, tuple[Any, Monomial]] = {
    "grad": (lambda y, c, v: ts.grad(total(c))(y), Monomial(5, 4, 2, 0)),
    "value_and_grad": (lambda y, c, v: ts.value_and_grad(total(c))(y)[1], Monomial(5, 4, 2, 0)),
    "vjp": (lambda y, c, v: ts.vjp(curve(c), y)[1](v)[0], Monomial(5, 4, 2, 1)),
    "vjp value": (lambda y, c, v: ts.vjp(curve(c), y)[0], Monomial(1, 5, 2, 0)),
    "vjp again": (pulled_later, Monomial(5, 4, 2, 1)),
    "jvp": (lambda y, c, v: ts.jvp(curve(c), y, v)[1], Monomial(5, 4, 2, 1)),
    "jvp value": (lambda y, c, v: ts.jvp(curve(c), y, v)[0], Monomial(1, 5, 2, 0)),
    "hvp": (lambda y, c, v: ts.hvp(total(c), y, v), Monomial(20, 3, 2, 1)),
    "jacobian": (lambda y, c, v: ts.jacobian(curve(c))(y) @ v, Monomial(5, 4, 2, 1)),
    "hessian": (lambda y, c, v: ts.hessian(total(c))(y) @ v, Monomial(20, 3, 2, 1)),
    "grad of grad": (
        lambda y, c, v: ts.grad(lambda a: ts.sum(ts.grad(total(c))(a) * v))(y),
        Monomial(20, 3, 2, 1),
    ),
    "jvp of grad": (lambda y, c, v: ts.jvp(ts.grad(total(c)), y, v)[1], Monomial(20, 3, 2, 1)),
    "grad of jvp": (lambda y, c, v: ts.grad(lambda a: ts.sum(ts.jvp(curve(c), a, v)[1]))(y), Monomial(20, 3, 2, 1)),
    "vjp of vjp": (
        lambda y, c, v: ts.vjp(lambda a: ts.vjp(curve(c), a)[1](v)[0], y)[1](c)[0],
        Monomial(20, 3, 3, 1),
    ),
    "jvp of jvp": (lambda y, c, v: ts.jvp(lambda a: ts.jvp(curve(c), a, v)[1], y, v)[1], Monomial(20, 3, 2, 2)),
    "hvp of hvp": (
        lambda y, c, v: ts.hvp(lambda a: ts.sum(ts.hvp(total(c), a, v)), y, v),
        Monomial(120, 1, 2, 2),
    ),
    "forward of reverse": (
        lambda y, c, v: ts.jvp(lambda b: ts.vjp(curve(b), y)[1](v)[0], c, v)[1],
        Monomial(10, 4, 1, 2),
    ),
    "grad of checkpoint": (lambda y, c, v: ts.grad(ts.checkpoint(total(c)))(y), Monomial(5, 4, 2, 0)),
}  # fmt: skip

OUTER: dict[str, Any] = {
    "grad": (lambda f, z: ts.grad(f)(z), lambda d1, d2, d3: d1),
    "value_and_grad": (lambda f, z: ts.value_and_grad(f)(z)[1], lambda d1, d2, d3: d1),
    "vjp": (lambda f, z: ts.vjp(f, z)[1](t(2.0))[0], lambda d1, d2, d3: 2 * d1),
    "jvp": (lambda f, z: ts.jvp(f, z, t(U))[1], lambda d1, d2, d3: (d1 * U).sum()),
    "hvp": (lambda f, z: ts.hvp(f, z, t(U)), lambda d1, d2, d3: d2 * U),
    "jacobian": (lambda f, z: ts.jacobian(f)(z), lambda d1, d2, d3: d1),
    "hessian": (lambda f, z: ts.hessian(f)(z), lambda d1, d2, d3: np.diag(d2)),
    "grad of grad": (lambda f, z: ts.grad(lambda a: ts.sum(ts.grad(f)(a) * t(U)))(z), lambda d1, d2, d3: d2 * U),
    "grad of hvp": (lambda f, z: ts.grad(lambda a: ts.sum(ts.hvp(f, a, t(U))))(z), lambda d1, d2, d3: d3 * U),
    "grad of checkpoint": (lambda f, z: ts.grad(ts.checkpoint(f))(z), lambda d1, d2, d3: d1),
}


def closed_over(inner, role):
    """Return the scalar function of what `inner` depends on by way of `role`."""
    compute, _ = INNER[inner]

    def f(z):
        return ts.sum(t(K) * compute(**({name: t(value) for name, value in POINT.items()} | {role: z})))

    return f


def derivatives(inner, role):
    found, derived = [], INNER[inner][1]
    for _ in range(3):
        derived = derived.d(role)
        found.append(K * derived.at(POINT))
    return found


@pytest.mark.parametrize("role", ["y", "c", "v"])
@pytest.mark.parametrize("inner", INNER)
@pytest.mark.parametrize("outer", OUTER)
def test_every_pair_of_transforms(outer, inner, role):
    compute, expected = OUTER[outer]
    found = compute(closed_over(inner, role), t(POINT[role]))
    np.testing.assert_allclose(found.numpy(), expected(*derivatives(inner, role)), rtol=1e-9, atol=1e-12)
    assert not found.requires_grad


@pytest.mark.parametrize("role", ["y", "c", "v"])
@pytest.mark.parametrize("inner", INNER)
def test_leaves_that_require_grad_are_reached(inner, role):
    compute, closed = INNER[inner]
    leaf = t(POINT[role], requires_grad=True)
    values = {name: t(value) for name, value in POINT.items()} | {role: leaf}
    found = compute(**values)
    np.testing.assert_allclose(found.numpy(), closed.at(POINT), rtol=1e-9)
    assert leaf.grad is None
    assert found.requires_grad == (getattr(closed, role) > 0)
    if found.requires_grad:
        ts.sum(t(K) * found).backward()
        np.testing.assert_allclose(grad_of(leaf).numpy(), derivatives(inner, role)[0], rtol=1e-9, atol=1e-12)
        ts.gradcheck(lambda *_: ts.sum(t(K) * compute(**values)), [leaf], order=2)
    assert not compute(**{name: t(value) for name, value in POINT.items()}).requires_grad


# ------------------------------------------------------------------------------------------ what is whose variable


def test_names_of_nested_differentiations_are_kept_apart():
    assert ts.grad(lambda x: x * ts.grad(lambda y: x + y)(x))(t(3.0)).item() == 1.0
    assert ts.grad(lambda x: x * ts.grad(lambda y: x * y)(x))(t(3.0)).item() == 6.0
    assert ts.grad(lambda x: x * ts.grad(lambda x: x * x)(x))(t(3.0)).item() == 12.0
    assert ts.jvp(lambda x: x * ts.jvp(lambda y: x + y, t(1.0), t(1.0))[1], t(3.0), t(1.0))[1].item() == 1.0
    assert ts.grad(lambda x: ts.grad(lambda y: ts.grad(lambda z: x * y**2 * z**3)(x))(x))(t(2.0)).item() == 192.0


def test_closures_of_several_levels():
    def f(a):
        def g(b):
            def h(c):
                return a**2 * b**3 * c**4

            return ts.grad(h)(t(0.5)) * ts.grad(lambda c: h(c) * b)(t(2.0))

        return ts.grad(g)(t(1.5))

    a, b = 1.1, 1.5  # 4 a^2 b^3 .125 * 32 a^2 b^4 = 16 a^4 b^7
    assert ts.grad(f)(t(a)).item() == pytest.approx(16 * 4 * a**3 * 7 * b**6)
    assert ts.grad(ts.grad(f))(t(a)).item() == pytest.approx(16 * 12 * a**2 * 7 * b**6)


def test_a_pull_back_made_outside_is_differentiated_where_it_is_called():
    w = t(5.0, requires_grad=True)
    value, pull = ts.vjp(lambda y: w * y**3, t(2.0))
    assert value.requires_grad
    for _ in range(2):
        assert ts.grad(lambda v: pull(v)[0] * v)(t(3.0)).item() == pytest.approx(2 * 60 * 3)
    first = ts.grad(lambda v: ts.grad(lambda u: pull(u * v)[0])(t(1.0)))
    assert first(t(3.0)).item() == pytest.approx(60.0)
    (found,) = pull(t(3.0))
    found.backward()
    assert grad_of(w).item() == pytest.approx(36.0)
    free = ts.vjp(lambda y: y**3, t(2.0))[1]
    assert not free(t(1.0))[0].requires_grad
    assert not ts.grad(lambda v: free(v)[0] * v)(t(3.0)).requires_grad


def test_a_value_of_an_outer_variable_computed_between_the_levels():
    def f(x):
        inside = ts.exp(x) * 2.0
        _, pull = ts.vjp(lambda y: inside * y * y, t(1.5))
        return pull(inside)[0] + ts.jvp(lambda y: inside * y, t(1.0), inside)[1]

    assert ts.grad(f)(t(0.3)).item() == pytest.approx(4 * np.exp(0.6) * 8)


def test_trees_zero_dependence_and_integer_closures():
    index, mask = ts.tensor([0, 2]), ts.tensor([True, False, True])

    def loss(p, c):
        return ts.sum(ts.where(mask, p["w"] * c, c)[index]) * p["b"][0]

    def f(c):
        found = ts.grad(loss)({"w": t([1.0, 2.0, 3.0]), "b": (t(2.0), t(9.0)), "none": None}, c)
        assert found["none"] is None
        assert not found["b"][1].requires_grad  # zero, whatever c is
        return ts.sum(found["w"] * t([1.0, 5.0, 10.0])) + found["b"][0] + found["b"][1]

    np.testing.assert_allclose(ts.grad(f)(t([1.0, 1.0, 1.0])).numpy(), [3.0, 0.0, 23.0])
    np.testing.assert_array_equal(ts.grad(lambda c: ts.grad(lambda y: y * 2.0)(t(1.0)) * 3.0)(t(1.0)).numpy(), 0.0)


def test_aux_is_differentiated_too():
    def f(x):
        gradient, aux = ts.grad(lambda y: (x * y * y, {"y": y * 2.0, "x": x * y, "n": 3}), has_aux=True)(t(2.0))
        assert aux["n"] == 3
        assert not aux["y"].requires_grad
        return gradient + 10.0 * aux["x"] + aux["y"]

    assert ts.grad(f)(t(3.0)).item() == 24.0
    w = t(3.0, requires_grad=True)
    (_, aux), gradient = ts.value_and_grad(lambda y: (y * y, y * y * w), has_aux=True)(t(2.0))
    assert not gradient.requires_grad
    aux.backward()
    assert grad_of(w).item() == 4.0


# ------------------------------------------------------------------------------- detach, no_grad and create_graph


def test_detach_and_no_grad_inside():
    def detached(x):
        return ts.grad(lambda y: x * y * x.detach())(t(2.0))

    def unrecorded(x):
        def inner(y):
            with ts.no_grad():
                factor = x * 2.0
            return x * y * factor

        return ts.grad(inner)(t(2.0))

    assert ts.grad(detached)(t(3.0)).item() == 3.0
    assert ts.grad(unrecorded)(t(3.0)).item() == 6.0
    assert ts.grad(lambda x: x * ts.grad(lambda y: x * y)(t(2.0)).detach())(t(3.0)).item() == 3.0


def test_no_grad_around_makes_constants_and_differentiates_all_the_same():
    def f(x):
        with ts.no_grad():
            inner = ts.grad(lambda y: x * y * y)(t(2.0))
            tangent = ts.jvp(lambda y: x * y * y, t(2.0), x)[1]
        assert (inner.item(), tangent.item()) == (12.0, 36.0)
        return x * inner * tangent

    assert ts.grad(f)(t(3.0)).item() == 12.0 * 36.0


TRANSFORMS = {
    "grad": lambda w, x, **options: ts.grad(lambda y: w * y * y, **options)(x),
    "value_and_grad": lambda w, x, **options: ts.value_and_grad(lambda y: w * y * y, **options)(x)[1],
    "value": lambda w, x, **options: ts.value_and_grad(lambda y: w * y * 4.0, **options)(x)[0],
    "vjp": lambda w, x, **options: ts.vjp(lambda y: w * y * y, x, **options)[1](t(1.0))[0],
    "jvp": lambda w, x, **options: ts.jvp(lambda y: w * y * y, x, t(1.0), **options)[1],
    "hvp": lambda w, x, **options: ts.hvp(lambda y: w * y**3 / 3.0, x, t(1.0), **options),
    "jacobian": lambda w, x, **options: ts.jacobian(lambda y: w * y * y, **options)(x),
    "hessian": lambda w, x, **options: ts.hessian(lambda y: w * y**3 / 3.0, **options)(x),
}


@pytest.mark.parametrize("name", TRANSFORMS)
def test_create_graph_decides_by_hand(name):
    w, x = t(3.0, requires_grad=True), t(2.0)
    results = {options: TRANSFORMS[name](w, x, create_graph=options) for options in (None, True, False)}
    assert [result.requires_grad for result in results.values()] == [True, True, False]
    with ts.no_grad():
        results = {options: TRANSFORMS[name](w, x, create_graph=options) for options in (None, True, False)}
        assert [result.requires_grad for result in results.values()] == [False, True, False]
    results[True].backward()
    assert grad_of(w).item() == pytest.approx(8.0 if name == "value" else 4.0)
    assert not TRANSFORMS[name](w.detach(), x, create_graph=True).requires_grad


# ----------------------------------------------------------------------------------------------- memory and leaks


def test_nothing_stays_behind():
    w, x = t([2.0, 3.0], requires_grad=True), t([1.0, 2.0], requires_grad=True)
    gc.collect()
    gc.disable()
    try:
        before = sum(type(thing) is Node for thing in gc.get_objects())
        for transform in TRANSFORMS.values():
            transform(w[0], x[0])
            transform(w.detach()[0], x.detach()[0])
        ts.grad(lambda a: ts.sum(ts.grad(lambda b: ts.sum(w * a * b**2))(x)))(x)
        assert sum(type(thing) is Node for thing in gc.get_objects()) == before
    finally:
        gc.enable()
    assert w.grad is None
    assert x.grad is None


@pytest.mark.parametrize("outer", [False, True])
def test_the_graph_is_freed_unless_something_outside_is_differentiated(outer):
    w = t(np.ones(1000), requires_grad=outer)
    kept: list[weakref.ref] = []

    def loss(x):
        h = ts.exp(x * w)
        kept.append(weakref.ref(h._source))
        return ts.sum(h)

    gradient = ts.grad(loss)(t(np.ones(1000)))
    assert (kept[0]() is not None) == outer
    assert gradient.requires_grad == outer


def test_hooks_may_read_what_is_differentiated_outside():
    def f(x):
        def inner(y):
            h = y * 3.0
            h.register_hook(lambda g: g * x)
            return h * h

        return ts.grad(inner)(t(2.0))

    assert f(t(5.0)).item() == 180.0
    assert not f(t(5.0)).requires_grad
    assert ts.grad(f)(t(5.0)).item() == 36.0


def test_errors_name_the_transform():
    with pytest.raises(ShapeError, match=r"expected a gradient of shape \(2,\), got \(3,\)"):
        ts.vjp(lambda x: x * x, t([1.0, 2.0]))[1](t([1.0, 2.0, 3.0]))
    with pytest.raises(GraphError, match=r"grad: .*a scalar"):
        ts.grad(lambda x: ts.grad(lambda y: y * x)(x))(t([1.0, 2.0]))


# ------------------------------------------------------------------------------------------------------- in scans


def fast_weights(carry, x):
    """One step of gradient descent on how well the weights map the input to itself, and what they make of it then."""
    weights, rate = carry
    gradient = ts.grad(lambda w: ts.sum((ts.tanh(x @ w) - x) ** 2))(weights)
    weights = weights - rate * gradient
    return (weights, rate), ts.tanh(x @ weights)


def run_fast_weights(weights, rate, xs, **options):
    (weights, _), ys = ts.scan(fast_weights, (weights, rate), xs, **options)
    return ts.sum(ys * ys) + ts.sum(weights)


def test_grad_inside_a_scan_step():
    rng = np.random.default_rng(0)
    inputs = [t(rng.normal(size=(2, 2)), requires_grad=True), t(0.3, requires_grad=True)]
    inputs.append(t(rng.normal(size=(4, 3, 2)), requires_grad=True))
    ts.gradcheck(lambda *given: run_fast_weights(*given, compile=False), inputs, order=2)
    with pytest.raises(CompileError, match=r"grad: .*scan step .*test_nested_gradients"):
        run_fast_weights(*inputs, compile=True)
    with pytest.warns(CompileWarning, match="step by step"):
        by_itself = ts.grad(run_fast_weights, (0, 1, 2))(*inputs)
    by_hand = ts.grad(lambda *given: run_fast_weights(*given, compile=False), (0, 1, 2))(*inputs)
    for found, expected in zip(by_itself, by_hand, strict=True):
        np.testing.assert_array_equal(found.numpy(), expected.numpy())


REFUSED = {
    "argument": lambda h, x: ts.grad(lambda y: ts.sum(y * y))(h),
    "closure": lambda h, x: ts.grad(lambda y: ts.sum(y * y * h))(t([2.0, 3.0])),
    "value": lambda h, x: ts.value_and_grad(lambda y: ts.sum(y * h))(t([2.0, 3.0]))[1],
    "vjp": lambda h, x: ts.vjp(lambda y: y * y * h, x)[1](h)[0],
    "cotangent": lambda h, x: ts.vjp(lambda y: y * y, t([2.0, 3.0]))[1](h)[0],
    "tangent": lambda h, x: ts.jvp(lambda y: y * y, t([2.0, 3.0]), h)[1],
    "jvp": lambda h, x: ts.jvp(lambda y: y * h, t([2.0, 3.0]), t([1.0, 1.0]))[1],
    "vector": lambda h, x: ts.hvp(lambda y: ts.sum(y**3), t([2.0, 3.0]), h),
    "hvp": lambda h, x: ts.hvp(lambda y: ts.sum(h * y**3), t([2.0, 3.0]), t([1.0, 1.0])),
    "jacobian": lambda h, x: ts.jacobian(lambda y: y * y * h)(x) @ h,
    "hessian": lambda h, x: ts.hessian(lambda y: ts.sum(y**3 * h))(x) @ h,
    "custom": lambda h, x: ts.custom_gradient(lambda y: (y * y, lambda g: 3.0 * g * y))(h),
}


@pytest.mark.parametrize("name", REFUSED)
def test_a_transform_of_traced_values_is_refused_and_runs_step_by_step(name):
    inner = REFUSED[name]

    def step(h, x):
        h = 0.3 * ts.tanh(inner(h, x)) + x
        return h, h * x

    def loss(h, xs, **options):
        return ts.sum(ts.scan(step, h, xs, **options)[1])

    h, xs = t([0.5, -0.2]), t(np.random.default_rng(0).normal(size=(4, 2)))
    with pytest.raises(CompileError, match="compile=False"):
        loss(h, xs, compile=True)
    with pytest.warns(CompileWarning):
        found = ts.grad(loss, (0, 1))(h, xs)
    if name != "custom":
        inputs = [t(h.numpy(), requires_grad=True), t(xs.numpy(), requires_grad=True)]
        ts.gradcheck(lambda *given: loss(*given, compile=False), inputs, order=2)
    for value, again in zip(found, ts.grad(lambda *a: loss(*a, compile=False), (0, 1))(h, xs), strict=True):
        np.testing.assert_array_equal(value.numpy(), again.numpy())


def test_a_transform_of_constants_in_a_compiled_step_is_a_constant_with_a_gradient():
    w, xs = t([2.0, 3.0], requires_grad=True), t(np.random.default_rng(0).normal(size=(4, 2)))

    def loss(w, compile):
        def step(h, x):
            h = ts.tanh(h + x * ts.grad(lambda y: ts.sum(w * y * y))(t([0.3, 0.1])))
            return h, h

        return ts.sum(ts.scan(step, t([0.0, 0.0]), xs, compile=compile)[1])

    ts.gradcheck(lambda w: loss(w, True), [w], order=2)
    np.testing.assert_allclose(ts.grad(loss)(w, True).numpy(), ts.grad(loss)(w, False).numpy(), rtol=1e-12)


def recurrent(w, h, xs, b, compile=True):
    """Return a scan whose step closes over `w` and over a value that is computed from `b`."""
    shift = ts.exp(b)

    def step(h, x):
        h = ts.tanh(h @ w + x * shift)
        return h, h * b

    last, ys = ts.scan(step, h, xs, compile=compile)
    return ts.sum(ys**2) + ts.sum(last**3)


def scan_inputs(**options):
    rng = np.random.default_rng(1)
    return [t(rng.normal(size=shape), **options) for shape in ((2, 2), (3, 2), (4, 3, 2), (2,))]


def test_second_and_mixed_derivatives_of_a_compiled_scan():
    ts.gradcheck(recurrent, scan_inputs(requires_grad=True), order=2)
    given = scan_inputs()
    for outer in range(4):
        for inner in range(4):

            def mixed(z, compile, outer=outer, inner=inner):
                values = [*given]
                values[outer] = z
                found = ts.grad(lambda y: recurrent(*[*values[:inner], y, *values[inner + 1 :], compile]))
                return ts.sum(found(values[inner]) ** 2)

            compiled, eager = (ts.grad(mixed)(given[outer], compile).numpy() for compile in (True, False))
            np.testing.assert_allclose(compiled, eager, rtol=1e-9, atol=1e-12)


CUT = {
    "detach": lambda h, x, w: ts.tanh(h @ w + x * h.detach()),
    "detached product": lambda h, x, w: ts.tanh((h @ w).detach() * h + x),
    "tie": lambda h, x, w: ts.maximum(h @ w, x) * ts.tanh(h),
}


@pytest.mark.parametrize("options", [{}, {"reverse": True}, {"window": 2}, {"remember": 2}], ids=str)
@pytest.mark.parametrize("name", CUT)
def test_cut_gradients_in_a_scan_at_second_order(name, options):
    given = scan_inputs()[:3]

    def loss(w, h, xs, **how):
        def step(h, x):
            h = CUT[name](h, x, w)
            with ts.no_grad():
                scale = ts.exp(h)
            return h, h * scale

        last, ys = ts.scan(step, h, xs, **options, **how)
        return ts.sum(ys) + ts.sum(last**2)

    def penalty(*given, **how):
        return sum(ts.sum(part**2) for part in ts.grad(loss, (0, 1, 2))(*given, **how))

    compiled, eager = (ts.grad(penalty, (0, 1, 2))(*given, compile=how) for how in (True, False))
    for found, expected in zip(compiled, eager, strict=True):
        np.testing.assert_allclose(found.numpy(), expected.numpy(), rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("kind", ["jvp", "hvp", "jacobian", "vjp", "third"])
def test_transforms_of_a_compiled_scan_inside_another(kind):
    given = scan_inputs()

    def f(w, compile):
        _, h, xs, b = given
        f = lambda h: recurrent(w, h, xs, b, compile)  # noqa: E731
        if kind == "jvp":
            return ts.jvp(f, h, ts.ones_like(h))[1]
        if kind == "hvp":
            return ts.sum(ts.hvp(f, h, ts.ones_like(h)) ** 2)
        if kind == "jacobian":
            return ts.sum(ts.jacobian(f)(h) ** 2)
        if kind == "vjp":
            return ts.sum(ts.vjp(f, h)[1](ts.sum(w))[0] ** 2)
        return ts.sum(ts.grad(lambda h: ts.sum(ts.grad(f)(h) ** 2))(h) ** 2)

    compiled, eager = (ts.grad(f)(given[0], compile).numpy() for compile in (True, False))
    np.testing.assert_allclose(compiled, eager, rtol=1e-9, atol=1e-12)
    ts.gradcheck(lambda w: f(w, True), [t(given[0].numpy(), requires_grad=True)])


@pytest.mark.parametrize("make", [ts.nn.GRU, ts.nn.LSTM, ts.nn.RNN])
def test_gradient_penalty_through_a_compiled_layer(make):
    ts.set_default_dtype("float64")
    try:
        layer, xs = make(2, 3), ts.randn(4, 2, 2)

        def penalty(*_):
            gradient = ts.grad(lambda xs: ts.sum(layer(xs)[0] ** 2))(xs)
            return ts.sum(gradient**2)

        ts.gradcheck(penalty, [*layer.parameters()])
        compiled = ts.grad(lambda xs: ts.sum(ts.grad(lambda xs: ts.sum(layer(xs)[0] ** 2))(xs) ** 2))(xs)
        assert compiled.requires_grad
        assert all(parameter.grad is None for parameter in layer.parameters())
    finally:
        ts.set_default_dtype("float32")


def test_learning_to_learn_through_an_lstm():
    """A context is adapted by three steps of gradient descent; the loss after them is differentiated by the weights."""
    ts.set_default_dtype("float64")
    try:
        layer, xs, target = ts.nn.LSTM(3, 2), ts.randn(5, 2, 1), ts.randn(5, 2, 2)
        context = t([0.1, -0.2], requires_grad=True)

        def loss(context):
            wide = ts.broadcast_to(context, (5, 2, 2))
            return ts.mean((layer(ts.concat([xs, wide], axis=2))[0] - target) ** 2)

        def adapted(*leaves):
            now = context
            for _ in range(3):
                now = now - 0.5 * ts.grad(loss)(now)
            return loss(now)

        ts.gradcheck(adapted, [context, *layer.parameters()])
        first_order = context - 0.5 * ts.grad(loss, create_graph=False)(context)
        loss(first_order).backward()
        assert context.grad is not None
    finally:
        ts.set_default_dtype("float32")


def test_outputs_of_a_compiled_scan_inside_a_nested_differentiation():
    xs = t(np.random.default_rng(0).normal(size=(4, 3)))

    def f(w):
        _, ys = ts.scan(lambda h, x: (ts.tanh(h * w + x),) * 2, t(np.zeros(3)), xs, compile=True)
        return ts.sum(ts.hvp(lambda z: ts.sum(ys * z**3), t([1.0, 2.0, 0.5]), ys[0]))

    ts.gradcheck(f, [t([0.5, 0.2, 0.3], requires_grad=True)], order=2)


class DescendingCell(ts.nn.Cell):
    """Its state takes a step down the slope of a loss that depends on the input and on the weights."""

    state_shape = (3,)

    def __init__(self) -> None:
        super().__init__()
        self.weight = ts.nn.Parameter(np.array([[0.5, 0.1, 0.0], [0.0, 0.4, 0.2], [0.3, 0.0, 0.6]]))

    def forward(self, x, h):
        h = h - 0.1 * ts.grad(lambda h: ts.sum((ts.tanh(h @ self.weight) - x) ** 2))(h)
        return h, h


def test_a_cell_that_differentiates():
    layer, xs = ts.nn.Recurrent(DescendingCell()).double(), t(np.random.default_rng(0).normal(size=(4, 2, 3)))
    with pytest.warns(CompileWarning, match=r"grad: .*step by step"):
        layer(xs)
    ts.gradcheck(lambda *_: layer(xs)[0], [*layer.parameters()], order=2)


def test_numbers_keep_their_dtype():
    assert ts.grad(lambda x: x * x)(2.0).dtype == np.float32
    assert ts.grad(lambda x: x * x)(np.float64(2.0)).dtype == np.float64


def test_backward_inside_a_differentiation():
    def f(x):
        w = t(3.0, requires_grad=True)
        (x * w**2).backward(create_graph=True)
        gradient, w.grad = w.grad, None
        return gradient * x  # 6 x^2

    assert ts.grad(f)(t(2.0)).item() == 24.0
    assert ts.hvp(f, t(2.0), t(1.0)).item() == 12.0


def test_tangents_and_cotangents_of_another_structure_are_refused():
    """Leaves of dicts are in the order of their keys: those of a list would go to the wrong places."""
    primals = {"b": ts.tensor(2.0), "a": ts.tensor(3.0)}

    def f(p):
        return {"b": p["b"] * p["a"], "a": p["a"]}

    with pytest.raises(ShapeError, match="jvp: expected tangents of the primals' structure"):
        ts.jvp(f, (primals,), ([ts.tensor(1.0), ts.tensor(0.0)],))
    _, pull = ts.vjp(f, primals)
    with pytest.raises(ShapeError, match="vjp: expected 2 cotangents"):
        pull((ts.tensor(1.0), ts.tensor(0.0)))
    (found,) = pull({"b": 1.0, "a": 0.0})
    assert (found["b"].item(), found["a"].item()) == (3.0, 2.0)
    assert ts.vjp(lambda x: (x * 2.0,), ts.tensor(1.0))[1](1.0)[0].item() == 2.0


@pytest.mark.parametrize(
    "result", [ts.ones(2), [ts.ones(()), 1], (ts.ones(()), 1, 2)], ids=["tensor", "list", "triple"]
)
def test_has_aux_takes_a_pair_only(result):
    with pytest.raises(ArgumentError, match=r"grad: expected a function that returns a pair \(value, aux\)"):
        ts.grad(lambda x: result, has_aux=True)(ts.ones(2))


@pytest.mark.parametrize("argnums", [1.5, "0", (0, None), None])
def test_argnums_are_integers(argnums):
    with pytest.raises(ArgumentError, match="grad: expected argnums to be an integer"):
        ts.grad(lambda x: x.sum(), argnums)
