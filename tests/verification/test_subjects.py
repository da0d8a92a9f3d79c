"""What can be verified, and what a check says that cannot run."""

from __future__ import annotations

import io
import json
from typing import Any

import numpy as np
import pytest
from rich.console import Console

import tinygrad_seq as ts
from tinygrad_seq import nn
from tinygrad_seq.base import settings
from tinygrad_seq.errors import ArgumentError, ShapeError, VerificationError
from tinygrad_seq.ops.primitive import TABLE as TABLE_OF_OPERATIONS
from tinygrad_seq.verification import Certificate, Check
from tinygrad_seq.verification.differences import slope
from tinygrad_seq.verification.table import TABLE

SHORT: dict[str, Any] = {"level": "short", "compile": False}
COMPILED_ONLY = {"compiled == step by step", "remember gives the same bits"}


def skipped(certificate: Certificate) -> dict[str, str]:
    assert certificate.passed, str(certificate)
    return {check.name: check.detail for check in certificate.checks if check.status == "skipped"}


class Counting(nn.Cell):
    """A state in a tree, with a counter and a flag for each row."""

    input_size = 3

    def __init__(self) -> None:
        self.state_shape = {"h": (4,), "rest": ((), (2,))}
        self.mix = nn.Linear(7, 4)

    def initial_state(self, batch_size: int, dtype: Any = None) -> Any:
        h = ts.zeros((batch_size, 4), self.dtype)
        return {"h": h, "rest": (ts.zeros(batch_size, "int64"), ts.zeros((batch_size, 2), "bool"))}

    def forward(self, x: Any, state: Any) -> Any:
        count, flags = state["rest"]
        h = ts.tanh(self.mix(ts.concat([x, state["h"]], -1))) * ts.where(flags[:, :1], 0.5, 1.0).astype(x.dtype)
        return {"h": h, "odd": count % 2}, {"h": h, "rest": (count + 1, flags | (h[:, :2].detach() > 0))}


class Embedded(nn.Cell):
    """Tokens go in."""

    def __init__(self) -> None:
        self.embed, self.cell = nn.Embedding(7, 3), nn.GRUCell(3, 3)
        self.state_shape = self.cell.state_shape

    def forward(self, x: Any, state: Any) -> Any:
        return self.cell(self.embed(x), state)


class Branching(nn.Cell):
    """Reads a value in Python, so it cannot be compiled."""

    input_size, state_shape = 2, (2,)

    def forward(self, x: Any, h: Any) -> Any:
        return (x, ts.tanh(h + x)) if float(h.sum()) > 1e9 else (ts.sin(x), ts.tanh(h - x))


class Classifier(nn.Module):
    def __init__(self) -> None:
        self.embed, self.layer, self.out = nn.Embedding(5, 3), nn.GRU(3, 4), nn.Linear(4, 2)
        self.drop = nn.Dropout(0.5)

    def forward(self, tokens: Any) -> Any:
        return self.out(self.drop(self.layer(self.embed(tokens))[0][-1]))


def test_a_tree_with_integers_and_booleans() -> None:
    assert skipped(ts.verify(Counting(), **SHORT)).keys() == COMPILED_ONLY
    assert ts.verify(Counting(), level="short", checks=["compiled == step by step"]).passed


def test_integers_as_inputs(rng: np.random.Generator) -> None:
    reasons = skipped(ts.verify(Embedded(), None, rng.integers(0, 7, (4, 2)), **SHORT))
    assert reasons.keys() == {*COMPILED_ONLY, "NaN in what is left out reaches nothing"}
    assert reasons["NaN in what is left out reaches nothing"] == "cannot run: inputs are not floating-point"


def test_inputs_in_a_tree(rng: np.random.Generator) -> None:
    class Cell(nn.Cell):
        state_shape = (3,)

        def __init__(self) -> None:
            self.w = nn.Parameter(np.eye(3))

        def forward(self, x: Any, h: Any) -> Any:
            h = ts.tanh(x["a"] @ self.w + h * x["b"][0][:, None])
            return h, h

    xs = {"a": rng.standard_normal((3, 2, 3)), "b": (rng.standard_normal((3, 2)),)}
    assert "pickled gives the same numbers" in skipped(ts.verify(Cell(), xs=xs, **SHORT))


