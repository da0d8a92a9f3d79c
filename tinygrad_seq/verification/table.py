"""The table of checks: name, needs, function."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import NamedTuple

from .compare import Finding
from .problem import Problem

Compare = Callable[[Problem], Iterable[Finding]]


class SkipError(Exception):
    """Raised by a check that cannot run; the message is the reason."""


class Row(NamedTuple):
    """One check.

    Attributes
    ----------
    name : str
        What should equal what.
    needs : tuple of str
        The needs that the subject must meet; see `subject`.
    short : bool
        Whether the check belongs to the short level.
    function : callable
        Yields one finding per comparison.
    """

    name: str
    needs: tuple[str, ...]
    short: bool
    function: Compare


TABLE: list[Row] = []


def check(name: str, *needs: str, short: bool = True) -> Callable[[Compare], Compare]:
    """Return a decorator that registers a function in the table."""

    def enter(function: Compare) -> Compare:
        TABLE.append(Row(name, needs, short, function))
        return function

    return enter
