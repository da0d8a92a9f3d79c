"""From a file to a model: fit, predict and evaluate, and how each bad file is refused."""

from __future__ import annotations

import csv
import datetime as dt
import json
import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tinygrad_seq.cli import main
from tinygrad_seq.cli.evaluate import _show_confusion
from tinygrad_seq.cli.report import _command
from tinygrad_seq.data import read_table
from tinygrad_seq.report.predictions import save_confusion
from tinygrad_seq.tasks import Evaluation, Forecaster

TINY = ["--hidden", "4", "--epochs", "2", "--no-compile"]


def refused(capsys: pytest.CaptureFixture[str], *arguments: object) -> str:
    """Return the line of an error."""
    capsys.readouterr()
    assert main([str(each) for each in arguments]) == 2
    error = capsys.readouterr().err
    assert error.startswith(f"error: {arguments[0]}: expected ")
    assert error.count("\n") == 1
    return error


def run(capsys: pytest.CaptureFixture[str], *arguments: object, code: int = 0) -> str:
    capsys.readouterr()
    assert main([str(each) for each in arguments]) == code
    return capsys.readouterr().out


def write_rows(path: Path, rows: list[list[Any]]) -> Path:
    with open(path, "w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows(rows)
    return path


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three files, and the runs of their models."""
    folder = tmp_path_factory.mktemp("files")
    draw = random.Random(0)
    rows: list[list[Any]] = [["id", "place", "text", "label"]]
    for number in range(40):
        label, place = draw.choice(["good", "bad"]), draw.choice(["Rome", "Oslo"])
        rows.append([number, place, f"dish {number} is {label}, really" if number % 9 else "so, so", label])
    write_rows(folder / "reviews.csv", rows)
    sentences = [[("Anna", "B-PER"), ("Li", "I-PER"), ("smiles", "O")], [("Paris", "B-LOC"), ("sleeps", "O")]] * 12
    text = "# made up\n" + "\n".join("".join(f"{word} {tag}\n" for word, tag in each) for each in sentences)
    (folder / "sentences.conll").write_text(text)
    waves = np.sin(np.arange(40) * 2 * np.pi / 5)
    start = dt.date(2024, 1, 1)
    days = [start + dt.timedelta(days=day) for day in range(40)]
    series = [[f"s{n}", day, f"{10 * n + value:.3f}"] for n in range(4) for day, value in zip(days, waves, strict=True)]
    write_rows(folder / "series.csv", [["name", "day", "value"], *series])
    runs = folder / "runs"
    for arguments in (
        ["reviews.csv", "--target", "label", "--embedding", "4", "--out", str(runs / "reviews")],
        ["sentences.conll", "--target", "tag", "--embedding", "4", "--out", str(runs / "sentences")],
        ["series.csv", "--target", "value", "--horizon", "3", "--season", "5", "--out", str(runs / "series")],
    ):
        assert main(["fit", str(folder / arguments[0]), *arguments[1:], *TINY]) == 0
    return folder


def test_what_fit_says(folder: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    text = run(capsys, "fit", folder / "reviews.csv", "--target", "label", "--out", tmp_path / "run", *TINY)
    for line in (
        "reviews.csv: 40 rows",
        "  label  class, 2 different: 'bad', 'good'",
        "classify 'label' from place (category), text (words)",
        "32 rows to train on, 4 to decide when to stop, 4 for the score at the end",
        "epoch   2  loss ",
        "score on the 4 rows",
        "confusion matrix",
        "Predict:   tinygrad-seq predict ",
    ):
        assert line in text, line


def test_predictions_of_classes(folder: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    out = tmp_path / "p.csv"
    rows = [["text", "more", "place"], ["it is good, so", "1", "Rome"], ["no", "", "Lima"]]
    new, model = write_rows(tmp_path / "new.csv", rows), folder / "runs" / "reviews"
    run(capsys, "predict", model, new, "-o", out)
    table = read_table(out)
    assert table.names == ["text", "more", "place", "prediction", "probability"]
    assert set(table.cells["prediction"]) <= {"good", "bad"}
    assert all(0.5 <= float(value) <= 1 for value in table.cells["probability"])
    before = out.read_bytes()
    assert "exists; pass --force" in refused(capsys, "predict", model, new, "-o", out)
    assert "another file than the input" in refused(capsys, "predict", model, new, "-o", new, "--force")
    assert "create it first" in refused(capsys, "predict", model, new, "-o", tmp_path / "x" / "y.csv")
    assert "no column 'prediction'" in refused(capsys, "predict", model, out, "-o", tmp_path / "q.csv")
    assert out.read_bytes() == before
    run(capsys, "predict", model, new, "-o", out, "--force")
    assert out.read_bytes() == before


def test_missing_values(folder: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    rows = [["text", "place", "label"], ["it is good", "a", "good"], ["", "a", "bad"], ["it is bad", "a", " "]]
    file, run_folder = write_rows(tmp_path / "x.csv", rows), folder / "runs" / "reviews"
    message = refused(capsys, "predict", run_folder, file, "-o", tmp_path / "y.csv")
    assert "1 rows with missing values in 'x.csv' (lines 3)" in message
    text = run(capsys, "predict", run_folder, file, "-o", tmp_path / "y.csv", "--skip-missing")
    assert "wrote 3 rows" in text
    assert "(1 without a prediction)" in text
    assert [value is None for value in read_table(tmp_path / "y.csv").cells["prediction"]] == [False, True, False]
    assert "2 rows with missing values" in refused(capsys, "evaluate", run_folder, file)
    found = json.loads(run(capsys, "evaluate", run_folder, file, "--skip-missing", "--json"))
    assert found["rows"] == 1
    assert "2 rows with missing" in refused(
        capsys, "fit", file, "--target", "label", "--task", "classify", "--out", tmp_path / "run"
    )
    assert not (tmp_path / "run").exists()


def test_evaluate_counts_the_rows_held_out(folder: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    arguments = "evaluate", folder / "runs" / "reviews", folder / "reviews.csv"
    assert "4 held-out rows count" in run(capsys, *arguments, "--png", tmp_path / "x.png")
    assert (tmp_path / "x.png").read_bytes().startswith(b"\x89PNG")
    held_out = json.loads(run(capsys, *arguments, "--json"))
    every = json.loads(run(capsys, *arguments, "--json", "--all"))
    assert (held_out["rows"], every["rows"]) == (4, 40)
    assert np.sum(every["confusion"]) == 40
    assert every["classes"] == ["bad", "good"]
    assert every["per_class"]["good"]["support"] == sum(every["confusion"][1])
    assert every["accuracy"] == np.trace(every["confusion"]) / 40


def test_unseen_labels_are_listed(folder: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    file = write_rows(tmp_path / "x.csv", [["text", "place", "label"], *[["so", "a", "fair"]] * 2, ["no", "a", "bad"]])
    assert "got the unseen label 'fair' (2 times)" in refused(capsys, "evaluate", folder / "runs" / "reviews", file)


def test_tags_of_conll_and_of_json_lines(folder: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    out = tmp_path / "p.conll"
    run(capsys, "predict", folder / "runs" / "sentences", folder / "sentences.conll", "-o", out)
    first, line, *_ = out.read_text().splitlines()
    assert first == "# made up"
    assert line.split()[:2] == ["Anna", "B-PER"]
    assert line.split()[2] in ("B-PER", "I-PER", "B-LOC", "O")
    assert 0 < float(line.split()[3]) <= 1
    rows = [{"token": ["Anna", "smiles"], "tag": ["B-PER", "O"]}, {"token": ["Paris"], "tag": ["B-LOC"]}]
    (tmp_path / "x.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    run(capsys, "predict", folder / "runs" / "sentences", tmp_path / "x.jsonl", "-o", tmp_path / "y.jsonl")
    found = [json.loads(line) for line in (tmp_path / "y.jsonl").read_text().splitlines()]
    assert [len(row["prediction"]) for row in found] == [2, 1]
    scores = json.loads(run(capsys, "evaluate", folder / "runs" / "sentences", tmp_path / "x.jsonl", "--json"))
    assert set(scores["per_class"]) >= {"PER", "LOC"}
    write_rows(tmp_path / "x.csv", [["token", "tag"], ["Anna smiles", "B-PER O"], ["Paris", "B-LOC O"]])
    message = refused(capsys, "evaluate", folder / "runs" / "sentences", tmp_path / "x.csv")
    assert "got 2 tags and 1 tokens in line 3" in message


def test_numbers(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    """Numbers per row without a text are one series; the target is a number."""
    rows = [[f"t{n}" for n in range(5)] + ["sum"]] + [[n, 2 * n, 1, n % 3, 0, 3.5 * n + 0.25] for n in range(30)]
    file = write_rows(tmp_path / "x.tsv", rows)
    arguments = ["--delimiter", ",", "--target", "sum", "--out", tmp_path / "run", *TINY]
    assert "regress 'sum' from t0 ... t4 (numbers)" in run(capsys, "fit", file, *arguments)
    run(capsys, "predict", tmp_path / "run", file, "-o", tmp_path / "y.tsv")
    table = read_table(tmp_path / "y.tsv", delimiter=",")
    assert table.names[-1] == "prediction"
    assert table.kinds["prediction"] == "number"
    scores = json.loads(run(capsys, "evaluate", tmp_path / "run", file, "--json", "--png", tmp_path / "x.png"))
    assert scores["rows"] == 3
    assert {"R2", "mean absolute error", "root mean squared error"} <= set(scores)
    assert (tmp_path / "x.png").exists()


def test_forecasts(folder: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    arguments = folder / "runs" / "series", folder / "series.csv"
    run(capsys, "predict", *arguments, "-o", tmp_path / "f.csv")
    table = read_table(tmp_path / "f.csv")
    assert table.names == ["name", "day", "prediction", "quantile 0.1", "quantile 0.9"]
    assert table.cells["name"][:4] == ["s0", "s0", "s0", "s1"]
    assert table.cells["day"][:3] == ["2024-02-10", "2024-02-11", "2024-02-12"]
    names = "quantile 0.1", "prediction", "quantile 0.9"
    low, middle, high = (np.array(table.cells[name], float) for name in names)
    assert (low <= middle).all()
    assert (middle <= high).all()
    scores = json.loads(run(capsys, "evaluate", *arguments, "--json", "--png", tmp_path / "f.png"))
    assert scores["series"] == 4
    assert (tmp_path / "f.png").exists()
    assert "MASE" in run(capsys, "evaluate", *arguments)
    shuffled = tmp_path / "shuffled.csv"
    header, *lines = (folder / "series.csv").read_text().splitlines()
    random.Random(0).shuffle(lines)
    shuffled.write_text("\n".join([header, *sorted(lines, key=lambda line: line[:2])]) + "\n")
    run(capsys, "predict", folder / "runs" / "series", shuffled, "-o", tmp_path / "g.csv")
    assert (tmp_path / "g.csv").read_text() == (tmp_path / "f.csv").read_text()


def test_a_report_has_the_command_of_wide_series(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    """They have no target, and the file needs a delimiter."""
    rows = [f"s{n};" + ";".join(str((step + n) % 5) for step in range(16)) for n in range(3)]
    (tmp_path / "wide.csv").write_text("\n".join(["name;" + ";".join(f"t{step}" for step in range(16)), *rows, ""]))
    run(capsys, "fit", tmp_path / "wide.csv", "--horizon", "2", "--delimiter", ";", "--out", tmp_path / "run", *TINY)
    command = _command(Forecaster.open(tmp_path / "run"), tmp_path / "run")
    assert command is not None
    assert "--delimiter ';'" in command
    assert "--target" not in command


@pytest.mark.parametrize("labels", [["[b]", "[/b]"], ["$x_$", "a"]])
def test_names_of_classes_are_no_markup(labels: list[str], capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    _show_confusion(Evaluation("accuracy", 1.0, {}, "", tuple(labels), np.eye(2, dtype=int)))
    assert labels[0] in capsys.readouterr().out
    save_confusion(np.eye(2, dtype=int), labels, tmp_path / "x.png")


def test_resumed_with_the_same_bits(folder: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    for name, more in (("reviews", ["--embedding", "4"]), ("series", ["--horizon", "3", "--season", "5"])):
        file, out = folder / f"{name}.csv", tmp_path / name
        target = {"reviews": "label", "series": "value"}[name]
        small = ["--hidden", "4", "--no-compile"]
        run(capsys, "fit", file, "--target", target, *more, *small, "--epochs", "1", "--out", out)
        text = run(capsys, "fit", file, "--out", out, "--resume", "--epochs", "2", "--no-compile")
        assert "epoch   2" in text
        whole = folder / "runs" / name
        metrics = [
            [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()] for run in (out, whole)
        ]
        ours, theirs = ([row["loss"] for row in rows if "loss" in row] for rows in metrics)
        assert ours == theirs
        assert "got lr; leave them out" in refused(capsys, "fit", file, "--out", out, "--resume", "--lr", "1")
        changed = tmp_path / f"changed{name}.csv"
        changed.write_text(file.read_text().replace("s0", "s9").replace("so, so", "no"))
        assert "got others" in refused(capsys, "fit", changed, "--out", out, "--resume")


def test_runs_of_another_kind(folder: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    for command in ("sample", "score"):
        message = refused(capsys, command, folder / "runs" / "reviews", *(["abc"] if command == "score" else []))
        assert "got that of a task; use tinygrad-seq predict or evaluate" in message
    fixture = Path(__file__).parents[1] / "train" / "fixtures" / "run_0_1_0" / "char"
    message = refused(capsys, "predict", fixture, folder / "reviews.csv", "-o", tmp_path / "x.csv")
    assert "got that of a language model; use tinygrad-seq sample" in message
    for name in ("reviews", "series"):
        text = run(capsys, "info", folder / "runs" / name)
        for part in ("kind         ", "settings     ", "best on held-out data", "training: "):
            assert part in text


@pytest.mark.parametrize(
    ("content", "arguments", "message"),
    [
        (
            "text,label\na,b\nc\n",
            ["--target", "label"],
            "2 cells per row in 'x.csv' ('text', 'label'), got 1 in line 3",
        ),
        ("text;label\na;b\n", ["--target", "label"], "try --delimiter ';'"),
        ("a,a\n1,2\n", ["--target", "a"], "'a' more than once"),
        ("", ["--target", "a"], "got an empty file"),
        ("text,label\na,b\n", ["--target", "lable"], "did you mean 'label'?"),
        ("text,label\na,b\n", [], "--target, the column to predict, got none; choose one of 'text', 'label'"),
        ("text,label\n" + "some words,x\n" * 20, ["--target", "label"], "at least two classes in column 'label'"),
        ("id,text,label\n1,a b,x\n1,c d,y\n" * 9, ["--target", "label"], "each id once in column 'id'"),
        ("text,label\na b,x\nc d,y\n", ["--target", "label", "--task", "classify"], "rows to train on and to hold out"),
        ("text,label\na b,x\nc d,y\n", ["--target", "label", "--task", "sort"], "--task to be classify, tag, regress"),
        ("text,label\na b,x\nc d,y\n", ["--target", "label", "--kind", "text=x"], "--kind COLUMN=KIND"),
        ("text,label\na b,x\nc d,y\n", ["--target", "label", "--season", "7", "--task", "tag"], "no --season"),
        ("text,label\na b,x\nc d,y\n", ["--target", "label", "--validation", "1"], "between 0 and 1"),
        ("text,label\na b,x\nc d,y\n", ["--target", "text"], "a target of classes, tokens or numbers, got text"),
        ("text,y\na b,1\nc d,x\n", ["--target", "y", "--task", "regress"], "got 'x' in line 3"),
        ("day,y\n2024-01-01,1.5\n2024-01-02,2\n", ["--target", "y"], "--horizon, the steps to forecast"),
        ("day,y\n2024-01-01,1\n2024-01-02,2\n", ["--target", "y", "--horizon", "3"], "steps per series, got 2"),
        ("day,y\n2024-01-01,1\n2024-01-01,2\n", ["--target", "y", "--horizon", "3"], "pass --id"),
        ("day,y\n2024-01-01,1\n2024-01-02,\n", ["--target", "y", "--horizon", "3"], "the first in line 3"),
        ("day,y\n2024-01-01,1\n", ["--target", "y", "--task", "forecast"], "--horizon"),
        ("day,y\n2024-01-01,1\n", ["--target", "y", "--horizon", "1", "--quantiles", "a"], "--quantiles"),
        ("day,y\n2024-01-01,1\n", ["--target", "y", "--horizon", "1", "--pooling", "max"], "no --pooling"),
        ("day,y\n2024-01-01,1\n", ["--target", "y", "--horizon", "1", "--skip-missing"], "no --skip-missing"),
        ("text,label\na b,x\nc d,y\n", ["--target", "label", "--id", "text"], "no --id"),
    ],
)
def test_refused_before_any_work(
    content: str, arguments: list[str], message: str, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    (tmp_path / "x.csv").write_text(content)
    assert message in refused(capsys, "fit", tmp_path / "x.csv", "--out", tmp_path / "run", *arguments)
    assert {path.name for path in tmp_path.iterdir()} == {"x.csv"}
