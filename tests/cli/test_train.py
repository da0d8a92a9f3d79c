from __future__ import annotations

import errno
import json
import os
import signal
import sys
from pathlib import Path

import numpy as np
import pytest

from tests.cli.commands import arguments, process, refused
from tinygrad_seq.cli import main
from tinygrad_seq.train import Run

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
BROKEN_CELLS = """
import tinygrad_seq as ts

class Init(ts.nn.Cell):
    def __init__(self, input_size, hidden_size):
        self.state_shape = (hidden_size,)
        self.x = undefined_name

class Missing(ts.nn.Cell):
    def __init__(self, input_size, hidden_size):
        self.state_shape = (hidden_size,)
        self.project = ts.nn.Linear(input_size + hidden_size, hidden_size)

class Forward(Missing):
    def forward(self, x, h):
        y = {}["nope"]
        return y, y

class Shape(Missing):
    def forward(self, x, h):
        h = h * 1
        y = self.project(x)
        return y, y

class Size(Missing):
    def forward(self, x, h):
        y = self.project(ts.concat([x, h], axis=-1))
        return y[:, :3], y

class Arguments(Missing):
    def __init__(self, size):
        self.state_shape = (size,)
"""


def test_train_shows_what_it_does(corpus: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(arguments(corpus, tmp_path / "run")) == 0
    shown = capsys.readouterr().out
    for part in ("tokens (char) for training", "step  5/10", "step 10/10", "held out: loss", "bits/char", "perplexity",
                 "tokens/s", "|gradient|", "ETA", "tinygrad-seq sample"):  # fmt: skip
        assert part in shown
    rows = [json.loads(line) for line in (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()]
    assert [row["step"] for row in rows] == [5, 10]


def test_live_display(corpus: Path, tmp_path: Path, capsys, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    monkeypatch.setenv("COLUMNS", "200")
    assert main(arguments(corpus, tmp_path / "run")) == 0
    shown = capsys.readouterr().out
    assert "held out: loss" in shown
    assert "10/10" in shown


def test_resume_goes_on_and_refuses_other_settings(corpus: Path, tmp_path: Path, capsys) -> None:
    run = tmp_path / "run"
    assert main(arguments(corpus, run)) == 0
    assert "steps above 10" in refused(capsys, "train", "--out", str(run), "--resume")
    message = refused(capsys, "train", "--out", str(run), "--resume", "--steps", "20", "--hidden", "9")
    assert "expected hidden_size=8" in message
    assert Run.open(run).config.steps == 10
    assert main(["train", "--out", str(run), "--resume", "--steps", "15", "--hidden", "8"]) == 0
    assert [row["step"] for row in Run.open(run).rows()] == [5, 10, 15]
    assert Run.open(run).config.steps == 15


def test_interrupted_equals_straight(corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys) -> None:
    assert main(arguments(corpus, tmp_path / "straight")) == 0
    from tinygrad_seq.train.loop import TrainingSteps

    update = TrainingSteps._update

    def interrupted(self, *window):
        if self.number == 6:
            os.kill(os.getpid(), signal.SIGINT)
        return update(self, *window)

    with monkeypatch.context() as patch:
        patch.setattr(TrainingSteps, "_update", interrupted)
        capsys.readouterr()
        assert main(arguments(corpus, tmp_path / "run")) == 130
    shown = capsys.readouterr().out
    assert "saved at step 7" in shown
    assert f"tinygrad-seq train --out {tmp_path / 'run'} --resume" in shown
    assert main(["train", "--out", str(tmp_path / "run"), "--resume"]) == 0
    straight, paused = (Run.open(tmp_path / name) for name in ("straight", "run"))
    assert [row["sample"] for row in straight.rows()] == [row["sample"] for row in paused.rows()]
    assert [row["validation_loss"] for row in straight.rows()] == [row["validation_loss"] for row in paused.rows()]
    left, right = (run.load()["steps"]["model"] for run in (straight, paused))
    assert all(left[name].tobytes() == right[name].tobytes() for name in left)


def test_ctrl_c_of_a_real_process(corpus: Path, tmp_path: Path) -> None:
    running = process(*arguments(corpus, tmp_path / "run", steps=1_000_000))
    assert running.stdout is not None
    while "Ctrl-C" not in running.stdout.readline():
        assert running.poll() is None
    while not (tmp_path / "run" / "metrics.jsonl").read_text():
        assert running.poll() is None
    running.send_signal(signal.SIGINT)
    out, err = running.communicate(timeout=60)
    assert running.returncode == 130, err
    assert "--resume" in out
    run = Run.open(tmp_path / "run")
    assert run.load()["steps"]["number"] > 0
    assert [path.name for path in run.folder.rglob("*.tmp")] == []


def test_a_killed_process_leaves_a_checkpoint_that_can_be_used(corpus: Path, tmp_path: Path) -> None:
    running = process(*arguments(corpus, tmp_path / "run", "--evaluate-every", "1", steps=1_000_000))
    assert running.stdout is not None
    while "step      20/" not in running.stdout.readline():
        assert running.poll() is None
    running.kill()
    running.communicate(timeout=60)
    run = Run.open(tmp_path / "run")
    step = run.load()["steps"]["number"]
    assert step >= 19
    assert main(["train", "--out", str(run.folder), "--resume", "--steps", str(step + 2)]) == 0
    assert [row["step"] for row in Run.open(run.folder).rows()] == list(range(1, step + 3))


def test_a_cell_of_the_users(corpus: Path, tmp_path: Path, capsys) -> None:
    (tmp_path / "mine.py").write_text(CELL)
    assert main(arguments(corpus, tmp_path / "run", "--cell", f"{tmp_path / 'mine.py'}:Leaky", "--layers", "2")) == 0
    (tmp_path / "mine.py").unlink()
    assert main(["train", "--out", str(tmp_path / "run"), "--resume", "--steps", "12"]) == 0
    assert main(["sample", str(tmp_path / "run"), "--length", "5"]) == 0
    assert "Leaky" in refused(
        capsys, *arguments(corpus, tmp_path / "no", "--cell", f"{tmp_path / 'run' / 'cell.py'}:A")
    )


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("Forward", "in line 16: KeyError: 'nope'; correct it"),
        ("Init", "in line 7: NameError"),
        ("Shape", "in line 22: ShapeError"),
        ("Size", "hidden_size values per batch element, got: ShapeError"),
        ("Arguments", r"Arguments(input_size, hidden_size) to be a cell"),
        ("Missing", "NotImplementedError: Missing: expected a method forward"),
    ],
)
def test_an_error_in_a_cell_of_the_users(corpus: Path, tmp_path: Path, capsys, name: str, message: str) -> None:
    (tmp_path / "broken.py").write_text(BROKEN_CELLS)
    cell = f"{tmp_path / 'broken.py'}:{name}"
    assert message in refused(capsys, *arguments(corpus, tmp_path / "run", "--cell", cell))
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (["--cell", "lsmt"], "one of lstm, gru, rnn"),
        (["--optimizer", "adan"], "one of adam, adamw, sgd, rmsprop, adagrad"),
        (["--level", "byte"], "one of char, word"),
        (["--unit", "page"], "one of paragraph, line, document"),
        (["--schedule", "none"], "one of cosine, constant, plateau"),
        (["--hidden", "0"], "hidden_size to be an integer >= 1"),
        (["--hidden", "big"], "Invalid value for '--hidden"),
        (["--colour", "red"], "No such option"),
        (["--window", "9999"], "pass a longer text"),
        (["--threads", "-1"], "train: expected"),
        (["--threads", "0"], "train: expected"),
        (["--threads", "1" + "0" * 20], "train: expected an integer from 1 to 1024"),
        (["--hidden", "100000000"], "out of memory"),
        (["--resume"], "without config.json"),
        (["--checkpoint", "best"], "only with --resume"),
        (["--resume", "--force"], "leave one out"),
        (["--corpus", "pydok"], "pydoc, stdlib"),
    ],
)
def test_bad_settings_are_one_line_and_make_no_folder(corpus: Path, tmp_path: Path, capsys, more, message) -> None:
    assert message in refused(capsys, *arguments(corpus, tmp_path / "run", *more))
    assert [path.name for path in tmp_path.iterdir()] == ["corpus.txt"]


