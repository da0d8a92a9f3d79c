from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from tests.ops.checks import check_gradients, layouts
from tests.ops.elementwise_rows import BITS, LOGIC, ROWS, UNIT, Row
from tinygrad_seq.errors import ArgumentError, DtypeError, ShapeError
from tinygrad_seq.gradients import grad
from tinygrad_seq.ops import activation, arithmetic, comparison, exponential, special
from tinygrad_seq.ops.reduction import sum as total
from tinygrad_seq.primitive import TABLE
from tinygrad_seq.tensor import Tensor

ROUNDING = 64  # units of eps: the references round too, and cancel a little
BY_NAME = {row.name: row for row in ROWS}
NO_BOOLEANS = {"negative", "subtract", "sign"}  # as in NumPy
LOGIC_CASES = [*LOGIC.items(), *BITS.items()]
every_row = pytest.mark.parametrize("row", ROWS, ids=list(BY_NAME))
every_smooth_row = pytest.mark.parametrize("row", [row for row in ROWS if any(row.smooth)], ids=lambda row: row.name)


def smooth_part(row: Row, operands: list[np.ndarray]):
    """Return the row as a function of its smooth operands only, and these operands."""
    fixed = [None if smooth else operand for smooth, operand in zip(row.smooth, operands, strict=True)]

    def function(*chosen):
        left = iter(chosen)
        return row.primitive(*[next(left) if operand is None else operand for operand in fixed])

    return function, [operand for smooth, operand in zip(row.smooth, operands, strict=True) if smooth]


def gradient_of(tensor: Tensor) -> np.ndarray:
    assert tensor.grad is not None
    return tensor.grad.numpy()


def value_and_gradients(op, *operands, dtype=np.float64):
    """Return the value of ``op`` at Python floats and its derivative by each, as Python floats."""
    tensors = [Tensor(np.array([operand], dtype), requires_grad=True) for operand in operands]
    y = op(*tensors)
    y.backward(np.ones(1, dtype))
    return float(y.numpy()[0]), *[float(gradient_of(tensor)[0]) for tensor in tensors]


def test_every_elementwise_primitive_is_in_the_table() -> None:
    declared = {name for name, row in TABLE.items() if row.code is not None}
    assert declared == {*BY_NAME, *LOGIC, *BITS}


# ---------------------------------------------------------------------------------------------------------- values


@every_row
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("shape", [(), (0, 3), (7,), (3, 5)], ids=str)
def test_forward_equals_reference_in_every_layout(row, dtype, shape, rng) -> None:
    arrays = [operand.astype(dtype) for operand in row.operands(rng, *[shape] * len(row.domains))]
    exact = [array.astype(np.float64) for array in arrays]
    expected = np.asarray(row.reference(*exact) if math.prod(shape) else np.empty(shape))
    for views in zip(*map(layouts, arrays), strict=True):
        result = row.primitive(*map(Tensor, views))
        assert result.dtype == dtype
        assert result.shape == shape
        tolerance = ROUNDING * np.finfo(dtype).eps
        np.testing.assert_allclose(result.numpy(), expected, rtol=tolerance, atol=0)
        np.testing.assert_array_equal(np.asarray(row.primitive(*views)), result.numpy())
        for view, array in zip(views, arrays, strict=True):
            np.testing.assert_array_equal(view, array)


@pytest.mark.parametrize("row", [row for row in ROWS if len(row.domains) > 1], ids=lambda row: row.name)
def test_python_scalars_do_not_change_the_dtype(row, rng) -> None:
    arrays = [operand.astype(np.float32) for operand in row.operands(rng, *[(4,)] * len(row.domains))]
    for position, array in enumerate(arrays):
        operands = [*map(Tensor, arrays)]
        operands[position].requires_grad = True
        scalars = [float(other[0]) if i != position else operands[i] for i, other in enumerate(arrays)]
        if (row.name, position) in {("where", 0), ("elu", 1)}:
            continue  # a condition has no part in the dtype; of elu and its alpha, the first is the array
        result = row.primitive(*scalars)
        assert result.dtype == np.float32
        expected = row.reference(*[np.float64(other[0]) if i != position else array for i, other in enumerate(arrays)])
        np.testing.assert_allclose(result.numpy(), expected, rtol=1e-5)
        result.backward(np.ones(4, np.float32))
        assert gradient_of(operands[position]).dtype == np.float32


@pytest.mark.parametrize(("name", "reference"), LOGIC_CASES, ids=lambda case: case if isinstance(case, str) else "")
def test_logic_equals_numpy_and_carries_no_gradient(name, reference) -> None:
    values = np.array([0.0, -0.0, 1.0, -2.0, np.inf, -np.inf, np.nan])
    arrays = list(np.meshgrid(values, values))[: reference.nin] if name in LOGIC else [np.arange(-3, 4), np.arange(7)]
    arrays = arrays[: reference.nin]
    result = TABLE[name](*[Tensor(array, requires_grad=name in LOGIC) for array in arrays])
    assert not result.requires_grad
    np.testing.assert_array_equal(result.numpy(), reference(*arrays))


