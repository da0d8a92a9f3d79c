"""Elementwise primitives at the ends of their range: infinities, tails, steps, and the error functions."""

from __future__ import annotations

import math

import numpy as np
import pytest

from tests.ops.agreement import gradient_of
from tinygrad_seq.autograd.tensor import Tensor
from tinygrad_seq.autograd.transforms.gradients import grad
from tinygrad_seq.errors import ShapeError
from tinygrad_seq.ops import activation, arithmetic, comparison, exponential, special
from tinygrad_seq.ops.primitive import TABLE
from tinygrad_seq.ops.reduction import sum as total

inf, nan = math.inf, math.nan


def value_and_gradients(op, *operands, dtype=np.float64):
    """Return the value of ``op`` at Python floats and its derivative by each, as Python floats."""
    tensors = [Tensor(np.array([operand], dtype), requires_grad=True) for operand in operands]
    y = op(*tensors)
    y.backward(np.ones(1, dtype))
    return float(y.numpy()[0]), *[float(gradient_of(tensor)[0]) for tensor in tensors]


@pytest.mark.parametrize(
    ("name", "operands", "value", "gradients"),
    [
        ("softplus", (1000.0,), 1000.0, (1.0,)),
        ("softplus", (-1000.0,), 0.0, (0.0,)),
        ("softplus", (-inf,), 0.0, (0.0,)),
        ("softplus", (inf,), inf, (1.0,)),
        ("sigmoid", (-800.0,), 0.0, (0.0,)),
        ("sigmoid", (800.0,), 1.0, (0.0,)),
        ("sigmoid", (-inf,), 0.0, (0.0,)),
        ("sigmoid", (inf,), 1.0, (0.0,)),
        ("log_sigmoid", (-800.0,), -800.0, (1.0,)),
        ("log_sigmoid", (800.0,), 0.0, (0.0,)),
        ("log_sigmoid", (-inf,), -inf, (1.0,)),
        ("silu", (-800.0,), 0.0, (0.0,)),
        ("silu", (800.0,), 800.0, (1.0,)),
        ("gelu", (-40.0,), 0.0, (0.0,)),
        ("gelu", (1e200,), 1e200, (1.0,)),
        ("gelu", (-1e200,), 0.0, (0.0,)),
        ("gelu_tanh", (-40.0,), 0.0, (0.0,)),
        ("gelu_tanh", (1e200,), 1e200, (1.0,)),
        ("gelu_tanh", (-1e200,), 0.0, (0.0,)),
        ("elu", (1000.0, 1.0), 1000.0, (1.0, 0.0)),
        ("elu", (-1000.0, 2.0), -2.0, (0.0, -1.0)),
        ("tanh", (1000.0,), 1.0, (0.0,)),
        ("exp", (1000.0,), inf, (inf,)),
        ("log", (0.0,), -inf, (inf,)),
        ("log1p", (-1.0,), -inf, (inf,)),
        ("sqrt", (0.0,), 0.0, (inf,)),
        ("rsqrt", (0.0,), inf, (-inf,)),
        ("cbrt", (0.0,), 0.0, (inf,)),
        ("reciprocal", (0.0,), inf, (-inf,)),
        ("divide", (1.0, 0.0), inf, (inf, -inf)),
        ("logaddexp", (-inf, -inf), -inf, (0.5, 0.5)),
        ("logaddexp", (1000.0, -1000.0), 1000.0, (1.0, 0.0)),
        ("logaddexp", (-inf, 3.0), 3.0, (0.0, 1.0)),
        ("hypot", (3e200, 4e200), 5e200, (0.6, 0.8)),
        ("atan2", (1e200, 1e200), math.pi / 4, (5e-201, -5e-201)),
        ("atan2", (1e-200, 1e-200), math.pi / 4, (5e199, -5e199)),
        ("asinh", (1e200,), math.asinh(1e200), (1e-200,)),
        ("acosh", (1e200,), math.acosh(1e200), (1e-200,)),
        ("softsign", (1e200,), 1.0, (0.0,)),
        ("lerp", (1e200, 1.0, 1.0), 1.0, (0.0, 1.0, -1e200)),
        # Kinks, ties and the origin.
        ("abs", (0.0,), 0.0, (0.0,)),
        ("relu", (0.0,), 0.0, (0.0,)),
        ("leaky_relu", (0.0, 0.1), 0.0, (0.1, 0.0)),
        ("sign", (0.0,), 0.0, (0.0,)),
        ("maximum", (2.0, 2.0), 2.0, (0.5, 0.5)),
        ("minimum", (2.0, 2.0), 2.0, (0.5, 0.5)),
        ("hypot", (0.0, 0.0), 0.0, (0.0, 0.0)),
        ("atan2", (0.0, 0.0), 0.0, (0.0, 0.0)),
        ("pow", (0.0, 0.0), 1.0, (0.0, 0.0)),
        ("pow", (0.0, 1.0), 0.0, (1.0, 0.0)),
        ("pow", (0.0, 2.0), 0.0, (0.0, 0.0)),
        ("pow", (0.0, -1.0), inf, (-inf, -inf)),
        ("pow", (-2.0, 3.0), -8.0, (12.0, nan)),
        ("pow", (-2.0, 0.5), nan, (nan, nan)),
        ("fmod", (0.3, 0.1), math.fmod(0.3, 0.1), (1.0, -2.0)),  # 0.3 / 0.1 rounds up to 3
        ("remainder", (-1.0, 3.0), 2.0, (1.0, 1.0)),
        ("maximum", (nan, 1.0), nan, (0.0, 0.0)),
        ("minimum", (1.0, nan), nan, (0.0, 0.0)),
        ("relu", (nan,), nan, (0.0,)),
    ],
)
def test_extremes(name, operands, value, gradients) -> None:
    result = value_and_gradients(TABLE[name], *operands)
    np.testing.assert_allclose(result, [value, *gradients], rtol=1e-14, atol=0)


