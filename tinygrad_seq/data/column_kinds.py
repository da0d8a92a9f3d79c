"""What a column of a table holds: guessed from its values, and converted to it."""

from __future__ import annotations

import ast
import datetime as dt
import json
import math
import re
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal, get_args

import numpy as np

from ..errors import ArgumentError, DataError

Kind = Literal["text", "class", "number", "series", "tokens", "date", "id", "other", "empty"]
KINDS: tuple[Kind, ...] = get_args(Kind)

_NUMBER = re.compile(r"\s*[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?\s*", re.ASCII)
_COMPACT_DATE = re.compile(r"\s*(19|20)\d\d(0[1-9]|1[0-2])([0-2]\d|3[01])\s*", re.ASCII)
_NOT_GIVEN = frozenset({"na", "n/a", "nan", "null", "none", "-", "?"})
_SEPARATORS = re.compile(r"\s*[;|]\s*|\s*,\s*|\s+")
_TAG = re.compile(r"O|[BIESLUM]-\S+")
_ID = re.compile(r"(?:|.*[_ -])(?:id|uuid|guid|index)|unnamed: 0|column 1", re.IGNORECASE)
_NUMBERED = re.compile(r"\s*([^\W\d_]+[-_]?)\d+\s*")
_PUNCTUATED = re.compile(r".+[.,;:!?]", re.DOTALL)
_MOST_CLASSES = 100
_MOST_TAGS = 60


@dataclass(frozen=True)
class Column:
    """The values of one column, of one kind.

    Attributes
    ----------
    name
        Its name.
    kind
        What it holds.
    values
        A str (text, class, id), float (number), array (T,) or (T, F) of float64 (series), list of str (tokens) or
        `datetime.datetime` (date) per row; None where a value is missing.
    """

    name: str
    kind: Kind
    values: list[Any]

    @property
    def missing(self) -> int:
        """The number of missing values."""
        return sum(value is None for value in self.values)

    def describe(self) -> str:
        """Return the kind and the facts that let a person check the guess, on one line."""
        present = [value for value in self.values if value is not None]
        facts = _FACTS[self.kind](present) if present else ""
        missing = f"{self.missing:,} missing" if self.missing and present else ""
        return ", ".join(part for part in (_NAMES.get(self.kind, self.kind), facts, missing) if part)


def guess_kind(name: str, values: Sequence[Any]) -> Kind:
    """Return what the values of a column are.

    The rules apply in this order to the values that are not missing. An id is a string or an integer in a column with
    a name such as ``id``, ``user_id`` or ``index``. A date is an ISO date or time, ``2024-01-31`` or ``20240131``. A
    number is one in all rows (``NA``, ``NaN``, ``null``, ``none``, ``-`` and ``?`` are missing values of such a
    column). A series is a list of numbers, in brackets, or separated by spaces, semicolons or bars, or three and more
    separated by commas. Ids are also one prefix of letters with different numbers, ``R001`` and ``R002``. Tokens are
    lists of strings, or tags of spans such as ``O B-PER I-PER``, or many words of at most 60 different ones without
    punctuation. A class is one of at most 100 different strings, each of which occurs twice on average. Everything else
    is text.
    """
    present = [value for value in values if value is not None]
    if not present:
        return "empty"
    types = {type(value) for value in present}
    if types <= {int, float}:
        return "id" if _is_id(name, present) else "number"
    if types == {bool}:
        return "class"
    if types == {list}:
        return _kind_of_lists(present)
    return _kind_of_strings(name, present) if types == {str} else "other"


