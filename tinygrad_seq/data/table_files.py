"""Tables: the rows of a CSV, TSV, JSON Lines or CoNLL file."""

from __future__ import annotations

import difflib
import hashlib
import json
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Literal, get_args

from ..base.files import open_regular, shown, write_atomically
from ..errors import ArgumentError, DataError, ShapeError
from .column_kinds import Column, Kind, convert, guess_kind
from .conll import Sentences, read_conll, write_conll
from .delimited import listed, read_delimited, write_delimited
from .json_lines import read_json_lines, write_json_lines
from .text_stream import read_lines

Format = Literal["csv", "tsv", "jsonl", "conll"]
FORMATS: tuple[Format, ...] = get_args(Format)

_ENDINGS: dict[str, Format] = {
    **dict.fromkeys((".csv",), "csv"),
    **dict.fromkeys((".tsv", ".tab"), "tsv"),
    **dict.fromkeys((".jsonl", ".ndjson"), "jsonl"),
    **dict.fromkeys((".conll", ".conllu", ".conll03", ".bio", ".iob", ".iob2"), "conll"),
}
_TABS = {"tab": "\t", r"\t": "\t"}


@dataclass(frozen=True)
class Layout:
    """How a file is written: its format, and what a format leaves open."""

    format: Format
    delimiter: str = ","
    quotes: bool = True
    header: bool = True
    sentences: Sentences | None = None


