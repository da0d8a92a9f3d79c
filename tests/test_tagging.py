"""Names for the values inside a cell."""

from __future__ import annotations

import numpy as np
import pytest

import tinygrad_seq as ts
from tinygrad_seq.autograd.tagging import collect_tags


def test_a_tag_returns_its_value_and_names_it_to_a_collector() -> None:
    x = ts.ones(3)
    assert ts.tag(x, "gate") is x
    with collect_tags() as outer:
        ts.tag(x, "gate")
        with collect_tags() as inner:
            ts.tag(x, "gate")
    assert outer == {"gate": x}
    assert inner == {"gate": x}


@pytest.mark.parametrize("name", ["", 3])
def test_a_name_that_is_none_is_refused(name: str) -> None:
    with pytest.raises(ts.ArgumentError, match="tag: expected a non-empty name"):
        ts.tag(ts.ones(3), name)


def test_a_name_given_again_in_a_step_is_numbered() -> None:
    values = [ts.ones(3) * n for n in range(4)]
    with collect_tags() as found:
        for value, name in zip(values, ("gate", "gate_2", "gate", "gate"), strict=True):
            ts.tag(value, name)
    assert found == dict(zip(("gate", "gate_2", "gate_3", "gate_4"), values, strict=True))


def test_the_cells_tag_their_gates() -> None:
    x = ts.tensor(np.ones((2, 3)), dtype="float32")
    for cell, names in (
        (ts.nn.LSTMCell(3, 4), {"input_gate", "forget_gate", "candidate", "output_gate"}),
        (ts.nn.GRUCell(3, 4), {"reset_gate", "update_gate", "candidate"}),
        (ts.nn.NotesGRUCell(3, 4), {"relevance_gate", "update_gate", "candidate"}),
        (ts.nn.NotesSimplifiedGRUCell(3, 4), {"update_gate", "candidate"}),
        (ts.nn.NotesLSTMCell(3, 4), {"update_gate", "forget_gate", "output_gate", "candidate"}),
    ):
        with collect_tags() as found:
            cell(x)
        assert found.keys() == names