def convert(name: str, kind: Kind, values: Sequence[Any], lines: Sequence[int], caller: str, origin: str) -> Column:
    """Return a column as values of `kind`.

    Raises
    ------
    DataError
        If a value is none of the kind; the message names its line.
    ArgumentError
        If there is no such kind.
    """
    if kind not in KINDS:
        raise ArgumentError(f"{caller}: expected a kind of {', '.join(KINDS)}, got {kind!r:.80}; pass one of them.")
    converted = []
    for value, line in zip(values, lines, strict=True):
        try:
            converted.append(None if value is None else _CONVERTERS[kind](value))
        except (ValueError, TypeError, OverflowError, SyntaxError, RecursionError, MemoryError):
            raise DataError(
                f"{caller}: expected {_WANTED[kind]} in column {name!r:.60} of {origin}, got {value!r:.60} in line "
                f"{line}; {_ADVICE.get(kind, 'correct it')}."
            ) from None
    return Column(name, kind, converted)


# ------------------------------------------------------------------------------------------------------------ guessing


def _is_id(name: str, present: list[Any]) -> bool:
    return _ID.fullmatch(name) is not None and not any(_is_fraction(value) for value in present)


def _are_numbered(present: list[str]) -> bool:
    """Return whether the values are one prefix with different numbers, such as R001, R002."""
    prefixes = {match and match[1] for match in map(_NUMBERED.fullmatch, present)}
    return len(prefixes) == 1 and None not in prefixes


def _is_fraction(value: Any) -> bool:
    return isinstance(value, float) or (isinstance(value, str) and "." in value and bool(_NUMBER.fullmatch(value)))


def _kind_of_lists(present: list[list[Any]]) -> Kind:
    if all(isinstance(item, str) for value in present for item in value):
        return "tokens" if any(present) else "other"
    try:
        for value in present:
            _series(value)
    except (ValueError, TypeError, OverflowError):
        return "other"
    return "series"


