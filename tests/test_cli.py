from __future__ import annotations

import errno
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from threadpoolctl import threadpool_info

import tinygrad_seq
from tinygrad_seq import get_num_threads, set_num_threads
from tinygrad_seq.cli import main
from tinygrad_seq.train import Run

LINES = ["the cat sat on the mat", "the dog ate a pear", "an apple and a pear", "a cat and a dog ran"] * 15
SIZES = ["--unit", "line", "--hidden", "8", "--embedding", "4", "--batch", "3", "--window", "8", "--warmup", "2"]
ROOT = Path(__file__).resolve().parent.parent
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


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    path = tmp_path / "corpus.txt"
    path.write_text("\n".join(LINES) + "\n", encoding="utf-8")
    return path


def arguments(corpus: Path, out: Path, *more: str, steps: int = 10) -> list[str]:
    return ["train", "--corpus", str(corpus), "--out", str(out), *SIZES, "--steps", str(steps),
            "--evaluate-every", "5", "--sample-length", "20", *more]  # fmt: skip


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("trained")
    (folder / "corpus.txt").write_text("\n".join(LINES) + "\n", encoding="utf-8")
    assert main(arguments(folder / "corpus.txt", folder / "run", "--lr", "0.02", steps=60)) == 0
    return folder / "run"


def process(*arguments: str, **options) -> subprocess.Popen:
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    script = "import sys; from tinygrad_seq.cli import main; sys.exit(main())"
    command = [sys.executable, "-W", "error", "-c", script, *arguments]
    return subprocess.Popen(
        command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **options
    )