E80, E40, E20 = math.exp(-80), math.exp(-40), math.exp(-20)
PHI_10, DENSITY_10 = 7.619853024160526e-24, math.exp(-50) / math.sqrt(2 * math.pi)


@pytest.mark.parametrize(
    ("name", "x", "value", "gradient"),
    [
        ("sigmoid", -80.0, E80, E80),
        ("sigmoid", -20.0, E20 / (1 + E20), E20 / (1 + E20) ** 2),
        ("silu", -80.0, -80 * E80, -79 * E80),
        ("softplus", -40.0, E40, E40),
        ("softplus", -80.0, E80, E80),
        ("log_sigmoid", 40.0, -E40, E40),
        ("elu", -40.0, -1.0, E40),
        ("expm1", -40.0, -1.0, E40),
        ("expm1", 1e-20, 1e-20, 1.0),
        ("log1p", 1e-20, 1e-20, 1.0),
        ("erfc", 10.0, 2.088487583762545e-45, -2 / math.sqrt(math.pi) * math.exp(-100)),
        ("ndtr", -10.0, PHI_10, DENSITY_10),
        ("gelu", -10.0, -10 * PHI_10, PHI_10 - 10 * DENSITY_10),
        ("atanh", 1 - 2.0**-40, math.atanh(1 - 2.0**-40), 1 / (2.0**-40 * (2 - 2.0**-40))),
        ("acos", 1 - 2.0**-40, math.acos(1 - 2.0**-40), -1 / math.sqrt(2.0**-40 * (2 - 2.0**-40))),
        ("acosh", 1 + 2.0**-40, math.acosh(1 + 2.0**-40), 1 / math.sqrt(2.0**-40 * (2 + 2.0**-40))),
    ],
)
def test_tails_keep_their_relative_accuracy(name, x, value, gradient) -> None:
    operands = (x, 1.0) if name == "elu" else (x,)
    # ndtr and its like magnify the rounding of x / sqrt(2) by x**2 = 100.
    tolerance = 4e-14 if name in ("ndtr", "gelu") else 2e-15
    np.testing.assert_allclose(value_and_gradients(TABLE[name], *operands)[:2], [value, gradient], rtol=tolerance)


@pytest.mark.parametrize("x", [5.0, 15.0, 20.0, 40.0])
def test_rules_that_read_the_output_alone_err_by_one_rounding_of_it(x) -> None:
    """sigmoid' and tanh' are below eps once the output rounds to 1: the absolute error is what stays small."""
    eps = np.finfo(np.float64).eps
    e = math.exp(-x)
    assert abs(value_and_gradients(exponential.sigmoid, x)[1] - e / (1 + e) ** 2) <= eps
    e = math.exp(-2 * x)
    for side in (x, -x):
        assert abs(value_and_gradients(TABLE["tanh"], side)[1] - 4 * e / (1 + e) ** 2) <= 2 * eps


