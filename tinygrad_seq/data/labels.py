"""Classes and their indices."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import cached_property
from itertools import chain
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..errors import DataError, DtypeError, IndexRangeError, ShapeError

Label = str | int
Given = Label | np.integer[Any]

_FORMAT = "tinygrad_seq.labels"
_VERSION = 1
_NAMED = 20  # unseen labels that a message names


@dataclass(frozen=True, init=False, repr=False)
class Labels:
    """The classes of a classifier or the tags of a tagger, in a fixed order.

    Unlike a `Vocabulary` it has no ``<PAD>`` and no ``<UNK>``: index 0 is the first class, and an unseen label is an
    error.

    Parameters
    ----------
    classes : iterable of str or of int
        The classes in the order of their indices. `Labels.build` finds them in data.

    Attributes
    ----------
    classes : tuple of str or of int
        The classes.

    Raises
    ------
    DataError
        If there is no class, a class occurs twice, or the classes are not all strings or all integers.

    Examples
    --------
    >>> from tinygrad_seq.data import Labels
    >>> labels = Labels.build(["good", "bad", "good"])
    >>> labels.classes, labels.encode(["good", "bad"]), labels.decode([1, 1])
    (('bad', 'good'), array([1, 0]), ['good', 'good'])
    >>> labels.encode(["good", "fair"])
    Traceback (most recent call last):
    ...
    tinygrad_seq.errors.DataError: Labels.encode: expected the 2 classes 'bad', 'good', got the unseen label 'fair' \
