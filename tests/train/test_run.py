from __future__ import annotations

import dataclasses
import errno
import json
import os
from pathlib import Path

import numpy as np
import pytest

from tinygrad_seq.data import Vocabulary
from tinygrad_seq.errors import ArgumentError, CheckpointError
from tinygrad_seq.train import Run, TrainingConfig
from tinygrad_seq.train.build import load_cell

VOCABULARY = Vocabulary.build("abc")
CELL = """
import tinygrad_seq as ts

class Leaky(ts.nn.Cell):
    def __init__(self, input_size, hidden_size):
        self.state_shape = (hidden_size,)
        self.project = ts.nn.Linear(input_size + hidden_size, hidden_size)

    def forward(self, x, h):
        h = 0.9 * h + 0.1 * ts.tanh(self.project(ts.concat([x, h], axis=-1)))
        return h, h
"""


def files(folder: Path) -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*"))


def full(*arguments: object) -> None:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def test_create_then_open(tmp_path: Path, tiny: TrainingConfig) -> None:
    run = Run.create(tmp_path / "deep" / "run", tiny, VOCABULARY, {"sha256": "x"})
    assert files(run.folder) == ["checkpoints", "config.json", "metrics.jsonl", "vocabulary.json"]
    opened = Run.open(run.folder)
    assert (opened.config, opened.vocabulary, opened.facts) == (tiny, VOCABULARY, run.facts)
    assert opened.facts["versions"]["numpy"] == np.__version__
    assert files(tmp_path / "deep") == ["run", *(f"run/{name}" for name in files(run.folder))]


def test_an_existing_run_is_refused_and_force_replaces_it(tmp_path: Path, tiny: TrainingConfig) -> None:
    run = Run.create(tmp_path / "run", tiny, VOCABULARY, {})
    run.save(3, {"a": 1})
    with pytest.raises(CheckpointError, match="--resume, replace it with --force"):
        Run.create(tmp_path / "run", tiny, VOCABULARY, {})
    assert [path.name for path in run.checkpoints()] == ["step-000003.safetensors"]
    again = Run.create(tmp_path / "run", tiny, VOCABULARY, {}, force=True)
    assert again.checkpoints() == []
    assert [path.name for path in tmp_path.iterdir() if path.name != "corpus.txt"] == ["run"]


def test_force_never_deletes_what_is_no_run(tmp_path: Path, tiny: TrainingConfig) -> None:
    (tmp_path / "mine").mkdir()
    theirs = {"letter.txt": "dear", ".lock": "", ".next/config.json": "{}", ".new-ideas": "", ".tokens-of-mine": ""}
    for name, text in theirs.items():
        (tmp_path / "mine" / name).parent.mkdir(exist_ok=True)
        (tmp_path / "mine" / name).write_text(text or "dear")
    for target, message in ((tmp_path / "mine", "is not a run"), (tmp_path / "mine" / "letter.txt", "File exists")):
        with pytest.raises(CheckpointError, match=message):
            Run.create(target, tiny, VOCABULARY, {}, force=True)
    for name, text in theirs.items():
        assert (tmp_path / "mine" / name).read_text() == (text or "dear")


def test_an_empty_folder_is_free(tmp_path: Path, tiny: TrainingConfig) -> None:
    (tmp_path / "run").mkdir()
    assert Run.create(tmp_path / "run", tiny, VOCABULARY, {}).config == tiny


def test_a_full_disk_leaves_nothing_and_loses_nothing(tmp_path: Path, tiny, monkeypatch: pytest.MonkeyPatch) -> None:
    old = Run.create(tmp_path / "old", tiny, VOCABULARY, {})
    old.save(1, {"a": 1})
    before = files(tmp_path)
    monkeypatch.setattr(os, "fsync", full)
    for name, force in (("new", False), ("old", True)):
        with pytest.raises(CheckpointError, match="No space left"):
            Run.create(tmp_path / name, tiny, VOCABULARY, {}, force=force)
    with pytest.raises(CheckpointError, match="No space left"):
        old.save(2, {"a": 2}, best=True)
    assert files(tmp_path) == before
    assert old.load() == {"a": 1}