@pytest.mark.parametrize(
    ("content", "message"), [("", "an empty file"), ("\n \n\n", "only blank lines"), ("ab", "pass a longer text")]
)
def test_bad_corpora(tmp_path: Path, capsys, content: str, message: str) -> None:
    (tmp_path / "corpus.txt").write_text(content)
    assert message in refused(capsys, *arguments(tmp_path / "corpus.txt", tmp_path / "run"))
    assert [path.name for path in tmp_path.iterdir()] == ["corpus.txt"]


def test_a_run_that_exists(corpus: Path, tmp_path: Path, capsys) -> None:
    assert main(arguments(corpus, tmp_path / "run")) == 0
    weights = (tmp_path / "run" / "checkpoints" / "best.safetensors").read_bytes()
    assert "--resume, replace it with --force" in refused(capsys, *arguments(corpus, tmp_path / "run"))
    assert (tmp_path / "run" / "checkpoints" / "best.safetensors").read_bytes() == weights
    assert main(arguments(corpus, tmp_path / "run", "--force", "--seed", "1")) == 0
    assert (tmp_path / "run" / "checkpoints" / "best.safetensors").read_bytes() != weights


@pytest.mark.parametrize("function", ["fsync", "replace"])
def test_a_full_disk(corpus: Path, tmp_path: Path, capsys, monkeypatch: pytest.MonkeyPatch, function: str) -> None:
    def full(*arguments: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, function, full)
    assert "No space left" in refused(capsys, *arguments(corpus, tmp_path / "run"))
    assert [path.name for path in tmp_path.iterdir()] == ["corpus.txt"]


def test_an_unwritable_folder(corpus: Path, tmp_path: Path, capsys) -> None:
    (tmp_path / "file").write_text("")
    assert "choose another folder" in refused(capsys, *arguments(corpus, tmp_path / "file" / "run"))


def test_divergence_is_one_line(corpus: Path, tmp_path: Path, capsys) -> None:
    with np.errstate(all="ignore"):
        code = main(arguments(corpus, tmp_path / "run", "--optimizer", "sgd", "--lr", "1e38", "--clip", "0"))
    assert code == 2
    assert "smaller lr" in capsys.readouterr().err


def test_a_truncated_checkpoint(corpus: Path, tmp_path: Path, capsys) -> None:
    run = tmp_path / "run"
    assert main(arguments(corpus, run)) == 0
    newest = run / "checkpoints" / "step-000010.safetensors"
    newest.write_bytes(newest.read_bytes()[:-100])
    message = refused(capsys, "train", "--out", str(run), "--resume", "--steps", "20")
    assert "cut short or damaged" in message
    assert "--checkpoint step-000005 can be used" in message
    assert Run.open(run).config.steps == 10
    assert main(["train", "--out", str(run), "--resume", "--steps", "20", "--checkpoint", "step-000005"]) == 0
    assert [row["step"] for row in Run.open(run).rows()] == [5, 10, 15, 20]
