"""Estimators of sequences with the conventions of scikit-learn (the extra ``sklearn``)."""

from __future__ import annotations

import dataclasses
import multiprocessing
import os
import warnings
from collections.abc import Callable, Sequence
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .base import settings as package
from .data import Labels
from .errors import ArgumentError, DataError
from .nn import Cell
from .nn.checks import check_sizes
from .tasks import FittedTask, TaskSettings
from .tasks.columns import NumberColumn
from .tasks.dataset import Dataset
from .tasks.evaluation import evaluate_numbers, evaluate_tags
from .tasks.fitted import COLUMN
from .tasks.targets import ClassTargets, NumberTargets, TagTargets, Targets
from .tasks.training import make_optimizer, train

try:
    from sklearn.base import BaseEstimator, ClassifierMixin, MultiOutputMixin, RegressorMixin
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.model_selection import train_test_split
    from sklearn.utils import assert_all_finite, check_random_state
    from sklearn.utils.class_weight import compute_sample_weight
    from sklearn.utils.multiclass import check_classification_targets
    from sklearn.utils.validation import (
        _check_sample_weight,
        check_array,
        check_consistent_length,
        check_is_fitted,
        column_or_1d,
        validate_data,
    )
except ImportError as error:
    raise ArgumentError(
        "tinygrad_seq.sklearn: expected scikit-learn 1.6 or later to be installed, got none; run "
        "pip install 'tinygrad-seq[sklearn]'."
    ) from error

__all__ = ["SequenceClassifier", "SequenceRegressor", "SequenceTagger"]