def test_what_cannot_be_compiled_says_why() -> None:
    reasons = skipped(ts.verify(Branching(), level="short"))
    assert reasons.keys() == COMPILED_ONLY
    assert all("cannot run: scan: " in reason and "float" in reason for reason in reasons.values())


def test_a_cell_that_draws_in_training_is_compiled_in_evaluation() -> None:
    class Cell(nn.Cell):
        input_size, state_shape = 3, (3,)

        def __init__(self) -> None:
            self.w, self.drop = nn.Parameter(np.eye(3)), nn.Dropout(0.5)

        def forward(self, x: Any, h: Any) -> Any:
            h = ts.tanh(self.drop(x) + h @ self.w)
            return h, h

    assert skipped(ts.verify(Cell(), level="short")).keys() == {"pickled gives the same numbers"}


def test_a_step_with_what_it_closes_over(rng: np.random.Generator) -> None:
    w = ts.tensor(rng.standard_normal((3, 3)).astype(np.float32), requires_grad=True)
    weights = {"b": ts.zeros(3, requires_grad=True)}
    before = w.numpy().copy()

    def step(h: Any, x: Any) -> Any:
        h = ts.tanh(h @ w + x + weights["b"])
        return h, {"h": h, "size": (h * h).sum(axis=-1)}

    init, xs = ts.zeros((2, 3)), rng.standard_normal((4, 2, 3)).astype(np.float32)
    certificate = ts.verify(step, init, xs, batch_axis=1, level="short")
    assert "stream == whole" not in skipped(certificate)
    assert certificate["row alone == row in a batch"].status == "passed"
    assert (certificate.T, certificate.N) == (4, 2)
    assert certificate["padded == unpadded, no gradient on padding"].detail.endswith("write it as a nn.Cell")
    np.testing.assert_array_equal(w.numpy(), before)
    assert w.dtype == np.float32
    assert w.grad is None
    alone = skipped(ts.verify(step, init, xs, **SHORT))
    assert "pass batch_axis=1" in alone["row alone == row in a batch"]
    wrong = ts.verify(step, init, xs, parameters={"b": weights["b"]}, **SHORT)
    assert wrong.passed
    assert "'w'" not in str(wrong)


def test_a_step_that_carries_scalars_and_counts() -> None:
    def step(carry: Any, x: Any) -> Any:
        total, count = carry
        total = total * 0.5 + ts.sin(x).sum()
        return (total, count + 1), total / (count + 1).astype(total.dtype)

    assert skipped(ts.verify(step, (ts.tensor(0.0), ts.tensor(0)), ts.randn(4, 3), **SHORT))


def test_a_module(rng: np.random.Generator) -> None:
    tokens = rng.integers(0, 5, (4, 3))
    reasons = skipped(ts.verify(Classifier(), xs=tokens, batch_axis=1, **SHORT))
    assert "row alone == row in a batch" not in reasons
    assert "Classifier is a module and does not have lengths" in reasons["masked == left out, no gradient there"]
    assert reasons["jvp == gradients"] == "cannot run: neither inputs nor state are floating-point"
    assert "pass batch_axis" in skipped(ts.verify(Classifier(), xs=tokens, **SHORT))["row alone == row in a batch"]


def test_the_user_keeps_what_was_there(rng: np.random.Generator) -> None:
    layer = nn.GRU(3, 4, stateful=True, dtype="float32")
    layer(ts.randn(3, 2, 3))
    values, kept = layer.state_dict(), layer._kept
    generator = settings.generator()
    state = generator.bit_generator.state
    assert ts.verify(layer, **SHORT).passed
    assert settings.generator() is generator
    assert generator.bit_generator.state == state
    assert layer._kept is kept
    assert layer.training
    for name, value in layer.state_dict().items():
        np.testing.assert_array_equal(value, values[name])
        assert value.dtype == np.float32
    assert all(p.grad is None for p in layer.parameters())
    assert ts.get_num_threads() >= 1


