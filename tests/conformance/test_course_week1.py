"""Course 5, week 1, "Building a recurrent neural network": the forward passes, and backward through the cells."""

from __future__ import annotations

from typing import Any

import pytest

import tinygrad_seq as ts
from tests.conformance.cases import Arrays, Case, check, draw, gradient, ids, load
from tests.conformance.notes import LSTM_NAMES, gradients, lstm_cell, rnn_cell

WEEK1 = load("course_week1.json")
STEPS = [case for name, case in WEEK1.items() if "_cell_" in name]
KINDS = ("rnn_forward", "rnn_backward", "lstm_forward", "lstm_backward")
SEQUENCES = [case for name, case in WEEK1.items() if name.startswith(KINDS)]


class StatesOf(ts.nn.Cell):
    """A cell whose output is its whole state."""

    def __init__(self, cell: ts.nn.Cell) -> None:
        self.cell, self.state_shape = cell, cell.state_shape

    def forward(self, x: Any, state: Any) -> tuple[Any, Any]:
        _, state = self.cell(x, state)
        return state, state


def one_step(cell: ts.nn.Cell, x: ts.Tensor, state: Any, window: None) -> Any:
    return StatesOf(cell)(x, state)[0]


def by_scan(cell: ts.nn.Cell, xs: ts.Tensor, state: Any, window: int | None) -> Any:
    return ts.scan(lambda state, x: StatesOf(cell)(x, state), state, xs, window=window)[1]


def by_recurrent(cell: ts.nn.Cell, xs: ts.Tensor, state: Any, window: int | None) -> Any:
    return ts.nn.Recurrent(StatesOf(cell), window=window)(xs, state)[0]


def leaf(array: Any) -> ts.Tensor:
    return ts.tensor(array.T, requires_grad=True)


def reproduce(case: Case, run: Any) -> Arrays:
    """Return every value that a case may expect, with the names and layout of the course."""
    arrays = draw(case)
    for name, other in case.get("take", {}).items():
        arrays[name] = draw(WEEK1[other])[name]
    lstm = case["id"].startswith("lstm")
    cell = lstm_cell(arrays) if lstm else rnn_cell(arrays)

    x, a0 = leaf(arrays["x"]), leaf(arrays["a_prev" if "a_prev" in arrays else "a0"])
    c0 = leaf(arrays["c_prev"]) if "c_prev" in arrays else ts.zeros_like(a0)
    states = run(cell, x, (a0, c0) if lstm else a0, case.get("window"))
    a, c = states if lstm else (states, ts.zeros_like(states))
    found = {"x": x, "a": a, "a_next": a, "c": c, "c_next": c}

    head = ("Wy", "by") if lstm else ("Wya", "by")
    if head[0] in arrays:
        found["y"] = ts.softmax(ts.linear(a, arrays[head[0]], arrays[head[1]].ravel()), axis=-1)
    if run is one_step and lstm:
        found |= gates(cell, x, a0)
    if "loss" not in case:
        return {name: value.numpy().T for name, value in found.items()}

    da = arrays["da_next" if "da_next" in arrays else "da"].T
    loss = (a[: len(da)] * da).sum()
    if "dc_next" in arrays:
        loss = loss + (c * arrays["dc_next"].T).sum()
    loss.backward()
    inputs = {"x": x, "a0": a0, "a_prev": a0, "c_prev": c0}
    return gradients(cell) | {f"d {name}": gradient(x).T for name, x in inputs.items() if x.grad is not None}


def gates(cell: ts.nn.Cell, x: ts.Tensor, a: ts.Tensor) -> dict[str, ts.Tensor]:
    """Return the internal values of the LSTM, the course's ft, it, cct and ot, from the cell's parameters."""
    stacked = ts.concat([a, x], axis=-1)
    affine = {
        theirs[1]: ts.linear(stacked, getattr(cell, ours), getattr(cell, f"b{ours[1]}").ravel())
        for theirs, ours in LSTM_NAMES.items()
        if theirs[0] == "W"
    }
    return {gate: ts.sigmoid(affine[gate]) for gate in "fio"} | {"cand": ts.tanh(affine["c"])}


@pytest.mark.parametrize("case", STEPS, ids=ids(STEPS))
def test_one_step(case: Case) -> None:
    check(case, reproduce(case, one_step))


@pytest.mark.parametrize("run", [by_scan, by_recurrent])
@pytest.mark.parametrize("case", SEQUENCES, ids=ids(SEQUENCES))
def test_sequence(case: Case, run: Any) -> None:
    check(case, reproduce(case, run))


ERRATUM = [case for case in SEQUENCES if case.get("window") == 1]


@pytest.mark.parametrize("case", ERRATUM, ids=ids(ERRATUM))
def test_numbers_before_2021_are_no_gradients(case: Case) -> None:
    whole = {key: value for key, value in case.items() if key != "window"}
    with pytest.raises(AssertionError, match=r"d x\[1\]\[2\]\[0:4\]"):
        check(whole, reproduce(whole, by_scan))


def test_every_case_of_week_1_is_reproduced() -> None:
    second_assignment = {"clip", "sample.seed24", "sample.seed2", "optimize"}
    assert {*ids(STEPS), *ids(SEQUENCES)} | second_assignment == WEEK1.keys()
    assert len(ERRATUM) == 2
