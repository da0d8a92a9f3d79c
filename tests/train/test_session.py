from __future__ import annotations

import dataclasses
import errno
import json
import math
import os
import re
import shutil
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tinygrad_seq.errors import AnomalyError, ArgumentError, CheckpointError, DataError
from tinygrad_seq.train import (
    Run,
    Session,
    TrainingConfig,
    TrainingSteps,
    evaluate,
    evaluation,
    graceful_stop,
    load_checkpoint,
    loop,
)

FIXTURES = Path(__file__).parent / "fixtures" / "run_0_1_0"
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
    for prefix, part in (("", "training"), ("validation_", "validation")):
        facts = run.facts["parts"][part]
        per_token = row[f"{prefix}loss"] / math.log(2)
        expected = per_token * facts["tokens"] / facts["characters"]
        assert row[f"{prefix}bits_per_character"] == pytest.approx(expected)
        assert facts["characters"] > 3 * facts["tokens"]


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
    with pytest.raises(ArgumentError, match=r"expected patience above 2, .* --patience 4, or 0 for no limit"):
        Session.resume(run)
    assert resumed(run, {"patience": 0}, stop_at=best + 5).load()["steps"]["number"] == best + 5


def test_minutes_end_a_run(tmp_path: Path, tiny: TrainingConfig) -> None:
    run = train(tmp_path / "run", dataclasses.replace(tiny, minutes=1e-9))
    assert [row["step"] for row in run.rows()] == [1]
    assert "validation_loss" in run.rows()[0]
    with pytest.raises(ArgumentError, match="expected minutes above") as refusal:
        Session.resume(run)
    advice = re.search(r"--minutes (\S+) to continue", str(refusal.value))
    assert advice is not None
    assert Session.resume(run, changes={"minutes": float(advice[1])}).steps.number == 1


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
    assert [path.stem for path in run.checkpoints()] == ["step-000008", "step-000004"]
    assert load_checkpoint(run.checkpoints()[0])["steps"]["number"] == 8
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

    def always_one(*_: object, progress, **_options: object) -> float:
        progress(100, 100)
        return 1.0

    monkeypatch.setattr("tinygrad_seq.train.evaluation.evaluate", always_one)
    config = dataclasses.replace(tiny, schedule="plateau", lr=0.5, evaluate_every=2, patience=0, sample_length=1)
    rates = {row["step"]: row["lr"] for row in train(tmp_path / "run", config).rows()}
    assert rates == {2: 0.5, 4: 0.5, 6: 0.5, 8: 0.25, 10: 0.25}


# --------------------------------------------------------------------------------------- stops during an evaluation


@pytest.mark.parametrize("steps", [10, 8])
@pytest.mark.parametrize("poll", [0, 1, 5, 16])
def test_a_stop_during_an_evaluation_loses_nothing(tmp_path: Path, tiny: TrainingConfig, poll: int, steps: int) -> None:
    """The polls at step 8: after the step, then before each window, then before each token; also if it is the last."""
    config = dataclasses.replace(tiny, steps=steps, schedule="plateau", lr=0.1)
    straight = train(tmp_path / "straight", config)
    run, session = start(tmp_path / "run", config)
    polls = 0

    def stop() -> bool:
        nonlocal polls
        polls += session.steps.number == 8
        return polls > poll

    assert [row["step"] for row in session.rows(run, stop=stop)] == [4]
    assert not session.is_finished
    assert run.load()["steps"]["number"] == 8
    assert run.load("best")["steps"]["number"] == 4
    go_on(run)
    assert timeless(run) == timeless(straight)
    assert same(run.load(), straight.load())
    assert same(run.load("best"), straight.load("best"))


def test_a_kill_after_the_row_of_an_evaluation_does_not_repeat_the_row(tmp_path: Path, tiny, monkeypatch) -> None:
    straight = train(tmp_path / "straight", tiny)
    run, session = start(tmp_path / "run", tiny)

    def killed(*_: object, best: bool = False) -> None:
        if session._due is None:
            raise SystemExit

        save(session, run)

    save = Session.save
    monkeypatch.setattr(Session, "save", lambda self, run, **options: killed(**options))
    with pytest.raises(SystemExit):
        list(session.rows(run))
    monkeypatch.undo()
    assert [row["step"] for row in run.rows()] == [4]
    go_on(run)
    assert timeless(run) == timeless(straight)


