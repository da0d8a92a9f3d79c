"""The table of checks: name, what it needs, the function."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import NamedTuple

from .compare import Finding
from .problem import Problem

Compare = Callable[[Problem], Iterable[Finding]]


class SkipError(Exception):
    """Raised by a check that cannot run, with the reason."""


class Row(NamedTuple):
    """One check.

    Attributes
    ----------
    name
        What should be equal to what.
    needs
        What the subject must have, from the list in `subject`.
    short
        Whether it belongs to the short form.
    function
        Yields one finding per comparison.
    """

    name: str
    needs: tuple[str, ...]
    short: bool
    function: Compare


TABLE: list[Row] = []


def check(name: str, *needs: str, short: bool = True) -> Callable[[Compare], Compare]:
    """Return a decorator that enters a function into the table."""

    def enter(function: Compare) -> Compare:
        TABLE.append(Row(name, needs, short, function))
        return function

    return enter
