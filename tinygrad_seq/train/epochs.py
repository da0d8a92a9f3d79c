"""Batches of any kind, epoch by epoch, with a position that can be saved and restored."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, Protocol, runtime_checkable

from ..base import settings
from ..errors import ArgumentError, CheckpointError, DataError

_END = object()
_ADVICE = "pass a list of pairs, an object that can be iterated once per epoch, or a function that returns an iterator"
Source = Iterable[Any] | Callable[[], Iterable[Any]]


@runtime_checkable
class Resumable(Protocol):
    """Batches that save their own position, such as `Windows` and `Batches`.

    An iterator continues from the position, and an epoch that has ended leaves it at the start.
    """

    def __iter__(self) -> Iterator[Any]: ...

    def state_dict(self) -> dict[str, Any]:
        """Return the position and what identifies the data."""

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore what `state_dict` returned; raise if it is of other data."""


def checked_source(caller: str, name: str, batches: Any, *, epochs: int = 0) -> None:
    """Raise unless `batches` can be iterated, `epochs` times (0: at least once)."""
    if isinstance(batches, str | bytes | dict) or not (callable(batches) or hasattr(batches, "__iter__")):
        raise ArgumentError(
            f"{caller}: expected {name} to be an iterable of pairs (inputs, targets), got {_kind(batches)}; {_ADVICE}."
        )
    if isinstance(batches, Iterator) and epochs != 1:
        raise ArgumentError(
            f"{caller}: expected {name} that can be iterated more than once, got {_kind(batches)}, which is exhausted "
            f"after one epoch; {_ADVICE}."
        )
    if isinstance(batches, Resumable) and name != "batches" and batches.state_dict().get("position"):
        raise ArgumentError(
            f"{caller}: expected {name} at the start of an epoch, got {_kind(batches)} that was left inside one; "
            "create it again, or iterate to its end."
        )
    if size_of(batches) == 0:
        raise DataError(f"{caller}: expected at least one batch in {name}, got none; pass batches.")


def size_of(batches: Any) -> int | None:
    """Return the number of batches per epoch, or None if it is not known."""
    return len(batches) if hasattr(batches, "__len__") else None


def one_epoch(batches: Source) -> Iterator[Any]:
    """Return an iterator over the batches of one epoch."""
    return iter(batches() if callable(batches) and not hasattr(batches, "__iter__") else batches)


class Epochs:
    """The batches of all epochs.

    Parameters
    ----------
    batches : iterable, or function that returns one
        The batches of an epoch. Where `load_state_dict` continues depends on their kind: `Resumable` batches restore
        their own position, a sequence is read from the position on, and other batches are skipped up to it, with the
        process-wide generator as it was when the epoch began.
    caller : str
        The name of the function that the user called.

    Examples
    --------
    >>> epochs = Epochs(["a", "b"], "fit")
    >>> [epochs.next_batch() for _ in range(4)]
    ['a', 'b', None, 'a']
    >>> epochs.number, epochs.position
    (2, 1)
    """

    def __init__(self, batches: Source, caller: str) -> None:
        self.batches, self._caller = batches, caller
        self._iterator: Iterator[Any] | None = None
        self._generator: Any = None  # its state when the epoch began
        self._ended = 0
        self.position = 0

    @property
    def number(self) -> int:
        """The number of the epoch of the last batch, from 1."""
        return self._ended + (self.position > 0)

    @property
    def at_end(self) -> bool:
        """Whether the last batch is known to be the last of its epoch."""
        return self.position == size_of(self.batches)

    def next_batch(self) -> Any:
        """Return the next batch; `None` once at the end of each epoch.

        Raises
        ------
        DataError
            If an epoch has no batches.
        """
        if self._iterator is None:
            self._generator = settings.generator().bit_generator.state
            self._iterator = self._begin(0)
        batch = next(self._iterator, _END)
        if batch is _END and self.position == 0 and isinstance(self.batches, Resumable):
            self._iterator = self._begin(0)  # an earlier use may have left them at their end
            batch = next(self._iterator, _END)
        if batch is not _END:
            self.position += 1
            return batch
        if self.position == 0:
            got = f"none in epoch {self._ended + 1}: {_kind(self.batches)} is exhausted" if self._ended else "none"
            raise DataError(f"{self._caller}: expected at least one batch per epoch, got {got}; {_ADVICE}.")
        self._ended, self.position, self._iterator = self._ended + 1, 0, None
        return None

    def _begin(self, position: int) -> Iterator[Any]:
        if isinstance(self.batches, Sequence):
            return map(self.batches.__getitem__, range(position, len(self.batches)))
        return one_epoch(self.batches)

    def state_dict(self) -> dict[str, Any]:
        """Return the position, as values that a checkpoint can hold."""
        resumable = isinstance(self.batches, Resumable)
        return {
            "ended": self._ended,
            "position": self.position,
            "size": size_of(self.batches),
            "generator": self._generator if self.position else None,
            "batches": self.batches.state_dict() if resumable else None,  # type: ignore[union-attr]
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore `state`.

        Parameters
        ----------
        state : dict
            What `state_dict` returned.

        Raises
        ------
        CheckpointError
            If it is of batches of another kind or number.
        """
        resumable = isinstance(self.batches, Resumable)
        for what, saved, here in (
            ("batches that save their position", state["batches"] is not None, resumable),
            ("the number of batches per epoch", state["size"], size_of(self.batches)),
        ):
            if saved != here:
                raise CheckpointError(
                    f"{self._caller}: expected the batches that the run was trained on ({what}: {saved}), got "
                    f"{_kind(self.batches)} ({here}); pass the same batches, or start a new run."
                )
        self._ended, self.position, self._iterator = state["ended"], state["position"], None
        if resumable:
            self.batches.load_state_dict(state["batches"])  # type: ignore[union-attr]
        if self.position == 0:
            return
        self._generator = state["generator"]
        settings.generator().bit_generator.state = state["generator"]
        self._iterator = self._begin(self.position)
        if not resumable and not isinstance(self.batches, Sequence):
            used = sum(1 for _ in itertools.islice(self._iterator, self.position))
            if used < self.position:
                raise CheckpointError(
                    f"{self._caller}: expected the batches that the run was trained on, at least {self.position} per "
                    f"epoch, got {used}; pass the same batches, or start a new run."
                )


def _kind(value: Any) -> str:
    return f"a {type(value).__name__}" if not isinstance(value, str) else repr(value)[:40]