def test_threads_do_share_the_work(monkeypatch: pytest.MonkeyPatch) -> None:
    from tinygrad_seq.kernels import pool
    from tinygrad_seq.scan.run import launch

    parts: list[int] = []

    def counting(tasks: Any) -> None:
        parts.append(len(tasks))
        pool.run_all(tasks)

    monkeypatch.setattr(launch, "run_all", counting)
    assert ts.verify(nn.MGUCell(3, 3), checks=["every number of threads gives the same bits"]).passed
    assert {2, 3} <= set(parts)


def test_full_level_of_one_cell() -> None:
    certificate = ts.verify(nn.MGUCell(3, 3), make=lambda: nn.MGUCell(3, 3))
    assert certificate.passed, str(certificate)
    assert [check.name for check in certificate.checks] == [row.name for row in TABLE]
    assert {check.status for check in certificate.checks} == {"passed"}


# ---------------------------------------------------------------------------------------------- the certificate


def test_certificate_as_text_table_and_json() -> None:
    good = Check("a == b", "passed", 1e-12, 1e-10, "ys at time 0, row 1")
    bad = Check("c == d", "failed", float("inf"), 0.0, "xs", "got nan, expected 1", "T=1, N=1: xs: got nan, expected 1")
    out = Check("e == f", "skipped", detail="cannot run: no state")
    certificate = Certificate("Cell [x]", "short", 4, 2, 0, (good, bad, out))
    assert not certificate.passed
    assert certificate["c == d"] is bad
    text = str(certificate)
    assert "1 passed, 1 failed, 1 skipped (T=4, N=2, short)" in text
    assert "smallest failing case of 'c == d': T=1, N=1: xs: got nan, expected 1" in text
    console = Console(width=120, record=True, file=io.StringIO())
    console.print(certificate)
    shown = console.export_text()
    assert "Cell [x]" in shown
    assert "smallest failing case" in shown
    facts = json.loads(certificate.to_json())
    assert facts["passed"] is False
    assert facts["checks"][1]["worst"] == "inf"
    assert facts["checks"][0]["worst"] == 1e-12
    with pytest.raises(
        VerificationError, match=r"verify: expected Cell \[x\] to pass 'c == d', got xs: got nan"
    ) as error:
        certificate.raise_on_failure()
    assert "smallest failing case: T=1, N=1" in str(error.value)
    Certificate("Cell", "short", 4, 2, 0, (good, out)).raise_on_failure()
    with pytest.raises(AttributeError):
        certificate.seed = 1  # type: ignore[misc]


def test_a_case_is_found_again_at_the_sizes_it_names() -> None:
    class Cell(nn.Cell):
        input_size, state_shape = 2, (2,)

        def forward(self, x: Any, h: Any) -> Any:
            return h, h - x.mean(axis=0, keepdims=True)

    name = "row alone == row in a batch"
    first = ts.verify(Cell(), T=3, N=4, checks=[name], **SHORT)
    assert first[name].smallest.startswith("T=1, N=2: ")
    again = ts.verify(Cell(), T=1, N=2, checks=[name], **SHORT)
    assert again[name].smallest == first[name].smallest


def test_finite_differences_are_as_precise_as_they_say() -> None:
    for f, right in ((np.sin, 1.0), (lambda h: np.exp(30 * h), 30.0), (lambda h: np.sqrt(1e-2 + h), 5.0)):
        found = slope(f, 1e-7)
        assert abs(float(found.value) - right) <= 1e-7 * right
        assert found.error <= 1e-6 * right
    assert slope(lambda h: np.asarray(h > 0, float), 1e-7).error > 1
    assert np.isinf(slope(lambda h: np.asarray(np.nan), 1e-7).error)


class Kinked(nn.Cell):
    """At zeros, which first states are, relu may have any slope from 0 to 1."""

    input_size, state_shape = 2, (2,)

    def forward(self, x: Any, h: Any) -> Any:
        return ts.relu(h) + x, h * 0.5 + x


