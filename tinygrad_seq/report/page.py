"""The HTML page of a report: one file that needs nothing else."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from .markup import Markup, element, join
from .sections import Section

_CONTROLS = {code: "\ufffd" for code in range(32) if chr(code) not in "\t\n\r"}
"""Control characters, which a sample may hold, are no characters of HTML."""
_STYLE = Path(__file__).with_name("page.css")


def write_page(
    title: str, summary: str, headline: Markup, notes: Iterable[str], sections: Iterable[Section], refresh: int = 0
) -> bytes:
    """Return the page; with `refresh` it loads itself again after so many seconds."""
    sections = [*sections]
    style = Markup(_STYLE.read_text(encoding="utf-8"))
    head = [
        element("meta", charset="utf-8"),
        element("meta", name="viewport", content="width=device-width, initial-scale=1"),
        element("meta", name="color-scheme", content="light dark"),
        *([element("meta", http_equiv="refresh", content=str(refresh))] if refresh else []),
        element("title", title),
        element("link", rel="icon", href="data:,"),  # or the browser asks for favicon.ico
        element("style", style),
    ]
    contents = [element("li", element("a", section.title, href=f"#{section.name}")) for section in sections]
    body = [
        element("header", element("h1", title), element("p", summary, class_="summary"), headline),
        *[element("p", note, class_="missing") for note in notes],
        element("nav", element("ol", *contents), aria_label="Contents"),
        element("main", *[_section(section) for section in sections]),
    ]
    page = element("html", element("head", *head), element("body", *body), lang="en")
    return f"<!doctype html>\n{page}\n".translate(_CONTROLS).encode("utf-8", "replace")


def _section(section: Section) -> Markup:
    return element("section", element("h2", section.title), join(section.content), id=section.name)
