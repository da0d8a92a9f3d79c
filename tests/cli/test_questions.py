"""Sample, score and info."""

from __future__ import annotations

import subprocess
from pathlib import Path

import numpy as np
import pytest

from tests.cli.commands import process, refused
from tinygrad_seq.cli import main
from tinygrad_seq.train import Run


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
        (["sample", "RUN", "--temperature", "-1"], "temperature to be a finite number >= 0"),
        (["sample", "RUN", "--top-k", "0"], "top_k to be an integer >= 1"),
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
