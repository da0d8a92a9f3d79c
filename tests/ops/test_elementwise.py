from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

import tinygrad_seq as ts
from tests.ops.agreement import gradient_of
from tests.ops.checks import check_gradients, layouts
from tinygrad_seq.autograd.tensor import Tensor, wrap
from tinygrad_seq.autograd.transforms.gradients import grad
from tinygrad_seq.errors import ArgumentError, DtypeError, ShapeError
from tinygrad_seq.ops import activation, arithmetic, comparison, exponential
from tinygrad_seq.ops.primitive import TABLE
from tinygrad_seq.ops.reduction import sum as total
from tinygrad_seq.testing.elementwise import BITS, LOGIC, PARTS, ROWS, UNIT, Row

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
        result = row.primitive(*map(wrap, views))
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


@pytest.mark.parametrize("row", [row for row in ROWS if row.name not in PARTS], ids=lambda row: row.name)
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
        assert result.dtype != np.float16  # NumPy's choice for small integers
        tolerance = 1e-6 if result.dtype == np.float32 else 1e-14
        np.testing.assert_allclose(result, expected, rtol=tolerance)


@pytest.mark.parametrize(("name", "quotient"), [("fmod", np.trunc), ("remainder", np.floor)])
def test_gradient_of_a_remainder_for_all_signs(name, quotient) -> None:
    """The quotient counts as a constant: 1 and minus the quotient."""
    a, b = np.array([7.0, 7.0, -7.0, -7.0, 1.0, -1.0]), np.array([3.0, -3.0, 3.0, -3.0, -3.0, 3.0])
    of_a, of_b = grad(lambda a, b: total(TABLE[name](a, b)), argnums=(0, 1))(a, b)
    np.testing.assert_array_equal(of_a.numpy(), np.ones(6))
    np.testing.assert_array_equal(of_b.numpy(), -quotient(a / b))


@pytest.mark.parametrize("name", ["floor", "ceil", "round", "trunc", "abs", "sign", "square", "negative", "relu"])
def test_integers_stay_integers(name) -> None:
    assert TABLE[name](Tensor(np.array([-3, 0, 7]))).dtype == np.int64


@pytest.mark.parametrize(
    "name", ["reciprocal", "rsqrt", "sigmoid", "softplus", "silu", "gelu", "erf", "softsign", "exp"]
)
def test_integers_become_floats(name) -> None:
    assert TABLE[name](Tensor(np.array([1, 4]))).dtype == np.float32  # the default dtype


def test_unsigned_integers_are_negated_as_numbers() -> None:
    x = Tensor(np.array([3], np.uint8))
    assert float(exponential.sigmoid(x).numpy()[0]) == pytest.approx(1 / (1 + math.exp(-3)), rel=1e-6)
    assert float(exponential.log_sigmoid(x).numpy()[0]) == pytest.approx(-math.log1p(math.exp(-3)), rel=1e-6)
    assert float(exponential.sigmoid(Tensor(np.array([True]))).numpy()[0]) == pytest.approx(0.7310586, rel=1e-6)


@pytest.mark.parametrize("exponent", [0, 1, 2, 3, 4, 0.5, -1.0, 3.0])
@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.int64])
def test_powers_with_python_exponents_equal_numpys(exponent, dtype) -> None:
    base = np.array([4, 3, 1], dtype)
    result = arithmetic.pow(Tensor(base), exponent)
    expected = np.power(base, exponent)
    floating = expected.dtype.kind == "f" and dtype is np.int64
    assert result.dtype == (np.float32 if floating else expected.dtype)
    kind = np.float64 if dtype is np.float64 else np.float32
    np.testing.assert_allclose(result.numpy(), expected, rtol=4 * float(np.finfo(kind).eps))


def test_negative_integer_powers_of_integers_are_refused() -> None:
    with pytest.raises(DtypeError, match=r"pow: expected integers with exponents of 0 or more, got -1; cast"):
        arithmetic.pow(Tensor(np.array([1, 2])), -1)
    assert arithmetic.pow(Tensor(np.array([1, 2])), -1.0).numpy().tolist() == [1.0, 0.5]


def test_operands_that_do_not_broadcast_are_refused() -> None:
    with pytest.raises(ShapeError, match=r"atan2.*\(2,\).*\(3,\)"):
        TABLE["atan2"](Tensor(np.zeros(2)), np.zeros(3))


def test_where_of_numbers_of_numpy_has_the_default_dtype() -> None:
    chosen = comparison.where(Tensor(np.array([True, False])), np.float32(2), np.float64(5))
    assert (chosen.dtype, chosen.tolist()) == (np.dtype("float32"), [2, 5])


def test_where_needs_both_values() -> None:
    with pytest.raises(ArgumentError, match=r"^where: expected 3 operand"):
        TABLE["where"](Tensor(np.array([True, False])))


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


def test_masked_fill_takes_integers_that_the_dtype_holds() -> None:
    x = ts.tensor([1, 2], dtype="uint8")
    assert ts.masked_fill(x, x > 1, 255).tolist() == [1, 255]
    for value in (-1, 256):
        with pytest.raises(ts.DtypeError, match="that uint8 can hold"):
            ts.masked_fill(x, x > 1, value)


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
