"""Cases in which work was lost."""

from __future__ import annotations

import re
import shutil
import signal
import time
from pathlib import Path

import pytest

from tests.soak.kills import kill_before
from tests.soak.situations import operations
from tests.soak.trial import Trial
from tinygrad_seq.data import Vocabulary
from tinygrad_seq.train import Run
from tinygrad_seq.train.text import Writer


@pytest.fixture
def trial(tmp_path: Path) -> Trial:
    return Trial(tmp_path / "trial", tmp_path / "references", 0)


def steps_of(run: Run) -> list[int]:
    return [int(path.stem.removeprefix("step-")) for path in run.checkpoints()]


def test_what_is_written_after_going_back_is_continued(trial: Trial) -> None:
    checkpoints = trial.run / "checkpoints"
    assert trial.train(*trial.settings("saving", "--steps", "40", "--evaluate-every", "20")).code == 0
    shutil.copy(checkpoints / "step-000020.safetensors", trial.folder / "earlier")
    assert trial.train("--resume", "--steps", "60").code == 0
    shutil.copy(trial.folder / "earlier", checkpoints / "best.safetensors")
    assert steps_of(Run.open(trial.run)) == [60, 40]

    going_back = ["train", "--out", str(trial.run), "--resume", "--checkpoint", "best", "--steps", "1000000"]
    process = trial.start(*going_back)
    while Run.open(trial.run).rows()[-1]["step"] in (20, 60):  # until there are new rows after step 20
        assert process.poll() is None
        time.sleep(0.01)
    process.send_signal(signal.SIGINT)
    done = trial.wait(process)
    assert done.code == 130
    found = re.search(r"saved at step (\d+)", done.out)
    assert found is not None, done.out
    step = int(found[1])
    run = Run.open(trial.run)
    assert step > 20
    assert steps_of(run)[0] == step
    assert run.load()["steps"]["number"] == step
    assert [row["step"] for row in run.rows() if row["step"] > step] == []
    assert f"steps {step} to {step + 1}" in trial.train("--resume", "--steps", str(step + 1)).out


def test_the_newest_checkpoint_has_the_highest_number(trial: Trial) -> None:
    assert trial.train(*trial.settings("saving", "--steps", "4")).code == 0
    run = Run.open(trial.run)
    content = run.load()
    for step in (999_900, 1_000_000, 1_000_100, 9_999_900, 10_000_000):
        content["steps"]["number"] = step
        assert run.save(step, content).exists()
        assert steps_of(run)[0] == run.load()["steps"]["number"] == step
    assert steps_of(run) == [10_000_000, 9_999_900]


def test_best_is_right_after_a_kill_before_it_is_written(trial: Trial) -> None:
    listed = operations(trial, "start", "saving")
    numbers = [number for number, operation in enumerate(listed, 1) if operation.endswith("best.safetensors")]
    assert kill_before(trial, "start", "saving", numbers[-1])


@pytest.mark.parametrize("level", ["char", "word"])
def test_writing_a_token_takes_the_same_time_in_a_long_line(level) -> None:
    text = "abcdefgh ijklmn" if level == "char" else "the cat sat on a mat and ran"
    vocabulary = Vocabulary.build([text], level=level)

    def seconds(tokens: int) -> float:
        writer, began = Writer(vocabulary, "document"), time.process_time()
        for number in range(tokens):
            writer.write(3 + number % (len(vocabulary) - 3))
        return time.process_time() - began

    short, long = (min(seconds(tokens) for _ in range(3)) for tokens in (500, 4_000))
    assert long < 24 * short  # eight times the tokens: 8 if linear, 64 if quadratic
