"""Two processes and one run folder, at every moment of a run's life."""

from __future__ import annotations

import contextlib
import dataclasses
import errno
import json
import os
import shutil
import signal
import stat
import time
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tinygrad_seq.data import Vocabulary
from tinygrad_seq.errors import CheckpointError
from tinygrad_seq.train import Run, TrainingConfig, lock
from tinygrad_seq.train.lock import lock_run
from tinygrad_seq.train.run_folder import check_free

VOCABULARIES = Vocabulary.build("abc"), Vocabulary.build("xyz")


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lock, "_PATIENCE", 0.1)


@contextlib.contextmanager
def other_process(act: Callable[[Callable[[], object]], object]) -> Iterator[int]:
    """Run ``act(ready)`` in another process, which sleeps inside `ready`; return its id once it has called that."""
    reader, writer = os.pipe()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # a child of a process with threads
        child = os.fork()
    if not child:

        def ready() -> None:
            os.write(writer, b".")
            time.sleep(60)

        try:
            act(ready)
        finally:
            os._exit(0)
    try:
        os.close(writer)
        assert os.read(reader, 1) == b"."
        yield child
    finally:
        os.close(reader)
        with contextlib.suppress(ProcessLookupError):
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)


def holding(folder: Path) -> contextlib.AbstractContextManager[int]:
    def act(ready: Callable[[], object]) -> None:
        with lock_run(folder):
            ready()

    return other_process(act)


@pytest.fixture
def run(tmp_path: Path, tiny: TrainingConfig) -> Run:
    run = Run.create(tmp_path / "run", tiny, VOCABULARIES[0], {})
    run.save(3, {"a": 1})
    return run


def test_whoever_writes_is_refused_and_told_who_trains_and_readers_need_no_lock(run: Run, tiny: TrainingConfig) -> None:
    with holding(run.folder) as child:
        for act in (
            lambda: run.save(4, {}),
            lambda: run.cut(3),
            lambda: run.update_config(tiny),
            lambda: Run.create(run.folder, tiny, VOCABULARIES[1], {}, force=True),
            lambda: run.lock().__enter__(),
        ):
            with pytest.raises(
                CheckpointError, match=rf"Run\.lock: expected .* free, got .*process {child} on .*since 20"
            ):
                act()
        opened = Run.open(run.folder)
        assert (opened.vocabulary, opened.load(), opened.rows()) == (VOCABULARIES[0], {"a": 1}, [])
    assert run.save(4, {}).exists()
    assert not (run.folder / ".run.lock").exists()


def test_the_lock_goes_with_its_holder_at_once(run: Run) -> None:
    for _ in range(5):
        with holding(run.folder) as child:
            os.kill(child, signal.SIGKILL)
            with run.lock():  # waits for the process to end
                pass


def test_a_lock_file_that_somebody_deletes_or_forges_changes_nothing(run: Run) -> None:
    with holding(run.folder):
        for text in (None, "", "half of {", "[]", '{"pid": [1]}'):
            (run.folder / ".run.lock").unlink(missing_ok=True)
            if text is not None:
                (run.folder / ".run.lock").write_text(text)
            with pytest.raises(CheckpointError, match="is training"):
                run.save(4, {})
    (run.folder / ".run.lock").unlink()
    os.mkfifo(run.folder / ".run.lock")
    with pytest.raises(CheckpointError, match="expected to create or write"):
        run.save(4, {})


def test_of_many_starts_at_once_one_creates_the_run(tmp_path: Path, tiny: TrainingConfig) -> None:
    folder = tmp_path / "new" / "run"
    gate, opened = os.pipe()
    children = []
    for number in range(6):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)
            child = os.fork()
        children.append(child)
        if not child:
            code = 9
            try:
                os.close(opened)
                os.read(gate, 1)  # returns when the parent closes its end
                with lock_run(folder):
                    check_free(folder)
                    time.sleep(0.05)  # reads the corpus
                    Run.create(folder, dataclasses.replace(tiny, seed=number), VOCABULARIES[0], {"sha256": str(number)})
                code = 0
            except CheckpointError as error:
                code = 1 if "is training" in str(error) or "an existing run" in str(error) else 8
            finally:
                os._exit(code)
    os.close(opened)
    codes = [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children]
    assert sorted(codes) == [0, 1, 1, 1, 1, 1]
    found = Run.open(folder)
    assert found.facts["sha256"] == str(codes.index(0)) == str(found.config.seed)


def test_a_folder_of_which_nothing_came_is_removed(tmp_path: Path) -> None:
    mine = tmp_path / "mine"
    mine.mkdir()
    with contextlib.suppress(RuntimeError), lock_run(tmp_path / "a" / "b"), lock_run(mine):
        assert json.loads((tmp_path / "a" / "b" / ".run.lock").read_text())["pid"] == os.getpid()
        (tmp_path / "a" / "b" / ".tokens-abcd0123").mkdir()  # Ctrl-C came before anything could delete it
        raise RuntimeError
    assert [path.name for path in tmp_path.iterdir() if path.name != "corpus.txt"] == ["mine"]


def test_a_process_may_lock_again(run: Run) -> None:
    with run.lock(), lock_run(run.folder), lock_run(f"{run.folder}/../run"):
        run.save(4, {})
    with holding(run.folder):  # free
        pass


