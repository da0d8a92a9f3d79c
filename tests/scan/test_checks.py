"""The checks of what each pass has made see what they are there for."""

from __future__ import annotations

from dataclasses import fields, replace
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from numba import config

import tinygrad_seq as ts
from tests.scan.cells import CELLS
from tinygrad_seq.base.memo import Memo
from tinygrad_seq.scan import program_of, variants
from tinygrad_seq.scan.codegen import arrange, batch_axis
from tinygrad_seq.scan.ir import check as ir
from tinygrad_seq.scan.ir import numbers, retrace, rewrite
from tinygrad_seq.scan.ir.check import check, check_stages
from tinygrad_seq.scan.ir.step import Aval, Eqn, Stages, Step, Var
from tinygrad_seq.scan.passes import differentiate, hoist, loop_only, partition, residuals, slices
from tinygrad_seq.scan.stepper import make_stepper


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
    with pytest.raises(AssertionError, match="not saved"):
        check_stages(replace(stages, saved=()))


# --------------------------------------------------------------------------------- a wrong shape or dtype in each pass

PASSES = [
    (retrace, "check"),
    (numbers, "check"),
    (slices, "check"),
    (rewrite, "check"),
    (hoist, "check"),
    (differentiate, "check"),
    (residuals, "check"),
    (partition, "check_stages"),
    (batch_axis, "check_stages"),
    (loop_only, "check_stages"),
    (arrange, "check_eqns"),
]


def changed(part: Any, old: Var, new: Var) -> Any:
    """Return a part of a step with `new` in the place of `old`."""
    if part is old:
        return new
    if isinstance(part, tuple | list):
        return tuple([changed(one, old, new) for one in part])
    if isinstance(part, Eqn | Step | Stages):
        return replace(part, **{f.name: changed(getattr(part, f.name), old, new) for f in fields(part)})
    return part


def wrong(part: Any, aval: Aval) -> tuple[Any, Any]:
    """Return a part of a step in which what one equation defines is said to be of another shape or dtype."""
    eqns = part if isinstance(part, list | tuple) else part.eqns if isinstance(part, Step) else part.during
    (old,) = [eqn for eqn in eqns if eqn.results[0].aval.shape == (N, H)][-1].results
    return old, Var(aval)


N, H = 3, 6


@pytest.mark.parametrize(
    "aval", [Aval((N, H), np.dtype("f8")), Aval((N, H + 1), np.dtype("f4"))], ids=["dtype", "shape"]
)
@pytest.mark.parametrize(("module", "name"), PASSES, ids=[module.__name__.rpartition(".")[2] for module, _ in PASSES])
def test_what_a_pass_gets_wrong_is_caught(module: ModuleType, name: str, aval: Aval, monkeypatch) -> None:
    """After the pass, before the next one."""
    right, reached = getattr(module, name), []

    def planted(part: Any, *rest: Any) -> Any:
        reached.append(True)
        old, new = wrong(part, aval)
        return right(changed(part, old, new), *[changed(one, old, new) for one in rest])

    monkeypatch.setattr(ir, "CHECKING", True)
    monkeypatch.setattr(config, "DISABLE_JIT", 0)
    monkeypatch.setattr(variants, "_known", Memo(100))
    monkeypatch.setattr(retrace, "_roots", Memo(100))
    monkeypatch.setattr(module, name, planted)
    w = ts.ones((H, 2 * H), "float32", requires_grad=True)

    def step(h: Any, x: Any) -> tuple[Any, Any]:
        z = h @ w
        h = ts.tanh(z[:, :H] * 0.5 + x["rows"]) * ts.sigmoid(z[:, H:]) + ts.exp(x["no rows"])
        return h, h

    init, first = ts.zeros((N, H), "float32"), {"rows": ts.ones((N, H), "float32"), "no rows": ts.ones(H, "float32")}
    make = make_stepper if module is loop_only else lambda *given: program_of(*given, length=4)
    xs = first if module is loop_only else {key: ts.stack([x] * 4) for key, x in first.items()}
    with pytest.raises(AssertionError, match="a pass says"):
        make(step, init, xs)
    assert len(reached) == 1
