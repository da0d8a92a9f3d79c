"""Read back the graphs that the package writes in DOT."""

from __future__ import annotations

import re
from typing import NamedTuple

_STRING = r'"(?:[^"\\\n]|\\.)*"'
_ATTRIBUTES = rf"(?: \[\w+={_STRING}(?:, \w+={_STRING})*\])?"
_NODE = re.compile(rf"({_STRING})({_ATTRIBUTES})")
_EDGE = re.compile(rf"({_STRING}) -> ({_STRING})({_ATTRIBUTES})")
_OTHER = re.compile(rf"(graph|node|edge) \[.*\]|subgraph {_STRING} \{{|label={_STRING}|\}}|digraph {_STRING} \{{")


class Graph(NamedTuple):
    """The labels of the nodes by name, the edges with their attributes, and the labels of the boxes."""

    nodes: dict[str, str]
    edges: dict[tuple[str, str], str]
    boxes: list[str]


def read(text: str) -> Graph:
    """Return the graph in `text`; each line must be one of the forms that the package writes."""
    graph = Graph({}, {}, [])
    for line in map(str.strip, text.splitlines()):
        if found := _EDGE.fullmatch(line):
            graph.edges[found[1], found[2]] = found[3]
        elif _OTHER.fullmatch(line):
            graph.boxes.extend(re.findall(rf"^label=({_STRING})", line))
        else:
            found = _NODE.fullmatch(line)
            assert found is not None, line
            assert found[1] not in graph.nodes
            graph.nodes[found[1]] = found[2]
    assert text.count("{") == text.count("}")
    assert {end for pair in graph.edges for end in pair} <= graph.nodes.keys()
    return graph
