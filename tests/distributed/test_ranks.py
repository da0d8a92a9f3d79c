"""`ts.distributed` on one, two and four ranks, and when one of them is stopped, killed or raises."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

import tinygrad_seq as ts
from tests.distributed import on_ranks
from tinygrad_seq.errors import ArgumentError

pytest.importorskip("mpi4py")
ROOT = Path(__file__).resolve().parents[2]
MPIRUN = Path(sys.executable).with_name("mpirun")


def mpirun(size: int, *arguments: str, patience: str = "10", **environment: str) -> subprocess.CompletedProcess[str]:
    """Run Python on ranks."""
    command = [str(MPIRUN) if MPIRUN.exists() else "mpirun", "-n", str(size), sys.executable, *arguments]
    variables = os.environ | {"PYTHONPATH": str(ROOT), "TGS_MPI_PATIENCE": patience} | environment
    for name in ("TGS_THREADS", "PMI_SIZE"):
        variables.pop(name, None)
    return subprocess.run(command, cwd=ROOT, env=variables, capture_output=True, text=True, timeout=120, check=False)


# ------------------------------------------------------------------------------------------------- one process


def test_one_process_needs_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    world = ts.distributed.World()
    weight = ts.ones(2, requires_grad=True)
    weight.grad = ts.full(2, 3.0)
    assert world.average([weight], 0.5, 7.0) == (0.5, 7.0)
    assert weight.grad.numpy().tolist() == [3.0, 3.0]
    assert (world.agree(True, 2.0), world.sum([1.0, 2.0])) == ((True, 2.0), [1.0, 2.0])
    assert (world.broadcast("x"), world.gather_rows([1])) == ("x", [1])
    world.check("a", {})
    with world.draws(3), world.failing(1):
        ts.rand(1)
    assert world.rows(3) == world.share(3) == slice(0, 3)
    with pytest.raises(ArgumentError, match="at least 1 elements"):
        world.rows(0)


def test_mpirun_without_mpi4py_or_of_another_mpi(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PMI_SIZE", "4")
    monkeypatch.setitem(sys.modules, "mpi4py", None)
    ts.distributed.world.cache_clear()
    try:
        with pytest.raises(ArgumentError, match=r"mpirun started 4 processes, .* pip install 'tinygrad-seq\[mpi\]'"):
            ts.distributed.world()
    finally:
        ts.distributed.world.cache_clear()


# ------------------------------------------------------------------------------------------------ several ranks


@pytest.mark.parametrize("size", [2, 4])
def test_methods_and_losses_of_one_process(size: int) -> None:
    """Two ranks have three rows each; of four ranks, two have two rows and two have one."""
    with ts.disable_compile():
        expected, _ = on_ranks.train(200)
    done = mpirun(size, "-m", "tests.distributed.on_ranks", "methods")
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["equal"], "bits differ between ranks, or between two trainings"
    np.testing.assert_allclose(found["curve"], expected, rtol=1e-9)
    assert expected[-1][0] < expected[0][0]


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("stopped", r"rank 1 \(process \d+ on .*\) has given no sign of life for 1 s: it was stopped or killed"),
        ("killed", "signal 9"),
        ("failed", r"(?s)rank 1: Traceback.*RuntimeError: only this rank"),
        ("left", r"rank 1 \(process \d+ on .*\) has ended, but rank 0 waits for it"),
    ],
)
def test_one_rank_that_ends_ends_all(name: str, message: str) -> None:
    began = time.monotonic()
    done = mpirun(2, "-m", "tests.distributed.on_ranks", name, patience="1")
    assert done.returncode != 0
    assert time.monotonic() - began < 60
    assert re.search(message, done.stdout + done.stderr), (done.stdout, done.stderr)
