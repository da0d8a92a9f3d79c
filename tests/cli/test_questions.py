"""Sample, score and info."""

from __future__ import annotations

import itertools
import json
import re
import shutil
import subprocess
import time
from pathlib import Path

import numpy as np
import pytest

import tinygrad_seq as ts
from tests.cli.commands import ENVIRONMENT, arguments, process, refused
from tests.cli.test_train import CELL
from tinygrad_seq.base import cache_folder
from tinygrad_seq.cli import main
from tinygrad_seq.interop.onnx_export.to_onnx import session_of
from tinygrad_seq.train import Run, manifest


def test_sample_repeats_with_a_seed(trained: Path, capsys) -> None:
    texts = []
    for seed in ("1", "1", "2"):
        assert main(["sample", str(trained), "--prompt", "the c", "--length", "40", "--seed", seed]) == 0
        texts.append(capsys.readouterr().out)
    assert texts[0] == texts[1] != texts[2]
    assert all(text.startswith("the c") and len(text) >= 46 for text in texts)
    assert main(["sample", str(trained), "--temperature", "0", "--length", "9", "--checkpoint", "step-000060"]) == 0
    assert main(["sample", str(trained), "--top-k", "1" + "0" * 20, "--length", "9"]) == 0


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


@pytest.mark.parametrize(
    ("data", "options"),
    [
        (b"the cat\n\nthe dog\n", []),
        (b"\xef\xbb\xbfthe cat\r\n\r\nthe dog", []),
        ("\ufeffthe cat\r\nthe dog\r\n".encode("utf-16-le"), []),
        ("the cat\nthe dog".encode("utf-16-be"), ["--encoding", "utf-16-be"]),
    ],
)
def test_score_reads_standard_input(trained: Path, data: bytes, options: list[str]) -> None:
    running = process("score", str(trained), *options, stdin=subprocess.PIPE, text=False)
    out, err = running.communicate(data, timeout=60)
    assert (running.returncode, err) == (0, b"")
    assert sorted(line.split()[-1] for line in out.decode().splitlines()[1:]) == ["cat", "dog"]


def test_equal_probabilities_share_a_rank(trained: Path, capsys) -> None:
    assert main(["score", str(trained), "the cat", "the cat sat on the mat", "the cat"]) == 0
    assert [line.split()[0] for line in capsys.readouterr().out.splitlines()] == ["rank", "1", "1", "3"]


def test_groups_are_ranked_by_themselves(trained: Path, capsys) -> None:
    assert main(["score", str(trained), "--groups", "the cat", "ttaa"]) == 0
    one = capsys.readouterr().out.splitlines()
    running = process("score", str(trained), "--groups", stdin=subprocess.PIPE)
    out, _ = running.communicate("the cat\nttaa\n\n \nttaa\nthe cat\n\n", timeout=60)
    assert out.splitlines() == [*one, "", *one[1:]]