class _SequenceEstimator(BaseEstimator):  # type: ignore[misc]
    """What the estimators share: reading X, training with stops, predicting."""

    _task: str
    cell: str | Callable[[int, int], Cell]
    batch_size: int | str
    learning_rate_init: float
    alpha: float
    kind: str | None
    max_iter: int
    n_iter_no_change: int
    early_stopping: bool
    validation_fraction: float
    warm_start: bool
    random_state: Any

    def fit(self, X: Any, y: Any, sample_weight: ArrayLike | None = None) -> Self:
        """Train from new initial weights, or with ``warm_start`` from the present ones.

        Parameters
        ----------
        X : list or array
            N sequences: strings, lists of words, arrays (T,) or (T, F) of any lengths T; or an array (N, T), N
            sequences of T numbers, or (N, T, F).
        y : array_like
            N targets.
        sample_weight : array_like, shape (N,), optional
            How much each sequence counts.

        Returns
        -------
        self
            The fitted estimator.

        Raises
        ------
        ValueError, TypeError
            If an argument of the constructor, an entry or a target does not fit.
        """
        again = self.warm_start and hasattr(self, "_fitted")
        return self._train(X, y, sample_weight, again=again, epochs=self.max_iter)

    def predict(self, X: Any) -> Any:
        """Return the prediction for each sequence.

        Parameters
        ----------
        X : list or array
            Sequences as for `fit`. After a fit on an array (N, T), all must have T steps.

        Returns
        -------
        ndarray or list
            N classes or numbers, or N lists of tags.

        Raises
        ------
        ValueError, TypeError
            If an entry does not fit.
        sklearn.exceptions.NotFittedError
            Before `fit`.
        """
        return self._named(self._trained.predict(self._columns(X)))

    # ------------------------------------------------------------------------------------------------ training

    def _train(
        self, X: Any, y: Any, weights: Any, *, again: bool, epochs: int, classes: ArrayLike | None = None
    ) -> Self:
        """Train for some epochs; `again` continues with the present weights."""
        _limit_threads()
        if y is None:
            raise DataError(f"{type(self).__name__} requires y to be passed, but the target y is None")
        X = self._read(X, reset=not again)
        targets, y = self._read_targets(X, y, classes, reset=not again)
        if weights is not None:
            weights = _check_sample_weight(weights, X, dtype=np.float64, ensure_non_negative=True)
        weights = self._weighted(y, weights)
        if not again:
            seed = check_random_state(self.random_state).randint(np.iinfo(np.int32).max)
            self._generator = np.random.default_rng(seed)
        with package.drawing_from(self._generator):
            rows, held_out = self._split(y)
            inputs = {COLUMN: _pick(X, rows)}
            if not again:
                self._start(FittedTask.build(self._settings(len(rows)), inputs, columns=self.kind, targets=targets))
            data = self._fitted.dataset(inputs, _pick(y, rows), None if weights is None else weights[rows])
            unseen = None
            if held_out is not None:
                unseen = self._fitted.dataset({COLUMN: _pick(X, held_out)}), _pick(y, held_out)
            course = _Course(self, unseen)
            train(self._fitted, data, self._optimizer, epochs=epochs, callbacks=[course])
            course.finish(epochs)
        self.loss_ = self.loss_curve_[-1]
        return self

    def _start(self, fitted: FittedTask) -> None:
        """Set the attributes of a training that begins."""
        self._fitted, self._optimizer = fitted, make_optimizer(fitted)
        self.loss_curve_: list[float] = []
        self.best_loss_: float | None = np.inf
        self.validation_scores_: list[float] | None = [] if self.early_stopping else None
        self.best_validation_score_: float | None = -np.inf if self.early_stopping else None
        self.n_iter_ = 0
        column = fitted.columns[COLUMN]
        if not self._is_table and isinstance(column, NumberColumn):
            self.n_features_in_ = len(column.mean)

    def _settings(self, count: int) -> TaskSettings:
        """Return the settings of the task for `count` sequences; raise if an argument is out of range."""
        auto = isinstance(self.batch_size, str) and self.batch_size == "auto"
        sizes = {name: getattr(self, name) for name in ("max_iter", "n_iter_no_change")}
        check_sizes(type(self).__name__, **sizes, **({} if auto else {"batch_size": self.batch_size}))
        names = {field.name for field in dataclasses.fields(TaskSettings)} & self.get_params().keys()
        given = {name: getattr(self, name) for name in names} | {"batch_size": 32 if auto else self.batch_size}
        given["batch_size"] = min(given["batch_size"], count)
        return TaskSettings(self._task, lr=self.learning_rate_init, weight_decay=self.alpha, **given)

    def _split(self, y: Any) -> tuple[NDArray[np.int64], NDArray[np.int64] | None]:
        """Return the rows to train on, and those held out for early stopping."""
        rows = np.arange(len(y))
        if not self.early_stopping:
            return rows, None
        state = np.random.RandomState(self._generator.integers(1 << 31))
        strata = y if self._task == "classify" else None
        kept, held_out = train_test_split(rows, test_size=self.validation_fraction, random_state=state, stratify=strata)
        return np.sort(kept), np.sort(held_out)

    # ------------------------------------------------------------------------------------------ reading the data

    def _read(self, X: Any, *, reset: bool) -> Any:
        """Return X as the entries of a column, and set or check the number of features."""
        if getattr(X, "ndim", None) == 1 and np.asarray(X).dtype.kind in "OUT":
            X = np.asarray(X).tolist()
        if isinstance(X, list | tuple) and not _is_table(X) and (reset or not self._is_table):
            if reset:
                self._is_table = False
                vars(self).pop("n_features_in_", None)
            return list(X)
        if getattr(X, "ndim", None) == 3 and (reset or not self._is_table):
            self._is_table = False
            return check_array(X, dtype=np.float64, allow_nd=True, input_name="X")
        if not reset and not self._is_table:
            return check_array(X, dtype=np.float64, input_name="X")
        self._is_table = True
        return validate_data(self, X, reset=reset, dtype=np.float64)

    @property
    def _trained(self) -> FittedTask:
        check_is_fitted(self, "_fitted")
        return self._fitted

    def _columns(self, X: Any) -> dict[str, Any]:
        """Return X for a fitted task."""
        _limit_threads()
        return {COLUMN: self._read(X, reset=False)}

    # --------------------------------------------------------------------------------------- what a subclass says

    def _read_targets(self, X: Any, y: Any, classes: ArrayLike | None, *, reset: bool) -> tuple[Targets, Any]:
        """Return what the model predicts, and y as it reads it."""
        raise NotImplementedError

    def _named(self, found: Any) -> Any:
        """Return the predictions of the task as those of the estimator."""
        raise NotImplementedError

    def _weighted(self, y: Any, weights: NDArray[Any] | None) -> NDArray[Any] | None:
        """Return the weights of the sequences."""
        return weights

    def _held_out_score(self, found: Any, y: Any) -> float:
        """Return the score that early stopping looks at, of predictions and targets as the task has them."""
        raise NotImplementedError

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.three_d_array = tags.input_tags.string = True
        return tags


