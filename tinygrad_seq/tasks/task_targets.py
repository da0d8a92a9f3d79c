"""Targets: classes, tags and numbers to arrays, the loss of a task, and back from the outputs of the model."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from ..autograd.tensor import Tensor
from ..base.settings import default_dtype
from ..data import Labels
from ..errors import ArgumentError, DataError
from ..functional import cross_entropy, mean, square, sum
from ..metrics.classification import mark_spans
from ..ops.normalisation import softmax
from .columns import Ints, Values, moments
from .scores import evaluate_tags
from .sequence_model import SequenceModel
from .tags import allowed_tags, first_wrong, scheme_of

Loss = tuple[Tensor, float]
Rows = Sequence[Any] | NDArray[Any]


class Targets(ABC):
    """What the model of a task is to predict.

    Attributes
    ----------
    labels : Labels or None
        The classes or tags.
    allowed
        What `nn.CRF` allows, or None.
    """

    labels: Labels | None
    allowed: Any

    @property
    @abstractmethod
    def outputs(self) -> int:
        """K, the outputs of the model."""

    def check(self, targets: Rows) -> None:  # noqa: B027 (most targets need no check)
        """Raise if targets that were encoded have no finite loss under a CRF."""

    @abstractmethod
    def encode(self, targets: Rows, lengths: Ints) -> Values:
        """Return the targets of N sequences as arrays."""

    @abstractmethod
    def loss(self, model: SequenceModel, outputs: Tensor, targets: Any, weights: Any, lengths: Ints) -> Loss:
        """Return the mean loss of a batch, and its weight."""

    @abstractmethod
    def predictions(self, model: SequenceModel, outputs: Tensor, lengths: Ints) -> list[Any]:
        """Return the prediction for each sequence of a batch."""

    @abstractmethod
    def probabilities(self, model: SequenceModel, outputs: Tensor, lengths: Ints) -> list[NDArray[Any]]:
        """Return the probabilities of the labels for each sequence of a batch."""

    @abstractmethod
    def metrics(self, model: SequenceModel) -> dict[str, Any]:
        """Return what evaluations measure besides the loss, as `fit` takes it."""

    @abstractmethod
    def content(self) -> dict[str, Any]:
        """Return the targets as JSON values."""


def check_count(targets: Any, count: int) -> None:
    """Raise unless there are `count` targets."""
    if isinstance(targets, str) or not hasattr(targets, "__len__") or len(targets) != count:
        got = len(targets) if hasattr(targets, "__len__") else type(targets).__name__
        raise DataError(f"y: expected {count} targets, one per sequence, got {got}; pass as many as sequences.")


@dataclass(frozen=True)
class ClassTargets(Targets):
    """One class per sequence; the loss is the cross entropy."""

    labels: Labels
    allowed = None

    @classmethod
    def fit(cls, targets: Rows, labels: Labels | None = None) -> Self:
        return cls(Labels.build(targets) if labels is None else labels)

    @property
    def outputs(self) -> int:
        return len(self.labels)

    def encode(self, targets: Rows, lengths: Ints) -> Values:
        check_count(targets, len(lengths))
        return Values(self.labels.encode(targets), None)

    def loss(self, model: SequenceModel, outputs: Tensor, targets: Any, weights: Any, lengths: Ints) -> Loss:
        if weights is None:
            return cross_entropy(outputs, targets, axis=-1), float(len(targets))
        total = float(weights.sum())
        return sum(cross_entropy(outputs, targets, axis=-1, reduction="none") * weights) / total, total

    def probabilities(self, model: SequenceModel, outputs: Tensor, lengths: Ints) -> list[NDArray[Any]]:
        return [*softmax(outputs.astype(np.float64), axis=-1).numpy()]

    def predictions(self, model: SequenceModel, outputs: Tensor, lengths: Ints) -> list[Any]:
        return list(self.labels.decode(outputs.numpy().argmax(axis=-1)))

    def metrics(self, model: SequenceModel) -> dict[str, Any]:
        return {"accuracy": lambda outputs, targets, *_: float((outputs.numpy().argmax(axis=-1) == targets).mean())}

    def content(self) -> dict[str, Any]:
        return {"labels": self.labels.content()}

    @classmethod
    def from_content(cls, content: dict[str, Any]) -> Self:
        return cls(Labels.from_content(content["labels"]))


@dataclass(frozen=True)
class TagTargets(Targets):
    """One tag per step; the loss is that of the CRF, or the cross entropy, per step.

    Attributes
    ----------
    labels : Labels
        The tags.
    scheme : str or None
        ``"BIO"`` or ``"BIOES"`` if the tags of the training data obey it; the CRF then forbids what does not.
    """

    labels: Labels
    scheme: str | None

    @classmethod
    def fit(cls, targets: Rows, labels: Labels | None = None) -> Self:
        lists = [_tags(row, tags) for row, tags in enumerate(targets)]
        if labels is None:
            labels = Labels.build(tag for tags in lists for tag in tags)
        return cls(labels, scheme_of(lists))

    @property
    def outputs(self) -> int:
        return len(self.labels)

    @property
    def allowed(self) -> Any:
        """What `nn.CRF` allows."""
        return None if self.scheme is None else allowed_tags(self._names, self.scheme)

    @property
    def _names(self) -> list[str]:
        return [str(tag) for tag in self.labels.classes]

    def check(self, targets: Rows) -> None:
        if self.scheme is not None and (row := first_wrong(targets, self._names, self.scheme)) is not None:
            raise DataError(
                f"y: expected tags that obey {self.scheme} like those of the training data, got {targets[row]!r:.200} "
                f"in row {row}; correct the row."
            )

    def encode(self, targets: Rows, lengths: Ints) -> Values:
        check_count(targets, len(lengths))
        lists = [_tags(row, tags) for row, tags in enumerate(targets)]
        for row, (tags, length) in enumerate(zip(lists, lengths.tolist(), strict=True)):
            if len(tags) != length:
                raise DataError(
                    f"y: expected {length} tags in row {row}, one per step, got {len(tags)}; correct the row."
                )
        return Values(np.concatenate(self.labels.encode_all(lists)), lengths)

    def loss(self, model: SequenceModel, outputs: Tensor, targets: Any, weights: Any, lengths: Ints) -> Loss:
        if hasattr(model, "crf"):
            likelihoods = model.crf(outputs, targets, lengths=lengths, reduction="none")
            total = float(lengths.sum() if weights is None else (weights * lengths).sum())
            return -sum(likelihoods if weights is None else likelihoods * weights) / total, total
        valid = np.arange(len(targets))[:, None] < lengths
        each = (valid if weights is None else valid * weights).astype(outputs.dtype)
        total = float(each.sum())
        return sum(cross_entropy(outputs, targets, axis=-1, reduction="none") * each) / total, total

    def probabilities(self, model: SequenceModel, outputs: Tensor, lengths: Ints) -> list[NDArray[Any]]:
        if hasattr(model, "crf"):
            rows = model.crf.marginals(outputs, lengths=lengths).numpy()
        else:
            rows = softmax(outputs.astype(np.float64), axis=-1).numpy()
        return [rows[:length, n] for n, length in enumerate(lengths)]

    def predictions(self, model: SequenceModel, outputs: Tensor, lengths: Ints) -> list[Any]:
        if hasattr(model, "crf"):
            paths: Iterable[Any] = model.crf.decode(outputs, lengths=lengths)
        else:
            best = outputs.numpy().argmax(axis=-1)
            paths = (best[:length, n] for n, length in enumerate(lengths))
        return [list(self.labels.decode(path)) for path in paths]

    def metrics(self, model: SequenceModel) -> dict[str, Any]:
        return {"f1" if mark_spans(self.labels.classes) else "accuracy": _TagScore(self, model)}

    def content(self) -> dict[str, Any]:
        return {"labels": self.labels.content(), "scheme": self.scheme}

    @classmethod
    def from_content(cls, content: dict[str, Any]) -> Self:
        return cls(Labels.from_content(content["labels"]), content["scheme"])


class _TagScore:
    """The score of the tags of a whole set."""

    def __init__(self, targets: TagTargets, model: SequenceModel) -> None:
        self._targets, self._model = targets, model
        self.reset()

    def reset(self) -> None:
        self._found: list[Any] = []
        self._expected: list[Any] = []

    def update(self, outputs: Tensor, tags: Any, _weights: Any, lengths: Ints) -> None:
        self._found += self._targets.predictions(self._model, outputs, lengths)
        self._expected += [self._targets.labels.decode(tags[:length, n]) for n, length in enumerate(lengths)]

    def compute(self) -> float:
        return evaluate_tags(self._found, self._expected, self._targets.labels.classes).score


@dataclass(frozen=True)
class NumberTargets(Targets):
    """Numbers per sequence; the loss is the mean squared error of the standardised numbers.

    Attributes
    ----------
    mean, scale : ndarray
        (M,), of the training data.
    single : bool
        Whether the targets are (N,) instead of (N, M).
    """

    mean: NDArray[np.float64]
    scale: NDArray[np.float64]
    single: bool
    labels = None
    allowed = None

    @classmethod
    def fit(cls, targets: Rows, chosen: Ints | None = None) -> Self:
        rows = _rows(targets)
        trained = rows if chosen is None else rows[chosen]
        return cls(*moments(trained.reshape(len(trained), -1)), rows.ndim == 1)

    @property
    def outputs(self) -> int:
        return len(self.mean)

    def encode(self, targets: Rows, lengths: Ints) -> Values:
        check_count(targets, len(lengths))
        rows = _rows(targets)
        if rows.shape[1:] != (() if self.single else self.mean.shape):
            expected = "(N,)" if self.single else f"(N, {len(self.mean)})"
            raise DataError(f"y: expected numbers of shape {expected}, got {rows.shape}; pass the shape of training.")
        return Values(((rows.reshape(len(rows), -1) - self.mean) / self.scale).astype(default_dtype()), None)

    def loss(self, model: SequenceModel, outputs: Tensor, targets: Any, weights: Any, lengths: Ints) -> Loss:
        errors = mean(square(outputs - targets), axis=-1)
        if weights is None:
            return mean(errors), float(len(targets))
        total = float(weights.sum())
        return sum(errors * weights) / total, total

    def predictions(self, model: SequenceModel, outputs: Tensor, lengths: Ints) -> list[Any]:
        rows = outputs.numpy().astype(np.float64) * self.scale + self.mean
        return [*(rows[:, 0] if self.single else rows)]

    def probabilities(self, model: SequenceModel, outputs: Tensor, lengths: Ints) -> list[NDArray[Any]]:
        raise ArgumentError("FittedTask.predict_proba: expected classes or tags, got numbers; call predict.")

    def metrics(self, model: SequenceModel) -> dict[str, Any]:
        return {}

    def content(self) -> dict[str, Any]:
        return {"mean": self.mean.tolist(), "scale": self.scale.tolist(), "single": self.single}

    @classmethod
    def from_content(cls, content: dict[str, Any]) -> Self:
        return cls(np.array(content["mean"]), np.array(content["scale"]), content["single"])


def _tags(row: int, tags: Any) -> list[Any]:
    if isinstance(tags, str) or not hasattr(tags, "__len__"):
        raise DataError(f"y: expected a list of tags in row {row}, got {tags!r:.80}; split a text first.")
    return tags.tolist() if isinstance(tags, np.ndarray) else list(tags)


def _rows(targets: Rows) -> NDArray[np.float64]:
    try:
        rows = np.asarray(targets, np.float64)
    except (ValueError, TypeError) as error:
        raise DataError(f"y: expected numbers (N,) or (N, M), got {str(error)[:80]}; correct the rows.") from None
    if rows.ndim not in (1, 2) or not rows.size:
        raise DataError(
            f"y: expected numbers of shape (N,) or (N, M), got shape {rows.shape}; pass one row per sequence."
        )
    if not np.isfinite(rows).all():
        row = int(np.argmax(~np.isfinite(rows.reshape(len(rows), -1)).all(axis=1)))
        raise DataError(f"y: expected finite numbers, got {rows[row]} in row {row}; leave out rows without a target.")
    return rows


KINDS: dict[str, Any] = {"classify": ClassTargets, "tag": TagTargets, "regress": NumberTargets}
