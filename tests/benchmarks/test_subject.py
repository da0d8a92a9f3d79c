"""A subject compares and times what can run, and says what failed or differed."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks import _harness

ROOT = Path(__file__).resolve().parent.parent.parent

SCRIPT = """
import os
from pathlib import Path
import numpy as np
from benchmarks import _harness
from benchmarks._subject import OURS, Contestant, Subject

_harness.RESULTS = Path(__file__).parent

def ours(case, budget):
    return {"check": {"ys": np.arange(4.0), "gradient": np.ones(3)}, "time": [2.0], "process": [os.getpid()]}

def near(case, budget):
    print("a library that prints")
    return {"check": {"ys": np.arange(4.0) + 0.05}, "time": [3.0]}

def fails(case, budget):
    if case == "second":
        raise ValueError("no such layer")
    return {"time": [4.0]}

SUBJECT = Subject(
    script=__file__,
    what="A question.",
    cases={"first": "first", "second": "second", "third": "third"},
    contestants={
        OURS: Contestant(ours),
        "near": Contestant(near, tolerance=0.1),
        "far": Contestant(near),
        "fails": Contestant(fails),
        "absent": Contestant(ours, "no_such_package"),
    },
    quick=("first",),
    units={"time": "s", "process": "1"},
)
if __name__ == "__main__":
    SUBJECT.main()
"""


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory):
    folder = tmp_path_factory.mktemp("subject")
    script = folder / "question.py"
    script.write_text(SCRIPT)
    command = [sys.executable, str(script), "--rounds", "2", "--budget", "0.1"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    return done, json.loads((folder / "question.json").read_text())


def test_all_cases_are_measured_though_one_contestant_fails(run) -> None:
    done, result = run
    assert done.returncode == 1
    assert "fails on second: ValueError: no such layer" in done.stdout
    assert result["failed"] == {"fails on second": "ValueError: no such layer"}
    times = {case: measures["time"] for case, measures in result["results"].items()}
    assert list(times) == ["first", "second", "third"]
    assert times["third"]["fails"]["peer_over_ours"] == 2
    assert "fails" not in times["second"]
    assert times["first"]["near"]["samples"] == 2


def test_results_are_compared_with_ours_by_the_tolerance_of_the_contestant(run) -> None:
    _, result = run
    assert result["disagreeing"] == {case: ["far"] for case in ("first", "second", "third")}
    assert result["missing"] == {"absent": "not installed: no_such_package"}


def test_a_contestant_runs_its_cases_in_one_process(run) -> None:
    _, result = run
    (process,) = {measures["process"]["tinygrad_seq"]["median"] for measures in result["results"].values()}
    assert process > 0


def test_agreement_needs_an_array_of_the_same_name() -> None:
    mine = {"ys": [1.0, 2.0], "g": [3.0, 3.0]}
    assert _harness.agree(mine, {"ys": [1.001, 2.0]})
    assert not _harness.agree(mine, {"ys": [1.01, 2.0]})
    assert not _harness.agree(mine, {"zs": [1.0, 2.0]})
    assert not _harness.agree(mine, {})
