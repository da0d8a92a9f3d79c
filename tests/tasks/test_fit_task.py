"""Tasks from data to predictions; models are small and share compiled steps."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest

import tinygrad_seq as ts
from tests.scan.case import assert_close
from tinygrad_seq import tasks
from tinygrad_seq.base import settings as package
from tinygrad_seq.errors import ArgumentError, CheckpointError, DataError
from tinygrad_seq.tasks.dataset import Batches
from tinygrad_seq.tasks.sequence_model import pool

SMALL: dict[str, Any] = {"cell": "rnn", "hidden_size": 8, "embedding_size": 8, "lr": 0.03, "batch_size": 8}
TEXTS = ["ab" * n for n in range(1, 9)] + ["ba" * n for n in range(1, 9)]
CLASSES = ["first a"] * 8 + ["first b"] * 8
WORDS = [["Ada", "met", "Bob", "Stone"], ["He", "saw", "Rome"], ["Rome", "is", "big"]] * 6
TAGS = [["B-PER", "O", "B-PER", "I-PER"], ["O", "O", "B-LOC"], ["B-LOC", "O", "O"]] * 6


def series(rng, count: int = 40):
    X = [rng.standard_normal((length, 2)) for length in rng.integers(2, 6, count)]
    return X, np.array([x.sum() for x in X])


# --------------------------------------------------------------------------------------------------- the model


@pytest.mark.parametrize("kind", ["last", "mean", "max"])
@pytest.mark.parametrize("bidirectional", [False, True])
def test_pooling_reads_valid_steps_only_and_has_exact_gradients(kind: str, bidirectional: bool, rng) -> None:
    lengths = np.array([4, 1, 3])
    outputs = np.where(ts.nn.sequence_mask(lengths, 4)[:, :, None], rng.standard_normal((4, 3, 4)), 0)
    found = pool(kind, ts.tensor(outputs), lengths, bidirectional=bidirectional).numpy()
    for n, length in enumerate(lengths):
        rows = outputs[:length, n]
        last = np.concatenate([rows[-1, :2], rows[0, 2:]]) if bidirectional else rows[-1]
        assert_close("row", found[n], {"last": last, "mean": rows.mean(axis=0), "max": rows.max(axis=0)}[kind])
    x = ts.tensor(outputs, requires_grad=True)
    ts.gradcheck(lambda x: pool(kind, x, lengths, bidirectional=bidirectional), [x])


@pytest.mark.parametrize("task", ["classify", "tag", "regress"])
def test_padding_and_the_other_sequences_of_a_batch_change_nothing(task: str, rng) -> None:
    X, y = series(rng, 6)
    targets = {"classify": ["a", "b"] * 3, "tag": [["a", "b"] * len(x) for x in X], "regress": y}[task]
    targets = [tags[: len(x)] for tags, x in zip(targets, X, strict=True)] if task == "tag" else targets
    fitted = tasks.fit_task(task, X, targets, validation=None, epochs=1, pooling="mean", **SMALL)
    together = fitted.predict(X) if task == "regress" else fitted.predict_proba(X)
    for n, x in enumerate(X):
        alone = fitted.predict([x]) if task == "regress" else fitted.predict_proba([x])
        np.testing.assert_allclose(alone[0], together[n], atol=1e-5)


def test_the_gradient_of_a_task_agrees_with_finite_differences(rng) -> None:
    with ts.disable_compile():
        fitted = tasks.fit_task("tag", WORDS[:3], TAGS[:3], validation=None, epochs=1, **SMALL)
        model = fitted.model.double()
        model.eval()
        inputs, targets = fitted.dataset(WORDS[:3], TAGS[:3]).batch(np.arange(3))
        weights = [model.head.weight, model.crf.transitions, model.inputs[0].letters.weight]
        ts.gradcheck(lambda *_: fitted.loss(model(*inputs), *targets)[0], weights)


# ------------------------------------------------------------------------------------------------------ tasks


def test_texts_are_classified() -> None:
    fitted = tasks.fit_task("classify", TEXTS, CLASSES, validation=None, epochs=15, **SMALL)
    assert fitted.predict(["abab", "bababa"]) == ["first a", "first b"]
    np.testing.assert_allclose(fitted.predict_proba(TEXTS).sum(axis=1), 1, rtol=1e-6)
    found = fitted.evaluate(TEXTS, CLASSES)
    assert (found.name, found.score, found.classes) == ("accuracy", 1.0, ("first a", "first b"))
    assert found.confusion is not None
    assert found.confusion.tolist() == [[8, 0], [0, 8]]
    assert "first a       1.00" in str(found)


def test_words_are_tagged_with_letters_and_without() -> None:
    for letters in (True, False):
        fitted = tasks.fit_task("tag", WORDS, TAGS, validation=(WORDS, TAGS), epochs=25, letters=letters, **SMALL)
        assert getattr(fitted.targets, "scheme", "") == "BIO"
        assert fitted.evaluate(WORDS, TAGS).score > 0.9
        assert fitted.history is not None
        assert fitted.history["validation_f1"][-1] > 0.9
        assert fitted.predict(WORDS[:2]) == TAGS[:2]
        assert [rows.shape for rows in fitted.predict_proba(WORDS[:2])] == [(4, 4), (3, 4)]


def test_tags_without_a_scheme_and_without_a_crf() -> None:
    tags = [["N" if word[0].isupper() else "V" for word in words] for words in WORDS]
    fitted = tasks.fit_task("tag", WORDS, tags, crf=False, letters=False, epochs=15, **SMALL)
    assert getattr(fitted.targets, "scheme", "") is None
    assert fitted.evaluate(WORDS, tags).name == "accuracy"
    assert fitted.predict(WORDS[:1]) == tags[:1]


def test_numbers_are_predicted_from_several_columns(rng) -> None:
    X, y = series(rng)
    columns = {"series": X, "sign": ["plus" if value > 0 else "minus" for value in y], "half": y / 2}
    kinds = {"series": "numbers", "sign": "category", "half": "number"}
    both = np.stack([y, -3 * y], axis=1)
    fitted = tasks.fit_task("regress", columns, both, columns=kinds, epochs=20, pooling="max", **SMALL)
    assert fitted.predict(columns).shape == (40, 2)
    assert fitted.evaluate(columns, both).score > 0.9
    with pytest.raises(ArgumentError, match="expected the columns series, sign, half, got x"):
        fitted.predict(X)
    with pytest.raises(ArgumentError, match="expected classes or tags, got numbers"):
        fitted.predict_proba(columns)


def test_weights_of_sequences_count() -> None:
    wrong = CLASSES[8:] + CLASSES[:8]
    weights = [1.0] * 16 + [0.001] * 16
    fitted = tasks.fit_task(
        "classify", TEXTS * 2, CLASSES + wrong, sample_weight=weights, validation=None, epochs=15, **SMALL
    )
    assert fitted.evaluate(TEXTS, CLASSES).score == 1.0


def test_sequences_that_do_not_count_change_nothing(rng) -> None:
    X, y = series(rng, 12)
    weights = np.repeat([0.0, 1.0], 6)
    y[:6] = 1e6
    settings: dict[str, Any] = {**SMALL, "batch_size": 2, "epochs": 1, "validation": None}
    weighted = tasks.fit_task("regress", X, y, sample_weight=weights, **settings)
    without = tasks.fit_task("regress", X[6:], y[6:], **settings)
    np.testing.assert_array_equal(weighted.predict(X), without.predict(X))


def test_the_seed_decides_and_the_generator_of_the_package_is_left_alone() -> None:
    before = package.generator().bit_generator.state
    one, two, other = (
        tasks.fit_task("classify", TEXTS, CLASSES, epochs=1, dropout=0.5, seed=seed, **SMALL).predict_proba(TEXTS)
        for seed in (1, 1, 2)
    )
    assert package.generator().bit_generator.state == before
    np.testing.assert_array_equal(one, two)
    assert (one != other).any()


# ------------------------------------------------------------------------------------------------- run folders


def test_a_run_is_opened_and_continued_with_the_same_bits(tmp_path) -> None:
    settings: dict[str, Any] = {**SMALL, "dropout": 0.2, "validation": 0.25, "facts": {"file": "texts.csv"}}
    whole = tasks.fit_task("classify", TEXTS, CLASSES, steps=8, run=tmp_path / "whole", **settings)  # 4 epochs
    tasks.fit_task("classify", TEXTS, CLASSES, epochs=2, run=tmp_path / "run", **settings)
    again = tasks.fit_task("classify", TEXTS, CLASSES, epochs=4, run=tmp_path / "run", resume=True, **settings)
    before = package.generator().bit_generator.state
    opened = tasks.FittedTask.open(tmp_path / "run")
    assert package.generator().bit_generator.state == before
    assert whole.history is not None
    for fitted in (again, opened):
        assert fitted.history is not None
        np.testing.assert_array_equal(fitted.predict_proba(TEXTS), whole.predict_proba(TEXTS))
        assert fitted.history["validation_loss"] == whole.history["validation_loss"]
    assert opened.facts["file"] == "texts.csv"
    opened.save(tmp_path / "copy")
    copy = tasks.FittedTask.open(tmp_path / "copy")
    np.testing.assert_array_equal(copy.predict_proba(TEXTS), whole.predict_proba(TEXTS))
    with pytest.raises(CheckpointError, match=r"started with, got others \(hidden_size\)"):
        tasks.fit_task("classify", TEXTS, CLASSES, run=tmp_path / "run", resume=True, **{**settings, "hidden_size": 4})
    with pytest.raises(CheckpointError, match="force"):
        opened.save(tmp_path / "copy")
    ts.train.RunFolder.create(tmp_path / "other", "fit", {})
    with pytest.raises(CheckpointError, match="expected the run of a task"):
        tasks.FittedTask.open(tmp_path / "other")


def test_the_description_of_a_tagger_and_of_numbers_survives_json(tmp_path, rng) -> None:
    tagger = tasks.fit_task("tag", WORDS, TAGS, epochs=1, run=tmp_path / "tagger", **SMALL)
    assert tasks.FittedTask.open(tmp_path / "tagger").predict(WORDS) == tagger.predict(WORDS)
    X, y = series(rng)
    numbers = tasks.fit_task("regress", X, y, epochs=1, **SMALL)
    assert json.loads(json.dumps(numbers.content())) == numbers.content()
    numbers.save(tmp_path / "numbers")
    np.testing.assert_array_equal(tasks.FittedTask.open(tmp_path / "numbers").predict(X), numbers.predict(X))


CELL = """
import tinygrad_seq as ts
class Mine(ts.nn.Cell):
    def __init__(self, input_size, hidden_size):
        self.input_size, self.hidden_size, self.state_shape = input_size, hidden_size, (hidden_size,)
        self.layer = ts.nn.Linear(input_size + hidden_size, hidden_size)
    def forward(self, x, h):
        h = self.layer(ts.concat([x, h], axis=-1)).tanh()
        return h, h
