"""The estimators: scikit-learn's checks, its tools, and bad input."""

from __future__ import annotations

import multiprocessing
import pickle
import warnings
from typing import Any

import numpy as np
import pytest
from joblib import parallel_config
from sklearn.base import clone
from sklearn.exceptions import ConvergenceWarning, NotFittedError
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import parametrize_with_checks

import tinygrad_seq as ts
from tinygrad_seq.base import settings as package
from tinygrad_seq.sklearn import SequenceClassifier, SequenceRegressor, SequenceTagger

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

SMALL: dict[str, Any] = {
    "cell": "rnn",
    "hidden_size": 8,
    "embedding_size": 8,
    "learning_rate_init": 0.05,
    "random_state": 0,
}
BRIEF: dict[str, Any] = {**SMALL, "max_iter": 15}
TEXTS = ["ab" * n for n in range(1, 9)] + ["ba" * n for n in range(1, 9)]
CLASSES = np.array(["a"] * 8 + ["b"] * 8)
WORDS = [["Ada", "met", "Bob", "Stone"], ["He", "saw", "Rome"], ["Rome", "is", "big"]] * 4
TAGS = [["B-PER", "O", "B-PER", "I-PER"], ["O", "O", "B-LOC"], ["B-LOC", "O", "O"]] * 4

# The checks of scikit-learn that are not met, and why.
EXCEPTIONS = {
    "check_sample_weight_equivalence_on_dense_data": "batches are drawn, so repeated sequences meet other batches than "
    "weighted ones (sequences of weight 0 are left out)",
}


class LastTag(SequenceTagger):
    """A tagger whose checks are those of any estimator: each step of a sequence has the tag of the sequence."""

    def _read_targets(self, X, y, classes, *, reset):
        return super()._read_targets(X, _repeated(X, y), classes, reset=reset)

    def score(self, X, y):
        return super().score(X, _repeated(X, y))


def _repeated(X, y) -> list[list[int]]:
    return [[int(tag)] * len(x) for tag, x in zip(np.asarray(y), np.asarray(X), strict=True)]


@parametrize_with_checks(
    [
        SequenceClassifier(**{**SMALL, "max_iter": 12, "batch_size": 100, "bidirectional": False}),
        SequenceRegressor(**{**SMALL, "max_iter": 30, "batch_size": 50, "bidirectional": False}),
        LastTag(**{**SMALL, "max_iter": 2, "bidirectional": False}),
    ],
    expected_failed_checks=lambda _: EXCEPTIONS,
    xfail_strict=True,
)
def test_the_checks_of_scikit_learn(estimator, check) -> None:
    check(estimator)


# ----------------------------------------------------------------------------------------------- kinds of input


def test_sequences_come_in_many_forms(rng) -> None:
    arrays = [rng.standard_normal((length, 2)) for length in rng.integers(2, 6, 16)]
    boxed = np.empty(16, object)
    boxed[:] = arrays
    model = SequenceClassifier(**BRIEF).fit(arrays, CLASSES)
    assert model.n_features_in_ == 2
    expected = model.predict_proba(arrays)
    for other in (boxed, tuple(arrays), [array.tolist() for array in arrays]):
        again = clone(model).fit(other, CLASSES)
        np.testing.assert_array_equal(again.predict_proba(other), expected)
    cube = rng.standard_normal((16, 5, 2))
    model = SequenceClassifier(**BRIEF).fit(cube, CLASSES)
    assert model.n_features_in_ == 2
    np.testing.assert_array_equal(model.predict(cube), model.predict(list(cube)))
    model.predict(cube[:, :3])  # any length
    texts = SequenceClassifier(**BRIEF).fit(np.array(TEXTS), CLASSES)
    np.testing.assert_array_equal(texts.predict(np.array(TEXTS, object)), texts.predict(TEXTS))
    assert not hasattr(texts, "n_features_in_")


def test_attributes_are_those_of_mlp_classifier() -> None:
    model = SequenceClassifier(**{**SMALL, "max_iter": 60, "tol": 0.05, "n_iter_no_change": 3}).fit(TEXTS, CLASSES)
    assert model.score(TEXTS, CLASSES) == 1.0
    assert model.classes_.tolist() == ["a", "b"]
    assert model.n_iter_ == len(model.loss_curve_) < 60
    assert model.best_loss_ == min(model.loss_curve_)
    assert model.loss_ == model.loss_curve_[-1]
    assert model.validation_scores_ is None
    np.testing.assert_allclose(model.predict_log_proba(TEXTS), np.log(model.predict_proba(TEXTS)))


