from __future__ import annotations

import contextlib
import errno
import json
import os
import pty
import re
import shlex
import shutil
import signal
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from tests.cli.commands import ENVIRONMENT, arguments, process, refused
from tinygrad_seq.cli import main, progress
from tinygrad_seq.train import Run, TrainingSteps

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
    for part in ("tokens (char): ", "step  5/10", "step 10/10", "held out: loss", "bits/char", "perplexity",
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
    assert "expected steps above 10" in refused(capsys, "train", "--out", str(run), "--resume", "--steps", "5")
    message = refused(capsys, "train", "--out", str(run), "--resume", "--steps", "20", "--hidden", "9")
    assert "expected hidden_size=8" in message
    assert "Continue" not in message
    assert Run.open(run).config.steps == 10
    assert main(["train", "--out", str(run), "--resume", "--steps", "15", "--hidden", "8"]) == 0
    assert [row["step"] for row in Run.open(run).rows()] == [5, 10, 15]
    assert Run.open(run).config.steps == 15


def test_interrupted_equals_straight(corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys) -> None:
    assert main(arguments(corpus, tmp_path / "straight")) == 0
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
        (["--resume"], "expected a run folder, got"),
        (["--checkpoint", "best"], "only with --resume"),
        (["--resume", "--force"], "leave one out"),
        (["--resume", "--from", "RUN"], "leave one out"),
        (["--from", "nowhere"], "expected a run folder, got"),
        (["--encoding", "utf-99"], "encoding to be auto"),
        (["--validation", "0.6", "--test", "0.5"], "validation + test below 1"),
        (["--corpus", "pydok"], "pydoc, stdlib"),
    ],
)
def test_bad_settings_are_one_line_and_make_no_folder(corpus: Path, tmp_path: Path, capsys, more, message) -> None:
    assert message in refused(capsys, *arguments(corpus, tmp_path / "run", *more))
    assert [path.name for path in tmp_path.iterdir()] == ["corpus.txt"]


