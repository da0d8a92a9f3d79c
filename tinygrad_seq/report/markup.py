"""HTML that escapes by default: a plain string is text, only a `Markup` is inserted as it is."""

from __future__ import annotations

import html
from collections.abc import Iterable, Sequence

from ..base.files import printable

_VOID = {"link", "meta"}


class Markup(str):
    """A piece of HTML that is safe to insert."""

    __slots__ = ()


def element(name: str, /, *content: str, **attributes: str | bool) -> Markup:
    """Return an HTML element.

    Parameters
    ----------
    name
        The name of the tag.
    *content
        Texts, which are escaped, and `Markup`.
    **attributes
        Values are escaped; True is an attribute without a value, False none. ``class_`` is ``class``, ``http_equiv`` is
        ``http-equiv``.

    Examples
    --------
    >>> element("p", "2 < 3 ", element("b", "yes"), class_="note")
    '<p class="note">2 &lt; 3 <b>yes</b></p>'
    """
    written = [name]
    for key, value in attributes.items():
        key = key.rstrip("_").replace("_", "-")
        if value is not False:
            written.append(key if value is True else f'{key}="{html.escape(value)}"')
    opening = f"<{' '.join(written)}>"
    return Markup(opening if name in _VOID else f"{opening}{join(content)}</{name}>")


def join(content: Iterable[str]) -> Markup:
    """Return texts, which are escaped, and `Markup` in one piece."""
    return Markup("".join([part if isinstance(part, Markup) else html.escape(part, quote=False) for part in content]))


def table(headings: Sequence[str], rows: Iterable[Sequence[str]]) -> Markup:
    """Return a table; the first column is text, the others are numbers aligned to the right."""
    head = element("tr", *[element("th", heading, scope="col") for heading in headings])
    body = [
        element("tr", element("th", first, scope="row"), *[element("td", cell) for cell in rest])
        for first, *rest in rows
    ]
    return scrolling(element("table", element("thead", head), element("tbody", *body)))


def facts(pairs: Iterable[tuple[str, str]]) -> Markup:
    """Return a list of names and values."""
    return element("dl", *[join([element("dt", name), element("dd", value)]) for name, value in pairs])


def scrolling(content: Markup) -> Markup:
    """Return content that may be wider than the page in a box that scrolls sideways."""
    return element("div", content, class_="scroll", tabindex="0")


def folded(summary: str, *content: str, is_open: bool = False) -> Markup:
    """Return content that a click unfolds."""
    return element("details", element("summary", summary), *content, open=is_open)


def missing(text: str) -> Markup:
    """Return the note that stands in place of something that cannot be shown."""
    return element("p", text, class_="missing")


def visible(token: str) -> str:
    r"""Return a token with its spaces, line breaks and control characters made visible.

    Examples
    --------
    >>> visible(" the"), visible(chr(10)), visible(chr(7))
    ('␣the', '↵', '\\x07')
    """
    return printable(token.replace(" ", "␣").replace("\n", "↵").replace("\t", "⇥"))
