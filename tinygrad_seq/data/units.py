"""The units of a text, paragraphs, lines or documents, as a stream of pieces in which `END_OF_UNIT` ends each unit."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator

from .words import END_OF_UNIT

PIECE = 1 << 18
_LONGEST = 1 << 22
_BLANK = re.compile(r"\n\s*\n")

# Replaces each separator of two units by END_OF_UNIT. A separator reaches from the first to the last line break of a
# run of white space. For lines, to collapse blank lines first is five times as fast as one pattern for both.
_SEPARATE: dict[str, Callable[[str], str]] = {
    "paragraph": lambda text: _BLANK.sub(END_OF_UNIT, text),
    "line": lambda text: _BLANK.sub("\n", text).replace("\n", END_OF_UNIT),
    "document": lambda text: text,
}


def mark_units(documents: Iterable[Iterable[str]], unit: str) -> Iterator[str]:
    r"""Yield the text of `documents` with `END_OF_UNIT` at the start and after every unit, without blank units.

    The pieces are cut at white space or `END_OF_UNIT`, so that no word is cut, unless a text has no white
    space for millions of characters. Memory does not depend on the length of a document or unit.

    Parameters
    ----------
    documents : iterable of iterable of str
        Each document as pieces of text, cut anywhere.
    unit : str
        ``"paragraph"`` (separated by blank lines), ``"line"`` or ``"document"``. Line breaks around a unit are left
        out.

    Yields
    ------
    str
        A piece of about 260,000 characters.

    Examples
    --------
    >>> text = "".join(mark_units([["one\n  t", "wo\n\n", "\n  three\n"], ["four"]], "paragraph"))
    >>> text.replace(END_OF_UNIT, "|")
    '|one\n  two|  three|four|'
    """
    waiting, size = [END_OF_UNIT], 1
    for document in documents:
        for piece in _mark(document, _SEPARATE[unit]):
            waiting.append(piece)
            size += len(piece)
            if size >= PIECE:
                yield "".join(waiting)
                waiting, size = [], 0
    if waiting:
        yield "".join(waiting)


def _mark(document: Iterable[str], separate: Callable[[str], str]) -> Iterator[str]:
    """Yield the text of one document with its units marked.

    White space waits until the text after it is known, since a separator may go on in the next piece.
    """
    held: list[str] = []
    new, begun = 0, False
    for piece in document:
        held.append(piece)
        new += len(piece)
        if new < PIECE or piece.isspace():
            continue
        text, new = "".join(held), 0
        head = text.rstrip()
        if len(head) == len(text):  # the last word may go on
            head = text[: max(text.rfind("\n"), text.rfind(" "), 0)].rstrip()
            if not head and len(text) > _LONGEST:
                head = text
        held = [text[len(head) :]]
        if head:
            yield separate(head if begun else _without_blank_start(head, separate))
            begun = True
    text = "".join(held)
    head = text.rstrip()
    if head or begun:
        end = separate(text[len(head) :]).partition(END_OF_UNIT)[0].rstrip("\n")
        yield separate(head if begun else _without_blank_start(head, separate)) + end + END_OF_UNIT


def _without_blank_start(text: str, separate: Callable[[str], str]) -> str:
    rest = text.lstrip()
    return separate(text[: len(text) - len(rest)]).rpartition(END_OF_UNIT)[2].lstrip("\n") + rest
