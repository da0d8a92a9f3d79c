"""Which variables of a loop have a batch axis, and that nothing else is computed in a loop with one."""

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
from tinygrad_seq.scan import pipeline, program_of, variants
from tinygrad_seq.scan.codegen import batch_axis
from tinygrad_seq.scan.ir import check
from tinygrad_seq.scan.ir.step import Aval, Eqn, Var

# Traps in which some values do not have the batch axis of the carry.
UNBATCHED = [
    "product_before_the_loop_times_a_scalar",
    "product_without_the_batch_of_the_carry",
    "mean_over_the_batch",
    "scalar_of_each_step",
    "vector_of_each_step",
    "product_of_unbatched_values",
    "lookup_of_unbatched_indices",
]


@pytest.fixture
def _no_programs(monkeypatch) -> None:
    monkeypatch.setattr(variants, "_known", Memo(1000))


def kernels(case: Any, **sizes: int) -> list[Any]:
    problem = case.build(**sizes)
    program = program_of(problem.step, problem.init, problem.xs, length=problem.options.get("length"))
    return [one.kernel for one in (program.forward, program.backward) if one is not None and one.kernel is not None]


@pytest.mark.parametrize("name", [*CELLS, *TRAPS])
def test_in_a_loop_with_a_batch_axis_every_computed_value_has_it(name: str) -> None:
    for kernel in kernels((CELLS | TRAPS)[name]):
        for eqn in kernel.loop.eqns:
            if kernel.loop.batched and eqn.primitive.kind is not OpKind.VIEW:
                assert kernel.loop.batched.issuperset(eqn.results)
        for var, layout in kernel.layouts.items():
            assert var in kernel.loop.batched or not layout.buffer.batched


@pytest.mark.parametrize("name", UNBATCHED)
@pytest.mark.parametrize("sizes", [{}, {"N": 1}, {"T": 1}, {"H": 1}, {"N": 6}], ids=str)
def test_values_without_a_batch_axis(name: str, sizes: dict[str, Any]) -> None:
    TRAPS[name].build(**sizes).check()


@pytest.mark.parametrize("name", UNBATCHED)
def test_the_loop_keeps_its_batch_axis(name: str) -> None:
    """Values without it are computed before the loop, which still handles one batch element after the other."""
    for kernel in kernels(TRAPS[name]):
        assert kernel.loop.batched
        assert (6 if "without_the_batch" in name else 3) == kernel.N


@pytest.mark.usefixtures("_no_programs")
@pytest.mark.parametrize("name", UNBATCHED)
def test_without_the_pass_the_loop_has_no_batch_axis_and_is_right(monkeypatch, name: str) -> None:
    monkeypatch.setattr(pipeline, "hoist_unbatched", lambda stages: stages)
    TRAPS[name].build().check()


# ------------------------------------------------------------------------------------------------------- the checker

N = 3
MATRIX, VECTOR = Aval((N, 4), np.dtype("f8")), Aval((4,), np.dtype("f8"))


def eqn(name: str, result: tuple[int, ...], *operands: Var, **params: Any) -> Eqn:
    return Eqn(TABLE[name], operands, params, (Var(Aval(result, np.dtype("f8"))),))


@pytest.fixture(autouse=True)
def _checking(monkeypatch) -> None:
    monkeypatch.setattr(batch_axis, "CHECKING", True)
    monkeypatch.setattr(check, "CHECKING", True)


def test_checker_accepts_what_keeps_batch_elements_apart() -> None:
    x, v = Var(MATRIX), Var(VECTOR)
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
def test_checker_finds_batch_elements_that_mix(name: str, result: tuple[int, ...], params: dict[str, Any]) -> None:
    x = Var(MATRIX)
    mixing = eqn(name, result, x, **params)
    with pytest.raises(AssertionError, match="batch"):
        batch_axis.check_batch_axis([mixing], N, frozenset({x, *mixing.results}))


@pytest.mark.skipif(bool(config.DISABLE_JIT), reason="no kernel is laid out then")
@pytest.mark.usefixtures("_no_programs")
def test_a_planted_wrong_rule_is_found(monkeypatch, rng) -> None:
    """A pass that takes a sum over the batch for one over features is stopped before its code runs."""
    right = batch_axis._has_batch_axis

    def wrong(eqn: Eqn, count: int, found: set[Var]) -> bool:
        return True if eqn.primitive.name == "sum" else right(eqn, count, found)

    monkeypatch.setattr(batch_axis, "_has_batch_axis", wrong)
    xs = ts.tensor(rng.standard_normal((5, N, 4)))
    with pytest.raises(AssertionError, match="batch"):
        ts.scan(lambda h, x: (h + (x * h).sum(axis=0, keepdims=True), h), xs[0], xs, compile=True)


def test_the_results_of_an_unknown_operation_have_no_batch_axis() -> None:
    """It may mix batch elements; a step with it is refused later, as it has no compiled form."""
    x = Var(MATRIX)
    with pytest.raises(batch_axis._ConflictError):
        batch_axis._has_batch_axis(eqn("cumsum", (N, 4), x, axis=0, reverse=False), N, {x})
