"""The code of a run folder runs only with consent; what is checked is what runs."""

from __future__ import annotations

import dataclasses
import importlib.util
import os
import py_compile
import shutil
import stat
from pathlib import Path

import pytest

from tinygrad_seq.base import cache_folder
from tinygrad_seq.data import Vocabulary
from tinygrad_seq.errors import ArgumentError, CheckpointError
from tinygrad_seq.train import Run, Session, TrainingConfig, trust
from tinygrad_seq.train.build import build_model, load_cell
from tinygrad_seq.train.manifest import read, to_bytes

from .test_run import CELL

VOCABULARY = Vocabulary.build("abc")
EVIL = CELL + "\nimport pathlib\npathlib.Path(__file__).with_name('ran').touch()\n"


@pytest.fixture(autouse=True)
def another_user(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TGS_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.setattr(trust, "_of_users", {})
    monkeypatch.setattr(trust, "_of_runs", {})


@pytest.fixture
def run(tmp_path: Path, tiny: TrainingConfig) -> Run:
    (tmp_path / "mine.py").write_text(CELL)
    return Run.create(tmp_path / "run", dataclasses.replace(tiny, cell=f"{tmp_path / 'mine.py'}:Leaky"), VOCABULARY, {})


def forget(tmp_path: Path) -> None:
    shutil.rmtree(tmp_path / "cache")


def test_who_trained_needs_no_consent_again_also_after_a_move(run: Run, tmp_path: Path) -> None:
    moved = run.folder.rename(tmp_path / "moved")
    assert load_cell(Run.open(moved).config.cell).__name__ == "Leaky"
    assert stat.S_IMODE((tmp_path / "cache" / "trusted").stat().st_mode) == 0o700


def test_the_run_of_somebody_else_is_opened_but_its_code_is_not_run(run: Run, tmp_path: Path) -> None:
    forget(tmp_path)
    opened = Run.open(run.folder)
    assert (opened.rows(), opened.config.hidden_size) == ([], 6)
    with pytest.raises(ArgumentError, match=r"expected consent to run the code in '.*cell\.py'.*pass --trust"):
        build_model(opened.config, 6)
    build_model(Run.open(run.folder, trust=True).config, 6)
    with pytest.raises(ArgumentError, match="consent"):  # trust is for one opening, not for ever
        build_model(Run.open(run.folder).config, 6)


def test_edited_code_is_refused_even_with_trust(run: Run) -> None:
    (run.folder / "cell.py").write_text(EVIL)
    with pytest.raises(CheckpointError, match=r"expected the cell that was trained in '.*cell\.py', got other code"):
        Run.open(run.folder, trust=True)
    content = read(run.folder / "config.json")
    del content["code"]
    (run.folder / "config.json").write_bytes(to_bytes(content))
    with pytest.raises(ArgumentError, match="consent"):
        build_model(Run.open(run.folder).config, 6)
    assert not (run.folder / "ran").exists()


def test_what_was_checked_is_run_even_if_the_file_changes_meanwhile(run: Run) -> None:
    opened = Run.open(run.folder)
    (run.folder / "cell.py").write_text(EVIL)
    build_model(opened.config, 6)
    assert not (run.folder / "ran").exists()


def test_compiled_code_beside_the_file_is_not_run(run: Run) -> None:
    """Python itself would run a .pyc whose header has the time and size of the source."""
    cell = run.folder / "cell.py"
    status = cell.stat()
    cell.write_text(EVIL)
    compiled = Path(importlib.util.cache_from_source(str(cell)))
    py_compile.compile(str(cell), str(compiled), invalidation_mode=py_compile.PycInvalidationMode.UNCHECKED_HASH)
    cell.write_text(CELL)
    os.utime(cell, ns=(status.st_atime_ns, status.st_mtime_ns))
    build_model(Run.open(run.folder).config, 6)
    assert not (run.folder / "ran").exists()


def test_the_copy_in_the_run_is_what_was_trained(tmp_path: Path, tiny: TrainingConfig) -> None:
    source = tmp_path / "mine.py"
    source.write_text(CELL)
    config = dataclasses.replace(tiny, cell=f"{source}:Leaky")
    session = Session(config)
    source.write_text("edited while the text was read")
    run = Run.create(tmp_path / "run", config, session.vocabulary, session.facts)
    assert (run.folder / "cell.py").read_text() == CELL
    source.write_text(CELL.replace("0.9", "0.8"))
    Session(config)  # an edited file is read anew
    run = Run.create(tmp_path / "run", config, session.vocabulary, session.facts, force=True)
    assert "0.8" in (run.folder / "cell.py").read_text()


@pytest.mark.parametrize("part", ["", "trusted"])
def test_a_record_that_others_could_have_written_does_not_count(run: Run, tmp_path: Path, part: str) -> None:
    folder = tmp_path / "cache" / part
    for path in (folder, *folder.glob("*")) if not part else folder.glob("*"):
        path.chmod(path.stat().st_mode | stat.S_IWOTH)
    with pytest.raises(ArgumentError, match="consent"):
        build_model(Run.open(run.folder).config, 6)


def test_without_a_cache_folder_there_is_a_warning(tmp_path: Path, tiny: TrainingConfig, monkeypatch) -> None:
    def refused() -> Path:
        raise PermissionError("it can be written by others")

    monkeypatch.setattr(cache_folder, "prepare", refused)
    (tmp_path / "mine.py").write_text(CELL)
    config = dataclasses.replace(tiny, cell=f"{tmp_path / 'mine.py'}:Leaky")
    with pytest.warns(RuntimeWarning, match="--trust will be needed"):
        run = Run.create(tmp_path / "run", config, VOCABULARY, {})
    build_model(run.config, 6)
    with pytest.raises(ArgumentError, match="consent"):
        build_model(Run.open(run.folder).config, 6)


@pytest.mark.parametrize("kind", ["missing", "folder", "pipe"])
def test_a_cell_file_that_is_none(run: Run, kind: str) -> None:
    path = run.folder / "cell.py"
    path.unlink()
    if kind == "folder":
        path.mkdir()
    elif kind == "pipe":
        os.mkfifo(path)
    with pytest.raises(CheckpointError, match=r"Run\.open: expected a readable file, got '.*cell\.py'"):
        Run.open(run.folder, trust=True)