@pytest.mark.parametrize("moved", [True, False])
@pytest.mark.parametrize("replaced", [True, False])
def test_a_folder_that_is_moved_deleted_or_replaced_is_not_written_to(
    run: Run, tiny: TrainingConfig, moved: bool, replaced: bool
) -> None:
    with run.lock():
        if moved:
            run.folder.rename(run.folder.parent / "moved")
        else:
            shutil.rmtree(run.folder)
        if replaced:
            run.folder.mkdir()
        with pytest.raises(CheckpointError, match="moved, deleted or replaced"):
            run.save(4, {})
    assert list(run.folder.glob("**/*")) == []
    assert run.folder.exists() == replaced


def refuse(monkeypatch: pytest.MonkeyPatch, *, folders: int, files: int | None = None) -> None:
    """Let a lock of a folder, and of a file, end with an error."""
    real = lock._lock

    def refused(handle: int) -> None:
        if code := folders if stat.S_ISDIR(os.fstat(handle).st_mode) else files:
            raise OSError(code, os.strerror(code))
        real(handle)

    monkeypatch.setattr(lock, "_lock", refused)


@pytest.mark.parametrize("code", [errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOSYS])
def test_without_locks_there_is_a_warning(run: Run, monkeypatch: pytest.MonkeyPatch, code: int) -> None:
    refuse(monkeypatch, folders=errno.EBADF, files=code)
    with pytest.warns(RuntimeWarning, match="has no locks; make sure that only one process"):
        run.save(4, {})
    assert run.load() == {}


def test_where_a_folder_cannot_be_locked_the_file_in_it_is(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    refuse(monkeypatch, folders=errno.EBADF)
    for _ in range(2):
        with holding(run.folder) as child, pytest.raises(CheckpointError, match=f"process {child} on"):
            run.save(4, {})
    with run.lock():
        (run.folder / ".run.lock").unlink()
        with pytest.raises(CheckpointError, match="moved, deleted or replaced"):
            run.save(4, {})


@pytest.mark.parametrize("code", [errno.EROFS, errno.EACCES])
def test_a_folder_that_cannot_be_written(run: Run, monkeypatch: pytest.MonkeyPatch, code: int) -> None:
    real = os.open

    def refused(path: Any, flags: int, *more: Any, **options: Any) -> int:
        if flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT):
            raise OSError(code, os.strerror(code))
        return real(path, flags, *more, **options)

    monkeypatch.setattr(os, "open", refused)
    with pytest.raises(CheckpointError, match=os.strerror(code)):
        run.save(4, {})
    assert Run.open(run.folder).load() == {"a": 1}


@pytest.mark.parametrize("path", ["a\0b", "", "loop/run", "corpus.txt"])
def test_paths_that_cannot_be_run_folders(tmp_path: Path, path: str, monkeypatch: pytest.MonkeyPatch, tiny) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "loop").symlink_to("loop")
    (tmp_path / "mine.txt").write_text("dear")
    for act in (lambda: Run.create(path, tiny, VOCABULARIES[0], {}, force=True), lambda: Run.open(path)):
        with pytest.raises(CheckpointError):
            act()


def test_a_file_of_the_run_that_is_a_link_is_not_written_through(run: Run, tmp_path: Path) -> None:
    (tmp_path / "victim").write_text("dear")
    for link in (run.metrics, run.folder / "checkpoints" / "step-000004.safetensors", run.best):
        before = link.read_bytes() if link.exists() else None
        link.unlink(missing_ok=True)
        link.symlink_to(tmp_path / "victim")
        with pytest.raises(CheckpointError, match="got a symbolic link"):
            run.save(4, {}, best=True)
        link.unlink()
        if before is not None:
            link.write_bytes(before)
    assert (tmp_path / "victim").read_text() == "dear"


@contextlib.contextmanager
def meanwhile(act: Callable[[int], object]) -> Iterator[None]:
    """Call ``act(0)``, ``act(1)``, ... in another process."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        child = os.fork()
    if not child:
        try:
            for number in range(1_000_000):
                act(number)
        finally:
            os._exit(1)
    try:
        yield
        assert os.waitpid(child, os.WNOHANG) == (0, 0)  # it still runs: nothing has failed
    finally:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)


def test_readers_never_see_half_a_run_while_it_is_replaced(run: Run, tiny: TrainingConfig) -> None:
    def replace(number: int) -> None:
        seed = number % 2
        config = dataclasses.replace(tiny, seed=seed)
        Run.create(run.folder, config, VOCABULARIES[seed], {}, force=True).save(1, {"seed": seed})

    seen = set()
    with meanwhile(replace):
        end = time.monotonic() + 2
        while time.monotonic() < end:
            found = Run.open(run.folder)
            seed = found.config.seed
            assert found.vocabulary == VOCABULARIES[seed]
            with contextlib.suppress(CheckpointError):  # it has been replaced since
                assert found.load() in ({"seed": seed}, {"a": 1})
                seen.add(seed)
    assert seen == {0, 1}


def test_readers_find_the_newest_checkpoint_while_others_are_deleted(run: Run) -> None:
    numbers = []
    with meanwhile(lambda number: run.save(4 + number, {"number": number})):
        end = time.monotonic() + 2
        while time.monotonic() < end:
            numbers.append(run.load().get("number", -1))
    assert numbers == sorted(numbers)
    assert numbers[-1] > 5