@pytest.mark.parametrize("stage", ["compiling", "evaluating", "sampling"])
def test_a_signal_acts_at_once_where_nothing_can_be_lost(tmp_path: Path, tiny: TrainingConfig, stage: str) -> None:
    with graceful_stop() as request:

        def send(now: str, _done: int, _total: int) -> None:
            if now == stage:
                os.kill(os.getpid(), signal.SIGTERM)
                raise AssertionError("the signal must have interrupted this")

        session = Session(tiny, progress=send)
        run = Run.create(tmp_path / "run", tiny, session.vocabulary, session.facts)
        with pytest.raises(KeyboardInterrupt):
            list(session.rows(run, stop=request))
        assert request.signal == signal.SIGTERM
    if stage == "compiling":
        assert run.checkpoints() == []
    else:
        go_on(run)
        assert timeless(run) == timeless(train(tmp_path / "straight", tiny))


def test_a_stage_is_named_before_its_work(tmp_path: Path, tiny: TrainingConfig, monkeypatch) -> None:
    """The first token of a sample compiles for seconds."""
    done: list[str] = []

    def sample(*_: object, **__: object) -> Iterator[int]:
        while True:
            done.append("token")
            yield 3

    monkeypatch.setattr("tinygrad_seq.train.LanguageModel.sample", sample)
    session = Session(dataclasses.replace(tiny, sample_length=2), progress=lambda stage, *_: done.append(stage))
    next(session.rows(Run.create(tmp_path / "run", tiny, session.vocabulary, session.facts)))
    assert done[done.index("sampling") :][:4] == ["sampling", "token", "sampling", "token"]


def test_a_signal_during_a_step_waits_for_its_end(tmp_path: Path, tiny: TrainingConfig, monkeypatch) -> None:
    run, session = start(tmp_path / "run", tiny)
    update = TrainingSteps._update

    def interrupted(self: TrainingSteps, *window: Any) -> Any:
        if self.number == 5:
            os.kill(os.getpid(), signal.SIGHUP)
        return update(self, *window)

    monkeypatch.setattr(TrainingSteps, "_update", interrupted)
    with graceful_stop() as request:
        assert [row["step"] for row in session.rows(run, stop=request)] == [4]
    assert run.load()["steps"]["number"] == 6


# ------------------------------------------------------------------------------------------------- honest figures


def test_rows_weigh_windows_by_their_tokens(tmp_path: Path, tiny: TrainingConfig, monkeypatch) -> None:
    """A pass has one full window of 3 x 300 tokens and one of 3 x 41 or so."""
    run, session = start(tmp_path / "run", dataclasses.replace(tiny, window=300, steps=4))
    steps, update = [], session.steps._update

    def watched(*window: Any) -> Any:
        steps.append(update(*window))
        return steps[-1]

    monkeypatch.setattr(session.steps, "_update", watched)
    [row] = session.rows(run)
    assert len({step.tokens for step in steps}) == 2
    mean = sum(step.loss * step.tokens for step in steps) / sum(step.tokens for step in steps)
    assert row["loss"] == pytest.approx(mean, rel=1e-12)


def test_an_evaluation_reads_as_many_tokens_as_it_says(tmp_path: Path, tiny: TrainingConfig) -> None:
    rows = train(tmp_path / "run", dataclasses.replace(tiny, validation=0.5, eval_tokens=60)).rows()
    assert [row["validation_tokens"] for row in rows] == [60] * 3


