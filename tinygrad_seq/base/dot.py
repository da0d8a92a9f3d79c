"""Graphs as text in DOT, the language of Graphviz."""

from __future__ import annotations

from collections.abc import Iterable

_STYLE = (
    'graph [rankdir=TB, fontname="Helvetica", fontsize=11, ranksep=0.35, nodesep=0.25]',
    'node [shape=box, style="rounded,filled", fillcolor="white", fontname="Helvetica", fontsize=10, margin="0.1,0.04"]',
    'edge [color="#666666", arrowsize=0.6, fontname="Helvetica", fontsize=9]',
)


def quoted(text: str) -> str:
    r"""Return a text as a DOT string; line breaks stay line breaks of the label.

    Examples
    --------
    >>> print(quoted('a "b"'))
    "a \"b\""
    """
    escaped = text.replace("\\", "\\\\").replace('"', '\\"').replace("\r", "").replace("\n", "\\n").replace("\0", "")
    return f'"{escaped}"'


def node(name: str, label: str, **attributes: str) -> str:
    """Return the line of a node."""
    return f"{quoted(name)}{_attributes(label=label, **attributes)}"


def edge(start: str, end: str, **attributes: str) -> str:
    """Return the line of an edge."""
    return f"{quoted(start)} -> {quoted(end)}{_attributes(**attributes)}"


def cluster(name: str, label: str, lines: Iterable[str]) -> list[str]:
    """Return the lines of a box around nodes, or nothing around nothing."""
    inside = [f"    {line}" for line in lines]
    return [f"subgraph {quoted('cluster ' + name)} {{", f"    label={quoted(label)}", *inside, "}"] if inside else []


def graph(name: str, lines: Iterable[str]) -> str:
    """Return a directed graph."""
    return "\n".join([f"digraph {quoted(name)} {{", *[f"    {line}" for line in (*_STYLE, *lines)], "}"]) + "\n"


def _attributes(**attributes: str) -> str:
    return f" [{', '.join([f'{key}={quoted(value)}' for key, value in attributes.items()])}]" if attributes else ""
