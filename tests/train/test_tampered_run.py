"""Run folders from strangers: any file may hold anything. One clear error each, and nothing is rewritten."""

from __future__ import annotations

import dataclasses
import json
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tinygrad_seq.autograd.serialization import read_arrays, save
from tinygrad_seq.data import Vocabulary
from tinygrad_seq.errors import CheckpointError, TinygradSeqError
from tinygrad_seq.train import Run, load_checkpoint, save_checkpoint
from tinygrad_seq.train import manifest as manifests
from tinygrad_seq.train.checkpoint import _checksum

FIXTURES = Path(__file__).parent / "fixtures" / "run_0_1_0"
FILES = (
    "config.json",
    "vocabulary.json",
    "metrics.jsonl",
    "checkpoints/step-000004.safetensors",
    "checkpoints/step-000008.safetensors",
    "checkpoints/best.safetensors",
)
DEEP = "[" * 100_000


def make(folder: Path, version: int) -> Path:
    """Return a run of version 1 or 2 with checkpoints of steps 4 and 8."""
    old = FIXTURES / "char"
    if version == 1:
        shutil.copytree(old, folder)
        return folder
    source = Run.open(old)
    run = Run.create(folder, source.config, source.vocabulary, source.facts)
    for step in (4, 8):
        run.save(step, source.load(f"step-{step:06d}"), best=True)
    shutil.copy(source.metrics, run.metrics)
    return folder


@pytest.fixture(params=[1, 2])
def folder(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    return make(tmp_path / "run", request.param)


def uses(folder: Path) -> Iterator[Callable[[], object]]:
    """Yield what one can do with a run folder; all but the last two only read."""
    yield lambda: Run.open(folder)
    yield lambda: Run.open(folder).rows()
    yield lambda: Run.open(folder).load()
    yield lambda: Run.open(folder).load("step-000004")
    yield lambda: Run.open(folder).load("best")
    yield lambda: Run.open(folder).load_model()
    yield lambda: Run.open(folder).load_model("step-000008")
    yield lambda: Run.open(folder).cut(8)
    yield lambda: Run.open(folder).update_config(Run.open(folder).config)


def content(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and not path.is_symlink()
    }


def attempt(folder: Path) -> list[str]:
    """Do everything with a folder and return the messages; errors of other kinds than ours pass through."""
    before, messages = content(folder), []
    for use in uses(folder):
        try:
            use()
        except TinygradSeqError as error:
            messages.append(str(error))
    assert not any("\n" in message for message in messages)
    if len(messages) == len(list(uses(folder))):  # not even one thing worked
        assert content(folder) == before
    return messages


def test_runs_of_both_versions_work(folder: Path) -> None:
    assert attempt(folder) == []
    run = Run.open(folder)
    assert run.sample("a", length=5, seed=0) == run.sample("a", length=5, seed=0, checkpoint="best")
    assert run.score("a") == pytest.approx(float(run.model.log_probability(run.encode("a")).sum()))
    assert run.load_model()[1] == 8


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("kind", ["missing", "folder", "pipe", "loop", "unreadable", "empty", "text", "deep", "list"])
def test_every_file_as_something_else(folder: Path, name: str, kind: str) -> None:
    path = folder / name
    path.unlink()
    if kind == "folder":
        path.mkdir()
    elif kind == "pipe":
        os.mkfifo(path)
    elif kind == "loop":
        path.symlink_to(path.name)
    elif kind != "missing":
        texts = {"unreadable": b"\xff\xfe\x00", "empty": b"", "text": b"dear", "deep": DEEP.encode(), "list": b"[]"}
        path.write_bytes(texts[kind] + b"\n")
    messages = attempt(folder)
    if kind != "missing" and not (name == "metrics.jsonl" and kind == "empty"):
        assert messages
    if name == "config.json":
        assert all(str(folder) in message for message in messages)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)


def places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    yield path
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, item in items:
        yield from places(item, (*path, key))


def mutated(value: Any, data: st.DataObject) -> Any:
    """Return `value`, JSON, with one part deleted or replaced."""
    value = json.loads(json.dumps(value))
    path = data.draw(st.sampled_from(list(places(value))))
    if not path:
        return data.draw(JSON)
    *parents, last = path
    target = value
    for key in parents:
        target = target[key]
    if data.draw(st.booleans()):
        del target[last]
    else:
        target[last] = data.draw(JSON)
    return value


@pytest.fixture(scope="module", params=[1, 2])
def original(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make(tmp_path_factory.mktemp("original") / "run", request.param)


def attempt_with(original: Path, name: str, change: Callable[[Path], object]) -> None:
    """Do everything with a copy of a run folder in which `change` has changed one file."""
    folder = original.parent / "copy"
    shutil.copytree(original, folder)
    try:
        change(folder / name)
        attempt(folder)
    finally:
        shutil.rmtree(folder)


many = settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.too_slow])


