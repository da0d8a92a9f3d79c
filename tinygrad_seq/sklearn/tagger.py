"""`SequenceTagger`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike
from sklearn.utils.validation import check_consistent_length, column_or_1d

from ..data import Labels
from ..nn import Cell
from ..tasks.scores import evaluate_tags
from ..tasks.task_targets import TagTargets, Targets
from .sequence_estimator import SequenceEstimator, store


class SequenceTagger(SequenceEstimator):
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
        Whether the model reads the letters of words as well as their vectors.
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
        store(locals())

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

    def predict_proba(self, X: Any) -> Any:
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
        return evaluate_tags(found, [list(tags) for tags in y], self.classes_.tolist()).score

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.target_tags.required = tags.target_tags.two_d_labels = True
        return tags