def _store(arguments: dict[str, Any]) -> None:
    """Store the arguments of a constructor as given, which `clone` and `get_params` rely on."""
    vars(arguments["self"]).update({name: arguments[name] for name in arguments if name not in ("self", "__class__")})


class _Course:
    """The course of a training: curves, the best weights, and when to stop; as in `MLPClassifier`."""

    def __init__(self, estimator: Any, unseen: tuple[Dataset, Any] | None) -> None:
        self.estimator, self.unseen = estimator, unseen
        self.waited = 0
        self.stopped = False
        self.best: dict[str, Any] | None = None

    def on_evaluation(self, fit: Any, row: dict[str, Any]) -> None:
        """Act after an epoch."""
        of = self.estimator
        of.n_iter_ += 1
        of.loss_curve_.append(row["loss"])
        if of.verbose:
            print(f"Iteration {of.n_iter_}, loss = {row['loss']:.8f}")
        better = self._judge(row["loss"]) if self.unseen is None else self._judge_unseen(*self.unseen)
        self.waited = 0 if better else self.waited + 1
        if self.waited > of.n_iter_no_change:
            self.stopped = True
            if of.verbose:
                print(f"No improvement by more than tol={of.tol} for {of.n_iter_no_change} iterations. Stopping.")
            fit.stop()

    def _judge(self, loss: float) -> bool:
        of = self.estimator
        better = loss <= of.best_loss_ - of.tol
        of.best_loss_ = min(of.best_loss_, loss)
        return better

    def _judge_unseen(self, data: Dataset, y: Any) -> bool:
        of = self.estimator
        score = of._held_out_score(of._fitted.predict_dataset(data), y)
        of.validation_scores_.append(score)
        of.best_loss_ = None
        if of.verbose:
            print(f"Validation score: {score:f}")
        better = score >= of.best_validation_score_ + of.tol
        if score > of.best_validation_score_:
            of.best_validation_score_ = score
            self.best = {name: array.copy() for name, array in of._fitted.model.state_dict().items()}
        return better

    def finish(self, epochs: int) -> None:
        """Restore the best weights; warn if the training ended early."""
        if self.best is not None:
            self.estimator._fitted.model.load_state_dict(self.best)
        if not self.stopped and epochs > 1:
            warnings.warn(
                f"Maximum iterations ({epochs}) reached and the optimization hasn't converged yet.",
                ConvergenceWarning,
                stacklevel=5,
            )