@dataclass(frozen=True, repr=False)
class Table:
    r"""The rows of a file as columns with names; `read_table` reads one.

    Attributes
    ----------
    cells : dict of str to list
        The values of each column as the file has them: strings in CSV and TSV, JSON values in JSON Lines, one list of
        strings per sentence in CoNLL. None is a missing value.
    lines : list of int
        The line at which each row starts.
    origin : str
        What messages call the file.
    layout : Layout
        How the file is written.

    Examples
    --------
    >>> import pathlib, tempfile
    >>> from tinygrad_seq.data import read_table
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = pathlib.Path(folder, "reviews.csv")
    ...     _ = path.write_text('text,label\n"Good, and cheap.",good\nToo small.,bad\nFine.,good\nNo.,bad\n')
    ...     table = read_table(path)
    >>> len(table), table.names, table.lines
    (4, ['text', 'label'], [2, 3, 4, 5])
    >>> table.column("label")
    Column(name='label', kind='class', values=['good', 'bad', 'good', 'bad'])
    >>> print(table.describe())
    text   text, 1 to 3 words
    label  class, 2 different: 'bad', 'good'
    """

    cells: dict[str, list[Any]]
    lines: list[int]
    origin: str
    layout: Layout = field(repr=False)

    def __len__(self) -> int:
        return len(self.lines)

    def __repr__(self) -> str:
        return f"Table({len(self):,} rows of {listed(self.cells)} from {self.origin})"

    @property
    def names(self) -> list[str]:
        """The names of the columns."""
        return list(self.cells)

    @cached_property
    def kinds(self) -> dict[str, Kind]:
        """The guessed kind of each column; `tinygrad_seq.data.column_kinds.guess_kind` has the rules."""
        if self.layout.format == "conll":
            return dict.fromkeys(self.cells, "tokens")
        return {name: guess_kind(name, values) for name, values in self.cells.items()}

    @cached_property
    def digest(self) -> str:
        """The SHA-256 hash of the cells: equal for equal tables, whatever their format."""
        return hashlib.sha256(json.dumps(self.cells).encode()).hexdigest()

    def column(self, name: str, kind: Kind | None = None, *, caller: str = "Table.column") -> Column:
        """Return a column, its values converted to its kind.

        Parameters
        ----------
        name : str
            The name of the column.
        kind : str, optional
            ``"text"``, ``"class"``, ``"number"``, ``"series"``, ``"tokens"``, ``"date"``, ``"id"`` or ``"other"``; by
            default it is guessed.
        caller : str
            The name that messages start with.

        Returns
        -------
        Column
            The name, the kind, and one value per row; None where it is missing.

        Raises
        ------
        DataError
            If there is no such column, or a value is none of the kind; the message names the line.
        ArgumentError
            If there is no such kind.
        """
        self.require([name], caller)
        return convert(name, kind or self.kinds[name], self.cells[name], self.lines, caller, self.origin)

    def require(self, names: Iterable[str], caller: str = "Table.require") -> None:
        """Raise unless the table has all these columns.

        Parameters
        ----------
        names : iterable of str
            The names.
        caller : str
            The name that messages start with.

        Raises
        ------
        DataError
            If a column is missing; the message suggests a similar name.
        """
        missing = [name for name in names if name not in self.cells]
        if missing:
            near = difflib.get_close_matches(missing[0], self.cells, 1, 0.5)
            hint = f"did you mean {near[0]!r:.60}?" if near else "check the header."
            raise DataError(
                f"{caller}: expected the column{'s' if len(missing) > 1 else ''} {listed(missing)} in {self.origin}, "
                f"got {listed(self.cells)}; {hint}"
            )

    def describe(self, kinds: Mapping[str, Kind] | None = None) -> str:
        """Return one line per column: its name, kind and range.

        Parameters
        ----------
        kinds : mapping of str to str, optional
            The kinds of some columns; others are guessed.

        Returns
        -------
        str
            The lines, without a line break at the end.

        Raises
        ------
        DataError, ArgumentError
            As `column`.
        """
        width = max(map(len, self.cells))
        columns = [self.column(name, (kinds or {}).get(name)) for name in self.cells]
        return "\n".join(f"{column.name:<{width}}  {column.describe()}" for column in columns)

    def take(self, rows: Sequence[int]) -> Table:
        """Return the table of some rows.

        Parameters
        ----------
        rows : sequence of int
            Their positions, from 0.

        Returns
        -------
        Table
            These rows, in this order.
        """
        cells = {name: [values[row] for row in rows] for name, values in self.cells.items()}
        return Table(cells, [self.lines[row] for row in rows], self.origin, self.layout)

    def write(self, path: str | os.PathLike[str], added: Mapping[str, Sequence[Any]] | None = None) -> None:
        """Write the table in the format of its file, atomically, with more columns at the end.

        Parameters
        ----------
        path : str or path-like
            The file to write or replace.
        added : mapping of str to sequence, optional
            The names and values of more columns; in CoNLL one list of strings per sentence.

        Raises
        ------
        DataError
            If the table has a column of such a name, or quotation marks would be needed and are off.
        ShapeError
            If a column does not have one value per row.
        CheckpointError
            If the file cannot be written.
        """
        added = dict(added or {})
        clash = [name for name in added if name in self.cells]
        if clash:
            raise DataError(
                f"Table.write: expected new column names, got {listed(clash)}, which {self.origin} has; rename them in "
                "the header."
            )
        for name, values in added.items():
            if len(values) != len(self):
                raise ShapeError(
                    f"Table.write: expected {len(self):,} values in column {name!r:.60}, got {len(values):,}; pass "
                    "one per row."
                )
        write_atomically(path, self._text(added).encode(), "Table.write")

    def _text(self, added: dict[str, Sequence[Any]]) -> str:
        layout = self.layout
        if layout.sentences is not None:
            sizes = [len(positions) for positions in layout.sentences.token_lines]
            if any([len(row) for row in column] != sizes for column in added.values()):
                raise ShapeError(
                    "Table.write: expected a value per token of each sentence of the file, got others; pass a list of "
                    "strings per sentence."
                )
            return write_conll(layout.sentences, list(added.values()))
        columns = self.cells | {name: list(values) for name, values in added.items()}
        if layout.format == "jsonl":
            return write_json_lines(columns)
        return write_delimited(columns, layout.delimiter, layout.quotes, layout.header, "Table.write")