"""


def test_a_run_that_fails_before_its_first_checkpoint_leaves_nothing(tmp_path) -> None:
    def run(**options: Any) -> object:
        return tasks.fit_task("classify", TEXTS, CLASSES, run=tmp_path / "run", **options, **SMALL)

    for resume in (False, "auto"):
        with pytest.raises(DataError, match="sample_weight"):
            run(sample_weight=[-1.0] * len(TEXTS), resume=resume)
        with pytest.raises(ZeroDivisionError):
            run(resume=resume, progress=lambda *_: 1 / 0)
        assert {path.name for path in tmp_path.glob("run/*")} <= {".lock"}


def test_a_cell_of_a_file_moves_into_the_run_folder_and_needs_trust(tmp_path, monkeypatch) -> None:
    (tmp_path / "mine.py").write_text(CELL)
    settings: dict[str, Any] = {**SMALL, "cell": f"{tmp_path / 'mine.py'}:Mine"}
    with ts.disable_compile():
        fitted = tasks.fit_task(
            "classify", TEXTS[:2], ["a", "b"], validation=None, epochs=1, run=tmp_path / "run", **settings
        )
        (tmp_path / "mine.py").unlink()
        opened = tasks.FittedTask.open(tmp_path / "run")
        np.testing.assert_array_equal(opened.predict_proba(TEXTS), fitted.predict_proba(TEXTS))
        monkeypatch.setattr(ts.train.trust, "_is_recorded", lambda code: False)
        with pytest.raises(ArgumentError, match="consent to run the code"):
            tasks.FittedTask.open(tmp_path / "run")
        assert tasks.FittedTask.open(tmp_path / "run", trust=True).predict(TEXTS) == fitted.predict(TEXTS)
        (tmp_path / "run" / "cell.py").write_text(CELL + "# changed")
        with pytest.raises(CheckpointError, match="got other code"):
            tasks.FittedTask.open(tmp_path / "run", trust=True)


# --------------------------------------------------------------------------------------------------- bad input


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"task": "cluster"}, ArgumentError, "task to be one of classify, tag, regress, got 'cluster'"),
        ({"X": "abab"}, DataError, "a list with an entry per sequence, got str"),
        ({"X": []}, DataError, "at least one"),
        ({"X": {"a": TEXTS, "b": TEXTS[1:]}}, DataError, "equally many entries"),
        (
            {"X": {"a": TEXTS, "b": [text + "!" for text in TEXTS]}},
            DataError,
            r"columns 'a' and 'b': .* got 2 and 3 in row 0",
        ),
        ({"X": list(range(16))}, DataError, "a column with steps"),
        ({"y": CLASSES[1:]}, DataError, "16 targets, one per sequence, got 15"),
        ({"y": [*CLASSES[1:], None]}, DataError, "all strings or all integers"),
        ({"columns": {"z": "letters"}}, ArgumentError, "kinds of the columns x, got z"),
        ({"validation": 1.5}, ArgumentError, "a fraction between 0 and 1"),
        ({"validation": (TEXTS, ["new"] * 16)}, DataError, "unseen label 'new'"),
        ({"X": ["a"], "y": ["b"]}, DataError, "at least 2 sequences, got 1"),
        ({"sample_weight": [1.0] * 15}, DataError, "16 numbers >= 0"),
        ({"sample_weight": [0.0] * 16}, DataError, "one of them positive"),
        ({"sample_weight": [-1.0] * 16}, DataError, "16 numbers >= 0"),
        ({"hidden": 3}, ArgumentError, "settings among cell, .*, got hidden"),
        ({"hidden_size": 0}, ArgumentError, "hidden_size"),
        ({"cell": "grru"}, ArgumentError, "the name of a cell of nn such as MGUCell"),
        ({"cell": 3}, ArgumentError, "a name or a subclass of nn.Cell"),
        ({"lr": 0.0}, ArgumentError, "lr > 0"),
        ({"patience": -1}, ArgumentError, "patience"),
        ({"pooling": "sum"}, ArgumentError, "pooling"),
        ({"task": "regress"}, DataError, "y: expected numbers"),
        ({"task": "regress", "y": [1.0] * 15 + [np.nan]}, DataError, "finite numbers, got nan in row 15"),
        ({"X": [*TEXTS[:13], 3, *TEXTS[14:]], "columns": "letters"}, DataError, "a string, got 3 in row 13"),
        ({"task": "tag", "y": [list(text) for text in TEXTS[:15]] + [["a"]]}, DataError, "16 tags in row 15"),
        ({"task": "tag"}, DataError, "a list of tags in row 0, got 'first a'"),
        ({"task": "tag", "y": [["a"]] * 16}, DataError, "2 tags in row 0, one per step, got 1"),
    ],
)
def test_bad_input_is_refused_before_any_work(change, error, message: str, tmp_path) -> None:
    call: dict[str, Any] = {"task": "classify", "X": TEXTS, "y": CLASSES, "run": tmp_path / "run", **SMALL, **change}
    with pytest.raises(error, match=message):
        tasks.fit_task(call.pop("task"), call.pop("X"), call.pop("y"), **call)
    assert not (tmp_path / "run").exists()


BIOES = [["B-PER", "E-PER", "O", "S-PER"], ["O", "B-PER", "E-PER"], ["B-PER", "I-PER", "E-PER"]] * 6


@pytest.mark.parametrize(
    ("tags", "wrong"),
    [
        (TAGS, ["I-PER", "O", "O", "O"]),
        (TAGS, ["I-PER", "I-PER", "I-PER", "I-PER"]),
        (BIOES, ["B-PER", "O", "O", "O"]),
        (BIOES, ["B-PER", "I-PER", "O", "O"]),
    ],
)
def test_validation_tags_that_a_crf_forbids_are_refused(tags, wrong) -> None:
    with pytest.raises(DataError, match=rf"obey BIO(ES)? like those of the training data, got \['{wrong[0]}'.* row 0"):
        tasks.fit_task("tag", WORDS, tags, validation=(WORDS[:1], [wrong]), **SMALL)


def test_unseen_labels_are_refused_in_an_evaluation() -> None:
    fitted = tasks.fit_task("classify", TEXTS, CLASSES, epochs=1, **SMALL)
    with pytest.raises(DataError, match="unseen label 'third'"):
        fitted.evaluate(TEXTS[:1], ["third"])


# ----------------------------------------------------------------------------------------------------- batches


def test_batches_hold_each_sequence_once_with_little_padding(rng) -> None:
    fitted = tasks.fit_task("classify", TEXTS, CLASSES, epochs=1, **SMALL)
    texts = ["a" * length for length in rng.integers(1, 60, 200)]
    data = fitted.dataset(texts)
    for shuffle in (True, False):
        with package.drawing_from(np.random.default_rng(0)):
            rows = Batches(data, 16, shuffle=shuffle).rows()
        assert sorted(np.concatenate(rows).tolist()) == list(range(200))
        assert {len(batch) for batch in rows} == {15, 16}
        padded = sum(len(batch) * data.lengths[batch].max() for batch in rows)
        assert padded < 1.25 * data.lengths.sum()
