"""jacobian and hessian: shapes and structures as in JAX, values against closed forms and differences."""

from __future__ import annotations

import numpy as np
import pytest

import tinygrad_seq as ts
from tinygrad_seq.base.tree import map_leaves
from tinygrad_seq.errors import ArgumentError, DtypeError


def t(values, **options) -> ts.Tensor:
    return ts.tensor(np.asarray(values, np.float64), **options)


def shapes(tree):
    return map_leaves(lambda leaf: leaf.shape, tree)


@pytest.mark.parametrize("out", [(), (3,), (2, 2)])
@pytest.mark.parametrize("given", [(), (3,), (2, 4)])
def test_shapes_of_any_rank(out, given):
    rng = np.random.default_rng(0)
    size_in, size_out = int(np.prod(given)), int(np.prod(out))
    a, b = rng.normal(size=(size_out, size_in)), rng.normal(size=(size_out, size_in))
    x = rng.normal(size=given)

    def f(x):
        return ts.reshape(ts.reshape(x, (-1,)) @ a.T + ts.reshape(x, (-1,)) ** 2 @ b.T, out)

    first, second = ts.jacobian(f)(t(x)), ts.hessian(f)(t(x))
    assert first.shape == (*out, *given)
    assert second.shape == (*out, *given, *given)
    np.testing.assert_allclose(first.numpy().reshape(size_out, size_in), a + 2 * b * x.reshape(-1))
    expected = [np.diag(2 * row) for row in b]
    np.testing.assert_allclose(second.numpy().reshape(size_out, size_in, size_in), expected, atol=1e-12)


def test_structures_are_nested_output_first():
    def f(p, scale):
        return {"y": ts.sum(p["w"], axis=0) * scale, "z": (p["b"] ** 2, None)}

    p, scale = {"w": t(np.ones((2, 3))), "b": t(2.0)}, t(5.0)
    assert shapes(ts.jacobian(f)(p, scale)) == {
        "y": {"w": (3, 2, 3), "b": (3,)},
        "z": ({"w": (2, 3), "b": ()}, None),
    }
    both = ts.jacobian(f, (1, 0))(p, scale)
    assert shapes(both["y"]) == ((3,), {"w": (3, 2, 3), "b": (3,)})
    np.testing.assert_array_equal(both["y"][0].numpy(), [2.0, 2.0, 2.0])
    second = ts.hessian(f, (0, 1))(p, scale)
    assert shapes(second["y"][0]["w"][1]) == (3, 2, 3)
    assert shapes(second["y"][1][0]) == {"w": (3, 2, 3), "b": (3,)}
    np.testing.assert_array_equal(second["y"][0]["w"][1].numpy(), both["y"][1]["w"].numpy() / 5)
    assert second["z"][0][0]["b"][0]["b"].item() == 2.0


def test_empty_constant_and_scalar_functions():
    x = t([1.0, 2.0, 3.0])
    assert ts.jacobian(lambda x: x[:0])(x).shape == (0, 3)
    assert ts.jacobian(lambda x: x * x)(x[:0]).shape == (0, 0)
    np.testing.assert_array_equal(ts.jacobian(lambda x: t([4.0, 5.0]))(x).numpy(), np.zeros((2, 3)))
    np.testing.assert_array_equal(ts.hessian(ts.sum)(x).numpy(), np.zeros((3, 3)))
    assert ts.hessian(lambda x: x**3)(2.0).item() == 12.0
    assert ts.jacobian(lambda x, scale=1.0: x * scale)(t(2.0), scale=3.0).item() == 3.0


def test_hessian_agrees_with_hvp_and_is_symmetric():
    rng = np.random.default_rng(0)
    w, x, v = t(rng.normal(size=(3, 3))), t(rng.normal(size=3)), t(rng.normal(size=3))
    f = lambda x: ts.sum(ts.tanh(w @ x) ** 2 * ts.exp(x))  # noqa: E731
    found = ts.hessian(f)(x)
    np.testing.assert_allclose(found.numpy(), found.numpy().T, atol=1e-12)
    np.testing.assert_allclose((found @ v).numpy(), ts.hvp(f, x, v).numpy(), atol=1e-12)
    np.testing.assert_allclose(found.numpy(), ts.jacobian(ts.grad(f))(x).numpy(), atol=1e-12)
    leaf = t(x.numpy(), requires_grad=True)
    ts.gradcheck(ts.hessian(f), [leaf])
    ts.gradcheck(ts.jacobian(lambda x: ts.tanh(w @ x)), [leaf], order=2)


def test_through_a_compiled_scan():
    xs, w = t(np.random.default_rng(0).normal(size=(4, 2))), t([[0.5, -0.3], [0.2, 0.7]])

    def last(w, compile):
        return ts.scan(lambda h, x: (ts.tanh(h @ w + x), None), t([0.1, 0.2]), xs, compile=compile)[0]

    for derivative in (ts.jacobian, ts.hessian):
        found, expected = (derivative(last)(w, compile).numpy() for compile in (True, False))
        np.testing.assert_allclose(found, expected, rtol=1e-9, atol=1e-12)


def test_refusals_name_the_transform():
    with pytest.raises(DtypeError, match=r"jacobian: .*int64"):
        ts.jacobian(lambda x: x.astype("int64"))(t([1.0]))
    with pytest.raises(DtypeError, match="hessian: expected floating-point"):
        ts.hessian(ts.sum)(ts.tensor([1, 2]))
    with pytest.raises(ArgumentError, match="hessian: expected a function that returns Tensors"):
        ts.hessian(lambda x: 3.0)(t([1.0]))
    with pytest.raises(ArgumentError, match="jacobian: expected argnums"):
        ts.jacobian(ts.sum, 1)(t([1.0]))
    with pytest.raises(ArgumentError, match="hessian: expected a function"):
        ts.hessian(t([1.0]))  # type: ignore[arg-type]
