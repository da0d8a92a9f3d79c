"""`SequenceClassifier`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import ClassifierMixin
from sklearn.utils import assert_all_finite
from sklearn.utils.class_weight import compute_sample_weight
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_consistent_length, column_or_1d

from ..data import Labels
from ..errors import DataError
from ..nn import Cell
from ..tasks.task_targets import ClassTargets, Targets
from .sequence_estimator import SequenceEstimator, store


class SequenceClassifier(ClassifierMixin, SequenceEstimator):  # type: ignore[misc]
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
        store(locals())

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

    def predict_proba(self, X: Any) -> Any:
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

    def predict_log_proba(self, X: Any) -> Any:
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
                f"{type(self).__name__}: expected the classes {self.classes_.tolist()}, got {unseen.tolist()} too; "
                "pass all classes to fit, or to the first call of partial_fit."
            )
        return ClassTargets(Labels(range(len(self.classes_)))), np.searchsorted(self.classes_, y)

    def _named(self, found: Any) -> Any:
        return self.classes_[np.array(found, np.int64)]

    def _weighted(self, y: Any, weights: NDArray[Any] | None) -> NDArray[Any] | None:
        if self.class_weight is None:
            return weights
        balanced: NDArray[Any] = compute_sample_weight(self.class_weight, self.classes_[y])
        return balanced if weights is None else balanced * weights

    def _held_out_score(self, found: Any, y: Any) -> float:
        return float(np.mean(np.array(found) == y))