@every_row
def test_integers_and_booleans_give_what_their_float_values_give(row) -> None:
    first = np.array([1, 2, 3])
    small = first.astype(np.uint8)
    cases: list[list[np.ndarray]] = [
        [first, first + 1, first],
        [small, first, first.astype(np.int32)],
        [first > 1, first > 0, first > 1],
    ]
    for arrays in cases:
        operands = [array % 2 if row.domains[0] == UNIT else array for array in arrays][: len(row.domains)]
        if (row.name, operands[0].dtype) in {("negative", np.dtype(np.uint8)), ("add", np.dtype(np.bool))}:
            continue  # the one wraps and the other is a logical or, as in NumPy
        if row.name in NO_BOOLEANS and operands[0].dtype == np.bool:
            with pytest.raises(DtypeError, match=row.name):
                row.primitive(*map(Tensor, operands))
            continue
        result = row.primitive(*map(Tensor, operands)).numpy()
        expected = row.primitive(*[Tensor(operand.astype(np.float64)) for operand in operands]).numpy()
        tolerance = 1e-2 if result.dtype == np.float16 else 1e-6 if result.dtype == np.float32 else 1e-14
        np.testing.assert_allclose(result, expected, rtol=tolerance)


@pytest.mark.parametrize("name", ["floor", "ceil", "round", "trunc", "abs", "sign", "square", "negative", "relu"])
def test_integers_stay_integers(name) -> None:
    assert TABLE[name](Tensor(np.array([-3, 0, 7]))).dtype == np.int64


@pytest.mark.parametrize(
    "name", ["reciprocal", "rsqrt", "sigmoid", "softplus", "silu", "gelu", "erf", "softsign", "exp"]
)
def test_integers_become_floats(name) -> None:
    assert TABLE[name](Tensor(np.array([1, 4]))).dtype == np.float64


def test_unsigned_integers_are_negated_as_numbers() -> None:
    x = Tensor(np.array([3], np.uint8))
    assert float(exponential.sigmoid(x).numpy()[0]) == 1 / (1 + math.exp(-3))
    assert float(exponential.log_sigmoid(x).numpy()[0]) == -math.log1p(math.exp(-3))
    assert float(exponential.sigmoid(Tensor(np.array([True]))).numpy()[0]) == 1 / (1 + math.exp(-1))


@pytest.mark.parametrize("exponent", [0, 1, 2, 3, 4, 0.5, -1.0, 3.0])
@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.int64])
def test_powers_with_python_exponents_equal_numpys(exponent, dtype) -> None:
    base = np.array([4, 3, 1], dtype)
    result = arithmetic.pow(Tensor(base), exponent)
    expected = np.power(base, exponent)
    assert result.dtype == expected.dtype
    np.testing.assert_allclose(result.numpy(), expected, rtol=4 * np.finfo(np.result_type(dtype, 1.0)).eps)


def test_negative_integer_powers_of_integers_are_refused() -> None:
    with pytest.raises(DtypeError, match=r"pow: expected integers with exponents of 0 or more, got -1; cast"):
        arithmetic.pow(Tensor(np.array([1, 2])), -1)
    assert arithmetic.pow(Tensor(np.array([1, 2])), -1.0).numpy().tolist() == [1.0, 0.5]


def test_operands_that_do_not_broadcast_are_refused() -> None:
    with pytest.raises(ShapeError, match=r"atan2.*\(2,\).*\(3,\)"):
        TABLE["atan2"](Tensor(np.zeros(2)), np.zeros(3))


def test_a_wrong_approximation_of_gelu_is_refused() -> None:
    with pytest.raises(ArgumentError, match="gelu: expected approximate='none' or 'tanh', got 'sigmoid'"):
        activation.gelu(Tensor(np.zeros(2)), approximate="sigmoid")  # type: ignore[arg-type]


# -------------------------------------------------------------------------------------------------------- gradients


@every_smooth_row
def test_gradients_of_two_orders(row, rng) -> None:
    function, operands = smooth_part(row, row.operands(rng, *[(3, 4)] * len(row.domains)))
    check_gradients(function, *operands)


@every_smooth_row
def test_a_planted_wrong_rule_is_caught(row, rng, monkeypatch) -> None:
    function, operands = smooth_part(row, row.operands(rng, *[(3, 4)] * len(row.domains)))
    position = row.smooth.index(True)
    rule = row.primitive.rules[position]
    wrong = list(row.primitive.rules)

    def planted(g, y, a, b=None, c=None):
        return rule(g, y, *(a, b, c)[: len(row.domains)]) + g * 1e-3

    wrong[position] = planted
    monkeypatch.setattr(row.primitive, "rules", tuple(wrong))
    monkeypatch.setattr(row.primitive, "_plans", {})
    with pytest.raises(AssertionError):
        check_gradients(function, *operands)


