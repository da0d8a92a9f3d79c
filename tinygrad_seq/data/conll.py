"""Read and write files in the style of CoNLL: one token per line, a blank line after each sentence."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from ..errors import DataError
from .delimited import check_names, listed

UNIVERSAL = ("id", "form", "lemma", "upos", "xpos", "feats", "head", "deprel", "deps", "misc")
"""The columns of CoNLL-U, the format of Universal Dependencies."""

_SEPARATORS = {"\t": "one tab", " ": "spaces"}
_NOT_A_WORD = re.compile(r"\d+[-.]\d+")


class Sentences(NamedTuple):
    """The content of a file.

    Attributes
    ----------
    columns
        The tokens of each sentence, per column.
    numbers
        The line at which each sentence starts, from 1.
    lines
        All lines of the file.
    token_lines
        The positions in `lines` of the tokens of each sentence.
    separator
        What stands between two columns: a tab or a space.
    """

    columns: dict[str, list[list[str]]]
    numbers: list[int]
    lines: list[str]
    token_lines: list[list[int]]
    separator: str


def read_conll(lines: Iterable[str], caller: str, origin: str, names: Sequence[str] | None) -> Sentences:
    """Return the sentences of a CoNLL file.

    The columns are separated by tabs if the first token line contains one, else by white space. Left out are
    ``-DOCSTART-`` lines and comments: lines that start with ``#`` before a sentence and do not have the number of
    columns of the others. In a file of ten columns separated by tabs, CoNLL-U, the lines of multi-word tokens (``3-4``)
    and of empty nodes (``8.1``) are left out too.

    Parameters
    ----------
    lines
        The lines, without line breaks.
    caller, origin
        What messages call the function and the file.
    names
        The names of the columns; None: the first is ``token``, the last ``tag``, and others ``column 2``, ...;
        in CoNLL-U they are those of `UNIVERSAL`.

    Returns
    -------
    Sentences
        The columns, and what is needed to write the file with one more.

    Raises
    ------
    DataError
        If the number of columns changes, `names` has another number of names, or there is no token.
    """
    every = list(lines)
    separator, width = _layout(every)
    universal = separator == "\t" and width == len(UNIVERSAL) and names is None
    rows: list[list[list[str]]] = []
    token_lines: list[list[int]] = []
    open_sentence = False
    for position, line in enumerate(every):
        if not line or line.isspace():
            open_sentence = False
            continue
        cells = line.split(separator) if separator == "\t" else line.split()
        if cells[0] == "-DOCSTART-" or (line.startswith("#") and len(cells) != width and not open_sentence):
            continue
        if len(cells) != width:
            raise DataError(
                f"{caller}: expected {width} columns per token in {origin}, as in its first token line, got "
                f"{len(cells)} in line {position + 1}; separate all columns by {_SEPARATORS[separator]}."
            )
        if universal and _NOT_A_WORD.fullmatch(cells[0]):
            continue
        if not open_sentence:
            rows.append([])
            token_lines.append([])
            open_sentence = True
        rows[-1].append(cells)
        token_lines[-1].append(position)
    if not rows:
        raise DataError(f"{caller}: expected lines of tokens in {origin}, got none; check the path.")
    names = names or (UNIVERSAL if universal else _names(width))
    if len(names) != width:
        raise DataError(
            f"{caller}: expected {width} names for the {width} columns of {origin}, got {len(names)}: {listed(names)}; "
            "correct --columns."
        )
    check_names(names, caller, origin)
    columns = {name: [[cells[i] for cells in row] for row in rows] for i, name in enumerate(names)}
    return Sentences(columns, [positions[0] + 1 for positions in token_lines], every, token_lines, separator)


def write_conll(sentences: Sentences, added: Sequence[Sequence[Sequence[str]]]) -> str:
    """Return the lines of the file with more columns at the end of each token; each has a list per sentence."""
    lines = list(sentences.lines)
    for column in added:
        for positions, values in zip(sentences.token_lines, column, strict=True):
            for position, value in zip(positions, values, strict=True):
                line = lines[position] if sentences.separator == "\t" else lines[position].rstrip()
                lines[position] = f"{line}{sentences.separator}{value}"
    return "".join(f"{line}\n" for line in lines)


def _layout(lines: list[str]) -> tuple[str, int]:
    """Return the separator and the number of columns, by the first line that holds a token."""
    for line in lines:
        if line and not line.isspace() and not line.startswith(("#", "-DOCSTART-")):
            return ("\t", len(line.split("\t"))) if "\t" in line else (" ", len(line.split()))
    return " ", 0


def _names(width: int) -> list[str]:
    middle = [f"column {i}" for i in range(2, width)]
    return ["token", *middle, "tag"] if width > 1 else ["token"]
