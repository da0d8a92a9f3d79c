"""Which columns of a table are read, and what is predicted: from rows to sequences and targets."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np

from ..data.column_kinds import KINDS, Column, Kind
from ..data.delimited import listed
from ..data.table_files import Table
from ..errors import ArgumentError, DataError
from .columns import guess_kind

TASKS = ("classify", "tag", "regress")
_NOT_READ = ("date", "id", "other", "empty")
_TARGET_KINDS: dict[str, Kind] = {"classify": "class", "tag": "tokens", "regress": "number"}
_MOST_NUMBERS = 20  # different whole numbers that are guessed to be classes


@dataclass(frozen=True)
class RowReader:
    """How the rows of a table become the sequences and targets of a task.

    Attributes
    ----------
    task : str
        ``"classify"``, ``"tag"`` or ``"regress"``.
    target : str
        The column to predict.
    features : dict of str to str
        The kind in the table of each column that is read.
    columns : dict of str to str
        The kind of each column of the task; one that joins several columns has their names.
    """

    task: str
    target: str
    features: dict[str, Kind]
    columns: dict[str, str]

    @classmethod
    def choose(
        cls,
        table: Table,
        target: str,
        *,
        task: str | None = None,
        features: Sequence[str] = (),
        kinds: Mapping[str, Kind] | None = None,
        caller: str = "RowReader",
    ) -> Self:
        """Choose the task and the columns to read.

        Parameters
        ----------
        table : Table
            The rows to train on.
        target : str
            The column to predict.
        task : str, optional
            The task; by default ``"tag"`` for sequences of tokens, ``"regress"`` for numbers, and ``"classify"`` for
            classes and for few different whole numbers.
        features : sequence of str
            The columns to read; by default all but the target, dates, ids and mixed values, and in CoNLL the first.
        kinds : mapping of str to str, optional
            The kinds of columns whose guess is wrong.
        caller : str
            The name that messages start with.

        Returns
        -------
        RowReader
            The choice.

        Raises
        ------
        DataError
            If a column is missing, there is nothing to read, or the target does not fit the task.
        ArgumentError
            If the task cannot be guessed, or a kind is unknown.
        """
        given = {**(kinds or {})}
        table.require([target, *features, *given], caller)
        if wrong := [kind for kind in given.values() if kind not in KINDS]:
            raise ArgumentError(f"{caller}: expected a kind of {', '.join(KINDS)}, got {wrong[0]!r:.60}; correct it.")
        every = {**table.kinds, **given}
        task = task or _guess_task(table, target, every[target], caller)
        if target in features:
            raise ArgumentError(f"{caller}: expected features other than the target {target!r:.60}; leave it out.")
        chosen = {name: every[name] for name in features} or _usable(table, target, every)
        kinds_read = [*chosen.values()]
        if not {"text", "tokens", "series"} & {*kinds_read} and kinds_read.count("number") < 2:
            # There must be steps: short texts that repeat look like classes.
            chosen = {name: "text" if kind == "class" and name not in given else kind for name, kind in chosen.items()}
        if task == "tag":
            chosen = {name: "tokens" if kind == "text" else kind for name, kind in chosen.items()}
        unread = [name for name, kind in chosen.items() if kind in _NOT_READ and name not in given]
        if unread or not chosen:
            raise DataError(
                f"{caller}: expected columns of text, classes, numbers or series to read in {table.origin}, got "
                f"{listed(unread) if chosen else 'none besides the target'}; say what a column holds with --kind "
                "NAME=KIND."
            )
        reader = cls(task, target, chosen, {})
        entries = reader._parsed(table, caller)
        return cls(task, target, chosen, {name: kind for name, (kind, _) in entries.items()})

    def missing_rows(self, table: Table, *, targets: bool, caller: str = "RowReader") -> list[int]:
        """Return the positions of the rows that lack a value that is read, or the target if `targets` is set."""
        columns = [table.column(name, kind, caller=caller) for name, kind in self.features.items()]
        if targets:
            columns.append(self._target_column(table, caller))
        return [row for row in range(len(table)) if any(_is_blank(column.values[row]) for column in columns)]

    def inputs(self, table: Table, caller: str = "RowReader") -> dict[str, list[Any]]:
        """Return the columns of the task; raise a DataError if a column is missing or a value does not fit."""
        table.require(self.features, caller)
        return {name: values for name, (_, values) in self._parsed(table, caller).items()}

    def targets(self, table: Table, caller: str = "RowReader") -> list[Any]:
        """Return the targets; raise a DataError if there is no such column, or a value does not fit."""
        table.require([self.target], caller)
        values = self._target_column(table, caller).values
        if self.task == "tag":
            self._check_lengths(table, values, caller)
        return values

    def content(self) -> dict[str, Any]:
        """Return the choice as JSON values."""
        return {"task": self.task, "target": self.target, "features": self.features, "columns": self.columns}

    @classmethod
    def from_content(cls, content: Mapping[str, Any]) -> Self:
        """Return the choice that `content` describes."""
        return cls(content["task"], content["target"], dict(content["features"]), dict(content["columns"]))

    def describe(self) -> str:
        """Return the columns that are read, with their kinds as the model sees them."""
        return ", ".join(f"{name} ({kind})" for name, kind in self.columns.items())

    # ----------------------------------------------------------------------------------------------------- columns

    def _target_column(self, table: Table, caller: str) -> Column:
        return table.column(self.target, _TARGET_KINDS[self.task], caller=caller)

    def _parsed(self, table: Table, caller: str) -> dict[str, tuple[str, list[Any]]]:
        """Return the kind and the values of each column of the task.

        Several texts are joined to one. Without a column of steps, the numbers of a row are one series.
        """
        parsed = {name: table.column(name, kind, caller=caller).values for name, kind in self.features.items()}
        texts = [name for name, kind in self.features.items() if kind == "text"]
        numbers = [name for name, kind in self.features.items() if kind == "number"]
        steps = [name for name, kind in self.features.items() if kind in ("text", "tokens", "series")]
        entries: dict[str, tuple[str, list[Any]]] = {}
        for name, kind in self.features.items():
            if kind == "text" and len(texts) > 1:
                joined = [" ".join(filter(None, row)) for row in zip(*(parsed[text] for text in texts), strict=True)]
                entries.setdefault(" + ".join(texts), ("words", joined))
            elif kind == "number" and not steps and len(numbers) > 1:
                series = [list(row) for row in zip(*(parsed[number] for number in numbers), strict=True)]
                entries.setdefault(_range_of(numbers), ("numbers", series))
            else:
                entries[name] = (self._kind(name, kind, parsed[name]), parsed[name])
        return entries

    def _kind(self, name: str, kind: Kind, values: list[Any]) -> str:
        if name in self.columns:
            return self.columns[name]
        if kind == "text":
            return guess_kind([value for value in values if value is not None])
        return {"tokens": "words", "series": "numbers", "number": "number"}.get(kind, "category")

    def _check_lengths(self, table: Table, tags: list[Any], caller: str) -> None:
        for name, kind in self.features.items():
            if kind not in ("tokens", "series"):
                continue
            values = table.column(name, kind, caller=caller).values
            for value, row, line in zip(values, tags, table.lines, strict=True):
                if value is not None and row is not None and len(value) != len(row):
                    raise DataError(
                        f"{caller}: expected a tag in column {self.target!r:.60} for each token in column {name!r:.60} "
                        f"of {table.origin}, got {len(row)} tags and {len(value)} tokens in line {line}; separate both "
                        "by single spaces."
                    )


def check_ids(table: Table, caller: str) -> None:
    """Raise DataError if a value in a column named ``id`` occurs twice."""
    for name in table.names:
        if name.lower() == "id" and table.kinds[name] == "id":
            counts = Counter(value for value in table.cells[name] if value is not None)
            twice, count = counts.most_common(1)[0] if counts else ("", 0)
            if count > 1:
                lines = [line for value, line in zip(table.cells[name], table.lines, strict=True) if value == twice]
                raise DataError(
                    f"{caller}: expected each id once in column {name!r} of {table.origin}, got {twice!r:.60} in lines "
                    f"{', '.join(map(str, lines[:5]))}; remove the copies, or rename the column if it is no id."
                )


def held_out_rows(reader: RowReader, y: list[Any], fraction: float, seed: int) -> list[int]:
    """Return the rows for the score at the end, drawn by the seed.

    Each label that they have occurs in other rows too, so that none is unseen.
    """
    wanted = round(len(y) * fraction)
    if reader.task == "regress":
        return sorted(np.random.default_rng([seed, 1]).permutation(len(y))[:wanted].tolist())
    labels = [set(row) if reader.task == "tag" else {row} for row in y]
    left = Counter(label for row in labels for label in row)
    rows: list[int] = []
    for row in np.random.default_rng([seed, 1]).permutation(len(y)).tolist():
        if len(rows) < wanted and all(left[label] > 1 for label in labels[row]):
            rows.append(row)
            left.subtract(labels[row])
    return sorted(rows)


def _usable(table: Table, target: str, kinds: Mapping[str, Kind]) -> dict[str, Kind]:
    names = [name for name in table.names if name != target and kinds[name] not in _NOT_READ]
    if table.layout.format == "conll":
        words = [name for name in ("form", table.names[0]) if name in names]
        names = words[:1]
    return {name: kinds[name] for name in names}


def _guess_task(table: Table, target: str, kind: Kind, caller: str) -> str:
    if kind == "tokens":
        return "tag"
    if kind == "class":
        return "classify"
    if kind == "number":
        values = [value for value in table.column(target, caller=caller).values if value is not None]
        different = set(values)
        whole = all(float(value).is_integer() for value in different)
        return "classify" if whole and len(different) <= min(_MOST_NUMBERS, len(values) // 5) else "regress"
    raise ArgumentError(
        f"{caller}: expected a target of classes, tokens or numbers, got {kind} in column {target!r:.60} of "
        f"{table.origin}; pass --task {', '.join(TASKS)} or another --target."
    )


def _is_blank(value: Any) -> bool:
    return value is None or (isinstance(value, list | np.ndarray) and not len(value))


def _range_of(names: list[str]) -> str:
    return f"{names[0]} ... {names[-1]}"
