"""The table that `repr(module)` shows."""

from __future__ import annotations

import io
from collections.abc import Iterable, Iterator
from typing import Any

from .parameter import Buffer, Parameter

# Modules, parameters and buffers with their dotted names; shared ones are repeated.
Found = Iterable[tuple[str, Any]]


def summarise(found: Found) -> Any:
    """Return a `rich.table.Table` with a row for each module, parameter and buffer found, and the total."""
    from rich.box import SIMPLE_HEAD
    from rich.table import Table

    total = frozen = 0
    rows: list[tuple[str, str, str]] = []
    for label, value, shared in _labelled(found):
        if isinstance(value, Parameter) and not shared:
            total += value.size
            frozen += 0 if value.requires_grad else value.size
        if isinstance(value, Parameter | Buffer):
            size = "shared" if shared else "buffer" if isinstance(value, Buffer) else f"{value.size:,}"
            rows.append((label, str(value.shape), size))
        else:
            rows.append((f"{label} (shared)" if shared else label, "", ""))
    table = Table(box=SIMPLE_HEAD, show_footer=True)
    table.add_column("layer", f"total ({frozen:,} frozen)" if frozen else "total", no_wrap=True)
    table.add_column("shape", no_wrap=True)
    table.add_column("parameters", f"{total:,}", justify="right", no_wrap=True)
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
    Console(file=text, width=120, color_system=None).print(summarise(found))
    return "\n".join(line.rstrip() for line in text.getvalue().splitlines()).strip("\n")
