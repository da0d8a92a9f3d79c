"""``mpirun ... tinygrad-seq train``: the run of one process."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.distributed.test_ranks import mpirun
from tinygrad_seq.cli import main
from tinygrad_seq.distributed import World
from tinygrad_seq.train import Run, RunFolder

pytest.importorskip("mpi4py")
SIZES = "--hidden 6 --embedding 4 --batch 5 --window 6 --layers 2 --cell lstm --sample-length 3 --eval-tokens 90"
COURSE = f"{SIZES} --schedule constant --test 0.001 --evaluate-every 4 --no-compile"
TRAIN = ["train", "--corpus", "demo", *COURSE.split()]


def faults(one: Any, two: Any, name: str = "") -> list[str]:
    """Return where two checkpoints differ by more than rounding; they come from different runs."""
    if name in (".run", ".seconds"):
        return []
    if isinstance(one, dict):
        found = [] if one.keys() == two.keys() else [f"{name}: {one.keys() ^ two.keys()}"]
        return found + [
            fault for key in one.keys() & two.keys() for fault in faults(one[key], two[key], f"{name}.{key}")
        ]
    if isinstance(one, list | tuple):
        found = [] if len(one) == len(two) else [f"{name}: {len(one)} and {len(two)}"]
        pairs = enumerate(zip(one, two, strict=False))
        return found + [fault for i, pair in pairs for fault in faults(*pair, f"{name}.{i}")]
    if isinstance(one, np.ndarray | float):
        return [] if np.shape(one) == np.shape(two) and np.allclose(one, two, 1e-4, 1e-6) else [f"{name}: {one}, {two}"]
    return [] if one == two else [f"{name}: {one}, {two}"]


def test_two_ranks_then_one_process(tmp_path: Path) -> None:
    """Two ranks train for four steps on two and three streams; one process continues."""
    assert main([*TRAIN, "--steps", "8", "--out", str(tmp_path / "one")]) == 0
    done = mpirun(2, "-m", "tinygrad_seq", *TRAIN, "--steps", "4", "--out", str(tmp_path / "two"))
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("Generate text:") == 1
    assert done.stderr == ""
    one, two = (Run.open(tmp_path / name) for name in ("one", "two"))
    assert faults(one.load("step-000004")["steps"], two.load()["steps"]) == []
    assert main(["train", "--resume", "--steps", "8", "--no-compile", "--out", str(tmp_path / "two")]) == 0
    assert faults(one.load()["steps"], two.load()["steps"]) == []
    expected, found = ({row["step"]: row for row in run.rows() if "validation_loss" in row} for run in (one, two))
    assert list(found) == [4, 8]
    for step, row in found.items():
        for name in ("loss", "gradient_norm", "validation_loss", "validation_tokens"):
            assert row[name] == pytest.approx(expected[step][name], rel=1e-5), (step, name)
        assert row["sample"] == expected[step]["sample"]
    tests = [[row["test_loss"] for row in run.rows() if "test_loss" in row] for run in (one, two)]
    assert tests[1][-1] == pytest.approx(tests[0][-1], rel=1e-5)


def test_fit_reads_a_table_on_all_ranks(tmp_path: Path) -> None:
    """Two ranks share batches of four rows, and held-out batches as they come."""
    rows = [f"{word} {other},{word in 'good fine'}" for word in ("good", "bad", "fine", "poor") for other in "abcde"]
    (tmp_path / "rows.csv").write_text("\n".join(["text,label", *rows, ""]))
    options = "--target label --hidden 4 --embedding 4 --batch 5 --epochs 2 --validation 0.2 --test 0 --no-compile"
    command = ["fit", str(tmp_path / "rows.csv"), *options.split(), "--out"]
    assert main([*command, str(tmp_path / "one")]) == 0
    done = mpirun(2, "-m", "tinygrad_seq", *command, str(tmp_path / "two"))
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.count("Predict:") == 1
    one, two = (RunFolder.open(tmp_path / name) for name in ("one", "two"))
    assert faults(one.load()["steps"]["model"], two.load()["steps"]["model"]) == []
    for expected, found in zip(one.rows(), two.rows(), strict=True):
        for name in ("step", "loss", "validation_loss", "validation_accuracy", "validation_weight"):
            assert found[name] == pytest.approx(expected[name], rel=1e-5), name


def test_all_held_out_steps_are_measured(tmp_path: Path) -> None:
    """A forecast of fewer series than ranks: each evaluation counts all of them."""
    steps = range(20)
    rows = [
        f"{name},{','.join(str((step * step + shift) % 7) for step in steps)}" for name, shift in (("a", 0), ("b", 3))
    ]
    (tmp_path / "wide.csv").write_text("\n".join([f"name,{','.join(f't{step}' for step in steps)}", *rows, ""]))
    options = "--horizon 2 --hidden 4 --batch 4 --epochs 2 --no-compile"
    command = ["fit", str(tmp_path / "wide.csv"), *options.split(), "--out"]
    assert main([*command, str(tmp_path / "one")]) == 0
    done = mpirun(3, "-m", "tinygrad_seq", *command, str(tmp_path / "three"))
    assert (done.returncode, done.stderr) == (0, "")
    one, three = (RunFolder.open(tmp_path / name).rows() for name in ("one", "three"))
    for name in ("validation_loss", "validation_weight", "test_loss"):
        found, expected = ([row[name] for row in rows if name in row] for rows in (three, one))
        assert expected
        assert found == pytest.approx(expected, rel=1e-5), name


def test_ranks_with_other_options(tmp_path: Path) -> None:
    options = ["-m", "tinygrad_seq", *TRAIN, "--steps", "4", "--out", str(tmp_path / "run")]
    done = mpirun(1, *options, ":", "-n", "1", sys.executable, *options, "--seed", "1")
    assert done.returncode == 2
    message = "error: train: expected the same on all ranks, got the command line = "
    assert done.stderr.startswith(message)
    assert done.stderr.count("error:") == 1
    assert " --seed 1' on rank 1; start all ranks with the same installation" in done.stderr
    assert not (tmp_path / "run").exists()


def test_commands_that_do_not_run_on_ranks(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    class Two(World):
        size = 2

    monkeypatch.setattr("tinygrad_seq.cli.world", Two)
    assert main(["info", "runs/demo"]) == 2
    expected = "error: tinygrad-seq: expected mpirun with train or fit, got it with info; leave mpirun out.\n"
    assert capsys.readouterr().err == expected
