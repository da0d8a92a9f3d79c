"""A kill of `ts.fit` just before an operation on files, then the same call with ``resume="auto"``.

The files are those of all run folders, for which `test_kills` tries every moment; here some are tried.
"""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import tinygrad_seq as ts
from tinygrad_seq.train import RunFolder

from .test_fit import BATCHES, HELD_OUT, TEST, make, same_run, weights
from .test_kills import left_over, moments

EVERY = 11  # 1 tries every moment, in a minute


def fit(folder: Path, **options: Any) -> list[bytes]:
    model, adam = make()
    given: dict[str, Any] = {"validation": HELD_OUT, "evaluate_every": 2, "log": None, "run": folder}
    ts.fit(model, BATCHES, ts.mse_loss, optimizer=adam, **{**given, **options})
    return weights(model)


def test_a_run(tmp_path: Path) -> None:
    expected = fit(tmp_path / "straight", steps=3, test=TEST)
    for folder, _ in moments(tmp_path / "run", lambda at: fit(at, steps=3, test=TEST), every=EVERY):
        assert fit(folder, steps=3, test=TEST, resume="auto") == expected
        same_run(tmp_path / "straight", folder)
        assert left_over(folder) == []


def test_a_run_that_is_continued(tmp_path: Path) -> None:
    expected = fit(tmp_path / "straight", steps=4)
    fit(tmp_path / "run", steps=2)
    for folder, _ in moments(tmp_path / "run", lambda at: fit(at, steps=4, resume=True), every=EVERY):
        assert fit(folder, steps=4, resume=True) == expected
        same_run(tmp_path / "straight", folder)


def test_going_back(tmp_path: Path) -> None:
    fit(tmp_path / "straight", steps=6)
    fit(tmp_path / "run", steps=4)
    point = RunFolder.open(tmp_path / "run").checkpoints()[-1].stem
    assert point == "step-000002"
    for folder, _ in moments(tmp_path / "run", lambda at: fit(at, steps=4, resume=point), every=EVERY):
        fit(folder, steps=6, resume=True)
        same_run(tmp_path / "straight", folder)


def test_a_replacement(tmp_path: Path) -> None:
    fit(tmp_path / "old", steps=2)
    fit(tmp_path / "new", steps=3, evaluate_every=1)
    shutil.copytree(tmp_path / "old", tmp_path / "run")
    old = RunFolder.open(tmp_path / "run").id
    for folder, done in moments(
        tmp_path / "run", lambda at: fit(at, steps=3, evaluate_every=1, force=True), every=EVERY
    ):
        replaced = RunFolder.open(folder).id != old
        assert replaced or not done
        if replaced:
            fit(folder, steps=3, evaluate_every=1, resume="auto")
        same_run(tmp_path / ("new" if replaced else "old"), folder)
