"""Time series of long and wide tables: their order, their dates, and what is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tinygrad_seq.data import read_table
from tinygrad_seq.data.time_series import collect_series
from tinygrad_seq.errors import DataError


def collect(folder: Path, content: str, value: str | None = "y", name: str = "x.csv", **options: Any) -> Any:
    (folder / name).write_text(content)
    return collect_series(read_table(folder / name), value, **options)


def test_long(tmp_path: Path) -> None:
    """Rows in any order; the id is the column that tells apart rows of one date."""
    rows = ["a,2024-01-02,2", "b,2024-01-01,5", "a,2024-01-01,1", "b,2024-01-02,6", "a,2024-01-03,3"]
    found = collect(tmp_path, "shop,day,y\n" + "\n".join(rows))
    assert (found.id, found.date) == ("shop", "day")
    assert {each.name: each.values.tolist() for each in found.series} == {"a": [1, 2, 3], "b": [5, 6]}
    assert [date.day for date in found.series[0].dates] == [1, 2, 3]
    assert not found.notes


def test_one_series_needs_no_id(tmp_path: Path) -> None:
    found = collect(tmp_path, "day,y\n2024-01-02,2\n2024-01-01,1\n")
    assert found.id is None
    assert found.series[0].values.tolist() == [1, 2]
    assert collect(tmp_path, "y\n2\n1\n").series[0].values.tolist() == [2, 1]
    by_number = collect(tmp_path, "t,y\n2,5\n1,4\n", date="t").series[0]
    assert by_number.values.tolist() == [4, 5]
    assert by_number.following_dates(1) is None


def test_wide(tmp_path: Path) -> None:
    found = collect(tmp_path, "name,t1,t2\na,1,2\nb,3,4\n", None)
    assert {each.name: each.values.tolist() for each in found.series} == {"a": [1, 2], "b": [3, 4]}
    found = collect(tmp_path, '{"id": 7, "y": [1, 2, 3]}\n{"id": 8, "y": [4]}\n', name="x.jsonl")
    assert {each.name: each.values.tolist() for each in found.series} == {"7": [1, 2, 3], "8": [4]}


@pytest.mark.parametrize(
    ("dates", "following"),
    [
        (["2024-01-30", "2024-01-31"], ["2024-02-01", "2024-02-02"]),
        (["2024-01-31", "2024-02-29"], ["2024-03-31", "2024-04-30"]),
        (["2024-11-05", "2024-12-05"], ["2025-01-05", "2025-02-05"]),
        (["2024-01-01", "2024-01-08", "2024-01-15", "2024-01-29"], ["2024-02-05", "2024-02-12"]),
        (["2024-01-01 00:00", "2024-01-01 06:00"], ["2024-01-01 12:00", "2024-01-01 18:00"]),
        (["9999-12-30", "9999-12-31"], None),
    ],
)
def test_the_next_dates(dates: list[str], following: list[str] | None, tmp_path: Path) -> None:
    found = collect(tmp_path, "day,y\n" + "".join(f"{date},1\n" for date in dates))
    next_dates = found.series[0].following_dates(2)
    shown = next_dates and [date.isoformat(" ")[: len(dates[0])] for date in next_dates]
    assert shown == following
    assert ("a row is one step" in "".join(found.notes)) == (len(dates) == 4)


@pytest.mark.parametrize(
    ("content", "options", "message"),
    [
        ("day,y\n2024-01-01,1\n2024-01-01,2\n", {}, "pass --id"),
        ("a,b,day,y\nu,v,2024-01-01,1\nw,x,2024-01-01,2\n", {}, "ids .* got 'a', 'b'; choose one with --id"),
        ("d,day,y\n2024-01-01,2024-01-01,1\n", {}, "one column of dates .* --date"),
        ("id,day,y\na,2024-01-01,1\na,2024-01-01,2\n", {"id": "id"}, "the same date for 'a' in lines 2 and 3"),
        ("day,y\n2024-01-01,\n2024-01-02,1\n", {}, "got none in 1 rows, the first in line 2"),
        ("day,y\n2024-01-01,1\n,2\n", {}, "column 'day' .* in line 3"),
        ("day,y\n1.1.2024,1\n", {"date": "day"}, "an ISO date"),
        ("day,y\n2024-01-01,x\n", {}, "a finite number"),
        ("name,y\na,1\n", {"value": None}, "a column of numbers per step"),
        ("name,t1,t2\na,1,2\na,3,4\n", {"value": None}, "each id once in column 'name'"),
        ("a\n1\n", {}, "the column 'y'"),
    ],
)
def test_what_is_refused(content: str, options: Any, message: str, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=message):
        collect(tmp_path, content, **options)
