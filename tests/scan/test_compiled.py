"""Compiled equals eager: values and gradients of every cell and every trap, at all sizes, for any number of threads."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numba.core import config, event

import tinygrad_seq as ts
from tests.scan.case import SIZES, Problem, Result, assert_agree, assert_close, projected
from tests.scan.cells import CELLS
from tests.scan.traps import TRAPS
from tinygrad_seq import nn
from tinygrad_seq.base.tree import flatten
from tinygrad_seq.kernels.compile.generated import compilations
from tinygrad_seq.scan.run.batched import product

CASES = CELLS | TRAPS


@pytest.fixture
def threads():
    """Put the number of threads back that a test has changed."""
    before = ts.get_num_threads()
    yield
    ts.set_num_threads(before)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", CELLS)
def test_cell(name: str, dtype: str) -> None:
    CELLS[name].build(dtype).check()


@pytest.mark.parametrize("name", TRAPS)
def test_trap(name: str) -> None:
    TRAPS[name].build().check()


@pytest.mark.parametrize("name", ["integers_and_flags_in_the_carry", "slices", "selections", "powers", "reductions"])
def test_trap_in_float32(name: str) -> None:
    TRAPS[name].build("float32").check()


LIBRARY = {
    "elman": lambda: nn.ElmanCell(4, 6, nonlinearity="relu"),
    "gru": lambda: nn.GRUCell(4, 6),
    "lstm without bias": lambda: nn.LSTMCell(4, 6, bias=False),
    "notes rnn": lambda: nn.NotesRNNCell(4, 6),
    "notes simplified gru": lambda: nn.NotesSimplifiedGRUCell(4, 6),
    "notes gru": lambda: nn.NotesGRUCell(4, 6),
    "notes lstm": lambda: nn.NotesLSTMCell(4, 6),
}


@pytest.mark.parametrize("name", LIBRARY)
def test_cell_of_the_library(name: str, rng) -> None:
    cell = LIBRARY[name]().double()
    xs = ts.tensor(rng.standard_normal((5, 3, 4)), requires_grad=True)
    init = cell.initial_state(3)
    for state in flatten(init)[0]:
        state.copy_(rng.standard_normal(state.shape)).requires_grad = True
    Problem(lambda h, x: cell(x, h)[::-1], init, xs, dict(cell.named_parameters())).check()


# ---------------------------------------------------------------------------------------------------------- options


@pytest.mark.parametrize("name", CASES)
def test_options(name: str) -> None:
    """In one test per case, as they share the compiled loops."""
    for reverse, window, remember in (
        (True, None, "all"), (False, 1, "all"), (True, 2, "all"), (False, 6, "all"), (False, 3, 2), (True, None, 2)
    ):  # fmt: skip
        CASES[name].build(options={"reverse": reverse, "window": window, "remember": remember}).check()


@pytest.mark.parametrize("name", CASES)
def test_gradient_of_the_last_carry_or_of_the_outputs_alone(name: str) -> None:
    for part in (slice(1), slice(1, None)):
        CASES[name].build(options={"window": 2}).check(part)


def test_window_cuts_the_gradient_and_nothing_else() -> None:
    full, cut = (CELLS["lstm"].build(options={"window": window}).check() for window in (None, 2))
    assert_agree(Result(cut.outputs, {}), Result(full.outputs, {}), "float64")
    found, without = cut.gradients["weights.u"], full.gradients["weights.u"]
    assert found is not None
    assert without is not None
    assert np.abs(found - without).max() > 1e-3


# ------------------------------------------------------------------------------------------------------------ sizes


@pytest.mark.parametrize("T", [0, 1, 2, 7])
@pytest.mark.parametrize("name", ["lstm", "columns", "constants_of_every_shape"])
def test_sizes_that_fill_no_tile(name: str, T: int) -> None:
    for N in (1, 3):
        for H in (1, 7, 130):
            CASES[name].build(T=T, N=N, H=H).check()


# Steps that cut an axis, so that nothing is left of it at size 1.
CUTTING = {
    "outputs_that_are_inputs", "weight_in_every_role", "slices", "heads", "products_of_slices_of_rank_three",
    "product_as_a_part_of_a_concat", "constants_like_a_value", "slices_that_overlap",
}  # fmt: skip


@pytest.mark.parametrize("name", sorted(CASES.keys() - CUTTING))
def test_sizes_of_one(name: str) -> None:
    """Where an axis of size 1 lies between others, strides say nothing of it, and everything of the others."""
    for sizes in ({"N": 1, "H": 1}, {"D": 1, "S": 1, "I": 1}):
        CASES[name].build(options=None, **sizes).check()


SHAPED = ["minimal_gru_in_columns", "delta_net", "linear_attention", "heads", "stacked", "einsums"]


@pytest.mark.parametrize("name", SHAPED)
def test_sizes_that_happen_to_be_equal(name: str) -> None:
    """A program made where N = H must not be taken where they differ, nor the other way round."""
    for size in (2, None, 4):
        CASES[name].build(options=None, **dict.fromkeys(SIZES, size) if size else {}).check()


@pytest.mark.parametrize("size", ["S", "D"])
def test_inner_sizes_of_one(size: str) -> None:
    CELLS["turing_machine"].build(options=None, **{size: 1}).check()


def test_other_sizes_compile_nothing() -> None:
    for N in (3, 8):  # few and many rows have a text each
        CELLS["lstm"].build("float32", T=2, N=N, H=7).check()
    before = compilations()
    with event.install_recorder("numba:compile") as compiled:
        CELLS["lstm"].build("float32", T=9, N=17, I=5, H=130).check()
    assert (compilations() - before, compiled.buffer) == (0, [])


@pytest.mark.parametrize("name", ["elman", "layer_norm_lstm", "delta_net"])
def test_large_enough_for_every_path_of_the_products(name: str) -> None:
    CELLS[name].build("float32", T=3, N=70, I=90, H=150, D=40).check()


# ------------------------------------------------------------------------------------------- parts of the gradient


@pytest.mark.parametrize("part", [slice(0, 1), slice(1, 2)], ids=["carry", "ys"])
@pytest.mark.parametrize("name", ["lstm", "delay_line", "dead_part_of_the_carry", "nested"])
def test_one_result_used(name: str, part: slice) -> None:
    CASES[name].build().check(part)


WANTED = [{"init.0"}, {"xs"}, {"weights.u"}, {"weights.b", "init.1"}, set()]


@pytest.mark.parametrize("wanted", WANTED, ids=lambda names: "+".join(sorted(names)) or "none")
def test_gradient_of_some_inputs(wanted: set[str]) -> None:
    problem = CELLS["lstm"].build()
    for name, leaf in problem.leaves().items():
        leaf.requires_grad = name in wanted
    result = problem.check()
    assert result.gradients.keys() == wanted
    assert all(gradient is not None for gradient in result.gradients.values())
    assert [part.requires_grad for part in flatten(result.outputs)[0]] == [bool(wanted)] * 3


def test_what_is_not_used_gets_no_gradient() -> None:
    gradients = TRAPS["unused_input_and_weight"].build().check().gradients
    assert {name for name, gradient in gradients.items() if gradient is None} == {"xs.unused", "weights.unused"}


# ------------------------------------------------------------------------------------------------------- exactness


SPLIT = ["lstm", "layer_norm_lstm", "sru", "delta_net", "token", "reduction_over_the_batch", "mixed_dtypes"]


@pytest.mark.parametrize("name", SPLIT)
def test_same_bits_for_any_number_of_threads(name: str, threads) -> None:
    """Large enough to be worth splitting, with rows and columns that do not divide evenly."""
    problem = CASES[name].build("float32", T=12, N=203, I=33, H=70, D=24)
    arrays = []
    for count in (1, 1) if config.DISABLE_JIT else (1, 2, 5):  # NumPy's BLAS adds in another order for two
        ts.set_num_threads(count)
        result = problem.run(True)
        gradients = [gradient for gradient in result.gradients.values() if gradient is not None]
        arrays.append([part.numpy() for part in flatten(result.outputs)[0]] + gradients)
    for one, *others in zip(*arrays, strict=True):
        assert all(one.tobytes() == other.tobytes() for other in others)


@pytest.mark.parametrize("dtypes", [("float32", "float32"), ("float64", "float64"), ("float64", "float32")])
@pytest.mark.parametrize("sizes", [(301, 500, 301), (1, 700, 900), (900, 700, 1), (50, 51, 51), (1, 90, 91)])
def test_stacks_of_products_for_any_number_of_threads(sizes: tuple[int, ...], dtypes, threads, rng) -> None:
    """What is left to NumPy's BLAS is small enough for one thread of it."""
    M, K, N = sizes
    a, b = rng.standard_normal((3, M, K)).astype(dtypes[0]), rng.standard_normal((2, 1, K, N)).astype(dtypes[1])
    found = []
    for count in (1, 1) if config.DISABLE_JIT else (1, 2, 5):
        ts.set_num_threads(count)
        found.append(product(a, b))
    assert all(one.tobytes() == found[0].tobytes() for one in found)
    assert_close("product", found[0], np.matmul(a, b), K, dtypes[0])