def test_early_stopping_keeps_the_weights_of_the_best_score(capsys) -> None:
    model = SequenceClassifier(
        **{**SMALL, "max_iter": 40}, early_stopping=True, validation_fraction=0.25, n_iter_no_change=2, verbose=True
    ).fit(TEXTS, CLASSES)
    assert model.validation_scores_ is not None
    assert len(model.validation_scores_) == model.n_iter_ < 40
    assert model.best_validation_score_ == max(model.validation_scores_)
    assert model.best_loss_ is None
    assert "Iteration 1, loss = " in capsys.readouterr().out


def test_too_few_passes_are_warned_about() -> None:
    with pytest.warns(ConvergenceWarning, match="Maximum iterations .2. reached"):
        SequenceClassifier(**{**SMALL, "max_iter": 2}).fit(TEXTS, CLASSES)


def test_partial_fit_and_warm_start_continue() -> None:
    model = SequenceClassifier(**SMALL)
    for _ in range(12):
        model.partial_fit(TEXTS[::2], CLASSES[::2], classes=["a", "b", "c"])
    assert model.score(TEXTS, CLASSES) == 1.0
    assert (model.n_iter_, model.predict_proba(TEXTS).shape) == (12, (16, 3))
    with pytest.raises(ValueError, match=r"expected the classes \['a', 'b', 'c'\], got \['d'\] too"):
        model.partial_fit(TEXTS[:1], ["d"])
    warm = SequenceClassifier(**BRIEF, warm_start=True)
    first = warm.fit(TEXTS, CLASSES).loss_curve_[0]
    n_iter = warm.n_iter_
    assert warm.fit(TEXTS, CLASSES).n_iter_ > n_iter
    assert warm.loss_curve_[n_iter] < first
    tagger = SequenceTagger(**SMALL, letters=False)
    for _ in range(12):
        tagger.partial_fit(WORDS, TAGS, classes=["O", "B-PER", "I-PER", "B-LOC"])
    assert tagger.score(WORDS, TAGS) > 0.9
    numbers = SequenceRegressor(**SMALL).partial_fit(TEXTS, np.arange(16))
    assert numbers.predict(TEXTS).shape == (16,)


def test_weights_of_classes() -> None:
    X, y = ["ab"] * 9 + ["ab"], np.array([0] * 9 + [1])
    plain, balanced = (SequenceClassifier(**BRIEF, class_weight=weight).fit(X, y) for weight in (None, "balanced"))
    np.testing.assert_allclose(plain.predict_proba(["ab"])[0, 1], 0.1, atol=0.05)
    np.testing.assert_allclose(balanced.predict_proba(["ab"])[0, 1], 0.5, atol=0.1)


def test_several_numbers_per_sequence(rng) -> None:
    X = [rng.standard_normal(length) for length in rng.integers(2, 6, 40)]
    y = np.array([[x.sum(), 3 - x[-1]] for x in X])
    model = SequenceRegressor(**{**SMALL, "max_iter": 40}).fit(X, y)
    assert model.predict(X).shape == (40, 2)
    assert model.score(X, y) > 0.8


def test_a_tagger_reports_like_seqeval() -> None:
    model = SequenceTagger(**BRIEF).fit(WORDS, TAGS)
    assert model.score(WORDS, TAGS) > 0.9
    assert "   micro avg" in model.report(WORDS, TAGS)
    assert model.predict(WORDS[:1]) == TAGS[:1]
    assert model.predict_proba(WORDS[:1])[0].shape == (4, len(model.classes_))


# ------------------------------------------------------------------------------------------ tools of scikit-learn


def test_pipelines_grids_and_processes(rng) -> None:
    X = rng.standard_normal((24, 4))
    y = (X[:, -1] > 0).astype(int)
    pipeline = make_pipeline(StandardScaler(), SequenceClassifier(**BRIEF))
    grid = GridSearchCV(pipeline, {"sequenceclassifier__hidden_size": [4, 8]}, cv=2).fit(X, y)
    assert grid.best_params_["sequenceclassifier__hidden_size"] in (4, 8)
    model = SequenceClassifier(**BRIEF)
    one = cross_val_score(model, TEXTS, CLASSES, cv=2)
    np.testing.assert_array_equal(one, cross_val_score(model, TEXTS, CLASSES, cv=2, n_jobs=2))
    tagger = SequenceTagger(**{**BRIEF, "max_iter": 2})
    assert len(cross_val_score(tagger, WORDS, TAGS, cv=2)) == 2


def test_threads_of_joblib_share_nothing() -> None:
    model = SequenceClassifier(**BRIEF, dropout=0.3)
    one = cross_val_score(model, TEXTS, CLASSES, cv=2)
    with parallel_config("threading", n_jobs=2):
        np.testing.assert_array_equal(one, cross_val_score(model, TEXTS, CLASSES, cv=2))


