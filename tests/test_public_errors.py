"""An error of a public function names the function that was called, never one inside it."""

from __future__ import annotations

import inspect
from typing import Any

import numpy as np
import pytest

import tinygrad_seq as ts
from tinygrad_seq.errors import AnomalyError, ArgumentError, DtypeError, ShapeError, TinygradSeqError
from tinygrad_seq.ops.public import PUBLIC

NAMES = [name for name, operation in PUBLIC.items() if operation.function.__name__ == name]
MISTAKES: dict[str, tuple[tuple[Any, ...], dict[str, Any]]] = {
    "too few": ((), {}),
    "too many": ((np.ones((2, 2)),) * 30, {}),
    "unknown": ((np.ones((2, 2)),), {"no_such_option": 1}),
    "text": (("abc",), {}),
    "object": ((object(),), {}),
    "none": ((None,), {}),
}


@pytest.mark.parametrize("mistake", MISTAKES)
@pytest.mark.parametrize("name", NAMES)
def test_error_names_the_public_function(name: str, mistake: str) -> None:
    args, kwargs = MISTAKES[mistake]
    if (name, mistake) == ("broadcast_arrays", "too many"):
        return  # takes any number
    with pytest.raises((TypeError, ArgumentError), match=rf"^{name}(?:\(\)|:)"):
        getattr(ts, name)(*args, **kwargs)


def takes_two_arrays(name: str) -> bool:
    parameters = inspect.signature(PUBLIC[name].function).parameters.values()
    return sum("Array" in str(parameter.annotation) for parameter in parameters) > 1


ALIASES = [name for name in PUBLIC if name not in NAMES]


@pytest.mark.parametrize("operand", ["abc", None, object()], ids=["text", "none", "object"])
@pytest.mark.parametrize("name", PUBLIC)
def test_error_of_a_bad_operand_names_the_alias(name: str, operand: Any) -> None:
    with pytest.raises(TinygradSeqError, match=rf"^{name}: "):
        getattr(ts, name)(operand)


@pytest.mark.parametrize("name", [name for name in ALIASES if takes_two_arrays(name)])
def test_error_of_another_operand_names_the_alias(name: str) -> None:
    with pytest.raises(TinygradSeqError, match=rf"^{name}: "):
        getattr(ts, name)(ts.ones((2, 3)), object())


def test_an_alias_keeps_errors_that_are_not_about_arguments() -> None:
    with ts.detect_anomaly(), pytest.raises(AnomalyError):
        ts.div(ts.ones(2, requires_grad=True), ts.zeros(2))


NO_MISTAKE = {("outer", "shape"), ("kron", "shape"), ("isin", "shape")}  # any two shapes fit
SECOND: dict[str, Any] = {"shape": ts.ones(5), "text": "abc", "object": object()}


CASES = [(name, mistake) for name in NAMES if takes_two_arrays(name) for mistake in SECOND]


@pytest.mark.parametrize(("name", "mistake"), [case for case in CASES if case not in NO_MISTAKE])
def test_error_of_another_operand_names_the_public_function(name: str, mistake: str) -> None:
    operands: list[Any] = []
    options: dict[str, Any] = {}
    for parameter in inspect.signature(PUBLIC[name].function).parameters.values():
        value = ts.ones((2, 3)) if not operands else SECOND[mistake] if "Array" in str(parameter.annotation) else 0
        if parameter.kind is parameter.POSITIONAL_ONLY or not operands:
            operands.append(value)
        elif "Array" in str(parameter.annotation) or parameter.default is parameter.empty:
            options[parameter.name] = value
    with pytest.raises(TinygradSeqError, match=rf"^{name}: "):
        getattr(ts, name)(*operands, **options)


def test_a_method_names_itself() -> None:
    with pytest.raises(ShapeError, match=r"^clip: expected operands that fit"):
        ts.ones((2, 3)).clip(ts.ones(5))


def test_where_says_how_it_is_called() -> None:
    with pytest.raises(ArgumentError, match=r"^where: expected 3 operand\(s\) .* got 1; call where\(condition, a, b\)"):
        ts.where(ts.tensor([True, False]))  # type: ignore[call-arg]


@pytest.mark.parametrize("name", ["concat", "stack", "hstack", "vstack"])
def test_joining_takes_any_iterable(name: str) -> None:
    join = getattr(ts, name)
    rows = {"a": ts.tensor([1.0, 2.0]), "b": ts.tensor([3.0, 4.0], requires_grad=True)}
    expected = join(list(rows.values())).numpy()
    for given in (rows.values(), iter(rows.values()), (row for row in rows.values()), ts.stack(list(rows.values()))):
        joined = join(given)
        np.testing.assert_array_equal(joined.numpy(), expected)
        assert joined.requires_grad
    np.testing.assert_array_equal(join(np.arange(4.0).reshape(2, 2)).numpy(), join(list(np.arange(4.0).reshape(2, 2))))
    for wrong in (rows, "ab", 3.0):
        with pytest.raises((ArgumentError, DtypeError), match=f"^{name}: expected an iterable of arrays, got"):
            join(wrong)


def test_the_operand_may_be_given_by_name() -> None:
    np.testing.assert_array_equal(ts.sum(axis=0, x=[[1.0, 2.0], [3.0, 4.0]]).numpy(), [4.0, 6.0])