def test_the_speed_leaves_out_the_first_step_and_the_evaluations(tmp_path: Path, tiny, monkeypatch) -> None:
    def slow(self: TrainingSteps, *window: Any) -> Any:
        time.sleep(0.5 if self.number == 0 else 0.01)
        return update(self, *window)

    def slow_evaluation(*arguments: Any, **options: Any) -> float:
        time.sleep(0.3)
        return evaluate(*arguments, **options)

    update, evaluate = TrainingSteps._update, loop.evaluate
    monkeypatch.setattr(TrainingSteps, "_update", slow)
    monkeypatch.setattr(evaluation, "evaluate", slow_evaluation)
    rows = train(tmp_path / "run", tiny).rows()
    assert all(21 / 0.1 < row["tokens_per_second"] < 21 / 0.01 for row in rows)
    assert rows[-1]["seconds"] > 0.5 + 2 * 0.3


def test_the_files_of_a_run_hold_standard_json(tmp_path: Path, tiny: TrainingConfig, monkeypatch) -> None:
    """Also before a speed is known, and with a perplexity beyond all floating-point numbers."""

    def enormous(*_: object, progress, **_options: object) -> float:
        progress(1, 1)
        return 1e6

    monkeypatch.setattr(evaluation, "evaluate", enormous)
    run = train(tmp_path / "run", dataclasses.replace(tiny, steps=3, evaluate_every=1))

    def refuse(name: str) -> None:
        raise AssertionError(name)

    for line in run.metrics.read_text().splitlines():
        json.loads(line, parse_constant=refuse)
    assert run.rows()[0]["tokens_per_second"] is None


def test_a_held_out_loss_that_is_not_finite_ends_the_run(tmp_path: Path, tiny: TrainingConfig, monkeypatch) -> None:
    monkeypatch.setattr(evaluation, "evaluate", lambda *_, **__: math.nan)
    with pytest.raises(AnomalyError, match="finite loss on the validation part, got nan"):
        train(tmp_path / "run", tiny)


def test_the_best_checkpoint_is_evaluated_once_on_the_whole_test_part(tmp_path: Path, tiny: TrainingConfig) -> None:
    config = dataclasses.replace(tiny, test=0.2, eval_tokens=30, lr=0.3, steps=12, dropout=0.0)
    run, session = start(tmp_path / "run", config)
    rows = list(session.rows(run))
    assert ["test_loss" in row for row in rows] == [False, False, False, False, True]
    assert run.rows() == rows
    model, best = run.load_model()
    assert rows[-1]["test_step"] == best
    expected = evaluate(model, session.text.test, batch_size=3, window=7)
    assert rows[-1]["test_loss"] == pytest.approx(expected, rel=1e-6)
    assert rows[-1]["test_tokens"] >= len(session.text.test) - 3 > 200
    with pytest.raises(ArgumentError, match="expected steps above 12"):
        Session.resume(run)
    # the evaluation on the test part leaves no trace in a longer run
    longer = resumed(run, {"steps": 16, "schedule": "constant"})
    train(tmp_path / "other", dataclasses.replace(config, test=0.0), stop_at=None)
    assert "test_loss" in longer.rows()[-1]


@pytest.mark.parametrize("changes", [{}, {"patience": 1, "lr": 1e-9, "schedule": "constant", "steps": 40}])
def test_a_stop_during_the_test_leaves_it_to_resume(tmp_path: Path, tiny: TrainingConfig, changes) -> None:
    config = dataclasses.replace(tiny, test=0.2, **changes)
    run, session = start(tmp_path / "run", config)
    polls = 0

    def stop() -> bool:
        nonlocal polls
        polls += session._due is None and session._is_over()
        return polls > 2

    list(session.rows(run, stop=stop))
    assert not any("test_loss" in row for row in run.rows())
    assert not session.is_finished
    go_on(run)
    assert timeless(run) == timeless(train(tmp_path / "straight", config))


def test_a_kill_after_the_row_of_the_test_does_not_repeat_the_row(tmp_path: Path, tiny, monkeypatch) -> None:
    config = dataclasses.replace(tiny, test=0.2)
    straight = train(tmp_path / "straight", config)
    run, session = start(tmp_path / "run", config)
    save = Session.save
    monkeypatch.setattr(
        Session, "save", lambda self, run, **options: None if self._tested_at else save(self, run, **options)
    )
    list(session.rows(run))
    monkeypatch.undo()
    assert "test_loss" in run.rows()[-1]
    go_on(run)
    assert timeless(run) == timeless(straight)
    # a longer run keeps the row
    assert [row["step"] for row in resumed(run, {"steps": 12}).rows() if "test_loss" in row] == [10, 12]