@many
@given(data=st.data())
def test_changed_settings_facts_and_rows(original: Path, data: st.DataObject) -> None:
    def change(path: Path) -> None:
        texts = path.read_text().splitlines() if path.name.endswith("jsonl") else [path.read_text()]
        values = [mutated(json.loads(text), data) for text in texts]
        if path.name == "config.json" and isinstance(values[0], dict) and data.draw(st.booleans()):
            values[0]["sha256"] = manifests._digest(values[0])
        path.write_text("".join(json.dumps(value) + "\n" for value in values))

    attempt_with(original, data.draw(st.sampled_from(FILES[:3])), change)


@many
@given(data=st.data())
def test_checkpoints_with_a_right_checksum(original: Path, data: st.DataObject) -> None:
    def change(path: Path) -> None:
        arrays, metadata = read_arrays(path)
        if data.draw(st.booleans()):
            name = data.draw(st.sampled_from(sorted(arrays)))
            others = np.zeros(0), np.zeros((1,) * 9, np.int8), arrays[name][..., None], np.full(3, np.nan)
            arrays[name] = others[data.draw(st.integers(0, 3))]
        text = json.dumps(mutated(json.loads(metadata["tinygrad_seq.checkpoint"]), data))
        save(arrays, path, metadata={"tinygrad_seq.checkpoint": text, "crc32": _checksum(text, arrays)})

    attempt_with(original, data.draw(st.sampled_from(FILES[3:])), change)


@many
@given(data=st.data())
def test_flipped_and_missing_bytes(original: Path, data: st.DataObject) -> None:
    def change(path: Path) -> None:
        changed = bytearray(path.read_bytes())
        for _ in range(data.draw(st.integers(1, 3))):
            changed[data.draw(st.integers(0, len(changed) - 1))] = data.draw(st.integers(0, 255))
        path.write_bytes(changed[: data.draw(st.integers(0, len(changed)))] if data.draw(st.booleans()) else changed)

    attempt_with(original, data.draw(st.sampled_from(FILES)), change)


# ------------------------------------------------------------------------------------- what is bound to what


def test_a_permuted_vocabulary_is_refused(folder: Path) -> None:
    path = folder / "vocabulary.json"
    run = Run.open(folder)
    tokens = [run.vocabulary.token(index) for index in range(3, len(run.vocabulary))]
    permuted = Vocabulary(tokens[::-1])
    permuted.save(path)
    if run.id is None:  # version 0.1.0 did not note the vocabulary
        assert Run.open(folder).vocabulary == permuted
        return
    with pytest.raises(CheckpointError, match=r"the vocabulary of the run in '.*vocabulary.json', got another"):
        Run.open(folder)
    forge(folder, vocabulary=permuted.digest)
    with pytest.raises(CheckpointError, match=r"belong to the vocabulary .* restore"):
        Run.open(folder).load()


def forge(folder: Path, **changes: Any) -> None:
    """Change config.json, and its digest."""
    value = json.loads((folder / "config.json").read_bytes())
    value["config"] |= changes.pop("config", {})
    (folder / "config.json").write_bytes(manifests.to_bytes({**value, **changes}))


@pytest.mark.parametrize("text", ['"dropout": 0.2', '"hidden_size": 6', '"characters": 1245'])
def test_an_edited_config_is_refused(folder: Path, text: str) -> None:
    path = folder / "config.json"
    assert text in path.read_text()
    path.write_text(path.read_text().replace(text, text + "1"))
    if '"version": 2' in path.read_text():
        with pytest.raises(
            CheckpointError, match=r"'.*config.json' as train wrote it, got another content; restore it"
        ):
            Run.open(folder)


def test_settings_that_may_not_change_are_named(tmp_path: Path) -> None:
    folder = make(tmp_path / "run", 2)
    forge(folder, config={"restart": 0.5})
    assert Run.open(folder).load()["steps"]["number"] == 8  # it may change
    forge(folder, config={"seed": 5})
    with pytest.raises(
        CheckpointError, match=r"expected seed=0 in '.*config.json', with which '.*' was trained, got 5"
    ):
        Run.open(folder).load()


@pytest.mark.parametrize("name", ["embedding_size", "hidden_size", "num_layers"])
def test_sizes_that_would_fill_the_memory_are_refused_before_a_model_is_built(folder: Path, name: str) -> None:
    path = folder / "config.json"
    value = json.loads(path.read_bytes())
    value["config"][name] = 1000 if name == "num_layers" else 10**8
    value["sha256"] = manifests._digest(value)
    path.write_text(json.dumps(value))
    with pytest.raises(CheckpointError, match=r"a step, weights of the shapes .* in .*, got .*; restore"):
        Run.open(folder).load()


