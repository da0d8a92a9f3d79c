"""The checks of what each pass has made see what they are there for."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.scan.cells import CELLS
from tinygrad_seq.scan import program_of
from tinygrad_seq.scan.ir import check as ir
from tinygrad_seq.scan.ir.check import check, check_stages
from tinygrad_seq.scan.ir.step import Aval, Stages, Var


@pytest.fixture
def stages(monkeypatch) -> Stages:
    """Those of the backward step of minGRU, which has something in each place."""
    monkeypatch.setattr(ir, "CHECKING", True)
    problem = CELLS["min_gru"].build("float32")
    backward = program_of(problem.step, problem.init, problem.xs).backward
    assert backward is not None
    return backward.stages


def test_a_step_in_disorder(stages: Stages) -> None:
    step = stages.step
    assert check(step) is step
    with pytest.raises(AssertionError, match="not defined yet"):
        check(replace(step, eqns=step.eqns[::-1]))
    with pytest.raises(AssertionError, match="defines a variable again"):
        check(replace(step, eqns=step.eqns + step.eqns[-1:]))
    with pytest.raises(AssertionError, match="an output is not defined"):
        check(replace(step, eqns=()))
    with pytest.raises(AssertionError, match="listed twice"):
        check(replace(step, xs=step.xs + step.consts))
    other = Var(Aval((9,), step.carry[0].dtype))
    with pytest.raises(AssertionError, match=r"the carry enters as .*\(9,\)"):
        check(replace(step, carry=(other,), xs=step.xs + step.carry))


def test_stages_in_disorder(stages: Stages) -> None:
    assert check_stages(stages) is stages
    with pytest.raises(AssertionError, match="not defined yet"):
        check_stages(replace(stages, before=stages.before + stages.during, during=()))
    with pytest.raises(AssertionError, match="computed after the loop"):
        check_stages(replace(stages, during=(), after=stages.during + stages.after))
    with pytest.raises(AssertionError, match="not kept"):
        check_stages(replace(stages, kept=()))