class SequenceClassifier(ClassifierMixin, _SequenceEstimator):  # type: ignore[misc]
    """Classify sequences of any lengths with a recurrent network; the conventions are those of `MLPClassifier`.

    The network embeds letters or words, or standardises numbers, runs recurrent layers of any cell, pools their outputs
    and ends in a softmax.


    Parameters
    ----------
    cell : str or type, default "gru"
        ``"lstm"``, ``"gru"``, ``"rnn"``, the name of another cell of `nn` (``"MGUCell"``), ``"FILE.py:Class"``, or a
        subclass of `nn.Cell` that is constructed as ``cell(input_size, hidden_size)``.
    hidden_size : int, default 64
        Output size of each recurrent layer and direction.
    num_layers : int, default 1
        Number of recurrent layers.
    bidirectional : bool, default True
        Whether a second cell reads each sequence from its end to its beginning.
    dropout : float, default 0.0
        Dropout probability before, between and after the recurrent layers.
    embedding_size : int, default 32
        Size of the vectors of letters and words.
    pooling : {"last", "mean", "max"}, default "last"
        What the outputs of all steps become for the prediction: the last one of each direction, their mean, or their
        maximum.
    kind : str, optional
        How X is read: ``"letters"``, ``"words"`` or ``"numbers"``; None guesses it with `tasks.guess_kind`.
    class_weight : dict, "balanced" or None, default None
        The weight of each class; ``"balanced"`` makes all classes count alike.
    batch_size : int or "auto", default "auto"
        Sequences per update; ``"auto"`` is 32, or all if there are fewer.
    learning_rate_init : float, default 0.003
        Learning rate of Adam.
    alpha : float, default 0.0
        Decoupled weight decay (AdamW).
    clip_norm : float, default 5.0
        Maximum norm of the gradient.
    max_iter : int, default 200
        Maximum number of passes over the data.
    tol : float, default 0.0001
        The loss, or with `early_stopping` the held-out score, has to improve by this much in `n_iter_no_change` passes.
    n_iter_no_change : int, default 10
        Stop after more than this many passes without improvement.
    early_stopping : bool, default False
        Whether to hold out a part of the data (of each class), score it after each pass, and keep the best weights.
    validation_fraction : float, default 0.1
        The fraction to hold out.
    warm_start : bool, default False
        Whether `fit` continues with the present weights.
    random_state : int, RandomState or None, default None
        The same integer gives the same model. The generator of the package is neither read nor changed.
    verbose : bool, default False
        Whether to print the loss of each pass.

    Attributes
    ----------
    classes_ : ndarray
        The classes, sorted.
    n_features_in_ : int
        T after a fit on an array (N, T); else F. Not set for text.
    n_iter_ : int
        The number of passes made.
    loss_, best_loss_ : float
        The loss of the last pass, and the lowest; None with `early_stopping`.
    loss_curve_ : list of float
        The mean loss of each pass.
    validation_scores_, best_validation_score_ : list of float, float
        The held-out scores and the best one, with `early_stopping`; else None.

    Examples
    --------
    >>> from tinygrad_seq.sklearn import SequenceClassifier
    >>> X = ["ab" * n for n in range(1, 9)] + ["ba" * n for n in range(1, 9)]
    >>> model = SequenceClassifier(hidden_size=8, learning_rate_init=0.03, tol=0.01, random_state=0)
    >>> model.fit(X, ["a first"] * 8 + ["b first"] * 8).predict(["abab", "bababa"])
    array(['a first', 'b first'], dtype='<U7')
    """

    _task = "classify"

    def __init__(
        self,
        cell: str | Callable[[int, int], Cell] = "gru",
        *,
        hidden_size: int = 64,
        num_layers: int = 1,
        bidirectional: bool = True,
        dropout: float = 0.0,
        embedding_size: int = 32,
        pooling: str = "last",
        kind: str | None = None,
        class_weight: Any = None,
        batch_size: int | str = "auto",
        learning_rate_init: float = 3e-3,
        alpha: float = 0.0,
        clip_norm: float = 5.0,
        max_iter: int = 200,
        tol: float = 1e-4,
        n_iter_no_change: int = 10,
        early_stopping: bool = False,
        validation_fraction: float = 0.1,
        warm_start: bool = False,
        random_state: Any = None,
        verbose: bool = False,
    ) -> None:
        _store(locals())

    def partial_fit(
        self, X: Any, y: ArrayLike, classes: ArrayLike | None = None, sample_weight: ArrayLike | None = None
    ) -> Self:
        """Make one pass over some data with the present weights.

        The first call takes the tokens, means and deviations from its data.

        Parameters
        ----------
        X, y, sample_weight
            As for `fit`.
        classes : array_like, optional
            All classes that will come; needed in the first call if its data do not have them all.

        Returns
        -------
        self
            The estimator.

        Raises
        ------
        ValueError, TypeError
            As `fit`; also if a class is not one of those of the first call.
        """
        return self._train(X, y, sample_weight, again=hasattr(self, "_fitted"), epochs=1, classes=classes)

    def predict_proba(self, X: Any) -> NDArray[np.float64]:
        """Return the probabilities of the classes.

        Parameters
        ----------
        X : list or array
            As for `predict`.

        Returns
        -------
        ndarray, shape (N, K)
            In the order of `classes_`.
        """
        return self._trained.predict_proba(self._columns(X))

    def predict_log_proba(self, X: Any) -> NDArray[np.float64]:
        """Return the logarithms of `predict_proba`.

        Parameters
        ----------
        X : list or array
            As for `predict`.

        Returns
        -------
        ndarray, shape (N, K)
            In the order of `classes_`; -inf for a probability of 0.
        """
        with np.errstate(divide="ignore"):
            return np.log(self.predict_proba(X))

    def _read_targets(self, X: Any, y: Any, classes: ArrayLike | None, *, reset: bool) -> tuple[Targets, Any]:
        y = column_or_1d(y, warn=True)
        assert_all_finite(y, input_name="y")
        check_classification_targets(y)
        check_consistent_length(X, y)
        if reset:
            self.classes_ = np.unique(y if classes is None else column_or_1d(classes))
        if len(unseen := np.setdiff1d(y, self.classes_)):
            raise DataError(
                f"{type(self).__name__}: expected the classes {self.classes_.tolist()}, got {unseen.tolist()} too; pass "
                "all classes to fit, or to the first call of partial_fit."
            )
        return ClassTargets(Labels(range(len(self.classes_)))), np.searchsorted(self.classes_, y)

    def _named(self, found: Any) -> Any:
        return self.classes_[np.array(found, np.int64)]

    def _weighted(self, y: Any, weights: NDArray[Any] | None) -> NDArray[Any] | None:
        if self.class_weight is None:
            return weights
        balanced = compute_sample_weight(self.class_weight, self.classes_[y])
        return balanced if weights is None else balanced * weights

    def _held_out_score(self, found: Any, y: Any) -> float:
        return float(np.mean(np.array(found) == y))


