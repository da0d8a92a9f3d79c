"""What the estimators share: reading X, training with stops, predicting."""

from __future__ import annotations

import dataclasses
import multiprocessing
import os
import sys
import warnings
from collections.abc import Callable, Sequence
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import train_test_split
from sklearn.utils import check_random_state
from sklearn.utils.validation import _check_sample_weight, check_array, check_is_fitted, validate_data

from ..base import settings as package
from ..errors import DataError
from ..nn import Cell
from ..nn.checks import check_sizes
from ..tasks import FittedTask, TaskSettings
from ..tasks.columns import NumberColumn
from ..tasks.dataset import Dataset
from ..tasks.fitted import COLUMN, counted, pick
from ..tasks.task_targets import NumberTargets, Targets
from ..tasks.training import make_optimizer, train


class SequenceEstimator(BaseEstimator):  # type: ignore[misc]
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
    _is_table: bool  # whether X was an array (N, T) in fit

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
            rows = counted(rows, weights)
            if isinstance(targets, NumberTargets):
                targets = NumberTargets.fit(y, rows)
            inputs = {COLUMN: X}
            if not again:
                settings = self._settings(len(rows))
                self._start(FittedTask.build(settings, inputs, columns=self.kind, targets=targets, rows=rows))
            every = self._fitted.dataset(inputs, y, weights)
            if self._fitted.settings.crf:
                targets.check(y)
            course = _Course(self, None if held_out is None else (every.take(held_out), pick(y, held_out)))
            data = every.take(rows)
            train(self._fitted, data, self._optimizer, epochs=epochs, callbacks=course, log=None, progress=False)
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
                self.__dict__.pop("n_features_in_", None)
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


def store(arguments: dict[str, Any]) -> None:
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
            sys.stdout.write(f"Iteration {of.n_iter_}, loss = {row['loss']:.8f}\n")
        better = self._judge(row["loss"]) if self.unseen is None else self._judge_unseen(*self.unseen)
        self.waited = 0 if better else self.waited + 1
        if self.waited > of.n_iter_no_change:
            self.stopped = True
            if of.verbose:
                sys.stdout.write(f"No improvement by tol={of.tol} in {of.n_iter_no_change} iterations: stopped.\n")
            fit.stop()

    def _judge(self, loss: float) -> bool:
        of = self.estimator
        better: bool = loss <= of.best_loss_ - of.tol
        of.best_loss_ = min(of.best_loss_, loss)
        return better

    def _judge_unseen(self, data: Dataset, y: Any) -> bool:
        of = self.estimator
        score = of._held_out_score(of._fitted.predict_dataset(data), y)
        of.validation_scores_.append(score)
        of.best_loss_ = None
        if of.verbose:
            sys.stdout.write(f"Validation score: {score:f}\n")
        better: bool = score >= of.best_validation_score_ + of.tol
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


def _limit_threads() -> None:
    """In a process that joblib started, use as many threads as it allows, which it says by OMP_NUM_THREADS."""
    allowed = os.environ.get("OMP_NUM_THREADS", "")
    told = multiprocessing.parent_process() is not None and allowed.isdigit() and "TGS_THREADS" not in os.environ
    if told and package.get_num_threads() > int(allowed) > 0:
        package.set_num_threads(int(allowed))


def _is_table(X: Sequence[Any]) -> bool:
    """Return whether a list is what `ndarray.tolist` makes of an array (N, T): equally long lists of numbers."""
    if not len(X) or not all(isinstance(row, list | tuple) for row in X):
        return not len(X) or not hasattr(X[0], "__len__")
    return len({len(row) for row in X}) == 1 and all(isinstance(value, int | float) for row in X for value in row)