def test_a_checkpoint_of_another_run_is_refused(tmp_path: Path) -> None:
    one, other = (Run.open(make(tmp_path / name, 2)) for name in ("one", "other"))
    shutil.copy(other.best, one.best)
    with pytest.raises(CheckpointError, match=r"belong to the run .*--checkpoint step-000008 can be used"):
        one.load("best")
    old = FIXTURES / "char" / "checkpoints" / "step-000004.safetensors"
    shutil.copy(old, one.folder / "checkpoints" / "old.safetensors")
    with pytest.raises(CheckpointError, match="belong to the run"):
        one.load("old")


def test_a_run_that_says_that_it_is_older_is_checked_all_the_same(tmp_path: Path) -> None:
    folder = make(tmp_path / "run", 2)
    file = folder / "config.json"
    text = file.read_text().replace('"version": 2', '"version": 1').replace('"dropout": 0.0', '"dropout": 0.5')
    assert text != file.read_text()
    file.write_text(text)
    with pytest.raises(CheckpointError, match="as train wrote it"):
        Run.open(folder)


def test_settings_of_other_versions(tmp_path: Path) -> None:
    folder = make(tmp_path / "run", 2)
    value = json.loads((folder / "config.json").read_bytes())
    del value["config"]["nfc"]
    value["config"]["of_the_future"] = [1]
    (folder / "config.json").write_bytes(manifests.to_bytes(value))
    run = Run.open(folder)
    assert run.load()["steps"]["number"] == 8
    run.update_config(dataclasses.replace(run.config, steps=99))
    assert json.loads((folder / "config.json").read_bytes())["config"]["of_the_future"] == [1]
    (folder / "config.json").write_text((folder / "config.json").read_text().replace('"version": 2', '"version": 3'))
    with pytest.raises(CheckpointError, match=r"expected version 1 to 2 .* got 3; update tinygrad_seq"):
        Run.open(folder)


def test_a_run_of_0_1_0_goes_on(tmp_path: Path) -> None:
    folder = make(tmp_path / "run", 1)
    run = Run.open(folder)
    run.save(12, run.load())
    run = run.update_config(dataclasses.replace(run.config, steps=99))
    assert json.loads((folder / "config.json").read_bytes())["version"] == 2
    assert [Run.open(folder).load(path.stem)["seconds"] > 0 for path in run.checkpoints()] == [True, True]


@pytest.mark.parametrize("name", ["../../x", "", "a/b", "a\0b", "..", ".", ".hidden", "/etc/passwd", "a\nb"])
def test_names_of_checkpoints(folder: Path, name: str) -> None:
    with pytest.raises(CheckpointError, match="expected the name of a checkpoint"):
        Run.open(folder).load(name)


def test_foreign_files_among_the_checkpoints(folder: Path) -> None:
    checkpoints = folder / "checkpoints"
    for name in (
        "step-abc.safetensors",
        "step-000009.bak",
        "step-9.safetensors",
        "step-0000009.safetensors",
        "x",
        "step-",
    ):
        (checkpoints / name).write_bytes(b"mine")
    (checkpoints / "step-000077.safetensors").mkdir()
    run = Run.open(folder)
    assert [path.stem for path in run.checkpoints()] == ["step-000008", "step-000004"]
    content = run.load()
    for step in (999_900, 1_000_000):
        run.save(step, content)
    assert [path.stem for path in run.checkpoints()] == ["step-1000000", "step-999900"]
    shutil.copy(run.checkpoints()[0], checkpoints / "step-000008.safetensors")
    run.cut(8)
    assert [path.stem for path in run.checkpoints()] == ["step-000008"]
    assert (checkpoints / "step-0000009.safetensors").read_bytes() == b"mine"
    assert (checkpoints / "step-000077.safetensors").is_dir()


def test_what_was_written_and_the_newest_intact_one_are_never_deleted(folder: Path) -> None:
    run = Run.open(folder)
    content = run.load()
    for step in (20, 30):
        path = run.save(step, content)
        path.write_bytes(path.read_bytes()[:-3])
    run.save(40, content)
    assert [path.stem for path in run.checkpoints()] == ["step-000040", "step-000008"]
    assert run.save(5, content).exists()  # without going back


def test_a_point_whose_numbered_checkpoint_is_damaged_is_restored(folder: Path) -> None:
    run = Run.open(folder)
    shutil.copy(run.checkpoints()[0], run.best)
    newest = run.checkpoints()[0]
    newest.write_bytes(b"half")
    run.cut(8)
    assert run.load()["steps"]["number"] == 8
    with pytest.raises(CheckpointError, match="expected an intact checkpoint of step 7"):
        run.cut(7)
    assert run.load()["steps"]["number"] == 8


def test_content_that_looks_like_markers_comes_back(tmp_path: Path) -> None:
    save_checkpoint({"$array": "x", "a": {"$tuple": [1]}, "b": {1: "int", "1": "str"}}, tmp_path / "x")
    expected = {"$array": "x", "a": {"$tuple": [1]}, "b": {1: "int", "1": "str"}}
    assert load_checkpoint(tmp_path / "x") == expected
