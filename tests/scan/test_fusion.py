"""Products fused with the loop nests that read them: as separate phases, at all sizes, blocks and tiles."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numba import config

import tinygrad_seq as ts
from tests.scan.case import Case, Result, assert_agree
from tests.scan.cells import CELLS
from tinygrad_seq.base.memo import Memo
from tinygrad_seq.scan import pipeline, program_of, variants
from tinygrad_seq.scan.codegen import emit, fusion, loop_source
from tinygrad_seq.scan.codegen.fusion import Blocks

pytestmark = pytest.mark.skipif(bool(config.DISABLE_JIT), reason="compiled loops")

FUSED = ("elman", "exponential_gate_lstm", "gru", "gru_concat", "lstm", "peephole_lstm", "recurrent_highway")
SIZES = ({"N": 1, "H": 1}, {"N": 8, "H": 5}, {"N": 13, "H": 17}, {"N": 9, "H": 100, "I": 3}, {"N": 3, "H": 140})


def run_anew(case: Case, dtype: str, sizes: dict[str, int], monkeypatch, **options: Any) -> Result:
    """Return the result of a case that is compiled anew."""
    monkeypatch.setattr(variants, "_known", Memo(1000))
    return case.build(dtype, options=options, **sizes).run(True)


def switch_off(monkeypatch) -> None:
    monkeypatch.setattr(loop_source, "fuse_products", lambda _, phases: phases)
    monkeypatch.setattr(pipeline, "products_inside", lambda stages: stages)


@pytest.fixture
def small_blocks(monkeypatch) -> None:
    """Cut loop nests into blocks of one panel and tiles of four rows."""
    columns = fusion.BLOCK_BYTES // 8

    def blocks_of(loop, phase) -> Blocks:
        length = phase.items[0].shape[0]
        return Blocks(length, min(length, columns), 4)

    monkeypatch.setattr(emit, "blocks_of", blocks_of)


@pytest.mark.usefixtures("small_blocks")
@pytest.mark.parametrize("sizes", SIZES, ids=str)
@pytest.mark.parametrize("name", FUSED)
def test_fused_is_unfused(name: str, sizes: dict[str, int], monkeypatch) -> None:
    """To rounding, as LLVM contracts the elementwise work of two texts in two ways."""
    fused = run_anew(CELLS[name], "float32", sizes, monkeypatch)
    switch_off(monkeypatch)
    assert_agree(fused, run_anew(CELLS[name], "float32", sizes, monkeypatch), "float32")


@pytest.mark.usefixtures("small_blocks")
@pytest.mark.parametrize("sizes", SIZES, ids=str)
def test_sums_of_a_product_keep_their_bits(sizes: dict[str, int], monkeypatch) -> None:
    def step(h: Any, x: Any, w: Any, u: Any) -> Any:
        a, b = ts.split(x @ w, 2, axis=-1)
        h = ts.maximum(ts.minimum(h @ u, a), b)
        return h, h

    case = Case(step, "N H", "T N I", {"w": "I 2H", "u": "H H"})
    fused = run_anew(case, "float32", sizes, monkeypatch)
    switch_off(monkeypatch)
    unfused = run_anew(case, "float32", sizes, monkeypatch)
    np.testing.assert_array_equal(fused.outputs[1].numpy(), unfused.outputs[1].numpy())


@pytest.mark.usefixtures("small_blocks")
@pytest.mark.parametrize("options", [{"reverse": True}, {"window": 2}, {"remember": 2}], ids=str)
@pytest.mark.parametrize("name", ["gru", "lstm"])
def test_fused_is_eager(name: str, options: dict[str, Any], monkeypatch) -> None:
    monkeypatch.setattr(variants, "_known", Memo(1000))
    CELLS[name].build("float64", options=options, N=13, H=70).check()


@pytest.mark.usefixtures("small_blocks")
def test_the_operand_of_a_fused_product_is_not_overwritten(monkeypatch) -> None:
    """The sigmoid is saved, and `a` read for the last time there, but only in the first block."""

    w = ts.tensor(
        np.random.default_rng(0).standard_normal((140, 140)) / 12
    )  # of no gradient, which would read `a` again

    def step(h: Any, x: Any, v: Any, u: Any) -> Any:
        a = x @ v
        h = ts.sigmoid(a) * ts.tanh(h @ u + a @ w)
        return h, h

    case = Case(step, "N H", "T N I", {"v": "I H", "u": "H H"})
    monkeypatch.setattr(variants, "_known", Memo(1000))
    case.build("float64", N=9, H=140).check()


def text_of(step: Any, init: ts.Tensor, xs: ts.Tensor) -> str:
    text: str = program_of(step, init, xs).explain()
    return text


def lines_of(step: Any, N: int = 8) -> list[str]:
    """Return what is said of the products of the forward loop of a step on 4 units."""
    text = text_of(step, ts.zeros((N, 4)), ts.ones((3, N, 4)))
    lines = text[text.index("products in the loop") : text.index("source of the forward loop")].splitlines()
    return [line.split(maxsplit=2)[2] for line in lines if line.startswith("    forward")]


W = ts.ones((4, 4)) / 8


def test_products_of_few_rows_stay_outside() -> None:
    fused = "fused with the loop nest of 1 x 4 columns"
    step = lambda h, x: (ts.tanh(h @ W + x @ W),) * 2  # noqa: E731
    assert lines_of(step) == [fused, fused]
    assert lines_of(step, N=fusion.FEW_ROWS - 1) == [fused]


STEPS = {
    "adds up": lambda h, x: (ts.tanh(x * (h @ W).sum(-1, keepdims=True)),) * 2,
    "is a carry": lambda h, x: (h @ W, x),
    "whole pieces": lambda h, x: (ts.tanh(x * (h @ W)[:, :1]),) * 2,
}


@pytest.mark.parametrize("reason", STEPS)
def test_explain_says_why_not(reason: str) -> None:
    (line,) = lines_of(STEPS[reason])
    assert line.startswith("by itself: ")
    assert reason in line


def test_two_loop_nests_read_pieces_of_one_product() -> None:
    """The second one waits for another product, so the first has run on all units when it begins."""
    both = ts.tensor(np.random.default_rng(0).standard_normal((4, 8)).astype(np.float32))

    def step(h: Any, x: Any) -> Any:
        a, b = ts.split(x @ both, 2, axis=-1)
        r = ts.sigmoid(a + h @ W)
        h = ts.tanh(b + (r * h) @ W)
        return h, h

    fused = "the loop nest of 1 x 4 columns"
    assert f"fused with {fused} and {fused}" in lines_of(step)
    xs = ts.randn(3, 9, 4)
    results = [ts.scan(step, ts.zeros((9, 4)), xs, compile=compile)[1].numpy() for compile in (True, False)]
    np.testing.assert_allclose(results[0], results[1], rtol=0, atol=1e-6)
