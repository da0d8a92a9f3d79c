"""The tasks train, always in the same way; their data, scores and baselines are what they say they are."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from benchmarks.tasks import __main__ as runner
from benchmarks.tasks import _page, adding, chorales, copy_memory, digits, reber
from benchmarks.tasks._ours import Ours
from benchmarks.tasks._task import SKIP, Batch, Learner, Task, score, train

MODULES: tuple[ModuleType, ...] = (adding, chorales, copy_memory, digits, reber)
TASKS: dict[str, Task] = {
    f"{each.__name__.split('.')[-1]} {task.name}": task for each in MODULES for task in each.TASKS
}


class Oracle(Learner):
    """Something that puts out what it is told to."""

    def __init__(self, outputs: np.ndarray) -> None:
        self.found = outputs

    def step(self, batch: Batch) -> float:
        raise NotImplementedError("it does not learn")

    def outputs(self, inputs: np.ndarray) -> np.ndarray:
        return self.found


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a folder of music with random keys, and let digits be random images."""
    rng = np.random.default_rng(0)
    arrays: dict[str, Any] = {}
    for split in ("train", "valid", "test"):
        arrays[f"{split}_len"] = rng.integers(5, 12, 20)
        frames = rng.random((int(arrays[f"{split}_len"].sum()), 88)) < 0.05
        arrays[f"{split}_bits"] = np.packbits(frames, axis=1)
    for name in ("jsb_chorales", "nottingham"):
        np.savez(tmp_path / f"{name}.npz", **arrays)
    images, classes = rng.integers(0, 17, (1600, 64)), rng.integers(0, 10, 1600)
    monkeypatch.setattr(digits, "load", lambda: (images, classes))
    monkeypatch.setattr(reber, "STRINGS", 20)
    for module in (adding, copy_memory):
        monkeypatch.setattr(module, "T", 12)
        monkeypatch.setattr(module, "HELD_OUT", 20)
    return tmp_path


@pytest.mark.parametrize("name", TASKS)
def test_a_few_steps(name: str, folder: Path) -> None:
    """A second run gives the same numbers, another seed others."""
    task = dataclasses.replace(TASKS[name], steps=6, evaluate_every=3)
    once, again = (train(task, Ours, 0, folder) for _ in range(2))
    assert {**once, "cpu_seconds": 0} == {**again, "cpu_seconds": 0}
    assert [point["step"] for point in once["curve"]] == [3, 6]
    assert all(np.isfinite(list(point.values())).all() for point in once["curve"])
    other = train(task, Ours, 1, folder)
    assert other["first_losses"] != once["first_losses"]


def test_music_is_read_as_it_was_written(folder: Path) -> None:
    with np.load(folder / "jsb_chorales.npz") as archive:
        pieces = chorales.pieces(archive, "valid")
        assert [len(piece) for piece in pieces] == archive["valid_len"].tolist()
    (task,) = (task for task in chorales.TASKS if task.name == "JSB")
    _, held_out = task.data(folder)
    frames = sum(len(piece) - 1 for piece in pieces)
    weights: list[Any] = [batch.weights for batch in held_out["valid"]]
    assert sum((each > 0).sum() for each in weights) == frames
    for batch in held_out["valid"]:
        at_half = np.zeros(batch.targets.shape)  # every key on with probability 1/2
        assert score(task, Oracle(at_half), [batch]) == pytest.approx(88 * np.log(2))


def test_music_without_a_folder_is_refused() -> None:
    with pytest.raises(SystemExit, match=r"jsb_chorales\.npz: pass --data FOLDER"):
        chorales.TASKS[0].data(None)


def test_who_answers_one_errs_by_a_sixth() -> None:
    assert adding.TASKS[0].baseline is not None
    name, error = adding.TASKS[0].baseline
    batch = adding.draw(np.random.default_rng(0), 20_000)
    assert name == "always 1"
    assert adding.squared_error(np.ones((20_000, 1)), batch)[0] / 20_000 == pytest.approx(error, abs=5e-3)
    np.testing.assert_array_equal(batch.inputs[:, :, 1].sum(0), 2)


