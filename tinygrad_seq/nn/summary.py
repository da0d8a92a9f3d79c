"""The table that `repr(module)` shows."""

from __future__ import annotations

import io
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from .parameter import Buffer, Parameter

if TYPE_CHECKING:
    from .module import Module


def summarise(module: Module) -> Any:
    """Return a `rich.table.Table` with a row per module, parameter and buffer of `module`, and the total."""
    from rich.box import SIMPLE_HEAD
    from rich.table import Table

    table = Table(box=SIMPLE_HEAD, show_footer=True)
    trained, total = module.count_parameters(trainable=True), module.count_parameters()
    frozen = f" ({total - trained:,} frozen)" if trained < total else ""
    table.add_column("layer", f"total{frozen}", no_wrap=True)
    table.add_column("shape", no_wrap=True)
    table.add_column("parameters", f"{total:,}", justify="right", no_wrap=True)
    for label, found, shared in _rows(module):
        if isinstance(found, Parameter | Buffer):
            size = "shared" if shared else "buffer" if isinstance(found, Buffer) else f"{found.size:,}"
            table.add_row(label, str(found.shape), size)
        else:
            table.add_row(f"{label} (shared)" if shared else label)
    return table


def _rows(module: Module) -> Iterator[tuple[str, Any, bool]]:
    """Yield the label, the thing itself and whether it has come before, for each row of the table."""
    from .module import Module, walk

    inside: list[str] = []  # names of the modules around
    seen: set[int] = set()
    for name, found in walk(module):
        while inside and not name.startswith(inside[-1]):
            inside.pop()
        label = "  " * len(inside) + name.removeprefix(inside[-1] if inside else "")
        if isinstance(found, Module):
            kind = type(found).__name__
            yield f"{label} {kind}" if name else kind, found, id(found) in seen
            inside.append(f"{name}." if name else "")
        else:
            yield label, found, id(found) in seen
        seen.add(id(found))


def as_text(module: Module) -> str:
    """Return the summary of `module` as plain text."""
    from rich.console import Console

    text = io.StringIO()
    Console(file=text, width=120, color_system=None).print(summarise(module))
    return "\n".join(line.rstrip() for line in text.getvalue().splitlines()).strip("\n")