def test_an_unwritable_place_is_one_clear_line(tmp_path: Path, tiny, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(CheckpointError, match=r"expected to create or write the run folder .*; choose another folder"):
        Run.create(tmp_path / "file" / "run", tiny, VOCABULARY, {})

    def refused(*arguments: object, **options: object) -> None:
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))

    monkeypatch.setattr(Path, "mkdir", refused)
    with pytest.raises(CheckpointError, match="Permission denied"):
        Run.create(tmp_path / "run", tiny, VOCABULARY, {})


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "without config.json"),
        ("{", "expected JSON"),
        ("[]", "got a list"),
        ('{"format": "x"}', "another kind"),
    ],
)
def test_a_folder_that_is_no_run(tmp_path: Path, content: str | None, message: str) -> None:
    if content is not None:
        (tmp_path / "config.json").write_text(content)
    with pytest.raises(CheckpointError, match=message):
        Run.open(tmp_path)


def test_what_a_kill_left_half_written_goes_with_the_next_checkpoint(tmp_path: Path, tiny: TrainingConfig) -> None:
    run = Run.create(tmp_path / "run", tiny, VOCABULARY, {})
    (run.folder / "checkpoints" / ".0123456789abcdef.tmp").write_bytes(b"half")
    run.save(1, {})
    assert [path.name for path in (run.folder / "checkpoints").iterdir()] == ["step-000001.safetensors"]


def test_two_checkpoints_and_the_best_are_kept(tmp_path: Path, tiny: TrainingConfig) -> None:
    run = Run.create(tmp_path / "run", tiny, VOCABULARY, {})
    with pytest.raises(CheckpointError, match="got none"):
        run.load()
    for step in range(1, 5):
        run.save(step, {"step": step}, best=step == 2)
    assert [path.stem for path in run.checkpoints()] == ["step-000004", "step-000003"]
    assert [run.load()["step"], run.load("best")["step"], run.load("step-000003")["step"]] == [4, 2, 3]


def test_a_damaged_checkpoint_names_one_that_can_be_used(tmp_path: Path, tiny: TrainingConfig) -> None:
    run = Run.create(tmp_path / "run", tiny, VOCABULARY, {})
    for step in (1, 2):
        run.save(step, {"step": step, "w": np.ones(9)}, best=step == 1)
    newest, older = run.checkpoints()
    for path, hint in ((newest, "--checkpoint step-000001 can be used"), (older, "--checkpoint best can be used")):
        path.write_bytes(path.read_bytes()[:-5])
        with pytest.raises(CheckpointError, match=f"cut short or damaged.*{hint}"):
            run.load()
    run.best.write_bytes(b"")
    with pytest.raises(CheckpointError, match="no other checkpoint can be used"):
        run.load()
    with pytest.raises(CheckpointError, match="No such file"):
        run.load("step-000009")


def test_a_cell_of_the_users_goes_into_the_run(tmp_path: Path, tiny: TrainingConfig) -> None:
    source = tmp_path / "mine.py"
    source.write_text(CELL)
    config = dataclasses.replace(tiny, cell=f"{source}:Leaky")
    run = Run.create(tmp_path / "run", config, VOCABULARY, {})
    source.unlink()
    assert json.loads((run.folder / "config.json").read_text())["config"]["cell"] == "cell.py:Leaky"
    (tmp_path / "run").rename(tmp_path / "moved")
    moved = Run.open(tmp_path / "moved")
    assert load_cell(moved.config.cell).__name__ == "Leaky"
    updated = moved.update_config(dataclasses.replace(moved.config, steps=99))
    assert Run.open(tmp_path / "moved").config == updated.config


@pytest.mark.parametrize(
    ("source", "name", "message"),
    [
        (None, "Leaky", "does not exist"),
        (CELL, "Leaki", "named 'Leaki' .* got Leaky"),
        ("x = 1", "x", "no cells"),
        ("import nonsense_module", "A", "ModuleNotFoundError: No module named 'nonsense_module'"),
        ("def (", "A", "SyntaxError"),
    ],
)
def test_a_cell_that_cannot_be_loaded(tmp_path: Path, source: str | None, name: str, message: str) -> None:
    path = tmp_path / "mine.py"
    if source is not None:
        path.write_text(source)
    with pytest.raises(ArgumentError, match=message):
        load_cell(f"{path}:{name}")
