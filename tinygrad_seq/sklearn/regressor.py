"""`SequenceRegressor`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike
from sklearn.base import MultiOutputMixin, RegressorMixin
from sklearn.utils.validation import check_array, check_consistent_length, column_or_1d

from ..nn import Cell
from ..tasks.scores import evaluate_numbers
from ..tasks.task_targets import NumberTargets, Targets
from .sequence_estimator import SequenceEstimator, store


class SequenceRegressor(RegressorMixin, MultiOutputMixin, SequenceEstimator):  # type: ignore[misc]
    """Predict one or more numbers per sequence with a recurrent network; the conventions are those of `MLPRegressor`.

    The network is that of `SequenceClassifier` with a linear output. Targets are standardised for the training; the
    loss is their mean squared error.


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
        store(locals())

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