def test_second_derivatives_at_the_ends_are_finite() -> None:
    for name in ("sigmoid", "softplus", "log_sigmoid", "silu", "gelu", "gelu_tanh", "tanh", "relu", "softsign", "erf"):
        x = Tensor(np.array([-800.0, -40.0, 0.0, 40.0, 800.0]))
        second = grad(lambda x, op=TABLE[name]: total(grad(lambda x: total(op(x)))(x)))(x).numpy()
        assert np.isfinite(second).all(), name
        np.testing.assert_allclose(second[[0, 4]], 0, atol=1e-8 if name == "softsign" else 1e-15, err_msg=name)
    second = grad(lambda x: total(grad(lambda x: total(activation.elu(x)))(x)))(Tensor(np.array([-2.0, 800.0])))
    np.testing.assert_allclose(second.numpy(), [math.exp(-2), 0])


def test_clip_passes_the_gradient_on_its_bounds_and_keeps_nan() -> None:
    x = Tensor(np.array([-2.0, -1.0, 0.0, 1.0, 2.0, nan]), requires_grad=True)
    y = arithmetic.clip(x, -1, 1)
    y.backward(np.ones(6))
    np.testing.assert_array_equal(y.numpy(), [-1, -1, 0, 1, 1, nan])
    np.testing.assert_array_equal(gradient_of(x), [0, 1, 1, 1, 0, 1])


def test_where_gives_the_side_not_chosen_exactly_zero() -> None:
    x = Tensor(np.array([0.0, 4.0]), requires_grad=True)
    y = comparison.where(np.array([False, True]), x, 1.0)
    y.backward(np.array([inf, 1.0]))
    np.testing.assert_array_equal(gradient_of(x), [0.0, 1.0])


def test_operations_follow_ieee_754_and_leave_the_handling_of_errors_to_numpys_users() -> None:
    x = Tensor(np.array([0.0]), requires_grad=True)
    with np.errstate(all="raise"):
        exponential.log(x).backward(np.ones(1))
        assert gradient_of(x)[0] == inf
        with pytest.raises(ShapeError):
            arithmetic.add(Tensor(np.zeros(2)), np.zeros(3))  # a refused operation puts it back as well
        with pytest.raises(FloatingPointError):
            np.log(np.zeros(1))


# -------------------------------------------------------------------------------------------------- error function


@pytest.mark.parametrize(("name", "exact", "ulps"), [("erf", math.erf, 3), ("erfc", math.erfc, 4)])
def test_error_functions_over_the_whole_range(name, exact, ulps) -> None:
    tiny = np.geomspace(1e-308, 1e-3, 400)
    x = np.concatenate([np.linspace(-7, 28, 7001), tiny, -tiny, [0.0, -0.0, inf, -inf, nan, 1e300, 5e-324]])
    for dtype in (np.float64, np.float32):  # the stated error, and that of the C library
        with np.errstate(over="ignore", under="ignore"):
            rounded = x.astype(dtype)
        expected = np.array([exact(float(value)) for value in rounded])
        result = TABLE[name](Tensor(rounded)).numpy()
        assert result.dtype == dtype
        spacing = np.spacing(np.abs(expected).astype(dtype)).astype(np.float64)
        known = np.isfinite(expected)
        assert (np.abs(result.astype(np.float64) - expected)[known] <= ulps * spacing[known]).all()
        assert np.isnan(result[~known]).all()


def test_ndtr_is_within_its_stated_bound() -> None:
    x = np.linspace(-37, 8, 2001)
    expected = np.array([_ndtr_by_erfc_of_exact_quotient(value) for value in x])
    relative = np.abs(special.ndtr(Tensor(x)).numpy() / expected - 1)
    assert (relative <= (2 + np.minimum(x, 0) ** 2) * np.finfo(np.float64).eps).all()


def _ndtr_by_erfc_of_exact_quotient(x: float) -> float:
    """Return the normal distribution function, with the rounding of ``x / sqrt(2)`` corrected to first order."""
    from decimal import Decimal, getcontext

    getcontext().prec = 40
    argument = -Decimal(x) / Decimal(2).sqrt()
    z = float(argument)
    slope = -2 / math.sqrt(math.pi) * math.exp(-z * z)
    return 0.5 * (math.erfc(z) + slope * float(argument - Decimal(z)))