(1 time); leave these rows out, or train with examples of them.
    """

    classes: tuple[Label, ...]
    _index: dict[Label, int] = field(init=False, repr=False, compare=False)

    def __init__(self, classes: Iterable[Given]) -> None:
        values = _plain("Labels", classes)
        if not values:
            raise DataError("Labels: expected at least one class, got none; pass the classes.")
        index = {label: i for i, label in enumerate(values)}
        if len(index) < len(values):
            twice = Counter(values).most_common(1)[0][0]
            raise DataError(
                f"Labels: expected each class once, got {twice!r:.80} twice; use Labels.build to find the classes of "
                "data."
            )
        object.__setattr__(self, "classes", tuple(values))
        object.__setattr__(self, "_index", index)

    @classmethod
    def build(cls, labels: Iterable[Given]) -> Labels:
        """Return the different labels of some data, sorted.

        Parameters
        ----------
        labels : iterable of str or of int
            The labels, each any number of times.

        Returns
        -------
        Labels
            Integers in the order of numbers, strings in the order of code points.

        Raises
        ------
        DataError
            If there is no label, or the labels are not all strings or all integers.
        """
        return cls(sorted(set(_plain("Labels.build", labels))))

    def __len__(self) -> int:
        return len(self.classes)

    def __contains__(self, label: object) -> bool:
        return label in self._index

    def __repr__(self) -> str:
        shown = ", ".join(f"{label!r:.40}" for label in self.classes[:_NAMED])
        return f"Labels([{shown}{', ...' if len(self) > _NAMED else ''}])"

    @cached_property
    def digest(self) -> str:
        """The SHA-256 hash of the classes and their order."""
        return hashlib.sha256(json.dumps(self.classes).encode()).hexdigest()

    def encode(self, labels: Iterable[Given]) -> NDArray[np.int64]:
        """Convert labels to indices.

        Parameters
        ----------
        labels : iterable of str or of int
            N labels.

        Returns
        -------
        ndarray, shape (N,), int64
            The index of each label.

        Raises
        ------
        DataError
            If there are unseen labels; the message lists them with their counts.
        """
        return self._encode("Labels.encode", [labels])[0]

    def encode_all(self, sequences: Iterable[Iterable[Given]]) -> list[NDArray[np.int64]]:
        """Convert N sequences of labels, such as the tags of sentences, to indices.

        Parameters
        ----------
        sequences : iterable of iterable of str or of int
            N sequences of labels.

        Returns
        -------
        list of ndarray
            N arrays (t,) of int64.

        Raises
        ------
        DataError
            As `encode`; the message lists the unseen labels of all sequences.
        """
        return self._encode("Labels.encode_all", sequences)

    def _encode(self, caller: str, sequences: Iterable[Iterable[Given]]) -> list[NDArray[np.int64]]:
        lists = [_plain(caller, labels) for labels in sequences]
        try:
            return [np.array([self._index[label] for label in labels], np.int64) for labels in lists]
        except KeyError:
            unseen = Counter(label for label in chain(*lists) if label not in self._index)
        named = [f"{label!r:.80} ({_times(count)})" for label, count in unseen.most_common(_NAMED)]
        rest = f" and {len(unseen) - _NAMED:,} more" if len(unseen) > _NAMED else ""
        classes = ", ".join(f"{label!r:.40}" for label in self.classes[:_NAMED])
        more = ", ..." if len(self) > _NAMED else ""
        raise DataError(
            f"{caller}: expected the {len(self)} classes {classes}{more}, got the unseen label"
            f"{'s' if len(unseen) > 1 else ''} {', '.join(named)}{rest}; leave these rows out, or train with examples "
            "of them."
        )

    def decode(self, indices: ArrayLike) -> list[Label]:
        """Convert indices to labels.

        Parameters
        ----------
        indices : array_like of int, shape (N,)
            The indices of the classes.

        Returns
        -------
        list of str or of int
            The label of each index.

        Raises
        ------
        ShapeError, DtypeError
            If `indices` is not one-dimensional, or not of integers.
        IndexRangeError
            If an index is not one of a class.
        """
        array = np.asarray(indices)
        if array.ndim != 1:
            raise ShapeError(
                f"Labels.decode: expected indices of shape (N,), got {array.shape}; decode one sequence at a time."
            )
        if array.size and array.dtype.kind not in "iu":
            raise DtypeError(f"Labels.decode: expected integers, got {array.dtype}; take the argmax of scores first.")
        if array.size and not 0 <= array.min() <= array.max() < len(self):
            raise IndexRangeError(
                f"Labels.decode: expected indices from 0 to {len(self) - 1}, got {array.min()} to {array.max()}; "
                "remove padding first."
            )
        return [self.classes[index] for index in array.tolist()]

    def content(self) -> dict[str, Any]:
        """Return the classes with the name and version of the format; `from_content` reads them.

        Returns
        -------
        dict
            Ready for JSON.
        """
        return {"format": _FORMAT, "version": _VERSION, "classes": list(self.classes)}

    @classmethod
    def from_content(cls, content: object) -> Labels:
        """Return the labels that `content` describes.

        Parameters
        ----------
        content : dict
            What `content` returned, also after a way through JSON.

        Returns
        -------
        Labels
            Equal labels.

        Raises
        ------
        DataError
            If it is something else, or of a newer version of the package.
        """
        classes = content.get("classes") if isinstance(content, dict) else None
        if not isinstance(content, dict) or content.get("format") != _FORMAT or not isinstance(classes, list):
            raise DataError("Labels.from_content: expected what Labels.content returned, got other data; restore it.")
        if content.get("version") != _VERSION:
            raise DataError(
                f"Labels.from_content: expected version {_VERSION} of the format, got {content.get('version')!r:.80}; "
                "use the version of the package that wrote it."
            )
        return cls(classes)


def _plain(caller: str, labels: Iterable[Given]) -> list[Label]:
    """Return the labels as Python objects; raise unless they are all strings or all integers."""
    if isinstance(labels, str) or not isinstance(labels, Iterable):
        raise DataError(f"{caller}: expected a list of labels, got {labels!r:.80}; pass a single one in a list.")
    given: list[Any] = labels.tolist() if isinstance(labels, np.ndarray) else list(labels)
    values: list[Label] = [value.item() if isinstance(value, np.generic) else value for value in given]
    kinds = {type(value) for value in values}
    if not (kinds <= {str} or kinds <= {int}):
        names = " and ".join(sorted(kind.__name__ for kind in kinds))
        raise DataError(f"{caller}: expected labels that are all strings or all integers, got {names}; convert them.")
    return values


def _times(count: int) -> str:
    return "1 time" if count == 1 else f"{count:,} times"
