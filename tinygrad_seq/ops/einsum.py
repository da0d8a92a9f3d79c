"""Einstein summation.

`einsum` turns every equation into steps of at most two operands whose axes have one letter and one size each. A step of
two is a matrix product (BLAS), a step of one a diagonal, sum or permutation; the gradient of a step is a step again.
"""

from __future__ import annotations

import functools
import math
import string
from typing import Final

import numpy as np

from ..errors import ArgumentError, ShapeError
from .casting import as_array
from .primitive import TABLE, Array, Like, OpKind, Primitive
from .public import Public
from .shape import broadcast_to, permute_dims, reshape

LETTERS: Final = string.ascii_letters

# The letters of each operand, the letters of the result, and the operands to contract at each step.
Plan = tuple[tuple[str, ...], str, tuple[tuple[int, ...], ...]]


# --------------------------------------------------------------------------------------------- steps of one or two


def _reduce(x: Array, letters: str, result: str) -> Array:
    return x if letters == result else _one(x, letters=letters, result=result)


def _one_rule(g: Array, _y: None, x_like: Like, letters: str, result: str) -> Array:
    return _expand(g, result, letters, x_like.shape)


def _expand(g: Array, have: str, letters: str, shape: tuple[int, ...]) -> Array:
    """Return the adjoint of a step: `g` on the diagonals of repeated `letters`, repeated along those it has not."""
    firsts = "".join([letter for at, letter in enumerate(letters) if letter in have and letter not in letters[:at]])
    g = _reduce(g, have, firsts)
    first = [at for at, letter in enumerate(letters) if letter in have and letters.index(letter) == at]
    g = reshape(g, tuple([size if at in first else 1 for at, size in enumerate(shape)]))
    missing = False
    for at, letter in enumerate(letters):
        start = letters.index(letter)
        missing |= letter not in have
        if start < at:
            eye = np.eye(shape[at], dtype=g.dtype)
            g = g * eye.reshape([shape[at] if axis in (start, at) else 1 for axis in range(len(shape))])
    return broadcast_to(g, shape) if missing else g


def _contract_one(x: Array, letters: str, result: str) -> Array:
    if len(set(letters)) != len(letters):
        return _one(x, letters=letters, result=result)
    axes = tuple([at for at, letter in enumerate(letters) if letter not in result])
    if axes:
        x = TABLE["sum"](x, axes=axes, keepdims=False)
    left = [letter for letter in letters if letter in result]
    return permute_dims(x, tuple([left.index(letter) for letter in result]))


@functools.lru_cache(maxsize=1024)
def _roles(letters: tuple[str, str], result: str) -> tuple[str, ...]:
    """Return the letters to keep of each operand; of these, those of the batch, summed, and free on each side."""
    in_a, in_b = (
        "".join([letter for letter in dict.fromkeys(own) if letter in other or letter in result])
        for own, other in (letters, letters[::-1])
    )
    batch = "".join([letter for letter in in_a if letter in in_b and letter in result])
    summed = "".join([letter for letter in in_a if letter not in result])
    left = "".join([letter for letter in in_a if letter not in in_b])
    right = "".join([letter for letter in in_b if letter not in in_a])
    return in_a, in_b, batch, summed, left, right


def _contract_two(a: Array, b: Array, letters: tuple[str, str], result: str) -> Array:
    """Return the product of two operands summed over the letters that `result` has not, as a `matmul`."""
    if any(len(set(own)) != len(own) for own in letters):
        return _two(a, b, letters=letters, result=result)
    in_a, in_b, batch, summed, left, right = _roles(letters, result)
    a, b = _contract_one(a, letters[0], in_a), _contract_one(b, letters[1], in_b)
    size = dict(zip(in_a + in_b, a.shape + b.shape, strict=True))

    def grouped(x: Array, own: str, *groups: str) -> Array:
        x = permute_dims(x, tuple([own.index(letter) for letter in "".join(groups)]))
        lead = tuple([size[letter] for letter in batch])
        return reshape(x, (*lead, *[math.prod([size[letter] for letter in group]) for group in groups[1:]]))

    if summed:
        y = TABLE["matmul"](grouped(a, in_a, batch, left, summed), grouped(b, in_b, batch, summed, right))
    else:
        y = grouped(a, in_a, batch, left, "") * grouped(b, in_b, batch, "", right)
    made = batch + left + right
    y = reshape(y, tuple([size[letter] for letter in made]))
    return permute_dims(y, tuple([made.index(letter) for letter in result]))