# ------------------------------------------------------------------------------------------ settings that change


def resumed(run: Run, changes: dict[str, Any], stop_at: int | None = None, checkpoint: str | None = None) -> Run:
    opened = Run.open(run.folder)
    session = Session.resume(opened, checkpoint, changes=changes)
    opened = opened.update_config(session.config)
    for _ in session.rows(opened, stop=lambda: session.steps.number == stop_at):
        pass
    return opened


CHANGES: list[dict[str, Any]] = [
    {"steps": 16},
    {"steps": 16, "lr": 0.01},
    {"lr": 0.004},
    {"clip_norm": 0.1, "weight_decay": 0.1},
    {"dropout": 0.5, "restart": 0.5},
    {"schedule": "constant", "steps": 16},
    {"schedule": "plateau", "lr": 0.1, "steps": 20},
    {"evaluate_every": 3, "eval_tokens": 40, "sample_length": 3},
]


@pytest.mark.parametrize("changes", CHANGES)
def test_a_run_with_changed_settings_is_resumed_bit_for_bit(tmp_path: Path, tiny: TrainingConfig, changes) -> None:
    first = train(tmp_path / "straight", tiny, stop_at=5)
    shutil.copytree(first.folder, tmp_path / "paused")
    straight = resumed(first, changes)
    paused = resumed(Run.open(tmp_path / "paused"), changes, stop_at=7)
    go_on(go_on(paused, stop_at=9))
    assert timeless(paused) == timeless(straight)
    assert same(paused.load()["steps"], straight.load()["steps"])
    unchanged = train(tmp_path / "unchanged", tiny)
    assert not same(paused.load()["steps"]["model"], unchanged.load()["steps"]["model"]) or "evaluate_every" in changes


def test_changes_say_what_they_change(tmp_path: Path, tiny: TrainingConfig) -> None:
    run = train(tmp_path / "run", tiny, stop_at=5)
    session = Session.resume(run, changes={"lr": 0.001, "hidden_size": 6, "clip_norm": 1.0})
    assert session.changes == {"lr": (0.004, 0.001)}
    assert "the learning rate falls from 0.001 along a cosine to 1e-05 at step 10" in session.notes[-1]
    session = Session.resume(run)
    assert (session.changes, len(session.notes)) == ({}, 0)
    with pytest.raises(ArgumentError, match=r"expected hidden_size=6, as .* was started, got 7"):
        Session.resume(run, changes={"hidden_size": 7})
    with pytest.raises(ArgumentError, match="TrainingConfig: expected lr"):
        Session.resume(run, changes={"lr": -1.0})


def test_a_checkpoint_knows_the_settings_that_it_was_written_with(tmp_path: Path, tiny: TrainingConfig) -> None:
    """Going back to before a change, or resuming after a kill between the change and its first checkpoint."""
    run = train(tmp_path / "run", tiny, stop_at=5).update_config(dataclasses.replace(tiny, lr=0.001))
    assert Session.resume(Run.open(run.folder)).changes == {"lr": (0.004, 0.001)}


def test_the_advice_after_a_divergence_works(tmp_path: Path, tiny: TrainingConfig) -> None:
    config = dataclasses.replace(tiny, clip_norm=0.0, optimizer="sgd", steps=40, dropout=0.0)
    run = train(tmp_path / "run", config, stop_at=6)
    with np.errstate(all="ignore"), pytest.raises(AnomalyError, match="with a smaller lr"):
        resumed(run, {"lr": 1e38})
    assert "step-000006" in [path.stem for path in run.checkpoints()]
    assert resumed(run, {"lr": 1e-3, "clip_norm": 1.0}, checkpoint="step-000006").load()["steps"]["number"] == 40


# -------------------------------------------------------------------------------------------- the corpus of a run