def _kind_of_strings(name: str, present: list[str]) -> Kind:
    stated = [value for value in present if value.strip().lower() not in _NOT_GIVEN]
    different = set(present)
    if _is_id(name, present):
        return "id"
    if all(map(_COMPACT_DATE.fullmatch, present)) and _are(_is_date, present):
        return "date"
    if stated and all(map(_NUMBER.fullmatch, stated)):
        return "number"
    for kind, is_one in _TESTS.items():
        if _are(is_one, present):
            return kind
    if len(present) > 2 and len(different) == len(present) and _are_numbered(present):
        return "id"
    if all(map(_TAG.fullmatch, {word for value in different for word in value.split()})) and different != {"O"}:
        return "tokens" if any(" " in value.strip() for value in different) else "class"
    if len(different) <= min(_MOST_CLASSES, len(present) // 2):
        return "class"
    words = [word for value in present for word in value.split()]
    few = len(set(words)) <= min(_MOST_TAGS, len(words) // 10) and not any(map(_PUNCTUATED.fullmatch, set(words)))
    return "tokens" if few and len(words) >= 2 * len(present) else "text"


def _are(is_one: Callable[[str], bool], present: list[str]) -> bool:
    try:
        return all(map(is_one, present))
    except (ValueError, TypeError, OverflowError, SyntaxError, RecursionError, MemoryError):
        return False


def _is_date(value: str) -> bool:
    return bool(_date(value))


def _is_list_of_numbers(value: str) -> bool:
    if value.lstrip().startswith("["):
        return bool(len(_series(value)))
    parts = _SEPARATORS.split(value.strip())
    commas = "," in value and not (";" in value or "|" in value)
    return len(parts) >= (3 if commas else 2) and all(map(_NUMBER.fullmatch, parts))


def _is_list_of_strings(value: str) -> bool:
    return value.lstrip().startswith("[") and bool(_tokens(value))


_TESTS: dict[Kind, Callable[[str], bool]] = {
    "date": _is_date,
    "series": _is_list_of_numbers,
    "tokens": _is_list_of_strings,
}

# ---------------------------------------------------------------------------------------------------------- converting


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError
    return value


def _class(value: Any) -> str:
    if isinstance(value, list | dict):
        raise TypeError
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value).strip()


def _number(value: Any) -> float | None:
    if isinstance(value, str):
        if value.strip().lower() in _NOT_GIVEN:
            return None
        if not _NUMBER.fullmatch(value):
            raise ValueError
    elif isinstance(value, bool):
        raise TypeError
    number = float(value)
    if not math.isfinite(number):
        raise ValueError
    return number


def _series(value: Any) -> np.ndarray[Any, np.dtype[np.float64]]:
    if isinstance(value, str):
        text = value.strip()
        nested = text.startswith("[") and "[" in text[1:]
        value = json.loads(text) if nested else [_number(part) for part in _SEPARATORS.split(text.strip("[]").strip())]
    if not isinstance(value, list):
        raise TypeError
    flat = [item for row in value for item in (row if isinstance(row, list) else [row])]
    if any(isinstance(item, str | bool) or item is None for item in flat):
        raise TypeError
    series = np.array(value, np.float64)
    if not 1 <= series.ndim <= 2 or not series.size or not np.isfinite(series).all():
        raise ValueError
    return series


def _tokens(value: Any) -> list[str]:
    if isinstance(value, str):
        value = _list(value.strip()) if value.lstrip().startswith("[") else value.split()
    if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
        raise TypeError
    return value


def _list(text: str) -> Any:
    """Return the list that a cell holds, as JSON or as Python prints it."""
    try:
        return json.loads(text)
    except ValueError:
        with warnings.catch_warnings(action="ignore"):  # of unknown escapes in strings
            return ast.literal_eval(text)


def _date(value: Any) -> dt.datetime:
    """Return a date without a time zone: one with a zone is converted to UTC."""
    date = dt.datetime.fromisoformat(_text(value).strip().replace("/", "-"))
    return date.astimezone(dt.UTC).replace(tzinfo=None) if date.tzinfo else date


_CONVERTERS: dict[Kind, Callable[[Any], Any]] = {
    "text": _text,
    "class": _class,
    "number": _number,
    "series": _series,
    "tokens": _tokens,
    "date": _date,
    "id": _class,
    "other": lambda value: value,
    "empty": lambda value: value,
}
_WANTED: dict[Kind, str] = {
    "text": "text",
    "class": "a class",
    "number": "a finite number",
    "series": "a list of finite numbers",
    "tokens": "a list of words",
    "date": "an ISO date",
    "id": "an id",
}
_ADVICE: dict[Kind, str] = {
    "number": "correct it, write a decimal point as '.', or choose another column",
    "date": "write dates as 2024-01-31, with a time as 2024-01-31 18:30",
    "series": "correct it, e.g. to '0.5 1.5 2' or [0.5, 1.5, 2]",
}
_NAMES: dict[Kind, str] = {"series": "series of numbers", "tokens": "sequence of tokens", "other": "mixed values"}

# ----------------------------------------------------------------------------------------------------------- describing


def _span(numbers: Sequence[float]) -> str:
    low, high = min(numbers), max(numbers)
    return f"{low:g}" if low == high else f"{low:g} to {high:g}"


def _classes(values: list[str]) -> str:
    different = sorted(set(values))
    shown = ", ".join(repr(value)[:30] for value in different[:5])
    return f"{len(different):,} different: {shown}{', ...' if len(different) > 5 else ''}"


def _series_facts(values: list[Any]) -> str:
    features = {value.shape[1] for value in values if value.ndim == 2}
    return f"{_span([len(value) for value in values])} steps" + (f" of {_span(sorted(features))}" if features else "")


_FACTS: dict[Kind, Callable[[list[Any]], str]] = {
    "text": lambda values: f"{_span([len(value.split()) for value in values])} words",
    "class": _classes,
    "number": _span,
    "series": _series_facts,
    "tokens": lambda values: f"{_span([len(value) for value in values])} tokens",
    "date": lambda values: f"{min(values):%Y-%m-%d} to {max(values):%Y-%m-%d}",
    "id": lambda values: f"{len(set(values)):,} different",
    "other": lambda _: "",
    "empty": lambda _: "",
}