def refused(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    """Return the one line of an error."""
    capsys.readouterr()
    assert main(arguments) == 2
    captured = capsys.readouterr()
    assert captured.err.startswith("error: ")
    assert captured.err.count("\n") == 1
    assert captured.out == ""
    return captured.err


# ------------------------------------------------------------------------------------------------------ train


def test_train_shows_what_it_does(corpus: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(arguments(corpus, tmp_path / "run")) == 0
    shown = capsys.readouterr().out
    for part in ("chars to learn from", "step  5/10", "step 10/10", "held out: loss", "bits/char", "perplexity",
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
    assert "Ctrl-C" in running.stdout.readline() + running.stdout.readline()
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
        ("Size", "give hidden_size values, got: ShapeError"),
        ("Arguments", r"Arguments(input_size, hidden_size), to take a step"),
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
        (["--window", "9999"], "give more text"),
        (["--threads", "-1"], "set_num_threads"),
        (["--threads", "0"], "set_num_threads"),
        (["--hidden", "100000000"], "out of memory"),
        (["--resume"], "without a readable config.json"),
        (["--checkpoint", "best"], "only with --resume"),
        (["--resume", "--force"], "leave one out"),
        (["--corpus", "pydok"], "pydoc, stdlib"),
    ],
)
def test_bad_settings_are_one_line_and_make_no_folder(corpus: Path, tmp_path: Path, capsys, more, message) -> None:
    assert message in refused(capsys, *arguments(corpus, tmp_path / "run", *more))
    assert [path.name for path in tmp_path.iterdir()] == ["corpus.txt"]


@pytest.mark.parametrize(
    ("content", "message"), [("", "got none in"), ("\n \n\n", "one token"), ("ab", "give more text")]
)
def test_bad_corpora(tmp_path: Path, capsys, content: str, message: str) -> None:
    (tmp_path / "corpus.txt").write_text(content)
    assert message in refused(capsys, *arguments(tmp_path / "corpus.txt", tmp_path / "run"))
    assert [path.name for path in tmp_path.iterdir()] == ["corpus.txt"]


def test_a_run_that_exists(corpus: Path, tmp_path: Path, capsys) -> None:
    assert main(arguments(corpus, tmp_path / "run")) == 0
    weights = (tmp_path / "run" / "checkpoints" / "best.safetensors").read_bytes()
    assert "--resume, replace it by --force" in refused(capsys, *arguments(corpus, tmp_path / "run"))
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
    assert "choose another place with --out" in refused(capsys, *arguments(corpus, tmp_path / "file" / "run"))


def test_divergence_is_one_line(corpus: Path, tmp_path: Path, capsys) -> None:
    with np.errstate(all="ignore"):
        code = main(arguments(corpus, tmp_path / "run", "--optimizer", "sgd", "--lr", "1e38", "--clip", "0"))
    assert code == 2
    assert "smaller lr" in capsys.readouterr().err


# ---------------------------------------------------------------------------------------- sample, score, info


def test_sample_repeats_with_a_seed(trained: Path, capsys) -> None:
    texts = []
    for seed in ("1", "1", "2"):
        assert main(["sample", str(trained), "--prompt", "the c", "--length", "40", "--seed", seed]) == 0
        texts.append(capsys.readouterr().out)
    assert texts[0] == texts[1] != texts[2]
    assert all(text.startswith("the c") and len(text) >= 46 for text in texts)
    assert main(["sample", str(trained), "--temperature", "0", "--length", "9", "--checkpoint", "step-000060"]) == 0


def test_score_ranks(trained: Path, capsys) -> None:
    assert main(["score", str(trained), "ttaa nn", "the cat sat on the mat", "the cat"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split()[:2] == ["rank", "log"]
    scores = [float(line.split()[1]) for line in lines[1:]]
    assert scores == sorted(scores, reverse=True)
    model, _ = Run.open(trained).load_model()
    vocabulary = Run.open(trained).vocabulary
    tokens = [vocabulary.eos, *vocabulary.encode("the cat", eos=True)]
    log_p = model.log_probability(tokens).sum()
    [line] = [line for line in lines if line.endswith("  the cat")]
    _, shown, perplexity, count, _, *_ = line.split()
    assert float(shown) == pytest.approx(log_p, abs=0.005)
    assert float(perplexity) == pytest.approx(np.exp(-log_p / 8), abs=0.005)
    assert int(count) == 8


def test_score_reads_the_standard_input(trained: Path) -> None:
    running = process("score", str(trained), stdin=subprocess.PIPE)
    out, err = running.communicate("the cat\n\nthe dog\n", timeout=60)
    assert (running.returncode, err) == (0, "")
    assert len(out.splitlines()) == 3


def test_info(trained: Path, tmp_path: Path, capsys) -> None:
    assert main(["info", str(trained), "--png", str(tmp_path / "loss.png")]) == 0
    shown = capsys.readouterr().out
    for part in ("corpus.txt", "<EOS> after each line", "of 8", "LanguageModel", "best on the held-out text", "└┬",
                 "training:", "held out:", "step-000060"):  # fmt: skip
        assert part in shown
    assert (tmp_path / "loss.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (["sample", "RUN", "--prompt", "Ω"], "'Ω'"),
        (["sample", "RUN", "--temperature", "-1"], "temperature >= 0"),
        (["sample", "RUN", "--top-k", "0"], "top_k >= 1"),
        (["sample", "RUN", "--length", "0"], "length >= 1"),
        (["sample", "RUN", "--checkpoint", "none"], "No such file"),
        (["sample", "nowhere"], "without a readable config.json"),
        (["score", "RUN", "the Ω"], "'Ω'"),
        (["score", "RUN", " "], "a blank one"),
        (["info", "nowhere"], "without a readable config.json"),
        (["info", "RUN", "--png", "nowhere/x.png"], "create the folder first"),
        (["inf"], "No such command"),
    ],
)
def test_bad_questions_are_one_line(trained: Path, capsys, more: list[str], message: str) -> None:
    assert message in refused(capsys, *(str(trained) if part == "RUN" else part for part in more))


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


# ------------------------------------------------------------------------------------------------ the program


@pytest.mark.parametrize("command", [[], ["train"], ["sample"], ["score"], ["info"]])
def test_help_has_an_example(command: list[str], capsys) -> None:
    assert main([*command, "--help"]) == 0
    assert f"tinygrad-seq {(command or ['train'])[0]} " in capsys.readouterr().out


def test_no_command_shows_the_help(capsys) -> None:
    assert main([]) == 2
    captured = capsys.readouterr()
    assert "Commands" in captured.out + captured.err


def test_version_and_python_m() -> None:
    command = [sys.executable, "-m", "tinygrad_seq", "--version"]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, capture_output=True, text=True, check=True, env=environment)
    assert done.stdout == f"tinygrad-seq {tinygrad_seq.__version__}\n"


def test_one_thread_of_blas_unless_asked(corpus: Path, tmp_path: Path) -> None:
    def threads() -> set[int]:
        return {pool["num_threads"] for pool in threadpool_info() if pool["user_api"] == "blas"}

    try:
        assert main(arguments(corpus, tmp_path / "two", "--threads", "2")) == 0
        assert (threads(), get_num_threads()) == ({2}, 2)
        assert main(arguments(corpus, tmp_path / "one")) == 0
        assert (threads(), get_num_threads()) == ({1}, 1)
    finally:
        set_num_threads(1)


def test_debug_shows_the_traceback(capsys) -> None:
    for given in (["--debug", "info", "nowhere"], ["info", "nowhere", "--debug"]):
        with pytest.raises(OSError, match=r"config\.json"):
            main(given)


def test_a_closed_pipe_is_no_error(trained: Path) -> None:
    running = process("sample", str(trained), "--length", "100000")
    assert running.stdout is not None
    assert running.stderr is not None
    assert running.stdout.read(20)
    running.stdout.close()
    assert running.stderr.read() == ""
    running.stderr.close()
    assert running.wait(timeout=60) == 1


@pytest.mark.parametrize("closed", ["stdin", "stdout"])
def test_closed_streams(trained: Path, closed: str) -> None:
    redirection = {"stdin": "score {} <&-", "stdout": "info {} >&-"}[closed].format(trained)
    command = ["sh", "-c", f"'{sys.executable}' -m tinygrad_seq {redirection}"]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    expected = {"stdin": (2, "at least one sentence"), "stdout": (0, "")}[closed]
    assert done.returncode == expected[0]
    assert expected[1] in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="a device of Linux")
def test_a_full_disk_behind_the_output(trained: Path) -> None:
    with Path("/dev/full").open("w") as full:
        command = [sys.executable, "-m", "tinygrad_seq", "info", str(trained)]
        environment = os.environ | {"PYTHONPATH": str(ROOT)}
        done = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, text=True, check=False, env=environment)
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert "No space left" in done.stderr


def test_ctrl_c_while_sampling(trained: Path) -> None:
    running = process("sample", str(trained), "--length", "10000000")
    assert running.stdout is not None
    assert running.stdout.read(20)
    running.send_signal(signal.SIGINT)
    _, err = running.communicate(timeout=60)
    assert (running.returncode, err) == (130, "")


def test_import_is_lazy() -> None:
    script = (
        "import sys, tinygrad_seq.train, tinygrad_seq.report\n"
        "print({'rich', 'typer', 'safetensors', 'matplotlib'} & set(sys.modules))"
    )
    command = [sys.executable, "-c", script]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, capture_output=True, text=True, check=True, env=environment)
    assert done.stdout == "set()\n"