def test_a_corpus_may_move_but_not_change(tmp_path: Path, tiny: TrainingConfig, corpus: Path) -> None:
    run = train(tmp_path / "run", tiny, stop_at=5)
    moved = corpus.rename(tmp_path / "moved.txt")
    (tmp_path / "other.txt").write_text("another text " * 100)
    with pytest.raises(DataError, match=r"got another in .*other\.txt"):
        Session.resume(run, changes={"corpus": str(tmp_path / "other.txt")})
    resumed(run, {"corpus": str(moved)})
    assert timeless(run) == timeless(train(tmp_path / "straight", dataclasses.replace(tiny, corpus=str(moved))))


def test_a_missing_corpus_is_replaced_by_its_tokens(tmp_path: Path, tiny: TrainingConfig, corpus: Path) -> None:
    straight = train(tmp_path / "straight", tiny)
    tokens = tmp_path / "tokens"
    tokens.mkdir()
    session = Session(tiny, tokens=tokens)
    run = Run.create(tmp_path / "run", tiny, session.vocabulary, session.facts, tokens=tokens)
    list(session.rows(run, stop=lambda: session.steps.number == 5))
    corpus.unlink()
    assert "corpus.txt is missing; the run continues with the tokens" in Session.resume(run).notes[0]
    go_on(run)
    assert timeless(run) == timeless(straight)
    with pytest.raises(DataError, match="which is none of them"):
        Session.resume(run, changes={"corpus": str(corpus), "steps": 20})
    shutil.rmtree(run.folder / "tokens")
    with pytest.raises(DataError, match=r"got nothing there; pass its new place \(--corpus PATH\)"):
        Session.resume(run, changes={"steps": 20})


@pytest.mark.parametrize("level", ["char", "word"])
def test_a_run_of_version_0_1_0_continues_as_it_did_then(tmp_path: Path, level: str) -> None:
    shutil.copytree(FIXTURES, tmp_path / "old")
    changes = {"corpus": str(tmp_path / "old" / "corpus.txt"), "steps": 16}
    run = resumed(Run.open(tmp_path / "old" / level), changes)
    expected = [json.loads(line) for line in (FIXTURES / f"{level}_continued.jsonl").read_text().splitlines()]
    rows = run.rows()[-len(expected) :]
    for row, old in zip(rows, expected, strict=True):
        assert row["sample" if "sample" in old else "step"] == old["sample" if "sample" in old else "step"]
        for name in old.keys() - TIMES - {"sample"}:
            assert row[name] == pytest.approx(old[name], rel=1e-4), name


# -------------------------------------------------------------------------------------------------- fine-tuning


def test_fine_tuning_starts_with_the_weights_and_the_vocabulary(tmp_path: Path, tiny: TrainingConfig) -> None:
    run = train(tmp_path / "run", tiny)
    (tmp_path / "letters.txt").write_text("the dog sat on the cat\nan odd pear\n" * 40)
    config = dataclasses.replace(tiny, corpus=str(tmp_path / "letters.txt"), lr=0.01, dropout=0.0, seed=5)
    session = Session.from_run(run, config)
    assert session.steps.number == 0
    assert session.vocabulary.digest == run.vocabulary.digest
    assert same(dict(session.model.state_dict()), run.load("best")["steps"]["model"])
    assert session.facts["origin"]["sha256"] == run.facts["sha256"]
    assert session.facts["origin"]["step"] == run.load("best")["steps"]["number"]
    tuned = Run.create(tmp_path / "tuned", config, session.vocabulary, session.facts)
    assert [row["step"] for row in session.rows(tuned)] == [4, 8, 10]
    assert session.facts["origin"].items() <= tuned.facts["origin"].items()
    earlier = Session.from_run(run, config, "step-000008")
    assert same(dict(earlier.model.state_dict()), run.load("step-000008")["steps"]["model"])
    for change in ({"hidden_size": 7}, {"cell": "lstm"}, {"level": "word"}, {"num_layers": 2}):
        with pytest.raises(ArgumentError, match=f"expected {next(iter(change))}="):
            Session.from_run(run, dataclasses.replace(config, **change))
