"""grad, value_and_grad, vjp, jvp, hvp against closed forms and each other."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import tinygrad_seq as ts
from tests.grad_of import grad_of
from tinygrad_seq.errors import ArgumentError, DtypeError, GraphError, ShapeError


def t(values, **options) -> ts.Tensor:
    return ts.tensor(np.asarray(values, np.float64), **options)


def cube(x):
    return ts.sum(x * x * x)


def test_grad_leaves_dot_grad_alone():
    x = t([1.0, 2.0], requires_grad=True)
    gradient = ts.grad(cube)(x)
    np.testing.assert_allclose(gradient.numpy(), [3.0, 12.0])
    assert x.grad is None
    assert not ts.grad(cube)(x.detach()).requires_grad


def test_grad_takes_arrays_numbers_and_containers():
    np.testing.assert_allclose(ts.grad(cube)(np.array([1.0, 2.0])).numpy(), [3.0, 12.0])
    assert ts.grad(lambda x: x * x)(3.0).item() == 6.0
    gradient = ts.grad(lambda p: ts.sum(p["w"] * p["w"] * p["b"][0]))({"w": t([1.0, 2.0]), "b": (t(3.0), t(4.0))})
    np.testing.assert_allclose(gradient["w"].numpy(), [6.0, 12.0])
    assert gradient["b"][0].item() == 5.0
    assert gradient["b"][1].item() == 0.0


def test_argnums_and_keywords():
    def f(a, b, scale=1.0):
        return ts.sum(a * b * b) * scale

    a, b = t([1.0, 2.0]), t([3.0, 4.0])
    np.testing.assert_allclose(ts.grad(f, 1)(a, b).numpy(), [6.0, 16.0])
    np.testing.assert_allclose(ts.grad(f, -1)(a, b, scale=2.0).numpy(), [12.0, 32.0])
    first, second = ts.grad(f, (0, 1))(a, b)
    np.testing.assert_allclose(first.numpy(), [9.0, 16.0])
    np.testing.assert_allclose(second.numpy(), [6.0, 16.0])
    value, gradient = ts.value_and_grad(f)(a, b)
    assert value.item() == 41.0
    assert not value.requires_grad
    np.testing.assert_allclose(gradient.numpy(), [9.0, 16.0])


def test_same_tensor_for_two_arguments_and_in_the_closure():
    x = t([2.0], requires_grad=True)
    first, second = ts.grad(lambda a, b: ts.sum(a * a * b * x), (0, 1))(x, x)
    assert (first.item(), second.item()) == (16.0, 8.0)


def test_refusals():
    with pytest.raises(GraphError, match=r"returns a scalar, got shape \(2,\)"):
        ts.grad(lambda x: x * 2.0)(t([1.0, 2.0]))
    with pytest.raises(GraphError, match=r"hvp: .* a scalar"):
        ts.hvp(lambda x: x * 2.0, (t([1.0, 2.0]),), (t([1.0, 2.0]),))
    with pytest.raises(ArgumentError, match="argnums"):
        ts.grad(cube, 1)(t([1.0]))
    with pytest.raises(DtypeError, match="floating-point"):
        ts.grad(cube)(3)
    with pytest.raises(ArgumentError, match="returns Tensors"):
        ts.grad(lambda x: 3.0)(t([1.0]))
    with pytest.raises(ShapeError, match="jvp"):
        ts.jvp(cube, (t([1.0, 2.0]),), (t([1.0]),))
    with pytest.raises(ShapeError, match="vjp: expected 1 cotangents"):
        ts.vjp(cube, t([1.0]))[1]((t(1.0), t(1.0)))


def test_constant_functions_have_gradients_of_zero():
    x = t([1.0, 2.0])
    for gradient in (ts.grad(lambda x: t(3.0))(x), ts.hvp(lambda x: t(3.0), (x,), (x,))[0]):
        np.testing.assert_array_equal(gradient.numpy(), [0.0, 0.0])
    np.testing.assert_array_equal(ts.hvp(ts.sum, (x,), (x,))[0].numpy(), [0.0, 0.0])
    np.testing.assert_array_equal(ts.jvp(lambda x: t([3.0]), (x,), (x,))[1].numpy(), [0.0])


def test_works_under_no_grad():
    with ts.no_grad():
        np.testing.assert_allclose(ts.grad(cube)(t([1.0, 2.0])).numpy(), [3.0, 12.0])
        np.testing.assert_allclose(ts.grad(lambda x: ts.sum(ts.grad(cube)(x)))(t([1.0, 2.0])).numpy(), [6.0, 12.0])


def test_gradient_penalty_reaches_closed_over_parameters():
    w, x = t([2.0, 3.0], requires_grad=True), t([1.0, 2.0])
    gradient = ts.grad(lambda x: ts.sum(w * x * x), create_graph=True)(x)  # 2 w x
    ts.sum(gradient * gradient).backward()  # 4 w^2 x^2
    np.testing.assert_allclose(grad_of(w).numpy(), [16.0, 96.0])


def test_vjp_can_be_called_again_and_has_the_structure_of_the_result():
    x, y = t([1.0, 2.0]), t([3.0, 4.0])
    value, pull = ts.vjp(lambda x, y: {"p": x * y, "n": (x > 1, ts.sum(y))}, x, y)
    np.testing.assert_allclose(value["p"].numpy(), [3.0, 8.0])
    for _ in range(2):
        a, b = pull({"p": t([1.0, 10.0]), "n": (t([0.0, 0.0]), t(5.0))})
        np.testing.assert_allclose(a.numpy(), [3.0, 40.0])
        np.testing.assert_allclose(b.numpy(), [6.0, 25.0])


def test_tangents_are_paired_by_key():
    f = lambda p: ts.sum(p["a"] * p["a"] * p["b"])  # noqa: E731
    primals, tangents = {"a": t([1.0]), "b": t([5.0])}, {"b": t([0.0]), "a": t([1.0])}
    assert ts.jvp(f, (primals,), (tangents,))[1].item() == 10.0


def model(w, x):
    return ts.tanh(x @ w) * ts.sum(w * w)


@given(st.integers(0, 2**32 - 1))
def test_jvp_is_the_adjoint_of_vjp(seed):
    rng = np.random.default_rng(seed)
    w, x, dw, dx = (
        t(rng.normal(size=(3, 2))),
        t(rng.normal(size=(4, 3))),
        t(rng.normal(size=(3, 2))),
        t(np.ones((4, 3))),
    )
    value, pushed = ts.jvp(model, (w, x), (dw, dx))
    cotangent = t(rng.normal(size=(4, 2)))
    again, pull = ts.vjp(model, w, x)
    np.testing.assert_array_equal(value.numpy(), again.numpy())
    gw, gx = pull(cotangent)
    left = (cotangent.numpy() * pushed.numpy()).sum()
    right = (gw.numpy() * dw.numpy()).sum() + (gx.numpy() * dx.numpy()).sum()
    assert left == pytest.approx(right, rel=1e-9, abs=1e-12)


@given(st.integers(0, 2**32 - 1))
def test_hvp_is_symmetric_and_agrees_with_differences_of_the_gradient(seed):
    rng = np.random.default_rng(seed)
    x, w = t(rng.normal(size=(4, 3))), rng.normal(size=(3, 2))
    f = lambda w: ts.sum(model(w, x))  # noqa: E731
    u, v = rng.normal(size=(2, 3, 2))
    (hu,) = ts.hvp(f, (t(w),), (t(u),))
    (hv,) = ts.hvp(f, (t(w),), (t(v),))
    assert (hu.numpy() * v).sum() == pytest.approx((hv.numpy() * u).sum(), rel=1e-8, abs=1e-10)
    step = 1e-5
    numeric = (ts.grad(f)(t(w + step * u)).numpy() - ts.grad(f)(t(w - step * u)).numpy()) / (2 * step)
    np.testing.assert_allclose(hu.numpy(), numeric, rtol=1e-5, atol=1e-6)


def test_jvp_with_integer_results_and_nested_jvp():
    value, pushed = ts.jvp(lambda x: (x * x, ts.astype(x, "int64")), (t([3.0]),), (t([1.0]),))
    assert (value[1].item(), pushed[0].item(), pushed[1].item()) == (3, 6.0, 0)
    second = ts.jvp(lambda x: ts.jvp(lambda x: x**3, (x,), (t(1.0),))[1], (t(2.0),), (t(1.0),))[1]
    assert second.item() == pytest.approx(12.0)


def test_has_aux_returns_what_else_the_function_made():
    def loss(x):
        return cube(x), {"doubled": x * 2.0, "count": 2}

    (value, aux), gradient = ts.value_and_grad(loss, has_aux=True)(t([1.0, 2.0]))
    assert (value.item(), aux["doubled"].tolist(), aux["count"]) == (9.0, [2.0, 4.0], 2)
    assert not aux["doubled"].requires_grad
    assert gradient.tolist() == [3.0, 12.0]
    assert ts.grad(loss, has_aux=True)(t([1.0]))[1]["count"] == 2


def test_an_only_primal_needs_no_tuple():
    x, v = t([[1.0, 2.0]]), t([[1.0, 0.5]])  # one row: taken as a sequence of rows it would be another problem
    np.testing.assert_array_equal(ts.hvp(cube, x, v).numpy(), ts.hvp(cube, (x,), (v,))[0].numpy())
    for alone, within in zip(ts.jvp(ts.exp, x, v), ts.jvp(ts.exp, (x,), (v,)), strict=True):
        np.testing.assert_array_equal(alone.numpy(), within.numpy())


def test_what_is_no_function_and_repeated_arguments_are_refused():
    x = t([1.0], requires_grad=True)
    with pytest.raises(ArgumentError, match=r"expected a function, got Tensor.*backward"):
        ts.grad(cube(x), x)  # type: ignore[arg-type]
    with pytest.raises(ArgumentError, match="each argument once"):
        ts.grad(lambda a, b: cube(a * b), (0, -2))(x, x)


def test_hvp_takes_the_direction_of_each_argument_also_beside_one_that_is_not_used():
    x, y, z = t([1.0, 2.0, 3.0]), t([1.0, -2.0, 0.5]), t([4.0, 5.0, 6.0])
    u, v, w = t([9.0, 9.0, 9.0]), t([0.5, 1.0, -1.0]), t([2.0, 3.0, 4.0])
    of_x, of_y, of_z = ts.hvp(lambda x, y, z: (y**3 + y * z**2).sum(), (x, y, z), (u, v, w))
    np.testing.assert_array_equal(of_x.numpy(), np.zeros(3))
    np.testing.assert_allclose(of_y.numpy(), (6 * y * v + 2 * z * w).numpy(), rtol=1e-14)
    np.testing.assert_allclose(of_z.numpy(), (2 * z * v + 2 * y * w).numpy(), rtol=1e-14)