def test_numbers_of_any_size_keep_the_table_aligned(trained: Path, capsys) -> None:
    assert main(["score", str(trained), "the cat", "nd" * 3000]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len({line.index("  " + line.split("  ")[-1]) for line in lines}) == 1
    assert "1/10^" in lines[-1]
    figures = [line.split()[2] for line in lines[1:]]
    assert all(len(re.sub(r"e.*|[.]", "", figure).lstrip("0")) == 4 for figure in figures)


def test_a_narrow_terminal_shows_the_essentials(trained: Path, capsys, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "30")
    assert main(["score", str(trained), "the cat", "the cat sat on the mat"]) == 0
    shown = capsys.readouterr().out.splitlines()
    assert shown[:2] == ["rank  P / best  sentence", "   1         1  the cat"]
    assert main(["info", str(trained)]) == 0
    plot = capsys.readouterr().out.split("bits per character\n")[-1]
    assert all(len(line) <= 30 for line in plot.splitlines())
    monkeypatch.setitem(ENVIRONMENT, "COLUMNS", "30")
    out, _ = process("sample", "--help").communicate(timeout=60)
    assert "--temperature" in out


def test_a_long_list_reports_its_progress(trained: Path, capsys, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = itertools.count(0.0, 11.0)
    monkeypatch.setattr(time, "monotonic", lambda: next(clock))
    assert main(["score", str(trained), *["the cat"] * 4]) == 0
    assert "scored 2 of 4 sentences\n" in capsys.readouterr().err


def test_info(trained: Path, tmp_path: Path, capsys) -> None:
    assert main(["info", str(trained), "--png", str(tmp_path / "loss.png")]) == 0
    shown = capsys.readouterr().out
    for part in ("corpus.txt", "<EOS> after each line", "of 8", "LanguageModel", "best on the held-out text", "└┬",
                 "training:", "held out:", "step-000060"):  # fmt: skip
        assert part in shown
    assert (tmp_path / "loss.png").read_bytes().startswith(b"\x89PNG")


def test_runs_of_version_0_1_0(capsys) -> None:
    run = str(Path(__file__).parents[1] / "train" / "fixtures" / "run_0_1_0" / "word")
    assert main(["info", run]) == 0
    shown = capsys.readouterr().out
    assert "training     365 tokens\nheld out     41 tokens\n" in shown
    assert "best on the held-out text" in shown
    assert main(["score", run, "the cat", "the dog"]) == 0
    assert main(["sample", run, "--length", "5"]) == 0


@pytest.mark.parametrize(
    "row", ['"loss": 1.0, "bits_per_character": 2.0', '"validation_loss": 0.1, "validation_bits_per_character": null']
)
def test_info_of_metrics_from_elsewhere(trained: Path, tmp_path: Path, capsys, row: str) -> None:
    shutil.copytree(trained, tmp_path / "run")
    with (tmp_path / "run" / "metrics.jsonl").open("a", encoding="utf-8") as file:
        file.write(f'{{"step": 61, {row}}}\n')
    assert "restore the files" in refused(capsys, "info", str(tmp_path / "run"))


def test_info_of_facts_from_elsewhere(trained: Path, tmp_path: Path, capsys) -> None:
    shutil.copytree(trained, tmp_path / "run")
    path = tmp_path / "run" / "config.json"
    content = json.loads(path.read_text())
    content["facts"]["parts"]["training"]["tokens"] = "many"
    path.write_bytes(manifest.to_bytes(content))
    assert "restore the files" in refused(capsys, "info", str(tmp_path / "run"))


def test_code_in_a_run_runs_only_if_trusted(corpus: Path, tmp_path: Path, capsys) -> None:
    run = str(tmp_path / "run")
    (tmp_path / "mine.py").write_text(f"{CELL}\nopen({str(tmp_path / 'executed')!r}, 'w').close()\n")
    assert main(arguments(corpus, tmp_path / "run", "--cell", f"{tmp_path / 'mine.py'}:Leaky")) == 0
    assert main(["sample", run, "--length", "5"]) == 0
    (tmp_path / "executed").unlink()
    shutil.rmtree(cache_folder.prepare() / "trusted")  # as for another user
    for command in (["sample", run], ["score", run, "the cat"]):
        assert "--trust" in refused(capsys, *command)
    assert main(["info", run]) == 0
    shown = capsys.readouterr().out
    assert "layers       not shown" in shown
    assert "best on the held-out text" in shown
    assert not (tmp_path / "executed").exists()
    assert main(["info", run, "--trust"]) == 0
    assert "LanguageModel" in capsys.readouterr().out
    assert (tmp_path / "executed").exists()


def test_info_shows_the_test_part_and_skipped_files(corpus: Path, tmp_path: Path, capsys) -> None:
    assert main(arguments(corpus, tmp_path / "run", "--test", "0.2")) == 0
    capsys.readouterr()
    assert main(["info", str(tmp_path / "run")]) == 0
    shown = capsys.readouterr().out
    for part in (
        r"^training +[\d,]+ tokens \(0 unknown\), [\d,]+ characters",
        r"^test +[\d,]+ tokens",
        "on the test text, at step",
    ):
        assert re.search(part, shown, re.MULTILINE)


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (["sample", "RUN", "--prompt", "Ωé"], "'Ω' U+03A9, 'é' U+00E9"),
        (["sample", "RUN", "--temperature", "-1"], "temperature to be a finite number >= 0"),
        (["sample", "RUN", "--top-k", "0"], "top_k to be an integer >= 1"),
        (["sample", "RUN", "--length", "0"], "length >= 1"),
        (["sample", "RUN", "--length", "1" + "0" * 20], "below 2**63"),
        (["sample", "RUN", "--checkpoint", "none"], "No such file"),
        (["sample", "nowhere"], "config.json; pass the --out"),
        (["score", "RUN", "the Ω", "a ü"], "'Ω' U+03A9, 'ü' U+00FC"),
        (["score", "RUN", " "], "a blank one"),
        (["info", "nowhere"], "config.json; pass the --out"),
        (["info", "RUN", "--png", "nowhere/x.png"], "create the folder first"),
        (["inf"], "No such command"),
    ],
)
def test_bad_questions_are_one_line(trained: Path, capsys, more: list[str], message: str) -> None:
    assert message in refused(capsys, *(str(trained) if part == "RUN" else part for part in more))