def read_table(
    path: str | os.PathLike[str],
    *,
    format: str = "auto",
    delimiter: str | None = None,
    names: Sequence[str] | None = None,
    quotes: bool = True,
    encoding: str = "auto",
    caller: str = "read_table",
) -> Table:
    r"""Read a CSV, TSV, JSON Lines or CoNLL file.

    Encodings, byte order marks and line breaks are handled as in `load_corpus`. Blank lines are skipped, or end a
    sentence in CoNLL. Blank cells and null are missing values. The whole file is checked: a row with more or fewer
    cells than the header is an error.

    Parameters
    ----------
    path : str or path-like
        The file.
    format : str, default "auto"
        ``"csv"``, ``"tsv"``, ``"jsonl"`` or ``"conll"``; ``"auto"`` follows the ending of the name.
    delimiter : str, optional
        The character between two cells of CSV or TSV, or ``"tab"``; by default a comma or a tab.
    names : sequence of str, optional
        The names of the columns of a CSV or TSV file without a header, or of a CoNLL file.
    quotes : bool, default True
        Whether a cell of CSV or TSV may stand in quotation marks, and then contain delimiters and line breaks.
    encoding : str, default "auto"
        UTF-8, or what a byte order mark says; or another encoding, such as ``"latin-1"``.
    caller : str
        The name that messages start with.

    Returns
    -------
    Table
        The rows.

    Raises
    ------
    ArgumentError
        If an option is none of these, or does not fit the format.
    DataError
        If the file is not text, empty, or not in the format; the message names the line.
    CheckpointError
        If the file cannot be opened.

    Examples
    --------
    >>> import pathlib, tempfile
    >>> from tinygrad_seq.data import read_table
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = pathlib.Path(folder, "names.conll")
    ...     _ = path.write_text("Anna B-PER\nsmiles O\n\nHello O\n")
    ...     read_table(path).cells
    {'token': [['Anna', 'smiles'], ['Hello']], 'tag': [['B-PER', 'O'], ['O']]}
    """
    chosen = _format(path, format, caller)
    if delimiter is not None and (chosen not in ("csv", "tsv") or len(_TABS.get(delimiter, delimiter)) != 1):
        raise ArgumentError(
            f"{caller}: expected a delimiter of one character, or 'tab', for CSV or TSV, got {delimiter!r:.40} for "
            f"{chosen}; pass e.g. --delimiter ';' or --format."
        )
    if names is not None and chosen == "jsonl":
        raise ArgumentError(
            f"{caller}: expected no column names for JSON Lines, which has them, got some; leave them out."
        )
    origin = shown(Path(path).name)
    with open_regular(path, caller) as file:
        lines = read_lines(file, caller, origin, encoding)
        if chosen == "conll":
            sentences = read_conll(lines, caller, origin, names)
            return Table(dict(sentences.columns), sentences.numbers, origin, Layout("conll", sentences=sentences))
        if chosen == "jsonl":
            columns, numbers = read_json_lines(lines, caller, origin)
            return Table(columns, numbers, origin, Layout("jsonl"))
        usual = "\t" if chosen == "tsv" else ","
        layout = Layout(chosen, usual if delimiter is None else _TABS.get(delimiter, delimiter), quotes, names is None)
        cells, numbers = read_delimited(
            lines,
            caller,
            origin,
            delimiter=layout.delimiter,
            certain=delimiter is not None,
            quotes=quotes,
            names=names,
        )
        return Table(dict(cells), numbers, origin, layout)


def _format(path: str | os.PathLike[str], format: str, caller: str) -> Format:
    if format == "auto":
        try:
            ending = Path(os.fsdecode(path)).suffix.lower()
        except TypeError as error:
            raise ArgumentError(f"{caller}: expected a path, got {path!r:.80}; pass the name of a file.") from error
        if ending not in _ENDINGS:
            raise ArgumentError(
                f"{caller}: expected a name that ends in {', '.join(_ENDINGS)}, got {shown(Path(path).name)}; pass "
                f"--format with {', '.join(FORMATS)}."
            )
        return _ENDINGS[ending]
    found = next((name for name in FORMATS if name == format), None)
    if found is None:
        raise ArgumentError(
            f"{caller}: expected the format {', '.join(FORMATS)}, got {format!r:.40}; pass one of them."
        )
    return found