@pytest.mark.parametrize(
    ("content", "message"),
    [("", "an empty file"), ("\n \n\n", "only blank lines"), ("ab", "pass a text with more lines")],
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


def test_a_file_in_the_place_of_a_folder_is_named(corpus: Path, tmp_path: Path, capsys) -> None:
    tokens = tmp_path / "run" / "tokens"
    assert main(arguments(corpus, tmp_path / "run")) == 0
    shutil.rmtree(tokens)
    tokens.write_text("")
    message = refused(capsys, "train", "--out", str(tmp_path / "run"), "--resume", "--steps", "20")
    assert message == f"error: train: expected to use '{tokens}', got: File exists; check its folder.\n"


def test_the_command_that_is_shown_works_for_any_name(corpus: Path, tmp_path: Path, capsys, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(arguments(corpus, Path("-my run"))) == 0
    command = shlex.split(capsys.readouterr().out.splitlines()[-1].removeprefix("Generate text:  tinygrad-seq "))
    assert main([*command, "--length", "3"]) == 0


def test_no_arguments_show_the_help(capsys) -> None:
    assert main(["train"]) == 2
    captured = capsys.readouterr()
    assert "--corpus" in captured.out + captured.err


def stages(running) -> Iterator[str]:
    assert running.stdout is not None
    while line := running.stdout.readline():
        yield line
    raise AssertionError(running.communicate())


@pytest.mark.parametrize(
    ("stage", "number", "code"),
    [
        ("Reading", signal.SIGTERM, 143),
        ("Ctrl-C", signal.SIGINT, 130),
        ("compiling", signal.SIGINT, 130),
        ("step ", signal.SIGHUP, 129),
        ("evaluating", signal.SIGTERM, 143),
        ("sampling", signal.SIGINT, 130),
    ],
)
def test_a_signal_at_every_stage(corpus: Path, tmp_path: Path, stage: str, number: signal.Signals, code: int) -> None:
    """Within two seconds, with the right exit code; what was trained can be resumed, and nothing else stays."""
    if stage in ("Reading", "evaluating"):
        corpus.write_text("the cat sat on the mat\n" * 400_000)
    more = {
        "compiling": ["--cell", "lstm"],
        "evaluating": ["--eval-tokens", "0", "--validation", "0.9"],
        "sampling": ["--sample-length", "100000000"],
    }
    cache = {"TGS_CACHE_DIR": str(tmp_path / "cache")} if stage == "compiling" else {}
    options = {"env": ENVIRONMENT | cache}
    running = process(*arguments(corpus, tmp_path / "run", *more.get(stage, []), steps=1_000_000), **options)
    next(line for line in stages(running) if stage in line)
    running.send_signal(number)
    sent = time.monotonic()
    out, err = running.communicate(timeout=60)
    assert time.monotonic() < sent + 4  # 2 on an idle machine
    assert (running.returncode, err) == (code, "")
    if stage in ("step ", "evaluating", "sampling"):
        assert "Continue with:" in out
        assert Run.open(tmp_path / "run").load()["steps"]["number"] >= 5
    else:
        assert not (tmp_path / "run").exists() or Run.open(tmp_path / "run").checkpoints()


def test_a_second_process_is_refused_from_before_the_corpus_is_read(corpus: Path, tmp_path: Path, capsys) -> None:
    corpus.write_text("the cat sat on the mat\n" * 1_000_000)
    running = process(*arguments(corpus, tmp_path / "run", steps=1_000_000))
    next(line for line in stages(running) if "Reading" in line)
    try:
        for more in ([], ["--force"], ["--resume"]):
            message = refused(capsys, *arguments(corpus, tmp_path / "run", *more))
            assert f"process {running.pid}" in message
    finally:
        running.kill()
        running.communicate()


def test_a_closed_output_saves_what_was_trained(corpus: Path, tmp_path: Path) -> None:
    running = process(*arguments(corpus, tmp_path / "run", "--evaluate-every", "1000000", steps=1_000_000))
    next(line for line in stages(running) if line.startswith("step"))
    assert running.stdout is not None
    running.stdout.close()
    assert running.stderr is not None
    assert running.stderr.read() == ""
    running.stderr.close()
    assert running.wait(timeout=60) == 1
    assert Run.open(tmp_path / "run").load()["steps"]["number"] >= 10


def test_settings_change_at_a_resume(corpus: Path, tmp_path: Path, capsys) -> None:
    run = tmp_path / "run"
    assert main(arguments(corpus, run)) == 0
    capsys.readouterr()
    assert main(["train", "--out", str(run), "--resume", "--steps", "20", "--clip", "0.5", "--dropout", "0.1"]) == 0
    shown = capsys.readouterr().out
    assert "changed: steps 10 -> 20, clip_norm 1.0 -> 0.5, dropout 0.0 -> 0.1" in shown
    assert "the learning rate stays at 4e-05; the cosine has ended, and another --lr starts a new one" in shown
    assert Run.open(run).config.clip_norm == 0.5
    assert main(["train", "--out", str(run), "--resume", "--steps", "30", "--lr", "0.004"]) == 0
    assert "the learning rate falls from 0.004 along a cosine to 4e-05" in capsys.readouterr().out


def test_a_new_rate_survives_a_kill_before_the_first_step(corpus: Path, tmp_path: Path, monkeypatch) -> None:
    run = tmp_path / "run"
    assert main(arguments(corpus, run)) == 0

    def killed(*_: object) -> None:
        raise SystemExit

    with monkeypatch.context() as patch:
        patch.setattr(TrainingSteps, "_update", killed)
        with pytest.raises(SystemExit):
            main(["train", "--out", str(run), "--resume", "--steps", "20", "--lr", "0.004"])
    assert main(["train", "--out", str(run), "--resume"]) == 0
    assert Run.open(run).load()["schedule"] | {"lowest": 0} == {
        "kind": "cosine", "lr": 0.004, "lowest": 0, "warmup": 0, "begin": 10, "end": 20,
    }  # fmt: skip


def test_fine_tuning(trained: Path, tmp_path: Path, capsys) -> None:
    (tmp_path / "letters.txt").write_text("the dog and the cat sat on a pear; 7\n" * 60)
    command = ["train", "--from", str(trained), "--corpus", str(tmp_path / "letters.txt")]
    small = ["--out", str(tmp_path / "tuned"), "--steps", "10", "--batch", "3", "--window", "8", "--warmup", "2"]
    assert main([*command, *small, "--lr", "0.001"]) == 0
    shown = capsys.readouterr().out
    tuned = Run.open(tmp_path / "tuned")
    assert "<UNK> stands for" in shown
    assert (tuned.config.hidden_size, tuned.config.unit, tuned.config.lr) == (8, "line", 0.001)
    assert tuned.vocabulary.digest == Run.open(trained).vocabulary.digest
    assert tuned.facts["origin"]["run"] == "run"
    assert main(["train", "--out", str(tuned.folder), "--resume", "--steps", "12"]) == 0
    assert "expected hidden_size=8" in refused(capsys, *command, *small, "--force", "--hidden", "9")
    assert "expected --corpus with --from" in refused(capsys, "train", "--from", str(trained), *small)


def test_a_test_part_is_shown(corpus: Path, tmp_path: Path, capsys) -> None:
    assert main(arguments(corpus, tmp_path / "run", "--test", "0.2")) == 0
    assert "test part, step 10 (the best): loss" in capsys.readouterr().out
    assert "test_loss" in Run.open(tmp_path / "run").rows()[-1]


@pytest.mark.parametrize("columns", [30, 60, 200])
def test_a_terminal_shows_step_and_loss(corpus: Path, tmp_path: Path, columns: int) -> None:
    """In a real terminal, whose width is COLUMNS."""
    child, terminal = pty.openpty()
    environment = ENVIRONMENT | {"COLUMNS": str(columns), "TERM": "xterm"}
    running = process(*arguments(corpus, tmp_path / "run", steps=200), stdout=terminal, env=environment)
    os.close(terminal)
    shown = b""
    with contextlib.suppress(OSError):  # the end of a terminal
        while part := os.read(child, 4096):
            shown += part
    os.close(child)
    assert running.communicate(timeout=60) == (None, "")
    assert running.returncode == 0
    lines = re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", shown.decode()).replace("\r", "\n").splitlines()
    assert any(re.search(r"step \d+/200  loss \d\.\d{3}", line[:columns]) for line in lines)
    assert "Reading" in lines[0]


def test_the_first_line_comes_at_once(corpus: Path, tmp_path: Path) -> None:
    started = time.monotonic()
    running = process(*arguments(corpus, tmp_path / "run", steps=1_000_000))
    assert "Reading" in next(stages(running))
    assert time.monotonic() < started + 4  # 2 on an idle machine
    running.kill()
    running.communicate()


def test_lines_between_evaluations_have_the_newest_metrics(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(progress, "_SECONDS_BETWEEN_LINES", 0.2)
    monkeypatch.setattr(progress.PlainDisplay, "_text", lambda self, row: f"step {row['step']}, ETA\n")
    with progress.PlainDisplay() as display:
        for step in range(1, 41):
            display.progress("training", step, 40)
            if step % 2 == 0:
                display.show({"step": step})
            time.sleep(0.05)
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) >= 3
    assert all(re.fullmatch(r"step \d+, ETA", line) for line in lines)


def test_a_long_stage_is_shown_every_few_seconds(monkeypatch: pytest.MonkeyPatch, capsys) -> None:
    monkeypatch.setattr(progress, "_SECONDS_BETWEEN_LINES", 0.2)
    with progress.PlainDisplay() as display:
        for done in range(40):
            display.progress("encoding", done, 40)
            time.sleep(0.05)
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) >= 3
    assert all(re.fullmatch(r"encoding \d+ %", line) for line in lines)
