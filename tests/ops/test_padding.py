from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from tests.ops.checks import check_forward, check_gradients, values
from tinygrad_seq.autograd.tensor import Tensor
from tinygrad_seq.errors import ArgumentError, DtypeError, ShapeError
from tinygrad_seq.ops.edges import Mode, pad, tril, triu
from tinygrad_seq.ops.primitive import TABLE
from tinygrad_seq.scan.passes.lower import structure

SELF_PADDING: tuple[Mode, ...] = ("reflect", "edge", "wrap")

ROWS: dict[str, Any] = {
    "one width": (lambda x: pad(x, 2), lambda x: np.pad(x, 2), (2, 3)),
    "one pair": (lambda x: pad(x, (1, 2)), lambda x: np.pad(x, (1, 2)), (2, 3)),
    "a pair for each axis": (lambda x: pad(x, ((1, 0), (0, 2))), lambda x: np.pad(x, ((1, 0), (0, 2))), (2, 3)),
    "one for all in a list": (lambda x: pad(x, [1]), lambda x: np.pad(x, [1]), (2, 3)),
    "value": (lambda x: pad(x, 1, value=7), lambda x: np.pad(x, 1, constant_values=7), (2, 3)),
    "0-d": (lambda x: pad(x, 1), lambda x: x, ()),
    "empty": (lambda x: pad(x, 1), lambda x: np.pad(x, 1), (0, 2)),
    "nothing": (lambda x: pad(x, 0, "edge"), lambda x: x, (0, 2)),
    **{
        f"{mode} {width}": (
            partial(pad, pad_width=width, mode=mode),
            partial(np.pad, pad_width=width, mode=mode),
            (3, 2),
        )
        for mode in SELF_PADDING
        for width in (1, 5, ((2, 0), (0, 3)))
    },
    "reflect one element": (lambda x: pad(x, 2, "reflect"), lambda x: np.pad(x, 2, mode="reflect"), (1,)),
    "tril": (tril, np.tril, (3, 4)),
    "tril above": (lambda x: tril(x, 1), lambda x: np.tril(x, 1), (2, 3, 4)),
    "triu": (triu, np.triu, (4, 3)),
    "triu below": (lambda x: triu(x, -1), lambda x: np.triu(x, -1), (2, 3, 3)),
    "triu empty": (triu, np.triu, (0, 3)),
}


@pytest.mark.parametrize("row", ROWS.values(), ids=ROWS)
def test_forward(row) -> None:
    op, reference, shape = row
    check_forward(op, reference, values(*shape))


@pytest.mark.parametrize("row", ROWS.values(), ids=ROWS)
def test_gradients(row) -> None:
    op, _, shape = row
    check_gradients(op, values(*shape))


@given(hnp.array_shapes(max_dims=3, max_side=4), st.sampled_from(["constant", *SELF_PADDING]), st.data())
def test_any_shape_and_width(shape: tuple[int, ...], mode: Mode, data: st.DataObject) -> None:
    pair = st.tuples(st.integers(0, 6), st.integers(0, 6))
    widths = data.draw(st.tuples(*[pair for _ in shape]))
    array = values(*shape)
    np.testing.assert_array_equal(pad(array, widths, mode), np.pad(array, widths, mode=mode))
    x = Tensor(array, requires_grad=True)
    y = pad(x, widths, mode)
    y.backward(np.ones(y.shape))
    kept = y.size if mode != "constant" else array.size
    assert x.grad is not None
    assert x.grad.numpy().sum() == kept


def test_minus_infinity_as_the_value() -> None:
    x = Tensor(np.ones(2, np.float32), requires_grad=True)
    y = pad(x, 1, value=-np.inf)
    assert y.dtype == np.float32
    y.backward(np.ones(4, np.float32))
    assert x.grad is not None
    np.testing.assert_array_equal(x.grad.numpy(), [1, 1])


MISTAKES = [
    (
        lambda x: pad(x, 1, "mirror"),  # type: ignore[arg-type]
        ArgumentError,
        "pad: expected a mode of constant, reflect, edge, wrap, got 'mirror'",
    ),
    (lambda x: pad(x, -1), ArgumentError, "pad: expected widths of at least 0"),
    (lambda x: pad(x, 1.5), ArgumentError, "pad: expected widths"),  # type: ignore[arg-type]
    (lambda x: pad(x, (1, 2, 3)), ArgumentError, "pad: expected widths"),
    (lambda x: pad(x, ((1, 2), (3,))), ArgumentError, "pad: expected widths"),
    (
        lambda x: pad(x[:0], 1, "edge"),
        ShapeError,
        "pad: expected at least one element along axis 0 for mode 'edge'",
    ),
    (lambda x: tril(x[0]), ShapeError, r"tril: expected at least two axes, got shape \(3,\)"),
    (lambda x: triu(x[0]), ShapeError, r"triu: expected at least two axes, got shape \(3,\)"),
]


@pytest.mark.parametrize(("call", "error", "message"), MISTAKES)
def test_mistake_is_refused(call, error: type[Exception], message: str) -> None:
    for x in (values(2, 3), Tensor(values(2, 3), requires_grad=True)):
        with pytest.raises(error, match=message):
            call(x)


@pytest.mark.parametrize("part", [tril, triu])
def test_a_triangle_of_booleans_is_one_in_compiled_code_too(part) -> None:
    rule = structure(TABLE[part.__name__])
    assert rule is not None
    assert rule(np.ones((2, 2), bool), 0).dtype == bool


@pytest.mark.parametrize("part", [tril, triu])
def test_a_diagonal_between_two_is_refused(part) -> None:
    with pytest.raises(DtypeError, match=part.__name__):
        part(Tensor(values(2, 3)), 1.5)
