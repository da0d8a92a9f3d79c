from __future__ import annotations

from typing import Any

import pytest

import tinygrad_seq as ts
from tests.dot_reader import read


def test_a_model_with_its_parameters_by_name() -> None:
    model = ts.nn.Sequential(ts.nn.Linear(3, 4), ts.nn.Tanh())
    y = model(ts.ones((2, 3)))
    graph = read(ts.draw((y * y).sum(), model))
    assert [*graph.boxes] == []
    assert len(graph.nodes) == 6  # four operations, two parameters
    for text in ("0.weight\\n(4, 3) float32", "0.bias\\n(4,) float32", "tanh\\n(2, 4) float32", "sum\\n() float32"):
        assert sum(text in label for label in graph.nodes.values()) == 1
    assert len(graph.edges) == 5  # y * y reads y once in the picture


def test_several_results_names_with_signs_and_leaves_without_one() -> None:
    a, b = ts.ones((4, 2), requires_grad=True), ts.ones(2, requires_grad=True)
    first, second = ts.split(a, 2, axis=0)
    graph = read(ts.draw(first * second + b, {'a "quoted" \\ name\nin two lines': a}))
    assert any(r"a \"quoted\" \\ name\nin two lines" in label for label in graph.nodes.values())
    assert any("leaf" in label for label in graph.nodes.values())
    assert {'[label="result 0"]', '[label="result 1"]'} & {label.strip() for label in graph.edges.values()}
    alone = read(ts.draw(a, {"a": a}))
    assert len(alone.nodes) == 1
    assert not alone.edges
    only = read(ts.draw(second, {"a": a}))
    assert len(only.nodes) == 2


def test_a_long_tape_is_bounded() -> None:
    x = ts.ones(2, requires_grad=True)
    for _ in range(5000):
        x = x * 1.5
    graph = read(ts.draw(x, limit=10))
    assert len(graph.nodes) == 11
    assert any("4,990 older operations, not drawn" in label for label in graph.nodes.values())


def test_checkpointed_operations_and_a_kept_graph_can_be_drawn() -> None:
    x = ts.ones(3, requires_grad=True)
    y = ts.checkpoint(lambda x: (x * x).tanh())(x).sum()
    y.backward(retain_graph=True)
    assert len(read(ts.draw(y)).nodes) >= 3


def test_what_cannot_be_drawn_is_refused() -> None:
    x = ts.ones(3, requires_grad=True)
    freed = (x * x).sum()
    freed.backward()
    refused: list[tuple[Any, dict[str, Any], type[Exception], str]] = [
        (3, {}, ts.ArgumentError, "a Tensor, got int"),
        (x, {"limit": 0}, ts.ArgumentError, "limit to be an integer >= 1, got 0"),
        (x, {"names": ["x"]}, ts.ArgumentError, "got list"),
        (x, {"names": {"x": 1}}, ts.ArgumentError, "got dict"),
        (ts.ones(3), {}, ts.GraphError, "requires no grad"),
        (freed, {}, ts.GraphError, "backward has freed it"),
    ]
    for tensor, options, error, message in refused:
        with pytest.raises(error, match=message):
            ts.draw(tensor, **options)
