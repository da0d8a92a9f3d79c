from __future__ import annotations

import dataclasses
import errno
import math
import os
from pathlib import Path

import pytest

from tinygrad_seq.errors import ArgumentError, CheckpointError, DataError
from tinygrad_seq.train import Run, Session, TrainingConfig, load_checkpoint

TIMES = {"seconds", "tokens_per_second"}


def start(folder: Path, config: TrainingConfig) -> tuple[Run, Session]:
    session = Session(config)
    return Run.create(folder, config, session.vocabulary, session.facts), session


def train(folder: Path, config: TrainingConfig, stop_at: int | None = None) -> Run:
    run, session = start(folder, config)
    for _ in session.rows(run, stop=lambda: session.steps.number == stop_at):
        pass
    return run


def go_on(run: Run, stop_at: int | None = None, checkpoint: str | None = None) -> Run:
    opened = Run.open(run.folder)
    session = Session.resume(opened, checkpoint)
    for _ in session.rows(opened, stop=lambda: session.steps.number == stop_at):
        pass
    return opened


def timeless(run: Run) -> list[dict]:
    return [{name: value for name, value in row.items() if name not in TIMES} for row in run.rows()]


def same(left, right) -> bool:
    """Compare nested contents bit by bit, but for the clock."""
    if isinstance(left, dict):
        return left.keys() == right.keys() and all(same(left[key], right[key]) for key in left if key not in TIMES)
    if isinstance(left, list | tuple):
        return len(left) == len(right) and all(map(same, left, right))
    if hasattr(left, "tobytes"):
        return left.dtype == right.dtype and left.shape == right.shape and left.tobytes() == right.tobytes()
    return left == right


@pytest.mark.parametrize(
    "changes", [{}, {"cell": "lstm", "num_layers": 2}, {"optimizer": "sgd", "schedule": "plateau"}]
)
@pytest.mark.parametrize("pauses", [(5,), (4, 7), (1,)])
def test_resume_is_bit_exact(tmp_path: Path, tiny: TrainingConfig, pauses, changes) -> None:
    config = dataclasses.replace(tiny, **changes)
    straight = train(tmp_path / "straight", config)
    run = train(tmp_path / "paused", config, stop_at=pauses[0])
    for pause in (*pauses[1:], None):
        run = go_on(run, stop_at=pause)
    assert timeless(run) == timeless(straight)
    assert timeless(run)[-1]["sample"]
    assert same(run.load(), straight.load())
    assert same(run.load("best"), straight.load("best"))


def test_resume_from_an_older_checkpoint_drops_the_later_rows(tmp_path: Path, tiny: TrainingConfig) -> None:
    straight = train(tmp_path / "straight", tiny)
    run = train(tmp_path / "run", tiny, stop_at=9)
    assert [path.stem for path in run.checkpoints()] == ["step-000009", "step-000008"]
    go_on(run, checkpoint="step-000008")
    assert timeless(run) == timeless(straight)


def test_same_seed_same_run_other_seed_another(tmp_path: Path, tiny: TrainingConfig) -> None:
    runs = [train(tmp_path / str(i), dataclasses.replace(tiny, seed=seed)) for i, seed in enumerate((3, 3, 4))]
    assert timeless(runs[0]) == timeless(runs[1])
    assert timeless(runs[0]) != timeless(runs[2])


def test_it_learns_and_says_how_much(tmp_path: Path, tiny: TrainingConfig) -> None:
    config = dataclasses.replace(tiny, steps=120, lr=0.02, hidden_size=24, dropout=0.0, evaluate_every=60)
    rows = timeless(train(tmp_path / "run", config))
    assert [row["step"] for row in rows] == [*range(10, 121, 10)]
    assert [row["step"] for row in rows if "validation_loss" in row] == [60, 120]
    assert rows[-1]["validation_loss"] < 0.6 * rows[0]["loss"]
    last = rows[-1]
    assert last["validation_perplexity"] == pytest.approx(math.exp(last["validation_loss"]))
    assert last["validation_bits_per_character"] == pytest.approx(last["validation_loss"] / math.log(2))
    assert len(last["sample"]) == config.sample_length


