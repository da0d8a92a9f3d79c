"""The table that `repr(module)` shows."""

from __future__ import annotations

import html
import io
from collections.abc import Iterable, Iterator
from typing import Any

from .parameter import Buffer, Parameter

# Modules, parameters and buffers with their dotted names; shared ones are repeated.
Found = Iterable[tuple[str, Any]]


Row = tuple[str, str, str]
HEADINGS: Row = ("layer", "shape", "parameters")


def _table(found: Found) -> tuple[list[Row], Row]:
    """Return a table row for each module, parameter and buffer found, and the total."""
    total = frozen = 0
    rows: list[Row] = []
    for label, value, shared in _labelled(found):
        if isinstance(value, Parameter) and not shared:
            total += value.size
            frozen += 0 if value.requires_grad else value.size
        if isinstance(value, Parameter | Buffer):
            size = "shared" if shared else "buffer" if isinstance(value, Buffer) else f"{value.size:,}"
            rows.append((label, str(value.shape), size))
        else:
            rows.append((f"{label} (shared)" if shared else label, "", ""))
    return rows, (f"total ({frozen:,} frozen)" if frozen else "total", "", f"{total:,}")


def summarise(found: Found) -> Any:
    """Return the summary as a `rich.table.Table`."""
    from rich.box import SIMPLE_HEAD
    from rich.table import Table

    rows, totals = _table(found)
    table = Table(box=SIMPLE_HEAD, show_footer=True)
    for heading, total in zip(HEADINGS, totals, strict=True):
        table.add_column(heading, total, justify="right" if heading == "parameters" else "left", no_wrap=True)
    for row in rows:
        table.add_row(*row)
    return table


def _labelled(found: Found) -> Iterator[tuple[str, Any, bool]]:
    """Yield an indented label for each thing found, the thing, and whether it was found before."""
    inside: list[str] = []  # the name prefixes of the enclosing modules
    seen: set[int] = set()
    for name, value in found:
        while inside and not name.startswith(inside[-1]):
            inside.pop()
        label = "  " * len(inside) + name.removeprefix(inside[-1] if inside else "")
        if isinstance(value, Parameter | Buffer):
            yield label, value, id(value) in seen
        else:
            kind = type(value).__name__
            yield f"{label} {kind}" if name else kind, value, id(value) in seen
            inside.append(f"{name}." if name else "")
        seen.add(id(value))


def as_text(found: Found) -> str:
    """Return the summary as plain text."""
    from rich.console import Console

    text = io.StringIO()
    # In a notebook a console would otherwise draw into the output of the cell.
    Console(file=text, width=120, color_system=None, force_jupyter=False).print(summarise(found))
    return "\n".join(line.rstrip() for line in text.getvalue().splitlines()).strip("\n")


def as_html(found: Found) -> str:
    """Return the summary as an HTML table, which notebooks show."""
    rows, totals = _table(found)
    head, *body, foot = (
        "".join(
            f'<{cell} style="text-align: {side}; white-space: pre">{html.escape(text)}</{cell}>'
            for text, side in zip(row, ("left", "left", "right"), strict=True)
        )
        for row, cell in ((HEADINGS, "th"), *((row, "td") for row in rows), (totals, "th"))
    )
    lines = "".join(f"<tr>{line}</tr>" for line in body)
    return f"<table><thead><tr>{head}</tr></thead><tbody>{lines}</tbody><tfoot><tr>{foot}</tr></tfoot></table>"
