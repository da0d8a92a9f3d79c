"""Which arrays of a loop have a row for each sequence, and that nothing else is computed in a loop with rows."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numba import config

import tinygrad_seq as ts
from tests.scan.cells import CELLS
from tests.scan.traps import TRAPS
from tinygrad_seq.base.memo import Memo
from tinygrad_seq.ops.primitive import TABLE, OpKind
from tinygrad_seq.scan import compiled, pipeline, program_of
from tinygrad_seq.scan.codegen import batch_axis
from tinygrad_seq.scan.ir import check
from tinygrad_seq.scan.ir.step import Aval, Eqn, Var

# Traps of which some values have no row for each sequence of the carry.
WITHOUT_ROWS = [
    "product_before_the_loop_times_a_scalar",
    "product_without_the_batch_of_the_carry",
    "mean_over_the_batch",
    "scalar_of_each_step",
    "vector_of_each_step",
    "product_of_values_without_rows",
    "lookup_without_rows",
]


@pytest.fixture
def _no_programs(monkeypatch) -> None:
    monkeypatch.setattr(compiled, "_programs", Memo(1000))


def kernels(case: Any, **sizes: int) -> list[Any]:
    problem = case.build(**sizes)
    program = program_of(problem.step, problem.init, problem.xs, length=problem.options.get("length"))
    return [one.kernel for one in (program.forward, program.backward) if one is not None and one.kernel is not None]


@pytest.mark.parametrize("name", [*CELLS, *TRAPS])
def test_in_a_loop_with_rows_every_computed_value_has_rows(name: str) -> None:
    for kernel in kernels((CELLS | TRAPS)[name]):
        for eqn in kernel.loop.eqns:
            if kernel.loop.batched and eqn.primitive.kind is not OpKind.VIEW:
                assert kernel.loop.batched.issuperset(eqn.results)
        for var, layout in kernel.layouts.items():
            assert var in kernel.loop.batched or not layout.buffer.batched


@pytest.mark.parametrize("name", WITHOUT_ROWS)
@pytest.mark.parametrize("sizes", [{}, {"N": 1}, {"T": 1}, {"H": 1}, {"N": 6}], ids=str)
def test_values_without_rows(name: str, sizes: dict[str, int]) -> None:
    TRAPS[name].build(**sizes).check()


@pytest.mark.parametrize("name", WITHOUT_ROWS)
def test_the_loop_keeps_its_rows(name: str) -> None:
    """What has no rows is done before it, so the loop still goes row by row."""
    for kernel in kernels(TRAPS[name]):
        assert kernel.loop.batched
        assert (6 if "without_the_batch" in name else 3) == kernel.N


@pytest.mark.usefixtures("_no_programs")
@pytest.mark.parametrize("name", WITHOUT_ROWS)
def test_without_the_pass_the_loop_has_no_rows_and_is_right(monkeypatch, name: str) -> None:
    monkeypatch.setattr(pipeline, "hoist_unbatched", lambda stages: stages)
    TRAPS[name].build().check()


# ------------------------------------------------------------------------------------------------------- the checker

N = 3
ROWS, VECTOR = Aval((N, 4), np.dtype("f8")), Aval((4,), np.dtype("f8"))


def eqn(name: str, result: tuple[int, ...], *operands: Var, **params: Any) -> Eqn:
    return Eqn(TABLE[name], operands, params, (Var(Aval(result, np.dtype("f8"))),))


@pytest.fixture(autouse=True)
def _checking(monkeypatch) -> None:
    monkeypatch.setattr(batch_axis, "CHECKING", True)
    monkeypatch.setattr(check, "CHECKING", True)


def test_checker_accepts_what_keeps_rows_apart() -> None:
    x, v = Var(ROWS), Var(VECTOR)
    for one in (
        eqn("add", (N, 4), x, v),
        eqn("sum", (N, 1), x, axes=(1,), keepdims=True),
        eqn("reshape", (N, 2, 2), x, shape=(N, 2, 2)),
        eqn("broadcast_to", (N, 4), v, shape=(N, 4)),
    ):
        batch_axis.check_batch_axis([one], N, frozenset({x, *one.results}))


@pytest.mark.parametrize(
    ("name", "result", "params"),
    [
        ("sum", (1, 4), {"axes": (0,), "keepdims": True}),
        ("permute_dims", (4, N), {"axes": (1, 0)}),
        ("reshape", (4, N), {"shape": (4, N)}),
        ("flip", (N, 4), {"axis": (0,)}),
        ("softmax", (N, 4), {"axis": 0}),
        ("cumsum", (N, 4), {"axis": 0, "reverse": False}),
    ],
)
def test_checker_finds_rows_that_mix(name: str, result: tuple[int, ...], params: dict[str, Any]) -> None:
    x = Var(ROWS)
    mixing = eqn(name, result, x, **params)
    with pytest.raises(AssertionError, match="batch"):
        batch_axis.check_batch_axis([mixing], N, frozenset({x, *mixing.results}))


@pytest.mark.skipif(bool(config.DISABLE_JIT), reason="no kernel is laid out then")
@pytest.mark.usefixtures("_no_programs")
def test_a_planted_wrong_rule_is_found(monkeypatch, rng) -> None:
    """A pass that takes a sum over the batch for one within each row is stopped before its code runs."""
    right = batch_axis._has_batch_axis

    def wrong(eqn: Eqn, count: int, found: set[Var]) -> bool:
        return True if eqn.primitive.name == "sum" else right(eqn, count, found)

    monkeypatch.setattr(batch_axis, "_has_batch_axis", wrong)
    xs = ts.tensor(rng.standard_normal((5, N, 4)))
    with pytest.raises(AssertionError, match="batch"):
        ts.scan(lambda h, x: (h + (x * h).sum(axis=0, keepdims=True), h), xs[0], xs, compile=True)


def test_an_operation_that_nothing_is_known_of_has_no_rows() -> None:
    """It may mix them; a step with it is refused later, as it has no compiled form."""
    x = Var(ROWS)
    with pytest.raises(batch_axis._ConflictError):
        batch_axis._has_batch_axis(eqn("cumsum", (N, 4), x, axis=0, reverse=False), N, {x})