def test_words(tmp_path: Path, tiny: TrainingConfig) -> None:
    config = dataclasses.replace(tiny, level="word", batch_size=2, validation=0.3)
    run = train(tmp_path / "run", config)
    row = run.rows()[-1]
    per_token = row["validation_loss"] / math.log(2)
    part = run.facts["parts"]["validation"]
    assert row["validation_bits_per_character"] == pytest.approx(per_token * part["tokens"] / part["characters"])
    assert run.facts["characters_per_token"] > 3


def test_early_stopping_keeps_the_best(tmp_path: Path, tiny: TrainingConfig) -> None:
    config = dataclasses.replace(
        tiny, steps=40, lr=1.0, evaluate_every=1, patience=2, warmup=0, clip_norm=0.0, restart=0.0
    )
    run = train(tmp_path / "run", config)
    losses = [row["validation_loss"] for row in run.rows()]
    assert len(losses) < 40
    best = losses.index(min(losses))
    assert best == len(losses) - 3
    assert run.load("best")["steps"]["number"] == best + 1
    model, step = run.load_model()
    assert step == best + 1
    assert not model.training
    go_on(run, stop_at=best + 5)
    assert run.load()["steps"]["number"] == best + 4  # one more evaluation, and again no improvement


def test_minutes_end_a_run(tmp_path: Path, tiny: TrainingConfig) -> None:
    run = train(tmp_path / "run", dataclasses.replace(tiny, minutes=1e-9))
    assert [row["step"] for row in run.rows()] == [1]
    assert "validation_loss" in run.rows()[0]
    with pytest.raises(ArgumentError, match="expected minutes above"):
        Session.resume(run)


def test_a_finished_run_says_how_to_go_on(tmp_path: Path, tiny: TrainingConfig) -> None:
    run = train(tmp_path / "run", tiny)
    with pytest.raises(ArgumentError, match="--steps 20"):
        Session.resume(run)


def test_another_text_is_refused(tmp_path: Path, tiny: TrainingConfig, corpus: Path) -> None:
    run = train(tmp_path / "run", tiny, stop_at=5)
    corpus.write_text(corpus.read_text() + "one more line\n")
    with pytest.raises(DataError, match="got another"):
        Session.resume(run)


def test_a_full_disk_keeps_the_last_checkpoint(tmp_path: Path, tiny, monkeypatch: pytest.MonkeyPatch) -> None:
    run, session = start(tmp_path / "run", tiny)

    def full(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    rows = session.rows(run)
    while session.steps.number < 8:
        next(rows)
    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(CheckpointError, match="No space left"):
        next(rows)
    monkeypatch.undo()
    assert [path.stem for path in run.checkpoints()] == ["step-000004"]
    assert load_checkpoint(run.checkpoints()[0])["steps"]["number"] == 4
    go_on(run)
    assert timeless(run) == timeless(train(tmp_path / "straight", tiny))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"window": 10_000}, "pass a longer text, or reduce batch_size or window"),
        ({"corpus": "/nowhere/at/all"}, "which is none of them"),
        ({"cell": "/nowhere/cell.py:A"}, "does not exist"),
    ],
)
def test_what_cannot_be_trained_is_refused_at_once(tiny: TrainingConfig, changes, message: str) -> None:
    with pytest.raises((DataError, ArgumentError), match=message):
        Session(dataclasses.replace(tiny, **changes))


def test_a_plateau_of_the_held_out_loss_halves_the_rate(tmp_path: Path, tiny: TrainingConfig, monkeypatch) -> None:
    """After more than one evaluation that is no better; the reported rate is that of the step before."""
    monkeypatch.setattr("tinygrad_seq.train.session.evaluate", lambda *_args, **_options: 1.0)
    config = dataclasses.replace(tiny, schedule="plateau", lr=0.5, evaluate_every=2, patience=0, sample_length=1)
    rates = {row["step"]: row["lr"] for row in train(tmp_path / "run", config).rows()}
    assert rates == {2: 0.5, 4: 0.5, 6: 0.5, 8: 0.25, 10: 0.25}