class SequenceRegressor(RegressorMixin, MultiOutputMixin, _SequenceEstimator):  # type: ignore[misc]
    """Predict one or more numbers per sequence with a recurrent network; the conventions are those of `MLPRegressor`.

    The network is that of `SequenceClassifier` with a linear output. Targets are standardised for the training; the loss
    is their mean squared error.


    Parameters
    ----------
    cell : str or type, default "gru"
        ``"lstm"``, ``"gru"``, ``"rnn"``, the name of another cell of `nn` (``"MGUCell"``), ``"FILE.py:Class"``, or a
        subclass of `nn.Cell` that is constructed as ``cell(input_size, hidden_size)``.
    hidden_size : int, default 64
        Output size of each recurrent layer and direction.
    num_layers : int, default 1
        Number of recurrent layers.
    bidirectional : bool, default True
        Whether a second cell reads each sequence from its end to its beginning.
    dropout : float, default 0.0
        Dropout probability before, between and after the recurrent layers.
    embedding_size : int, default 32
        Size of the vectors of letters and words.
    pooling : {"last", "mean", "max"}, default "last"
        What the outputs of all steps become for the prediction: the last one of each direction, their mean, or their
        maximum.
    kind : str, optional
        How X is read: ``"letters"``, ``"words"`` or ``"numbers"``; None guesses it with `tasks.guess_kind`.
    batch_size : int or "auto", default "auto"
        Sequences per update; ``"auto"`` is 32, or all if there are fewer.
    learning_rate_init : float, default 0.003
        Learning rate of Adam.
    alpha : float, default 0.0
        Decoupled weight decay (AdamW).
    clip_norm : float, default 5.0
        Maximum norm of the gradient.
    max_iter : int, default 200
        Maximum number of passes over the data.
    tol : float, default 0.0001
        The loss, or with `early_stopping` the held-out score, has to improve by this much in `n_iter_no_change` passes.
    n_iter_no_change : int, default 10
        Stop after more than this many passes without improvement.
    early_stopping : bool, default False
        Whether to hold out a part of the data (of each class), score it after each pass, and keep the best weights.
    validation_fraction : float, default 0.1
        The fraction to hold out.
    warm_start : bool, default False
        Whether `fit` continues with the present weights.
    random_state : int, RandomState or None, default None
        The same integer gives the same model. The generator of the package is neither read nor changed.
    verbose : bool, default False
        Whether to print the loss of each pass.

    Attributes
    ----------
    n_features_in_ : int
        T after a fit on an array (N, T); else F. Not set for text.
    n_iter_ : int
        The number of passes made.
    loss_, best_loss_ : float
        The loss of the last pass, and the lowest; None with `early_stopping`.
    loss_curve_ : list of float
        The mean loss of each pass.
    validation_scores_, best_validation_score_ : list of float, float
        The held-out scores and the best one, with `early_stopping`; else None.

    Examples
    --------
    >>> import numpy as np
    >>> from tinygrad_seq.sklearn import SequenceRegressor
    >>> X = [np.linspace(0, slope, length) for slope in (1, 2, 3, 4) for length in range(4, 12)]
    >>> model = SequenceRegressor(hidden_size=8, learning_rate_init=0.03, tol=0.01, random_state=0)
    >>> bool(model.fit(X, [x[-1] for x in X]).score(X, [x[-1] for x in X]) > 0.9)
    True
    """

    _task = "regress"

    def __init__(
        self,
        cell: str | Callable[[int, int], Cell] = "gru",
        *,
        hidden_size: int = 64,
        num_layers: int = 1,
        bidirectional: bool = True,
        dropout: float = 0.0,
        embedding_size: int = 32,
        pooling: str = "last",
        kind: str | None = None,
        batch_size: int | str = "auto",
        learning_rate_init: float = 3e-3,
        alpha: float = 0.0,
        clip_norm: float = 5.0,
        max_iter: int = 200,
        tol: float = 1e-4,
        n_iter_no_change: int = 10,
        early_stopping: bool = False,
        validation_fraction: float = 0.1,
        warm_start: bool = False,
        random_state: Any = None,
        verbose: bool = False,
    ) -> None:
        _store(locals())

    def partial_fit(self, X: Any, y: ArrayLike, sample_weight: ArrayLike | None = None) -> Self:
        """Make one pass over some data with the present weights.

        The first call takes the tokens, means and deviations from its data.

        Parameters
        ----------
        X, y, sample_weight
            As for `fit`.

        Returns
        -------
        self
            The estimator.

        Raises
        ------
        ValueError, TypeError
            As `fit`.
        """
        return self._train(X, y, sample_weight, again=hasattr(self, "_fitted"), epochs=1)

    def _read_targets(self, X: Any, y: Any, classes: ArrayLike | None, *, reset: bool) -> tuple[Targets, Any]:
        y = check_array(y, ensure_2d=False, dtype=np.float64, input_name="y")
        if y.ndim == 2 and y.shape[1] == 1:
            y = column_or_1d(y, warn=True)
        check_consistent_length(X, y)
        return NumberTargets.fit(y), y

    def _named(self, found: Any) -> Any:
        return found

    def _held_out_score(self, found: Any, y: Any) -> float:
        return evaluate_numbers(found, y).score


