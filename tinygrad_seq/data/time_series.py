"""Time series of a table: one row per value (long), or one row per series (wide)."""

from __future__ import annotations

import calendar
import datetime as dt
import re
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import DataError
from .column_kinds import Column, Kind
from .delimited import listed
from .table_files import Table

_TIMELESS = ("text", "class", "id", "number")
_OTHER_DATE = re.compile(r"\s*\d{1,4}[./-]\d{1,2}[./-]\d{1,4}(\s.*)?")


@dataclass(frozen=True)
class TimeSeries:
    """One series.

    Attributes
    ----------
    name : str
        Its id.
    values : ndarray, shape (T,)
        The values in the order of time, float64.
    dates : list of datetime, optional
        The date of each value.
    """

    name: str
    values: NDArray[np.float64]
    dates: list[dt.datetime] | None = None

    def following_dates(self, count: int) -> list[dt.datetime] | None:
        """Return the next dates, as far apart as the last ones most often are; None if there are no dates."""
        if self.dates is None or len(self.dates) < 2:
            return None
        last, ahead = self.dates[-1], range(1, count + 1)
        try:
            if _are_monthly(self.dates):
                return [_months_later(last, n) for n in ahead]
            return [last + n * self.step for n in ahead]
        except (OverflowError, ValueError):  # beyond the year 9999
            return None

    @property
    def step(self) -> dt.timedelta:
        """The most frequent distance of two dates."""
        assert self.dates is not None
        return Counter(b - a for a, b in pairwise(self.dates)).most_common(1)[0][0]


@dataclass(frozen=True)
class Collected:
    """The series of a table, and how they were found.

    Attributes
    ----------
    series : list of TimeSeries
        The series, in the order of their first row.
    id, date, value : str or None
        The columns; `value` is None if each row is a series of several columns.
    notes : list of str
        What a person should know.
    """

    series: list[TimeSeries]
    id: str | None
    date: str | None
    value: str | None
    notes: list[str] = field(default_factory=list)


def collect_series(
    table: Table,
    value: str | None,
    *,
    id: str | None = None,
    date: str | None = None,
    kinds: Mapping[str, Kind] | None = None,
    caller: str = "collect_series",
) -> Collected:
    """Return the time series of a table.

    A table is *long* if it has one value per row: the column `value` holds numbers, `date` orders them, and `id` says
    which series they belong to. By default the date is the column of dates, or else one that counts the steps of each
    series, and the id is the column that tells apart rows of one date. A table is *wide* if a row is a series: `value`
    holds lists of numbers, or is None, and then the columns of numbers are the steps, in the order of the file. If
    `value` is None and there are dates, but no column of names, each column of numbers is a series.

    Parameters
    ----------
    table : Table
        The table.
    value : str or None
        The column of the values.
    id, date : str, optional
        The columns of the ids and of the dates.
    kinds : mapping of str to str, optional
        The kinds of columns whose guess is wrong.
    caller : str
        The name that messages start with.

    Returns
    -------
    Collected
        The series.

    Raises
    ------
    DataError
        If a column is missing or of another kind, a value or date is missing, an id has a date twice, or the series of
        a row cannot be told; the message names lines.
    """
    kinds = dict(table.kinds) | dict(kinds or {})
    table.require([name for name in (value, id, date) if name is not None], caller)
    if value is None and id is None:
        dated = date or _only(table, [name for name in table.names if kinds[name] == "date"], "--date", "dates", caller)
        if dated is not None and not any(kinds[name] in ("id", "text", "class") for name in table.names):
            return _columns(table, dated, kinds, caller)
    if value is None or kinds[value] == "series":
        return _wide(table, value, id, kinds, caller)
    return _long(table, value, id, date, kinds, caller)


def _columns(table: Table, date: str, kinds: dict[str, Kind], caller: str) -> Collected:
    """Return each column of numbers as a series, its rows in the order of their dates."""
    names = [name for name in table.names if kinds[name] == "number" and name != date]
    series = [_long(table, name, None, date, kinds, caller) for name in names]
    if not series:
        raise DataError(
            f"{caller}: expected columns of numbers beside the dates in {table.origin}, got {listed(table.cells)}; "
            "pass --target with the column of the values."
        )
    found = [
        TimeSeries(name, each.series[0].values, each.series[0].dates) for name, each in zip(names, series, strict=True)
    ]
    notes = ["each column of numbers is one series"]
    if series[0].notes:
        notes.append("dates are not evenly spaced; a row is one step")
    return Collected(found, None, date, None, notes)


def _wide(table: Table, value: str | None, id: str | None, kinds: dict[str, Kind], caller: str) -> Collected:
    id = id or next((name for name in table.names if kinds[name] in ("id", "text", "class") and name != value), None)
    if value is not None:
        rows = [_flat(row) for row in _present(table, table.column(value, "series", caller=caller), caller)]
    else:
        names = [name for name in table.names if kinds[name] == "number" and name != id]
        if len(names) < 2:
            raise DataError(
                f"{caller}: expected a column of values, or a column of numbers per step, in {table.origin}, got the "
                f"columns {listed(table.cells)}; pass --target with the column of the values."
            )
        columns = [_present(table, table.column(name, "number", caller=caller), caller) for name in names]
        rows = list(np.array(columns, np.float64).T)
    names_of_rows = [str(line) for line in table.lines] if id is None else _names(table, id, caller)
    twice = [name for name, count in Counter(names_of_rows).items() if count > 1]
    if twice:
        raise DataError(
            f"{caller}: expected each id once in column {id!r:.60}, got {listed(twice)} twice; rename them."
        )
    series = [TimeSeries(name, row) for name, row in zip(names_of_rows, rows, strict=True)]
    return Collected(series, id, None, value)