def test_who_remembers_nothing_pays_the_baseline() -> None:
    (task,) = copy_memory.TASKS
    assert task.baseline is not None
    batch = copy_memory.draw(np.random.default_rng(0), 5)
    outputs = np.full((*batch.targets.shape, task.outputs), -1e3)
    outputs[: -copy_memory.LENGTH, :, copy_memory.BLANK] = 0
    outputs[-copy_memory.LENGTH :, :, : copy_memory.SYMBOLS] = 0
    assert score(task, Oracle(outputs), [batch]) == pytest.approx(task.baseline[1])
    np.testing.assert_array_equal(batch.inputs[: copy_memory.LENGTH].argmax(-1), batch.targets[-copy_memory.LENGTH :])


@pytest.mark.parametrize("inner", ["BTSSXXTVVE", "BPVVE", "BTXXVPSE", "BPVPXVPXVPXVVE", "BTSXXVPSE"])
def test_reber_strings(inner: str) -> None:
    text = f"BT{inner}TE"
    legal = reber.followers(text)
    assert all(symbol in each for symbol, each in zip(text[1:], legal, strict=True))
    assert legal[-2:] == [{"T"}, {"E"}]


@pytest.mark.parametrize("inner", ["BTSSPXSE", "BPTVVB", "BTXXVVSE", "BPVSPSE", "BTSSSE"])
def test_what_is_no_reber_string(inner: str) -> None:
    try:
        legal = reber.followers(f"BT{inner}TE")
    except KeyError:
        return  # a symbol that leads nowhere
    assert any(symbol not in each for symbol, each in zip(f"T{inner}TE", legal, strict=True))


def test_no_string_is_trained_on_and_tested_on() -> None:
    train_texts, held_out = reber.data(None)
    assert len(train_texts) == reber.STRINGS
    for batch in held_out.values():
        targets = batch[0].targets
        texts = {"B" + "".join(reber.SYMBOLS[k] for k in column if k != SKIP) for column in targets.T}
        assert targets.shape[1] == reber.STRINGS
        assert not texts & set(train_texts)


def test_a_string_is_right_if_what_may_follow_comes_first() -> None:
    batch = reber.batch_of(["BTBPVVETE", "BPBTXSEPE"])
    outputs = np.zeros((*batch.targets.shape, len(reber.SYMBOLS)))
    for n, text in enumerate(["BTBPVVETE", "BPBTXSEPE"]):
        for step, each in enumerate(reber.followers(text)):
            outputs[step, n, [reber.SYMBOLS.index(symbol) for symbol in each]] = 1
    assert reber.strings_right(outputs, batch) == (2, 2)
    outputs[-2, 1] = np.eye(len(reber.SYMBOLS))[reber.SYMBOLS.index("T")]  # the frame of the second was P
    assert reber.strings_right(outputs, batch) == (1, 2)


def test_runs_whose_losses_differ_are_refused() -> None:
    runs = {"a": {"first_losses": [1.0, 0.9, 0.8]}, "b": {"first_losses": [1.0, 0.9, 0.8004]}}
    runner.check_agreement("task", runs)
    runs["b"]["first_losses"][2] = 0.802
    with pytest.raises(SystemExit, match="task: the first losses differ"):
        runner.check_agreement("task", runs)


def test_page_is_what_the_script_writes() -> None:
    found = _page.results()
    assert _page.PAGE.read_text(encoding="utf-8") == _page.page(found), "run python -m benchmarks.tasks --table"
    for subject in found:
        picture = _page.PAGE.parent / f"tasks_{subject}.png"
        assert 0 < picture.stat().st_size < 150_000


def test_results_are_those_of_the_tasks() -> None:
    for subject, result in _page.results().items():
        assert result["results"].keys() == runner.tasks(subject).keys()
        for name, task in runner.tasks(subject).items():
            written = json.loads(json.dumps(runner.facts(task)))
            assert {key: result["results"][name][key] for key in written} == written, f"train {subject} anew"