class SequenceTagger(_SequenceEstimator):
    """Tag each step of sequences with a recurrent network that ends in a conditional random field.

    The network embeds words (and reads their letters), or standardises numbers, and runs recurrent layers of any cell.
    The score is the F1 of spans if the tags mark spans (BIO, BIOES), else the accuracy of tags.


    Parameters
    ----------
    cell : str or type, default "gru"
        ``"lstm"``, ``"gru"``, ``"rnn"``, the name of another cell of `nn` (``"MGUCell"``), ``"FILE.py:Class"``, or a
        subclass of `nn.Cell` that is constructed as ``cell(input_size, hidden_size)``.
    hidden_size : int, default 64
        Output size of each recurrent layer and direction.
    num_layers : int, default 1
        Number of recurrent layers.
    bidirectional : bool, default True
        Whether a second cell reads each sequence from its end to its beginning.
    dropout : float, default 0.0
        Dropout probability before, between and after the recurrent layers.
    embedding_size : int, default 32
        Size of the vectors of letters and words.
    letters : bool, default True
        Whether the model reads the letters of words beside their vectors.
    crf : bool, default True
        Whether the model ends in a conditional random field, which learns which tags follow each other and, if the tags
        obey BIO or BIOES, forbids what does not.
    kind : str, optional
        How X is read: ``"letters"``, ``"words"`` or ``"numbers"``; None guesses it with `tasks.guess_kind`.
    batch_size : int or "auto", default "auto"
        Sequences per update; ``"auto"`` is 32, or all if there are fewer.
    learning_rate_init : float, default 0.003
        Learning rate of Adam.
    alpha : float, default 0.0
        Decoupled weight decay (AdamW).
    clip_norm : float, default 5.0
        Maximum norm of the gradient.
    max_iter : int, default 200
        Maximum number of passes over the data.
    tol : float, default 0.0001
        The loss, or with `early_stopping` the held-out score, has to improve by this much in `n_iter_no_change` passes.
    n_iter_no_change : int, default 10
        Stop after more than this many passes without improvement.
    early_stopping : bool, default False
        Whether to hold out a part of the data (of each class), score it after each pass, and keep the best weights.
    validation_fraction : float, default 0.1
        The fraction to hold out.
    warm_start : bool, default False
        Whether `fit` continues with the present weights.
    random_state : int, RandomState or None, default None
        The same integer gives the same model. The generator of the package is neither read nor changed.
    verbose : bool, default False
        Whether to print the loss of each pass.

    Attributes
    ----------
    classes_ : ndarray
        The classes, sorted.
    n_features_in_ : int
        T after a fit on an array (N, T); else F. Not set for text.
    n_iter_ : int
        The number of passes made.
    loss_, best_loss_ : float
        The loss of the last pass, and the lowest; None with `early_stopping`.
    loss_curve_ : list of float
        The mean loss of each pass.
    validation_scores_, best_validation_score_ : list of float, float
        The held-out scores and the best one, with `early_stopping`; else None.

    Examples
    --------
    >>> from tinygrad_seq.sklearn import SequenceTagger
    >>> X = [["Ada", "met", "Bob"], ["He", "saw", "Ada", "Stone"]]
    >>> y = [["B-PER", "O", "B-PER"], ["O", "O", "B-PER", "I-PER"]]
    >>> model = SequenceTagger("rnn", hidden_size=8, learning_rate_init=0.03, tol=0.01, random_state=0).fit(X, y)
    >>> model.predict([["Bob", "met", "Ada", "Stone"]]), model.score(X, y)
    ([['B-PER', 'O', 'B-PER', 'I-PER']], 1.0)
    """

    _task = "tag"

    def __init__(
        self,
        cell: str | Callable[[int, int], Cell] = "gru",
        *,
        hidden_size: int = 64,
        num_layers: int = 1,
        bidirectional: bool = True,
        dropout: float = 0.0,
        embedding_size: int = 32,
        letters: bool = True,
        crf: bool = True,
        kind: str | None = None,
        batch_size: int | str = "auto",
        learning_rate_init: float = 3e-3,
        alpha: float = 0.0,
        clip_norm: float = 5.0,
        max_iter: int = 200,
        tol: float = 1e-4,
        n_iter_no_change: int = 10,
        early_stopping: bool = False,
        validation_fraction: float = 0.1,
        warm_start: bool = False,
        random_state: Any = None,
        verbose: bool = False,
    ) -> None:
        _store(locals())

    def partial_fit(
        self,
        X: Any,
        y: Sequence[Sequence[Any]],
        classes: ArrayLike | None = None,
        sample_weight: ArrayLike | None = None,
    ) -> Self:
        """Make one pass over some data with the present weights.

        The first call takes the tokens, means and deviations from its data.

        Parameters
        ----------
        X, y, sample_weight
            As for `fit`.
        classes : array_like, optional
            All tags that will come; needed in the first call if its data do not have them all.

        Returns
        -------
        self
            The estimator.

        Raises
        ------
        ValueError, TypeError
            As `fit`; also if a tag is not one of those of the first call.
        """
        return self._train(X, y, sample_weight, again=hasattr(self, "_fitted"), epochs=1, classes=classes)

    def predict_proba(self, X: Any) -> list[NDArray[np.floating]]:
        """Return the probabilities of the tags at each step; under a CRF the marginals.

        Parameters
        ----------
        X : list or array
            As for `predict`.

        Returns
        -------
        list of ndarray, shape (T, K)
            In the order of `classes_`.
        """
        return self._trained.predict_proba(self._columns(X))

    def score(self, X: Any, y: Sequence[Sequence[Any]]) -> float:
        """Return the F1 of spans if the tags mark spans, else the accuracy of tags.

        Parameters
        ----------
        X : list or array
            As for `predict`.
        y : sequence
            N sequences of tags.

        Returns
        -------
        float
            From 0 to 1.
        """
        return self._trained.evaluate(self._columns(X), y).score

    def report(self, X: Any, y: Sequence[Sequence[Any]]) -> str:
        """Return precision, recall and F1 per label as text, laid out as by seqeval.

        Parameters
        ----------
        X : list or array
            As for `predict`.
        y : sequence
            N sequences of tags.

        Returns
        -------
        str
            As `metrics.classification_report`.
        """
        return self._trained.evaluate(self._columns(X), y).table

    def _read_targets(self, X: Any, y: Any, classes: ArrayLike | None, *, reset: bool) -> tuple[Targets, Any]:
        check_consistent_length(X, y)
        if not reset:
            return self._fitted.targets, y
        targets = TagTargets.fit(y, None if classes is None else Labels(np.unique(column_or_1d(classes))))
        self.classes_ = np.array(targets.labels.classes)
        return targets, y

    def _named(self, found: Any) -> Any:
        return found

    def _held_out_score(self, found: Any, y: Any) -> float:
        return evaluate_tags(found, [list(tags) for tags in y], self._fitted.targets.labels.classes).score

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.target_tags.required = tags.target_tags.two_d_labels = True
        return tags


def _limit_threads() -> None:
    """In a process that joblib started, use as many threads as it allows, which it says by OMP_NUM_THREADS."""
    allowed = os.environ.get("OMP_NUM_THREADS", "")
    if multiprocessing.parent_process() is not None and allowed.isdigit() and "TGS_THREADS" not in os.environ:
        if package.get_num_threads() > int(allowed) > 0:
            package.set_num_threads(int(allowed))


def _is_table(X: Sequence[Any]) -> bool:
    """Return whether a list is what `ndarray.tolist` makes of an array (N, T): equally long lists of numbers."""
    if not len(X) or not all(isinstance(row, list | tuple) for row in X):
        return not len(X) or not hasattr(X[0], "__len__")
    return len({len(row) for row in X}) == 1 and all(isinstance(value, int | float) for row in X for value in row)


def _pick(values: Any, rows: NDArray[np.int64]) -> Any:
    return values[rows] if isinstance(values, np.ndarray) else [values[row] for row in rows.tolist()]