_one = Primitive(
    "einsum_one",
    lambda x, letters, result: np.asarray(np.einsum(f"{letters}->{result}", x)),
    (_one_rule,),
    structure=_contract_one,
)


def _group(x: np.ndarray, letters: str, *groups: str) -> np.ndarray:
    """Return `x` with its axes in the order of `groups`, the axes of each group flattened to one (none: size 1)."""
    size = dict(zip(letters, x.shape, strict=True))
    ordered = x.transpose([letters.index(letter) for letter in "".join(groups)])
    return ordered.reshape([math.prod([size[letter] for letter in group]) for group in groups])


def _two_forward(a: np.ndarray, b: np.ndarray, letters: tuple[str, str], result: str) -> np.ndarray:
    in_a, in_b, batch, summed, left, right = _roles(letters, result)
    a, b = _reduce(a, letters[0], in_a), _reduce(b, letters[1], in_b)
    size = dict(zip(in_a + in_b, a.shape + b.shape, strict=True))
    if not summed:
        y = _group(a, in_a, *batch, *left, *[""] * len(right)) * _group(b, in_b, *batch, *[""] * len(left), *right)
    elif batch:
        y = np.matmul(_group(a, in_a, batch, left, summed), _group(b, in_b, batch, summed, right))
    else:
        y = _group(a, in_a, left, summed).dot(_group(b, in_b, summed, right))
    made = batch + left + right
    return np.asarray(y).reshape([size[letter] for letter in made]).transpose([made.index(letter) for letter in result])


def _two_rule(g: Array, own: str, shape: tuple[int, ...], other: Array, others: str, result: str) -> Array:
    have = "".join([letter for letter in dict.fromkeys(own) if letter in result or letter in others])
    return _expand(_two(g, other, letters=(result, others), result=have), have, own, shape)


_two = Primitive(
    "einsum",
    _two_forward,
    (
        lambda g, _y, a_like, b, letters, result: _two_rule(g, letters[0], a_like.shape, b, letters[1], result),
        lambda g, _y, a, b_like, letters, result: _two_rule(g, letters[1], b_like.shape, a, letters[0], result),
    ),
    kind=OpKind.PRODUCT,
    structure=_contract_two,
)


# ------------------------------------------------------------------------------------------------------ equations


def _fail(equation: str, expected: str, got: str) -> ArgumentError:
    return ArgumentError(f"einsum: expected {expected}, got {got} in {equation!r}; write e.g. 'ij,jk->ik'.")


def _check_terms(equation: str, terms: list[str]) -> None:
    for term in terms:
        rest = term.replace("...", "", 1)
        wrong = [letter for letter in rest if letter not in LETTERS]
        if wrong:
            raise _fail(equation, "letters and at most one '...' in each term", repr(wrong[0]))


@functools.lru_cache(maxsize=1024)
def _plan(equation: str, shapes: tuple[tuple[int, ...], ...]) -> Plan:
    """Return `equation` with every letter spelt out, and the order of contraction."""
    left, arrow, right = equation.replace(" ", "").partition("->")
    terms = left.split(",")
    _check_terms(equation, [*terms, right])
    if len(terms) != len(shapes):
        raise _fail(equation, f"{len(shapes)} terms for {len(shapes)} operands", f"{len(terms)} terms")
    unused = [letter for letter in LETTERS if letter not in equation]
    hidden = [len(shape) - len(term.replace("...", "")) for term, shape in zip(terms, shapes, strict=True)]
    for term, shape, extra in zip(terms, shapes, hidden, strict=True):
        if extra < 0 or (extra and "..." not in term):
            raise ShapeError(
                f"einsum: expected an operand with the axes {term!r} of {equation!r}, got shape {shape}; "
                "give every axis a letter, or write '...' for the others."
            )
    dots = max([extra for term, extra in zip(terms, hidden, strict=True) if "..." in term], default=0)
    if dots > len(unused):
        raise _fail(equation, f"at most {len(LETTERS)} axes", f"{dots} more than its letters")
    ellipsis = "".join(unused[:dots])
    spelt = tuple([term.replace("...", ellipsis[dots - extra :]) for term, extra in zip(terms, hidden, strict=True)])
    if arrow:
        result = right.replace("...", ellipsis)
        if len(set(result)) < len(result) or set(result) - set("".join(spelt)):
            raise _fail(equation, "output letters that are unique and occur in a term", repr(right))
    else:
        joined = left.replace(".", "")
        result = ellipsis + "".join(
            sorted([letter for letter in set(joined) if joined.count(letter) == 1 and letter != ","])
        )
    _check_sizes(equation, spelt, shapes)
    if len(shapes) <= 2:
        return spelt, result, (tuple(range(len(shapes))),)
    dummies = [np.broadcast_to(np.empty(()), shape) for shape in shapes]
    path = np.einsum_path(f"{','.join(spelt)}->{result}", *dummies, optimize="greedy")[0][1:]
    return spelt, result, tuple([tuple(sorted(step)) for step in path])


