from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.ops.agreement import check_close, gradient_of
from tests.ops.checks import check_gradients, values
from tinygrad_seq.autograd.tensor import Tensor
from tinygrad_seq.errors import ArgumentError, ShapeError
from tinygrad_seq.ops.einsum import einsum

EQUATIONS = [
    ("ij", (2, 3)),
    ("ji", (2, 3)),
    ("ij->", (2, 3)),
    ("ij->j", (2, 3)),
    ("ii", (3, 3)),
    ("ii->i", (3, 3)),
    ("iij->ji", (3, 3, 2)),
    ("ijiji->ij", (2, 3, 2, 3, 2)),
    ("...", (2, 3)),
    ("...i->...", (2, 3, 4)),
    ("i...->...i", (2, 3, 4)),
    ("...ii->...", (2, 3, 3)),
    ("->", ()),
    ("ij,jk", (2, 3), (3, 4)),
    ("ij,jk->ki", (2, 3), (3, 4)),
    ("ij,kj->ik", (2, 3), (4, 3)),
    ("ij,ij->", (2, 3), (2, 3)),
    ("ij,ij->ij", (2, 3), (2, 3)),
    ("ij,j", (2, 3), (3,)),
    ("i,j->ji", (2,), (3,)),
    ("i,->i", (2,), ()),
    (",", (), ()),
    ("ij,kl->l", (2, 3), (4, 5)),
    ("ijk,k->i", (2, 3, 4), (4,)),
    ("bij,bjk->bik", (2, 3, 4), (2, 4, 2)),
    ("bthd,bshd->bhts", (2, 3, 2, 4), (2, 5, 2, 4)),
    ("iij,jkk->ik", (3, 3, 2), (2, 4, 4)),
    ("ii,ii->i", (3, 3), (3, 3)),
    ("...ij,...jk->...ik", (5, 2, 3), (3, 4)),
    ("...ij,...jk->...ik", (5, 1, 2, 3), (4, 3, 2)),
    ("...i,...i", (2, 1, 3), (4, 3)),
    ("ij,ij->ij", (1, 3), (2, 3)),
    ("ij,j->i", (2, 3), (1,)),
    (" i j , j k -> i k ", (2, 3), (3, 4)),
    ("ij,jk,kl", (2, 3), (3, 4), (4, 2)),
    ("i,j,k->kij", (2,), (3,), (4,)),
    ("ab,b,a,cd->c", (2, 3), (3,), (2,), (4, 2)),
    ("...a,ab,...b->...", (4, 2), (2, 3), (4, 3)),
    ("ii,ij,jj->i", (3, 3), (3, 2), (2, 2)),
    ("ij,jk", (0, 3), (3, 2)),
    ("ij,jk", (2, 0), (0, 3)),
    ("aB,BA->aA", (2, 3), (3, 2)),
]


@pytest.mark.parametrize(("equation", "shapes"), [(equation, shapes) for equation, *shapes in EQUATIONS])
def test_agrees_with_numpy(equation, shapes):
    operands = [values(*shape) for shape in shapes]
    check_close(lambda *xs: einsum(equation, *xs), lambda *xs: np.einsum(equation, *xs), *operands)
    check_gradients(lambda *xs: einsum(equation, *xs), *operands)


@given(data=st.data())
def test_any_equation(data):
    sizes = dict(zip("abcd", data.draw(st.tuples(*[st.integers(1, 4)] * 4)), strict=True))
    terms = data.draw(st.lists(st.text("abcd", max_size=4), min_size=1, max_size=4))
    occurring = sorted(set("".join(terms)))
    result = data.draw(st.permutations(occurring).map("".join))[: data.draw(st.integers(0, 4))]
    equation = f"{','.join(terms)}->{result}"
    operands = [values(*[sizes[letter] for letter in term]) for term in terms]
    tensors = [Tensor(operand, requires_grad=True) for operand in operands]
    y = einsum(equation, *tensors)
    np.testing.assert_allclose(y.numpy(), np.einsum(equation, *operands), rtol=1e-9, atol=1e-12)
    y.sum().backward()
    # The result is linear in each operand: its value there is its gradient's product with it.
    for tensor, operand in zip(tensors, operands, strict=True):
        np.testing.assert_allclose((gradient_of(tensor) * operand).sum(), y.numpy().sum(), rtol=1e-9, atol=1e-9)


def test_one_operand_used_twice():
    check_gradients(lambda x: einsum("ij,kj->ik", x, x), values(3, 2))


@pytest.mark.parametrize(
    ("equation", "shapes", "message"),
    [
        ("ij,jk", [(2, 3)], "1 terms for 1 operands"),
        ("ij", [(2, 3), (3, 4)], "2 terms"),
        ("i1", [(2, 3)], "letters"),
        ("i..j", [(2, 3)], "letters"),
        ("......", [(2, 3)], "letters"),
        ("ij->i->j", [(2, 3)], "letters"),
        ("ij->ik", [(2, 3)], "occur in a term"),
        ("ij->ii", [(2, 3)], "unique"),
        (0, [(2, 3)], "an equation"),
        ("ij", [], "operands"),
    ],
)
def test_refuses_equations(equation, shapes, message):
    with pytest.raises(ArgumentError, match=message):
        einsum(equation, *[Tensor(np.ones(shape)) for shape in shapes])


@pytest.mark.parametrize(
    ("equation", "shapes"),
    [("ij", [(2,)]), ("i", [(2, 3)]), ("ij...", [(2,)]), ("ij,jk", [(2, 3), (4, 5)]), ("...i,...i", [(2, 3), (4, 3)])],
)
def test_refuses_shapes(equation, shapes):
    with pytest.raises(ShapeError, match="einsum: expected"):
        einsum(equation, *[Tensor(np.ones(shape)) for shape in shapes])


def test_long_products_are_contracted_in_a_cheap_order():
    # Taken from the left this would need 200**4 numbers at once.
    x, y = values(200, 200), values(200)
    result = einsum("ab,cd,b,d,a,c->", x, x, y, y, y, y)
    np.testing.assert_allclose(result, (y @ x @ y) ** 2, rtol=1e-9)
