from __future__ import annotations

from typing import Any

import pytest

import tinygrad_seq as ts
from tests.dot_reader import read

BOXES = ["before: all times at once", "during: the loop over time", "after: all times at once"]


@pytest.mark.parametrize("name", ["GRU", "LSTM", "linear attention"])
def test_every_operation_of_explain_is_drawn_once(name: str) -> None:
    layer: Any = ts.nn.Recurrent(ts.nn.LinearAttentionCell(3, 4)) if " " in name else getattr(ts.nn, name)(3, 4)
    xs = ts.zeros((5, 2, 3), requires_grad=True)
    text, graph = layer.explain(xs), read(layer.draw(xs))
    stages = text.split("\n\nwork of one step")[0].split("\n\nmemory")[0]
    equations = [line for line in stages.splitlines() if line.startswith("        ") and " = " in line]
    drawn = [label for label in graph.nodes.values() if "ellipse" not in label]
    replayed = sum(box.strip('"').startswith("replay") for box in graph.boxes)
    assert replayed == (name == "linear attention")
    assert len(drawn) >= len(equations)
    if not replayed:
        assert len(drawn) == len(equations)
    assert {box.strip('"') for box in graph.boxes} - {"replay: the forward loop runs again"} <= {
        "forward",
        "backward",
        *BOXES,
    }
    assert any("next step" in attributes for attributes in graph.edges.values())
    assert any("dotted" in attributes for attributes in graph.edges.values())


def test_without_gradients_there_is_no_backward_and_long_stages_are_bounded() -> None:
    layer = ts.nn.GRU(3, 4)
    for parameter in layer.parameters():
        parameter.requires_grad = False
    graph = read(layer.draw(ts.zeros((5, 2, 3)), limit=2))
    assert '"backward"' not in graph.boxes
    assert any("more, not drawn" in label for label in graph.nodes.values())


def test_what_cannot_be_drawn_is_refused() -> None:
    layer = ts.nn.GRU(3, 4)
    with pytest.raises(ts.ShapeError, match=r"GRU\.draw: expected xs \(T, N"):
        layer.draw(ts.zeros(3))
    with pytest.raises(ts.ArgumentError, match=r"GRU\.draw: expected layer"):
        layer.draw(ts.zeros((5, 2, 3)), layer=1)
    with pytest.raises(ts.ArgumentError, match=r"GRU\.draw: expected limit"):
        layer.draw(ts.zeros((5, 2, 3)), limit=0)
