"""A kill just before any operation on files: the run opens, and continues from what was reported as saved."""

from __future__ import annotations

import dataclasses
import errno
import functools
import itertools
import os
import resource
import shutil
import signal
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tinygrad_seq.data import Vocabulary
from tinygrad_seq.errors import CheckpointError
from tinygrad_seq.train import Run, TrainingConfig
from tinygrad_seq.train.lock import lock_run
from tinygrad_seq.train.metrics import append_row
from tinygrad_seq.train.run_folder import check_free

VOCABULARY = Vocabulary.build("abc")
OTHER = Vocabulary.build("xyz")
OPERATIONS = {"open", "os.rename", "os.remove", "os.mkdir", "os.rmdir", "os.link", "os.truncate", "fcntl.flock"}
FIXTURES = Path(__file__).parent / "fixtures" / "run_0_1_0"


def killed(folder: Path, number: int, act: Callable[[], object], code: int = 0) -> bool:
    """Call `act` in a child that is killed just before its operation `number` in `folder`; return whether it was.

    With an error number `code` that operation and all later ones of its kind fail instead; return whether `act` ended
    with a CheckpointError.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # a child of a process with threads
        child = os.fork()
    if child:
        _, status = os.waitpid(child, 0)
        result = os.waitstatus_to_exitcode(status)
        assert result in (0, 9)
        return result == 9
    count, failing = 0, ""

    def hook(event: str, arguments: tuple[Any, ...]) -> None:
        nonlocal count, failing
        # Deleting a folder names files by the handle of their folder: what is no absolute path counts too.
        name = os.fsdecode(arguments[0]) if arguments and isinstance(arguments[0], str | bytes | os.PathLike) else ""
        if event in OPERATIONS and (not os.path.isabs(name) or name.startswith(str(folder))):
            count += 1
            if count == number and not code:
                os._exit(9)
            failing = event if count == number else failing
            if event == failing and (event != "open" or arguments[2] & (os.O_WRONLY | os.O_RDWR)):
                raise OSError(code, os.strerror(code))

    try:
        sys.addaudithook(hook)
        act()
        os._exit(0)
    except CheckpointError:
        os._exit(9)
    finally:
        os._exit(1)


def moments(template: Path, act: Callable[[Path], object], code: int = 0, every: int = 1) -> Any:
    """Yield a copy of the folder `template` for each moment at which `act` is killed, and one in which it is not.

    `every` n-th moment is tried.
    """
    for number in itertools.count(1, every):
        folder = template.parent / f"{template.name}-{number}"
        if template.exists():
            shutil.copytree(template, folder)
        was_killed = killed(folder, number, functools.partial(act, folder), code)
        yield folder, not was_killed
        shutil.rmtree(folder, ignore_errors=True)
        if not was_killed and (not code or number > 60):
            assert number > 5
            return


def content(step: int, best_step: int) -> dict[str, Any]:
    weights = {"embedding.weight": np.zeros((6, 4)), "decoder.weight": np.zeros((6, 6))}
    return {
        "steps": {"number": step, "model": weights},
        "stopping": {"best_step": best_step},
        "weights": np.full(9, step),
    }


def step_of(run: Run, name: str | None = None) -> int:
    loaded = run.load(name)
    number: int = loaded["steps"]["number"]
    assert loaded["weights"].tolist() == [number] * 9
    return number


def left_over(folder: Path) -> list[str]:
    return [path.name for path in folder.rglob(".*")]


@pytest.fixture
def run(tmp_path: Path, tiny: TrainingConfig) -> Run:
    """A run with checkpoints 3, 6 and the best, 6, and metrics up to step 6."""
    run = Run.create(tmp_path / "run", tiny, VOCABULARY, {"sha256": "x"})
    for step in (3, 6):
        append_row(run.metrics, {"step": step})
        run.save(step, content(step, step), best=True)
    return run


def test_create(tmp_path: Path, tiny: TrainingConfig) -> None:
    tokens = tmp_path / "tokens"

    def create(folder: Path) -> None:
        tokens.mkdir(exist_ok=True)
        (tokens / "training.npy").write_bytes(b"tokens")
        Run.create(folder, tiny, VOCABULARY, {}, tokens=tokens)

    for folder, done in moments(tmp_path / "run", create):
        with lock_run(folder):
            pass
        assert left_over(folder) == [] if folder.exists() else not done
        if not done and not (folder / "config.json").exists():
            check_free(folder)  # as if nothing had happened
            Run.create(folder, tiny, VOCABULARY, {})
        else:
            assert (folder / "tokens" / "training.npy").read_bytes() == b"tokens"
        assert Run.open(folder).config == tiny


def test_force(run: Run, tiny: TrainingConfig) -> None:
    config = dataclasses.replace(tiny, hidden_size=7)
    (run.folder / "mine.txt").write_text("dear")
    seen = set()
    for folder, done in moments(run.folder, lambda folder: Run.create(folder, config, OTHER, {}, force=True)):
        for _ in range(2):  # for a reader, then after the next process has locked the run
            found = Run.open(folder)
            is_new = found.config == config
            seen.add(is_new)
            assert found.vocabulary == (OTHER if is_new else VOCABULARY)
            assert [row["step"] for row in found.rows()] == ([] if is_new else [3, 6])
            assert is_new or not done
            if is_new:
                assert found.checkpoints() == []
            else:
                assert (step_of(found), step_of(found, "best")) == (6, 6)
            with lock_run(folder):
                pass
        assert left_over(folder) == []
        assert (folder / "mine.txt").read_text() == "dear"
    assert seen == {True, False}


@pytest.mark.parametrize("best", [False, True])
def test_save(run: Run, best: bool) -> None:
    for folder, done in moments(
        run.folder, lambda folder: Run.open(folder).save(9, content(9, 9 if best else 6), best=best)
    ):
        found = Run.open(folder)
        newest = step_of(found)
        assert newest == 9 if done else newest in (6, 9)
        assert step_of(found, "best") in ((9,) if newest == 9 and best else (6, 9) if best else (6,))
        with found.lock():
            pass
        assert left_over(folder) == []
        found.save(12, content(12, 6))
        assert [path.stem for path in found.checkpoints()] == ["step-000012", f"step-{newest:06d}"]


@pytest.mark.parametrize("point", ["step-000003", "best"])
def test_cut(run: Run, point: str) -> None:
    if point == "best":  # the user has put an earlier one there
        shutil.copy(run.checkpoints()[1], run.best)
        run.checkpoints()[1].unlink()
    for step in (7, 8):
        shutil.copy(run.checkpoints()[0], run.folder / "checkpoints" / f"step-{step:06d}.safetensors")

    def go_back(folder: Path) -> None:
        found = Run.open(folder)
        number = found.load(point)["steps"]["number"]
        assert number == 3
        found.cut(number)

    for folder, done in moments(run.folder, go_back):
        found = Run.open(folder)
        newest = found.checkpoints()[0].stem
        assert newest == "step-000003" if done else newest in ("step-000003", "step-000008")
        assert found.best.exists() or newest == "step-000003"  # a finished run never loses it
        assert not done or step_of(found, "best") == 3
        if newest == "step-000008":
            assert [row["step"] for row in found.rows()] == [3, 6]
        go_back(folder)  # again, to the end
        assert (step_of(found), step_of(found, "best")) == (3, 3)
        assert [row["step"] for row in found.rows()] == [3]
        assert left_over(folder) == []


def test_update_config(run: Run) -> None:
    steps = run.config.steps
    for folder, done in moments(
        run.folder, lambda folder: Run.open(folder).update_config(dataclasses.replace(run.config, steps=99))
    ):
        found = Run.open(folder)
        assert found.config.steps in ((99,) if done else (steps, 99))
        assert step_of(found) == 6


@pytest.mark.parametrize("name", ["char", "word"])
def test_a_run_of_version_0_1_0(tmp_path: Path, name: str) -> None:
    shutil.copytree(FIXTURES / name, tmp_path / name)
    for folder, done in moments(tmp_path / name, lambda folder: Run.open(folder).cut(4)):
        found = Run.open(folder)
        numbers = [found.load(path.stem)["steps"]["number"] for path in found.checkpoints()]
        assert numbers == [4] if done else numbers in ([8, 4], [4])
        assert found.best.exists() == (not done) or not done
        found.cut(4)
        assert (found.load()["steps"]["number"], found.best.exists()) == (4, False)
        assert [row["step"] for row in found.rows()] == [4]


def test_an_interrupt_during_a_replacement_keeps_the_new_run(run: Run, tiny: TrainingConfig, monkeypatch) -> None:
    def interrupted(*arguments: object, **options: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(shutil, "rmtree", interrupted)
    with pytest.raises(KeyboardInterrupt):
        Run.create(run.folder, tiny, OTHER, {}, force=True)
    monkeypatch.undo()
    assert Run.open(run.folder).vocabulary == OTHER
    with pytest.raises(CheckpointError, match="got none"):
        Run.open(run.folder).load()


def test_a_disk_that_fails_at_any_moment(run: Run) -> None:
    for folder, done in moments(run.folder, lambda at: Run.open(at).save(9, content(9, 9), best=True), errno.ENOSPC):
        found = Run.open(folder)
        newest = step_of(found)
        assert newest == 9 if done else newest in (6, 9)
        assert step_of(found, "best") in (6, 9)
        found.save(12, content(12, 6))
        assert [path.stem for path in found.checkpoints()] == ["step-000012", f"step-{newest:06d}"]
        assert left_over(folder) == []


def test_a_file_that_may_not_grow(run: Run) -> None:
    """A limit on the size of files (`ulimit -f`) acts as a full disk does, in the middle of a write."""

    def save(limit: int) -> None:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
        run.save(9, content(9, 9), best=True)

    for limit in (0, 1, 100, 500, 1000):
        assert killed(run.folder, -1, functools.partial(save, limit))
        assert (step_of(run), step_of(run, "best"), left_over(run.folder)) == (6, 6, [])