@pytest.mark.parametrize("slope_at_0", [0.0, 0.7, 1.0, 1.1, -0.1])
def test_at_a_kink_any_slope_between_its_sides_is_right(slope_at_0: float, monkeypatch: pytest.MonkeyPatch) -> None:
    def rule(g: Any, _y: Any, x: Any) -> Any:
        return g * ts.where(x == 0, slope_at_0, ts.where(x > 0, 1.0, 0.0))

    monkeypatch.setattr(TABLE_OF_OPERATIONS["relu"], "rules", (rule,))
    monkeypatch.setattr(TABLE_OF_OPERATIONS["relu"], "_plans", {})
    check = ts.verify(Kinked(), ts.zeros((2, 2)), checks=["gradients == finite differences"], **SHORT).checks[0]
    assert (check.status == "passed") == (0 <= slope_at_0 <= 1), check
    assert check.status == "passed" or check.smallest.startswith("T=1, N=1: gradient of state at index (0, ")


# -------------------------------------------------------------------------------------------------- bad input


class Broken(nn.Cell):
    input_size, state_shape = 3, (2,)

    def forward(self, x: Any, h: Any) -> Any:
        return h, h + x


def test_bad_input() -> None:
    with pytest.raises(ArgumentError, match="expected a cell, layer, step or module, got the class GRUCell; pass"):
        ts.verify(nn.GRUCell)
    with pytest.raises(ArgumentError, match="verify: expected a cell, layer, step or module, got int"):
        ts.verify(3)
    with pytest.raises(ArgumentError, match="verify: expected init and xs for a step"):
        ts.verify(lambda h, x: (h, h))
    with pytest.raises(ArgumentError, match="expected xs for Embedded, which has no input_size to generate them"):
        ts.verify(Embedded())
    with pytest.raises(ArgumentError, match=r"expected Broken to run in float64 on random inputs, .* ShapeError"):
        ts.verify(Broken(), **SHORT)
    with pytest.raises(ArgumentError, match="verify: expected parameters for a step only"):
        ts.verify(nn.GRUCell(2, 2), parameters=[])
    with pytest.raises(ArgumentError, match="verify: expected level 'short' or 'full', got 'long'"):
        ts.verify(nn.GRUCell(2, 2), level="long")  # type: ignore[arg-type]
    with pytest.raises(ArgumentError, match="verify: expected T to be an integer >= 1, got 0"):
        ts.verify(nn.GRUCell(2, 2), T=0)
    with pytest.raises(ArgumentError, match=r"verify: expected checks among \[.*, got 'all'"):
        ts.verify(nn.GRUCell(2, 2), checks=["all"])
    with pytest.raises(ShapeError, match=r"verify: expected xs \(T, N, ...\) of at least one step, got \(3,\)"):
        ts.verify(nn.GRUCell(2, 2), xs=np.zeros(3, np.float32))


def test_what_raises_has_failed() -> None:
    class OneRowOnly(nn.Cell):
        input_size, state_shape = 2, (2,)

        def forward(self, x: Any, h: Any) -> Any:
            if x.shape[0] == 1:
                raise ValueError("one row is too few")
            return h, h + x

    certificate = ts.verify(OneRowOnly(), **SHORT)
    check = certificate["row alone == row in a batch"]
    assert (check.status, check.detail) == ("failed", "raised ValueError: one row is too few")


def test_every_check_says_what_it_does() -> None:
    assert len({row.name for row in TABLE}) == len(TABLE) >= 21
    assert all(row.function.__doc__ for row in TABLE)


def test_a_cell_that_reads_a_memory_of_a_row_per_sequence() -> None:
    """Checks that change the number of rows cannot run; the others do, also with one row."""
    attention = nn.DotAttention(query_size=4, memory_size=3, hidden_size=4)
    cell = nn.AttentionCell(nn.GRUCell(2 + 3, 4), attention)
    for N in (1, 2):
        with ts.no_grad():
            bound = cell.over(attention.prepare(ts.randn(5, N, 3)))
        found = ts.verify(bound, N=N, level="short", compile=False)
        assert found["row alone == row in a batch"].status == "skipped"
        wrong = [check for check in found.checks if check.status == "failed"]
        assert not wrong, wrong
