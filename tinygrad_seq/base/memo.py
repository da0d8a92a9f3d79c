"""`Memo`: results that are remembered, the recent ones only."""

from __future__ import annotations

from collections.abc import Callable
from typing import Generic, TypeVar

K = TypeVar("K")
V = TypeVar("V")


class Memo(Generic[K, V]):
    """A dict of bounded size, in two generations: what was not asked for in a whole generation is forgotten.

    A look-up takes as long as that of a dict. It has no lock: threads that meet may compute a value twice, and an
    interrupt or a fork at any moment leaves it usable.

    Parameters
    ----------
    room
        How much a generation holds; the memo holds twice as much and one value at the most.
    weigh
        Returns how much room a value takes when it is remembered; 1 by default. If it grows later, `charge` it.

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
        """Return what was put under `key`, or None if that was never or long ago."""
        found = self._new.get(key)
        if found is None:
            found = self._old.get(key)
            if found is not None:
                self.put(key, found)
        return found

    def put(self, key: K, value: V) -> V:
        """Remember `value`, and return it."""
        self.charge(self._weigh(value))
        self._new[key] = value
        return value

    def charge(self, amount: int) -> None:
        """Note that values take so much more room, and begin a new generation if there is none left."""
        if self._left <= 0:
            self._old, self._new, self._left = self._new, {}, self._room
        self._left -= amount

    def values(self) -> list[V]:
        """Return what is remembered."""
        return [*(self._old | self._new).values()]
