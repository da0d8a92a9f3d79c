"""Products fused with the loop nests that read them: as separate phases, at all sizes, blocks and tiles."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numba import config

import tinygrad_seq as ts
from tests.grad_of import grad_of
from tests.scan.case import Case, Problem, Result, assert_agree
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
    monkeypatch.setattr(pipeline, "products_inside", lambda stages, _: stages)


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


@pytest.mark.parametrize("H", [40, 130])
def test_products_of_two_dtypes_in_one_loop_nest(H: int) -> None:
    """Their panels have different widths; a block holds whole panels of both."""
    rng = np.random.default_rng(0)
    U, V = (ts.tensor((rng.standard_normal((H, H)) / H).astype(dtype)) for dtype in ("float32", "float64"))

    def step(carry: Any, x: Any) -> Any:
        h, c = carry
        wide = c @ V
        new = ts.tanh(wide + h @ U + x)
        return (new.astype("float32"), new * 0.5), new

    init = ts.ones((2, H)), ts.ones((2, H), dtype="float64")
    xs = ts.tensor(rng.standard_normal((3, 2, H)))
    text = program_of(step, init, xs).explain()
    assert text.count(f"fused with the loop nest of 1 x {H} columns") == 2
    results = [ts.scan(step, init, xs, compile=compile)[1].numpy() for compile in (True, False)]
    np.testing.assert_allclose(results[0], results[1], rtol=0, atol=1e-6)


INSIDE = {
    "saved for the backward step": lambda p, q: p * q,
    "an output": lambda p, q: p,
}


@pytest.mark.parametrize("y", INSIDE.values(), ids=INSIDE)
def test_products_of_inputs_that_are_read_later_stay_outside(y: Any) -> None:
    rng = np.random.default_rng(0)
    U, V, h, xs = (
        ts.tensor(rng.standard_normal(shape) / 2, requires_grad=True) for shape in ((4, 4), (4, 4), (9, 4), (3, 9, 4))
    )

    def step(h: Any, x: Any) -> Any:
        p = x @ V
        q = ts.tanh(h @ U + p)
        return ts.tanh(q @ U + p * q), y(p, q)

    Problem(step, h, xs, {"U": U, "V": V}).check()


def test_no_units() -> None:
    U, V = ts.zeros((0, 0)), ts.zeros((3, 0))
    last, ys = ts.scan(lambda h, x: (ts.tanh(h @ U + x @ V),) * 2, ts.zeros((9, 0)), ts.ones((2, 9, 3)), compile=True)
    assert (last.shape, ys.shape) == ((9, 0), (2, 9, 0))


@pytest.mark.parametrize("rows", [(1, 1), (2, 9)], ids=str)
def test_no_features(rows: Any) -> None:
    V, xs, h = (ts.ones(shape, dtype=np.float64, requires_grad=True) for shape in ((0, 3), (*rows, 0), (rows[1], 3)))

    def step(h: Any, x: Any) -> Any:
        return ts.tanh(h + x @ V), h

    Problem(step, h, xs, {"V": V}).check()
    with ts.no_grad():
        for _ in range(3):  # with the same matrix: a packed one would be kept
            assert ts.scan(step, h, xs, compile=True)[0].shape == h.shape


def test_no_rows() -> None:
    """The gradient of a matrix is then zero."""
    U, h, xs = ts.ones((5, 5), requires_grad=True), ts.ones((0, 5)), ts.ones((2, 0, 5))
    _, ys = ts.scan(lambda h, x: (ts.tanh(h @ U + x),) * 2, h, xs, compile=True)
    ys.sum().backward()
    assert not grad_of(U).numpy().any()