@pytest.mark.parametrize("name", ["lstm", "layer_norm_lstm", "attention_cell", "delta_net", "lru"])
def test_finite_differences(name: str) -> None:
    problem = CELLS[name].build(T=3, N=2, I=2, H=3, S=3)
    assert ts.gradcheck(lambda *_: problem.scan(True), [*problem.leaves().values()])


def test_second_derivatives_of_an_lstm() -> None:
    problem = CELLS["lstm"].build(T=3, N=2, I=2, H=3)
    leaves = [*problem.leaves().values()]
    assert ts.gradcheck(lambda *_: problem.scan(True), leaves, order=2)


def test_hessian_vector_product_of_an_lstm(rng) -> None:
    case = CELLS["lstm"]
    leaves = {name: leaf.detach() for name, leaf in case.build().leaves().items()}
    tangents = [ts.tensor(rng.standard_normal(leaf.shape)) for leaf in leaves.values()]

    def loss(compile: bool) -> Any:
        def of(h, c, xs, w, u, b):
            return projected(ts.scan(lambda carry, x: case.step(carry, x, w, u, b), (h, c), xs, compile=compile))

        return of

    got, want = (ts.hvp(loss(compile), [*leaves.values()], tangents) for compile in (True, False))
    for name, a, b in zip(leaves, got, want, strict=True):
        assert_close(name, a.numpy(), b.numpy(), 1000)


def test_a_planted_fault_is_seen() -> None:
    """One element wrong by a part in ten thousand, of an output or of a gradient."""
    problem = CELLS["gru"].build("float32")
    want = problem.run(False)
    wrong = problem.run(False)
    wrong.outputs[1].data[2, 1, 3] *= 1.0001
    with pytest.raises(AssertionError, match=r"outputs\.1"):
        assert_agree(wrong, want, "float32")
    b_hh = want.gradients["weights.b_hh"]
    assert b_hh is not None
    wrong = Result(want.outputs, want.gradients | {"weights.b_hh": 1.0001 * b_hh})
    with pytest.raises(AssertionError, match=r"gradient of weights\.b_hh"):
        assert_agree(wrong, want, "float32")