def test_sample_and_score_in_low_precision(trained: Path, capsys) -> None:
    scores = {}
    for precision in ("float32", "int8", "bfloat16"):
        assert main(["score", str(trained), "the cat sat on the mat", "--precision", precision]) == 0
        scores[precision] = float(capsys.readouterr().out.splitlines()[1].split()[1])
        assert main(["sample", str(trained), "--length", "9", "--seed", "1", "--precision", precision]) == 0
        assert capsys.readouterr().out
    model = ts.quantize(Run.open(trained).load_model()[0], "int8")
    row = Run.open(trained).encode("the cat sat on the mat")
    assert scores["int8"] == pytest.approx(model.log_probability(row).sum(), abs=0.006)
    assert scores["int8"] == pytest.approx(scores["float32"], abs=0.3)
    for command in (["score", str(trained), "the cat"], ["sample", str(trained)]):
        message = refused(capsys, *command, "--precision", "int4")
        assert "'--precision': expected float32, int8 or bfloat16, got 'int4'" in message
        assert "model" not in message
    assert main(["info", str(trained)]) == 0
    assert ", float32, seed" in capsys.readouterr().out


def test_export_writes_a_model_that_scores_alike(trained: Path, tmp_path: Path, capsys) -> None:
    onnx = pytest.importorskip("onnx")
    path = tmp_path / "model.onnx"
    assert main(["export", str(trained), str(path)]) == 0
    assert capsys.readouterr().out == f"wrote {path}: tokens (T, N) to logits (T, N, V) of 18 tokens\n"
    facts = {each.key: each.value for each in onnx.load(path).metadata_props}
    run = Run.open(trained)
    assert tuple(json.loads(facts["vocabulary"])["tokens"]) == run.vocabulary.tokens
    tokens = run.encode("the cat")
    (logits,) = session_of(str(path)).run(["output"], {"tokens": tokens[:-1, None]})
    shifted = logits[:, 0].astype(float)
    shifted -= np.log(np.exp(shifted).sum(axis=1, keepdims=True))
    found = shifted[np.arange(len(tokens) - 1), tokens[1:]].sum()
    assert found == pytest.approx(run.score("the cat"), abs=1e-4)
    assert main(["export", str(trained), str(path), "--step", "--precision", "int8"]) == 0
    assert "(N,) to logits (N, V)" in capsys.readouterr().out
    assert "can be written" in refused(capsys, "export", str(trained), str(tmp_path / "no" / "model.onnx"))