@given(
    st.sampled_from([row for row in ROWS if len(row.domains) > 1]),
    st.data(),
    st.integers(0, 2**31),
)
@settings(max_examples=60)
def test_gradients_of_broadcast_operands(row, data, seed) -> None:
    shapes = data.draw(
        hnp.mutually_broadcastable_shapes(num_shapes=len(row.domains), max_dims=3, max_side=3, min_side=0)
    )
    operands = row.operands(np.random.default_rng(seed), *shapes.input_shapes)
    assert row.primitive(*map(Tensor, operands)).shape == shapes.result_shape
    function, chosen = smooth_part(row, operands)
    if row.name in ("maximum", "minimum") and np.abs(operands[0] - operands[1]).min(initial=1) < 1e-3:
        return  # too near a kink for finite differences
    check_gradients(function, *chosen)


@pytest.mark.parametrize(
    ("function", "operands"),
    [
        (lambda x: arithmetic.pow(x, 2), [[-1.5, 0.5]]),
        (lambda x: arithmetic.pow(x, 3), [[-1.5, 0.5]]),
        (lambda x: arithmetic.pow(x, -1.5), [[1.5, 0.5]]),
        (lambda x: arithmetic.pow(2.5, x), [[-1.5, 0.5]]),
        (lambda a: arithmetic.pow(a, np.array([3, 0, 2])), [[-1.5, 0.5, 0.0]]),
        (lambda x: arithmetic.clip(x, -1, 1), [[-1.5, 0.5, 2.0]]),
        (arithmetic.clip, [[-1.5, 0.5, 2.0], [-1.0, -2.0, -1.0], [1.0, 1.2, 1.5]]),
        (lambda x, high: arithmetic.clip(x, max=high), [[-1.5, 0.5, 2.0], [1.0, 0.0, 1.5]]),
        (lambda x: comparison.masked_fill(x, np.array([True, False]), 3.0), [[1.0, 2.0]]),
        (activation.leaky_relu, [[-1.5, 0.5]]),
        (activation.elu, [[-1.5, 0.5]]),
        (activation.gelu, [[-1.5, 0.5]]),
        (lambda x: activation.gelu(x, approximate="tanh"), [[-1.5, 0.5]]),
        (activation.relu6, [[-1.5, 0.5, 7.0]]),
        (activation.hard_tanh, [[-1.5, 0.5, 7.0]]),
        (activation.hard_sigmoid, [[-3.5, 0.5, 7.0]]),
    ],
)
def test_gradients_of_functions_and_scalar_operands(function, operands) -> None:
    check_gradients(function, *map(np.array, operands))


def test_float32_gradients_stay_float32(rng) -> None:
    for row in ROWS:
        operands = [operand.astype(np.float32) for operand in row.operands(rng, *[(2, 3)] * len(row.domains))]
        function, chosen = smooth_part(row, operands)
        tensors = [Tensor(operand, requires_grad=True) for operand in chosen]
        y = function(*tensors)
        y.backward(np.ones(y.shape, y.dtype))
        for tensor in tensors:
            assert gradient_of(tensor).dtype == np.float32, row.name
            # The driver would hide a rule that computes in float64: run each on ndarrays itself.
        g = np.ones((2, 3), np.float32)
        result = row.primitive.forward(*operands)
        for rule in row.primitive.rules:
            assert rule is None or rule(g, result, *operands).dtype == np.float32, row.name


def test_scalar_parameters_of_float32_functions_stay_float32() -> None:
    x = Tensor(np.ones(2, np.float32))
    for y in (
        activation.leaky_relu(x, 0.1),
        activation.elu(x, 0.5),
        arithmetic.clip(x, 0.1, 0.5),
        arithmetic.clip(x, 0, 2),
    ):
        assert y.dtype == np.float32
    for y in (activation.relu6(x), activation.hard_tanh(x), activation.hard_sigmoid(x), activation.gelu(x)):
        assert y.dtype == np.float32


def test_third_derivatives() -> None:
    def derivative(f):
        return grad(lambda x: total(f(x)))

    x = Tensor(np.array([0.3, -0.7]))
    cos = derivative(derivative(derivative(TABLE["sin"])))(x).numpy()
    np.testing.assert_allclose(cos, -np.cos(x.numpy()), rtol=1e-14)
    cubic = derivative(derivative(derivative(lambda x: arithmetic.pow(x, 3))))(x).numpy()
    np.testing.assert_allclose(cubic, [6.0, 6.0], rtol=1e-14)
    s = 1 / (1 + np.exp(-x.numpy()))
    third = derivative(derivative(derivative(exponential.sigmoid)))(x).numpy()
    np.testing.assert_allclose(third, s * (1 - s) * (1 - 6 * s + 6 * s * s), rtol=1e-13)


# ------------------------------------------------------------------------------------------------- ends of the range

inf, nan = math.inf, math.nan


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
