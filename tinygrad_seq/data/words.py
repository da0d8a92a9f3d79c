"""Split text into words and punctuation, and join them to readable text."""

from __future__ import annotations

import re
from collections.abc import Iterable

END_OF_UNIT = "\ud800"
"""A lone surrogate, which decoded text cannot contain: it marks the places where a text has ``<EOS>``."""

_TOKEN = re.compile(
    r"""
    \w+ (?: (?: [.'’-] | (?<=\d),(?=\d) ) \w+ )*        # a word: don't, well-known, os.path, 1,000.50
    | \n | \ud800                                       # END_OF_UNIT
    | (?P<sign>[^\w\s]) (?P=sign)*                      # punctuation; a repeated sign is one token: ... == '''
    """,
    re.VERBOSE,
)
_CLOSING = frozenset(".,;:!?)]}%…”’»")
_OPENING = frozenset("([{“‘«")
_QUOTES = frozenset("\"'`")


def tokenize_words(text: str) -> list[str]:
    r"""Split a text into words, punctuation and line breaks; other white space is dropped.

    Parameters
    ----------
    text : str
        The text.

    Returns
    -------
    list of str
        The tokens, in order.

    Examples
    --------
    >>> tokenize_words('Well-known (since 1,000 years): "cats", don\'t purr...\n')
    ['Well-known', '(', 'since', '1,000', 'years', ')', ':', '"', 'cats', '"', ',', "don't", 'purr', '...', '\n']
    """
    return [match.group() for match in _TOKEN.finditer(text)]


def join_words(tokens: Iterable[str]) -> str:
    r"""Join tokens to readable text that `tokenize_words` splits into the same tokens.

    Tokens are separated by one space, except around a line break, before closing punctuation, after an opening bracket
    and inside quotes (the first quote of a line opens, the next one of its kind closes).

    Parameters
    ----------
    tokens : iterable of str
        Tokens as `tokenize_words` returns them.

    Returns
    -------
    str
        The text.

    Examples
    --------
    >>> join_words(['"', "Cats", '"', ",", "(", "really", ")", "...", "\n", "purr", "!"])
    '"Cats", (really)...\npurr!'
    """
    return "".join(map(WordJoiner().add, tokens))


class Joiner:
    """Join tokens to a text, one at a time; this one puts nothing between them."""

    def add(self, token: str) -> str:
        """Return the text that `token` adds."""
        return token

    def finish(self) -> str:
        """Return the text that is still held back."""
        return ""


class WordJoiner(Joiner):
    """Join words one at a time, as `join_words` does."""

    def __init__(self) -> None:
        self._open_quotes: set[str] = set()
        self._left, self._left_opens = "\n", True

    def add(self, token: str) -> str:
        closes, opens = token[0] in _CLOSING, token[0] in _OPENING
        if token == "\n":
            self._open_quotes.clear()
            closes = opens = True
        elif token[0] in _QUOTES:
            closes = token in self._open_quotes
            opens = not closes
            self._open_quotes ^= {token}
        merges = self._left[-1] == token[0] != "\n"
        spaced = merges or not (self._left_opens or closes)
        self._left, self._left_opens = token, opens
        return f" {token}" if spaced else token
