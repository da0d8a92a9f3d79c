"""Random graphs: values against NumPy, first and second derivatives against finite differences."""

from __future__ import annotations

from random import Random

import pytest

from tests.testing.net import assert_sound
from tinygrad_seq.ops.primitive import TABLE
from tinygrad_seq.testing.generate import draw_graph
from tinygrad_seq.testing.properties import execute


@pytest.mark.parametrize("seed", range(50))
def test_random_graph(seed: int) -> None:
    assert_sound("graph", seed)


# Draws random numbers, is (part of) a loss, gives its operand another name, or is a loop: tested by tests of their own.
ELSEWHERE = {"alias", "clamped_log", "dropout", "linear_cross_entropy", "scan", "custom_gradient", "scan_gradient"}
ELSEWHERE |= {"at_least", "one_hot_lookup"}  # parts of gaussian_nll_loss and one_hot
ELSEWHERE |= {"logcumsumexp", "nextafter"}  # no compiled form: the same graphs are steps of scans


def test_graphs_reach_every_operation_with_a_gradient(monkeypatch) -> None:
    reached = set()

    def watched(row):
        def forward(*operands, plain=row.forward, **params):
            reached.add(row.name)
            return plain(*operands, **params)

        return forward

    for row in TABLE.values():
        monkeypatch.setattr(row, "forward", watched(row))
    for seed in range(600):
        scope = execute(draw_graph(Random(seed)).definitions())
        code = scope["f"].__code__
        for y in scope["f"](*[scope[name] for name in code.co_varnames[: code.co_argcount]]):
            if getattr(y, "requires_grad", False):
                y.sum().backward(retain_graph=True)
    missing = {name for name, row in TABLE.items() if any(row.rules)} - reached
    assert missing <= ELSEWHERE, " ".join(sorted(missing))
