"""`Memo`: a cache of bounded size."""

from __future__ import annotations

from collections.abc import Callable
from typing import Generic, TypeVar

K = TypeVar("K")
V = TypeVar("V")


class Memo(Generic[K, V]):
    """A cache with two generations: an entry that is not used during a whole generation is dropped.

    A lookup costs as much as that of a dict. There is no lock: two threads may compute the same value twice, and an
    interrupt or a fork at any moment leaves the cache usable.

    Parameters
    ----------
    room
        Capacity of one generation; the cache holds at most two generations and one value.
    weigh
        Returns the room that a new value takes; 1 by default. If a value grows later, call `charge`.

    Examples
    --------
    >>> memo = Memo(2)
    >>> for n in range(9):
    ...     kept = memo.put(n, n * n)
    >>> len(memo) <= 5, memo.get(0), memo.get(8)
    (True, None, 64)
    """

    __slots__ = ("_left", "_new", "_old", "_room", "_weigh")

    def __init__(self, room: int, weigh: Callable[[V], int] = lambda _: 1) -> None:
        self._room = self._left = room
        self._weigh = weigh
        self._new: dict[K, V] = {}
        self._old: dict[K, V] = {}

    def __len__(self) -> int:
        return len(self._new | self._old)

    def get(self, key: K) -> V | None:
        """Return the value stored under `key`, or None."""
        found = self._new.get(key)
        if found is None:
            found = self._old.get(key)
            if found is not None:
                self.put(key, found)
        return found

    def put(self, key: K, value: V) -> V:
        """Store `value` under `key` and return it."""
        self.charge(self._weigh(value))
        self._new[key] = value
        return value

    def charge(self, amount: int) -> None:
        """Add `amount` to the room in use; start a new generation if the current one is full."""
        if self._left <= 0:
            self._old, self._new, self._left = self._new, {}, self._room
        self._left -= amount

    def values(self) -> list[V]:
        """Return all stored values."""
        return [*(self._old | self._new).values()]