def test_a_process_of_joblib_uses_the_threads_that_it_may(monkeypatch) -> None:
    from tinygrad_seq.sklearn import sequence_estimator

    threads = package.get_num_threads()
    monkeypatch.delenv("TGS_THREADS", raising=False)
    monkeypatch.setattr(package, "_threads", 2)
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    sequence_estimator._limit_threads()
    assert package.get_num_threads() == 2  # this is no process of joblib
    monkeypatch.setattr(multiprocessing, "parent_process", object)
    sequence_estimator._limit_threads()
    assert package.get_num_threads() == 1
    package.set_num_threads(threads)


def test_a_pickle_predicts_and_trains_on() -> None:
    model = SequenceClassifier(**BRIEF).fit(TEXTS, CLASSES)
    again = pickle.loads(pickle.dumps(model))
    np.testing.assert_array_equal(again.predict_proba(TEXTS), model.predict_proba(TEXTS))
    for one in (model, again):
        one.partial_fit(TEXTS, CLASSES)
    np.testing.assert_array_equal(again.predict_proba(TEXTS), model.predict_proba(TEXTS))


def test_any_cell_and_the_generator_of_the_package() -> None:
    before = package.generator().bit_generator.state
    for cell in ("MGUCell", ts.nn.MGUCell):
        with ts.disable_compile():
            model = SequenceClassifier(**{**SMALL, "cell": cell, "max_iter": 1}).fit(TEXTS, CLASSES)
        assert type(model._fitted.model.recurrent.cells[0]) is ts.nn.MGUCell
    assert package.generator().bit_generator.state == before
    state = np.random.RandomState(3)
    assert SequenceClassifier(**{**BRIEF, "random_state": state}).fit(TEXTS, CLASSES).random_state is state


# --------------------------------------------------------------------------------------------------- bad input


@pytest.mark.parametrize(
    ("X", "y", "message"),
    [
        (["ab", ""], ["a", "b"], "at least one letter, got '' in row 1"),
        (["ab", np.zeros(3)], ["a", "b"], "expected a string, got array"),
        ([np.zeros(3), "ab"], ["a", "b"], "expected numbers, got 'ab' in row 1"),
        ([np.zeros(3), np.zeros(0)], ["a", "b"], "for one step or more"),
        ([np.zeros((3, 2)), np.zeros((3, 1))], ["a", "b"], "in row 1"),
        ([np.array([1.0, np.nan]), np.zeros(3)], ["a", "b"], "expected finite numbers, got nan in row 0"),
        (["ab", "ba"], ["a"], "inconsistent numbers of samples"),
        (["ab", "ba"], None, "requires y to be passed"),
        ([], [], "Expected 2D array|minimum of 1|0 sample"),
        ("ab", ["a", "b"], "."),
        ([1.0, 2.0], ["a", "b"], "Expected 2D array"),
        (np.zeros((2, 0, 3)), ["a", "b"], "."),
    ],
)
def test_bad_input_is_refused(X, y, message: str) -> None:
    with pytest.raises((ValueError, TypeError), match=message):
        SequenceClassifier(**BRIEF).fit(X, y)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"hidden_size": 0}, "hidden_size"),
        ({"cell": "grru"}, "cell to be one of"),
        ({"max_iter": 0}, "max_iter"),
        ({"batch_size": "big"}, "batch_size"),
        ({"kind": "text"}, "kind of column"),
        ({"early_stopping": True, "validation_fraction": 2.0}, "test_size"),
        ({"dropout": 2.0}, "dropout"),
    ],
)
def test_wrong_arguments_are_refused_by_fit(arguments, message: str) -> None:
    with pytest.raises((ValueError, TypeError), match=message):
        SequenceClassifier(**{**BRIEF, **arguments}).fit(TEXTS, CLASSES)


def test_nothing_is_predicted_before_fit() -> None:
    for model in (SequenceClassifier(), SequenceRegressor(), SequenceTagger()):
        with pytest.raises(NotFittedError):
            model.predict(TEXTS)


def test_a_tagger_refuses_wrong_tags() -> None:
    with pytest.raises(ValueError, match=r"3 tags in row 0, one per step, got 2|expected 4 tags"):
        SequenceTagger(**BRIEF).fit(WORDS[:1], [["O", "O"]])
    model = SequenceTagger(**{**BRIEF, "max_iter": 1}).fit(WORDS, TAGS)
    with pytest.raises(ValueError, match="unseen label 'B-DAY'"):
        model.score(WORDS[:1], [["B-DAY", "O", "O", "O"]])
    with warnings.catch_warnings(), pytest.raises(ValueError, match="unseen label"):
        model.partial_fit(WORDS[:1], [["B-DAY", "O", "O", "O"]])
    with pytest.raises(ValueError, match="obey BIO like those of the training data"):
        model.partial_fit(WORDS[:1], [["I-PER", "O", "O", "O"]])
