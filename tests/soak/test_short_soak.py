"""The soak test in a short form: one round of one scenario of each kind; the others take as long again."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.soak import kills, memory, second_process, signals, trouble
from tests.soak.trial import SoakError, Trial, differences

SCENARIOS = (
    kills.aimed_kill,
    kills.kill_in_going_back,
    signals.storm,
    second_process.second_process,
    trouble.disk_full,
)


@pytest.fixture(scope="module")
def references(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("references")


def make_trial(references: Path, folder: Path, seed: str | int = 0) -> Trial:
    return Trial(folder / "trial", references, seed, profiles=["saving"])


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_a_run_survives(scenario, references: Path, tmp_path: Path) -> None:
    assert scenario(make_trial(references, tmp_path))


def test_a_stop_is_obeyed_while_a_text_is_read_and_evaluated(references: Path, tmp_path: Path) -> None:
    assert signals.stop_in_large_text(make_trial(references, tmp_path), 2_000_000, bound=20.0)


def test_memory_is_flat(references: Path, tmp_path: Path) -> None:
    trial = make_trial(references, tmp_path)
    for scenario, steps in ((memory.many_steps, 2_000), (memory.long_stream, 20_000), (memory.long_text, 20_000)):
        assert scenario(trial, steps)


def test_another_run_is_another(references: Path, tmp_path: Path) -> None:
    trial = make_trial(references, tmp_path)
    straight = trial.straight("saving")
    shutil.copytree(straight, trial.run)
    assert differences(straight, trial.run) == []
    (trial.run / "left").touch()
    with (trial.run / "metrics.jsonl").open("a") as file:
        file.write('{"step": 81}\n')
    assert [fault.split(":")[0] for fault in differences(straight, trial.run)] == ["metrics", "file left"]
    other = trial.straight("saving", "--seed", "1")
    assert any("weight of shape" in fault for fault in differences(straight, other))
    (trial.folder / "stray").mkdir()
    with pytest.raises(SoakError, match="left over: stray"):
        trial.check_equal(straight)