def _check_sizes(equation: str, terms: tuple[str, ...], shapes: tuple[tuple[int, ...], ...]) -> None:
    sizes: dict[str, int] = {}
    for term, shape in zip(terms, shapes, strict=True):
        for letter, size in zip(term, shape, strict=True):
            if size != sizes.setdefault(letter, size) and 1 not in (size, sizes[letter]):
                raise ShapeError(
                    f"einsum: expected one size for each letter of {equation!r}, got {sizes[letter]} and {size} for "
                    f"{letter!r} in shapes {', '.join(map(str, shapes))}; transpose or slice an operand."
                )
            sizes[letter] = size if sizes[letter] == 1 else sizes[letter]


@Public(method=False, operands="rest")
def einsum(equation: str, *operands: Array) -> Array:
    """Return the sum of products that `equation` states by naming each axis with a letter.

    Letters missing after ``->`` are summed over; without ``->`` those that occur once are kept, in alphabetical order.
    A letter twice in one term is a diagonal. ``...`` stands for further axes, which broadcast. More than two operands
    are contracted pair by pair in an order that keeps intermediate results small.

    Parameters
    ----------
    equation : str
        Such as ``"nti,ij->ntj"``: a term of letters per operand, and the letters of the result.
    *operands : array_like
        An array per term, with an axis per letter.

    Returns
    -------
    Tensor
        With an axis per letter after ``->``.

    Raises
    ------
    ArgumentError
        If the equation cannot be read or does not have one term per operand.
    ShapeError
        If an operand's axes do not fit its term, or a letter has two sizes.

    Examples
    --------
    >>> import tinygrad_seq as ts
    >>> ts.einsum("ij,kj->ik", ts.ones((2, 3)), ts.ones((4, 3))).shape
    (2, 4)
    """
    if not isinstance(equation, str) or not operands:
        raise ArgumentError(
            f"einsum: expected an equation and its operands, got {equation!r} and {len(operands)} operands; "
            "write e.g. einsum('ij,jk->ik', a, b)."
        )
    arrays = [as_array(x) for x in operands]
    terms, result, path = _plan(equation, tuple([x.shape for x in arrays]))
    sizes = dict.fromkeys("".join(terms), 1)
    for term, x in zip(terms, arrays, strict=True):
        sizes.update([pair for pair in zip(term, x.shape, strict=True) if pair[1] != 1])
    pending = [_without_stretched(x, term, sizes) for x, term in zip(arrays, terms, strict=True)]
    for step in path:
        chosen = [pending.pop(index) for index in reversed(step)][::-1]
        needed = {*result}.union(*[term for _, term in pending])
        while len(chosen) > 1:
            (a, in_a), (b, in_b), *others = chosen
            needed_later = needed.union(*[term for _, term in others])
            kept = (
                result
                if not (pending or others)
                else "".join([i for i in dict.fromkeys(in_a + in_b) if i in needed_later])
            )
            chosen = [(_two(a, b, letters=(in_a, in_b), result=kept), kept), *others]
        pending.append(chosen[0])
    x, term = pending[0]
    return _reduce(x, term, result)


def _without_stretched(x: Array, term: str, sizes: dict[str, int]) -> tuple[Array, str]:
    """Return the operand without the axes of size 1 that others stretch: broadcasting without a copy."""
    axes = [axis for axis, letter in enumerate(term) if x.shape[axis] == sizes[letter]]
    if len(axes) == len(term):
        return x, term
    return reshape(x, tuple([x.shape[axis] for axis in axes])), "".join([term[axis] for axis in axes])
