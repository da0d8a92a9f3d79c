"""Each operation in its place: what the stages of every cell hold, and that no size gets into a kernel."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import tinygrad_seq as ts
from tests.grad_of import grad_of
from tests.scan.case import Case
from tests.scan.cells import CELLS
from tests.scan.traps import TRAPS
from tinygrad_seq import nn
from tinygrad_seq.kernels.compile.generated import compilations
from tinygrad_seq.scan import program_of
from tinygrad_seq.scan.ir.step import Eqn, dependents
from tinygrad_seq.scan.program import Program
from tinygrad_seq.scan.run.direction import Direction

LINEAR = ("min_gru", "sru", "ind_rnn", "lru")


def program(case: Case, **sizes: int) -> Program:
    problem = case.build("float32", options=None, **sizes)
    return program_of(problem.step, problem.init, problem.xs, length=problem.options.get("length"))


def directions(program: Program) -> list[Direction]:
    return [program.forward, *([program.backward] if program.backward else [])]


def products(eqns: tuple[Eqn, ...]) -> list[Eqn]:
    return [eqn for eqn in eqns if eqn.primitive.name == "matmul"]


# ------------------------------------------------------------------------------------------------------- the places


@pytest.mark.parametrize("name", CELLS)
def test_no_product_in_the_loop_is_independent_of_the_carry(name: str) -> None:
    for direction in directions(program(CELLS[name])):
        recurrent = dependents(direction.step.eqns, direction.step.carry)
        for eqn in products(direction.stages.during):
            assert any(operand in recurrent for operand in eqn.reads)


@pytest.mark.parametrize("name", CELLS)
def test_no_gradient_of_a_weight_is_added_up_in_the_loop(name: str) -> None:
    """A sum over time is taken after the loop, of all times at once."""
    direction = program(CELLS[name]).backward
    assert direction is not None
    made = {result for eqn in direction.stages.during for result in eqn.results}
    for eqn in products(direction.step.eqns):
        if eqn.result in direction.step.sums:
            assert eqn.result not in made
    needed = {operand for eqn in direction.stages.during for operand in eqn.reads}.union(direction.step.carry_out)
    assert needed.isdisjoint(direction.step.sums)


@pytest.mark.parametrize("name", CELLS)
def test_every_product_is_there_once(name: str) -> None:
    """What has a place has one place, in an order in which each operand is there before it is read."""
    for direction in directions(program(CELLS[name])):
        stages = direction.stages
        known = set(direction.step.inputs)
        for eqn in (*stages.before, *stages.during, *stages.after):
            assert known.issuperset(eqn.reads)
            assert known.isdisjoint(eqn.results)
            known.update(eqn.results)
        assert known.issuperset(direction.step.outputs)


@pytest.mark.parametrize("name", LINEAR)
def test_loops_of_linear_recurrences_hold_no_product(name: str) -> None:
    for direction in directions(program(CELLS[name])):
        assert not products(direction.stages.during)
        assert products(direction.step.eqns)


def test_gradients_of_vectors_are_added_up_in_the_loop() -> None:
    """Where nothing else reads what is summed; a bias waits for what the products after the loop read too."""
    added = {}
    for name in ("ind_rnn", "sru", "peephole_lstm", "layer_norm_lstm", "lstm", "elman"):
        direction = program(CELLS[name]).backward
        assert direction is not None
        added[name] = len(direction.stages.time_sums)
        assert set(direction.stages.time_sums).isdisjoint(direction.stages.saved)
        if direction.kernel is not None:
            assert direction.kernel.stages.time_sums == direction.stages.time_sums
    assert added == {"ind_rnn": 1, "sru": 4, "peephole_lstm": 3, "layer_norm_lstm": 4, "lstm": 0, "elman": 0}


def test_products_after_the_loop_that_share_an_operand_are_one() -> None:
    """By columns where gates are made of one product, by rows where each gate multiplies x by a matrix of its own."""
    W, U, V = (ts.randn(*shape, requires_grad=True) for shape in ((5, 8), (4, 8), (5, 4)))
    xs, init = ts.randn(6, 3, 5), ts.zeros((3, 4))

    def one(h: Any, x: Any) -> Any:
        gate, new = ts.split(x @ W + h @ U, 2, axis=-1)
        return (y := ts.sigmoid(gate) * h + ts.tanh(new)), y

    def several(h: Any, x: Any) -> Any:
        gate, new = x @ V, ts.tanh(h @ U[:, :4])
        return (y := ts.sigmoid(gate) * h + ts.tanh(new * (x @ W[:, 4:]))), y

    for step, sizes in ((one, [2]), (several, [2, 1])):
        direction = program_of(step, init, xs).backward
        assert direction is not None
        assert sorted([len(group) for group in direction.groups], reverse=True) == sizes
        found = []
        options: list[dict[str, Any]] = [{}, {"remember": 2}, {"reverse": True}]
        for given in (*options, {"compile": False}, {"compile": False, "reverse": True}):
            W.grad = U.grad = V.grad = None
            ts.scan(step, init, xs, **given)[1].sum().backward()
            found.append([w.grad.numpy() for w in (W, U, V) if w.grad is not None])
        for got, want in ((0, 3), (1, 3), (2, 4)):
            for a, b in zip(found[got], found[want], strict=True):
                np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5)


def test_rows_that_share_a_total_are_not_added_up_in_the_loop() -> None:
    """A vector that has no part in the batch, and so is computed again for each row."""
    v = ts.ones(4, requires_grad=True)
    xs = (ts.randn(6, 3, 4), ts.randn(6, 4))
    step = lambda h, x: (0.5 * h + x[0] + ts.tanh(v * x[1]), h)  # noqa: E731
    direction = program_of(step, ts.zeros((3, 4)), xs).backward
    assert direction is not None
    results = []
    for compiled in (True, False):
        v.grad = None
        ts.scan(step, ts.zeros((3, 4)), xs, compile=compiled)[1].sum().backward()
        results.append(grad_of(v).numpy())
    np.testing.assert_allclose(results[0], results[1], rtol=1e-5)


def test_products_of_an_lstm() -> None:
    """The two products of the step and the four of its gradient: one in each loop."""
    made = program(CELLS["lstm"])
    counts = [
        [len(products(eqns)) for eqns in (direction.stages.before, direction.stages.during, direction.stages.after)]
        for direction in directions(made)
    ]
    assert counts == [[1, 1, 0], [0, 1, 3]]


# -------------------------------------------------------------------------------------------------- no size in a text

FEW_ROWS = (
    {"T": 4, "N": 7, "I": 13, "H": 17, "S": 19, "D": 23},
    {"T": 7, "N": 6, "H": 6},  # N = H
    {"T": 3, "N": 3},  # N = T
    {"N": 4},  # N = I
    {"I": 6},  # I = H
)
"""Beside T = 5, N = 3, I = 4, H = 6."""
MANY_ROWS = (
    {"T": 4, "N": 11, "I": 13, "H": 17, "S": 19, "D": 23},
    {"T": 11, "N": 11},  # N = T
    {"N": 24},  # N = 4H
    {"N": 13, "I": 13},  # N = I
)
"""With as many rows as these, the products of inputs are computed in the loop."""


@pytest.mark.parametrize("name", sorted(CELLS.keys() - {"minimal_gru_in_columns", "turing_machine", "lru"}))
def test_source_does_not_depend_on_sizes(name: str) -> None:
    """Three cells are left out: where I = H, or S = D, two of their loops over features become one."""
    for usual, *others in (({}, *FEW_ROWS), MANY_ROWS):
        expected = sources(program(CELLS[name], **usual))
        for sizes in others:
            assert sources(program(CELLS[name], **sizes)) == expected


def sources(program: Program) -> list[str]:
    return [direction.kernel.source.text for direction in directions(program) if direction.kernel is not None]


def test_source_does_not_depend_on_numbers_of_the_step() -> None:
    def source(slope: float) -> list[str]:
        step = lambda h, x: (ts.leaky_relu(h * slope + x, slope),) * 2  # noqa: E731
        return sources(program_of(step, ts.zeros((2, 3)), ts.ones((4, 2, 3))))

    assert source(0.25) == source(0.3)


COMPILED: dict[str, Any] = {
    "lstm": CELLS["lstm"],
    "gru": CELLS["gru"],
    "layer_norm_lstm": CELLS["layer_norm_lstm"],
    "reductions": TRAPS["reductions"],
}


@pytest.mark.parametrize("name", COMPILED)
def test_new_sizes_compile_nothing(name: str) -> None:
    for usual, *others in (({}, *FEW_ROWS), MANY_ROWS):
        COMPILED[name].build("float32", **usual).run(True)
        before = compilations()
        for sizes in others:
            COMPILED[name].build("float32", **sizes).run(True)
        assert compilations() == before


@pytest.mark.parametrize("kind", [nn.RNN, nn.GRU, nn.LSTM])
def test_new_sizes_of_a_layer_compile_nothing(kind: Any) -> None:
    few = (5, 3, 4, 6), (7, 6, 4, 6), (3, 3, 6, 6), (4, 1, 130, 130)
    many = (4, 24, 8, 7), (5, 11, 4, 6), (3, 70, 200, 130)
    for group in (few, many):
        counts = []
        for T, N, features, H in group:
            ys, _ = kind(features, H)(ts.randn(T, N, features))
            ys.sum().backward()
            counts.append(compilations())
        assert counts == counts[:1] * len(counts)