def _flat(row: NDArray[np.float64]) -> NDArray[np.float64]:
    if row.ndim != 1:
        raise DataError(f"expected series of one number per step, got {row.shape[1]}; use a column for each.")
    return row


def _long(table: Table, value: str, id: str | None, date: str | None, kinds: dict[str, Kind], caller: str) -> Collected:
    values = _present(table, table.column(value, "number", caller=caller), caller)
    date = date or _only(table, [name for name in table.names if kinds[name] == "date"], "--date", "dates", caller)
    dates = None if date is None else _dates(table, date, kinds, caller)
    others = [name for name in table.names if name not in (value, date, id) and kinds[name] in _TIMELESS]
    if date is None:
        _check_no_dates(table, others, caller)
    if id is None and (dates is None or len(set(dates)) < len(dates)):
        others = [name for name in others if len(set(table.cells[name])) > 1] or others
        grouping = [name for name in others if len(set(table.cells[name])) < len(table)]
        strings = [name for name in grouping if kinds[name] != "number"] or grouping
        id = _only(table, strings, "--id", "ids", caller)
        if id is None and dates is not None:
            raise DataError(
                f"{caller}: expected each date once in column {date!r:.60}, or a column that says which series a row "
                f"belongs to, got neither in {table.origin}; pass --id."
            )
    names = [table.origin.strip("'")] * len(table) if id is None else _names(table, id, caller)
    rows: dict[str, list[int]] = {}
    for row, name in enumerate(names):
        rows.setdefault(name, []).append(row)
    if date is None:
        date = next((name for name in others if name != id and _counts_steps(table, name, rows.values())), None)
        dates = None if date is None else _present(table, table.column(date, "number", caller=caller), caller)
    series, uneven = [], []
    for name, own in rows.items():
        if dates is not None:
            own.sort(key=dates.__getitem__)
            _check_dates(table, name, own, dates, caller)
        steps = [dates[row] for row in own] if dates is not None else None
        stamps = steps if steps is not None and isinstance(steps[0], dt.datetime) else None
        series.append(TimeSeries(name, np.array([values[row] for row in own]), stamps))
        if stamps is not None and not _are_monthly(stamps):
            uneven += [name] if len({b - a for a, b in pairwise(stamps)}) > 1 else []
    notes = []
    if uneven:
        notes.append(f"dates are not evenly spaced in {len(uneven)} series ({listed(uneven[:3])}); a row is one step")
    return Collected(series, id, date, value, notes)


def _dates(table: Table, date: str, kinds: dict[str, Kind], caller: str) -> list[Any]:
    kind: Kind = "number" if kinds[date] == "number" else "date"
    return _present(table, table.column(date, kind, caller=caller), caller)


def _check_no_dates(table: Table, names: Iterable[str], caller: str) -> None:
    """Raise DataError if a column seems to hold dates in another form, which would be taken for ids."""
    for name in names:
        if all(isinstance(value, str) and _OTHER_DATE.fullmatch(value) for value in table.cells[name]):
            raise DataError(
                f"{caller}: expected ISO dates such as 2024-01-31 in column {name!r:.60} of {table.origin}, got "
                f"{table.cells[name][0]!r:.40}; rewrite them."
            )


def _counts_steps(table: Table, name: str, series: Iterable[list[int]]) -> bool:
    """Return whether a column has consecutive integers in each series, in any order."""
    try:
        values = [float(value) for value in table.cells[name]]
    except (TypeError, ValueError):
        return False
    for rows in series:
        own = sorted(values[row] for row in rows)
        if len(own) < 2 or any(b - a != 1 for a, b in pairwise(own)):
            return False
    return True


def _check_dates(table: Table, name: str, own: list[int], dates: list[Any], caller: str) -> None:
    for one, other in pairwise(own):
        if dates[one] == dates[other]:
            raise DataError(
                f"{caller}: expected each date once per series in {table.origin}, got the same date for {name!r:.60} "
                f"in lines {table.lines[one]} and {table.lines[other]}; leave one out, or pass the right --id."
            )


def _names(table: Table, id: str, caller: str) -> list[str]:
    return [str(name) for name in _present(table, table.column(id, "id", caller=caller), caller)]


def _present(table: Table, column: Column, caller: str) -> list[Any]:
    """Return the values of a column; raise if one is missing."""
    missing = [line for value, line in zip(column.values, table.lines, strict=True) if value is None]
    if missing:
        raise DataError(
            f"{caller}: expected a value in every row of column {column.name!r:.60} of {table.origin}, got none in "
            f"{len(missing):,} rows, the first in line {missing[0]}; fill in or remove these rows."
        )
    return column.values


def _only(table: Table, names: list[str], option: str, what: str, caller: str) -> str | None:
    if len(names) > 1:
        raise DataError(
            f"{caller}: expected one column of {what} in {table.origin}, got {listed(names)}; choose one with {option}."
        )
    return names[0] if names else None


def _are_monthly(dates: list[dt.datetime]) -> bool:
    """Return whether dates are one in each month: on the same day, or on the last."""
    months = [12 * date.year + date.month for date in dates]
    follow = all(b - a == 1 for a, b in pairwise(months))
    return follow and (len({date.day for date in dates}) == 1 or all(_is_last_day(date) for date in dates))


def _is_last_day(date: dt.datetime) -> bool:
    return date.day == calendar.monthrange(date.year, date.month)[1]


def _months_later(date: dt.datetime, count: int) -> dt.datetime:
    years, month = divmod(date.month - 1 + count, 12)
    year, last = date.year + years, calendar.monthrange(date.year + years, month + 1)[1]
    return date.replace(year=year, month=month + 1, day=last if _is_last_day(date) else min(date.day, last))
