"""The soak: processes that report, end, crash; shrinking; scripts that show the fault."""

from __future__ import annotations

import json
import subprocess
import sys
from random import Random

import pytest
from numba import config

from tinygrad_seq.base.memo import Memo
from tinygrad_seq.errors import CompileError
from tinygrad_seq.ops.primitive import TABLE
from tinygrad_seq.scan import compiled, variants
from tinygrad_seq.testing import soak
from tinygrad_seq.testing.generate import draw_step
from tinygrad_seq.testing.properties import check_step
from tinygrad_seq.testing.soak import outcome_of, program_of, smallest


@pytest.fixture
def wrong_mean(monkeypatch) -> None:
    """Make the mean of a compiled scan wrong, and its loop run on NumPy."""
    right = TABLE["mean"].formula
    assert right is not None
    monkeypatch.setenv("NUMBA_DISABLE_JIT", "1")
    monkeypatch.setattr(config, "DISABLE_JIT", 1)
    monkeypatch.setattr(variants, "_known", Memo(1000))
    monkeypatch.setattr(TABLE["mean"], "formula", lambda *args, **options: 1.5 * right(*args, **options))


def failing() -> int:
    return next(
        seed
        for seed in range(200)
        if any(f.check == "values" for f in outcome_of("step", program_of("step", seed)).faults)
    )


def test_an_example_is_the_same_every_time() -> None:
    for kind in soak.KINDS:
        assert repr(program_of(kind, 5)) == repr(program_of(kind, 5)) != repr(program_of(kind, 6))


def test_a_failing_program_shrinks_to_the_fault(wrong_mean) -> None:
    seed = failing()
    program = program_of("step", seed)
    outcome = outcome_of("step", program)
    wrong = [fault for fault in outcome.faults if fault.check == "values"]
    small = smallest("step", program, outcome._replace(faults=wrong), 30.0)
    assert len(small.equations) <= 2 < len(program.equations)
    assert "ts.mean" in small.script()


@pytest.mark.parametrize("kind", list(soak.KINDS))
def test_a_script_runs_by_itself(kind: str) -> None:
    command = [sys.executable, "-W", "error", "-c", program_of(kind, 4).script()]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "gradients" in done.stdout or "True" in done.stdout


def test_a_batch_reports_each_example_and_writes_a_script_of_a_failure(wrong_mean, tmp_path, capsys) -> None:
    seed = failing()
    soak.work(seed, 1, tmp_path)
    begin, report = map(json.loads, capsys.readouterr().out.splitlines())
    assert begin == {"begin": [report["kind"], seed]}
    if report["kind"] == "step":
        assert "values" in {fault[0] for fault in report["faults"]}
        assert "# values" in (tmp_path / f"step-{seed}.py").read_text()


def test_the_soak_counts_what_processes_report_and_what_ends_them(monkeypatch, tmp_path, capsys) -> None:
    reports = [
        {"begin": ["graph", 1]},
        {"kind": "graph", "seed": 1, "checks": 3, "refused": False, "unstable": False, "faults": []},
        {"begin": ["step", 2]},
        {"kind": "step", "seed": 2, "checks": 5, "refused": True, "unstable": False, "faults": [["values", "wrong"]]},
        {"begin": ["cell", 3]},
    ]
    script = "\n".join([*[f"print({json.dumps(report)!r}, flush=True)" for report in reports], "raise SystemExit(3)"])
    monkeypatch.setattr(soak.Soak, "command", lambda self, first: [sys.executable, "-c", script])
    run = soak.Soak(0, 1, tmp_path)
    assert not run.run(2.0)
    found = run.summary(2.0)
    times = found["counts"]["graph"]["programs"]
    assert times >= 1
    assert found["counts"]["graph"]["checks"] == 3 * times
    assert found["counts"]["step"]["refused"] >= times - 1  # the last process may be ended in between
    assert [failure["faults"][0][0] for failure in found["failures"][:2]] == ["values", "crash"]
    assert found["failures"][1]["seed"] == 3
    assert "1 min" in capsys.readouterr().out.replace("0.0 min", "1 min")


def test_check_and_show_from_the_command_line(capsys) -> None:
    assert soak.main(["show", "graph", "3"]) == 0
    assert "def f(" in capsys.readouterr().out
    assert soak.main(["check", "graph", "3"]) == 0


def test_a_refused_step_is_counted(monkeypatch) -> None:
    def refuse(*args):
        raise CompileError("scan: expected nothing, got something; do otherwise.")

    monkeypatch.setattr(compiled, "prepare", refuse)
    outcome = check_step(draw_step(Random(1)))
    assert outcome.refused
    assert not outcome.faults
