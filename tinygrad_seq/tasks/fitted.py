"""Fit a task to data, and the result: columns, targets and a model."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from ..autograd.tensor import Tensor
from ..base import settings as package
from ..base.modes import no_grad
from ..data import Labels
from ..errors import ArgumentError, DataError
from ..nn import evaluating
from ..train import History
from .columns import Column, Encoded, column_from, fit_column, guess_kind, to_round_size
from .dataset import Batches, Dataset
from .scores import Evaluation, evaluate_classes, evaluate_numbers, evaluate_tags
from .sequence_model import SequenceModel
from .task_settings import TaskSettings
from .task_targets import KINDS, ClassTargets, Loss, NumberTargets, Rows, Targets, check_count
from .training import EVALUATED_AT_ONCE, make_optimizer, open_run, read_run, save_run, train

Entries = Rows | Mapping[str, Rows]
COLUMN = "x"


@dataclass(frozen=True)
class FittedTask:
    """A model of sequences with what it takes to feed it and to read its outputs; `fit_task` returns one.

    Attributes
    ----------
    settings : TaskSettings
        The settings.
    columns : dict of str to Column
        The columns that the model reads.
    targets : ClassTargets, TagTargets or NumberTargets
        What it predicts.
    model : SequenceModel
        The network.
    history : History or None
        The measurements of the training.
    facts : dict
        What the caller of `fit_task` noted with the run.

    Examples
    --------
    >>> from tinygrad_seq.tasks import fit_task
    >>> task = fit_task("classify", ["up", "down", "under"], ["+", "-", "-"], epochs=1)
    >>> task.labels.classes, task.predict_proba(["up"]).shape
    (('+', '-'), (1, 2))
    """

    settings: TaskSettings
    columns: dict[str, Column]
    targets: Targets
    model: SequenceModel
    history: History | None = field(default=None, compare=False)
    facts: dict[str, Any] = field(default_factory=dict, compare=False)

    @classmethod
    def build(
        cls,
        settings: TaskSettings,
        X: Entries,
        *,
        targets: Targets,
        columns: str | Mapping[str, str] | None = None,
        rows: NDArray[np.int64] | None = None,
    ) -> Self:
        """Return a task with the tokens and moments of some data, and a model with initial weights.

        Parameters
        ----------
        settings : TaskSettings
            The settings.
        X, columns
            As for `fit_task`.
        targets : Targets
            What the model is to predict.
        rows : ndarray of int, optional
            The rows to train on, whose tokens and moments are taken; by default all.

        Returns
        -------
        FittedTask
            The untrained task.

        Raises
        ------
        ArgumentError, DataError
            As `fit_task`.
        """
        entries = named_columns(X)
        kinds = _kinds(entries, columns)
        chosen = np.arange(len(next(iter(entries.values())))) if rows is None else rows
        letters = settings.reads_letters
        fitted = {
            name: fit_column(name, entries[name], kind, chosen, max_words=settings.max_words, letters=letters)
            for name, kind in kinds.items()
        }
        return cls._with_model(settings, fitted, targets)

    @classmethod
    def _with_model(cls, settings: TaskSettings, columns: dict[str, Column], targets: Any) -> Self:
        model = SequenceModel([*columns.values()], targets.outputs, settings, targets.allowed)
        return cls(settings, columns, targets, model)

    @property
    def labels(self) -> Labels | None:
        """The classes or tags; None for numbers."""
        return self.targets.labels

    def dataset(self, X: Entries, y: Rows | None = None, weights: NDArray[Any] | None = None) -> Dataset:
        """Return data as the arrays that the model reads.

        Parameters
        ----------
        X, y
            As for `fit_task`; without `y`, data to predict. Further columns than those of the task are not read.
        weights : ndarray, shape (N,), optional
            How much each sequence counts.

        Returns
        -------
        Dataset
            The arrays.

        Raises
        ------
        ArgumentError, DataError
            If a column of the task is missing, or an entry does not fit; the message names column and row.
        """
        if not isinstance(X, Mapping):
            X = {next(iter(self.columns)) if len(self.columns) == 1 else COLUMN: X}
        entries = named_columns(X)
        if missing := [name for name in self.columns if name not in entries]:
            raise ArgumentError(
                f"FittedTask: expected the columns {', '.join(self.columns)}, got {', '.join(entries)}; add "
                f"{', '.join(missing)}."
            )
        encoded = {name: column.encode(name, entries[name]) for name, column in self.columns.items()}
        lengths = _lengths(encoded)
        targets = None if y is None else self.targets.encode(y, lengths)
        return Dataset([*encoded.values()], lengths, targets, _weights(weights, len(lengths)))

    def held_out(self, X: Entries, y: Rows) -> Dataset:
        """Return data whose loss is to be measured, as `dataset`.

        Parameters
        ----------
        X, y
            As for `fit_task`.

        Returns
        -------
        Dataset
            The arrays.

        Raises
        ------
        ArgumentError, DataError
            As `dataset`; also if tags do not obey the scheme of the training data, to which a CRF gives no probability.
        """
        data = self.dataset(X, y)
        if self.settings.crf:
            self.targets.check(y)
        return data

    def content(self) -> dict[str, Any]:
        """Return the settings, columns and targets as JSON values.

        Returns
        -------
        dict
            What `open` builds the task from.

        Raises
        ------
        ArgumentError
            If the cell is a class that is neither of this package nor of a file.
        """
        columns = {name: column.content() for name, column in self.columns.items()}
        return {"settings": self.settings.content(), "columns": columns, "targets": self.targets.content()}

    def save(self, folder: str | os.PathLike[str], *, force: bool = False) -> None:
        """Write the task to a run folder, with its weights and measurements.

        Parameters
        ----------
        folder : str or path-like
            The path of the new folder.
        force : bool, default False
            Whether to replace an existing run.

        Raises
        ------
        CheckpointError
            If there already is a run without `force`, or the folder cannot be written.
        ArgumentError
            As `content`.
        """
        save_run(self, folder, force=force)

    @classmethod
    def open(cls, folder: str | os.PathLike[str], *, trust: bool = False) -> Self:
        """Open the task in a run folder, with the best weights.

        Parameters
        ----------
        folder : str or path-like
            The folder that was given to `fit_task` as `run`, or to `save`.
        trust : bool, default False
            Whether the code of a user's cell, ``cell.py``, may be run even if this user has not trained with it.

        Returns
        -------
        FittedTask
            The task.

        Raises
        ------
        CheckpointError
            If it is not the folder of a task, or its files cannot be read or do not belong together.
        ArgumentError
            If the cell cannot be loaded or run, or its code is not trusted.
        """
        run = read_run(folder, trust=trust)
        content = run.config
        settings = TaskSettings.of(**content["settings"])
        columns = {name: column_from(column) for name, column in content["columns"].items()}
        with package.drawing_from(np.random.default_rng(0)):  # the weights are replaced
            fitted = cls._with_model(settings, columns, KINDS[settings.task].from_content(content["targets"]))
        run.load_weights(fitted.model)
        fitted.model.eval()
        history = History(run.rows(), folder=run.folder)
        return dataclasses.replace(fitted, history=history, facts=run.facts)

    def loss(self, outputs: Tensor, targets: Any, weights: Any, lengths: NDArray[np.int64]) -> Loss:
        """Return the mean loss of a batch, and its weight; `ts.fit` calls it.

        Parameters
        ----------
        outputs : Tensor
            The outputs of the model.
        targets : ndarray
            The targets of the batch.
        weights : ndarray or None
            (N,), how much each sequence counts.
        lengths : ndarray of int, shape (N,)
            The number of steps of each sequence.

        Returns
        -------
        Tensor, float
            The mean loss per sequence or tag, and the sum of the weights.
        """
        return self.targets.loss(self.model, outputs, targets, weights, lengths)

    def predict(self, X: Entries) -> Any:
        """Return the predictions for new sequences; dropout is off.

        Parameters
        ----------
        X
            As for `fit_task`.

        Returns
        -------
        list or ndarray
            N classes; N lists of tags; or numbers of the shape of the targets.

        Raises
        ------
        ArgumentError, DataError
            As `dataset`.
        """
        return self.predict_dataset(self.dataset(X))

    def predict_dataset(self, data: Dataset) -> Any:
        """Return the predictions for data that `dataset` encoded; as `predict`.

        Parameters
        ----------
        data : Dataset
            The sequences.

        Returns
        -------
        list or ndarray
            As `predict`.
        """
        found = self._apply(data, self.targets.predictions)
        return np.array(found) if isinstance(self.targets, NumberTargets) else found

    def predict_proba(self, X: Entries) -> Any:
        """Return the probabilities of the classes or tags, in the order of ``labels.classes``.

        Parameters
        ----------
        X
            As for `fit_task`.

        Returns
        -------
        ndarray or list of ndarray
            (N, K); for a tagger N arrays (T, K), under a CRF the marginals.

        Raises
        ------
        ArgumentError, DataError
            As `dataset`; also if the task predicts numbers.
        """
        found = self._apply(self.dataset(X), self.targets.probabilities)
        return np.stack(found) if isinstance(self.targets, ClassTargets) else found

    def evaluate(self, X: Entries, y: Rows) -> Evaluation:
        """Return the scores of the predictions.

        Parameters
        ----------
        X, y
            As for `fit_task`.

        Returns
        -------
        Evaluation
            The scores.

        Raises
        ------
        ArgumentError, DataError
            As `dataset`; also if a label was not seen in training.
        """
        found = self.predict_dataset(self.dataset(X, y))
        if self.labels is None:
            return evaluate_numbers(found, np.asarray(y, np.float64))
        rows = [tags.tolist() if isinstance(tags, np.ndarray) else tags for tags in y]
        score = evaluate_classes if isinstance(self.targets, ClassTargets) else evaluate_tags
        return score(found, rows, self.labels.classes)

    def _apply(self, data: Dataset, read: Callable[..., list[Any]]) -> list[Any]:
        """Return what `read` makes of the outputs for each sequence, in their order."""
        batches = Batches(data, EVALUATED_AT_ONCE, shuffle=False)
        found: list[Any] = [None] * len(data)
        with evaluating(self.model), no_grad():
            for rows in batches.rows():
                inputs, (_, _, lengths) = data.batch(to_round_size(rows))
                for row, value in zip(rows.tolist(), read(self.model, self.model(*inputs), lengths), strict=False):
                    found[row] = value
        return found


def fit_task(
    task: str,
    X: Entries,
    y: Rows,
    *,
    columns: str | Mapping[str, str] | None = None,
    validation: float | tuple[Entries, Rows] | None = 0.1,
    test: tuple[Entries, Rows] | None = None,
    sample_weight: Rows | None = None,
    steps: int | None = None,
    minutes: float | None = None,
    callbacks: Any = (),
    run: str | os.PathLike[str] | None = None,
    resume: bool | str = False,
    force: bool = False,
    facts: Mapping[str, Any] | None = None,
    log: Any = None,
    progress: Any = None,
    **settings: Any,
) -> FittedTask:
    """Train a recurrent model to classify, tag or regress sequences of any lengths.

    Parameters
    ----------
    task : {"classify", "tag", "regress"}
        One class per sequence, one tag per step, or one or more numbers per sequence.
    X : sequence, or dict of str to sequence
        N entries, or several columns of N entries: strings, lists of words, arrays of numbers (T,) or (T, F), or one
        number or category per sequence, which every step reads. All columns with steps have the same number of steps in
        a row.
    y : sequence
        N classes (strings or integers); N lists of tags, one per step; or numbers (N,) or (N, M).
    columns : str, or dict of str to str, optional
        The kind of each column to read: ``"letters"``, ``"words"``, ``"numbers"`` (one or more per step), ``"number"``
        or ``"category"`` (one per sequence). By default each column is read, with the kind that `guess_kind` finds.
    validation : float, (X, y) or None, default 0.1
        The fraction of the data, drawn by the seed, that decides when to stop; or other data; or None to train for all
        epochs on all data.
    sample_weight : sequence of float, optional
        N weights >= 0: how much each sequence counts.
    test : (X, y), optional
        Data that are measured once at the end.
    steps, minutes : int, float, optional
        Maximum number of updates, and of minutes.
    callbacks, log, progress
        As for `ts.fit`; rows are not printed by default.
    run : str or path-like, optional
        A folder for the task, checkpoints and measurements, which `FittedTask.open` reads.
    resume : bool or str, default False
        True continues the run with the same bits, if data and settings are the same; ``"auto"`` starts one if there is
        none.
    force : bool, default False
        Whether to replace an existing run.
    facts : dict, optional
        Further facts to write to the folder, as JSON values.
    **settings
        See `TaskSettings`: the cell, sizes, the optimiser, the seed, ...

    Returns
    -------
    FittedTask
        The model of the best epoch.

    Raises
    ------
    ArgumentError, DataError
        If a setting is wrong, or an entry or target does not fit; the message names column and row.
    AnomalyError
        If the loss is no longer finite.

    Examples
    --------
    >>> from tinygrad_seq.tasks import fit_task
    >>> X = ["ab" * n for n in range(1, 9)] + ["ba" * n for n in range(1, 9)]
    >>> task = fit_task("classify", X, [0] * 8 + [1] * 8, validation=None, epochs=20, hidden_size=8, lr=0.03)
    >>> task.predict(["abab", "bababa"])
    [0, 1]
    """
    chosen = TaskSettings.of(task, **settings)
    entries = named_columns(X)
    count = len(next(iter(entries.values())))
    check_count(y, count)
    weights = _weights(sample_weight, count)
    with package.drawing_from(np.random.default_rng(chosen.seed)):
        rows, held_out = _split(validation, count)
        rows = counted(rows, weights)
        targets = NumberTargets.fit(y, rows) if task == "regress" else KINDS[task].fit(y)
        fitted = FittedTask.build(chosen, entries, columns=columns, targets=targets, rows=rows)
        every = fitted.dataset(entries, y, weights)
        data = every.take(rows)
        unseen = tested = None
        if held_out is not None:
            unseen = dataclasses.replace(every.take(held_out), weights=None)
        if isinstance(validation, tuple):
            unseen = fitted.held_out(*validation)
        if test is not None:
            tested = fitted.held_out(*test)
        folder = open_run(fitted, run, facts or {}, resume=resume, force=force)
        history = train(
            fitted,
            data,
            make_optimizer(fitted),
            validation=unseen,
            test=tested,
            epochs=chosen.epochs,
            steps=steps,
            minutes=minutes,
            patience=chosen.patience if unseen is not None else 0,
            callbacks=callbacks,
            run=folder,
            resume=bool(folder is not None and resume and folder.checkpoints()),
            log=log,
            progress=progress,
        )
    return dataclasses.replace(fitted, history=history, facts=dict(facts or {}))


# --------------------------------------------------------------------------------------------------- the data


def named_columns(X: Entries) -> dict[str, Any]:
    """Return the columns by name, checked: there is one, and all have equally many entries; a single one is ``"x"``."""
    columns = dict(X) if isinstance(X, Mapping) else {COLUMN: X}
    for name, entries in columns.items():
        if isinstance(entries, str) or not hasattr(entries, "__len__") or not hasattr(entries, "__getitem__"):
            raise DataError(
                f"column {name!r}: expected a list with an entry per sequence, got {type(entries).__name__}; pass a "
                "single sequence in a list."
            )
    counts = {name: len(entries) for name, entries in columns.items()}
    if not counts or 0 in counts.values() or len(set(counts.values())) > 1:
        raise DataError(f"expected columns with equally many entries, at least one, got {counts}; correct the columns.")
    return columns


def _kinds(entries: Mapping[str, Rows], given: str | Mapping[str, str] | None) -> dict[str, str]:
    if given is None:
        return {name: guess_kind(column) for name, column in entries.items()}
    if isinstance(given, str):
        given = dict.fromkeys(entries, given)
    if not given or (unknown := [name for name in given if name not in entries]):
        got = ", ".join(unknown) if given else "none"
        raise ArgumentError(
            f"fit_task: expected kinds of the columns {', '.join(entries)}, got {got}; correct the names."
        )
    return dict(given)


def _lengths(encoded: Mapping[str, Encoded]) -> NDArray[np.int64]:
    """Return the number of steps of each sequence, which all columns with steps have."""
    found = {name: column.lengths for name, column in encoded.items() if column.lengths is not None}
    if not found:
        raise DataError(
            f"expected a column with steps, got one value per sequence in {', '.join(encoded)}; pass texts, lists of "
            "words or arrays of numbers."
        )
    (first, lengths), *others = found.items()
    for name, other in others:
        if (wrong := np.flatnonzero(other != lengths)).size:
            row = wrong[0]
            raise DataError(
                f"columns {first!r} and {name!r}: expected equally many steps, got {lengths[row]} and {other[row]} in "
                f"row {row}; join texts to a single column."
            )
    return lengths


def _weights(given: Any, count: int) -> NDArray[Any] | None:
    if given is None:
        return None
    weights = np.asarray(given, package.default_dtype())
    if weights.shape != (count,) or not (np.isfinite(weights) & (weights >= 0)).all() or not weights.any():
        raise DataError(
            f"sample_weight: expected {count} numbers >= 0, one of them positive, got an array {weights.shape}; pass "
            "a weight per sequence."
        )
    return weights


def _split(validation: Any, count: int) -> tuple[NDArray[np.int64], NDArray[np.int64] | None]:
    """Return the rows to train on, and those held out; None if there are none, or other data are."""
    if validation is None or isinstance(validation, tuple):
        return np.arange(count), None
    if isinstance(validation, bool) or not isinstance(validation, float) or not 0 < validation < 1:
        raise ArgumentError(
            f"fit_task: expected validation to be a fraction between 0 and 1, (X, y) or None, got {validation!r:.80}."
        )
    held_out = min(max(1, round(count * validation)), count - 1)
    if not held_out:
        raise DataError("fit_task: expected at least 2 sequences, got 1; pass validation=None to hold none out.")
    order = package.generator().permutation(count)
    return np.sort(order[held_out:]), np.sort(order[:held_out])


def counted(rows: NDArray[np.int64], weights: NDArray[Any] | None) -> NDArray[np.int64]:
    """Return the rows whose weight is not 0; raise a DataError if there are none."""
    if weights is None:
        return rows
    kept = rows[weights[rows] > 0]
    if not len(kept):
        raise DataError("sample_weight: expected a positive weight among the rows to train on, got zeros; correct it.")
    return kept


def pick(values: Any, rows: NDArray[np.int64]) -> Any:
    """Return some entries of a list, an array, or of each column of a dict."""
    if isinstance(values, Mapping):
        return {name: pick(column, rows) for name, column in values.items()}
    return values[rows] if isinstance(values, np.ndarray) else [values[row] for row in rows.tolist()]
